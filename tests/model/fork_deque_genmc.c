/*
 * tests/model/fork_deque_genmc.c - core/fork_deque.c and the macros of skua/fork_macros.h as GenMC
 * sees them, which explores C11 programs under RC11 and IMM. Run by hand, not built by CMake:
 *
 *   genmc --rc11 --disable-estimation --disable-loop-jump-threading --
 *         -g0 -DSCENARIO=1 -Iinclude -Isrc tests/model/fork_deque_genmc.c
 *
 * and --imm, and each SCENARIO; see main(). An owner and thieves as in fork_deque_model.c, but here
 * all of it is real: stolen jobs run by their entries, arguments and results in their slots, which
 * GenMC watches for data races. A barrier for both sides is a fence on each: the compiler barrier
 * in the owner's join is taken as one. -DNO_FENCE leaves that out, and must show a bug (but not in
 * scenarios 3 and 4, which force nothing out).
 *
 * Nidhugg takes it, too, and explores what x86 does (TSO); with a genmc.h that declares
 * void __VERIFIER_assume(int):
 *
 *   clang-14 -g0 -O0 -Xclang -disable-O0-optnone -S -emit-llvm -DSCENARIO=1 -I. -Iinclude -Isrc
 *            tests/model/fork_deque_genmc.c -o deque.ll
 *   opt-14 -S -mem2reg deque.ll -o deque.opt.ll
 *   nidhugg --tso deque.opt.ll
 *
 * Not --pso: there Nidhugg gives release stores no meaning, and finds a bug in message passing.
 *
 * Results: see fork_deque_model.c.
 */
#define SKUA_DEQUE_SLOTS 5u
#define SKUA_DEBUG
/* The owner's part of a barrier for all threads. GenMC takes any fence for a full one. */
#ifndef NO_FENCE
#define __atomic_signal_fence(order) __atomic_thread_fence(order)
#else
#define __atomic_signal_fence(order) ((void)(order))
#endif
#include <assert.h>
#include <genmc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* In the place of base/spin.h. */
#define SKUA_SRC_SPIN_H
struct skua_spin {
    pthread_mutex_t mutex;
};

static inline void skua_spin_init(struct skua_spin *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
}

static inline void skua_spin_lock(struct skua_spin *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

static inline void skua_spin_unlock(struct skua_spin *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

/* GenMC has no inline assembly and no stack: an empty asm is left out, and there is room enough. */
#define volatile(text)
#define __asm__
#undef __x86_64__
#define __builtin_frame_address(level) ((void *)UINTPTR_MAX)

#include "core/fork_deque.c" /* NOLINT: GenMC takes one file */

#ifndef SCENARIO
#define SCENARIO 1
#endif

_Noreturn void skua_check_failed(const char *condition, const char *file, int line)
{
    (void)condition;
    (void)file;
    (void)line;
    assert(false);
    __VERIFIER_assume(false);
    __builtin_unreachable();
}

static struct skua_deque deque;
static _Atomic int runs[4]; /* of each job */

SKUA_FORKABLE(long, job, int, n)
{
    (void)atomic_fetch_add_explicit(&runs[n], 1, memory_order_relaxed);
    return 10 + n;
}

bool skua_fork_slow(struct skua_fork_deque *face, struct skua_fork_slot *head)
{
    (void)face;
    return head < &deque.slots[SKUA_DEQUE_END];
}

void skua_fork_offer(struct skua_fork_deque *face)
{
    (void)face;
    (void)skua_deque_publish(&deque, false, true);
}

enum skua_fork_how skua_join_slow(struct skua_fork_deque *face, struct skua_fork_slot *slot)
{
    (void)face;
    if (skua_deque_take_back(&deque, slot))
        return SKUA_FORK_RUN;
    __VERIFIER_assume(__atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == SKUA_JOB_DONE);
    skua_deque_settle(&deque, slot);
    return SKUA_FORK_TAKEN;
}

void skua_fork_aside(struct skua_fork_deque *face, struct skua_fork_slot *head,
                     skua_fork_entry entry, void *payload)
{
    entry(face, head, payload);
}

void skua_fork_call(skua_fork_entry entry, void *payload)
{
    (void)entry;
    (void)payload;
    assert(false);
}

void skua_fork_misuse(const char *what)
{
    (void)what;
    assert(false);
    __builtin_unreachable();
}

static void barrier(void)
{
    atomic_thread_fence(memory_order_seq_cst);
}

static void steal(void)
{
    struct skua_fork_stub stub;
    struct skua_fork_slot *slot = skua_deque_steal(&deque);
    if (slot == NULL)
        return;
    skua_fork_entry entry = __atomic_load_n(&slot->entry, __ATOMIC_RELAXED);
    assert(entry == &job_skua_entry);
    skua_fork_stub_init(&stub);
    /* As the entry does, but for its copy of a struct, which GenMC cannot. */
    union job_skua_payload *both = skua_fork_payload_(slot);
    both->result = job_skua_body(&stub.face, &stub.scratch, both->args.n);
    (void)__atomic_exchange_n(&slot->state, SKUA_JOB_DONE, __ATOMIC_ACQ_REL);
}

static void *thief(void *arg)
{
    (void)arg;
    steal();
    return NULL;
}

static void *asking_thief(void *arg)
{
    (void)arg;
    skua_deque_request(&deque);
    steal();
    return NULL;
}

static void *forcing_thief(void *arg)
{
    (void)arg;
    (void)skua_deque_force(&deque, barrier);
    steal();
    return NULL;
}

#define FORK(n) job_skua_fork(face, &head, &jobs[n], (n))
#define JOIN(n) assert(job_skua_join(face, &head, &jobs[n]) == 10 + (n))

static void run(void *(*first)(void *), void *(*second)(void *), int forked, int forked_later)
{
    struct skua_fork_deque *face = &deque.face;
    struct skua_fork_slot *head = &deque.slots[SKUA_DEQUE_FIRST];
    SKUA_JOB(job) jobs[4];
    pthread_t threads[2];

    for (int n = 0; n < forked; n++)
        FORK(n);
    if (first == &thief)
        (void)skua_deque_publish(&deque, true, false);
    pthread_create(&threads[0], NULL, first, NULL);
    if (second != NULL)
        pthread_create(&threads[1], NULL, second, NULL);
    for (int n = forked - 1; n >= 0; n--)
        JOIN(n);
    for (int n = forked; n < forked + forked_later; n++) {
        FORK(n);
        JOIN(n);
    }
    pthread_join(threads[0], NULL);
    if (second != NULL)
        pthread_join(threads[1], NULL);
    for (int n = 0; n < forked + forked_later; n++)
        assert(atomic_load_explicit(&runs[n], memory_order_relaxed) == 1);
}

int main(void)
{
    skua_deque_init(&deque, 0);
    skua_deque_set_slow(&deque, false);
    switch (SCENARIO) {
    case 1: /* private jobs joined, forced meanwhile */
        run(forcing_thief, NULL, 3, 0);
        break;
    case 2: /* joined and forked anew, forced meanwhile */
        run(forcing_thief, NULL, 1, 2);
        break;
    case 3: /* public jobs, two thieves */
        run(thief, thief, 3, 0);
        break;
    case 4: /* a thief asks */
        run(asking_thief, NULL, 1, 2);
        break;
    case 5: /* forced, and another thief asks */
        run(forcing_thief, asking_thief, 1, 1);
        break;
    case 6: /* forced by two */
        run(forcing_thief, forcing_thief, 2, 0);
        break;
    default: /* public, and forked anew: a thief steals, another forces */
        run(thief, forcing_thief, 1, 1);
        break;
    }
    return 0;
}
