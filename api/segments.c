/* Cutting long lines. */
#include "api/segments.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"

static const char word_start[] = "\xE2\x96\x81"; /* U+2581, how SentencePiece writes a space */

/* True when a piece ends with one of the marks, a NULL-terminated list. */
static bool ends_with(const char *piece, const char *const *marks)
{
    const size_t length = strlen(piece);
    for (; *marks; marks++) {
        const size_t mark = strlen(*marks);
        if (length >= mark && strcmp(piece + length - mark, *marks) == 0)
            return true;
    }
    return false;
}

static bool starts_word(const struct subword *subword, int32_t id)
{
    return strncmp(subword_piece(subword, id), word_start, strlen(word_start)) == 0;
}

size_t segments_cut(const struct subword *subword, const int32_t *ids, size_t n, size_t max_len)
{
    static const char *const sentence_ends[] = {
        ".", "!", "?", "\xE2\x80\xA6", "\xE3\x80\x82", "\xEF\xBC\x81", "\xEF\xBC\x9F", NULL};
    static const char *const clause_ends[] = {",", ";", ":", "\xE3\x80\x81", "\xEF\xBC\x8C", NULL};
    static const char *const *const marks[] = {sentence_ends, clause_ends};
    CHECK(n > max_len && max_len > 0, "%zu pieces, %zu allowed", n, max_len);
    const size_t earliest = max_len / 2 > 0 ? max_len / 2 : 1;
    for (size_t kind = 0; kind < sizeof marks / sizeof *marks; kind++)
        for (size_t cut = max_len; cut >= earliest; cut--)
            if (ends_with(subword_piece(subword, ids[cut - 1]), marks[kind]) &&
                starts_word(subword, ids[cut]))
                return cut;
    for (size_t cut = max_len; cut >= earliest; cut--)
        if (starts_word(subword, ids[cut]))
            return cut;
    return max_len;
}

static enum status add_segment(struct segments *segments, const struct subword *subword,
                               size_t line, const int32_t *ids, size_t n)
{
    if (segments->count == segments->capacity) {
        const size_t capacity = segments->capacity ? 2 * segments->capacity : 256;
        struct segment *items = realloc(segments->items, capacity * sizeof *items);
        if (!items)
            return status_set(STATUS_MEMORY, "no memory for %zu segments", capacity);
        segments->items = items;
        segments->capacity = capacity;
    }
    const size_t start = segments->ids.size;
    enum status status = STATUS_OK;
    if (segments->prefix >= 0)
        status = ids_push(&segments->ids, segments->prefix);
    if (status >= 0)
        status = ids_append(&segments->ids, ids, n);
    if (status >= 0)
        status = ids_push(&segments->ids, subword_eos_id(subword));
    if (status >= 0)
        segments->items[segments->count++] =
            (struct segment){.line = line, .start = start, .length = segments->ids.size - start};
    return status;
}

enum status segments_add(struct segments *segments, const struct subword *subword, size_t line,
                         const struct subword_text *text, size_t max_len, size_t *n_added)
{
    *n_added = 0;
    ids_clear(&segments->scratch);
    enum status status = subword_encode(subword, text->bytes, text->size, &segments->scratch);
    const int32_t *ids = segments->scratch.data;
    for (size_t left = segments->scratch.size; left > 0 && status >= 0; (*n_added)++) {
        const size_t n = left <= max_len ? left : segments_cut(subword, ids, left, max_len);
        status = add_segment(segments, subword, line, ids, n);
        ids += n;
        left -= n;
    }
    return status;
}

void segments_clear(struct segments *segments)
{
    ids_clear(&segments->ids);
    segments->count = 0;
}

void segments_free(struct segments *segments)
{
    ids_free(&segments->ids);
    ids_free(&segments->scratch);
    free(segments->items);
    *segments = (struct segments){0};
}
