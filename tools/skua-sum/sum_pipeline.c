/*
 * sum_pipeline.c - the window of slots, the gates tasks sleep at, and the depot of cells.
 *
 * STATE. Three counters, each only growing: published (the producer's), claimed (the lanes', by
 *   CAS) and emitted (the printer's). claimed <= published <= emitted + SUM_WINDOW: memory is
 *   bounded by SUM_WINDOW names, and a printer that cannot write stops everything behind it. A slot
 *   that is done when it is published may be shown, and even reused, before a lane steps over it;
 *   the lane tells by slot->done, which only grows, and then looks at nothing else.
 *
 * ORDERING. The contents of a slot travel with three hand-overs; without the pair the reader could
 *   see the slot's previous life:
 *     [publish] published, release, by the producer   -> [claim] acquire by lanes and printer
 *     [done]    slot->done, release, by a lane         -> [show] acquire by the printer
 *     [release] emitted, release, by the printer       -> [take] acquire by the producer
 *   claimed is acquire/release among the lanes, so that a lane which reads a high claimed also
 *   reads a published at least as high ([claim] again).
 *
 * SLEEPING. "I set want, then look once more, then park" against "I change the state, then look at
 *   want" is the store-load pattern. Here both sides look at want (or idle) by a read-modify-write,
 *   acq_rel. Those have one total order: if the sleeper's comes second it reads from the waker's,
 *   or from a chain of RMWs that began there, and so sees the new state; if it comes first the
 *   waker sees want and unparks. No seq_cst is needed. [gate] marks both sides. Wake-ups may be
 *   spurious. A gate's task pointer is plain: it is set before the first [gate] and read after one.
 *
 * LIFETIME. The root task keeps a handle of every task until all have ended, so an unpark that
 *   comes late finds a future that still exists.
 *
 * PROGRESS. Every wait ends by its condition or by the cancel of its task; nothing here spins.
 */
#include "sum_pipeline.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>

#define SUM_BUFFERS_TOTAL ((size_t)16 << 20) /* bytes, over all lanes */
#define SUM_BUFFER_MAX ((size_t)512 << 10)   /* of one lane */
#define SUM_BUFFER_MIN ((size_t)64 << 10)
#define SUM_FDS_OTHERS 16u /* standard streams, rings, one directory ... */

/* What the producer waits for at its gate. */
enum { WANT_HALF = 1, WANT_DRAINED = 2 };

static unsigned batch_for(unsigned lanes, unsigned workers)
{
    struct rlimit limit;
    rlim_t others = SUM_FDS_OTHERS + 2 * (rlim_t)workers;

    if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == RLIM_INFINITY)
        return SUM_BATCH_MAX;
    if (limit.rlim_cur <= others + lanes)
        return 1;
    limit.rlim_cur = (limit.rlim_cur - others) / lanes;
    return limit.rlim_cur < SUM_BATCH_MAX ? (unsigned)limit.rlim_cur : SUM_BATCH_MAX;
}

static size_t buffer_size_for(unsigned lanes)
{
    size_t size = SUM_BUFFER_MAX;

    while (size > SUM_BUFFER_MIN && size * lanes > SUM_BUFFERS_TOTAL)
        size /= 2;
    return size;
}

static int depot_init(struct sum_pipeline *pipeline)
{
    /* A lane claims new files only when it sees nothing pending, so at most one batch of each lane
       is pending while another is in its hands. */
    unsigned count = 2 * pipeline->lane_count * pipeline->batch;

    pipeline->cells = calloc(count, sizeof(*pipeline->cells));
    pipeline->spare = calloc(count, sizeof(*pipeline->spare));
    pipeline->pending = calloc(count, sizeof(*pipeline->pending));
    if (!pipeline->cells || !pipeline->spare || !pipeline->pending)
        return -ENOMEM;
    pipeline->cell_count = count;
    while (pipeline->spare_count < count) {
        pipeline->spare[pipeline->spare_count] = &pipeline->cells[pipeline->spare_count];
        pipeline->spare_count++;
    }
    return 0;
}

