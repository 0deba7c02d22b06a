/*
 * crawl_parse_fuzz.c - what skua-crawl reads from strangers: HTML, robots.txt, references.
 *
 * One input is read as each of them. Beside what sanitizers see, it must hold that
 *   - a link is not empty, not too long, without fragment, line ends and zeros, and ends with one;
 *   - the base is told once, and before the links; text before a page changes nothing;
 *   - a percent-normalised text is printable ASCII, no more than three times as long, and does not
 *     change when it is normalised again;
 *   - patterns match what a plain definition of them says they match.
 */
#include "../../tools/skua-crawl/crawl_html.h"
#include "../../tools/skua-crawl/crawl_robots.h"
#include "../../tools/skua-crawl/crawl_text.h"
#include "fuzz_kit.h"

#define PATTERN_BYTES 24u /* of those that the plain definition is asked about */
#define PATH_BYTES 40u

/* ---- HTML ------------------------------------------------------------------------------------ */

struct found {
    size_t links;
    size_t bases;
    uint64_t hash; /* of all that was told, in order */
};

static void add(struct found *found, const char *reference, size_t size)
{
    fuzz_check(size > 0 && size <= CRAWL_REFERENCE_MAX, "a reference of the wrong size");
    fuzz_check(reference[size] == 0 && strlen(reference) == size, "a reference without its end");
    fuzz_check(strpbrk(reference, "#\t\r\n") == NULL, "a reference with what should be gone");
    for (size_t i = 0; i <= size; i++)
        found->hash = (found->hash ^ (unsigned char)reference[i]) * UINT64_C(1099511628211);
}

static void on_base(void *arg, const char *reference, size_t size)
{
    struct found *found = arg;
    fuzz_check(found->bases == 0 && found->links == 0, "a base too late");
    found->bases++;
    add(found, reference, size);
}

static void on_link(void *arg, const char *reference, size_t size)
{
    struct found *found = arg;
    found->links++;
    add(found, reference, size);
}

static struct found look_through(const char *html, size_t size)
{
    struct found found = {0};
    const struct crawl_html_calls calls = {on_base, on_link, &found};
    size_t count = skua_crawl_html_links(html, size, &calls);
    fuzz_check(count == found.links, "another number of links");
    return found;
}

static void check_html(const char *data, size_t size)
{
    static char moved[FUZZ_INPUT_BYTES * 2 + 2];
    struct found plain = look_through(data, size);
    if (size > FUZZ_INPUT_BYTES * 2)
        return;
    memcpy(moved, "x ", 2);
    memcpy(moved + 2, data, size);
    struct found same = look_through(moved, size + 2);
    fuzz_check(same.hash == plain.hash && same.links == plain.links,
               "text before changes the links");
}

/* ---- percent-encoding ------------------------------------------------------------------------ */

static void check_percent(const char *data, size_t size)
{
    char *once = malloc(3 * size + 1);
    char *twice = malloc(9 * size + 1);
    fuzz_check(once != NULL && twice != NULL, "no memory");
    size_t used = skua_crawl_percent_normalize(once, data, size);
    fuzz_check(used <= 3 * size, "too long");
    for (size_t i = 0; i < used; i++)
        fuzz_check(once[i] > ' ' && once[i] < 0x7f, "not printable");
    fuzz_check(skua_crawl_percent_normalize(twice, once, used) == used, "another length");
    fuzz_check(used == 0 || memcmp(once, twice, used) == 0, "not the one spelling");
    free(once);
    free(twice);
}

/* ---- robots.txt ------------------------------------------------------------------------------ */

/* rest[p][s]: whether the pattern from p on matches the path from s on. */
static bool matches(const char *pattern, const char *path)
{
    static bool rest[3 * PATTERN_BYTES + 2][3 * PATH_BYTES + 3];
    size_t pattern_size = strlen(pattern), path_size = strlen(path);
    for (size_t p = pattern_size + 1; p-- > 0;) {
        for (size_t s = path_size + 1; s-- > 0;) {
            bool at_end = s == path_size;
            if (p == pattern_size)
                rest[p][s] = true;
            else if (pattern[p] == '$' && p + 1 == pattern_size)
                rest[p][s] = at_end;
            else if (pattern[p] == '*')
                rest[p][s] = rest[p + 1][s] || (!at_end && rest[p][s + 1]);
            else
                rest[p][s] = !at_end && pattern[p] == path[s] && rest[p + 1][s + 1];
        }
    }
    return rest[0][0];
}

