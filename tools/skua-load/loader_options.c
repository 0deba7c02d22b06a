/*
 * loader_options.c - the command line. Called once, by main, before there are threads.
 */
#include "loader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RATE_MIN 1e-6
#define RATE_MAX 1e8

enum {
    OPTION_POISSON = TOOL_OPTION_FIRST,
    OPTION_WARMUP,
    OPTION_TIMEOUT,
    OPTION_CONNECT_TIMEOUT,
    OPTION_PIPELINE,
    OPTION_CHURN,
    OPTION_RECONNECT,
    OPTION_METHOD,
    OPTION_BODY,
    OPTION_BODY_FILE,
    OPTION_PATH,
    OPTION_PATH_FILE,
    OPTION_SIZE,
    OPTION_WORKERS,
    OPTION_SEED,
    OPTION_JSON,
    OPTION_HISTOGRAM,
    OPTION_PROGRESS,
    OPTION_MAX_ERRORS
};

static const struct option long_options[] = {
    {"connections", required_argument, NULL, 'c'},
    {"duration", required_argument, NULL, 'd'},
    {"requests", required_argument, NULL, 'n'},
    {"rate", required_argument, NULL, 'r'},
    {"header", required_argument, NULL, 'H'},
    {"quiet", no_argument, NULL, 'q'},
    {"poisson", no_argument, NULL, OPTION_POISSON},
    {"warmup", required_argument, NULL, OPTION_WARMUP},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"connect-timeout", required_argument, NULL, OPTION_CONNECT_TIMEOUT},
    {"pipeline", required_argument, NULL, OPTION_PIPELINE},
    {"churn", no_argument, NULL, OPTION_CHURN},
    {"reconnect", required_argument, NULL, OPTION_RECONNECT},
    {"method", required_argument, NULL, OPTION_METHOD},
    {"body", required_argument, NULL, OPTION_BODY},
    {"body-file", required_argument, NULL, OPTION_BODY_FILE},
    {"path", required_argument, NULL, OPTION_PATH},
    {"path-file", required_argument, NULL, OPTION_PATH_FILE},
    {"size", required_argument, NULL, OPTION_SIZE},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"seed", required_argument, NULL, OPTION_SEED},
    {"json", optional_argument, NULL, OPTION_JSON},
    {"histogram", no_argument, NULL, OPTION_HISTOGRAM},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"max-errors", required_argument, NULL, OPTION_MAX_ERRORS},
    {"help", no_argument, NULL, TOOL_OPTION_HELP},
    {"version", no_argument, NULL, TOOL_OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static const char *const help_text[] = {
    "Usage: " LOADER_PROGRAM " [OPTION]... http://HOST[:PORT][/PATH]\n"
    "       " LOADER_PROGRAM " [OPTION]... echo://HOST:PORT\n"
    "Load a server, and tell how fast it answers. An echo server returns the bytes that it is\n"
    "sent, which is checked.\n"
    "\n"
    "How much:\n"
    "  -c, --connections=N      so many at a time (default 10)\n"
    "  -r, --rate=R             an open loop: R requests a second in all, at fixed times,\n"
    "                             whatever becomes of them; each goes to a connection that is\n"
    "                             free. Without it a closed loop: each connection sends its\n"
    "                             next request when it has been answered\n"
    "      --poisson            at random times, as independent users would come\n"
    "  -d, --duration=S         seconds to be measured (default 10; with -n: no limit)\n"
    "  -n, --requests=N         so many requests to be measured\n"
    "      --warmup=S           seconds before that do not count (default 0)\n"
    "      --pipeline=N         so many requests at a time on a connection (default 1)\n"
    "      --churn              a new connection for each request\n"
    "\n",
    "What:\n"
    "      --path=PATH          ask for PATH instead of the URL's; may be given several times:\n"
    "                             every connection takes one after the other\n"
    "      --path-file=FILE     the same, with a path in each line\n"
    "      --method=WORD        (default GET; POST with a body)\n"
    "  -H, --header='NAME: VALUE'  send that, too; may be given several times\n"
    "      --body=TEXT          send TEXT with every request\n"
    "      --body-file=FILE     send what is in FILE\n"
    "      --size=BYTES         of a message of echo (default 64)\n"
    "\n"
    "Limits:\n"
    "      --timeout=S          seconds for a request, also after the end (default 5)\n"
    "      --connect-timeout=S  seconds for connecting (default 5)\n"
    "      --reconnect=N        connect each connection that was lost or closed up to N times\n"
    "                             again (default: no limit)\n"
    "      --max-errors=N       do not call N errors a failure (default 0)\n"
    "      --workers=N          worker threads (default: one for each processor)\n"
    "      --seed=N             of random times and bytes (default 1)\n"
    "\n",
    "Output:\n"
    "      --json[=FILE]        one JSON object; without FILE to standard output, in the place\n"
    "                             of the summary\n"
    "      --histogram          show how latencies are distributed\n"
    "      --progress           a line a second on standard error, also if that is no terminal\n"
    "  -q, --quiet              no summary, and no progress unless asked for\n"
    "      --help               display this help and exit\n"
    "      --version            output version information and exit\n"
    "\n"
    "Service time is counted from when a request begins, response time from when it was due,\n"
    "which in an open loop is a fixed time: a server that stands still delays all that are due\n"
    "meanwhile, and that shows. Late are requests that began more than 1 ms after they were due,\n"
    "as no connection or processor was free; unsent those that never began: try more\n"
    "connections.\n"
    "Quantiles are right to 1/128. A status of 400 or above is an error. What is in flight behind\n"
    "a request that fails, or behind an answer that closes, is sent again.\n"
    "SIGINT and SIGTERM end it with what has been measured; a second one at once.\n"
    "\n"
    "Exit status: 0 without errors, 1 if there were any or it cannot start, 2 for a wrong command\n"
    "line, 128 and the number of the signal that ended it.\n",
    NULL,
};

static enum tool_parse parse_option(int option, const char *text, void *arg);

static const struct tool_command command = {
    .program = LOADER_PROGRAM,
    .help = help_text,
    .letters = ":c:d:n:r:H:q",
    .options = long_options,
    .take = parse_option,
};

int skua_loader_words_add(struct loader_words *words, const char *word)
{
    /* Room doubles: there is room up to the next power of two. */
    if ((words->count & (words->count - 1)) == 0) {
        size_t room = words->count == 0 ? 1 : words->count * 2;
        const char **larger = realloc(words->words, room * sizeof(*larger));
        if (larger == NULL)
            return -ENOMEM;
        words->words = larger;
    }
    words->words[words->count++] = word;
    return 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Characters of tokens: RFC 9110, 5.6.2. */
static size_t token_size(const char *text)
{
    return strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                        "0123456789!#$%&'*+-.^_`|~");
}

static enum tool_parse parse_method(const char *text, const char **method)
{
    if (*text == '\0' || text[token_size(text)] != '\0' || strcmp(text, "CONNECT") == 0)
        return skua_tool_complain(&command, "not a method that can be used:", text);
    *method = text;
    return TOOL_PARSE_RUN;
}

static enum tool_parse fail_memory(void)
{
    fputs(LOADER_PROGRAM ": out of memory\n", stderr);
    return TOOL_PARSE_ERROR;
}

static enum tool_parse add_header(const char *text, struct loader_options *options)
{
    static const char *const own[] = {"Content-Length:", "Transfer-Encoding:"};
    size_t name_size = token_size(text);
    if (name_size == 0 || text[name_size] != ':')
        return skua_tool_complain(&command, "not a header, 'NAME: VALUE':", text);
    for (const char *c = text; *c != '\0'; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f)
            return skua_tool_complain(&command, "a control character in the argument of",
                                      "--header");
    }
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strncasecmp(text, own[i], strlen(own[i])) == 0)
            return skua_tool_complain(
                &command, "this header follows from the body and cannot be given:", text);
    }
    if (skua_loader_words_add(&options->headers, text) < 0)
        return fail_memory();
    return TOOL_PARSE_RUN;
}

