/*
 * core/timer_queue.c - see timer_queue.h.
 */
#include "core/timer_queue.h"

#include "base/alloc.h"
#include "base/check.h"
#include "base/compiler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_ENTRIES 63u
#define NUMBERS_MIN 64u
#define NUMBERS_KEPT 4096u /* fewer are kept when the queue is empty */
#define CHUNKS_KEPT 64u
#define NO_NUMBER UINT32_MAX
#define STALE_MIN 256u /* fewer stale entries are left alone */

/* Entries of a bucket, oldest first; older chunks follow. 16 * 63 + 16 bytes. */
struct skua_timer_chunk {
    struct skua_timer_chunk *older;
    size_t count;
    struct skua_timer_entry entries[CHUNK_ENTRIES];
};

/* ---- numbers --------------------------------------------------------------------------------- */

/* A free number's place holds the next one, shifted, with the lowest bit set. */
static void free_number(struct skua_timer_queue *queue, uint32_t number)
{
    queue->timers[number] =
        (struct skua_timer *)(((uintptr_t)queue->number_free << 1) | (uintptr_t)1);
    queue->number_free = number;
}

/* There is room for one. */
static uint32_t take_number(struct skua_timer_queue *queue, struct skua_timer *timer)
{
    uint32_t number = queue->number_free;
    if (number != NO_NUMBER)
        queue->number_free = (uint32_t)((uintptr_t)queue->timers[number] >> 1);
    else
        number = queue->number_count++;
    queue->timers[number] = timer;
    return number;
}

/* ---- room ------------------------------------------------------------------------------------ */

static int grow_numbers(struct skua_timer_queue *queue)
{
    uint64_t capacity = skua_max((uint64_t)queue->number_capacity * 2, (uint64_t)NUMBERS_MIN);
    if (capacity >= NO_NUMBER)
        return -ENOMEM;
    struct skua_timer **timers =
        skua_realloc(queue->timers, capacity * sizeof(struct skua_timer *));
    if (timers == NULL)
        return -ENOMEM;
    queue->timers = timers;
    queue->number_capacity = (uint32_t)capacity;
    return 0;
}

static int grow_due(struct skua_timer_queue *queue)
{
    size_t capacity = skua_max(queue->due_capacity * 2, (size_t)NUMBERS_MIN);
    struct skua_timer_entry *due = skua_realloc(queue->due, capacity * sizeof(*due));
    if (due == NULL)
        return -ENOMEM;
    queue->due = due;
    queue->due_capacity = capacity;
    return 0;
}

/* T4, for one entry more. Every bucket may have a chunk that is not full, and one is being read. */
static int make_room(struct skua_timer_queue *queue)
{
    size_t entries = (size_t)queue->live + queue->stale + 1;
    if (queue->number_free == NO_NUMBER && queue->number_count == queue->number_capacity &&
        grow_numbers(queue) < 0)
        return -ENOMEM;
    if (entries > queue->due_capacity && grow_due(queue) < 0)
        return -ENOMEM;
    size_t buckets = skua_min(entries, (size_t)SKUA_TIMER_BUCKETS);
    while (queue->chunk_count < entries / CHUNK_ENTRIES + buckets + 1) {
        struct skua_timer_chunk *chunk = skua_malloc(sizeof(*chunk));
        if (chunk == NULL)
            return -ENOMEM;
        chunk->older = queue->spare;
        queue->spare = chunk;
        queue->chunk_count++;
    }
    return 0;
}

/* ---- the heap of what is due ----------------------------------------------------------------- */

static bool comes_before(const struct skua_timer_entry *a, const struct skua_timer_entry *b)
{
    if (a->deadline_ns != b->deadline_ns)
        return a->deadline_ns < b->deadline_ns;
    return (int32_t)(a->age - b->age) < 0;
}

static void due_push(struct skua_timer_queue *queue, const struct skua_timer_entry *entry)
{
    size_t hole = queue->due_count++;
    while (hole > 0 && comes_before(entry, &queue->due[(hole - 1) / 2])) {
        queue->due[hole] = queue->due[(hole - 1) / 2];
        hole = (hole - 1) / 2;
    }
    queue->due[hole] = *entry;
}

static struct skua_timer_entry due_pop(struct skua_timer_queue *queue)
{
    struct skua_timer_entry first = queue->due[0];
    struct skua_timer_entry last = queue->due[--queue->due_count];
    size_t hole = 0;
    for (;;) {
        size_t child = 2 * hole + 1;
        if (child >= queue->due_count)
            break;
        if (child + 1 < queue->due_count &&
            comes_before(&queue->due[child + 1], &queue->due[child]))
            child++;
        if (!comes_before(&queue->due[child], &last))
            break;
        queue->due[hole] = queue->due[child];
        hole = child;
    }
    queue->due[hole] = last;
    return first;
}

