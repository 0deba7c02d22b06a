/*
 * bench/fork_cost_bench.c - what each step of fork and join costs when work changes hands, as far
 * as it shows from outside. tools/bench_scale feeds these figures to its simulation.
 *
 * Cases, all in nanoseconds; --size samples each (default 200). Most need two workers with a CPU
 * each:
 *   alone      a fork and its join, nobody there: "typed" and "plain"; a look at the "clock"
 *   handover   a job is forked, and taken. Reported as "awake", where the thief looks for work, and
 *              "asleep". "publish": the fork, which publishes the job, and wakes the sleeper;
 *              "handover": from the end of that fork to the job's first instruction; "resume": from
 *              the end of the job to its joiner, which waits. "settle": a join that finds its job
 *              done; "takeback": the join of a public job nobody has taken yet
 *   force      the forker computes on, and makes neither fork nor join: from when the thief has
 *              nothing to do until it runs a job that it has forced out
 *   look       a thief that finds nothing: "round" with one victim, "round15" with 15 that sleep
 *   line       two plain threads that swap a word in turns: a cache line comes from the other core
 *   roof       bytes of memory read by one and by two plain threads at once, GB/s
 *
 * The two workers, and the two threads, are bound to a CPU each: the question is what one core does
 * to another, not where the kernel puts threads.
 *
 * The clock's own time is in every figure but those of "alone", "look" and "line".
 */
#include "common/bench_reduce.h"
#include "common/bench_runtime.h"

#include <skua/fork.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#define HOLD_NS 5000u     /* a thief that has just ended a job is looking for the next */
#define PARKED_NS 20000u  /* after so long a joiner has parked, and its worker looks for work */
#define ASLEEP_NS 600000u /* after so long a worker with nothing to do sleeps */
#define LOOK_NS 300000u   /* a thief that is woken looks around for SPIN_NS of them */
#define SPIN_NS 50000.0   /* SPIN_US_DEFAULT in src/sched/options.c */
#define WORTH_NS 200000u  /* waking a thief was worth it; see BACKOFF in src/sched/fork.h */
#define GIVE_UP_NS 5000000u
#define FIB_N 25
#define CLOCK_LOOKS 100
#define LOOKERS 16u
#define LINE_TURNS 2000
#define SAMPLES_MAX 10000u

/* Samples of one figure. */
struct figure {
    struct bench_label label;
    double *ns;
    size_t count;
};

static struct figure figure_create(const char *name, const char *metric)
{
    struct figure figure = {{name, metric, "ns"}, NULL, 0};
    figure.ns = malloc(SAMPLES_MAX * sizeof(*figure.ns));
    return figure;
}

static void add(struct figure *figure, double ns)
{
    if (figure->ns != NULL && figure->count < SAMPLES_MAX)
        figure->ns[figure->count++] = ns;
}

static void figure_report(const struct bench_options *options, struct figure *figure)
{
    bench_report_samples(options, figure->label, figure->ns, figure->count);
    free(figure->ns);
}

/* ---- a CPU for each ------------------------------------------------------------------------- */

static cpu_set_t allowed; /* constant after main() has begun */

/* Binds the calling thread to the allowed CPU number @index. */
static void bind_to(const struct bench_options *options, int index)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &allowed) && index-- == 0)
            CPU_SET(cpu, &one);
    }
    if (CPU_COUNT(&one) != 1 || sched_setaffinity(0, sizeof(one), &one) != 0)
        bench_fail(options, "two CPUs", -ENODEV);
}

struct binding {
    const struct bench_options *options;
    atomic_bool bound;
};

static intptr_t bind_other(void *arg)
{
    struct binding *binding = arg;
    bind_to(binding->options, 1);
    atomic_store_explicit(&binding->bound, true, memory_order_release);
    return 0;
}

/* Both workers: the calling one stays busy until the other has taken a job. */
static void bind_workers(const struct bench_options *options)
{
    struct binding binding = {.options = options};
    skua_job job;
    bind_to(options, 0);
    atomic_init(&binding.bound, false);
    (void)skua_fork(&job, bind_other, &binding); /* cannot fail with a function */
    while (!atomic_load_explicit(&binding.bound, memory_order_acquire))
        ;
    (void)skua_join(&job);
}

