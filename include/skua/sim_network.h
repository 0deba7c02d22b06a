/*
 * skua/sim_network.h - the network of a simulation: hosts, links, partitions, all in virtual time.
 *
 * In a simulation (skua/sim.h) the sockets of skua_socket(), skua_listen_at() and skua_dial() that
 * are IPv4 or IPv6 belong to a network of its own, where every address exists: a program that is
 * client and server at once may bind its ends to 10.0.0.1 and 10.0.0.2. What is sent takes the
 * time of the link between the two hosts, in the order of a connection, in any order between two
 * connections. A link may be cut and healed, a connection reset, a connect refused or left without
 * an answer, a datagram lost, doubled or late: by the seed and the rates of skua_sim_network, by
 * its script, or by the calls below. The same seed makes the same network. What the rates did is
 * among the faults of skua_sim_report, and a script in skua_sim_options takes the rates' place.
 *
 * Hosts are given as in skua_address_parse(): "10.0.0.1:80" is that port of that host, port 0 all
 * ports ("10.0.0.1:0"), NULL everybody. An IPv4 address is the same host as its IPv6 form
 * ::ffff:a.b.c.d. Who connects without a bind does so from 127.0.0.1 or ::1 to those, and from
 * 192.0.2.1 or 2001:db8::1 to any other address.
 *
 * Unix sockets are the kernel's, which loses and delays nothing and passes descriptors, unless
 * has_unix is set; then those of skua_socket() are simulated too, and pass no descriptors.
 * socketpair(2), socket(2) and descriptors from elsewhere are the kernel's.
 *
 * The descriptors are real ones: close(2), dup(2), fcntl(2), and read(2) and write(2) on a stream
 * do what they should, but that a reset is the end of the stream to them. Everything else goes
 * through the calls of skua/socket.h, skua/file.h, skua/net.h, skua/stream.h and skua/server.h;
 * getsockopt(2) and getsockname(2) see the Unix socket underneath: skua_address_of_socket() tells
 * the address.
 */
#ifndef SKUA_SIM_NETWORK_H
#define SKUA_SIM_NETWORK_H

#include <skua/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What lies between two hosts. Zero-initialise; zero means default everywhere. */
typedef struct skua_sim_link {
    uint64_t latency_ns;             /* of every packet; default 50 us; 0 between Unix sockets */
    uint64_t jitter_ns;              /* and at random less than this more; default the latency */
    uint64_t bytes_per_second;       /* in each direction; default: no limit */
    unsigned losses_per_million;     /* of the datagrams */
    unsigned duplicates_per_million; /* of the datagrams */
    unsigned late_per_million;       /* of the datagrams: up to ten times the latency later */
    unsigned reserved_rate;
    uint64_t reserved[2]; /* zero */
} skua_sim_link;

/* What a script does with the links between two hosts. */
typedef enum skua_sim_network_action {
    SKUA_SIM_CUT = 0, /* nothing gets through any more */
    SKUA_SIM_HEAL,    /* what a cut of the same two hosts did is over; NULL, NULL: every cut */
    SKUA_SIM_RESET    /* the connections there are between them are reset */
} skua_sim_network_action;

typedef struct skua_sim_network_event {
    uint64_t at_ns; /* virtual, since the simulation began */
    skua_sim_network_action action;
    const char *a; /* hosts, see above */
    const char *b;
} skua_sim_network_event;

/* The network of a simulation, as skua_sim_options names it. Zero means default everywhere. */
typedef struct skua_sim_network {
    skua_sim_link link;  /* of all that are given no other */
    size_t buffer_bytes; /* in each end of a stream, each way; at most, and default, 64 KiB */
    uint64_t connect_timeout_ns;     /* of a connect nobody answers; default 127 s */
    unsigned refusals_per_million;   /* of the connects: -ECONNREFUSED */
    unsigned unanswered_per_million; /* of the connects: -ETIMEDOUT */
    unsigned resets_per_million;     /* of the packets of streams: the connection is reset */
    unsigned cuts_per_million;       /* of the packets: its two hosts are cut off from each other */
    uint64_t cut_max_ns;             /* and healed after less than this; default 1 s */
    const skua_sim_network_event *script; /* besides, in order of at_ns */
    size_t script_count;
    bool resets_at_cut;   /* a cut resets what it cuts; else what is sent meanwhile waits */
    bool has_unix;        /* simulates Unix sockets too */
    uint64_t reserved[4]; /* zero */
} skua_sim_network;

/* What happened in it. */
typedef struct skua_sim_network_stats {
    uint64_t packets;
    uint64_t connections;  /* that were made */
    uint64_t resets;       /* ends that saw one */
    uint64_t refusals;     /* connects that were, by rate or since nobody listened */
    uint64_t cuts;         /* by rate, script or call */
    uint64_t losses;       /* datagrams, those without room or receiver too */
    uint64_t sockets_open; /* that the program had not closed when it ended */
    uint64_t reserved[1];
} skua_sim_network_stats;

/**
 * Cuts the hosts @a and @b off from each other: of what is on its way, and is sent, datagrams are
 * lost, and the rest waits for skua_sim_network_heal() (or see resets_at_cut).
 *
 * Context: any thread of a simulation; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if one is not a host; -ENOMEM; -EPERM outside a simulation.
 */
SKUA_API int skua_sim_network_cut(const char *a, const char *b);

/**
 * Undoes every cut that names @a and @b, in either order; NULL and NULL: every cut there is.
 *
 * Context: any thread of a simulation; never waits.
 * Cancellation: not a cancellation point.
 * Returns: how many there were; -EINVAL; -EPERM.
 */
SKUA_API int skua_sim_network_heal(const char *a, const char *b);

/**
 * Resets the connections between @a and @b: each end's next call fails with -ECONNRESET.
 *
 * Context: any thread of a simulation; never waits.
 * Cancellation: not a cancellation point.
 * Returns: how many there were; -EINVAL; -EPERM.
 */
SKUA_API int skua_sim_network_reset(const char *a, const char *b);

/**
 * Gives the links between @a and @b, either way, these times and rates from now on. Ports count for
 * nothing here.
 *
 * Context: any thread of a simulation; never waits.
 * Cancellation: not a cancellation point.
 * Ownership: *@link is copied.
 * Returns: 0; -EINVAL (also: @link NULL, a nonzero reserved field); -ENOMEM; -EPERM.
 */
SKUA_API int skua_sim_network_set_link(const char *a, const char *b, const skua_sim_link *link);

/**
 * What has happened so far.
 *
 * Context: any thread of a simulation; never waits.
 * Cancellation: not a cancellation point.
 * Returns: 0; -EINVAL if @stats is NULL; -EPERM.
 */
SKUA_API int skua_sim_network_get_stats(skua_sim_network_stats *stats);

#ifdef __cplusplus
}
#endif

#endif /* SKUA_SIM_NETWORK_H */
