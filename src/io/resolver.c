/*
 * io/resolver.c - names to addresses and back, by the C library's resolver.
 *
 * WHY A JOB  getaddrinfo(3) blocks for seconds, cannot be interrupted, and wants more stack than a
 *        task has. So within a runtime it is always called by a job of the blocking executor, for
 *        executor threads too: a task that has hopped there is on its small stack still, and a wait
 *        for a job ends with a deadline or cancel.
 *
 * LIFE   A lookup belongs to its caller and its job, one reference each. The job drops its own, and
 *        gives back the permit, when the call has returned. If the job never runs, because it could
 *        not be queued, was cancelled in time, or dropped by a runtime that stops, the caller does
 *        that for it. Which of the two it is, is known for certain in leave().
 *
 * BOUND  LOOKUPS_MAX permits for the process, as its resolver is one (a thread without a runtime
 *        needs none: it waits itself, and starts no more than one). A lookup whose caller has
 *        left keeps its permit until the call returns: it is the calls that are bounded. And they
 *        are marked as blocked, so that the executor replaces their threads, and other jobs always
 *        find as many as the runtime's options say.
 */
#include <skua/executor.h>
#include <skua/net.h>
#include <skua/semaphore.h>
#include <skua/task.h>

#include "base/alloc.h"
#include "base/check.h"
#include "base/compiler.h"
#include "io/address.h"
#include "sched/await.h"
#include "sched/executor_impl.h"

#include <errno.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LOOKUPS_MAX 16
#define NAME_LENGTH_MAX 1024u

static skua_semaphore lookup_permits = SKUA_SEMAPHORE_BOUNDED_INIT(LOOKUPS_MAX);

struct lookup {
    _Atomic unsigned refs;
    bool has_run;                        /* the job's; read when its future is done */
    int result;                          /* 0 or -errno; written by call, like the next two */
    struct addrinfo *found;              /* of call_getaddrinfo() */
    char name[NI_MAXHOST];               /* of call_getnameinfo() */
    void (*call)(struct lookup *lookup); /* constant, like what follows */
    struct addrinfo hints;
    skua_address address;
    const char *host; /* in text, or NULL, like service */
    const char *service;
    char text[];
};

/* ---- calls ----------------------------------------------------------------------------------- */

/* The table in skua/net.h. @system_error is errno after the call. */
static int error_of(int code, int system_error)
{
    switch (code) {
    case 0:
        return 0;
    case EAI_NONAME:
    case EAI_SERVICE:
        return -ENOENT;
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return -EADDRNOTAVAIL;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_FAMILY:
        return -EAFNOSUPPORT;
    case EAI_SOCKTYPE:
        return -ESOCKTNOSUPPORT;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_BADFLAGS:
    case EAI_IDN_ENCODE:
        return -EINVAL;
    case EAI_SYSTEM:
        return system_error > 0 ? -system_error : -EIO;
    default:
        return -EIO;
    }
}

/* The thread does not change: these run outside tasks only. */

static SKUA_NOINLINE void call_getaddrinfo(struct lookup *lookup)
{
    errno = 0;
    int code = getaddrinfo(lookup->host, lookup->service, &lookup->hints, &lookup->found);
    lookup->result = error_of(code, errno);
    if (code != 0)
        lookup->found = NULL;
}

