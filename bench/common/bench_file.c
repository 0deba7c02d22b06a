/*
 * bench/common/bench_file.c - see bench_file.h.
 */
#include "bench_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct bench_read_case bench_read_cases[BENCH_READ_CASES] = {
    {"hot/32", 32, false},
    {"direct/32", 32, true},
    {"direct/128", 128, true},
};

static const char *file_path(const struct bench_options *options)
{
    static char path[4096];
    const char *directory = getenv("TMPDIR");
    if (options->file != NULL)
        return options->file;
    snprintf(path, sizeof(path), "%s/skua-read-bench.data",
             directory != NULL ? directory : "/var/tmp");
    return path;
}

/* Written beside and renamed: a half-written file is never taken for a whole one. */
static void create_file(const struct bench_options *options, const char *path)
{
    static uint64_t block[BENCH_BLOCK_BYTES / sizeof(uint64_t)];
    char unfinished[4200];
    uint64_t state = 1;
    snprintf(unfinished, sizeof(unfinished), "%s.%ld", path, (long)getpid());
    FILE *file = fopen(unfinished, "wb");
    if (file == NULL)
        bench_fail(options, unfinished, errno);
    for (size_t i = 0; i < BENCH_BLOCK_BYTES / sizeof(uint64_t); i++)
        block[i] = bench_random(&state);
    for (uint64_t i = 0; i < BENCH_FILE_BLOCKS; i++) {
        block[0] = i;
        if (fwrite(block, sizeof(block), 1, file) != 1)
            bench_fail(options, unfinished, errno);
    }
    /* On the disk: reads past the page cache must not find dirty pages to write first. */
    if (fflush(file) != 0 || fsync(fileno(file)) != 0 || fclose(file) != 0 ||
        rename(unfinished, path) != 0)
        bench_fail(options, unfinished, errno);
}

void bench_file_prepare(const struct bench_options *options)
{
    const char *path = file_path(options);
    struct stat status;
    off_t size = (off_t)BENCH_FILE_BLOCKS * BENCH_BLOCK_BYTES;
    if (stat(path, &status) != 0 || status.st_size != size)
        create_file(options, path);
    int fd = bench_file_open(options, false);
    static char buffer[1 << 16];
    ssize_t got;
    while ((got = read(fd, buffer, sizeof(buffer))) > 0)
        continue;
    if (got < 0)
        bench_fail(options, path, errno);
    close(fd);
}

int bench_file_open(const struct bench_options *options, bool direct)
{
    int fd = open(file_path(options), O_RDONLY | O_CLOEXEC | (direct ? O_DIRECT : 0));
    if (fd >= 0)
        return fd;
    if (direct && errno == EINVAL)
        return -EINVAL;
    bench_fail(options, file_path(options), errno);
}

char *bench_file_buffers(const struct bench_options *options, size_t count)
{
    void *buffers = aligned_alloc(BENCH_BLOCK_BYTES, count * BENCH_BLOCK_BYTES);
    if (buffers == NULL)
        bench_fail(options, "aligned_alloc", ENOMEM);
    memset(buffers, 0xff, count * BENCH_BLOCK_BYTES);
    return buffers;
}

uint64_t bench_file_seed(unsigned index)
{
    return UINT64_C(0x9e3779b97f4a7c15) * (index + 1);
}

uint64_t bench_file_next(uint64_t *state)
{
    return bench_random(state) % BENCH_FILE_BLOCKS;
}

uint64_t bench_file_right(const char *buffer, uint64_t block)
{
    uint64_t number;
    memcpy(&number, buffer, sizeof(number));
    return number == block ? 1 : 0;
}

struct bench_read_start bench_read_begin(void)
{
    return (struct bench_read_start){.wall_ns = bench_now(), .cpu_ns = bench_cpu_now()};
}

void bench_read_end(struct bench_options *options, const struct bench_read_case *which,
                    struct bench_read_start start, uint64_t right, uint64_t ops)
{
    double wall_ns = (double)(bench_now() - start.wall_ns);
    double cpu_ns = (double)(bench_cpu_now() - start.cpu_ns);
    bench_check(options, which->name, right, ops);
    bench_report(options, (struct bench_label){which->name, "rate", "ops/s"},
                 (double)ops * 1e9 / wall_ns);
    bench_report(options, (struct bench_label){which->name, "cpu", "ns/op"}, cpu_ns / (double)ops);
}

void bench_read_main(struct bench_options *options, int argc, char **argv,
                     void (*fn)(struct bench_options *options, const struct bench_read_case *which,
                                int fd))
{
    bench_parse(options, argc, argv);
    bench_file_prepare(options);
    for (options->run = -(int)options->warmups; options->run < (int)options->runs; options->run++) {
        for (size_t i = 0; i < BENCH_READ_CASES; i++) {
            const struct bench_read_case *which = &bench_read_cases[i];
            if (!bench_wants(options, which->name))
                continue;
            int fd = bench_file_open(options, which->direct);
            if (fd < 0) {
                bench_skip(options, which->name, "the file system refuses O_DIRECT");
                continue;
            }
            fn(options, which, fd);
            close(fd);
        }
    }
}
