/*
 * tests/model/memory.c - see memory.h for the model.
 */
#include "memory.h"

#include "base/check.h"

#include <string.h>

#define KNOWS_WRITE 0x10u /* in view.known, beside a bit for each thread that reads */
#define KNOWS_READS 0x0fu

_Static_assert(ALL_THREADS == KNOWS_READS, "a bit for each thread");
_Static_assert(ORDERED_MAX <= 8 * sizeof(accesses), "a bit for each");

struct memory_facts memory_facts;

/* --- views ------------------------------------------------------------------------------------ */

static void view_join(struct view *into, const struct view *from)
{
    for (unsigned i = 0; i < memory_facts.location_count; i++)
        into->writes[i] = skua_max(into->writes[i], from->writes[i]);
    for (unsigned i = 0; i < memory_facts.plain_count; i++)
        into->known[i] |= from->known[i];
    for (unsigned i = 0; i < memory_facts.thread_count; i++) {
        into->reads[i] = skua_max(into->reads[i], from->reads[i]);
        into->before[i] = skua_max(into->before[i], from->before[i]);
        into->passed[i] = skua_max(into->passed[i], from->passed[i]);
    }
    into->items |= from->items;
}

/* Where next_view() is. */
struct cursor {
    unsigned thread;
    unsigned location;
    unsigned write;
};

/* One view of @s after the other, first the threads', then the writes'; NULL: no more. */
static struct view *next_view(struct state *s, struct cursor *at)
{
    if (at->thread < memory_facts.thread_count)
        return &s->threads[at->thread++].view;
    while (at->location < memory_facts.location_count) {
        struct location *location = &s->locations[at->location];
        if (at->write < location->count)
            return &location->writes[at->write++].view;
        at->location++;
        at->write = 0;
    }
    return NULL;
}

static bool has_acquire(memory_order order)
{
    return order == memory_order_acquire || order == memory_order_acq_rel ||
           order == memory_order_seq_cst;
}

static bool has_release(memory_order order)
{
    return order == memory_order_release || order == memory_order_acq_rel ||
           order == memory_order_seq_cst;
}

/* --- seq_cst accesses ------------------------------------------------------------------------- */

static accesses bit_of(unsigned access)
{
    return (accesses)1 << access;
}

/* @t is about to access @location: its seq_cst accesses of another one have been passed. */
static void touch(struct state *s, unsigned t, unsigned location)
{
    struct thread *thread = &s->threads[t];

    if (!memory_facts.has_ordered || thread->run_location == location)
        return;
    thread->view.passed[t] = thread->ordered_count;
    memcpy(thread->run_passed, thread->view.passed, sizeof(thread->run_passed));
    thread->run_location = (uint8_t)location;
}

/* The accesses that come before a new one of @t, of write @index of @location. */
static accesses ordered_before(const struct state *s, unsigned t, unsigned location, bool is_write,
                               unsigned index)
{
    const struct thread *thread = &s->threads[t];
    accesses before = 0;

    for (unsigned u = 0; u < memory_facts.thread_count; u++) {
        for (unsigned n = 0; n < s->threads[u].ordered_count; n++) {
            const struct ordered *other = &s->ordered[u * memory_facts.ordered_each + n];
            bool is_same = other->location == location;
            if (u == t || n < thread->run_passed[u] || (is_same && n < thread->view.before[u]) ||
                (is_same && is_write && other->index < (int)index))
                before |= bit_of(u * memory_facts.ordered_each + n);
        }
    }
    return before;
}

/* Those after it, and all after them. */
static accesses ordered_after(const struct state *s, unsigned location, unsigned index)
{
    accesses after = 0;

    for (unsigned u = 0; u < memory_facts.thread_count; u++) {
        for (unsigned n = 0; n < s->threads[u].ordered_count; n++) {
            const struct ordered *other = &s->ordered[u * memory_facts.ordered_each + n];
            if (other->location == location && other->is_write && other->index > (int)index)
                after |= bit_of(u * memory_facts.ordered_each + n) | other->after;
        }
    }
    return after;
}

