/*
 * parallel/sort_kernel.h - the serial parts of the sort: sorting a run, merging two, splitting a
 * merge. Compiled once for each kind of element; parallel_sort.c knows nothing of elements.
 *
 * SAFETY  Whatever a comparator answers, every function moves each element exactly once and stays
 *         inside what it was given; only the order is then anything. Comparators are never called
 *         with anything but elements in the array or the buffer, whole and aligned.
 */
#ifndef SKUA_SRC_SORT_KERNEL_H
#define SKUA_SRC_SORT_KERNEL_H

#include <skua/parallel.h>

/* What is sorted, and how. */
struct skua_sort_order {
    size_t size_bytes;
    skua_compare_fn compare;
    void *arg;
};

/* Two sorted runs that are to become one; elements of a that are equal to ones of b go first. */
struct skua_sort_runs {
    const char *a;
    size_t a_count;
    const char *b;
    size_t b_count;
};

struct skua_sort_kernel {
    size_t sort_count;  /* as many elements, and no more, are worth a job to sort ... */
    size_t merge_count; /* ... and to merge: ten microseconds of work or so */

    /*
     * Sorts @count elements at @data, 1 at least, into @spare or in place, as @want_spare says, if
     * they must be moved at all. Returns whether they are in @spare now.
     */
    bool (*sort)(const struct skua_sort_order *order, char *data, char *spare, size_t count,
                 bool want_spare);

    /* Merges into @out, which overlaps neither run. Either may be empty. */
    void (*merge)(const struct skua_sort_order *order, const struct skua_sort_runs *runs,
                  char *out);

    /* How many of the first @count elements of the merge come from a. */
    size_t (*split)(const struct skua_sort_order *order, const struct skua_sort_runs *runs,
                    size_t count);
};

/* The fastest kernel for elements of that size and that comparator. */
const struct skua_sort_kernel *skua_sort_kernel_find(size_t size_bytes, skua_compare_fn compare);

#endif /* SKUA_SRC_SORT_KERNEL_H */
