/*
 * address_fuzz.c - addresses: as text, as bytes of a kernel or peer, and as simulations name hosts.
 *
 * Beside what sanitizers see, it must hold that
 *   - what a text says is written and read again without a change, byte for byte, and into exactly
 *     as much room as its length and the zero;
 *   - any bytes that can be written as text are read again as an address of the same text;
 *   - on error nothing is changed;
 *   - a simulation takes the same texts for hosts, and its own names come back, too.
 */
#include "fuzz_kit.h"
#include "io/address.h"
#include "sim/network.h"

#include <errno.h>

static bool same(const skua_address *a, const skua_address *b)
{
    return a->size == b->size && memcmp(&a->storage, &b->storage, a->size) == 0;
}

/* Writes @address into memory of exactly the size that it needs. The caller frees the text. */
static char *write_exactly(const skua_address *address)
{
    char text[SKUA_ADDRESS_TEXT_SIZE];
    ssize_t length = skua_address_format(address, text, sizeof(text));
    fuzz_check(length < (ssize_t)sizeof(text), "a text is too long");
    if (length < 0)
        return NULL;
    fuzz_check(strlen(text) == (size_t)length, "a text of another length");
    char *exact = malloc((size_t)length + 1);
    fuzz_check(exact != NULL, "no memory");
    fuzz_check(skua_address_format(address, exact, (size_t)length) == -ENOSPC, "no room is enough");
    fuzz_check(skua_address_format(address, exact, (size_t)length + 1) == length &&
                   strcmp(text, exact) == 0,
               "enough room is not");
    return exact;
}

/* ---- text ------------------------------------------------------------------------------------ */

static void check_text(const char *text)
{
    skua_address address, again, untouched;
    memset(&address, 0x55, sizeof(address));
    untouched = address;
    int rc = skua_address_parse(text, &address);
    fuzz_check(rc == 0 || rc == -EINVAL || rc == -ENODEV, "another error");
    if (rc < 0) {
        fuzz_check(memcmp(&address, &untouched, sizeof(address)) == 0, "an error writes");
        return;
    }
    fuzz_check(skua_address_is_sized(&address), "a size out of bounds");
    char *written = write_exactly(&address);
    fuzz_check(written != NULL, "it cannot be written");
    fuzz_check(skua_address_parse(written, &again) == 0, "it cannot be read again");
    fuzz_check(same(&address, &again), "an address changes");
    free(written);
}

static void check_port(const char *text)
{
    char again[16];
    int port = skua_port_parse(text);
    fuzz_check(port == -EINVAL || (port >= 0 && port <= UINT16_MAX), "a port out of bounds");
    if (port < 0)
        return;
    (void)snprintf(again, sizeof(again), "%d", port);
    fuzz_check(strcmp(text, again) == 0, "two texts for a port");
}

/* Of a host, with its port, the same is read as of the two. */
static void check_host(const char *host)
{
    char text[FUZZ_INPUT_BYTES + 16];
    skua_address alone, both;
    if (skua_host_parse(host, 8080, &alone) < 0)
        return;
    fuzz_check(alone.any.sa_family == AF_INET || alone.any.sa_family == AF_INET6, "no such family");
    (void)snprintf(text, sizeof(text), alone.any.sa_family == AF_INET ? "%s:8080" : "[%s]:8080",
                   host);
    fuzz_check(skua_address_parse(text, &both) == 0 && same(&alone, &both),
               "a host is another with a port");
}

