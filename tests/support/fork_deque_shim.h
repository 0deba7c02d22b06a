/*
 * tests/support/fork_deque_shim.h - core/fork_deque.h for C++. Jobs are numbers, 0 is "none"; the
 * shim is the owner's fast paths, as skua/fork_macros.h has them.
 */
#ifndef SKUA_TESTS_FORK_DEQUE_SHIM_H
#define SKUA_TESTS_FORK_DEQUE_SHIM_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct deque_shim;
struct skua_deque;

struct deque_shim *deque_shim_create(void);
void deque_shim_destroy(struct deque_shim *shim);
struct skua_deque *deque_shim_deque(struct deque_shim *shim);

/* Places for jobs. */
unsigned deque_shim_capacity(void);

enum deque_shim_path {
    DEQUE_SHIM_FAST,  /* without the library */
    DEQUE_SHIM_ASKED, /* with it */
    DEQUE_SHIM_FULL,  /* fork: no place. join: nothing there */
    DEQUE_SHIM_STOLEN /* join: a thief has it; deque_shim_settle() when it is done */
};

/* Owner. @job is not 0. A fork that asks hands out what thieves have asked for, as the library. */
enum deque_shim_path deque_shim_fork(struct deque_shim *shim, uint64_t job);
/* Owner: joins the newest. The job, or its result, is in *@job. */
enum deque_shim_path deque_shim_join(struct deque_shim *shim, uint64_t *job);
/* Owner: only the first step of that. */
void deque_shim_claim(struct deque_shim *shim);
/* Owner, after DEQUE_SHIM_STOLEN: whether it is done: its slot is free, the result in *@job. */
bool deque_shim_settle(struct deque_shim *shim, uint64_t *job);
/* Owner: joins the @nth oldest, not the newest. False: a thief has it. Leaves @tombstone there. */
bool deque_shim_take_older(struct deque_shim *shim, unsigned nth, uint64_t *job);
/* Owner: whether a tombstone stands there. */
bool deque_shim_is_tombstone(struct deque_shim *shim, unsigned nth);

unsigned deque_shim_publish(struct deque_shim *shim, bool all, bool only_wanted);
void deque_shim_set_slow(struct deque_shim *shim, bool slow_only);
void deque_shim_disturb(struct deque_shim *shim);
void deque_shim_calm(struct deque_shim *shim);
/* Owner: where skua_deque_head() finds head when it starts to look at @hint: jobs below it. */
unsigned deque_shim_head_from(struct deque_shim *shim, unsigned hint);
bool deque_shim_is_empty(struct deque_shim *shim);

/* Thieves. A stolen job is done when deque_shim_finish() is called with its @token. */
uint64_t deque_shim_steal(struct deque_shim *shim, void **token, bool *tombstone);
void deque_shim_finish(void *token, uint64_t result);
void deque_shim_request(struct deque_shim *shim);
unsigned deque_shim_force(struct deque_shim *shim, void (*barrier)(void));
bool deque_shim_has_public(struct deque_shim *shim);
bool deque_shim_has_private(struct deque_shim *shim);
bool deque_shim_is_hungry(struct deque_shim *shim);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_TESTS_FORK_DEQUE_SHIM_H */
