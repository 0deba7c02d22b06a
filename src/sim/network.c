/*
 * sim/network.c - the network itself: its links, what cuts them, its script; the public calls.
 */
#include "sim/network.h"

#include "platform/vthread.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LATENCY_DEFAULT_NS (50 * SKUA_NS_PER_US)
#define BUFFER_BYTES ((size_t)64 << 10)
#define CONNECT_TIMEOUT_NS (127 * SKUA_NS_PER_SEC) /* Linux: six SYNs */
#define CUT_DEFAULT_NS SKUA_NS_PER_SEC
#define FIRST_PORT 32768u

/* ---- options --------------------------------------------------------------------------------- */

static bool is_valid_link(const skua_sim_link *link)
{
    return link->reserved_rate == 0 && link->reserved[0] == 0 && link->reserved[1] == 0;
}

static int check_script(const skua_sim_network *options)
{
    struct sim_host host;
    if (options->script == NULL)
        return options->script_count == 0 ? 0 : -EINVAL;
    for (size_t i = 0; i < options->script_count; i++) {
        const skua_sim_network_event *event = &options->script[i];
        if (event->action > SKUA_SIM_RESET || sim_host_parse(&host, event->a) < 0 ||
            sim_host_parse(&host, event->b) < 0 || (i > 0 && event->at_ns < event[-1].at_ns))
            return -EINVAL;
    }
    return 0;
}

int skua_network_check(const skua_sim_network *options)
{
    if (options == NULL)
        return 0;
    for (size_t i = 0; i < sizeof(options->reserved) / sizeof(options->reserved[0]); i++) {
        if (options->reserved[i] != 0)
            return -EINVAL;
    }
    if (!is_valid_link(&options->link) || options->buffer_bytes > BUFFER_BYTES)
        return -EINVAL;
    return check_script(options);
}

struct sim_network *sim_network_of(struct skua_world *world)
{
    if (world->network != NULL)
        return world->network;
    struct sim_network *net = calloc(1, sizeof(*net));
    if (net == NULL)
        return NULL;
    if (world->options.network != NULL)
        net->options = *world->options.network;
    if (net->options.buffer_bytes == 0)
        net->options.buffer_bytes = BUFFER_BYTES;
    if (net->options.connect_timeout_ns == 0)
        net->options.connect_timeout_ns = CONNECT_TIMEOUT_NS;
    if (net->options.cut_max_ns == 0)
        net->options.cut_max_ns = CUT_DEFAULT_NS;
    net->world = world;
    net->last_socket = &net->sockets;
    net->next_port = FIRST_PORT;
    world->network = net;
    return net;
}

/* ---- links ----------------------------------------------------------------------------------- */

static void fill_link(skua_sim_link *full, const skua_sim_link *given, bool is_unix)
{
    *full = *given;
    if (full->latency_ns == 0 && !is_unix)
        full->latency_ns = LATENCY_DEFAULT_NS;
    if (full->jitter_ns == 0)
        full->jitter_ns = full->latency_ns;
}

static bool is_between(const struct sim_host ends[2], const struct sim_name *a,
                       const struct sim_name *b)
{
    return (sim_host_matches(&ends[0], a) && sim_host_matches(&ends[1], b)) ||
           (sim_host_matches(&ends[0], b) && sim_host_matches(&ends[1], a));
}

static void choose_link(const struct sim_network *net, struct sim_path *path)
{
    static const skua_sim_link none;
    bool is_unix = path->to.family == AF_UNIX;
    const skua_sim_link *link = is_unix ? &none : &net->options.link;
    for (const struct sim_rule *rule = net->rules; rule != NULL; rule = rule->next) {
        if (!is_between(rule->ends, &path->from, &path->to))
            continue;
        link = &rule->link;
        break;
    }
    fill_link(&path->link, link, is_unix);
}

struct sim_path *sim_path_of(struct sim_network *net, const struct sim_name *from,
                             const struct sim_name *to)
{
    struct sim_path *path = net->paths;
    while (path != NULL && !(sim_same_host(&path->from, from) && sim_same_host(&path->to, to)))
        path = path->next;
    if (path != NULL)
        return path;
    path = calloc(1, sizeof(*path));
    if (path == NULL)
        return NULL;
    path->from = *from;
    path->to = *to;
    path->from.port = 0;
    path->to.port = 0;
    choose_link(net, path);
    path->next = net->paths;
    net->paths = path;
    return path;
}

/* ---- cuts ------------------------------------------------------------------------------------ */

bool sim_is_cut(const struct sim_network *net, const struct sim_name *a, const struct sim_name *b)
{
    for (const struct sim_cut *cut = net->cuts; cut != NULL; cut = cut->next) {
        if (is_between(cut->ends, a, b))
            return true;
    }
    return false;
}

