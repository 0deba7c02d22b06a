/*
 * crawl_html.c - see crawl_html.h. Two passes of one tokenizer: the first looks for base and meta,
 * which hold for the whole page, the second tells the links.
 *
 * Raw text (script, style ...) is looked through once for each such tag. If one does not end, the
 * rest of the page belongs to it, so no byte is looked at more often than a fixed number of times.
 */
#include "crawl_html.h"

#include "crawl_text.h"

#include <stdint.h>
#include <string.h>

struct slice {
    const char *data;
    size_t size;
};

enum attribute { ATTRIBUTE_HREF, ATTRIBUTE_SRC, ATTRIBUTE_REL, ATTRIBUTE_NAME, ATTRIBUTE_CONTENT };
#define ATTRIBUTES 5u

static const char *const attribute_names[ATTRIBUTES] = {"href", "src", "rel", "name", "content"};

/* A start tag; an attribute that is not there has data NULL. The first of a name counts. */
struct tag {
    struct slice name;
    struct slice values[ATTRIBUTES];
};

struct scan {
    const char *at;
    const char *end;
};

/* ---- attributes ------------------------------------------------------------------------------ */

static void skip_space(struct scan *scan)
{
    while (scan->at < scan->end && skua_crawl_is_space(*scan->at))
        scan->at++;
}

static struct slice take_name(struct scan *scan)
{
    const char *begin = scan->at;
    /* A '=' at the beginning belongs to the name. */
    while (scan->at < scan->end && !skua_crawl_is_space(*scan->at) && *scan->at != '/' &&
           *scan->at != '>' && (*scan->at != '=' || scan->at == begin))
        scan->at++;
    return (struct slice){begin, (size_t)(scan->at - begin)};
}

/* What stands after a '='. In quotes it may be anything; without, it ends at a space or '>'. */
static struct slice take_value(struct scan *scan)
{
    skip_space(scan);
    const char *begin = scan->at;
    if (begin < scan->end && (*begin == '"' || *begin == '\'')) {
        const char *close = memchr(begin + 1, *begin, (size_t)(scan->end - begin - 1));
        const char *value_end = close != NULL ? close : scan->end;
        scan->at = close != NULL ? close + 1 : scan->end;
        return (struct slice){begin + 1, (size_t)(value_end - begin - 1)};
    }
    while (scan->at < scan->end && !skua_crawl_is_space(*scan->at) && *scan->at != '>')
        scan->at++;
    return (struct slice){begin, (size_t)(scan->at - begin)};
}

static void take_attribute(struct scan *scan, struct tag *tag)
{
    struct slice name = take_name(scan);
    struct slice value = {"", 0};
    skip_space(scan);
    if (scan->at < scan->end && *scan->at == '=') {
        scan->at++;
        value = take_value(scan);
    }
    for (unsigned i = 0; i < ATTRIBUTES; i++) {
        if (tag->values[i].data == NULL &&
            skua_crawl_same(name.data, name.size, attribute_names[i]))
            tag->values[i] = value;
    }
}

/* ---- tags ------------------------------------------------------------------------------------ */

static bool is_letter(char c)
{
    c = skua_crawl_lower(c);
    return c >= 'a' && c <= 'z';
}

/* After '<' and at a letter. Returns false if the tag does not end. */
static bool take_tag(struct scan *scan, struct tag *tag)
{
    const char *begin = scan->at;
    *tag = (struct tag){0};
    while (scan->at < scan->end && !skua_crawl_is_space(*scan->at) && *scan->at != '/' &&
           *scan->at != '>')
        scan->at++;
    tag->name = (struct slice){begin, (size_t)(scan->at - begin)};
    for (;;) {
        while (scan->at < scan->end && (skua_crawl_is_space(*scan->at) || *scan->at == '/'))
            scan->at++;
        if (scan->at == scan->end)
            return false;
        if (*scan->at == '>') {
            scan->at++;
            return true;
        }
        take_attribute(scan, tag);
    }
}

static void skip_past(struct scan *scan, char c)
{
    const char *found = memchr(scan->at, c, (size_t)(scan->end - scan->at));
    scan->at = found != NULL ? found + 1 : scan->end;
}

