/*
 * common/tool_process.h - what each program does to its process before there are threads.
 */
#ifndef SKUA_TOOL_PROCESS_H
#define SKUA_TOOL_PROCESS_H

#include <stdint.h>

/* Makes sure that descriptors 0 to 2 are taken, so that no file, socket or ring gets such a one. */
void skua_tool_open_standard_streams(void);

/*
 * Has SIGINT and SIGTERM, unless the caller of the program ignores them, and @extra (0: none) read
 * from a descriptor instead of delivered, and SIGPIPE ignored: EPIPE says the same with a result.
 * Returns a descriptor of signalfd(2), which does not block; -errno.
 */
int skua_tool_catch_signals(int extra);

/*
 * Raises the limit of open descriptors to the hard one: the usual soft limit is for programs that
 * have few connections. Returns the limit that is in force then.
 */
uint64_t skua_tool_raise_descriptors(void);

/*
 * Says on standard error why skua_runtime_start() has failed with @rc, in the user's words where
 * the error has a likely cause. Returns EXIT_FAILURE.
 */
int skua_tool_start_error(const char *program, int rc);

#endif /* SKUA_TOOL_PROCESS_H */
