/*
 * crawl_visit.h - one page: fetched, redirects followed, looked through, told.
 */
#ifndef SKUA_CRAWL_VISIT_H
#define SKUA_CRAWL_VISIT_H

#include "crawl_state.h"

/* Visits @page, which stays the caller's. What was not begun when the run stops is not told. */
void skua_crawl_visit(struct crawl *crawl, const struct crawl_page *page);

/* Puts out the line of a URL that cannot be visited at all. */
void skua_crawl_reject(struct crawl *crawl, const char *url, const char *error);

#endif /* SKUA_CRAWL_VISIT_H */
