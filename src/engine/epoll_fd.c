/*
 * engine/epoll_fd.c - descriptors of the epoll engine: what the kernel has been told of them.
 *
 * WHAT   One entry for each descriptor number that was waited on. Called by epoll.c alone, by
 *        whoever has the engine at that time.
 *
 * STALE  epoll knows a descriptor as a pair of number and open file, and forgets it when the last
 *        reference to the open file goes. Any thread, or a plain close(2), may close a descriptor
 *        and another open its number anew, and this engine is not told. So what is registered is
 *        asked of the kernel, by EPOLL_CTL_MOD or ADD, which it looks up by the file the number now
 *        stands for. MOD answers ENOENT if this file is not in the set: then it is added; ADD
 *        answers EEXIST if it is: then it is modified. Which of them comes first (is_known) is a
 *        guess that may cost one call more. Both look at the file, so data that came before is not
 *        missed. A file that lives on under another number (dup(2), fork(2)) after its own was
 *        reused may still give events, of an older generation: they are ignored.
 *        Unlike a ring this holds no reference to the file: an op on a descriptor that is closed
 *        while it waits is over only when cancelled, or, if the number is reused and waited on,
 *        goes on with the new file. (skua/socket.h forbids such a close.)
 *
 * ONE-SHOT  Most waits are registered by one such call each, before the next sleep, with
 *        EPOLLONESHOT: an event disarms, so no event comes that nobody waits for.
 *
 * STAYING  Whoever receives from a TCP socket, and nothing else, has a registration that stays
 *        (EPOLLET): a server's request then costs no epoll_ctl(2), the kernel's half of epoll being
 *        as dear as a receive. What may go wrong, and what is done:
 *        - The number stands for another file, which nobody has registered. So only a task relies
 *          on a registration that has received from this number before, and has been given no
 *          other descriptor by this library since, nor closed one (SKUA_OP_RECV_AGAIN,
 *          io/socket_hint.h): when it received here for the first time, what was known of the
 *          number was no longer trusted. It may have done so on another worker: then it was not the
 *          last to wait here (waiter). What can still go wrong takes a close(2) and an open by
 *          other means than this library, in one task, or tasks and numbers that are reused in
 *          pairs. Then nothing would come: a descriptor that is relied on is unsure, and the kernel
 *          is asked after all when nothing has come for DOUBT_NS.
 *        - A wait that lasts longer than that is the rule where little happens, and waking up for
 *          the question costs more than the question. So only a connection whose last wait was
 *          shorter (is_quick) is relied on.
 *        - An edge is an event even if nobody waits. One is remembered by is_drained alone: the
 *          next receive is tried. After a second one in a row the registration is disarmed: the
 *          connection is served by another worker now, or read seldom. A file that lives on after
 *          its number was closed here cannot be disarmed: each of its edges ends a sleep.
 *        - After the end, an error or urgent data there may be no edge, though receives have an
 *          answer. An event that tells of one (ODD) ends the staying. Other streams than TCP may
 *          leave bytes behind a short receive (SCM_RIGHTS), so theirs do not stay.
 *
 * SEE    epoll(7), questions 6 and 9; epoll_ctl(2).
 *
 * TESTS  tests/unit/engine/epoll_test.cc, epoll_staying_test.cc
 */
#include "engine/epoll_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ARM_TRIES 4                   /* of MOD and ADD in turn, while others close and open */
#define DOUBT_NS (UINT64_C(20000000)) /* see STAYING */
#define EDGES ((uint32_t)(EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET))
#define ODD ((uint32_t)(EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) /* not only data */

/* ---- entries --------------------------------------------------------------------------------- */

struct skua_epoll_fd *skua_epoll_fd_find(struct skua_epoll *e, int fd)
{
    unsigned chunk = (unsigned)fd / SKUA_EPOLL_CHUNK; /* a negative one is beyond all of them */
    if (chunk >= e->chunk_count || e->chunks[chunk] == NULL)
        return NULL;
    return &e->chunks[chunk][(unsigned)fd % SKUA_EPOLL_CHUNK];
}

