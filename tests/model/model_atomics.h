/*
 * tests/model/model_atomics.h - puts the explorer in the place of the C11 atomics, of the
 * compiler's __atomic builtins with a value in their name, and of base/spin.h.
 *
 * Forced in front of the source under test (-include), so that the real file is explored and not a
 * copy. <stdatomic.h> is read first; its guard keeps later inclusions from undoing this. What the
 * explorer has no model for (fences, implicit orders) fails to compile or link, or is reported when
 * it is reached. The operations of one line are one site.
 */
#ifndef SKUA_TESTS_MODEL_ATOMICS_H
#define SKUA_TESTS_MODEL_ATOMICS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Where an operation stands in the source under test. */
struct model_site {
    const char *function;
    unsigned line;
    unsigned size; /* of the value, in bytes */
};

enum model_rmw { MODEL_EXCHANGE, MODEL_ADD, MODEL_SUB, MODEL_OR, MODEL_AND };

uint64_t model_load(const volatile void *address, memory_order order, struct model_site site);
void model_store(volatile void *address, uint64_t value, memory_order order,
                 struct model_site site);
bool model_cas(volatile void *address, uint64_t *expected, uint64_t desired, memory_order success,
               memory_order failure, struct model_site site);
uint64_t model_rmw(volatile void *address, enum model_rmw kind, uint64_t operand,
                   memory_order order, struct model_site site);
void model_init(volatile void *address, uint64_t value);
void model_lock(volatile void *lock);
void model_unlock(volatile void *lock);

/* The type of *p without its qualifiers, _Atomic included. */
#define MODEL_VALUE_TYPE(p) __typeof__((void)0, *(p))
#define MODEL_SITE(p) ((struct model_site){__func__, __LINE__, sizeof(*(p))})
#define MODEL_BITS(value) ((uint64_t)(uintptr_t)(value))
#define MODEL_FROM_BITS(p, bits) ((MODEL_VALUE_TYPE(p))(uintptr_t)(bits))

#define MODEL_LOAD(p, order)                                                                       \
    MODEL_FROM_BITS(p, model_load((const volatile void *)(p), (order), MODEL_SITE(p)))
#define MODEL_STORE(p, value, order) model_store((p), MODEL_BITS(value), (order), MODEL_SITE(p))
#define MODEL_RMW(p, kind, value, order)                                                           \
    __extension__({                                                                                \
        uint64_t model_old = model_rmw((p), (kind), MODEL_BITS(value), (order), MODEL_SITE(p));    \
        MODEL_FROM_BITS(p, model_old);                                                             \
    })
/* Strong, also in the place of weak ones: a spurious failure would repeat for ever. */
#define MODEL_CAS(p, expected, desired, success, failure)                                          \
    __extension__({                                                                                \
        uint64_t model_expected = MODEL_BITS(*(expected));                                         \
        bool model_done = model_cas((p), &model_expected, MODEL_BITS(desired), (success),          \
                                    (failure), MODEL_SITE(p));                                     \
        if (!model_done)                                                                           \
            *(expected) = MODEL_FROM_BITS(expected, model_expected);                               \
        model_done;                                                                                \
    })

#undef atomic_init
#undef atomic_load
#undef atomic_store
#undef atomic_exchange
#undef atomic_load_explicit
#undef atomic_store_explicit
#undef atomic_exchange_explicit
#undef atomic_compare_exchange_strong
#undef atomic_compare_exchange_weak
#undef atomic_compare_exchange_strong_explicit
#undef atomic_compare_exchange_weak_explicit
#undef atomic_fetch_add
#undef atomic_fetch_add_explicit
#undef atomic_fetch_sub
#undef atomic_fetch_sub_explicit
#undef atomic_fetch_or
#undef atomic_fetch_or_explicit
#undef atomic_fetch_and
#undef atomic_fetch_and_explicit
#undef atomic_thread_fence
#undef atomic_signal_fence

#define atomic_init(p, value) model_init((p), MODEL_BITS(value))
#define atomic_load_explicit(p, order) MODEL_LOAD(p, order)
#define atomic_store_explicit(p, value, order) MODEL_STORE(p, value, order)
#define atomic_exchange_explicit(p, value, order) MODEL_RMW(p, MODEL_EXCHANGE, value, order)
#define atomic_fetch_add_explicit(p, value, order) MODEL_RMW(p, MODEL_ADD, value, order)
#define atomic_fetch_sub_explicit(p, value, order) MODEL_RMW(p, MODEL_SUB, value, order)
#define atomic_fetch_or_explicit(p, value, order) MODEL_RMW(p, MODEL_OR, value, order)
#define atomic_fetch_and_explicit(p, value, order) MODEL_RMW(p, MODEL_AND, value, order)
#define atomic_compare_exchange_strong_explicit(p, expected, desired, success, failure)            \
    MODEL_CAS(p, expected, desired, success, failure)
#define atomic_compare_exchange_weak_explicit(p, expected, desired, success, failure)              \
    MODEL_CAS(p, expected, desired, success, failure)

#define __atomic_load_n(p, order) MODEL_LOAD(p, order)
#define __atomic_store_n(p, value, order) MODEL_STORE(p, value, order)
#define __atomic_exchange_n(p, value, order) MODEL_RMW(p, MODEL_EXCHANGE, value, order)
#define __atomic_compare_exchange_n(p, expected, desired, weak, success, failure)                  \
    MODEL_CAS(p, expected, desired, success, failure)
#define __atomic_fetch_add(p, value, order) MODEL_RMW(p, MODEL_ADD, value, order)
/* The explorer takes operations in program order. */
#define __atomic_signal_fence(order) ((void)(order))

/* A lock that is waited for without spinning. Its orders are taken for granted. */
#define SKUA_SRC_SPIN_H

struct skua_spin {
    _Atomic bool locked;
};

static inline void skua_spin_init(struct skua_spin *lock)
{
    model_init(&lock->locked, 0);
}

static inline void skua_spin_lock(struct skua_spin *lock)
{
    model_lock(&lock->locked);
}

/* Waits, where the real one fails: whoever fails tries again. */
static inline bool skua_spin_try_lock(struct skua_spin *lock)
{
    model_lock(&lock->locked);
    return true;
}

static inline void skua_spin_give_way(void)
{
}

static inline void skua_spin_unlock(struct skua_spin *lock)
{
    model_unlock(&lock->locked);
}

uint64_t model_await(const volatile void *address, uint64_t mask, uint64_t want, memory_order order,
                     bool may_last, struct model_site site);
#define skua_spin_until_false(flag)                                                                \
    ((void)model_await((flag), UINT64_MAX, 0, memory_order_acquire, false, MODEL_SITE(flag)))

#endif /* SKUA_TESTS_MODEL_ATOMICS_H */
