/*
 * base/list.h - an intrusive doubly linked ring. The caller guards it.
 *
 * Invariant: head.next and head.prev are never NULL after skua_list_init(); an empty list points at
 * itself. A node is on at most one list.
 */
#ifndef SKUA_SRC_LIST_H
#define SKUA_SRC_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct skua_list {
    struct skua_list *next;
    struct skua_list *prev;
};

static inline void skua_list_init(struct skua_list *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool skua_list_empty(const struct skua_list *head)
{
    return head->next == head;
}

/* Puts @node at the end. */
static inline void skua_list_push(struct skua_list *head, struct skua_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void skua_list_remove(struct skua_list *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node;
    node->prev = node;
}

/* Takes the first node, NULL if there is none. */
static inline struct skua_list *skua_list_pop(struct skua_list *head)
{
    struct skua_list *node = head->next;
    if (node == head)
        return NULL;
    skua_list_remove(node);
    return node;
}

#endif /* SKUA_SRC_LIST_H */
