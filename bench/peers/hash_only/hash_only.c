/*
 * bench/peers/hash_only/hash_only.c - what the hash alone needs: the floor under sum_bench.py.
 *
 * Usage: hash_only ALGORITHM THREADS FILE_WITH_SIZES
 *
 * Computes a digest of each of the sizes (one decimal number on each line) from memory, on THREADS
 * threads that take the next one in turn, with OpenSSL: no file is opened or read. Each thread
 * hashes the same buffer of its own, in pieces that stay in its cache. Prints the seconds it took,
 * the bytes, and a sum over all digests, which must be the same each time.
 */
#include <openssl/evp.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PIECE_BYTES ((size_t)128 << 10)
#define THREADS_MAX 64

static const EVP_MD *digest; /* constant after start */
static size_t *sizes;        /* constant after start */
static size_t count;         /* constant after start */
static atomic_size_t next_size;
static atomic_uint_fast64_t digest_sum;

static void fail(const char *what)
{
    fprintf(stderr, "hash_only: %s\n", what);
    exit(1);
}

static void hash_one(EVP_MD_CTX *context, const unsigned char *piece, size_t size)
{
    unsigned char value[EVP_MAX_MD_SIZE];
    uint64_t head;
    if (EVP_DigestInit_ex(context, digest, NULL) != 1)
        fail("EVP_DigestInit_ex");
    while (size > 0) {
        size_t bytes = size < PIECE_BYTES ? size : PIECE_BYTES;
        if (EVP_DigestUpdate(context, piece, bytes) != 1)
            fail("EVP_DigestUpdate");
        size -= bytes;
    }
    if (EVP_DigestFinal_ex(context, value, NULL) != 1)
        fail("EVP_DigestFinal_ex");
    memcpy(&head, value, sizeof(head));
    /* relaxed: a sum, read after the threads were joined */
    atomic_fetch_add_explicit(&digest_sum, head, memory_order_relaxed);
}

static void *hash_some(void *arg)
{
    unsigned char *piece = malloc(PIECE_BYTES);
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t index;
    (void)arg;
    if (piece == NULL || context == NULL)
        fail("no memory");
    for (size_t i = 0; i < PIECE_BYTES; i++)
        piece[i] = (unsigned char)(i * 31 + 7);
    /* relaxed: a ticket; the sizes were there before the threads */
    while ((index = atomic_fetch_add_explicit(&next_size, 1, memory_order_relaxed)) < count)
        hash_one(context, piece, sizes[index]);
    EVP_MD_CTX_free(context);
    free(piece);
    return NULL;
}

static size_t read_sizes(const char *path)
{
    size_t capacity = 0;
    size_t total = 0;
    size_t size;
    FILE *file = fopen(path, "r");
    if (file == NULL)
        fail("the file of sizes cannot be read");
    while (fscanf(file, "%zu", &size) == 1) {
        if (count == capacity) {
            capacity = capacity == 0 ? 1024 : 2 * capacity;
            sizes = realloc(sizes, capacity * sizeof(*sizes));
            if (sizes == NULL)
                fail("no memory");
        }
        sizes[count++] = size;
        total += size;
    }
    fclose(file);
    return total;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS_MAX];
    struct timespec start;
    struct timespec end;
    int thread_count = argc == 4 ? atoi(argv[2]) : 0;
    if (thread_count < 1 || thread_count > THREADS_MAX) {
        fprintf(stderr, "usage: hash_only ALGORITHM THREADS FILE_WITH_SIZES\n");
        return 2;
    }
    digest = EVP_MD_fetch(NULL, argv[1], NULL);
    if (digest == NULL)
        fail("unknown algorithm");
    size_t total = read_sizes(argv[3]);
    clock_gettime(CLOCK_MONOTONIC, &start);
    for (int i = 0; i < thread_count; i++) {
        if (pthread_create(&threads[i], NULL, hash_some, NULL) != 0)
            fail("pthread_create");
    }
    for (int i = 0; i < thread_count; i++)
        pthread_join(threads[i], NULL);
    clock_gettime(CLOCK_MONOTONIC, &end);
    printf("{\"wall_s\":%.6f,\"bytes\":%zu,\"files\":%zu,\"checksum\":%" PRIuFAST64 "}\n",
           (double)(end.tv_sec - start.tv_sec) + (double)(end.tv_nsec - start.tv_nsec) / 1e9, total,
           count, digest_sum);
    return 0;
}
