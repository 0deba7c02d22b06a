/*
 * parallel/parallel_sort.c - the sort: which runs are sorted and merged where, and by whom.
 *
 * WHAT   A merge sort between the array and a spare one of the same size. A range is halved, the
 *        upper half forked, down to runs that a kernel sorts (sort_kernel.h); going up, halves are
 *        merged from one array into the other. A large merge is itself halved: a bisection finds
 *        which elements of both runs the first half of the output consists of. So the last merge
 *        of all, of the whole array, occupies every worker.
 *
 * WHERE  Each range says where its result lies, the data or the spare array. Ranges that are
 *        in order already stay where they are, and so do the halves of a merge that has nothing to
 *        do: an array that is sorted, or nearly, is read once and hardly written.
 *
 * CANCEL A sorting job that is not run leaves its part as it is; a merge that is not run copies
 *        instead. In every state each element is in exactly one of its two places, so a cancelled
 *        sort ends with a copy back at most.
 *
 * SEE    T. H. Cormen, C. E. Leiserson, R. L. Rivest, C. Stein, Introduction to Algorithms, ch. 27;
 *        O. Green, S. Odeh, Y. Birk, Merge Path (2014), for the halves of a merge.
 */
#include "base/alloc.h"
#include "parallel/pieces.h"
#include "parallel/sort_kernel.h"
#include "platform/memory.h"

#include <limits.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
    SMALL_BYTES = 1024,        /* of a spare array in the caller's frame */
    HUGE_BYTES = 4 << 20,      /* of a spare array worth huge pages */
    ALIGNMENT_MAX_BYTES = 4096 /* what an element type may ask for */
};

struct sorting {
    struct skua_pieces pieces;
    struct skua_sort_order order;
    const struct skua_sort_kernel *kernel;
};

/* Part of both arrays; the elements are in data. */
struct range {
    char *data;
    char *spare;
    size_t count;
};

/* ---- merging --------------------------------------------------------------------------------- */

/* What a merging job is given; in the frame that forked it. */
struct merge_piece {
    struct sorting *sorting;
    struct skua_sort_runs runs;
    char *out;
};

static void merge(struct sorting *sorting, const struct skua_sort_runs *runs, char *out);

static intptr_t merge_job(void *arg)
{
    struct merge_piece *piece = arg;
    merge(piece->sorting, &piece->runs, piece->out);
    return 0;
}

/* What a merge does when there is no time to merge: no element may be missing in @out. */
static void copy_runs(const struct sorting *sorting, const struct skua_sort_runs *runs, char *out)
{
    size_t size = sorting->order.size_bytes;
    memcpy(out, runs->a, runs->a_count * size);
    memcpy(out + runs->a_count * size, runs->b, runs->b_count * size);
}

/*
 * Makes one half of @runs of them, the first @count elements of the output, and returns the rest.
 */
static struct skua_sort_runs cut_runs(const struct sorting *sorting, struct skua_sort_runs *runs,
                                      size_t count)
{
    size_t size = sorting->order.size_bytes;
    size_t a_count = sorting->kernel->split(&sorting->order, runs, count);
    size_t b_count = count - a_count;
    struct skua_sort_runs rest = {runs->a + a_count * size, runs->a_count - a_count,
                                  runs->b + b_count * size, runs->b_count - b_count};
    skua_assert(a_count <= runs->a_count && b_count <= runs->b_count);
    runs->a_count = a_count;
    runs->b_count = b_count;
    return rest;
}