static void check_sim_host(const char *text)
{
    skua_address address;
    struct sim_host host;
    bool is_address = skua_address_parse(text, &address) == 0;
    fuzz_check((sim_host_parse(&host, text) == 0) == is_address, "a simulation has other hosts");
    if (is_address)
        fuzz_check(sim_host_matches(&host, &host.name), "a host is not itself");
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* A name of a simulation, written for a socket of its kind, is the same one. */
static void check_sim_name(const skua_address *address)
{
    struct sim_name name, again;
    skua_address written;
    int domain = address->any.sa_family;
    if (sim_name_read(&name, domain, &address->any, address->size) < 0)
        return;
    fuzz_check(name.size <= SIM_HOST_BYTES, "a name out of bounds");
    written.size = sizeof(written.storage);
    sim_name_write(&name, domain, &written.storage, &written.size);
    fuzz_check(written.size <= sizeof(written.storage), "a size out of bounds");
    fuzz_check(sim_name_read(&again, domain, &written.any, written.size) == 0 &&
                   sim_same_name(&name, &again),
               "a name changes");
    (void)sim_name_is_wildcard(&name);
    (void)sim_name_is_loopback(&name);
}

/* The first byte is a family, of those that mean something, and the rest is what follows it. */
static void check_bytes(const uint8_t *data, size_t size)
{
    static const sa_family_t families[] = {AF_INET, AF_INET6, AF_UNIX, AF_UNSPEC, AF_NETLINK};
    skua_address address, again;
    size_t rest = size - 1;
    if (rest > sizeof(address.storage) - sizeof(sa_family_t))
        rest = sizeof(address.storage) - sizeof(sa_family_t);
    memset(&address, 0xaa, sizeof(address)); /* what is behind the size means nothing */
    address.any.sa_family = families[data[0] % (sizeof(families) / sizeof(families[0]))];
    memcpy(address.any.sa_data, data + 1, rest);
    address.size = (socklen_t)(sizeof(sa_family_t) + rest);
    char *text = write_exactly(&address);
    if (text != NULL) {
        fuzz_check(skua_address_parse(text, &again) == 0, "what was written cannot be read");
        char *twice = write_exactly(&again);
        fuzz_check(twice != NULL && strcmp(text, twice) == 0, "two texts for an address");
        free(twice);
        free(text);
    }
    int family = address.any.sa_family;
    if (family == AF_INET || family == AF_INET6 || family == AF_UNIX)
        check_sim_name(&address);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > FUZZ_INPUT_BYTES)
        return 0;
    char *text = fuzz_string(data, size);
    check_text(text);
    check_port(text);
    check_host(text);
    check_sim_host(text);
    free(text);
    check_bytes(data, size);
    return 0;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

/* The first TEXTS are addresses. */
#define TEXTS 9u
#define NAME_27 "abcdefghijklmnopqrstuvwxyz-"

static const struct fuzz_seed seeds[] = {
    FUZZ_SEED("127.0.0.1:80"),
    FUZZ_SEED("[::1]:65535"),
    FUZZ_SEED("[2001:db8::ffff:192.0.2.1]:0"),
    FUZZ_SEED("[fe80::1%1]:443"),
    FUZZ_SEED(":8080"),
    FUZZ_SEED("unix:/run/a.sock"),
    FUZZ_SEED("unix:@abstract"),
    FUZZ_SEED("unix:"),
    FUZZ_SEED("[::ffff:1.2.3.4]:5"),
    FUZZ_SEED("255.255.255.255"),
    FUZZ_SEED("fe80::1%4294967295"),
    FUZZ_SEED("65535"),
    FUZZ_SEED("\0\x00\x50\x7f\0\0\1\0\0\0\0\0\0\0\0"),
    FUZZ_SEED("\1\x00\x50\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\2"),
    FUZZ_SEED("\2/run/a.sock\0"),
    FUZZ_SEED("\2\0abstract"),
    /* Longer than what can be read. */
    FUZZ_SEED("\2\0" NAME_27 NAME_27 NAME_27 NAME_27),
};

static void check_seeds(void)
{
    skua_address address;
    for (size_t i = 0; i < TEXTS; i++)
        fuzz_check(skua_address_parse(seeds[i].data, &address) == 0, "a good address is refused");
}

static const char special[] = ":[]%.@/\0\1\2 0123456789abcdefux";

const struct fuzz_subject fuzz_subject = {
    .name = "address_fuzz",
    .seeds = seeds,
    .seed_count = sizeof(seeds) / sizeof(seeds[0]),
    .special = special,
    .special_size = sizeof(special) - 1,
    .rounds = 100000,
    .check_seeds = check_seeds,
};
