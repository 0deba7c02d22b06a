/*
 * support/uring_fault.c - see uring_fault.h.
 */
#include "support/uring_fault.h"

#include <errno.h>
#include <liburing.h>
#include <sys/syscall.h>
#include <unistd.h>

unsigned uring_fault_submit_failures;
int uring_fault_submit_errno;
unsigned uring_fault_submit_max;
unsigned uring_fault_interrupts;

__attribute__((visibility("default"))) int io_uring_enter2(unsigned int fd, unsigned int to_submit,
                                                           unsigned int min_complete,
                                                           unsigned int flags, sigset_t *sig,
                                                           size_t sz)
{
    if (uring_fault_interrupts > 0) {
        uring_fault_interrupts--;
        return -EINTR;
    }
    if (to_submit > 0 && uring_fault_submit_failures > 0) {
        uring_fault_submit_failures--;
        return -uring_fault_submit_errno;
    }
    if (uring_fault_submit_max > 0 && to_submit > uring_fault_submit_max) {
        to_submit = uring_fault_submit_max;
        min_complete = 0;
    }
    long rc = syscall(__NR_io_uring_enter, fd, to_submit, min_complete, flags, sig, sz);
    return rc < 0 ? -errno : (int)rc;
}
