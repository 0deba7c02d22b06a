/*
 * io/server.c - accepting connections, a task for each, and those that have none at rest.
 *
 * WHAT   An acceptor task for each listener waits until there are connections, takes them as far as
 *        there is room, and spawns a detached task for each. In the idle form a connection at rest
 *        is a poll op of its own on some worker's ring; its completion, in that worker's loop,
 *        spawns the task.
 *
 * STATE  of a connection
 *          RUNNING  a task is queued for it, or runs: it alone touches the connection
 *          RESTING  the ring has its poll; whoever completes that has the connection
 *        RESTING -> RUNNING, or the end, only by the completion; so nobody else ever needs to end
 *        it. Who wants it ended (the stop, the idle timeout) shuts the socket down, which completes
 *        the poll; the connection's lock keeps it RESTING meanwhile. It stays in the server's list
 *        from accept to close, under the server's lock.
 *
 * ORDERING
 *   REST   A task that lays its connection to rest stores RESTING, submits, then looks at stopping;
 *          the stopper sets stopping, then looks at each connection's state. All seq_cst: one of
 *          them shuts it down (both may).
 *        Another worker may complete the poll while the task is still in that (rescue.h): so the
 *        task has a hold of the connection until it has looked.
 *   LAST   open counts connections; the one that takes it to 0 while stopping tells the stopper.
 *          A connection gives up everything it has of the server before it counts itself out; the
 *          stopper holds the server until after that.
 *
 * STOP   1 stopping. 2 the acceptors are cancelled and awaited: no connection begins any more.
 *        3 those at rest are shut down. 4 until the deadline open is awaited. 5 killing: running
 *        handlers are cancelled, and those that are yet to start will not. 6 open is awaited.
 */
#include <skua/server.h>

#include <skua/event.h>
#include <skua/future.h>
#include <skua/semaphore.h>
#include <skua/scope.h>
#include <skua/socket.h>
#include <skua/task.h>
#include <skua/time.h>

#include "base/alloc.h"
#include "base/list.h"
#include "base/spin.h"
#include "io/net_call.h"
#include "sched/ops.h"
#include "sched/runtime_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1000000u
#define ACCEPT_MAX 16u
#define PAUSE_NS (UINT64_C(100) * SKUA_NS_PER_MS)

enum { RUNNING, RESTING };

struct skua_connection {
    skua_server *server;
    struct skua_list link; /* guarded by the server's lock */
    int fd;                /* -1 once it has been taken */
    _Atomic uint8_t state;
    _Atomic uint32_t holds; /* its own, and those of tasks that have just laid it to rest */
    struct skua_spin lock;
    skua_future *task;           /* that runs the handler; guarded by lock */
    _Atomic uint64_t resting_ns; /* since when */
    void *data;
};

/* In the idle form. The op is the ring's while the connection is RESTING. */
struct idle_connection {
    struct skua_connection connection; /* first */
    skua_op op;
};

struct acceptor {
    skua_server *server;
    int listener;
    skua_future *task;
};

struct skua_server {
    skua_server_options options; /* with the defaults filled in; constant */
    skua_semaphore room;         /* connections that may still be accepted */
    skua_event changed;          /* a connection has ended while somebody cared */
    _Atomic bool stopping;
    _Atomic bool killing;
    _Atomic bool paused; /* an acceptor waits for descriptors */
    int reserve;         /* a descriptor to be given up; guarded by lock; -1 if it is */
    _Atomic uint64_t open;
    _Atomic uint64_t accepted;
    _Atomic uint64_t refused;
    _Atomic uint64_t failed;
    _Atomic uint64_t pauses;
    struct skua_spin lock;
    struct skua_list connections; /* guarded by lock */
    skua_future *sweeper;         /* NULL without an idle timeout */
    size_t acceptor_count;
    struct acceptor acceptors[];
};

static void count(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed); /* relaxed: only read as a sum */
}

