/*
 * bench/common/bench_echo.h - what the echo servers written in C and C++ share: the command line
 * and the socket they listen on.
 *
 * A server of the workload echo sends back what it receives, on any number of connections, until
 * the client closes. It takes --port N (0: any) and --workers N, listens on 127.0.0.1, and prints
 * the port alone on a line as soon as it takes connections. load/ starts it, measures it, and ends
 * it with SIGTERM, for which it needs no code: by then all of its connections are closed.
 *
 * A server whose workers each have a loop of their own gives each a socket to listen on; the kernel
 * deals out the connections (SO_REUSEPORT).
 */
#ifndef SKUA_BENCH_ECHO_H
#define SKUA_BENCH_ECHO_H

#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BENCH_ECHO_WORKERS_MAX 64u
#define BENCH_ECHO_BACKLOG 4096
/* The longest message. Who reads into a buffer of each connection takes one of this size. */
#define BENCH_ECHO_MESSAGE_MAX (16u * 1024)
/* Who reads into one buffer for all connections: with more room than a message takes, a receive
 * that does not fill it tells that there is nothing left to receive. */
#define BENCH_ECHO_SHARED_BYTES (64u * 1024)

/* The command line. */
struct bench_echo {
    const char *name;
    unsigned workers;
    uint16_t port; /* the real one after the first bench_echo_listen() */
};

/* Ends the program: @what failed with @code, an errno or its negative. */
__attribute__((noreturn)) static inline void bench_echo_fail(const char *what, long code)
{
    fprintf(stderr, "%s failed: %s (%ld)\n", what, strerror((int)(code < 0 ? -code : code)), code);
    exit(1);
}

/* A number of at most @max; ends the program if @text is none. */
static inline unsigned bench_echo_number(const char *name, const char *text, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == '\0' && value <= max)
        return (unsigned)value;
    fprintf(stderr, "%s: not a number up to %u: %s\n", name, max, text);
    exit(2);
}

static inline struct bench_echo bench_echo_parse(const char *name, int argc, char **argv)
{
    static const struct option long_options[] = {
        {"port", required_argument, NULL, 'p'},
        {"workers", required_argument, NULL, 'w'},
        {NULL, 0, NULL, 0},
    };
    struct bench_echo echo = {name, 1, 0};
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == 'p')
            echo.port = (uint16_t)bench_echo_number(name, optarg, UINT16_MAX);
        else if (option == 'w')
            echo.workers = bench_echo_number(name, optarg, BENCH_ECHO_WORKERS_MAX);
        else
            echo.workers = 0;
        if (echo.workers == 0)
            break;
    }
    if (echo.workers == 0 || optind != argc) {
        fprintf(stderr, "usage: %s [--port N] [--workers N]\n", name);
        exit(2);
    }
    return echo;
}

/*
 * A socket that listens; one more on the same port if it is not the first. @flags: SOCK_NONBLOCK or
 * 0. What is accepted has TCP_NODELAY from it, which saves everybody a call for each connection.
 */
static inline int bench_echo_listen(struct bench_echo *echo, int flags)
{
    struct sockaddr_in address;
    socklen_t size = sizeof(address);
    int on = 1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    memset(&address, 0, sizeof(address));
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(echo->port);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (echo->workers > 1 && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(fd, BENCH_ECHO_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) != 0) {
        perror(echo->name);
        exit(1);
    }
    echo->port = ntohs(address.sin_port);
    return fd;
}

/* Tells who has started the program that it takes connections. */
static inline void bench_echo_ready(const struct bench_echo *echo)
{
    printf("%u\n", (unsigned)echo->port);
    fflush(stdout);
}

#endif /* SKUA_BENCH_ECHO_H */
