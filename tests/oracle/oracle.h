/*
 * oracle.h - scenarios, and one of them being run by Skua; see README.md for the statements.
 */
#ifndef SKUA_TESTS_ORACLE_H
#define SKUA_TESTS_ORACLE_H

#include <skua/skua.h>

/* The unit of time of the scenarios. */
#define UNIT_NS (10 * SKUA_NS_PER_MS)

#define WORDS_MAX 24
#define CLAUSES_MAX 3
#define OBJECTS_MAX 48
#define INSTANCES_MAX 256

/* ---- scenarios (oracle_parse.c) -------------------------------------------------------------- */

struct line {
    const char *words[WORDS_MAX];
    size_t count;
};

struct statement;

/* A block and the words before its brace: "timeout 5", "except zero", "finally". */
struct clause {
    struct line header;
    struct statement *first;
};

struct statement {
    struct line line;
    struct clause clauses[CLAUSES_MAX];
    size_t clause_count;
    struct statement *next;
};

struct definition {
    const char *name;
    struct statement *first;
};

struct scenario {
    char *name;
    struct line objects[OBJECTS_MAX]; /* kind, name, arguments */
    size_t object_count;
    struct definition tasks[OBJECTS_MAX];
    size_t task_count;
    bool asks_for_reports;
    struct scenario *next;
};

/* The scenarios of a file. What is wrong with it is printed and ends the program. */
struct scenario *oracle_read(const char *path);

/* Memory that is there until the program ends. */
void *oracle_keep(size_t bytes);

/* ---- runs (oracle_run.c) --------------------------------------------------------------------- */

enum object_kind {
    OBJECT_LOCK,
    OBJECT_SEMAPHORE,
    OBJECT_EVENT,
    OBJECT_CONDITION,
    OBJECT_BARRIER,
    OBJECT_QUEUE,
    OBJECT_FUTURE,
    OBJECT_VAR,
    OBJECT_LOCAL,
    OBJECT_SCOPE /* of a group or timeout */
};

struct object {
    const char *name;
    enum object_kind kind;
    skua_mutex mutex; /* of a lock */
    skua_mutex *lock; /* of a lock or condition: its own, or that of another lock */
    skua_semaphore semaphore;
    skua_event event;
    skua_condition condition;
    skua_barrier barrier;
    skua_queue *queue;
    skua_future *future;
    skua_promise *promise;
    intptr_t value;
    skua_local_key key;
    skua_scope *scope; /* while it is open */
    uint64_t deadline_ns;
    bool is_expired;
};

struct run;

/* A task of the scenario. */
struct instance {
    struct run *run;
    char name[64];
    const struct statement *body;
    skua_future *future;
    intptr_t last; /* what the latest statement with a number or a truth gave */
    intptr_t returned;
};

struct run {
    const struct scenario *scenario;
    struct object objects[OBJECTS_MAX];
    size_t object_count;
    struct instance instances[INSTANCES_MAX];
    size_t instance_count;
    uint64_t start_ns;
    char *log;
    size_t log_size;
    size_t log_capacity;
};

/* A statement being run. */
struct step {
    struct run *run;
    struct instance *self;
    const struct statement *statement;
    struct line line; /* its words, with the task's name in place of $ */
    char names[512];  /* of the words that have one */
    char text[256];   /* what is printed of the result; empty: "ok" */
};

/* What a block comes to, beside errors. */
enum { RUN_ON = 0, RUN_RETURNED = 1 };

/* Runs one statement; the result is an error that ends the task, or not. */
typedef intptr_t (*step_fn)(struct step *step);

struct verb {
    const char *name;
    step_fn fn;
};

/* The last entry's name is NULL. */
extern const struct verb oracle_lock_verbs[];
extern const struct verb oracle_future_verbs[];
extern const struct verb oracle_task_verbs[];

/* Runs the scenario under a seed with a number of workers; prints its log. */
void oracle_run(const struct scenario *scenario, uint64_t seed, unsigned workers);

/* Runs the statements from @first on: RUN_..., or an error. */
intptr_t oracle_block(struct instance *self, const struct statement *first);

/* Words, numbers and things of a statement. What is not there ends the program. */
const char *oracle_word(const struct step *step, size_t index);
intptr_t oracle_number(const struct step *step, size_t index);
bool oracle_holds(const struct step *step, size_t index);
struct object *oracle_object(const struct step *step, size_t index);
struct object *oracle_find_object(struct run *run, const char *name);
struct instance *oracle_find_instance(struct run *run, const char *name);
skua_future *oracle_future(const struct step *step, size_t index);
struct instance *oracle_new_instance(struct run *run, const char *task, const char *name);
bool oracle_is(const struct step *step, size_t index, const char *word);

/* The body of a task. */
intptr_t oracle_body(void *instance);

/* Results. */
const char *oracle_name_of(intptr_t value, char text[24]);
intptr_t oracle_error_of(const char *name);
intptr_t oracle_say(struct step *step, intptr_t number);
intptr_t oracle_say_truth(struct step *step, bool is_true);
void oracle_print(struct run *run, const struct instance *self, const char *text);
void oracle_print_step(struct step *step, intptr_t rc);

/* How many errors that nobody has read were reported in this run. */
size_t oracle_reports(void);

/* Ends the program. */
void oracle_die(const char *what, const char *detail) __attribute__((noreturn));

#endif /* SKUA_TESTS_ORACLE_H */