/* @t accesses write @index of @location, which it has made or read. False: it cannot. */
static bool order_access(struct state *s, unsigned t, unsigned location, bool is_write,
                         unsigned index)
{
    struct thread *thread = &s->threads[t];
    accesses before = ordered_before(s, t, location, is_write, index);
    accesses after = ordered_after(s, location, index);

    if ((before & after) != 0)
        return false;
    if (thread->ordered_count == memory_facts.ordered_each)
        memory_give_up("too many seq_cst accesses in one thread");
    unsigned access = t * memory_facts.ordered_each + thread->ordered_count++;
    for (unsigned i = 0; i < ORDERED_MAX; i++) {
        if ((before & bit_of(i)) != 0 || (s->ordered[i].after & before) != 0)
            s->ordered[i].after |= bit_of(access) | after;
    }
    s->ordered[access] = (struct ordered){.after = after,
                                          .location = (uint8_t)location,
                                          .is_write = is_write,
                                          .index = (int8_t)index};
    return true;
}

/* --- reads and writes ------------------------------------------------------------------------- */

struct write *memory_last(struct state *s, unsigned location)
{
    return &s->locations[location].writes[s->locations[location].count - 1];
}

static void read_write(struct state *s, unsigned t, unsigned location, unsigned index,
                       memory_order order)
{
    struct thread *thread = &s->threads[t];
    const struct location_facts *facts = &memory_facts.locations[location];

    thread->view.writes[location] = (uint8_t)index;
    if (has_acquire(order))
        view_join(&thread->view, &s->locations[location].writes[index].view);
    if (facts->is_guarded && facts->owner != t) {
        thread->view.reads[t]++;
        thread->open_reads[location] = thread->view.reads[t];
    }
}

/* Makes room for a write at @index. */
static void shift_writes(struct state *s, unsigned l, unsigned index)
{
    struct location *location = &s->locations[l];
    struct cursor cursor = {0};
    struct view *view;

    memmove(&location->writes[index + 1], &location->writes[index],
            (location->count - index) * sizeof(location->writes[0]));
    location->count++;
    while ((view = next_view(s, &cursor)) != NULL)
        view->writes[l] = (uint8_t)(view->writes[l] + (view->writes[l] >= index));
    s->fences[l] = (uint8_t)(s->fences[l] + (s->fences[l] >= index));
    for (unsigned i = 0; memory_facts.has_ordered && i < ORDERED_MAX; i++) {
        if (s->ordered[i].location == l && s->ordered[i].index >= (int)index)
            s->ordered[i].index++;
    }
}

static void check_write(struct state *s, unsigned t, unsigned location)
{
    const struct location_facts *facts = &memory_facts.locations[location];

    if (facts->owner != NOBODY && facts->owner != t)
        memory_report("somebody else than the owner stores");
    for (unsigned i = 0; i < memory_facts.thread_count; i++) {
        if (i != t && s->locations[location].taken_reads[i] > s->threads[t].view.reads[i])
            memory_report("a slot is filled anew while a thief may still be reading it");
    }
}

/*
 * @t writes @value at @index; @base is the view of the write a read-modify-write read, or NULL.
 * False: seq_cst forbids it.
 */
static bool append_write(struct state *s, unsigned t, uint64_t value, unsigned index,
                         const struct view *base)
{
    const struct op op = s->threads[t].pending;
    struct location *location = &s->locations[op.location];
    struct view *view = &s->threads[t].view;

    check_write(s, t, op.location);
    if (location->count == WRITES_MAX)
        memory_give_up("too many writes to one location");
    shift_writes(s, op.location, index);
    view->writes[op.location] = (uint8_t)index;
    if (op.order == memory_order_seq_cst) {
        if (!order_access(s, t, op.location, true, index))
            return false;
        view->before[t] = s->threads[t].ordered_count;
    }
    struct write *write = &location->writes[index];
    memset(write, 0, sizeof(*write));
    write->value = value;
    write->is_rmw = base != NULL;
    if (base != NULL)
        write->view = *base;
    if (has_release(op.order))
        view_join(&write->view, view);
    write->view.writes[op.location] = (uint8_t)index;
    return true;
}

