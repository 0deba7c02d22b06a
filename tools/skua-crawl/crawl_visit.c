/*
 * crawl_visit.c - see crawl_visit.h.
 */
#include "crawl_visit.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crawl_hosts.h"
#include "crawl_html.h"
#include "crawl_queue.h"
#include "crawl_request.h"
#include "crawl_rules.h"
#include "crawl_save.h"

#define DIGEST_BYTES 32u /* SHA-256 */

/* A page that is being visited, in the lane's frame. */
struct visit {
    struct crawl *crawl;
    const struct crawl_page *page;
    struct crawl_url url; /* where the redirects have led */
    struct crawl_request request;
    char base[CRAWL_URL_MAX + 1]; /* of the page's links */
    char digest[2 * DIGEST_BYTES + 1];
    char file[CRAWL_FILE_NAME_MAX];
    uint64_t start_ns;
};

/* ---- fetching -------------------------------------------------------------------------------- */

static int fail(struct visit *visit, int error, const char *text)
{
    snprintf(visit->request.error, sizeof(visit->request.error), "%s", text);
    return error;
}

/* Asks the host at visit->url, if its robots.txt allows that. */
static int ask(struct visit *visit)
{
    struct crawl *crawl = visit->crawl;
    struct crawl_request *request = &visit->request;
    int rc = 0;
    pthread_mutex_lock(&crawl->lock);
    request->host = skua_crawl_host_get(crawl, visit->url.origin);
    pthread_mutex_unlock(&crawl->lock);
    if (request->host == NULL)
        return fail(visit, -ENOMEM, "out of memory");
    request->url = visit->url.text;
    if (crawl->options.robots)
        rc = skua_crawl_rules_check(crawl, request->host, &visit->url, request->error,
                                    sizeof(request->error));
    if (rc == 0)
        rc = skua_crawl_request(request);
    skua_crawl_host_unref(crawl, request->host);
    return rc;
}

/* A crawl stays on the sites of its list: only a listed page may send us elsewhere. */
static int follow_redirect(struct visit *visit)
{
    struct crawl_request *request = &visit->request;
    struct crawl_url next;
    int rc = skua_crawl_url_parse(&next, request->redirect, visit->url.text);
    if (rc < 0)
        return fail(visit, rc, "redirect to what is no URL of http");
    if (!visit->page->listed && !skua_crawl_url_same_site(&next, &visit->url)) {
        skua_crawl_url_fini(&next);
        return fail(visit, -EXDEV, "redirect to another site");
    }
    skua_crawl_url_fini(&visit->url);
    visit->url = next;
    request->status = 0;
    request->bytes = 0;
    request->content_type[0] = 0;
    return 0;
}

static int fetch(struct visit *visit)
{
    unsigned hops = 0;
    int rc = ask(visit);
    while (rc == 0 && visit->request.redirect != NULL) {
        if (hops++ == visit->crawl->options.redirects_max)
            return fail(visit, -ELOOP, "too many redirects");
        rc = follow_redirect(visit);
        if (rc == 0)
            rc = ask(visit);
    }
    return rc;
}

/* ---- what is in it --------------------------------------------------------------------------- */

static void on_base(void *arg, const char *reference, size_t size)
{
    struct visit *visit = arg;
    struct crawl_url base;
    (void)size;
    if (skua_crawl_url_parse(&base, reference, visit->url.text) < 0)
        return;
    memcpy(visit->base, base.text, base.size + 1);
    skua_crawl_url_fini(&base);
}

static void on_link(void *arg, const char *reference, size_t size)
{
    struct visit *visit = arg;
    struct crawl_url url;
    (void)size;
    if (skua_crawl_url_parse(&url, reference, visit->base) < 0)
        return;
    if (skua_crawl_url_same_site(&url, &visit->url))
        skua_crawl_submit(visit->crawl, &url, visit->page->depth + 1, false, false);
    else
        skua_crawl_url_fini(&url);
}

static bool has_links(const struct visit *visit)
{
    const struct crawl_options *options = &visit->crawl->options;
    return options->follow && visit->page->depth < options->depth_max;
}

static void find_links(struct visit *visit)
{
    const struct crawl_html_calls calls = {on_base, on_link, visit};
    memcpy(visit->base, visit->url.text, visit->url.size + 1);
    (void)skua_crawl_html_links(visit->request.body.data, visit->request.body.size, &calls);
}

static void make_digest(struct visit *visit)
{
    unsigned char digest[DIGEST_BYTES];
    const struct crawl_text *body = &visit->request.body;
    const char *data = body->data != NULL ? body->data : "";
    if (EVP_Digest(data, body->size, digest, NULL, EVP_sha256(), NULL) != 1)
        return;
    for (size_t i = 0; i < DIGEST_BYTES; i++)
        snprintf(visit->digest + 2 * i, 3, "%02x", digest[i]);
}

static int save(struct visit *visit)
{
    char text[128];
    char reason[64];
    const struct crawl_text *body = &visit->request.body;
    skua_crawl_file_name(visit->file, visit->url.text);
    int rc = skua_crawl_save(visit->crawl->options.save, visit->file, body->data, body->size);
    if (rc == 0)
        return 0;
    visit->file[0] = 0;
    snprintf(text, sizeof(text), "cannot save: %s", strerror_r(-rc, reason, sizeof(reason)));
    return fail(visit, rc, text);
}

