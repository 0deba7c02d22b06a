/*
 * platform/fault.c - see fault.h.
 *
 * Owns the process's reaction to SIGSEGV and SIGBUS while it is installed. Called by runtime start
 * and stop and by each thread that runs tasks.
 *
 * STATE  Per signal: whether this handler is in the process's chain of handlers (present), and the
 *        action before it (previous). It stays present after the last uninstall if somebody has
 *        installed a handler above it: that one may call this one, so neither may it be taken for
 *        "previous" later (the two would call each other for ever) nor may ours vanish.
 *
 * ORDERING
 *  [P1]  handlers.previous, release, pairs with [P2] acquire in the handler: the action is filled
 *        before the pointer to it. Two buffers take turns, and the handler copies one at once; it
 *        would have to be stopped in the copy over two installations to see it change.
 *  [L1]  lookup and report, release, pairs with [L2] acquire: what the caller of install wrote is
 *        seen by them. Report is set first and cleared last, lookup decides.
 *
 * Everything under on_fault() is async-signal-safe: no locks, no allocation, errno kept.
 *
 * Source: sigaction(2), sigaltstack(2), signal-safety(7).
 * Tests: tests/unit/platform/fault_test.cc
 */
#include "platform/fault.h"

#include "base/check.h"
#include "base/compiler.h"
#include "platform/memory.h"
#include "platform/vthread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIGNAL_COUNT 2
#define ALT_STACK_EXTRA_BYTES ((size_t)32 << 10) /* ours: above what the kernel's frame needs */
#define ALT_STACK_ENOUGH_BYTES ((size_t)4 << 10) /* a user's: likewise */

static const int signal_numbers[SIGNAL_COUNT] = {SIGSEGV, SIGBUS};

struct handled {
    struct sigaction *_Atomic previous; /* written under lock, read by the handler */
    struct sigaction buffers[2];        /* previous points at one of them */
    bool present;                       /* guarded by lock */
};

static struct {
    pthread_mutex_t lock;
    unsigned users;                    /* guarded by lock */
    skua_fault_lookup *_Atomic lookup; /* written under lock, read by the handler */
    skua_fault_report *_Atomic report; /* likewise */
    struct handled signals[SIGNAL_COUNT];
} state = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* True if the instruction itself raised the signal, and will again when it is run again. */
static bool is_synchronous(const siginfo_t *info)
{
    return info->si_code > 0 && !(info->si_signo == SIGBUS && info->si_code == BUS_MCEERR_AO);
}

static bool is_handler(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 ||
           (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN);
}

/* Dies of the signal: at the same instruction, or by sending it again as it came. */
static void die_of(int number, siginfo_t *info)
{
    struct sigaction action = {.sa_handler = SIG_DFL};
    (void)sigaction(number, &action, NULL);
    /* Blocked while the handler runs, so it comes when that returns. */
    if (!is_synchronous(info))
        (void)syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), number, info);
}

/* Calls the previous handler as the kernel would have: its mask, its flags, its arguments. */
static void call_previous(const struct sigaction *previous, int number, siginfo_t *info,
                          void *context)
{
    /* The mask of the interrupted code comes back with our own return. */
    (void)pthread_sigmask(SIG_BLOCK, &previous->sa_mask, NULL);
    if ((previous->sa_flags & SA_NODEFER) != 0) {
        sigset_t own;
        sigemptyset(&own);
        sigaddset(&own, number);
        (void)pthread_sigmask(SIG_UNBLOCK, &own, NULL);
    }
    if (((unsigned)previous->sa_flags & SA_RESETHAND) != 0) {
        struct sigaction action = {.sa_handler = SIG_DFL};
        (void)sigaction(number, &action, NULL);
    }
    if ((previous->sa_flags & SA_SIGINFO) != 0)
        previous->sa_sigaction(number, info, context);
    else
        previous->sa_handler(number);
}

static void hand_on(int number, siginfo_t *info, void *context)
{
    struct handled *handled = &state.signals[number == SIGSEGV ? 0 : 1];
    struct sigaction previous =
        *atomic_load_explicit(&handled->previous, memory_order_acquire); /* [P2] */
    if (is_handler(&previous))
        call_previous(&previous, number, info, context);
    else if (previous.sa_handler == SIG_DFL || is_synchronous(info))
        die_of(number, info); /* a fault cannot be ignored: the kernel kills for it even then */
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    int saved = errno;
    skua_fault_lookup *lookup =
        atomic_load_explicit(&state.lookup, memory_order_acquire); /* [L2] */
    /* SI_KERNEL comes without an address (x86-64: one that is not canonical). */
    if (lookup != NULL && is_synchronous(info) && info->si_code != SI_KERNEL) {
        const void *hit = lookup(info->si_addr);
        skua_fault_report *report =
            atomic_load_explicit(&state.report, memory_order_acquire); /* [L2] */
        if (hit != NULL && report != NULL)
            report(hit, info->si_addr);
    }
    hand_on(number, info, context);
    errno = saved;
}

static bool is_ours(const struct sigaction *action)
{
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_fault;
}

/* Makes @action what the handler goes on to. */
static void set_previous(struct handled *handled, const struct sigaction *action)
{
    /* Relaxed: written under the lock only. */
    struct sigaction *now = atomic_load_explicit(&handled->previous, memory_order_relaxed);
    struct sigaction *next = &handled->buffers[now == &handled->buffers[0] ? 1 : 0];
    *next = *action;
    atomic_store_explicit(&handled->previous, next, memory_order_release); /* [P1] */
}

