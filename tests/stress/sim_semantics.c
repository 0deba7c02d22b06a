/*
 * Runs small programs about the library's own promises under many seeds of the simulator, with
 * cancels, deadlines, stalls and I/O faults: exclusion, conservation of permits and messages,
 * order, no lost wake (that would be a deadlock), no child left, nothing completed twice. What must
 * hold is checked at every step of the simulation: sim_semantics_check.c.
 *
 * SKUA_SIM_SEEDS is how many seeds each program gets (default 1800: over 20,000 in all, some
 * seconds); the first argument names one program, the second a seed to start from.
 */
#include "stress/sim_semantics.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SEEDS_DEFAULT 1800

static bool chance(unsigned percent)
{
    return skua_sim_random(100) < percent;
}

static uint64_t soon(void)
{
    return skua_after(skua_sim_random(20000));
}

/* Something that takes time, or not. Its result is of no interest: inside, a cancel is ignored. */
static void dawdle(void)
{
    switch (skua_sim_random(4)) {
    case 0:
        (void)skua_yield();
        break;
    case 1:
        (void)skua_sleep(skua_sim_random(5000));
        break;
    case 2:
        skua_sim_point();
        break;
    default:
        break;
    }
}

/* Spawns TASKS of @fn, each with its number, cancels some, and awaits all. */
static intptr_t with_tasks(skua_fn fn, unsigned cancel_percent)
{
    for (intptr_t i = 0; i < TASKS; i++)
        now.tasks[i] = skua_spawn(fn, (void *)i);
    for (int i = 0; i < TASKS; i++) {
        if (!chance(cancel_percent))
            continue;
        dawdle();
        (void)skua_cancel(now.tasks[i]);
    }
    for (int i = 0; i < TASKS; i++) {
        intptr_t rc = skua_await(now.tasks[i]);
        EXPECT(rc == 0 || (rc == -ECANCELED && cancel_percent > 0));
    }
    return now.wrong != NULL ? -EIO : 0;
}

/* ---- locks ----------------------------------------------------------------------------------- */

static int lock_somehow(void)
{
    switch (skua_sim_random(4)) {
    case 0:
        return skua_mutex_lock_until(&now.mutex, soon());
    case 1:
        return skua_mutex_try_lock(&now.mutex);
    default:
        return skua_mutex_lock(&now.mutex);
    }
}

static intptr_t mutex_task(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        int rc = lock_somehow();
        if (rc == -ECANCELED)
            return rc;
        if (rc < 0)
            continue;
        EXPECT(now.inside++ == 0);
        dawdle();
        EXPECT(--now.inside == 0);
        EXPECT(skua_mutex_unlock(&now.mutex) == 0);
    }
    return 0;
}

static intptr_t mutex_program(void *arg)
{
    (void)arg;
    intptr_t rc = with_tasks(mutex_task, 30);
    EXPECT(!skua_mutex_locked(&now.mutex));
    return now.wrong != NULL ? -EIO : rc;
}

static intptr_t semaphore_task(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        uint64_t deadline_ns = chance(30) ? soon() : SKUA_FOREVER;
        now.sending++;
        int rc = skua_semaphore_acquire_until(&now.semaphore, deadline_ns);
        now.sending--;
        if (rc == -ECANCELED)
            return rc;
        if (rc < 0)
            continue;
        EXPECT(++now.inside <= PERMITS);
        dawdle();
        now.inside--;
        now.receiving++;
        EXPECT(skua_semaphore_release(&now.semaphore) == 0);
        now.receiving--;
    }
    return 0;
}

static intptr_t semaphore_program(void *arg)
{
    (void)arg;
    now.semaphore = (skua_semaphore)SKUA_SEMAPHORE_INIT(PERMITS);
    intptr_t rc = with_tasks(semaphore_task, 30);
    EXPECT(skua_semaphore_value(&now.semaphore) == PERMITS);
    return now.wrong != NULL ? -EIO : rc;
}

