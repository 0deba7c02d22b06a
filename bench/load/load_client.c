/*
 * load/load_client.c - see load_client.h.
 *
 * It must cost less than the server it measures, or a fast server waits for it: so it receives by a
 * ring of which it is the only user, and sends by send(2), with one look at the clock for each
 * message, which ends one request and begins the next.
 *
 * Messages are pieces of one block of noise, each from another place, so that nothing has to be
 * written to send one, and an answer that belongs to another message or connection is found out.
 * Of long messages the ends are compared, and all of every 16th.
 *
 * Phases: OPENING, until every connection has had an answer, with few of them waiting for their
 * first one, as more might overrun the server's backlog; WARMING; MEASURING; ENDING, in which
 * nothing is sent and every answer that is due comes. Churn begins with WARMING, and has not more
 * connections than may wait in OPENING. In an open loop a phase ends with the last message that is
 * due in it, not with the time.
 *
 * In an open loop that shares its CPUs with the server, the client has a real-time priority if it
 * may: else it would wait for the server's time slices, and tell that as the server's latency.
 */
#include "load_client.h"
#include "load_stalls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RING_ENTRIES 4096u
#define COMPLETIONS (32u * 1024)
#define OPENING_MAX 64u
#define ANSWER_DEADLINE_S 20
#define BEHIND_DEADLINE_S 5 /* how long after the last message was due all must be sent */
#define NOISE_PLACES 4096u  /* where a message may begin in the noise; a power of two */
#define PLACE_BYTES 8u
#define WHOLE_MAX 1024u /* longer messages are compared in part, but for every WHOLE_EVERY-th */
#define WHOLE_EVERY 16u
#define END_BYTES 64u
/* Clients of as many addresses: one would run out of ports, which stay taken for a while. */
#define SOURCES 32u

enum phase { OPENING, WARMING, MEASURING, ENDING };

struct connection {
    int fd;
    unsigned number;     /* of messages so far */
    const char *message; /* the one under way: in the noise, or in an open loop among client.own */
    uint64_t sent_ns;    /* when, or when the connection was asked for; in an open loop, when due */
    bool heavy;          /* in an open loop: the one under way asks for computing */
    bool counted;        /* in an open loop: it is due in the window */
    size_t received;     /* of the answer */
    char *answer;        /* room for it */
};

/* The open loop. Message i is due at start_ns + i / rate. */
struct schedule {
    uint64_t start_ns;
    uint64_t sent;    /* messages, so also the number of the next one */
    uint64_t counted; /* number of the first one in the window */
    uint64_t total;
    struct connection **idle; /* a ring of plan->connections: those with no message under way */
    unsigned idle_first;
    unsigned idle_count;
    uint64_t answered_ns; /* when the last light one of the window was answered */
};

struct client {
    const struct load_server *server;
    const struct load_plan *plan;
    struct load_figures *figures;
    struct io_uring ring;
    struct connection *connections;
    char *answers;
    char *own; /* in an open loop: room for a message of each connection */
    char *noise;
    uint64_t random;
    enum phase phase;
    unsigned opened;
    unsigned waiting; /* connections whose answer is due */
    uint32_t sources;
    uint64_t now;
    uint64_t phase_ns; /* when the phase began */
    uint64_t cpu_ns;   /* of the server when the window began */
    struct schedule schedule;
};

/* ---- one request ----------------------------------------------------------------------------- */

static void receive(struct client *client, struct connection *connection)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&client->ring);
    if (sqe == NULL) {
        int rc = io_uring_submit(&client->ring);
        sqe = io_uring_get_sqe(&client->ring);
        if (sqe == NULL)
            bench_fail(client->server->options, "io_uring_submit", rc);
    }
    io_uring_prep_recv(sqe, connection->fd, connection->answer + connection->received,
                       client->plan->message_bytes - connection->received, 0);
    /* What is due cannot be there yet. */
    sqe->ioprio = IORING_RECVSEND_POLL_FIRST;
    io_uring_sqe_set_data(sqe, connection);
}

static void send_message(struct client *client, struct connection *connection)
{
    size_t size = client->plan->message_bytes;
    size_t done = 0;
    uint64_t place = bench_random(&client->random) % NOISE_PLACES;
    connection->message = client->noise + place * PLACE_BYTES;
    if (client->plan->rate != 0) {
        char *own = client->own + (size_t)(connection - client->connections) * size;
        memcpy(own, connection->message, size);
        load_stalls_put(own, connection->heavy ? client->plan->heavy_us : 0);
        connection->message = own;
    }
    connection->number++;
    connection->received = 0;
    while (done < size) {
        ssize_t sent = send(connection->fd, connection->message + done, size - done, MSG_NOSIGNAL);
        if (sent < 0 && errno != EINTR)
            bench_fail(client->server->options, "send", errno);
        if (sent > 0)
            done += (size_t)sent;
    }
    client->waiting++;
    receive(client, connection);
}

