/*
 * loader.h - skua-load: loads an HTTP or echo server and tells how it takes that. What every file
 * of the tool shares.
 *
 * Life of a run: main parses the options, finds out what to send to whom, starts a runtime and
 * submits one root task. That makes one connection, to learn whether there is a server, and spawns
 * a task for each connection. They connect, wait for each other, and then run, each in plain
 * blocking style: take a request from the schedule, send it, receive the answer.
 *
 * Words: a request BEGINS when its connection takes it to be sent. In a closed loop it is DUE then;
 * in an open loop at the time that the schedule gave it, whatever became of the ones before. Its
 * SERVICE TIME is counted from its beginning, its RESPONSE TIME from when it was due, each to the
 * last byte of the answer. The WINDOW is what is measured: from the end of the warm-up to the end
 * of the duration. A request counts if it was due in the window, however late its answer; but the
 * rates are of the answers that arrived in it.
 *
 * INVARIANTS  begun = answered with success + sum of errors + unfinished: every request that
 *             counts has one outcome.
 */
#ifndef SKUA_LOADER_H
#define SKUA_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <skua/skua.h>

#include "loader_schedule.h"
#include "loader_tally.h"
#include "loader_target.h"
#include "tool_options.h"

#define LOADER_PROGRAM "skua-load"

struct loader_connection;

/* Words of the command line, or of a file. */
struct loader_words {
    const char **words;
    size_t count;
};

struct loader_options {
    const char *url;
    const char *method;
    const char *body;      /* NULL: none */
    const char *body_file; /* NULL: none */
    const char *path_file; /* NULL: none */
    const char *json;      /* a path, "-" or NULL */
    struct loader_words paths;
    struct loader_words headers;
    unsigned connections;
    unsigned pipeline;
    unsigned workers; /* 0: the runtime's default */
    uint64_t seed;
    uint64_t requests;   /* 0: no limit */
    uint64_t errors_max; /* more of them are a failure of the run */
    uint64_t reconnects_max;
    uint64_t duration_ns; /* SKUA_FOREVER: until all requests are done */
    uint64_t warmup_ns;
    uint64_t timeout_ns; /* of a request */
    uint64_t connect_timeout_ns;
    size_t message_bytes; /* of echo */
    double rate;          /* of requests a second; 0: a closed loop */
    bool poisson;
    bool churn;
    bool histogram;
    bool progress;
    bool quiet;
};

struct loader {
    struct loader_options options; /* constant, as the target is */
    struct loader_target target;
    struct loader_schedule schedule;
    struct loader_tallies tallies;
    struct loader_connection *connections; /* options.connections */
    char *inputs;                          /* what they receive into, LOADER_INPUT_BYTES each */
    struct loader_slot *slots;             /* options.pipeline for each */
    skua_semaphore dialling; /* permits to connect before the start: more would overrun backlogs */
    skua_wait_group opening; /* connections that have not tried to connect yet */
    skua_event started;      /* then the schedule is constant, but for what it guards */
    /* Of the root task; for main after its end. */
    uint64_t end_ns; /* of the window, as it was in the end */
    struct loader_counts counts;
    int first_error; /* why the first connection could not be made: -errno, or 0 */
    bool found;      /* the name of the host was */
};

enum tool_parse skua_loader_options_parse(int argc, char **argv, struct loader_options *options);
void skua_loader_options_fini(struct loader_options *options);

/* Appends @word. Returns 0 or -ENOMEM. */
int skua_loader_words_add(struct loader_words *words, const char *word);

#endif /* SKUA_LOADER_H */