static bool is_idle_form(const skua_server *server)
{
    return (server->options.flags & SKUA_SERVER_IDLE) != 0;
}

/* Closing a socket that does not linger takes no time worth a hop. */
static SKUA_NOINLINE void close_socket(int fd)
{
    (void)close(fd);
}

/* ---- one connection -------------------------------------------------------------------------- */

/* Gives up a hold; the last one is the last thing a connection does; see LAST. */
static void connection_release(struct skua_connection *connection)
{
    skua_server *server = connection->server;
    /* acq_rel: what the other holder did comes before the free */
    if (atomic_fetch_sub_explicit(&connection->holds, 1, memory_order_acq_rel) != 1)
        return;
    free(connection);
    (void)skua_semaphore_release(&server->room);
    /* Somebody cares only then; the event is the server's last use but for the count. */
    if (atomic_load_explicit(&server->stopping, memory_order_seq_cst) ||
        atomic_load_explicit(&server->paused, memory_order_seq_cst))
        (void)skua_event_set(&server->changed);
    atomic_fetch_sub_explicit(&server->open, 1, memory_order_seq_cst); /* LAST */
}

static void connection_end(struct skua_connection *connection)
{
    skua_server *server = connection->server;
    if (server->options.closed != NULL)
        server->options.closed(connection, server->options.arg);
    skua_spin_lock(&server->lock);
    skua_list_remove(&connection->link);
    skua_spin_unlock(&server->lock);
    if (connection->fd >= 0)
        close_socket(connection->fd);
    connection_release(connection);
}

static intptr_t run_connection(void *arg);

/* Starts the task of a RUNNING connection; ends the connection if there is no memory for one. */
static void connection_start(struct skua_connection *connection)
{
    skua_server *server = connection->server;
    skua_task_options options = {.flags = SKUA_TASK_DETACHED | SKUA_TASK_STACK_NOW,
                                 .name = server->options.name,
                                 .stack_size_bytes = server->options.stack_size_bytes};
    if (skua_spawn_with(&options, run_connection, connection, NULL) == 0)
        return;
    count(&server->refused);
    connection_end(connection);
}

/* Shuts it down if it is at rest since @before_ns: then the ring completes its poll. */
static void shut_down(struct skua_connection *connection, uint64_t before_ns)
{
    skua_spin_lock(&connection->lock); /* it stays RESTING, and its descriptor open */
    if (atomic_load_explicit(&connection->state, memory_order_seq_cst) == RESTING && /* REST */
        /* relaxed: the sweep may be a turn late */
        atomic_load_explicit(&connection->resting_ns, memory_order_relaxed) <= before_ns)
        (void)skua_shutdown(connection->fd, SHUT_RD);
    skua_spin_unlock(&connection->lock);
}

/* In the loop of that worker, or of its rescuer: bytes have come, or the end, or an error. */
static void rest_over(skua_op *op)
{
    struct idle_connection *idle = skua_container_of(op, struct idle_connection, op);
    struct skua_connection *connection = &idle->connection;
    skua_server *server = connection->server;
    skua_spin_lock(&connection->lock);
    atomic_store_explicit(&connection->state, RUNNING, memory_order_seq_cst);
    skua_spin_unlock(&connection->lock);
    if (op->result < 0 || atomic_load_explicit(&server->stopping, memory_order_seq_cst))
        connection_end(connection);
    else
        connection_start(connection);
}