int skua_sum_pipeline_init(struct sum_pipeline *pipeline, const struct sum_options *options,
                           const struct sum_digest *digest, unsigned workers)
{
    pipeline->options = options;
    pipeline->digest = digest;
    pthread_mutex_init(&pipeline->depot_lock, NULL);
    /* While one lane waits for its reads another hashes. */
    pipeline->lane_count = 2 * workers;
    pipeline->batch = batch_for(pipeline->lane_count, workers);
    pipeline->buffer_size = buffer_size_for(pipeline->lane_count);
    pipeline->lanes = calloc(pipeline->lane_count, sizeof(*pipeline->lanes));
    if (!pipeline->lanes || depot_init(pipeline))
        return -ENOMEM;
    for (unsigned i = 0; i < pipeline->lane_count; i++) {
        pipeline->lanes[i].pipeline = pipeline;
        pipeline->lanes[i].buffer = aligned_alloc(4096, pipeline->buffer_size);
        if (!pipeline->lanes[i].buffer)
            return -ENOMEM;
    }
    return 0;
}

void skua_sum_pipeline_fini(struct sum_pipeline *pipeline)
{
    for (unsigned i = 0; i < pipeline->cell_count; i++)
        skua_sum_hash_fini(pipeline->digest, &pipeline->cells[i].hash);
    for (unsigned i = 0; pipeline->lanes && i < pipeline->lane_count; i++)
        free(pipeline->lanes[i].buffer);
    for (unsigned i = 0; i < SUM_WINDOW; i++)
        skua_sum_text_fini(&pipeline->slots[i].name);
    free(pipeline->lanes);
    free(pipeline->cells);
    free(pipeline->spare);
    free(pipeline->pending);
    pthread_mutex_destroy(&pipeline->depot_lock);
}

/* [gate] Announces that the calling task is about to sleep. The caller looks once more after it. */
static void gate_set(struct sum_gate *gate, uint64_t want)
{
    if (!gate->task)
        gate->task = skua_self();
    assert(want);
    atomic_exchange_explicit(&gate->want, want, memory_order_acq_rel);
}

static void gate_clear(struct sum_gate *gate)
{
    /* [gate] Not a plain store: the next gate_set() must read from what wakers wrote before. */
    atomic_exchange_explicit(&gate->want, 0, memory_order_acq_rel);
}

/* [gate] Wakes the task at @gate if that waits for @want. The caller has changed the state. */
static void gate_wake(struct sum_gate *gate, uint64_t want)
{
    uint64_t seen = atomic_fetch_add_explicit(&gate->want, 0, memory_order_acq_rel);

    if (seen == want && atomic_compare_exchange_strong_explicit(
                            &gate->want, &seen, 0, memory_order_acq_rel, memory_order_relaxed))
        (void)skua_unpark(gate->task); /* -EALREADY: it has ended, and needs nothing */
}

static bool producer_may_go(struct sum_pipeline *pipeline, uint64_t want)
{
    /* Relaxed: published is the caller's own. */
    uint64_t published = atomic_load_explicit(&pipeline->published, memory_order_relaxed);
    /* [take] */
    uint64_t emitted = atomic_load_explicit(&pipeline->emitted, memory_order_acquire);

    assert(published - emitted <= SUM_WINDOW);
    return published - emitted <= (want == WANT_HALF ? SUM_WINDOW / 2 : 0);
}

static int producer_wait(struct sum_pipeline *pipeline, uint64_t want)
{
    int rc = 0;

    while (!rc && !producer_may_go(pipeline, want)) {
        gate_set(&pipeline->producer, want);
        if (!producer_may_go(pipeline, want))
            rc = skua_park(SKUA_FOREVER);
        gate_clear(&pipeline->producer);
    }
    return rc;
}

int skua_sum_slot_take(struct sum_pipeline *pipeline, struct sum_slot **slot)
{
    uint64_t sequence = atomic_load_explicit(&pipeline->published, memory_order_relaxed); /* own */
    uint64_t emitted = atomic_load_explicit(&pipeline->emitted, memory_order_acquire); /* [take] */
    struct sum_slot *next = &pipeline->slots[sequence % SUM_WINDOW];

    /* Full: sleep until half of the window is free, to wake rarely. */
    if (sequence - emitted == SUM_WINDOW) {
        int rc = producer_wait(pipeline, WANT_HALF);

        if (rc)
            return rc;
    }
    next->kind = SUM_FILE;
    next->solo = next->standard_input = next->nofollow = next->binary = false;
    next->error = 0;
    next->digest_size = pipeline->digest->size;
    next->expected_size = 0;
    next->lines_good = next->lines_bad = 0;
    skua_sum_text_clear(&next->name);
    *slot = next;
    return 0;
}

