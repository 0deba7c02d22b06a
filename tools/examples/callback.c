/*
 * callback.c - functions that are called with the result of a task when it is done.
 */
#include "example.h"

static intptr_t fetch(void *arg)
{
    const char *page = arg;
    int rc = skua_sleep(50 * MS);
    if (rc < 0)
        return rc;
    printf("fetched %s\n", page);
    return strcmp(page, "missing.html") == 0 ? -ENOENT : (intptr_t)strlen(page);
}

/* A callback is a task of its own: it may wait, and its result is that of another future. */
static intptr_t count_words(intptr_t size, void *arg)
{
    if (SKUA_IS_ERROR(size)) {
        printf("%s: %s\n", (const char *)arg, strerror((int)-size));
        return size;
    }
    printf("%s: %d bytes\n", (const char *)arg, (int)size);
    return size / 5;
}

static intptr_t print_words(intptr_t words, void *arg)
{
    if (!SKUA_IS_ERROR(words))
        printf("%s: %d words\n", (const char *)arg, (int)words);
    return words;
}

intptr_t example(void *arg)
{
    (void)arg;
    static char *pages[] = {"index.html", "missing.html"};
    for (int i = 0; i < 2; i++) {
        skua_future *size = skua_spawn(fetch, pages[i]);
        skua_future *words = skua_future_then(size, count_words, pages[i]);
        skua_future *end = skua_future_then(words, print_words, pages[i]);
        printf("%s has begun\n", pages[i]);
        (void)skua_await(end);
    }
    return 0;
}
