/*
 * crawl_html.h - the links of an HTML page.
 */
#ifndef SKUA_CRAWL_HTML_H
#define SKUA_CRAWL_HTML_H

#include <stdbool.h>
#include <stddef.h>

#define CRAWL_REFERENCE_MAX 4096u /* bytes; longer values are no links */

/*
 * Told what is found, in the order of the page. @reference is a URL, or relative to one: entities
 * are decoded, spaces around it, line ends and tabs in it and its fragment are gone; it is not
 * empty, ends with a 0 that is not in @size, contains no other, and is valid during the call.
 */
struct crawl_html_calls {
    void (*base)(void *arg, const char *reference, size_t size); /* at most once */
    void (*link)(void *arg, const char *reference, size_t size);
    void *arg;
};

/*
 * Finds the links in @size bytes of @html: href of a, area and link, src of frame and iframe; not
 * those with rel=nofollow, nor links to hosts and not pages (rel=preconnect, dns-prefetch). The
 * base is that of the first base tag, which holds for links before it too, so it is told first. A
 * page whose meta tag for robots says nofollow or none has no links.
 *
 * Any bytes will do. Comments, declarations and the text of script, style and such are skipped as
 * browsers skip them; a tag that does not end is none. Takes time in proportion to @size.
 *
 * Returns how many links were told.
 * Source: WHATWG HTML, 13.2.5 (tokenization); simplified.
 */
size_t skua_crawl_html_links(const char *html, size_t size, const struct crawl_html_calls *calls);

#endif /* SKUA_CRAWL_HTML_H */
