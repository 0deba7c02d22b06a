/*
 * load/load_main.c - echo_load: starts an echo server, loads it, and prints what it costs and how
 * fast it is.
 *
 *     echo_load [the common command line] [--by NAME] -- PROGRAM [ARGUMENT]...
 *     echo_load --stalls [--rate N] [the common command line] [--by NAME] -- PROGRAM [ARGUMENT]...
 *
 * Cases: MESSAGE/CONNECTIONS, with messages of 64 bytes and of 16 KiB; and churn/64, in which each
 * message has a connection of its own, 64 of them at a time. --case takes one of them by its whole
 * name, or all whose names contain its argument. --size is the length of a window in milliseconds;
 * a quarter of it goes before, and does not count.
 *
 * Each case has a server of its own, bound to the first --workers CPUs; the client has the next one
 * for itself. In the lines:
 *   cpu          CPU time of the server, in user and kernel mode, for each request
 *   rate         requests a second
 *   p50 p99 p99.9  from send() to the answer, or from connect() to the answer in churn
 * rate times cpu is how many CPUs the server has used: much less than its workers, and the client
 * was the slower one. What the kernel does for a server on the client's side of the loopback device
 * is not in its CPU time; it is the same for all.
 *
 * With --stalls it makes the workload stalls: what the light requests of a server suffer from heavy
 * ones, which have it compute (load_stalls.h). An open loop over 1024 connections, over 64 if the
 * window is shorter than WINDOW_FULL_MS; a server of two workers, unless --workers says else. Every
 * request has the same chance to be heavy, so heavy ones come as in a Poisson process; they are the
 * same for every server. Cases:
 *   mixed/none      20,000 requests a second, none heavy
 *   mixed/10x1ms    20,000 requests a second, of which 10 compute 1 ms each
 *   mixed/1%x20ms   2,000 requests a second, of which 1 % compute 20 ms each: 0.4 CPUs. Much more
 *                   than half a CPU, and a server with a single loop would only tell how long its
 *                   queue has become.
 * --rate sets other rates. In the lines rate and p50, p99, p99.9 are those of light requests, from
 * the time at which each was due; cpu is for each request of either kind, with what they compute;
 * late p99 is how much later than it was due the client has sent: it is in the latencies, and large
 * only if the client had to wait for a CPU or for a connection without a message under way.
 * If there is no CPU for the client, it shares those of the server, and is not bound.
 */
#include "load_client.h"
#include "load_stalls.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define SPARE_DESCRIPTORS 64
#define RATE_MAX 1000000u
/* Stalls: in a shorter window fewer connections, so that each still has more than one turn. */
#define WINDOW_FULL_MS 500u
#define CONNECTIONS_QUICK 64u

/* Cases end where there is no name. Times are filled in by --size. */
static const struct load_plan echo_plans[] = {
    {.name = "64B/1", .message_bytes = 64, .connections = 1},
    {.name = "64B/64", .message_bytes = 64, .connections = 64},
    {.name = "64B/1000", .message_bytes = 64, .connections = 1000},
    {.name = "64B/10000", .message_bytes = 64, .connections = 10000},
    {.name = "16KiB/1", .message_bytes = 16384, .connections = 1},
    {.name = "16KiB/64", .message_bytes = 16384, .connections = 64},
    {.name = "16KiB/1000", .message_bytes = 16384, .connections = 1000},
    {.name = "churn/64", .message_bytes = 64, .connections = 64, .churn = true},
    {.name = NULL},
};

/* A case of stalls; heavy requests are a share of all, or so many a second. */
static const struct stalls_case {
    const char *name;
    unsigned rate;
    double heavy_share;
    double heavy_per_s;
    uint32_t heavy_us;
} stalls_cases[] = {
    {.name = "mixed/none", .rate = 20000},
    {.name = "mixed/10x1ms", .rate = 20000, .heavy_per_s = 10, .heavy_us = 1000},
    {.name = "mixed/1%x20ms", .rate = 2000, .heavy_share = 0.01, .heavy_us = 20000},
};
#define STALLS_CASES (sizeof(stalls_cases) / sizeof(*stalls_cases))

static struct load_server_config config;
static struct load_plan stalls_plans[STALLS_CASES + 1];
static const struct load_plan *plans = echo_plans;
static bool shared; /* client and server have the same CPUs */

/* ---- what is there --------------------------------------------------------------------------- */

/*
 * Chooses CPUs for the server, and binds this program to another. False if there are too few. With
 * --stalls as many as the server's workers are enough.
 */
static bool share_cpus(const struct bench_options *options)
{
    cpu_set_t allowed;
    cpu_set_t own;
    unsigned found = 0;
    CPU_ZERO(&config.cpus);
    CPU_ZERO(&own);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        bench_fail(options, "sched_getaffinity", errno);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && found <= options->workers; cpu++) {
        if (!CPU_ISSET(cpu, &allowed))
            continue;
        cpu_set_t *taker = found < options->workers ? &config.cpus : &own;
        CPU_SET(cpu, taker);
        found++;
    }
    shared = config.stalls && found == options->workers;
    return shared || (found > options->workers && sched_setaffinity(0, sizeof(own), &own) == 0);
}

/* Allows as many descriptors as can be had, also to the servers. Returns how many. */
static rlim_t raise_descriptors(const struct bench_options *options)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        bench_fail(options, "getrlimit", errno);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        bench_fail(options, "setrlimit", errno);
    return limit.rlim_cur;
}

/* ---- cases ----------------------------------------------------------------------------------- */

/* True if --case asks for it: by its whole name if that is one, as "64B/1" is in "64B/1000" too. */
static bool wants(const struct bench_options *options, const char *name)
{
    for (unsigned i = 0; options->only != NULL && plans[i].name != NULL; i++) {
        if (strcmp(options->only, plans[i].name) == 0)
            return strcmp(options->only, name) == 0;
    }
    return bench_wants(options, name);
}