static intptr_t rwlock_task(void *arg)
{
    bool writes = (intptr_t)arg % 3 == 0;
    for (int i = 0; i < 3; i++) {
        uint64_t deadline_ns = chance(30) ? soon() : SKUA_FOREVER;
        int rc = writes ? skua_rwlock_write_lock_until(&now.rwlock, deadline_ns)
                        : skua_rwlock_read_lock_until(&now.rwlock, deadline_ns);
        if (rc == -ECANCELED)
            return rc;
        if (rc < 0)
            continue;
        *(writes ? &now.writers : &now.inside) += 1;
        EXPECT(now.writers == 0 || (now.writers == 1 && now.inside == 0));
        dawdle();
        *(writes ? &now.writers : &now.inside) -= 1;
        EXPECT((writes ? skua_rwlock_write_unlock(&now.rwlock)
                       : skua_rwlock_read_unlock(&now.rwlock)) == 0);
    }
    return 0;
}

static intptr_t rwlock_program(void *arg)
{
    (void)arg;
    intptr_t rc = with_tasks(rwlock_task, 30);
    EXPECT(skua_rwlock_try_write_lock(&now.rwlock) == 0);
    return now.wrong != NULL ? -EIO : rc;
}

/* Half of the tasks put, half take, under a mutex and a condition. */
static intptr_t condition_task(void *arg)
{
    bool puts = (intptr_t)arg % 2 == 0;
    for (int i = 0; i < 4; i++) {
        if (skua_mutex_lock(&now.mutex) < 0)
            return -EIO;
        while (!puts && now.sent == 0) {
            int rc = chance(30) ? skua_condition_wait_until(&now.condition, &now.mutex, soon())
                                : skua_condition_wait(&now.condition, &now.mutex);
            EXPECT(rc == 0 || rc == -ETIMEDOUT);
            EXPECT(skua_mutex_locked(&now.mutex));
        }
        now.sent += puts ? 1 : -1;
        EXPECT(now.sent >= 0);
        if (puts)
            EXPECT(skua_condition_notify(&now.condition, 1) == 0);
        EXPECT(skua_mutex_unlock(&now.mutex) == 0);
        dawdle();
    }
    return 0;
}

static intptr_t condition_program(void *arg)
{
    (void)arg;
    intptr_t rc = with_tasks(condition_task, 0);
    EXPECT(now.sent == 0);
    return now.wrong != NULL ? -EIO : rc;
}

/* ---- meeting --------------------------------------------------------------------------------- */

static intptr_t event_task(void *arg)
{
    intptr_t number = (intptr_t)arg;
    dawdle();
    if (number == 0) {
        EXPECT(skua_event_set(&now.event) == 0);
        return 0;
    }
    int rc = chance(20) ? skua_event_wait_until(&now.event, soon()) : skua_event_wait(&now.event);
    EXPECT(rc != 0 || skua_event_is_set(&now.event));
    return rc == -ETIMEDOUT ? 0 : rc;
}

static intptr_t event_program(void *arg)
{
    (void)arg;
    return with_tasks(event_task, 0);
}

static intptr_t barrier_task(void *arg)
{
    (void)arg;
    for (int round = 0; round < 3; round++) {
        dawdle();
        int index = skua_barrier_wait(&now.barrier);
        EXPECT(index >= 0 && index < TASKS);
        if (index >= 0)
            now.counts[index]++;
        EXPECT(now.counts[0] >= round);
    }
    return 0;
}

static intptr_t barrier_program(void *arg)
{
    (void)arg;
    EXPECT(skua_barrier_init(&now.barrier, TASKS) == 0);
    intptr_t rc = with_tasks(barrier_task, 0);
    for (int i = 0; i < TASKS; i++)
        EXPECT(now.counts[i] == 3); /* each index once in each round */
    return now.wrong != NULL ? -EIO : rc;
}

static intptr_t group_task(void *arg)
{
    (void)arg;
    dawdle();
    now.running--;
    EXPECT(skua_wait_group_done(&now.group) == 0);
    return 0;
}

static intptr_t group_program(void *arg)
{
    (void)arg;
    now.running = TASKS;
    EXPECT(skua_wait_group_add(&now.group, TASKS) == 0);
    for (intptr_t i = 0; i < TASKS; i++)
        now.tasks[i] = skua_spawn(group_task, (void *)i);
    EXPECT(skua_wait_group_wait(&now.group) == 0);
    now.is_closed = true;
    EXPECT(now.running == 0);
    for (int i = 0; i < TASKS; i++)
        (void)skua_await(now.tasks[i]);
    return now.wrong != NULL ? -EIO : 0;
}

/* ---- channels -------------------------------------------------------------------------------- */

