/*
 * skua/fork_macros.h - the typed form of fork and join; included by skua/fork.h, which explains it.
 *
 * SKUA_FORKABLE(result, name, type1, name1, ...) stands before a function body and declares, with
 * at most six parameters that together with nothing else fit in 40 bytes,
 *
 *     static result name(type1 name1, ...);    an ordinary function: call it from anywhere
 *     SKUA_JOB(name)                           the type of a job; arrays of it are fine
 *
 * and, inside the body of any forkable function,
 *
 *     SKUA_FORK(name, &job, arguments...)      offers the call
 *     SKUA_JOIN(name, &job)                    makes it, or waits for it: its result
 *     SKUA_CALL(name, arguments...)            a call that needs no job, on this stack in any case
 *     SKUA_LEAF(condition)                     in an if: most calls end here. gcc then makes that
 *                                              test where the function is called
 *
 * SKUA_FORKABLE_VOID(name, ...) is the same for functions without result. A function that is used
 * before its body is declared by SKUA_FORKABLE_DECLARE(result, name, ...) and its body preceded by
 * SKUA_FORKABLE_BODY(result, name, ...). All of it is static: one file, one function.
 *
 * Jobs are joined in the reverse order of their forks, by the function that forked them. A wrong
 * order is found where NDEBUG is not defined. Cancelling does not reach these jobs themselves, as
 * it does not reach calls; the waits in them return -ECANCELED.
 *
 * Within one forkable body, a job of the plain form must be joined before the next SKUA_FORK or
 * SKUA_CALL: those do not know of it and would take its place. This, too, is found where NDEBUG is
 * not defined.
 *
 * How it works. Each forkable function has two hidden parameters: its task's deque, and the first
 * free place in it. A fork writes the arguments there, then the function; a join takes the function
 * away and makes the call, unless the deque's join_limit says that the place may be public. Both
 * limits double as flags by which idle workers ask for work. See src/core/fork_deque.h.
 */
#ifndef SKUA_FORK_MACROS_H
#define SKUA_FORK_MACROS_H

#include <skua/base.h>
#include <skua/fork_pairs.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SKUA_FORK_PAYLOAD_BYTES 40

struct skua_fork_deque;
struct skua_fork_slot;

/* Runs a job with the arguments in @payload and leaves the result there. */
typedef void (*skua_fork_entry)(struct skua_fork_deque *deque, struct skua_fork_slot *head,
                                void *payload);

/* One place of a deque: a cache line. */
struct skua_fork_slot {
    skua_fork_entry fn;    /* not NULL: taken by a job. Written by the owner alone */
    skua_fork_entry entry; /* the same once the job is public: written by who publishes it */
    uintptr_t state;       /* of a public job: 0, its waiting joiner, or done */
    uint64_t payload[SKUA_FORK_PAYLOAD_BYTES / 8];
};

/* What the fast paths read; the rest of a deque is the library's. Read and written atomically. */
struct skua_fork_deque {
    struct skua_fork_slot *fork_limit; /* forks from here on ask the library */
    struct skua_fork_slot *join_limit; /* so do joins below */
    const char *stack_limit;           /* calls below go to another stack; the owner's alone */
    struct skua_fork_slot *head;       /* of the plain form; the owner's alone; see skua/fork.h */
};

enum skua_fork_how {
    SKUA_FORK_RUN,   /* the job is the caller's: call it */
    SKUA_FORK_FAR,   /* so it is, on another stack */
    SKUA_FORK_TAKEN, /* it has been run: the result is in its slot */
    SKUA_FORK_ASIDE  /* it was never offered: the arguments are in the handle */
};

/**
 * For the macros: a fork at or beyond fork_limit.
 *
 * Context: as skua_fork().
 * Cancellation: not a cancellation point.
 * Returns: true if the job goes to @head; false if it is not offered, nor those forked after it
 *   before its join.
 */
SKUA_API bool skua_fork_slow(struct skua_fork_deque *deque, struct skua_fork_slot *head);

