/*
 * crawl_url_fuzz.c - references that skua-crawl finds in pages, and URLs of its command line.
 *
 * Beside what sanitizers see, it must hold that
 *   - a URL is http's or https's, has a path and no fragment, and no blanks or control characters;
 *   - it is read again as itself: what was seen is known, however it was spelled;
 *   - a page's reference has neither user nor password, and "/robots.txt" stays at its origin.
 */
#include "../../tools/skua-crawl/crawl.h"
#include "../../tools/skua-crawl/crawl_text.h"
#include "../../tools/skua-crawl/crawl_url.h"
#include "fuzz_kit.h"

#include <errno.h>

static const char base[] = "http://user:pass@a.example:8080/b/c?d=e";

static void check_parts(const struct crawl_url *url)
{
    fuzz_check(strlen(url->text) == url->size && url->size <= CRAWL_URL_MAX, "another size");
    fuzz_check(url->path_begin < url->size && url->text[url->path_begin] == '/', "no path");
    fuzz_check(strncmp(url->text, "http://", 7) == 0 || strncmp(url->text, "https://", 8) == 0,
               "another scheme");
    for (size_t i = 0; i < url->size; i++) {
        unsigned char c = (unsigned char)url->text[i];
        fuzz_check(c > ' ' && c != 0x7f && c != '#', "what should be encoded");
        fuzz_check(i < url->path_begin || c < 0x7f, "a path that is not ASCII");
    }
    const char *host = strstr(url->origin, "://");
    const char *port = strrchr(url->origin, ':');
    fuzz_check(host != NULL && port > host && port[1] != '\0', "an origin without its port");
    fuzz_check(strncmp(host + 3, url->site, strcspn(url->site, ":[")) == 0, "another site");
}

static bool check_reference(const char *reference, const char *from)
{
    struct crawl_url url, again, robots;
    int rc = skua_crawl_url_parse(&url, reference, from);
    fuzz_check(rc == 0 || rc == -EINVAL || rc == -EPROTONOSUPPORT || rc == -ENAMETOOLONG,
               "another error");
    if (rc < 0) {
        fuzz_check(url.text == NULL && url.origin == NULL && url.site == NULL, "an error leaves");
        return false;
    }
    check_parts(&url);
    fuzz_check(from == NULL || memchr(url.text, '@', url.path_begin) == NULL, "a user of a page's");
    fuzz_check(skua_crawl_url_parse(&again, url.text, NULL) == 0, "it cannot be read again");
    fuzz_check(strcmp(url.text, again.text) == 0, "a URL changes");
    fuzz_check(strcmp(url.origin, again.origin) == 0 && skua_crawl_url_same_site(&url, &again),
               "a host changes");
    fuzz_check(skua_crawl_url_parse(&robots, "/robots.txt", url.text) == 0, "no robots.txt");
    fuzz_check(strcmp(url.origin, robots.origin) == 0 &&
                   strcmp(robots.text + robots.path_begin, "/robots.txt") == 0,
               "robots.txt of another host");
    skua_crawl_url_fini(&robots);
    skua_crawl_url_fini(&again);
    skua_crawl_url_fini(&url);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_INPUT_BYTES)
        return 0;
    char *text = fuzz_string(data, size);
    (void)check_reference(text, NULL);
    (void)check_reference(text, base);
    free(text);
    return 0;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

/* The first URLS are good without a base. */
#define URLS 5u

static const struct fuzz_seed seeds[] = {
    FUZZ_SEED("http://A.example:80/b/../c%7e?d#e"),
    FUZZ_SEED("https://u:p@[::1]:443/"),
    FUZZ_SEED("a.example./x y"),
    FUZZ_SEED("HTTPS://\xc3\xa4.example?q=/"),
    FUZZ_SEED("http://0x7f.1/%2e%2E/%zz"),
    FUZZ_SEED("../a/./b//c;d?e=f&g"),
    FUZZ_SEED("//b.example:8080/"),
    FUZZ_SEED("?q#f"),
    FUZZ_SEED("mailto:a@b"),
    FUZZ_SEED("http:/a\\b"),
    FUZZ_SEED("http://a../"),
    FUZZ_SEED("http://1./"),
};

static void check_seeds(void)
{
    /* Its dots would go one by one, each time that it is read. */
    fuzz_check(!check_reference("http://a../", NULL) && !check_reference("//.", base),
               "a host of dots is taken");
    for (size_t i = 0; i < URLS; i++)
        fuzz_check(check_reference(seeds[i].data, NULL), "a good URL is refused");
}

static const char special[] = ":/?#[]@%.\\ \t\n\0aA0123456789;&=+*~\x7f\xc3\xa4";

const struct fuzz_subject fuzz_subject = {
    .name = "crawl_url_fuzz",
    .seeds = seeds,
    .seed_count = sizeof(seeds) / sizeof(seeds[0]),
    .special = special,
    .special_size = sizeof(special) - 1,
    .rounds = 20000,
    .check_seeds = check_seeds,
};
