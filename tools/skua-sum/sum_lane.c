/*
 * sum_lane.c - the tasks that read and hash.
 *
 * A lane holds up to a batch of small files and takes them through open, read ..., close in rounds:
 * one batch of ring requests for all of them, then the hashing of what was read. A round costs one
 * trip through the ring whatever the number of files, and its data fits the second-level cache.
 *
 * A file that turns out to be big, or that may make us wait for somebody (a pipe, a terminal), is
 * not held with others: it goes to the depot, from where a lane with nothing else in its hands
 * takes it, lowest number first, and reads it alone with the next block in flight while it hashes
 * one. So a batch never waits for a pipe, several big files are spread over the lanes, and pipes
 * are read in the order in which they were named as far as there are lanes.
 *
 * Every file is read until a read returns 0: sizes are not trusted.
 */
#include "sum_pipeline.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#define SUM_BIG_SIZE ((uint64_t)2 << 20) /* more than this, and a file is read alone */
#define SUM_RETRY_NS (SKUA_NS_PER_MS)    /* between opens that lack a descriptor */
#define SUM_CHUNK_ALONE_MAX ((size_t)256 << 10)

static bool wants_alone(const struct sum_cell *cell)
{
    return !cell->finished && (cell->slot->solo || cell->size >= SUM_BIG_SIZE);
}

static int open_flags(const struct sum_slot *slot)
{
    return O_RDONLY | O_CLOEXEC | O_NOCTTY | (slot->nofollow ? O_NOFOLLOW : 0);
}

/* The slot is the printer's after this. */
static void cell_finish(struct sum_lane *lane, struct sum_cell *cell, int error)
{
    assert(!cell->finished);
    if (!error)
        error = skua_sum_hash_end(lane->pipeline->digest, &cell->hash, cell->slot->digest);
    cell->slot->error = error;
    cell->finished = true;
    skua_sum_slot_done(lane->pipeline, cell->sequence);
    cell->slot = NULL;
}

/* An open is over: @fd or -errno. */
static void cell_opened(struct sum_lane *lane, struct sum_cell *cell, int fd)
{
    if (fd >= 0) {
        cell->fd = fd;
        /* Relaxed: see skua_sum_open_again(). */
        atomic_fetch_add_explicit(&lane->pipeline->open_files, 1, memory_order_relaxed);
    } else if (!skua_sum_open_again(lane->pipeline, fd, cell->retries++)) {
        cell_finish(lane, cell, fd);
    }
}

/* A read is over: @count bytes are at @bytes, or it is -errno. */
static void cell_read(struct sum_lane *lane, struct sum_cell *cell, const unsigned char *bytes,
                      int64_t count)
{
    const struct sum_digest *digest = lane->pipeline->digest;
    int rc = 0;

    if (count == -EINTR)
        return;
    if (!cell->hashing && count >= 0)
        rc = skua_sum_hash_begin(digest, &cell->hash, cell->slot->digest_size);
    cell->hashing = true;
    if (!rc && count > 0)
        rc = skua_sum_hash_update(digest, &cell->hash, bytes, (size_t)count);
    if (!rc && count > 0) {
        uint64_t sum = (uint64_t)count;

        cell->size += sum;
        /* Relaxed: only this lane writes it; see skua_sum_bytes_hashed(). */
        sum += atomic_load_explicit(&lane->bytes, memory_order_relaxed);
        atomic_store_explicit(&lane->bytes, sum, memory_order_relaxed);
        return;
    }
    cell_finish(lane, cell, rc ? rc : (int)count);
}

static void cell_closed(struct sum_lane *lane, struct sum_cell *cell)
{
    cell->fd = -1;
    /* Relaxed: see skua_sum_open_again(). */
    atomic_fetch_sub_explicit(&lane->pipeline->open_files, 1, memory_order_relaxed);
}

/* Takes cell @index out of the lane. */
static struct sum_cell *lane_remove(struct sum_lane *lane, unsigned index)
{
    struct sum_cell *cell = lane->cells[index];

    assert(index < lane->count);
    lane->cells[index] = lane->cells[--lane->count];
    return cell;
}

