/*
 * proxy_check.c - health checks.
 *
 * A backend that expects a PROXY header gets one that says that the connection is the proxy's own,
 * as the protocol provides for checks. Checks do not count as connections of the backend.
 */
#include "proxy_check.h"

#include "proxy_header.h"
#include "proxy_log.h"

#include <errno.h>

/* 0 if the backend can be connected to, or -errno. */
static int try_backend(const struct proxy_check *check)
{
    const struct proxy_options *options = &check->proxy->options;
    unsigned char header[PROXY_HEADER_MADE_MAX];
    skua_dial_options dial = {.deadline_ns = skua_after(options->connect_timeout_ns)};
    int fd = skua_dial(check->backend->host, check->backend->service, &dial);
    if (fd < 0)
        return fd;
    if (options->send_proxy != 0) {
        size_t size = skua_proxy_header_make(options->send_proxy, NULL, header);
        (void)skua_send_all(fd, header, size); /* it was connected to: that is enough */
    }
    (void)skua_close(fd);
    return 0;
}

/* Whether it says nothing about the backend. */
static bool is_void(int rc)
{
    return rc == -ECANCELED || rc == -EMFILE || rc == -ENFILE || rc == -ENOMEM || rc == -ENOBUFS;
}

intptr_t skua_proxy_check(void *arg)
{
    const struct proxy_check *check = arg;
    struct proxy *proxy = check->proxy;
    do {
        int rc = try_backend(check);
        if (!is_void(rc) && skua_proxy_backend_checked(proxy->backends, check->backend, rc == 0))
            skua_proxy_log_printf(proxy->notices, PROXY_PROGRAM ": backend %s: is %s",
                                  check->backend->name, rc == 0 ? "up" : "down");
    } while (skua_sleep(proxy->options.check_interval_ns) == 0);
    return 0;
}
