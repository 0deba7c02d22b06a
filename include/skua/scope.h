/*
 * skua/scope.h - structured concurrency: children that are joined, cancelled and timed together.
 *
 * A scope is a block of a task, its body. Tasks spawned in it are its children: the scope is not
 * left before they have ended. Cancelling it, from anywhere, or its deadline, cancels body and
 * children: from then on every wait in them returns -ECANCELED. The first child that fails cancels
 * the others, unless the scope says otherwise; all failures can be looked at.
 *
 *     skua_scope scope;
 *     rc = skua_scope_open(&scope, NULL);
 *     skua_scope_spawn(&scope, fetch, &a, NULL);
 *     skua_scope_spawn(&scope, fetch, &b, NULL);
 *     rc = skua_scope_close(&scope);
 *
 * or, which closes it on every way out of the block (break and return included),
 *
 *     SKUA_SCOPE(scope, NULL) {
 *         skua_scope_spawn(scope, fetch, &a, NULL);
 *     }
 *
 * Scopes nest; each is opened and closed by the same task, innermost first. A cancel of a task, or
 * of an outer scope, reaches the children of a scope when its body comes to close it: at once if it
 * waits there, and any other wait of the body's ends as well. Jobs of fork and join that are
 * outstanding are within the scopes that are open in the task that forked them.
 *
 * Source: Python's asyncio.TaskGroup and asyncio.timeout; N. J. Smith, Notes on structured
 * concurrency (2018), and Trio's cancel scopes.
 */
#ifndef SKUA_SCOPE_H
#define SKUA_SCOPE_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In the frame of the body; the library's until it is closed. */
typedef struct skua_scope {
    uint64_t opaque[24];
} skua_scope;

/* A child that fails does not cancel the others. */
#define SKUA_SCOPE_COLLECT 1u

/* How to open a scope. Zero-initialise; zero means default everywhere. */
typedef struct skua_scope_options {
    uint64_t deadline_ns; /* absolute, on the clock of skua_now(); default 0: none */
    const char *name;     /* for reports; must outlive the scope; default NULL */
    unsigned flags;       /* SKUA_SCOPE_... */
    unsigned reserved_flags;
    uint64_t reserved[4]; /* zero */
} skua_scope_options;

/* Why a scope is cancelled. */
typedef enum skua_scope_cause {
    SKUA_SCOPE_RUNNING = 0,  /* it is not */
    SKUA_SCOPE_REQUESTED,    /* skua_scope_cancel() */
    SKUA_SCOPE_EXPIRED,      /* its deadline */
    SKUA_SCOPE_CHILD_FAILED, /* see skua_scope_next_failure() */
    SKUA_SCOPE_BODY          /* its body was cancelled: the task, or a scope around this one */
} skua_scope_cause;

/* A failed child. */
typedef struct skua_scope_failure {
    intptr_t result;  /* -errno */
    const char *name; /* of the task; NULL if it has none */
    const char *site; /* of its spawn */
    const void *next; /* the library's */
} skua_scope_failure;

/**
 * Opens a scope in the running task.
 *
 * Context: a task; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EPERM outside a task; -EINVAL (@scope NULL, unknown flag, nonzero reserved field);
 *   -ENOMEM if the deadline's timer could not be stored; -ECHILD in a forked child. On error the
 *   scope is not open.
 */
SKUA_API int skua_scope_open(skua_scope *scope, const skua_scope_options *options);

/**
 * Waits until the children have ended, among them those that are spawned meanwhile by other
 * children. The scope stays open: its failures can be looked at, and more children spawned.
 *
 * Context: the task that opened it; it must be the innermost open scope.
 * Cancellation: if the body is cancelled, so is the scope; its children are waited for in any case.
 * Returns: as skua_scope_close().
 */
SKUA_API int skua_scope_wait(skua_scope *scope);

/**
 * Waits as skua_scope_wait(), runs what was deferred, and leaves the scope.
 *
 * Context: the task that opened it; it must be the innermost open scope.
 * Cancellation: as skua_scope_wait().
 * Returns: 0; the first failure of a child, whatever else happened; without one -ETIMEDOUT if its
 *   deadline cancelled it, -ECANCELED if anything else did; -EINVAL if @scope is NULL; -EPERM if it
 *   is not the innermost open scope of the running task.
 */
SKUA_API int skua_scope_close(skua_scope *scope);

/**
 * Spawns a child; the function behind skua_scope_spawn(). A failure of it, any error but
 * -ECANCELED, counts as read: the scope tells it.
 *
 * Context: a task, or an executor thread, of the runtime; the scope's body, its children, or who
 *   else knows that it is open. Never waits.
 * Cancellation: not a cancellation point.
 * Ownership: the caller owns *@child; @child may be NULL.
 * Returns: 0; -ECANCELED if the scope is cancelled: nothing was spawned; -EINVAL if @scope or @fn
 *   is NULL; -EPERM outside a runtime; -ENOMEM; -ESHUTDOWN; -ECHILD in a forked child. On error
 *   *@child is untouched.
 * Source: asyncio.TaskGroup.create_task.
 */
SKUA_API int skua_scope_spawn_at(skua_scope *scope, skua_fn fn, void *arg, skua_future **child,
                                 const char *site);
