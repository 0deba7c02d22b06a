/*
 * sync/turns.c - see turns.h.
 */
#include "sync/turns.h"

#include <errno.h>

int skua_turns_take_part(const struct skua_turns_owner *owner, struct skua_turns *turns,
                         struct skua_turn *turn, uint64_t deadline_ns)
{
    for (;; turn->lost++) {
        struct skua_queue_wait wait;
        int rc = skua_queue_wait_begin(&wait, owner->kind, false, deadline_ns);
        if (rc < 0) { /* the turn must not be lost, nor what is there now */
            int last = turn->is_waking ? owner->attempt(turn, NULL) : -EAGAIN;
            return last == -EAGAIN ? rc : last;
        }
        rc = owner->attempt(turn, &wait.node);
        if (rc != -EAGAIN) {
            skua_queue_wait_abandon(&wait);
            return rc;
        }
        rc = skua_queue_wait_park_guarded(&wait, &turns->waiters[turn->side], &owner->guard,
                                          turn->object);
        if (rc < 0 || wait.node.value != SKUA_TURN)
            return rc < 0 ? rc : (int)wait.node.value;
        turn->is_waking = true;
    }
}
