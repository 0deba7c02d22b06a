/*
 * support/refuse_syscall.h - makes the kernel refuse one system call to this process, for ever: to
 * be used in a child (support/child.h).
 */
#ifndef SKUA_TESTS_REFUSE_SYSCALL_H
#define SKUA_TESTS_REFUSE_SYSCALL_H

#include <cstddef>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

namespace skua_test
{

/* The call @number answers with @error (EPERM ...) from now on. False: no such filter here. */
inline bool refuseSyscall(long number, int error)
{
    struct sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<unsigned>(number), 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | static_cast<unsigned>(error)),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = {sizeof(program) / sizeof(program[0]), program};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

} // namespace skua_test

#endif /* SKUA_TESTS_REFUSE_SYSCALL_H */