/**
 * For the macros: the job skua_fork_slow() let through stands in its slot. Hands out what idle
 * workers have asked for.
 *
 * Context: as skua_fork().
 * Cancellation: not a cancellation point.
 * Returns: nothing.
 */
SKUA_API void skua_fork_offer(struct skua_fork_deque *deque);

/**
 * For the macros: a join below join_limit. Waits if somebody has the job.
 *
 * Context: as skua_join().
 * Cancellation: as skua_join().
 * Returns: what the macro has to do.
 */
SKUA_API enum skua_fork_how skua_join_slow(struct skua_fork_deque *deque,
                                           struct skua_fork_slot *slot);

/**
 * For the macros: runs a job that was not offered, on another stack if little of this is left.
 *
 * Context: as skua_join().
 * Cancellation: as skua_join().
 * Returns: nothing; the result is in *@payload.
 */
SKUA_API void skua_fork_aside(struct skua_fork_deque *deque, struct skua_fork_slot *head,
                              skua_fork_entry entry, void *payload);

/**
 * For the macros: the outermost call of a forkable function, with the caller's deque, if it has
 * one, and enough stack.
 *
 * Context: any; may wait.
 * Cancellation: not a cancellation point.
 * Returns: nothing; the result is in *@payload.
 */
SKUA_API void skua_fork_call(skua_fork_entry entry, void *payload);

/**
 * For the macros: a programmer's error. Prints what and where on standard error and aborts.
 *
 * Context: any.
 * Cancellation: not a cancellation point.
 * Returns: never.
 */
SKUA_API void skua_fork_misuse(const char *what) __attribute__((noreturn));

#ifdef __cplusplus
}
#endif

/* ---- what a forkable function consists of ---------------------------------------------------- */

#define SKUA_FORK_UNLIKELY_(x) __builtin_expect(!!(x), 0)
#define SKUA_FORK_INLINE_ static inline __attribute__((always_inline, unused))
#define SKUA_FORK_COLD_ static __attribute__((noinline, cold, unused))

/* Whether little of the stack is left. The outermost caller's own stack counts as endless. */
SKUA_FORK_INLINE_ bool skua_fork_is_low_(struct skua_fork_deque *deque)
{
#if defined(__x86_64__)
    bool low;
    __asm__("cmpq %1, %%rsp" : "=@ccb"(low) : "m"(deque->stack_limit));
    return low;
#else
    return (const char *)__builtin_frame_address(0) < deque->stack_limit;
#endif
}

SKUA_FORK_INLINE_ void *skua_fork_payload_(struct skua_fork_slot *slot)
{
    return slot->payload;
}

#ifdef __cplusplus
#define SKUA_FORK_STATIC_ASSERT_ static_assert
#else
#define SKUA_FORK_STATIC_ASSERT_ _Static_assert
#endif

#define SKUA_JOB(name) struct name##_skua_job

/* Only the newest job may be joined. */
#ifdef NDEBUG
#define SKUA_FORK_ORDER_(ok, what) ((void)0)
#else
#define SKUA_FORK_ORDER_(ok, what) ((ok) ? (void)0 : skua_fork_misuse(what))
#endif

/*
 * RESULT is the declaration of the result member, SAVE what stores a call's result there, RETURN
 * what returns it; HAND returns a call's result, KEEP and GIVE store it first: empty, or nearly,
 * for void.
 *
 * Written for what compilers make of it. The slow paths are functions of their own that do all that
 * is left to do, and nobody takes the address of a job or of the head: so the fast paths need no
 * registers saved for their sake. The body is called from two places, and the empty asm keeps the
 * call in a join from becoming a loop: so gcc splits off a quick test at the start of the body
 * ("if (n < 2)") and puts it where the body is called. fib(39): 370 ms before, 275 after.
 */
