/* Three steps: code points are dropped or exchanged, ICU normalises, and white space is joined
 * (last, since compatibility forms may decompose to spaces). Plain ASCII needs only the last. */
#include "text/prep/clean.h"

#include <stdlib.h>
#include <string.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/ustring.h>

#include "text/utf8.h"

struct cleaner {
    struct clean_options options;
    const UNormalizer2 *normalizer; /* NULL: as it is; ICU's own */
    struct buffer exchanged;        /* after the first step */
    struct buffer normalized;       /* after the second */
    struct buffer before;           /* UTF-16 */
    struct buffer after;            /* UTF-16 */
};

enum status cleaner_open(struct cleaner **cleaner, const struct clean_options *options)
{
    *cleaner = NULL;
    struct cleaner *opened = calloc(1, sizeof *opened);
    if (opened == NULL)
        return status_set(STATUS_MEMORY, "no memory to clean text");
    opened->options = *options;
    UErrorCode code = U_ZERO_ERROR;
    if (options->form == CLEAN_NFC)
        opened->normalizer = unorm2_getNFCInstance(&code);
    else if (options->form == CLEAN_NFKC)
        opened->normalizer = unorm2_getNFKCInstance(&code);
    if (U_FAILURE(code)) {
        cleaner_close(opened);
        return status_set(STATUS_FAILED, "cannot load Unicode's normalisation: %s",
                          u_errorName(code));
    }
    *cleaner = opened;
    return STATUS_OK;
}

void cleaner_close(struct cleaner *cleaner)
{
    if (cleaner == NULL)
        return;
    buffer_free(&cleaner->exchanged);
    buffer_free(&cleaner->normalized);
    buffer_free(&cleaner->before);
    buffer_free(&cleaner->after);
    free(cleaner);
}

/* Invisible code points that carry nothing a translation needs (clean.h lists them). */
static bool is_dropped(uint32_t code_point)
{
    if (code_point < 0x20 || (code_point >= 0x7F && code_point < 0xA0))
        return true;
    switch (code_point) {
    case 0x00AD: /* soft hyphen */
    case 0x200B: /* zero-width space */
    case 0x2060: /* word joiner */
    case 0xFEFF: /* byte order mark */
        return true;
    default:
        return (code_point >= 0x202A && code_point <= 0x202E) ||
               (code_point >= 0x2066 && code_point <= 0x2069) ||
               (code_point >= 0xFFF9 && code_point <= 0xFFFB) || U_IS_UNICODE_NONCHAR(code_point);
    }
}

/* What a code point of typographic punctuation stands for, or NULL. */
static const char *plain_punctuation(uint32_t code_point)
{
    switch (code_point) {
    case 0x2018: /* single quotation marks, prime */
    case 0x2019:
    case 0x201A:
    case 0x201B:
    case 0x2032:
        return "'";
    case 0x00AB: /* double quotation marks, guillemets, double prime */
    case 0x00BB:
    case 0x201C:
    case 0x201D:
    case 0x201E:
    case 0x201F:
    case 0x2033:
        return "\"";
    case 0x2010: /* hyphens and dashes, minus */
    case 0x2011:
    case 0x2012:
    case 0x2013:
    case 0x2014:
    case 0x2015:
    case 0x2212:
        return "-";
    case 0x2026:
        return "...";
    default:
        return NULL;
    }
}

/* Full-width forms of ASCII, as Chinese and Japanese text has them. */
static bool is_full_width(uint32_t code_point)
{
    return code_point >= 0xFF01 && code_point <= 0xFF5E;
}

/* What a code point is exchanged for, or NULL where it stays; full_width has room for a letter. */
static const char *exchange_for(const struct clean_options *options, uint32_t code_point,
                                char full_width[2])
{
    if (!options->keeps_space && u_isUWhiteSpace((UChar32)code_point))
        return " ";
    if (!options->keeps_space && is_dropped(code_point))
        return "";
    if (!options->unifies_punctuation)
        return NULL;
    if (!is_full_width(code_point))
        return plain_punctuation(code_point);
    full_width[0] = (char)(code_point - 0xFF01 + '!');
    full_width[1] = '\0';
    return full_width;
}

