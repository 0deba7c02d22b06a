/*
 * platform/ctx.h - machine contexts: a suspended computation is a stack pointer.
 *
 * WHAT   skua_ctx_switch() saves the callee-saved registers and control words of the running
 *        context on its stack, stores the stack pointer in @from and resumes @to. Only what the ABI
 *        makes callee-saved is kept: rbx, rbp, r12-r15, MXCSR and the x87 control word on x86-64;
 *        x19-x29, d8-d15 and FPCR on aarch64.
 *
 * USE    A thread that will switch calls skua_ctx_init_thread() for the context of its own stack.
 *        A fresh stack gets skua_ctx_init(). The first switch to it calls @entry(@arg), which never
 *        returns: it leaves for good with skua_ctx_leave().
 *
 * ORDER  A context must not be resumed before the one that it switched to is running: the resumer
 *        synchronises with something that was done there (park = switch first, commit after).
 *        TSan builds report a resume that does not.
 *
 * FLOAT  A fresh context starts with the control words of skua_ctx_init()'s caller, as a thread
 *        does with those of its creator. Exception flags are not promised to be a context's own.
 *
 * The sanitizer and valgrind bookkeeping is inside; in an ordinary build struct skua_ctx is one
 * pointer and the hooks vanish.
 */
#ifndef SKUA_SRC_CTX_H
#define SKUA_SRC_CTX_H

#include "platform/sanitizer.h"

#include <stddef.h>

struct skua_ctx {
    void *sp; /* stack pointer while suspended; first: the assembly stores it through the pointer */
#if SKUA_ASAN
    void *fake_stack; /* ASan's, while suspended */
    /* Of the stack this context runs on. A thread's own is known from its first suspension on. */
    const void *stack_low;
    size_t stack_size_bytes;
#endif
#if SKUA_TSAN
    void *fiber;        /* TSan's */
    int owns_fiber;     /* skua_ctx_init() made it; a thread's own belongs to TSan */
    unsigned suspended; /* written by whoever runs after a suspension, read by the next resumer */
#endif
};

typedef void skua_ctx_entry(void *arg);

/* Makes @ctx the context of the calling thread's own stack; it is suspended by the first switch. */
void skua_ctx_init_thread(struct skua_ctx *ctx);

/*
 * Forgets what skua_ctx_init_thread() or skua_ctx_init() made, outside the sanitizers nothing. Not
 * called on @ctx itself. Leaves a zeroed context; a zeroed one is accepted.
 */
void skua_ctx_fini(struct skua_ctx *ctx);

/*
 * Prepares @ctx to call @entry(@arg) on the stack [@low, @low + @size_bytes), whose top
 * @top_offset_bytes stay unused (a multiple of 16: spreads hot frames over the cache sets).
 * @ctx is zeroed, or was used before and will not be resumed.
 */
void skua_ctx_init(struct skua_ctx *ctx, void *low, size_t size_bytes, size_t top_offset_bytes,
                   skua_ctx_entry *entry, void *arg);

/*
 * What a switch leaves to the compiler to save: the registers a call may clobber, vector registers
 * and x87 included. AVX-512 and SVE registers are named only where the compiler may use them.
 */
#if defined(__x86_64__)
#ifdef __AVX512F__
#define SKUA_CTX_CLOBBERS_MORE                                                                     \
    , "xmm16", "xmm17", "xmm18", "xmm19", "xmm20", "xmm21", "xmm22", "xmm23", "xmm24", "xmm25",    \
        "xmm26", "xmm27", "xmm28", "xmm29", "xmm30", "xmm31", "k1", "k2", "k3", "k4", "k5", "k6",  \
        "k7"
#else
#define SKUA_CTX_CLOBBERS_MORE
#endif
#define SKUA_CTX_CLOBBERS                                                                          \
    "rcx", "rdx", "r8", "r9", "r10", "r11", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5",        \
        "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",      \
        "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)", "cc",                 \
        "memory" SKUA_CTX_CLOBBERS_MORE
#elif defined(__aarch64__)
#ifdef __ARM_FEATURE_SVE
#define SKUA_CTX_CLOBBERS_MORE                                                                     \
    , "p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8", "p9", "p10", "p11", "p12", "p13",      \
        "p14", "p15"
#else
#define SKUA_CTX_CLOBBERS_MORE
#endif
#define SKUA_CTX_CLOBBERS                                                                          \
    "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14", "x15",      \
        "x16", "x17", "x18", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8", "v9",    \
        "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19", "v20", "v21", "v22", \
        "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30", "v31", "cc",                       \
        "memory" SKUA_CTX_CLOBBERS_MORE
#endif

/*
 * The bare switch. Returns, in the resumed context, the @from of the switch that resumed it. Only
 * for what follows. It jumps to the assembly rather than calling it, with the address to go on in a
 * register: see JUMP in ctx_x86_64.S.
 */
static inline __attribute__((always_inline)) struct skua_ctx *skua_ctx_swap(struct skua_ctx *from,
                                                                            struct skua_ctx *to)
{
#if defined(__x86_64__)
    struct skua_ctx *previous;
    __asm__ volatile("leaq 1f(%%rip), %%rdx\n\t"
                     "jmp skua_ctx_swap_frame\n"
                     "1:"
                     : "=a"(previous), "+D"(from), "+S"(to)
                     :
                     : SKUA_CTX_CLOBBERS);
    return previous;
#elif defined(__aarch64__)
    register struct skua_ctx *x0 __asm__("x0") = from;
    register struct skua_ctx *x1 __asm__("x1") = to;
    __asm__ volatile("adr x2, 1f\n\t"
                     "b skua_ctx_swap_frame\n"
                     "1:"
                     : "+r"(x0), "+r"(x1)
                     :
                     : SKUA_CTX_CLOBBERS);
    return x0;
#else
#error "no context switch for this machine"
#endif
}

#if SKUA_ASAN || SKUA_TSAN

/* Suspends the running context into @from and resumes @to. Returns when somebody resumes @from. */
void skua_ctx_switch(struct skua_ctx *from, struct skua_ctx *to);

/* Like skua_ctx_switch(), for a context that will never be resumed. */
_Noreturn void skua_ctx_leave(struct skua_ctx *from, struct skua_ctx *to);

#else

static inline void skua_ctx_switch(struct skua_ctx *from, struct skua_ctx *to)
{
    skua_ctx_swap(from, to);
}

_Noreturn static inline void skua_ctx_leave(struct skua_ctx *from, struct skua_ctx *to)
{
    skua_ctx_swap(from, to);
    __builtin_unreachable();
}

#endif

#endif /* SKUA_SRC_CTX_H */
