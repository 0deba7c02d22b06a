/*
 * sum_out.h - the printer: everything the tool writes while it runs, in order.
 */
#ifndef SKUA_SUM_OUT_H
#define SKUA_SUM_OUT_H

#include "sum_pipeline.h"
#include "sum_report.h"

/* Only the printer task touches it while it runs; main reads it afterwards. */
struct sum_out {
    struct sum_pipeline *pipeline;
    struct sum_report report;
    struct sum_text pending; /* whole lines not yet written */
    struct sum_text line;
    int write_error; /* of standard output, or 0 */
    bool failed;     /* the exit status is 1 */
    uint64_t files;  /* hashed */

    /* Of the checksum file whose lines are being verified. */
    uint64_t unreadable;
    uint64_t mismatched;
    bool matched;
};

/* The printer task; @arg is a struct sum_out. Returns 0; -errno of standard output; -ECANCELED. */
intptr_t skua_sum_out_run(void *arg);
void skua_sum_out_fini(struct sum_out *out);

#endif /* SKUA_SUM_OUT_H */
