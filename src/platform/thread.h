/*
 * platform/thread.h - threads: pthreads, or virtual ones in a simulation (vthread.h); and what
 * pthreads lacks: names and priorities.
 */
#ifndef SKUA_SRC_THREAD_H
#define SKUA_SRC_THREAD_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/types.h>

struct skua_vthread;

struct skua_os_thread {
    pthread_t pthread;
    struct skua_vthread *vthread; /* NULL for a real one */
};

/* 0 or -errno. */
int skua_os_thread_create(struct skua_os_thread *thread, void *(*main)(void *arg), void *arg);
void skua_os_thread_join(struct skua_os_thread *thread);

/*
 * As pthread_cond_wait(3) and pthread_cond_broadcast(3), for conditions that go with @word: in a
 * simulation the waiters wait for that. Mutexes need no such calls: no other virtual thread gets
 * its turn while one is held, but by a wait.
 */
struct skua_os_condition {
    pthread_cond_t cond;
    _Atomic uint32_t word;
};

void skua_os_condition_init(struct skua_os_condition *condition);
void skua_os_condition_fini(struct skua_os_condition *condition);
void skua_os_condition_wait(struct skua_os_condition *condition, pthread_mutex_t *mutex);
void skua_os_condition_broadcast(struct skua_os_condition *condition);

/* The kernel's number of the calling thread; 0 in a simulation. */
pid_t skua_thread_id(void);

/* Names the calling thread (15 bytes are kept). Best effort. */
void skua_thread_name(const char *name);

/* Lowers the calling thread's priority by @increment nice steps. Best effort; Linux: per thread. */
void skua_thread_nice(int increment);

/* The lowest address of the calling thread's stack; NULL if that cannot be found out. */
const char *skua_thread_stack_low(void);

#endif /* SKUA_SRC_THREAD_H */
