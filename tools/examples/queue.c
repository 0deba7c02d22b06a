/*
 * queue.c - producers and consumers with a queue between them, which holds four items: who is too
 * fast waits. When all items have been dealt with, the consumers are told to go home.
 */
#include "example.h"

#define PRODUCERS 2
#define CONSUMERS 3
#define ITEMS_EACH 4

static intptr_t produce(void *arg)
{
    skua_queue *queue = arg;
    for (int item = 1; item <= ITEMS_EACH; item++) {
        int rc = skua_queue_put(queue, &item);
        if (rc < 0)
            return rc;
        printf("produced %d\n", item);
    }
    return 0;
}

/* Ends when the queue is shut down and empty. */
static intptr_t consume(void *arg)
{
    skua_queue *queue = arg;
    int item, count = 0, rc;
    while ((rc = skua_queue_get(queue, &item)) == 0) {
        (void)skua_sleep(10 * MS); /* the work */
        printf("consumed %d\n", item);
        count++;
        skua_queue_task_done(queue);
    }
    return rc == -EPIPE ? count : rc;
}

static intptr_t produce_and_consume(skua_queue *queue)
{
    skua_future *producers[PRODUCERS], *consumers[CONSUMERS];
    for (int i = 0; i < PRODUCERS; i++)
        producers[i] = skua_spawn(produce, queue);
    for (int i = 0; i < CONSUMERS; i++)
        consumers[i] = skua_spawn(consume, queue);

    intptr_t rc = skua_gather(producers, PRODUCERS, SKUA_GATHER_CANCEL, NULL);
    if (!SKUA_IS_ERROR(rc))
        rc = skua_queue_join(queue);
    printf("all is done\n");
    skua_queue_shutdown(queue, SKUA_QUEUE_DRAIN);

    intptr_t counts[CONSUMERS] = {0}, total = 0;
    intptr_t end = skua_gather(consumers, CONSUMERS, SKUA_GATHER_CANCEL, counts);
    for (int i = 0; i < CONSUMERS; i++)
        total += counts[i];
    printf("%d items\n", (int)total);
    return SKUA_IS_ERROR(rc) ? rc : end;
}

intptr_t example(void *arg)
{
    (void)arg;
    skua_queue *queue = skua_queue_create(&(skua_queue_options){
        .item_size = sizeof(int),
        .capacity = 4,
    });
    if (queue == NULL)
        return -ENOMEM;
    intptr_t rc = produce_and_consume(queue);
    skua_queue_unref(queue);
    return rc;
}
