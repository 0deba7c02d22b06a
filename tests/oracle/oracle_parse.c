/*
 * oracle_parse.c - reads scenario files; scenario.py does the same.
 */
#include "oracle.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES_MAX 4000

/* Lines without comments, and where the parser is. */
struct reader {
    struct line *lines;
    size_t count;
    size_t at;
};

struct kept {
    struct kept *next;
    max_align_t bytes[];
};

static struct kept *all_kept;

void *oracle_keep(size_t bytes)
{
    struct kept *kept = calloc(1, sizeof(*kept) + bytes);
    if (kept == NULL)
        oracle_die("out of memory", "");
    kept->next = all_kept;
    all_kept = kept;
    return kept->bytes;
}

static char *keep_text(const char *text, size_t size)
{
    char *copy = oracle_keep(size + 1);
    memcpy(copy, text, size);
    return copy;
}

static char *read_file(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0)
        oracle_die("cannot read", path);
    long size = ftell(file);
    char *text = oracle_keep((size_t)size + 1);
    rewind(file);
    if (fread(text, 1, (size_t)size, file) != (size_t)size)
        oracle_die("cannot read", path);
    (void)fclose(file);
    return text;
}

/* The words of the line at @text, and where the next one begins. */
static const char *split(const char *text, struct line *line)
{
    bool is_comment = false;
    line->count = 0;
    while (*text != '\0' && *text != '\n') {
        const char *begin = text;
        while (*text != '\0' && *text != '#' && !isspace((unsigned char)*text))
            text++;
        if (text > begin && !is_comment) {
            if (line->count == WORDS_MAX)
                oracle_die("too many words in a line", line->words[0]);
            line->words[line->count++] = keep_text(begin, (size_t)(text - begin));
        }
        is_comment = is_comment || *text == '#';
        if (*text != '\0' && *text != '\n')
            text++;
    }
    return *text == '\n' ? text + 1 : text;
}

static struct reader read_lines(const char *path)
{
    struct reader reader = {.lines = oracle_keep(LINES_MAX * sizeof(struct line))};
    for (const char *text = read_file(path); *text != '\0';) {
        text = split(text, &reader.lines[reader.count]);
        if (reader.lines[reader.count].count > 0 && ++reader.count == LINES_MAX)
            oracle_die("too many lines", path);
    }
    return reader;
}

static bool begins(const struct line *line, const char *word)
{
    return line->count > 0 && strcmp(line->words[0], word) == 0;
}

/* The words of @line without braces. */
static struct line without_braces(const struct line *line)
{
    struct line plain = {.count = 0};
    for (size_t i = 0; i < line->count; i++) {
        if (strcmp(line->words[i], "{") != 0 && strcmp(line->words[i], "}") != 0)
            plain.words[plain.count++] = line->words[i];
    }
    return plain;
}

static bool opens(const struct line *line)
{
    return strcmp(line->words[line->count - 1], "{") == 0;
}

/* The statements up to the brace that closes the block; the reader is at its line. */
static struct statement *parse_block(struct reader *reader)
{
    struct statement *first = NULL, **last = &first;
    for (; reader->at < reader->count; reader->at++) {
        const struct line *line = &reader->lines[reader->at];
        if (begins(line, "}"))
            return first;
        struct statement *statement = oracle_keep(sizeof(*statement));
        statement->line = without_braces(line);
        while (opens(line)) {
            if (statement->clause_count == CLAUSES_MAX)
                oracle_die("too many clauses", line->words[0]);
            struct clause *clause = &statement->clauses[statement->clause_count++];
            clause->header = without_braces(line);
            reader->at++;
            clause->first = parse_block(reader);
            line = &reader->lines[reader->at];
        }
        *last = statement;
        last = &statement->next;
    }
    oracle_die("a block is not closed", first != NULL ? first->line.words[0] : "");
}

static void parse_line(struct scenario *scenario, struct reader *reader)
{
    const struct line *line = &reader->lines[reader->at];
    bool is_main = begins(line, "main");
    if (begins(line, "from") || begins(line, "by-task") || begins(line, "one-worker") ||
        begins(line, "only-main") || begins(line, "each") || begins(line, "python"))
        return;
    if (scenario->task_count == OBJECTS_MAX || scenario->object_count == OBJECTS_MAX)
        oracle_die("too much in", scenario->name);
    if (is_main || begins(line, "task")) {
        struct definition *task = &scenario->tasks[scenario->task_count++];
        task->name = is_main ? "main" : line->words[1];
        reader->at++;
        task->first = parse_block(reader);
    } else {
        scenario->objects[scenario->object_count++] = *line;
    }
}

/* @word with @value for @key. */
static const char *replaced(const char *word, const char *key, const char *value)
{
    const char *found = strstr(word, key);
    if (found == NULL)
        return word;
    size_t before = (size_t)(found - word);
    size_t size = strlen(word) + strlen(value) + 1;
    char *text = oracle_keep(size);
    (void)snprintf(text, size, "%.*s%s%s", (int)before, word, value, found + strlen(key));
    return replaced(text, key, value);
}

/* The scenario of the lines of @reader; if @value is not NULL with that for @key. */
static struct scenario *parse_scenario(const struct reader *all, const char *key, const char *value)
{
    struct reader reader = {.count = all->count, .at = 1};
    struct scenario *scenario = oracle_keep(sizeof(*scenario));
    reader.lines = oracle_keep((all->count + 1) * sizeof(struct line));
    for (size_t i = 0; i < all->count; i++) {
        reader.lines[i] = all->lines[i];
        scenario->asks_for_reports |= begins(&reader.lines[i], "reports");
        for (size_t j = 0; j < reader.lines[i].count && value != NULL; j++)
            reader.lines[i].words[j] = replaced(reader.lines[i].words[j], key, value);
    }
    const char *name = all->lines[0].words[1];
    size_t size = strlen(name) + (value != NULL ? strlen(value) : 0) + 2;
    scenario->name = oracle_keep(size);
    (void)snprintf(scenario->name, size, "%s%s%s", name, value != NULL ? "/" : "",
                   value != NULL ? value : "");
    for (; reader.at < reader.count; reader.at++)
        parse_line(scenario, &reader);
    return scenario;
}

/* Once, or once for each value of its "each" line. */
static struct scenario **parse_variants(const struct reader *reader, struct scenario **last)
{
    const struct line *each = NULL;
    char key[32] = "";
    for (size_t i = 0; i < reader->count && each == NULL; i++) {
        if (begins(&reader->lines[i], "each"))
            each = &reader->lines[i];
    }
    if (each != NULL)
        (void)snprintf(key, sizeof(key), "%%%s", each->words[1]);
    for (size_t i = 2; i < (each != NULL ? each->count : 3); i++) {
        *last = parse_scenario(reader, key, each != NULL ? each->words[i] : NULL);
        last = &(*last)->next;
    }
    return last;
}

struct scenario *oracle_read(const char *path)
{
    struct reader all = read_lines(path);
    struct scenario *first = NULL, **last = &first;
    for (size_t begin = 0, end; begin < all.count; begin = end) {
        for (end = begin + 1; end < all.count && !begins(&all.lines[end], "scenario"); end++)
            ;
        struct reader one = {.lines = &all.lines[begin], .count = end - begin};
        if (!begins(&one.lines[0], "scenario"))
            oracle_die("not a scenario", one.lines[0].words[0]);
        last = parse_variants(&one, last);
    }
    return first;
}