static bool execute_load(struct state *s, unsigned t, unsigned index, memory_order order)
{
    unsigned location = s->threads[t].pending.location;

    read_write(s, t, location, index, order);
    if (order != memory_order_seq_cst)
        return true;
    if (!order_access(s, t, location, false, index))
        return false;
    s->threads[t].view.before[t] = s->threads[t].ordered_count;
    return true;
}

static bool execute_store(struct state *s, unsigned t, unsigned outcome)
{
    const struct op *op = &s->threads[t].pending;
    const struct location *location = &s->locations[op->location];
    unsigned index = s->threads[t].view.writes[op->location] + 1u + outcome;

    if (index < location->count && location->writes[index].is_rmw)
        return false;
    return append_write(s, t, op->value, index, NULL);
}

/* A CAS on a location makes the guarded reads before it good, or void. */
static void settle_reads(struct state *s, unsigned t, bool is_success)
{
    struct thread *thread = &s->threads[t];

    for (unsigned i = 0; i < memory_facts.location_count; i++) {
        if (is_success && thread->open_reads[i] != 0)
            s->locations[i].taken_reads[t] = thread->open_reads[i];
        thread->open_reads[i] = 0;
    }
}

uint64_t memory_rmw_value(enum model_rmw kind, uint64_t old, uint64_t operand, unsigned size)
{
    uint64_t mask = size >= 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;

    switch (kind) {
    case MODEL_ADD:
        return (old + operand) & mask;
    case MODEL_SUB:
        return (old - operand) & mask;
    case MODEL_OR:
        return old | operand;
    case MODEL_AND:
        return old & operand & mask;
    default:
        return operand;
    }
}

/* Reads the write at @index and puts @value right behind it. */
static bool execute_update(struct state *s, unsigned t, unsigned index, uint64_t value)
{
    const struct op *op = &s->threads[t].pending;
    struct location *location = &s->locations[op->location];

    if (index + 1 < location->count && location->writes[index + 1].is_rmw)
        return false;
    read_write(s, t, op->location, index, op->order);
    struct view base = location->writes[index].view;
    return append_write(s, t, value, index + 1, &base);
}

static bool execute_cas(struct state *s, unsigned t, unsigned index, struct result *result)
{
    const struct op *op = &s->threads[t].pending;
    bool is_possible;

    result->value = s->locations[op->location].writes[index].value;
    result->is_success = result->value == op->expected;
    if (result->is_success)
        is_possible = execute_update(s, t, index, op->value);
    else
        is_possible = execute_load(s, t, index, op->failure);
    settle_reads(s, t, result->is_success);
    return is_possible;
}

/* A lock has one write: the last. */
static void execute_lock(struct state *s, unsigned t, bool is_unlock)
{
    unsigned location = s->threads[t].pending.location;
    struct write *write = memory_last(s, location);

    if (is_unlock)
        write->view = s->threads[t].view;
    else
        view_join(&s->threads[t].view, &write->view);
    write->value = !is_unlock;
}

/* --- what is not atomic ----------------------------------------------------------------------- */

static void execute_barrier(struct state *s, unsigned t)
{
    struct view *view = &s->threads[t].view;

    for (unsigned i = 0; i < memory_facts.location_count; i++) {
        view->writes[i] = skua_max(view->writes[i], s->fences[i]);
        s->fences[i] = view->writes[i];
    }
}

/* All views but that of @t lose what @keep does not have and get what @add has. */
static void change_known(struct state *s, unsigned t, unsigned plain, unsigned keep, unsigned add)
{
    struct cursor cursor = {0};
    struct view *view;

    while ((view = next_view(s, &cursor)) != NULL) {
        if (view != &s->threads[t].view)
            view->known[plain] = (uint8_t)((view->known[plain] & keep) | add);
    }
}

