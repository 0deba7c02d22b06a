/*
 * core/timer_queue.h - a worker's timers, ordered by deadline, then by age: a radix heap.
 *
 * WHAT   The queue holds an entry for each timer: its deadline, its age, and a number by which it
 *        finds the timer. Entries of the future are in buckets, by the highest bit in which their
 *        deadline differs from a reference time; those that are not later than it are in a heap.
 *        When the lowest bucket is due, the reference moves into it, and it is divided among the
 *        heap and lower buckets. So an entry moves but a few times, together with others, along
 *        arrays, the heap stays small, and nobody looks at the timer itself before it is to fire.
 *        A timer that is removed leaves its entry behind, stale: it is dropped when it comes up, or
 *        when there are more stale ones than others.
 *
 * INVARIANTS
 *   T1  An entry with deadline d > reference is in bucket b, the number of the highest bit set in
 *       d ^ reference; so all deadlines in a bucket are later than all in lower ones.
 *   T2  earliest[b] is not later than any deadline in bucket b.
 *   T3  Entry and timer know each other: timers[entry.number] == timer, timer.index == number.
 *       A stale entry's number stands for NULL, and is given out again only when it is dropped.
 *   T4  There is room for every entry in the heap, and for its way there: add() alone can fail.
 *
 * The caller guards it. Timers belong to those who wait (they stand in their frames).
 *
 * COST   A million timers, armed and fired: see bench/timers_bench.c. The 4-ary heap that was here
 *        before took 700 ns for each pop at that size, most of it to write indices into timers that
 *        were in no cache.
 *
 * SEE    R. Ahuja, K. Mehlhorn, J. Orlin, R. Tarjan, Faster algorithms for the shortest path
 *        problem (1990), radix heaps; G. Varghese, A. Lauck, Hashed and hierarchical timing wheels
 *        (1987).
 */
#ifndef SKUA_SRC_TIMER_QUEUE_H
#define SKUA_SRC_TIMER_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SKUA_TIMER_NONE SIZE_MAX
#define SKUA_TIMER_BUCKETS 64u

struct skua_timer {
    uint64_t deadline_ns;
    size_t index; /* its number; SKUA_TIMER_NONE when it is in no queue */
};

struct skua_timer_entry {
    uint64_t deadline_ns;
    uint32_t age; /* counts up, and round: equal deadlines fire in the order they were added */
    uint32_t number;
};

struct skua_timer_chunk;

struct skua_timer_queue {
    uint64_t reference_ns;
    uint32_t age_next;
    uint32_t live;  /* timers */
    uint32_t stale; /* entries without */
    uint64_t full;  /* bit b: bucket b is not empty */
    uint64_t earliest[SKUA_TIMER_BUCKETS];
    struct skua_timer_chunk *buckets[SKUA_TIMER_BUCKETS]; /* the newest chunk of each */
    struct skua_timer_chunk *spare;
    size_t chunk_count; /* all there are */

    struct skua_timer_entry *due; /* a binary heap */
    size_t due_count;
    size_t due_capacity;

    struct skua_timer **timers; /* by number; a free number's next one, tagged, in its place */
    uint32_t number_count;      /* given out so far */
    uint32_t number_capacity;
    uint32_t number_free; /* the first free one; UINT32_MAX: none */
};

void skua_timer_queue_init(struct skua_timer_queue *queue);

/* The queue must be empty: the waiters of what is left would never be told. */
void skua_timer_queue_fini(struct skua_timer_queue *queue);

static inline void skua_timer_init(struct skua_timer *timer)
{
    timer->index = SKUA_TIMER_NONE;
}

/*
 * Adds @timer, which is in no queue, to fire at @deadline_ns. Returns 0 or -ENOMEM; then neither
 * the queue nor @timer has changed.
 */
int skua_timer_queue_add(struct skua_timer_queue *queue, struct skua_timer *timer,
                         uint64_t deadline_ns);

/* Removes @timer. False if it was in no queue (it has been popped). */
bool skua_timer_queue_remove(struct skua_timer_queue *queue, struct skua_timer *timer);

/* How many timers there are. */
static inline size_t skua_timer_queue_count(const struct skua_timer_queue *queue)
{
    return queue->live;
}

/*
 * When to look again: not later than the earliest deadline, earlier if that of a removed timer is.
 * UINT64_MAX if there is no timer.
 */
uint64_t skua_timer_queue_deadline(const struct skua_timer_queue *queue);

/* Takes the earliest timer that is due at @now_ns, NULL if none is. */
struct skua_timer *skua_timer_queue_pop(struct skua_timer_queue *queue, uint64_t now_ns);

#endif /* SKUA_SRC_TIMER_QUEUE_H */
