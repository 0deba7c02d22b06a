/*
 * crawl_request.c - see crawl_request.h; ONE REQUEST in crawl_state.h says in which order a request
 * gets what it needs.
 */
#include "crawl_request.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DELAY_MAX_NS (30 * SKUA_NS_PER_SEC) /* the longest sleep between two attempts */

/* ---- what libcurl calls, in the driver ------------------------------------------------------- */

bool skua_crawl_is_html(const char *type)
{
    size_t size = strcspn(type, "; \t");
    return skua_crawl_same(type, size, "text/html") ||
           skua_crawl_same(type, size, "application/xhtml+xml");
}

static bool is_kept(const struct crawl_request *request)
{
    const char *type = NULL;
    long status = 0;
    (void)curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(request->easy, CURLINFO_CONTENT_TYPE, &type);
    if (status < 200 || status > 299 || request->keep == CRAWL_KEEP_NONE)
        return false;
    return request->keep == CRAWL_KEEP_ALL || (type != NULL && skua_crawl_is_html(type));
}

/* Returning another number than it was given ends the transfer. */
static size_t on_body(char *data, size_t one, size_t size, void *arg)
{
    struct crawl_request *request = arg;
    (void)one; /* is 1 */
    if (request->bytes == 0)
        request->keeping = is_kept(request);
    size_t room = (size_t)(request->body_max - request->bytes);
    size_t taken = size < room ? size : room;
    request->over = taken < size;
    request->bytes += taken;
    if (request->keeping)
        skua_crawl_text_put(&request->body, data, taken);
    return request->over || request->body.failed ? 0 : size;
}

/* ---- one attempt ----------------------------------------------------------------------------- */

static long milliseconds(uint64_t duration_ns)
{
    return (long)((duration_ns + SKUA_NS_PER_MS - 1) / SKUA_NS_PER_MS);
}

