/*
 * platform/thread.c - see thread.h.
 */
#include "platform/thread.h"

#include "platform/vthread.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

int skua_os_thread_create(struct skua_os_thread *thread, void *(*main)(void *arg), void *arg)
{
    thread->vthread = NULL;
    if (skua_vthread_simulated())
        return skua_vthread_create(&thread->vthread, main, arg);
    return -pthread_create(&thread->pthread, NULL, main, arg);
}

void skua_os_thread_join(struct skua_os_thread *thread)
{
    if (thread->vthread != NULL)
        skua_vthread_join(thread->vthread);
    else
        (void)pthread_join(thread->pthread, NULL); /* fails for no thread only */
}

void skua_os_condition_init(struct skua_os_condition *condition)
{
    (void)pthread_cond_init(&condition->cond, NULL); /* does not fail with glibc */
    atomic_init(&condition->word, 0);
}

void skua_os_condition_fini(struct skua_os_condition *condition)
{
    (void)pthread_cond_destroy(&condition->cond);
}

void skua_os_condition_wait(struct skua_os_condition *condition, pthread_mutex_t *mutex)
{
    if (!skua_vthread_simulated()) {
        (void)pthread_cond_wait(&condition->cond, mutex);
        return;
    }
    /* relaxed, here and below: one thread at a time */
    uint32_t word = atomic_load_explicit(&condition->word, memory_order_relaxed);
    (void)pthread_mutex_unlock(mutex);
    (void)skua_vthread_wait(&condition->word, word, UINT64_MAX);
    (void)pthread_mutex_lock(mutex);
}

void skua_os_condition_broadcast(struct skua_os_condition *condition)
{
    (void)pthread_cond_broadcast(&condition->cond);
    if (!skua_vthread_simulated())
        return;
    atomic_fetch_add_explicit(&condition->word, 1, memory_order_relaxed);
    (void)skua_vthread_wake(&condition->word, INT32_MAX);
}

pid_t skua_thread_id(void)
{
    return skua_vthread_simulated() ? 0 : (pid_t)syscall(SYS_gettid);
}

void skua_thread_name(const char *name)
{
    if (skua_vthread_simulated())
        return;
    char text[16];
    (void)snprintf(text, sizeof(text), "%s", name);
    (void)pthread_setname_np(pthread_self(), text);
}

void skua_thread_nice(int increment)
{
    if (skua_vthread_simulated())
        return;
    id_t tid = (id_t)skua_thread_id();
    (void)setpriority(PRIO_PROCESS, tid, getpriority(PRIO_PROCESS, tid) + increment);
}

const char *skua_thread_stack_low(void)
{
    if (skua_vthread_simulated())
        return skua_vthread_stack_low();
    pthread_attr_t attr;
    void *low = NULL;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attr) != 0)
        return NULL;
    if (pthread_attr_getstack(&attr, &low, &size) != 0)
        low = NULL;
    (void)pthread_attr_destroy(&attr);
    return low;
}