static bool starts_with(const struct scan *scan, const char *text)
{
    size_t size = strlen(text);
    return (size_t)(scan->end - scan->at) >= size && memcmp(scan->at, text, size) == 0;
}

/* After "<!--". "<!-->" and "<!--->" are whole comments. */
static void skip_comment(struct scan *scan)
{
    if (starts_with(scan, ">") || starts_with(scan, "->")) {
        skip_past(scan, '>');
        return;
    }
    while (scan->at < scan->end) {
        skip_past(scan, '-');
        if (starts_with(scan, "->") || starts_with(scan, "-!>")) {
            skip_past(scan, '>');
            return;
        }
    }
}

/* After the start tag @name: to "</name" and what ends it, or to the end of the page. */
static void skip_raw_text(struct scan *scan, const char *name)
{
    size_t size = strlen(name);
    while (scan->at < scan->end) {
        skip_past(scan, '<');
        size_t left = (size_t)(scan->end - scan->at);
        if (left <= size + 1 || *scan->at != '/' || !skua_crawl_same(scan->at + 1, size, name))
            continue;
        char after = scan->at[size + 1];
        if (skua_crawl_is_space(after) || after == '/' || after == '>') {
            skip_past(scan, '>');
            return;
        }
    }
}

static void skip_contents(struct scan *scan, const struct tag *tag)
{
    static const char *const raw[] = {"script", "style",   "title",    "textarea",
                                      "xmp",    "noembed", "noframes", "iframe"};
    for (size_t i = 0; i < sizeof(raw) / sizeof(raw[0]); i++) {
        if (skua_crawl_same(tag->name.data, tag->name.size, raw[i]))
            skip_raw_text(scan, raw[i]);
    }
}

/* The next start tag. Returns false at the end of the page. */
static bool next_tag(struct scan *scan, struct tag *tag)
{
    while (scan->at < scan->end) {
        skip_past(scan, '<');
        if (scan->at == scan->end)
            return false;
        if (starts_with(scan, "!--")) {
            scan->at += 3;
            skip_comment(scan);
        } else if (*scan->at == '!' || *scan->at == '?' || *scan->at == '/') {
            skip_past(scan, '>');
        } else if (is_letter(*scan->at)) {
            if (!take_tag(scan, tag))
                return false;
            skip_contents(scan, tag);
            return true;
        }
    }
    return false;
}

/* ---- entities -------------------------------------------------------------------------------- */

