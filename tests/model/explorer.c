/*
 * tests/model/explorer.c - the explorer: a weak memory model, a replayer, a search.
 *
 * MODEL   Operational release-acquire with relaxed accesses (the "views" of Kang et al., "A
 *   promising semantics for relaxed-memory concurrency", POPL 2017, without promises). Each
 *   location keeps all of its writes, in modification order. A view says for each location which is
 *   the oldest write one may still read. A thread has a view; a write carries one: of a release
 *   write its thread's, of a relaxed write only itself, of a read-modify-write also that of the
 *   write it read (release sequence). A load may return any write not older than the thread's view
 *   and raises the view to it; an acquire load joins the view the write carries. A CAS that
 *   succeeds reads the last write; one that fails may read any other value it may see.
 *   New writes go to the end of the modification order. That loses nothing here, for each location
 *   has one writer or only read-modify-writes; anything else is reported.
 *
 *   What this model lacks is load buffering: a load returning a write that is made later. C11 and
 *   ARM allow it unless happens-before forbids it. Where it would matter (a slot read by a thief
 *   and filled anew by its owner), locations are guarded: each read made good by a CAS must happen
 *   before a later write of the location, or it is a bug. For that a view has a clock per thread
 *   that counts its reads of guarded locations.
 *
 * REPLAY  A thread's state is the log of the results it got. To move it on, append one result and
 *   call its function again: logged operations return at once, the first one beyond the log is
 *   noted as pending and left by longjmp. So states are plain memory, copied to backtrack, and
 *   there are no coroutines.
 *
 * SEARCH  Depth first. Operations that commute with all others (making and taking items,
 *   boundaries, a writer's loads of its own location) are run at once. A state seen before (64-bit
 *   hash of what can still matter) is not entered again.
 *
 * Called by the programs of this folder. One thread; state in file statics.
 */
#include "explorer.h"

#include "base/check.h"
#include "model_atomics.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LOCATIONS_MAX 24
#define WRITES_MAX 16
#define LOG_MAX 96
#define DEPTH_MAX 256
#define STATES_MAX ((size_t)1 << 23)
#define NOBODY MODEL_THREADS_MAX

enum op_kind { OP_END, OP_LOAD, OP_STORE, OP_CAS, OP_MAKE, OP_TAKE, OP_BOUNDARY, OP_FAIL };

struct op {
    enum op_kind kind;
    unsigned location;
    memory_order order;
    memory_order failure;
    uint64_t value; /* stored; the item; the carry; the text of a failure */
    uint64_t expected;
    struct model_site site;
};

struct view {
    uint8_t writes[LOCATIONS_MAX];        /* oldest write that may be read */
    uint8_t reads[MODEL_THREADS_MAX + 1]; /* guarded reads of each thread that happened before */
    uint32_t items;                       /* bits: items whose making happened before */
};

struct write {
    uint64_t value;
    struct view view;
};

struct location {
    unsigned count;
    struct write writes[WRITES_MAX];
    uint8_t taken_reads[MODEL_THREADS_MAX]; /* clock of each thread's last read made good */
};

struct result {
    uint64_t value;
    bool is_success;
};

struct thread {
    struct view view;
    struct op pending;
    unsigned log_count;
    unsigned log_since; /* the first entry since the last boundary */
    unsigned boundaries;
    uint64_t carried; /* hash of the carries */
    struct result log[LOG_MAX];
    uint8_t open_reads[LOCATIONS_MAX]; /* guarded reads since the last CAS, as clocks */
};

struct state {
    uint32_t made;
    uint32_t taken;
    struct thread threads[MODEL_THREADS_MAX];
    struct location locations[LOCATIONS_MAX];
};

/* Constant during an exploration. */
static const struct model_scenario *scenario;
static unsigned thread_count;
static unsigned location_count;
static const volatile void *addresses[LOCATIONS_MAX];
static unsigned owners[LOCATIONS_MAX];
static bool is_guarded[LOCATIONS_MAX];
static unsigned weakened_line;
static bool is_tracing;

/* The search. */
static struct state *stack;
static struct model_result result;
static uint64_t *seen;

/* The thread being replayed; NULL: operations act on *direct at once (setup, finish). */
static struct thread *replayed;
static unsigned replay_next;
static jmp_buf replay_out;
static struct state *direct;

static struct model_site sites[MODEL_SITES_MAX];
static unsigned site_count;

static void report(const char *what)
{
    if (result.is_bug)
        return;
    result.is_bug = true;
    snprintf(result.bug, sizeof(result.bug), "%s", what);
}

