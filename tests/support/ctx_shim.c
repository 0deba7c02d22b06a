/*
 * tests/support/ctx_shim.c - see ctx_shim.h.
 *
 * A scenario owns one struct scene: the context of the thread, up to CONTEXTS_MAX others and memory
 * for their stacks. Code in a context returns nothing: it leaves what it saw in the scene.
 */
#include "support/ctx_shim.h"

#include "platform/ctx.h"
#include "platform/tls.h"
#include "platform/valgrind.h"

#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unwind.h>

#if SKUA_VALGRIND
#define UNDER_VALGRIND RUNNING_ON_VALGRIND
#else
#define UNDER_VALGRIND 0
#endif

#define CONTEXTS_MAX 64
#define STACK_BYTES ((size_t)256 << 10)
#define DEADLINE_SECONDS 20

struct scene;

/* One context and what its entry needs. */
struct part {
    struct skua_ctx ctx;
    struct scene *scene;
    int index;
    unsigned valgrind_id;
};

struct scene {
    struct skua_ctx thread;
    struct part parts[CONTEXTS_MAX];
    char *stacks;
    int count;
    int failed;  /* the first thing that went wrong */
    int counter; /* free for the scenario */
    int limit;   /* free for the scenario */
};

static void scene_fail(struct scene *scene, int what)
{
    if (scene->failed == 0)
        scene->failed = what;
}

static char *stack_low(struct scene *scene, int index)
{
    return scene->stacks + (size_t)index * STACK_BYTES;
}

static void part_init(struct part *part, size_t top_offset_bytes, skua_ctx_entry *entry)
{
    skua_ctx_init(&part->ctx, stack_low(part->scene, part->index), STACK_BYTES, top_offset_bytes,
                  entry, part);
}

static struct scene *scene_create(int count, skua_ctx_entry *entry)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    if (scene == NULL)
        abort();
    scene->count = count;
    scene->stacks = mmap(NULL, (size_t)count * STACK_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (scene->stacks == MAP_FAILED)
        abort();
    skua_ctx_init_thread(&scene->thread);
    for (int i = 0; i < count; i++) {
        struct part *part = &scene->parts[i];
        part->scene = scene;
        part->index = i;
        char *low = stack_low(scene, i);
        part->valgrind_id = skua_valgrind_stack_register(low, low + STACK_BYTES);
        part_init(part, (size_t)(i % 16) * 64, entry);
    }
    return scene;
}

/* Returns what failed first. */
static int scene_destroy(struct scene *scene)
{
    for (int i = 0; i < scene->count; i++) {
        skua_ctx_fini(&scene->parts[i].ctx);
        skua_valgrind_stack_deregister(scene->parts[i].valgrind_id);
    }
    skua_ctx_fini(&scene->thread);
    munmap(scene->stacks, (size_t)scene->count * STACK_BYTES);
    int failed = scene->failed;
    free(scene);
    return failed;
}

static void to_part(struct scene *scene, int index)
{
    skua_ctx_switch(&scene->thread, &scene->parts[index].ctx);
}

static void to_thread(struct part *part)
{
    skua_ctx_switch(&part->ctx, &part->scene->thread);
}

static _Noreturn void leave(struct part *part)
{
    skua_ctx_leave(&part->ctx, &part->scene->thread);
}

/* ---- argument, alignment ---- */

static void argument_entry(void *arg)
{
    struct part *part = arg;
    if (part->index != 2 || part != &part->scene->parts[2])
        scene_fail(part->scene, 1);
    part->scene->counter++;
    leave(part);
}

int ctx_shim_entry_argument(void)
{
    struct scene *scene = scene_create(3, argument_entry);
    to_part(scene, 2);
    if (scene->counter != 1)
        scene_fail(scene, 2);
    return scene_destroy(scene);
}

typedef float vector4 __attribute__((vector_size(16)));

/* The compiler stores @value with an instruction that faults on an unaligned address. */
static __attribute__((noinline)) float aligned_store(vector4 value)
{
    volatile vector4 on_stack = value;
    return on_stack[3];
}

static __attribute__((noinline)) void alignment_entry(void *arg)
{
    struct part *part = arg;
    /* x86-64: rbp, pushed right below the return address; aarch64: the frame record */
    if ((uintptr_t)__builtin_frame_address(0) % 16 != 0)
        scene_fail(part->scene, 1);
    if (aligned_store((vector4){1, 2, 3, 4}) < 4)
        scene_fail(part->scene, 2);
    leave(part);
}

