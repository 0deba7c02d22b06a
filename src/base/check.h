/*
 * base/check.h - assertions in three tiers.
 *
 *   skua_check        always on: cheap, guards memory safety
 *   skua_assert       on in debug builds (SKUA_DEBUG)
 *   skua_assert_slow  whole-structure validators, on with SKUA_DEBUG_SLOW
 *
 * For errors of the library or of a caller breaking a contract, never for failed system calls,
 * exhausted memory or bad input: those are return values. Switched-off conditions still compile.
 */
#ifndef SKUA_SRC_CHECK_H
#define SKUA_SRC_CHECK_H

#include "base/compiler.h"

_Noreturn void skua_check_failed(const char *condition, const char *file, int line);

#define skua_check(cond)                                                                           \
    do {                                                                                           \
        if (skua_unlikely(!(cond)))                                                                \
            skua_check_failed(#cond, __FILE__, __LINE__);                                          \
    } while (0)

#ifdef SKUA_DEBUG
#define skua_assert(cond) skua_check(cond)
#else
#define skua_assert(cond) ((void)sizeof(!(cond)))
#endif

#ifdef SKUA_DEBUG_SLOW
#define skua_assert_slow(cond) skua_check(cond)
#else
#define skua_assert_slow(cond) ((void)sizeof(!(cond)))
#endif

#endif /* SKUA_SRC_CHECK_H */
