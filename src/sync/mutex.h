/*
 * sync/mutex.h - the mutex as condition variables see it.
 */
#ifndef SKUA_SRC_MUTEX_H
#define SKUA_SRC_MUTEX_H

#include <skua/mutex.h>

/* Locks in spite of a cancel. */
void skua_mutex_lock_shielded(skua_mutex *mutex);

#endif /* SKUA_SRC_MUTEX_H */
