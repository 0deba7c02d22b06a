/*
 * proxy_header_fuzz.c - what skua-proxy reads: headers of the PROXY protocol, and addresses.
 *
 * Beside what sanitizers see, it must hold that
 *   - of the beginnings of some bytes the shorter ones want more, and the longer ones all have the
 *     same verdict: it makes no difference in how many pieces a header arrives, or what follows it;
 *   - a header that is made of what was read says the same, in either version;
 *   - without endpoints, and on error, none are written;
 *   - an address in a log is one printable word; one of the command line is split where it is
 *     joined.
 */
#include "../../tools/skua-proxy/proxy_address.h"
#include "../../tools/skua-proxy/proxy_header.h"
#include "fuzz_kit.h"

#include <errno.h>

#define V1_SIZE_MAX 107
#define PREFIXES 600u /* all of those are tried */

struct verdict {
    ssize_t result;
    bool known;
    struct proxy_endpoints endpoints;
};

static struct verdict judge(const unsigned char *data, size_t size)
{
    struct verdict verdict, untouched;
    memset(&verdict, 0x55, sizeof(verdict));
    verdict.known = false;
    untouched = verdict;
    unsigned char *copy = (unsigned char *)fuzz_copy(data, size);
    verdict.result = skua_proxy_header_parse(copy, size, &verdict.endpoints, &verdict.known);
    free(copy);
    fuzz_check(verdict.result == -EAGAIN || verdict.result == -EPROTO || verdict.result > 0,
               "another result");
    fuzz_check(verdict.result <= (ssize_t)size, "a header that has not come");
    if (verdict.result < 0 || !verdict.known)
        fuzz_check(memcmp(&verdict.endpoints, &untouched.endpoints, sizeof(verdict.endpoints)) == 0,
                   "endpoints of nobody");
    return verdict;
}

static bool same_address(const skua_address *a, const skua_address *b)
{
    return a->size == b->size && memcmp(&a->storage, &b->storage, a->size) == 0;
}

static bool same_verdict(const struct verdict *a, const struct verdict *b)
{
    if (a->result != b->result || (a->result > 0 && a->known != b->known))
        return false;
    return a->result < 0 || !a->known ||
           (same_address(&a->endpoints.source, &b->endpoints.source) &&
            same_address(&a->endpoints.destination, &b->endpoints.destination));
}

/* ---- headers --------------------------------------------------------------------------------- */

static void check_show(const skua_address *address)
{
    char name[PROXY_NAME_SIZE];
    memset(name, 0x55, sizeof(name));
    skua_proxy_address_show(address, name);
    size_t length = strnlen(name, sizeof(name));
    fuzz_check(length > 0 && length < sizeof(name), "a name without its end");
    for (size_t i = 0; i < length; i++)
        fuzz_check(name[i] > ' ' && name[i] <= '~', "a name of several words");
}

/* Made in @version and read again, and that made again. */
static void check_made(unsigned version, const struct proxy_endpoints *endpoints)
{
    unsigned char made[PROXY_HEADER_MADE_MAX], again[PROXY_HEADER_MADE_MAX];
    size_t size = skua_proxy_header_make(version, endpoints, made);
    fuzz_check(size <= sizeof(made) && (version == 2 || size <= V1_SIZE_MAX), "made too long");
    struct verdict verdict = judge(made, size);
    fuzz_check(verdict.result == (ssize_t)size, "what was made is refused");
    bool is_unix = endpoints->source.any.sa_family == AF_UNIX;
    fuzz_check(verdict.known == (version == 2 || !is_unix), "what was made says something else");
    if (!verdict.known)
        return;
    fuzz_check(skua_proxy_header_make(version, &verdict.endpoints, again) == size &&
                   memcmp(made, again, size) == 0,
               "what was made changes");
}

static void check_endpoints(const unsigned char *data, const struct verdict *verdict)
{
    unsigned char made[PROXY_HEADER_MADE_MAX];
    const struct proxy_endpoints *endpoints = &verdict->endpoints;
    sa_family_t family = endpoints->source.any.sa_family;
    fuzz_check(family == endpoints->destination.any.sa_family, "two families");
    fuzz_check(endpoints->source.size <= sizeof(struct sockaddr_un) &&
                   endpoints->destination.size <= sizeof(struct sockaddr_un),
               "a size out of bounds");
    check_made(1, endpoints);
    check_made(2, endpoints);
    check_show(&endpoints->source);
    check_show(&endpoints->destination);
    /* There is one spelling of IPv4 only. */
    if (data[0] == 'P' && family == AF_INET)
        fuzz_check(skua_proxy_header_make(1, endpoints, made) == (size_t)verdict->result &&
                       memcmp(made, data, (size_t)verdict->result) == 0,
                   "two spellings");
}

