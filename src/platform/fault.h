/*
 * platform/fault.h - a touched guard page is reported by name before the process dies of it.
 *
 * WHAT   A process-wide handler of SIGSEGV and SIGBUS. It asks a lookup whether the address is a
 *        guard; if so it calls a report; then, in any case, whatever was set before happens: the
 *        previous handler runs as if it had been called by the kernel, or the process dies of the
 *        same signal at the same instruction, with the same address in its core file.
 *
 * STACKS A stack that has overflowed cannot run a handler: each thread that runs tasks needs an
 *        alternate one, which skua_fault_thread_init() sets.
 *
 * OTHERS A handler that somebody installs above this one is never removed. This one then stays
 *        where it is, reachable through theirs, and hands on what it gets.
 */
#ifndef SKUA_SRC_FAULT_H
#define SKUA_SRC_FAULT_H

#include <stdbool.h>
#include <stddef.h>

/* What is guarded at @address, NULL for nothing. Async-signal-safe. */
typedef const void *skua_fault_lookup(const void *address);

/* Told of @hit, from the lookup, on the faulting thread's alternate stack. Async-signal-safe. */
typedef void skua_fault_report(const void *hit, const void *address);

/*
 * Installs the handler, or counts one more user of it. The functions stay valid until the last
 * skua_fault_uninstall(). Returns 0, or -EBUSY if it is in use with other functions. Any thread.
 */
int skua_fault_install(skua_fault_lookup *lookup, skua_fault_report *report);

/* Undoes one skua_fault_install(); the last one puts the previous actions back. Any thread. */
void skua_fault_uninstall(void);

/* A thread's alternate stack, in the caller's storage. */
struct skua_fault_thread {
    void *memory;         /* NULL: the thread had a good one, or has none */
    size_t size_bytes;    /* of memory, with its guard */
    void *previous_stack; /* what to put back */
    size_t previous_size_bytes;
    int previous_flags;
};

/*
 * Sees to it that the calling thread has an alternate signal stack: its own if that is large
 * enough, else a new one. Returns 0 or -ENOMEM; without one a task's overflow kills silently.
 */
int skua_fault_thread_init(struct skua_fault_thread *thread);

/* Puts the thread's previous alternate stack back, unless somebody has set another one since. */
void skua_fault_thread_fini(struct skua_fault_thread *thread);

#endif /* SKUA_SRC_FAULT_H */
