/*
 * proxy_options.c - the command line. Called once, by main, before there are threads.
 */
#include "proxy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_BALANCE = TOOL_OPTION_FIRST,
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
    OPTION_TLS_KEY
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
    {"help", no_argument, NULL, TOOL_OPTION_HELP},
    {"version", no_argument, NULL, TOOL_OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static const char *const help_text[] = {
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
    "usage.\n",
    NULL,
};

static enum tool_parse parse_option(int option, const char *text, void *arg);

static const struct tool_command command = {
    .program = PROXY_PROGRAM,
    .help = help_text,
    .letters = ":l:b:q",
    .options = long_options,
    .take = parse_option,
};

static enum tool_parse add_address(const char *text, const char **addresses, unsigned max,
                                   unsigned *count)
{
    if (*count == max)
        return skua_tool_complain(&command, "too many addresses:", text);
    addresses[(*count)++] = text;
    return TOOL_PARSE_RUN;
}

static enum tool_parse parse_balance(const char *text, enum proxy_balance *balance)
{
    if (strcmp(text, "least") == 0)
        *balance = PROXY_LEAST_CONNECTIONS;
    else if (strcmp(text, "round-robin") == 0)
        *balance = PROXY_ROUND_ROBIN;
    else
        return skua_tool_complain(&command, "neither least nor round-robin:", text);
    return TOOL_PARSE_RUN;
}

static enum tool_parse parse_number(int option, const char *text, struct proxy_options *options)
{
    uint64_t bytes = options->buffer_bytes;
    enum tool_parse parse;
    switch (option) {
    case OPTION_WORKERS:
        return skua_tool_take_unsigned(&command, option, text, 1, SKUA_WORKERS_MAX,
                                       &options->workers);
    case OPTION_MAX_CONNECTIONS:
        return skua_tool_take_unsigned(&command, option, text, 1, 1000000,
                                       &options->connections_max);
    case OPTION_BUFFER:
        parse = skua_tool_take_count(&command, option, text, 4096, 1u << 20, &bytes);
        options->buffer_bytes = (size_t)bytes;
        return parse;
    case OPTION_CHECK_FALL:
        return skua_tool_take_unsigned(&command, option, text, 1, 1000, &options->check_fall);
    case OPTION_CHECK_RISE:
        return skua_tool_take_unsigned(&command, option, text, 1, 1000, &options->check_rise);
    case OPTION_SEND_PROXY:
        return skua_tool_take_unsigned(&command, option, text, 1, 2, &options->send_proxy);
    case OPTION_CONNECT_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->connect_timeout_ns);
    case OPTION_FAIL_TIME:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->fail_ns);
    case OPTION_CHECK_INTERVAL:
        return skua_tool_take_seconds(&command, option, text, 0, &options->check_interval_ns);
    case OPTION_IDLE_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0, &options->idle_timeout_ns);
    case OPTION_HALF_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0, &options->half_timeout_ns);
    case OPTION_HEADER_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->header_timeout_ns);
    default:
        return skua_tool_take_seconds(&command, option, text, 0, &options->drain_ns);
    }
}

static enum tool_parse parse_option(int option, const char *text, void *arg)
{
    struct proxy_options *options = arg;
    switch (option) {
    case 'l':
        return add_address(text, options->listen, PROXY_LISTEN_MAX, &options->listen_count);
    case 'b':
        return add_address(text, options->backends, PROXY_BACKENDS_MAX, &options->backend_count);
    case 'q':
        options->quiet = true;
        return TOOL_PARSE_RUN;
    case OPTION_BALANCE:
        return parse_balance(text, &options->balance);
    case OPTION_SPLICE:
        options->splice = true;
        return TOOL_PARSE_RUN;
    case OPTION_ACCEPT_PROXY:
        options->accept_proxy = true;
        return TOOL_PARSE_RUN;
    case OPTION_ACCESS_LOG:
        options->access_log = text;
        return TOOL_PARSE_RUN;
    case OPTION_TLS_CERT:
        options->tls_cert = text;
        return TOOL_PARSE_RUN;
    case OPTION_TLS_KEY:
        options->tls_key = text;
        return TOOL_PARSE_RUN;
    default:
        return parse_number(option, text, options);
    }
}

enum tool_parse skua_proxy_options_parse(int argc, char **argv, struct proxy_options *options)
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
    enum tool_parse parse = skua_tool_parse(&command, argc, argv, options);
    if (parse != TOOL_PARSE_RUN)
        return parse;
    if (optind < argc)
        return skua_tool_complain(&command, "unexpected argument", argv[optind]);
    if (options->backend_count == 0)
        return skua_tool_complain(&command, "this option is needed:", "--backend");
    if (options->tls_key != NULL && options->tls_cert == NULL)
        return skua_tool_complain(&command, "there is a key and no certificate:", options->tls_key);
    if (options->listen_count == 0)
        options->listen[options->listen_count++] = "127.0.0.1:0";
    return TOOL_PARSE_RUN;
}
