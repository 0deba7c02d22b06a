/*
 * crawl_robots.c - see crawl_robots.h. Two passes: the first finds the longest token that is ours,
 * the second takes the rules of the groups that have it.
 */
#include "crawl_robots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crawl_text.h"

#define DELAY_MAX_MS 1000000000u /* more digits mean no more than that */
#define NO_GROUP (-1)

struct slice {
    const char *data;
    size_t size;
};

/* A line "name: value"; lines of other forms have no name. */
struct line {
    struct slice name;
    struct slice value;
};

struct lines {
    const char *at;
    const char *end;
};

/* ---- lines ----------------------------------------------------------------------------------- */

static struct slice trim(struct slice text)
{
    while (text.size > 0 && skua_crawl_is_space(text.data[text.size - 1]))
        text.size--;
    while (text.size > 0 && skua_crawl_is_space(text.data[0])) {
        text.data++;
        text.size--;
    }
    return text;
}

static struct lines lines_of(const char *text, size_t size)
{
    /* What some editors put first. */
    size_t mark = size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    return (struct lines){text + mark, text + size};
}

/* The next line; it ends with CR, LF or both, a comment is not in it. False: there is none. */
static bool next_line(struct lines *lines, struct line *line)
{
    const char *begin = lines->at;
    const char *content_end = NULL;
    const char *colon = NULL;
    const char *c = begin;
    if (begin == lines->end)
        return false;
    for (; c < lines->end && *c != '\n' && *c != '\r'; c++) {
        if (*c == '#' && content_end == NULL)
            content_end = c;
        if (*c == ':' && colon == NULL && content_end == NULL)
            colon = c;
    }
    if (content_end == NULL)
        content_end = c;
    lines->at = c < lines->end ? c + 1 : c;
    *line = (struct line){{"", 0}, {"", 0}};
    if (colon != NULL) {
        line->name = trim((struct slice){begin, (size_t)(colon - begin)});
        line->value = trim((struct slice){colon + 1, (size_t)(content_end - colon - 1)});
    }
    return true;
}

static bool is_named(const struct line *line, const char *name)
{
    return skua_crawl_same(line->name.data, line->name.size, name);
}

/* ---- groups ---------------------------------------------------------------------------------- */

static bool is_token(char c)
{
    c = skua_crawl_lower(c);
    return (c >= 'a' && c <= 'z') || c == '-' || c == '_';
}

/* How well a group's agent is ours: the size of its token, 0 for '*', NO_GROUP if not at all. */
static int rank_agent(struct slice value, const char *agent)
{
    size_t size = 0;
    if (value.size > 0 && value.data[0] == '*')
        return 0;
    while (size < value.size && is_token(value.data[size]))
        size++;
    if (size == 0)
        return NO_GROUP;
    for (size_t i = 0; i < size; i++) {
        if (skua_crawl_lower(value.data[i]) != skua_crawl_lower(agent[i]) || agent[i] == 0)
            return NO_GROUP;
    }
    return is_token(agent[size]) && agent[size] != '-' ? NO_GROUP : (int)size;
}

/* The rank of the groups that hold. */
static int best_rank(const char *text, size_t size, const char *agent)
{
    struct lines lines = lines_of(text, size);
    struct line line;
    int best = NO_GROUP;
    while (next_line(&lines, &line)) {
        int rank = is_named(&line, "user-agent") ? rank_agent(line.value, agent) : NO_GROUP;
        if (rank > best)
            best = rank;
    }
    return best;
}

/* ---- rules ----------------------------------------------------------------------------------- */

/* Twice as many elements when @count has reached a power of two. Returns NULL without memory. */
static void *grow(void *array, size_t count, size_t element)
{
    if (count != 0 && (count & (count - 1)) != 0)
        return array;
    return realloc(array, (count == 0 ? 1 : 2 * count) * element);
}

/* Room in @robots->patterns for the patterns of the whole text, so that it is made only once. */
static int add_rule(struct crawl_robots *robots, struct slice pattern, bool allow)
{
    /* An empty pattern matches nothing; one that does not begin with these can match no path. */
    if (pattern.size == 0 || (pattern.data[0] != '/' && pattern.data[0] != '*'))
        return 0;
    struct crawl_robots_rule *rules =
        grow(robots->rules, robots->rule_count, sizeof(*robots->rules));
    if (rules == NULL)
        return -ENOMEM;
    robots->rules = rules;
    char *out = robots->patterns + robots->pattern_bytes;
    rules[robots->rule_count++] = (struct crawl_robots_rule){
        .begin = robots->pattern_bytes,
        .size = skua_crawl_percent_normalize(out, pattern.data, pattern.size),
        .allow = allow,
    };
    robots->pattern_bytes += rules[robots->rule_count - 1].size;
    return 0;
}

