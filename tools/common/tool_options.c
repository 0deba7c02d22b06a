/*
 * common/tool_options.c - see tool_options.h.
 */
#include "tool_options.h"

#include <skua/runtime.h>

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECONDS_MAX 1000000.0

static const struct option *find_option(const struct tool_command *command, int option)
{
    for (const struct option *o = command->options; o->name != NULL; o++)
        if (o->val == option)
            return o;
    return NULL;
}

/* Begins a complaint about the argument of an option. */
static void name_option(const struct tool_command *command, int option)
{
    fprintf(stderr, "%s: --%s: ", command->program, find_option(command, option)->name);
}

enum tool_parse skua_tool_complain(const struct tool_command *command, const char *what,
                                   const char *text)
{
    fprintf(stderr, "%s: %s '%s'; try --help\n", command->program, what, text);
    return TOOL_PARSE_USAGE;
}

enum tool_parse skua_tool_show(const char *program, const char *const *parts)
{
    char buffer[128];
    bool failed = false;
    for (; *parts != NULL; parts++)
        failed |= fputs(*parts, stdout) == EOF;
    if (!failed && fflush(stdout) == 0)
        return TOOL_PARSE_SHOWN;
    fprintf(stderr, "%s: write error: %s\n", program, strerror_r(errno, buffer, sizeof(buffer)));
    return TOOL_PARSE_ERROR;
}

enum tool_parse skua_tool_show_version(const char *program)
{
    static const char version[] = " (skua) " SKUA_STRINGIFY(SKUA_VERSION_MAJOR) "." //
        SKUA_STRINGIFY(SKUA_VERSION_MINOR) "." SKUA_STRINGIFY(SKUA_VERSION_PATCH) "\n";
    const char *const parts[] = {program, version, NULL};
    return skua_tool_show(program, parts);
}

/* What getopt_long() has refused: it says which by optopt, which is 0 for a long one. */
static enum tool_parse refuse(const struct tool_command *command, const char *word)
{
    const char letter[] = {'-', (char)optopt, 0};
    if (optopt == 0)
        return skua_tool_complain(command,
                                  "no such option, or more than one begins like that:", word);
    if (find_option(command, optopt) != NULL)
        return skua_tool_complain(command, "this option has no argument:", word);
    return skua_tool_complain(command, "no such option:", letter);
}

enum tool_parse skua_tool_parse(const struct tool_command *command, int argc, char **argv,
                                void *options)
{
    enum tool_parse parse = TOOL_PARSE_RUN;
    opterr = 0;
    while (parse == TOOL_PARSE_RUN) {
        int option = getopt_long(argc, argv, command->letters, command->options, NULL);
        if (option == -1)
            break;
        if (option == '?')
            parse = refuse(command, argv[optind - 1]);
        else if (option == ':')
            parse = skua_tool_complain(command, "an argument is missing after", argv[optind - 1]);
        else if (option == TOOL_OPTION_HELP)
            parse = skua_tool_show(command->program, command->help);
        else if (option == TOOL_OPTION_VERSION)
            parse = skua_tool_show_version(command->program);
        else
            parse = command->take(option, optarg, options);
    }
    return parse;
}

int skua_tool_parse_status(enum tool_parse parse)
{
    if (parse == TOOL_PARSE_USAGE)
        return TOOL_EXIT_USAGE;
    return parse == TOOL_PARSE_ERROR ? EXIT_FAILURE : EXIT_SUCCESS;
}

enum tool_parse skua_tool_take_count(const struct tool_command *command, int option,
                                     const char *text, uint64_t min, uint64_t max, uint64_t *count)
{
    char *end;
    errno = 0;
    uint64_t value = strtoull(text, &end, 10);
    if (*text >= '0' && *text <= '9' && *end == 0 && errno == 0 && value >= min && value <= max) {
        *count = value;
        return TOOL_PARSE_RUN;
    }
    name_option(command, option);
    fprintf(stderr, "'%s' is not a whole number from %" PRIu64 " to %" PRIu64 "; try --help\n",
            text, min, max);
    return TOOL_PARSE_USAGE;
}

enum tool_parse skua_tool_take_unsigned(const struct tool_command *command, int option,
                                        const char *text, unsigned min, unsigned max,
                                        unsigned *count)
{
    uint64_t value = 0;
    enum tool_parse parse = skua_tool_take_count(command, option, text, min, max, &value);
    if (parse == TOOL_PARSE_RUN)
        *count = (unsigned)value;
    return parse;
}

enum tool_parse skua_tool_take_real(const struct tool_command *command, int option,
                                    const char *text, const struct tool_range *range,
                                    double *number)
{
    char *end;
    double value = strtod(text, &end);
    if (end != text && *end == 0 && isfinite(value) && value >= range->min && value <= range->max) {
        *number = value;
        return TOOL_PARSE_RUN;
    }
    name_option(command, option);
    fprintf(stderr, "'%s' is not a number of %s from %.9g to %.9g; try --help\n", text, range->unit,
            range->min, range->max);
    return TOOL_PARSE_USAGE;
}

enum tool_parse skua_tool_take_seconds(const struct tool_command *command, int option,
                                       const char *text, double min, uint64_t *duration_ns)
{
    const struct tool_range range = {min, SECONDS_MAX, "seconds"};
    double seconds = 0;
    enum tool_parse parse = skua_tool_take_real(command, option, text, &range, &seconds);
    if (parse == TOOL_PARSE_RUN)
        *duration_ns = (uint64_t)(seconds * 1e9);
    return parse;
}