/* A limit or a gap of the explorer itself: no verdict is possible. */
_Noreturn static void give_up(const char *why)
{
    fprintf(stderr, "explorer: %s\n", why);
    exit(2);
}

/* --- views ------------------------------------------------------------------------------------ */

static void view_join(struct view *into, const struct view *from)
{
    for (unsigned i = 0; i < location_count; i++)
        into->writes[i] = skua_max(into->writes[i], from->writes[i]);
    for (unsigned i = 0; i < thread_count; i++)
        into->reads[i] = skua_max(into->reads[i], from->reads[i]);
    into->items |= from->items;
}

static bool has_acquire(memory_order order)
{
    return order == memory_order_acquire || order == memory_order_acq_rel;
}

static bool has_release(memory_order order)
{
    return order == memory_order_release || order == memory_order_acq_rel;
}

/* --- the threads' side: hooks, called by the source under test -------------------------------- */

static unsigned location_of(const volatile void *address)
{
    for (unsigned i = 0; i < location_count; i++) {
        if (addresses[i] == address)
            return i;
    }
    give_up("an atomic that was not initialised");
}

static memory_order site_order(memory_order order, struct model_site site)
{
    if (order == memory_order_relaxed)
        return order;
    if (order == memory_order_seq_cst || order == memory_order_consume)
        give_up("seq_cst and consume are not modelled");
    if (site.line == weakened_line)
        return memory_order_relaxed;
    for (unsigned i = 0; i < site_count; i++) {
        if (sites[i].line == site.line)
            return order;
    }
    if (site_count == MODEL_SITES_MAX)
        give_up("too many sites");
    sites[site_count++] = site;
    return order;
}

/* The result of @op if it is logged; else notes it as pending and leaves the thread. */
static struct result replay(const struct op *op)
{
    if (replay_next < replayed->log_count)
        return replayed->log[replay_next++];
    replayed->pending = *op;
    longjmp(replay_out, 1);
}

static struct write *last_write(struct state *s, unsigned location)
{
    return &s->locations[location].writes[s->locations[location].count - 1];
}

uint64_t model_load(const volatile void *address, memory_order order, struct model_site site)
{
    if (replayed == NULL)
        return last_write(direct, location_of(address))->value;
    if (replay_next < replayed->log_count)
        return replayed->log[replay_next++].value;
    struct op op = {.kind = OP_LOAD,
                    .location = location_of(address),
                    .site = site,
                    .order = site_order(order, site)};
    return replay(&op).value;
}

void model_store(volatile void *address, uint64_t value, memory_order order, struct model_site site)
{
    if (replayed == NULL) {
        last_write(direct, location_of(address))->value = value;
        return;
    }
    if (replay_next < replayed->log_count) {
        replay_next++;
        return;
    }
    struct op op = {.kind = OP_STORE,
                    .location = location_of(address),
                    .site = site,
                    .order = site_order(order, site),
                    .value = value};
    (void)replay(&op);
}

bool model_cas(volatile void *address, uint64_t *expected, uint64_t desired, memory_order success,
               memory_order failure, struct model_site site)
{
    struct result r;

    if (replayed == NULL) {
        struct write *last = last_write(direct, location_of(address));
        r = (struct result){.value = last->value, .is_success = last->value == *expected};
        if (r.is_success)
            last->value = desired;
    } else {
        struct op op = {.kind = OP_CAS,
                        .location = location_of(address),
                        .value = desired,
                        .expected = *expected,
                        .site = site,
                        .order = site_order(success, site),
                        .failure = site_order(failure, site)};
        r = replay(&op);
    }
    if (!r.is_success)
        *expected = r.value;
    return r.is_success;
}

void model_init(volatile void *address, uint64_t value)
{
    unsigned i = 0;

    if (replayed != NULL)
        give_up("atomics are initialised in setup only");
    while (i < location_count && addresses[i] != address)
        i++;
    if (i == LOCATIONS_MAX)
        give_up("too many locations");
    if (i == location_count)
        location_count++;
    addresses[i] = address;
    owners[i] = NOBODY;
    is_guarded[i] = false;
    direct->locations[i].count = 1;
    direct->locations[i].writes[0].value = value;
}

void model_owner(const volatile void *location, unsigned thread)
{
    owners[location_of(location)] = thread;
}

void model_guard(const volatile void *location)
{
    is_guarded[location_of(location)] = true;
}

