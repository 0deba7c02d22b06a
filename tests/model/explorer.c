/*
 * tests/model/explorer.c - the explorer: hooks for the source under test, a replayer, a search.
 * The memory model is in memory.c.
 *
 * REPLAY  A thread's state is the log of the results it got. To move it on, append one result and
 *   call its function again: logged operations return at once, the first one beyond the log is
 *   noted as pending and left by longjmp. So states are plain memory, copied to backtrack, and
 *   there are no coroutines.
 *
 * SEARCH  Depth first. A state seen before (64-bit hash of what can still matter) is not entered
 *   again. Operations that commute with all that others can do are run at once: those that are not
 *   of shared memory; of plain locations; unlocking; loads of locations that nobody else writes;
 *   anything of locations that nobody else accesses. Who accesses and writes what is not declared
 *   but learned: the search starts with what is known, and starts again when that grows. The last
 *   search has met nobody it did not expect, so it could leave nothing out.
 *
 * Called by the programs of this folder. One thread; state in file statics.
 */
#include "explorer.h"

#include "base/check.h"
#include "memory.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 400
#define TRACE_MAX 1000
#define STATES_MAX ((size_t)1 << 23)
#define IGNORED_MAX 8

/* Constant during an exploration. */
static const struct model_scenario *scenario;
static const struct model_mutant *mutant;
static struct {
    const volatile char *start;
    size_t size;
} ignored[IGNORED_MAX];
static unsigned ignored_count;
static bool *guarded[GUARDED_MAX];
static unsigned guarded_count;
static uint8_t guarded_first[GUARDED_MAX]; /* after setup */

/* Learned: bits of the threads that access, and write. */
static uint8_t accessors[LOCATIONS_MAX];
static uint8_t writers[LOCATIONS_MAX];
static bool has_learned;

/* The search. */
static struct state *stack;
static struct model_result result;
static uint64_t *seen;
static size_t seen_size; /* a power of 2 */
static struct {
    unsigned t;
    struct op op;
    struct result result;
} trace[TRACE_MAX];
static unsigned trace_count;

/* The thread being replayed; NULL: operations act on *direct at once (setup, finish). */
static struct thread *replayed;
static unsigned replayed_index;
static unsigned replay_next;
static jmp_buf replay_out;
static struct state *direct;

static struct model_site_use uses[MODEL_SITES_MAX];
static unsigned use_count;

void memory_report(const char *what)
{
    if (result.is_bug)
        return;
    result.is_bug = true;
    snprintf(result.bug, sizeof(result.bug), "%s", what);
}

/* A limit or a gap of the explorer itself. */
_Noreturn void memory_give_up(const char *why)
{
    fprintf(stderr, "explorer: %s\n", why);
    exit(2);
}

/* --- the threads' side: hooks, called by the source under test -------------------------------- */

static bool is_ignored(const volatile void *address)
{
    for (unsigned i = 0; i < ignored_count; i++) {
        if ((const volatile char *)address >= ignored[i].start &&
            (const volatile char *)address < ignored[i].start + ignored[i].size)
            return true;
    }
    return false;
}

static unsigned location_of(const volatile void *address)
{
    for (unsigned i = 0; i < memory_facts.location_count; i++) {
        if (memory_facts.locations[i].address == address)
            return i;
    }
    memory_give_up("an atomic that was not initialised");
}

/* NOWHERE: not a plain location. */
static unsigned plain_of(const volatile void *address)
{
    for (unsigned i = 0; i < memory_facts.plain_count; i++) {
        if (memory_facts.plains[i] == address)
            return i;
    }
    return NOWHERE;
}

static bool is_same_site(const struct model_site_use *use, struct model_site site, bool is_failure)
{
    return use->site.line == site.line && use->is_failure == is_failure &&
           strcmp(use->site.function, site.function) == 0;
}