int ctx_shim_stack_alignment(void)
{
    struct scene *scene = scene_create(16, alignment_entry);
    for (int i = 0; i < 16; i++) {
        part_init(&scene->parts[i], (size_t)i * 16, alignment_entry);
        to_part(scene, i);
    }
    return scene_destroy(scene);
}

/* ---- registers ---- */

#if SKUA_ASAN || SKUA_TSAN

int ctx_shim_callee_saved_registers(void)
{
    return -1;
}

#else

/*
 * Fills callee-saved register i with @seed + i, switches, and returns a mask of those that differ
 * afterwards. It is its own witness: no compiler can keep the values elsewhere.
 */
__attribute__((visibility("hidden"))) unsigned
ctx_shim_regs_switch(struct skua_ctx *from, struct skua_ctx *to, uint64_t seed);

/* clang-format off */
#if defined(__x86_64__)
#define CHECK(bit, reg)                                                                            \
    "leaq " #bit "(%rdx), %rcx\n cmpq " reg ", %rcx\n je 3f\n orl $(1 << " #bit "), %eax\n 3:\n"
__asm__(".pushsection .text\n"
        ".globl ctx_shim_regs_switch\n .hidden ctx_shim_regs_switch\n"
        ".type ctx_shim_regs_switch, @function\n"
        "ctx_shim_regs_switch:\n"
        "pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        "pushq %rdx\n"
        "leaq 0(%rdx), %rbx\n leaq 1(%rdx), %rbp\n leaq 2(%rdx), %r12\n"
        "leaq 3(%rdx), %r13\n leaq 4(%rdx), %r14\n leaq 5(%rdx), %r15\n"
        "leaq 1f(%rip), %rdx\n jmp skua_ctx_swap_frame\n 1:\n"
        "popq %rdx\n xorl %eax, %eax\n"
        CHECK(0, "%rbx") CHECK(1, "%rbp") CHECK(2, "%r12")
        CHECK(3, "%r13") CHECK(4, "%r14") CHECK(5, "%r15")
        "popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n"
        ".size ctx_shim_regs_switch, . - ctx_shim_regs_switch\n"
        ".popsection\n");
#elif defined(__aarch64__)
#define CHECK(bit, reg)                                                                            \
    "add x3, x2, #" #bit "\n cmp " reg ", x3\n b.eq 3f\n orr w0, w0, #(1 << " #bit ")\n 3:\n"
__asm__(".pushsection .text\n"
        ".globl ctx_shim_regs_switch\n .hidden ctx_shim_regs_switch\n"
        ".type ctx_shim_regs_switch, %function\n"
        "ctx_shim_regs_switch:\n"
        "stp x29, x30, [sp, #-176]!\n stp x19, x20, [sp, #16]\n stp x21, x22, [sp, #32]\n"
        "stp x23, x24, [sp, #48]\n stp x25, x26, [sp, #64]\n stp x27, x28, [sp, #80]\n"
        "stp d8, d9, [sp, #96]\n stp d10, d11, [sp, #112]\n stp d12, d13, [sp, #128]\n"
        "stp d14, d15, [sp, #144]\n str x2, [sp, #160]\n"
        "add x19, x2, #0\n add x20, x2, #1\n add x21, x2, #2\n add x22, x2, #3\n"
        "add x23, x2, #4\n add x24, x2, #5\n add x25, x2, #6\n add x26, x2, #7\n"
        "add x27, x2, #8\n add x28, x2, #9\n add x29, x2, #10\n"
        "adr x2, 1f\n b skua_ctx_swap_frame\n 1:\n"
        "ldr x2, [sp, #160]\n mov w0, #0\n"
        CHECK(0, "x19") CHECK(1, "x20") CHECK(2, "x21") CHECK(3, "x22") CHECK(4, "x23")
        CHECK(5, "x24") CHECK(6, "x25") CHECK(7, "x26") CHECK(8, "x27") CHECK(9, "x28")
        CHECK(10, "x29")
        "ldp x19, x20, [sp, #16]\n ldp x21, x22, [sp, #32]\n ldp x23, x24, [sp, #48]\n"
        "ldp x25, x26, [sp, #64]\n ldp x27, x28, [sp, #80]\n ldp d8, d9, [sp, #96]\n"
        "ldp d10, d11, [sp, #112]\n ldp d12, d13, [sp, #128]\n ldp d14, d15, [sp, #144]\n"
        "ldp x29, x30, [sp], #176\n ret\n"
        ".size ctx_shim_regs_switch, . - ctx_shim_regs_switch\n"
        ".popsection\n");
#endif
/* clang-format on */

