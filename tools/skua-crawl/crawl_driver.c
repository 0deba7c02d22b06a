/*
 * crawl_driver.c - see crawl_driver.h.
 */
#include "crawl_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define INBOX_CAPACITY 256u
#define BATCH_MAX 64u /* messages between two looks at the timer */

enum message_kind { MESSAGE_START, MESSAGE_CANCEL, MESSAGE_READY };

/*
 * A socket that libcurl wants watched. The driver's, but for what its watcher reads: poll_fd, armed
 * and driver, which do not change while it runs.
 *
 * Invariant: while there is a watcher or its report is in the inbox, the watch stays. Without both,
 * poll_fd may be closed.
 */
struct watch {
    struct crawl_driver *driver;
    curl_socket_t curl_fd; /* libcurl's own; -1 when it wants no more */
    int poll_fd;           /* a duplicate of it */
    unsigned wanted;       /* POLLIN, POLLOUT */
    unsigned armed;        /* what the watcher waits for */
    skua_future *watcher;
    bool reported; /* the watcher has been awaited, but its report is still in the inbox */
    bool changed;  /* it is in the driver's list of those */
    struct watch *next_changed;
    struct watch *next; /* all there are */
    struct watch *previous;
};

struct message {
    enum message_kind kind;
    int events; /* of skua_poll() */
    union {
        struct crawl_transfer *transfer;
        struct watch *watch;
    } of;
};

struct crawl_driver {
    CURLM *multi;
    skua_channel *inbox;
    uint64_t timer_ns;     /* when libcurl wants to be called; SKUA_FOREVER */
    struct watch *changed; /* whose watchers are to be looked after */
    struct watch *watches; /* all there are */
};

/* ---- callbacks of libcurl's: they take notes, and wait for nothing --------------------------- */

static void note_change(struct watch *watch)
{
    if (watch->changed)
        return;
    watch->changed = true;
    watch->next_changed = watch->driver->changed;
    watch->driver->changed = watch;
}

static struct watch *add_watch(struct crawl_driver *driver, curl_socket_t fd)
{
    struct watch *watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return NULL;
    watch->driver = driver;
    watch->curl_fd = fd;
    watch->poll_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (watch->poll_fd < 0) {
        free(watch);
        return NULL;
    }
    watch->next = driver->watches;
    if (watch->next != NULL)
        watch->next->previous = watch;
    driver->watches = watch;
    (void)curl_multi_assign(driver->multi, fd, watch);
    return watch;
}

/* A socket that cannot be watched is left alone: its transfer ends by its timeout. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct crawl_driver *driver = arg;
    struct watch *watch = socket_arg;
    (void)easy;
    if (watch == NULL && what != CURL_POLL_REMOVE)
        watch = add_watch(driver, fd);
    if (watch == NULL)
        return 0;
    watch->wanted = 0;
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        watch->wanted |= POLLIN;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        watch->wanted |= POLLOUT;
    if (what == CURL_POLL_REMOVE) {
        watch->curl_fd = CURL_SOCKET_BAD;
        (void)curl_multi_assign(driver->multi, fd, NULL);
    }
    note_change(watch);
    return 0;
}

static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct crawl_driver *driver = arg;
    (void)multi;
    driver->timer_ns =
        timeout_ms < 0 ? SKUA_FOREVER : skua_after((uint64_t)timeout_ms * SKUA_NS_PER_MS);
    return 0;
}

/* ---- watching -------------------------------------------------------------------------------- */

/* A task. Returns 1 if it has reported. */
static intptr_t watch_socket(void *arg)
{
    struct watch *watch = arg;
    struct message message = {.kind = MESSAGE_READY, .of.watch = watch};
    message.events = skua_poll(watch->poll_fd, watch->armed);
    if (message.events == -ECANCELED)
        return 0;
    return skua_channel_send(watch->driver->inbox, &message) == 0;
}

static void free_watch(struct watch *watch)
{
    struct crawl_driver *driver = watch->driver;
    if (watch->previous != NULL)
        watch->previous->next = watch->next;
    else
        driver->watches = watch->next;
    if (watch->next != NULL)
        watch->next->previous = watch->previous;
    (void)close(watch->poll_fd);
    free(watch);
}

