/*
 * load/load_main.c - echo_load: starts an echo server, loads it, and prints what it costs and how
 * fast it is.
 *
 *     echo_load [the common command line] [--by NAME] -- PROGRAM [ARGUMENT]...
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
 */
#include "load_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#define CASES 8
#define SPARE_DESCRIPTORS 64

/* Times are filled in by --size. */
static const struct load_plan plans[CASES] = {
    {.name = "64B/1", .message_bytes = 64, .connections = 1},
    {.name = "64B/64", .message_bytes = 64, .connections = 64},
    {.name = "64B/1000", .message_bytes = 64, .connections = 1000},
    {.name = "64B/10000", .message_bytes = 64, .connections = 10000},
    {.name = "16KiB/1", .message_bytes = 16384, .connections = 1},
    {.name = "16KiB/64", .message_bytes = 16384, .connections = 64},
    {.name = "16KiB/1000", .message_bytes = 16384, .connections = 1000},
    {.name = "churn/64", .message_bytes = 64, .connections = 64, .churn = true},
};

static struct load_server_config config;

/* ---- what is there --------------------------------------------------------------------------- */

/* Chooses CPUs for the server, and binds this program to another. False if there are too few. */
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
    return found > options->workers && sched_setaffinity(0, sizeof(own), &own) == 0;
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
    for (unsigned i = 0; options->only != NULL && i < CASES; i++) {
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
    double cpu_ns = (double)figures->server_cpu_ns;
    double wall_ns = (double)figures->wall_ns;
    bench_report(
        options,
        (struct bench_label){plan->name, "cpu", plan->churn ? "ns/connection" : "ns/request"},
        cpu_ns / requests);
    bench_report(
        options,
        (struct bench_label){plan->name, "rate", plan->churn ? "connections/s" : "requests/s"},
        requests / wall_ns * 1e9);
    for (unsigned i = 0; i < sizeof(quantiles) / sizeof(*quantiles); i++) {
        double ns = load_histogram_quantile(&figures->latencies, quantiles[i].share);
        bench_report(options, (struct bench_label){plan->name, quantiles[i].name, "us"}, ns / 1e3);
    }
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
    for (unsigned i = 0; i < CASES; i++) {
        if (!wants(options, plans[i].name))
            continue;
        if (plans[i].connections + SPARE_DESCRIPTORS > descriptors)
            bench_skip(options, plans[i].name, "needs more descriptors than RLIMIT_NOFILE allows");
        else
            run_case(options, plans[i]);
    }
}

/* ---- the command line ------------------------------------------------------------------------ */

/* Takes "--by NAME" and "-- PROGRAM..." out of it. Returns how many words are left. */
static int take_own_arguments(struct bench_options *options, int argc, char **argv)
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
        else
            argv[kept++] = argv[i];
    }
    if (config.word_count > LOAD_WORDS_MAX)
        load_fail(options, "a command of more than %d words", LOAD_WORDS_MAX);
    return kept;
}

int main(int argc, char **argv)
{
    struct bench_options options = {
        .bench = "echo", .by = "server", .workers = 1, .runs = 7, .warmups = 0, .size = 2000};
    int kept = take_own_arguments(&options, argc, argv);
    bench_parse(&options, kept, argv);
    if (config.word_count == 0)
        load_fail(&options, "no server: write -- and its command at the end");
    config.options = &options;
    config.bound = share_cpus(&options);
    if (!config.bound)
        fprintf(stderr, "echo: too few CPUs for %u worker(s) and the client: nothing is bound\n",
                options.workers);
    bench_repeat(&options, run_once);
    return 0;
}
