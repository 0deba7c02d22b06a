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
struct sim_network;
struct sim_socket;

/* What faults are counted by: operations, allocations, and one for each kind of the network's. */
enum { SIM_COUNTERS = SKUA_SIM_FAULT_KINDS - SKUA_SIM_ALLOCATION + 1 };
#define SIM_OPERATIONS 0
#define SIM_ALLOCATIONS 1

struct skua_world {
    uint64_t random;
    uint64_t
        fault_random; /* of its own, so that a script of the same faults changes nothing else */
    uint64_t hash;
    uint64_t steps;
    bool is_stuck; /* the step limit was reached */
    uint64_t start_ns;
    uint64_t counts[SIM_COUNTERS]; /* what could have suffered a fault so far */
    size_t script_next[SIM_COUNTERS];
    bool allocations_count;      /* from the first task's start to the runtime's stop */
    bool is_checked;             /* while the first task's function runs */
    bool is_checking;            /* the program's invariant is being called */
    int broken;                  /* the result of a run whose invariant did not hold; 0: it held */
    skua_runtime *runtime;       /* from its start to its stop; else NULL */
    struct sim_engine *engines;  /* all there are */
    struct sim_network *network; /* NULL: nobody has asked for a socket */
    unsigned blocked;            /* threads without an engine that wait for a descriptor */
    _Atomic uint32_t changed;    /* they wait for this */
    skua_sim_options options;    /* with the defaults filled in */
    skua_sim_report *report;
};

/* The calling thread's. */
struct skua_world *skua_sim_world(void);

uint64_t skua_world_random(struct skua_world *world, uint64_t count);
void skua_world_trace(struct skua_world *world, uint64_t event);

/* ---- sim_check.c ----------------------------------------------------------------------------- */

/* A decision is about to be made: what must hold at every step. */
void skua_world_check_step(struct skua_world *world);

/* Nobody can run, and time is about to go on. True: something did not hold, and main is woken. */
bool skua_world_check_rest(struct skua_world *world);

/* ---- sim_engine.c ---------------------------------------------------------------------------- */

/*
 * Whether @op can be carried out without blocking. @socket: what skua_network_find() said of it
 * when it was submitted; the same for the next one.
 */
bool skua_world_is_ready(struct skua_world *world, const skua_op *op, struct sim_socket *socket);

/* Carries @op out, or spoils it. */
void skua_world_perform(struct skua_world *world, skua_op *op, struct sim_socket *socket);

/* As of an operation that makes a descriptor: -EMFILE if it is to fail, else 0. */
int skua_world_descriptor_fault(struct skua_world *world);

/* The policy's idle(): moves packets, and looks whether a descriptor has become ready. */
bool skua_world_wake_ready(struct skua_world *world);

/* What does not hold of the operations in flight; NULL: all is well. */
const char *skua_world_engines_broken(const struct skua_world *world);

/* ---- sim_fault.c ----------------------------------------------------------------------------- */

bool skua_world_script_is_valid(const skua_sim_options *options);

/* A random number for a fault. */
uint64_t skua_world_fault_random(struct skua_world *world, uint64_t count);

/* Whether a fault of this rate is to happen. */
bool skua_world_draw(struct skua_world *world, unsigned per_million);

/* Of the script what happens to number @number of that counter; NULL: nothing. */
const skua_sim_fault *skua_world_scripted(struct skua_world *world, skua_sim_fault_kind kind,
                                          uint64_t number);

/* A fault has happened. */
void skua_world_note_fault(struct skua_world *world, const skua_sim_fault *fault);

/* Whether the allocation that is about to be made is to fail. */
bool skua_world_allocation_fails(struct skua_world *world);

/*
 * Whether what a fault of the network's @kind could happen to now is to suffer it, by the script or
 * @per_million. *@delay_ns, if not NULL, then becomes its delay: what is there bounds a new one.
 */
bool skua_world_network_fault(struct skua_world *world, skua_sim_fault_kind kind,
                              unsigned per_million, uint64_t *delay_ns);

/* ---- the network, for sim.c and sim_engine.c; see network.h ---------------------------------- */

/* 0; -EINVAL. */
int skua_network_check(const skua_sim_network *options);

/* Lets everything happen that is due. */
void skua_network_run(struct skua_world *world);

/* When the next thing happens; UINT64_MAX: never. */
uint64_t skua_network_next(struct skua_world *world);

/* Closes and frees all of it, and fills in the report. */
void skua_network_end(struct skua_world *world);

bool skua_network_call(struct skua_net_call *call);

/* The simulated socket that @op is of; NULL: the kernel's alone. Of a splice the one it reads. */
struct sim_socket *skua_network_find(struct skua_world *world, const skua_op *op);

/* The same of the descriptor a splice writes to; of others NULL. */
struct sim_socket *skua_network_find_target(struct skua_world *world, const skua_op *op);

/* Whether the op of a simulated socket, which is not NULL, is ready; begins a connect. */
bool skua_network_is_ready(struct skua_world *world, struct sim_socket *socket, const skua_op *op);
bool skua_network_has_room(struct skua_world *world, struct sim_socket *socket, int fd);

/* Carries out @op, which is ready. */
void skua_network_perform(struct skua_world *world, struct sim_socket *socket, skua_op *op);

bool skua_network_is_datagram(const struct sim_socket *socket);

/* The connection is reset; false: it is none. */
bool skua_network_reset_socket(struct skua_world *world, struct sim_socket *socket);

extern const struct skua_sim_hooks skua_world_hooks;

#endif /* SKUA_SRC_WORLD_H */
