/*
 * chat.c - a chat server: what one client says all get, line by line. Nobody is delayed by one who
 * does not listen: each has an inbox of sixteen lines, and whose inbox is full when a line comes is
 * dropped. The clients here are tasks of the same program: two that talk to each other, and a third
 * that does not listen.
 */
#include "example.h"

#define BEHIND_MAX 16 /* lines; who is further behind is dropped */
#define ROUNDS 200L
#define LINE_SIZE 128

struct line {
    char text[LINE_SIZE]; /* with its newline, and a zero */
};

/* ---- the server ------------------------------------------------------------------------------ */

struct member {
    int fd;
    skua_queue *inbox;
    skua_scope scope; /* of its two tasks: one reads what it says, one writes what it gets */
    struct member *next;
};

struct chat {
    skua_mutex lock;
    struct member *members; /* guarded by lock, like dropped */
    int dropped;
};

/* Puts @line into every inbox. Waits for nobody, and ends those for whom there is no room. */
static void tell_all(struct chat *chat, const struct line *line)
{
    if (skua_mutex_lock(&chat->lock) < 0)
        return;
    for (struct member *member = chat->members; member != NULL; member = member->next)
        if (skua_queue_try_put(member->inbox, line) == -EAGAIN &&
            skua_scope_cancel(&member->scope) == 0)
            chat->dropped++;
    skua_mutex_unlock(&chat->lock);
}

/* The member's second task. */
static intptr_t deliver(void *arg)
{
    struct member *member = arg;
    struct line line;
    int rc;
    while ((rc = skua_queue_get(member->inbox, &line)) == 0)
        if (skua_send_all(member->fd, line.text, strlen(line.text)) < 0)
            return -ECANCELED; /* it has gone; the first task will see that */
    return rc;
}

static void read_lines(struct chat *chat, struct member *member)
{
    skua_stream_options options = {.flags = SKUA_STREAM_KEEP_FDS};
    skua_stream *stream;
    char *text;
    if (skua_stream_open(member->fd, -1, &options, &stream) < 0)
        return;
    while (skua_stream_next_line(stream, &text, NULL) == 1) {
        struct line line;
        snprintf(line.text, sizeof(line.text), "%.*s\n", LINE_SIZE - 2, text);
        tell_all(chat, &line);
    }
    (void)skua_stream_close(stream);
}

static int join(struct chat *chat, struct member *member)
{
    const struct line welcome = {"welcome\n"};
    (void)skua_queue_try_put(member->inbox, &welcome);
    int rc = skua_mutex_lock(&chat->lock);
    if (rc < 0)
        return rc;
    member->next = chat->members;
    chat->members = member;
    skua_mutex_unlock(&chat->lock);
    return 0;
}

static void part(struct chat *chat, struct member *member)
{
    skua_shield shield; /* it must be done, also in a task that has been cancelled */
    (void)skua_shield_open(&shield);
    skua_mutex_lock(&chat->lock);
    struct member **link = &chat->members;
    while (*link != member)
        link = &(*link)->next;
    *link = member->next;
    skua_mutex_unlock(&chat->lock);
    (void)skua_shield_close(&shield);
}

/* With the member's scope open, in which others may end it while it is a member. */
static int attend(struct chat *chat, struct member *member)
{
    int rc = join(chat, member);
    if (rc < 0)
        return rc;
    rc = skua_scope_spawn(&member->scope, deliver, member, NULL);
    if (rc == 0)
        read_lines(chat, member);
    part(chat, member);
    return rc;
}

