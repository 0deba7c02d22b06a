/*
 * crawl_url.h - URLs in their one spelling, through libcurl's URL API.
 *
 * Any thread, at any time; nothing here waits.
 */
#ifndef SKUA_CRAWL_URL_H
#define SKUA_CRAWL_URL_H

#include <stdbool.h>
#include <stddef.h>

/* A URL in its one spelling, and where its parts are. Invariant: host_end <= path_begin <= size. */
struct crawl_url {
    char *text; /* scheme://[user[:password]@]host[:port]/path[?query], of malloc() */
    size_t size;
    size_t path_begin; /* of path and query */
    char *origin;      /* scheme://host:port, the port always there; of malloc() */
    char *site;        /* host, with ":port" unless that is its scheme's own; of malloc() */
};

/*
 * Reads @reference, relative to @base, or absolute if @base is NULL; then one without a scheme is
 * http's. Scheme and host become lower case, a port that is the scheme's own goes, as do dot
 * segments and the fragment; percent-encodings get one spelling. User and password are kept only
 * in an absolute one.
 *
 * Returns 0, and the caller ends @url with skua_crawl_url_fini(); -EINVAL (no URL);
 * -EPROTONOSUPPORT (neither http nor https); -ENAMETOOLONG; -ENOMEM. On error @url is zero.
 */
int skua_crawl_url_parse(struct crawl_url *url, const char *reference, const char *base);
void skua_crawl_url_fini(struct crawl_url *url);

/* Whether @url and @other are on one site: the same host, and ports that are equal or usual. */
bool skua_crawl_url_same_site(const struct crawl_url *url, const struct crawl_url *other);

#endif /* SKUA_CRAWL_URL_H */