static int reset_between(struct sim_network *net, const struct sim_host ends[2])
{
    int count = 0;
    for (struct sim_socket *s = net->sockets; s != NULL; s = s->next) {
        if (s->state != SIM_CONNECTED || s->is_datagram ||
            !is_between(ends, &s->own, &s->peer_name))
            continue;
        sim_reset_connection(net, s);
        count++;
    }
    return count;
}

static int cut_between(struct sim_network *net, const struct sim_host ends[2], uint64_t heals_ns)
{
    struct sim_cut *cut = malloc(sizeof(*cut));
    if (cut == NULL)
        return -ENOMEM;
    *cut = (struct sim_cut){.next = net->cuts, .ends = {ends[0], ends[1]}, .heals_ns = heals_ns};
    net->cuts = cut;
    net->stats.cuts++;
    skua_world_trace(net->world, skua_vthread_now() ^ heals_ns);
    if (net->options.resets_at_cut)
        (void)reset_between(net, ends);
    return 0;
}

static bool is_same_end(const struct sim_host *a, const struct sim_host *b)
{
    return a->is_any == b->is_any && (a->is_any || sim_same_name(&a->name, &b->name));
}

static bool is_same_cut(const struct sim_cut *cut, const struct sim_host ends[2])
{
    return (ends[0].is_any && ends[1].is_any) ||
           (is_same_end(&cut->ends[0], &ends[0]) && is_same_end(&cut->ends[1], &ends[1])) ||
           (is_same_end(&cut->ends[0], &ends[1]) && is_same_end(&cut->ends[1], &ends[0]));
}

/* Those between @ends; if that is NULL those whose time has come. */
static int heal(struct sim_network *net, const struct sim_host *ends)
{
    int count = 0;
    for (struct sim_cut **at = &net->cuts; *at != NULL;) {
        struct sim_cut *cut = *at;
        if (ends != NULL ? !is_same_cut(cut, ends) : cut->heals_ns > skua_vthread_now()) {
            at = &cut->next;
            continue;
        }
        *at = cut->next;
        free(cut);
        count++;
    }
    if (count > 0)
        sim_packets_resend(net);
    return count;
}

uint64_t sim_path_send(struct sim_network *net, struct sim_path *path, size_t size)
{
    uint64_t now_ns = skua_vthread_now();
    net->stats.packets++;
    uint64_t cut_ns = net->options.cut_max_ns;
    if (skua_world_network_fault(net->world, SKUA_SIM_LINK_CUT, net->options.cuts_per_million,
                                 &cut_ns)) {
        struct sim_host ends[2] = {{.name = path->from}, {.name = path->to}};
        (void)cut_between(net, ends, cut_ns != 0 ? sim_sum_ns(now_ns, cut_ns) : UINT64_MAX);
    }
    uint64_t leaves_ns = skua_max(now_ns, path->free_ns);
    if (path->link.bytes_per_second != 0) {
        leaves_ns += size * SKUA_NS_PER_SEC / path->link.bytes_per_second;
        path->free_ns = leaves_ns;
    }
    return sim_sum_ns(leaves_ns + skua_world_random(net->world, path->link.jitter_ns),
                      path->link.latency_ns);
}

/* ---- time ------------------------------------------------------------------------------------ */

static void run_script(struct sim_network *net)
{
    const skua_sim_network *options = &net->options;
    uint64_t passed_ns = skua_vthread_now() - net->world->start_ns;
    while (net->script_next < options->script_count &&
           options->script[net->script_next].at_ns <= passed_ns) {
        const skua_sim_network_event *event = &options->script[net->script_next++];
        struct sim_host ends[2];
        (void)sim_host_parse(&ends[0], event->a); /* it has been checked */
        (void)sim_host_parse(&ends[1], event->b);
        if (event->action == SKUA_SIM_CUT)
            (void)cut_between(net, ends, UINT64_MAX);
        else if (event->action == SKUA_SIM_HEAL)
            (void)heal(net, ends);
        else
            (void)reset_between(net, ends);
    }
}

void skua_network_run(struct skua_world *world)
{
    struct sim_network *net = world->network;
    if (net == NULL)
        return;
    run_script(net);
    (void)heal(net, NULL);
    sim_wire_pick_up(net);
    sim_wire_deliver(net, skua_vthread_now());
    sim_datagrams_deliver(net, skua_vthread_now());
}