static void connect_to_server(struct client *client, struct connection *connection)
{
    int on = 1;
    struct sockaddr_in source = {.sin_family = AF_INET};
    struct sockaddr_in target = {.sin_family = AF_INET, .sin_port = htons(client->server->port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + client->sources++ % SOURCES);
    target.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&source, sizeof(source)) != 0 ||
        connect(fd, (struct sockaddr *)&target, sizeof(target)) != 0)
        bench_fail(client->server->options, "connect", errno);
    connection->fd = fd;
}

/* Connects and sends the first message. */
static void open_connection(struct client *client, struct connection *connection)
{
    connection->sent_ns = client->now;
    connect_to_server(client, connection);
    send_message(client, connection);
}

static void check_answer(const struct client *client, const struct connection *connection)
{
    size_t size = client->plan->message_bytes;
    bool whole = size <= WHOLE_MAX || connection->number % WHOLE_EVERY == 0;
    size_t first = whole ? size : END_BYTES;
    size_t last = whole ? 0 : size - END_BYTES;
    if (memcmp(connection->answer, connection->message, first) != 0 ||
        (last != 0 &&
         memcmp(connection->answer + last, connection->message + last, END_BYTES) != 0))
        load_fail(client->server->options, "%s: wrong bytes in answer %u of a connection",
                  client->plan->name, connection->number);
}

static void on_answer_open(struct client *client, struct connection *connection)
{
    struct schedule *schedule = &client->schedule;
    unsigned count = client->plan->connections;
    if (connection->counted && connection->heavy) {
        client->figures->heavy++;
    } else if (connection->counted) {
        tool_histogram_add(&client->figures->latencies, client->now - connection->sent_ns);
        schedule->answered_ns = client->now;
    }
    schedule->idle[(schedule->idle_first + schedule->idle_count) % count] = connection;
    schedule->idle_count++;
}

static void on_answer(struct client *client, struct connection *connection)
{
    check_answer(client, connection);
    client->waiting--;
    client->now = bench_now();
    if (client->plan->rate != 0) {
        on_answer_open(client, connection);
        return;
    }
    if (client->phase == MEASURING)
        tool_histogram_add(&client->figures->latencies, client->now - connection->sent_ns);
    if (client->plan->churn) {
        close(connection->fd);
        connection->fd = -1;
        if (client->phase != ENDING)
            open_connection(client, connection);
    } else if (client->phase == WARMING || client->phase == MEASURING) {
        connection->sent_ns = client->now;
        send_message(client, connection);
    }
}

static void on_completion(struct client *client, const struct io_uring_cqe *cqe)
{
    struct connection *connection = io_uring_cqe_get_data(cqe);
    if (cqe->res == 0)
        load_fail(client->server->options, "%s: the server closed a connection",
                  client->plan->name);
    if (cqe->res < 0)
        bench_fail(client->server->options, "recv", cqe->res);
    connection->received += (size_t)cqe->res;
    if (connection->received < client->plan->message_bytes)
        receive(client, connection);
    else
        on_answer(client, connection);
}

/* ---- the phases ------------------------------------------------------------------------------ */

static void begin_phase(struct client *client, enum phase phase)
{
    client->phase = phase;
    client->now = bench_now();
    client->phase_ns = client->now;
}

static void open_more(struct client *client)
{
    unsigned count = client->plan->connections;
    while (client->opened < count && client->waiting < OPENING_MAX) {
        client->now = bench_now();
        open_connection(client, &client->connections[client->opened++]);
    }
    if (client->waiting > 0 || client->opened < count)
        return;
    begin_phase(client, WARMING);
    client->schedule.start_ns = client->now;
    if (client->plan->rate != 0)
        return;
    for (unsigned i = 0; i < count; i++) {
        client->connections[i].sent_ns = bench_now();
        send_message(client, &client->connections[i]);
    }
}

/* When message @number is due. */
static uint64_t due_ns(const struct client *client, uint64_t number)
{
    return client->schedule.start_ns + number * UINT64_C(1000000000) / client->plan->rate;
}