static size_t put_utf8(char *out, uint32_t code)
{
    if (code == 0 || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
        code = 0xfffd;
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    size_t length = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    out[0] = (char)((0xf00u >> length & 0xf0u) | code);
    return length;
}

/* A number after "&#". Returns the bytes used, with a ';' if there is one; 0 if it is no number. */
static size_t take_number(const char *data, size_t size, uint32_t *code)
{
    bool hex = size > 0 && skua_crawl_lower(data[0]) == 'x';
    size_t at = hex ? 1 : 0;
    size_t first = at;
    *code = 0;
    for (; at < size; at++) {
        int digit = skua_crawl_hex(data[at]);
        if (digit < 0 || (!hex && digit > 9))
            break;
        if (*code <= 0x10ffff) /* beyond, it stays too large */
            *code = *code * (hex ? 16u : 10u) + (uint32_t)digit;
    }
    if (at == first)
        return 0;
    return at < size && data[at] == ';' ? at + 1 : at;
}

/*
 * What stands after a '&'. Returns the bytes used; 0 if it is no entity of ours. The names are the
 * ones a URL may need; without a ';' they are none, so that "?a=1&lt=2" stays what it is.
 */
static size_t take_entity(const char *data, size_t size, uint32_t *code)
{
    static const struct {
        const char *name;
        char value;
    } names[] = {{"amp;", '&'}, {"lt;", '<'}, {"gt;", '>'}, {"quot;", '"'}, {"apos;", '\''}};
    if (size > 0 && data[0] == '#') {
        size_t used = take_number(data + 1, size - 1, code);
        return used > 0 ? used + 1 : 0;
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t length = strlen(names[i].name);
        if (size < length || memcmp(data, names[i].name, length) != 0)
            continue;
        *code = (unsigned char)names[i].value;
        return length;
    }
    return 0;
}

/*
 * @value with its entities decoded, in @out, which has room for as many bytes: no entity is shorter
 * than what it stands for ("&#9;" and up, of at most 4 bytes from 5 digits on).
 */
static size_t decode(char *out, struct slice value)
{
    size_t used = 0;
    for (size_t i = 0; i < value.size;) {
        uint32_t code = 0;
        size_t entity =
            value.data[i] == '&' ? take_entity(value.data + i + 1, value.size - i - 1, &code) : 0;
        if (entity > 0) {
            used += put_utf8(out + used, code);
            i += entity + 1;
        } else {
            out[used++] = value.data[i++];
        }
    }
    return used;
}

/* ---- links ----------------------------------------------------------------------------------- */

/* @value as a reference in @out, of CRAWL_REFERENCE_MAX + 1 bytes. Returns its size; 0: none. */
static size_t make_reference(char *out, struct slice value)
{
    if (value.data == NULL || value.size > CRAWL_REFERENCE_MAX)
        return 0;
    size_t size = decode(out, value);
    size_t begin = 0, used = 0;
    while (size > 0 && (unsigned char)out[size - 1] <= ' ')
        size--;
    while (begin < size && (unsigned char)out[begin] <= ' ')
        begin++;
    for (size_t i = begin; i < size && out[i] != '#'; i++) {
        if (out[i] == 0)
            return 0;
        if (out[i] != '\t' && out[i] != '\n' && out[i] != '\r')
            out[used++] = out[i];
    }
    out[used] = 0;
    return used;
}

/* Whether a list of words, between spaces and commas, has @word. */
static bool has_word(struct slice list, const char *word)
{
    for (size_t i = 0; i < list.size;) {
        size_t begin = i;
        while (i < list.size && !skua_crawl_is_space(list.data[i]) && list.data[i] != ',')
            i++;
        if (i > begin && skua_crawl_same(list.data + begin, i - begin, word))
            return true;
        i += i < list.size ? 1 : 0;
    }
    return false;
}

static bool is_tag(const struct tag *tag, const char *name)
{
    return skua_crawl_same(tag->name.data, tag->name.size, name);
}

static struct slice link_of(const struct tag *tag)
{
    struct slice none = {NULL, 0};
    struct slice rel = tag->values[ATTRIBUTE_REL];
    if (is_tag(tag, "frame") || is_tag(tag, "iframe"))
        return tag->values[ATTRIBUTE_SRC];
    if (!is_tag(tag, "a") && !is_tag(tag, "area") && !is_tag(tag, "link"))
        return none;
    if (has_word(rel, "nofollow") || has_word(rel, "preconnect") || has_word(rel, "dns-prefetch"))
        return none;
    return tag->values[ATTRIBUTE_HREF];
}

static bool forbids_links(const struct tag *tag)
{
    struct slice content = tag->values[ATTRIBUTE_CONTENT];
    struct slice name = tag->values[ATTRIBUTE_NAME];
    return is_tag(tag, "meta") && has_word(name, "robots") &&
           (has_word(content, "nofollow") || has_word(content, "none"));
}

size_t skua_crawl_html_links(const char *html, size_t size, const struct crawl_html_calls *calls)
{
    char reference[CRAWL_REFERENCE_MAX + 1];
    struct scan scan = {html, html + size};
    struct tag tag;
    size_t count = 0;
    bool has_base = false;
    while (next_tag(&scan, &tag)) {
        if (forbids_links(&tag))
            return 0;
        if (has_base || !is_tag(&tag, "base") || tag.values[ATTRIBUTE_HREF].data == NULL)
            continue;
        size_t length = make_reference(reference, tag.values[ATTRIBUTE_HREF]);
        has_base = true;
        if (length > 0)
            calls->base(calls->arg, reference, length);
    }
    scan.at = html;
    while (next_tag(&scan, &tag)) {
        size_t length = make_reference(reference, link_of(&tag));
        if (length == 0)
            continue;
        calls->link(calls->arg, reference, length);
        count++;
    }
    return count;
}
