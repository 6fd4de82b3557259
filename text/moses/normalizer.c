/* Punctuation as normalize-punctuation.perl leaves it. The order of the edits decides much of the
 * result, so each one is a pass over the line; most end at once, as their first byte is not there.
 *
 * The script works on bytes: its digits, letters and spaces are ASCII's. It sees the line end as a
 * character after the last one, and so does move_dots_out(). */
#include <string.h>

#include "text/moses/step.h"

#define NBSP "\xC2\xA0" /* U+00A0 */

enum { NBSP_SIZE = 2, WIDE_QUOTE_SIZE = 3 };

/* Brackets, then what follows them. */
static const struct literal brackets[] = {
    LITERAL("\r", "", 0),
    LITERAL("(", " (", 0),
    LITERAL(")", ") ", 0),
};
static const struct literal inside_brackets[] = {LITERAL("( ", "(", 0), LITERAL(" )", ")", 1)};
static const struct literal ascii_marks[] = {
    LITERAL(" :", ":", 1),
    LITERAL(" ;", ";", 1),
    LITERAL("`", "'", 0),
    LITERAL("''", " \" ", 0),
};

/* Double quotes of all languages, dashes, the acute accent. */
static const struct literal wide_marks[] = {
    LITERAL("\u201E", "\"", 0), LITERAL("\u201C", "\"", 0),  LITERAL("\u201D", "\"", 0),
    LITERAL("\u2013", "-", 0),  LITERAL("\u2014", " - ", 0),
};
static const struct literal acute[] = {LITERAL("\u00B4", "'", 0)};

/* Single quotes that are not inside a word. */
static const struct literal single_quotes[] = {
    LITERAL("\u2018", "'", 0),
    LITERAL("\u201A", "'", 0),
    LITERAL("\u2019", "\"", 0),
};
static const struct literal single_quotes_release_4[] = {
    LITERAL("\u2018", "\"", 0),
    LITERAL("\u201A", "\"", 0),
    LITERAL("\u2019", "\"", 0),
};
static const struct literal doubled_quote[] = {LITERAL("''", "\"", 0)};

/* The ellipsis, French quotes, and the no-break spaces before and after marks and units. */
static const struct literal wide_spaces[] = {
    LITERAL("\u2026", "...", 0),
    LITERAL(NBSP "\u00AB" NBSP, " \"", 0),
    LITERAL("\u00AB" NBSP, "\"", 0),
    LITERAL("\u00AB", "\"", 0),
    LITERAL(NBSP "\u00BB" NBSP, "\" ", 0),
    LITERAL(NBSP "\u00BB", "\"", 0),
    LITERAL("\u00BB", "\"", 0),
    LITERAL(NBSP "%", "%", 0),
    LITERAL("n\u00BA" NBSP, "n\u00BA ", 1),
    LITERAL(NBSP ":", ":", 0),
    LITERAL(NBSP "\u00BAC", " \u00BAC", 0),
    LITERAL(NBSP "cm", " cm", 0),
    LITERAL(NBSP "?", "?", 0),
    LITERAL(NBSP "!", "!", 0),
    LITERAL(NBSP ";", ";", 0),
    LITERAL("," NBSP, ", ", 1),
};
static const struct literal comma_quote[] = {LITERAL(",\"", "\",", 1)};

/* A line on its way, and which bytes may be in it: those that are, and those that the edits above
 * make. */
struct normalizer {
    struct moses_work *work;
    bool has[UINT8_MAX + 1];
};

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_letter(char byte)
{
    return (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
}

static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

static void note_bytes(struct normalizer *normalizer)
{
    static const char made[] = " \"'-.,";
    const struct buffer *text = &normalizer->work->text;
    for (size_t i = 0; i < text->size; i++)
        normalizer->has[(uint8_t)text->data[i]] = true;
    for (size_t i = 0; i < sizeof made - 1; i++)
        normalizer->has[(uint8_t)made[i]] = true;
}

#define REPLACE_ALL(normalizer, list)                                                              \
    replace_all(normalizer, list, sizeof(list) / sizeof((list)[0]))

static enum status replace_all(const struct normalizer *normalizer, const struct literal *list,
                               size_t n)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        if (normalizer->has[(uint8_t)list[i].from[list[i].anchor]])
            status = edit_literal(normalizer->work, &list[i]);
    }
    return status;
}