/* "1.5" as 1500; 0 if it is no number. */
static uint64_t parse_delay_ms(struct slice value)
{
    uint64_t delay_ms = 0;
    uint64_t unit_ms = 1000;
    bool fraction = false;
    for (size_t i = 0; i < value.size; i++) {
        char c = value.data[i];
        if (c == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (c < '0' || c > '9')
            return 0;
        if (fraction)
            unit_ms /= 10;
        delay_ms = (fraction ? delay_ms : delay_ms * 10) + (uint64_t)(c - '0') * unit_ms;
        if (delay_ms > DELAY_MAX_MS)
            delay_ms = DELAY_MAX_MS;
    }
    return delay_ms;
}

static int add_line(struct crawl_robots *robots, const struct line *line)
{
    if (is_named(line, "allow"))
        return add_rule(robots, line->value, true);
    if (is_named(line, "disallow"))
        return add_rule(robots, line->value, false);
    uint64_t delay_ms = is_named(line, "crawl-delay") ? parse_delay_ms(line->value) : 0;
    if (delay_ms > robots->delay_ms)
        robots->delay_ms = delay_ms;
    return 0;
}

static bool is_rule(const struct line *line)
{
    return is_named(line, "allow") || is_named(line, "disallow") || is_named(line, "crawl-delay");
}

int skua_crawl_robots_parse(struct crawl_robots *robots, const char *text, size_t size,
                            const char *agent)
{
    struct lines lines = lines_of(text, size);
    struct line line;
    bool ours = false, in_agents = false;
    int rc = 0;
    *robots = (struct crawl_robots){0};
    int rank = best_rank(text, size, agent);
    if (rank == NO_GROUP)
        return 0;
    robots->patterns = malloc(3 * size);
    if (robots->patterns == NULL)
        return -ENOMEM;
    while (rc == 0 && next_line(&lines, &line)) {
        if (is_named(&line, "user-agent")) {
            ours = (in_agents && ours) || rank_agent(line.value, agent) == rank;
            in_agents = true;
        } else if (is_rule(&line)) {
            in_agents = false;
            rc = ours ? add_line(robots, &line) : 0;
        }
    }
    if (rc < 0)
        skua_crawl_robots_fini(robots);
    if (rc == 0 && robots->pattern_bytes > 0) {
        char *fit = realloc(robots->patterns, robots->pattern_bytes);
        robots->patterns = fit != NULL ? fit : robots->patterns;
    }
    return rc;
}

void skua_crawl_robots_fini(struct crawl_robots *robots)
{
    free(robots->rules);
    free(robots->patterns);
    *robots = (struct crawl_robots){0};
}

/* ---- matching -------------------------------------------------------------------------------- */

/*
 * Whether @pattern matches a beginning of @path, or with a '$' at its end all of it. Only the last
 * '*' is ever tried again: an earlier one that took more could not help.
 */
static bool matches(struct slice pattern, const char *path, size_t size)
{
    bool anchored = pattern.data[pattern.size - 1] == '$';
    size_t end = pattern.size - (anchored ? 1 : 0);
    size_t star = SIZE_MAX, retry = 0;
    size_t p = 0, s = 0;
    for (;;) {
        if (p == end && (!anchored || s == size))
            return true;
        if (p < end && pattern.data[p] == '*') {
            star = p++;
            retry = s;
        } else if (p < end && s < size && pattern.data[p] == path[s]) {
            p++;
            s++;
        } else if (star != SIZE_MAX && retry < size) {
            p = star + 1;
            s = ++retry;
        } else {
            return false;
        }
    }
}

bool skua_crawl_robots_allow(const struct crawl_robots *robots, const char *path, size_t size)
{
    size_t longest = 0;
    bool allow = true;
    if (size == sizeof("/robots.txt") - 1 && memcmp(path, "/robots.txt", size) == 0)
        return true;
    for (size_t i = 0; i < robots->rule_count; i++) {
        const struct crawl_robots_rule *rule = &robots->rules[i];
        struct slice pattern = {robots->patterns + rule->begin, rule->size};
        if (rule->size < longest || (rule->size == longest && !rule->allow))
            continue;
        if (!matches(pattern, path, size))
            continue;
        longest = rule->size;
        allow = rule->allow;
    }
    return allow;
}

uint64_t skua_crawl_robots_cost(const struct crawl_robots *robots, size_t size)
{
    return (uint64_t)robots->pattern_bytes * (size + 1);
}