/* A message: who sent it, and its number of that sender. */
static void note_message(uint64_t message)
{
    uint64_t sender = message >> 32;
    uint64_t number = message & UINT32_MAX;
    EXPECT(sender < TASKS);
    /* in order; some were taken by others, or never sent */
    EXPECT(number >= now.next[sender] || now.any_order);
    now.next[sender] = number + 1;
    now.received++;
}

static intptr_t send_task(void *arg)
{
    uint64_t sender = (uint64_t)(intptr_t)arg;
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t message = sender << 32 | i;
        uint64_t deadline_ns = chance(30) ? soon() : SKUA_FOREVER;
        now.sending++;
        int rc = skua_channel_send_until(now.channels[0], &message, deadline_ns);
        now.sending--;
        now.sent += rc == 0;
        if (rc == -ECANCELED)
            return rc;
        EXPECT(rc == 0 || rc == -ETIMEDOUT);
    }
    return 0;
}

/* The only receiver, so that it can judge the order. */
static intptr_t receive_task(void *arg)
{
    (void)arg;
    for (;;) {
        uint64_t message;
        uint64_t deadline_ns = chance(30) ? soon() : SKUA_FOREVER;
        now.receiving++;
        int rc = skua_channel_recv_until(now.channels[0], &message, deadline_ns);
        now.receiving--;
        if (rc == 0)
            note_message(message);
        else if (rc == -EPIPE)
            return 0;
        else
            EXPECT(rc == -ETIMEDOUT);
        if (chance(30))
            dawdle();
    }
}

static intptr_t channel_program(void *arg)
{
    (void)arg;
    static const size_t capacities[] = {0, 1, 3};
    now.channels[0] = skua_channel_create(sizeof(uint64_t), capacities[skua_sim_random(3)]);
    skua_future *receiver = skua_spawn(receive_task, NULL);
    intptr_t rc = with_tasks(send_task, 20);
    EXPECT(skua_channel_close(now.channels[0]) == 0);
    EXPECT(skua_await(receiver) == 0);
    EXPECT(now.sent == now.received);
    skua_channel_unref(now.channels[0]);
    now.channels[0] = NULL;
    return now.wrong != NULL ? -EIO : rc;
}

/* Sends and receives on whichever of three channels goes first; some give up. */
static intptr_t select_task(void *arg)
{
    bool sends = (intptr_t)arg % 2 == 0;
    for (int i = 0; i < 4; i++) {
        uint64_t message = 1;
        skua_select_case cases[3];
        memset(cases, 0, sizeof(cases));
        for (int k = 0; k < 3; k++) {
            cases[k].op = sends ? SKUA_SELECT_SEND : SKUA_SELECT_RECV;
            cases[k].channel = now.channels[k];
            cases[k].item = &message;
        }
        *(sends ? &now.sending : &now.receiving) += 1;
        int rc = skua_select(cases, 3, skua_after(30000));
        *(sends ? &now.sending : &now.receiving) -= 1;
        *(sends ? &now.sent : &now.received) += rc >= 0;
        if (rc == -ECANCELED)
            return rc;
        EXPECT(rc == -ETIMEDOUT || (rc >= 0 && cases[rc].result == 0));
    }
    return 0;
}

static intptr_t select_program(void *arg)
{
    (void)arg;
    for (size_t k = 0; k < 3; k++)
        now.channels[k] = skua_channel_create(sizeof(uint64_t), k);
    intptr_t rc = with_tasks(select_task, 20);
    for (size_t k = 0; k < 3; k++) {
        now.received += (int64_t)skua_channel_count(now.channels[k]);
        skua_channel_unref(now.channels[k]);
        now.channels[k] = NULL;
    }
    EXPECT(now.sent == now.received);
    return now.wrong != NULL ? -EIO : rc;
}

/* ---- queues and broadcasts ------------------------------------------------------------------- */

#define GETTERS 3

static intptr_t put_task(void *arg)
{
    uint64_t sender = (uint64_t)(intptr_t)arg;
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t message = sender << 32 | i;
        uint64_t deadline_ns = chance(30) ? soon() : SKUA_FOREVER;
        now.sending++;
        int rc = skua_queue_put_until(now.queue, &message, deadline_ns);
        now.sending--;
        now.sent += rc == 0;
        if (rc == -ECANCELED || rc == -EPIPE)
            return rc == -EPIPE ? 0 : rc;
        EXPECT(rc == 0 || rc == -ETIMEDOUT);
    }
    return 0;
}

