/*
 * skua/parallel.h - loops, reductions, scans and sorts over all workers, made of forks and joins.
 *
 * A range is cut into a few pieces for each worker, and further where somebody is idle, so the
 * grain is a hint: 0 is right nearly always. Callbacks run on the caller's stack or as tasks of
 * their own (skua_self() tells which), several at once; they may wait and do I/O, but not wait for
 * one another. Called outside a task on a worker everything runs in the calling thread, with the
 * same results, but for floating point sums of skua_parallel_reduce(); see there.
 *
 * Errors: the first callback that returns an error (a negative value) ends the call early; pieces
 * that have begun are waited for. Which error is returned when several occur is not defined.
 * Cancelling the task has the same effect with -ECANCELED, unless nothing was left out.
 */
#ifndef SKUA_PARALLEL_H
#define SKUA_PARALLEL_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Does the work of [@begin, @end), which is not empty. 0 or -errno. */
typedef int (*skua_range_fn)(size_t begin, size_t end, void *arg);

/**
 * Calls @fn for pieces that together are [@begin, @end), each index once.
 *
 * Context: any; may wait.
 * Cancellation: pieces that have not begun are left out; see Errors above.
 * Units: @grain: no piece is shorter than so many indices, unless the whole range is. 0 means 1;
 *   pieces are longer anyway, by how long they take.
 * Returns: 0 (at once if the range is empty); -EINVAL if @fn is NULL or @begin > @end; what @fn
 *   returned; -ECANCELED; -ECHILD in a forked child.
 * Source: A. Tzannes, G. C. Caragea, R. Barua, U. Vishkin, Lazy binary-splitting (PPoPP 2010).
 */
SKUA_API int skua_parallel_for(size_t begin, size_t end, size_t grain, skua_range_fn fn, void *arg);

/*
 * The same fixed tree of pieces on any machine, any number of workers, and outside a task:
 * floating point sums repeat bit for bit. Every piece then has an accumulator of its own; without
 * this only those do that another worker has taken.
 */
#define SKUA_REDUCE_DETERMINISTIC 1u

/* What is reduced and how. Zero-initialise; fields that are not named are zero. */
typedef struct skua_reduce_ops {
    size_t size_bytes;    /* of an accumulator, 1 .. 65536; aligned like max_align_t */
    const void *identity; /* what an accumulator starts with, neutral; NULL: all bytes zero */
    /* Adds [@begin, @end) to *@accumulator, which has what stands left of it. 0 or -errno. */
    int (*range)(size_t begin, size_t end, void *accumulator, void *arg);
    /* *@left = *@left combined with *@right, which stood right of it. Associative. */
    void (*combine)(void *left, const void *right, void *arg);
    unsigned flags;          /* SKUA_REDUCE_... */
    unsigned reserved_flags; /* zero */
    uint64_t reserved[4];    /* zero */
} skua_reduce_ops;

/**
 * Reduces [@begin, @end) into *@result, which keeps the order of the range: @ops->combine need not
 * be commutative.
 *
 * Context: any; may wait.
 * Cancellation: as skua_parallel_for().
 * Units: @grain as in skua_parallel_for(); with SKUA_REDUCE_DETERMINISTIC it decides the tree of
 *   pieces (0: 1024), so the same grain gives the same result.
 * Returns: 0, with the result in *@result (the identity if the range is empty); -EINVAL (a NULL
 *   @ops, function or @result, a size that is 0 or too large, an unknown flag, a nonzero reserved
 *   field, @begin > @end); -ENOMEM (not with accumulators of up to 128 bytes); what @ops->range
 *   returned; -ECANCELED; -ECHILD in a forked child. On error *@result is untouched.
 */
SKUA_API int skua_parallel_reduce(size_t begin, size_t end, size_t grain,
                                  const skua_reduce_ops *ops, void *arg, void *result);

/* One call of skua_parallel_invoke(). */
typedef struct skua_call {
    skua_fn fn;
    void *arg;
    intptr_t result; /* set by skua_parallel_invoke(); -ECANCELED if it was not run */
} skua_call;

/**
 * Makes @count calls, in any order, several at once, and waits for all of them.
 *
 * Context: any; may wait.
 * Cancellation: calls that have not begun are left out, with the result -ECANCELED.
 * Returns: 0 when all have been made, whatever their results; -EINVAL if @calls is NULL (and @count
 *   is not 0) or a function is (then none is made, and no result set); -ECANCELED if some were left
 *   out; -ECHILD in a forked child.
 * Source: oneTBB's parallel_invoke.
 */
