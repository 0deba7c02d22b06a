/*
 * io/dial.c - connecting to the first address that answers: happy eyeballs.
 *
 * HOW    Attempts are connects that do not block, so one caller makes all of them, on any kind of
 *        thread: no task or thread for each. It waits for one descriptor, that of an epoll instance
 *        with those of all attempts in it, until an attempt is over or the next is due.
 *
 *            start the next if it is due (its delay is over, or the one before it has failed)
 *            wait until an attempt is over, the next is due, or the deadline
 *            look at those that are over: the first without an error has won
 *
 * STATE  An attempt that runs has its descriptor in fds, whose index is its event's; otherwise -1.
 *        All belongs to the caller, whose way out closes what is there. Closing a descriptor gives
 *        an attempt up and takes it out of the epoll instance.
 *
 * SEE    RFC 8305: section 4 is order_addresses(), section 5 is the loop. Sections 3 and 7 do not
 *        apply: getaddrinfo(3) gives both families at once.
 */
#include <skua/net.h>

#include <skua/scope.h>
#include <skua/socket.h>
#include <skua/task.h>
#include <skua/time.h>

#include "base/check.h"
#include "base/compiler.h"
#include "io/address.h"
#include "io/net_call.h"
#include "io/socket_hint.h"
#include "platform/clock.h"
#include "platform/vthread.h"
#include "sched/worker.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define ATTEMPT_DELAY_NS (250 * SKUA_NS_PER_MS) /* RFC 8305, 8: recommended */
#define PENDING 1                               /* an attempt's result: it goes on */

/* Between two tries at a Unix socket whose backlog is full. */
#define UNIX_PAUSE_MIN_NS SKUA_NS_PER_MS
#define UNIX_PAUSE_MAX_NS (32 * SKUA_NS_PER_MS)

#define SIM_LOOK_NS (50 * SKUA_NS_PER_US) /* between two looks of a simulated thread */

struct dial {
    const skua_address *addresses; /* constant, like the next five */
    const skua_dial_options *options;
    uint64_t deadline_ns;
    uint64_t delay_ns;
    unsigned count; /* of order */
    int epoll_fd;
    unsigned next;                                /* of order: to be tried */
    unsigned running;                             /* attempts */
    uint64_t due_ns;                              /* when the next is to be tried */
    int error;                                    /* to be told if all fail; 0: none has */
    unsigned char order[SKUA_DIAL_ADDRESSES_MAX]; /* indices of addresses */
    int fds[SKUA_DIAL_ADDRESSES_MAX];             /* by place in order */
};

static SKUA_NOINLINE int result_of(int returned)
{
    return returned < 0 ? -errno : returned;
}

/* ---- waiting --------------------------------------------------------------------------------- */

/* On a thread that may block: no cancel reaches it. */
static int block_until_ready(int fd, short events, uint64_t deadline_ns)
{
    for (;;) {
        struct pollfd entry = {.fd = fd, .events = events};
        struct timespec left;
        uint64_t now_ns = skua_clock_now();
        uint64_t left_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
        left.tv_sec = (time_t)(left_ns / SKUA_NS_PER_SEC);
        left.tv_nsec = (long)(left_ns % SKUA_NS_PER_SEC);
        int rc = result_of(ppoll(&entry, 1, deadline_ns == SKUA_FOREVER ? NULL : &left, NULL));
        if (rc != -EINTR)
            return rc == 0 ? -ETIMEDOUT : skua_min(rc, 0);
    }
}

/* The same in a simulation, where nobody else would run while a thread blocks. */
static int look_until_ready(int fd, short events, uint64_t deadline_ns)
{
    for (;;) { /* until the deadline */
        struct pollfd entry = {.fd = fd, .events = events};
        uint64_t now_ns = skua_clock_now();
        int rc = result_of(poll(&entry, 1, 0));
        if (rc != 0 && rc != -EINTR)
            return skua_min(rc, 0);
        if (now_ns >= deadline_ns)
            return -ETIMEDOUT;
        skua_vthread_stall(skua_min(now_ns + SIM_LOOK_NS, deadline_ns));
    }
}

