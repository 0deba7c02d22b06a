/*
 * tests/sanitizer/planted.c - bugs inside contexts, for the dynamic checkers to find.
 *
 * planted <case>: "clean" has no bug and returns 0; each other case has the one its function says.
 * run.py builds this for each checker and looks at what it reports. A checker that is not told
 * properly of stacks and switches misses the bugs, or finds some in "clean".
 */
#include "platform/ctx.h"
#include "platform/valgrind.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define STACK_BYTES ((size_t)256 << 10)
#define SPINS_MAX 2000000000L
#define NOINLINE __attribute__((noinline))

/* A stack with a context on it, and the context to go back to. */
struct fiber {
    struct skua_ctx ctx;
    _Atomic(struct skua_ctx *) home; /* relaxed: must order nothing by itself */
    char *stack;
    unsigned valgrind_id;
};

static struct fiber fibers[2];
static volatile int index_beyond = 16;
static volatile int sink;
static char *volatile dangling;
static int shared; /* plain: two threads at once are a race */

static void fiber_init(struct fiber *fiber, skua_ctx_entry *entry, struct skua_ctx *home)
{
    if (fiber->stack == NULL) {
        fiber->stack =
            mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (fiber->stack == MAP_FAILED)
            abort();
        fiber->valgrind_id = skua_valgrind_stack_register(fiber->stack, fiber->stack + STACK_BYTES);
    }
    atomic_store_explicit(&fiber->home, home, memory_order_relaxed);
    skua_ctx_init(&fiber->ctx, fiber->stack, STACK_BYTES, 64, entry, fiber);
}

static void fiber_fini(struct fiber *fiber)
{
    skua_ctx_fini(&fiber->ctx);
    skua_valgrind_stack_deregister(fiber->valgrind_id);
    munmap(fiber->stack, STACK_BYTES);
}

static void go_home(struct fiber *fiber)
{
    skua_ctx_switch(&fiber->ctx, atomic_load_explicit(&fiber->home, memory_order_relaxed));
}

static _Noreturn void go_home_for_good(struct fiber *fiber)
{
    skua_ctx_leave(&fiber->ctx, atomic_load_explicit(&fiber->home, memory_order_relaxed));
}

/* Runs @entry in a context on the calling thread until it leaves. */
static void run_one(skua_ctx_entry *entry, int switches)
{
    struct skua_ctx home = {0};
    skua_ctx_init_thread(&home);
    fiber_init(&fibers[0], entry, &home);
    for (int i = 0; i < switches; i++)
        skua_ctx_switch(&home, &fibers[0].ctx);
    skua_ctx_fini(&home);
}

/* ---- no bug ---- */

static jmp_buf back;

static NOINLINE void jump_out(int level)
{
    volatile char bytes[200];
    memset((char *)bytes, level, sizeof(bytes));
    if (bytes[0] != (char)level)
        return;
    if (level == 0)
        longjmp(back, 1);
    jump_out(level - 1);
    sink += bytes[level];
}

static NOINLINE void use_much_stack(void)
{
    volatile char bytes[20000];
    memset((char *)bytes, 1, sizeof(bytes));
    sink += bytes[100];
}

/* Non-local jumps, deep frames and frames that are left for good, one context after another. */
static void clean_entry(void *arg)
{
    struct fiber *fiber = arg;
    volatile char bytes[64];
    bytes[0] = 1;
    if (setjmp(back) == 0)
        jump_out(20);
    go_home(fiber);
    use_much_stack();
    go_home(fiber);
    bytes[63] = bytes[0];
    sink += bytes[63];
    go_home_for_good(fiber);
}

static void clean(void)
{
    for (int i = 0; i < 50; i++)
        run_one(clean_entry, 3);
    fiber_fini(&fibers[0]);
}

static NOINLINE void abandon(struct fiber *fiber, int level)
{
    volatile char bytes[16];
    bytes[level % 16] = 1;
    if (level == 0)
        go_home(fiber);
    else
        abandon(fiber, level - 1);
    sink += bytes[0];
}

static void abandoned_entry(void *arg)
{
    use_much_stack();
    abandon(arg, 700);
}

/*
 * No bug: contexts are left suspended deep down, and their stack is used again. ASan must forget
 * the red zones there, TSan its copy of the call stack, which has room for some 2^16 calls.
 */
static void abandoned(void)
{
    for (int i = 0; i < 200; i++)
        run_one(abandoned_entry, 1);
    fiber_fini(&fibers[0]);
}

/* ---- AddressSanitizer ---- */

static void stack_overflow_entry(void *arg)
{
    struct fiber *fiber = arg;
    char bytes[16];
    memset(bytes, 1, sizeof(bytes));
    go_home(fiber);
    ((volatile char *)bytes)[index_beyond] = 2;
    go_home_for_good(fiber);
}