/* A script counts only while there is anything it could do something to. */
uint64_t skua_network_next(struct skua_world *world)
{
    const struct sim_network *net = world->network;
    if (net == NULL)
        return UINT64_MAX;
    uint64_t next_ns = sim_wire_next(net);
    uint64_t datagram_ns = sim_datagrams_next(net);
    next_ns = skua_min(next_ns, datagram_ns);
    for (const struct sim_cut *cut = net->cuts; cut != NULL; cut = cut->next)
        next_ns = skua_min(next_ns, cut->heals_ns);
    if (net->script_next < net->options.script_count && net->open_count > 0)
        next_ns = skua_min(next_ns, world->start_ns + net->options.script[net->script_next].at_ns);
    return next_ns;
}

static void free_socket(struct sim_socket *s)
{
    sim_packets_drop(s);
    sim_datagrams_free(s->received);
    if (s->fd >= 0)
        (void)close(s->fd);
    if (s->program_fd >= 0)
        (void)close(s->program_fd);
    free(s);
}

static uint64_t count_open(const struct sim_network *net)
{
    uint64_t count = 0;
    for (const struct sim_socket *s = net->sockets; s != NULL; s = s->next)
        count += s->fd >= 0 && s->program_fd < 0;
    return count;
}

void skua_network_end(struct skua_world *world)
{
    struct sim_network *net = world->network;
    if (net == NULL)
        return;
    sim_wire_pick_up(net); /* what has been closed */
    net->stats.sockets_open = count_open(net);
    world->report->network = net->stats;
    for (size_t i = 0; i < SIM_BUCKETS; i++) {
        while (net->buckets[i] != NULL) {
            struct sim_socket *s = net->buckets[i];
            net->buckets[i] = s->next_in_bucket;
            free_socket(s);
        }
    }
    while (net->cuts != NULL) {
        struct sim_cut *cut = net->cuts;
        net->cuts = cut->next;
        free(cut);
    }
    while (net->rules != NULL) {
        struct sim_rule *rule = net->rules;
        net->rules = rule->next;
        free(rule);
    }
    while (net->paths != NULL) {
        struct sim_path *path = net->paths;
        net->paths = path->next;
        free(path);
    }
    sim_datagrams_free(net->datagrams);
    free(net->polled);
    free(net->polled_sockets);
    free(net);
    world->network = NULL;
}

/* ---- the public calls ------------------------------------------------------------------------ */

/* The network and two hosts of a caller's. 0; -EPERM, -EINVAL, -ENOMEM. */
static int begin_call(struct sim_network **net, struct sim_host ends[2], const char *a,
                      const char *b)
{
    struct skua_world *world = skua_sim_world();
    if (world == NULL)
        return -EPERM;
    if (sim_host_parse(&ends[0], a) < 0 || sim_host_parse(&ends[1], b) < 0)
        return -EINVAL;
    *net = sim_network_of(world);
    return *net != NULL ? 0 : -ENOMEM;
}

int skua_sim_network_cut(const char *a, const char *b)
{
    struct sim_network *net;
    struct sim_host ends[2];
    int rc = begin_call(&net, ends, a, b);
    return rc < 0 ? rc : cut_between(net, ends, UINT64_MAX);
}

int skua_sim_network_heal(const char *a, const char *b)
{
    struct sim_network *net;
    struct sim_host ends[2];
    int rc = begin_call(&net, ends, a, b);
    return rc < 0 ? rc : heal(net, ends);
}

int skua_sim_network_reset(const char *a, const char *b)
{
    struct sim_network *net;
    struct sim_host ends[2];
    int rc = begin_call(&net, ends, a, b);
    return rc < 0 ? rc : reset_between(net, ends);
}

int skua_sim_network_set_link(const char *a, const char *b, const skua_sim_link *link)
{
    struct sim_network *net;
    struct sim_host ends[2];
    int rc = begin_call(&net, ends, a, b);
    if (rc < 0)
        return rc;
    if (link == NULL || !is_valid_link(link))
        return -EINVAL;
    struct sim_rule *rule = malloc(sizeof(*rule));
    if (rule == NULL)
        return -ENOMEM;
    *rule = (struct sim_rule){.next = net->rules, .ends = {ends[0], ends[1]}, .link = *link};
    rule->ends[0].name.port = 0;
    rule->ends[1].name.port = 0;
    net->rules = rule;
    for (struct sim_path *path = net->paths; path != NULL; path = path->next)
        choose_link(net, path);
    return 0;
}

int skua_sim_network_get_stats(skua_sim_network_stats *stats)
{
    const struct skua_world *world = skua_sim_world();
    if (world == NULL)
        return -EPERM;
    if (stats == NULL)
        return -EINVAL;
    static const skua_sim_network_stats none;
    *stats = world->network != NULL ? world->network->stats : none;
    if (world->network != NULL)
        stats->sockets_open = count_open(world->network);
    return 0;
}
