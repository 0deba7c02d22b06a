/*
 * support/typed_forks_c.c - see typed_forks.h.
 */
#include "support/typed_forks.h"

const struct typed_case *typed_cases_c(size_t *count)
{
    *count = sizeof(typed_cases) / sizeof(typed_cases[0]);
    return typed_cases;
}