static void registers_entry(void *arg)
{
    struct part *part = arg;
    for (uint64_t round = 0;; round++) {
        uint64_t seed = UINT64_C(0x7a5c000000000000) + (round << 8);
        part->scene->counter |= (int)ctx_shim_regs_switch(&part->ctx, &part->scene->thread, seed);
    }
}

int ctx_shim_callee_saved_registers(void)
{
    struct scene *scene = scene_create(1, registers_entry);
    for (uint64_t round = 0; round < 100; round++) {
        uint64_t seed = UINT64_C(0x1b3d000000000000) + (round << 8);
        scene->counter |= (int)ctx_shim_regs_switch(&scene->thread, &scene->parts[0].ctx, seed);
    }
    int mask = scene->counter;
    scene_destroy(scene);
    return mask;
}

#endif

/* ---- floating point ---- */

#define FLOATS 8

static __attribute__((noinline)) void switch_behind_call(struct skua_ctx *from, struct skua_ctx *to)
{
    skua_ctx_switch(from, to);
}

/*
 * The switch is behind a call, across which the compiler may keep the values in registers
 * that a call preserves (d8-d15 of aarch64).
 */
static __attribute__((noinline)) double keep_floats(struct skua_ctx *from, struct skua_ctx *to,
                                                    volatile double *source)
{
    double a = source[0] * 3, b = source[1] * 3, c = source[2] * 3, d = source[3] * 3;
    double e = source[4] * 3, f = source[5] * 3, g = source[6] * 3, h = source[7] * 3;
    switch_behind_call(from, to);
    return a + b * 2 + c * 3 + d * 4 + e * 5 + f * 6 + g * 7 + h * 8;
}

static void floats_entry(void *arg)
{
    struct part *part = arg;
    volatile double source[FLOATS] = {-1, -2, -3, -4, -5, -6, -7, -8};
    for (;;) {
        if (keep_floats(&part->ctx, &part->scene->thread, source) > -611.5)
            scene_fail(part->scene, 1);
    }
}

int ctx_shim_floats_survive(int rounds)
{
    struct scene *scene = scene_create(1, floats_entry);
    volatile double source[FLOATS] = {1, 2, 3, 4, 5, 6, 7, 8};
    for (int i = 0; i < rounds; i++) {
        if (keep_floats(&scene->thread, &scene->parts[0].ctx, source) < 611.5)
            scene_fail(scene, 1);
    }
    return scene_destroy(scene);
}

static volatile double one = 1, three = 3;
static volatile long double long_one = 1, long_minus_one = -1, long_three = 3;

/* Whether 1/3 is rounded up; to nearest it is below. */
static bool rounds_up_double(void)
{
    double third = one / three;
    return third > 0x1.5555555555555p-2;
}

/* To nearest, 1/3 and -1/3 have the same digits; software arithmetic follows the mode, too. */
static bool rounds_up_long_double(void)
{
    long double third = long_one / long_three, negative = long_minus_one / long_three;
    return third + negative != 0;
}

static void rounding_entry(void *arg)
{
    struct part *part = arg;
    struct scene *scene = part->scene;
    fesetround(FE_UPWARD);
    for (int i = 0; i < 10; i++) {
        if (!rounds_up_double())
            scene_fail(scene, 1);
        if (!rounds_up_long_double())
            scene_fail(scene, 2);
        if (fegetround() != FE_UPWARD)
            scene_fail(scene, 5);
        to_thread(part);
    }
    leave(part);
}

int ctx_shim_rounding_mode(void)
{
    if (UNDER_VALGRIND)
        return -1;
    struct scene *scene = scene_create(1, rounding_entry);
    for (int i = 0; i < 11; i++) {
        to_part(scene, 0);
        if (rounds_up_double())
            scene_fail(scene, 3);
        if (rounds_up_long_double())
            scene_fail(scene, 4);
        if (fegetround() != FE_TONEAREST)
            scene_fail(scene, 5);
    }
    return scene_destroy(scene);
}

#if defined(__x86_64__)

#define FLUSH_TO_ZERO 0x8000u

static void flush_entry(void *arg)
{
    struct part *part = arg;
    __builtin_ia32_ldmxcsr(__builtin_ia32_stmxcsr() | FLUSH_TO_ZERO);
    to_thread(part);
    if ((__builtin_ia32_stmxcsr() & FLUSH_TO_ZERO) == 0)
        scene_fail(part->scene, 2);
    leave(part);
}

