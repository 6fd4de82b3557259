/* The steps are those of BERT's published tokenization.py; categories and decompositions are those
 * of the ICU in use. */
#include "text/subword/wordpiece_words.h"

#include <stdlib.h>
#include <string.h>

#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "text/metric/lowercase.h"
#include "text/metric/tokenizer.h"
#include "text/utf8.h"

#define MAX_LINE_BYTES ((size_t)1 << 26)

struct wordpiece_words {
    struct wordpiece_words_options options;
    struct lowercase *lowercase; /* owned; NULL: case stays */
    const UNormalizer2 *nfd;     /* borrowed from ICU */
    struct buffer clean;
    struct buffer lower;
    struct buffer spaced;
    struct buffer text;
    UChar *wide; /* [wide_capacity] owned; UTF-16 of lower, and behind it its decomposition */
    size_t wide_capacity;
};

enum status wordpiece_words_open(struct wordpiece_words **words,
                                 const struct wordpiece_words_options *options)
{
    *words = NULL;
    struct wordpiece_words *made = calloc(1, sizeof *made);
    if (made == NULL)
        return status_set(STATUS_MEMORY, "no memory to split text into words");
    made->options = *options;
    made->options.is_basic |= options->is_lowercase;
    enum status code = STATUS_OK;
    if (options->is_lowercase) {
        UErrorCode error = U_ZERO_ERROR;
        made->nfd = unorm2_getNFDInstance(&error);
        if (U_FAILURE(error))
            code = status_set(STATUS_FAILED, "cannot load Unicode's decompositions: %s",
                              u_errorName(error));
        else
            code = lowercase_open(&made->lowercase);
    }
    if (code < 0)
        wordpiece_words_close(made);
    else
        *words = made;
    return code;
}

void wordpiece_words_close(struct wordpiece_words *words)
{
    if (words == NULL)
        return;
    lowercase_close(words->lowercase);
    buffer_free(&words->clean);
    buffer_free(&words->lower);
    buffer_free(&words->spaced);
    buffer_free(&words->text);
    free(words->wide);
    free(words);
}

static bool is_in(uint32_t code_point, uint32_t first, uint32_t last)
{
    return code_point - first <= last - first;
}

/* Unicode's blocks of unified and compatibility ideographs as of 2018; kana and Hangul are written
 * with spaces or in words and are not among them. */
static bool is_chinese(uint32_t c)
{
    if (c < 0x3400)
        return false;
    return is_in(c, 0x4E00, 0x9FFF) || is_in(c, 0x3400, 0x4DBF) || is_in(c, 0x20000, 0x2A6DF) ||
           is_in(c, 0x2A700, 0x2B73F) || is_in(c, 0x2B740, 0x2B81F) || is_in(c, 0x2B820, 0x2CEAF) ||
           is_in(c, 0xF900, 0xFAFF) || is_in(c, 0x2F800, 0x2FA1F);
}

static bool is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return is_in(c, '!', '/') || is_in(c, ':', '@') || is_in(c, '[', '`') || is_in(c, '{', '~');
    return (U_GET_GC_MASK((UChar32)c) & U_GC_P_MASK) != 0;
}

/* Appends bytes [size] between two spaces. */
static enum status append_apart(struct buffer *buffer, const char *bytes, size_t size)
{
    enum status code = buffer_append(buffer, " ", 1);
    if (code == STATUS_OK)
        code = buffer_append(buffer, bytes, size);
    return code < 0 ? code : buffer_append(buffer, " ", 1);
}

/* What the clean-up does with a character. */
enum fate { FATE_KEPT, FATE_DROPPED, FATE_SPACE, FATE_APART };

static enum fate fate_of(uint32_t c)
{
    if (c == '\t' || c == '\n' || c == '\r' || c == ' ')
        return FATE_SPACE;
    if (is_in(c, '!', '~'))
        return FATE_KEPT;
    if (is_chinese(c))
        return FATE_APART;
    const uint32_t category = U_GET_GC_MASK((UChar32)c);
    if (c == 0 || c == UTF8_REPLACEMENT || (category & (U_GC_CC_MASK | U_GC_CF_MASK)) != 0)
        return FATE_DROPPED;
    return FATE_KEPT; /* other white space, too: it separates words in the end */
}

static enum status clean_up(struct buffer *clean, const char *line, size_t size)
{
    enum status code = STATUS_OK;
    for (size_t at = 0; at < size && code == STATUS_OK;) {
        const size_t start = at;
        switch (fate_of(utf8_next(line, size, &at))) {
        case FATE_DROPPED:
            break;
        case FATE_SPACE:
            code = buffer_append(clean, " ", 1);
            break;
        case FATE_APART:
            code = append_apart(clean, line + start, at - start);
            break;
        case FATE_KEPT:
            code = buffer_append(clean, line + start, at - start);
            break;
        }
    }
    return code;
}

