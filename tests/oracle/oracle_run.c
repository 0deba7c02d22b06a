/*
 * oracle_run.c - runs a scenario in the simulator: tasks, blocks, errors on their way out, the log.
 *
 * An error of a statement ends the blocks around it as an exception does in Python: "try" blocks
 * stop it, "finally" blocks are run, and the task ends with it.
 */
#include "oracle.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const struct {
    const char *name;
    int error;
} error_names[] = {
    {"cancelled", ECANCELED}, {"timeout", ETIMEDOUT},
    {"again", EAGAIN},        {"already", EALREADY},
    {"perm", EPERM},          {"overflow", EOVERFLOW},
    {"invalid", EINVAL},      {"broken", EPIPE},
    {"deadlock", EDEADLK},    {"zero", EDOM},
    {"value", ERANGE},        {"key", ENOENT},
    {"type", EBADMSG},        {"runtime", EIO},
    {"custom", EPROTO},       {"refused", ECONNREFUSED},
};
#define ERROR_NAMES (sizeof(error_names) / sizeof(error_names[0]))

void oracle_die(const char *what, const char *detail)
{
    (void)fprintf(stderr, "oracle_skua: %s: %s\n", what, detail);
    exit(2);
}

/* ---- results --------------------------------------------------------------------------------- */

const char *oracle_name_of(intptr_t value, char text[24])
{
    for (size_t i = 0; i < ERROR_NAMES; i++) {
        if (value == -error_names[i].error)
            return error_names[i].name;
    }
    (void)snprintf(text, 24, "%s%" PRIdPTR, SKUA_IS_ERROR(value) ? "errno " : "",
                   SKUA_IS_ERROR(value) ? -value : value);
    return text;
}

intptr_t oracle_error_of(const char *name)
{
    for (size_t i = 0; i < ERROR_NAMES; i++) {
        if (strcmp(error_names[i].name, name) == 0)
            return -error_names[i].error;
    }
    oracle_die("no such error", name);
}

intptr_t oracle_say(struct step *step, intptr_t number)
{
    char text[24];
    if (SKUA_IS_ERROR(number))
        return number;
    (void)snprintf(step->text, sizeof(step->text), "%s", oracle_name_of(number, text));
    step->self->last = number;
    return 0;
}

intptr_t oracle_say_truth(struct step *step, bool is_true)
{
    (void)snprintf(step->text, sizeof(step->text), "%s", is_true ? "true" : "false");
    step->self->last = is_true;
    return 0;
}

void oracle_print(struct run *run, const struct instance *self, const char *text)
{
    uint64_t units = (skua_now() - run->start_ns) / UNIT_NS;
    size_t need = run->log_size + strlen(self->name) + strlen(text) + 32;
    if (need > run->log_capacity) {
        run->log_capacity = 2 * need + 4096;
        run->log = realloc(run->log, run->log_capacity);
        if (run->log == NULL)
            oracle_die("out of memory", "the log");
    }
    run->log_size += (size_t)snprintf(run->log + run->log_size, run->log_capacity - run->log_size,
                                      "%" PRIu64 " %s %s\n", units, self->name, text);
}

void oracle_print_step(struct step *step, intptr_t rc)
{
    char line[600] = "", number[24];
    size_t size = 0;
    for (size_t i = 0; i < step->line.count; i++)
        size += (size_t)snprintf(line + size, sizeof(line) - size, "%s%s", i > 0 ? " " : "",
                                 step->line.words[i]);
    const char *text = step->text[0] != '\0' ? step->text : "ok";
    (void)snprintf(line + size, sizeof(line) - size, ": %s",
                   SKUA_IS_ERROR(rc) ? oracle_name_of(rc, number) : text);
    oracle_print(step->run, step->self, line);
}

/* ---- words and things ------------------------------------------------------------------------ */

const char *oracle_word(const struct step *step, size_t index)
{
    if (index >= step->line.count)
        oracle_die("a word is missing", step->line.words[0]);
    return step->line.words[index];
}

