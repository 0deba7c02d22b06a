/*
 * sim/network.h - the network of a simulation: what its files share.
 *
 * WHAT   A simulated socket is one end of a socketpair(2), which the program has, and the other
 *        end, which the network has. The network reads what the program has sent, keeps it for the
 *        time of the link, and writes it into the network's end of the peer. So poll(2), epoll(7),
 *        half-closed streams, close(2) and dup(2) are the kernel's own. A datagram socket, and one
 *        that listens, has a byte in the pair for each datagram and connection that waits.
 *
 * WHEN   skua_network_run() does all of it, when no thread of the simulation can run: at the same
 *        virtual time at which the last of them ran, since time stands still meanwhile. So it is
 *        exact, and a program may use its descriptors without the network's knowing.
 *
 * STATE  A socket lives as long as the network, since that can tell from its end when both
 *        directions are over, but not when a descriptor has been closed. It is found by the inode
 *        of the program's end.
 *            NEW -> LISTENING; NEW -> CONNECTING -> CONNECTED; any -> OVER
 *        OVER: the network has closed its end; error tells the program why, once.
 *
 * FILES  network_name.c addresses; network.c links, cuts, scripts and the public calls;
 *        network_socket.c sockets and their calls; network_wire.c packets; network_datagram.c.
 */
#ifndef SKUA_SRC_NETWORK_H
#define SKUA_SRC_NETWORK_H

#include "sim/world.h"

#include "io/net_call.h"

#include <sys/types.h>

#define SIM_HOST_BYTES 108u
#define SIM_BUCKETS 64u
#define SIM_RETRY_NS                                                                               \
    (50 * SKUA_NS_PER_US) /* the kernel has no room, which the window should see to */

/* An address. Of a family AF_INET host is IPv6's 16 bytes, whatever the socket's domain is. */
struct sim_name {
    sa_family_t family; /* AF_UNSPEC: none; AF_INET; AF_UNIX */
    uint16_t port;
    uint16_t size; /* of host */
    unsigned char host[SIM_HOST_BYTES];
};

/* As a user names hosts: any, or a name whose port may be 0. */
struct sim_host {
    bool is_any;
    struct sim_name name;
};

/* Two hosts that are cut off from each other. */
struct sim_cut {
    struct sim_cut *next;
    struct sim_host ends[2];
    uint64_t heals_ns; /* UINT64_MAX: when it is told to */
};

/* Links with times of their own; the one made last counts. */
struct sim_rule {
    struct sim_rule *next;
    struct sim_host ends[2];
    skua_sim_link link;
};

/* One direction of a link. */
struct sim_path {
    struct sim_path *next;
    struct sim_name from;
    struct sim_name to;
    skua_sim_link link; /* with the defaults filled in */
    uint64_t free_ns;   /* when the bytes put on it so far have left */
};

enum sim_packet_kind { SIM_DATA, SIM_FIN, SIM_RST };

struct sim_packet {
    struct sim_packet *next;
    uint64_t due_ns;
    enum sim_packet_kind kind;
    size_t size;
    size_t at; /* so many bytes have been delivered */
    unsigned char bytes[];
};

/* One that waits to be received, or is on its way to it. */
struct sim_datagram {
    struct sim_datagram *next;
    uint64_t due_ns;
    struct sim_socket *sender; /* on its way only */
    struct sim_name from;
    struct sim_name to;
    size_t size;
    unsigned char bytes[];
};

enum sim_state { SIM_NEW, SIM_LISTENING, SIM_CONNECTING, SIM_CONNECTED, SIM_OVER };

struct sim_socket {
    struct sim_socket *next; /* of the network's sockets */
    struct sim_socket *next_in_bucket;
    bool is_listed; /* among them */
    ino_t inode;    /* of the program's end */
    int domain;
    int fd; /* the network's end; -1: closed */
    enum sim_state state;
    bool is_datagram;
    bool is_corked;       /* junk in the pair keeps the program's end from being ready to write */
    bool is_accepted;     /* shares the port of its listener */
    bool shares_port;     /* SO_REUSEPORT */
    bool is_connect_told; /* the outcome of a connect */
    bool has_sent_fin;
    bool ignores_input;   /* shut down for reading */
    bool may_be_readable; /* something has come since poll(2) said that there is nothing */
    int error;            /* to be told once, positive */
    struct sim_name own;
    struct sim_name peer_name;
    struct sim_socket *peer; /* of a stream; lives as long */

    /* A connect under way. */
    bool is_answered; /* there is an answer, on its way back */
    int answer;       /* 0 or an error, positive */
    uint64_t step_ns; /* its packet arrives then */
    uint64_t timeout_ns;

    /* LISTENING: connections not yet accepted. One of those: its program's end. */
    unsigned backlog;
    unsigned waiting;
    struct sim_socket *first_waiting;
    struct sim_socket *next_waiting;
    int program_fd; /* -1: the program has it */

    /* What this end has sent. */
    struct sim_packet *packets; /* on their way, in order */
    struct sim_packet **last_packet;
    size_t in_flight; /* bytes in packets */
    size_t unread;    /* bytes delivered here that the program may not have read yet */

