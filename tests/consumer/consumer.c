/*
 * consumer/consumer.c - the smallest program that starts a runtime and awaits a task.
 */
#include <skua/skua.h>

#include <stdio.h>

static intptr_t twice(void *arg)
{
    return 2 * (intptr_t)arg;
}

static intptr_t first(void *arg)
{
    return skua_await(skua_spawn(twice, arg));
}

int main(void)
{
    intptr_t result = skua_run(NULL, first, (void *)21);
    if (result != 42) {
        fprintf(stderr, "consumer: the task returned %ld, not 42\n", (long)result);
        return 1;
    }
    return 0;
}