/* Everything a request needs; what cannot be set for want of memory shows when it is performed. */
static void prepare(struct crawl_request *request)
{
    const struct crawl_options *options = &request->crawl->options;
    CURL *easy = request->easy;
    curl_easy_reset(easy);
    (void)curl_easy_setopt(easy, CURLOPT_URL, request->url);
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, request);
    (void)curl_easy_setopt(easy, CURLOPT_ACCEPT_ENCODING, ""); /* whatever libcurl can decode */
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, options->user_agent);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->crawl->headers);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, milliseconds(options->timeout_ns));
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                           milliseconds(options->connect_timeout_ns));
    if (!request->cut)
        (void)curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->body_max);
    if (options->ca_file != NULL)
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, options->ca_file);
    if (options->insecure) {
        (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

static void forget_answer(struct crawl_request *request)
{
    skua_crawl_text_fini(&request->body);
    free(request->redirect);
    request->redirect = NULL;
    request->hopeless = request->over = request->keeping = false;
    request->status = 0;
    request->bytes = 0;
    request->content_type[0] = 0;
    request->error[0] = 0;
}

static int complain(struct crawl_request *request, int error, const char *text)
{
    snprintf(request->error, sizeof(request->error), "%s", text);
    return error;
}

/* Which of the errors of this program an error of libcurl's is. */
static int judge_failure(struct crawl_request *request, CURLcode code)
{
    curl_off_t begun_us = 0;
    switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
        return complain(request, -EHOSTUNREACH, curl_easy_strerror(code));
    case CURLE_OPERATION_TIMEDOUT:
        /* 0: the request was never sent, so there was no connection. */
        (void)curl_easy_getinfo(request->easy, CURLINFO_PRETRANSFER_TIME_T, &begun_us);
        return complain(request, begun_us == 0 ? -EHOSTUNREACH : -EIO, curl_easy_strerror(code));
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
        return complain(request, -EIO, curl_easy_strerror(code));
    case CURLE_OUT_OF_MEMORY:
        return complain(request, -ENOMEM, curl_easy_strerror(code));
    case CURLE_FILESIZE_EXCEEDED:
        request->over = true;
        break;
    default:
        break;
    }
    if (request->over) {
        snprintf(request->error, sizeof(request->error), "body over %llu bytes",
                 (unsigned long long)request->body_max);
        return -EFBIG;
    }
    if (request->body.failed)
        return complain(request, -ENOMEM, "out of memory");
    return complain(request, -EPROTO, curl_easy_strerror(code));
}

static bool is_temporary(long status)
{
    return status == 408 || status == 429 || status == 500 || status == 502 || status == 503 ||
           status == 504;
}

/* The host said when it wants to be asked again: that holds for all requests to it. */
static void heed_retry_after(struct crawl_request *request)
{
    curl_off_t seconds = 0;
    if (request->status != 429 && request->status != 503)
        return;
    if (curl_easy_getinfo(request->easy, CURLINFO_RETRY_AFTER, &seconds) != CURLE_OK ||
        seconds <= 0)
        return;
    uint64_t wait_ns = CRAWL_WAIT_MAX_NS;
    if ((uint64_t)seconds <= CRAWL_WAIT_MAX_NS / SKUA_NS_PER_SEC)
        wait_ns = (uint64_t)seconds * SKUA_NS_PER_SEC;
    else
        request->hopeless = true;
    uint64_t next_ns = skua_after(wait_ns);
    pthread_mutex_lock(&request->crawl->lock);
    if (request->host->next_ns < next_ns)
        request->host->next_ns = next_ns;
    pthread_mutex_unlock(&request->crawl->lock);
}

/* Returns 0; -EAGAIN for a status that may be another one next time; -ENOMEM. */
static int judge_answer(struct crawl_request *request)
{
    const char *type = NULL;
    const char *redirect = NULL;
    (void)curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &request->status);
    (void)curl_easy_getinfo(request->easy, CURLINFO_CONTENT_TYPE, &type);
    (void)curl_easy_getinfo(request->easy, CURLINFO_REDIRECT_URL, &redirect);
    snprintf(request->content_type, sizeof(request->content_type), "%s", type != NULL ? type : "");
    heed_retry_after(request);
    if (redirect != NULL) {
        request->redirect = strdup(redirect);
        if (request->redirect == NULL)
            return complain(request, -ENOMEM, "out of memory");
    }
    if (request->status < 400)
        return 0;
    snprintf(request->error, sizeof(request->error), "HTTP %ld", request->status);
    return is_temporary(request->status) ? -EAGAIN : 0;
}

/* With a connection of the host's and one of all transfers. */
static int transfer(struct crawl_request *request)
{
    struct crawl *crawl = request->crawl;
    CURLcode code = CURLE_OK;
    forget_answer(request);
    prepare(request);
    if (!request->fresh || request->attempts == 0)
        request->attempts++;
    request->fresh = false;
    skua_crawl_count(&crawl->counters.requests, 1);
    skua_crawl_count(&crawl->counters.running, 1);
    int rc = skua_crawl_driver_perform(crawl->driver, request->easy, &code);
    skua_crawl_count(&crawl->counters.running, UINT64_MAX); /* one less */
    skua_crawl_count(&crawl->counters.bytes, request->bytes);
    if (rc < 0)
        return complain(request, rc, "interrupted");
    if (code == CURLE_OK || (request->cut && request->over))
        return judge_answer(request);
    rc = judge_failure(request, code);
    (void)curl_easy_getinfo(request->easy, CURLINFO_RESPONSE_CODE, &request->status);
    return rc;
}

/* ---- turns ----------------------------------------------------------------------------------- */

