/*
 * common/tool_process.h - what each program does to its process before there are threads.
 */
#ifndef SKUA_TOOL_PROCESS_H
#define SKUA_TOOL_PROCESS_H

#include <stdint.h>

/* Makes sure that descriptors 0 to 2 are taken, so that no file, socket or ring gets such a one. */
void skua_tool_open_standard_streams(void);

/*
 * Raises the limit of open descriptors to the hard one: the usual soft limit is for programs that
 * have few connections. Returns the limit that is in force then.
 */
uint64_t skua_tool_raise_descriptors(void);

#endif /* SKUA_TOOL_PROCESS_H */
