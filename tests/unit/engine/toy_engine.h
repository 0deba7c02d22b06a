/*
 * unit/engine/toy_engine.h - a second engine, as small as the contract allows; see toy_engine.c.
 */
#ifndef SKUA_TESTS_TOY_ENGINE_H
#define SKUA_TESTS_TOY_ENGINE_H

struct skua_engine_ops;

extern const struct skua_engine_ops toy_engine;

#endif /* SKUA_TESTS_TOY_ENGINE_H */