    struct sim_datagram *received;
    size_t received_bytes;
};

struct pollfd;

struct sim_network {
    struct skua_world *world;
    skua_sim_network options; /* with the defaults filled in */
    size_t script_next;
    struct sim_socket *sockets; /* in order; those of which nothing can come are left out */
    struct sim_socket **last_socket;
    struct sim_socket *buckets[SIM_BUCKETS]; /* all, by inode */
    size_t open_count;                       /* sockets that have an fd */
    struct sim_datagram *datagrams;
    struct sim_cut *cuts;
    struct sim_rule *rules;
    struct sim_path *paths;
    uint16_t next_port;
    uint32_t next_name;    /* of Unix sockets without one */
    struct pollfd *polled; /* room for as many as are open */
    struct sim_socket **polled_sockets;
    size_t polled_capacity;
    skua_sim_network_stats stats;
};

/* A time after another; UINT64_MAX: never. */
static inline uint64_t sim_sum_ns(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* ---- network_name.c -------------------------------------------------------------------------- */

/* 0; -EINVAL, -EAFNOSUPPORT: not an address for a socket of @domain. */
int sim_name_read(struct sim_name *name, int domain, const struct sockaddr *address,
                  socklen_t size);
/* Writes at most *@size bytes, and there how long it is. */
void sim_name_write(const struct sim_name *name, int domain, void *address, socklen_t *size);
bool sim_name_is_wildcard(const struct sim_name *name);
bool sim_name_is_loopback(const struct sim_name *name);
bool sim_same_host(const struct sim_name *a, const struct sim_name *b);
bool sim_same_name(const struct sim_name *a, const struct sim_name *b);
/* Whether a socket bound to @bound is reached at @to. */
bool sim_name_reaches(const struct sim_name *bound, int domain, const struct sim_name *to);
/* The address of a socket of this host that connects to @to without a bind. */
void sim_name_default(struct sim_name *name, const struct sim_name *to);
/* Has @name, which is a wildcard, mean this host. */
void sim_name_loopback(struct sim_name *name);
int sim_host_parse(struct sim_host *host, const char *text);
bool sim_host_matches(const struct sim_host *host, const struct sim_name *name);

/* ---- network.c ------------------------------------------------------------------------------- */

/* The network of @world, made when it is first needed; NULL: no memory. */
struct sim_network *sim_network_of(struct skua_world *world);
bool sim_is_cut(const struct sim_network *net, const struct sim_name *a, const struct sim_name *b);
/* The direction from @from to @to; NULL: no memory. */
struct sim_path *sim_path_of(struct sim_network *net, const struct sim_name *from,
                             const struct sim_name *to);
/* When a packet of @size bytes that is sent now arrives. May cut the link. */
uint64_t sim_path_send(struct sim_network *net, struct sim_path *path, size_t size);

/* ---- network_socket.c ------------------------------------------------------------------------ */

struct sim_socket *sim_socket_find(struct sim_network *net, int fd);
/* A socket and the program's end of its pair as *@program_fd. NULL: *@program_fd is -errno. */
struct sim_socket *sim_socket_create(struct sim_network *net, int domain, int type,
                                     int *program_fd);
/* Has @s among the sockets of the network. */
void sim_socket_list(struct sim_network *net, struct sim_socket *s);
/* Closes the network's end. */
void sim_socket_over(struct sim_network *net, struct sim_socket *s, int error);
void sim_socket_uncork(struct sim_socket *s);
int sim_socket_bind_any(struct sim_network *net, struct sim_socket *s, const struct sim_name *to);
int sim_socket_take_error(struct sim_socket *s);

/* ---- network_wire.c -------------------------------------------------------------------------- */

/* 0: on its way; else why not. */
int sim_connect_begin(struct sim_network *net, struct sim_socket *s, const struct sim_name *to);
void sim_packet_send(struct sim_network *net, struct sim_socket *from, enum sim_packet_kind kind,
                     const void *bytes, size_t size);
/* Both ends are told at once. */
void sim_reset_connection(struct sim_network *net, struct sim_socket *s);
void sim_packets_drop(struct sim_socket *s);
/* Those that a cut held up are sent again. */
void sim_packets_resend(struct sim_network *net);
/* Reads what programs have sent and closed. */
void sim_wire_pick_up(struct sim_network *net);
void sim_wire_deliver(struct sim_network *net, uint64_t now_ns);
uint64_t sim_wire_next(const struct sim_network *net);

/* ---- network_datagram.c ---------------------------------------------------------------------- */

int64_t sim_datagram_send(struct sim_network *net, struct sim_socket *s, const skua_op *op);
int64_t sim_datagram_receive(struct sim_socket *s, const skua_op *op);
bool sim_datagram_can_send(const struct sim_network *net, const struct sim_socket *s);
void sim_datagrams_deliver(struct sim_network *net, uint64_t now_ns);
uint64_t sim_datagrams_next(const struct sim_network *net);
void sim_datagrams_free(struct sim_datagram *first);

#endif /* SKUA_SRC_NETWORK_H */