/* Makes what is watched what libcurl wants, unless a report is on its way: that comes back here. */
static void settle(struct watch *watch)
{
    bool removed = watch->curl_fd == CURL_SOCKET_BAD;
    if (watch->watcher != NULL && (removed || watch->armed != watch->wanted)) {
        (void)skua_cancel(watch->watcher);
        watch->reported = skua_await(watch->watcher) == 1;
        watch->watcher = NULL;
    }
    if (watch->watcher != NULL || watch->reported)
        return;
    if (removed) {
        free_watch(watch);
    } else if (watch->wanted != 0) {
        /* If it cannot be spawned the transfer ends by its timeout, as in on_socket(). */
        watch->armed = watch->wanted;
        watch->watcher = skua_spawn(watch_socket, watch);
    }
}

static void settle_changed(struct crawl_driver *driver)
{
    while (driver->changed != NULL) {
        struct watch *watch = driver->changed;
        driver->changed = watch->next_changed;
        watch->changed = false;
        settle(watch);
    }
}

/* ---- transfers ------------------------------------------------------------------------------- */

static void finish(struct crawl_transfer *transfer, CURLcode result)
{
    transfer->running = false;
    transfer->result = result;
    (void)skua_event_set(&transfer->done); /* from here on it may be gone */
}

static void start(struct crawl_driver *driver, struct crawl_transfer *transfer)
{
    if (curl_multi_add_handle(driver->multi, transfer->easy) == CURLM_OK)
        transfer->running = true;
    else
        finish(transfer, CURLE_OUT_OF_MEMORY);
}

static void cancel(struct crawl_driver *driver, struct crawl_transfer *transfer)
{
    if (transfer->running)
        (void)curl_multi_remove_handle(driver->multi, transfer->easy);
    transfer->running = false;
    (void)skua_event_set(&transfer->acknowledged);
}

static void finish_done(struct crawl_driver *driver)
{
    CURLMsg *message;
    int left = 0;
    while ((message = curl_multi_info_read(driver->multi, &left)) != NULL) {
        struct crawl_transfer *transfer = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        /* Removing the handle frees the message. */
        CURLcode result = message->data.result;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        (void)curl_multi_remove_handle(driver->multi, transfer->easy);
        finish(transfer, result);
    }
}

/* ---- the driver ------------------------------------------------------------------------------ */

static void act(struct crawl_driver *driver, curl_socket_t fd, int mask)
{
    int running = 0;
    (void)curl_multi_socket_action(driver->multi, fd, mask, &running);
}

/* An error of the socket is libcurl's to find, by reading or writing. */
static int mask_of(int events, unsigned wanted)
{
    int mask = 0;
    if (events < 0)
        return CURL_CSELECT_ERR;
    bool error = (events & (POLLERR | POLLHUP | POLLNVAL)) != 0;
    if ((wanted & POLLIN) != 0 && (error || (events & POLLIN) != 0))
        mask |= CURL_CSELECT_IN;
    if ((wanted & POLLOUT) != 0 && (error || (events & POLLOUT) != 0))
        mask |= CURL_CSELECT_OUT;
    return mask;
}

static void look_at(struct crawl_driver *driver, struct watch *watch, int events)
{
    watch->reported = false;
    if (watch->watcher != NULL)
        (void)skua_await(watch->watcher); /* it has reported and is about to end */
    watch->watcher = NULL;
    note_change(watch);
    int mask = mask_of(events, watch->wanted);
    if (watch->curl_fd != CURL_SOCKET_BAD && mask != 0)
        act(driver, watch->curl_fd, mask);
}

static void handle(struct crawl_driver *driver, const struct message *message)
{
    switch (message->kind) {
    case MESSAGE_START:
        start(driver, message->of.transfer);
        break;
    case MESSAGE_CANCEL:
        cancel(driver, message->of.transfer);
        break;
    case MESSAGE_READY:
        look_at(driver, message->of.watch, message->events);
        break;
    }
    /* Here, after each message: what the next one means may depend on it. */
    finish_done(driver);
    settle_changed(driver);
}

static void look_at_timer(struct crawl_driver *driver)
{
    if (skua_now() < driver->timer_ns)
        return;
    driver->timer_ns = SKUA_FOREVER; /* libcurl sets it again */
    act(driver, CURL_SOCKET_TIMEOUT, 0);
    finish_done(driver);
    settle_changed(driver);
}

