/*
 * parallel/sort_kernel.c - the serial parts of the sort, written once and compiled for each shape.
 *
 * WHAT   Every function takes a struct shape, which is a constant where a kernel is made (KERNEL
 *        below) and is inlined away: what is left is code for one comparison and one size.
 *
 * RUNS   A run is cut into blocks of BLOCK elements. Each is sorted, then passes merge neighbours,
 *        back and forth between the data and the spare memory, starting from the side that makes
 *        them end where they are wanted.
 *
 * MERGE  The next element is chosen without a branch, for which run it comes from cannot be
 *        predicted. What limits such a loop is the way from one pointer to the next, so the known
 *        comparisons do more than one at a time: from both ends of the output towards the middle,
 *        and both in each half of it: two or four chains that do not wait for one another. As many
 *        steps as the shorter run has elements need no look at the ends. Both ends can only meet
 *        when comparisons do not contradict one another, so a callback's are made from the front.
 *
 * SEE    parallel_sort.c; tests/api/parallel_sort_test.cc.
 */
#include "parallel/sort_kernel.h"

#include "base/check.h"

#include <string.h>

/* KEY_NUMBER is a double that is no NaN. */
enum key { KEY_CALLBACK, KEY_INT32, KEY_INT64, KEY_UINT32, KEY_UINT64, KEY_NUMBER, KEY_DOUBLE };

struct merging;

/* A kind of element, and the functions made for it that are worth a call. */
struct shape {
    enum key key;
    size_t size_bytes; /* 0: as the order says */
    void (*rest)(const struct skua_sort_order *order, struct merging *m);
    void (*merge)(const struct skua_sort_order *order, const struct skua_sort_runs *runs,
                  char *out);
};

/* A merge in progress: what is left of the runs, and of the place for the result. */
struct merging {
    const char *a;
    const char *a_end;
    const char *b;
    const char *b_end;
    char *out;
    char *out_end;
};

enum {
    BLOCK = 16,         /* elements; a power of two */
    KNOWN_MAX = 8,      /* bytes of the largest element with a known comparison */
    QUARTERS_MIN = 256, /* elements of a merge that is worth cutting in halves first */
    STEPS_MIN = 4       /* of four chains; fewer are left to two */
};

/* Loads that are right for any alignment and any type. */
#define LOAD(name, type)                                                                           \
    static SKUA_ALWAYS_INLINE type load_##name(const char *at)                                     \
    {                                                                                              \
        type value;                                                                                \
        memcpy(&value, at, sizeof(value));                                                         \
        return value;                                                                              \
    }
LOAD(int32, int32_t)
LOAD(int64, int64_t)
LOAD(uint32, uint32_t)
LOAD(uint64, uint64_t)
LOAD(double, double)

/* NaNs are greater than all else, and equal to one another. */
static SKUA_ALWAYS_INLINE bool less_double(double a, double b)
{
    bool is_number = !__builtin_isnan(a);
    bool is_not_above = !(a >= b); /* holds for every b that is NaN, too */
    return is_number & is_not_above;
}

/* Whether the element at @a is less than the one at @b. */
static SKUA_ALWAYS_INLINE bool less(const struct skua_sort_order *order, struct shape shape,
                                    const char *a, const char *b)
{
    switch (shape.key) {
    case KEY_INT32:
        return load_int32(a) < load_int32(b);
    case KEY_INT64:
        return load_int64(a) < load_int64(b);
    case KEY_UINT32:
        return load_uint32(a) < load_uint32(b);
    case KEY_UINT64:
        return load_uint64(a) < load_uint64(b);
    case KEY_NUMBER:
        return load_double(a) < load_double(b);
    case KEY_DOUBLE:
        return less_double(load_double(a), load_double(b));
    case KEY_CALLBACK:
        break;
    }
    return order->compare(a, b, order->arg) < 0;
}

