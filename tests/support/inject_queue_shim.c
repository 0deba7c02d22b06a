/*
 * tests/support/inject_queue_shim.c - see inject_queue_shim.h.
 */
#include "inject_queue_shim.h"

#include "core/inject_queue.h"

#include <errno.h>
#include <stdlib.h>

/* What one pop of the shim takes at most from the queue at once. */
#define BATCH_MAX 64

struct node {
    struct skua_link link; /* first, as the queue demands */
    size_t number;
};

struct inject_queue_shim {
    struct skua_inject_queue queue;
};

struct inject_queue_shim *inject_queue_shim_create(void)
{
    struct inject_queue_shim *shim =
        aligned_alloc(_Alignof(struct inject_queue_shim), sizeof(*shim));

    if (shim != NULL)
        skua_inject_queue_init(&shim->queue);
    return shim;
}

void inject_queue_shim_destroy(struct inject_queue_shim *shim)
{
    if (shim == NULL)
        return;
    skua_inject_queue_fini(&shim->queue);
    free(shim);
}

static void free_chain(struct skua_link *link)
{
    while (link != NULL) {
        struct skua_link *next = link->next;
        free(skua_container_of(link, struct node, link));
        link = next;
    }
}

int inject_queue_shim_push(struct inject_queue_shim *shim, size_t first, size_t count)
{
    struct skua_link *head = NULL;
    struct skua_link *tail = NULL;

    /* Built from the end; the last link is left wild, for the queue must not trust it. */
    for (size_t i = count; i-- > 0;) {
        struct node *node = malloc(sizeof(*node));
        if (node == NULL) {
            if (tail != NULL)
                tail->next = NULL;
            free_chain(head);
            return -ENOMEM;
        }
        node->number = first + i;
        node->link.next = head != NULL ? head : &node->link;
        head = &node->link;
        if (tail == NULL)
            tail = &node->link;
    }
    skua_inject_queue_push(&shim->queue, head, tail, count);
    return 0;
}

size_t inject_queue_shim_pop(struct inject_queue_shim *shim, size_t *items, size_t max)
{
    struct skua_link *links[BATCH_MAX];
    size_t count = skua_inject_queue_pop(&shim->queue, links, skua_min(max, (size_t)BATCH_MAX));

    for (size_t i = 0; i < count; i++) {
        struct node *node = skua_container_of(links[i], struct node, link);
        items[i] = node->number;
        free(node);
    }
    return count;
}

size_t inject_queue_shim_count(struct inject_queue_shim *shim)
{
    return skua_inject_queue_count(&shim->queue);
}