/* The first place at or after offset with the byte; size where there is none. */
static size_t find_byte(const struct buffer *text, size_t offset, char byte)
{
    const char *found =
        offset < text->size ? memchr(text->data + offset, byte, text->size - offset) : NULL;
    return found ? (size_t)(found - text->data) : text->size;
}

static size_t run_length(const struct buffer *text, size_t offset, char byte)
{
    size_t end = offset;
    while (end < text->size && text->data[end] == byte)
        end++;
    return end - offset;
}

static bool has_double_space(const struct buffer *text)
{
    unsigned found = 0;
    for (size_t i = 1; i < text->size; i++)
        found |= (text->data[i] == ' ') & (text->data[i - 1] == ' ');
    return found != 0;
}

/* Runs of spaces become one. */
static enum status squeeze(struct moses_work *work)
{
    struct edit edit = {.work = work};
    const struct buffer *text = &work->text;
    enum status status = STATUS_OK;
    if (!has_double_space(text))
        return STATUS_OK;
    size_t offset = find_byte(text, 0, ' ');
    while (offset < text->size && status == STATUS_OK) {
        const size_t length = run_length(text, offset, ' ');
        if (length > 1)
            status = edit_replace(&edit, offset + 1, offset + length, "", 0);
        offset = find_byte(text, offset + length, ' ');
    }
    return status < 0 ? status : edit_finish(&edit);
}

/* ") ," becomes "),"; so with . ! : ? and ; */
static enum status close_up_brackets(struct moses_work *work)
{
    struct edit edit = {.work = work};
    const struct buffer *text = &work->text;
    enum status status = STATUS_OK;
    size_t offset = find_byte(text, 0, ')');
    while (offset + 2 < text->size && status == STATUS_OK) {
        const char mark = text->data[offset + 2];
        if (text->data[offset + 1] == ' ' && mark != '\0' && strchr(".!:?;,", mark))
            status = edit_replace(&edit, offset + 1, offset + 2, "", 0);
        offset = find_byte(text, offset + 1, ')');
    }
    return status < 0 ? status : edit_finish(&edit);
}

/* "5 %" becomes "5%". */
static enum status close_up_percent(struct moses_work *work)
{
    struct edit edit = {.work = work};
    const struct buffer *text = &work->text;
    enum status status = STATUS_OK;
    size_t offset = find_byte(text, 0, '%');
    while (offset < text->size && status == STATUS_OK) {
        if (offset >= 2 && text->data[offset - 1] == ' ' && is_digit(text->data[offset - 2]))
            status = edit_replace(&edit, offset - 1, offset, "", 0);
        offset = find_byte(text, offset + 1, '%');
    }
    return status < 0 ? status : edit_finish(&edit);
}

typedef bool byte_test(char byte);

/* Puts to in the place of from [size] between two bytes that pass the test. The second of them is
 * used up: of "1_2_3" only the first mark is replaced. */
static enum status replace_between(struct moses_work *work, byte_test *test, const char *from,
                                   size_t size, const char *to)
{
    struct edit edit = {.work = work};
    const struct buffer *text = &work->text;
    enum status status = STATUS_OK;
    size_t offset = find_byte(text, 0, from[0]), free_from = 0;
    while (offset + size < text->size && status == STATUS_OK) {
        const char *mark = text->data + offset;
        size_t next = offset + 1;
        if (offset > free_from && memcmp(mark, from, size) == 0 && test(mark[-1]) &&
            test(mark[size])) {
            next = offset + size;
            free_from = next + 1;
            status = edit_replace(&edit, offset, next, to, strlen(to));
        }
        offset = find_byte(text, next, from[0]);
    }
    return status < 0 ? status : edit_finish(&edit);
}

/* English: a closing quote goes behind the commas and dots after it. */
static enum status move_quotes_out(struct moses_work *work)
{
    struct edit edit = {.work = work};
    const struct buffer *text = &work->text;
    enum status status = STATUS_OK;
    size_t offset = find_byte(text, 0, '"');
    while (offset < text->size && status == STATUS_OK) {
        size_t end = offset + 1;
        while (end < text->size && (text->data[end] == ',' || text->data[end] == '.'))
            end++;
        if (end > offset + 1)
            status = edit_replace(&edit, offset, offset + 1, "", 0);
        if (end > offset + 1 && status == STATUS_OK)
            status = edit_replace(&edit, end, end, "\"", 1);
        offset = find_byte(text, end, '"');
    }
    return status < 0 ? status : edit_finish(&edit);
}

