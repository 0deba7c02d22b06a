/*
 * load_answer_fuzz.c - what skua-load reads: answers of HTTP, echoes, URLs and paths.
 *
 * Beside what sanitizers see, it must hold that
 *   - an answer is told only if one is due, and none after the one that ends the connection;
 *   - it makes no difference in how many pieces answers and echoes arrive: the same ones are told,
 *     and what is wrong before the last of them is wrong in the same way;
 *   - a request that is made of a URL or path has the lines that it should have, and no others.
 *
 * The first byte of an input says how many answers are due, and of what kind.
 */
#include "../../tools/skua-load/loader_connection.h"
#include "fuzz_kit.h"

#define DUE_MAX 3u
#define HEAD_LINES 5 /* request, Host, User-Agent, Accept, and the empty one */

/* ---- answers --------------------------------------------------------------------------------- */

struct heard {
    unsigned due;
    unsigned answers;
    uint64_t statuses; /* each of them, in order */
    bool closing;
    enum loader_taken taken; /* of what followed the last answer */
};

static struct heard *heard;

/* Instead of loader_connection.c's, which counts. */
void skua_loader_connection_answered(struct loader_connection *connection, unsigned status)
{
    fuzz_check(connection->count > 0, "an answer to nothing");
    fuzz_check(heard->answers < heard->due, "too many answers");
    connection->count--;
    heard->answers++;
    heard->statuses = heard->statuses * 1009 + status;
}

static struct heard hear(struct loader *loader, unsigned due, const char *data, size_t size,
                         size_t piece)
{
    static struct loader_slot slots[DUE_MAX];
    struct loader_connection connection = {
        .loader = loader, .slots = slots, .count = due, .sent = due};
    struct heard result = {.due = due};
    size_t done = 0;
    heard = &result;
    skua_loader_answer_reset(&connection);
    while (done < size && result.taken == LOADER_TAKEN_ALL && !connection.closing &&
           connection.count > 0) {
        /* A copy of its own, so that a byte too far is seen. */
        size_t part = size - done < piece ? size - done : piece;
        char *copy = fuzz_copy((const uint8_t *)data + done, part);
        result.taken = skua_loader_answer_take(&connection, copy, part);
        free(copy);
        done += part;
    }
    if (result.taken == LOADER_TAKEN_ALL && !connection.closing && connection.count > 0)
        result.taken = skua_loader_answer_take(&connection, NULL, 0);
    result.closing = connection.closing;
    return result;
}

static void check_pieces(struct loader *loader, unsigned due, const char *data, size_t size)
{
    static const size_t pieces[] = {1, 2, 7, 61};
    struct heard whole = hear(loader, due, data, size, size);
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        struct heard again = hear(loader, due, data, size, pieces[i]);
        fuzz_check(again.answers == whole.answers && again.statuses == whole.statuses,
                   "answers depend on their pieces");
        fuzz_check(again.closing == whole.closing, "the end depends on the pieces");
        /* Behind the last answer the rest of a piece is surplus, and the next piece is unread. */
        fuzz_check(whole.answers == due || again.taken == whole.taken,
                   "what is wrong depends on the pieces");
    }
}

static void check_answers(const char *data, size_t size)
{
    static struct loader loader;
    static char noise[] = "abababababababab";
    unsigned kind = (unsigned char)data[0];
    unsigned due = 1 + kind % DUE_MAX;
    loader.target = (struct loader_target){.bodiless = (kind & 4) != 0};
    check_pieces(&loader, due, data + 1, size - 1);
    loader.target =
        (struct loader_target){.echo = true, .noise = noise, .message_bytes = 1 + kind % 16};
    check_pieces(&loader, due, data + 1, size - 1);
}

/* ---- URLs ------------------------------------------------------------------------------------ */

/* Complaints go to nobody. */
static int init_quietly(struct loader_target *target, struct loader_options *options)
{
    static FILE *nowhere;
    FILE *saved = stderr;
    if (nowhere == NULL)
        nowhere = fopen("/dev/null", "we");
    fuzz_check(nowhere != NULL, "no /dev/null");
    stderr = nowhere;
    int status = skua_loader_target_init(target, options);
    stderr = saved;
    return status;
}