/* ---- alone ----------------------------------------------------------------------------------- */

SKUA_FORKABLE(uint64_t, fib_typed, int, n)
{
    if (n < 2)
        return (uint64_t)n;
    SKUA_JOB(fib_typed) job;
    SKUA_FORK(fib_typed, &job, n - 1);
    uint64_t right = SKUA_CALL(fib_typed, n - 2);
    return SKUA_JOIN(fib_typed, &job) + right;
}

static intptr_t fib_plain(void *arg)
{
    intptr_t n = (intptr_t)arg;
    skua_job job;
    if (n < 2)
        return n;
    (void)skua_fork(&job, fib_plain, (void *)(n - 1)); /* cannot fail with a function */
    intptr_t right = fib_plain((void *)(n - 2));
    return skua_join(&job) + right;
}

static void measure_alone(struct bench_options *options)
{
    struct figure typed = figure_create("alone", "typed");
    struct figure plain = figure_create("alone", "plain");
    struct figure clock = figure_create("alone", "clock");
    double forks = (double)bench_fib_expected(FIB_N + 1) - 1;
    for (size_t i = 0; i < options->size / 10 + 1; i++) {
        uint64_t start = bench_now();
        bench_check(options, "fib", fib_typed(FIB_N), bench_fib_expected(FIB_N));
        uint64_t middle = bench_now();
        bench_check(options, "fib", (uint64_t)fib_plain((void *)FIB_N), bench_fib_expected(FIB_N));
        add(&typed, (double)(middle - start) / forks);
        add(&plain, (double)(bench_now() - middle) / forks);
        start = bench_now();
        for (unsigned k = 1; k < CLOCK_LOOKS; k++)
            (void)bench_now();
        add(&clock, (double)(bench_now() - start) / CLOCK_LOOKS);
    }
    figure_report(options, &typed);
    figure_report(options, &plain);
    figure_report(options, &clock);
}

/* ---- work that changes hands ----------------------------------------------------------------- */

/* A job that says when it ran. */
struct stamp {
    _Atomic uint64_t start_ns;
    _Atomic uint64_t end_ns;
    _Atomic uint64_t release_ns; /* it lasts until then; 0: until this is set */
};

/* relaxed, here and below: times to compare; joins order all else */
static uint64_t get(_Atomic uint64_t *ns)
{
    return atomic_load_explicit(ns, memory_order_relaxed);
}

static void set(_Atomic uint64_t *ns, uint64_t value)
{
    atomic_store_explicit(ns, value, memory_order_relaxed);
}

static intptr_t stamp_job(void *arg)
{
    struct stamp *stamp = arg;
    uint64_t now_ns = bench_now();
    uint64_t give_up_ns = now_ns + GIVE_UP_NS;
    uint64_t release_ns;
    set(&stamp->start_ns, now_ns);
    do {
        now_ns = bench_now();
        release_ns = get(&stamp->release_ns);
    } while ((release_ns == 0 || now_ns < release_ns) && now_ns < give_up_ns);
    set(&stamp->end_ns, now_ns);
    return 0;
}

static void stamp_reset(struct stamp *stamp, uint64_t release_ns)
{
    set(&stamp->start_ns, 0);
    set(&stamp->end_ns, 0);
    set(&stamp->release_ns, release_ns);
}

/* Waits without fork or join until *@when is set. 0 if it takes too long. */
static uint64_t wait_for(_Atomic uint64_t *when)
{
    uint64_t give_up_ns = bench_now() + GIVE_UP_NS;
    uint64_t ns;
    while ((ns = get(when)) == 0 && bench_now() < give_up_ns)
        ;
    return ns;
}

static void wait_until(uint64_t ns)
{
    while (bench_now() < ns)
        ;
}

