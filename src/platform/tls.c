/*
 * platform/tls.c - the variable behind tls.h. Nobody names it except the accessors there.
 */
#include "platform/tls.h"

#include "base/compiler.h"

/* "used": the assembly's reference is invisible to link-time optimisation. */
extern _Thread_local void *skua_tls_slot
    __attribute__((visibility("hidden"), tls_model("initial-exec")));
_Thread_local void *skua_tls_slot __attribute__((used));

#if !((defined(__x86_64__) || defined(__aarch64__)) && defined(__LP64__))

SKUA_NOINLINE void *skua_tls_get(void)
{
    __asm__ volatile("" ::: "memory"); /* keeps callers from taking this for a pure function */
    return skua_tls_slot;
}

SKUA_NOINLINE void skua_tls_set(void *value)
{
    __asm__ volatile("" ::: "memory");
    skua_tls_slot = value;
}

#endif