bool oracle_is(const struct step *step, size_t index, const char *word)
{
    return index < step->line.count && strcmp(step->line.words[index], word) == 0;
}

struct object *oracle_find_object(struct run *run, const char *name)
{
    for (size_t i = 0; i < run->object_count; i++) {
        if (strcmp(run->objects[i].name, name) == 0)
            return &run->objects[i];
    }
    return NULL;
}

struct object *oracle_object(const struct step *step, size_t index)
{
    struct object *object = oracle_find_object(step->run, oracle_word(step, index));
    if (object == NULL)
        oracle_die("no such object", step->line.words[index]);
    return object;
}

struct instance *oracle_find_instance(struct run *run, const char *name)
{
    for (size_t i = run->instance_count; i-- > 0;) {
        if (strcmp(run->instances[i].name, name) == 0)
            return &run->instances[i];
    }
    return NULL;
}

skua_future *oracle_future(const struct step *step, size_t index)
{
    const char *name = oracle_word(step, index);
    if (strcmp(name, "self") == 0)
        return step->self->future;
    struct instance *instance = oracle_find_instance(step->run, name);
    return instance != NULL ? instance->future : oracle_object(step, index)->future;
}

intptr_t oracle_number(const struct step *step, size_t index)
{
    const char *word = oracle_word(step, index);
    if (strcmp(word, "last") == 0)
        return step->self->last;
    struct object *object = oracle_find_object(step->run, word);
    return object != NULL ? object->value : strtol(word, NULL, 10);
}

/* LEFT OPERATOR RIGHT, from word @index on. */
bool oracle_holds(const struct step *step, size_t index)
{
    intptr_t left = oracle_number(step, index), right = oracle_number(step, index + 2);
    const char *compare = oracle_word(step, index + 1);
    bool or_equal = compare[1] == '=';
    switch (compare[0]) {
    case '=':
        return left == right;
    case '!':
        return left != right;
    case '<':
        return left < right || (or_equal && left == right);
    default:
        return left > right || (or_equal && left == right);
    }
}

struct instance *oracle_new_instance(struct run *run, const char *task, const char *name)
{
    if (run->instance_count == INSTANCES_MAX)
        oracle_die("too many tasks", run->scenario->name);
    for (size_t i = 0; i < run->scenario->task_count; i++) {
        if (strcmp(run->scenario->tasks[i].name, task) != 0)
            continue;
        struct instance *instance = &run->instances[run->instance_count++];
        *instance = (struct instance){.run = run, .body = run->scenario->tasks[i].first};
        /* A copy: it may be made of the parent's, in a step of the parent's. */
        int size = snprintf(instance->name, sizeof(instance->name), "%s", name);
        if (size >= (int)sizeof(instance->name))
            oracle_die("too long a name", name);
        return instance;
    }
    oracle_die("no such task", task);
}

/* ---- control --------------------------------------------------------------------------------- */

static intptr_t control_note(struct step *step)
{
    char line[600] = "";
    size_t size = 0;
    for (size_t i = 0; i < step->line.count; i++)
        size += (size_t)snprintf(line + size, sizeof(line) - size, "%s%s", i > 0 ? " " : "",
                                 step->line.words[i]);
    oracle_print(step->run, step->self, line);
    return RUN_ON;
}

static intptr_t control_return(struct step *step)
{
    step->self->returned = oracle_number(step, 1);
    return RUN_RETURNED;
}

static intptr_t control_raise(struct step *step)
{
    return oracle_error_of(oracle_word(step, 1));
}

static intptr_t control_repeat(struct step *step)
{
    intptr_t rc = RUN_ON;
    for (intptr_t i = oracle_number(step, 1); i > 0 && rc == RUN_ON; i--)
        rc = oracle_block(step->self, step->statement->clauses[0].first);
    return rc;
}

static intptr_t control_if(struct step *step)
{
    size_t clause = oracle_holds(step, 1) ? 0 : 1;
    if (clause >= step->statement->clause_count)
        return RUN_ON;
    return oracle_block(step->self, step->statement->clauses[clause].first);
}

