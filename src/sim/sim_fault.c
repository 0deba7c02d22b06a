/*
 * sim/sim_fault.c - which of what could go wrong does: by rates, or by a script.
 *
 * COUNTERS  A fault is named by a number: of the operation, of the allocation, or of what a kind of
 *        the network's could have happened to. Each kind of those has a counter of its own, for
 *        they are asked about at different places: a packet may be cut off, a datagram lost.
 *
 * MUST STAY TRUE  Random numbers for faults are drawn from a sequence of their own, and counters
 *        count whether there is a rate or not. So a run by rates, and one by the script of the
 *        faults it had, make the same decisions: they are the same execution.
 */
#include "sim/world.h"

static unsigned counter_of(skua_sim_fault_kind kind)
{
    return kind < SKUA_SIM_ALLOCATION
               ? SIM_OPERATIONS
               : (unsigned)kind - (unsigned)SKUA_SIM_ALLOCATION + SIM_ALLOCATIONS;
}

bool skua_world_script_is_valid(const skua_sim_options *options)
{
    const skua_sim_fault *last[SIM_COUNTERS] = {NULL};
    if (options->script == NULL)
        return options->script_count == 0;
    for (size_t i = 0; i < options->script_count; i++) {
        const skua_sim_fault *fault = &options->script[i];
        if ((unsigned)fault->kind >= SKUA_SIM_FAULT_KINDS)
            return false;
        const skua_sim_fault **before = &last[counter_of(fault->kind)];
        if (*before != NULL && fault->operation <= (*before)->operation)
            return false;
        *before = fault;
    }
    return true;
}

bool skua_world_draw(struct skua_world *world, unsigned per_million)
{
    return per_million != 0 && skua_world_fault_random(world, 1000000) < per_million;
}

const skua_sim_fault *skua_world_scripted(struct skua_world *world, skua_sim_fault_kind kind,
                                          uint64_t number)
{
    const skua_sim_options *options = &world->options;
    unsigned counter = counter_of(kind);
    for (size_t *next = &world->script_next[counter]; *next < options->script_count; (*next)++) {
        const skua_sim_fault *fault = &options->script[*next];
        if (counter_of(fault->kind) != counter || fault->operation < number)
            continue;
        return fault->operation == number ? fault : NULL;
    }
    return NULL;
}

void skua_world_note_fault(struct skua_world *world, const skua_sim_fault *fault)
{
    skua_sim_report *report = world->report;
    if (report->fault_count < SKUA_SIM_FAULTS_MAX)
        report->faults[report->fault_count] = *fault;
    report->fault_count++;
    skua_world_trace(world, fault->operation ^ (uint64_t)fault->kind << 56);
}

bool skua_world_allocation_fails(struct skua_world *world)
{
    if (!world->allocations_count || world->is_checking)
        return false;
    skua_sim_fault fault = {.operation = world->counts[SIM_ALLOCATIONS]++,
                            .kind = SKUA_SIM_ALLOCATION};
    unsigned rate = world->options.faults_per_million[SKUA_SIM_ALLOCATION];
    bool fails = world->options.script != NULL
                     ? skua_world_scripted(world, fault.kind, fault.operation) != NULL
                     : skua_world_draw(world, rate);
    if (fails)
        skua_world_note_fault(world, &fault);
    return fails;
}

bool skua_world_network_fault(struct skua_world *world, skua_sim_fault_kind kind,
                              unsigned per_million, uint64_t *delay_ns)
{
    skua_sim_fault fault = {.operation = world->counts[counter_of(kind)]++, .kind = kind};
    if (world->options.script != NULL) {
        const skua_sim_fault *next = skua_world_scripted(world, kind, fault.operation);
        if (next == NULL)
            return false;
        fault = *next;
    } else {
        if (!skua_world_draw(world, per_million))
            return false;
        if (delay_ns != NULL)
            fault.delay_ns = 1 + skua_world_fault_random(world, *delay_ns);
    }
    if (delay_ns != NULL)
        *delay_ns = fault.delay_ns;
    skua_world_note_fault(world, &fault);
    return true;
}