static bool chunks_grow(struct skua_epoll *e, unsigned count_min)
{
    unsigned count = skua_max(count_min, e->chunk_count * 2);
    struct skua_epoll_fd **chunks = realloc(e->chunks, count * sizeof(*chunks));
    if (chunks == NULL)
        return false;
    memset(chunks + e->chunk_count, 0, (count - e->chunk_count) * sizeof(*chunks));
    e->chunks = chunks;
    e->chunk_count = count;
    return true;
}

struct skua_epoll_fd *skua_epoll_fd_make(struct skua_epoll *e, int fd)
{
    struct skua_epoll_fd *found = skua_epoll_fd_find(e, fd);
    if (skua_likely(found != NULL))
        return found;
    skua_assert(fd >= 0);
    unsigned chunk = (unsigned)fd / SKUA_EPOLL_CHUNK;
    if (chunk >= e->chunk_count && !chunks_grow(e, chunk + 1))
        return NULL;
    struct skua_epoll_fd *entries = calloc(SKUA_EPOLL_CHUNK, sizeof(*entries));
    if (entries == NULL)
        return NULL;
    for (unsigned i = 0; i < SKUA_EPOLL_CHUNK; i++) {
        entries[i].fd = (int)(chunk * SKUA_EPOLL_CHUNK + i);
        skua_list_init(&entries[i].waits);
        skua_list_init(&entries[i].dirty);
        skua_list_init(&entries[i].unsure);
    }
    e->chunks[chunk] = entries;
    return skua_epoll_fd_find(e, fd);
}

void skua_epoll_fd_fini(struct skua_epoll *e)
{
    for (unsigned i = 0; i < e->chunk_count; i++)
        free(e->chunks[i]);
    free(e->chunks);
}

void skua_epoll_fd_mark_dirty(struct skua_epoll *e, struct skua_epoll_fd *at)
{
    if (!skua_list_empty(&at->dirty))
        return;
    skua_list_push(&e->dirty, &at->dirty);
    skua_gauge_add(&e->engine.queued, 1);
}

void skua_epoll_fd_forget(struct skua_epoll_fd *at)
{
    at->is_known = false;
    at->is_drained = false;
    at->stays = false;
    at->is_trusted = false;
    at->generation = 0;
}

void skua_epoll_fd_first_try(struct skua_epoll_fd *at, const skua_op *op)
{
    bool receives = op->code == SKUA_OP_RECV || op->code == SKUA_OP_RECVMSG;
    if (receives && op->buf_index != SKUA_OP_RECV_AGAIN)
        at->is_trusted = false; /* it was told of for somebody else, perhaps of another file */
}

/* ---- telling the kernel ---------------------------------------------------------------------- */

static const void *waiter_of(skua_op *op)
{
    return skua_op_private(op)->waiter;
}

/* Whether all that @wait needs is what stays registered. */
static bool is_receive(const struct skua_epoll_wait *wait)
{
    return wait->attempt.events == EPOLLIN && skua_epoll_takes_bytes(wait->op);
}

/* Whether @wait may rely on what the kernel was told of @at; see STAYING. */
static bool may_rely(const struct skua_epoll_fd *at, const struct skua_epoll_wait *wait)
{
    return at->is_trusted && at->is_quick && is_receive(wait) && waiter_of(wait->op) == at->waiter;
}

void skua_epoll_fd_wait(struct skua_epoll *e, struct skua_epoll_wait *wait)
{
    struct skua_epoll_fd *at = wait->at;
    bool relies = may_rely(at, wait);
    if (skua_list_empty(&at->waits))
        at->since_ns = e->now_ns;
    at->waiter = waiter_of(wait->op);
    skua_list_push(&at->waits, &wait->link);
    if (!relies)
        skua_epoll_fd_mark_dirty(e, at);
    else if (skua_list_empty(&at->unsure))
        skua_list_push(&e->unsure, &at->unsure);
}