static enum tool_parse add_path(const char *text, struct loader_options *options)
{
    if (skua_loader_words_add(&options->paths, text) < 0)
        return fail_memory();
    return TOOL_PARSE_RUN;
}

/* ---- options --------------------------------------------------------------------------------- */

static enum tool_parse parse_number(int option, const char *text, struct loader_options *options)
{
    static const struct tool_range rates = {RATE_MIN, RATE_MAX, "requests a second"};
    uint64_t size = 0;
    enum tool_parse parse;
    switch (option) {
    case 'c':
        return skua_tool_take_unsigned(&command, option, text, 1, 1000000, &options->connections);
    case 'n':
        return skua_tool_take_count(&command, option, text, 1, INT64_MAX, &options->requests);
    case 'r':
        return skua_tool_take_real(&command, option, text, &rates, &options->rate);
    case OPTION_PIPELINE:
        return skua_tool_take_unsigned(&command, option, text, 1, 1024, &options->pipeline);
    case OPTION_RECONNECT:
        return skua_tool_take_count(&command, option, text, 0, INT64_MAX, &options->reconnects_max);
    case OPTION_SIZE:
        parse = skua_tool_take_count(&command, option, text, 1, 1u << 30, &size);
        options->message_bytes = (size_t)size;
        return parse;
    case OPTION_WORKERS:
        return skua_tool_take_unsigned(&command, option, text, 1, SKUA_WORKERS_MAX,
                                       &options->workers);
    case OPTION_SEED:
        return skua_tool_take_count(&command, option, text, 0, UINT64_MAX, &options->seed);
    default:
        return skua_tool_take_count(&command, option, text, 0, INT64_MAX, &options->errors_max);
    }
}