static uint64_t execute_plain(struct state *s, unsigned t, bool is_write)
{
    const struct op *op = &s->threads[t].pending;
    struct plain *plain = &s->plains[op->location];
    uint8_t *known = &s->threads[t].view.known[op->location];
    unsigned needed = is_write ? KNOWS_WRITE | KNOWS_READS : KNOWS_WRITE;

    if ((*known & needed) != needed)
        memory_report(is_write ? "written while somebody may be reading or writing it"
                               : "read while somebody may be writing it");
    if (!is_write) {
        change_known(s, t, op->location, ~(1u << t), 0);
        return plain->value;
    }
    change_known(s, t, op->location, 0, KNOWS_READS);
    *known = KNOWS_WRITE | KNOWS_READS;
    plain->value = op->value;
    return op->value;
}

void memory_item_made(struct state *s, uint64_t item)
{
    if (item < 1 || item > MODEL_ITEMS_MAX || (s->made & (1u << item)) != 0)
        memory_give_up("a scenario makes an item twice, or a strange one");
    s->made |= 1u << item;
}

void memory_item_taken(struct state *s, uint64_t item)
{
    if (item < 1 || item > MODEL_ITEMS_MAX || (s->made & (1u << item)) == 0)
        memory_report("took what nobody made (a slot read before it was filled)");
    else if ((s->taken & (1u << item)) != 0)
        memory_report("an item was taken twice");
    else
        s->taken |= 1u << item;
}

static void execute_take(struct state *s, unsigned t, uint64_t item)
{
    bool is_visible = (s->threads[t].view.items & (1u << (item & 31))) != 0;

    memory_item_taken(s, item);
    if (!is_visible)
        memory_report("an item was taken whose content is not visible");
}

/* --- operations ------------------------------------------------------------------------------- */

static bool is_awaited(const struct op *op, const struct write *write)
{
    return (write->value & op->expected) == op->value;
}

unsigned memory_outcomes(const struct state *s, unsigned t)
{
    const struct op *op = &s->threads[t].pending;

    switch (op->kind) {
    case OP_LOAD:
    case OP_CAS:
    case OP_RMW:
    case OP_AWAIT:
    case OP_STORE: /* behind any of the writes a load could return */
        return s->locations[op->location].count - s->threads[t].view.writes[op->location];
    case OP_CHOOSE:
        return (unsigned)op->value;
    default:
        return 1;
    }
}

bool memory_is_enabled(const struct state *s, unsigned t)
{
    const struct op *op = &s->threads[t].pending;
    const struct location *location = &s->locations[op->location];

    if (op->kind == OP_LOCK)
        return location->writes[location->count - 1].value == 0;
    if (op->kind != OP_AWAIT)
        return op->kind != OP_END;
    for (unsigned i = s->threads[t].view.writes[op->location]; i < location->count; i++) {
        if (is_awaited(op, &location->writes[i]))
            return true;
    }
    return false;
}

/* Those of one location. */
static bool execute_atomic(struct state *s, unsigned t, unsigned outcome, struct result *result)
{
    const struct op *op = &s->threads[t].pending;
    unsigned index = s->threads[t].view.writes[op->location] + outcome;
    const struct write *write = &s->locations[op->location].writes[index];

    touch(s, t, op->location);
    switch (op->kind) {
    case OP_STORE:
        return execute_store(s, t, outcome);
    case OP_CAS:
        return execute_cas(s, t, index, result);
    case OP_RMW:
        result->value = write->value;
        return execute_update(s, t, index,
                              memory_rmw_value(op->rmw, write->value, op->value, op->site.size));
    default:
        if (op->kind == OP_AWAIT && !is_awaited(op, write))
            return false;
        result->value = write->value;
        return execute_load(s, t, index, op->order);
    }
}

bool memory_execute(struct state *s, unsigned t, unsigned outcome, struct result *result)
{
    const struct op *op = &s->threads[t].pending;

    *result = (struct result){.value = op->value};
    switch (op->kind) {
    case OP_LOAD:
    case OP_STORE:
    case OP_CAS:
    case OP_RMW:
    case OP_AWAIT:
        return execute_atomic(s, t, outcome, result);
    case OP_LOCK:
    case OP_UNLOCK:
        touch(s, t, op->location);
        execute_lock(s, t, op->kind == OP_UNLOCK);
        return true;
    case OP_BARRIER:
        execute_barrier(s, (unsigned)op->value);
        return true;
    case OP_CHOOSE:
        result->value = outcome;
        return true;
    case OP_PLAIN_READ:
    case OP_PLAIN_WRITE:
        touch(s, t, NOWHERE);
        result->value = execute_plain(s, t, op->kind == OP_PLAIN_WRITE);
        return true;
    case OP_MAKE:
        memory_item_made(s, op->value);
        s->threads[t].view.items |= 1u << op->value;
        return true;
    case OP_TAKE:
        execute_take(s, t, op->value);
        return true;
    case OP_FAIL:
        memory_report((const char *)(uintptr_t)op->value);
        return true;
    default:
        return true;
    }
}

