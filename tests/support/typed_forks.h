/*
 * support/typed_forks.h - forkable functions of every shape, and calls of them with known results;
 * C and C++ compile it, each for itself (typed_forks_c.c, fork_typed_test.cc).
 */
#ifndef SKUA_TESTS_TYPED_FORKS_H
#define SKUA_TESTS_TYPED_FORKS_H

#include <skua/skua.h>

#include <string.h>

/* One call and what it must give; @arg is the case's own. */
struct typed_case {
    const char *name;
    skua_fn fn;
    intptr_t arg;
    intptr_t expected;
    bool only_in_task; /* it awaits tasks, hops, or is too deep for a thread's stack */
};

/* The cases as C compiled them. */
#ifdef __cplusplus
extern "C" {
#endif
const struct typed_case *typed_cases_c(size_t *count);
#ifdef __cplusplus
}
#endif

/* ---- recursion ------------------------------------------------------------------------------- */

SKUA_FORKABLE(long, typed_fib, int, n)
{
    if (n < 2)
        return n;
    SKUA_JOB(typed_fib) job;
    SKUA_FORK(typed_fib, &job, n - 1);
    long right = SKUA_CALL(typed_fib, n - 2);
    return SKUA_JOIN(typed_fib, &job) + right;
}

/* One job in the other. What comes after each join keeps the calls from becoming a loop. */
SKUA_FORKABLE(long, typed_chain, long, left)
{
    if (left == 0)
        return 0;
    SKUA_JOB(typed_chain) job;
    SKUA_FORK(typed_chain, &job, left - 1);
    long below = SKUA_JOIN(typed_chain, &job);
    __asm__ volatile("" : "+r"(below) : : "memory");
    return below + 1;
}

SKUA_FORKABLE(long, typed_leaf, long, value)
{
    return value;
}

/* The same with another job unjoined at every level, so that the deque is full at 250. */
SKUA_FORKABLE(long, typed_ladder, long, left)
{
    if (left == 0)
        return 0;
    SKUA_JOB(typed_leaf) leaf;
    SKUA_JOB(typed_ladder) job;
    SKUA_FORK(typed_leaf, &leaf, 1);
    SKUA_FORK(typed_ladder, &job, left - 1);
    long below = SKUA_JOIN(typed_ladder, &job);
    return SKUA_JOIN(typed_leaf, &leaf) + below;
}

/* ---- parameters and results ------------------------------------------------------------------ */

SKUA_FORKABLE(int, typed_none)
{
    return 7;
}

SKUA_FORKABLE(int, typed_one, signed char, a)
{
    return a;
}

SKUA_FORKABLE(double, typed_two, double, a, float, b)
{
    return a * 10 + (double)b;
}

SKUA_FORKABLE(const char *, typed_three, const char *, text, size_t, skip, bool, yes)
{
    return yes ? text + skip : NULL;
}

SKUA_FORKABLE(unsigned long long, typed_four, unsigned char, a, unsigned short, b, unsigned, c,
              unsigned long long, d)
{
    return d + c + b + a;
}

SKUA_FORKABLE(long, typed_five, long, a, long, b, long, c, long, d, long, e)
{
    return a + 10 * b + 100 * c + 1000 * d + 10000 * e;
}

SKUA_FORKABLE(long, typed_six, int, a, int, b, int, c, int, d, long, e, long, f)
{
    return a + 10 * b + 100 * c + 1000 * d + 10000 * e + 100000 * f;
}