/* Sends the next message of an open loop, which is due. */
static void send_next(struct client *client)
{
    const struct load_plan *plan = client->plan;
    struct schedule *schedule = &client->schedule;
    struct connection *connection = schedule->idle[schedule->idle_first];
    double chance = (double)(bench_random(&client->random) >> 11) * 0x1p-53;
    schedule->idle_first = (schedule->idle_first + 1) % plan->connections;
    schedule->idle_count--;
    connection->heavy = chance < plan->heavy_share;
    connection->counted = client->phase == MEASURING;
    connection->sent_ns = due_ns(client, schedule->sent);
    if (connection->counted)
        tool_histogram_add(&client->figures->lateness, client->now - connection->sent_ns);
    schedule->sent++;
    send_message(client, connection);
}

/* Sends what is due in an open loop; with the last message of a phase the next one begins. */
static void send_due(struct client *client)
{
    struct schedule *schedule = &client->schedule;
    client->now = bench_now();
    while (schedule->idle_count > 0 && schedule->sent < schedule->total &&
           due_ns(client, schedule->sent) <= client->now) {
        if (schedule->sent == schedule->counted) {
            begin_phase(client, MEASURING);
            client->cpu_ns = load_server_cpu_now(client->server);
        }
        send_next(client);
        client->now = bench_now();
    }
    uint64_t last_ns = due_ns(client, schedule->total) + BEHIND_DEADLINE_S * UINT64_C(1000000000);
    if (schedule->sent == schedule->total)
        begin_phase(client, ENDING);
    else if (client->now > last_ns)
        load_fail(client->server->options, "%s: the server is %d s behind %u messages a second",
                  client->plan->name, BEHIND_DEADLINE_S, client->plan->rate);
}

/* The window of an open loop ends with the last answer; it is no shorter than it was to be. */
static void end_open_loop(struct client *client)
{
    struct load_figures *figures = client->figures;
    uint64_t first_ns = due_ns(client, client->schedule.counted);
    figures->server_cpu_ns = load_server_cpu_now(client->server) - client->cpu_ns;
    figures->requests = figures->latencies.total;
    figures->wall_ns = client->plan->window_ns;
    if (client->schedule.answered_ns > first_ns + figures->wall_ns)
        figures->wall_ns = client->schedule.answered_ns - first_ns;
}

/* Goes on to the next phase if it is time. */
static void look_at_clock(struct client *client)
{
    const struct load_plan *plan = client->plan;
    struct load_figures *figures = client->figures;
    uint64_t passed_ns = client->now - client->phase_ns;
    if (client->phase == OPENING) {
        open_more(client);
    } else if (plan->rate != 0) {
        if (client->phase != ENDING)
            send_due(client);
    } else if (client->phase == WARMING && passed_ns >= plan->warmup_ns) {
        begin_phase(client, MEASURING);
        client->cpu_ns = load_server_cpu_now(client->server);
    } else if (client->phase == MEASURING && passed_ns >= plan->window_ns) {
        figures->server_cpu_ns = load_server_cpu_now(client->server) - client->cpu_ns;
        figures->wall_ns = bench_now() - client->phase_ns;
        figures->requests = figures->latencies.total;
        begin_phase(client, ENDING);
    }
}

/* How long to wait for answers: until the next message is due, if there is a connection for it. */
static struct __kernel_timespec answers_timeout(const struct client *client, bool *until_due)
{
    const struct schedule *schedule = &client->schedule;
    bool sending = client->phase == WARMING || client->phase == MEASURING;
    *until_due = client->plan->rate != 0 && sending && schedule->idle_count > 0;
    if (!*until_due)
        return (struct __kernel_timespec){.tv_sec = ANSWER_DEADLINE_S};
    uint64_t next_ns = due_ns(client, schedule->sent);
    uint64_t now_ns = bench_now();
    uint64_t wait_ns = next_ns > now_ns ? next_ns - now_ns : 0;
    return (struct __kernel_timespec){.tv_sec = (long long)(wait_ns / 1000000000),
                                      .tv_nsec = (long long)(wait_ns % 1000000000)};
}