static SKUA_ALWAYS_INLINE size_t size_of(const struct skua_sort_order *order, struct shape shape)
{
    return shape.size_bytes != 0 ? shape.size_bytes : order->size_bytes;
}

/* ---- steps of a merge ------------------------------------------------------------------------ */

/* How many steps can be made from one end before a run may be empty. */
static SKUA_ALWAYS_INLINE size_t safe_steps(const struct merging *m, size_t size)
{
    return (size_t)skua_min(m->a_end - m->a, m->b_end - m->b) / size;
}

/* Moves the least element that is left. Neither run is empty. */
static SKUA_ALWAYS_INLINE void step_front(const struct skua_sort_order *order, struct shape shape,
                                          struct merging *m)
{
    size_t size = size_of(order, shape);
    bool from_b = less(order, shape, m->b, m->a);
    memcpy(m->out, from_b ? m->b : m->a, size);
    m->out += size;
    m->b += from_b * size;
    m->a += !from_b * size;
}

/* Moves the greatest element that is left. Neither run is empty. */
static SKUA_ALWAYS_INLINE void step_back(const struct skua_sort_order *order, struct shape shape,
                                         struct merging *m)
{
    size_t size = size_of(order, shape);
    bool from_a = less(order, shape, m->b_end - size, m->a_end - size);
    m->out_end -= size;
    memcpy(m->out_end, (from_a ? m->a_end : m->b_end) - size, size);
    m->a_end -= from_a * size;
    m->b_end -= !from_a * size;
}

/* Moves what is left when one run is empty. */
static SKUA_ALWAYS_INLINE void finish(const struct merging *m)
{
    size_t a_bytes = (size_t)(m->a_end - m->a);
    skua_assert(m->a <= m->a_end && m->b <= m->b_end);
    memcpy(m->out, m->a, a_bytes);
    memcpy(m->out + a_bytes, m->b, (size_t)(m->b_end - m->b));
}

/* Merges what is left, from the front or from both ends. */
static SKUA_ALWAYS_INLINE void merge_rest(const struct skua_sort_order *order, struct shape shape,
                                          struct merging *m)
{
    size_t steps;
    while ((steps = safe_steps(m, size_of(order, shape))) > 0) {
        for (size_t i = 0; i < steps; i++) {
            step_front(order, shape, m);
            if (shape.key != KEY_CALLBACK)
                step_back(order, shape, m);
        }
    }
    finish(m);
}

/*
 * By bisection: the smallest i for which a[i] does not belong before b[count - i - 1]. Bounded
 * whatever the comparator says.
 */
static SKUA_ALWAYS_INLINE size_t split_runs(const struct skua_sort_order *order, struct shape shape,
                                            const struct skua_sort_runs *runs, size_t count)
{
    size_t size = size_of(order, shape);
    size_t low = count > runs->b_count ? count - runs->b_count : 0;
    size_t high = skua_min(count, runs->a_count);
    while (low < high) {
        size_t i = low + (high - low) / 2;
        if (less(order, shape, runs->b + (count - i - 1) * size, runs->a + i * size))
            high = i;
        else
            low = i + 1;
    }
    return low;
}

/* Cuts a merge in two at half of its output; both are merged at the same time. */
static SKUA_ALWAYS_INLINE void merge_halves(const struct skua_sort_order *order, struct shape shape,
                                            const struct skua_sort_runs *runs, char *out)
{
    size_t size = size_of(order, shape);
    size_t count = runs->a_count + runs->b_count;
    size_t a_low = split_runs(order, shape, runs, count / 2);
    size_t b_low = count / 2 - a_low;
    const char *a_cut = runs->a + a_low * size;
    const char *b_cut = runs->b + b_low * size;
    char *out_cut = out + count / 2 * size;
    struct merging low = {runs->a, a_cut, runs->b, b_cut, out, out_cut};
    struct merging high = {a_cut,   runs->a + runs->a_count * size,
                           b_cut,   runs->b + runs->b_count * size,
                           out_cut, out + count * size};
    size_t steps;
    while ((steps = skua_min(safe_steps(&low, size), safe_steps(&high, size))) >= STEPS_MIN) {
        for (size_t i = 0; i < steps; i++) {
            step_front(order, shape, &low);
            step_back(order, shape, &low);
            step_front(order, shape, &high);
            step_back(order, shape, &high);
        }
    }
    shape.rest(order, &low);
    shape.rest(order, &high);
}

