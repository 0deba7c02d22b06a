/*
 * base/spin.c - see spin.h.
 */
#include "base/spin.h"

#include <sched.h>
#include <stddef.h>

void (*_Atomic skua_spin_give_way_hook)(void);

void skua_spin_give_way(void)
{
    /* relaxed: set by the thread that needs it, before it does */
    void (*hook)(void) = atomic_load_explicit(&skua_spin_give_way_hook, memory_order_relaxed);
    if (hook != NULL)
        hook();
    else
        (void)sched_yield();
}