int ctx_shim_flush_to_zero(void)
{
    if (UNDER_VALGRIND)
        return -1;
    struct scene *scene = scene_create(1, flush_entry);
    for (int i = 0; i < 2; i++) {
        to_part(scene, 0);
        if ((__builtin_ia32_stmxcsr() & FLUSH_TO_ZERO) != 0)
            scene_fail(scene, 1);
    }
    return scene_destroy(scene);
}

#else

int ctx_shim_flush_to_zero(void)
{
    return 0;
}

#endif

static void inherited_entry(void *arg)
{
    struct part *part = arg;
    if (fegetround() != FE_UPWARD || !rounds_up_double() || !rounds_up_long_double())
        scene_fail(part->scene, 1);
    leave(part);
}

int ctx_shim_inherited_rounding_mode(void)
{
    if (UNDER_VALGRIND)
        return -1;
    fesetround(FE_UPWARD);
    struct scene *scene = scene_create(1, inherited_entry);
    fesetround(FE_TONEAREST);
    to_part(scene, 0);
    return scene_destroy(scene);
}

/* ---- many switches ---- */

static __attribute__((noinline)) void deep_level(struct part *part, int level)
{
    volatile uint64_t canary[4];
    uint64_t value = (uint64_t)part->index << 32 | (uint64_t)level;
    for (unsigned i = 0; i < 4; i++)
        canary[i] = value * (i + 1);
    to_thread(part);
    if (level < part->scene->limit)
        deep_level(part, level + 1);
    to_thread(part);
    for (unsigned i = 0; i < 4; i++) {
        if (canary[i] != value * (i + 1))
            scene_fail(part->scene, 1);
    }
}

static void deep_entry(void *arg)
{
    struct part *part = arg;
    for (;;)
        deep_level(part, 0);
}

int ctx_shim_deep_ping_pong(int contexts, int depth, int rounds)
{
    struct scene *scene = scene_create(contexts, deep_entry);
    scene->limit = depth;
    for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < contexts; i++)
            to_part(scene, i);
    }
    return scene_destroy(scene);
}

/* Leaves used stack below the frame that will leave: valgrind calls it out of bounds from then. */
static __attribute__((noinline)) void use_stack(void)
{
    volatile char bytes[4096];
    bytes[0] = 1;
    bytes[4095] = bytes[0];
}

static void reused_entry(void *arg)
{
    struct part *part = arg;
    part->scene->counter++;
    use_stack();
    if (part->scene->counter % 2 == 0)
        leave(part);
    to_thread(part);
    abort();
}

int ctx_shim_stack_reused(int times)
{
    struct scene *scene = scene_create(1, reused_entry);
    for (int i = 0; i < times; i++) {
        part_init(&scene->parts[0], (size_t)(i * 7 % 16) * 64, reused_entry);
        to_part(scene, 0);
        if (scene->counter != i + 1)
            scene_fail(scene, 1);
    }
    return scene_destroy(scene);
}

static void symmetric_entry(void *arg)
{
    struct part *part = arg;
    struct scene *scene = part->scene;
    for (int i = 0; i < 100; i++) {
        if (scene->counter % 2 != part->index)
            scene_fail(scene, 1);
        scene->counter++;
        skua_ctx_switch(&part->ctx, &scene->parts[1 - part->index].ctx);
    }
    leave(part);
}

int ctx_shim_symmetric(void)
{
    struct scene *scene = scene_create(2, symmetric_entry);
    to_part(scene, 0);
    if (scene->counter != 200)
        scene_fail(scene, 1);
    return scene_destroy(scene);
}

/* ---- two threads ---- */

/* The context goes to and fro; whoever has the semaphore resumes it. */
struct relay {
    struct part *part;
    struct skua_ctx *home; /* of the thread that has resumed the context */
    sem_t turn[2];
    int moves;
    int failed;
};

static bool wait_for_turn(sem_t *turn)
{
    struct timespec deadline;
    clock_gettime(CLOCK_REALTIME, &deadline);
    deadline.tv_sec += DEADLINE_SECONDS;
    int result;
    do {
        result = sem_timedwait(turn, &deadline);
    } while (result != 0 && errno == EINTR);
    return result == 0;
}

/* One thread's share: its slot holds its own number while it resumes the context. */
static void relay_run(struct relay *relay, int self)
{
    struct skua_ctx home = {0};
    skua_ctx_init_thread(&home);
    skua_tls_set(&relay->turn[self]);
    for (int i = 0; i < relay->moves; i++) {
        if (!wait_for_turn(&relay->turn[self])) {
            relay->failed = 2;
            break;
        }
        relay->home = &home;
        skua_ctx_switch(&home, &relay->part->ctx);
        sem_post(&relay->turn[1 - self]);
    }
    skua_tls_set(NULL);
    skua_ctx_fini(&home);
}