/* Wakes one sleeping lane, if there is one. */
static void wake_lane(struct sum_pipeline *pipeline)
{
    /* [gate], on the counter: a lane sets its want before it counts itself. */
    if (!atomic_fetch_add_explicit(&pipeline->idle, 0, memory_order_acq_rel))
        return;
    for (unsigned i = 0; i < pipeline->lane_count; i++) {
        struct sum_gate *gate = &pipeline->lanes[i].gate;
        uint64_t want = 1;

        if (atomic_compare_exchange_strong_explicit(&gate->want, &want, 0, memory_order_acq_rel,
                                                    memory_order_relaxed)) {
            (void)skua_unpark(gate->task);
            return;
        }
    }
}

void skua_sum_slot_publish(struct sum_pipeline *pipeline)
{
    uint64_t sequence = atomic_load_explicit(&pipeline->published, memory_order_relaxed); /* own */
    struct sum_slot *slot = &pipeline->slots[sequence % SUM_WINDOW];
    bool done = slot->kind != SUM_FILE;

    if (slot->name.failed) {
        slot->kind = SUM_FAILED;
        slot->error = -ENOMEM;
        done = true;
    }
    /* Before it is published: no lane may take it for a file. */
    if (done)
        skua_sum_slot_done(pipeline, sequence);
    atomic_store_explicit(&pipeline->published, sequence + 1, memory_order_release); /* [publish] */
    if (!done)
        wake_lane(pipeline);
}

int skua_sum_pipeline_drain(struct sum_pipeline *pipeline)
{
    return producer_wait(pipeline, WANT_DRAINED);
}

void skua_sum_pipeline_close(struct sum_pipeline *pipeline)
{
    uint64_t published = atomic_load_explicit(&pipeline->published, memory_order_relaxed); /* own */

    atomic_store_explicit(&pipeline->closed, true, memory_order_release); /* [publish] */
    gate_wake(&pipeline->printer, published + 1);
}

/* Returns 1 if slot @sequence can be shown, 0 if it will never be, -EAGAIN if it is not done. */
static int look_at(struct sum_pipeline *pipeline, uint64_t sequence)
{
    struct sum_slot *slot = &pipeline->slots[sequence % SUM_WINDOW];

    if (atomic_load_explicit(&slot->done, memory_order_acquire) == sequence + 1) /* [show] */
        return 1;
    /* closed before published: once closed reads true, published is final. [publish] */
    if (atomic_load_explicit(&pipeline->closed, memory_order_acquire) &&
        atomic_load_explicit(&pipeline->published, memory_order_acquire) == sequence)
        return 0;
    return -EAGAIN;
}

int skua_sum_slot_wait(struct sum_pipeline *pipeline, uint64_t sequence, uint64_t deadline_ns,
                       struct sum_slot **slot)
{
    int found = look_at(pipeline, sequence);

    while (found == -EAGAIN) {
        int rc = 0;

        gate_set(&pipeline->printer, sequence + 1);
        found = look_at(pipeline, sequence);
        if (found == -EAGAIN)
            rc = skua_park(deadline_ns);
        gate_clear(&pipeline->printer);
        if (rc)
            return rc;
        if (found == -EAGAIN)
            found = look_at(pipeline, sequence);
    }
    if (found)
        *slot = &pipeline->slots[sequence % SUM_WINDOW];
    return found;
}

void skua_sum_slot_release(struct sum_pipeline *pipeline, uint64_t sequence)
{
    uint64_t published;

    atomic_store_explicit(&pipeline->emitted, sequence, memory_order_release); /* [release] */
    /* Relaxed: if the producer publishes at this moment it is not asleep, and published may even be
       behind sequence, which then matches neither line below. */
    published = atomic_load_explicit(&pipeline->published, memory_order_relaxed);
    if (published - sequence <= SUM_WINDOW / 2)
        gate_wake(&pipeline->producer, WANT_HALF);
    if (published == sequence)
        gate_wake(&pipeline->producer, WANT_DRAINED);
}

unsigned skua_sum_slot_claim(struct sum_pipeline *pipeline, unsigned count, uint64_t *sequence)
{
    uint64_t claimed = atomic_load_explicit(&pipeline->claimed, memory_order_acquire); /* [claim] */
    uint64_t available;
    unsigned share;

    do {
        /* [claim] */
        available = atomic_load_explicit(&pipeline->published, memory_order_acquire) - claimed;
        if (!available)
            return 0;
        /* Leave the others their share, so that the last files do not all end in one lane. */
        share = (unsigned)(available / pipeline->lane_count);
        if (share < 1)
            share = 1;
        if (share > count)
            share = count;
    } while (!atomic_compare_exchange_weak_explicit(&pipeline->claimed, &claimed, claimed + share,
                                                    memory_order_acq_rel, memory_order_acquire));
    *sequence = claimed;
    return share;
}

