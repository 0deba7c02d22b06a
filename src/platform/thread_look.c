/*
 * platform/thread_look.c - see thread_look.h.
 */
#include "platform/thread_look.h"

#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define LINE_BYTES 256
#define STACK_BYTES 8192 /* looked through */
#define CHUNK_BYTES 512
#define RANGES_MAX 256u
#define CALL_BYTES 8u /* no call is longer; it ends at the return address */

int skua_thread_look(pid_t tid, struct skua_thread_look *look)
{
    char path[64];
    char line[LINE_BYTES];
    (void)snprintf(path, sizeof(path), "/proc/self/task/%d/syscall", (int)tid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, line, sizeof(line) - 1);
    int rc = n < 0 ? -errno : 0;
    (void)close(fd);
    if (rc < 0)
        return rc;
    line[n] = '\0';
    if (strncmp(line, "running", 7) == 0)
        return 0;
    /* "nr arg0 ... arg5 sp pc", or "-1 sp pc" */
    char *text = line;
    look->syscall = strtol(text, &text, 10);
    for (int i = 0; look->syscall >= 0 && i < 6; i++)
        (void)strtoull(text, &text, 16);
    look->sp = (uintptr_t)strtoull(text, &text, 16);
    look->pc = (uintptr_t)strtoull(text, &text, 16);
    return look->pc != 0 ? 1 : -EINVAL;
}

uint64_t skua_thread_cpu_ns(pid_t tid)
{
    /* As pthread_getcpuclockid() makes it: a thread's clock of the kind CPUCLOCK_SCHED. */
    clockid_t clock = (clockid_t)((~(unsigned)tid << 3) | 6u);
    struct timespec at;
    if (clock_gettime(clock, &at) != 0)
        return 0;
    return (uint64_t)at.tv_sec * UINT64_C(1000000000) + (uint64_t)at.tv_nsec;
}

bool skua_memory_look(void *to, const void *from, size_t size)
{
    struct iovec local = {.iov_base = to, .iov_len = size};
    struct iovec remote = {.iov_base = (void *)(uintptr_t)from, .iov_len = size};
    return process_vm_readv(getpid(), &local, 1, &remote, 1, 0) == (ssize_t)size;
}

/* Where code is mapped. */
struct ranges {
    size_t count;
    struct {
        uintptr_t begin, end;
    } of[RANGES_MAX];
};

static int add_ranges(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct ranges *ranges = arg;
    (void)size;
    for (size_t i = 0; i < info->dlpi_phnum && ranges->count < RANGES_MAX; i++) {
        const ElfW(Phdr) *header = &info->dlpi_phdr[i];
        if (header->p_type != PT_LOAD || !(header->p_flags & PF_X))
            continue;
        uintptr_t begin = info->dlpi_addr + header->p_vaddr;
        ranges->of[ranges->count].begin = begin;
        ranges->of[ranges->count].end = begin + header->p_memsz;
        ranges->count++;
    }
    return 0;
}

static bool is_code(const struct ranges *ranges, uintptr_t address)
{
    for (size_t i = 0; i < ranges->count; i++) {
        if (address - ranges->of[i].begin < ranges->of[i].end - ranges->of[i].begin)
            return true;
    }
    return false;
}

/* Whether a call instruction ends at @address. */
static bool is_behind_call(uintptr_t address)
{
    unsigned char code[CALL_BYTES];
    if (!skua_memory_look(code, (const void *)(address - CALL_BYTES), CALL_BYTES))
        return false;
    const unsigned char *end = code + CALL_BYTES;
#if defined(__x86_64__)
    if (end[-5] == 0xe8) /* call rel32 */
        return true;
    for (int length = 2; length <= 7; length++) { /* call r/m64: FF /2 */
        if (end[-length] == 0xff && ((end[-length + 1] >> 3) & 7) == 2)
            return true;
    }
    return false;
#elif defined(__aarch64__)
    uint32_t instruction;
    memcpy(&instruction, end - 4, sizeof(instruction));
    return (instruction & 0xfc000000u) == 0x94000000u || /* bl */
           (instruction & 0xfffffc1fu) == 0xd63f0000u;   /* blr */
#else
    (void)end;
    return false;
#endif
}

size_t skua_thread_frames(const struct skua_thread_look *look, void **frames, size_t max)
{
    struct ranges ranges = {.count = 0};
    size_t count = 0;
    (void)dl_iterate_phdr(add_ranges, &ranges);
    if (max > 0)
        frames[count++] = (void *)look->pc;
    uintptr_t at = look->sp / sizeof(uintptr_t) * sizeof(uintptr_t);
    while (at - look->sp < STACK_BYTES && count < max) {
        uintptr_t words[CHUNK_BYTES / sizeof(uintptr_t)];
        size_t size = CHUNK_BYTES - at % CHUNK_BYTES; /* the stack ends at such a boundary */
        if (!skua_memory_look(words, (const void *)at, size))
            break;
        at += size;
        for (size_t i = 0; i < size / sizeof(*words) && count < max; i++) {
            if (is_code(&ranges, words[i]) && is_behind_call(words[i]))
                frames[count++] = (void *)words[i];
        }
    }
    return count;
}
