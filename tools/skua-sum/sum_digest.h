/*
 * sum_digest.h - the algorithms: OpenSSL's SHA-2 and BLAKE2b, and the xxHash family.
 *
 * A struct sum_digest is made once, before the runtime starts, and then only read: any task may use
 * it. A struct sum_hash belongs to one file at a time.
 */
#ifndef SKUA_SUM_DIGEST_H
#define SKUA_SUM_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#define SUM_DIGEST_SIZE_MAX 64u

enum sum_algorithm {
    SUM_SHA256 = 0,
    SUM_SHA512,
    SUM_BLAKE2B,
    SUM_XXH64,
    SUM_XXH128,
    SUM_XXH3,
    SUM_ALGORITHM_COUNT
};

struct evp_md_st;

struct sum_digest {
    enum sum_algorithm algorithm;
    size_t size;          /* bytes of a digest unless a line being checked says otherwise */
    size_t size_max;      /* bytes of the longest digest of this algorithm */
    const char *tag;      /* the name in a tagged line */
    bool xxhash;          /* output is xxhsum's: nothing is escaped, stdin is "stdin" */
    bool always_tagged;   /* xxhsum shows XXH3 in no other form */
    bool resizable;       /* OpenSSL can make BLAKE2b of other lengths */
    struct evp_md_st *md; /* fetched once: a fetch for every file costs more than a small file */
};

/* State of one running hash, allocated at its first use and then reused. */
struct sum_hash {
    void *state;
};

/* Returns the algorithm called @name, SUM_ALGORITHM_COUNT if there is none. */
enum sum_algorithm skua_sum_algorithm_find(const char *name);

/*
 * Prepares @algorithm with digests of @bits (0: the usual length).
 * Returns 0; -ENOTSUP if this OpenSSL cannot (no such algorithm, or not of that length).
 */
int skua_sum_digest_init(struct sum_digest *digest, enum sum_algorithm algorithm, unsigned bits);
void skua_sum_digest_fini(struct sum_digest *digest);

/* Starts a hash whose digest has @size bytes. Returns 0; -ENOMEM; -ENOTSUP. */
int skua_sum_hash_begin(const struct sum_digest *digest, struct sum_hash *hash, size_t size);
/* Returns 0; -EIO if the library failed. */
int skua_sum_hash_update(const struct sum_digest *digest, struct sum_hash *hash, const void *bytes,
                         size_t size);
/* Stores the digest, SUM_DIGEST_SIZE_MAX bytes at most. Returns 0; -EIO. */
int skua_sum_hash_end(const struct sum_digest *digest, struct sum_hash *hash, unsigned char *out);
void skua_sum_hash_fini(const struct sum_digest *digest, struct sum_hash *hash);

#endif /* SKUA_SUM_DIGEST_H */