/* --- states ----------------------------------------------------------------------------------- */

/* The oldest write of @location that a thread not yet through may read. */
static unsigned oldest_visible(const struct state *s, unsigned location)
{
    unsigned oldest = s->locations[location].count - 1;

    for (unsigned t = 0; t < memory_facts.thread_count; t++) {
        if (s->threads[t].pending.kind != OP_END)
            oldest = skua_min(oldest, (unsigned)s->threads[t].view.writes[location]);
    }
    return oldest;
}

/* Drops @counts of each location. */
static void drop_writes(struct state *s, const uint8_t counts[LOCATIONS_MAX])
{
    struct cursor cursor = {0};
    struct view *view;

    for (unsigned l = 0; l < memory_facts.location_count; l++) {
        struct location *location = &s->locations[l];
        if (counts[l] == 0)
            continue;
        location->count -= counts[l];
        memmove(&location->writes[0], &location->writes[counts[l]],
                location->count * sizeof(location->writes[0]));
        location->writes[0].is_rmw = false; /* nothing can come before it any more */
        s->fences[l] = (uint8_t)(s->fences[l] - skua_min(s->fences[l], counts[l]));
    }
    while ((view = next_view(s, &cursor)) != NULL) {
        for (unsigned l = 0; l < memory_facts.location_count; l++)
            view->writes[l] = (uint8_t)(view->writes[l] - skua_min(view->writes[l], counts[l]));
    }
    for (unsigned i = 0; memory_facts.has_ordered && i < ORDERED_MAX; i++) {
        struct ordered *ordered = &s->ordered[i];
        ordered->index = (int8_t)skua_max(ordered->index - counts[ordered->location], -1);
    }
}

/*
 * Whether no circle can come to go through @access: a new access is put before writes that are
 * still there, so one of these must lead to @access.
 */
static bool is_settled(const struct state *s, unsigned access)
{
    if (s->ordered[access].is_write && s->ordered[access].index >= 0)
        return false;
    for (unsigned i = 0; i < ORDERED_MAX; i++) {
        if ((s->ordered[i].after & bit_of(access)) != 0 && s->ordered[i].is_write &&
            s->ordered[i].index >= 0)
            return false;
    }
    return true;
}

static void count_down(uint8_t *count)
{
    *count = (uint8_t)(*count - (*count > 0));
}

/* Forgets the first seq_cst access of @t; its others are renumbered. */
static void drop_ordered(struct state *s, unsigned t)
{
    const accesses group = (((accesses)1 << memory_facts.ordered_each) - 1)
                           << (t * memory_facts.ordered_each);
    struct ordered *first = &s->ordered[t * memory_facts.ordered_each];
    struct cursor cursor = {0};
    struct view *view;

    memmove(first, first + 1, (memory_facts.ordered_each - 1) * sizeof(*first));
    memset(first + memory_facts.ordered_each - 1, 0, sizeof(*first));
    for (unsigned i = 0; i < ORDERED_MAX; i++) {
        accesses after = s->ordered[i].after;
        s->ordered[i].after = (after & ~group) | (((after & group) >> 1) & group);
    }
    while ((view = next_view(s, &cursor)) != NULL) {
        count_down(&view->before[t]);
        count_down(&view->passed[t]);
    }
    for (unsigned u = 0; u < memory_facts.thread_count; u++)
        count_down(&s->threads[u].run_passed[t]);
    s->threads[t].ordered_count--;
}

