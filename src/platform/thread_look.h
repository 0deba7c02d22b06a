/*
 * platform/thread_look.h - looking at another thread of this process as a debugger does: whether it
 * sleeps in the kernel, and where it called from.
 *
 * The thread may go on at any moment and is not disturbed. So memory is read by
 * process_vm_readv(2), which fails where nothing is mapped, and what is read may be stale by then.
 * Sources: proc(5) on /proc/pid/task/tid/syscall; the encodings of calls in the Intel SDM and the
 * Arm ARM.
 */
#ifndef SKUA_SRC_THREAD_LOOK_H
#define SKUA_SRC_THREAD_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A thread that sleeps in the kernel. */
struct skua_thread_look {
    long syscall; /* its number; -1: in none, for a page of memory say */
    uintptr_t sp;
    uintptr_t pc;
};

/* 1 if thread @tid of this process sleeps in the kernel; 0 if it runs; -errno if it cannot tell. */
int skua_thread_look(pid_t tid, struct skua_thread_look *look);

/* The CPU time that a thread of this process has used; 0 if it cannot be told. */
uint64_t skua_thread_cpu_ns(pid_t tid);

/* Copies @size bytes from @from, of which any may be unmapped. True if all of them are copied. */
bool skua_memory_look(void *to, const void *from, size_t size);

/*
 * Stores in @frames, of @max, the code addresses of a thread at @look: where it is, then what looks
 * like return addresses in the next kilobytes of its stack. Their number. Some may be left over
 * from calls that have returned.
 */
size_t skua_thread_frames(const struct skua_thread_look *look, void **frames, size_t max);

#endif /* SKUA_SRC_THREAD_LOOK_H */