/* Closes what libcurl keeps open, and ends the watchers that are left. */
static void end(struct crawl_driver *driver)
{
    struct message message;
    (void)curl_multi_setopt(driver->multi, CURLMOPT_SOCKETFUNCTION, NULL);
    (void)curl_multi_setopt(driver->multi, CURLMOPT_TIMERFUNCTION, NULL);
    (void)curl_multi_cleanup(driver->multi);
    driver->multi = NULL;
    for (struct watch *watch = driver->watches; watch != NULL; watch = watch->next) {
        watch->curl_fd = CURL_SOCKET_BAD;
        note_change(watch);
    }
    settle_changed(driver);
    while (skua_channel_try_recv(driver->inbox, &message) == 0) {
        if (message.kind == MESSAGE_READY)
            look_at(driver, message.of.watch, 0);
    }
    settle_changed(driver);
}

intptr_t skua_crawl_driver_run(void *arg)
{
    struct crawl_driver *driver = arg;
    struct message message;
    skua_shield shield;
    for (;;) {
        int rc = skua_channel_recv_until(driver->inbox, &message, driver->timer_ns);
        for (unsigned i = 0; rc == 0 && i < BATCH_MAX; i++) {
            handle(driver, &message);
            rc = skua_channel_try_recv(driver->inbox, &message);
        }
        if (rc == 0)
            handle(driver, &message);
        if (rc == -ECANCELED)
            break;
        look_at_timer(driver);
        if (rc == -ENOMEM) /* no room for a timer: others may give some back */
            (void)skua_yield();
    }
    (void)skua_shield_open(&shield);
    end(driver);
    (void)skua_shield_close(&shield);
    return 0;
}

int skua_crawl_driver_create(unsigned connections_max, struct crawl_driver **out)
{
    struct crawl_driver *driver = calloc(1, sizeof(*driver));
    if (driver == NULL)
        return -ENOMEM;
    driver->timer_ns = SKUA_FOREVER;
    driver->inbox = skua_channel_create(sizeof(struct message), INBOX_CAPACITY);
    driver->multi = curl_multi_init();
    if (driver->inbox == NULL || driver->multi == NULL) {
        skua_crawl_driver_destroy(driver);
        return -ENOMEM;
    }
    (void)curl_multi_setopt(driver->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(driver->multi, CURLMOPT_SOCKETDATA, driver);
    (void)curl_multi_setopt(driver->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(driver->multi, CURLMOPT_TIMERDATA, driver);
    (void)curl_multi_setopt(driver->multi, CURLMOPT_MAXCONNECTS, (long)connections_max);
    *out = driver;
    return 0;
}

void skua_crawl_driver_destroy(struct crawl_driver *driver)
{
    if (driver == NULL)
        return;
    if (driver->multi != NULL)
        (void)curl_multi_cleanup(driver->multi);
    skua_channel_unref(driver->inbox);
    free(driver);
}

/* ---- for the others -------------------------------------------------------------------------- */

/* The driver must have let go of @transfer before its frame goes, whatever has been cancelled. */
static int take_back(struct crawl_driver *driver, struct crawl_transfer *transfer)
{
    struct message message = {.kind = MESSAGE_CANCEL, .of.transfer = transfer};
    skua_shield shield;
    (void)skua_shield_open(&shield);
    if (skua_channel_send(driver->inbox, &message) == 0)
        (void)skua_event_wait(&transfer->acknowledged);
    (void)skua_shield_close(&shield);
    return skua_event_is_set(&transfer->done) ? 0 : -ECANCELED;
}

int skua_crawl_driver_perform(struct crawl_driver *driver, CURL *easy, CURLcode *result)
{
    struct crawl_transfer transfer = {.easy = easy};
    struct message message = {.kind = MESSAGE_START, .of.transfer = &transfer};
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, &transfer);
    int rc = skua_channel_send(driver->inbox, &message);
    if (rc < 0)
        return rc;
    if (skua_event_wait(&transfer.done) < 0)
        rc = take_back(driver, &transfer);
    if (rc == 0)
        *result = transfer.result;
    return rc;
}
