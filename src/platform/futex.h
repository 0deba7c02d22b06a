/*
 * platform/futex.h - futex(2) on a private 32-bit word: the one place threads sleep outside a ring.
 *
 * A wait may return for no reason; callers loop on their own word. A wake on memory that has been
 * unmapped or reused is harmless: the kernel reports EFAULT or wakes somebody who then looks again.
 */
#ifndef SKUA_SRC_FUTEX_H
#define SKUA_SRC_FUTEX_H

#include <stdatomic.h>
#include <stdint.h>

/*
 * Sleeps while *@word is @expected, until a wake or @deadline_ns (absolute, CLOCK_MONOTONIC;
 * UINT64_MAX: never). Returns 0, -EAGAIN (the word differed), -ETIMEDOUT or -EINTR.
 */
int skua_futex_wait(_Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns);

/* Wakes at most @count sleepers of @word. */
void skua_futex_wake(_Atomic uint32_t *word, int count);

#endif /* SKUA_SRC_FUTEX_H */
