/*
 * sum_options.c - the command line. Called once, by main, before there are threads.
 */
#include "sum.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <skua/skua.h>

enum {
    OPTION_TAG = TOOL_OPTION_FIRST,
    OPTION_QUIET,
    OPTION_STATUS,
    OPTION_STRICT,
    OPTION_IGNORE_MISSING,
    OPTION_PROGRESS,
    OPTION_NO_PROGRESS,
    OPTION_STATS
};

static const char short_options[] = "a:bcH:j:l:LPrtwz";
static const struct option long_options[] = {
    {"algorithm", required_argument, NULL, 'a'},
    {"binary", no_argument, NULL, 'b'},
    {"check", no_argument, NULL, 'c'},
    {"jobs", required_argument, NULL, 'j'},
    {"length", required_argument, NULL, 'l'},
    {"dereference", no_argument, NULL, 'L'},
    {"no-dereference", no_argument, NULL, 'P'},
    {"recursive", no_argument, NULL, 'r'},
    {"text", no_argument, NULL, 't'},
    {"warn", no_argument, NULL, 'w'},
    {"zero", no_argument, NULL, 'z'},
    {"tag", no_argument, NULL, OPTION_TAG},
    {"quiet", no_argument, NULL, OPTION_QUIET},
    {"status", no_argument, NULL, OPTION_STATUS},
    {"strict", no_argument, NULL, OPTION_STRICT},
    {"ignore-missing", no_argument, NULL, OPTION_IGNORE_MISSING},
    {"progress", no_argument, NULL, OPTION_PROGRESS},
    {"no-progress", no_argument, NULL, OPTION_NO_PROGRESS},
    {"stats", no_argument, NULL, OPTION_STATS},
    {"help", no_argument, NULL, TOOL_OPTION_HELP},
    {"version", no_argument, NULL, TOOL_OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static const char *const help_text[] = {
    "Usage: " SUM_PROGRAM " [OPTION]... [FILE]...\n"
    "Print or check checksums of files and trees, on all processors.\n"
    "\n"
    "With no FILE, or when FILE is -, read standard input.\n"
    "  -a, --algorithm=NAME  sha256 (default), sha512, blake2b, xxh3, xxh64 or xxh128;\n"
    "                          output as of sha256sum, sha512sum, b2sum and xxhsum\n"
    "  -H1, -H2, -H3         same as -a xxh64, -a xxh128, -a xxh3\n"
    "  -l, --length=BITS     digest length of blake2b, a multiple of 8\n"
    "  -r, --recursive       checksum the files below directories, sorted by name\n"
    "  -P, --no-dereference  with -r, skip symbolic links inside directories (default)\n"
    "  -L, --dereference     with -r, follow symbolic links\n"
    "  -j, --jobs=N          use N worker threads\n"
    "  -b, --binary          mark lines as read in binary mode\n"
    "  -t, --text            mark lines as read in text mode (default)\n"
    "  -c, --check           read checksums from the FILEs and check them\n"
    "      --tag             create a BSD-style checksum\n"
    "  -z, --zero            end each output line with NUL, not newline,\n"
    "                          and disable file name escaping\n"
    "      --progress        show progress, rate and ETA on standard error\n"
    "                          (default if that is a terminal)\n"
    "      --no-progress     do not\n"
    "      --stats           print statistics to standard error at the end\n"
    "\n"
    "The following five options are useful only when verifying checksums:\n"
    "      --ignore-missing  don't fail or report status for missing files\n"
    "      --quiet           don't print OK for each successfully verified file\n"
    "      --status          don't output anything, status code shows success\n"
    "      --strict          exit non-zero for improperly formatted checksum lines\n"
    "  -w, --warn            warn about improperly formatted checksum lines\n"
    "\n"
    "      --help        display this help and exit\n"
    "      --version     output version information and exit\n"
    "\n"
    "Exit status: 0 if all went well, 1 if something failed or did not match,\n"
    "130 or 143 after an interrupt or a termination signal.\n",
    NULL,
};

static enum tool_parse usage_error(void)
{
    fputs("Try '" SUM_PROGRAM " --help' for more information.\n", stderr);
    return TOOL_PARSE_USAGE;
}

static enum tool_parse complain(const char *what)
{
    fprintf(stderr, SUM_PROGRAM ": %s\n", what);
    return usage_error();
}

/* Reads a decimal number in [0, @max]. */
static bool parse_number(const char *text, unsigned long max, unsigned *number)
{
    unsigned long value;
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoul(text, &end, 10);
    if (*end || errno || value > max)
        return false;
    *number = (unsigned)value;
    return true;
}

static enum tool_parse parse_length(const char *text, struct sum_options *options)
{
    if (!parse_number(text, UINT32_MAX, &options->bits)) {
        fprintf(stderr, SUM_PROGRAM ": invalid length: '%s'\n", text);
        return TOOL_PARSE_USAGE;
    }
    if (options->bits % 8 == 0)
        return TOOL_PARSE_RUN;
    fprintf(stderr, SUM_PROGRAM ": invalid length: '%s'\n", text);
    fputs(SUM_PROGRAM ": length is not a multiple of 8\n", stderr);
    return TOOL_PARSE_USAGE;
}

/* An option that has an argument. */
static enum tool_parse take_valued(int option, struct sum_options *options)
{
    static const char *const families[] = {"1",      "xxh64", "64",     "xxh64", "2",
                                           "xxh128", "128",   "xxh128", "3",     "xxh3"};

    if (option == 'l')
        return parse_length(optarg, options);
    if (option == 'j') {
        if (parse_number(optarg, SKUA_WORKERS_MAX, &options->workers) && options->workers)
            return TOOL_PARSE_RUN;
        fprintf(stderr, SUM_PROGRAM ": invalid number of workers: '%s'\n", optarg);
        return TOOL_PARSE_USAGE;
    }
    if (option == 'H') {
        options->algorithm = SUM_ALGORITHM_COUNT;
        for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i += 2)
            if (!strcmp(optarg, families[i]))
                options->algorithm = skua_sum_algorithm_find(families[i + 1]);
    } else {
        options->algorithm = skua_sum_algorithm_find(optarg);
    }
    if (options->algorithm != SUM_ALGORITHM_COUNT)
        return TOOL_PARSE_RUN;
    fprintf(stderr, SUM_PROGRAM ": unknown algorithm: '%s'\n", optarg);
    return usage_error();
}

/* What only matters until the options have been checked against one another. */
struct parse_state {
    bool mode_given;
    bool text;
    int progress; /* -1: not said */
};

static void take_flag(int option, struct sum_options *options, struct parse_state *state)
{
    switch (option) {
    case 'b':
    case 't':
        state->mode_given = true;
        state->text = option == 't';
        options->binary = option == 'b';
        break;
    case 'c':
        options->check = true;
        break;
    case 'L':
    case 'P':
        options->follow = option == 'L';
        break;
    case 'r':
        options->recurse = true;
        break;
    /* The last of these three wins, as in coreutils. */
    case 'w':
    case OPTION_QUIET:
    case OPTION_STATUS:
        options->warn = option == 'w';
        options->quiet = option == OPTION_QUIET;
        options->status = option == OPTION_STATUS;
        break;
    case 'z':
        options->zero = true;
        break;
    case OPTION_TAG:
        options->tag = true;
        state->text = false;
        break;
    case OPTION_STRICT:
        options->strict = true;
        break;
    case OPTION_IGNORE_MISSING:
        options->ignore_missing = true;
        break;
    case OPTION_PROGRESS:
    case OPTION_NO_PROGRESS:
        state->progress = option == OPTION_PROGRESS;
        break;
    case OPTION_STATS:
        options->stats = true;
        break;
    default:
        break;
    }
}

/* Refuses combinations that mean nothing, in coreutils' words. */
static enum tool_parse check_combination(const struct sum_options *options,
                                         const struct parse_state *state)
{
    if (options->bits && options->algorithm != SUM_BLAKE2B)
        return complain("--length is only supported with --algorithm=blake2b");
    if (options->bits > 512)
        return complain("maximum digest length for blake2b is 512 bits");
    if (options->tag && state->text)
        return complain("--tag does not support --text mode");
    if (options->zero && options->check)
        return complain("the --zero option is not supported when verifying checksums");
    if (options->tag && options->check)
        return complain("the --tag option is meaningless when verifying checksums");
    if (state->mode_given && options->check)
        return complain("the --binary and --text options are meaningless when verifying checksums");
    if (options->recurse && options->check)
        return complain("the --recursive option is meaningless when verifying checksums");
    if (options->check)
        return TOOL_PARSE_RUN;
    if (options->ignore_missing)
        return complain("the --ignore-missing option is meaningful only when verifying checksums");
    if (options->status)
        return complain("the --status option is meaningful only when verifying checksums");
    if (options->warn)
        return complain("the --warn option is meaningful only when verifying checksums");
    if (options->quiet)
        return complain("the --quiet option is meaningful only when verifying checksums");
    if (options->strict)
        return complain("the --strict option is meaningful only when verifying checksums");
    return TOOL_PARSE_RUN;
}

enum tool_parse skua_sum_options_parse(int argc, char **argv, struct sum_options *options)
{
    static char standard_input[] = "-";
    static char *no_names[] = {standard_input, NULL};
    struct parse_state state = {.progress = -1};
    enum tool_parse parse = TOOL_PARSE_RUN;
    static char program[] = SUM_PROGRAM;
    int option;

    *options = (struct sum_options){0};
    argv[0] = program; /* getopt's messages begin with it */
    while (parse == TOOL_PARSE_RUN &&
           (option = getopt_long(argc, argv, short_options, long_options, NULL)) != -1) {
        if (option == '?')
            return usage_error();
        if (option == TOOL_OPTION_HELP)
            return skua_tool_show(SUM_PROGRAM, help_text);
        if (option == TOOL_OPTION_VERSION)
            return skua_tool_show_version(SUM_PROGRAM);
        if (optarg)
            parse = take_valued(option, options);
        else
            take_flag(option, options, &state);
    }
    if (parse == TOOL_PARSE_RUN)
        parse = check_combination(options, &state);
    options->names = optind < argc ? argv + optind : no_names;
    options->name_count = optind < argc ? argc - optind : 1;
    options->progress = state.progress < 0 ? isatty(STDERR_FILENO) == 1 : state.progress == 1;
    return parse;
}
