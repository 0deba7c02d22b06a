/*
 * support/fault_wrap.h - resources that run out: the n-th call of a kind fails, once.
 *
 * A program that links fault_wrap.c with -Wl,--wrap= of the functions it wraps goes through here
 * with every such call of the library and of itself. Counting is off until fault_wrap_arm().
 */
#ifndef SKUA_TESTS_FAULT_WRAP_H
#define SKUA_TESTS_FAULT_WRAP_H

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What can fail. FAULT_MEMORY is malloc, calloc, realloc, aligned_alloc; FAULT_MAP is the hook of
   platform/memory.h; FAULT_ANY counts all of them in one row. */
enum fault_kind {
    FAULT_MEMORY,
    FAULT_MAP,
    FAULT_THREAD,   /* pthread_create: EAGAIN */
    FAULT_RING,     /* io_uring_queue_init_params: ENOMEM */
    FAULT_EVENTFD,  /* eventfd: EMFILE */
    FAULT_SIGSTACK, /* sigaltstack: ENOMEM */
    FAULT_ANY
};

/* Arms: the @nth (from 1) call of @kind fails; later ones do not, unless @ever. */
void fault_wrap_arm(enum fault_kind kind, unsigned nth, bool ever);

/* Disarms; true if the call to fail was reached. */
bool fault_wrap_disarm(void);

/* Each @period-th ring completion that carries @match gets @result instead; period 0: none does. */
void fault_wrap_results(int match, unsigned period, int result);

/* Allocations through here minus frees: what is alive. */
long fault_wrap_alive(void);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_TESTS_FAULT_WRAP_H */
