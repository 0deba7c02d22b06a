/*
 * base/alloc.c - see alloc.h.
 */
#include "base/alloc.h"

bool (*_Atomic skua_alloc_fails_hook)(void);