/* Notes an ordered operation. True: it is the one to be taken weaker. */
static bool use_site(const struct model_site_use *use)
{
    if (mutant != NULL && is_same_site(&mutant->use, use->site, use->is_failure))
        return true;
    for (unsigned i = 0; i < use_count; i++) {
        if (is_same_site(&uses[i], use->site, use->is_failure))
            return false;
    }
    if (use_count == MODEL_SITES_MAX)
        memory_give_up("too many sites");
    uses[use_count++] = *use;
    return false;
}

static memory_order site_order(memory_order order, struct model_site site, enum model_access access,
                               bool is_failure)
{
    if (order == memory_order_relaxed)
        return order;
    if (order == memory_order_consume)
        memory_give_up("consume is not modelled");
    struct model_site_use use = {
        .site = site, .order = order, .access = access, .is_failure = is_failure};
    order = use_site(&use) ? mutant->order : order;
    has_learned |= order == memory_order_seq_cst && !memory_facts.has_ordered;
    memory_facts.has_ordered |= order == memory_order_seq_cst;
    return order;
}

static bool is_logged(void)
{
    return replay_next < replayed->log_count;
}

/* Variables guarded by a lock, between memory and a state or the log of a thread. */
static void put_guarded(const uint8_t *values)
{
    for (unsigned i = 0; i < guarded_count; i++)
        *guarded[i] = values[i] != 0;
}

static void get_guarded(uint8_t *values)
{
    for (unsigned i = 0; i < guarded_count; i++)
        values[i] = *guarded[i];
}

static struct result next_logged(void)
{
    const struct result *r = &replayed->log[replay_next++];
    put_guarded(r->guarded);
    return *r;
}

/* The result of @op if it is logged; else notes it as pending and leaves the thread. */
static struct result replay(const struct op *op)
{
    if (is_logged())
        return next_logged();
    replayed->pending = *op;
    longjmp(replay_out, 1);
}

/* An ignored word is what it is. */
static uint64_t ignored_load(const volatile void *address, unsigned size)
{
    uint64_t value = 0;
    memcpy(&value, (const void *)(uintptr_t)address, size);
    return value;
}

static void ignored_store(volatile void *address, uint64_t value, unsigned size)
{
    memcpy((void *)(uintptr_t)address, &value, size);
}

uint64_t model_load(const volatile void *address, memory_order order, struct model_site site)
{
    if (is_ignored(address))
        return ignored_load(address, site.size);
    if (plain_of(address) != NOWHERE)
        return model_plain_read(address);
    if (replayed == NULL)
        return memory_last(direct, location_of(address))->value;
    if (is_logged())
        return next_logged().value;
    struct op op = {.kind = OP_LOAD,
                    .location = location_of(address),
                    .site = site,
                    .order = site_order(order, site, MODEL_READS, false)};
    return replay(&op).value;
}

void model_store(volatile void *address, uint64_t value, memory_order order, struct model_site site)
{
    if (is_ignored(address)) {
        ignored_store(address, value, site.size);
    } else if (plain_of(address) != NOWHERE) {
        model_plain_write(address, value);
    } else if (replayed == NULL) {
        memory_last(direct, location_of(address))->value = value;
    } else if (is_logged()) {
        (void)next_logged();
    } else {
        struct op op = {.kind = OP_STORE,
                        .location = location_of(address),
                        .site = site,
                        .order = site_order(order, site, MODEL_WRITES, false),
                        .value = value};
        (void)replay(&op);
    }
}

bool model_cas(volatile void *address, uint64_t *expected, uint64_t desired, memory_order success,
               memory_order failure, struct model_site site)
{
    struct result r;

    if (replayed == NULL) {
        struct write *last = memory_last(direct, location_of(address));
        r = (struct result){.value = last->value, .is_success = last->value == *expected};
        if (r.is_success)
            last->value = desired;
    } else if (is_logged()) {
        r = next_logged();
    } else {
        struct op op = {.kind = OP_CAS,
                        .location = location_of(address),
                        .value = desired,
                        .expected = *expected,
                        .site = site,
                        .order = site_order(success, site, MODEL_UPDATES, false),
                        .failure = site_order(failure, site, MODEL_READS, true)};
        r = replay(&op);
    }
    if (!r.is_success)
        *expected = r.value;
    return r.is_success;
}