static intptr_t get_task(void *arg)
{
    (void)arg;
    for (;;) {
        uint64_t message;
        uint64_t deadline_ns = chance(30) ? soon() : SKUA_FOREVER;
        now.receiving++;
        int rc = skua_queue_get_until(now.queue, &message, deadline_ns);
        now.receiving--;
        if (rc == -ECANCELED || rc == -EPIPE)
            return rc == -EPIPE ? 0 : rc;
        EXPECT(rc == 0 || rc == -ETIMEDOUT);
        if (rc == 0) {
            note_message(message);
            if (chance(30))
                dawdle();
            now.running++;
            EXPECT(skua_queue_task_done(now.queue) == 0);
        }
    }
}

/* Among equals the oldest first: then a queue by priority is one in order. */
static int all_equal(const void *a, const void *b, void *arg)
{
    (void)a;
    (void)b;
    (void)arg;
    return 0;
}

static intptr_t shut_task(void *arg)
{
    (void)arg;
    (void)skua_sleep(skua_sim_random(10000));
    EXPECT(skua_queue_shutdown(now.queue, SKUA_QUEUE_DROP) == 0);
    return 0;
}

/* After all puts: some who get are cancelled, all is done, the rest go home. */
static void end_queue(skua_future **getting, int getters, bool drops)
{
    for (int i = 1; i < getters; i++) {
        if (chance(30))
            (void)skua_cancel(getting[i]);
    }
    EXPECT(skua_queue_join(now.queue) == 0);
    EXPECT(drops ? now.sent >= now.received : now.sent == now.received);
    EXPECT(now.running == now.received);
    EXPECT(skua_queue_count(now.queue) == 0);
    EXPECT(drops || skua_queue_shutdown(now.queue, SKUA_QUEUE_DRAIN) == 0);
    for (int i = 0; i < getters; i++) {
        intptr_t got = skua_await(getting[i]);
        EXPECT(got == 0 || (got == -ECANCELED && i > 0));
    }
    EXPECT(skua_queue_task_done(now.queue) == -EINVAL);
}

/*
 * Eight put; one gets and knows the order, or three get, of whom two may be cancelled. The join
 * returns when as much has been done as was sent, unless somebody has dropped the rest.
 */
static intptr_t queue_program(void *arg)
{
    (void)arg;
    static const size_t capacities[] = {0, 1, 1, 2};
    skua_queue_options options = {.item_size = sizeof(uint64_t)};
    options.capacity = capacities[skua_sim_random(4)];
    options.order = (skua_queue_order)skua_sim_random(3);
    options.compare = options.order == SKUA_QUEUE_PRIORITY ? all_equal : NULL;
    now.queue = skua_queue_create(&options);
    int getters = chance(50) ? 1 : GETTERS;
    now.any_order = getters > 1 || options.order == SKUA_QUEUE_LIFO;
    skua_future *getting[GETTERS];
    for (intptr_t i = 0; i < getters; i++)
        getting[i] = skua_spawn(get_task, (void *)i);
    bool drops = now.drops = chance(20);
    skua_future *shutting = drops ? skua_spawn(shut_task, NULL) : NULL;
    intptr_t rc = with_tasks(put_task, 20);
    EXPECT(!drops || skua_await(shutting) == 0);
    end_queue(getting, getters, drops);
    skua_queue_unref(now.queue);
    now.queue = NULL;
    return now.wrong != NULL ? -EIO : rc;
}

/* Until the end: counts what it gets and what it misses. */
static intptr_t subscribe(skua_subscriber *subscriber, int64_t *count)
{
    uint64_t next[3] = {0};
    for (;;) {
        uint64_t message, missed = 0;
        int rc = skua_subscriber_recv_until(subscriber, &message, &missed,
                                            chance(30) ? soon() : SKUA_FOREVER);
        if (rc == -EPIPE)
            return 0;
        EXPECT(rc == 0 || rc == -ETIMEDOUT || rc == -EOVERFLOW);
        EXPECT((missed > 0) == (rc == -EOVERFLOW));
        *count += rc == 0 ? 1 : (int64_t)missed;
        if (rc == 0) {
            uint64_t sender = message >> 32;
            EXPECT(sender < 3 && (message & UINT32_MAX) >= next[sender]);
            next[sender] = (message & UINT32_MAX) + 1;
        }
        if (chance(30))
            dawdle();
    }
}

