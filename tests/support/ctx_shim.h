/*
 * tests/support/ctx_shim.h - scenarios on machine contexts and the thread pointer, in plain C.
 *
 * The headers under test do not compile as C++, and the same scenarios are run by a C program on
 * other machines. Each returns 0, or the number of what went wrong; the comment says which.
 */
#ifndef SKUA_TESTS_CTX_SHIM_H
#define SKUA_TESTS_CTX_SHIM_H

/* 1: the entry got another argument; 2: it ran more or less than once. */
int ctx_shim_entry_argument(void);

/* 1: not 16-aligned at the call for some top offset; 2: an aligned vector store lost its value. */
int ctx_shim_stack_alignment(void);

/*
 * A mask of the callee-saved registers (bit 0: the first) that a switch changed. -1 in sanitizer
 * builds: the assembly that looks cannot tell the sanitizer.
 */
int ctx_shim_callee_saved_registers(void);

/* 1: a floating point value kept across a switch changed. */
int ctx_shim_floats_survive(int rounds);

/* The next three: -1 under valgrind, which has no such control words. */

/* 1: double, 2: long double rounds wrongly in the task, 3, 4: in the thread; 5: fegetround(). */
int ctx_shim_rounding_mode(void);

/* 1: flush-to-zero set by the task leaked out; 2: the task lost it. 0 where there is no MXCSR. */
int ctx_shim_flush_to_zero(void);

/* 1: a fresh context does not round as its creator did. */
int ctx_shim_inherited_rounding_mode(void);

/* @contexts contexts switch at each level of a recursion of @depth. 1: a frame was damaged. */
int ctx_shim_deep_ping_pong(int contexts, int depth, int rounds);

/* One stack, @times contexts one after another at changing offsets. 1: one did not run. */
int ctx_shim_stack_reused(int times);

/* Two contexts switch to each other without the thread's own. 1: wrong order. */
int ctx_shim_symmetric(void);

/*
 * A context is resumed by two threads in turn. 1: a thread could not be started, 2: a deadline
 * passed, 3: its locals changed, 4: skua_tls_get() gave another thread's value.
 */
int ctx_shim_migration(int moves);

/*
 * The same with an ordinary thread-local variable, once: 0 if it is read right after a move, 1 if
 * the compiler kept the address of the old thread's, 2 if the scenario itself failed.
 */
int ctx_shim_plain_thread_local_is_stale(void);

/* 1: tls_set() is not read back; 2: another thread's slot was not NULL at its start. */
int ctx_shim_tls_per_thread(void);

/* The frames of a backtrace taken inside a context: 0 if it never ended, else how many. */
int ctx_shim_backtrace_frames(void);

#endif /* SKUA_TESTS_CTX_SHIM_H */