static void item_made(struct state *s, uint64_t item)
{
    if (item < 1 || item > MODEL_ITEMS_MAX || (s->made & (1u << item)) != 0)
        give_up("a scenario makes an item twice, or a strange one");
    s->made |= 1u << item;
}

static void item_taken(struct state *s, uint64_t item)
{
    if (item < 1 || item > MODEL_ITEMS_MAX || (s->made & (1u << item)) == 0)
        report("took what nobody made (a slot read before it was filled)");
    else if ((s->taken & (1u << item)) != 0)
        report("an item was taken twice");
    else
        s->taken |= 1u << item;
}

void *model_make(unsigned item)
{
    if (replayed == NULL)
        item_made(direct, item);
    else
        (void)replay(&(struct op){.kind = OP_MAKE, .value = item});
    return (void *)(uintptr_t)item;
}

void model_take(const void *item)
{
    if (replayed == NULL)
        item_taken(direct, (uintptr_t)item);
    else
        (void)replay(&(struct op){.kind = OP_TAKE, .value = (uintptr_t)item});
}

void model_fail(const char *what)
{
    if (replayed == NULL)
        report(what);
    else
        (void)replay(&(struct op){.kind = OP_FAIL, .value = (uintptr_t)what});
}

void model_boundary(uint64_t carry)
{
    if (replayed != NULL)
        (void)replay(&(struct op){.kind = OP_BOUNDARY, .value = carry});
}

/* The assertions of the source under test end here. */
_Noreturn void skua_check_failed(const char *condition, const char *file, int line)
{
    if (replayed == NULL) {
        fprintf(stderr, "%s:%d: %s\n", file, line, condition);
        give_up("an assertion failed in setup or finish");
    }
    replayed->pending = (struct op){.kind = OP_FAIL, .value = (uintptr_t)condition};
    longjmp(replay_out, 1);
}

static void thread_replay(struct state *s, unsigned t)
{
    replayed = &s->threads[t];
    replay_next = 0;
    if (setjmp(replay_out) == 0) {
        scenario->threads[t]();
        replayed->pending = (struct op){.kind = OP_END};
    }
    replayed = NULL;
}

/* --- the memory's side: execution of one pending operation ------------------------------------ */

static void read_write(struct state *s, unsigned t, unsigned location, unsigned index,
                       memory_order order)
{
    struct thread *thread = &s->threads[t];

    thread->view.writes[location] = (uint8_t)index;
    if (has_acquire(order))
        view_join(&thread->view, &s->locations[location].writes[index].view);
    if (is_guarded[location] && owners[location] != t) {
        thread->view.reads[t]++;
        thread->open_reads[location] = thread->view.reads[t];
    }
}

/* Appends a write; @base is the view of the write a read-modify-write read, or NULL. */
static void append_write(struct state *s, unsigned t, const struct op *op, const struct view *base)
{
    struct location *location = &s->locations[op->location];
    struct view *view = &s->threads[t].view;

    if (view->writes[op->location] != location->count - 1)
        give_up("two threads store to one location: the model would miss executions");
    if (owners[op->location] != NOBODY && owners[op->location] != t)
        report("somebody else than the owner stores");
    for (unsigned i = 0; i < thread_count; i++) {
        if (i != t && location->taken_reads[i] > view->reads[i])
            report("a slot is filled anew while a thief may still be reading it");
    }
    if (location->count == WRITES_MAX)
        give_up("too many writes to one location");
    view->writes[op->location]++;
    struct write *write = &location->writes[location->count++];
    memset(write, 0, sizeof(*write));
    write->value = op->value;
    if (base != NULL)
        write->view = *base;
    if (has_release(op->order))
        view_join(&write->view, view);
    write->view.writes[op->location] = view->writes[op->location];
}

/* A CAS on a location makes the guarded reads before it good, or void. */
static void settle_reads(struct state *s, unsigned t, bool is_success)
{
    struct thread *thread = &s->threads[t];

    for (unsigned i = 0; i < location_count; i++) {
        if (is_success && thread->open_reads[i] != 0)
            s->locations[i].taken_reads[t] = thread->open_reads[i];
        thread->open_reads[i] = 0;
    }
}

static struct result execute_cas(struct state *s, unsigned t, const struct op *op, unsigned index)
{
    struct location *location = &s->locations[op->location];
    bool is_success = location->writes[index].value == op->expected;
    struct result r = {.value = location->writes[index].value, .is_success = is_success};

    read_write(s, t, op->location, index, is_success ? op->order : op->failure);
    if (is_success) {
        struct view base = location->writes[index].view;
        append_write(s, t, op, &base);
    }
    settle_reads(s, t, is_success);
    return r;
}