static intptr_t control_while(struct step *step)
{
    intptr_t rc = RUN_ON;
    while (rc == RUN_ON && oracle_holds(step, 1))
        rc = oracle_block(step->self, step->statement->clauses[0].first);
    return rc;
}

static const struct clause *find_clause(const struct statement *statement, const char *word)
{
    for (size_t i = 1; i < statement->clause_count; i++) {
        if (strcmp(statement->clauses[i].header.words[0], word) == 0)
            return &statement->clauses[i];
    }
    return NULL;
}

static intptr_t control_try(struct step *step)
{
    const struct clause *except = find_clause(step->statement, "except");
    const struct clause *finally = find_clause(step->statement, "finally");
    char text[24];
    intptr_t rc = oracle_block(step->self, step->statement->clauses[0].first);
    if (SKUA_IS_ERROR(rc) && except != NULL &&
        (strcmp(except->header.words[1], "any") == 0 ||
         strcmp(except->header.words[1], oracle_name_of(rc, text)) == 0))
        rc = oracle_block(step->self, except->first);
    if (finally != NULL) {
        intptr_t last = oracle_block(step->self, finally->first);
        rc = last != RUN_ON ? last : rc;
    }
    return rc;
}

static intptr_t control_shielded(struct step *step)
{
    skua_shield shield;
    int rc = skua_shield_open(&shield);
    if (rc < 0)
        return rc;
    intptr_t result = oracle_block(step->self, step->statement->clauses[0].first);
    rc = skua_shield_close(&shield);
    return rc < 0 ? rc : result;
}

static intptr_t control_set(struct step *step)
{
    struct object *object = oracle_object(step, 1);
    if (object->kind == OBJECT_EVENT)
        return skua_event_set(&object->event);
    if (object->kind == OBJECT_VAR) {
        object->value = oracle_number(step, 2);
        return 0;
    }
    oracle_die("cannot be set; complete it", object->name);
}

static intptr_t control_add(struct step *step)
{
    oracle_object(step, 1)->value += oracle_number(step, 2);
    return RUN_ON;
}

/* The statements that print nothing of themselves. */
static const struct verb controls[] = {
    {"note", control_note},
    {"return", control_return},
    {"raise", control_raise},
    {"repeat", control_repeat},
    {"if", control_if},
    {"while", control_while},
    {"try", control_try},
    {"shielded", control_shielded},
    {"set", control_set},
    {"add", control_add},
    {NULL, NULL},
};

/* ---- statements ------------------------------------------------------------------------------ */

/* The words of the statement with the task's name for every $. */
static void substitute(struct step *step)
{
    size_t used = 0;
    step->line = step->statement->line;
    for (size_t i = 0; i < step->line.count; i++) {
        const char *word = step->line.words[i], *found = strchr(word, '$');
        if (found == NULL)
            continue;
        step->line.words[i] = step->names + used;
        used += 1 + (size_t)snprintf(step->names + used, sizeof(step->names) - used, "%.*s%s%s",
                                     (int)(found - word), word, step->self->name, found + 1);
    }
}

static step_fn find_verb(const struct verb *verbs, const char *name)
{
    while (verbs->name != NULL && strcmp(verbs->name, name) != 0)
        verbs++;
    return verbs->fn;
}

static intptr_t run_step(struct step *step)
{
    const char *name = step->line.words[0];
    bool swallows = strcmp(name, "try") == 0 && step->statement->clause_count == 0;
    step_fn fn = swallows ? NULL : find_verb(controls, name);
    if (fn == NULL && !swallows)
        fn = find_verb(oracle_task_verbs, name);
    if (fn != NULL)
        return fn(step);
    if (swallows) {
        memmove(&step->line.words[0], &step->line.words[1],
                --step->line.count * sizeof(step->line.words[0]));
        name = step->line.words[0];
    }
    fn = find_verb(oracle_lock_verbs, name);
    if (fn == NULL)
        fn = find_verb(oracle_future_verbs, name);
    if (fn == NULL)
        oracle_die("no such statement", name);
    intptr_t rc = fn(step);
    oracle_print_step(step, rc);
    return SKUA_IS_ERROR(rc) && !swallows ? rc : RUN_ON;
}

