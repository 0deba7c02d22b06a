/*
 * tests/model/memory.h - the explorer's memory: what operations do, and what they may do.
 *
 * MODEL   RC11 (Lahav et al., "Repairing sequential consistency in C/C++11", PLDI 2017), made
 *   operational with the views of Kang et al. ("A promising semantics for relaxed-memory
 *   concurrency", POPL 2017; without promises). Each location keeps its writes, in modification
 *   order. A view says for each location which is the oldest write one may still read. A thread has
 *   a view; a write carries one: of a release write its thread's, of a relaxed write only itself,
 *   of a read-modify-write also that of the write it read (release sequence, as in C++20). A load
 *   may return any write not older than the thread's view and raises the view to it; an acquire
 *   load joins the view the write carries. A new write may stand anywhere after the thread's view,
 *   but not between a read-modify-write and the write that one read.
 *
 *   seq_cst accesses are ordered among themselves as RC11 says: by program order, by happens-before
 *   (through accesses of other locations, or to the same location), by modification order, and
 *   reads before later writes of what they read. An outcome that closes a circle is none. Their
 *   order is not that of the steps of the exploration, so an order that only relaxed accesses carry
 *   is not presumed.
 *
 *   A barrier (model_barrier) is a seq_cst fence in every thread, weakened: it orders accesses of
 *   the same location across barriers, and makes nothing happen before anything. A scenario has
 *   barriers or seq_cst accesses, not both.
 *
 *   What this model lacks, as RC11 does, is load buffering: a load returning a write that is made
 *   later. C11 and ARM allow it unless happens-before forbids it. Where it would matter, locations
 *   are plain (every two accesses must be ordered by happens-before, or it is a bug) or guarded
 *   (each read made good by a CAS must happen before a later write of the location).
 *
 * STATE   Plain memory without pointers, copied to backtrack. Views number a location's writes
 *   from the oldest that anybody may still read; older ones are dropped, so that executions that
 *   differ only in what is over and gone reach the same state.
 */
#ifndef SKUA_TESTS_MODEL_MEMORY_H
#define SKUA_TESTS_MODEL_MEMORY_H

#include "explorer.h"

#define LOCATIONS_MAX 32
#define PLAINS_MAX 16
#define GUARDED_MAX 4
#define WRITES_MAX 32
#define LOG_MAX 160
#define ORDERED_MAX 128 /* seq_cst accesses that still matter */
#define ALL_THREADS ((1u << MODEL_THREADS_MAX) - 1)
#define NOBODY MODEL_THREADS_MAX
#define NOWHERE UINT8_MAX

enum op_kind {
    OP_END,
    OP_LOAD,
    OP_STORE,
    OP_CAS,
    OP_RMW,
    OP_AWAIT,
    OP_LOCK,
    OP_UNLOCK,
    OP_BARRIER, /* in one thread: op.value */
    OP_CHOOSE,
    OP_PLAIN_READ,
    OP_PLAIN_WRITE,
    OP_MAKE,
    OP_TAKE,
    OP_BOUNDARY,
    OP_FAIL
};

struct op {
    enum op_kind kind;
    enum model_rmw rmw;
    unsigned location; /* or the plain one */
    memory_order order;
    memory_order failure;
    bool may_last;     /* of an await */
    uint64_t value;    /* stored; operand; the item; the carry; the text of a failure; wanted */
    uint64_t expected; /* by a CAS; the mask of an await */
    struct model_site site;
};

struct view {
    uint8_t writes[LOCATIONS_MAX];     /* oldest write that may be read */
    uint8_t known[PLAINS_MAX];         /* bit t: the last access of thread t happened before */
    uint8_t reads[MODEL_THREADS_MAX];  /* guarded reads of each thread that happened before */
    uint8_t before[MODEL_THREADS_MAX]; /* seq_cst accesses of each thread that happened before */
    uint8_t passed[MODEL_THREADS_MAX]; /* the same, through an access of another location */
    uint32_t items;                    /* bits: items whose making happened before */
};

struct write {
    uint64_t value;
    struct view view;
    bool is_rmw; /* nothing may come between it and the write before */
};

struct location {
    unsigned count;
    uint8_t taken_reads[MODEL_THREADS_MAX]; /* clock of each thread's last read made good */
    struct write writes[WRITES_MAX];
};

struct plain {
    uint64_t value;
    unsigned writer; /* the last one */
};

struct result {
    uint64_t value;
    bool is_success;
    uint8_t guarded[GUARDED_MAX]; /* what stood there then */
};

struct thread {
    struct view view;
    struct op pending;
    unsigned log_count;
    unsigned log_since; /* the first entry since the last boundary */
    unsigned boundaries;
    uint64_t carried;                      /* hash of the carries */
    uint8_t open_reads[LOCATIONS_MAX];     /* guarded reads since the last CAS, as clocks */
    uint8_t ordered_count;                 /* seq_cst accesses */
    uint8_t run_location;                  /* all accesses since run_passed were of it */
    uint8_t run_passed[MODEL_THREADS_MAX]; /* view.passed before them */
    struct result log[LOG_MAX];
};

/* A bit for each seq_cst access: number n of thread t is at t * ordered_each + n. */
__extension__ typedef unsigned __int128 accesses;

struct ordered {
    accesses after; /* those it is ordered before */
    uint8_t location;
    bool is_write;
    int8_t index; /* of the write it made or read; -1: dropped */
};

struct state {
    uint32_t made;
    uint32_t taken;
    uint8_t fences[LOCATIONS_MAX]; /* what a barrier lets nobody miss */
    uint8_t guarded[GUARDED_MAX];
    unsigned trace_count;
    struct thread threads[MODEL_THREADS_MAX];
    struct plain plains[PLAINS_MAX];
    struct ordered ordered[ORDERED_MAX];
    struct location locations[LOCATIONS_MAX];
};

/* What a location is; constant during an exploration. */
struct location_facts {
    const volatile void *address;
    unsigned owner; /* NOBODY: anybody writes */
    bool is_guarded;
};

struct memory_facts {
    unsigned thread_count;
    unsigned ordered_each; /* ORDERED_MAX by the threads */
    unsigned location_count;
    unsigned plain_count;
    bool has_ordered;
    bool has_barrier;
    struct location_facts locations[LOCATIONS_MAX];
    const volatile void *plains[PLAINS_MAX];
};

extern struct memory_facts memory_facts;

/* The explorer's: a bug has been found; no verdict is possible. */
void memory_report(const char *what);
_Noreturn void memory_give_up(const char *why);

/* The last write, which is all that counts in setup and finish. */
struct write *memory_last(struct state *s, unsigned location);

void memory_item_made(struct state *s, uint64_t item);
void memory_item_taken(struct state *s, uint64_t item);

/* What a read-modify-write leaves there. */
uint64_t memory_rmw_value(enum model_rmw kind, uint64_t old, uint64_t operand, unsigned size);

/* The pending operation of @t has at most so many outcomes. */
unsigned memory_outcomes(const struct state *s, unsigned t);

/* Executes it with one of them. False: there is no such outcome, and @s is spoilt. */
bool memory_execute(struct state *s, unsigned t, unsigned outcome, struct result *result);

/* Whether it has any. */
bool memory_is_enabled(const struct state *s, unsigned t);

/* Drops the writes nobody may read any more. */
void memory_compact(struct state *s);

/* A hash of what can still matter, log and pending operations aside. */
uint64_t memory_mix(uint64_t hash, uint64_t value);
uint64_t memory_hash(const struct state *s);

void memory_copy(struct state *to, const struct state *from);

#endif /* SKUA_TESTS_MODEL_MEMORY_H */