static void execute_take(struct state *s, unsigned t, uint64_t item)
{
    item_taken(s, item);
    if (!result.is_bug && (s->threads[t].view.items & (1u << item)) == 0)
        report("an item was taken whose content is not visible");
}

static void print_op(unsigned t, const struct op *op, const struct result *r)
{
    static const char *const kinds[] = {"end",  "load", "store",    "cas",
                                        "make", "take", "boundary", "fail"};
    static const char *const orders[] = {"relaxed", "consume", "acquire", "release", "acq_rel"};

    printf("    T%u %-8s", t, kinds[op->kind]);
    if (op->kind == OP_LOAD || op->kind == OP_STORE || op->kind == OP_CAS)
        printf(" location %u %s, %s:%u, value %llu%s", op->location, orders[op->order],
               op->site.function, op->site.line, (unsigned long long)r->value,
               op->kind == OP_CAS ? (r->is_success ? " done" : " failed") : "");
    else
        printf(" %llu", (unsigned long long)op->value);
    printf("\n");
}

/* Executes the pending operation of @t, reading write @index if it reads, and moves @t on. */
static void execute(struct state *s, unsigned t, unsigned index)
{
    struct thread *thread = &s->threads[t];
    struct op op = thread->pending;
    struct result r = {.value = op.value};

    switch (op.kind) {
    case OP_LOAD:
        r.value = s->locations[op.location].writes[index].value;
        read_write(s, t, op.location, index, op.order);
        break;
    case OP_STORE:
        append_write(s, t, &op, NULL);
        break;
    case OP_CAS:
        r = execute_cas(s, t, &op, index);
        break;
    case OP_MAKE:
        item_made(s, op.value);
        thread->view.items |= 1u << op.value;
        break;
    case OP_TAKE:
        execute_take(s, t, op.value);
        break;
    case OP_FAIL:
        report((const char *)(uintptr_t)op.value);
        break;
    case OP_BOUNDARY:
    case OP_END:
        break;
    }
    if (thread->log_count == LOG_MAX)
        give_up("too many operations in one thread");
    thread->log[thread->log_count++] = r;
    if (op.kind == OP_BOUNDARY) {
        thread->log_since = thread->log_count;
        thread->boundaries++;
        thread->carried = (thread->carried ^ op.value) * 0x9e3779b97f4a7c15u + 1;
    }
    if (!result.is_bug)
        thread_replay(s, t);
}

/* --- the search ------------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t value)
{
    hash ^= value + 0x9e3779b97f4a7c15u + (hash << 6) + (hash >> 2);
    hash *= 0xff51afd7ed558ccdu;
    return hash ^ (hash >> 32);
}

static uint64_t mix_view(uint64_t hash, const struct view *view)
{
    uint64_t words[sizeof(struct view) / 8];

    _Static_assert(sizeof(struct view) % 8 == 0, "views are hashed by words");
    memcpy(words, view, sizeof(words));
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        hash = mix(hash, words[i]);
    return hash;
}

static uint64_t hash_thread(uint64_t hash, const struct thread *thread)
{
    hash = mix(hash, thread->pending.kind == OP_END);
    if (thread->pending.kind == OP_END)
        return hash;
    hash = mix(mix(hash, thread->boundaries), thread->carried);
    for (unsigned i = thread->log_since; i < thread->log_count; i++)
        hash = mix(mix(hash, thread->log[i].value), thread->log[i].is_success);
    for (unsigned i = 0; i < location_count; i++)
        hash = mix(hash, thread->open_reads[i]);
    return mix_view(hash, &thread->view);
}

/* What can still matter: no write that nobody may read any more. */
static uint64_t hash_state(const struct state *s)
{
    uint64_t hash = mix(s->made, s->taken);

    for (unsigned t = 0; t < thread_count; t++)
        hash = hash_thread(hash, &s->threads[t]);
    for (unsigned i = 0; i < location_count; i++) {
        const struct location *location = &s->locations[i];
        unsigned first = location->count - 1;
        for (unsigned t = 0; t < thread_count; t++) {
            if (s->threads[t].pending.kind != OP_END)
                first = skua_min(first, (unsigned)s->threads[t].view.writes[i]);
            hash = mix(hash, location->taken_reads[t]);
        }
        hash = mix(hash, location->count);
        for (unsigned w = first; w < location->count; w++)
            hash = mix_view(mix(hash, location->writes[w].value), &location->writes[w].view);
    }
    return hash == 0 ? 1 : hash;
}