/* ---- buckets --------------------------------------------------------------------------------- */

static void bucket_add(struct skua_timer_queue *queue, const struct skua_timer_entry *entry)
{
    unsigned bucket = 63u - (unsigned)__builtin_clzll(entry->deadline_ns ^ queue->reference_ns);
    struct skua_timer_chunk *chunk = queue->buckets[bucket];
    if (chunk == NULL || chunk->count == CHUNK_ENTRIES) {
        struct skua_timer_chunk *fresh = queue->spare;
        queue->spare = fresh->older;
        fresh->older = chunk;
        fresh->count = 0;
        queue->buckets[bucket] = fresh;
        if (chunk == NULL)
            queue->earliest[bucket] = UINT64_MAX;
        queue->full |= UINT64_C(1) << bucket;
        chunk = fresh;
    }
    chunk->entries[chunk->count++] = *entry;
    if (entry->deadline_ns < queue->earliest[bucket])
        queue->earliest[bucket] = entry->deadline_ns;
}

/* Whether @entry was stale, and has been dropped. */
static bool drop_stale(struct skua_timer_queue *queue, const struct skua_timer_entry *entry)
{
    if (queue->timers[entry->number] != NULL)
        return false;
    free_number(queue, entry->number);
    queue->stale--;
    return true;
}

/*
 * The timer will be popped soon. It ends a dormant task (sched/task.h), which is started then, or
 * stands in a frame, with what the task returns to below it.
 */
static void prefetch(const struct skua_timer *timer)
{
    const char *line = (const char *)timer;
    __builtin_prefetch(line, 1);
    __builtin_prefetch(line - SKUA_CACHE_LINE, 1);
    __builtin_prefetch(line - (size_t)2 * SKUA_CACHE_LINE, 1);
}

/*
 * Puts @entry where it belongs now. Only what is due is asked whether it is stale, which costs a
 * cache miss where there are many; others are asked by sweep().
 */
static void place(struct skua_timer_queue *queue, const struct skua_timer_entry *entry)
{
    if (entry->deadline_ns > queue->reference_ns) {
        bucket_add(queue, entry);
    } else if (!drop_stale(queue, entry)) {
        prefetch(queue->timers[entry->number]);
        due_push(queue, entry);
    }
}

/* Takes the entries of @bucket out and places them anew; if @sweeps, without the stale ones. */
static void divide(struct skua_timer_queue *queue, unsigned bucket, bool sweeps)
{
    struct skua_timer_chunk *chunk = queue->buckets[bucket];
    queue->buckets[bucket] = NULL;
    queue->full &= ~(UINT64_C(1) << bucket);
    while (chunk != NULL) {
        struct skua_timer_chunk *older = chunk->older;
        for (size_t i = 0; i < chunk->count; i++) {
            if (!sweeps || !drop_stale(queue, &chunk->entries[i]))
                place(queue, &chunk->entries[i]);
        }
        chunk->older = queue->spare;
        queue->spare = chunk;
        chunk = older;
    }
}

/* The last time that falls into @bucket: the reference with its bit and all lower ones set. */
static uint64_t last_of_bucket(const struct skua_timer_queue *queue, unsigned bucket)
{
    return queue->reference_ns | ((UINT64_C(2) << bucket) - 1);
}

/*
 * Moves what is due next, at @now_ns at the latest, to the heap: a small bucket in one go; of a
 * large one the first, while the others come into lower buckets. So the heap stays small, whatever
 * falls due at once. False: nothing is due.
 */
static bool advance(struct skua_timer_queue *queue, uint64_t now_ns)
{
    if (queue->full == 0)
        return false;
    unsigned bucket = (unsigned)__builtin_ctzll(queue->full); /* T1: the earliest */
    if (queue->earliest[bucket] > now_ns)
        return false;
    /* Higher buckets differ from the reference in the same bit as before. */
    if (queue->buckets[bucket]->older == NULL)
        queue->reference_ns = skua_min(now_ns, last_of_bucket(queue, bucket));
    else
        queue->reference_ns = queue->earliest[bucket];
    divide(queue, bucket, false);
    return true;
}

