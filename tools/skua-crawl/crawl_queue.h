/*
 * crawl_queue.h - URLs on their way to their hosts' lanes.
 */
#ifndef SKUA_CRAWL_QUEUE_H
#define SKUA_CRAWL_QUEUE_H

#include "crawl_state.h"

/*
 * Queues @url, unless it was met before or a limit is reached. A @listed one beyond the URLs that
 * can be remembered is queued nevertheless. Takes @url in every case, and @has_room with it: the
 * permit of crawl->room is given back when the page has been visited, or at once.
 */
void skua_crawl_submit(struct crawl *crawl, struct crawl_url *url, unsigned depth, bool listed,
                       bool has_room);

/* The reader, a task of the scope: the arguments, then the lines of the list. */
intptr_t skua_crawl_read_list(void *crawl);

#endif /* SKUA_CRAWL_QUEUE_H */
