/*
 * crawl_options.c - the command line. Called once, by main, before there are threads.
 */
#include "crawl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RATE_MIN 0.001
#define RATE_MAX 1000000.0
#define BODY_MAX_MAX (UINT64_C(1) << 40)

enum {
    OPTION_LIST = TOOL_OPTION_FIRST,
    OPTION_FOLLOW,
    OPTION_DEPTH,
    OPTION_MAX_PAGES,
    OPTION_MAX_VISITED,
    OPTION_CONCURRENCY,
    OPTION_PER_HOST,
    OPTION_RATE,
    OPTION_RETRIES,
    OPTION_RETRY_DELAY,
    OPTION_TIMEOUT,
    OPTION_CONNECT_TIMEOUT,
    OPTION_MAX_SIZE,
    OPTION_USER_AGENT,
    OPTION_HEADER,
    OPTION_ROBOTS,
    OPTION_OUTPUT,
    OPTION_SAVE,
    OPTION_SHA256,
    OPTION_REDIRECTS,
    OPTION_INSECURE,
    OPTION_CACERT,
    OPTION_GRACE,
    OPTION_WORKERS
};

static const struct option long_options[] = {
    {"list", required_argument, NULL, OPTION_LIST},
    {"follow", no_argument, NULL, OPTION_FOLLOW},
    {"depth", required_argument, NULL, OPTION_DEPTH},
    {"max-pages", required_argument, NULL, OPTION_MAX_PAGES},
    {"max-visited", required_argument, NULL, OPTION_MAX_VISITED},
    {"concurrency", required_argument, NULL, OPTION_CONCURRENCY},
    {"per-host", required_argument, NULL, OPTION_PER_HOST},
    {"rate", required_argument, NULL, OPTION_RATE},
    {"retries", required_argument, NULL, OPTION_RETRIES},
    {"retry-delay", required_argument, NULL, OPTION_RETRY_DELAY},
    {"timeout", required_argument, NULL, OPTION_TIMEOUT},
    {"connect-timeout", required_argument, NULL, OPTION_CONNECT_TIMEOUT},
    {"max-size", required_argument, NULL, OPTION_MAX_SIZE},
    {"user-agent", required_argument, NULL, OPTION_USER_AGENT},
    {"header", required_argument, NULL, OPTION_HEADER},
    {"robots", required_argument, NULL, OPTION_ROBOTS},
    {"output", required_argument, NULL, OPTION_OUTPUT},
    {"save", required_argument, NULL, OPTION_SAVE},
    {"sha256", no_argument, NULL, OPTION_SHA256},
    {"redirects", required_argument, NULL, OPTION_REDIRECTS},
    {"insecure", no_argument, NULL, OPTION_INSECURE},
    {"cacert", required_argument, NULL, OPTION_CACERT},
    {"grace", required_argument, NULL, OPTION_GRACE},
    {"workers", required_argument, NULL, OPTION_WORKERS},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, TOOL_OPTION_HELP},
    {"version", no_argument, NULL, TOOL_OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static const char *const help_text[] = {
    "Usage: " CRAWL_PROGRAM " [OPTION]... [URL]...\n"
    "Fetch URLs, and with --follow what they link to, many at once but politely.\n"
    "\n"
    "      --list=FILE           also the URLs in FILE, one a line; - is standard input; empty\n"
    "                              lines and lines that begin with # are left out\n"
    "      --follow              follow links that stay on the same host\n"
    "      --depth=N             at most N links away from the list (default 5), on the way\n"
    "                            on which a page is found first, not always the shortest\n"
    "      --max-pages=N         at most N pages; 0: no limit (default 1000 with --follow,\n"
    "                              else 0)\n"
    "      --max-visited=N       remember at most N URLs; links beyond are not followed\n"
    "                              (default 1000000)\n"
    "      --concurrency=N       transfers at once (default 32)\n"
    "      --per-host=N          the same to one host (default 4)\n"
    "      --rate=R              requests a second to one host; 0.5 is one in two seconds\n"
    "                              (default: no limit)\n"
    "      --retries=N           after an attempt that failed in a way that may pass\n"
    "                              (default 2)\n"
    "      --retry-delay=S       seconds before the first retry at most, twice as many before\n"
    "                              each further one (default 0.5)\n"
    "      --timeout=S           seconds for an attempt (default 30)\n"
    "      --connect-timeout=S   seconds for a connection (default 10)\n"
    "      --max-size=BYTES      of a body, decoded; longer ones are errors (default 10485760)\n"
    "      --redirects=N         followed for one page (default 10)\n"
    "      --user-agent=TEXT     who we say we are (default " CRAWL_PROGRAM "/" //
    SKUA_STRINGIFY(SKUA_VERSION_MAJOR) "." SKUA_STRINGIFY(
        SKUA_VERSION_MINOR) ")\n"
                            "      --header=FIELD        send this field too, 'Name: value'; may "
                            "be given several times\n"
                            "      --robots=on|off       heed robots.txt (default on)\n"
                            "      --output=FILE         write there and not to standard output\n"
                            "      --save=DIR            keep the bodies as files in DIR, which "
                            "must exist\n"
                            "      --sha256              tell the digest of each body\n"
                            "      --insecure            do not check certificates\n"
                            "      --cacert=FILE         check them against those in FILE\n"
                            "      --grace=S             after a signal, transfers may go on S "
                            "seconds (default 5)\n"
                            "      --workers=N           worker threads (default: one for each "
                            "processor)\n"
                            "  -q, --quiet               no progress and no totals on standard "
                            "error\n"
                            "      --help                show this help and exit\n"
                            "      --version             show the version and exit\n"
                            "\n"
                            "A URL without a scheme is http's. Each one is fetched once. The "
                            "output is a line of JSON for\n"
                            "each page, when it is done: url, final_url (after redirects), status, "
                            "bytes, content_type,\n"
                            "attempts, time_ms, depth, error, with --sha256 sha256, with --save "
                            "file. error is null if the\n"
                            "page was fetched: an answer below 400. SIGINT and SIGTERM: nothing "
                            "more is begun; a second one\n"
                            "ends at once.\n"
                            "\n"
                            "Exit status: 0 all were fetched, 1 some were not, 2 for bad usage, "
                            "128 + N after signal N.\n",
    NULL,
};

static enum tool_parse parse_option(int option, const char *text, void *arg);

static const struct tool_command command = {
    .program = CRAWL_PROGRAM,
    .help = help_text,
    .letters = ":q",
    .options = long_options,
    .take = parse_option,
};

static enum tool_parse parse_rate(int option, const char *text, uint64_t *interval_ns)
{
    static const struct tool_range range = {RATE_MIN, RATE_MAX, "requests a second"};
    double rate = 1;
    enum tool_parse parse = skua_tool_take_real(&command, option, text, &range, &rate);
    if (parse == TOOL_PARSE_RUN)
        *interval_ns = (uint64_t)(1e9 / rate);
    return parse;
}

static enum tool_parse parse_robots(const char *text, bool *robots)
{
    if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0)
        return skua_tool_complain(&command, "neither on nor off:", text);
    *robots = strcmp(text, "on") == 0;
    return TOOL_PARSE_RUN;
}

