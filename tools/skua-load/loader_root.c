/*
 * loader_root.c - see loader_root.h.
 */
#include "loader_root.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "loader_connection.h"

#define SHARDS_MAX 16u /* of tallies: a few for each worker, so that they seldom meet */
#define DIALLING_MAX 128u

int skua_loader_root_init(struct loader *loader)
{
    const struct loader_options *options = &loader->options;
    size_t count = options->connections;
    unsigned shards = options->connections < SHARDS_MAX ? options->connections : SHARDS_MAX;
    loader->connections = calloc(count, sizeof(*loader->connections));
    loader->inputs = calloc(count, LOADER_INPUT_BYTES);
    loader->slots = calloc(count * options->pipeline, sizeof(*loader->slots));
    loader->dialling = (skua_semaphore)SKUA_SEMAPHORE_INIT(DIALLING_MAX);
    loader->opening = (skua_wait_group)SKUA_WAIT_GROUP_INIT;
    if (loader->connections == NULL || loader->inputs == NULL || loader->slots == NULL)
        return -ENOMEM;
    uint64_t random = options->seed;
    for (unsigned i = 0; i < options->connections; i++) {
        struct loader_connection *connection = &loader->connections[i];
        connection->loader = loader;
        connection->input = loader->inputs + i * LOADER_INPUT_BYTES;
        connection->slots = loader->slots + (size_t)i * options->pipeline;
        connection->fd = -1;
        connection->random = skua_loader_random(&random);
        connection->next_head = i;
    }
    int rc = skua_loader_tallies_init(&loader->tallies, shards);
    for (unsigned i = 0; i < options->connections && rc == 0; i++)
        loader->connections[i].shard = &loader->tallies.shards[i % shards];
    return rc;
}

void skua_loader_root_fini(struct loader *loader)
{
    /* A connection whose task was cancelled before it began is still open. */
    if (loader->connections != NULL && loader->connections[0].fd >= 0)
        (void)close(loader->connections[0].fd);
    skua_loader_tallies_fini(&loader->tallies);
    free(loader->connections);
    free(loader->inputs);
    free(loader->slots);
}

/* Finds the server and connects to it once, so that what is wrong with it is said once. */
static int find(struct loader *loader)
{
    struct loader_target *target = &loader->target;
    uint64_t deadline_ns = skua_after(loader->options.connect_timeout_ns);
    skua_resolve_options resolve = {.deadline_ns = deadline_ns};
    skua_dial_options dial = {.deadline_ns = deadline_ns};
    ssize_t count = skua_resolve(target->host, target->port, &resolve, target->addresses,
                                 SKUA_DIAL_ADDRESSES_MAX);
    if (count < 0)
        return (int)count;
    loader->found = true;
    target->address_count = (size_t)count;
    return skua_dial_addresses(target->addresses, target->address_count, &dial);
}

/* Spawns all; the caller closes the scope. */
static int spawn(struct loader *loader, skua_scope *scope)
{
    for (unsigned i = 0; i < loader->options.connections; i++) {
        (void)skua_wait_group_add(&loader->opening, 1);
        int rc = skua_scope_spawn(scope, skua_loader_connection_run, &loader->connections[i], NULL);
        if (rc < 0)
            return rc;
    }
    int rc = skua_wait_group_wait(&loader->opening);
    if (rc < 0)
        return rc;
    skua_loader_schedule_start(&loader->schedule, &loader->options, skua_now());
    (void)skua_event_set(&loader->started);
    return 0;
}

/* Whether an open loop has had all of its time: it ends when nothing is due any more, not later. */
static bool has_run_out(const struct loader *loader)
{
    const struct loader_schedule *schedule = &loader->schedule;
    return schedule->gap_ns > 0 && (schedule->limit == 0 || schedule->due < schedule->limit) &&
           loader->counts.given_up < loader->options.connections;
}

/* When all tasks have ended. */
static void add_up(struct loader *loader, bool cancelled)
{
    uint64_t last_ns = 0;
    loader->end_ns = skua_now();
    for (unsigned i = 0; i < loader->options.connections; i++)
        skua_loader_counts_add(&loader->counts, &loader->connections[i].counts);
    for (unsigned i = 0; i < loader->tallies.count; i++) {
        const struct loader_tally *tally = &loader->tallies.shards[i].tally;
        last_ns = tally->last_ns > last_ns ? tally->last_ns : last_ns;
    }
    /* If all was done before the time was over, the last outcome was the end. */
    if (loader->end_ns > loader->schedule.end_ns || (!cancelled && has_run_out(loader)))
        loader->end_ns = loader->schedule.end_ns;
    else if (!cancelled && last_ns != 0)
        loader->end_ns = last_ns;
    if (loader->schedule.start_ns != 0)
        loader->counts.unsent += skua_loader_schedule_drain(&loader->schedule, loader->end_ns);
}

intptr_t skua_loader_root_run(struct loader *loader)
{
    skua_scope scope;
    skua_scope_options options = {.name = "connections"};
    int fd = find(loader);
    if (fd < 0) {
        loader->first_error = fd;
        return fd;
    }
    if (loader->options.churn)
        (void)skua_close(fd);
    else
        loader->connections[0].fd = fd;
    int rc = skua_scope_open(&scope, &options);
    if (rc == 0) {
        rc = spawn(loader, &scope);
        if (rc < 0)
            (void)skua_scope_cancel(&scope);
        int rc_close = skua_scope_close(&scope);
        rc = rc_close < 0 ? rc_close : rc;
    }
    add_up(loader, rc < 0);
    return rc;
}