uint64_t model_rmw(volatile void *address, enum model_rmw kind, uint64_t operand,
                   memory_order order, struct model_site site)
{
    if (is_ignored(address)) {
        uint64_t old = ignored_load(address, site.size);
        ignored_store(address, memory_rmw_value(kind, old, operand, site.size), site.size);
        return old;
    }
    if (replayed == NULL) {
        struct write *last = memory_last(direct, location_of(address));
        uint64_t old = last->value;
        last->value = memory_rmw_value(kind, old, operand, site.size);
        return old;
    }
    if (is_logged())
        return next_logged().value;
    struct op op = {.kind = OP_RMW,
                    .rmw = kind,
                    .location = location_of(address),
                    .value = operand,
                    .site = site,
                    .order = site_order(order, site, MODEL_UPDATES, false)};
    return replay(&op).value;
}

uint64_t model_await(const volatile void *address, uint64_t mask, uint64_t want, memory_order order,
                     bool may_last, struct model_site site)
{
    if (is_logged())
        return next_logged().value;
    struct op op = {.kind = OP_AWAIT,
                    .location = location_of(address),
                    .value = want,
                    .expected = mask,
                    .may_last = may_last,
                    .site = site,
                    .order = site_order(order, site, MODEL_READS, false)};
    return replay(&op).value;
}

static void lock_op(volatile void *lock, enum op_kind kind)
{
    if (replayed == NULL || is_ignored(lock))
        return;
    (void)replay(&(struct op){.kind = kind, .location = location_of(lock)});
}

void model_lock(volatile void *lock)
{
    lock_op(lock, OP_LOCK);
}

void model_unlock(volatile void *lock)
{
    lock_op(lock, OP_UNLOCK);
}

unsigned model_choose(unsigned count)
{
    if (count == 1)
        return 0;
    return (unsigned)replay(&(struct op){.kind = OP_CHOOSE, .value = count}).value;
}

static void barrier_in(unsigned t)
{
    (void)replay(&(struct op){.kind = OP_BARRIER, .value = t});
}

void model_barrier_at(struct model_site site)
{
    struct model_site_use use = {
        .site = site, .order = memory_order_seq_cst, .access = MODEL_FENCES};
    unsigned self = replayed_index;
    unsigned left = ((1u << memory_facts.thread_count) - 1) & ~(1u << self);

    if (use_site(&use))
        return;
    memory_facts.has_barrier = true;
    barrier_in(self);
    while (left != 0) {
        unsigned choice = model_choose((unsigned)__builtin_popcount(left));
        unsigned rest = left;
        while (choice-- > 0)
            rest &= rest - 1;
        unsigned t = (unsigned)__builtin_ctz(rest);
        barrier_in(t);
        left &= ~(1u << t);
    }
    barrier_in(self);
}

/* --- the threads' side: locations ------------------------------------------------------------- */

void model_init(volatile void *address, uint64_t value)
{
    unsigned i = 0;

    if (is_ignored(address)) /* of one byte or more: statistics, for which that is enough */
        return;
    if (replayed != NULL)
        memory_give_up("atomics are initialised in setup only");
    while (i < memory_facts.location_count && memory_facts.locations[i].address != address)
        i++;
    if (i == LOCATIONS_MAX)
        memory_give_up("too many locations");
    if (i == memory_facts.location_count)
        memory_facts.location_count++;
    memory_facts.locations[i] = (struct location_facts){.address = address, .owner = NOBODY};
    direct->locations[i].count = 1;
    direct->locations[i].writes[0].value = value;
}

void model_plain(const volatile void *location, uint64_t value)
{
    unsigned i = memory_facts.plain_count++;

    if (i == PLAINS_MAX)
        memory_give_up("too many plain locations");
    memory_facts.plains[i] = location;
    direct->plains[i].value = value;
}