/* Leaves @connection to the ring of this worker. False: it cannot be, and is the caller's still. */
static bool connection_rest(struct skua_connection *connection)
{
    struct idle_connection *idle =
        skua_container_of(connection, struct idle_connection, connection);
    struct skua_thread *thread = skua_thread_self();
    skua_server *server = connection->server;
    if (thread->worker == NULL || connection->fd < 0)
        return false;
    int fd = connection->fd;
    idle->op = (skua_op){.code = SKUA_OP_POLL, .fd = fd, .flags = POLLIN | POLLRDHUP};
    /* relaxed: the sweep may be a turn late */
    atomic_store_explicit(&connection->resting_ns, skua_now(), memory_order_relaxed);
    atomic_store_explicit(&connection->state, RESTING, memory_order_seq_cst); /* REST */
    /* relaxed: its own hold is there. The poll may be over, and all after it, before we look. */
    atomic_fetch_add_explicit(&connection->holds, 1, memory_order_relaxed);
    if (skua_ops_submit_bare(thread->worker, &idle->op, rest_over) < 0) {
        atomic_fetch_sub_explicit(&connection->holds, 1, memory_order_relaxed); /* the same */
        atomic_store_explicit(&connection->state, RUNNING, memory_order_seq_cst);
        return false;
    }
    if (atomic_load_explicit(&server->stopping, memory_order_seq_cst)) /* REST */
        shut_down(connection, SKUA_FOREVER);
    connection_release(connection);
    return true;
}

/* Makes this task the connection's, for cancelling. False: the server is past that. */
static bool connection_adopt(struct skua_connection *connection)
{
    skua_spin_lock(&connection->lock);
    bool alive = !atomic_load_explicit(&connection->server->killing, memory_order_seq_cst);
    connection->task = alive ? skua_self() : NULL;
    skua_spin_unlock(&connection->lock);
    return alive;
}

static void connection_abandon(struct skua_connection *connection)
{
    skua_spin_lock(&connection->lock);
    connection->task = NULL;
    skua_spin_unlock(&connection->lock);
}

static intptr_t run_connection(void *arg)
{
    struct skua_connection *connection = arg;
    skua_server *server = connection->server;
    intptr_t result = 0;
    if (connection_adopt(connection)) {
        result = server->options.handle(connection, server->options.arg);
        connection_abandon(connection);
        if (result < 0 && result >= -4095)
            count(&server->failed);
    }
    bool keep = is_idle_form(server) && result == SKUA_CONNECTION_KEEP &&
                !atomic_load_explicit(&server->stopping, memory_order_seq_cst) && !skua_cancelled();
    if (!keep || !connection_rest(connection))
        connection_end(connection);
    return 0;
}

/* A connection for @fd, in the server's list. NULL: no memory. */
static struct skua_connection *connection_create(skua_server *server, int fd)
{
    size_t size =
        is_idle_form(server) ? sizeof(struct idle_connection) : sizeof(struct skua_connection);
    struct skua_connection *connection = skua_calloc(1, size);
    if (connection == NULL)
        return NULL;
    connection->server = server;
    connection->fd = fd;
    atomic_init(&connection->holds, 1);
    skua_spin_init(&connection->lock);
    atomic_fetch_add_explicit(&server->open, 1, memory_order_seq_cst);
    skua_spin_lock(&server->lock);
    skua_list_push(&server->connections, &connection->link);
    skua_spin_unlock(&server->lock);
    return connection;
}

/* ---- accepting ------------------------------------------------------------------------------- */

/* Gives a new connection its task; consumes one of the room. */
static void admit(skua_server *server, int fd)
{
    struct skua_connection *connection = connection_create(server, fd);
    count(&server->accepted); /* after it counts as open: else it would seem to have gone */
    if (connection != NULL) {
        if (!is_idle_form(server) || !connection_rest(connection))
            connection_start(connection);
        return;
    }
    count(&server->refused);
    close_socket(fd);
    (void)skua_semaphore_release(&server->room);
}

static int accept_now(int listener)
{
    return skua_net_accept(listener, NULL, NULL, SOCK_CLOEXEC);
}