/* Writes one byte beyond an array in a context's frame. */
static void stack_overflow(void)
{
    run_one(stack_overflow_entry, 2);
}

static NOINLINE void publish_local(void)
{
    char bytes[512];
    memset(bytes, 1, sizeof(bytes));
    dangling = bytes;
    sink += dangling[0];
}

static void use_after_return_entry(void *arg)
{
    struct fiber *fiber = arg;
    publish_local();
    go_home(fiber);
    dangling[16] = 2;
    go_home_for_good(fiber);
}

/* Writes to a local of a function that has returned, below a context's stack pointer. */
static void use_after_return(void)
{
    run_one(use_after_return_entry, 2);
}

/* ---- valgrind ---- */

static NOINLINE int sum_of_uninitialised(void)
{
    volatile int numbers[8];
    numbers[0] = 1;
    return numbers[0] + numbers[5];
}

static void uninitialised_entry(void *arg)
{
    struct fiber *fiber = arg;
    use_much_stack();
    go_home(fiber);
    if (sum_of_uninitialised() == 42)
        sink = 1;
    go_home_for_good(fiber);
}

/* Decides on a local nobody has written. */
static void uninitialised(void)
{
    run_one(uninitialised_entry, 2);
}

/* ---- ThreadSanitizer ---- */

static atomic_int turn;

static void wait_for_turn(int expected, memory_order order)
{
    for (long i = 0; atomic_load_explicit(&turn, order) != expected; i++) {
        if (i == SPINS_MAX)
            abort();
    }
}

static void race_entry(void *arg)
{
    struct fiber *fiber = arg;
    for (int i = 0; i < 100; i++) {
        shared++;
        go_home(fiber);
    }
    go_home_for_good(fiber);
}

static void race_loop(struct fiber *fiber)
{
    struct skua_ctx home = {0};
    skua_ctx_init_thread(&home);
    fiber_init(fiber, race_entry, &home);
    for (int i = 0; i < 101; i++)
        skua_ctx_switch(&home, &fiber->ctx);
    skua_ctx_fini(&home);
}

static void *race_thread(void *arg)
{
    race_loop(arg);
    return NULL;
}

/* Two contexts on two threads increment a plain variable. */
static void data_race(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, race_thread, &fibers[1]) != 0)
        abort();
    race_loop(&fibers[0]);
    pthread_join(thread, NULL);
}

static void moved_entry(void *arg)
{
    struct fiber *fiber = arg;
    for (int i = 0; i < 10; i++) {
        shared++;
        go_home(fiber);
    }
    go_home_for_good(fiber);
}

static memory_order load_order, store_order;

/* Resumes the context when it is @self's turn, then says that it is the other's. */
static void moved_loop(int self)
{
    struct skua_ctx home = {0};
    skua_ctx_init_thread(&home);
    for (int i = 0; i < 5; i++) {
        wait_for_turn(2 * i + self, load_order);
        atomic_store_explicit(&fibers[0].home, &home, memory_order_relaxed);
        skua_ctx_switch(&home, &fibers[0].ctx);
        atomic_store_explicit(&turn, 2 * i + self + 1, store_order);
    }
    skua_ctx_fini(&home);
}

static void *moved_thread(void *arg)
{
    moved_loop(1);
    return arg;
}

static void move_between_threads(memory_order load, memory_order store)
{
    load_order = load;
    store_order = store;
    fiber_init(&fibers[0], moved_entry, NULL);
    pthread_t thread;
    if (pthread_create(&thread, NULL, moved_thread, NULL) != 0)
        abort();
    moved_loop(0);
    pthread_join(thread, NULL);
    fiber_fini(&fibers[0]);
}

/* No bug: a context moves between threads, and each move is ordered. */
static void moved(void)
{
    move_between_threads(memory_order_acquire, memory_order_release);
}

/* The same without order: the resumer may see a stack that is not yet left. */
static void moved_unordered(void)
{
    move_between_threads(memory_order_relaxed, memory_order_relaxed);
}

/* ---- */

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {
    {"clean", clean},
    {"abandoned", abandoned},
    {"stack_overflow", stack_overflow},
    {"use_after_return", use_after_return},
    {"uninitialised", uninitialised},
    {"data_race", data_race},
    {"moved", moved},
    {"moved_unordered", moved_unordered},
};

int main(int argc, char **argv)
{
    for (size_t i = 0; argc == 2 && i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (strcmp(argv[1], cases[i].name) == 0) {
            cases[i].run();
            return 0;
        }
    }
    fprintf(stderr, "usage: planted <case>\n");
    return 2;
}
