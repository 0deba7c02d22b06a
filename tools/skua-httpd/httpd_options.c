/*
 * httpd_options.c - the command line. Called once, by main, before there are threads.
 */
#include "httpd.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    OPTION_WORKERS = TOOL_OPTION_FIRST,
    OPTION_MAX_CONNECTIONS,
    OPTION_MAX_HEADER,
    OPTION_MAX_BODY,
    OPTION_MAX_CPU,
    OPTION_HEADER_TIMEOUT,
    OPTION_BODY_TIMEOUT,
    OPTION_IDLE_TIMEOUT,
    OPTION_WRITE_TIMEOUT,
    OPTION_DRAIN,
    OPTION_ACCESS_LOG,
    OPTION_TLS_CERT,
    OPTION_TLS_KEY
};

static const struct option long_options[] = {
    {"listen", required_argument, NULL, 'l'},
    {"root", required_argument, NULL, 'r'},
    {"quiet", no_argument, NULL, 'q'},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"max-connections", required_argument, NULL, OPTION_MAX_CONNECTIONS},
    {"max-header", required_argument, NULL, OPTION_MAX_HEADER},
    {"max-body", required_argument, NULL, OPTION_MAX_BODY},
    {"max-cpu", required_argument, NULL, OPTION_MAX_CPU},
    {"header-timeout", required_argument, NULL, OPTION_HEADER_TIMEOUT},
    {"body-timeout", required_argument, NULL, OPTION_BODY_TIMEOUT},
    {"idle-timeout", required_argument, NULL, OPTION_IDLE_TIMEOUT},
    {"write-timeout", required_argument, NULL, OPTION_WRITE_TIMEOUT},
    {"drain", required_argument, NULL, OPTION_DRAIN},
    {"access-log", required_argument, NULL, OPTION_ACCESS_LOG},
    {"tls-cert", required_argument, NULL, OPTION_TLS_CERT},
    {"tls-key", required_argument, NULL, OPTION_TLS_KEY},
    {"help", no_argument, NULL, TOOL_OPTION_HELP},
    {"version", no_argument, NULL, TOOL_OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static const char *const help_text[] = {
    "Usage: " HTTPD_PROGRAM " [OPTION]...\n"
    "Serve files, and a few answers for benchmarks, over HTTP/1.1 on all processors.\n"
    "\n"
    "  -l, --listen=[HOST]:PORT  listen there; may be given several times; port 0 takes a\n"
    "                              free one; HOST is 127.0.0.1 if empty; [::1]:80 is IPv6\n"
    "                              (default 127.0.0.1:8080)\n"
    "  -r, --root=DIR            serve the files below DIR (default: none); with index.html,\n"
    "                              NAME.gz in the place of NAME for clients that take gzip,\n"
    "                              ranges and conditions; links that leave DIR are refused\n"
    "      --workers=N           worker threads (default: one for each processor)\n"
    "      --max-connections=N   others wait in the backlog (default 100000)\n"
    "      --max-header=BYTES    of a request, up to 65536 (default 16384)\n"
    "      --max-body=BYTES      of a request (default 1048576)\n"
    "      --max-cpu=MS          the most that /cpu computes (default 1000)\n"
    "      --header-timeout=S    seconds for the header of a request (default 10)\n"
    "      --body-timeout=S      seconds for its body (default 60)\n"
    "      --idle-timeout=S      seconds between requests (default 60)\n"
    "      --write-timeout=S     seconds for up to 256 KiB of an answer (default 60)\n"
    "      --drain=S             seconds for requests in flight at the end (default 5)\n"
    "      --access-log=FILE     append a line for each request; - is standard output\n"
    "      --tls-cert=FILE       speak HTTPS, with this certificate and chain (PEM)\n"
    "      --tls-key=FILE        its key (default: it stands in the same file)\n"
    "  -q, --quiet               do not print where it listens, nor what it has done\n"
    "      --help                display this help and exit\n"
    "      --version             output version information and exit\n"
    "\n"
    "Other paths: /plaintext, /json, /cpu?ms=N (computes), /echo (returns what is posted).\n"
    "SIGINT and SIGTERM end it when the requests in flight are answered; a second one at once.\n"
    "\n"
    "Exit status: 0 after such an end, 1 if it cannot start, 2 for a wrong command line.\n",
    NULL,
};

static enum tool_parse parse_option(int option, const char *text, void *arg);

static const struct tool_command command = {
    .program = HTTPD_PROGRAM,
    .help = help_text,
    .letters = ":l:r:q",
    .options = long_options,
    .take = parse_option,
};

static enum tool_parse add_listen(const char *text, struct httpd_options *options)
{
    if (options->listen_count == HTTPD_LISTEN_MAX)
        return skua_tool_complain(&command, "too many addresses to listen at:", text);
    options->listen[options->listen_count++] = text;
    return TOOL_PARSE_RUN;
}

static enum tool_parse parse_limit(int option, const char *text, struct httpd_options *options)
{
    switch (option) {
    case OPTION_WORKERS:
        return skua_tool_take_unsigned(&command, option, text, 1, SKUA_WORKERS_MAX,
                                       &options->workers);
    case OPTION_MAX_CONNECTIONS:
        return skua_tool_take_unsigned(&command, option, text, 1, 1000000,
                                       &options->connections_max);
    case OPTION_MAX_HEADER:
        return skua_tool_take_count(&command, option, text, 128, 65536, &options->header_bytes_max);
    case OPTION_MAX_BODY:
        return skua_tool_take_count(&command, option, text, 0, 1ul << 40, &options->body_bytes_max);
    case OPTION_MAX_CPU:
        return skua_tool_take_unsigned(&command, option, text, 0, 100000, &options->cpu_ms_max);
    case OPTION_HEADER_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->header_timeout_ns);
    case OPTION_BODY_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->body_timeout_ns);
    case OPTION_IDLE_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->idle_timeout_ns);
    case OPTION_WRITE_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->write_timeout_ns);
    default:
        return skua_tool_take_seconds(&command, option, text, 0, &options->drain_ns);
    }
}