/* Calls and jobs of each arity; every one of them counts for one bit. */
SKUA_FORKABLE(intptr_t, typed_arities, int, dummy)
{
    static const char text[] = "abcdef";
    SKUA_JOB(typed_none) none;
    SKUA_JOB(typed_one) one;
    SKUA_JOB(typed_two) two;
    SKUA_JOB(typed_three) three;
    SKUA_JOB(typed_four) four;
    SKUA_JOB(typed_five) five;
    SKUA_JOB(typed_six) six;
    intptr_t good = 0;
    (void)dummy;
    SKUA_FORK(typed_none, &none);
    SKUA_FORK(typed_one, &one, -5);
    SKUA_FORK(typed_two, &two, 1.5, 0.25f);
    SKUA_FORK(typed_three, &three, text, 2, true);
    SKUA_FORK(typed_four, &four, 200, 60000, 4000000000u, 1ull << 60);
    SKUA_FORK(typed_five, &five, 1, 2, 3, 4, 5);
    SKUA_FORK(typed_six, &six, 1, 2, 3, 4, 5, 6);
    good |= (intptr_t)(SKUA_CALL(typed_none) == 7) << 0;
    good |= (intptr_t)(SKUA_CALL(typed_one, -6) == -6) << 1;
    good |= (intptr_t)(SKUA_CALL(typed_six, 6, 5, 4, 3, 2, 1) == 123456) << 2;
    good |= (intptr_t)(SKUA_JOIN(typed_six, &six) == 654321) << 3;
    good |= (intptr_t)(SKUA_JOIN(typed_five, &five) == 54321) << 4;
    good |= (intptr_t)(SKUA_JOIN(typed_four, &four) == (1ull << 60) + 4000060200u) << 5;
    good |= (intptr_t)(SKUA_JOIN(typed_three, &three) == text + 2) << 6;
    good |= (intptr_t)(SKUA_JOIN(typed_two, &two) == 15.25) << 7;
    good |= (intptr_t)(SKUA_JOIN(typed_one, &one) == -5) << 8;
    good |= (intptr_t)(SKUA_JOIN(typed_none, &none) == 7) << 9;
    return good;
}

/* As large as a slot's payload. */
struct typed_large {
    long words[5];
};

SKUA_FORKABLE(struct typed_large, typed_reverse, struct typed_large, in)
{
    struct typed_large out;
    for (int i = 0; i < 5; i++)
        out.words[i] = in.words[4 - i];
    return out;
}

struct typed_small {
    char bytes[3];
};

SKUA_FORKABLE(struct typed_small, typed_bytes, char, first)
{
    struct typed_small out = {{first, (char)(first + 1), (char)(first + 2)}};
    return out;
}

SKUA_FORKABLE(intptr_t, typed_structs, int, rounds)
{
    intptr_t good = 0;
    for (int i = 0; i < rounds; i++) {
        struct typed_large in = {{i, i + 1, i + 2, i + 3, i + 4}};
        SKUA_JOB(typed_reverse) large;
        SKUA_JOB(typed_bytes) small;
        SKUA_FORK(typed_reverse, &large, in);
        SKUA_FORK(typed_bytes, &small, 'x');
        struct typed_small bytes = SKUA_JOIN(typed_bytes, &small);
        struct typed_large out = SKUA_JOIN(typed_reverse, &large);
        good += memcmp(bytes.bytes, "xyz", 3) == 0 && out.words[0] == i + 4 && out.words[4] == i;
    }
    return good;
}

SKUA_FORKABLE_VOID(typed_touch_nothing)
{
}

SKUA_FORKABLE_VOID(typed_fill, long *, to, size_t, count, long, value)
{
    if (count <= 4) {
        for (size_t i = 0; i < count; i++)
            to[i] = value + (long)i;
        return;
    }
    SKUA_JOB(typed_fill) job;
    SKUA_FORK(typed_fill, &job, to, count / 2, value);
    SKUA_CALL(typed_fill, to + count / 2, count - count / 2, value + (long)(count / 2));
    SKUA_JOIN(typed_fill, &job);
}

