/*
 * proxy_options.c - the command line. Called once, by main, before there are threads.
 */
#include "proxy.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 1000000.0

enum {
    OPTION_BALANCE = 256,
    OPTION_WORKERS,
    OPTION_MAX_CONNECTIONS,
    OPTION_BUFFER,
    OPTION_SPLICE,
    OPTION_CONNECT_TIMEOUT,
    OPTION_FAIL_TIME,
    OPTION_CHECK_INTERVAL,
    OPTION_CHECK_FALL,
    OPTION_CHECK_RISE,
    OPTION_IDLE_TIMEOUT,
    OPTION_HALF_TIMEOUT,
    OPTION_ACCEPT_PROXY,
    OPTION_HEADER_TIMEOUT,
    OPTION_SEND_PROXY,
    OPTION_DRAIN,
    OPTION_ACCESS_LOG,
    OPTION_TLS_CERT,
    OPTION_TLS_KEY,
    OPTION_HELP,
    OPTION_VERSION
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, 'l'},
    {"backend", required_argument, NULL, 'b'},
    {"quiet", no_argument, NULL, 'q'},
    {"balance", required_argument, NULL, OPTION_BALANCE},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"max-connections", required_argument, NULL, OPTION_MAX_CONNECTIONS},
    {"buffer", required_argument, NULL, OPTION_BUFFER},
    {"splice", no_argument, NULL, OPTION_SPLICE},
    {"connect-timeout", required_argument, NULL, OPTION_CONNECT_TIMEOUT},
    {"fail-time", required_argument, NULL, OPTION_FAIL_TIME},
    {"check-interval", required_argument, NULL, OPTION_CHECK_INTERVAL},
    {"check-fall", required_argument, NULL, OPTION_CHECK_FALL},
    {"check-rise", required_argument, NULL, OPTION_CHECK_RISE},
    {"idle-timeout", required_argument, NULL, OPTION_IDLE_TIMEOUT},
    {"half-close-timeout", required_argument, NULL, OPTION_HALF_TIMEOUT},
    {"accept-proxy", no_argument, NULL, OPTION_ACCEPT_PROXY},
    {"header-timeout", required_argument, NULL, OPTION_HEADER_TIMEOUT},
    {"send-proxy", required_argument, NULL, OPTION_SEND_PROXY},
    {"drain", required_argument, NULL, OPTION_DRAIN},
    {"access-log", required_argument, NULL, OPTION_ACCESS_LOG},
    {"tls-cert", required_argument, NULL, OPTION_TLS_CERT},
    {"tls-key", required_argument, NULL, OPTION_TLS_KEY},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static const char help_text[] =
    "Usage: " PROXY_PROGRAM " --backend=ADDRESS [OPTION]...\n"
    "Carry TCP connections to one of several backends.\n"
    "\n"
    "ADDRESS is HOST:PORT, [IPV6]:PORT, :PORT, unix:PATH or unix:@NAME.\n"
    "\n"
    "  -l, --listen=ADDRESS      listen there; may be given several times; port 0 takes a\n"
    "                              free one; :PORT is any address of this host\n"
    "                              (default 127.0.0.1:0)\n"
    "  -b, --backend=ADDRESS     carry connections there; may be given several times; a name\n"
    "                              is looked up for every connection; :PORT is this host\n"
    "      --balance=HOW         least: the backend with the fewest connections (default);\n"
    "                              round-robin: one after the other\n"
    "      --connect-timeout=S   seconds for a connection to a backend, then another one is\n"
    "                              tried (default 5)\n"
    "      --fail-time=S         a backend that could not be connected to is left out for S\n"
    "                              seconds, and twice as long each further time, up to 64\n"
    "                              times S (default 1)\n"
    "      --check-interval=S    connect to every backend each S seconds; those that fail\n"
    "                              are left out until they answer (default 0: never)\n"
    "      --check-fall=N        after N checks that failed (default 2)\n"
    "      --check-rise=N        until N checks have succeeded (default 1)\n"
    "      --idle-timeout=S      close connections that carry nothing for S seconds; 0: never\n"
    "                              (default 600)\n"
    "      --half-close-timeout=S  the same once one side has ended its direction; 0: no\n"
    "                              other limit (default 0)\n"
    "      --max-connections=N   others wait in the backlog (default 10000)\n"
    "      --buffer=BYTES        of each direction of a connection, 4096 to 1048576\n"
    "                              (default 32768)\n"
    "      --splice              have the kernel move the bytes: through a pipe, two more\n"
    "                              descriptors, for each direction that has some to move\n"
    "      --accept-proxy        clients begin with a header of the PROXY protocol, version 1\n"
    "                              or 2, which is believed; who has none is turned away\n"
    "      --header-timeout=S    seconds for that header, and for the handshake of TLS\n"
    "                              (default 5)\n"
    "      --send-proxy=VERSION  begin with such a header at the backend; 1 or 2\n"
    "      --tls-cert=FILE       clients speak TLS, which ends here: this is the certificate and\n"
    "                              its chain (PEM); after the PROXY header, if there is one\n"
    "      --tls-key=FILE        its key (default: it stands in the same file)\n"
    "      --access-log=FILE     append a line for each connection: time, client, backend,\n"
    "                              bytes up, bytes down, ms, how it ended (done,\n"
    "                              client-reset, backend-reset, idle, no-backend, bad-header,\n"
    "                              bad-handshake, shortage or cut); - is standard output\n"
    "      --drain=S             at the end connections may go on S seconds (default 10)\n"
    "      --workers=N           worker threads (default: one for each processor)\n"
    "  -q, --quiet               do not print addresses, notices and totals\n"
    "      --help                show this help and exit\n"
    "      --version             show the version and exit\n"
    "\n"
    "The first lines on standard output are 'listening on ADDRESS', one for each. A side that "
    "ends\n"
    "its direction is followed by the proxy; the other direction goes on. A connection that fails\n"
    "on one side is reset on the other. SIGUSR1 prints counters to standard error; SIGTERM and\n"
    "SIGINT drain, a second one ends at once.\n"
    "\n"
    "Exit status: 0 after a signal that ended it in order, 1 if it cannot serve, 2 for bad "
    "usage.\n";