static enum tool_parse add_header(const char *text, struct crawl_options *options)
{
    const char *colon = strchr(text, ':');
    if (colon == NULL || colon == text || strpbrk(text, "\r\n") != NULL)
        return skua_tool_complain(&command, "not a header field, 'Name: value':", text);
    if (options->header_count == CRAWL_HEADERS_MAX)
        return skua_tool_complain(&command, "too many header fields:", text);
    options->headers[options->header_count++] = text;
    return TOOL_PARSE_RUN;
}

static enum tool_parse parse_user_agent(const char *text, const char **user_agent)
{
    if (*text == 0 || strpbrk(text, "\r\n") != NULL)
        return skua_tool_complain(&command, "not a user agent:", text);
    *user_agent = text;
    return TOOL_PARSE_RUN;
}

static enum tool_parse parse_number(int option, const char *text, struct crawl_options *options)
{
    switch (option) {
    case OPTION_DEPTH:
        return skua_tool_take_unsigned(&command, option, text, 0, 1000000, &options->depth_max);
    case OPTION_MAX_PAGES:
        return skua_tool_take_count(&command, option, text, 0, UINT64_C(1) << 40,
                                    &options->pages_max);
    case OPTION_MAX_VISITED:
        return skua_tool_take_count(&command, option, text, 1, UINT64_C(1) << 32,
                                    &options->visited_max);
    case OPTION_CONCURRENCY:
        return skua_tool_take_unsigned(&command, option, text, 1, 10000, &options->concurrency);
    case OPTION_PER_HOST:
        return skua_tool_take_unsigned(&command, option, text, 1, 10000, &options->per_host);
    case OPTION_RATE:
        return parse_rate(option, text, &options->interval_ns);
    case OPTION_RETRIES:
        return skua_tool_take_unsigned(&command, option, text, 0, 100, &options->retries);
    case OPTION_RETRY_DELAY:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->delay_ns);
    case OPTION_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->timeout_ns);
    case OPTION_CONNECT_TIMEOUT:
        return skua_tool_take_seconds(&command, option, text, 0.001, &options->connect_timeout_ns);
    case OPTION_MAX_SIZE:
        return skua_tool_take_count(&command, option, text, 1, BODY_MAX_MAX, &options->body_max);
    case OPTION_REDIRECTS:
        return skua_tool_take_unsigned(&command, option, text, 0, 100, &options->redirects_max);
    case OPTION_GRACE:
        return skua_tool_take_seconds(&command, option, text, 0, &options->grace_ns);
    default:
        return skua_tool_take_unsigned(&command, option, text, 1, SKUA_WORKERS_MAX,
                                       &options->workers);
    }
}

