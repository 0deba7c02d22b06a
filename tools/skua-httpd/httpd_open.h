/*
 * httpd_open.h - opens files below the root, and nothing else.
 */
#ifndef SKUA_HTTPD_OPEN_H
#define SKUA_HTTPD_OPEN_H

#include <sys/stat.h>

/*
 * Opens @path below @root_fd for reading, and tells what it is. Context: a task; waits. Returns a
 * descriptor of a regular file or directory, or -errno; -EXDEV if a link leads out of the root.
 */
int skua_httpd_open(int root_fd, const char *path, struct stat *stat);

#endif /* SKUA_HTTPD_OPEN_H */