/* Merges @runs into @out; copies them if the call has been stopped. */
static void merge(struct sorting *sorting, const struct skua_sort_runs *runs, char *out)
{
    size_t count = runs->a_count + runs->b_count;
    if (skua_pieces_stopped(&sorting->pieces)) {
        copy_runs(sorting, runs, out);
        return;
    }
    if (count <= sorting->kernel->merge_count) {
        sorting->kernel->merge(&sorting->order, runs, out);
        return;
    }
    struct skua_sort_runs lower = *runs;
    struct merge_piece upper = {.sorting = sorting};
    upper.runs = cut_runs(sorting, &lower, count / 2);
    upper.out = out + count / 2 * sorting->order.size_bytes;
    if (sorting->pieces.alone) {
        merge(sorting, &lower, out);
        merge(sorting, &upper.runs, upper.out);
        return;
    }
    skua_job job;
    (void)skua_fork(&job, merge_job, &upper);
    merge(sorting, &lower, out);
    intptr_t rc = skua_join(&job);
    if (rc < 0) {
        skua_pieces_fail(&sorting->pieces, (int)rc);
        copy_runs(sorting, &upper.runs, upper.out);
    }
}

/* Copies @count elements from one array to the other; large copies are shared, too. */
static void copy(struct sorting *sorting, const char *from, char *to, size_t count)
{
    struct skua_sort_runs all = {from, count, from, 0};
    merge(sorting, &all, to);
}

/* ---- sorting --------------------------------------------------------------------------------- */

/* What a sorting job is given; in the frame that forked it. */
struct sort_piece {
    struct sorting *sorting;
    struct range range;
    bool want_spare;
};

static bool sort(struct sorting *sorting, const struct range *range, bool want_spare);

/* Returns 1 if the result is in the spare array. A job that is not run returns an error. */
static intptr_t sort_job(void *arg)
{
    struct sort_piece *piece = arg;
    return sort(piece->sorting, &piece->range, piece->want_spare);
}

/* Sorts both halves; says of each whether it is in the spare array. */
static void sort_halves(struct sorting *sorting, const struct range *low, const struct range *high,
                        bool want_spare, bool in_spare[2])
{
    struct sort_piece upper = {sorting, *high, want_spare};
    if (sorting->pieces.alone) {
        in_spare[0] = sort(sorting, low, want_spare);
        in_spare[1] = sort(sorting, high, want_spare);
        return;
    }
    skua_job job;
    (void)skua_fork(&job, sort_job, &upper);
    in_spare[0] = sort(sorting, low, want_spare);
    intptr_t rc = skua_join(&job);
    if (rc < 0)
        skua_pieces_fail(&sorting->pieces, (int)rc);
    in_spare[1] = rc > 0;
}

/* Sorts @range, and leaves it where it is wanted if it has to be moved at all. True: in spare. */
static bool sort(struct sorting *sorting, const struct range *range, bool want_spare)
{
    const struct skua_sort_kernel *kernel = sorting->kernel;
    const struct skua_sort_order *order = &sorting->order;
    size_t size = order->size_bytes;
    if (skua_pieces_stopped(&sorting->pieces))
        return false;
    if (range->count <= kernel->sort_count)
        return kernel->sort(order, range->data, range->spare, range->count, want_spare);

    size_t half = range->count / 2;
    struct range low = {range->data, range->spare, half};
    struct range high = {range->data + half * size, range->spare + half * size,
                         range->count - half};
    bool in_spare[2];
    sort_halves(sorting, &low, &high, !want_spare, in_spare);
    if (in_spare[0] && !in_spare[1])
        copy(sorting, high.data, high.spare, high.count);
    else if (!in_spare[0] && in_spare[1])
        copy(sorting, low.data, low.spare, low.count);
    bool both_in_spare = in_spare[0] || in_spare[1];
    const char *from = both_in_spare ? range->spare : range->data;
    const char *cut = from + half * size;
    if (skua_pieces_stopped(&sorting->pieces) || order->compare(cut, cut - size, order->arg) >= 0)
        return both_in_spare;
    struct skua_sort_runs runs = {from, half, cut, high.count};
    merge(sorting, &runs, both_in_spare ? range->data : range->spare);
    return !both_in_spare;
}

/* ---- the spare array ------------------------------------------------------------------------- */