static enum proxy_parse complain(const char *what, const char *argument)
{
    fprintf(stderr,
            PROXY_PROGRAM ": %s '%s'\nTry '" PROXY_PROGRAM " --help' for more information.\n", what,
            argument);
    return PROXY_PARSE_EXIT_ERROR;
}

static enum proxy_parse show_text(const char *text)
{
    if (fputs(text, stdout) < 0 || fflush(stdout) != 0) {
        fputs(PROXY_PROGRAM ": write error\n", stderr);
        return PROXY_PARSE_EXIT_ERROR;
    }
    return PROXY_PARSE_EXIT_OK;
}

static enum proxy_parse parse_count(const char *text, unsigned min, unsigned max, unsigned *count)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || value < min || value > max)
        return complain("not a number in the range allowed:", text);
    *count = (unsigned)value;
    return PROXY_PARSE_RUN;
}

static enum proxy_parse parse_seconds(const char *text, double min, uint64_t *duration_ns)
{
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end || !isfinite(seconds) || seconds < min || seconds > SECONDS_MAX)
        return complain("not a number of seconds:", text);
    *duration_ns = (uint64_t)(seconds * 1e9);
    return PROXY_PARSE_RUN;
}

static enum proxy_parse add_address(const char *text, const char **addresses, unsigned max,
                                    unsigned *count)
{
    if (*count == max)
        return complain("too many addresses:", text);
    addresses[(*count)++] = text;
    return PROXY_PARSE_RUN;
}

static enum proxy_parse parse_balance(const char *text, enum proxy_balance *balance)
{
    if (strcmp(text, "least") == 0)
        *balance = PROXY_LEAST_CONNECTIONS;
    else if (strcmp(text, "round-robin") == 0)
        *balance = PROXY_ROUND_ROBIN;
    else
        return complain("neither least nor round-robin:", text);
    return PROXY_PARSE_RUN;
}

static enum proxy_parse parse_buffer(const char *text, size_t *size)
{
    unsigned bytes = 0;
    enum proxy_parse parse = parse_count(text, 4096, 1u << 20, &bytes);
    if (parse == PROXY_PARSE_RUN)
        *size = bytes;
    return parse;
}