/* Large bodies are worked on where nobody waits for it. */
static void look_through(struct visit *visit)
{
    const struct crawl_options *options = &visit->crawl->options;
    const struct crawl_request *request = &visit->request;
    if (request->status < 200 || request->status > 299)
        return;
    /* If it cannot go there it is done here. */
    if (request->body.size > CRAWL_INLINE_BYTES)
        (void)skua_hop(skua_executor_cpu(NULL));
    if (options->sha256)
        make_digest(visit);
    if (has_links(visit) && skua_crawl_is_html(request->content_type) && request->body.size > 0)
        find_links(visit);
    (void)skua_hop_back();
    if (options->save != NULL)
        (void)save(visit);
}

/* ---- telling --------------------------------------------------------------------------------- */

static const char *or_null(const char *text)
{
    return text[0] != 0 ? text : NULL;
}

static void put_line(struct visit *visit)
{
    const struct crawl_options *options = &visit->crawl->options;
    const struct crawl_request *request = &visit->request;
    uint64_t time_ms = (skua_now() - visit->start_ns) / SKUA_NS_PER_MS;
    struct crawl_text line = {0};
    skua_crawl_text_puts(&line, "{\"url\":");
    skua_crawl_text_json(&line, visit->page->url.text);
    skua_crawl_text_puts(&line, ",\"final_url\":");
    skua_crawl_text_json(&line, visit->url.text);
    if (request->status != 0)
        skua_crawl_text_printf(&line, ",\"status\":%ld", request->status);
    else
        skua_crawl_text_puts(&line, ",\"status\":null");
    skua_crawl_text_printf(&line,
                           ",\"bytes\":%llu,\"content_type\":", (unsigned long long)request->bytes);
    skua_crawl_text_json(&line, or_null(request->content_type));
    skua_crawl_text_printf(&line, ",\"attempts\":%u,\"time_ms\":%llu,\"depth\":%u,\"error\":",
                           request->attempts, (unsigned long long)time_ms, visit->page->depth);
    skua_crawl_text_json(&line, or_null(request->error));
    if (options->sha256) {
        skua_crawl_text_puts(&line, ",\"sha256\":");
        skua_crawl_text_json(&line, or_null(visit->digest));
    }
    if (options->save != NULL) {
        skua_crawl_text_puts(&line, ",\"file\":");
        skua_crawl_text_json(&line, or_null(visit->file));
    }
    skua_crawl_text_puts(&line, "}\n");
    skua_crawl_out_put(&visit->crawl->out, &line);
}

static void tell(struct visit *visit, int rc)
{
    struct crawl_counters *counters = &visit->crawl->counters;
    if (rc == -EACCES && !visit->page->listed) {
        skua_crawl_count(&counters->disallowed, 1);
        return;
    }
    bool failed = visit->request.error[0] != 0;
    skua_crawl_count(failed ? &counters->failed : &counters->fetched, 1);
    put_line(visit);
}

static enum crawl_keep keep_of(const struct visit *visit)
{
    const struct crawl_options *options = &visit->crawl->options;
    if (options->save != NULL || options->sha256)
        return CRAWL_KEEP_ALL;
    return has_links(visit) ? CRAWL_KEEP_HTML : CRAWL_KEEP_NONE;
}

static void visit_page(struct visit *visit)
{
    skua_shield shield;
    const char *text = visit->page->url.text;
    if (skua_crawl_url_parse(&visit->url, text, NULL) < 0)
        return; /* no memory: it was parsed before */
    visit->request = (struct crawl_request){
        .crawl = visit->crawl,
        .keep = keep_of(visit),
        .body_max = visit->crawl->options.body_max,
    };
    int rc = fetch(visit);
    if (rc == -ECANCELED && visit->request.attempts == 0)
        return;
    (void)skua_shield_open(&shield);
    if (rc == 0)
        look_through(visit);
    tell(visit, rc);
    (void)skua_shield_close(&shield);
}

void skua_crawl_visit(struct crawl *crawl, const struct crawl_page *page)
{
    struct visit *visit = calloc(1, sizeof(*visit));
    if (visit == NULL)
        return; /* it counts among those that were not visited */
    visit->crawl = crawl;
    visit->page = page;
    visit->start_ns = skua_now();
    visit_page(visit);
    skua_crawl_request_fini(&visit->request);
    skua_crawl_url_fini(&visit->url);
    free(visit);
}

void skua_crawl_reject(struct crawl *crawl, const char *url, const char *error)
{
    struct crawl_text line = {0};
    skua_crawl_count(&crawl->counters.rejected, 1);
    skua_crawl_count(&crawl->counters.failed, 1);
    skua_crawl_text_puts(&line, "{\"url\":");
    skua_crawl_text_json(&line, url);
    skua_crawl_text_puts(&line, ",\"final_url\":null,\"status\":null,\"bytes\":0,"
                                "\"content_type\":null,\"attempts\":0,\"time_ms\":0,\"depth\":0,"
                                "\"error\":");
    skua_crawl_text_json(&line, error);
    if (crawl->options.sha256)
        skua_crawl_text_puts(&line, ",\"sha256\":null");
    if (crawl->options.save != NULL)
        skua_crawl_text_puts(&line, ",\"file\":null");
    skua_crawl_text_puts(&line, "}\n");
    skua_crawl_out_put(&crawl->out, &line);
}
