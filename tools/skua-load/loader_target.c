/*
 * loader_target.c - see loader_target.h. Called by main, before there are threads.
 */
#include "loader_target.h"

#include <errno.h>
#include <http_parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "loader.h"

#define FILE_BYTES_MAX ((size_t)1 << 30)
#define FILE_STEP ((size_t)64 * 1024)

static int complain(const char *what, const char *text)
{
    fprintf(stderr, LOADER_PROGRAM ": %s '%s'; try --help\n", what, text);
    return TOOL_EXIT_USAGE;
}

static int fail(const char *what, int error)
{
    char buffer[128];
    fprintf(stderr, LOADER_PROGRAM ": %s: %s\n", what, strerror_r(-error, buffer, sizeof(buffer)));
    return EXIT_FAILURE;
}

static int fail_memory(void)
{
    return fail("cannot start", -ENOMEM);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Reads all of @file and puts a zero behind it. */
static int read_all(FILE *file, char **data, size_t *size)
{
    size_t room = FILE_STEP, used = 0;
    char *buffer = malloc(room + 1);
    while (buffer != NULL) {
        used += fread(buffer + used, 1, room - used, file);
        if (used < room)
            break;
        room *= 2;
        char *larger = room > FILE_BYTES_MAX ? NULL : realloc(buffer, room + 1);
        if (larger == NULL)
            free(buffer);
        buffer = larger;
    }
    if (buffer == NULL)
        return room > FILE_BYTES_MAX ? -EFBIG : -ENOMEM;
    buffer[used] = '\0';
    *data = buffer;
    *size = used;
    return 0;
}

static int read_file(const char *path, char **data, size_t *size)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return fail(path, -errno);
    errno = 0;
    int rc = read_all(file, data, size);
    if (rc == 0 && ferror(file))
        rc = errno != 0 ? -errno : -EIO;
    (void)fclose(file);
    return rc == 0 ? 0 : fail(path, rc);
}

/* ---- the URL --------------------------------------------------------------------------------- */

/* Anything else is to be written as %XX. */
static bool is_plain(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~')
            return false;
    }
    return true;
}

static bool has_field(const struct http_parser_url *parts, int field)
{
    return (parts->field_set & (1u << field)) != 0;
}

/* Whether the part @field of the URL @text is @word. */
static bool field_is(const char *text, const struct http_parser_url *parts, int field,
                     const char *word)
{
    size_t size = parts->field_data[field].len;
    return strlen(word) == size &&
           strncasecmp(text + parts->field_data[field].off, word, size) == 0;
}

/* Takes the URL apart; *@path is where its path begins, or NULL. Returns an exit status. */
static int parse_url(struct loader_target *target, const char *text, const char **path)
{
    struct http_parser_url parts;
    size_t size = strlen(text);
    http_parser_url_init(&parts);
    *path = NULL;
    if (size > UINT16_MAX || !is_plain(text) || strstr(text, "://") == NULL ||
        http_parser_parse_url(text, size, 0, &parts) != 0 || !has_field(&parts, UF_HOST))
        return complain("not a URL, http://HOST[:PORT]/PATH or echo://HOST:PORT:", text);
    target->echo = field_is(text, &parts, UF_SCHEMA, "echo");
    if (!target->echo && !field_is(text, &parts, UF_SCHEMA, "http"))
        return complain("only http:// and echo:// are spoken, not", text);
    if (has_field(&parts, UF_QUERY) && !has_field(&parts, UF_PATH))
        return complain("a path, if only /, is missing before the ? in", text);
    if (has_field(&parts, UF_USERINFO) || has_field(&parts, UF_FRAGMENT))
        return complain("a URL with a user or a fragment cannot be asked for:", text);
    size_t host_size = parts.field_data[UF_HOST].len;
    if (host_size >= sizeof(target->host))
        return complain("the host's name is too long:", text);
    memcpy(target->host, text + parts.field_data[UF_HOST].off, host_size);
    if (target->echo && !has_field(&parts, UF_PORT))
        return complain("a port is missing in", text);
    unsigned port = has_field(&parts, UF_PORT) ? parts.port : 80;
    if (port == 0)
        return complain("0 is no port to connect to:", text);
    (void)snprintf(target->port, sizeof(target->port), "%u", port);
    if (has_field(&parts, UF_PATH))
        *path = text + parts.field_data[UF_PATH].off;
    if (target->echo && *path != NULL && strcmp(*path, "/") != 0)
        return complain("echo has no paths:", text);
    return 0;
}

/* ---- paths ----------------------------------------------------------------------------------- */

