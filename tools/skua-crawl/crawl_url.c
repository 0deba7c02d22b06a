/*
 * crawl_url.c - see crawl_url.h.
 */
#include "crawl_url.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "crawl.h"
#include "crawl_text.h"

static int error_of(CURLUcode code)
{
    if (code == CURLUE_OUT_OF_MEMORY)
        return -ENOMEM;
    return code == CURLUE_UNSUPPORTED_SCHEME ? -EPROTONOSUPPORT : -EINVAL;
}

/* Encodings before libcurl sees them: it takes the dot segments away, which may be encoded. */
static int set_reference(CURLU *handle, const char *reference, bool guess_scheme)
{
    size_t size = strlen(reference);
    if (size > CRAWL_URL_MAX)
        return -ENAMETOOLONG;
    char *spelled = malloc(3 * size + sizeof("http://"));
    if (spelled == NULL)
        return -ENOMEM;
    size_t used = 0;
    if (guess_scheme) {
        memcpy(spelled, "http://", sizeof("http://") - 1);
        used = sizeof("http://") - 1;
    }
    used += skua_crawl_percent_normalize(spelled + used, reference, size);
    spelled[used] = 0;
    CURLUcode code = curl_url_set(handle, CURLUPART_URL, spelled, 0);
    free(spelled);
    return code == CURLUE_OK ? 0 : error_of(code);
}

static int set_part(CURLU *handle, CURLUPart part, const char *value)
{
    CURLUcode code = curl_url_set(handle, part, value, 0);
    return code == CURLUE_OK ? 0 : error_of(code);
}

/* libcurl takes much for a host that is none, and leaves it to the resolver. */
static bool is_host(const char *host)
{
    for (const char *c = host; *c != 0; c++) {
        if ((*c > 0 && *c <= ' ') || *c == 0x7f)
            return false;
    }
    return skua_crawl_is_utf8(host);
}

/* What libcurl took for a name may be a number without its dot, and has its spelling then. */
static int read_again(CURLU *handle)
{
    char *text = NULL;
    CURLUcode code = curl_url_get(handle, CURLUPART_URL, &text, 0);
    if (code != CURLUE_OK)
        return error_of(code);
    int rc = set_part(handle, CURLUPART_URL, text);
    curl_free(text);
    return rc;
}

/* A host that ends in a dot is the same one; libcurl leaves its letters as they are. */
static int lower_host(CURLU *handle)
{
    char *host = NULL;
    CURLUcode code = curl_url_get(handle, CURLUPART_HOST, &host, 0);
    if (code != CURLUE_OK)
        return error_of(code);
    for (char *c = host; *c != 0; c++)
        *c = skua_crawl_lower(*c);
    size_t size = strlen(host);
    bool had_dot = size > 1 && host[size - 1] == '.';
    if (had_dot)
        host[--size] = 0;
    /* Of two dots the second would be left, and go when the URL is read again. */
    bool is_one = size > 0 && host[size - 1] != '.' && is_host(host);
    int rc = is_one ? 0 : -EINVAL;
    if (rc == 0)
        rc = set_part(handle, CURLUPART_HOST, host);
    curl_free(host);
    return rc == 0 && had_dot ? read_again(handle) : rc;
}

static int get(CURLU *handle, CURLUPart part, unsigned flags, char **out)
{
    char *value = NULL;
    CURLUcode code = curl_url_get(handle, part, &value, flags);
    if (code != CURLUE_OK)
        return error_of(code);
    *out = strdup(value);
    curl_free(value);
    return *out != NULL ? 0 : -ENOMEM;
}

static char *join(const char *first, const char *middle, const char *last)
{
    size_t size = strlen(first) + strlen(middle) + strlen(last) + 1;
    char *text = malloc(size);
    if (text != NULL)
        snprintf(text, size, "%s%s%s", first, middle, last);
    return text;
}

/* Before the host is looked at: other schemes may have none. */
static int check_scheme(CURLU *handle)
{
    char *scheme = NULL;
    int rc = get(handle, CURLUPART_SCHEME, 0, &scheme);
    if (rc == 0 && strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        rc = -EPROTONOSUPPORT;
    free(scheme);
    return rc;
}

/* The names under which a host is known, from its parts. */
static int name_host(struct crawl_url *url, CURLU *handle)
{
    char *scheme = NULL, *host = NULL, *port = NULL, *own_port = NULL, *place = NULL;
    int rc = get(handle, CURLUPART_SCHEME, 0, &scheme);
    if (rc == 0)
        rc = get(handle, CURLUPART_HOST, 0, &host);
    if (rc == 0)
        rc = get(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT, &port);
    if (rc == 0 && get(handle, CURLUPART_PORT, CURLU_NO_DEFAULT_PORT, &own_port) == -ENOMEM)
        rc = -ENOMEM;
    if (rc == 0) {
        place = join(host, ":", port);
        url->site = own_port != NULL ? join(host, ":", own_port) : strdup(host);
        url->origin = place != NULL ? join(scheme, "://", place) : NULL;
        rc = url->origin != NULL && url->site != NULL ? 0 : -ENOMEM;
    }
    free(scheme);
    free(host);
    free(port);
    free(own_port);
    free(place);
    return rc;
}

static int take_text(struct crawl_url *url, CURLU *handle)
{
    int rc = get(handle, CURLUPART_URL, CURLU_NO_DEFAULT_PORT, &url->text);
    if (rc < 0)
        return rc;
    url->size = strlen(url->text);
    if (url->size > CRAWL_URL_MAX)
        return -ENAMETOOLONG;
    const char *host = strstr(url->text, "://");
    const char *path = host != NULL ? strchr(host + 3, '/') : NULL;
    if (path == NULL)
        return -EINVAL;
    url->path_begin = (size_t)(path - url->text);
    return name_host(url, handle);
}

static bool has_scheme(const char *reference)
{
    const char *colon = strstr(reference, "://");
    return colon != NULL && strcspn(reference, "/?#") > (size_t)(colon - reference);
}

int skua_crawl_url_parse(struct crawl_url *url, const char *reference, const char *base)
{
    *url = (struct crawl_url){0};
    CURLU *handle = curl_url();
    if (handle == NULL)
        return -ENOMEM;
    int rc = base != NULL ? set_part(handle, CURLUPART_URL, base) : 0;
    if (rc == 0)
        rc = set_reference(handle, reference, base == NULL && !has_scheme(reference));
    if (rc == 0)
        rc = set_part(handle, CURLUPART_FRAGMENT, NULL);
    if (rc == 0 && base != NULL)
        rc = set_part(handle, CURLUPART_USER, NULL);
    if (rc == 0 && base != NULL)
        rc = set_part(handle, CURLUPART_PASSWORD, NULL);
    if (rc == 0)
        rc = check_scheme(handle);
    if (rc == 0)
        rc = lower_host(handle);
    if (rc == 0)
        rc = take_text(url, handle);
    curl_url_cleanup(handle);
    if (rc < 0)
        skua_crawl_url_fini(url);
    return rc;
}

void skua_crawl_url_fini(struct crawl_url *url)
{
    free(url->text);
    free(url->origin);
    free(url->site);
    *url = (struct crawl_url){0};
}

bool skua_crawl_url_same_site(const struct crawl_url *url, const struct crawl_url *other)
{
    return strcmp(url->site, other->site) == 0;
}