/* Drops all stale entries: there are more than others. */
static void sweep(struct skua_timer_queue *queue)
{
    uint64_t concerned = queue->full;
    while (concerned != 0) {
        unsigned bucket = (unsigned)__builtin_ctzll(concerned);
        concerned &= concerned - 1;
        divide(queue, bucket, true);
    }
    size_t count = queue->due_count;
    queue->due_count = 0;
    for (size_t i = 0; i < count; i++) {
        struct skua_timer_entry entry = queue->due[i];
        place(queue, &entry);
    }
}

/* Empty: the memory of a burst goes, and what little there was before it stays. */
static void give_back(struct skua_timer_queue *queue)
{
    sweep(queue);
    while (queue->chunk_count > CHUNKS_KEPT) {
        struct skua_timer_chunk *chunk = queue->spare;
        queue->spare = chunk->older;
        queue->chunk_count--;
        free(chunk);
    }
    queue->number_count = 0; /* all are free */
    queue->number_free = NO_NUMBER;
    /* A failed shrinking is no failure. */
    struct skua_timer **timers =
        skua_realloc(queue->timers, NUMBERS_MIN * sizeof(struct skua_timer *));
    if (timers != NULL) {
        queue->timers = timers;
        queue->number_capacity = NUMBERS_MIN;
    }
    struct skua_timer_entry *due = skua_realloc(queue->due, NUMBERS_MIN * sizeof(*due));
    if (due != NULL) {
        queue->due = due;
        queue->due_capacity = NUMBERS_MIN;
    }
}

/* A timer has gone. */
static void note_gone(struct skua_timer_queue *queue)
{
    queue->live--;
    if (skua_unlikely(queue->live == 0 && queue->number_capacity > NUMBERS_KEPT))
        give_back(queue);
    else if (skua_unlikely(queue->stale > STALE_MIN && queue->stale > queue->live))
        sweep(queue);
}

/* ---- the queue ------------------------------------------------------------------------------- */

void skua_timer_queue_init(struct skua_timer_queue *queue)
{
    memset(queue, 0, sizeof(*queue));
    queue->number_free = NO_NUMBER;
}

void skua_timer_queue_fini(struct skua_timer_queue *queue)
{
    skua_assert(queue->live == 0);
    sweep(queue);
    while (queue->spare != NULL) {
        struct skua_timer_chunk *chunk = queue->spare;
        queue->spare = chunk->older;
        free(chunk);
    }
    free(queue->due);
    free(queue->timers);
    skua_timer_queue_init(queue);
}

int skua_timer_queue_add(struct skua_timer_queue *queue, struct skua_timer *timer,
                         uint64_t deadline_ns)
{
    skua_assert(timer->index == SKUA_TIMER_NONE);
    if (make_room(queue) < 0)
        return -ENOMEM;
    struct skua_timer_entry entry = {
        .deadline_ns = deadline_ns, .age = queue->age_next++, .number = take_number(queue, timer)};
    timer->deadline_ns = deadline_ns;
    timer->index = entry.number;
    queue->live++;
    if (deadline_ns <= queue->reference_ns)
        due_push(queue, &entry);
    else
        bucket_add(queue, &entry);
    return 0;
}

bool skua_timer_queue_remove(struct skua_timer_queue *queue, struct skua_timer *timer)
{
    if (timer->index == SKUA_TIMER_NONE)
        return false;
    skua_check(timer->index < queue->number_count && queue->timers[timer->index] == timer);
    queue->timers[timer->index] = NULL;
    timer->index = SKUA_TIMER_NONE;
    queue->stale++;
    note_gone(queue);
    return true;
}

uint64_t skua_timer_queue_deadline(const struct skua_timer_queue *queue)
{
    if (queue->live == 0)
        return UINT64_MAX;
    if (queue->due_count > 0)
        return queue->due[0].deadline_ns;
    return queue->earliest[__builtin_ctzll(queue->full)];
}

struct skua_timer *skua_timer_queue_pop(struct skua_timer_queue *queue, uint64_t now_ns)
{
    for (;;) {
        if (queue->due_count == 0 && !advance(queue, now_ns))
            return NULL;
        if (queue->due_count == 0)
            continue; /* what was due has been taken back, or is in a lower bucket now */
        if (queue->due[0].deadline_ns > now_ns)
            return NULL;
        struct skua_timer_entry entry = due_pop(queue);
        struct skua_timer *timer = queue->timers[entry.number];
        free_number(queue, entry.number);
        if (timer != NULL) {
            timer->index = SKUA_TIMER_NONE;
            note_gone(queue);
            return timer;
        }
        queue->stale--;
    }
}