/* Adds the lines of the file, which stays in memory. */
static int add_path_lines(struct loader_target *target, struct loader_options *options)
{
    size_t size = 0;
    if (options->path_file == NULL)
        return 0;
    int status = read_file(options->path_file, &target->paths, &size);
    if (status != 0)
        return status;
    char *rest = target->paths;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        line[strcspn(line, "\r")] = '\0';
        if (*line != '\0' && skua_loader_words_add(&options->paths, line) < 0)
            return fail_memory();
    }
    return options->paths.count > 0 ? 0 : complain("no path in the file", options->path_file);
}

static int collect_paths(struct loader_target *target, struct loader_options *options,
                         const char *path)
{
    int status = add_path_lines(target, options);
    if (status != 0)
        return status;
    if (options->paths.count == 0 &&
        skua_loader_words_add(&options->paths, path != NULL ? path : "/") < 0)
        return fail_memory();
    for (size_t i = 0; i < options->paths.count; i++) {
        const char *word = options->paths.words[i];
        if (!is_plain(word) || (*word != '/' && strcmp(word, "*") != 0))
            return complain("not a path (it begins with /, and blanks are written as %20):", word);
    }
    return 0;
}

/* ---- requests -------------------------------------------------------------------------------- */

/* Whether the user has given the field @name. */
static bool has_header(const struct loader_options *options, const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 0; i < options->headers.count; i++) {
        const char *word = options->headers.words[i];
        if (strncasecmp(word, name, size) == 0 && word[size] == ':')
            return true;
    }
    return false;
}

static void write_fields(FILE *out, const struct loader_target *target,
                         const struct loader_options *options)
{
    bool is_ipv6 = strchr(target->host, ':') != NULL;
    if (!has_header(options, "Host")) {
        fprintf(out, is_ipv6 ? "Host: [%s]" : "Host: %s", target->host);
        if (strcmp(target->port, "80") != 0)
            fprintf(out, ":%s", target->port);
        fputs("\r\n", out);
    }
    if (!has_header(options, "User-Agent"))
        fputs("User-Agent: " LOADER_PROGRAM "\r\n", out);
    if (!has_header(options, "Accept"))
        fputs("Accept: */*\r\n", out);
    /* Then the server closes first, and its side remembers the connection for a while, not ours. */
    if (options->churn && !has_header(options, "Connection"))
        fputs("Connection: close\r\n", out);
    if (target->body != NULL)
        fprintf(out, "Content-Length: %zu\r\n", target->body_size);
    for (size_t i = 0; i < options->headers.count; i++)
        fprintf(out, "%s\r\n", options->headers.words[i]);
}

static int make_head(const struct loader_target *target, const struct loader_options *options,
                     const char *path, struct loader_head *head)
{
    FILE *out = open_memstream(&head->text, &head->size);
    if (out == NULL)
        return -ENOMEM;
    fprintf(out, "%s %s HTTP/1.1\r\n", options->method, path);
    write_fields(out, target, options);
    fputs("\r\n", out);
    return fclose(out) == 0 ? 0 : -ENOMEM;
}

static int make_body(struct loader_target *target, const struct loader_options *options)
{
    if (options->body_file != NULL)
        return read_file(options->body_file, &target->body, &target->body_size);
    if (options->body == NULL)
        return 0;
    target->body = strdup(options->body);
    target->body_size = strlen(options->body);
    return target->body != NULL ? 0 : fail_memory();
}

static int make_requests(struct loader_target *target, const struct loader_options *options)
{
    int status = make_body(target, options);
    if (status != 0)
        return status;
    target->bodiless = strcmp(options->method, "HEAD") == 0;
    target->heads = calloc(options->paths.count, sizeof(*target->heads));
    if (target->heads == NULL)
        return fail_memory();
    target->head_count = options->paths.count;
    for (size_t i = 0; i < target->head_count; i++) {
        if (make_head(target, options, options->paths.words[i], &target->heads[i]) < 0)
            return fail_memory();
    }
    return 0;
}

/* Any two messages differ, but for those from the same place. */
static int make_noise(struct loader_target *target, const struct loader_options *options)
{
    size_t size = options->message_bytes + LOADER_NOISE_PLACES * LOADER_PLACE_BYTES;
    uint64_t random = options->seed;
    target->message_bytes = options->message_bytes;
    target->noise = malloc(size);
    if (target->noise == NULL)
        return fail_memory();
    for (size_t i = 0; i < size; i++)
        target->noise[i] = (char)(skua_loader_random(&random) >> 56);
    return 0;
}

int skua_loader_target_init(struct loader_target *target, struct loader_options *options)
{
    const char *path;
    int status = parse_url(target, options->url, &path);
    if (status != 0)
        return status;
    if (target->echo)
        return make_noise(target, options);
    status = collect_paths(target, options, path);
    return status != 0 ? status : make_requests(target, options);
}

void skua_loader_target_fini(struct loader_target *target)
{
    for (size_t i = 0; i < target->head_count; i++)
        free(target->heads[i].text);
    free(target->heads);
    free(target->body);
    free(target->paths);
    free(target->noise);
}