static void take_answers(struct client *client)
{
    bool until_due;
    struct __kernel_timespec timeout = answers_timeout(client, &until_due);
    struct io_uring_cqe *cqe;
    int rc = io_uring_submit_and_wait_timeout(&client->ring, &cqe, 1, &timeout, NULL);
    if (rc == -ETIME && !until_due)
        load_fail(client->server->options, "%s: %u connections without an answer for %d s",
                  client->plan->name, client->waiting, ANSWER_DEADLINE_S);
    if (rc < 0 && rc != -EINTR && rc != -ETIME)
        bench_fail(client->server->options, "io_uring_submit_and_wait_timeout", rc);
    unsigned head;
    unsigned seen = 0;
    io_uring_for_each_cqe(&client->ring, head, cqe)
    {
        on_completion(client, cqe);
        seen++;
    }
    io_uring_cq_advance(&client->ring, seen);
}

/* ---- begin and end --------------------------------------------------------------------------- */

static void ring_start(struct client *client)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                     .cq_entries = COMPLETIONS};
    int rc = io_uring_queue_init_params(RING_ENTRIES, &client->ring, &params);
    if (rc == -EINVAL) { /* a kernel that does not know them */
        params = (struct io_uring_params){.flags = IORING_SETUP_CQSIZE, .cq_entries = COMPLETIONS};
        rc = io_uring_queue_init_params(RING_ENTRIES, &client->ring, &params);
    }
    if (rc < 0)
        bench_fail(client->server->options, "io_uring_queue_init", rc);
    (void)io_uring_register_ring_fd(&client->ring); /* only makes it faster */
}

static void *allocate(const struct client *client, size_t size)
{
    void *found = calloc(1, size);
    if (found == NULL)
        bench_fail(client->server->options, "calloc", ENOMEM);
    return found;
}

static void schedule_init(struct client *client)
{
    const struct load_plan *plan = client->plan;
    struct schedule *schedule = &client->schedule;
    schedule->counted = plan->warmup_ns * plan->rate / 1000000000;
    schedule->total = schedule->counted + plan->window_ns * plan->rate / 1000000000;
    schedule->idle = allocate(client, plan->connections * sizeof(struct connection *));
}

static void client_init(struct client *client)
{
    size_t size = client->plan->message_bytes;
    unsigned count = client->plan->connections;
    size_t noise_bytes = NOISE_PLACES * PLACE_BYTES + size;
    client->connections = allocate(client, count * sizeof(*client->connections));
    client->answers = allocate(client, count * size);
    client->own = client->plan->rate != 0 ? allocate(client, count * size) : NULL;
    client->noise = allocate(client, noise_bytes);
    for (size_t i = 0; i + sizeof(uint64_t) <= noise_bytes; i += sizeof(uint64_t)) {
        uint64_t word = bench_random(&client->random);
        memcpy(client->noise + i, &word, sizeof(word));
    }
    for (unsigned i = 0; i < count; i++)
        client->connections[i] =
            (struct connection){.fd = -1, .answer = client->answers + (size_t)i * size};
    schedule_init(client);
    ring_start(client);
}

static void client_fini(struct client *client)
{
    for (unsigned i = 0; i < client->plan->connections; i++) {
        struct connection *connection = &client->connections[i];
        client->figures->connections +=
            connection->number > 0 && connection->received == client->plan->message_bytes;
        if (connection->fd >= 0)
            close(connection->fd);
    }
    io_uring_queue_exit(&client->ring);
    free(client->schedule.idle);
    free(client->connections);
    free(client->answers);
    free(client->own);
    free(client->noise);
}

/* Puts this thread before all others that are not real-time, or back among them. */
static void hurry(const struct client *client, bool on)
{
    static bool told;
    struct sched_param param = {.sched_priority = on ? 1 : 0};
    if (sched_setscheduler(0, on ? SCHED_FIFO : SCHED_OTHER, &param) == 0 || told)
        return;
    fprintf(stderr, "%s: no real-time priority for the client: %s; see late p99\n",
            client->server->options->bench, strerror(errno));
    told = true;
}

void load_client_run(const struct load_server *server, const struct load_plan *plan,
                     struct load_figures *figures)
{
    struct client client = {
        .server = server, .plan = plan, .figures = figures, .random = 88172645463325252u};
    memset(figures, 0, sizeof(*figures));
    client_init(&client);
    begin_phase(&client, OPENING);
    open_more(&client);
    if (plan->churn)
        begin_phase(&client, WARMING);
    if (plan->rate != 0 && plan->shared)
        hurry(&client, true);
    while (client.phase != ENDING || client.waiting > 0) {
        take_answers(&client);
        look_at_clock(&client);
    }
    if (plan->rate != 0 && plan->shared)
        hurry(&client, false);
    if (plan->rate != 0)
        end_open_loop(&client);
    client_fini(&client);
}