static void check_header(const unsigned char *data, size_t size)
{
    struct verdict whole = judge(data, size);
    size_t prefixes = size < PREFIXES ? size : PREFIXES;
    bool is_over = false;
    for (size_t n = 0; n < prefixes; n++) {
        struct verdict verdict = judge(data, n);
        if (verdict.result == -EAGAIN)
            fuzz_check(!is_over, "a verdict is taken back");
        else
            fuzz_check(same_verdict(&verdict, &whole), "a header depends on its pieces");
        is_over = verdict.result != -EAGAIN;
    }
    if (whole.result <= 0)
        return;
    struct verdict exact = judge(data, (size_t)whole.result);
    fuzz_check(same_verdict(&exact, &whole), "a header depends on what follows it");
    struct verdict shorter = judge(data, (size_t)whole.result - 1);
    fuzz_check(shorter.result == -EAGAIN, "half a header is one");
    if (whole.known)
        check_endpoints(data, &whole);
}

/* ---- addresses ------------------------------------------------------------------------------- */

static void check_split(const char *text)
{
    char host_text[PROXY_HOST_SIZE], again_text[PROXY_HOST_SIZE];
    char joined[FUZZ_INPUT_BYTES + PROXY_HOST_SIZE];
    const char *host = NULL, *service = NULL, *again = NULL, *again_service = NULL;
    if (skua_proxy_address_split(text, host_text, &host, &service) < 0)
        return;
    fuzz_check(host == NULL || host == host_text, "a host elsewhere");
    fuzz_check(service == NULL || (service > text && service < text + strlen(text)),
               "a service elsewhere");
    if (service == NULL)
        (void)snprintf(joined, sizeof(joined), "%s", host);
    else
        (void)snprintf(joined, sizeof(joined),
                       host != NULL && strpbrk(host, ":[") != NULL ? "[%s]:%s" : "%s:%s",
                       host != NULL ? host : "", service);
    fuzz_check(skua_proxy_address_split(joined, again_text, &again, &again_service) == 0,
               "what was split cannot be joined");
    fuzz_check((host == NULL) == (again == NULL) && (host == NULL || strcmp(host, again) == 0),
               "another host");
    fuzz_check((service == NULL) == (again_service == NULL) &&
                   (service == NULL || strcmp(service, again_service) == 0),
               "another service");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > FUZZ_INPUT_BYTES)
        return 0;
    check_header(data, size);
    char *text = fuzz_string(data, size);
    check_split(text);
    free(text);
    return 0;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

/* The first HEADERS are headers. */
#define HEADERS 8u
#define V2 "\r\n\r\n\0\r\nQUIT\n"
#define TEN "\0\0\0\0\0\0\0\0\0\0"
#define NINETY TEN TEN TEN TEN TEN TEN TEN TEN TEN

static const struct fuzz_seed seeds[] = {
    FUZZ_SEED("PROXY TCP4 192.0.2.1 198.51.100.2 12345 80\r\nGET"),
    FUZZ_SEED("PROXY TCP6 2001:db8::1 ::ffff:1.2.3.4 0 65535\r\n"),
    FUZZ_SEED("PROXY UNKNOWN\r\n"),
    FUZZ_SEED("PROXY UNKNOWN a b c\r\n"),
    FUZZ_SEED(V2 "\x21\x11\0\x0c\x7f\0\0\1\x7f\0\0\2\x30\x39\0\x50more"),
    FUZZ_SEED(V2 "\x21\x21\0\x28\x20\1\x0d\xb8" TEN "\0\1" TEN "\xff\xff\1\2\3\4\0\1\0\2"
                 "\4\0\1x"),
    FUZZ_SEED(V2 "\x20\0\0\0"),
    FUZZ_SEED(V2 "\x21\x31\0\xd8/run/a.sock" NINETY "\0\0\0\0\0\0\0\0abstract" NINETY TEN),
    FUZZ_SEED("PROXY TCP4 192.0.2.1 198.51.100.2 080 80\r\n"),
    FUZZ_SEED("PROXY TCP4 192.0.2.01 198.51.100.2 80 80\r\n"),
    FUZZ_SEED("a.example:http"),
    FUZZ_SEED("[a[b]:80"),
    FUZZ_SEED("[2001:db8::1]:80"),
    FUZZ_SEED("unix:/run/a.sock"),
};

static void check_seeds(void)
{
    for (size_t i = 0; i < HEADERS; i++) {
        struct verdict verdict = judge((const unsigned char *)seeds[i].data, seeds[i].size);
        fuzz_check(verdict.result > 0, "a good header is refused");
    }
}

static const char special[] = "\r\n\0 :.[]PROXYTCP46 0123456789abf\x20\x21\x11\x31\3\4";

const struct fuzz_subject fuzz_subject = {
    .name = "proxy_header_fuzz",
    .seeds = seeds,
    .seed_count = sizeof(seeds) / sizeof(seeds[0]),
    .special = special,
    .special_size = sizeof(special) - 1,
    .rounds = 20000,
    .check_seeds = check_seeds,
};