#define SKUA_FORK_DECLARE_(type, RESULT, SAVE, RETURN, HAND, KEEP, GIVE, name, list)               \
    struct name##_skua_args {                                                                      \
        SKUA_FORK_MAP_(SKUA_FORK_FIELDS_, list)                                                    \
    };                                                                                             \
    union __attribute__((may_alias)) name##_skua_payload {                                         \
        struct name##_skua_args args;                                                              \
        RESULT                                                                                     \
    };                                                                                             \
    SKUA_FORK_STATIC_ASSERT_(sizeof(union name##_skua_payload) <= SKUA_FORK_PAYLOAD_BYTES,         \
                             "arguments and result of a forkable function: 40 bytes at most");     \
    SKUA_JOB(name)                                                                                 \
    {                                                                                              \
        struct skua_fork_slot *slot;                                                               \
        union name##_skua_payload aside; /* of a job that is not offered */                        \
    };                                                                                             \
    static type name##_skua_body(                                                                  \
        struct skua_fork_deque *skua_deque,                                                        \
        struct skua_fork_slot *skua_head SKUA_FORK_MAP_(SKUA_FORK_MORE_, list));                   \
    static void name##_skua_entry(struct skua_fork_deque *skua_deque,                              \
                                  struct skua_fork_slot *skua_head, void *skua_payload)            \
    {                                                                                              \
        union name##_skua_payload *skua_both = (union name##_skua_payload *)skua_payload;          \
        struct name##_skua_args skua_copy = skua_both->args;                                       \
        struct name##_skua_args *skua_from = &skua_copy;                                           \
        (void)skua_from;                                                                           \
        SAVE name##_skua_body(skua_deque, skua_head SKUA_FORK_MAP_(SKUA_FORK_GET_, list));         \
    }                                                                                              \
    SKUA_FORK_COLD_ bool name##_skua_fork_slow(                                                    \
        struct skua_fork_deque *skua_deque,                                                        \
        struct skua_fork_slot *skua_slot SKUA_FORK_MAP_(SKUA_FORK_MORE_, list))                    \
    {                                                                                              \
        if (!skua_fork_slow(skua_deque, skua_slot))                                                \
            return false;                                                                          \
        struct name##_skua_args *skua_to =                                                         \
            &((union name##_skua_payload *)skua_fork_payload_(skua_slot))->args;                   \
        SKUA_FORK_MAP_(SKUA_FORK_SET_, list)                                                       \
        __atomic_store_n(&skua_slot->fn, &name##_skua_entry, __ATOMIC_RELEASE); /* MARK */         \
        skua_fork_offer(skua_deque);                                                               \
        return true;                                                                               \
    }                                                                                              \
    SKUA_FORK_COLD_ type name##_skua_join_aside(struct skua_fork_deque *skua_deque,                \
                                                struct skua_fork_slot *skua_slot,                  \
                                                union name##_skua_payload skua_payload)            \
    {                                                                                              \
        union name##_skua_payload *skua_both = &skua_payload;                                      \
        skua_fork_aside(skua_deque, skua_slot, name##_skua_entry, skua_both);                      \
        RETURN;                                                                                    \
    }                                                                                              \
    SKUA_FORK_COLD_ type name##_skua_join_slow(struct skua_fork_deque *skua_deque,                 \
                                               struct skua_fork_slot *skua_slot,                   \
                                               enum skua_fork_how skua_how)                        \
    {                                                                                              \
        union name##_skua_payload *skua_both =                                                     \
            (union name##_skua_payload *)skua_fork_payload_(skua_slot);                            \
        if (skua_how == SKUA_FORK_FAR) {                                                           \
            skua_fork_aside(skua_deque, skua_slot, name##_skua_entry, skua_both);                  \
            RETURN;                                                                                \
        } else if (skua_how == SKUA_FORK_RUN) {                                                    \
            struct name##_skua_args *skua_from = &skua_both->args;                                 \
            (void)skua_from;                                                                       \
            HAND name##_skua_body(skua_deque, skua_slot SKUA_FORK_MAP_(SKUA_FORK_GET_, list));     \
        } else {                                                                                   \
            RETURN;                                                                                \
        }                                                                                          \
    }                                                                                              \
    SKUA_FORK_INLINE_ void name##_skua_fork(                                                       \
        struct skua_fork_deque *skua_deque, struct skua_fork_slot **skua_at,                       \
        SKUA_JOB(name) * skua_handle SKUA_FORK_MAP_(SKUA_FORK_MORE_, list))                        \
    {                                                                                              \
        struct skua_fork_slot *skua_slot = *skua_at;                                               \
        SKUA_FORK_ORDER_(!__atomic_load_n(&skua_slot->fn, __ATOMIC_RELAXED),                       \
                         #name ": forked before a plain job was joined");                          \
        skua_handle->slot = skua_slot;                                                             \
        if (SKUA_FORK_UNLIKELY_(skua_slot >=                                                       \
                                __atomic_load_n(&skua_deque->fork_limit, __ATOMIC_RELAXED))) {     \
            if (name##_skua_fork_slow(skua_deque,                                                  \
                                      skua_slot SKUA_FORK_MAP_(SKUA_FORK_PASS_, list))) {          \
                *skua_at = skua_slot + 1;                                                          \
            } else {                                                                               \
                struct name##_skua_args *skua_to = &skua_handle->aside.args;                       \
                SKUA_FORK_MAP_(SKUA_FORK_SET_, list)                                               \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        struct name##_skua_args *skua_to =                                                         \
            &((union name##_skua_payload *)skua_fork_payload_(skua_slot))->args;                   \
        SKUA_FORK_MAP_(SKUA_FORK_SET_, list)                                                       \
        __atomic_store_n(&skua_slot->fn, &name##_skua_entry, __ATOMIC_RELEASE); /* MARK */         \
        *skua_at = skua_slot + 1;                                                                  \
    }                                                                                              \
    SKUA_FORK_INLINE_ type name##_skua_join(struct skua_fork_deque *skua_deque,                    \
                                            struct skua_fork_slot **skua_at,                       \
                                            SKUA_JOB(name) * skua_handle)                          \
    {                                                                                              \
        struct skua_fork_slot *skua_slot = skua_handle->slot;                                      \
        __atomic_store_n(&skua_slot->fn, (skua_fork_entry)0, __ATOMIC_RELAXED); /* CLAIM */        \
        __atomic_signal_fence(__ATOMIC_SEQ_CST);                                                   \
        if (SKUA_FORK_UNLIKELY_(skua_slot <                                                        \
                                __atomic_load_n(&skua_deque->join_limit, __ATOMIC_RELAXED)) ||     \
            SKUA_FORK_UNLIKELY_(skua_fork_is_low_(skua_deque))) {                                  \
            enum skua_fork_how skua_how = skua_join_slow(skua_deque, skua_slot);                   \
            if (skua_how == SKUA_FORK_ASIDE) {                                                     \
                HAND name##_skua_join_aside(skua_deque, skua_slot, skua_handle->aside);            \
            } else {                                                                               \
                *skua_at = skua_slot;                                                              \
                HAND name##_skua_join_slow(skua_deque, skua_slot, skua_how);                       \
            }                                                                                      \
        } else {                                                                                   \
            SKUA_FORK_ORDER_(skua_slot + 1 == *skua_at, #name ": not the newest job is joined");   \
            *skua_at = skua_slot;                                                                  \
            struct name##_skua_args *skua_from =                                                   \
                &((union name##_skua_payload *)skua_fork_payload_(skua_slot))->args;               \
            (void)skua_from;                                                                       \
            KEEP name##_skua_body(skua_deque, skua_slot SKUA_FORK_MAP_(SKUA_FORK_GET_, list));     \
            __asm__ volatile("");                                                                  \
            GIVE;                                                                                  \
        }                                                                                          \
    }                                                                                              \
    static __attribute__((unused)) type name(SKUA_FORK_MAP_(SKUA_FORK_PARAMS_, list))              \
    {                                                                                              \
        union name##_skua_payload skua_payload;                                                    \
        union name##_skua_payload *skua_both = &skua_payload;                                      \
        struct name##_skua_args *skua_to = &skua_payload.args;                                     \
        SKUA_FORK_MAP_(SKUA_FORK_SET_, list)                                                       \
        skua_fork_call(name##_skua_entry, skua_both);                                              \
        RETURN;                                                                                    \
    }

#define SKUA_FORK_BODY_(type, name, list)                                                          \
    static type name##_skua_body(struct skua_fork_deque *skua_deque __attribute__((unused)),       \
                                 struct skua_fork_slot *skua_head __attribute__((unused))          \
                                 SKUA_FORK_MAP_(SKUA_FORK_MORE_, list))

/* ---- the interface --------------------------------------------------------------------------- */

/* The name is taken out of the list, and expanded, before it is pasted. */
#define SKUA_FORK_DECLARE_AS_(type, RESULT, SAVE, RETURN, HAND, KEEP, GIVE, name, list)            \
    SKUA_FORK_DECLARE_(type, RESULT, SAVE, RETURN, HAND, KEEP, GIVE, name, list)
#define SKUA_FORK_BODY_AS_(type, name, list) SKUA_FORK_BODY_(type, name, list)

#define SKUA_FORKABLE_DECLARE(type, ...)                                                           \
    SKUA_FORK_DECLARE_AS_(type, type result;, skua_both->result =, return skua_both->result,       \
                                            return, type skua_kept =, return skua_kept,            \
                                            SKUA_FORK_FIRST_(__VA_ARGS__, 0), (__VA_ARGS__))
#define SKUA_FORKABLE_BODY(type, ...)                                                              \
    SKUA_FORK_BODY_AS_(type, SKUA_FORK_FIRST_(__VA_ARGS__, 0), (__VA_ARGS__))
#define SKUA_FORKABLE(type, ...)                                                                   \
    SKUA_FORKABLE_DECLARE(type, __VA_ARGS__)                                                       \
    SKUA_FORKABLE_BODY(type, __VA_ARGS__)

#define SKUA_FORKABLE_VOID_DECLARE(...)                                                            \
    SKUA_FORK_DECLARE_AS_(void, , , (void)skua_both;                                               \
                          return, , , return, SKUA_FORK_FIRST_(__VA_ARGS__, 0), (__VA_ARGS__))
#define SKUA_FORKABLE_VOID_BODY(...)                                                               \
    SKUA_FORK_BODY_AS_(void, SKUA_FORK_FIRST_(__VA_ARGS__, 0), (__VA_ARGS__))
#define SKUA_FORKABLE_VOID(...)                                                                    \
    SKUA_FORKABLE_VOID_DECLARE(__VA_ARGS__)                                                        \
    SKUA_FORKABLE_VOID_BODY(__VA_ARGS__)

/* Marks the test by which most calls of a forkable function return: if (SKUA_LEAF(n < 2)) */
#define SKUA_LEAF(condition) __builtin_expect(!!(condition), 1)

#define SKUA_FORK(name, ...) name##_skua_fork(skua_deque, &skua_head, __VA_ARGS__)
#define SKUA_JOIN(name, job) name##_skua_join(skua_deque, &skua_head, (job))
#define SKUA_CALL(...)                                                                             \
    SKUA_FORK_CALL_AS_(SKUA_FORK_PICK_(__VA_ARGS__, N, N, N, N, N, N, N, N, N, N, N, N, 0, 0),     \
                       (__VA_ARGS__))
#define SKUA_FORK_CALL_AS_(kind, list) SKUA_FORK_PASTE_(SKUA_FORK_CALL_, kind) list
#define SKUA_FORK_CALL_0(name) name##_skua_body(skua_deque, skua_head)
#define SKUA_FORK_CALL_N(name, ...) name##_skua_body(skua_deque, skua_head, __VA_ARGS__)

#endif /* SKUA_FORK_MACROS_H */
