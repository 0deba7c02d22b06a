/*
 * platform/ctx.c - fresh contexts, and what the sanitizers must be told about switches.
 *
 * Owns nothing. Called by the scheduler (and by tests and benches). The switch itself is in
 * ctx_x86_64.S and ctx_aarch64.S; an ordinary build uses of this file only skua_ctx_init().
 */
#include "platform/ctx.h"

#include "base/check.h"
#include "platform/valgrind.h"

#include <stdint.h>
#include <string.h>

#if SKUA_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if SKUA_TSAN
#include <sanitizer/tsan_interface.h>
#endif

_Static_assert(offsetof(struct skua_ctx, sp) == 0, "the assembly stores sp through the pointer");

/* The second instruction of skua_ctx_start(), in assembly: where a fresh context is resumed. */
extern const char skua_ctx_start_pc[];

/*
 * A suspended context's frame, as the assembly pushes it, lowest address first. A fresh one makes
 * skua_ctx_start() call @entry(@arg); the control words are those in force here and now.
 */
#if defined(__x86_64__)

struct frame {
    uint32_t mxcsr;
    uint16_t x87_control;
    uint16_t unused;
    uintptr_t r15, r14, r13, r12, rbx, rbp;
    uintptr_t pc;
};
_Static_assert(sizeof(struct frame) == 64, "as in ctx_x86_64.S");

/* Between the frame and the stack pointer of the function that switches. */
#define RED_ZONE_BYTES 128u

static void frame_init(struct frame *frame, skua_ctx_entry *entry, void *arg)
{
    *frame = (struct frame){
        .rbx = (uintptr_t)entry,
        .r12 = (uintptr_t)arg,
        .pc = (uintptr_t)skua_ctx_start_pc,
    };
    __asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(frame->mxcsr), "=m"(frame->x87_control));
}

#elif defined(__aarch64__)

struct frame {
    uintptr_t x19, x20, x21, x22, x23, x24, x25, x26, x27, x28;
    uintptr_t x29; /* frame pointer: 0 ends a walk */
    uintptr_t pc;
    uint64_t fpcr;
    uint64_t unused;
};
_Static_assert(sizeof(struct frame) == 112, "as in ctx_aarch64.S");

#define RED_ZONE_BYTES 0u

static void frame_init(struct frame *frame, skua_ctx_entry *entry, void *arg)
{
    *frame = (struct frame){
        .x19 = (uintptr_t)entry,
        .x20 = (uintptr_t)arg,
        .pc = (uintptr_t)skua_ctx_start_pc,
    };
    __asm__ volatile("mrs %0, fpcr" : "=r"(frame->fpcr));
}

#else
#error "no context switch for this machine"
#endif

/* Above the frame: two zero words, which end a walk by anybody who runs past the first frame. */
#define END_BYTES 16u

/* All that a fresh stack must hold at its top; a multiple of 16. */
#define TOP_BYTES (sizeof(struct frame) + RED_ZONE_BYTES + END_BYTES)

/* Room for what this file puts on a fresh stack, with a little to spare for the entry. */
#define STACK_BYTES_MIN 1024u

static uintptr_t stack_top(void *low, size_t size_bytes, size_t top_offset_bytes)
{
    skua_check(top_offset_bytes % 16 == 0);
    skua_check(size_bytes >= top_offset_bytes + STACK_BYTES_MIN);
    return ((uintptr_t)low + size_bytes - top_offset_bytes) & ~(uintptr_t)15;
}

/* The frame that makes the first switch to @ctx call @entry(@arg). */
static void stack_init(struct skua_ctx *ctx, uintptr_t top, skua_ctx_entry *entry, void *arg)
{
    struct frame *frame = (struct frame *)(top - TOP_BYTES);
    skua_valgrind_stack_reuse(frame, (void *)top);
    memset((char *)top - END_BYTES, 0, END_BYTES);
    frame_init(frame, entry, arg);
    ctx->sp = frame;
}

#if !SKUA_ASAN && !SKUA_TSAN

void skua_ctx_init_thread(struct skua_ctx *ctx)
{
    ctx->sp = NULL;
}

void skua_ctx_fini(struct skua_ctx *ctx)
{
    ctx->sp = NULL;
}

void skua_ctx_init(struct skua_ctx *ctx, void *low, size_t size_bytes, size_t top_offset_bytes,
                   skua_ctx_entry *entry, void *arg)
{
    stack_init(ctx, stack_top(low, size_bytes, top_offset_bytes), entry, arg);
}

#else

