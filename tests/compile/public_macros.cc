/*
 * compile/public_macros.cc - see public_macros.h. Only compiled.
 */
#include "public_macros.h"

int compile_public_macros(skua_runtime *runtime, skua_executor *executor);

int compile_public_macros(skua_runtime *runtime, skua_executor *executor)
{
    return uses_macros(runtime, executor);
}