static void check_head(const struct loader_head *head, const char *host)
{
    int lines = 0;
    for (size_t i = 0; i < head->size; i++) {
        fuzz_check(head->text[i] != '\0', "a zero in a request");
        if (head->text[i] == '\n')
            lines++;
        fuzz_check((head->text[i] == '\n') == (i > 0 && head->text[i - 1] == '\r'),
                   "a line end of its own kind");
    }
    fuzz_check(lines == HEAD_LINES, "another number of lines");
    fuzz_check(memcmp(head->text + head->size - 4, "\r\n\r\n", 4) == 0, "a head without its end");
    fuzz_check(strstr(head->text, host) != NULL, "no host");
}

static bool check_target(const char *url, const char *path, char *again, size_t again_size)
{
    struct loader_target target = {0};
    struct loader_options options = {.url = url, .method = "GET", .message_bytes = 8, .seed = 1};
    fuzz_check(path == NULL || skua_loader_words_add(&options.paths, path) == 0, "no memory");
    int status = init_quietly(&target, &options);
    fuzz_check(status == 0 || status == 2, "another status");
    if (status == 0) {
        unsigned long port = strtoul(target.port, NULL, 10);
        bool is_ipv6 = strchr(target.host, ':') != NULL;
        fuzz_check(port >= 1 && port <= UINT16_MAX, "a port that is none");
        fuzz_check(target.host[0] != '\0', "no host");
        fuzz_check(target.head_count == (target.echo ? 0 : 1), "another number of requests");
        for (size_t i = 0; i < target.head_count; i++)
            check_head(&target.heads[i], target.host);
        (void)snprintf(again, again_size, is_ipv6 ? "%s://[%s]:%s" : "%s://%s:%s",
                       target.echo ? "echo" : "http", target.host, target.port);
    }
    skua_loader_target_fini(&target);
    free(options.paths.words);
    return status == 0;
}

/* What was understood, written down and read again, is understood in the same way. */
static void check_urls(const char *text)
{
    char once[LOADER_HOST_SIZE + 32], twice[LOADER_HOST_SIZE + 32];
    if (check_target(text, NULL, once, sizeof(once))) {
        fuzz_check(check_target(once, NULL, twice, sizeof(twice)), "it cannot be read again");
        fuzz_check(strcmp(once, twice) == 0, "a URL changes");
    }
    (void)check_target("http://a", text, once, sizeof(once));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || size > FUZZ_INPUT_BYTES)
        return 0;
    char *copy = fuzz_copy(data, size);
    check_answers(copy, size);
    free(copy);
    char *text = fuzz_string(data, size);
    check_urls(text);
    free(text);
    return 0;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

/* The first ANSWERS are one answer each, which is due; the next URLS are URLs. */
#define ANSWERS 4u
#define URLS 3u

static const struct fuzz_seed seeds[] = {
    FUZZ_SEED("0HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    FUZZ_SEED("0HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
    FUZZ_SEED("0HTTP/1.0 404 Not Found\r\n\r\nuntil the end"),
    FUZZ_SEED("0HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No\r\nConnection: close\r\n\r\n"),
    FUZZ_SEED("http://a.example:8080/b?c=d"),
    FUZZ_SEED("http://[::1]/"),
    FUZZ_SEED("echo://127.0.0.1:7"),
    FUZZ_SEED("2HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 304 \r\n\r\n"
              "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n\r\n"),
    FUZZ_SEED("6HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nHTTP/1.1 101 S\r\nUpgrade: x\r\n\r\n"),
    FUZZ_SEED("1ababababababab"),
    FUZZ_SEED("/a/b?c"),
};

static void check_seeds(void)
{
    static struct loader loader;
    char again[LOADER_HOST_SIZE + 32];
    for (size_t i = 0; i < ANSWERS; i++) {
        const struct fuzz_seed *seed = &seeds[i];
        struct heard got = hear(&loader, 1, seed->data + 1, seed->size - 1, 3);
        fuzz_check(got.answers == 1 && got.taken == LOADER_TAKEN_ALL, "a good answer is refused");
    }
    for (size_t i = ANSWERS; i < ANSWERS + URLS; i++)
        fuzz_check(check_target(seeds[i].data, NULL, again, sizeof(again)),
                   "a good URL is refused");
}

static const char special[] = "\r\n\0 \t:;,/%.0123456789abcfX-=?#[]@";

const struct fuzz_subject fuzz_subject = {
    .name = "load_answer_fuzz",
    .seeds = seeds,
    .seed_count = sizeof(seeds) / sizeof(seeds[0]),
    .special = special,
    .special_size = sizeof(special) - 1,
    .rounds = 20000,
    .check_seeds = check_seeds,
};
