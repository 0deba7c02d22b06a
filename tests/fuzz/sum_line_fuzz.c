/*
 * sum_line_fuzz.c - what skua-sum reads: the lines of checksum files, and what it makes of names.
 *
 * Beside what sanitizers see, it must hold that
 *   - what a line says is read again from the line that is made of it, in either form;
 *   - a name lies in its line, and a digest is no longer than its algorithm's;
 *   - once a list has one space before a name, it has no longer two, and the other way round;
 *   - a name that is escaped comes back, and one that is quoted for a shell is what a plain
 *     definition of its quotes makes of it: one printable word.
 */
#include "../../tools/skua-sum/sum_line.h"
#include "../../tools/skua-sum/sum_text.h"
#include "fuzz_kit.h"

/* As in sum_digest.c; a line needs no more of it. */
static const struct sum_digest digests[] = {
    {.algorithm = SUM_SHA256, .size = 32, .size_max = 32, .tag = "SHA256"},
    {.algorithm = SUM_SHA512, .size = 64, .size_max = 64, .tag = "SHA512"},
    {.algorithm = SUM_BLAKE2B, .size = 64, .size_max = 64, .tag = "BLAKE2b"},
    {.algorithm = SUM_XXH64, .size = 8, .size_max = 8, .tag = "XXH64"},
    {.algorithm = SUM_XXH128, .size = 16, .size_max = 16, .tag = "XXH128"},
    {.algorithm = SUM_XXH3, .size = 8, .size_max = 8, .tag = "XXH3"},
};
#define DIGESTS (sizeof(digests) / sizeof(digests[0]))

/* ---- lines ----------------------------------------------------------------------------------- */

/* Makes a line of the other programs' and reads it. */
static void check_made(const struct sum_digest *digest, const struct sum_line *line, bool tagged)
{
    struct sum_text text = {0};
    struct sum_line again;
    enum sum_spacing spacing = SUM_SPACING_UNKNOWN;
    bool escapes = skua_sum_name_needs_escape(line->name);
    skua_sum_text_puts(&text, escapes ? "\\" : "");
    if (tagged) {
        skua_sum_text_puts(&text, digest->tag);
        if (digest->algorithm == SUM_BLAKE2B)
            skua_sum_text_printf(&text, "-%zu", 8 * line->digest_size);
        skua_sum_text_puts(&text, " (");
        skua_sum_text_name(&text, line->name, escapes);
        skua_sum_text_puts(&text, ") = ");
    }
    skua_sum_text_hex(&text, line->digest, line->digest_size);
    if (!tagged) {
        skua_sum_text_puts(&text, line->binary ? " *" : "  ");
        skua_sum_text_name(&text, line->name, escapes);
    }
    fuzz_check(!text.failed, "no memory");
    fuzz_check(skua_sum_line_parse(digest, text.data, text.size, &spacing, &again),
               "what was made is refused");
    fuzz_check(strcmp(again.name, line->name) == 0, "another name");
    fuzz_check(again.digest_size == line->digest_size &&
                   memcmp(again.digest, line->digest, line->digest_size) == 0,
               "another digest");
    fuzz_check(tagged || again.binary == line->binary, "another mode");
    skua_sum_text_fini(&text);
}

static bool check_line(const struct sum_digest *digest, const char *data, size_t size,
                       enum sum_spacing *spacing)
{
    struct sum_line line;
    enum sum_spacing before = *spacing;
    char *copy = malloc(size + 1);
    fuzz_check(copy != NULL, "no memory");
    if (size > 0)
        memcpy(copy, data, size);
    copy[size] = '\0';
    bool is_good = skua_sum_line_parse(digest, copy, size, spacing, &line);
    fuzz_check(before == SUM_SPACING_UNKNOWN || *spacing == before, "the spacing changes");
    if (is_good) {
        fuzz_check(line.name >= copy && line.name + strlen(line.name) <= copy + size,
                   "a name leaves its line");
        fuzz_check(line.digest_size > 0 && line.digest_size <= digest->size_max,
                   "a digest of the wrong size");
        check_made(digest, &line, true);
        if (line.name[0] != '\0') /* which a tag alone can name */
            check_made(digest, &line, false);
    }
    free(copy);
    return is_good;
}

static void check_list(const struct sum_digest *digest, const char *data, size_t size)
{
    enum sum_spacing spacing = SUM_SPACING_UNKNOWN;
    while (size > 0) {
        const char *newline = memchr(data, '\n', size);
        size_t length = newline != NULL ? (size_t)(newline - data) : size;
        (void)check_line(digest, data, length, &spacing);
        length += newline != NULL;
        data += length;
        size -= length;
    }
}

/* ---- names ----------------------------------------------------------------------------------- */

static void check_escape(const char *name)
{
    struct sum_text text = {0};
    skua_sum_text_name(&text, name, true);
    fuzz_check(!text.failed, "no memory");
    if (text.data != NULL) {
        fuzz_check(strpbrk(text.data, "\r\n") == NULL, "a line end in a name");
        fuzz_check(skua_sum_name_unescape(text.data) && strcmp(text.data, name) == 0,
                   "a name does not come back");
    }
    skua_sum_text_fini(&text);
}

