/*
 * support/fault_wrap.c - see fault_wrap.h.
 *
 * The linker gives every call of f() in the program to __wrap_f(), and f() itself as __real_f().
 * All state is atomic, because any thread allocates; relaxed, because each word stands alone, but
 * for what is set while nothing else runs.
 */
#include "support/fault_wrap.h"

#include "platform/memory.h"

#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Atomic int armed_kind = -1;
static _Atomic unsigned armed_nth;
static _Atomic bool armed_ever;
static _Atomic unsigned calls;
static _Atomic bool reached;
static _Atomic long alive;

static _Atomic int match_result;
static _Atomic unsigned match_period;
static _Atomic int match_replacement;
static _Atomic unsigned matches;

/* The ring of this thread, to look at its completions. */
static _Thread_local struct io_uring *thread_ring;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void __real_free(void *memory);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __real_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __real_eventfd(unsigned value, int flags);
int __real_sigaltstack(const stack_t *stack, stack_t *old);
int __real_io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags,
                           sigset_t *sig, size_t size);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
void __wrap_free(void *memory);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg);
int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params);
int __wrap_eventfd(unsigned value, int flags);
int __wrap_sigaltstack(const stack_t *stack, stack_t *old);
int __wrap_io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags,
                           sigset_t *sig, size_t size);

/* Whether this call is the one to fail. */
static bool fails(enum fault_kind kind)
{
    int armed = atomic_load_explicit(&armed_kind, memory_order_relaxed);
    if (armed != (int)kind && armed != (int)FAULT_ANY)
        return false;
    unsigned call = atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) + 1;
    unsigned nth = atomic_load_explicit(&armed_nth, memory_order_relaxed);
    if (call < nth || (call > nth && !atomic_load_explicit(&armed_ever, memory_order_relaxed)))
        return false;
    atomic_store_explicit(&reached, true, memory_order_relaxed);
    return true;
}

static int map_fault(enum skua_memory_call call, size_t size_bytes)
{
    (void)size_bytes;
    /* A refused unmap or discard keeps the memory: that is no shortage. */
    if (call == SKUA_MEMORY_MUNMAP || call == SKUA_MEMORY_DISCARD)
        return 0;
    return fails(FAULT_MAP) ? -ENOMEM : 0;
}

void fault_wrap_arm(enum fault_kind kind, unsigned nth, bool ever)
{
    skua_memory_set_fault(map_fault);
    atomic_store(&calls, 0);
    atomic_store(&reached, false);
    atomic_store(&armed_nth, nth);
    atomic_store(&armed_ever, ever);
    atomic_store(&armed_kind, (int)kind);
}

bool fault_wrap_disarm(void)
{
    atomic_store(&armed_kind, -1);
    skua_memory_set_fault(NULL);
    return atomic_load(&reached);
}

void fault_wrap_results(int match, unsigned period, int result)
{
    atomic_store(&match_result, match);
    atomic_store(&match_replacement, result);
    atomic_store(&matches, 0);
    atomic_store(&match_period, period);
}

long fault_wrap_alive(void)
{
    return atomic_load(&alive);
}

/* ---- memory ---------------------------------------------------------------------------------- */

static void *counted(void *memory)
{
    if (memory != NULL)
        atomic_fetch_add_explicit(&alive, 1, memory_order_relaxed);
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails(FAULT_MEMORY) ? NULL : counted(__real_aligned_alloc(alignment, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (fails(FAULT_MEMORY))
        return NULL;
    void *memory = __real_realloc(old, size);
    return old == NULL ? counted(memory) : memory;
}

void __wrap_free(void *memory)
{
    if (memory != NULL)
        atomic_fetch_sub_explicit(&alive, 1, memory_order_relaxed);
    __real_free(memory);
}

/* ---- the kernel ------------------------------------------------------------------------------ */

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attr, void *(*fn)(void *),
                          void *arg)
{
    if (!fails(FAULT_THREAD))
        return __real_pthread_create(thread, attr, fn, arg);
    (void)sched_yield(); /* others get into the same trouble meanwhile */
    return EAGAIN;
}

int __wrap_io_uring_queue_init_params(unsigned entries, struct io_uring *ring,
                                      struct io_uring_params *params)
{
    if (fails(FAULT_RING))
        return -ENOMEM;
    thread_ring = ring;
    return __real_io_uring_queue_init_params(entries, ring, params);
}

int __wrap_eventfd(unsigned value, int flags)
{
    if (!fails(FAULT_EVENTFD))
        return __real_eventfd(value, flags);
    errno = EMFILE;
    return -1;
}

int __wrap_sigaltstack(const stack_t *stack, stack_t *old)
{
    if (stack == NULL || (stack->ss_flags & SS_DISABLE) || !fails(FAULT_SIGSTACK))
        return __real_sigaltstack(stack, old);
    errno = ENOMEM;
    return -1;
}

/* Completions that stand in the queue and have not been read: some get another result. */
static void replace_results(struct io_uring *ring, unsigned period)
{
    unsigned mask = ring->cq.ring_mask;
    unsigned tail = io_uring_smp_load_acquire(ring->cq.ktail);
    for (unsigned at = *ring->cq.khead; at != tail; at++) {
        struct io_uring_cqe *cqe = &ring->cq.cqes[at & mask];
        if (cqe->res != atomic_load_explicit(&match_result, memory_order_relaxed))
            continue;
        if (atomic_fetch_add_explicit(&matches, 1, memory_order_relaxed) % period == 0)
            cqe->res = atomic_load_explicit(&match_replacement, memory_order_relaxed);
    }
}

int __wrap_io_uring_enter2(unsigned fd, unsigned to_submit, unsigned min_complete, unsigned flags,
                           sigset_t *sig, size_t size)
{
    int rc = __real_io_uring_enter2(fd, to_submit, min_complete, flags, sig, size);
    unsigned period = atomic_load_explicit(&match_period, memory_order_relaxed);
    if (period != 0 && thread_ring != NULL)
        replace_results(thread_ring, period);
    return rc;
}