static enum tool_parse parse_time(int option, const char *text, struct loader_options *options)
{
    switch (option) {
    case 'd':
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->duration_ns);
    case OPTION_WARMUP:
        return skua_tool_take_seconds(&command, option, text, 0, &options->warmup_ns);
    case OPTION_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->timeout_ns);
    case OPTION_CONNECT_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->connect_timeout_ns);
    default:
        return parse_number(option, text, options);
    }
}

static enum tool_parse parse_text(int option, const char *text, struct loader_options *options)
{
    switch (option) {
    case 'H':
        return add_header(text, options);
    case OPTION_METHOD:
        return parse_method(text, &options->method);
    case OPTION_PATH:
        return add_path(text, options);
    case OPTION_BODY:
        options->body = text;
        return TOOL_PARSE_RUN;
    case OPTION_BODY_FILE:
        options->body_file = text;
        return TOOL_PARSE_RUN;
    case OPTION_PATH_FILE:
        options->path_file = text;
        return TOOL_PARSE_RUN;
    case OPTION_JSON:
        options->json = text != NULL ? text : "-";
        return TOOL_PARSE_RUN;
    default:
        return parse_time(option, text, options);
    }
}

static enum tool_parse parse_option(int option, const char *text, void *arg)
{
    struct loader_options *options = arg;
    switch (option) {
    case 'q':
        options->quiet = true;
        return TOOL_PARSE_RUN;
    case OPTION_POISSON:
        options->poisson = true;
        return TOOL_PARSE_RUN;
    case OPTION_CHURN:
        options->churn = true;
        return TOOL_PARSE_RUN;
    case OPTION_HISTOGRAM:
        options->histogram = true;
        return TOOL_PARSE_RUN;
    case OPTION_PROGRESS:
        options->progress = true;
        return TOOL_PARSE_RUN;
    default:
        return parse_text(option, text, options);
    }
}

/* What does not go together, and defaults that depend on other options. */
static enum tool_parse complete(struct loader_options *options)
{
    bool is_echo = strncasecmp(options->url, "echo:", 5) == 0;
    if (options->poisson && options->rate <= 0)
        return skua_tool_complain(&command,
                                  "without --rate there are no random times:", "--poisson");
    if (options->churn && options->pipeline > 1)
        return skua_tool_complain(&command,
                                  "a connection that has one request has no pipeline:", "--churn");
    if (options->body != NULL && options->body_file != NULL)
        return skua_tool_complain(&command, "there is a body already:", options->body_file);
    if (is_echo && (options->body != NULL || options->body_file != NULL || options->method ||
                    options->headers.count > 0 || options->paths.count > 0 || options->path_file))
        return skua_tool_complain(&command,
                                  "echo takes no path, method, header or body:", options->url);
    if (!is_echo && options->message_bytes != 0)
        return skua_tool_complain(&command, "only echo has a --size:", options->url);
    if (options->message_bytes == 0)
        options->message_bytes = 64;
    if (options->method == NULL)
        options->method = options->body != NULL || options->body_file != NULL ? "POST" : "GET";
    if (options->duration_ns == 0)
        options->duration_ns = options->requests != 0 ? SKUA_FOREVER : 10 * SKUA_NS_PER_SEC;
    return TOOL_PARSE_RUN;
}

enum tool_parse skua_loader_options_parse(int argc, char **argv, struct loader_options *options)
{
    *options = (struct loader_options){
        .connections = 10,
        .pipeline = 1,
        .seed = 1,
        .reconnects_max = UINT64_MAX,
        .timeout_ns = 5 * SKUA_NS_PER_SEC,
        .connect_timeout_ns = 5 * SKUA_NS_PER_SEC,
    };
    enum tool_parse parse = skua_tool_parse(&command, argc, argv, options);
    if (parse != TOOL_PARSE_RUN)
        return parse;
    if (optind >= argc) {
        fputs(LOADER_PROGRAM ": no URL; try --help\n", stderr);
        return TOOL_PARSE_USAGE;
    }
    if (optind + 1 < argc)
        return skua_tool_complain(&command, "unexpected argument", argv[optind + 1]);
    options->url = argv[optind];
    return complete(options);
}

void skua_loader_options_fini(struct loader_options *options)
{
    free(options->paths.words);
    free(options->headers.words);
}