static bool is_ascii(const struct buffer *text)
{
    for (size_t i = 0; i < text->size; i++) {
        if ((unsigned char)text->data[i] >= 0x80)
            return false;
    }
    return true;
}

/* Room for UTF-16 of a text and for its decomposition, which has at most 4 units (of U+0390 and
 * such) for one. */
static enum status reserve_wide(struct wordpiece_words *words, size_t n_units)
{
    const size_t wanted = 5 * n_units + 16;
    if (wanted <= words->wide_capacity)
        return STATUS_OK;
    UChar *wide = realloc(words->wide, wanted * sizeof *wide);
    if (wide == NULL)
        return status_set(STATUS_MEMORY, "no memory for a line of %zu bytes", n_units);
    words->wide = wide;
    words->wide_capacity = wanted;
    return STATUS_OK;
}

/* Replaces clean by text [size] without non-spacing marks. */
static enum status drop_marks(struct buffer *clean, const char *text, size_t size)
{
    buffer_clear(clean);
    enum status code = STATUS_OK;
    for (size_t at = 0; at < size && code == STATUS_OK;) {
        const size_t start = at;
        if (u_charType((UChar32)utf8_next(text, size, &at)) != U_NON_SPACING_MARK)
            code = buffer_append(clean, text + start, at - start);
    }
    return code;
}

/* Replaces words->clean by words->lower in canonical decomposition, without non-spacing marks. */
static enum status strip_accents(struct wordpiece_words *words)
{
    const struct buffer *lower = &words->lower;
    enum status code = reserve_wide(words, lower->size);
    if (code < 0)
        return code;
    const int32_t n_bytes = (int32_t)lower->size;
    UChar *parts = words->wide + lower->size + 1;
    const int32_t room = (int32_t)(words->wide_capacity - lower->size - 1);
    UErrorCode error = U_ZERO_ERROR;
    int32_t n_wide = 0, n_parts = 0, n_decomposed = 0;
    u_strFromUTF8(words->wide, n_bytes + 1, &n_wide, lower->data, n_bytes, &error);
    n_parts = unorm2_normalize(words->nfd, words->wide, n_wide, parts, room, &error);
    buffer_clear(&words->spaced);
    code = buffer_reserve(&words->spaced, 3 * (size_t)(n_parts > 0 ? n_parts : 0));
    if (code < 0)
        return code;
    u_strToUTF8(words->spaced.data, 3 * n_parts, &n_decomposed, parts, n_parts, &error);
    if (U_FAILURE(error))
        return status_set(STATUS_FAILED, "cannot decompose text: %s", u_errorName(error));
    return drop_marks(&words->clean, words->spaced.data, (size_t)n_decomposed);
}

static enum status lower_clean(struct wordpiece_words *words)
{
    if (is_ascii(&words->clean)) {
        for (size_t i = 0; i < words->clean.size; i++) {
            if (words->clean.data[i] >= 'A' && words->clean.data[i] <= 'Z')
                words->clean.data[i] = (char)(words->clean.data[i] + ('a' - 'A'));
        }
        return STATUS_OK;
    }
    buffer_clear(&words->lower);
    const enum status code =
        lowercase_append(words->lowercase, &words->lower, words->clean.data, words->clean.size);
    return code < 0 ? code : strip_accents(words);
}

static enum status split_punctuation(struct buffer *spaced, const struct buffer *clean)
{
    enum status code = STATUS_OK;
    for (size_t at = 0; at < clean->size && code == STATUS_OK;) {
        const size_t start = at;
        if (is_punctuation(utf8_next(clean->data, clean->size, &at)))
            code = append_apart(spaced, clean->data + start, at - start);
        else
            code = buffer_append(spaced, clean->data + start, at - start);
    }
    return code;
}

enum status wordpiece_words_split(struct wordpiece_words *words, const char *line, size_t size,
                                  const struct buffer **text)
{
    *text = &words->text;
    buffer_clear(&words->text);
    if (!words->options.is_basic)
        return tokenizer_none(&words->text, line, size);
    if (size > MAX_LINE_BYTES)
        return status_set(STATUS_DATA, "a line of %zu bytes is too long (at most %zu)", size,
                          MAX_LINE_BYTES);
    buffer_clear(&words->clean);
    enum status code = clean_up(&words->clean, line, size);
    if (code == STATUS_OK && words->lowercase != NULL)
        code = lower_clean(words);
    buffer_clear(&words->spaced);
    if (code == STATUS_OK)
        code = split_punctuation(&words->spaced, &words->clean);
    if (code == STATUS_OK)
        code = tokenizer_none(&words->text, words->spaced.data, words->spaced.size);
    return code;
}
