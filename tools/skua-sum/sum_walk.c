/*
 * sum_walk.c - a sorted walk of a tree with bounded memory and one descriptor.
 *
 * Used by the producer of names and by the counter behind the progress line; each walk is one call.
 *
 * A directory is read as a whole, sorted, closed, and then gone through; so no descriptor is held
 * while files are hashed or subdirectories visited. Two limits bound the names kept:
 *   one listing    A directory with more than SUM_LISTING_MAX bytes of names is read in passes,
 *                  each of which keeps the smallest names that come after the last one visited.
 *   all listings   When those of the directories on the way down exceed SUM_LISTINGS_MAX, the one
 *                  nearest the root is dropped, and read again when the walk returns to it. Where
 *                  it was is known from the path: the name of the subdirectory the walk is in.
 * A directory that changes between passes is as if it were seen at two moments: names are visited
 * in order and at most once.
 */
#include "sum_walk.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <skua/skua.h>

#include "sum_text.h"

#define SUM_LISTING_MAX ((size_t)4 << 20)   /* bytes of names and entries of one directory */
#define SUM_LISTINGS_MAX ((size_t)12 << 20) /* of all directories on the way down */
#define SUM_DIRENTS 256u

/* Half of a full listing holds at least one name, so that every pass gets further. */
_Static_assert(SUM_LISTING_MAX >= 8 * (size_t)NAME_MAX, "a listing is too small for its names");

struct entry {
    uint32_t offset; /* of the name */
    uint8_t type;    /* DT_... */
};

/* The names of a directory, or the next part of them. */
struct listing {
    struct entry *entries;
    char *names;
    size_t count;
    size_t count_max;
    size_t names_size;
    size_t names_max;
    bool cut; /* names after the last one were left out */
};

/* One directory on the way down. */
struct level {
    struct listing listing;
    size_t path_size; /* of the directory's path, with its final slash */
    size_t index;     /* next entry */
    bool loaded;      /* false: dropped, see above */
    dev_t device;
    ino_t inode;
};

struct walk {
    const struct sum_walk_calls *calls;
    bool follow;
    struct sum_text path;
    struct sum_text after; /* names up to this one have been visited */
    struct level *levels;
    size_t depth;
    size_t depth_max;
    skua_dirent dirents[SUM_DIRENTS];
};

static size_t listing_bytes(const struct listing *listing)
{
    return listing->names_max + listing->count_max * sizeof(struct entry);
}

static void listing_fini(struct listing *listing)
{
    free(listing->entries);
    free(listing->names);
    *listing = (struct listing){0};
}

static int compare_entries(const void *left, const void *right, void *names)
{
    const struct entry *a = left;
    const struct entry *b = right;

    return strcmp((const char *)names + a->offset, (const char *)names + b->offset);
}

static void listing_sort(struct listing *listing)
{
    if (listing->count)
        qsort_r(listing->entries, listing->count, sizeof(struct entry), compare_entries,
                listing->names);
}

/* Makes *@array, @size elements of @element, at least @needed long. */
static int grow(void **array, size_t *size, size_t needed, size_t element)
{
    size_t next = *size ? *size : 64;
    void *bigger;

    if (needed <= *size)
        return 0;
    while (next < needed)
        next *= 2;
    bigger = realloc(*array, next * element);
    if (!bigger)
        return -ENOMEM;
    *array = bigger;
    *size = next;
    return 0;
}

/* Adds a name. */
static int listing_add(struct listing *listing, const char *name, uint8_t type)
{
    size_t size = strlen(name) + 1;
    void *names = listing->names;
    void *entries = listing->entries;
    int rc = grow(&names, &listing->names_max, listing->names_size + size, 1);

    listing->names = names;
    if (!rc)
        rc = grow(&entries, &listing->count_max, listing->count + 1, sizeof(struct entry));
    listing->entries = entries;
    if (rc)
        return rc;
    assert(listing->names_size < UINT32_MAX);
    memcpy(listing->names + listing->names_size, name, size);
    listing->entries[listing->count++] = (struct entry){(uint32_t)listing->names_size, type};
    listing->names_size += size;
    return 0;
}

