/*
 * sum_digest.c - one face for OpenSSL's EVP digests and libxxhash.
 *
 * Called by sum_main.c (once) and by the lanes (for every block). Contexts are never shared between
 * tasks; the fetched EVP_MD is, and is constant.
 */
#include "sum_digest.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <xxhash.h>

static const struct {
    const char *name;
    const char *tag;
    const char *evp; /* NULL: xxHash */
    size_t size;
} algorithms[SUM_ALGORITHM_COUNT] = {
    [SUM_SHA256] = {"sha256", "SHA256", "SHA256", 32},
    [SUM_SHA512] = {"sha512", "SHA512", "SHA512", 64},
    [SUM_BLAKE2B] = {"blake2b", "BLAKE2b", "BLAKE2B-512", 64},
    [SUM_XXH64] = {"xxh64", "XXH64", NULL, 8},
    [SUM_XXH128] = {"xxh128", "XXH128", NULL, 16},
    [SUM_XXH3] = {"xxh3", "XXH3", NULL, 8},
};

enum sum_algorithm skua_sum_algorithm_find(const char *name)
{
    for (unsigned i = 0; i < SUM_ALGORITHM_COUNT; i++)
        if (!strcmp(name, algorithms[i].name))
            return (enum sum_algorithm)i;
    return SUM_ALGORITHM_COUNT;
}

/* True if contexts of @md take the digest's size as a parameter (BLAKE2b since OpenSSL 3.2). */
static bool has_size_parameter(const EVP_MD *md)
{
    const OSSL_PARAM *params = EVP_MD_settable_ctx_params(md);

    return params && OSSL_PARAM_locate_const(params, OSSL_DIGEST_PARAM_SIZE);
}

int skua_sum_digest_init(struct sum_digest *digest, enum sum_algorithm algorithm, unsigned bits)
{
    size_t size = algorithms[algorithm].size;

    assert(algorithm < SUM_ALGORITHM_COUNT && bits % 8 == 0);
    *digest = (struct sum_digest){
        .algorithm = algorithm,
        .size = bits ? bits / 8 : size,
        .size_max = size,
        .tag = algorithms[algorithm].tag,
        .xxhash = !algorithms[algorithm].evp,
        .always_tagged = algorithm == SUM_XXH3,
    };
    if (digest->xxhash)
        return 0;
    digest->md = EVP_MD_fetch(NULL, algorithms[algorithm].evp, NULL);
    if (!digest->md)
        return -ENOTSUP;
    digest->resizable = algorithm == SUM_BLAKE2B && has_size_parameter(digest->md);
    if (digest->size != size && !digest->resizable) {
        skua_sum_digest_fini(digest);
        return -ENOTSUP;
    }
    return 0;
}

void skua_sum_digest_fini(struct sum_digest *digest)
{
    EVP_MD_free(digest->md);
    digest->md = NULL;
}

static int evp_begin(const struct sum_digest *digest, struct sum_hash *hash, size_t size)
{
    OSSL_PARAM params[2] = {OSSL_PARAM_construct_size_t(OSSL_DIGEST_PARAM_SIZE, &size),
                            OSSL_PARAM_construct_end()};

    if (size != digest->size_max && !digest->resizable)
        return -ENOTSUP;
    if (!hash->state)
        hash->state = EVP_MD_CTX_new();
    if (!hash->state)
        return -ENOMEM;
    if (!EVP_DigestInit_ex2(hash->state, digest->md, digest->resizable ? params : NULL))
        return -ENOMEM;
    return 0;
}

int skua_sum_hash_begin(const struct sum_digest *digest, struct sum_hash *hash, size_t size)
{
    switch (digest->algorithm) {
    case SUM_XXH64:
        if (!hash->state)
            hash->state = XXH64_createState();
        return hash->state && XXH64_reset(hash->state, 0) == XXH_OK ? 0 : -ENOMEM;
    case SUM_XXH128:
    case SUM_XXH3:
        if (!hash->state)
            hash->state = XXH3_createState();
        if (!hash->state)
            return -ENOMEM;
        if (digest->algorithm == SUM_XXH3)
            return XXH3_64bits_reset(hash->state) == XXH_OK ? 0 : -EIO;
        return XXH3_128bits_reset(hash->state) == XXH_OK ? 0 : -EIO;
    default:
        return evp_begin(digest, hash, size);
    }
}

int skua_sum_hash_update(const struct sum_digest *digest, struct sum_hash *hash, const void *bytes,
                         size_t size)
{
    assert(hash->state);
    switch (digest->algorithm) {
    case SUM_XXH64:
        return XXH64_update(hash->state, bytes, size) == XXH_OK ? 0 : -EIO;
    case SUM_XXH128:
        return XXH3_128bits_update(hash->state, bytes, size) == XXH_OK ? 0 : -EIO;
    case SUM_XXH3:
        return XXH3_64bits_update(hash->state, bytes, size) == XXH_OK ? 0 : -EIO;
    default:
        return EVP_DigestUpdate(hash->state, bytes, size) ? 0 : -EIO;
    }
}

int skua_sum_hash_end(const struct sum_digest *digest, struct sum_hash *hash, unsigned char *out)
{
    XXH64_canonical_t canonical64;
    XXH128_canonical_t canonical128;

    assert(hash->state);
    switch (digest->algorithm) {
    case SUM_XXH64:
        XXH64_canonicalFromHash(&canonical64, XXH64_digest(hash->state));
        memcpy(out, canonical64.digest, sizeof(canonical64.digest));
        return 0;
    case SUM_XXH128:
        XXH128_canonicalFromHash(&canonical128, XXH3_128bits_digest(hash->state));
        memcpy(out, canonical128.digest, sizeof(canonical128.digest));
        return 0;
    case SUM_XXH3:
        XXH64_canonicalFromHash(&canonical64, XXH3_64bits_digest(hash->state));
        memcpy(out, canonical64.digest, sizeof(canonical64.digest));
        return 0;
    default:
        return EVP_DigestFinal_ex(hash->state, out, NULL) ? 0 : -EIO;
    }
}

void skua_sum_hash_fini(const struct sum_digest *digest, struct sum_hash *hash)
{
    if (digest->algorithm == SUM_XXH64)
        XXH64_freeState(hash->state);
    else if (digest->xxhash)
        XXH3_freeState(hash->state);
    else
        EVP_MD_CTX_free(hash->state);
    hash->state = NULL;
}
