/*
 * crawl_rules.h - the robots.txt of hosts: fetched once, kept, asked.
 */
#ifndef SKUA_CRAWL_RULES_H
#define SKUA_CRAWL_RULES_H

#include "crawl_state.h"

/*
 * Whether @url, of @host, may be fetched. The first to ask for a host fetches its robots.txt, the
 * others wait for it. One that is not there (4xx) forbids nothing; one that cannot be had (5xx, no
 * answer) everything, for a while.
 *
 * Returns: 0; with the text in @error, of @error_size bytes: -EACCES (forbidden), -EHOSTUNREACH,
 *   -ECANCELED, -ENOMEM.
 * Source: RFC 9309, 2.3.1.
 */
int skua_crawl_rules_check(struct crawl *crawl, struct crawl_host *host,
                           const struct crawl_url *url, char *error, size_t error_size);

#endif /* SKUA_CRAWL_RULES_H */
