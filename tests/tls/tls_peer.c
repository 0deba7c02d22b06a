/*
 * tls/tls_peer.c - one end of a TLS connection, for tests with other programs at the other end.
 *
 *   tls_peer serve CERT KEY [CA]
 *     Prints "port N", then echoes every connection until its end; with CA clients must have
 *     certificates. Ends with its stdin.
 *   tls_peer ask [-T 1.2] [-A PROTOCOL] [-n COUNT] HOST:PORT NAME CA
 *     Sends its stdin, half-closes, prints what comes; so many times.
 *
 * What was agreed on, and why something failed, goes to stderr: "TLSv1.3 alpn=h2 resumed=0 ...".
 */
#include <skua/skua.h>
#include <skua/tls.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct how {
    int argc;
    char **argv;
    int max_version;
    const char *alpn[3];
    int count;
    skua_tls_context *context;
};

static void tell(skua_tls *tls)
{
    skua_tls_info info;
    char subject[128] = "none";
    (void)skua_tls_get_info(tls, &info);
    (void)skua_tls_peer_subject(tls, subject, sizeof(subject));
    fprintf(stderr, "%s alpn=%s name=%s resumed=%d peer=%s\n", info.version, info.alpn,
            info.server_name, info.resumed, subject);
}

/* ---- a server -------------------------------------------------------------------------------- */

static intptr_t echo(skua_connection *connection, void *arg)
{
    struct how *how = arg;
    skua_tls_error error = {0};
    skua_tls_options options = {.error = &error};
    skua_tls *tls;
    skua_stream *stream;
    int fd = skua_connection_take(connection);
    if (fd < 0)
        return fd;
    int rc = skua_tls_accept(how->context, fd, &options, &tls);
    if (rc < 0) {
        fprintf(stderr, "%s\n", error.text);
        return skua_close(fd);
    }
    tell(tls);
    rc = skua_tls_stream_open(tls, NULL, &stream);
    if (rc < 0)
        return skua_tls_abort(tls);
    rc = skua_stream_copy(stream, stream, UINT64_MAX, NULL);
    if (rc < 0) {
        (void)skua_tls_get_error(tls, &error);
        fprintf(stderr, "%d: %s\n", rc, error.text);
    }
    return skua_stream_close(stream);
}

static intptr_t serve(void *arg)
{
    struct how *how = arg;
    skua_address address;
    char byte;
    int fd = -1;
    if (skua_address_parse("127.0.0.1:0", &address) == 0)
        fd = skua_listen_at(&address, NULL);
    if (fd < 0 || skua_address_of_socket(fd, &address) < 0)
        return -EIO;
    printf("port %d\n", ntohs(address.in.sin_port));
    fflush(stdout);
    skua_server *server;
    skua_server_options options = {
        .listeners = &fd, .listener_count = 1, .handle = echo, .arg = how};
    int rc = skua_server_start(&options, &server);
    if (rc < 0)
        return rc;
    while (skua_read(STDIN_FILENO, &byte, 1) > 0)
        continue;
    rc = (int)skua_server_stop(server, skua_after(SKUA_NS_PER_SEC));
    (void)skua_close(fd);
    return rc < 0 ? rc : 0;
}

/* ---- a client -------------------------------------------------------------------------------- */

static int dial(const char *where)
{
    skua_address address;
    int rc = skua_address_parse(where, &address);
    return rc < 0 ? rc : skua_dial_addresses(&address, 1, NULL);
}

/* Sends @data, half-closes, and prints what comes until the end. */
static int talk(skua_stream *stream, const char *data, size_t size)
{
    char buffer[4096];
    ssize_t n = skua_stream_write(stream, data, size);
    if (n == (ssize_t)size)
        n = skua_stream_shutdown_write(stream);
    while (n >= 0 && (n = skua_stream_read(stream, buffer, sizeof(buffer))) > 0)
        fwrite(buffer, 1, (size_t)n, stdout);
    return (int)n;
}

static int ask_once(struct how *how, const char *data, size_t size)
{
    skua_tls_error error = {0};
    skua_tls_options options = {.server_name = how->argv[1], .error = &error};
    skua_tls *tls;
    skua_stream *stream;
    int fd = dial(how->argv[0]);
    if (fd < 0)
        return fd;
    int rc = skua_tls_connect(how->context, fd, &options, &tls);
    if (rc < 0) {
        fprintf(stderr, "%s\n", error.text);
        (void)skua_close(fd);
        return rc;
    }
    tell(tls);
    rc = skua_tls_stream_open(tls, NULL, &stream);
    if (rc < 0)
        return skua_tls_abort(tls);
    rc = talk(stream, data, size);
    if (rc < 0) {
        (void)skua_tls_get_error(tls, &error);
        fprintf(stderr, "%d: %s\n", rc, error.text);
    }
    int closed = skua_stream_close(stream);
    return rc < 0 ? rc : closed;
}

static intptr_t ask(void *arg)
{
    static char data[1 << 20];
    struct how *how = arg;
    size_t size = 0;
    ssize_t n;
    int rc = 0;
    while ((n = skua_read(STDIN_FILENO, data + size, sizeof(data) - size)) > 0)
        size += (size_t)n;
    for (int i = 0; rc == 0 && i < how->count; i++)
        rc = ask_once(how, data, size);
    return rc;
}

int main(int argc, char **argv)
{
    struct how how = {.count = 1};
    int option;
    if (argc < 2)
        return 2;
    const char *verb = argv[1];
    optind = 2;
    while ((option = getopt(argc, argv, "+T:A:n:")) != -1) {
        if (option == 'T')
            how.max_version = strcmp(optarg, "1.2") == 0 ? SKUA_TLS_1_2 : SKUA_TLS_1_3;
        else if (option == 'A')
            how.alpn[0] = optarg;
        else if (option == 'n')
            how.count = atoi(optarg);
    }
    how.argc = argc - optind;
    how.argv = argv + optind;
    bool serves = strcmp(verb, "serve") == 0;
    if (how.argc < (serves ? 2 : 3))
        return 2;
    skua_tls_error error = {0};
    skua_tls_context_options options = {.role = serves ? SKUA_TLS_SERVER : SKUA_TLS_CLIENT,
                                        .max_version = how.max_version,
                                        .alpn = how.alpn,
                                        .ca.file = how.argv[2]};
    if (serves) {
        options.certificate.file = how.argv[0];
        options.key.file = how.argv[1];
        options.verify = how.argc > 2 ? SKUA_TLS_VERIFY_REQUIRED : SKUA_TLS_VERIFY_DEFAULT;
    }
    if (skua_tls_context_create(&options, &error, &how.context) < 0) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    intptr_t rc = skua_run(NULL, serves ? serve : ask, &how);
    skua_tls_context_unref(how.context);
    fflush(stdout);
    return rc < 0 ? 1 : 0;
}