/* Keeps the smaller half of the names. */
static int listing_cut(struct listing *listing)
{
    struct listing half = {.cut = true};

    listing_sort(listing);
    for (size_t i = 0; i < listing->count / 2; i++) {
        const struct entry *entry = &listing->entries[i];
        int rc = listing_add(&half, listing->names + entry->offset, entry->type);

        if (rc) {
            listing_fini(&half);
            return rc;
        }
    }
    listing_fini(listing);
    *listing = half;
    return 0;
}

/* Reads the names after @after into @listing. */
static int listing_read(struct walk *walk, struct listing *listing, skua_dir *dir,
                        const char *after)
{
    char bound[NAME_MAX + 2] = "";
    ssize_t count;

    while ((count = skua_dir_read(dir, walk->dirents, SUM_DIRENTS)) > 0) {
        for (ssize_t i = 0; i < count; i++) {
            const skua_dirent *dirent = &walk->dirents[i];
            int rc;

            if (strcmp(dirent->name, after) <= 0 ||
                (listing->cut && strcmp(dirent->name, bound) > 0))
                continue;
            rc = listing_add(listing, dirent->name, dirent->type);
            if (!rc &&
                listing->names_size + listing->count * sizeof(struct entry) > SUM_LISTING_MAX) {
                rc = listing_cut(listing);
                if (!rc && listing->count)
                    strncpy(bound, listing->names + listing->entries[listing->count - 1].offset,
                            sizeof(bound) - 1);
            }
            if (rc)
                return rc;
        }
    }
    listing_sort(listing);
    return (int)count;
}

/* Drops listings from the root downwards until the rest is small enough. */
static void drop_listings(struct walk *walk)
{
    size_t total = 0;

    for (size_t i = 0; i < walk->depth; i++)
        total += listing_bytes(&walk->levels[i].listing);
    for (size_t i = 0; i + 1 < walk->depth && total > SUM_LISTINGS_MAX; i++) {
        total -= listing_bytes(&walk->levels[i].listing);
        listing_fini(&walk->levels[i].listing);
        walk->levels[i].loaded = false;
    }
}

static int open_directory(struct walk *walk, skua_dir **dir)
{
    int flags = walk->follow || walk->depth == 1 ? 0 : O_NOFOLLOW;
    int rc;

    for (unsigned retries = 0;; retries++) {
        rc = skua_dir_open(AT_FDCWD, walk->path.data, flags, dir);
        if (rc != -EMFILE && rc != -ENFILE)
            return rc;
        if (!walk->calls->try_again(walk->calls->arg, rc, retries))
            return rc;
        if (skua_sleep(SKUA_NS_PER_MS) == -ECANCELED)
            return -ECANCELED;
    }
}

/* Notes who the top directory is; -ELOOP if it is also above itself. */
static int identify(struct walk *walk, const skua_dir *dir)
{
    struct level *top = &walk->levels[walk->depth - 1];
    struct stat st;

    if (!walk->follow || fstat(skua_dir_fd(dir), &st))
        return 0;
    top->device = st.st_dev;
    top->inode = st.st_ino;
    for (size_t i = 0; i + 1 < walk->depth; i++)
        if (walk->levels[i].device == st.st_dev && walk->levels[i].inode == st.st_ino)
            return -ELOOP;
    return 0;
}

/*
 * Reads the next part of the directory on top; the path is the directory's. Errors of the directory
 * are reported and leave it with what could be read.
 */
static int load(struct walk *walk)
{
    struct level *top = &walk->levels[walk->depth - 1];
    skua_dir *dir = NULL;
    int rc = open_directory(walk, &dir);

    listing_fini(&top->listing);
    top->index = 0;
    top->loaded = true;
    if (!rc)
        rc = identify(walk, dir);
    if (!rc)
        rc = listing_read(walk, &top->listing, dir, skua_sum_text_string(&walk->after));
    skua_dir_close(dir);
    drop_listings(walk);
    if (rc && rc != -ECANCELED && rc != -ENOMEM) {
        char *end = &walk->path.data[walk->path.size - 1];
        bool slash = walk->path.size > 1 && *end == '/';

        if (slash)
            *end = 0; /* messages name it without the final slash */
        rc = walk->calls->failure(walk->calls->arg, walk->path.data, rc);
        if (slash)
            *end = '/';
    }
    return rc;
}

