/*
 * sched/options.h - what is made of the caller's options.
 */
#ifndef SKUA_SRC_OPTIONS_H
#define SKUA_SRC_OPTIONS_H

#include <skua/runtime.h>

/* Checks caller's options and fills in the defaults. 0 or -EINVAL. */
int skua_options_complete(const skua_options *given, skua_options *full, unsigned *cpus_allowed);

#endif /* SKUA_SRC_OPTIONS_H */