SKUA_FORKABLE(intptr_t, typed_voids, int, count)
{
    long numbers[1000];
    intptr_t good = 0;
    SKUA_JOB(typed_touch_nothing) nothing;
    SKUA_JOB(typed_fill) job;
    SKUA_FORK(typed_touch_nothing, &nothing);
    SKUA_FORK(typed_fill, &job, numbers, (size_t)count, 5);
    SKUA_JOIN(typed_fill, &job);
    SKUA_JOIN(typed_touch_nothing, &nothing);
    SKUA_CALL(typed_touch_nothing);
    for (int i = 0; i < count; i++)
        good += numbers[i] == i + 5;
    return good;
}

/* ---- many jobs, several functions ------------------------------------------------------------ */

SKUA_FORKABLE(intptr_t, typed_array, int, count)
{
    SKUA_JOB(typed_leaf) jobs[1000];
    intptr_t sum = 0;
    for (int i = 0; i < count; i++)
        SKUA_FORK(typed_leaf, &jobs[i], i);
    for (int i = count - 1; i >= 0; i--)
        sum += (SKUA_JOIN(typed_leaf, &jobs[i]) == i);
    return sum;
}

SKUA_FORKABLE_DECLARE(int, typed_is_even, unsigned, n)
SKUA_FORKABLE_VOID_DECLARE(typed_is_odd, unsigned, n, int *, result)

SKUA_FORKABLE_BODY(int, typed_is_even, unsigned, n)
{
    if (n == 0)
        return 1;
    int odd = -1;
    SKUA_JOB(typed_is_odd) job;
    SKUA_FORK(typed_is_odd, &job, n - 1, &odd);
    SKUA_JOIN(typed_is_odd, &job);
    return odd;
}

SKUA_FORKABLE_VOID_BODY(typed_is_odd, unsigned, n, int *, result)
{
    if (n == 0) {
        *result = 0;
        return;
    }
    SKUA_JOB(typed_is_even) job;
    SKUA_FORK(typed_is_even, &job, n - 1);
    *result = SKUA_JOIN(typed_is_even, &job);
}

/* ---- among waits and plain jobs -------------------------------------------------------------- */

SKUA_FORKABLE(long, typed_waits, int, depth)
{
    if (depth == 0) {
        int rc = skua_sleep(SKUA_NS_PER_MS / 4);
        return rc == 0 && skua_yield() == 0;
    }
    SKUA_JOB(typed_waits) left;
    SKUA_JOB(typed_waits) right;
    SKUA_FORK(typed_waits, &left, depth - 1);
    SKUA_FORK(typed_waits, &right, depth - 1);
    int rc = skua_yield();
    long sum = SKUA_JOIN(typed_waits, &right);
    return sum + SKUA_JOIN(typed_waits, &left) + rc;
}

static intptr_t typed_fib_plain(void *arg);

/* Typed -> plain -> typed, jobs of both kinds unjoined at each step. */
SKUA_FORKABLE(long, typed_fib_mixed, long, n)
{
    if (n < 2)
        return n;
    SKUA_JOB(typed_fib_mixed) job;
    SKUA_FORK(typed_fib_mixed, &job, n - 1);
    long right = (long)typed_fib_plain((void *)(intptr_t)(n - 2));
    return SKUA_JOIN(typed_fib_mixed, &job) + right;
}

static intptr_t typed_fib_plain(void *arg)
{
    intptr_t n = (intptr_t)arg;
    if (n < 2)
        return n;
    skua_job job;
    skua_fork(&job, typed_fib_plain, (void *)(n - 1));
    intptr_t right = typed_fib_mixed((long)(n - 2));
    return skua_join(&job) + right;
}

static intptr_t typed_give(void *arg)
{
    return (intptr_t)arg;
}

/* Awaits tasks, forks of their own among them, with jobs unjoined. */
static intptr_t typed_fib_task(void *arg)
{
    return typed_fib((int)(intptr_t)arg);
}

