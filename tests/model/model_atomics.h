/*
 * tests/model/model_atomics.h - puts the explorer in the place of the C11 atomics.
 *
 * Forced in front of the source under test (-include), so that the real file is explored and not a
 * copy. <stdatomic.h> is read first; its guard keeps later inclusions from undoing this. What the
 * explorer has no model for (fences, seq_cst, implicit orders, other read-modify-writes) fails to
 * link or is reported when it is reached. The operations of one line are one site.
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
};

uint64_t model_load(const volatile void *address, memory_order order, struct model_site site);
void model_store(volatile void *address, uint64_t value, memory_order order,
                 struct model_site site);
bool model_cas(volatile void *address, uint64_t *expected, uint64_t desired, memory_order success,
               memory_order failure, struct model_site site);
void model_init(volatile void *address, uint64_t value);
int model_has_no(const char *operation);

/* The type of *p without its qualifiers, _Atomic included. */
#define MODEL_VALUE_TYPE(p) __typeof__((void)0, *(p))
#define MODEL_SITE ((struct model_site){__func__, __LINE__})
#define MODEL_BITS(value) ((uint64_t)(uintptr_t)(value))

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
#define atomic_load_explicit(p, order)                                                             \
    ((MODEL_VALUE_TYPE(p))model_load((const volatile void *)(p), (order), MODEL_SITE))
#define atomic_store_explicit(p, value, order)                                                     \
    model_store((p), MODEL_BITS(value), (order), MODEL_SITE)
/* Strong only: a spurious failure would repeat for ever. */
#define atomic_compare_exchange_strong_explicit(p, expected, desired, success, failure)            \
    model_cas((p), (expected), MODEL_BITS(desired), (success), (failure), MODEL_SITE)

#endif /* SKUA_TESTS_MODEL_ATOMICS_H */