/* Claims new files, as many as fit. */
static void lane_claim(struct sum_lane *lane)
{
    struct sum_pipeline *pipeline = lane->pipeline;
    uint64_t sequence = 0;
    unsigned count = skua_sum_slot_claim(pipeline, pipeline->batch - lane->count, &sequence);

    for (; count; count--, sequence++) {
        struct sum_slot *slot = &pipeline->slots[sequence % SUM_WINDOW];
        struct sum_cell *cell;

        /* Done before it was published. Acquire: [show], for nothing but the order of done. */
        if (atomic_load_explicit(&slot->done, memory_order_acquire) > sequence)
            continue;
        cell = skua_sum_cell_get(pipeline);
        assert(cell); /* by the count in depot_init() */
        *cell = (struct sum_cell){.slot = slot, .sequence = sequence, .hash = cell->hash, .fd = -1};
        if (slot->standard_input)
            cell->fd = STDIN_FILENO;
        lane->cells[lane->count++] = cell;
    }
}

/* Moves the files that are to be read alone to the depot, unless one is all there is. */
static void lane_sort_out(struct sum_lane *lane)
{
    for (unsigned i = 0; i < lane->count;) {
        if (lane->count > 1 && wants_alone(lane->cells[i]))
            skua_sum_pending_put(lane->pipeline, lane_remove(lane, i));
        else
            i++;
    }
}

/* Gets the lane something to do. Returns 0; -ECANCELED. */
static int lane_refill(struct sum_lane *lane)
{
    struct sum_pipeline *pipeline = lane->pipeline;

    for (;;) {
        bool pending;

        /* Relaxed: whoever sees too old a count is a little late, no more. */
        pending = atomic_load_explicit(&pipeline->pending_count, memory_order_relaxed) != 0;
        if (!lane->count && pending) {
            struct sum_cell *cell = skua_sum_pending_get(pipeline);

            if (cell)
                lane->cells[lane->count++] = cell;
        } else if (!pending && lane->count < pipeline->batch) {
            lane_claim(lane);
            lane_sort_out(lane);
        }
        if (lane->count)
            return 0;
        if (skua_sum_lane_wait(lane))
            return -ECANCELED;
    }
}

/* The block each of @readers gets of the lane's buffer: a power of two, to keep reads aligned. */
static size_t chunk_size(const struct sum_lane *lane, unsigned readers)
{
    size_t size = lane->pipeline->buffer_size;

    for (unsigned parts = 1; parts < readers; parts *= 2)
        size /= 2;
    return size < SUM_CHUNK_ALONE_MAX ? size : SUM_CHUNK_ALONE_MAX;
}

static void lane_fill_ops(struct sum_lane *lane, size_t chunk)
{
    unsigned char *place = lane->buffer;

    for (unsigned i = 0; i < lane->count; i++) {
        struct sum_cell *cell = lane->cells[i];
        skua_op *op = &lane->ops[i];

        *op = (skua_op){.fd = cell->fd};
        if (cell->finished) {
            op->code = SKUA_OP_CLOSE;
        } else if (cell->fd < 0) {
            op->code = SKUA_OP_OPENAT;
            op->fd = AT_FDCWD;
            op->addr = cell->slot->name.data;
            op->flags = (uint32_t)open_flags(cell->slot);
        } else {
            op->code = SKUA_OP_READ;
            op->addr = place;
            op->len = chunk;
            op->offset = SKUA_OFFSET_CURRENT;
            place += chunk;
        }
    }
}

/* Deals with what the ops brought. Returns true if something besides refused opens happened. */
static bool lane_take_results(struct sum_lane *lane)
{
    bool progress = false;

    for (unsigned i = 0; i < lane->count; i++) {
        struct sum_cell *cell = lane->cells[i];
        const skua_op *op = &lane->ops[i];

        if (op->code == SKUA_OP_CLOSE)
            cell_closed(lane, cell);
        else if (op->code == SKUA_OP_OPENAT)
            cell_opened(lane, cell, (int)op->result);
        else
            cell_read(lane, cell, op->addr, op->result);
        progress |= op->code != SKUA_OP_OPENAT || cell->fd >= 0 || cell->finished;
    }
    for (unsigned i = lane->count; i-- > 0;)
        if (lane->cells[i]->finished && lane->cells[i]->fd < 0)
            skua_sum_cell_put(lane->pipeline, lane_remove(lane, i));
    return progress;
}

