/*
 * crawl_seen.c - see crawl_seen.h. A table with open addressing. Two URLs with one hash would be
 * taken for one: with a million URLs the odds are below 10^-26.
 */
#include "crawl_seen.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

#define CAPACITY_MIN 1024u

void skua_crawl_seen_init(struct crawl_seen *seen, uint64_t count_max)
{
    *seen = (struct crawl_seen){.count_max = count_max, .seed = 0x9e3779b97f4a7c15u};
    (void)!getrandom(&seen->seed, sizeof(seen->seed), GRND_NONBLOCK);
}

void skua_crawl_seen_fini(struct crawl_seen *seen)
{
    free(seen->slots);
    seen->slots = NULL;
    seen->capacity = seen->count = 0;
}

/* The finalizer of MurmurHash3: every bit of @x changes every bit of the result. */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdu;
    x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53u;
    return x ^ (x >> 33);
}

static struct crawl_seen_key key_of(const struct crawl_seen *seen, const char *url, size_t size)
{
    uint64_t a = seen->seed, b = mix(seen->seed ^ size);
    for (size_t i = 0; i < size; i++) {
        a = mix(a ^ (unsigned char)url[i]);
        b = mix(b + 0x9e3779b97f4a7c15u + (unsigned char)url[i]);
    }
    return (struct crawl_seen_key){{a, b | 1}};
}

/* The slot of @key, or the free one where it belongs. */
static struct crawl_seen_key *find(const struct crawl_seen *seen, const struct crawl_seen_key *key)
{
    for (size_t i = (size_t)key->words[0];; i++) {
        struct crawl_seen_key *slot = &seen->slots[i & (seen->capacity - 1)];
        if (slot->words[1] == 0 ||
            (slot->words[0] == key->words[0] && slot->words[1] == key->words[1]))
            return slot;
    }
}

static int grow(struct crawl_seen *seen)
{
    struct crawl_seen bigger = *seen;
    bigger.capacity = seen->capacity > 0 ? 2 * seen->capacity : CAPACITY_MIN;
    bigger.slots = calloc(bigger.capacity, sizeof(*bigger.slots));
    if (bigger.slots == NULL)
        return -ENOMEM;
    for (size_t i = 0; i < seen->capacity; i++) {
        if (seen->slots[i].words[1] != 0)
            *find(&bigger, &seen->slots[i]) = seen->slots[i];
    }
    free(seen->slots);
    *seen = bigger;
    return 0;
}

int skua_crawl_seen_add(struct crawl_seen *seen, const char *url, size_t size)
{
    struct crawl_seen_key key = key_of(seen, url, size);
    if (seen->capacity > 0 && find(seen, &key)->words[1] != 0)
        return -EEXIST;
    if (seen->count >= seen->count_max)
        return -ENOSPC;
    int rc = seen->count >= seen->capacity / 4 * 3 ? grow(seen) : 0;
    if (rc < 0)
        return rc;
    *find(seen, &key) = key;
    seen->count++;
    return 0;
}
