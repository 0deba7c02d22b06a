/*
 * fuzz_kit.c - runs a program of this folder without libFuzzer; see fuzz_kit.h.
 */
#include "fuzz_kit.h"

#include <dirent.h>
#include <sys/stat.h>

#define CHANGES_MAX 8u
#define PATH_BYTES 4096u

static uint64_t next_random(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

/* ---- mutation -------------------------------------------------------------------------------- */

/* Part of another seed is put in. */
static size_t insert(uint8_t *data, size_t size, size_t at)
{
    const struct fuzz_seed *other = &fuzz_subject.seeds[next_random() % fuzz_subject.seed_count];
    size_t piece = next_random() % (other->size + 1);
    if (size + piece > FUZZ_INPUT_BYTES)
        return size;
    memmove(data + at + piece, data + at, size - at);
    memcpy(data + at, other->data, piece);
    return size + piece;
}

/* One change: a byte overwritten, removed, doubled, or something put in. The new size. */
static size_t mutate(uint8_t *data, size_t size)
{
    size_t at = size > 0 ? next_random() % size : 0;
    switch (next_random() % 5) {
    case 0:
        data[at] = (uint8_t)next_random();
        return size > 0 ? size : 1;
    case 1:
        data[at] = (uint8_t)fuzz_subject.special[next_random() % fuzz_subject.special_size];
        return size > 0 ? size : 1;
    case 2:
        if (size == 0)
            return 0;
        memmove(data + at, data + at + 1, size - at - 1);
        return size - 1;
    case 3:
        if (size == 0 || size == FUZZ_INPUT_BYTES)
            return size;
        memmove(data + at + 1, data + at, size - at);
        return size + 1;
    default:
        return insert(data, size, at);
    }
}

/* Every seed as it is, and then changed ones. */
static void run_rounds(void)
{
    static uint8_t data[FUZZ_INPUT_BYTES];
    for (unsigned round = 0; round < fuzz_subject.rounds; round++) {
        const struct fuzz_seed *seed = &fuzz_subject.seeds[round % fuzz_subject.seed_count];
        size_t size = seed->size;
        memcpy(data, seed->data, size);
        bool is_plain = round < fuzz_subject.seed_count;
        for (uint64_t n = is_plain ? 0 : next_random() % CHANGES_MAX; n > 0; n--)
            size = mutate(data, size);
        (void)LLVMFuzzerTestOneInput(data, size);
    }
}

/* ---- files ----------------------------------------------------------------------------------- */

/* The number of inputs, or -1 with a message. */
static int run_file(const char *path)
{
    static uint8_t data[FUZZ_INPUT_BYTES];
    FILE *file = fopen(path, "rb");
    if (file == NULL) {
        perror(path);
        return -1;
    }
    size_t size = fread(data, 1, sizeof(data), file);
    bool failed = ferror(file) != 0;
    (void)fclose(file);
    if (failed) {
        perror(path);
        return -1;
    }
    (void)LLVMFuzzerTestOneInput(data, size);
    return 1;
}

/* An empty folder is an error: it would be a test that cannot fail. */
static int run_folder(const char *path)
{
    char name[PATH_BYTES];
    int count = 0;
    DIR *folder = opendir(path);
    if (folder == NULL) {
        perror(path);
        return -1;
    }
    for (struct dirent *entry; count >= 0 && (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        (void)snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        count = run_file(name) < 0 ? -1 : count + 1;
    }
    (void)closedir(folder);
    if (count == 0)
        fprintf(stderr, "%s: no inputs\n", path);
    return count > 0 ? count : -1;
}

int main(int argc, char **argv)
{
    int count = 0;
    fuzz_subject.check_seeds();
    if (argc == 1)
        run_rounds();
    for (int i = 1; i < argc; i++) {
        struct stat status;
        bool is_folder = stat(argv[i], &status) == 0 && S_ISDIR(status.st_mode);
        int more = is_folder ? run_folder(argv[i]) : run_file(argv[i]);
        if (more < 0)
            return EXIT_FAILURE;
        count += more;
    }
    printf("%s: %u inputs\n", fuzz_subject.name, argc == 1 ? fuzz_subject.rounds : (unsigned)count);
    return EXIT_SUCCESS;
}