uint64_t model_plain_read(const volatile void *location)
{
    struct op op = {.kind = OP_PLAIN_READ, .location = plain_of(location)};

    if (op.location == NOWHERE)
        memory_give_up("not a plain location");
    return replayed == NULL ? direct->plains[op.location].value : replay(&op).value;
}

void model_plain_write(const volatile void *location, uint64_t value)
{
    struct op op = {.kind = OP_PLAIN_WRITE, .location = plain_of(location), .value = value};

    if (op.location == NOWHERE)
        memory_give_up("not a plain location");
    if (replayed == NULL)
        direct->plains[op.location].value = value;
    else
        (void)replay(&op);
}

void model_owner(const volatile void *location, unsigned thread)
{
    memory_facts.locations[location_of(location)].owner = thread;
}

void model_guard(const volatile void *location)
{
    memory_facts.locations[location_of(location)].is_guarded = true;
}

void model_guarded_by_lock(bool *variable)
{
    if (guarded_count == GUARDED_MAX)
        memory_give_up("too much is guarded");
    guarded[guarded_count++] = variable;
}

void model_ignore(const volatile void *address, size_t size)
{
    if (ignored_count == IGNORED_MAX)
        memory_give_up("too much is ignored");
    ignored[ignored_count].start = address;
    ignored[ignored_count++].size = size;
}

/* --- the threads' side: items and reports ----------------------------------------------------- */

void *model_make(unsigned item)
{
    if (replayed == NULL)
        memory_item_made(direct, item);
    else
        (void)replay(&(struct op){.kind = OP_MAKE, .value = item});
    return (void *)(uintptr_t)item;
}

void model_take(const void *item)
{
    if (replayed == NULL)
        memory_item_taken(direct, (uintptr_t)item);
    else
        (void)replay(&(struct op){.kind = OP_TAKE, .value = (uintptr_t)item});
}

void model_fail(const char *what)
{
    if (replayed == NULL)
        memory_report(what);
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
        memory_give_up("an assertion failed in setup or finish");
    }
    replayed->pending = (struct op){.kind = OP_FAIL, .value = (uintptr_t)condition};
    longjmp(replay_out, 1);
}

static void thread_replay(struct state *s, unsigned t)
{
    replayed = &s->threads[t];
    replayed_index = t;
    replay_next = 0;
    put_guarded(guarded_first); /* logged results bring them up to date */
    if (setjmp(replay_out) == 0) {
        scenario->threads[t]();
        replayed->pending = (struct op){.kind = OP_END};
    }
    /* What comes after the last logged operation has been run for the first time. */
    get_guarded(s->guarded);
    replayed = NULL;
}

/* --- the search ------------------------------------------------------------------------------- */

static void print_trace(void)
{
    static const char *const kinds[] = {
        "end",      "load",   "store",      "cas",         "update", "await", "lock",     "unlock",
        "fence in", "choose", "plain read", "plain write", "make",   "take",  "boundary", "fail"};
    static const char *const orders[] = {"relaxed", "consume", "acquire",
                                         "release", "acq_rel", "seq_cst"};

    for (unsigned i = 0; i < trace_count; i++) {
        const struct op *op = &trace[i].op;
        const struct result *r = &trace[i].result;
        if (op->kind == OP_BOUNDARY)
            continue;
        printf("    T%u %-8s", trace[i].t, kinds[op->kind]);
        if (op->site.function != NULL)
            printf(" location %u %s, %s:%u, value %#llx%s", op->location, orders[op->order],
                   op->site.function, op->site.line, (unsigned long long)r->value,
                   op->kind == OP_CAS ? (r->is_success ? " done" : " failed") : "");
        else if (op->kind == OP_FAIL)
            printf(" %s", (const char *)(uintptr_t)op->value);
        else
            printf(" location %u, %#llx", op->location, (unsigned long long)r->value);
        printf("\n");
    }
}

