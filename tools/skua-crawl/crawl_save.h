/*
 * crawl_save.h - bodies as files.
 */
#ifndef SKUA_CRAWL_SAVE_H
#define SKUA_CRAWL_SAVE_H

#include <stddef.h>

#define CRAWL_FILE_NAME_MAX 256u /* with its 0 */

/*
 * Names the file for @url: its scheme, '_', and the rest with all but letters, digits, '.', '-',
 * '_' and '~' as %XX; of a long one the beginning and a hash. One URL has one name.
 */
void skua_crawl_file_name(char name[CRAWL_FILE_NAME_MAX], const char *url);

/*
 * Writes @size bytes of @data to the file @name in @folder, whole or not at all.
 * Cancellation: a cancellation point.
 * Returns: 0; -errno.
 */
int skua_crawl_save(const char *folder, const char *name, const void *data, size_t size);

#endif /* SKUA_CRAWL_SAVE_H */