/* The first three tasks send. */
static intptr_t broadcast_task(void *arg)
{
    uint64_t number = (uint64_t)(intptr_t)arg;
    if (number >= 3)
        return subscribe(now.subscribers[number], &now.counts[number]);
    for (uint64_t i = 0; i < 5; i++) {
        uint64_t message = number << 32 | i;
        dawdle();
        now.sending++;
        EXPECT(skua_broadcast_send(now.broadcast, &message) == 0);
        now.sending--;
        now.sent++;
    }
    return ++now.running < 3 ? 0 : skua_broadcast_close(now.broadcast);
}

static intptr_t broadcast_program(void *arg)
{
    (void)arg;
    now.broadcast = skua_broadcast_create(sizeof(uint64_t), 1 + skua_sim_random(4));
    for (int i = 3; i < TASKS; i++)
        now.subscribers[i] = skua_subscriber_open(now.broadcast);
    intptr_t rc = with_tasks(broadcast_task, 0);
    for (int i = 3; i < TASKS; i++) {
        EXPECT(now.counts[i] == now.sent);
        skua_subscriber_close(now.subscribers[i]);
    }
    skua_broadcast_unref(now.broadcast);
    return now.wrong != NULL ? -EIO : rc;
}

/* The first task sets, the others watch, until the last version, and never see an older one. */
static intptr_t watch_task(void *arg)
{
    intptr_t number = (intptr_t)arg;
    for (uint64_t i = 1; number == 0 && i <= 5; i++) {
        dawdle();
        EXPECT(skua_watch_set(now.watch, &i) == 0);
    }
    if (number == 0)
        return skua_watch_close(now.watch);
    for (uint64_t version = 0;;) {
        uint64_t value = 0, before = version;
        int rc =
            skua_watch_next_until(now.watch, &value, &version, chance(30) ? soon() : SKUA_FOREVER);
        if (rc == -EPIPE) {
            EXPECT(version == 6);
            return 0;
        }
        EXPECT(rc == 0 || rc == -ETIMEDOUT);
        EXPECT(rc == 0 ? version > before && value == version - 1 : version == before);
    }
}

static intptr_t watch_program(void *arg)
{
    (void)arg;
    uint64_t first = 0;
    now.watch = skua_watch_create(sizeof(first), &first);
    intptr_t rc = with_tasks(watch_task, 0);
    skua_watch_unref(now.watch);
    return rc;
}

/* ---- tasks, scopes, futures ------------------------------------------------------------------ */

/* Its depth, and the number of the scope it is a child of, which the root is not. */
#define ROOT (SCOPES - 1)
#define DEPTHS 4

static intptr_t scope_task(void *arg)
{
    intptr_t depth = (intptr_t)arg % DEPTHS;
    struct scope_note *parent = &now.scopes[(intptr_t)arg / DEPTHS];
    intptr_t own = now.scope_count++;
    skua_scope scope;
    now.running++;
    parent->children++;
    skua_scope_options options = {.deadline_ns = chance(30) ? soon() : 0,
                                  .flags = chance(30) ? SKUA_SCOPE_COLLECT : 0};
    EXPECT(skua_scope_open(&scope, &options) == 0);
    int before = now.running;
    for (int i = 0; i < 3 && depth > 0; i++) {
        int rc = skua_scope_spawn(&scope, scope_task, (void *)(own * DEPTHS + depth - 1), NULL);
        EXPECT(rc == 0 || rc == -ECANCELED);
    }
    dawdle();
    if (chance(10))
        (void)skua_scope_cancel(&scope);
    intptr_t rc = skua_scope_close(&scope);
    now.scopes[own].is_closed = true;
    EXPECT(depth < 2 || now.running == before); /* the outermost one: no child is left */
    EXPECT(rc == 0 || rc == -EPROTO || rc == -ETIMEDOUT || rc == -ECANCELED);
    now.running--;
    parent->children--;
    return chance(10) ? -EPROTO : rc == -ETIMEDOUT ? 0 : rc;
}