/* A counter of all workers together: field number @offset of their statistics. */
static uint64_t counter(const struct bench_options *options, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < options->workers; i++) {
        skua_worker_stats stats;
        bench_must(options, "skua_runtime_stats",
                   skua_runtime_stats(skua_runtime_current(), i, &stats));
        sum += *(uint64_t *)(void *)((char *)&stats + offset);
    }
    return sum;
}

static uint64_t published(const struct bench_options *options)
{
    return counter(options, offsetof(skua_worker_stats, jobs_published));
}

static uint64_t wakes(const struct bench_options *options)
{
    return counter(options, offsetof(skua_worker_stats, wakes));
}

/* What one job has shown. */
struct handover {
    uint64_t fork_ns;   /* before the fork ... */
    uint64_t forked_ns; /* ... and after it */
    uint64_t start_ns;  /* of the job; 0: it was not taken */
    uint64_t end_ns;
    uint64_t joined_ns;
};

/*
 * Hands one job to the thief. It ends when its joiner waits, which goes on where it ended; so the
 * worker that has been left is an awake thief for a while. It lasts @least_ns from its fork.
 */
static struct handover hand_over(uint64_t least_ns)
{
    struct handover seen;
    struct stamp stamp;
    skua_job job;
    stamp_reset(&stamp, 0);
    seen.fork_ns = bench_now();
    (void)skua_fork(&job, stamp_job, &stamp); /* cannot fail with a function */
    seen.forked_ns = bench_now();
    seen.start_ns = wait_for(&stamp.start_ns);
    wait_until(seen.fork_ns + least_ns);
    set(&stamp.release_ns, bench_now() + PARKED_NS);
    (void)skua_join(&job);
    seen.joined_ns = bench_now();
    seen.end_ns = get(&stamp.end_ns);
    return seen;
}

static void add_handover(struct figure *figures, struct handover seen)
{
    uint64_t forked_ns = seen.forked_ns;
    add(&figures[0], (double)(forked_ns - seen.fork_ns));
    add(&figures[1], (double)(seen.start_ns > forked_ns ? seen.start_ns - forked_ns : 0));
    add(&figures[2], (double)(seen.joined_ns - seen.end_ns));
}

/* Counters are not read between the two jobs: that takes longer than a thief stays awake. */
static void hand_over_twice(const struct bench_options *options, struct figure *asleep,
                            struct figure *awake)
{
    uint64_t published_before = published(options);
    uint64_t wakes_before = wakes(options);
    wait_until(bench_now() + ASLEEP_NS);
    struct handover first = hand_over(WORTH_NS);
    wait_until(bench_now() + HOLD_NS);
    struct handover second = hand_over(0);
    /* Not so if nobody had asked, or if the thief was not as it should be. */
    if (published(options) != published_before + 2 || wakes(options) != wakes_before + 1 ||
        first.start_ns == 0 || second.start_ns == 0)
        return;
    add_handover(asleep, first);
    add_handover(awake, second);
}

/* Joins that find their job stolen and done. */
static void measure_settle(struct bench_options *options)
{
    struct figure settle = figure_create("awake", "settle");
    for (size_t i = 0; i < options->size; i++) {
        struct stamp stamp;
        skua_job job;
        stamp_reset(&stamp, 1);
        (void)skua_fork(&job, stamp_job, &stamp); /* cannot fail with a function */
        bool taken = wait_for(&stamp.end_ns) != 0;
        wait_until(bench_now() + HOLD_NS);
        uint64_t start_ns = bench_now();
        (void)skua_join(&job);
        if (taken)
            add(&settle, (double)(bench_now() - start_ns));
    }
    figure_report(options, &settle);
}

static intptr_t nothing(void *arg)
{
    (void)arg;
    return 0;
}