static SKUA_ALWAYS_INLINE void merge_runs(const struct skua_sort_order *order, struct shape shape,
                                          const struct skua_sort_runs *runs, char *out)
{
    size_t size = size_of(order, shape);
    size_t a_bytes = runs->a_count * size;
    size_t b_bytes = runs->b_count * size;
    const char *a_end = runs->a + a_bytes;
    const char *b_end = runs->b + b_bytes;
    if (a_bytes == 0 || b_bytes == 0 || !less(order, shape, runs->b, a_end - size)) {
        memcpy(out, runs->a, a_bytes);
        memcpy(out + a_bytes, runs->b, b_bytes);
    } else if (less(order, shape, b_end - size, runs->a)) {
        memcpy(out, runs->b, b_bytes);
        memcpy(out + b_bytes, runs->a, a_bytes);
    } else if (shape.key != KEY_CALLBACK && runs->a_count + runs->b_count >= QUARTERS_MIN) {
        merge_halves(order, shape, runs, out);
    } else {
        struct merging m = {runs->a, a_end, runs->b, b_end, out, out + a_bytes + b_bytes};
        shape.rest(order, &m);
    }
}

/* ---- sorting a run --------------------------------------------------------------------------- */

/* Sorts a few elements in place; @hole is room for one. Elements are compared where they stand. */
static SKUA_ALWAYS_INLINE void sort_few(const struct skua_sort_order *order, struct shape shape,
                                        char *data, size_t count, char *hole)
{
    size_t size = size_of(order, shape);
    for (size_t i = 1; i < count; i++) {
        char *element = data + i * size;
        size_t low = 0, high = i;
        while (low < high) {
            size_t middle = low + (high - low) / 2;
            if (less(order, shape, element, data + middle * size))
                high = middle;
            else
                low = middle + 1;
        }
        if (low == i)
            continue;
        memcpy(hole, element, size);
        memmove(data + (low + 1) * size, data + low * size, (i - low) * size);
        memcpy(data + low * size, hole, size);
    }
}

/* Merges BLOCK elements, sorted in groups of @width, to groups of twice that. */
static SKUA_ALWAYS_INLINE void double_groups(const struct skua_sort_order *order,
                                             struct shape shape, size_t width, const char *from,
                                             char *to)
{
    size_t bytes = width * size_of(order, shape);
    for (size_t group = 0; group < BLOCK / (2 * width); group++) {
        const char *a = from + group * 2 * bytes;
        char *out = to + group * 2 * bytes;
        struct merging m = {a, a + bytes, a + bytes, a + 2 * bytes, out, out + 2 * bytes};
        for (size_t i = 0; i < width; i++) {
            step_front(order, shape, &m);
            step_back(order, shape, &m);
        }
    }
}

/* Sorts BLOCK elements with a known comparison from @from to @to, which may be the same. */
static SKUA_ALWAYS_INLINE void sort_block(const struct skua_sort_order *order, struct shape shape,
                                          const char *from, char *to)
{
    _Alignas(KNOWN_MAX) char buffer[BLOCK * KNOWN_MAX];
    double_groups(order, shape, 1, from, buffer);
    double_groups(order, shape, 2, buffer, to);
    double_groups(order, shape, 4, to, buffer);
    double_groups(order, shape, 8, buffer, to);
}

