/*
 * bench/connections_bench.c - what connections cost that do nothing: memory, and accepting them.
 *
 * Cases, --size connections over loopback (default 15,000; both ends need descriptors, in two
 * processes, so `ulimit -n` must allow as many in each):
 *   resting   skua_server in its idle form: no task between two requests
 *   task      a task for each, which waits for the next request
 *
 * Every connection makes one exchange of 64 bytes, so that nothing is counted that is made later.
 * bytes is the growth of VmRSS of the server's process; what the kernel has for its sockets is not
 * in it. rate counts connect, accept and the exchange, one after the other by one client, which
 * mostly measures the client.
 */
#include "common/bench_runtime.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE_BYTES 64
#define PORTS_PER_ADDRESS 20000u /* of the ephemeral ports of one address */
#define SPARE_DESCRIPTORS 64u

struct idle {
    struct bench_options *options;
    const char *name;
    unsigned flags;
    int port_fd; /* to the client: the port */
    int done_fd; /* to the client: its end closes the connections */
};

static double resident_bytes(void)
{
    long pages = 0;
    long total = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%ld %ld", &total, &pages) != 2)
        pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* ---- the client, a process of its own -------------------------------------------------------- */

static int connect_one(uint16_t port, size_t index)
{
    char message[MESSAGE_BYTES] = {1};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(index / PORTS_PER_ADDRESS));
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return -1;
    if (send(fd, message, sizeof(message), MSG_NOSIGNAL) != MESSAGE_BYTES ||
        recv(fd, message, sizeof(message), MSG_WAITALL) != MESSAGE_BYTES)
        return -1;
    return 0;
}

static int run_client(size_t count, int port_fd, int done_fd)
{
    uint16_t port;
    char byte;
    if (read(port_fd, &port, sizeof(port)) != (ssize_t)sizeof(port))
        return 1;
    for (size_t i = 0; i < count; i++) {
        if (connect_one(port, i) < 0) {
            perror("connections_bench: the client's connection");
            return 1;
        }
    }
    return read(done_fd, &byte, 1) == 0 ? 0 : 1; /* the server has looked: the end */
}

/* ---- the server ------------------------------------------------------------------------------ */

static intptr_t answer_once(skua_connection *connection, void *arg)
{
    char message[MESSAGE_BYTES];
    int fd = skua_connection_fd(connection);
    ssize_t n = skua_recv(fd, message, sizeof(message), MSG_DONTWAIT);
    (void)arg;
    if (n == -EAGAIN)
        return SKUA_CONNECTION_KEEP;
    return n > 0 && skua_send_all(fd, message, (size_t)n) == n ? SKUA_CONNECTION_KEEP : n;
}

static intptr_t answer_all(skua_connection *connection, void *arg)
{
    char message[MESSAGE_BYTES];
    int fd = skua_connection_fd(connection);
    ssize_t n;
    (void)arg;
    while ((n = skua_recv(fd, message, sizeof(message), 0)) > 0) {
        if (skua_send_all(fd, message, (size_t)n) != n)
            return -EPIPE;
    }
    return n;
}

static uint16_t listen_anywhere(const struct bench_options *options, int *listener)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    *listener = skua_socket(AF_INET, SOCK_STREAM, 0);
    if (*listener < 0 || skua_bind(*listener, (struct sockaddr *)&address, size) < 0 ||
        skua_listen(*listener, 4096) < 0 ||
        getsockname(*listener, (struct sockaddr *)&address, &size) < 0)
        bench_fail(options, "listen", errno);
    return ntohs(address.sin_port);
}

static void report(const struct idle *idle, double bytes, double seconds)
{
    double count = (double)idle->options->size;
    bench_report(idle->options, (struct bench_label){idle->name, "memory", "bytes/connection"},
                 bytes / count);
    bench_report(idle->options, (struct bench_label){idle->name, "rate", "connections/s"},
                 count / seconds);
}

static intptr_t run_server(void *arg)
{
    struct idle *idle = arg;
    const struct bench_options *options = idle->options;
    int listener;
    uint16_t port = listen_anywhere(options, &listener);
    skua_server_options server_options = {.listeners = &listener,
                                          .listener_count = 1,
                                          .flags = idle->flags,
                                          .handle = idle->flags != 0 ? answer_once : answer_all};
    skua_server *server;
    int rc = skua_server_start(&server_options, &server);
    if (rc < 0)
        bench_fail(options, "skua_server_start", rc);
    double before = resident_bytes();
    uint64_t start = bench_now();
    if (write(idle->port_fd, &port, sizeof(port)) != (ssize_t)sizeof(port))
        bench_fail(options, "write", errno);
    skua_server_stats stats;
    uint64_t accepted_ns = 0;
    do { /* and a little more, so that the last one has its answer and rests */
        (void)skua_sleep(20 * SKUA_NS_PER_MS);
        (void)skua_server_get_stats(server, &stats);
        if (stats.open == options->size && accepted_ns == 0)
            accepted_ns = bench_now();
    } while (accepted_ns == 0 || bench_now() - accepted_ns < 200000000);
    bench_check(idle->options, "open connections", stats.open, options->size);
    report(idle, resident_bytes() - before, (double)(accepted_ns - start) / 1e9);
    (void)skua_server_stop(server, 0);
    (void)skua_close(listener);
    return 0;
}

static void measure(struct bench_options *options, const char *name, unsigned flags)
{
    int port_ends[2];
    int done_ends[2];
    int status = 1;
    if (!bench_wants(options, name))
        return;
    if (pipe(port_ends) != 0 || pipe(done_ends) != 0)
        bench_fail(options, "pipe", errno);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        close(done_ends[1]);
        _exit(run_client(options->size, port_ends[0], done_ends[0]));
    }
    struct idle idle = {.options = options,
                        .name = name,
                        .flags = flags,
                        .port_fd = port_ends[1],
                        .done_fd = done_ends[1]};
    bench_run_task(options, run_server, &idle);
    for (int i = 0; i < 2; i++)
        close(port_ends[i]);
    close(done_ends[0]);
    close(done_ends[1]);
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        bench_fail(options, "the client", status);
}

static void run(struct bench_options *options)
{
    measure(options, "resting", SKUA_SERVER_IDLE);
    measure(options, "task", 0);
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "connections", .by = "skua", .workers = 1, .runs = 3, .warmups = 0, .size = 15000};
    bench_parse(&options, argc, argv);
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
        if (limit.rlim_cur < options.size + SPARE_DESCRIPTORS) {
            bench_skip(&options, "resting", "too few descriptors: see ulimit -Hn");
            return 0;
        }
    }
    bench_repeat(&options, run);
    return 0;
}
