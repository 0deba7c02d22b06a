/*
 * parallel/parallel_scan.c - prefix scans: two passes over blocks.
 *
 * WHAT   The first pass combines the elements of each block; the sums of the blocks are scanned,
 *        which tells each block what stands on its left; the second pass scans the blocks. Nothing
 *        needs the first block's sum before it is scanned, so that one is done in the first pass.
 *
 * FIXED  Blocks follow from the count alone, so the result is the same, bit for bit, on any number
 *        of workers.
 *
 * SEE    G. E. Blelloch, Prefix sums and their applications (1990).
 */
#include <skua/parallel.h>

#include "base/alloc.h"
#include "parallel/pieces.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum {
    ELEMENT_MAX_BYTES = 4096,
    BLOCKS_MAX = 1024,     /* bounds the memory for their sums: 4 MiB for the largest elements */
    BLOCK_COUNT_MIN = 512, /* elements; worth a job even if combining is an addition */
    SMALL_BYTES = 128,     /* of an element that is kept in the frame while it changes */
    LINE_BYTES = SKUA_CACHE_LINE
};

/*
 * sums has a place for each block and one more. Block k leaves its sum in place k + 1; after the
 * scan of the sums, place k holds what stands left of block k. Place 0 is for the scan itself.
 */
struct scan {
    const skua_scan_ops *ops;
    void *arg;
    const char *input;
    char *output;
    size_t count;
    size_t block_count; /* blocks */
    size_t block;       /* elements in each block but the last */
    size_t place_bytes; /* from one place to the next; of a large element, two of them */
    char *sums;
};

/* The sum that is being made in one block, and room for one element. */
struct running {
    char *sum;
    char *hold;
    max_align_t small[2][SMALL_BYTES / sizeof(max_align_t)];
};

static char *place(const struct scan *scan, size_t index)
{
    return scan->sums + index * scan->place_bytes;
}

/* Small sums are kept out of the places: neighbours share cache lines. */
static void running_init(struct running *running, const struct scan *scan, size_t index)
{
    bool is_small = scan->ops->size_bytes <= SMALL_BYTES;
    running->sum = is_small ? (char *)running->small[0] : place(scan, index);
    running->hold = is_small ? (char *)running->small[1] : running->sum + scan->place_bytes / 2;
}

static void set_identity(const struct scan *scan, char *to)
{
    if (scan->ops->identity != NULL)
        memcpy(to, scan->ops->identity, scan->ops->size_bytes);
    else
        memset(to, 0, scan->ops->size_bytes);
}

/* Scans what follows the first elements of a block; the sum of what stands left is there. */
static SKUA_ALWAYS_INLINE void scan_elements(const struct scan *scan, struct running *running,
                                             size_t begin, size_t end, size_t size)
{
    void (*combine)(void *left, const void *right, void *arg) = scan->ops->combine;
    bool exclusive = (scan->ops->flags & SKUA_SCAN_EXCLUSIVE) != 0;
    for (size_t at = begin * size; at < end * size; at += size) {
        const char *element = scan->input + at;
        if (!exclusive) {
            combine(running->sum, element, scan->arg);
            memcpy(scan->output + at, running->sum, size);
            continue;
        }
        /* It may be the place of the output, too. */
        memcpy(running->hold, element, size);
        memcpy(scan->output + at, running->sum, size);
        combine(running->sum, running->hold, scan->arg);
    }
}

/* The same, for common sizes with moves of their own. */
static void scan_elements_sized(const struct scan *scan, struct running *running, size_t begin,
                                size_t end)
{
    switch (scan->ops->size_bytes) {
    case 4:
        scan_elements(scan, running, begin, end, 4);
        break;
    case 8:
        scan_elements(scan, running, begin, end, 8);
        break;
    case 16:
        scan_elements(scan, running, begin, end, 16);
        break;
    default:
        scan_elements(scan, running, begin, end, scan->ops->size_bytes);
        break;
    }
}

static void scan_first_block(const struct scan *scan, struct running *running, size_t end)
{
    size_t size = scan->ops->size_bytes;
    memcpy(running->sum, scan->input, size);
    if (scan->ops->flags & SKUA_SCAN_EXCLUSIVE)
        set_identity(scan, scan->output);
    else if (scan->output != scan->input)
        memcpy(scan->output, running->sum, size);
    scan_elements_sized(scan, running, 1, end);
}