/* Waits until the host may be asked again. Returns 0; -ECANCELED, also when the run is to stop. */
static int wait_for_host(struct crawl *crawl, struct crawl_host *host)
{
    for (;;) {
        pthread_mutex_lock(&crawl->lock);
        uint64_t next_ns = host->next_ns;
        pthread_mutex_unlock(&crawl->lock);
        if (next_ns <= skua_now())
            return skua_crawl_stopping(crawl) ? -ECANCELED : 0;
        int rc = skua_event_wait_until(&crawl->stop, next_ns);
        if (rc != -ETIMEDOUT)
            return rc == 0 ? -ECANCELED : rc;
    }
}

/* At the gate: a slot and a token. Returns 0 with the slot. */
static int take_turn(struct crawl *crawl, struct crawl_host *host)
{
    int rc = wait_for_host(crawl, host);
    if (rc == 0)
        rc = skua_semaphore_acquire(&crawl->slots);
    if (rc < 0)
        return rc;
    if (crawl->options.interval_ns > 0)
        rc = skua_rate_limiter_acquire(&host->limiter, 1);
    if (rc == 0 && skua_crawl_stopping(crawl))
        rc = -ECANCELED;
    if (rc < 0) {
        (void)skua_semaphore_release(&crawl->slots);
        return rc;
    }
    pthread_mutex_lock(&crawl->lock);
    uint64_t next_ns = skua_after(host->delay_ns);
    if (host->next_ns < next_ns)
        host->next_ns = next_ns;
    pthread_mutex_unlock(&crawl->lock);
    return 0;
}

static int pass_gate(struct crawl *crawl, struct crawl_host *host)
{
    int rc = skua_semaphore_acquire(&host->gate);
    if (rc < 0)
        return rc;
    rc = take_turn(crawl, host);
    (void)skua_semaphore_release(&host->gate);
    return rc;
}

static intptr_t attempt(void *arg)
{
    struct crawl_request *request = arg;
    struct crawl *crawl = request->crawl;
    int rc = skua_semaphore_acquire(&request->host->connections);
    if (rc < 0)
        return complain(request, rc, "interrupted");
    (void)skua_wait_group_add(&crawl->active, 1);
    rc = pass_gate(crawl, request->host);
    if (rc == 0) {
        rc = transfer(request);
        (void)skua_semaphore_release(&crawl->slots);
    } else {
        (void)complain(request, rc, rc == -ECANCELED ? "interrupted" : "out of memory");
    }
    (void)skua_wait_group_done(&crawl->active);
    (void)skua_semaphore_release(&request->host->connections);
    return rc;
}

static intptr_t attempt_if_alive(void *arg)
{
    struct crawl_request *request = arg;
    intptr_t rc = skua_breaker_call(&request->host->breaker, attempt, request);
    if (rc == -EHOSTDOWN) {
        forget_answer(request);
        (void)complain(request, -EHOSTDOWN, "host is down");
    }
    return rc;
}

static bool is_retryable(intptr_t error, void *arg)
{
    const struct crawl_request *request = arg;
    if (skua_crawl_stopping(request->crawl) || request->hopeless)
        return false;
    return error == -EAGAIN || error == -EIO || error == -EHOSTUNREACH;
}

int skua_crawl_request(struct crawl_request *request)
{
    const struct crawl_options *options = &request->crawl->options;
    const skua_retry_options retry = {
        .attempts_max = options->retries + 1,
        .delay_ns = options->delay_ns,
        .delay_max_ns = DELAY_MAX_NS,
        .is_retryable = is_retryable,
        .is_retryable_arg = request,
    };
    if (request->easy == NULL)
        request->easy = curl_easy_init();
    if (request->easy == NULL)
        return complain(request, -ENOMEM, "out of memory");
    request->fresh = true;
    int rc = (int)skua_retry(&retry, attempt_if_alive, request);
    if (rc == -ECANCELED)
        return complain(request, rc, "interrupted");
    return rc == -EAGAIN ? 0 : rc;
}

void skua_crawl_request_fini(struct crawl_request *request)
{
    forget_answer(request);
    if (request->easy != NULL)
        curl_easy_cleanup(request->easy);
    request->easy = NULL;
}
