/*
 * skua/skua.h - Skua, a multithreaded work-stealing task executor for Linux. Includes everything
 * but skua/tls.h, which is of a library of its own.
 *
 * What a program must know:
 *
 *   Threads. A task may resume on another thread after any wait. Do not keep the address of a
 *   thread-local variable (errno included) across a wait, and do not hold a pthread mutex across
 *   one. Nothing in this library passes results through errno.
 *
 *   Stacks. A task has 64 KiB by default, of which half is guaranteed; ask for more where a
 *   library needs more (skua_task_options), or skua_hop() around it. An overflow hits a guard page
 *   and is reported with the task's name, function and spawn site before the process's own SIGSEGV
 *   action runs.
 *
 *   Signals. Handlers run on whatever stack the thread has; worker and executor threads have an
 *   alternate signal stack, so install handlers with SA_ONSTACK. SIGSEGV and SIGBUS are claimed
 *   while a runtime exists, and passed on unless they are a stack overflow. The library's threads
 *   block no other signals than those their creator had blocked.
 *
 *   fork(). The child of a process with a runtime has none of its threads: every skua call there
 *   returns -ECHILD (or NULL, or a failed future) instead of hanging. fork and exec is fine.
 *
 *   Shadow stacks. The context switch does not maintain user shadow stacks (CET SHSTK), and says so
 *   to the linker: a program linked with it runs without them.
 *
 *   C++. Exceptions must not leave a task's entry function. Every header is C11 and C++17.
 */
#ifndef SKUA_SKUA_H
#define SKUA_SKUA_H

#include <skua/barrier.h>
#include <skua/base.h>
#include <skua/broadcast.h>
#include <skua/channel.h>
#include <skua/combine.h>
#include <skua/condition.h>
#include <skua/event.h>
#include <skua/executor.h>
#include <skua/file.h>
#include <skua/fork.h>
#include <skua/fork_macros.h>
#include <skua/fork_pairs.h>
#include <skua/future.h>
#include <skua/local.h>
#include <skua/mutex.h>
#include <skua/net.h>
#include <skua/once.h>
#include <skua/op.h>
#include <skua/parallel.h>
#include <skua/pool.h>
#include <skua/resilience.h>
#include <skua/queue.h>
#include <skua/runtime.h>
#include <skua/rwlock.h>
#include <skua/scope.h>
#include <skua/select.h>
#include <skua/sim.h>
#include <skua/sim_network.h>
#include <skua/semaphore.h>
#include <skua/server.h>
#include <skua/socket.h>
#include <skua/stream.h>
#include <skua/task.h>
#include <skua/time.h>
#include <skua/timer.h>
#include <skua/wait_group.h>

#endif /* SKUA_SKUA_H */
