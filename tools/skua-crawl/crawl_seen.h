/*
 * crawl_seen.h - the URLs that were met, as 128-bit hashes: 16 bytes each, up to a limit.
 *
 * No locking: the caller's.
 */
#ifndef SKUA_CRAWL_SEEN_H
#define SKUA_CRAWL_SEEN_H

#include <stddef.h>
#include <stdint.h>

struct crawl_seen_key {
    uint64_t words[2]; /* the second is odd; 0: the slot is free */
};

/* Invariant: count <= 3/4 of capacity, a power of two; or slots == NULL and both are 0. */
struct crawl_seen {
    struct crawl_seen_key *slots;
    size_t capacity;
    size_t count;
    uint64_t count_max;
    uint64_t seed; /* so that nobody can make pages whose URLs collide */
};

void skua_crawl_seen_init(struct crawl_seen *seen, uint64_t count_max);
void skua_crawl_seen_fini(struct crawl_seen *seen);

/* Remembers @size bytes of @url. Returns 0 if it is new; -EEXIST; -ENOSPC at the limit; -ENOMEM. */
int skua_crawl_seen_add(struct crawl_seen *seen, const char *url, size_t size);

#endif /* SKUA_CRAWL_SEEN_H */