#define skua_scope_spawn(scope, fn, arg, child)                                                    \
    skua_scope_spawn_at((scope), (fn), (arg), (child), SKUA_SITE(#fn))

/**
 * Cancels @scope: body and children, now and until it is closed.
 *
 * Context: any thread; never waits. The caller knows that the scope is open.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EALREADY if it is cancelled; -EINVAL if @scope is NULL.
 */
SKUA_API int skua_scope_cancel(skua_scope *scope);

/**
 * Moves the deadline of @scope. One that has passed cancels it soon, not at once.
 *
 * Context: the task that opened it; never waits.
 * Cancellation: not a cancellation point.
 * Units: @deadline_ns is absolute, on the clock of skua_now(); SKUA_FOREVER takes it away.
 * Returns: 0; -EALREADY if it is cancelled; -EPERM if another task opened it; -EINVAL if @scope is
 *   NULL; -ENOMEM if the timer could not be stored (then there is no deadline).
 * Source: asyncio.Timeout.reschedule.
 */
SKUA_API int skua_scope_set_deadline(skua_scope *scope, uint64_t deadline_ns);

/**
 * The deadline of @scope.
 *
 * Context: the task that opened it; never waits.
 * Cancellation: not a cancellation point.
 * Returns: absolute nanoseconds; SKUA_FOREVER if there is none, or @scope is NULL.
 */
SKUA_API uint64_t skua_scope_deadline(const skua_scope *scope);

/**
 * Why @scope is cancelled, if it is.
 *
 * Context: any thread; never waits. The caller knows that the scope is open.
 * Cancellation: not a cancellation point.
 * Returns: the cause; SKUA_SCOPE_RUNNING if it is not, or @scope is NULL.
 */
SKUA_API skua_scope_cause skua_scope_cancelled(const skua_scope *scope);

/**
 * Who asked for the cancel: the name or spawn site of the task that called skua_scope_cancel(), or
 * of the child that failed.
 *
 * Context: any thread; never waits. The caller knows that the scope is open.
 * Cancellation: not a cancellation point.
 * Returns: a string; NULL if it is not cancelled, or no task did it.
 */
SKUA_API const char *skua_scope_cancelled_by(const skua_scope *scope);

/**
 * Walks over the failures so far, the first one first. Start with @failure zeroed.
 *
 * Context: the task that opened it, after skua_scope_wait(); never waits.
 * Cancellation: not a cancellation point.
 * Returns: true with the next failure in *@failure; false if there is none, or an argument is NULL.
 * Source: Python's ExceptionGroup.
 */
SKUA_API bool skua_scope_next_failure(const skua_scope *scope, skua_scope_failure *failure);

/* A function to be called when a scope is left; in the frame of the body. */
typedef struct skua_scope_cleanup {
    void (*fn)(void *arg);
    void *arg;
    struct skua_scope_cleanup *next; /* the library's */
} skua_scope_cleanup;

/**
 * Has @fn(@arg) called when @scope is closed, after the children have ended, the latest first, and
 * shielded: it may wait although the scope is cancelled.
 *
 * Context: the task that opened it; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: *@cleanup is the scope's until it is closed.
 * Returns: 0; -EPERM if another task opened it; -EINVAL if an argument but @arg is NULL.
 * Source: Go's defer; contextlib.AsyncExitStack.
 */
SKUA_API int skua_scope_defer(skua_scope *scope, skua_scope_cleanup *cleanup, void (*fn)(void *arg),
                              void *arg);

/* A shielded section; in the frame of the task. */
typedef struct skua_shield {
    uint64_t opaque[4];
} skua_shield;

/**
 * From here to skua_shield_close() no cancel from outside ends a wait of this task: for cleaning
 * up. Scopes opened inside work as ever.
 *
 * Context: a task; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EPERM outside a task; -EINVAL if @shield is NULL.
 * Source: Trio's CancelScope(shield=True); asyncio.shield.
 */
SKUA_API int skua_shield_open(skua_shield *shield);

/**
 * Ends a shielded section. A cancel that came meanwhile is in force again.
 *
 * Context: the task that opened it; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EPERM if it is not the innermost shield or scope of the running task; -EINVAL if
 *   @shield is NULL.
 */
SKUA_API int skua_shield_close(skua_shield *shield);

/**
 * Calls @fn(@arg) with a deadline, on the caller's stack.
 *
 * Context: a task.
 * Cancellation: the waits in @fn return -ECANCELED when the deadline has passed, or the caller is
 *   cancelled.
 * Units: @delay_ns is relative.
 * Returns: the result of @fn, whatever it is, if the deadline has not passed or @fn returned no
 *   error; else -ETIMEDOUT; -EPERM outside a task; -EINVAL if @fn is NULL; -ENOMEM.
 * Source: asyncio.timeout.
 */
SKUA_API intptr_t skua_timeout(uint64_t delay_ns, skua_fn fn, void *arg);

/**
 * For the macros: closes the scope a block has opened, if it did, and forgets the result.
 *
 * Context: as skua_scope_close().
 * Cancellation: as skua_scope_close().
 * Returns: nothing.
 */
SKUA_API void skua_scope_leave(skua_scope **scope);

#ifdef __cplusplus
}
#endif

/*
 * SKUA_SCOPE(name, options) { ... }: a block with a scope, @name a pointer to it. The block is not
 * run if the scope cannot be opened (outside a task, out of memory for a deadline).
 */
#define SKUA_SCOPE(name, options)                                                                  \
    for (skua_scope name##_skua_storage,                                                           \
         *name __attribute__((cleanup(skua_scope_leave))) =                                        \
             skua_scope_open(&name##_skua_storage, (options)) == 0 ? &name##_skua_storage : NULL,  \
               *name##_skua_once = name;                                                           \
         name##_skua_once != NULL; name##_skua_once = NULL)

#endif /* SKUA_SCOPE_H */