/* Parks. The deadline is that of a scope of its own. */
static int park_until_ready(int fd, unsigned events, uint64_t deadline_ns)
{
    skua_scope scope;
    skua_scope_options options = {.deadline_ns = deadline_ns};
    if (deadline_ns == SKUA_FOREVER)
        return skua_poll(fd, events);
    int rc = skua_scope_open(&scope, &options);
    if (rc < 0)
        return rc;
    int result = skua_poll(fd, events);
    rc = skua_scope_close(&scope);
    return result == -ECANCELED && rc == -ETIMEDOUT ? rc : result;
}

/* 0: an attempt is over. -ETIMEDOUT, -ECANCELED, -ENOMEM. */
static int wait_for_attempts(const struct dial *dial, uint64_t deadline_ns)
{
    const struct skua_thread *thread = skua_thread_self();
    bool may_block = thread == NULL || thread->worker == NULL;
    int rc;
    if (!may_block)
        rc = park_until_ready(dial->epoll_fd, POLLIN, deadline_ns);
    else if (skua_vthread_simulated())
        rc = look_until_ready(dial->epoll_fd, POLLIN, deadline_ns);
    else
        rc = block_until_ready(dial->epoll_fd, POLLIN, deadline_ns);
    return skua_min(rc, 0);
}

/* ---- one attempt ----------------------------------------------------------------------------- */

/* A socket for @address, bound and with its options. */
static int make_socket(const struct dial *dial, const skua_address *address, int flags)
{
    const skua_address *local = dial->options->local;
    bool is_inet = address->any.sa_family != AF_UNIX;
    int fd = skua_net_socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    if (fd < 0)
        return fd;
    int rc = 0;
    if (is_inet && !(dial->options->flags & SKUA_DIAL_NAGLE))
        rc = skua_net_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    if (rc == 0 && local != NULL)
        rc = skua_net_bind(fd, &local->any, local->size);
    if (rc == 0)
        return fd;
    (void)close(fd);
    return rc;
}

/*
 * Whether a TCP socket is connected to itself. It happens where nobody listens at a port of this
 * host that the kernel has just chosen for the socket, and is no connection to anybody.
 */
static bool is_own_peer(int fd)
{
    skua_address own;
    skua_address peer;
    return skua_address_of_socket(fd, &own) == 0 && skua_address_of_peer(fd, &peer) == 0 &&
           own.size == peer.size && memcmp(&own.storage, &peer.storage, own.size) == 0;
}

/* What became of an attempt that is over. 0: it is connected, and blocking from now on. */
static int conclude(int fd)
{
    int error = 0;
    int rc = skua_net_get_option(fd, SOL_SOCKET, SO_ERROR, &error);
    if (rc < 0 || error != 0)
        return rc < 0 ? rc : -error;
    if (is_own_peer(fd))
        return -ECONNREFUSED;
    int flags = result_of(fcntl(fd, F_GETFL));
    return flags < 0 ? flags : result_of(fcntl(fd, F_SETFL, flags & ~O_NONBLOCK));
}

/*
 * A Unix socket is connected at once, or its peer's backlog is full. The kernel has nothing to poll
 * then, and a connect(2) that blocks is a thread that no deadline reaches; so it is tried again,
 * less and less often. A descriptor, or -errno.
 */
static int connect_unix(const struct dial *dial, const skua_address *address)
{
    uint64_t pause_ns = UNIX_PAUSE_MIN_NS;
    int fd = make_socket(dial, address, SOCK_NONBLOCK);
    if (fd < 0)
        return fd;
    int rc;
    while ((rc = skua_net_connect(fd, &address->any, address->size)) == -EAGAIN) {
        uint64_t now_ns = skua_clock_now();
        rc = now_ns < dial->deadline_ns
                 ? skua_sleep_until(skua_min(now_ns + pause_ns, dial->deadline_ns))
                 : -ETIMEDOUT;
        if (rc < 0)
            break;
        pause_ns = skua_min(2 * pause_ns, UNIX_PAUSE_MAX_NS);
    }
    if (rc == 0)
        rc = conclude(fd);
    if (rc == 0)
        return fd;
    (void)close(fd);
    return rc;
}

/* ---- all of them ----------------------------------------------------------------------------- */