void skua_sum_slot_done(struct sum_pipeline *pipeline, uint64_t sequence)
{
    struct sum_slot *slot = &pipeline->slots[sequence % SUM_WINDOW];

    atomic_store_explicit(&slot->done, sequence + 1, memory_order_release); /* [done] */
    gate_wake(&pipeline->printer, sequence + 1);
}

static bool lane_has_work(struct sum_pipeline *pipeline)
{
    /* Acquire: pairs with [claim], so that published is not older than claimed. */
    uint64_t claimed = atomic_load_explicit(&pipeline->claimed, memory_order_acquire);

    return atomic_load_explicit(&pipeline->published, memory_order_acquire) != claimed ||
           atomic_load_explicit(&pipeline->pending_count, memory_order_acquire) != 0;
}

int skua_sum_lane_wait(struct sum_lane *lane)
{
    struct sum_pipeline *pipeline = lane->pipeline;
    int rc = 0;

    while (!rc && !lane_has_work(pipeline)) {
        gate_set(&lane->gate, 1);
        atomic_fetch_add_explicit(&pipeline->idle, 1, memory_order_acq_rel); /* [gate] */
        if (!lane_has_work(pipeline))
            rc = skua_park(SKUA_FOREVER);
        atomic_fetch_sub_explicit(&pipeline->idle, 1, memory_order_acq_rel); /* [gate] */
        gate_clear(&lane->gate);
    }
    return rc;
}

struct sum_cell *skua_sum_cell_get(struct sum_pipeline *pipeline)
{
    struct sum_cell *cell = NULL;

    pthread_mutex_lock(&pipeline->depot_lock);
    if (pipeline->spare_count)
        cell = pipeline->spare[--pipeline->spare_count];
    pthread_mutex_unlock(&pipeline->depot_lock);
    return cell;
}

void skua_sum_cell_put(struct sum_pipeline *pipeline, struct sum_cell *cell)
{
    pthread_mutex_lock(&pipeline->depot_lock);
    assert(pipeline->spare_count < pipeline->cell_count);
    pipeline->spare[pipeline->spare_count++] = cell;
    pthread_mutex_unlock(&pipeline->depot_lock);
}

void skua_sum_pending_put(struct sum_pipeline *pipeline, struct sum_cell *cell)
{
    unsigned count;

    pthread_mutex_lock(&pipeline->depot_lock);
    /* Relaxed: written under the lock only; the lock orders. */
    count = atomic_load_explicit(&pipeline->pending_count, memory_order_relaxed);
    assert(count < pipeline->cell_count);
    pipeline->pending[count] = cell;
    /* Release: for lane_has_work(), which looks without the lock. */
    atomic_store_explicit(&pipeline->pending_count, count + 1, memory_order_release);
    pthread_mutex_unlock(&pipeline->depot_lock);
    wake_lane(pipeline);
}

struct sum_cell *skua_sum_pending_get(struct sum_pipeline *pipeline)
{
    struct sum_cell *cell = NULL;
    unsigned count;
    unsigned lowest = 0;

    pthread_mutex_lock(&pipeline->depot_lock);
    count = atomic_load_explicit(&pipeline->pending_count, memory_order_relaxed); /* as above */
    for (unsigned i = 1; i < count; i++)
        if (pipeline->pending[i]->sequence < pipeline->pending[lowest]->sequence)
            lowest = i;
    if (count) {
        cell = pipeline->pending[lowest];
        pipeline->pending[lowest] = pipeline->pending[count - 1];
        atomic_store_explicit(&pipeline->pending_count, count - 1, memory_order_release);
    }
    pthread_mutex_unlock(&pipeline->depot_lock);
    return cell;
}

bool skua_sum_open_again(struct sum_pipeline *pipeline, int error, unsigned retries)
{
    if (error != -EMFILE && error != -ENFILE)
        return false;
    /* Relaxed: a hint; a file that was closed meanwhile is what the few retries are for. */
    return atomic_load_explicit(&pipeline->open_files, memory_order_relaxed) != 0 || retries < 8;
}

uint64_t skua_sum_bytes_hashed(const struct sum_pipeline *pipeline)
{
    uint64_t bytes = 0;

    /* Relaxed: monotone counters, shown to a person. */
    for (unsigned i = 0; i < pipeline->lane_count; i++)
        bytes += atomic_load_explicit(&pipeline->lanes[i].bytes, memory_order_relaxed);
    return bytes;
}