intptr_t oracle_block(struct instance *self, const struct statement *first)
{
    intptr_t rc = RUN_ON;
    for (const struct statement *at = first; at != NULL && rc == RUN_ON; at = at->next) {
        struct step step = {.run = self->run, .self = self, .statement = at};
        substitute(&step);
        rc = run_step(&step);
    }
    return rc;
}

intptr_t oracle_body(void *arg)
{
    struct instance *self = arg;
    char line[64], number[24];
    intptr_t rc = oracle_block(self, self->body);
    intptr_t result = rc == RUN_RETURNED ? self->returned : rc;
    (void)snprintf(line, sizeof(line), "ends: %s", oracle_name_of(result, number));
    oracle_print(self->run, self, line);
    return result;
}

/* ---- a run ----------------------------------------------------------------------------------- */

static int compare_numbers(const void *left, const void *right, void *arg)
{
    const intptr_t *a = left, *b = right;
    (void)arg;
    return *a < *b ? -1 : *a > *b;
}

static skua_queue *make_queue(const char *kind, size_t capacity)
{
    skua_queue_options options = {.item_size = sizeof(intptr_t), .capacity = capacity};
    if (strcmp(kind, "lifo") == 0)
        options.order = SKUA_QUEUE_LIFO;
    if (strcmp(kind, "priority") == 0) {
        options.order = SKUA_QUEUE_PRIORITY;
        options.compare = compare_numbers;
    }
    return skua_queue_create(&options);
}

static void make_object(struct run *run, const struct line *line)
{
    static const struct {
        const char *word;
        enum object_kind kind;
    } kinds[] = {
        {"lock", OBJECT_LOCK},
        {"semaphore", OBJECT_SEMAPHORE},
        {"bounded", OBJECT_SEMAPHORE},
        {"event", OBJECT_EVENT},
        {"condition", OBJECT_CONDITION},
        {"barrier", OBJECT_BARRIER},
        {"queue", OBJECT_QUEUE},
        {"lifo", OBJECT_QUEUE},
        {"priority", OBJECT_QUEUE},
        {"future", OBJECT_FUTURE},
        {"var", OBJECT_VAR},
        {"local", OBJECT_LOCAL},
    };
    const char *kind = line->words[0];
    long number = line->count > 2 ? strtol(line->words[2], NULL, 10) : -1;
    uint64_t permits = number < 0 ? 1 : (uint64_t)number;
    size_t i = 0;
    while (i < sizeof(kinds) / sizeof(kinds[0]) && strcmp(kinds[i].word, kind) != 0)
        i++;
    if (i == sizeof(kinds) / sizeof(kinds[0]))
        oracle_die("no such kind", kind);
    struct object *object = &run->objects[run->object_count++];
    *object = (struct object){.name = line->words[1], .kind = kinds[i].kind};
    object->lock = &object->mutex;
    if (object->kind == OBJECT_CONDITION && line->count > 2)
        object->lock = &oracle_find_object(run, line->words[2])->mutex;
    object->value = number < 0 ? 0 : number;
    object->semaphore = strcmp(kind, "bounded") == 0
                            ? (skua_semaphore)SKUA_SEMAPHORE_BOUNDED_INIT(permits)
                            : (skua_semaphore)SKUA_SEMAPHORE_INIT(permits);
    if (object->kind == OBJECT_BARRIER && skua_barrier_init(&object->barrier, (unsigned)number) < 0)
        oracle_die("no such barrier", object->name);
    if (object->kind == OBJECT_QUEUE)
        object->queue = make_queue(kind, number < 0 ? 0 : (size_t)number);
    if (object->kind == OBJECT_FUTURE)
        object->future = skua_promise_create(&object->promise);
}

