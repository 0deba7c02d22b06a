/*
 * sim/world.h - one simulation: its random numbers, its trace, its faults.
 *
 * WHO    sim.c makes a world for each run; engine.c performs operations in it. It belongs to the
 *        real thread that simulates, and is found through skua_sim_world().
 */
#ifndef SKUA_SRC_WORLD_H
#define SKUA_SRC_WORLD_H

#include <skua/op.h>
#include <skua/sim.h>

#include "engine/engine.h"

struct sim_engine;

struct skua_world {
    uint64_t random;
    uint64_t hash;
    uint64_t steps;
    uint64_t operations;
    bool is_stuck; /* the step limit was reached */
    size_t script_next;
    struct sim_engine *engines; /* all there are */
    unsigned blocked;           /* threads without an engine that wait for a descriptor */
    _Atomic uint32_t changed;   /* they wait for this */
    skua_sim_options options;   /* with the defaults filled in */
    skua_sim_report *report;
};

/* The calling thread's. */
struct skua_world *skua_sim_world(void);

uint64_t skua_world_random(struct skua_world *world, uint64_t count);
void skua_world_trace(struct skua_world *world, uint64_t event);

/* Whether @op can be carried out without blocking. */
bool skua_world_is_ready(const skua_op *op);

/* Carries @op out, or spoils it. */
void skua_world_perform(struct skua_world *world, skua_op *op);

/* The policy's idle(): looks whether a descriptor has become ready. */
bool skua_world_wake_ready(struct skua_world *world);

extern const struct skua_sim_hooks skua_world_hooks;

#endif /* SKUA_SRC_WORLD_H */