static void report(const struct bench_options *options, const struct load_plan *plan,
                   const struct load_figures *figures)
{
    static const struct {
        const char *name;
        double share;
    } quantiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}};
    double requests = (double)figures->requests;
    double all = requests + (double)figures->heavy;
    double cpu_ns = (double)figures->server_cpu_ns;
    double wall_ns = (double)figures->wall_ns;
    bench_report(
        options,
        (struct bench_label){plan->name, "cpu", plan->churn ? "ns/connection" : "ns/request"},
        cpu_ns / all);
    bench_report(
        options,
        (struct bench_label){plan->name, "rate", plan->churn ? "connections/s" : "requests/s"},
        requests / wall_ns * 1e9);
    for (unsigned i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++) {
        double ns = tool_histogram_quantile(&figures->latencies, quantiles[i].share);
        bench_report(options, (struct bench_label){plan->name, quantiles[i].name, "us"}, ns / 1e3);
    }
    if (plan->rate != 0)
        bench_report(options, (struct bench_label){plan->name, "late p99", "us"},
                     tool_histogram_quantile(&figures->lateness, 0.99) / 1e3);
}

static void run_case(struct bench_options *options, struct load_plan plan)
{
    static struct load_figures figures;
    struct load_server server;
    plan.window_ns = (uint64_t)options->size * 1000000;
    plan.warmup_ns = plan.window_ns / 4;
    load_server_start(&server, &config);
    load_client_run(&server, &plan, &figures);
    uint64_t total_ns = load_server_stop(&server);
    if (figures.requests == 0)
        load_fail(options, "%s: no answer in %zu ms", plan.name, options->size);
    /* The clock of its CPU time and wait4() count the same, the latter from the start. */
    if (figures.server_cpu_ns > total_ns)
        load_fail(options, "%s: the server used %llu ns in the window, but %llu in all", plan.name,
                  (unsigned long long)figures.server_cpu_ns, (unsigned long long)total_ns);
    bench_check(options, "connections served", figures.connections, plan.connections);
    report(options, &plan, &figures);
}

static void run_once(struct bench_options *options)
{
    rlim_t descriptors = raise_descriptors(options);
    for (unsigned i = 0; plans[i].name != NULL; i++) {
        if (!wants(options, plans[i].name))
            continue;
        if (plans[i].connections + SPARE_DESCRIPTORS > descriptors)
            bench_skip(options, plans[i].name, "needs more descriptors than RLIMIT_NOFILE allows");
        else
            run_case(options, plans[i]);
    }
}

/* ---- the command line ------------------------------------------------------------------------ */

static unsigned take_rate(const struct bench_options *options, const char *text)
{
    char *end;
    unsigned long rate = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '\0' || rate == 0 || rate > RATE_MAX)
        load_fail(options, "--rate is a number up to %u", RATE_MAX);
    return (unsigned)rate;
}

/* Takes what is not of the common command line out of it. Returns how many words are left. */
static int take_own_arguments(struct bench_options *options, unsigned *rate, int argc, char **argv)
{
    int kept = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            config.words = argv + i + 1;
            config.word_count = (unsigned)(argc - i - 1);
            break;
        }
        if (strcmp(argv[i], "--by") == 0 && i + 1 < argc)
            options->by = argv[++i];
        else if (strcmp(argv[i], "--rate") == 0 && i + 1 < argc)
            *rate = take_rate(options, argv[++i]);
        else if (strcmp(argv[i], "--stalls") == 0)
            config.stalls = true;
        else
            argv[kept++] = argv[i];
    }
    if (config.word_count > LOAD_WORDS_MAX)
        load_fail(options, "a command of more than %d words", LOAD_WORDS_MAX);
    return kept;
}

/* Makes the cases of stalls; @rate is that of all, or 0. */
static void plan_stalls(const struct bench_options *options, unsigned rate)
{
    for (unsigned i = 0; i < STALLS_CASES; i++) {
        const struct stalls_case *made = &stalls_cases[i];
        struct load_plan *plan = &stalls_plans[i];
        *plan = (struct load_plan){.name = made->name,
                                   .message_bytes = LOAD_STALLS_MESSAGE_BYTES,
                                   .connections = 1024,
                                   .rate = rate != 0 ? rate : made->rate,
                                   .heavy_share = made->heavy_share,
                                   .heavy_us = made->heavy_us,
                                   .shared = shared || !config.bound};
        if (made->heavy_per_s > 0)
            plan->heavy_share = made->heavy_per_s / plan->rate;
        if (options->size < WINDOW_FULL_MS)
            plan->connections = CONNECTIONS_QUICK;
    }
    plans = stalls_plans;
}

int main(int argc, char **argv)
{
    unsigned rate = 0;
    struct bench_options options = {
        .bench = "echo", .by = "server", .workers = 1, .runs = 7, .warmups = 0, .size = 2000};
    int kept = take_own_arguments(&options, &rate, argc, argv);
    if (config.stalls) {
        options.bench = "stalls";
        options.workers = 2;
    }
    bench_parse(&options, kept, argv);
    if (config.word_count == 0)
        load_fail(&options, "no server: write -- and its command at the end");
    config.options = &options;
    config.bound = share_cpus(&options);
    if (!config.bound)
        fprintf(stderr, "%s: too few CPUs for %u worker(s) and the client: nothing is bound\n",
                options.bench, options.workers);
    if (shared)
        fprintf(stderr, "stalls: the client has no CPU of its own: it shares the server's %u\n",
                options.workers);
    if (config.stalls)
        plan_stalls(&options, rate);
    bench_repeat(&options, run_once);
    return 0;
}
