/*
 * support/uring_fault.h - a kernel that refuses io_uring_enter(2) when told to.
 *
 * uring_fault.c defines liburing's io_uring_enter2(), so a program that links it goes through here
 * with every enter. Set from the test's own thread only.
 */
#ifndef SKUA_TESTS_URING_FAULT_H
#define SKUA_TESTS_URING_FAULT_H

#ifdef __cplusplus
extern "C" {
#endif

/* So many of the next enters that submit something fail with this errno. */
extern unsigned uring_fault_submit_failures;
extern int uring_fault_submit_errno;

/* At most so many entries are consumed by one enter, which then does not wait; 0: no limit. */
extern unsigned uring_fault_submit_max;

/* So many of the next enters fail with EINTR. */
extern unsigned uring_fault_interrupts;

#ifdef __cplusplus
}
#endif

#endif /* SKUA_TESTS_URING_FAULT_H */
