/*
 * tests/model/litmus_model.c - shows that the explorer knows the memory model: small programs whose
 * weak outcomes are known from the literature, some allowed and some forbidden.
 */
#include "explorer.h"
#include "model_atomics.h"

#include <stdio.h>

static _Atomic uint64_t x, y, z;
static uint64_t payload; /* plain */
static struct skua_spin lock;
static memory_order store_order, load_order;

static void setup(void)
{
    atomic_init(&x, 0);
    atomic_init(&y, 0);
    atomic_init(&z, 0);
    skua_spin_init(&lock);
    model_plain(&payload, 0);
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

/* Between seq_cst accesses, relaxed ones order nothing. */
static void bypass_reader(void)
{
    if (atomic_load_explicit(&z, memory_order_relaxed) == 1 &&
        atomic_load_explicit(&x, memory_order_seq_cst) == 0)
        model_fail("later than what it follows, and not seen");
}

static void bypass_writer(void)
{
    atomic_store_explicit(&x, 1, memory_order_seq_cst);
    atomic_store_explicit(&z, 1, memory_order_relaxed);
}

static void write_x(void)
{
    atomic_store_explicit(&x, 1, store_order);
}

static void write_y(void)
{
    atomic_store_explicit(&y, 1, store_order);
}

/* Of independent reads of independent writes. */
static void read_x_then_y(void)
{
    if (atomic_load_explicit(&x, load_order) == 1 && atomic_load_explicit(&y, load_order) == 0)
        saw_old();
}

static void read_y_then_x(void)
{
    if (atomic_load_explicit(&y, load_order) == 1 && atomic_load_explicit(&x, load_order) == 0)
        saw_old();
}

static void write_x_1_y_2(void)
{
    atomic_store_explicit(&x, 1, store_order);
    atomic_store_explicit(&y, 2, store_order);
}

static void write_y_1_x_2(void)
{
    atomic_store_explicit(&y, 1, store_order);
    atomic_store_explicit(&x, 2, store_order);
}

static void finish_both_1(void)
{
    if (atomic_load_explicit(&x, memory_order_relaxed) == 1 &&
        atomic_load_explicit(&y, memory_order_relaxed) == 1)
        model_fail("both first writes came last");
}

static void add_one(void)
{
    (void)atomic_fetch_add_explicit(&x, 1, memory_order_relaxed);
}

static void overwrite(void)
{
    atomic_store_explicit(&x, 10, memory_order_relaxed);
}

static void finish_sum(void)
{
    uint64_t sum = atomic_load_explicit(&x, memory_order_relaxed);
    if (sum < 10 && sum != 2)
        model_fail("an addition was lost");
}

static void exchange_left(void)
{
    (void)atomic_exchange_explicit(&x, 1, store_order);
    if (atomic_load_explicit(&y, load_order) == 0)
        saw_old();
}

/* "Z6.U" of Lahav et al.: happens-before and seq_cst are not one order. */
static void z6_left(void)
{
    atomic_store_explicit(&x, 1, memory_order_seq_cst);
    atomic_store_explicit(&y, 1, memory_order_release);
}

static void z6_middle(void)
{
    if (atomic_fetch_add_explicit(&y, 1, memory_order_seq_cst) == 1 &&
        atomic_load_explicit(&y, memory_order_relaxed) == 3)
        saw_old();
}

static void z6_right(void)
{
    atomic_store_explicit(&y, 3, memory_order_seq_cst);
    if (atomic_load_explicit(&x, memory_order_seq_cst) == 0)
        saw_old();
}

static void barrier_left(void)
{
    atomic_store_explicit(&x, 1, memory_order_relaxed);
    model_barrier();
    if (atomic_load_explicit(&y, memory_order_relaxed) == 0)
        saw_old();
}

static void payload_writer(void)
{
    model_plain_write(&payload, 1);
    atomic_store_explicit(&y, 1, store_order);
}

static void payload_reader(void)
{
    if (atomic_load_explicit(&y, load_order) == 1 && model_plain_read(&payload) != 1)
        model_fail("the payload is not there");
}

static void locked_add(void)
{
    skua_spin_lock(&lock);
    model_plain_write(&payload, model_plain_read(&payload) + 1);
    skua_spin_unlock(&lock);
}

static void finish_two(void)
{
    if (model_plain_read(&payload) != 2)
        model_fail("an addition was lost");
}

static void waiter(void)
{
    (void)MODEL_AWAIT(&x, UINT64_MAX, 1, load_order);
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

#define TWO(name, left, right, finish)                                                             \
    {                                                                                              \
        name, setup, {left, right}, finish                                                         \
    }
#define SEQ_CST memory_order_seq_cst

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
    {BUFFER("store buffering, seq_cst"), SEQ_CST, SEQ_CST, false},
    {BUFFER("store buffering, seq_cst stores"), SEQ_CST, ACQUIRE, true},
    {BUFFER("store buffering, seq_cst loads"), RELEASE, SEQ_CST, true},
    {TWO("store buffering, an exchange on one side", exchange_left, buffer_right, finish_nothing),
     SEQ_CST, SEQ_CST, false},
    {TWO("store buffering, an acq_rel exchange", exchange_left, buffer_right, finish_nothing),
     RELEASE, SEQ_CST, true},
    {TWO("store buffering, a barrier on one side for both", barrier_left, buffer_right,
         finish_nothing),
     RELAXED, RELAXED, false},
    {TWO("seq_cst store and load with relaxed ones between", bypass_writer, bypass_reader,
         finish_nothing),
     RELAXED, RELAXED, true},
    {{"independent reads of independent writes, seq_cst",
      setup,
      {write_x, write_y, read_x_then_y, read_y_then_x},
      finish_nothing},
     SEQ_CST,
     SEQ_CST,
     false},
    {{"independent reads of independent writes, acquire",
      setup,
      {write_x, write_y, read_x_then_y, read_y_then_x},
      finish_nothing},
     RELEASE,
     ACQUIRE,
     true},
    {{"Z6.U", setup, {z6_left, z6_middle, z6_right}, finish_nothing}, SEQ_CST, SEQ_CST, true},
    {TWO("two writes each, release", write_x_1_y_2, write_y_1_x_2, finish_both_1), RELEASE, RELAXED,
     true},
    {TWO("two writes each, seq_cst", write_x_1_y_2, write_y_1_x_2, finish_both_1), SEQ_CST, RELAXED,
     false},
    {{"additions are atomic", setup, {add_one, add_one, overwrite}, finish_sum},
     RELAXED,
     RELAXED,
     false},
    {TWO("payload handed over", payload_writer, payload_reader, finish_nothing), RELEASE, ACQUIRE,
     false},
    {TWO("payload handed over, relaxed", payload_writer, payload_reader, finish_nothing), RELAXED,
     ACQUIRE, true},
    {TWO("additions under a lock", locked_add, locked_add, finish_two), RELAXED, RELAXED, false},
    {TWO("a wake-up that comes", write_x, waiter, finish_nothing), RELAXED, RELAXED, false},
    {TWO("a wake-up that does not come", write_y, waiter, finish_nothing), RELAXED, RELAXED, true},
};

int main(void)
{
    unsigned wrong = 0;

    for (unsigned i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
        store_order = tests[i].store_order;
        load_order = tests[i].load_order;
        struct model_result r = model_explore(&tests[i].scenario, NULL, false);
        bool is_right = r.is_bug == tests[i].is_allowed && !r.is_cut_short;
        printf("%-52s %s%s\n", tests[i].scenario.name, r.is_bug ? "allowed" : "forbidden",
               is_right ? "" : "  WRONG");
        wrong += !is_right;
    }
    printf("%s\n", wrong == 0 ? "ok" : "FAILED");
    return wrong == 0 ? 0 : 1;
}
