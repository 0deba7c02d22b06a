/*
 * base/check.c - how a failed assertion ends the process: one line on stderr, then abort.
 */
#include "base/check.h"

#include <stdio.h>
#include <stdlib.h>

_Noreturn SKUA_NOINLINE void skua_check_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "skua: %s:%d: check failed: %s\n", file, line, condition);
    abort();
}