/* As much memory as the array, for any elements of its size. */
struct spare {
    void *address;     /* NULL: no memory */
    size_t size_bytes; /* if mapped */
    bool mapped;
    bool allocated;
    max_align_t small[SMALL_BYTES / sizeof(max_align_t)];
};

/* The alignment of a type divides its size. A comparator may rely on it. */
static size_t alignment_of(size_t element_bytes)
{
    size_t alignment = element_bytes & (~element_bytes + 1);
    return skua_min(alignment, (size_t)ALIGNMENT_MAX_BYTES);
}

static void spare_init(struct spare *spare, size_t size_bytes, size_t element_bytes)
{
    size_t alignment = alignment_of(element_bytes);
    spare->mapped = size_bytes >= HUGE_BYTES;
    spare->allocated = false;
    if (spare->mapped) {
        size_t page = skua_memory_page_size();
        spare->size_bytes = (size_bytes + page - 1) / page * page;
        if (skua_memory_map(&spare->address, spare->size_bytes) < 0)
            spare->address = NULL;
        else
            skua_memory_prefer_huge(spare->address, spare->size_bytes);
    } else if (size_bytes <= SMALL_BYTES && alignment <= alignof(max_align_t)) {
        spare->address = spare->small;
    } else if (alignment <= alignof(max_align_t)) {
        spare->address = skua_malloc(size_bytes);
        spare->allocated = true;
    } else {
        spare->address = skua_aligned_alloc(alignment, size_bytes);
        spare->allocated = true;
    }
}

static void spare_fini(struct spare *spare)
{
    if (spare->mapped)
        (void)skua_memory_unmap(spare->address, spare->size_bytes);
    else if (spare->allocated)
        free(spare->address);
}

/* ---- the call -------------------------------------------------------------------------------- */

int skua_parallel_sort(void *base, size_t count, size_t size_bytes, skua_compare_fn compare,
                       void *arg)
{
    if ((base == NULL && count != 0) || compare == NULL || size_bytes == 0)
        return -EINVAL;
    if (count > (size_t)SSIZE_MAX / size_bytes)
        return -EOVERFLOW;
    if (count < 2)
        return 0;
    struct sorting sorting = {
        .order = {.size_bytes = size_bytes, .compare = compare, .arg = arg},
        .kernel = skua_sort_kernel_find(size_bytes, compare),
    };
    int rc = skua_pieces_init(&sorting.pieces, count, 1);
    if (rc < 0)
        return rc;
    struct spare spare;
    spare_init(&spare, count * size_bytes, size_bytes);
    if (spare.address == NULL)
        return -ENOMEM;
    struct range all = {base, spare.address, count};
    if (sort(&sorting, &all, false))
        copy(&sorting, all.spare, all.data, count);
    spare_fini(&spare);
    return skua_pieces_error(&sorting.pieces);
}

/* ---- comparators ----------------------------------------------------------------------------- */

#define COMPARATOR(name, type)                                                                     \
    int skua_compare_##name(const void *a, const void *b, void *arg)                               \
    {                                                                                              \
        type x, y;                                                                                 \
        (void)arg;                                                                                 \
        memcpy(&x, a, sizeof(x));                                                                  \
        memcpy(&y, b, sizeof(y));                                                                  \
        return (x > y) - (x < y);                                                                  \
    }
COMPARATOR(int32, int32_t)
COMPARATOR(int64, int64_t)
COMPARATOR(uint32, uint32_t)
COMPARATOR(uint64, uint64_t)

int skua_compare_double(const void *a, const void *b, void *arg)
{
    double x, y;
    (void)arg;
    memcpy(&x, a, sizeof(x));
    memcpy(&y, b, sizeof(y));
    if (__builtin_isnan(x) || __builtin_isnan(y))
        return (__builtin_isnan(x) != 0) - (__builtin_isnan(y) != 0);
    return (x > y) - (x < y);
}
