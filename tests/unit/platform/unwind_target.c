/*
 * tests/unit/platform/unwind_target.c - what unwind_test.py steps through; alone, it walks its own
 * frame pointers inside a context and returns 0 if the walk ends where the context began.
 */
#include "platform/ctx.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define STACK_BYTES ((size_t)64 << 10)
#define NOINLINE __attribute__((noinline))
#define FRAMES_MAX 20

void before_switches(void);
void after_switches(void);
void task_inner(void);
void task_outer(void);
void task_entry(void *arg);

static struct skua_ctx thread, task;
static char *stack;
static int frames;

/* Where gdb stops. */
NOINLINE void before_switches(void)
{
    __asm__ volatile("");
}

NOINLINE void after_switches(void)
{
    __asm__ volatile("");
}

/*
 * Follows the saved frame pointers as perf does; counts them up to the 0 at the end. Without frame
 * pointers rbp may be anything: a walk then stops at once, outside the stack.
 */
static NOINLINE void walk_frames(void)
{
    uintptr_t frame = (uintptr_t)__builtin_frame_address(0);
    for (frames = 0; frames < FRAMES_MAX; frames++) {
        if (frame - (uintptr_t)stack >= STACK_BYTES - sizeof(frame))
            break;
        frame = *(uintptr_t *)frame;
    }
    if (frame != 0)
        frames = FRAMES_MAX;
}

NOINLINE void task_inner(void)
{
    walk_frames();
    skua_ctx_switch(&task, &thread);
}

NOINLINE void task_outer(void)
{
    task_inner();
    __asm__ volatile("");
}

NOINLINE void task_entry(void *arg)
{
    (void)arg;
    task_outer();
    skua_ctx_leave(&task, &thread);
}

int main(void)
{
    stack = aligned_alloc(4096, STACK_BYTES);
    if (stack == NULL)
        return 2;
    skua_ctx_init_thread(&thread);
    skua_ctx_init(&task, stack, STACK_BYTES, 64, task_entry, NULL);
    before_switches();
    skua_ctx_switch(&thread, &task);
    skua_ctx_switch(&thread, &task);
    after_switches();
    free(stack);
    printf("%d frames\n", frames);
    return frames == 4 ? 0 : 1;
}
