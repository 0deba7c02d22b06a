/*
 * sum_names.c - the producer of names: arguments and what the walk finds below them.
 *
 * One task. It moves to the blocking executor, where directory listings and look-ups are plain
 * system calls that delay no worker, and runs ahead of the printer by at most the window.
 */
#include "sum_pipeline.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "sum_names.h"
#include "sum_walk.h"

bool skua_sum_names_stdin(const struct sum_pipeline *pipeline, const char *name)
{
    if (!strcmp(name, "-"))
        return true;
    return pipeline->options->check && pipeline->digest->xxhash && !strcmp(name, "stdin");
}

int skua_sum_names_put(struct sum_pipeline *pipeline, const char *name, bool *seen_stdin,
                       struct sum_slot **result)
{
    struct sum_slot *slot;
    struct statx stx;
    int rc;
    bool standard_input = skua_sum_names_stdin(pipeline, name);

    /* Two tasks must not read standard input at once; the second gets what the first left. */
    if (standard_input && *seen_stdin) {
        rc = skua_sum_pipeline_drain(pipeline);
        if (rc)
            return rc;
    }
    rc = skua_sum_slot_take(pipeline, &slot);
    if (rc)
        return rc;
    slot->standard_input = slot->solo = standard_input;
    *seen_stdin |= standard_input;
    if (!standard_input) {
        /* What cannot be looked at cannot be opened either: the lane reports it. */
        rc = skua_statx(AT_FDCWD, name, 0, STATX_TYPE, &stx);
        if (rc == -ECANCELED)
            return rc;
        slot->solo = !rc && !S_ISREG(stx.stx_mode) && !S_ISDIR(stx.stx_mode);
    }
    skua_sum_text_puts(&slot->name, name);
    *result = slot;
    return 0;
}

static int walk_file(void *arg, const char *path)
{
    struct sum_pipeline *pipeline = arg;
    struct sum_slot *slot;
    int rc = skua_sum_slot_take(pipeline, &slot);

    if (rc)
        return rc;
    slot->nofollow = !pipeline->options->follow;
    skua_sum_text_puts(&slot->name, path);
    skua_sum_slot_publish(pipeline);
    return 0;
}

static int walk_failure(void *arg, const char *path, int error)
{
    struct sum_pipeline *pipeline = arg;
    struct sum_slot *slot;
    int rc = skua_sum_slot_take(pipeline, &slot);

    if (rc)
        return rc;
    slot->kind = SUM_FAILED;
    slot->error = error;
    skua_sum_text_puts(&slot->name, path);
    skua_sum_slot_publish(pipeline);
    return 0;
}

static bool walk_try_again(void *arg, int error, unsigned retries)
{
    return skua_sum_open_again(arg, error, retries);
}

static bool is_directory(const char *name)
{
    struct statx stx;

    return strcmp(name, "-") != 0 && !skua_statx(AT_FDCWD, name, 0, STATX_TYPE, &stx) &&
           S_ISDIR(stx.stx_mode);
}

intptr_t skua_sum_names_run(void *arg)
{
    struct sum_pipeline *pipeline = arg;
    const struct sum_options *options = pipeline->options;
    const struct sum_walk_calls calls = {walk_file, walk_failure, walk_try_again, pipeline};
    struct sum_slot *slot;
    bool seen_stdin = false;
    int rc = 0;

    (void)skua_hop(NULL); /* refused: then it is done here, only less politely */
    for (int i = 0; i < options->name_count && !rc; i++) {
        const char *name = options->names[i];

        if (options->recurse && is_directory(name)) {
            rc = skua_sum_walk(name, options->follow, &calls);
            continue;
        }
        rc = skua_sum_names_put(pipeline, name, &seen_stdin, &slot);
        if (!rc)
            skua_sum_slot_publish(pipeline);
    }
    skua_sum_pipeline_close(pipeline);
    (void)skua_hop_back();
    return rc;
}