/* The input's beginning as a pattern, its end as a path. */
static void check_pattern(const char *data, size_t size)
{
    char text[64 + PATTERN_BYTES];
    char pattern[3 * PATTERN_BYTES + 2];
    char path[3 * PATH_BYTES + 2] = "/";
    struct crawl_robots robots;
    size_t pattern_size = size < PATTERN_BYTES ? size : PATTERN_BYTES;
    size_t path_size = size < PATH_BYTES ? size : PATH_BYTES;
    /* What a line cannot hold as it is would be another pattern. */
    for (size_t i = 0; i < pattern_size; i++) {
        if (skua_crawl_is_space(data[i]) || data[i] == '#')
            pattern_size = i;
    }
    size_t used = (size_t)snprintf(text, sizeof(text), "User-agent: *\nDisallow: /");
    memcpy(text + used, data, pattern_size);
    fuzz_check(skua_crawl_robots_parse(&robots, text, used + pattern_size, "a") == 0, "no memory");
    pattern[0] = '/';
    pattern[1 + skua_crawl_percent_normalize(pattern + 1, data, pattern_size)] = 0;
    used = 1 + skua_crawl_percent_normalize(path + 1, data + size - path_size, path_size);
    path[used] = 0;
    fuzz_check(skua_crawl_robots_allow(&robots, path, used) != matches(pattern, path),
               "a pattern matches something else");
    skua_crawl_robots_fini(&robots);
}

static void check_robots(const char *data, size_t size)
{
    struct crawl_robots robots;
    fuzz_check(skua_crawl_robots_parse(&robots, data, size, "skua-crawl") == 0, "no memory");
    fuzz_check(robots.delay_ms <= 1000000000u, "a delay without end");
    size_t bytes = 0;
    for (size_t i = 0; i < robots.rule_count; i++) {
        fuzz_check(robots.rules[i].begin == bytes && robots.rules[i].size > 0,
                   "a rule out of place");
        bytes += robots.rules[i].size;
    }
    fuzz_check(bytes == robots.pattern_bytes, "patterns of nobody");
    (void)skua_crawl_robots_allow(&robots, "/a/b?c=d", 8);
    fuzz_check(skua_crawl_robots_allow(&robots, "/robots.txt", 11), "robots.txt is always allowed");
    skua_crawl_robots_fini(&robots);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

static void check_json(const char *data, size_t size)
{
    struct crawl_text text = {0};
    char *string = malloc(size + 1);
    fuzz_check(string != NULL, "no memory");
    if (size > 0)
        memcpy(string, data, size);
    string[size] = 0;
    skua_crawl_text_json(&text, string);
    fuzz_check(!text.failed && text.size >= 2 && text.data[text.size - 1] == '"', "half a string");
    fuzz_check(skua_crawl_is_utf8(text.data), "not UTF-8");
    for (size_t i = 0; i < text.size; i++)
        fuzz_check((unsigned char)text.data[i] >= ' ' && text.data[i] != 0x7f,
                   "a control character");
    skua_crawl_text_fini(&text);
    free(string);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* Not in the caller's memory and no larger than it is, so that a byte too far is seen. */
    char *copy = calloc(1, size > 0 ? size : 1);
    fuzz_check(copy != NULL, "no memory");
    if (size > 0)
        memcpy(copy, data, size);
    check_html(copy, size);
    check_percent(copy, size);
    check_robots(copy, size);
    check_pattern(copy, size);
    check_json(copy, size);
    free(copy);
    return 0;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

#define PAGES 5u /* the first seeds are pages with one link each */

static const struct fuzz_seed seeds[] = {
    FUZZ_SEED("<a href=b>"),
    FUZZ_SEED("<!-- <a href=no> --><base href='/x/'><A class=c HREF = \"b&amp;c&#x41;&#66;#d\" >"),
    FUZZ_SEED("<script>if (a<b) '<a href=no>'</script></p><area alt=\"<a href=no>\" href=b>"),
    FUZZ_SEED("<meta name=robots content=index><frame src='a'><a rel=nofollow href=no>"),
    FUZZ_SEED(
        "<title><a href=no></title><!DOCTYPE x><?x?><link rel=next href=\n\"b\"><a href=\"no"),
    FUZZ_SEED("<meta name=robots content='noindex,nofollow'><a href=no>"),
    FUZZ_SEED("User-agent: *\nDisallow: /a*b$\nAllow: /a%2fb\n\nUser-agent: "
              "Skua-Crawl\nCrawl-delay: 1.5\n"),
    FUZZ_SEED("\xef\xbb\xbfuser-agent: skua # x\r\nuser-agent: b\rdisallow: "
              "/*?\nDisallow:\nSitemap: x\n"),
    FUZZ_SEED("**a*b**$/x%41%zz%2e%\xc3\xa4 $*"),
};

static void check_seeds(void)
{
    for (size_t i = 0; i < PAGES; i++)
        fuzz_check(look_through(seeds[i].data, seeds[i].size).links == 1,
                   "a page without its link");
}

static const char special[] = "<>\"'=/!-? \n\r\t&#;%*$:\0aA/";

const struct fuzz_subject fuzz_subject = {
    .name = "crawl_parse_fuzz",
    .seeds = seeds,
    .seed_count = sizeof(seeds) / sizeof(seeds[0]),
    .special = special,
    .special_size = sizeof(special) - 1,
    .rounds = 20000,
    .check_seeds = check_seeds,
};
