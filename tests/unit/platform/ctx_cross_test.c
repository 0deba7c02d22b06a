/*
 * tests/unit/platform/ctx_cross_test.c - the context scenarios as a plain C program.
 *
 * For machines reached through a cross compiler and an emulator, where there is no googletest. On
 * aarch64, from the top of the tree:
 *
 *   aarch64-linux-gnu-gcc -std=c17 -D_GNU_SOURCE -O2 -Isrc -Iinclude -Itests -o ctx_cross_test \
 *       tests/unit/platform/ctx_cross_test.c tests/support/ctx_shim.c src/platform/ctx.c \
 *       src/platform/ctx_aarch64.S src/platform/tls.c src/base/check.c -lm -pthread
 *   qemu-aarch64 -L /usr/aarch64-linux-gnu ./ctx_cross_test
 *
 * Prints one line for each scenario and returns how many failed.
 */
#include "support/ctx_shim.h"

#include <stdio.h>

static int failures;

/* A scenario returns 0 if all is well, -1 if it cannot run here. */
static void expect_went_well(const char *name, int result)
{
    const char *verdict = result == 0 ? "ok" : result == -1 ? "skipped" : "FAILED";
    printf("%-40s %s (%d)\n", name, verdict, result);
    if (result > 0)
        failures++;
}

#define RUN(call) expect_went_well(#call, call)

int main(void)
{
    RUN(ctx_shim_entry_argument());
    RUN(ctx_shim_stack_alignment());
    RUN(ctx_shim_callee_saved_registers());
    RUN(ctx_shim_floats_survive(100));
    RUN(ctx_shim_rounding_mode());
    RUN(ctx_shim_flush_to_zero());
    RUN(ctx_shim_inherited_rounding_mode());
    RUN(ctx_shim_deep_ping_pong(64, 40, 200));
    RUN(ctx_shim_stack_reused(1000));
    RUN(ctx_shim_symmetric());
    RUN(ctx_shim_migration(200));
    RUN(ctx_shim_tls_per_thread());
    int frames = ctx_shim_backtrace_frames();
    printf("%-40s %d frames\n", "ctx_shim_backtrace_frames()", frames);
    if (frames < 2 || frames > 6)
        failures++;
    printf("%-40s %d\n", "ctx_shim_plain_thread_local_is_stale()",
           ctx_shim_plain_thread_local_is_stale());
    return failures;
}