/* Sorts each block of the run into @to, which is @data or @spare. */
static SKUA_ALWAYS_INLINE void sort_blocks(const struct skua_sort_order *order, struct shape shape,
                                           char *data, char *spare, char *to, size_t count)
{
    size_t size = size_of(order, shape);
    for (size_t begin = 0; begin < count; begin += BLOCK) {
        size_t offset = begin * size;
        size_t here = skua_min(count - begin, (size_t)BLOCK);
        if (shape.key != KEY_CALLBACK && here == BLOCK) {
            sort_block(order, shape, data + offset, to + offset);
            continue;
        }
        sort_few(order, shape, data + offset, here, spare + offset);
        if (to != data)
            memcpy(to + offset, data + offset, here * size);
    }
}

/* One pass over the run: neighbours of @width elements become one. */
static SKUA_ALWAYS_INLINE void merge_pass(const struct skua_sort_order *order, struct shape shape,
                                          size_t width, const char *from, char *to, size_t count)
{
    size_t size = size_of(order, shape);
    for (size_t begin = 0; begin < count; begin += 2 * width) {
        size_t a_count = skua_min(width, count - begin);
        size_t b_count = skua_min(width, count - begin - a_count);
        const char *a = from + begin * size;
        struct skua_sort_runs runs = {a, a_count, a + a_count * size, b_count};
        shape.merge(order, &runs, to + begin * size);
    }
}

/* Whether the run is sorted, or is now because it was in the opposite order and has been turned. */
static SKUA_ALWAYS_INLINE bool sorted_already(const struct skua_sort_order *order,
                                              struct shape shape, char *data, char *hole,
                                              size_t count)
{
    size_t size = size_of(order, shape);
    char *last = data + (count - 1) * size;
    char *at = data;
    while (at < last && !less(order, shape, at + size, at))
        at += size;
    if (at == last)
        return true;
    if (at != data)
        return false;
    /* Only strictly falling ones are turned: equal elements would change their order. */
    while (at < last && less(order, shape, at + size, at))
        at += size;
    if (at != last)
        return false;
    for (at = data; at < last; at += size, last -= size) {
        memcpy(hole, at, size);
        memcpy(at, last, size);
        memcpy(last, hole, size);
    }
    return true;
}

static SKUA_ALWAYS_INLINE bool sort_run(const struct skua_sort_order *order, struct shape shape,
                                        char *data, char *spare, size_t count, bool want_spare)
{
    skua_assert(count > 0);
    if (sorted_already(order, shape, data, spare, count))
        return false;
    bool in_spare = want_spare;
    for (size_t width = BLOCK; width < count; width *= 2)
        in_spare = !in_spare;
    sort_blocks(order, shape, data, spare, in_spare ? spare : data, count);
    for (size_t width = BLOCK; width < count; width *= 2) {
        merge_pass(order, shape, width, in_spare ? spare : data, in_spare ? data : spare, count);
        in_spare = !in_spare;
    }
    skua_assert(in_spare == want_spare);
    return in_spare;
}

/* ---- the kernels ----------------------------------------------------------------------------- */

