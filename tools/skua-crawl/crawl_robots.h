/*
 * crawl_robots.h - robots.txt: what a site allows us.
 */
#ifndef SKUA_CRAWL_ROBOTS_H
#define SKUA_CRAWL_ROBOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct crawl_robots_rule {
    size_t begin; /* of the pattern, in the rules' patterns */
    size_t size;
    bool allow;
};

/* The rules for one agent. Zero allows everything. Not changed once it is read. */
struct crawl_robots {
    struct crawl_robots_rule *rules;
    size_t rule_count;
    char *patterns; /* percent-normalised, one behind the other */
    size_t pattern_bytes;
    uint64_t delay_ms; /* Crawl-delay; 0: none */
};

/*
 * Reads @size bytes of a robots.txt, any bytes at all, for the agent with the product token @agent
 * (letters, '-' and '_', up to a '/' or what else does not belong to it). Its group is the one with
 * the longest token that equals @agent, or is a beginning of it that ends before a '-', in any case
 * of letters; groups with the same token are one; '*' is for those that have none.
 *
 * Returns 0; -ENOMEM, and @robots is zero then.
 * Source: RFC 9309; Crawl-delay is not in it, but in use.
 */
int skua_crawl_robots_parse(struct crawl_robots *robots, const char *text, size_t size,
                            const char *agent);
void skua_crawl_robots_fini(struct crawl_robots *robots);

/*
 * Whether @path, path and query of a percent-normalised URL, may be fetched: the longest pattern
 * that matches decides, Allow if there are two; /robots.txt always may. Takes up to @size times the
 * bytes of all patterns; see skua_crawl_robots_cost().
 */
bool skua_crawl_robots_allow(const struct crawl_robots *robots, const char *path, size_t size);

/* The most steps skua_crawl_robots_allow() takes for a path of @size bytes. */
uint64_t skua_crawl_robots_cost(const struct crawl_robots *robots, size_t size);

#endif /* SKUA_CRAWL_ROBOTS_H */