/* True where nothing but printable ASCII is. A sum without a way out, for the compiler to do many
 * bytes at once. */
static bool is_plain(const char *bytes, size_t size)
{
    unsigned char others = 0;
    for (size_t i = 0; i < size; i++)
        others |= (unsigned char)((bytes[i] < ' ') | (bytes[i] > '~'));
    return others == 0;
}

/* Drops and exchanges code points; white space becomes spaces, joined later. Points *text and
 * *text_size to the result: they stay where there is nothing to do. */
static enum status exchange(struct cleaner *cleaner, const char **text, size_t *text_size)
{
    const char *bytes = *text;
    const size_t size = *text_size;
    struct buffer *output = &cleaner->exchanged;
    if (is_plain(bytes, size))
        return STATUS_OK;
    buffer_clear(output);
    enum status status = STATUS_OK;
    size_t kept = 0; /* where the bytes begin that are not copied yet */
    for (size_t offset = 0; offset < size && status == STATUS_OK;) {
        if (bytes[offset] >= ' ' && bytes[offset] <= '~') {
            offset++;
            continue;
        }
        const size_t start = offset;
        char full_width[2];
        const uint32_t code_point = utf8_next(bytes, size, &offset);
        const char *other = exchange_for(&cleaner->options, code_point, full_width);
        if (other == NULL)
            continue;
        status = buffer_append(output, bytes + kept, start - kept);
        if (status == STATUS_OK)
            status = buffer_append_string(output, other);
        kept = offset;
    }
    if (status < 0 || kept == 0)
        return status;
    status = buffer_append(output, bytes + kept, size - kept);
    *text = output->data;
    *text_size = output->size;
    return status;
}

/* True where a text can be seen to be in the form already: below U+0300 nothing composes, and in
 * ASCII nothing has a compatibility form. */
static bool is_surely_normal(enum clean_form form, const char *bytes, size_t size)
{
    const unsigned char first = form == CLEAN_NFC ? 0xCC : 0x80; /* 0xCC starts U+0300 */
    unsigned char largest = 0;
    for (size_t i = 0; i < size; i++)
        largest = (unsigned char)bytes[i] > largest ? (unsigned char)bytes[i] : largest;
    return form == CLEAN_AS_IS || largest < first;
}

static enum status icu_failed(UErrorCode code)
{
    if (code == U_MEMORY_ALLOCATION_ERROR)
        return status_set(STATUS_MEMORY, "no memory to normalise text");
    return status_set(STATUS_FAILED, "cannot normalise text: %s", u_errorName(code));
}

/* Normalises `before`, n UTF-16 units, into `after`; returns the units in *n. */
static enum status normalize_units(struct cleaner *cleaner, int32_t *n)
{
    const int32_t n_before = *n;
    int64_t room = (int64_t)n_before + n_before / 4 + 16;
    for (;;) {
        if (room > INT32_MAX)
            room = INT32_MAX;
        buffer_clear(&cleaner->after);
        const enum status status = buffer_reserve(&cleaner->after, (size_t)room * sizeof(UChar));
        if (status < 0)
            return status;
        UErrorCode code = U_ZERO_ERROR;
        *n = unorm2_normalize(cleaner->normalizer, (const UChar *)cleaner->before.data, n_before,
                              (UChar *)cleaner->after.data, (int32_t)room, &code);
        if (code == U_BUFFER_OVERFLOW_ERROR && *n > room) {
            room = *n;
            continue;
        }
        return U_FAILURE(code) ? icu_failed(code) : STATUS_OK;
    }
}