static int signal_install(struct handled *handled, int number)
{
    struct sigaction old;
    if (sigaction(number, NULL, &old) != 0)
        return -errno;
    if (handled->present && is_handler(&old))
        return 0; /* below somebody else's handler since the last time */
    skua_check(!is_ours(&old));
    set_previous(handled, &old); /* first: the handler may run at once */
    struct sigaction ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    sigemptyset(&ours.sa_mask);
    if (sigaction(number, &ours, &old) != 0)
        return -errno;
    set_previous(handled, &old); /* again: another thread may have set one in between */
    handled->present = true;
    return 0;
}

static void signal_uninstall(struct handled *handled, int number)
{
    struct sigaction now;
    if (!handled->present || sigaction(number, NULL, &now) != 0 || !is_ours(&now))
        return;
    /* Relaxed: written under the lock only. */
    struct sigaction *previous = atomic_load_explicit(&handled->previous, memory_order_relaxed);
    handled->present = sigaction(number, previous, NULL) != 0;
}

int skua_fault_install(skua_fault_lookup *lookup, skua_fault_report *report)
{
    int rc = 0;
    pthread_mutex_lock(&state.lock);
    if (state.users > 0) {
        /* Relaxed, both: written under the lock only. */
        if (atomic_load_explicit(&state.lookup, memory_order_relaxed) != lookup ||
            atomic_load_explicit(&state.report, memory_order_relaxed) != report)
            rc = -EBUSY;
    } else {
        for (unsigned i = 0; i < SIGNAL_COUNT && rc == 0; i++)
            rc = signal_install(&state.signals[i], signal_numbers[i]);
        if (rc == 0) {
            atomic_store_explicit(&state.report, report, memory_order_release); /* [L1] */
            atomic_store_explicit(&state.lookup, lookup, memory_order_release); /* [L1] */
        }
    }
    if (rc == 0)
        state.users++;
    pthread_mutex_unlock(&state.lock);
    return rc;
}

void skua_fault_uninstall(void)
{
    pthread_mutex_lock(&state.lock);
    skua_check(state.users > 0);
    if (--state.users == 0) {
        atomic_store_explicit(&state.lookup, NULL, memory_order_release); /* [L1] */
        atomic_store_explicit(&state.report, NULL, memory_order_release); /* [L1] */
        for (unsigned i = 0; i < SIGNAL_COUNT; i++)
            signal_uninstall(&state.signals[i], signal_numbers[i]);
    }
    pthread_mutex_unlock(&state.lock);
}

/* What the kernel itself needs of a signal stack: it grows with the vector registers. */
static size_t kernel_frame_bytes(void)
{
    long bytes = 2048;
#ifdef _SC_MINSIGSTKSZ
    long asked = sysconf(_SC_MINSIGSTKSZ);
    bytes = skua_max(bytes, asked);
#endif
    return (size_t)bytes;
}

int skua_fault_thread_init(struct skua_fault_thread *thread)
{
    *thread = (struct skua_fault_thread){.memory = NULL};
    if (skua_vthread_simulated())
        return 0; /* the signal stack is the real thread's */
    stack_t old;
    if (sigaltstack(NULL, &old) != 0)
        return -errno;
    size_t needed = kernel_frame_bytes();
    if ((old.ss_flags & SS_DISABLE) == 0 && old.ss_size >= needed + ALT_STACK_ENOUGH_BYTES)
        return 0;

    size_t page = skua_memory_page_size();
    size_t usable = (needed + ALT_STACK_EXTRA_BYTES + page - 1) & ~(page - 1);
    void *memory;
    int rc = skua_memory_map(&memory, page + usable);
    if (rc != 0)
        return rc;
    rc = skua_memory_guard(memory, page, 1);
    stack_t new = {.ss_sp = (char *)memory + page, .ss_size = usable};
    if (rc == 0 && sigaltstack(&new, NULL) != 0)
        rc = -errno;
    if (rc != 0) {
        (void)skua_memory_unmap(memory, page + usable);
        return rc;
    }
    thread->memory = memory;
    thread->size_bytes = page + usable;
    thread->previous_stack = old.ss_sp;
    thread->previous_size_bytes = old.ss_size;
    thread->previous_flags = old.ss_flags & ~SS_ONSTACK;
    return 0;
}

void skua_fault_thread_fini(struct skua_fault_thread *thread)
{
    if (thread->memory == NULL)
        return;
    stack_t now;
    char *ours = (char *)thread->memory + skua_memory_page_size();
    if (sigaltstack(NULL, &now) == 0 && (now.ss_flags & SS_DISABLE) == 0 && now.ss_sp == ours) {
        skua_check((now.ss_flags & SS_ONSTACK) == 0); /* called from a handler on this stack */
        stack_t previous = {
            .ss_sp = thread->previous_stack,
            .ss_flags = thread->previous_flags,
            .ss_size = thread->previous_size_bytes,
        };
        if (sigaltstack(&previous, NULL) != 0) {
            stack_t none = {.ss_flags = SS_DISABLE};
            (void)sigaltstack(&none, NULL);
        }
    }
    (void)skua_memory_unmap(thread->memory, thread->size_bytes);
    thread->memory = NULL;
}