/* Whether a failure tells something of the peer, or the way there, rather than of this host. */
static bool is_telling(int error)
{
    return error == -ECONNREFUSED || error == -ECONNRESET || error == -ETIMEDOUT ||
           error == -EHOSTUNREACH || error == -EHOSTDOWN;
}

/* An attempt has failed: the next is due now. */
static void note_failure(struct dial *dial, int error)
{
    skua_assert(error < 0);
    if (dial->error == 0 || (!is_telling(dial->error) && is_telling(error)))
        dial->error = error;
    dial->due_ns = 0;
}

/* Gives an attempt up, or lets go of it. */
static void drop(struct dial *dial, unsigned place)
{
    (void)close(dial->fds[place]);
    dial->fds[place] = -1;
    dial->running--;
}

/* The descriptor of an attempt that has won, out of the epoll instance. */
static int take(struct dial *dial, unsigned place)
{
    int fd = dial->fds[place];
    (void)epoll_ctl(dial->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
    dial->fds[place] = -1;
    dial->running--;
    return fd;
}

/* Begins the attempt at @place. 0: it is connected already, as *@fd; PENDING; -errno. */
static int begin(struct dial *dial, unsigned place, int *fd)
{
    const skua_address *address = &dial->addresses[dial->order[place]];
    *fd = address->any.sa_family == AF_UNIX ? connect_unix(dial, address)
                                            : make_socket(dial, address, SOCK_NONBLOCK);
    if (*fd < 0 || address->any.sa_family == AF_UNIX)
        return skua_min(*fd, 0);
    int rc = skua_net_connect(*fd, &address->any, address->size);
    if (rc == -EINPROGRESS || rc == -EINTR) {
        struct epoll_event event = {.events = EPOLLOUT, .data.u32 = place};
        rc = result_of(epoll_ctl(dial->epoll_fd, EPOLL_CTL_ADD, *fd, &event));
        if (rc == 0) {
            dial->fds[place] = *fd;
            dial->running++;
            return PENDING;
        }
    } else if (rc == 0) {
        rc = conclude(*fd);
    }
    if (rc < 0)
        (void)close(*fd);
    return rc;
}

/* Looks at the attempts that are over. The descriptor of the first that has won, or -EAGAIN. */
static int look(struct dial *dial)
{
    struct epoll_event events[SKUA_DIAL_ADDRESSES_MAX];
    int count = result_of(epoll_wait(dial->epoll_fd, events, SKUA_DIAL_ADDRESSES_MAX, 0));
    for (int i = 0; i < count; i++) {
        unsigned place = events[i].data.u32;
        int rc = conclude(dial->fds[place]);
        if (rc == 0)
            return take(dial, place);
        drop(dial, place);
        note_failure(dial, rc);
    }
    return -EAGAIN;
}

static uint64_t sum_ns(uint64_t a, uint64_t b)
{
    return a > SKUA_FOREVER - b ? SKUA_FOREVER : a + b;
}

/* The loop at the head of this file. A descriptor, or -errno. */
static int race(struct dial *dial)
{
    for (;;) {
        int fd;
        uint64_t now_ns = skua_clock_now();
        if (skua_cancelled())
            return -ECANCELED;
        if (now_ns >= dial->deadline_ns)
            return -ETIMEDOUT;
        if (dial->next < dial->count && now_ns >= dial->due_ns) {
            dial->due_ns = sum_ns(now_ns, dial->delay_ns);
            int rc = begin(dial, dial->next++, &fd);
            if (rc == 0)
                return fd;
            if (rc < 0) {
                note_failure(dial, rc);
                continue; /* a cancel or the deadline may have been the reason */
            }
        }
        if (dial->running == 0) {
            skua_assert(dial->next == dial->count); /* else the next would have been due */
            return dial->error;
        }
        uint64_t until_ns = dial->next < dial->count ? dial->due_ns : SKUA_FOREVER;
        int rc = wait_for_attempts(dial, skua_min(until_ns, dial->deadline_ns));
        fd = look(dial);
        if (fd >= 0)
            return fd;
        if (rc < 0 && rc != -ETIMEDOUT)
            return rc;
    }
}

/* Whether @address is to be dialled at all. */
static bool is_wanted(const skua_address *address, const skua_dial_options *options)
{
    int family = address->any.sa_family;
    return (options->family == AF_UNSPEC || options->family == family) &&
           (options->local == NULL || options->local->any.sa_family == family);
}

/* Those that are wanted, in their order, but the family of the first and the others by turns. */
static void order_addresses(struct dial *dial, unsigned count)
{
    unsigned char firsts[SKUA_DIAL_ADDRESSES_MAX];
    unsigned char others[SKUA_DIAL_ADDRESSES_MAX];
    unsigned first_count = 0;
    unsigned other_count = 0;
    for (unsigned i = 0; i < count; i++) {
        if (!is_wanted(&dial->addresses[i], dial->options))
            continue;
        if (first_count == 0 ||
            dial->addresses[i].any.sa_family == dial->addresses[firsts[0]].any.sa_family)
            firsts[first_count++] = (unsigned char)i;
        else
            others[other_count++] = (unsigned char)i;
    }
    for (unsigned i = 0; i < skua_max(first_count, other_count); i++) {
        if (i < first_count)
            dial->order[dial->count++] = firsts[i];
        if (i < other_count)
            dial->order[dial->count++] = others[i];
    }
}

static int dial_ordered(struct dial *dial)
{
    dial->epoll_fd = result_of(epoll_create1(EPOLL_CLOEXEC));
    if (dial->epoll_fd < 0)
        return dial->epoll_fd;
    int rc = race(dial);
    for (unsigned i = 0; i < dial->count; i++) {
        if (dial->fds[i] >= 0)
            drop(dial, i);
    }
    skua_assert(dial->running == 0);
    (void)close(dial->epoll_fd);
    return rc;
}

static int check_options(const skua_dial_options *options)
{
    uint64_t reserved = options->flags & ~SKUA_DIAL_NAGLE;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++)
        reserved |= options->reserved[i];
    if (reserved != 0 || (options->local != NULL && !skua_address_is_sized(options->local)))
        return -EINVAL;
    if (options->family != AF_UNSPEC && options->family != AF_INET && options->family != AF_INET6)
        return -EAFNOSUPPORT;
    return 0;
}