SKUA_API int skua_parallel_invoke(skua_call *calls, size_t count);

/* As the comparator of qsort_r(3). */
typedef int (*skua_compare_fn)(const void *a, const void *b, void *arg);

/**
 * Sorts @count elements of @size_bytes at @base. Stable: equal elements keep their order.
 *
 * An inconsistent comparator gives some order of the same elements, nothing worse. The comparator
 * is called by several threads at once, with elements in the array or in a buffer that is aligned
 * as their size allows, and must not wait. skua_compare_int32() and its like are known to the sort:
 * elements of just that type are compared without calls. An array in order, or in the opposite
 * order, piece by piece or as a whole, takes less time.
 *
 * Context: any; may wait.
 * Cancellation: when the task is cancelled the elements are left in some order, all of them there.
 * Returns: 0; -EINVAL if @base is NULL (and @count is not 0), @compare is NULL or @size_bytes is
 *   0; -EOVERFLOW if @count * @size_bytes is more than SSIZE_MAX; -ENOMEM: it needs as much memory
 *   again, and the elements are untouched; -ECANCELED; -ECHILD in a forked child.
 * Source: qsort_r(3); merge splitting as in Cormen et al., Introduction to Algorithms, ch. 27, and
 *   Green, Odeh and Birk, Merge Path (2014).
 */
SKUA_API int skua_parallel_sort(void *base, size_t count, size_t size_bytes,
                                skua_compare_fn compare, void *arg);

/**
 * Compares two int32_t, ascending, for skua_parallel_sort() and qsort_r(). @arg is not used.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: less than, equal to or greater than 0.
 */
SKUA_API int skua_compare_int32(const void *a, const void *b, void *arg);

/**
 * Compares two int64_t, ascending, for skua_parallel_sort() and qsort_r(). @arg is not used.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: less than, equal to or greater than 0.
 */
SKUA_API int skua_compare_int64(const void *a, const void *b, void *arg);

/**
 * Compares two uint32_t, ascending, for skua_parallel_sort() and qsort_r(). @arg is not used.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: less than, equal to or greater than 0.
 */
SKUA_API int skua_compare_uint32(const void *a, const void *b, void *arg);

/**
 * Compares two uint64_t, ascending, for skua_parallel_sort() and qsort_r(). @arg is not used.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: less than, equal to or greater than 0.
 */
SKUA_API int skua_compare_uint64(const void *a, const void *b, void *arg);

/**
 * Compares two double, ascending, for skua_parallel_sort() and qsort_r(). @arg is not used.
 * NaNs are equal to one another and greater than every number.
 *
 * Context: any; never waits.
 * Cancellation: not a cancellation point.
 * Returns: less than, equal to or greater than 0.
 */
SKUA_API int skua_compare_double(const void *a, const void *b, void *arg);

/* Scans include the element itself unless this is given. */
#define SKUA_SCAN_EXCLUSIVE 1u

/* What is scanned and how. Zero-initialise; fields that are not named are zero. */
typedef struct skua_scan_ops {
    size_t size_bytes;    /* of an element, 1 .. 4096; needs no more alignment than max_align_t */
    const void *identity; /* what an exclusive scan begins with, neutral; NULL: all bytes zero */
    /* *@left = *@left combined with *@right, which stood right of it. Associative. */
    void (*combine)(void *left, const void *right, void *arg);
    unsigned flags;          /* SKUA_SCAN_... */
    unsigned reserved_flags; /* zero */
    uint64_t reserved[4];    /* zero */
} skua_scan_ops;

/**
 * Prefix scan: output[i] = input[0] combined ... input[i], or ... input[i - 1] if exclusive
 * (output[0] is then the identity).
 *
 * @output may be @input; otherwise they must not overlap. Two passes over the input, so each
 * element is combined twice. How elements are grouped depends on @count alone: floating point sums
 * repeat bit for bit on any number of workers, and outside a task.
 *
 * Context: any; may wait.
 * Cancellation: returns -ECANCELED; @output holds nothing useful then, even where it is @input.
 * Returns: 0; -EINVAL (a NULL pointer with @count not 0, a NULL @ops or function, a size out of
 *   range, an unknown flag, a nonzero reserved field); -EOVERFLOW if @count * size is more than
 *   SSIZE_MAX; -ENOMEM, and nothing has changed; -ECANCELED; -ECHILD in a forked child.
 * Source: G. E. Blelloch, Prefix sums and their applications (1990).
 */
SKUA_API int skua_parallel_scan(const void *input, void *output, size_t count,
                                const skua_scan_ops *ops, void *arg);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_PARALLEL_H */
