/*
 * loader_tally.c - see loader_tally.h.
 */
#include "loader_tally.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const skua_loader_error_names[LOADER_ERROR_COUNT] = {
    "connect_refused", "connect_timeout", "connect_failed", "given_up",
    "timeout",         "closed",          "reset",          "io",
    "protocol",        "content",         "status",
};

int skua_loader_tallies_init(struct loader_tallies *tallies, unsigned count)
{
    size_t bytes = count * sizeof(struct loader_shard);
    tallies->shards = aligned_alloc(_Alignof(struct loader_shard), bytes);
    if (tallies->shards == NULL)
        return -ENOMEM;
    memset(tallies->shards, 0, bytes);
    tallies->count = count;
    for (unsigned i = 0; i < count; i++)
        pthread_mutex_init(&tallies->shards[i].lock, NULL);
    return 0;
}

void skua_loader_tallies_fini(struct loader_tallies *tallies)
{
    for (unsigned i = 0; i < tallies->count; i++)
        pthread_mutex_destroy(&tallies->shards[i].lock);
    free(tallies->shards);
    *tallies = (struct loader_tallies){0};
}

static void add(struct loader_tally *sum, const struct loader_tally *from)
{
    sum->answered += from->answered;
    sum->arrived += from->arrived;
    sum->bytes_in += from->bytes_in;
    sum->bytes_out += from->bytes_out;
    for (unsigned i = 0; i < LOADER_STATUS_CLASSES; i++)
        sum->statuses[i] += from->statuses[i];
    for (unsigned i = 0; i < LOADER_ERROR_COUNT; i++)
        sum->errors[i] += from->errors[i];
    if (from->last_ns > sum->last_ns)
        sum->last_ns = from->last_ns;
    tool_histogram_merge(&sum->service, &from->service);
    tool_histogram_merge(&sum->response, &from->response);
}

void skua_loader_tallies_sum(const struct loader_tallies *tallies, struct loader_tally *sum)
{
    for (unsigned i = 0; i < tallies->count; i++) {
        pthread_mutex_lock(&tallies->shards[i].lock);
        add(sum, &tallies->shards[i].tally);
        pthread_mutex_unlock(&tallies->shards[i].lock);
    }
}

void skua_loader_tallies_peek(struct loader_tallies *tallies, uint64_t *arrived, uint64_t *failed)
{
    *arrived = *failed = 0;
    for (unsigned i = 0; i < tallies->count; i++) {
        pthread_mutex_lock(&tallies->shards[i].lock);
        *arrived += tallies->shards[i].tally.arrived;
        *failed += skua_loader_tally_failed(&tallies->shards[i].tally);
        pthread_mutex_unlock(&tallies->shards[i].lock);
    }
}

uint64_t skua_loader_tally_failed(const struct loader_tally *tally)
{
    uint64_t failed = 0;
    for (unsigned i = 0; i < LOADER_ERROR_COUNT; i++)
        failed += tally->errors[i];
    return failed;
}

void skua_loader_counts_add(struct loader_counts *counts, const struct loader_counts *from)
{
    counts->begun += from->begun;
    counts->unfinished += from->unfinished;
    counts->late += from->late;
    if (from->late_max_ns > counts->late_max_ns)
        counts->late_max_ns = from->late_max_ns;
    counts->unsent += from->unsent;
    counts->opened += from->opened;
    counts->reconnects += from->reconnects;
    counts->connects_failed += from->connects_failed;
    counts->surplus += from->surplus;
    counts->given_up += from->given_up;
}
