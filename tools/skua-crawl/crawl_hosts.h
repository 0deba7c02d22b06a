/*
 * crawl_hosts.h - the table of hosts, by origin (scheme, name and port).
 */
#ifndef SKUA_CRAWL_HOSTS_H
#define SKUA_CRAWL_HOSTS_H

#include "crawl_state.h"

/*
 * The host with @origin, made if there is none. With the run's lock held. When there are many, one
 * that has nothing to do and may be asked again is forgotten.
 * Returns a reference; NULL without memory.
 */
struct crawl_host *skua_crawl_host_get(struct crawl *crawl, const char *origin);

/* Gives a reference back. Takes the run's lock. */
void skua_crawl_host_unref(struct crawl *crawl, struct crawl_host *host);

/* At the end, with the pages that were not visited. */
void skua_crawl_hosts_fini(struct crawl *crawl);

void skua_crawl_page_free(struct crawl_page *page);

#endif /* SKUA_CRAWL_HOSTS_H */
