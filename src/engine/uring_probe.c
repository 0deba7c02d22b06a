/*
 * engine/uring_probe.c - makes a ring, as good a one as this kernel and these limits allow.
 *
 * Owns the ring's descriptors and their end; called by uring.c's create() and destroy() on the
 * owner thread. What must stay true: a failed open leaves no descriptor behind, and everything that
 * is less than the best stands in u->text with its reason.
 *
 * FLOOR  Linux 5.13: timeouts as an argument of enter (5.11), completions never dropped (5.5),
 *        multishot poll (5.13). Older kernels get -ENOSYS and another engine.
 *
 * MODES  Best first; a kernel answers -EINVAL to flags it does not know. IORING_SETUP_NO_SQARRAY is
 *        left out: liburing 2.3 would write its index array over the ring's head.
 */
#include "engine/uring_internal.h"

#include "platform/membarrier.h"
#include "platform/sanitizer.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ENTRIES_DEFAULT 256u
#define CQ_ENTRIES_DEFAULT 4096u
#define ENTRIES_MIN 8u /* ENOMEM halves the queue down to this */

/* Threads the kernel may start for one ring: bounded work (files), unbounded (pipes, sockets). */
#define IOWQ_BOUNDED_MAX 4u
#define IOWQ_UNBOUNDED_MAX 16u

#define FEATURES_NEEDED                                                                            \
    (IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_RW_CUR_POS | IORING_FEAT_EXT_ARG | \
     IORING_FEAT_RSRC_TAGS)

struct mode {
    unsigned flags;
    const char *text;
};

static const struct mode modes[] = {
    {IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
         IORING_SETUP_TASKRUN_FLAG,
     "single-issuer defer-taskrun taskrun-flag submit-all"}, /* 6.1 */
    {IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN |
         IORING_SETUP_TASKRUN_FLAG,
     "single-issuer coop-taskrun taskrun-flag submit-all"}, /* 6.0 */
    {IORING_SETUP_SUBMIT_ALL | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
     "coop-taskrun taskrun-flag submit-all"},      /* 5.19 */
    {IORING_SETUP_SUBMIT_ALL, "plain submit-all"}, /* 5.18 */
    {0, "plain"},
};
#define MODE_SHARED 2u /* the best that lets other threads enter; see RESCUE in uring.c */
#define MODE_COUNT ((unsigned)(sizeof(modes) / sizeof(modes[0])))

/* IORING_OP for each skua_op_code; READ_FIXED and WRITE_FIXED start as their plain forms. */
static const uint8_t opcodes[SKUA_OP_CODE_COUNT] = {
    [SKUA_OP_NOP] = IORING_OP_NOP,
    [SKUA_OP_OPENAT] = IORING_OP_OPENAT,
    [SKUA_OP_CLOSE] = IORING_OP_CLOSE,
    [SKUA_OP_READ] = IORING_OP_READ,
    [SKUA_OP_WRITE] = IORING_OP_WRITE,
    [SKUA_OP_READV] = IORING_OP_READV,
    [SKUA_OP_WRITEV] = IORING_OP_WRITEV,
    [SKUA_OP_READ_FIXED] = IORING_OP_READ,
    [SKUA_OP_WRITE_FIXED] = IORING_OP_WRITE,
    [SKUA_OP_FSYNC] = IORING_OP_FSYNC,
    [SKUA_OP_STATX] = IORING_OP_STATX,
    [SKUA_OP_FALLOCATE] = IORING_OP_FALLOCATE,
    [SKUA_OP_FTRUNCATE] = SKUA_IORING_OP_FTRUNCATE,
    [SKUA_OP_RENAMEAT] = IORING_OP_RENAMEAT,
    [SKUA_OP_UNLINKAT] = IORING_OP_UNLINKAT,
    [SKUA_OP_MKDIRAT] = IORING_OP_MKDIRAT,
    [SKUA_OP_LINKAT] = IORING_OP_LINKAT,
    [SKUA_OP_SYMLINKAT] = IORING_OP_SYMLINKAT,
    [SKUA_OP_SPLICE] = IORING_OP_SPLICE,
    [SKUA_OP_FADVISE] = IORING_OP_FADVISE,
    [SKUA_OP_MADVISE] = IORING_OP_MADVISE,
    [SKUA_OP_POLL] = IORING_OP_POLL_ADD,
    [SKUA_OP_ACCEPT] = IORING_OP_ACCEPT,
    [SKUA_OP_CONNECT] = IORING_OP_CONNECT,
    [SKUA_OP_SEND] = IORING_OP_SEND,
    [SKUA_OP_RECV] = IORING_OP_RECV,
    [SKUA_OP_SENDMSG] = IORING_OP_SENDMSG,
    [SKUA_OP_RECVMSG] = IORING_OP_RECVMSG,
    [SKUA_OP_SHUTDOWN] = IORING_OP_SHUTDOWN,
};

/* Adds words to u->text; what does not fit is cut. */
__attribute__((format(printf, 2, 3))) static void note(struct skua_uring *u, const char *format,
                                                       ...)
{
    size_t used = strlen(u->text);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(u->text + used, sizeof(u->text) - used, format, args);
    va_end(args);
}

/* One mode, with as many entries as memory allows. */
static int ring_init(struct skua_uring *u, unsigned flags, unsigned *entries, unsigned *cq_entries)
{
    for (;;) {
        struct io_uring_params params;
        memset(&params, 0, sizeof(params));
        params.flags = flags | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
        params.cq_entries = *cq_entries;
        int rc = io_uring_queue_init_params(*entries, &u->ring, &params);
        if (rc != -ENOMEM || *entries <= ENTRIES_MIN)
            return rc;
        *entries /= 2;
        *cq_entries = skua_max(*cq_entries / 2, *entries);
    }
}

