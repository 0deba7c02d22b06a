/*
 * loader_root.h - the root task: finds the server, starts the connections and waits for them.
 */
#ifndef SKUA_LOADER_ROOT_H
#define SKUA_LOADER_ROOT_H

#include "loader.h"

/* Allocates what the connections need. Returns 0 or -ENOMEM. */
int skua_loader_root_init(struct loader *loader);
void skua_loader_root_fini(struct loader *loader);

/* Loads the server until the schedule ends, or a cancel. */
intptr_t skua_loader_root_run(struct loader *loader);

#endif /* SKUA_LOADER_ROOT_H */
