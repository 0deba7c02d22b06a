/*
 * skua/fork_pairs.h - lists of (type, name) pairs, for skua/fork_macros.h.
 *
 * A list is (function, type, name ...) with up to six pairs. SKUA_FORK_MAP_(MACRO_, list)
 * expands MACRO_0 ... MACRO_6 with it, by the number of its pairs.
 */
#ifndef SKUA_FORK_PAIRS_H
#define SKUA_FORK_PAIRS_H

#include <skua/base.h>

/* The arity of a list that starts with the function's name; no such macro for half a pair. */
#define SKUA_FORK_PICK_(a, b, c, d, e, f, g, h, i, j, k, l, m, pick, ...) pick
#define SKUA_FORK_ARITY_(...)                                                                      \
    SKUA_FORK_PICK_(__VA_ARGS__, 6, TYPE_WITHOUT_NAME, 5, TYPE_WITHOUT_NAME, 4, TYPE_WITHOUT_NAME, \
                    3, TYPE_WITHOUT_NAME, 2, TYPE_WITHOUT_NAME, 1, TYPE_WITHOUT_NAME, 0, 0)
#define SKUA_FORK_PASTE_(a, b) a##b
#define SKUA_FORK_FIRST_(name, ...) name
#define SKUA_FORK_APPLY_(macro, arity, list) SKUA_FORK_PASTE_(macro, arity) list
#define SKUA_FORK_MAP_(macro, list) SKUA_FORK_APPLY_(macro, SKUA_FORK_ARITY_ list, list)

/* clang-format off: one line for each number of pairs */

/* struct members */
#define SKUA_FORK_FIELDS_0(n) char skua_none;
#define SKUA_FORK_FIELDS_1(n, A, a) A a;
#define SKUA_FORK_FIELDS_2(n, A, a, B, b)                                                          \
    A a;                                                                                           \
    B b;
#define SKUA_FORK_FIELDS_3(n, A, a, B, b, C, c)                                                    \
    A a;                                                                                           \
    B b;                                                                                           \
    C c;
#define SKUA_FORK_FIELDS_4(n, A, a, B, b, C, c, D, d)                                              \
    A a;                                                                                           \
    B b;                                                                                           \
    C c;                                                                                           \
    D d;
#define SKUA_FORK_FIELDS_5(n, A, a, B, b, C, c, D, d, E, e)                                        \
    A a;                                                                                           \
    B b;                                                                                           \
    C c;                                                                                           \
    D d;                                                                                           \
    E e;
#define SKUA_FORK_FIELDS_6(n, A, a, B, b, C, c, D, d, E, e, F, f)                                  \
    A a;                                                                                           \
    B b;                                                                                           \
    C c;                                                                                           \
    D d;                                                                                           \
    E e;                                                                                           \
    F f;

/* parameters alone, and after others */
#define SKUA_FORK_PARAMS_0(n) void
#define SKUA_FORK_PARAMS_1(n, A, a) A a
#define SKUA_FORK_PARAMS_2(n, A, a, B, b) A a, B b
#define SKUA_FORK_PARAMS_3(n, A, a, B, b, C, c) A a, B b, C c
#define SKUA_FORK_PARAMS_4(n, A, a, B, b, C, c, D, d) A a, B b, C c, D d
#define SKUA_FORK_PARAMS_5(n, A, a, B, b, C, c, D, d, E, e) A a, B b, C c, D d, E e
#define SKUA_FORK_PARAMS_6(n, A, a, B, b, C, c, D, d, E, e, F, f) A a, B b, C c, D d, E e, F f
#define SKUA_FORK_MORE_0(n)
#define SKUA_FORK_MORE_1(n, A, a) , A a
#define SKUA_FORK_MORE_2(n, A, a, B, b) , A a, B b
#define SKUA_FORK_MORE_3(n, A, a, B, b, C, c) , A a, B b, C c
#define SKUA_FORK_MORE_4(n, A, a, B, b, C, c, D, d) , A a, B b, C c, D d
#define SKUA_FORK_MORE_5(n, A, a, B, b, C, c, D, d, E, e) , A a, B b, C c, D d, E e
#define SKUA_FORK_MORE_6(n, A, a, B, b, C, c, D, d, E, e, F, f) , A a, B b, C c, D d, E e, F f

/* members of skua_to set from parameters */
#define SKUA_FORK_SET_0(n) skua_to->skua_none = 0;
#define SKUA_FORK_SET_1(n, A, a) skua_to->a = a;
#define SKUA_FORK_SET_2(n, A, a, B, b)                                                             \
    skua_to->a = a;                                                                                \
    skua_to->b = b;
#define SKUA_FORK_SET_3(n, A, a, B, b, C, c) SKUA_FORK_SET_2(n, A, a, B, b) skua_to->c = c;
#define SKUA_FORK_SET_4(n, A, a, B, b, C, c, D, d)                                                 \
    SKUA_FORK_SET_3(n, A, a, B, b, C, c) skua_to->d = d;
#define SKUA_FORK_SET_5(n, A, a, B, b, C, c, D, d, E, e)                                           \
    SKUA_FORK_SET_4(n, A, a, B, b, C, c, D, d) skua_to->e = e;
#define SKUA_FORK_SET_6(n, A, a, B, b, C, c, D, d, E, e, F, f)                                     \
    SKUA_FORK_SET_5(n, A, a, B, b, C, c, D, d, E, e) skua_to->f = f;

#define SKUA_FORK_PASS_0(n)
#define SKUA_FORK_PASS_1(n, A, a) , a
#define SKUA_FORK_PASS_2(n, A, a, B, b) , a, b
#define SKUA_FORK_PASS_3(n, A, a, B, b, C, c) , a, b, c
#define SKUA_FORK_PASS_4(n, A, a, B, b, C, c, D, d) , a, b, c, d
#define SKUA_FORK_PASS_5(n, A, a, B, b, C, c, D, d, E, e) , a, b, c, d, e
#define SKUA_FORK_PASS_6(n, A, a, B, b, C, c, D, d, E, e, F, f) , a, b, c, d, e, f

/* arguments after others: from the members of skua_from, and from parameters */
#define SKUA_FORK_GET_0(n)
#define SKUA_FORK_GET_1(n, A, a) , skua_from->a
#define SKUA_FORK_GET_2(n, A, a, B, b) , skua_from->a, skua_from->b
#define SKUA_FORK_GET_3(n, A, a, B, b, C, c) , skua_from->a, skua_from->b, skua_from->c
#define SKUA_FORK_GET_4(n, A, a, B, b, C, c, D, d)                                                 \
    SKUA_FORK_GET_3(n, A, a, B, b, C, c), skua_from->d
#define SKUA_FORK_GET_5(n, A, a, B, b, C, c, D, d, E, e)                                           \
    SKUA_FORK_GET_4(n, A, a, B, b, C, c, D, d), skua_from->e
#define SKUA_FORK_GET_6(n, A, a, B, b, C, c, D, d, E, e, F, f)                                     \
    SKUA_FORK_GET_5(n, A, a, B, b, C, c, D, d, E, e), skua_from->f

/* clang-format on */

#endif /* SKUA_FORK_PAIRS_H */
