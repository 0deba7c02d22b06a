/*
 * crawl_out.h - the lines of output, in the order in which pages were completed, and the progress.
 */
#ifndef SKUA_CRAWL_OUT_H
#define SKUA_CRAWL_OUT_H

#include "crawl.h"
#include "crawl_text.h"

struct crawl_out {
    const struct crawl_counters *counters;
    skua_event *stop;    /* set when nobody can be told any more */
    skua_channel *lines; /* of struct crawl_text */
    int fd;
    bool progress; /* standard error is a terminal */
    bool shown;    /* the progress line is on it; the writer's, as all below */
    uint64_t draw_ns;
    uint64_t start_ns;
    struct crawl_text pending; /* whole lines */
    _Atomic int error;         /* -errno of the first write that failed; 0: none */
};

/* Opens @options->output. Returns 0; -errno, and nothing is open. */
int skua_crawl_out_open(struct crawl_out *out, const struct crawl_options *options,
                        const struct crawl_counters *counters, skua_event *stop);

/* Closes it. Returns 0, or the first error of all writes. */
int skua_crawl_out_close(struct crawl_out *out);

/* The writer, a task: until the channel is closed and empty. */
intptr_t skua_crawl_out_run(void *out);

/* Hands over a line, which ends with '\n'. Waits while the writer is behind. */
void skua_crawl_out_put(struct crawl_out *out, struct crawl_text *line);

int skua_crawl_out_error(const struct crawl_out *out);

#endif /* SKUA_CRAWL_OUT_H */