/* Takes what has come, as far as there is room. 0 after a full turn, else why it ended. */
static int accept_some(struct acceptor *acceptor)
{
    skua_server *server = acceptor->server;
    for (unsigned n = 0; n < server->options.accept_max; n++) {
        int rc = skua_semaphore_acquire(&server->room);
        if (rc < 0)
            return rc;
        int fd = accept_now(acceptor->listener);
        if (fd < 0) {
            (void)skua_semaphore_release(&server->room);
            return fd;
        }
        admit(server, fd);
    }
    return 0;
}

static SKUA_NOINLINE int open_reserve(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* There are no descriptors: turns one connection away, so that its peer does not wait in vain. */
static void turn_away(struct acceptor *acceptor)
{
    skua_server *server = acceptor->server;
    skua_spin_lock(&server->lock);
    int reserve = server->reserve;
    server->reserve = -1;
    skua_spin_unlock(&server->lock);
    if (reserve < 0)
        return; /* another acceptor has it, or it could not be had again */
    close_socket(reserve);
    int fd = accept_now(acceptor->listener);
    if (fd >= 0) {
        count(&server->refused);
        close_socket(fd);
    }
    reserve = open_reserve();
    skua_spin_lock(&server->lock);
    server->reserve = reserve;
    skua_spin_unlock(&server->lock);
}

/* Waits until a connection is closed, or a little. 0 or -ECANCELED. */
static int pause_accepting(struct acceptor *acceptor)
{
    skua_server *server = acceptor->server;
    count(&server->pauses);
    turn_away(acceptor);
    (void)skua_event_clear(&server->changed);
    atomic_store_explicit(&server->paused, true, memory_order_seq_cst);
    int rc = skua_event_wait_until(&server->changed, skua_after(PAUSE_NS));
    atomic_store_explicit(&server->paused, false, memory_order_seq_cst);
    return rc == -ECANCELED ? rc : 0;
}

/* What to do before the next look at the listener. 0: goes on; an error: the end. */
static int recover(struct acceptor *acceptor, int result)
{
    switch (result) {
    case 0:
        return skua_yield(); /* there may be more: others first */
    case -EAGAIN:
        return 0;
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ENOBUFS:
        return pause_accepting(acceptor);
    case -ECANCELED:
        return result;
    default: /* of that connection: gone; of the listener: must not spin */
        return skua_sleep(SKUA_NS_PER_MS) == -ECANCELED ? -ECANCELED : 0;
    }
}

static intptr_t run_acceptor(void *arg)
{
    struct acceptor *acceptor = arg;
    int rc = 0;
    while (rc >= 0) {
        rc = skua_poll(acceptor->listener, POLLIN);
        if (rc >= 0)
            rc = accept_some(acceptor);
        rc = recover(acceptor, rc);
    }
    return 0; /* only a cancel ends it */
}

/* ---- the idle timeout ------------------------------------------------------------------------ */

/* Shuts down what rests since before @before_ns; all of it if that is SKUA_FOREVER. */
static void sweep(skua_server *server, uint64_t before_ns)
{
    skua_spin_lock(&server->lock);
    for (struct skua_list *link = server->connections.next; link != &server->connections;
         link = link->next) {
        struct skua_connection *connection = skua_container_of(link, struct skua_connection, link);
        shut_down(connection, before_ns);
    }
    skua_spin_unlock(&server->lock);
}

static intptr_t run_sweeper(void *arg)
{
    skua_server *server = arg;
    uint64_t timeout_ns = server->options.idle_timeout_ns;
    /* Without memory for a timer it looks too soon, and again. */
    while (skua_sleep(timeout_ns / 4 + 1) != -ECANCELED && skua_yield() == 0) {
        uint64_t now_ns = skua_now();
        if (now_ns > timeout_ns)
            sweep(server, now_ns - timeout_ns);
    }
    return 0;
}

/* ---- start and stop -------------------------------------------------------------------------- */

static SKUA_NOINLINE int prepare_listener(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
        return -errno;
    int listens = 0;
    int rc = skua_net_get_option(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens);
    if (rc < 0)
        return rc;
    if (!listens)
        return -EINVAL;
    (void)skua_net_set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* no TCP: no such thing */
    return 0;
}

static int check_options(const skua_server_options *options)
{
    if (options == NULL || options->listeners == NULL || options->listener_count == 0 ||
        options->handle == NULL || (options->flags & ~SKUA_SERVER_IDLE) != 0 ||
        options->reserved_field != 0)
        return -EINVAL;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    for (size_t i = 0; i < options->listener_count; i++) {
        int rc = prepare_listener(options->listeners[i]);
        if (rc < 0)
            return rc;
    }
    return 0;
}

static int server_create(const skua_server_options *options, skua_server **out)
{
    size_t size = sizeof(skua_server) + options->listener_count * sizeof(struct acceptor);
    skua_server *server = skua_calloc(1, size);
    if (server == NULL)
        return -ENOMEM;
    server->options = *options;
    if (server->options.connections_max == 0)
        server->options.connections_max = CONNECTIONS_MAX;
    if (server->options.accept_max == 0)
        server->options.accept_max = ACCEPT_MAX;
    if (server->options.name == NULL)
        server->options.name = "connection";
    server->room = (skua_semaphore)SKUA_SEMAPHORE_INIT(server->options.connections_max);
    server->changed = (skua_event)SKUA_EVENT_INIT;
    skua_spin_init(&server->lock);
    skua_list_init(&server->connections);
    server->reserve = open_reserve();
    if (server->reserve < 0) {
        free(server);
        return -EMFILE;
    }
    for (size_t i = 0; i < options->listener_count; i++)
        server->acceptors[i] =
            (struct acceptor){.server = server, .listener = options->listeners[i]};
    *out = server;
    return 0;
}

static void server_free(skua_server *server)
{
    if (server->reserve >= 0)
        close_socket(server->reserve);
    free(server);
}

/* Cancels a task and waits for it. The caller is shielded, or a thread. */
static void end_task(skua_future *task)
{
    if (task == NULL)
        return;
    (void)skua_cancel(task);
    (void)skua_await(task);
}

static void end_acceptors(skua_server *server)
{
    for (size_t i = 0; i < server->acceptor_count; i++)
        (void)skua_cancel(server->acceptors[i].task);
    for (size_t i = 0; i < server->acceptor_count; i++)
        (void)skua_await(server->acceptors[i].task);
    end_task(server->sweeper);
}

static int start_tasks(skua_server *server)
{
    skua_task_options options = {.name = "acceptor", .flags = SKUA_TASK_STACK_NOW};
    for (size_t i = 0; i < server->options.listener_count; i++) {
        struct acceptor *acceptor = &server->acceptors[i];
        int rc = skua_spawn_with(&options, run_acceptor, acceptor, &acceptor->task);
        if (rc < 0)
            return rc;
        server->acceptor_count++;
    }
    if (!is_idle_form(server) || server->options.idle_timeout_ns == 0)
        return 0;
    options.name = "idle timeouts";
    return skua_spawn_with(&options, run_sweeper, server, &server->sweeper);
}

int skua_server_start(const skua_server_options *options, skua_server **server)
{
    struct skua_thread *thread = skua_thread_self();
    if (server == NULL)
        return -EINVAL;
    if (thread != NULL && thread->forked)
        return -ECHILD;
    if (thread == NULL)
        return -EPERM;
    int rc = check_options(options);
    if (rc < 0)
        return rc;
    skua_server *made = NULL;
    rc = server_create(options, &made);
    if (rc < 0)
        return rc;
    rc = start_tasks(made);
    if (rc < 0) {
        (void)skua_server_stop(made, 0);
        return rc;
    }
    *server = made;
    return 0;
}

/* Waits until no connection is open, or the time has come. */
static bool await_closed(skua_server *server, uint64_t deadline_ns)
{
    for (;;) {
        (void)skua_event_clear(&server->changed);
        if (atomic_load_explicit(&server->open, memory_order_seq_cst) == 0)
            return true;
        /* The event comes just before the count: hence not for ever. */
        uint64_t look_ns = skua_after(SKUA_NS_PER_MS);
        if (skua_now() >= deadline_ns)
            return false;
        (void)skua_event_wait_until(&server->changed, skua_min(look_ns, deadline_ns));
    }
}

/* Cancels the handlers that run; returns how many. */
static int64_t kill_handlers(skua_server *server)
{
    int64_t killed = 0;
    atomic_store_explicit(&server->killing, true, memory_order_seq_cst);
    skua_spin_lock(&server->lock);
    for (struct skua_list *link = server->connections.next; link != &server->connections;
         link = link->next) {
        struct skua_connection *connection = skua_container_of(link, struct skua_connection, link);
        skua_spin_lock(&connection->lock);
        if (connection->task != NULL) {
            (void)skua_cancel(connection->task);
            killed++;
        }
        skua_spin_unlock(&connection->lock);
    }
    skua_spin_unlock(&server->lock);
    return killed;
}

static int64_t stop(skua_server *server, uint64_t deadline_ns)
{
    int64_t killed = 0;
    atomic_store_explicit(&server->stopping, true, memory_order_seq_cst); /* REST */
    end_acceptors(server);
    sweep(server, SKUA_FOREVER);
    if (!await_closed(server, deadline_ns)) {
        killed = kill_handlers(server);
        (void)await_closed(server, SKUA_FOREVER);
    }
    server_free(server);
    return killed;
}

int64_t skua_server_stop(skua_server *server, uint64_t deadline_ns)
{
    struct skua_thread *thread = skua_thread_self();
    if (server == NULL)
        return 0;
    if (thread != NULL && thread->forked)
        return -ECHILD;
    skua_shield shield;
    bool shielded = skua_shield_open(&shield) == 0; /* not on a thread: nobody cancels it there */
    int64_t killed = stop(server, deadline_ns);
    if (shielded)
        (void)skua_shield_close(&shield);
    return killed;
}

int skua_server_get_stats(skua_server *server, skua_server_stats *stats)
{
    if (server == NULL || stats == NULL)
        return -EINVAL;
    /* relaxed, all: counters, no snapshot */
    *stats = (skua_server_stats){
        .accepted = atomic_load_explicit(&server->accepted, memory_order_relaxed),
        .refused = atomic_load_explicit(&server->refused, memory_order_relaxed),
        .failed = atomic_load_explicit(&server->failed, memory_order_relaxed),
        .open = atomic_load_explicit(&server->open, memory_order_relaxed),
        .pauses = atomic_load_explicit(&server->pauses, memory_order_relaxed)};
    return 0;
}

int skua_serve(const skua_server_options *options)
{
    skua_server *server = NULL;
    int rc = skua_server_start(options, &server);
    if (rc < 0)
        return rc;
    uint64_t drain_ns = server->options.drain_ns;
    while (skua_sleep_until(SKUA_FOREVER) == 0) {
    }
    (void)skua_server_stop(server, drain_ns == 0 ? 0 : skua_after(drain_ns));
    return -ECANCELED;
}

int skua_connection_fd(const skua_connection *connection)
{
    if (connection == NULL)
        return -EINVAL;
    return connection->fd < 0 ? -EBADF : connection->fd;
}

int skua_connection_take(skua_connection *connection)
{
    int fd = skua_connection_fd(connection);
    if (fd >= 0)
        connection->fd = -1;
    return fd;
}

bool skua_connection_draining(const skua_connection *connection)
{
    return connection != NULL &&
           atomic_load_explicit(&connection->server->stopping, memory_order_seq_cst);
}

void **skua_connection_data(skua_connection *connection)
{
    return connection != NULL ? &connection->data : NULL;
}