/* Whatever tells a sanitizer of a switch must not itself be watched while it is half done. */
#if SKUA_TSAN
#define UNWATCHED SKUA_NOINLINE __attribute__((no_sanitize("thread")))
#else
#define UNWATCHED SKUA_NOINLINE __attribute__((no_sanitize("address")))
#endif

/* At the top of a fresh stack: what to call once the sanitizer has heard of the arrival there. */
struct first_call {
    skua_ctx_entry *entry;
    void *arg;
    struct skua_ctx *self;
    uintptr_t unused;
};

/*
 * TSan's idea of "@from cannot be resumed before somebody runs in its place": watched accesses to
 * one word stand for those of the assembly to the stack pointer and the stack, which TSan does not
 * see. The write is done by the context that took over; a resumer that is not ordered after it is a
 * data race, and is reported as one.
 */
#if SKUA_TSAN
static SKUA_NOINLINE void note_suspended(struct skua_ctx *ctx)
{
    ctx->suspended++;
}

static SKUA_NOINLINE void check_suspended(const struct skua_ctx *ctx)
{
    (void)*(volatile const unsigned *)&ctx->suspended;
}
#endif

/* Before the switch from @from to @to. A @leaving context will not come back. */
static inline __attribute__((always_inline)) void departing(struct skua_ctx *from,
                                                            struct skua_ctx *to, int leaving)
{
    (void)from;
    (void)leaving;
#if SKUA_ASAN
    __sanitizer_start_switch_fiber(leaving ? NULL : &from->fake_stack, to->stack_low,
                                   to->stack_size_bytes);
#endif
#if SKUA_TSAN
    check_suspended(to);
    /*
     * Flags 0: TSan orders what ran before the switch before what runs after it. That is no more
     * than the truth, since both run on this thread, one after the other. What the scheduler must
     * provide when a context moves, order between two threads, is not implied.
     */
    __tsan_switch_to_fiber(to->fiber, 0);
#endif
}

/* After a switch, now in @self: @previous is the context it replaced. */
static inline __attribute__((always_inline)) void arrived(struct skua_ctx *self,
                                                          struct skua_ctx *previous)
{
    (void)self;
#if SKUA_ASAN
    __sanitizer_finish_switch_fiber(self->fake_stack, &previous->stack_low,
                                    &previous->stack_size_bytes);
    self->fake_stack = NULL;
#endif
#if SKUA_TSAN
    note_suspended(previous);
#endif
}

UNWATCHED void skua_ctx_switch(struct skua_ctx *from, struct skua_ctx *to)
{
    departing(from, to, 0);
    arrived(from, skua_ctx_swap(from, to));
}

UNWATCHED _Noreturn void skua_ctx_leave(struct skua_ctx *from, struct skua_ctx *to)
{
    departing(from, to, 1);
    skua_ctx_swap(from, to);
    __builtin_trap();
}

static UNWATCHED void first_run(void *arg, struct skua_ctx *previous)
{
    struct first_call call = *(struct first_call *)arg;
    arrived(call.self, previous);
    call.entry(call.arg);
    __builtin_trap();
}

void skua_ctx_init_thread(struct skua_ctx *ctx)
{
    *ctx = (struct skua_ctx){.sp = NULL};
#if SKUA_TSAN
    ctx->fiber = __tsan_get_current_fiber();
#endif
}

void skua_ctx_fini(struct skua_ctx *ctx)
{
#if SKUA_TSAN
    if (ctx->owns_fiber)
        __tsan_destroy_fiber(ctx->fiber);
#endif
    *ctx = (struct skua_ctx){.sp = NULL};
}

void skua_ctx_init(struct skua_ctx *ctx, void *low, size_t size_bytes, size_t top_offset_bytes,
                   skua_ctx_entry *entry, void *arg)
{
    uintptr_t top = stack_top(low, size_bytes, top_offset_bytes);
    skua_ctx_fini(ctx);
#if SKUA_ASAN
    /* Whoever was here last need not have returned from its frames: forget their red zones. */
    __asan_unpoison_memory_region(low, size_bytes);
    ctx->stack_low = low;
    ctx->stack_size_bytes = size_bytes;
#endif
#if SKUA_TSAN
    /* A new one each time: the shadow call stack of a context that left is never unwound. */
    ctx->fiber = __tsan_create_fiber(0);
    ctx->owns_fiber = 1;
#endif
    struct first_call *call = (struct first_call *)(top - sizeof(*call));
    *call = (struct first_call){.entry = entry, .arg = arg, .self = ctx};
    stack_init(ctx, (uintptr_t)call, (skua_ctx_entry *)(uintptr_t)first_run, call);
}

#endif