static const skua_dial_options defaults = {0};

int skua_dial_addresses(const skua_address *addresses, size_t count,
                        const skua_dial_options *options)
{
    const struct skua_thread *thread = skua_thread_self();
    if (options == NULL)
        options = &defaults;
    if (addresses == NULL || count == 0 || count > SKUA_DIAL_ADDRESSES_MAX)
        return -EINVAL;
    int rc = check_options(options);
    for (size_t i = 0; i < count && rc == 0; i++)
        rc = skua_address_is_sized(&addresses[i]) ? 0 : -EINVAL;
    if (rc < 0)
        return rc;
    if (thread != NULL && thread->forked)
        return -ECHILD;
    struct dial dial = {
        .addresses = addresses,
        .options = options,
        .deadline_ns = options->deadline_ns != 0 ? options->deadline_ns : SKUA_FOREVER,
        .delay_ns = options->attempt_delay_ns != 0 ? options->attempt_delay_ns : ATTEMPT_DELAY_NS};
    for (unsigned i = 0; i < SKUA_DIAL_ADDRESSES_MAX; i++)
        dial.fds[i] = -1;
    skua_socket_hint_forget();
    order_addresses(&dial, (unsigned)count);
    return dial.count > 0 ? dial_ordered(&dial) : -EADDRNOTAVAIL;
}

int skua_dial(const char *host, const char *service, const skua_dial_options *options)
{
    skua_address addresses[SKUA_DIAL_ADDRESSES_MAX];
    ssize_t count = 1;
    if (options == NULL)
        options = &defaults;
    int rc = check_options(options);
    if (rc < 0)
        return rc;
    if (host != NULL && service == NULL && strncmp(host, "unix:", 5) == 0) {
        rc = skua_address_parse(host, &addresses[0]);
        if (rc < 0)
            return rc;
    } else if (service == NULL) {
        return -EINVAL;
    } else {
        skua_resolve_options how = {.deadline_ns = options->deadline_ns, .family = options->family};
        count = skua_resolve(host, service, &how, addresses, SKUA_DIAL_ADDRESSES_MAX);
        if (count < 0)
            return (int)count;
    }
    return skua_dial_addresses(addresses, (size_t)count, options);
}
