/*
 * load/load_client.h - the client of the echo benchmark: one thread, which keeps one message under
 * way on each of its connections and checks what comes back.
 *
 * Closed loop: a connection sends its next message when it has the answer to the last one, so the
 * latencies are those of a server as busy as that makes it, not those under a given load.
 */
#ifndef SKUA_LOAD_CLIENT_H
#define SKUA_LOAD_CLIENT_H

#include "load_histogram.h"
#include "load_server.h"

#include <stddef.h>

/* One way to load a server. */
struct load_plan {
    const char *name;
    size_t message_bytes;
    unsigned connections;
    bool churn; /* each message has a connection of its own, which the client closes */
    uint64_t warmup_ns;
    uint64_t window_ns;
};

/* What was measured in the window. A request in churn is a connection, from connect() to answer. */
struct load_figures {
    uint64_t requests;
    uint64_t connections; /* that had answers to all they sent, in or out of the window */
    uint64_t wall_ns;
    uint64_t server_cpu_ns;
    struct load_histogram latencies;
};

/* Loads @server as @plan says. All its connections are closed when it returns. */
void load_client_run(const struct load_server *server, const struct load_plan *plan,
                     struct load_figures *figures);

#endif /* SKUA_LOAD_CLIENT_H */