SKUA_FORKABLE(long, typed_awaits, int, count)
{
    SKUA_JOB(typed_fib) before;
    SKUA_JOB(typed_fib) after;
    long sum = 0;
    SKUA_FORK(typed_fib, &before, 10);
    for (int i = 0; i < count; i++)
        sum += (long)skua_await(skua_spawn(typed_fib_task, (void *)(intptr_t)10));
    sum += typed_fib(10);
    SKUA_FORK(typed_fib, &after, 10);
    sum += (long)skua_await(skua_spawn(typed_give, (void *)(intptr_t)55));
    sum += SKUA_JOIN(typed_fib, &after);
    return sum + SKUA_JOIN(typed_fib, &before);
}

SKUA_FORKABLE(long, typed_hops_away, long, value)
{
    SKUA_JOB(typed_leaf) job;
    SKUA_FORK(typed_leaf, &job, value);
    if (skua_hop(NULL) < 0)
        return -1;
    SKUA_JOB(typed_leaf) another;
    SKUA_FORK(typed_leaf, &another, value);
    long twice = SKUA_JOIN(typed_leaf, &another);
    return twice + SKUA_JOIN(typed_leaf, &job);
}

SKUA_FORKABLE(long, typed_hops, int, rounds)
{
    long sum = 0;
    for (int i = 0; i < rounds; i++) {
        SKUA_JOB(typed_fib) before;
        SKUA_JOB(typed_hops_away) job;
        SKUA_JOB(typed_fib) after;
        SKUA_FORK(typed_fib, &before, 8);
        SKUA_FORK(typed_hops_away, &job, i);
        SKUA_FORK(typed_fib, &after, 8);
        sum += SKUA_JOIN(typed_fib, &after) == 21;
        sum += SKUA_JOIN(typed_hops_away, &job) == 2 * i;
        sum += SKUA_JOIN(typed_fib, &before) == 21;
        if (skua_hop_back() < 0)
            return -1;
    }
    return sum;
}

/* ---- the table ------------------------------------------------------------------------------- */

#define TYPED_ENTRY(name, type)                                                                    \
    static intptr_t name##_entry(void *arg)                                                        \
    {                                                                                              \
        return (intptr_t)name((type)(intptr_t)arg);                                                \
    }
TYPED_ENTRY(typed_fib, int)
TYPED_ENTRY(typed_ladder, long)
TYPED_ENTRY(typed_arities, int)
TYPED_ENTRY(typed_structs, int)
TYPED_ENTRY(typed_voids, int)
TYPED_ENTRY(typed_array, int)
TYPED_ENTRY(typed_is_even, unsigned)
TYPED_ENTRY(typed_waits, int)
TYPED_ENTRY(typed_fib_mixed, long)
TYPED_ENTRY(typed_awaits, int)
TYPED_ENTRY(typed_hops, int)
TYPED_ENTRY(typed_chain, long)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define TYPED_DEPTH 20000
#else
#define TYPED_DEPTH 1000000
#endif

static const struct typed_case typed_cases[] = {
    {"Fibonacci", typed_fib_entry, 20, 6765, false},
    {"Arities", typed_arities_entry, 0, 0x3ff, false},
    {"Structs", typed_structs_entry, 100, 100, false},
    {"Voids", typed_voids_entry, 1000, 1000, false},
    {"FewJobsInOneArray", typed_array_entry, 16, 16, false},
    {"MoreJobsThanPlacesInOneArray", typed_array_entry, 1000, 1000, false},
    {"MutualRecursion", typed_is_even_entry, 101, 0, false},
    {"Waits", typed_waits_entry, 4, 16, false},
    {"TypedAndPlain", typed_fib_mixed_entry, 18, 2584, false},
    {"Awaits", typed_awaits_entry, 20, 24 * 55, true},
    {"Hops", typed_hops_entry, 20, 60, true},
    {"AChainAMillionDeep", typed_chain_entry, TYPED_DEPTH, TYPED_DEPTH, true},
    {"ALadderAMillionDeep", typed_ladder_entry, TYPED_DEPTH, TYPED_DEPTH, true},
};

#endif /* SKUA_TESTS_TYPED_FORKS_H */