/* The functions of one shape. */
#define SHAPE(name, key, size)                                                                     \
    static SKUA_NOINLINE void rest_##name(const struct skua_sort_order *order, struct merging *m)  \
    {                                                                                              \
        struct merging copy = *m; /* can be kept in registers */                                   \
        merge_rest(order, (struct shape){key, size, NULL, NULL}, &copy);                           \
    }                                                                                              \
    static void merge_##name(const struct skua_sort_order *order,                                  \
                             const struct skua_sort_runs *runs, char *out)                         \
    {                                                                                              \
        merge_runs(order, (struct shape){key, size, rest_##name, NULL}, runs, out);                \
    }                                                                                              \
    static bool sort_##name(const struct skua_sort_order *order, char *data, char *spare,          \
                            size_t count, bool want_spare)                                         \
    {                                                                                              \
        struct shape shape = {key, size, rest_##name, merge_##name};                               \
        return sort_run(order, shape, data, spare, count, want_spare);                             \
    }

SHAPE(int32, KEY_INT32, 4)
SHAPE(int64, KEY_INT64, 8)
SHAPE(uint32, KEY_UINT32, 4)
SHAPE(uint64, KEY_UINT64, 8)
SHAPE(number, KEY_NUMBER, 8)
SHAPE(double, KEY_DOUBLE, 8)
SHAPE(callback_4, KEY_CALLBACK, 4)
SHAPE(callback_8, KEY_CALLBACK, 8)
SHAPE(callback_16, KEY_CALLBACK, 16)
SHAPE(callback, KEY_CALLBACK, 0)

/* Doubles: the comparison that must think of NaNs costs twice as much, and is rarely needed. */
static bool sort_any_double(const struct skua_sort_order *order, char *data, char *spare,
                            size_t count, bool want_spare)
{
    size_t nans = 0;
    for (size_t i = 0; i < count; i++)
        nans += __builtin_isnan(load_double(data + i * sizeof(double))) != 0;
    if (nans > 0)
        return sort_double(order, data, spare, count, want_spare);
    return sort_number(order, data, spare, count, want_spare);
}

/* The last element of a sorted run tells whether there are NaNs in it. */
static bool ends_in_nan(const char *run, size_t count)
{
    return count > 0 && __builtin_isnan(load_double(run + (count - 1) * sizeof(double)));
}

static void merge_any_double(const struct skua_sort_order *order, const struct skua_sort_runs *runs,
                             char *out)
{
    if (ends_in_nan(runs->a, runs->a_count) || ends_in_nan(runs->b, runs->b_count))
        merge_double(order, runs, out);
    else
        merge_number(order, runs, out);
}

/* A comparison that is called costs several times one that is not. */
enum { SORT_KNOWN = 2048, MERGE_KNOWN = 16384, SORT_CALLBACK = 256, MERGE_CALLBACK = 1024 };

#define KERNEL(kind, name, key, size)                                                              \
    static size_t split_##name(const struct skua_sort_order *order,                                \
                               const struct skua_sort_runs *runs, size_t count)                    \
    {                                                                                              \
        return split_runs(order, (struct shape){key, size, NULL, NULL}, runs, count);              \
    }                                                                                              \
    static const struct skua_sort_kernel kernel_##name = {SORT_##kind, MERGE_##kind, sort_##name,  \
                                                          merge_##name, split_##name};
KERNEL(KNOWN, int32, KEY_INT32, 4)
KERNEL(KNOWN, int64, KEY_INT64, 8)
KERNEL(KNOWN, uint32, KEY_UINT32, 4)
KERNEL(KNOWN, uint64, KEY_UINT64, 8)
KERNEL(KNOWN, any_double, KEY_DOUBLE, 8)
KERNEL(CALLBACK, callback_4, KEY_CALLBACK, 4)
KERNEL(CALLBACK, callback_8, KEY_CALLBACK, 8)
KERNEL(CALLBACK, callback_16, KEY_CALLBACK, 16)
KERNEL(CALLBACK, callback, KEY_CALLBACK, 0)

static const struct {
    size_t size_bytes;
    skua_compare_fn compare; /* NULL: any */
    const struct skua_sort_kernel *kernel;
} kernels[] = {
    {4, skua_compare_int32, &kernel_int32},
    {8, skua_compare_int64, &kernel_int64},
    {4, skua_compare_uint32, &kernel_uint32},
    {8, skua_compare_uint64, &kernel_uint64},
    {8, skua_compare_double, &kernel_any_double},
    {4, NULL, &kernel_callback_4},
    {8, NULL, &kernel_callback_8},
    {16, NULL, &kernel_callback_16},
};

const struct skua_sort_kernel *skua_sort_kernel_find(size_t size_bytes, skua_compare_fn compare)
{
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        if (kernels[i].size_bytes == size_bytes &&
            (kernels[i].compare == NULL || kernels[i].compare == compare))
            return kernels[i].kernel;
    }
    return &kernel_callback;
}
