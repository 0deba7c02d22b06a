/*
 * sum_names.h - what the two producers share.
 */
#ifndef SKUA_SUM_NAMES_H
#define SKUA_SUM_NAMES_H

#include "sum_pipeline.h"

/* True if @name means standard input: "-", and in xxhsum's lists also "stdin". */
bool skua_sum_names_stdin(const struct sum_pipeline *pipeline, const char *name);

/*
 * Takes the next slot for the file @name as a person or a checksum file wrote it; the caller may
 * add to *@slot and publishes it. *@seen_stdin is the producer's memory of "-".
 * Returns 0; -ECANCELED.
 */
int skua_sum_names_put(struct sum_pipeline *pipeline, const char *name, bool *seen_stdin,
                       struct sum_slot **slot);

#endif /* SKUA_SUM_NAMES_H */
