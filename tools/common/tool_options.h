/*
 * common/tool_options.h - command lines: the loop over getopt_long(3), numbers, help, complaints.
 *
 * A program says what options it has, and has a function called with each one that is given. What
 * is wrong is told in one line on standard error, which names the option. Called by main alone,
 * before there are threads.
 */
#ifndef SKUA_TOOL_OPTIONS_H
#define SKUA_TOOL_OPTIONS_H

#include <getopt.h>
#include <stdint.h>

#define TOOL_EXIT_USAGE 2 /* the exit status after a command line that is wrong */

/* What is to be done with the command line, or with one option of it. */
enum tool_parse {
    TOOL_PARSE_RUN,   /* it is right: go on */
    TOOL_PARSE_SHOWN, /* help or version have been shown: end with success */
    TOOL_PARSE_USAGE, /* it is wrong, which has been told */
    TOOL_PARSE_ERROR  /* standard output or memory failed, which has been told */
};

/* Values in the table of options; a program's own that have no letter begin at the last. */
enum { TOOL_OPTION_HELP = 256, TOOL_OPTION_VERSION, TOOL_OPTION_FIRST };

struct tool_command {
    const char *program;
    const char *const *help; /* parts of the text, then NULL */
    const char *letters;     /* as getopt(3) wants them, with ':' first */
    const struct option *options;
    /* Takes one option, with its argument or NULL; help and version never come here. */
    enum tool_parse (*take)(int option, const char *text, void *options);
};

/*
 * Parses the options of a command line. Then optind(3) is where the other arguments begin; they
 * may stand before options, too.
 */
enum tool_parse skua_tool_parse(const struct tool_command *command, int argc, char **argv,
                                void *options);

/* The exit status after all but TOOL_PARSE_RUN. */
int skua_tool_parse_status(enum tool_parse parse);

/* "program: what 'text'; try --help". Returns TOOL_PARSE_USAGE. */
enum tool_parse skua_tool_complain(const struct tool_command *command, const char *what,
                                   const char *text);

/* Shows @parts, up to NULL, on standard output: TOOL_PARSE_SHOWN or TOOL_PARSE_ERROR. */
enum tool_parse skua_tool_show(const char *program, const char *const *parts);

/* The same with "program (skua) 1.2.3". */
enum tool_parse skua_tool_show_version(const char *program);

/* ---- the argument @text of @option, into a number; complains if it is none in the range ------ */

enum tool_parse skua_tool_take_count(const struct tool_command *command, int option,
                                     const char *text, uint64_t min, uint64_t max, uint64_t *count);
enum tool_parse skua_tool_take_unsigned(const struct tool_command *command, int option,
                                        const char *text, unsigned min, unsigned max,
                                        unsigned *count);

/* @min is in seconds; the most is 1,000,000, eleven days. */
enum tool_parse skua_tool_take_seconds(const struct tool_command *command, int option,
                                       const char *text, double min, uint64_t *duration_ns);

struct tool_range {
    double min, max;
    const char *unit; /* for complaints: a number of what */
};

enum tool_parse skua_tool_take_real(const struct tool_command *command, int option,
                                    const char *text, const struct tool_range *range,
                                    double *number);

#endif /* SKUA_TOOL_OPTIONS_H */