static enum proxy_parse parse_number(int option, const char *text, struct proxy_options *options)
{
    switch (option) {
    case OPTION_WORKERS:
        return parse_count(text, 1, SKUA_WORKERS_MAX, &options->workers);
    case OPTION_MAX_CONNECTIONS:
        return parse_count(text, 1, 1000000, &options->connections_max);
    case OPTION_BUFFER:
        return parse_buffer(text, &options->buffer_bytes);
    case OPTION_CHECK_FALL:
        return parse_count(text, 1, 1000, &options->check_fall);
    case OPTION_CHECK_RISE:
        return parse_count(text, 1, 1000, &options->check_rise);
    case OPTION_SEND_PROXY:
        return parse_count(text, 1, 2, &options->send_proxy);
    case OPTION_CONNECT_TIMEOUT:
        return parse_seconds(text, 0.001, &options->connect_timeout_ns);
    case OPTION_FAIL_TIME:
        return parse_seconds(text, 0.001, &options->fail_ns);
    case OPTION_CHECK_INTERVAL:
        return parse_seconds(text, 0, &options->check_interval_ns);
    case OPTION_IDLE_TIMEOUT:
        return parse_seconds(text, 0, &options->idle_timeout_ns);
    case OPTION_HALF_TIMEOUT:
        return parse_seconds(text, 0, &options->half_timeout_ns);
    case OPTION_HEADER_TIMEOUT:
        return parse_seconds(text, 0.001, &options->header_timeout_ns);
    default:
        return parse_seconds(text, 0, &options->drain_ns);
    }
}

static enum proxy_parse parse_option(int option, const char *text, struct proxy_options *options)
{
    switch (option) {
    case 'l':
        return add_address(text, options->listen, PROXY_LISTEN_MAX, &options->listen_count);
    case 'b':
        return add_address(text, options->backends, PROXY_BACKENDS_MAX, &options->backend_count);
    case 'q':
        options->quiet = true;
        return PROXY_PARSE_RUN;
    case OPTION_BALANCE:
        return parse_balance(text, &options->balance);
    case OPTION_SPLICE:
        options->splice = true;
        return PROXY_PARSE_RUN;
    case OPTION_ACCEPT_PROXY:
        options->accept_proxy = true;
        return PROXY_PARSE_RUN;
    case OPTION_ACCESS_LOG:
        options->access_log = text;
        return PROXY_PARSE_RUN;
    case OPTION_TLS_CERT:
        options->tls_cert = text;
        return PROXY_PARSE_RUN;
    case OPTION_TLS_KEY:
        options->tls_key = text;
        return PROXY_PARSE_RUN;
    case OPTION_HELP:
        return show_text(help_text);
    case OPTION_VERSION:
        return show_text(PROXY_PROGRAM " (skua) " SKUA_STRINGIFY(SKUA_VERSION_MAJOR) "." //
                         SKUA_STRINGIFY(SKUA_VERSION_MINOR) "."                          //
                         SKUA_STRINGIFY(SKUA_VERSION_PATCH) "\n");
    default:
        return parse_number(option, text, options);
    }
}

enum proxy_parse skua_proxy_options_parse(int argc, char **argv, struct proxy_options *options)
{
    *options = (struct proxy_options){
        .connections_max = 10000,
        .check_fall = 2,
        .check_rise = 1,
        .buffer_bytes = 32768,
        .connect_timeout_ns = 5 * SKUA_NS_PER_SEC,
        .fail_ns = SKUA_NS_PER_SEC,
        .idle_timeout_ns = 600 * SKUA_NS_PER_SEC,
        .header_timeout_ns = 5 * SKUA_NS_PER_SEC,
        .drain_ns = 10 * SKUA_NS_PER_SEC,
    };
    opterr = 0;
    for (;;) {
        int option = getopt_long(argc, argv, ":l:b:q", long_options, NULL);
        if (option == -1)
            break;
        if (option == '?')
            return complain("unknown option or one without argument:", argv[optind - 1]);
        if (option == ':')
            return complain("an argument is missing after", argv[optind - 1]);
        enum proxy_parse parse = parse_option(option, optarg, options);
        if (parse != PROXY_PARSE_RUN)
            return parse;
    }
    if (optind < argc)
        return complain("unexpected argument", argv[optind]);
    if (options->backend_count == 0)
        return complain("this option is needed:", "--backend");
    if (options->tls_key != NULL && options->tls_cert == NULL)
        return complain("there is a key and no certificate:", options->tls_key);
    if (options->listen_count == 0)
        options->listen[options->listen_count++] = "127.0.0.1:0";
    return PROXY_PARSE_RUN;
}
