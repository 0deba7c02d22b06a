/*
 * load/load_client.h - the client of the workloads echo and stalls: one thread, which has at most
 * one message under way on each of its connections and checks what comes back.
 *
 * Closed loop (echo): a connection sends its next message when it has the answer to the last one,
 * so the latencies are those of a server as busy as that makes it, not those under a given load.
 *
 * Open loop (stalls): messages are due at fixed intervals, whatever became of the earlier ones.
 * Each goes to the connection that has been without one for longest, so none waits on its own
 * connection behind another; if all have one under way it is sent late. Latency is counted from
 * the time at which a message was due, and every message that was due in the window is counted,
 * however late its answer: a server that stands still cannot hide the requests that would have come
 * meanwhile.
 */
#ifndef SKUA_LOAD_CLIENT_H
#define SKUA_LOAD_CLIENT_H

#include "load_server.h"
#include "tool_histogram.h"

#include <stddef.h>

/* One way to load a server. */
struct load_plan {
    const char *name;
    size_t message_bytes;
    unsigned connections;
    bool churn;         /* each message has a connection of its own, which the client closes */
    unsigned rate;      /* of messages a second in an open loop; 0: a closed loop */
    double heavy_share; /* of the messages that ask for computing, in an open loop */
    uint32_t heavy_us;  /* how long each of these has the server compute */
    bool shared;        /* the client has no CPU of its own */
    uint64_t warmup_ns;
    uint64_t window_ns;
};

/*
 * What was measured in the window. A request in churn is a connection, from connect() to answer. In
 * an open loop requests and latencies are those that ask for no computing.
 */
struct load_figures {
    uint64_t requests;
    uint64_t heavy;       /* requests that asked for computing */
    uint64_t connections; /* that had answers to all they sent, in or out of the window */
    uint64_t wall_ns;
    uint64_t server_cpu_ns;
    struct tool_histogram latencies;
    struct tool_histogram lateness; /* of sending, in an open loop */
};

/* Loads @server as @plan says. All its connections are closed when it returns. */
void load_client_run(const struct load_server *server, const struct load_plan *plan,
                     struct load_figures *figures);

#endif /* SKUA_LOAD_CLIENT_H */