/* Goes down into the directory the path names. */
static int push(struct walk *walk)
{
    void *levels = walk->levels;

    if (walk->path.size + 1 >= PATH_MAX) /* no call could open anything in it */
        return walk->calls->failure(walk->calls->arg, walk->path.data, -ENAMETOOLONG);
    if (grow(&levels, &walk->depth_max, walk->depth + 1, sizeof(struct level)))
        return -ENOMEM;
    walk->levels = levels;
    if (walk->path.data[walk->path.size - 1] != '/')
        skua_sum_text_putc(&walk->path, '/');
    if (walk->path.failed)
        return -ENOMEM;
    walk->levels[walk->depth++] = (struct level){.path_size = walk->path.size};
    skua_sum_text_clear(&walk->after);
    return load(walk);
}

static void path_cut(struct walk *walk, size_t size)
{
    assert(size <= walk->path.size);
    walk->path.size = size;
    walk->path.data[size] = 0;
}

/* Goes up. The name of the directory left is where the one above goes on if it was dropped. */
static int pop(struct walk *walk)
{
    struct level *above;

    listing_fini(&walk->levels[--walk->depth].listing);
    if (!walk->depth)
        return 0;
    above = &walk->levels[walk->depth - 1];
    if (above->loaded) {
        path_cut(walk, above->path_size);
        return 0;
    }
    path_cut(walk, walk->path.size - 1);
    skua_sum_text_clear(&walk->after);
    skua_sum_text_puts(&walk->after, walk->path.data + above->path_size);
    path_cut(walk, above->path_size);
    return walk->after.failed ? -ENOMEM : load(walk);
}

/* Visits the entry of @type the path names. */
static int visit(struct walk *walk, uint8_t type)
{
    if (type == DT_UNKNOWN || (type == DT_LNK && walk->follow)) {
        struct statx stx;
        int rc = skua_statx(AT_FDCWD, walk->path.data, walk->follow ? 0 : AT_SYMLINK_NOFOLLOW,
                            STATX_TYPE, &stx);

        if (rc == -ECANCELED)
            return rc;
        if (rc)
            return walk->calls->failure(walk->calls->arg, walk->path.data, rc);
        type = S_ISREG(stx.stx_mode) ? DT_REG : S_ISDIR(stx.stx_mode) ? DT_DIR : DT_LNK;
    }
    if (type == DT_REG)
        return walk->calls->file(walk->calls->arg, walk->path.data);
    return type == DT_DIR ? push(walk) : 0;
}

/* Takes one step: an entry, the next part of a listing, or back up. */
static int step(struct walk *walk)
{
    struct level *top = &walk->levels[walk->depth - 1];
    const struct listing *listing = &top->listing;
    size_t depth = walk->depth;
    uint8_t type;
    int rc;

    if (top->index == listing->count) {
        if (!listing->cut || !listing->count)
            return pop(walk);
        skua_sum_text_clear(&walk->after);
        skua_sum_text_puts(&walk->after,
                           listing->names + listing->entries[listing->count - 1].offset);
        return walk->after.failed ? -ENOMEM : load(walk);
    }
    type = listing->entries[top->index].type;
    skua_sum_text_puts(&walk->path, listing->names + listing->entries[top->index].offset);
    if (walk->path.failed)
        return -ENOMEM;
    top->index++;
    rc = visit(walk, type);
    if (walk->depth == depth)
        path_cut(walk, walk->levels[depth - 1].path_size);
    return rc;
}

int skua_sum_walk(const char *root, bool follow, const struct sum_walk_calls *calls)
{
    struct walk *walk = calloc(1, sizeof(*walk));
    int rc;

    if (!walk)
        return -ENOMEM;
    walk->calls = calls;
    walk->follow = follow;
    skua_sum_text_puts(&walk->path, root);
    rc = walk->path.failed ? -ENOMEM : push(walk);
    while (!rc && walk->depth)
        rc = step(walk);
    while (walk->depth)
        listing_fini(&walk->levels[--walk->depth].listing);
    free(walk->levels);
    skua_sum_text_fini(&walk->path);
    skua_sum_text_fini(&walk->after);
    free(walk);
    return rc;
}
