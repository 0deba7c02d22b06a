/*
 * loader_tally.h - what is counted of requests, in a few tallies that connections share, so that
 * they neither meet at every request nor each have histograms of their own.
 */
#ifndef SKUA_LOADER_TALLY_H
#define SKUA_LOADER_TALLY_H

#include <pthread.h>
#include <stdint.h>

#include "tool_histogram.h"

/* Why a request has failed. */
enum loader_error {
    LOADER_ERROR_REFUSED,         /* connecting: by the peer */
    LOADER_ERROR_CONNECT_TIMEOUT, /* connecting: no answer */
    LOADER_ERROR_CONNECT,         /* connecting: anything else */
    LOADER_ERROR_GIVEN_UP,        /* it was not to be connected again */
    LOADER_ERROR_TIMEOUT,         /* no whole answer in time */
    LOADER_ERROR_CLOSED,          /* the connection ended before the answer did */
    LOADER_ERROR_RESET,           /* the same, by a reset */
    LOADER_ERROR_IO,              /* any other error of the socket */
    LOADER_ERROR_PROTOCOL,        /* the answer is not HTTP */
    LOADER_ERROR_CONTENT,         /* an echo of other bytes */
    LOADER_ERROR_STATUS,          /* a whole answer, whose status is 400 or above */
    LOADER_ERROR_COUNT
};

/* For people and for JSON. */
extern const char *const skua_loader_error_names[LOADER_ERROR_COUNT];

#define LOADER_STATUS_CLASSES 6u /* 0: others than 1xx to 5xx */

struct loader_tally {
    /* Of requests that count. */
    uint64_t answered; /* wholly, whatever the status */
    uint64_t statuses[LOADER_STATUS_CLASSES];
    uint64_t errors[LOADER_ERROR_COUNT];
    uint64_t last_ns; /* when the last of them was answered or failed */
    struct tool_histogram service;
    struct tool_histogram response; /* of an open loop */
    /* Of what happened in the window. */
    uint64_t arrived; /* whole answers */
    uint64_t bytes_in;
    uint64_t bytes_out;
};

struct loader_shard {
    _Alignas(64) pthread_mutex_t lock; /* never held across a wait */
    struct loader_tally tally;         /* guarded by lock */
};

struct loader_tallies {
    struct loader_shard *shards;
    unsigned count;
};

/* What a connection counts itself; added up when its task has ended. */
struct loader_counts {
    uint64_t begun; /* requests that count, as the next four */
    uint64_t unfinished;
    uint64_t late; /* of an open loop: began more than LOADER_LATE_NS after they were due */
    uint64_t late_max_ns;
    uint64_t unsent; /* of an open loop: due, but never begun */
    uint64_t opened; /* connections, as all that follows */
    uint64_t reconnects;
    uint64_t connects_failed;
    uint64_t surplus; /* closed because bytes came that nobody had asked for */
    uint64_t given_up;
};

/* Returns 0 or -ENOMEM. */
int skua_loader_tallies_init(struct loader_tallies *tallies, unsigned count);
void skua_loader_tallies_fini(struct loader_tallies *tallies);

/* Adds all up into @sum, which is zero. */
void skua_loader_tallies_sum(const struct loader_tallies *tallies, struct loader_tally *sum);

/* What the progress line tells, so far. */
void skua_loader_tallies_peek(struct loader_tallies *tallies, uint64_t *arrived, uint64_t *failed);

uint64_t skua_loader_tally_failed(const struct loader_tally *tally);

void skua_loader_counts_add(struct loader_counts *counts, const struct loader_counts *from);

#endif /* SKUA_LOADER_TALLY_H */
