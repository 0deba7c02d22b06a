/*
 * load/load_stalls.h - what client and servers of the workload stalls have in common: how a message
 * says how long its handler computes, and the computing.
 *
 * A message has LOAD_STALLS_MESSAGE_BYTES. Its first four bytes are a number of microseconds,
 * little-endian: 0 for a light request. A server that was started with --stalls computes that long
 * when it has received a message, in the thread and the task that sends the answer, which is the
 * message. On each connection only one message is under way, so on the loopback device a receive
 * yields a whole message; a server that gets less than that ends.
 */
#ifndef SKUA_LOAD_STALLS_H
#define SKUA_LOAD_STALLS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LOAD_STALLS_MESSAGE_BYTES 64u

static inline void load_stalls_put(char *message, uint32_t us)
{
    for (unsigned i = 0; i < sizeof(us); i++)
        message[i] = (char)(unsigned char)(us >> (8 * i));
}

static inline uint32_t load_stalls_get(const char *message)
{
    uint32_t us = 0;
    for (unsigned i = 0; i < sizeof(us); i++)
        us |= (uint32_t)(unsigned char)message[i] << (8 * i);
    return us;
}

static inline int64_t load_stalls_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Server: computes as long as the message that has been received says. */
static inline void load_stalls_compute(const char *message, size_t size)
{
    if (size != LOAD_STALLS_MESSAGE_BYTES) {
        fprintf(stderr, "stalls: received %zu bytes, not a message\n", size);
        exit(1);
    }
    uint32_t us = load_stalls_get(message);
    if (us == 0)
        return;
    int64_t end_ns = load_stalls_now_ns() + (int64_t)us * 1000;
    while (load_stalls_now_ns() < end_ns)
        ;
}

/* Server: takes --stalls out of the command line. True if it was there. */
static inline bool load_stalls_take(int *argc, char **argv)
{
    bool found = false;
    int kept = 1;
    for (int i = 1; i < *argc; i++) {
        if (strcmp(argv[i], "--stalls") == 0)
            found = true;
        else
            argv[kept++] = argv[i];
    }
    *argc = kept;
    argv[kept] = NULL;
    return found;
}

#endif /* SKUA_LOAD_STALLS_H */
