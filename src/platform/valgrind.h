/*
 * platform/valgrind.h - what valgrind must know about stacks that are not a thread's.
 *
 * Nothing where the header <valgrind/memcheck.h> is missing at build time, or with NVALGRIND
 * defined. Otherwise a request costs half a nanosecond outside valgrind: the stack pool makes one
 * for a stack's whole life, ctx.c one for each fresh context, a switch none.
 */
#ifndef SKUA_SRC_VALGRIND_H
#define SKUA_SRC_VALGRIND_H

#ifndef __has_include
#define __has_include(x) 0
#endif

#if __has_include(<valgrind/memcheck.h>) && !defined(NVALGRIND)
#include <valgrind/memcheck.h>
#define SKUA_VALGRIND 1
#else
#define SKUA_VALGRIND 0
#endif

/* Says that [@low, @high) is a stack. Returns its name for skua_valgrind_stack_deregister(). */
static inline unsigned skua_valgrind_stack_register(void *low, void *high)
{
#if SKUA_VALGRIND
    return (unsigned)VALGRIND_STACK_REGISTER(low, (char *)high - 1);
#else
    (void)low;
    (void)high;
    return 0;
#endif
}

/* Before the memory of a stack is unmapped or used for something else. */
static inline void skua_valgrind_stack_deregister(unsigned id)
{
#if SKUA_VALGRIND
    VALGRIND_STACK_DEREGISTER(id);
#else
    (void)id;
#endif
}

/*
 * Says that [@low, @high) is in use again, as a stack's top is from which a new context starts:
 * what the one before it returned from is out of bounds for memcheck.
 */
static inline void skua_valgrind_stack_reuse(void *low, void *high)
{
#if SKUA_VALGRIND
    VALGRIND_MAKE_MEM_UNDEFINED(low, (char *)high - (char *)low);
#else
    (void)low;
    (void)high;
#endif
}

#endif /* SKUA_SRC_VALGRIND_H */
