/*
 * tests/model/litmus_model.c - shows that the explorer knows the memory model: small programs whose
 * weak outcomes are known from the literature, some allowed and some forbidden.
 */
#include "explorer.h"
#include "model_atomics.h"

#include <stdio.h>

static _Atomic uint64_t x, y, z;
static memory_order store_order, load_order;

static void setup(void)
{
    atomic_init(&x, 0);
    atomic_init(&y, 0);
    atomic_init(&z, 0);
}

static void setup_item(void)
{
    setup();
    (void)model_make(1);
}

static void setup_guarded(void)
{
    setup();
    model_guard(&x);
    model_owner(&x, 0);
}

static void finish_nothing(void)
{
}

static void message_writer(void)
{
    atomic_store_explicit(&x, 1, memory_order_relaxed);
    atomic_store_explicit(&y, 1, store_order);
}

static void message_reader(void)
{
    if (atomic_load_explicit(&y, load_order) == 1 &&
        atomic_load_explicit(&x, memory_order_relaxed) == 0)
        model_fail("flag seen, message not");
}

/* Fails for the second to come. */
static void saw_old(void)
{
    uint64_t expected = 0;
    if (!atomic_compare_exchange_strong_explicit(&z, &expected, 1, memory_order_relaxed,
                                                 memory_order_relaxed))
        model_fail("both saw the old value");
}

static void buffer_left(void)
{
    atomic_store_explicit(&x, 1, store_order);
    if (atomic_load_explicit(&y, load_order) == 0)
        saw_old();
}

static void buffer_right(void)
{
    atomic_store_explicit(&y, 1, store_order);
    if (atomic_load_explicit(&x, load_order) == 0)
        saw_old();
}

static void count_writer(void)
{
    atomic_store_explicit(&x, 1, memory_order_relaxed);
    atomic_store_explicit(&x, 2, memory_order_relaxed);
}

static void count_reader(void)
{
    uint64_t before = atomic_load_explicit(&x, memory_order_relaxed);
    uint64_t after = atomic_load_explicit(&x, memory_order_relaxed);
    if (after < before)
        model_fail("one location went backwards");
}

static void relay(void)
{
    uint64_t expected = 1;
    (void)atomic_compare_exchange_strong_explicit(&y, &expected, 2, memory_order_relaxed,
                                                  memory_order_relaxed);
}

static void relay_reader(void)
{
    if (atomic_load_explicit(&y, load_order) == 2 &&
        atomic_load_explicit(&x, memory_order_relaxed) == 0)
        model_fail("the release sequence was cut");
}

static void claim(void)
{
    uint64_t expected = 0;
    if (atomic_compare_exchange_strong_explicit(&z, &expected, 1, memory_order_relaxed,
                                                memory_order_relaxed))
        model_take((void *)(uintptr_t)1);
}

static void slot_reader(void)
{
    uint64_t expected = 0;
    (void)atomic_load_explicit(&x, memory_order_relaxed);
    (void)atomic_compare_exchange_strong_explicit(&y, &expected, 1, store_order,
                                                  memory_order_relaxed);
}

static void slot_writer(void)
{
    if (atomic_load_explicit(&y, load_order) == 1)
        atomic_store_explicit(&x, 1, memory_order_relaxed);
}

struct litmus {
    struct model_scenario scenario;
    memory_order store_order;
    memory_order load_order;
    bool is_allowed;
};

#define RELAXED memory_order_relaxed
#define RELEASE memory_order_release
#define ACQUIRE memory_order_acquire
#define MESSAGE(name)                                                                              \
    {                                                                                              \
        name, setup, {message_writer, message_reader}, finish_nothing                              \
    }
#define BUFFER(name)                                                                               \
    {                                                                                              \
        name, setup, {buffer_left, buffer_right}, finish_nothing                                   \
    }
#define RELAY(name)                                                                                \
    {                                                                                              \
        name, setup, {message_writer, relay, relay_reader}, finish_nothing                         \
    }
#define SLOT(name)                                                                                 \
    {                                                                                              \
        name, setup_guarded, {slot_writer, slot_reader}, finish_nothing                            \
    }

static const struct litmus tests[] = {
    {MESSAGE("message passing, relaxed"), RELAXED, RELAXED, true},
    {MESSAGE("message passing, release only"), RELEASE, RELAXED, true},
    {MESSAGE("message passing, acquire only"), RELAXED, ACQUIRE, true},
    {MESSAGE("message passing, release and acquire"), RELEASE, ACQUIRE, false},
    {{"coherence of one location", setup, {count_writer, count_reader}, finish_nothing},
     RELAXED,
     RELAXED,
     false},
    {RELAY("release sequence through a relaxed CAS"), RELEASE, ACQUIRE, false},
    {RELAY("no release, no sequence"), RELAXED, ACQUIRE, true},
    {{"one of two claims wins", setup_item, {claim, claim}, finish_nothing},
     RELAXED,
     RELAXED,
     false},
    {SLOT("slot read before it is filled anew, ordered"), RELEASE, ACQUIRE, false},
    {SLOT("slot read before it is filled anew, relaxed CAS"), RELAXED, ACQUIRE, true},
    {SLOT("slot read before it is filled anew, relaxed load"), RELEASE, RELAXED, true},
    {BUFFER("store buffering, release and acquire"), RELEASE, ACQUIRE, true},
};

int main(void)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        store_order = tests[i].store_order;
        load_order = tests[i].load_order;
        struct model_result r = model_explore(&tests[i].scenario, 0, false);
        bool is_right = r.is_bug == tests[i].is_allowed && !r.is_cut_short;
        printf("%-52s %s%s\n", tests[i].scenario.name, r.is_bug ? "allowed" : "forbidden",
               is_right ? "" : "  WRONG");
        wrong += !is_right;
    }
    printf("%s\n", wrong == 0 ? "ok" : "FAILED");
    return wrong == 0 ? 0 : 1;
}