static SKUA_NOINLINE void call_getnameinfo(struct lookup *lookup)
{
    errno = 0;
    int code = getnameinfo(&lookup->address.any, lookup->address.size, lookup->name,
                           sizeof(lookup->name), NULL, 0, NI_NAMEREQD);
    lookup->result = error_of(code, errno);
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static struct lookup *lookup_create(const char *host, const char *service)
{
    size_t host_size = host != NULL ? strlen(host) + 1 : 0;
    size_t service_size = service != NULL ? strlen(service) + 1 : 0;
    struct lookup *lookup = skua_calloc(1, sizeof(*lookup) + host_size + service_size);
    if (lookup == NULL)
        return NULL;
    atomic_init(&lookup->refs, 1);
    if (host != NULL)
        lookup->host = memcpy(lookup->text, host, host_size);
    if (service != NULL)
        lookup->service = memcpy(lookup->text + host_size, service, service_size);
    return lookup;
}

static void lookup_unref(struct lookup *lookup)
{
    /* acq_rel: the last one frees after whatever the other did */
    if (atomic_fetch_sub_explicit(&lookup->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (lookup->found != NULL)
        freeaddrinfo(lookup->found);
    free(lookup);
}

static void give_permit_back(void)
{
    int rc = skua_semaphore_release(&lookup_permits);
    skua_assert(rc == 0);
}

/* The caller's: there is no job that would do its part. */
static void disown(struct lookup *lookup)
{
    give_permit_back();
    /* relaxed: the caller's is the only reference */
    atomic_store_explicit(&lookup->refs, 1, memory_order_relaxed);
}

static intptr_t lookup_main(void *arg)
{
    struct lookup *lookup = arg;
    struct skua_thread *thread = skua_thread_self();
    lookup->has_run = true;
    skua_executor_block_begin(thread);
    lookup->call(lookup);
    skua_executor_block_end(thread);
    give_permit_back();
    lookup_unref(lookup);
    return 0;
}

/* The caller goes, before the future of the job is done or after. */
static void leave(struct lookup *lookup, skua_future *job)
{
    bool never_runs = skua_future_cancel(job) == 0;
    /* acquire: partner the release in skua_task_end() */
    if (!never_runs && atomic_load_explicit(&skua_task_of_future(job)->run, memory_order_acquire) ==
                           SKUA_RUN_ENDED) {
        /*
         * Over, or claimed by somebody else who drops it: he is about to complete it, and then it
         * is known. A job that is not over and was not dropped is running, or will.
         */
        (void)skua_future_wait(job, SKUA_FOREVER, true);
        never_runs = !lookup->has_run;
    }
    (void)skua_future_peek(job, NULL); /* nobody looks at how it ended */
    skua_future_unref(job);
    if (never_runs)
        disown(lookup);
}

/* Has the call made, with a permit. 0: it was made. */
static int run_job(struct lookup *lookup, uint64_t deadline_ns)
{
    intptr_t result = 0;
    /* relaxed: published with the job */
    atomic_store_explicit(&lookup->refs, 2, memory_order_relaxed);
    skua_future *job = skua_run_in_executor(NULL, lookup_main, lookup);
    int rc = skua_future_wait(job, deadline_ns, false);
    if (rc < 0) {
        leave(lookup, job);
        return rc;
    }
    rc = skua_future_take(job, &result);
    skua_assert(rc == 0);
    if (lookup->has_run)
        return 0;
    disown(lookup);
    return (int)result;
}

/* Makes the call wherever that may be done. 0 if it was made: see result. */
static int run(struct lookup *lookup, uint64_t deadline_ns)
{
    const struct skua_thread *thread = skua_thread_self();
    if (thread == NULL || thread->runtime == NULL) {
        lookup->call(lookup);
        return 0;
    }
    if (skua_cancelled()) /* a permit would beat the cancel */
        return -ECANCELED;
    int rc = skua_semaphore_acquire_until(&lookup_permits, deadline_ns);
    return rc < 0 ? rc : run_job(lookup, deadline_ns);
}

/* ---- addresses of a name --------------------------------------------------------------------- */

static bool is_wanted(const skua_resolve_options *options, int family)
{
    return options->family == AF_UNSPEC || options->family == family;
}

/* This host. */
static size_t add_own(const skua_resolve_options *options, unsigned port, skua_address *addresses,
                      size_t max)
{
    bool is_any = options->flags & SKUA_RESOLVE_ANY;
    struct in_addr in = {.s_addr = htonl(is_any ? INADDR_ANY : INADDR_LOOPBACK)};
    size_t count = 0;
    if (is_wanted(options, AF_INET6))
        skua_address_set_in6(&addresses[count++], is_any ? &in6addr_any : &in6addr_loopback, port);
    if (is_wanted(options, AF_INET) && count < max)
        skua_address_set_in(&addresses[count++], in, port);
    return count;
}

/* What can be said without a lookup: a count, or an error; 0 if a lookup is needed. */
static ssize_t resolve_numeric(const char *host, const char *service,
                               const skua_resolve_options *options, skua_address *addresses,
                               size_t max)
{
    skua_address address;
    int port = service != NULL ? skua_port_parse(service) : 0;
    if (port < 0) /* getaddrinfo() would cut a number that is too large to 16 bits */
        return service[strspn(service, "0123456789")] == '\0' ? -EINVAL : 0;
    if (host == NULL)
        return (ssize_t)add_own(options, (unsigned)port, addresses, max);
    int rc = skua_host_parse(host, (unsigned)port, &address);
    if (rc < 0)
        return rc == -ENODEV ? -ENOENT : 0;
    if (!is_wanted(options, address.any.sa_family))
        return -EADDRNOTAVAIL;
    addresses[0] = address;
    return 1;
}

/* An address of getaddrinfo() as one of ours. False for other families. */
static bool convert(const struct addrinfo *info, skua_address *address)
{
    if (info->ai_family == AF_INET) {
        struct sockaddr_in in;
        memcpy(&in, info->ai_addr, sizeof(in));
        skua_address_set_in(address, in.sin_addr, ntohs(in.sin_port));
    } else if (info->ai_family == AF_INET6) {
        struct sockaddr_in6 in6;
        memcpy(&in6, info->ai_addr, sizeof(in6));
        skua_address_set_in6(address, &in6.sin6_addr, ntohs(in6.sin6_port));
        address->in6.sin6_scope_id = in6.sin6_scope_id;
    } else {
        return false;
    }
    return true;
}

static bool is_among(const skua_address *address, const skua_address *addresses, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (address->size == addresses[i].size &&
            memcmp(&address->storage, &addresses[i].storage, address->size) == 0)
            return true;
    }
    return false;
}

static ssize_t collect(const struct addrinfo *info, skua_address *addresses, size_t max)
{
    size_t count = 0;
    for (; info != NULL && count < max; info = info->ai_next) {
        skua_address address;
        if (convert(info, &address) && !is_among(&address, addresses, count))
            addresses[count++] = address;
    }
    return count > 0 ? (ssize_t)count : -EADDRNOTAVAIL;
}

static ssize_t look_up(const char *host, const char *service, const skua_resolve_options *options,
                       skua_address *addresses, size_t max)
{
    struct lookup *lookup = lookup_create(host, service);
    if (lookup == NULL)
        return -ENOMEM;
    lookup->call = call_getaddrinfo;
    lookup->hints.ai_family = options->family;
    lookup->hints.ai_socktype = options->socktype != 0 ? options->socktype : SOCK_STREAM;
    lookup->hints.ai_flags = options->flags & SKUA_RESOLVE_ANY ? AI_PASSIVE : 0;
    ssize_t rc = run(lookup, options->deadline_ns != 0 ? options->deadline_ns : SKUA_FOREVER);
    if (rc == 0)
        rc = lookup->result;
    if (rc == 0)
        rc = collect(lookup->found, addresses, max);
    lookup_unref(lookup);
    return rc;
}

static int check_arguments(const char *host, const char *service,
                           const skua_resolve_options *options)
{
    uint64_t reserved = options->reserved_flags | (options->flags & ~SKUA_RESOLVE_ANY);
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++)
        reserved |= options->reserved[i];
    if (reserved != 0 || (host == NULL && service == NULL) || (host != NULL && *host == '\0'))
        return -EINVAL;
    if (options->family != AF_UNSPEC && options->family != AF_INET && options->family != AF_INET6)
        return -EAFNOSUPPORT;
    if ((host != NULL && strnlen(host, NAME_LENGTH_MAX + 1) > NAME_LENGTH_MAX) ||
        (service != NULL && strnlen(service, NAME_LENGTH_MAX + 1) > NAME_LENGTH_MAX))
        return -ENAMETOOLONG;
    return 0;
}

static bool is_forked(void)
{
    const struct skua_thread *thread = skua_thread_self();
    return thread != NULL && thread->forked;
}

ssize_t skua_resolve(const char *host, const char *service, const skua_resolve_options *options,
                     skua_address *addresses, size_t max)
{
    static const skua_resolve_options defaults = {0};
    if (addresses == NULL || max == 0)
        return -EINVAL;
    if (options == NULL)
        options = &defaults;
    int rc = check_arguments(host, service, options);
    if (rc < 0)
        return rc;
    if (is_forked())
        return -ECHILD;
    ssize_t count = resolve_numeric(host, service, options, addresses, max);
    return count != 0 ? count : look_up(host, service, options, addresses, max);
}

/* ---- the name of an address ------------------------------------------------------------------ */

static ssize_t copy_name(const char *name, char *host, size_t host_size)
{
    size_t length = strlen(name);
    if (length >= host_size)
        return -ENOSPC;
    memcpy(host, name, length + 1);
    return (ssize_t)length;
}

ssize_t skua_resolve_name(const skua_address *address, uint64_t deadline_ns, char *host,
                          size_t host_size)
{
    if (!skua_address_is_sized(address) || host == NULL)
        return -EINVAL;
    if (address->any.sa_family != AF_INET && address->any.sa_family != AF_INET6)
        return -EAFNOSUPPORT;
    if (is_forked())
        return -ECHILD;
    struct lookup *lookup = lookup_create(NULL, NULL);
    if (lookup == NULL)
        return -ENOMEM;
    lookup->call = call_getnameinfo;
    lookup->address = *address;
    ssize_t rc = run(lookup, deadline_ns);
    if (rc == 0)
        rc = lookup->result;
    if (rc == 0)
        rc = copy_name(lookup->name, host, host_size);
    lookup_unref(lookup);
    return rc;
}