static enum tool_parse parse_text(int option, const char *text, struct crawl_options *options)
{
    switch (option) {
    case OPTION_LIST:
        options->list = text;
        return TOOL_PARSE_RUN;
    case OPTION_OUTPUT:
        options->output = text;
        return TOOL_PARSE_RUN;
    case OPTION_SAVE:
        options->save = text;
        return TOOL_PARSE_RUN;
    case OPTION_CACERT:
        options->ca_file = text;
        return TOOL_PARSE_RUN;
    case OPTION_USER_AGENT:
        return parse_user_agent(text, &options->user_agent);
    case OPTION_HEADER:
        return add_header(text, options);
    case OPTION_ROBOTS:
        return parse_robots(text, &options->robots);
    default:
        return parse_number(option, text, options);
    }
}

static enum tool_parse parse_option(int option, const char *text, void *arg)
{
    struct crawl_options *options = arg;
    switch (option) {
    case 'q':
        options->quiet = true;
        return TOOL_PARSE_RUN;
    case OPTION_FOLLOW:
        options->follow = true;
        return TOOL_PARSE_RUN;
    case OPTION_SHA256:
        options->sha256 = true;
        return TOOL_PARSE_RUN;
    case OPTION_INSECURE:
        options->insecure = true;
        return TOOL_PARSE_RUN;
    default:
        return parse_text(option, text, options);
    }
}

enum tool_parse skua_crawl_options_parse(int argc, char **argv, struct crawl_options *options)
{
    *options = (struct crawl_options){
        .user_agent = CRAWL_PROGRAM "/" SKUA_STRINGIFY(SKUA_VERSION_MAJOR) "." //
        SKUA_STRINGIFY(SKUA_VERSION_MINOR),
        .robots = true,
        .depth_max = 5,
        .pages_max = UINT64_MAX,
        .visited_max = 1000000,
        .concurrency = 32,
        .per_host = 4,
        .retries = 2,
        .redirects_max = 10,
        .body_max = 10u << 20,
        .delay_ns = SKUA_NS_PER_SEC / 2,
        .timeout_ns = 30 * SKUA_NS_PER_SEC,
        .connect_timeout_ns = 10 * SKUA_NS_PER_SEC,
        .grace_ns = 5 * SKUA_NS_PER_SEC,
    };
    enum tool_parse parse = skua_tool_parse(&command, argc, argv, options);
    if (parse != TOOL_PARSE_RUN)
        return parse;
    options->urls = argv + optind;
    options->url_count = argc - optind;
    if (options->url_count == 0 && options->list == NULL)
        return skua_tool_complain(&command, "nothing to fetch: neither a URL nor", "--list");
    if (options->pages_max == UINT64_MAX)
        options->pages_max = options->follow ? 1000 : 0;
    return TOOL_PARSE_RUN;
}