void memory_compact(struct state *s)
{
    uint8_t counts[LOCATIONS_MAX];
    unsigned sum = 0;

    for (unsigned i = 0; i < memory_facts.location_count; i++) {
        counts[i] = (uint8_t)oldest_visible(s, i);
        sum += counts[i];
    }
    if (sum > 0)
        drop_writes(s, counts);
    for (unsigned t = 0; memory_facts.has_ordered && t < memory_facts.thread_count; t++) {
        while (s->threads[t].ordered_count > 0 && is_settled(s, t * memory_facts.ordered_each))
            drop_ordered(s, t);
    }
}

uint64_t memory_mix(uint64_t hash, uint64_t value)
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
        hash = memory_mix(hash, words[i]);
    return hash;
}

static uint64_t hash_thread(uint64_t hash, const struct thread *thread)
{
    for (unsigned i = 0; i < memory_facts.location_count; i++) {
        if (memory_facts.locations[i].is_guarded)
            hash = memory_mix(hash, thread->open_reads[i]);
    }
    if (memory_facts.has_ordered) {
        hash = memory_mix(memory_mix(hash, thread->run_location), thread->ordered_count);
        for (unsigned i = 0; i < memory_facts.thread_count; i++)
            hash = memory_mix(hash, thread->run_passed[i]);
    }
    return mix_view(hash, &thread->view);
}

static uint64_t hash_ordered(uint64_t hash, const struct state *s)
{
    for (unsigned t = 0; t < memory_facts.thread_count; t++) {
        for (unsigned n = 0; n < s->threads[t].ordered_count; n++) {
            const struct ordered *ordered = &s->ordered[t * memory_facts.ordered_each + n];
            hash = memory_mix(memory_mix(hash, (uint64_t)ordered->after),
                              (uint64_t)(ordered->after >> 64));
            hash = memory_mix(hash, (uint64_t)(ordered->location * 1000 + ordered->index * 2 + 2 +
                                               ordered->is_write));
        }
    }
    return hash;
}

uint64_t memory_hash(const struct state *s)
{
    uint64_t hash = memory_mix(s->made, s->taken);

    for (unsigned i = 0; i < GUARDED_MAX; i++)
        hash = memory_mix(hash, s->guarded[i]);
    for (unsigned t = 0; t < memory_facts.thread_count; t++) {
        if (s->threads[t].pending.kind != OP_END)
            hash = hash_thread(memory_mix(hash, t), &s->threads[t]);
    }
    for (unsigned i = 0; i < memory_facts.location_count; i++) {
        const struct location *location = &s->locations[i];
        hash = memory_mix(hash, location->count * 256 + s->fences[i]);
        for (unsigned t = 0; memory_facts.locations[i].is_guarded && t < MODEL_THREADS_MAX; t++)
            hash = memory_mix(hash, location->taken_reads[t]);
        for (unsigned w = 0; w < location->count; w++) {
            hash = memory_mix(hash, location->writes[w].value * 2 + location->writes[w].is_rmw);
            hash = mix_view(hash, &location->writes[w].view);
        }
    }
    for (unsigned i = 0; i < memory_facts.plain_count; i++)
        hash = memory_mix(hash, s->plains[i].value);
    return memory_facts.has_ordered ? hash_ordered(hash, s) : hash;
}

void memory_copy(struct state *to, const struct state *from)
{
    memcpy(to, from, offsetof(struct state, threads));
    for (unsigned t = 0; t < memory_facts.thread_count; t++) {
        memcpy(&to->threads[t], &from->threads[t], offsetof(struct thread, log));
        memcpy(to->threads[t].log, from->threads[t].log,
               from->threads[t].log_count * sizeof(from->threads[t].log[0]));
    }
    memcpy(to->plains, from->plains, sizeof(to->plains));
    if (memory_facts.has_ordered)
        memcpy(to->ordered, from->ordered, sizeof(to->ordered));
    for (unsigned i = 0; i < memory_facts.location_count; i++)
        memcpy(&to->locations[i], &from->locations[i],
               offsetof(struct location, writes) +
                   from->locations[i].count * sizeof(from->locations[i].writes[0]));
}