/* The best mode the kernel takes. Returns its index or -errno. */
static int ring_open(struct skua_uring *u, const struct skua_engine_config *config)
{
    unsigned wanted = config->entries != 0 ? config->entries : ENTRIES_DEFAULT;
    unsigned cq_wanted = config->cq_entries != 0 ? config->cq_entries : CQ_ENTRIES_DEFAULT;
    unsigned entries = wanted;
    unsigned cq_entries = skua_max(cq_wanted, wanted);
    unsigned best = config->shared ? MODE_SHARED : 0;
    unsigned mode = skua_min(skua_max(config->mode_skip, best), MODE_COUNT - 1);
    int rc = ring_init(u, modes[mode].flags, &entries, &cq_entries);
    while (rc == -EINVAL && mode + 1 < MODE_COUNT) {
        mode++;
        rc = ring_init(u, modes[mode].flags, &entries, &cq_entries);
    }
    if (rc < 0)
        return rc;

    /* See uring_guess.h. Came with 5.19, as the modes up to the shared one did. */
    if (mode <= MODE_SHARED)
        u->receive_flags = IORING_RECVSEND_POLL_FIRST;
    note(u, "%s", modes[mode].text);
    if (config->mode_skip > best)
        note(u, " (better modes skipped: by configuration)");
    else if (mode > best)
        note(u, " (better modes skipped: kernel says EINVAL)");
    if (entries != wanted)
        note(u, " (queue halved to %u: ENOMEM)", entries);
    return 0;
}

/* Which opcodes there are. A kernel that cannot tell has none of the newer ones: -ENOSYS then. */
static int probe_opcodes(struct skua_uring *u)
{
    struct io_uring_probe *probe = io_uring_get_probe_ring(&u->ring);
    if (probe == NULL)
        return -ENOSYS;
    unsigned missing = 0;
    for (unsigned code = 0; code < SKUA_OP_CODE_COUNT; code++) {
        u->opcodes[code] = opcodes[code];
        if (!io_uring_opcode_supported(probe, opcodes[code])) {
            u->opcodes[code] = SKUA_URING_NO_OPCODE;
            missing++;
        }
    }
    io_uring_free_probe(probe);
    if (missing > 0)
        note(u, " (%u op codes offloaded: kernel lacks them)", missing);
    return 0;
}

/* What makes an enter cheaper or quieter, each if it is there. */
static void tune(struct skua_uring *u)
{
    int rc = io_uring_register_ring_fd(&u->ring);
    if (rc == 1) {
        u->enter_flags |= IORING_ENTER_REGISTERED_RING;
        note(u, " registered-fd");
    } else {
        note(u, " (ring fd not registered: %s)", rc < 0 ? strerrorname_np(-rc) : "refused");
    }

    if (u->ring.features & SKUA_IORING_FEAT_NO_IOWAIT) {
        u->enter_flags |= SKUA_IORING_ENTER_NO_IOWAIT;
        note(u, " no-iowait");
    }
    if (u->ring.features & SKUA_IORING_FEAT_MIN_TIMEOUT) {
        /* No feature bit of its own: absolute timers came with the same release, 6.12. */
        u->timer_absolute = true;
        note(u, " abs-timer");
    }
    if (u->ring.features & IORING_FEAT_CQE_SKIP)
        u->sqe_skip = IOSQE_CQE_SKIP_SUCCESS;

    unsigned workers[2] = {IOWQ_BOUNDED_MAX, IOWQ_UNBOUNDED_MAX};
    rc = io_uring_register_iowq_max_workers(&u->ring, workers);
    if (rc < 0)
        note(u, " (io-wq threads not limited: %s)", strerrorname_np(-rc));
}

/* Entry i of the queue is SQE i for good; liburing would rewrite this index at each submit. */
static void map_queue(struct skua_uring *u)
{
    for (unsigned i = 0; i < u->ring.sq.ring_entries; i++)
        u->ring.sq.array[i] = i;
}

/*
 * A ring may be mapped where another worker's was. liburing maps by bare system calls, which
 * ThreadSanitizer does not see: it is told here that the old ring's end came before the new one's
 * start.
 */
static char ring_memory;

int skua_uring_open(struct skua_uring *u, const struct skua_engine_config *config)
{
    u->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (u->wake_fd < 0)
        return -errno;

    int rc = ring_open(u, config);
    if (rc < 0) {
        (void)close(u->wake_fd);
        return rc;
    }

    rc = (u->ring.features & FEATURES_NEEDED) == FEATURES_NEEDED ? probe_opcodes(u) : -ENOSYS;
    if (rc == 0) /* a filter may refuse this call alone, and then nothing would ever be done */
        rc = io_uring_enter((unsigned)u->ring.ring_fd, 0, 0, 0, NULL);
    if (rc < 0) {
        skua_uring_close(u);
        return rc;
    }
    SKUA_TSAN_ACQUIRE(&ring_memory);
    u->shared = config->shared;
    u->may_poke = config->shared && skua_membarrier_init();
    map_queue(u);
    (void)io_uring_ring_dontfork(&u->ring); /* a forked child has no use for it; best effort */
    tune(u);
    note(u, " sq=%u cq=%u", u->ring.sq.ring_entries, u->ring.cq.ring_entries);
    return 0;
}

void skua_uring_close(struct skua_uring *u)
{
    skua_assert(u->wake_fd >= 0);
    SKUA_TSAN_RELEASE(&ring_memory);
    io_uring_queue_exit(&u->ring);
    (void)close(u->wake_fd);
}