/* A connection's first task. */
static intptr_t serve(skua_connection *connection, void *arg)
{
    struct chat *chat = arg;
    struct member member = {.fd = skua_connection_fd(connection)};
    int small =
        4096; /* lines are to wait in the inbox, where they are counted, not in the kernel */
    (void)setsockopt(member.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    member.inbox = skua_queue_create(&(skua_queue_options){
        .item_size = sizeof(struct line),
        .capacity = BEHIND_MAX,
    });
    if (member.inbox == NULL)
        return -ENOMEM;
    int rc = skua_scope_open(&member.scope, NULL);
    if (rc == 0) {
        rc = attend(chat, &member);
        (void)skua_scope_cancel(&member.scope); /* -EALREADY: it was dropped */
        (void)skua_scope_close(&member.scope);
    }
    skua_queue_unref(member.inbox);
    return rc;
}

/* ---- the clients ----------------------------------------------------------------------------- */

static skua_address server_address;

/* Connects, and waits until the server has taken notice. NULL if it cannot. */
static skua_stream *enter(void)
{
    char *text;
    skua_stream *stream = NULL;
    int fd = skua_dial_addresses(&server_address, 1, NULL);
    if (fd < 0 || skua_stream_open(fd, fd, NULL, &stream) < 0)
        return NULL;
    if (skua_stream_next_line(stream, &text, NULL) == 1 && strcmp(text, "welcome") == 0)
        return stream;
    (void)skua_stream_close(stream);
    return NULL;
}

static int say(skua_stream *stream, const char *name, int round)
{
    ssize_t n = skua_stream_printf(stream, "%s: %-100d", name, round);
    return n < 0                                    ? (int)n
           : skua_stream_write(stream, "\n", 1) < 0 ? -EIO
                                                    : skua_stream_flush(stream);
}

/* Whether the next line is the one that @name says in @round. */
static bool hear(skua_stream *stream, const char *name, int round)
{
    char *text;
    char expected[LINE_SIZE];
    snprintf(expected, sizeof(expected), "%s: %-100d", name, round);
    return skua_stream_next_line(stream, &text, NULL) == 1 && strcmp(text, expected) == 0;
}

/* Ann begins every round, Bob answers, and both hear both. Returns how many lines were heard. */
static intptr_t talk(skua_stream *stream, bool is_ann)
{
    int heard = 0;
    for (int round = 1; round <= ROUNDS; round++) {
        if (is_ann && say(stream, "ann", round) < 0)
            break;
        heard += hear(stream, "ann", round);
        if (!is_ann && say(stream, "bob", round) < 0)
            break;
        heard += hear(stream, "bob", round);
    }
    return heard;
}

static intptr_t be_ann(void *stream)
{
    return talk(stream, true);
}

static intptr_t be_bob(void *stream)
{
    return talk(stream, false);
}

/* How many lines there are until the server ends the connection. */
static intptr_t listen_to_the_end(skua_stream *stream)
{
    char *text;
    int count = 0;
    while (skua_stream_next_line(stream, &text, NULL) == 1)
        count++;
    return count;
}

static int count_dropped(struct chat *chat)
{
    int rc = skua_mutex_lock(&chat->lock);
    if (rc < 0)
        return rc;
    int count = chat->dropped;
    skua_mutex_unlock(&chat->lock);
    return count;
}

static intptr_t converse(struct chat *chat)
{
    skua_stream *ann = enter(), *bob = enter(), *carl = enter();
    if (ann != NULL && bob != NULL && carl != NULL) {
        intptr_t heard[2] = {0, 0};
        skua_future *both[2] = {skua_spawn(be_ann, ann), skua_spawn(be_bob, bob)};
        (void)skua_gather(both, 2, 0, heard);
        printf("ann heard %d lines, bob %d\n", (int)heard[0], (int)heard[1]);
        bool is_short = listen_to_the_end(carl) < 2 * ROUNDS;
        printf("carl, who did not listen, %s\n",
               is_short ? "was dropped on the way" : "heard all the same");
        printf("%d dropped\n", count_dropped(chat));
    }
    bool is_whole = ann != NULL && bob != NULL && carl != NULL;
    (void)skua_stream_close(ann);
    (void)skua_stream_close(bob);
    (void)skua_stream_close(carl);
    return is_whole ? 0 : -ECONNREFUSED;
}

intptr_t example(void *arg)
{
    static struct chat chat;
    skua_address any;
    skua_server *server;
    (void)arg;
    (void)skua_address_parse("unix:", &any); /* the kernel finds it a name */
    int listener = skua_listen_at(&any, NULL);
    if (listener < 0)
        return listener;
    skua_server_options options = {
        .listeners = &listener, .listener_count = 1, .handle = serve, .arg = &chat};
    intptr_t rc = skua_address_of_socket(listener, &server_address);
    if (rc == 0)
        rc = skua_server_start(&options, &server);
    if (rc == 0) {
        rc = converse(&chat);
        (void)skua_server_stop(server, skua_after(SKUA_NS_PER_SEC));
    }
    (void)skua_close(listener);
    return rc;
}