static intptr_t scope_program(void *arg)
{
    (void)arg;
    skua_future *tree = skua_spawn(scope_task, (void *)(intptr_t)(ROOT * DEPTHS + 2));
    if (chance(20)) {
        dawdle();
        (void)skua_cancel(tree);
    }
    intptr_t rc = skua_await(tree);
    EXPECT(rc == 0 || rc == -EPROTO || rc == -ECANCELED);
    EXPECT(now.running == 0);
    return now.wrong != NULL ? -EIO : 0;
}

/* Spawns siblings into the scope it is in, as an accept loop does. */
static intptr_t sibling_task(void *arg)
{
    now.running++;
    dawdle();
    for (int i = 0; i < 3 && now.sent < 20; i++) {
        now.sending++;
        int rc = skua_scope_spawn(arg, sibling_task, arg, NULL);
        EXPECT(rc == 0 || rc == -ECANCELED);
        now.sending--;
        now.sent += rc == 0;
        dawdle();
    }
    now.received++;
    now.running--;
    return chance(3) ? -EPROTO : 0;
}

static intptr_t sibling_program(void *arg)
{
    (void)arg;
    skua_scope scope;
    EXPECT(skua_scope_open(&scope, NULL) == 0);
    for (int i = 0; i < 2; i++) {
        now.sending++;
        int spawned = skua_scope_spawn(&scope, sibling_task, &scope, NULL);
        now.sending--;
        now.sent += spawned == 0;
    }
    dawdle();
    bool cancelled = chance(20) && skua_scope_cancel(&scope) == 0;
    int rc = skua_scope_close(&scope);
    now.is_closed = true;
    EXPECT(rc == 0 || rc == -EPROTO || (cancelled && rc == -ECANCELED));
    EXPECT(now.running == 0);
    EXPECT(rc != 0 || now.sent == now.received);
    return now.wrong != NULL ? -EIO : 0;
}

static intptr_t sleep_task(void *arg)
{
    (void)arg;
    for (int i = 0; i < 3; i++) {
        uint64_t deadline_ns = soon();
        int rc = skua_sleep_until(deadline_ns);
        if (rc < 0)
            return rc;
        EXPECT(skua_now() >= deadline_ns);
    }
    return 0;
}

static intptr_t sleep_program(void *arg)
{
    (void)arg;
    return with_tasks(sleep_task, 30);
}

static intptr_t set_promise(void *arg)
{
    dawdle();
    now.sending++;
    int rc = skua_promise_set(arg, 1);
    EXPECT(rc == 0 || rc == -EALREADY);
    now.sending--;
    now.sent += rc == 0;
    skua_promise_unref(arg);
    return 0;
}

/* Two set the same promise, one awaits it, one cancels it now and then: one of them wins. */
static intptr_t promise_task(void *arg)
{
    (void)arg;
    skua_promise *promise;
    skua_future *future = skua_promise_create(&promise);
    skua_future *other = skua_spawn(set_promise, skua_promise_ref(promise));
    skua_future *third = skua_spawn(set_promise, promise);
    int64_t cancelled = 0;
    if (chance(20))
        cancelled = skua_cancel(future) == 0;
    intptr_t value = skua_await(future);
    EXPECT(value == (cancelled ? -ECANCELED : 1));
    now.received += cancelled ? 0 : 1;
    EXPECT(skua_await(other) == 0);
    EXPECT(skua_await(third) == 0);
    return 0;
}

static intptr_t promise_program(void *arg)
{
    (void)arg;
    intptr_t rc = with_tasks(promise_task, 0);
    EXPECT(now.sent == now.received);
    return now.wrong != NULL ? -EIO : rc;
}

static intptr_t job(void *arg)
{
    now.counts[(intptr_t)arg]++;
    dawdle();
    return (intptr_t)arg;
}

/* Jobs that are awaited, cancelled before they start, or hopped to: each runs once or never. */
static intptr_t executor_task(void *arg)
{
    intptr_t number = (intptr_t)arg;
    skua_future *future = skua_run_in_executor(NULL, job, arg);
    bool cancelled = chance(30) && skua_cancel(future) == 0;
    intptr_t rc = skua_await(future);
    EXPECT(rc == (cancelled ? -ECANCELED : number));
    EXPECT(now.counts[number] == (cancelled ? 0 : 1));
    if (chance(50) && skua_hop(NULL) == 0) {
        dawdle();
        (void)skua_hop_back();
    }
    return 0;
}

