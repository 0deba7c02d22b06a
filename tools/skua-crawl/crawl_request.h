/*
 * crawl_request.h - one GET with its retries; redirects are the caller's.
 */
#ifndef SKUA_CRAWL_REQUEST_H
#define SKUA_CRAWL_REQUEST_H

#include "crawl_state.h"
#include "crawl_text.h"

/* Which bodies are kept, of answers with a status of 2xx; others are counted. */
enum crawl_keep { CRAWL_KEEP_NONE, CRAWL_KEEP_HTML, CRAWL_KEEP_ALL };

/* Set the first part, leave the rest zero, and end it with skua_crawl_request_fini(). */
struct crawl_request {
    struct crawl *crawl;
    struct crawl_host *host;
    const char *url;
    enum crawl_keep keep;
    uint64_t body_max;
    bool cut; /* a body that is longer ends there, instead of being an error */
    /* Of the last attempt; the driver writes it while that is under way. */
    CURL *easy;
    unsigned attempts; /* so far, of which those after a redirect count only as retries */
    bool fresh;        /* the next attempt is no retry */
    bool hopeless;     /* a retry would have to wait too long */
    bool over;         /* the body was longer than body_max */
    bool keeping;
    long status; /* 0: there was no answer */
    uint64_t bytes;
    struct crawl_text body;
    char content_type[256];
    char *redirect;  /* where the answer sends us, of malloc(); NULL: nowhere */
    char error[160]; /* empty: none */
};

/*
 * Does it. Call again to do another one, with url and host changed.
 *
 * Cancellation: returns -ECANCELED, also when the run is to stop before the next attempt.
 * Returns: 0 with an answer, be its status what it may, which is told in error from 400 on; -errno
 *   with the text in error: -EHOSTDOWN (dead, not asked), -EHOSTUNREACH (nobody there), -EFBIG,
 *   -EIO (broken off, too slow), -EPROTO (no use trying again), -ENOMEM, -ECANCELED.
 */
int skua_crawl_request(struct crawl_request *request);
void skua_crawl_request_fini(struct crawl_request *request);

/* Whether @type is a media type that links are looked for in. */
bool skua_crawl_is_html(const char *type);

#endif /* SKUA_CRAWL_REQUEST_H */