static enum tool_parse parse_option(int option, const char *text, void *arg)
{
    struct httpd_options *options = arg;
    switch (option) {
    case 'l':
        return add_listen(text, options);
    case 'r':
        if (*text == '\0')
            return skua_tool_complain(&command, "not a folder:", text);
        options->root = text;
        return TOOL_PARSE_RUN;
    case 'q':
        options->quiet = true;
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
        return parse_limit(option, text, options);
    }
}

enum tool_parse skua_httpd_options_parse(int argc, char **argv, struct httpd_options *options)
{
    *options = (struct httpd_options){
        .connections_max = 100000,
        .cpu_ms_max = 1000,
        .header_bytes_max = 16384,
        .body_bytes_max = 1048576,
        .header_timeout_ns = 10 * SKUA_NS_PER_SEC,
        .body_timeout_ns = 60 * SKUA_NS_PER_SEC,
        .idle_timeout_ns = 60 * SKUA_NS_PER_SEC,
        .write_timeout_ns = 60 * SKUA_NS_PER_SEC,
        .drain_ns = 5 * SKUA_NS_PER_SEC,
    };
    enum tool_parse parse = skua_tool_parse(&command, argc, argv, options);
    if (parse != TOOL_PARSE_RUN)
        return parse;
    if (optind < argc)
        return skua_tool_complain(&command, "unexpected argument", argv[optind]);
    if (options->tls_key != NULL && options->tls_cert == NULL)
        return skua_tool_complain(&command, "there is a key and no certificate:", options->tls_key);
    if (options->listen_count == 0)
        (void)add_listen("127.0.0.1:8080", options);
    return TOOL_PARSE_RUN;
}