/* True if @hash is new; it is then remembered. */
static bool remember(uint64_t hash)
{
    size_t slot = hash & (STATES_MAX * 2 - 1);

    while (seen[slot] != 0) {
        if (seen[slot] == hash)
            return false;
        slot = (slot + 1) & (STATES_MAX * 2 - 1);
    }
    if (result.state_count == STATES_MAX) {
        result.is_cut_short = true;
        return false;
    }
    seen[slot] = hash;
    result.state_count++;
    return true;
}

static bool commutes(const struct state *s, unsigned t)
{
    const struct op *op = &s->threads[t].pending;

    switch (op->kind) {
    case OP_MAKE:
    case OP_TAKE:
    case OP_BOUNDARY:
    case OP_FAIL:
        return true;
    case OP_LOAD:
        return owners[op->location] == t;
    default:
        return false;
    }
}

/* Runs all that commutes. Only the last write of an own location can be read. */
static void run_ahead(struct state *s)
{
    for (unsigned t = 0; t < thread_count; t++) {
        while (!result.is_bug && commutes(s, t)) {
            struct op op = s->threads[t].pending;
            unsigned index = op.kind == OP_LOAD ? s->locations[op.location].count - 1 : 0;
            execute(s, t, index);
            if (is_tracing && result.is_bug)
                print_op(t, &op, &s->threads[t].log[s->threads[t].log_count - 1]);
        }
    }
}

static void check_end(const struct state *s)
{
    static struct state end;

    result.end_count++;
    end = *s;
    direct = &end;
    scenario->finish();
    if (!result.is_bug && end.made != end.taken)
        report("an item was lost");
}

static void explore(unsigned depth);

/* Enters every outcome of the pending operation of @t. */
static void explore_thread(unsigned depth, unsigned t)
{
    const struct state *s = &stack[depth];
    const struct op *op = &s->threads[t].pending;
    unsigned first = 0;
    unsigned end = 1;

    if (op->kind == OP_LOAD || op->kind == OP_CAS) {
        first = s->threads[t].view.writes[op->location];
        end = s->locations[op->location].count;
    }
    for (unsigned index = first; index < end && !result.is_bug; index++) {
        /* A CAS that succeeds reads the last write: those before have been replaced by a CAS. */
        if (op->kind == OP_CAS && index + 1 < end &&
            s->locations[op->location].writes[index].value == op->expected)
            continue;
        stack[depth + 1] = *s;
        execute(&stack[depth + 1], t, index);
        explore(depth + 1);
        if (is_tracing && result.is_bug) {
            const struct thread *after = &stack[depth + 1].threads[t];
            print_op(t, op, &after->log[s->threads[t].log_count]);
        }
    }
}

static void explore(unsigned depth)
{
    struct state *s = &stack[depth];
    bool is_end = true;

    if (depth + 1 >= DEPTH_MAX)
        give_up("too long an execution");
    run_ahead(s);
    if (result.is_bug || !remember(hash_state(s)))
        return;
    for (unsigned t = 0; t < thread_count && !result.is_bug; t++) {
        if (s->threads[t].pending.kind == OP_END)
            continue;
        is_end = false;
        explore_thread(depth, t);
    }
    if (is_end)
        check_end(s);
}

static void start(void)
{
    struct state *root = &stack[0];

    memset(root, 0, sizeof(*root));
    location_count = 0;
    thread_count = 0;
    while (thread_count < MODEL_THREADS_MAX && scenario->threads[thread_count] != NULL)
        thread_count++;
    direct = root;
    scenario->setup();
    for (unsigned i = 0; i < location_count; i++)
        root->locations[i].writes[0].view.items = root->made;
    for (unsigned t = 0; t < thread_count; t++) {
        root->threads[t].view.items = root->made;
        thread_replay(root, t);
    }
}

struct model_result model_explore(const struct model_scenario *which, unsigned weakened, bool trace)
{
    stack = calloc(DEPTH_MAX, sizeof(*stack));
    seen = calloc(STATES_MAX * 2, sizeof(*seen));
    if (stack == NULL || seen == NULL)
        give_up("out of memory");
    memset(&result, 0, sizeof(result));
    scenario = which;
    weakened_line = weakened;
    is_tracing = trace;
    start();
    explore(0);
    free(stack);
    free(seen);
    return result;
}

unsigned model_sites(const struct model_site **out)
{
    *out = sites;
    return site_count;
}
