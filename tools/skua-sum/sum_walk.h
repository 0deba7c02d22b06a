/*
 * sum_walk.h - walks a tree in a fixed order with bounded memory.
 */
#ifndef SKUA_SUM_WALK_H
#define SKUA_SUM_WALK_H

#include <stdbool.h>

/* Calls that return nonzero end the walk with that value. @path is valid during the call. */
struct sum_walk_calls {
    int (*file)(void *arg, const char *path);
    int (*failure)(void *arg, const char *path, int error);
    /* Lacking a descriptor for the @retries-th time: true to wait a little and try again. */
    bool (*try_again)(void *arg, int error, unsigned retries);
    void *arg;
};

/*
 * Visits every regular file below the directory @root, each directory in the byte order of its
 * names, a subdirectory where its name stands. Symbolic links are skipped, or followed if @follow,
 * which then also finds loops (-ELOOP). Other kinds of files are skipped.
 *
 * Returns 0; what a call returned; -ECANCELED; -ENOMEM.
 */
int skua_sum_walk(const char *root, bool follow, const struct sum_walk_calls *calls);

#endif /* SKUA_SUM_WALK_H */