/* Makes UTF-8 of `after`, n units, in `normalized`. */
static enum status encode_units(struct cleaner *cleaner, int32_t n)
{
    buffer_clear(&cleaner->normalized);
    enum status status = buffer_reserve(&cleaner->normalized, (size_t)n * 3);
    if (status < 0)
        return status;
    int32_t size = 0;
    UErrorCode code = U_ZERO_ERROR;
    const int64_t room = (int64_t)n * 3;
    u_strToUTF8(cleaner->normalized.data, room > INT32_MAX ? INT32_MAX : (int32_t)room, &size,
                (const UChar *)cleaner->after.data, n, &code);
    if (U_FAILURE(code))
        return code == U_BUFFER_OVERFLOW_ERROR
                   ? status_set(STATUS_DATA, "a line is too long to be normalised")
                   : icu_failed(code);
    cleaner->normalized.size = (size_t)size;
    return STATUS_OK;
}

/* Points *bytes, *size to the text in its normal form: to itself where it is. */
static enum status normalize(struct cleaner *cleaner, const char **bytes, size_t *size)
{
    if (is_surely_normal(cleaner->options.form, *bytes, *size))
        return STATUS_OK;
    if (*size > INT32_MAX / 4)
        return status_set(STATUS_DATA, "a line of %zu bytes is too long to be normalised", *size);
    buffer_clear(&cleaner->before);
    enum status status = buffer_reserve(&cleaner->before, (*size + 1) * sizeof(UChar));
    if (status < 0)
        return status;
    int32_t n = 0;
    UErrorCode code = U_ZERO_ERROR;
    u_strFromUTF8((UChar *)cleaner->before.data, (int32_t)*size + 1, &n, *bytes, (int32_t)*size,
                  &code);
    if (U_FAILURE(code))
        return icu_failed(code);
    code = U_ZERO_ERROR;
    const UChar *units = (const UChar *)cleaner->before.data;
    const int32_t normal = unorm2_spanQuickCheckYes(cleaner->normalizer, units, n, &code);
    if (U_SUCCESS(code) && normal == n)
        return STATUS_OK;
    status = normalize_units(cleaner, &n);
    if (status == STATUS_OK)
        status = encode_units(cleaner, n);
    if (status < 0)
        return status;
    *bytes = cleaner->normalized.data;
    *size = cleaner->normalized.size;
    return STATUS_OK;
}

/* True where spaces are single, and none at the ends. */
static bool is_joined(const char *bytes, size_t size)
{
    unsigned char doubles = 0;
    for (size_t i = 1; i < size; i++)
        doubles |= (unsigned char)((bytes[i - 1] == ' ') & (bytes[i] == ' '));
    return size == 0 || (doubles == 0 && bytes[0] != ' ' && bytes[size - 1] != ' ');
}

/* Appends the text with single spaces between what is not a space. */
static enum status append_joined(const char *bytes, size_t size, struct buffer *output)
{
    if (is_joined(bytes, size))
        return buffer_append(output, bytes, size);
    const enum status status = buffer_reserve(output, size);
    if (status < 0)
        return status;
    char *place = output->data + output->size;
    const char *start = place;
    for (size_t i = 0; i < size; i++) {
        if (bytes[i] != ' ')
            *place++ = bytes[i];
        else if (place > start && place[-1] != ' ')
            *place++ = ' ';
    }
    if (place > start && place[-1] == ' ')
        place--;
    *place = '\0';
    output->size = (size_t)(place - output->data);
    return STATUS_OK;
}

enum status clean_line(struct cleaner *cleaner, const char *bytes, size_t size,
                       struct buffer *output, bool *is_changed)
{
    const struct clean_options *options = &cleaner->options;
    const char *text = bytes;
    size_t text_size = size;
    enum status status = STATUS_OK;
    if (!options->keeps_space || options->unifies_punctuation) {
        status = exchange(cleaner, &text, &text_size);
    }
    if (status == STATUS_OK)
        status = normalize(cleaner, &text, &text_size);
    const size_t before = output->size;
    if (status == STATUS_OK)
        status = options->keeps_space ? buffer_append(output, text, text_size)
                                      : append_joined(text, text_size, output);
    if (status < 0)
        return status;
    const size_t written = output->size - before;
    *is_changed = written != size || (size > 0 && memcmp(output->data + before, bytes, size) != 0);
    return STATUS_OK;
}