/* Joins of jobs that are public, and that nobody has taken. */
static void measure_takeback(struct bench_options *options)
{
    struct figure takeback = figure_create("asleep", "takeback");
    for (size_t i = 0; i < options->size; i++) {
        skua_job job;
        wait_until(bench_now() + ASLEEP_NS);
        (void)hand_over(WORTH_NS); /* after one that was not worth it */
        uint64_t before = published(options);
        uint64_t stolen = counter(options, offsetof(skua_worker_stats, jobs_stolen));
        wait_until(bench_now() + ASLEEP_NS);
        (void)skua_fork(&job, nothing, NULL); /* cannot fail with a function */
        uint64_t start_ns = bench_now();
        (void)skua_join(&job);
        uint64_t end_ns = bench_now();
        if (published(options) > before &&
            counter(options, offsetof(skua_worker_stats, jobs_stolen)) == stolen)
            add(&takeback, (double)(end_ns - start_ns));
    }
    figure_report(options, &takeback);
}

static void measure_handover(struct bench_options *options)
{
    struct figure awake[] = {figure_create("awake", "publish"), figure_create("awake", "handover"),
                             figure_create("awake", "resume")};
    struct figure asleep[] = {figure_create("asleep", "publish"),
                              figure_create("asleep", "handover"),
                              figure_create("asleep", "resume")};
    for (size_t i = 0; i < options->size; i++)
        hand_over_twice(options, asleep, awake);
    for (size_t i = 0; i < 3; i++)
        figure_report(options, &awake[i]);
    for (size_t i = 0; i < 3; i++)
        figure_report(options, &asleep[i]);
    measure_settle(options);
    measure_takeback(options);
}

/* The thief has the first job; the second stays private until the thief forces it out. */
static void measure_force(struct bench_options *options)
{
    struct figure figure = figure_create("force", "handover");
    for (size_t i = 0; i < options->size; i++) {
        struct stamp first, second;
        skua_job jobs[2];
        stamp_reset(&first, 0);
        stamp_reset(&second, 1);
        (void)skua_fork(&jobs[0], stamp_job, &first); /* cannot fail with a function */
        uint64_t start_ns = wait_for(&first.start_ns);
        uint64_t before = published(options);
        (void)skua_fork(&jobs[1], stamp_job, &second);
        bool is_private = published(options) == before;
        set(&first.release_ns, 1);
        uint64_t end_ns = start_ns != 0 ? wait_for(&first.end_ns) : 0;
        uint64_t forced_ns = end_ns != 0 ? wait_for(&second.start_ns) : 0;
        (void)skua_join(&jobs[1]);
        (void)skua_join(&jobs[0]);
        if (forced_ns > end_ns && is_private)
            add(&figure, (double)(forced_ns - end_ns));
    }
    figure_report(options, &figure);
}

/* Gives a thief a short job, and counts how often it looks around for the next. */
static void measure_look(struct bench_options *options)
{
    struct figure figure = figure_create("look", options->workers == LOOKERS ? "round15" : "round");
    for (size_t i = 0; i < options->size; i++) {
        struct stamp stamp;
        skua_job job;
        stamp_reset(&stamp, 1);
        uint64_t attempts = counter(options, offsetof(skua_worker_stats, steal_attempts));
        uint64_t wakes_before = wakes(options);
        wait_until(bench_now() + ASLEEP_NS);
        (void)skua_fork(&job, stamp_job, &stamp); /* cannot fail with a function */
        bool taken = wait_for(&stamp.end_ns) != 0;
        wait_until(bench_now() + LOOK_NS);
        (void)skua_join(&job);
        attempts = counter(options, offsetof(skua_worker_stats, steal_attempts)) - attempts;
        /* A few of these are a watcher's; a thief that was preempted looks less often. */
        if (taken && wakes(options) == wakes_before + 1 && attempts > 10u * options->workers)
            add(&figure, SPIN_NS * (options->workers - 1) / (double)attempts);
    }
    figure_report(options, &figure);
}

/* ---- the machine ----------------------------------------------------------------------------- */

struct line {
    _Alignas(64) _Atomic uint64_t turn;
    uint64_t count;
    const struct bench_options *options;
};

static void take_turns(struct line *line, uint64_t mine)
{
    for (uint64_t i = mine; i < line->count; i += 2) {
        while (atomic_load_explicit(&line->turn, memory_order_relaxed) != i)
            ;
        uint64_t expected = i;
        (void)atomic_compare_exchange_strong_explicit(&line->turn, &expected, i + 1,
                                                      memory_order_acq_rel, memory_order_relaxed);
    }
}