static intptr_t executor_program(void *arg)
{
    (void)arg;
    return with_tasks(executor_task, 0);
}

static intptr_t pipe_writer(void *arg)
{
    char data[1000];
    int fd = *(int *)arg;
    memset(data, 7, sizeof(data));
    size_t sent = 0;
    while (sent < sizeof(data)) {
        ssize_t rc = skua_write(fd, data + sent, sizeof(data) - sent);
        if (rc < 0 && rc != -EAGAIN)
            break;
        sent += rc > 0 ? (size_t)rc : 0;
    }
    close(fd);
    now.sent = (int64_t)sent;
    return 0;
}

/* What is written is read, though reads and writes are short, interrupted, late. */
static intptr_t pipe_program(void *arg)
{
    (void)arg;
    int fds[2];
    char data[300];
    if (pipe(fds) != 0)
        return -EMFILE;
    skua_future *writer = skua_spawn(pipe_writer, &fds[1]);
    ssize_t rc;
    while ((rc = skua_read(fds[0], data, sizeof(data))) > 0 || rc == -EAGAIN)
        now.received += rc > 0 ? rc : 0;
    EXPECT(rc == 0);
    EXPECT(skua_await(writer) == 0);
    EXPECT(now.sent == now.received);
    close(fds[0]);
    return now.wrong != NULL ? -EIO : 0;
}

/* ---- all ------------------------------------------------------------------------------------- */

struct program {
    const char *name;
    skua_fn fn;
    int (*invariant)(void *arg);
};

static const struct program programs[] = {
    {"mutex", mutex_program, sim_mutex_holds},
    {"semaphore", semaphore_program, sim_semaphore_holds},
    {"rwlock", rwlock_program, sim_rwlock_holds},
    {"condition", condition_program, sim_nothing_wrong},
    {"event", event_program, sim_event_holds},
    {"barrier", barrier_program, sim_barrier_holds},
    {"wait_group", group_program, sim_group_holds},
    {"channel", channel_program, sim_channels_hold},
    {"select", select_program, sim_selects_hold},
    {"scope", scope_program, sim_scopes_hold},
    {"siblings", sibling_program, sim_siblings_hold},
    {"sleep", sleep_program, sim_nothing_wrong},
    {"promise", promise_program, sim_promises_hold},
    {"executor", executor_program, sim_jobs_hold},
    {"pipe", pipe_program, sim_nothing_wrong},
    {"queue", queue_program, sim_queue_holds},
    {"broadcast", broadcast_program, sim_broadcast_holds},
    {"watch", watch_program, sim_nothing_wrong},
};

static intptr_t fresh(void *arg)
{
    const struct program *program = arg;
    memset(&now, 0, sizeof(now));
    return program->fn(NULL);
}

/* 0, 1: a seed has failed, 77: no simulations here. */
static int sweep(const struct program *program, uint64_t first, uint64_t seeds)
{
    skua_sim_report report;
    skua_sim_options options = {
        .workers = 3, .stalls_per_million = 3000, .invariant = program->invariant};
    options.faults_per_million[SKUA_SIM_SHORT] = 100000;
    options.faults_per_million[SKUA_SIM_EINTR] = 50000;
    options.faults_per_million[SKUA_SIM_EAGAIN] = 50000;
    intptr_t rc =
        skua_sim_sweep(first, seeds, &options, fresh, (void *)(uintptr_t)program, &report);
    if (rc == -ENOTSUP)
        return 77;
    if (rc == 0)
        return 0;
    (void)fprintf(stderr, "%s, seed %" PRIu64 ": %" PRIdPTR ": not so: %s\n", program->name,
                  report.seed, rc, now.wrong != NULL ? now.wrong : "it ends");
    return 1;
}

int main(int argc, char **argv)
{
    const char *given = getenv("SKUA_SIM_SEEDS");
    uint64_t seeds = given != NULL ? strtoull(given, NULL, 10) : SEEDS_DEFAULT;
    uint64_t first = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    uint64_t total = 0;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        if (argc > 1 && strcmp(argv[1], programs[i].name) != 0)
            continue;
        int status = sweep(&programs[i], first, seeds);
        if (status != 0)
            return status;
        total += seeds;
    }
    (void)printf("%" PRIu64 " seeds, nothing wrong\n", total);
    return total > 0 ? 0 : 2;
}