static void sum_block(const struct scan *scan, struct running *running, size_t begin, size_t end)
{
    size_t size = scan->ops->size_bytes;
    memcpy(running->sum, scan->input + begin * size, size);
    for (size_t i = begin + 1; i < end; i++)
        scan->ops->combine(running->sum, scan->input + i * size, scan->arg);
}

/* First pass, over the blocks from @first to before @last. */
static int sum_blocks(size_t first, size_t last, void *arg)
{
    const struct scan *scan = arg;
    for (size_t i = first; i < last; i++) {
        struct running running;
        running_init(&running, scan, i + 1);
        if (i == 0)
            scan_first_block(scan, &running, skua_min(scan->block, scan->count));
        else
            sum_block(scan, &running, i * scan->block, (i + 1) * scan->block);
        if (running.sum != place(scan, i + 1))
            memcpy(place(scan, i + 1), running.sum, scan->ops->size_bytes);
    }
    return 0;
}

static void scan_sums(const struct scan *scan)
{
    size_t size = scan->ops->size_bytes;
    char *sum = place(scan, 0);
    memcpy(sum, place(scan, 1), size);
    for (size_t i = 2; i < scan->block_count; i++) {
        scan->ops->combine(sum, place(scan, i), scan->arg);
        memcpy(place(scan, i), sum, size);
    }
}

/* Second pass. */
static int scan_blocks(size_t first, size_t last, void *arg)
{
    const struct scan *scan = arg;
    for (size_t i = first; i < last; i++) {
        size_t begin = i * scan->block;
        struct running running;
        running_init(&running, scan, i);
        if (running.sum != place(scan, i))
            memcpy(running.sum, place(scan, i), scan->ops->size_bytes);
        scan_elements_sized(scan, &running, begin,
                            begin + skua_min(scan->block, scan->count - begin));
    }
    return 0;
}

static bool ops_valid(const skua_scan_ops *ops)
{
    return ops != NULL && ops->combine != NULL && ops->size_bytes != 0 &&
           ops->size_bytes <= ELEMENT_MAX_BYTES && (ops->flags & ~SKUA_SCAN_EXCLUSIVE) == 0 &&
           ops->reserved_flags == 0 && ops->reserved[0] == 0 && ops->reserved[1] == 0 &&
           ops->reserved[2] == 0 && ops->reserved[3] == 0;
}

/* Blocks and places for @scan->count elements. False: no memory. */
static bool scan_init(struct scan *scan)
{
    size_t size = scan->ops->size_bytes;
    size_t lines = (size + LINE_BYTES - 1) / LINE_BYTES;
    size_t unit = sizeof(max_align_t);
    scan->block = skua_max((scan->count - 1) / BLOCKS_MAX + 1, (size_t)BLOCK_COUNT_MIN);
    scan->block_count = (scan->count - 1) / scan->block + 1;
    scan->place_bytes =
        size <= SMALL_BYTES ? (size + unit - 1) / unit * unit : 2 * lines * LINE_BYTES;
    scan->sums = skua_malloc((scan->block_count + 1) * scan->place_bytes);
    return scan->sums != NULL;
}

int skua_parallel_scan(const void *input, void *output, size_t count, const skua_scan_ops *ops,
                       void *arg)
{
    if (!ops_valid(ops) || ((input == NULL || output == NULL) && count != 0))
        return -EINVAL;
    if (count > (size_t)SSIZE_MAX / ops->size_bytes)
        return -EOVERFLOW;
    if (count == 0)
        return 0;
    struct scan scan = {.ops = ops, .arg = arg, .input = input, .output = output, .count = count};
    if (!scan_init(&scan))
        return -ENOMEM;
    /* Nobody needs the sum of the last block. */
    size_t summed = skua_max(scan.block_count - 1, (size_t)1);
    int rc = skua_parallel_for(0, summed, 1, sum_blocks, &scan);
    if (rc == 0 && scan.block_count > 1) {
        scan_sums(&scan);
        rc = skua_parallel_for(1, scan.block_count, 1, scan_blocks, &scan);
    }
    free(scan.sums);
    return rc;
}