/* What threads access is learned here. */
static void learn(unsigned t, const struct op *op)
{
    uint8_t bit = (uint8_t)(1u << t);
    bool is_write = op->kind == OP_STORE || op->kind == OP_CAS || op->kind == OP_RMW;

    if (op->kind < OP_LOAD || op->kind > OP_UNLOCK)
        return;
    if ((accessors[op->location] & bit) == 0 || (is_write && (writers[op->location] & bit) == 0))
        has_learned = true;
    accessors[op->location] |= bit;
    if (is_write)
        writers[op->location] |= bit;
}

/*
 * Executes the pending operation of @t with one of its outcomes, and moves @t on. False: there is
 * no such outcome.
 */
static bool execute(struct state *s, unsigned t, unsigned outcome)
{
    struct thread *thread = &s->threads[t];
    struct op op = thread->pending;
    struct result r;

    learn(t, &op);
    if (s->trace_count == TRACE_MAX || thread->log_count == LOG_MAX)
        memory_give_up("too many operations");
    bool is_possible = memory_execute(s, t, outcome, &r);
    if (!is_possible)
        return false;
    memcpy(r.guarded, s->guarded, sizeof(r.guarded));
    trace[s->trace_count].t = t;
    trace[s->trace_count].op = op;
    trace[s->trace_count].result = r;
    trace_count = ++s->trace_count;
    thread->log[thread->log_count++] = r;
    if (op.kind == OP_BOUNDARY) {
        thread->log_since = thread->log_count;
        thread->boundaries++;
        thread->carried = (thread->carried ^ op.value) * 0x9e3779b97f4a7c15u + 1;
    }
    if (!result.is_bug)
        thread_replay(s, t);
    return true;
}

/* The logs belong to it: what threads have seen. */
static uint64_t hash_state(const struct state *s)
{
    uint64_t hash = memory_hash(s);

    for (unsigned t = 0; t < memory_facts.thread_count; t++) {
        const struct thread *thread = &s->threads[t];
        hash = memory_mix(hash, thread->pending.kind == OP_END);
        if (thread->pending.kind == OP_END)
            continue;
        hash = memory_mix(memory_mix(hash, thread->boundaries), thread->carried);
        for (unsigned i = thread->log_since; i < thread->log_count; i++)
            hash = memory_mix(hash, thread->log[i].value * 2 + thread->log[i].is_success);
    }
    return hash == 0 ? 1 : hash;
}

static size_t seen_slot(const uint64_t *table, size_t size, uint64_t hash)
{
    size_t slot = hash & (size - 1);

    while (table[slot] != 0 && table[slot] != hash)
        slot = (slot + 1) & (size - 1);
    return slot;
}

static void seen_grow(void)
{
    size_t size = seen_size == 0 ? (size_t)1 << 14 : seen_size * 4;
    uint64_t *table = calloc(size, sizeof(*table));

    if (table == NULL)
        memory_give_up("out of memory");
    for (size_t i = 0; i < seen_size; i++) {
        if (seen[i] != 0)
            table[seen_slot(table, size, seen[i])] = seen[i];
    }
    free(seen);
    seen = table;
    seen_size = size;
}

/* True if @hash is new; it is then remembered. */
static bool remember(uint64_t hash)
{
    if (result.state_count == STATES_MAX) {
        result.is_cut_short = true;
        return false;
    }
    if (result.state_count * 2 >= seen_size)
        seen_grow();
    size_t slot = seen_slot(seen, seen_size, hash);
    if (seen[slot] == hash)
        return false;
    seen[slot] = hash;
    result.state_count++;
    return true;
}

static bool commutes(const struct state *s, unsigned t)
{
    const struct op *op = &s->threads[t].pending;
    unsigned others = ALL_THREADS & ~(1u << t);

    switch (op->kind) {
    case OP_LOAD:
        return (writers[op->location] & others) == 0;
    case OP_STORE:
    case OP_CAS:
    case OP_RMW:
        return (accessors[op->location] & others) == 0;
    case OP_END:
    case OP_AWAIT:
    case OP_LOCK:
    case OP_BARRIER:
    case OP_CHOOSE:
        return false;
    default:
        return true;
    }
}