static void *take_odd_turns(void *arg)
{
    struct line *line = arg;
    bind_to(line->options, 1);
    take_turns(line, 1);
    return NULL;
}

static void must_start(const struct bench_options *options, pthread_t *thread, void *(*fn)(void *),
                       void *arg)
{
    int rc = pthread_create(thread, NULL, fn, arg);
    if (rc != 0)
        bench_fail(options, "pthread_create", -rc);
}

static void measure_line(struct bench_options *options)
{
    struct figure figure = figure_create("line", "transfer");
    bind_to(options, 0);
    for (size_t i = 0; i < options->size; i++) {
        struct line line = {.count = LINE_TURNS, .options = options};
        pthread_t other;
        must_start(options, &other, take_odd_turns, &line);
        atomic_store_explicit(&line.turn, 1, memory_order_relaxed);
        while (atomic_load_explicit(&line.turn, memory_order_relaxed) == 1)
            ; /* the other thread runs now */
        uint64_t start_ns = bench_now();
        take_turns(&line, 2);
        add(&figure, (double)(bench_now() - start_ns) / (LINE_TURNS - 2));
        pthread_join(other, NULL);
    }
    (void)sched_setaffinity(0, sizeof(allowed), &allowed);
    figure_report(options, &figure);
}

struct part {
    const double *values;
    size_t count;
    double sum;
};

static void *sum_part(void *arg)
{
    struct part *part = arg;
    part->sum = bench_reduce_sum(part->values, 0, part->count);
    return NULL;
}

/* One line for each number of threads; the best of five, for a roof is a limit. */
static void measure_roof(struct bench_options *options)
{
    struct bench_options sized = *options;
    sized.size = BENCH_REDUCE_WHOLE;
    double *values = bench_reduce_create(&sized);
    for (unsigned threads = 1; threads <= 2; threads++) {
        double best = 0;
        for (int i = 0; i < 5; i++) {
            struct part parts[2] = {{values, sized.size / threads, 0},
                                    {values + sized.size / 2, sized.size / 2, 0}};
            pthread_t other;
            uint64_t start_ns = bench_now();
            if (threads == 2)
                must_start(options, &other, sum_part, &parts[1]);
            (void)sum_part(&parts[0]);
            if (threads == 2)
                pthread_join(other, NULL);
            double rate = (double)sized.size * sizeof(double) / (double)(bench_now() - start_ns);
            best = rate > best ? rate : best;
        }
        struct bench_label label = {"roof", threads == 1 ? "one" : "two", "GB/s"};
        bench_report(options, label, best);
    }
    free(values);
}

/* ---- all ------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    void (*measure)(struct bench_options *options);
    unsigned workers; /* 0: none */
} cases[] = {
    {"alone", measure_alone, 1}, {"handover", measure_handover, 2}, {"force", measure_force, 2},
    {"look", measure_look, 2},   {"look", measure_look, LOOKERS},   {"line", measure_line, 0},
    {"roof", measure_roof, 0},
};

struct call {
    struct bench_options *options;
    void (*measure)(struct bench_options *options);
};

static intptr_t call_case(void *arg)
{
    struct call *call = arg;
    if (call->options->workers == 2)
        bind_workers(call->options);
    call->measure(call->options);
    return 0;
}

static void run_once(struct bench_options *options)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench_options own = *options;
        struct call call = {&own, cases[i].measure};
        if (!bench_wants(options, cases[i].name))
            continue;
        own.workers = cases[i].workers;
        if (own.workers == 0)
            cases[i].measure(&own);
        else
            bench_run_task(&own, call_case, &call);
    }
}

int main(int argc, char **argv)
{
    struct bench_options options = bench_defaults("fork_cost", "skua", 200);
    options.warmups = 0;
    options.runs = 1;
    bench_parse(&options, argc, argv);
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        bench_fail(&options, "sched_getaffinity", -errno);
    bench_repeat(&options, run_once);
    return 0;
}