/* The task was cancelled in the middle of a batch: keeps track of the descriptors, no more. */
static void lane_take_descriptors(struct sum_lane *lane)
{
    for (unsigned i = 0; i < lane->count; i++) {
        if (lane->ops[i].code == SKUA_OP_OPENAT && lane->ops[i].result >= 0)
            lane->cells[i]->fd = (int)lane->ops[i].result;
        if (lane->ops[i].code == SKUA_OP_CLOSE && lane->ops[i].result != -ECANCELED)
            lane->cells[i]->fd = -1;
    }
}

/* One step for every file the lane holds. Returns 0; -ECANCELED. */
static int lane_round(struct sum_lane *lane)
{
    unsigned readers = 0;
    int rc;

    for (unsigned i = 0; i < lane->count; i++)
        readers += lane->cells[i]->fd >= 0 && !lane->cells[i]->finished;
    lane_fill_ops(lane, chunk_size(lane, readers));
    rc = skua_op_submit(lane->ops, lane->count);
    if (rc) {
        assert(rc == -ECANCELED);
        lane_take_descriptors(lane);
        return -ECANCELED;
    }
    if (!lane_take_results(lane))
        rc = skua_sleep(SUM_RETRY_NS);
    lane_sort_out(lane);
    return rc == -ECANCELED ? rc : 0;
}

/* One block on its way while another is hashed. */
struct block {
    unsigned char *bytes;
    size_t size;
    int fd;
};

static intptr_t read_block(void *arg)
{
    struct block *block = arg;

    return skua_read(block->fd, block->bytes, block->size);
}

/* Reads and hashes an open file to its end. Returns 0; -ECANCELED. */
static int read_alone(struct sum_lane *lane, struct sum_cell *cell)
{
    size_t size = chunk_size(lane, 2);
    struct block now = {lane->buffer, size, cell->fd};
    struct block next = {lane->buffer + size, size, cell->fd};
    intptr_t count = skua_read(now.fd, now.bytes, now.size);

    while (count > 0) {
        struct block read = next;
        skua_future *future = skua_spawn(read_block, &next);

        cell_read(lane, cell, now.bytes, count);
        count = skua_await(future);
        if (cell->finished) /* the hash failed */
            return 0;
        if (count == -ENOMEM) /* no memory for a task: do without */
            count = skua_read(next.fd, next.bytes, next.size);
        next = now;
        now = read;
    }
    if (count == -ECANCELED)
        return -ECANCELED;
    cell_read(lane, cell, now.bytes, count);
    return 0;
}

/* Takes the only file the lane has from open to close. Returns 0; -ECANCELED. */
static int lane_run_alone(struct sum_lane *lane)
{
    struct sum_cell *cell = lane->cells[0];
    bool standard_input = cell->slot->standard_input;

    while (cell->fd < 0 && !cell->finished) {
        int fd = skua_openat(AT_FDCWD, cell->slot->name.data, open_flags(cell->slot), 0);

        if (fd == -ECANCELED)
            return -ECANCELED;
        cell_opened(lane, cell, fd);
        if (fd < 0 && !cell->finished && skua_sleep(SUM_RETRY_NS) == -ECANCELED)
            return -ECANCELED;
    }
    if (cell->size)
        (void)skua_fadvise(cell->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    if (!cell->finished && read_alone(lane, cell))
        return -ECANCELED;
    if (cell->fd >= 0 && !standard_input) {
        (void)skua_close(cell->fd);
        cell_closed(lane, cell);
    }
    skua_sum_cell_put(lane->pipeline, lane_remove(lane, 0));
    return 0;
}

intptr_t skua_sum_lane_run(void *arg)
{
    struct sum_lane *lane = arg;
    int rc = 0;

    /* A lane does not know which file is the last: the root task cancels it. */
    while (!rc) {
        rc = lane_refill(lane);
        if (!rc && lane->count == 1 && wants_alone(lane->cells[0]))
            rc = lane_run_alone(lane);
        else if (!rc)
            rc = lane_round(lane);
    }
    for (unsigned i = 0; i < lane->count; i++)
        if (lane->cells[i]->fd > STDERR_FILENO)
            (void)skua_close(lane->cells[i]->fd);
    return 0;
}