/* Runs all that commutes. Only the last write can be read: the thread itself has made it. */
static void run_ahead(struct state *s)
{
    for (unsigned t = 0; t < memory_facts.thread_count; t++) {
        while (!result.is_bug && !has_learned && commutes(s, t)) {
            unsigned outcome = memory_outcomes(s, t) - 1;
            if (!execute(s, t, outcome))
                memory_give_up("an operation of one thread alone is impossible");
        }
    }
}

static void check_end(const struct state *s)
{
    static struct state end;

    result.end_count++;
    for (unsigned t = 0; t < memory_facts.thread_count; t++) {
        const struct op *op = &s->threads[t].pending;
        if (op->kind != OP_END && !(op->kind == OP_AWAIT && op->may_last)) {
            memory_report("a thread waits for ever");
            return;
        }
    }
    memory_copy(&end, s);
    direct = &end;
    put_guarded(end.guarded);
    scenario->finish();
    if (!result.is_bug && end.made != end.taken)
        memory_report("an item was lost");
}

static void explore(unsigned depth)
{
    struct state *s = &stack[depth];
    bool is_end = true;

    if (depth + 1 >= DEPTH_MAX)
        memory_give_up("too long an execution");
    run_ahead(s);
    memory_compact(s);
    if (result.is_bug || has_learned || !remember(hash_state(s)))
        return;
    for (unsigned t = 0; t < memory_facts.thread_count; t++) {
        if (!memory_is_enabled(s, t))
            continue;
        is_end = false;
        unsigned count = memory_outcomes(s, t);
        for (unsigned outcome = 0; outcome < count; outcome++) {
            memory_copy(&stack[depth + 1], s);
            if (execute(&stack[depth + 1], t, outcome))
                explore(depth + 1);
            if (result.is_bug || has_learned)
                return;
        }
    }
    if (is_end)
        check_end(s);
}

static void start(void)
{
    struct state *root = &stack[0];

    memset(root, 0, sizeof(*root));
    memory_facts.location_count = 0;
    memory_facts.plain_count = 0;
    memory_facts.thread_count = 0;
    ignored_count = 0;
    guarded_count = 0;
    while (memory_facts.thread_count < MODEL_THREADS_MAX &&
           scenario->threads[memory_facts.thread_count] != NULL)
        memory_facts.thread_count++;
    memory_facts.ordered_each = ORDERED_MAX / skua_max(memory_facts.thread_count, 2u);
    direct = root;
    scenario->setup();
    get_guarded(guarded_first);
    get_guarded(root->guarded);
    for (unsigned i = 0; i < memory_facts.location_count; i++)
        root->locations[i].writes[0].view.items = root->made;
    for (unsigned t = 0; t < memory_facts.thread_count; t++) {
        root->threads[t].view.items = root->made;
        root->threads[t].run_location = NOWHERE;
        memset(root->threads[t].view.known, 0xff, PLAINS_MAX);
        thread_replay(root, t);
    }
}

struct model_result model_explore(const struct model_scenario *which,
                                  const struct model_mutant *weaker, bool is_tracing)
{
    static const struct model_scenario *learned_of;

    stack = calloc(DEPTH_MAX, sizeof(*stack));
    if (stack == NULL)
        memory_give_up("out of memory");
    scenario = which;
    mutant = weaker;
    if (learned_of != which) {
        memset(accessors, 0, sizeof(accessors));
        memset(writers, 0, sizeof(writers));
        memory_facts.has_ordered = false;
        memory_facts.has_barrier = false;
    }
    learned_of = which;
    do {
        has_learned = false;
        memset(&result, 0, sizeof(result));
        free(seen);
        seen = NULL;
        seen_size = 0;
        start();
        explore(0);
    } while (has_learned && !result.is_bug);
    if (memory_facts.has_ordered && memory_facts.has_barrier)
        memory_give_up("barriers together with seq_cst accesses are not modelled");
    if (is_tracing && result.is_bug)
        print_trace();
    free(stack);
    free(seen);
    seen = NULL;
    return result;
}

unsigned model_sites(const struct model_site_use **out)
{
    *out = uses;
    return use_count;
}