static void *relay_thread(void *arg)
{
    relay_run(arg, 1);
    return NULL;
}

/* Lets two threads resume the scene's context @moves times each. Returns 0, 1 or 2. */
static int relay_play(struct relay *relay)
{
    sem_init(&relay->turn[0], 0, 1);
    sem_init(&relay->turn[1], 0, 0);
    pthread_t thread;
    if (pthread_create(&thread, NULL, relay_thread, relay) != 0)
        return 1;
    relay_run(relay, 0);
    pthread_join(thread, NULL);
    sem_destroy(&relay->turn[0]);
    sem_destroy(&relay->turn[1]);
    return relay->failed;
}

static struct relay *relay_of_test; /* one test at a time; set before the threads start */

static void migration_entry(void *arg)
{
    struct part *part = arg;
    struct relay *relay = relay_of_test;
    uint64_t sum = 0;
    for (int i = 0;; i++) {
        /* twice in one body, so that a compiler is tempted to read only once */
        if (skua_tls_get() != &relay->turn[i % 2])
            scene_fail(part->scene, 4);
        sum += (uint64_t)i;
        skua_ctx_switch(&part->ctx, relay->home);
        i++;
        if (skua_tls_get() != &relay->turn[i % 2])
            scene_fail(part->scene, 4);
        sum += (uint64_t)i;
        if (sum != (uint64_t)i * (uint64_t)(i + 1) / 2)
            scene_fail(part->scene, 3);
        skua_ctx_switch(&part->ctx, relay->home);
    }
}

int ctx_shim_migration(int moves)
{
    struct scene *scene = scene_create(1, migration_entry);
    struct relay relay = {.part = &scene->parts[0], .moves = moves};
    relay_of_test = &relay;
    int failed = relay_play(&relay);
    relay_of_test = NULL;
    scene_fail(scene, failed);
    return scene_destroy(scene);
}

/* An ordinary variable as a library would have it: its address is asked of the dynamic linker. */
static _Thread_local int plain_value __attribute__((tls_model("global-dynamic")));

#if defined(__GNUC__) && !defined(__clang__)
__attribute__((optimize("O3")))
#endif
static void
plain_entry(void *arg)
{
    struct part *part = arg;
    plain_value = 1; /* the first thread's */
    skua_ctx_switch(&part->ctx, relay_of_test->home);
    plain_value = 2; /* meant for the second thread's */
    part->scene->counter++;
    skua_ctx_switch(&part->ctx, relay_of_test->home);
    for (;;)
        skua_ctx_switch(&part->ctx, relay_of_test->home);
}

int ctx_shim_plain_thread_local_is_stale(void)
{
    struct scene *scene = scene_create(1, plain_entry);
    struct relay relay = {.part = &scene->parts[0], .moves = 1};
    relay_of_test = &relay;
    plain_value = 0;
    int failed = relay_play(&relay);
    relay_of_test = NULL;
    int ran = scene->counter;
    scene_destroy(scene);
    if (failed != 0 || ran != 1)
        return 2;
    return plain_value == 2; /* this thread's own was to stay 1 */
}

static void *slot_thread(void *arg)
{
    int *was_empty = arg;
    *was_empty = skua_tls_get() == NULL;
    skua_tls_set(arg);
    return skua_tls_get();
}

int ctx_shim_tls_per_thread(void)
{
    int mine = 0, was_empty = 0;
    skua_tls_set(&mine);
    pthread_t thread;
    void *theirs = NULL;
    if (pthread_create(&thread, NULL, slot_thread, &was_empty) != 0)
        return 1;
    pthread_join(thread, &theirs);
    int failed = skua_tls_get() != &mine || theirs != &was_empty ? 1 : was_empty ? 0 : 2;
    skua_tls_set(NULL);
    return failed;
}

/* ---- unwinding ---- */

#define FRAMES_MAX 50

static _Unwind_Reason_Code count_frame(struct _Unwind_Context *context, void *arg)
{
    (void)context;
    int *frames = arg;
    return ++*frames < FRAMES_MAX ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void backtrace_entry(void *arg)
{
    struct part *part = arg;
    _Unwind_Backtrace(count_frame, &part->scene->counter);
    leave(part);
}

int ctx_shim_backtrace_frames(void)
{
    struct scene *scene = scene_create(1, backtrace_entry);
    to_part(scene, 0);
    int frames = scene->counter;
    scene_destroy(scene);
    return frames < FRAMES_MAX ? frames : 0;
}