/*
 * The library reports errors that nobody has read on standard error. A scenario that asks for them
 * has it in a file; in any other one a report is something unexpected, and is left to be seen.
 */
static int reports_fd = -1;
static int stderr_fd = -1;

static void begin_reports(void)
{
    stderr_fd = dup(STDERR_FILENO);
    reports_fd = memfd_create("reports", MFD_CLOEXEC);
    if (stderr_fd < 0 || reports_fd < 0 || dup2(reports_fd, STDERR_FILENO) < 0)
        oracle_die("cannot redirect", "standard error");
}

static void end_reports(void)
{
    (void)dup2(stderr_fd, STDERR_FILENO);
    (void)close(stderr_fd);
    (void)close(reports_fd);
}

size_t oracle_reports(void)
{
    char text[4096];
    size_t count = 0;
    ssize_t got;
    for (off_t at = 0; (got = pread(reports_fd, text, sizeof(text), at)) > 0; at += got) {
        for (ssize_t i = 0; i < got; i++)
            count += text[i] == '\n';
    }
    return count;
}

static void drop_future(skua_future *future)
{
    (void)skua_future_peek(future, &(intptr_t){0}); /* an error counts as read */
    skua_future_unref(future);
}

static intptr_t run_main(void *arg)
{
    struct run *run = arg;
    run->start_ns = skua_now();
    struct instance *self = oracle_new_instance(run, "main", "main");
    self->future = skua_future_ref(skua_self());
    (void)oracle_body(self);
    return 0;
}

/* After the runtime has ended, whose tasks use all this. */
static void free_run(struct run *run)
{
    for (size_t i = 0; i < run->instance_count; i++)
        drop_future(run->instances[i].future);
    for (size_t i = 0; i < run->object_count; i++) {
        if (run->objects[i].promise != NULL)
            (void)skua_promise_set(run->objects[i].promise, 0); /* so that it was not abandoned */
        drop_future(run->objects[i].future);
        skua_promise_unref(run->objects[i].promise);
        skua_queue_unref(run->objects[i].queue);
    }
    free(run->log);
    free(run);
}

void oracle_run(const struct scenario *scenario, uint64_t seed, unsigned workers)
{
    skua_sim_options options = {
        .workers = workers, .stack_size_bytes = (size_t)256 << 10, .is_quiet = true};
    struct run *run = calloc(1, sizeof(*run));
    if (run == NULL)
        oracle_die("out of memory", scenario->name);
    run->scenario = scenario;
    for (size_t i = 0; i < scenario->object_count; i++)
        make_object(run, &scenario->objects[i]);
    if (scenario->asks_for_reports)
        begin_reports();
    intptr_t rc = skua_sim_run(seed, &options, run_main, run, NULL);
    if (scenario->asks_for_reports)
        end_reports();
    if (rc == -ENOTSUP)
        exit(77);
    (void)printf("== %s@%u.%" PRIu64 "\n%.*s", scenario->name, workers, seed, (int)run->log_size,
                 run->log_size > 0 ? run->log : "");
    if (rc < 0) /* what does not end is leaked, and what it uses stays */
        (void)printf("0 - run: %s\n", rc == -EDEADLK ? "deadlock" : "failed");
    else
        free_run(run);
}

int main(int argc, char **argv)
{
    if (argc < 5) {
        (void)fprintf(stderr, "Usage: oracle_skua WORKERS FIRST-SEED SEEDS FILE...\n");
        return 2;
    }
    unsigned workers = (unsigned)strtoul(argv[1], NULL, 10);
    uint64_t first = strtoull(argv[2], NULL, 10), count = strtoull(argv[3], NULL, 10);
    for (int i = 4; i < argc; i++) {
        const struct scenario *scenarios = oracle_read(argv[i]);
        for (const struct scenario *at = scenarios; at != NULL; at = at->next) {
            for (uint64_t seed = first; seed < first + count; seed++)
                oracle_run(at, seed, workers);
        }
    }
    return fclose(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