/* The byte that is written as @from, behind the backslash in $'...'. The end of it. */
static const char *read_escape(const char *from, char *byte)
{
    static const char letters[] = "abtnvfr";
    const char *at = strchr(letters, *from);
    fuzz_check(*from != '\0', "half an escape");
    if (at != NULL) {
        *byte = "\a\b\t\n\v\f\r"[at - letters];
        return from + 1;
    }
    unsigned value = 0;
    for (int i = 0; i < 3; i++, from++) {
        fuzz_check(*from >= '0' && *from <= '7', "not octal");
        value = value * 8 + (unsigned)(*from - '0');
    }
    *byte = (char)(unsigned char)value;
    return from;
}

/* What stands in quotes of any kind, which begin at @from. Their end; *@to is moved on. */
static const char *read_quoted(const char *from, char **to)
{
    bool has_escapes = *from == '$';
    char quote = *(from += has_escapes);
    for (from++; *from != quote;) {
        fuzz_check(*from != '\0', "quotes without an end");
        if (has_escapes && *from == '\\')
            from = read_escape(from + 1, (*to)++);
        else
            *(*to)++ = *from++;
    }
    return from + 1;
}

/* What a shell reads: one word. */
static void unquote(const char *from, char *to)
{
    while (*from != '\0') {
        if (*from == '\'' || *from == '"' || (from[0] == '$' && from[1] == '\'')) {
            from = read_quoted(from, &to);
        } else if (*from == '\\') {
            *to++ = from[1];
            from += 2;
        } else {
            fuzz_check(strchr(" !&()*;<>?[|$`", *from) == NULL, "something special is not quoted");
            *to++ = *from++;
        }
    }
    *to = '\0';
}

/*
 * GNU's quoting, which this one follows byte for byte, shows a name as another one if it has a
 * single quote, and an escape at its beginning and end.
 */
static bool is_misquoted_by_gnu(const char *name)
{
    size_t size = strlen(name);
    return strchr(name, '\'') != NULL && (name[0] < ' ' || name[0] > '~') &&
           (name[size - 1] < ' ' || name[size - 1] > '~');
}

static void check_quote(const char *name)
{
    struct sum_text text = {0};
    skua_sum_text_quote(&text, name);
    fuzz_check(!text.failed && text.size > 0, "no memory");
    for (size_t i = 0; i < text.size; i++)
        fuzz_check(text.data[i] >= ' ' && text.data[i] <= '~', "not printable");
    char *word = malloc(text.size + 1);
    fuzz_check(word != NULL, "no memory");
    unquote(text.data, word);
    fuzz_check(is_misquoted_by_gnu(name) || strcmp(word, name) == 0,
               "a shell reads something else");
    free(word);
    skua_sum_text_fini(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > FUZZ_INPUT_BYTES)
        return 0;
    char *copy = fuzz_copy(data, size);
    for (size_t i = 0; i < DIGESTS; i++)
        check_list(&digests[i], copy, size);
    free(copy);
    char *name = fuzz_string(data, size);
    check_escape(name);
    check_quote(name);
    free(name);
    return 0;
}

/* ---- seeds ----------------------------------------------------------------------------------- */

/* The first LINES are lines of some algorithm. */
#define LINES 9u
#define HEX16 "0123456789abcdef"
#define HEX64 HEX16 HEX16 HEX16 HEX16

static const struct fuzz_seed seeds[] = {
    FUZZ_SEED(HEX16 "  a"),
    FUZZ_SEED(HEX16 " *b c"),
    FUZZ_SEED(HEX64 " name"),
    FUZZ_SEED("SHA256 (a) = " HEX64),
    FUZZ_SEED("\\SHA512(a\\nb)= " HEX64 HEX64),
    FUZZ_SEED("BLAKE2b-64 (a)b) = " HEX16),
    FUZZ_SEED("XXH3 (x) = " HEX16),
    FUZZ_SEED("\\" HEX16 HEX16 "  a\\\\b\\r"),
    FUZZ_SEED("  XXH64 () = " HEX16),
    FUZZ_SEED(HEX16 "  a\n" HEX16 " a\nXXH64 (b) = " HEX16 "\n"),
    FUZZ_SEED("it's \"a\" name: \t\n\xc3\xa4{}#~$x"),
    FUZZ_SEED(""),
};

static void check_seeds(void)
{
    for (size_t i = 0; i < LINES; i++) {
        bool is_good = false;
        for (size_t k = 0; k < DIGESTS; k++) {
            enum sum_spacing spacing = SUM_SPACING_UNKNOWN;
            is_good |= check_line(&digests[k], seeds[i].data, seeds[i].size, &spacing);
        }
        fuzz_check(is_good, "a good line is refused");
    }
}

static const char special[] = " \t\n\r\0\\()=*-'\"$`0123456789abcdefSHABLKX{}#~:";

const struct fuzz_subject fuzz_subject = {
    .name = "sum_line_fuzz",
    .seeds = seeds,
    .seed_count = sizeof(seeds) / sizeof(seeds[0]),
    .special = special,
    .special_size = sizeof(special) - 1,
    .rounds = 50000,
    .check_seeds = check_seeds,
};