/* A quote before offset is moved over where spaces follow and then anything but '<', or at least
 * one space; what follows is used up. Returns where that ends, 0 where the quote stays. */
static size_t end_after_quote(const struct buffer *text, size_t offset)
{
    size_t end = offset;
    while (end < text->size && is_space(text->data[end]))
        end++;
    if (end == text->size) /* the line end is a space, too */
        return end;
    if (text->data[end] != '<')
        return end + 1;
    return end > offset ? end : 0;
}

/* German and French: dots before a closing quote go behind it. */
static enum status move_dots_out(struct moses_work *work)
{
    struct edit edit = {.work = work};
    const struct buffer *text = &work->text;
    enum status status = STATUS_OK;
    size_t offset = find_byte(text, 0, '.');
    while (offset < text->size && status == STATUS_OK) {
        const size_t quote = offset + run_length(text, offset, '.');
        size_t next = quote;
        if (quote < text->size && text->data[quote] == '"')
            next = end_after_quote(text, quote + 1);
        if (next > quote) {
            status = edit_replace(&edit, offset, offset, "\"", 1);
            if (status == STATUS_OK)
                status = edit_replace(&edit, quote, quote + 1, "", 0);
        }
        offset = find_byte(text, next > quote ? next : quote + 1, '.');
    }
    return status < 0 ? status : edit_finish(&edit);
}

static enum status normalize_ascii(const struct normalizer *normalizer)
{
    enum status status = REPLACE_ALL(normalizer, brackets);
    if (status == STATUS_OK)
        status = squeeze(normalizer->work);
    if (status == STATUS_OK && normalizer->has[')'])
        status = close_up_brackets(normalizer->work);
    if (status == STATUS_OK)
        status = REPLACE_ALL(normalizer, inside_brackets);
    if (status == STATUS_OK && normalizer->has['%'])
        status = close_up_percent(normalizer->work);
    if (status == STATUS_OK)
        status = REPLACE_ALL(normalizer, ascii_marks);
    return status;
}

static enum status normalize_wide_quotes(const struct normalizer *normalizer, bool is_release_4)
{
    struct moses_work *work = normalizer->work;
    enum status status = REPLACE_ALL(normalizer, wide_marks);
    if (status == STATUS_OK)
        status = squeeze(work);
    if (status == STATUS_OK)
        status = REPLACE_ALL(normalizer, acute);
    if (status == STATUS_OK)
        status = replace_between(work, is_letter, "\u2018", WIDE_QUOTE_SIZE, "'");
    if (status == STATUS_OK)
        status = replace_between(work, is_letter, "\u2019", WIDE_QUOTE_SIZE, "'");
    if (status < 0)
        return status;
    return is_release_4 ? REPLACE_ALL(normalizer, single_quotes_release_4)
                        : REPLACE_ALL(normalizer, single_quotes);
}

enum status moses_normalize(const struct moses *moses, struct moses_work *work)
{
    struct normalizer normalizer = {.work = work};
    note_bytes(&normalizer);
    const bool is_english = moses->options.language == MOSES_ENGLISH;
    const bool is_release_4 = moses->options.release == MOSES_RELEASE_4;
    const bool has_wide = normalizer.has[0xC2] || normalizer.has[0xE2];
    enum status status = normalize_ascii(&normalizer);
    if (status == STATUS_OK && has_wide)
        status = normalize_wide_quotes(&normalizer, is_release_4);
    if (status == STATUS_OK)
        status = REPLACE_ALL(&normalizer, doubled_quote);
    if (status == STATUS_OK && has_wide)
        status = REPLACE_ALL(&normalizer, wide_spaces);
    if (status == STATUS_OK)
        status = squeeze(work);
    if (status == STATUS_OK && !is_english)
        status = REPLACE_ALL(&normalizer, comma_quote);
    if (status == STATUS_OK)
        status = is_english ? move_quotes_out(work) : move_dots_out(work);
    if (status == STATUS_OK && has_wide)
        status = replace_between(work, is_digit, NBSP, NBSP_SIZE, is_english ? "." : ",");
    return status;
}
