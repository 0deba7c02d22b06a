/*
 * sum_pipeline.h - the bounded, ordered pipeline between the tasks of the tool.
 *
 *     producer  ->  window of slots  ->  lanes  ->  the same slots  ->  printer
 *   (names.c or      SUM_WINDOW of      (read and     in order of       (out.c)
 *    verify.c)       them, a ring       hash)         sequence number
 *
 * One producer, several lanes, one printer, each a task. A sequence number names a line of output;
 * slot number sequence % SUM_WINDOW holds it from the moment the producer takes the slot until the
 * printer has shown it. See sum_pipeline.c for what makes this safe.
 */
#ifndef SKUA_SUM_PIPELINE_H
#define SKUA_SUM_PIPELINE_H

#include <pthread.h>
#include <stdatomic.h>

#include <skua/skua.h>

#include "sum.h"

#define SUM_WINDOW 1024u /* slots: how far the producer may run ahead of the printer */
#define SUM_BATCH_MAX 8u /* files one lane has open at once */

/* What a slot holds. All but SUM_FILE are done when they are published. */
enum sum_kind {
    SUM_FILE,      /* a file for a lane */
    SUM_FAILED,    /* a name the producer could not make use of, with its error */
    SUM_NOTE,      /* a message: @name is the text */
    SUM_CHECK_END, /* the end of a checksum file: @name, @lines_good, @lines_bad, @error */
};

/*
 * Written by the producer, then by the one lane that claimed it, then read by the printer.
 * Invariant: done == sequence + 1 means that the printer may read.
 */
struct sum_slot {
    _Atomic uint64_t done;
    enum sum_kind kind;
    bool solo; /* opening or reading it may wait for somebody: never part of a batch */
    bool standard_input;
    bool nofollow; /* found by the walk as a regular file: not to be swapped for a link */
    bool binary;   /* its line in a checksum file said so */
    int error;
    size_t digest_size;
    size_t expected_size; /* 0: not checking */
    unsigned char digest[SUM_DIGEST_SIZE_MAX];
    unsigned char expected[SUM_DIGEST_SIZE_MAX];
    uint64_t lines_good;
    uint64_t lines_bad;
    struct sum_text name; /* reused: its memory stays with the slot */
};

/* Where one task sleeps. @want: 0 awake, else what it waits for. */
struct sum_gate {
    _Atomic uint64_t want;
    skua_future *task; /* set by the task itself before it first sets @want */
};

/* A file a lane has open, or will open. Owned by one lane, or by the depot. */
struct sum_cell {
    struct sum_slot *slot;
    uint64_t sequence;
    uint64_t size; /* bytes hashed so far */
    struct sum_hash hash;
    int fd;           /* -1: not open */
    unsigned retries; /* opens refused for lack of descriptors */
    bool hashing;     /* begun */
    bool finished;    /* the slot is done; only the close is left */
};

struct sum_lane {
    struct sum_pipeline *pipeline;
    struct sum_gate gate;
    unsigned char *buffer;
    unsigned count; /* of cells in use */
    struct sum_cell *cells[SUM_BATCH_MAX];
    skua_op ops[SUM_BATCH_MAX];
    _Atomic uint64_t bytes; /* owner writes; the printer shows it */
};

struct sum_pipeline {
    const struct sum_options *options;
    const struct sum_digest *digest;

    /* Constant after init. */
    unsigned lane_count;
    unsigned batch;     /* files one lane may have open at once */
    size_t buffer_size; /* of a lane, bytes */
    struct sum_lane *lanes;

    /* Producer. */
    _Atomic uint64_t published; /* slots below are filled */
    _Atomic bool closed;        /* published is final */
    struct sum_gate producer;

    /* Lanes. */
    _Atomic uint64_t claimed; /* slots below belong to some lane */
    _Atomic unsigned idle;    /* lanes that sleep or are about to */
    _Atomic unsigned open_files;

    /* Printer. */
    _Atomic uint64_t emitted; /* slots below have been shown */
    struct sum_gate printer;

    /* The depot: cells nobody uses, and files to be read by a lane that has nothing else. Guarded
       by @depot_lock, which is held for a few instructions and never across a wait. */
    pthread_mutex_t depot_lock;
    struct sum_cell *cells;
    struct sum_cell **spare;
    struct sum_cell **pending;
    unsigned cell_count;
    unsigned spare_count;
    _Atomic unsigned pending_count;

    struct sum_slot slots[SUM_WINDOW];
};

/* Returns 0; -ENOMEM. */
int skua_sum_pipeline_init(struct sum_pipeline *pipeline, const struct sum_options *options,
                           const struct sum_digest *digest, unsigned workers);
void skua_sum_pipeline_fini(struct sum_pipeline *pipeline);

/* Producer: the next slot, cleared, in *@slot. Waits for room. Returns 0; -ECANCELED. */
int skua_sum_slot_take(struct sum_pipeline *pipeline, struct sum_slot **slot);
/* Producer: hands over the slot taken last. */
void skua_sum_slot_publish(struct sum_pipeline *pipeline);
/* Producer: waits until everything published has been shown. Returns 0; -ECANCELED. */
int skua_sum_pipeline_drain(struct sum_pipeline *pipeline);
/* Producer: nothing more comes. */
void skua_sum_pipeline_close(struct sum_pipeline *pipeline);

/*
 * Printer: the slot with number @sequence when it is done; waits for it until @deadline_ns.
 * Returns 1 with *@slot; 0 if there is no such slot and never will be; -ETIMEDOUT; -ECANCELED.
 */
int skua_sum_slot_wait(struct sum_pipeline *pipeline, uint64_t sequence, uint64_t deadline_ns,
                       struct sum_slot **slot);
/* Printer: gives the slots below @sequence back to the producer. */
void skua_sum_slot_release(struct sum_pipeline *pipeline, uint64_t sequence);

/* Lane: claims up to @count published slots. Returns how many, the first in *@sequence. */
unsigned skua_sum_slot_claim(struct sum_pipeline *pipeline, unsigned count, uint64_t *sequence);
/* Lane or producer: the slot is finished; nothing may touch it after this. */
void skua_sum_slot_done(struct sum_pipeline *pipeline, uint64_t sequence);
/* Lane: waits until there is something to do. Returns 0; -ECANCELED. */
int skua_sum_lane_wait(struct sum_lane *lane);

/* Lane: an unused cell; NULL if there is none. */
struct sum_cell *skua_sum_cell_get(struct sum_pipeline *pipeline);
void skua_sum_cell_put(struct sum_pipeline *pipeline, struct sum_cell *cell);
/* Lane: leaves a file to whichever lane has nothing else to do. */
void skua_sum_pending_put(struct sum_pipeline *pipeline, struct sum_cell *cell);
/* Lane: the pending file with the lowest number; NULL if there is none. */
struct sum_cell *skua_sum_pending_get(struct sum_pipeline *pipeline);

/*
 * Decides what to do about an open that failed with @error for the @retries-th time: true if it
 * lacked a descriptor and is worth another try, because files of our own will be closed.
 */
bool skua_sum_open_again(struct sum_pipeline *pipeline, int error, unsigned retries);

/* How many bytes have been hashed so far. */
uint64_t skua_sum_bytes_hashed(const struct sum_pipeline *pipeline);

/* The tasks. @arg is the pipeline; for a lane, its struct sum_lane. */
intptr_t skua_sum_lane_run(void *arg);
intptr_t skua_sum_names_run(void *arg);
intptr_t skua_sum_verify_run(void *arg);

#endif /* SKUA_SUM_PIPELINE_H */