/* Whether all of @at's waits are receives. *@events: what they wait for. */
static bool are_receives(const struct skua_epoll_fd *at, uint32_t *events)
{
    bool only_receives = true;
    *events = 0;
    for (const struct skua_list *link = at->waits.next; link != &at->waits; link = link->next) {
        const struct skua_epoll_wait *wait =
            skua_container_of(link, const struct skua_epoll_wait, link);
        *events |= wait->attempt.events;
        only_receives &= is_receive(wait);
    }
    return only_receives;
}

static int control(struct skua_epoll *e, struct skua_epoll_fd *at, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events};
    event.data.u64 = (uint64_t)at->generation << 32 | (uint32_t)at->fd;
    skua_counter_add(&e->engine.enters_total, 1);
    return epoll_ctl(e->epoll_fd, operation, at->fd, &event) == 0 ? 0 : -errno;
}

/* One epoll_ctl(2), or two if the guess was wrong. */
static int tell(struct skua_epoll *e, struct skua_epoll_fd *at, uint32_t events, bool may_stay)
{
    at->stays = false;
    at->is_trusted = false;
    for (int tries = 0;; tries++) {
        if (!at->is_known)
            at->kind = (uint8_t)skua_epoll_kind_of(at->fd);
        bool stays = may_stay && at->kind == SKUA_EPOLL_TCP;
        int rc = control(e, at, at->is_known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD,
                         stays ? EDGES : events | EPOLLONESHOT);
        if (rc == 0) {
            at->is_known = true;
            at->stays = stays;
            at->is_trusted = stays;
            return 0;
        }
        if ((rc != -ENOENT && rc != -EEXIST) || tries == ARM_TRIES)
            return rc;
        at->is_known = rc == -EEXIST;
    }
}

int skua_epoll_fd_register(struct skua_epoll *e, struct skua_epoll_fd *at)
{
    uint32_t events;
    if (skua_list_empty(&at->waits))
        return 0;
    bool may_stay = are_receives(at, &events);
    if (++e->generation == 0)
        e->generation = 1;
    at->generation = e->generation;
    skua_list_remove(&at->unsure);
    return tell(e, at, events, may_stay);
}

/* ---- what comes of it ------------------------------------------------------------------------ */

/*
 * By the bare call: the number may be being closed meanwhile, which does no harm (MOD fails unless
 * the file is the one that was registered), and which ThreadSanitizer would take for a mistake.
 */
static void disarm(struct skua_epoll *e, int fd)
{
    struct epoll_event event = {.events = EPOLLONESHOT};
    skua_counter_add(&e->engine.enters_total, 1);
    (void)syscall(SYS_epoll_ctl, e->epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

/* An edge, and nobody waits. True if the registration is to stay. */
static bool stays_unwanted(struct skua_epoll *e, struct skua_epoll_fd *at)
{
    bool is_second = at->is_unwanted;
    at->is_unwanted = !is_second;
    at->is_drained = false;
    if (is_second)
        disarm(e, at->fd);
    return !is_second;
}

void skua_epoll_fd_event(struct skua_epoll *e, struct skua_epoll_fd *at, uint32_t ready)
{
    skua_list_remove(&at->unsure);
    bool stays = at->stays && (ready & ODD) == 0;
    if (!skua_list_empty(&at->waits)) {
        at->is_quick = e->now_ns - at->since_ns < DOUBT_NS;
        at->is_unwanted = false;
    } else if (at->stays) {
        stays = stays_unwanted(e, at) && stays;
    }
    at->stays = stays;
    at->is_trusted = at->is_trusted && stays;
    if (!stays)
        at->generation = 0;
}

uint64_t skua_epoll_fd_doubt(struct skua_epoll *e)
{
    while (!skua_list_empty(&e->unsure)) {
        struct skua_epoll_fd *at = skua_container_of(e->unsure.next, struct skua_epoll_fd, unsure);
        if (e->now_ns - at->since_ns < DOUBT_NS)
            return at->since_ns + DOUBT_NS;
        skua_list_remove(&at->unsure);
        at->is_quick = false;
        skua_epoll_fd_mark_dirty(e, at);
    }
    return UINT64_MAX;
}
