/*
 * io/op_blocking.h - one op by plain system calls on the calling thread.
 *
 * Called by io/op.c: on executor and foreign threads, and on the blocking executor for a worker
 * whose engine or kernel cannot do the op.
 */
#ifndef SKUA_SRC_OP_BLOCKING_H
#define SKUA_SRC_OP_BLOCKING_H

#include <skua/op.h>

/*
 * Carries out @op and sets @op->result to what a ring would have put there: a count, 0, a
 * descriptor, poll's events, or -errno (-EINTR and -EAGAIN included; -EINVAL for an unknown code).
 * Blocks as long as the system call does and is not a cancellation point. Touches no other field of
 * @op, and leaves the thread's errno as it was.
 */
void skua_op_run_blocking(skua_op *op);

/* The same, for the simulator, which waits until it will not block, and spoils it now and then. */
void skua_op_perform(skua_op *op);

/* For op_blocking.c: the codes of sockets. Returns the result; sets errno. */
int64_t skua_op_perform_socket(const skua_op *op);

#endif /* SKUA_SRC_OP_BLOCKING_H */
