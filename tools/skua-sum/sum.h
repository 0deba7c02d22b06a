/*
 * sum.h - skua-sum: checksums of files and trees. What every file of the tool shares.
 *
 * Life of a run: main parses the options, fetches the digest, starts a runtime and submits one root
 * task, which spawns a producer of names, several lanes that read and hash, and a printer. Main
 * itself only waits for the end or a signal.
 */
#ifndef SKUA_SUM_H
#define SKUA_SUM_H

#include <stdbool.h>
#include <stdint.h>

#include "sum_digest.h"
#include "sum_text.h"
#include "tool_options.h"

#define SUM_PROGRAM "skua-sum"

struct sum_options {
    enum sum_algorithm algorithm;
    unsigned bits;    /* -l; 0: the algorithm's own */
    unsigned workers; /* -j; 0: the runtime's default */
    bool binary;
    bool check;
    bool tag;
    bool zero;
    bool recurse;
    bool follow;
    bool ignore_missing;
    bool quiet;
    bool status;
    bool strict;
    bool warn;
    bool stats;
    bool progress;
    char **names; /* at least one */
    int name_count;
};

enum tool_parse skua_sum_options_parse(int argc, char **argv, struct sum_options *options);

#endif /* SKUA_SUM_H */
