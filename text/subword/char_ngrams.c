#include "text/subword/char_ngrams.h"

#include <stdlib.h>
#include <string.h>

#include "text/subword/bpe_text.h"
#include "text/utf8.h"

/* The next word of a text, from *at on; its size is 0 at the end. */
static const char *next_word(const char *bytes, size_t size, size_t *at, size_t *word_size)
{
    size_t space = 0;
    while ((space = bpe_space_bytes(bytes + *at, size - *at, false)) > 0)
        *at += space;
    const char *word = bytes + *at;
    while (*at < size && bpe_space_bytes(bytes + *at, size - *at, false) == 0)
        ++*at;
    *word_size = (size_t)(bytes + *at - word);
    return word;
}

static enum status add_word(struct char_ngrams *ngrams, const char *word, size_t size, int64_t rank)
{
    int32_t number = 0;
    const enum status status = strings_add(&ngrams->words, word, size, &number);
    if (status < 0)
        return status;
    if ((size_t)number >= ngrams->capacity) {
        const size_t capacity = ngrams->capacity ? 2 * ngrams->capacity : 64;
        int64_t *grown = realloc(ngrams->ranks, capacity * sizeof *grown);
        if (grown == NULL)
            return status_set(STATUS_MEMORY, "no memory for %zu words", capacity);
        ngrams->ranks = grown;
        ngrams->capacity = capacity;
    }
    ngrams->ranks[number] = rank;
    return STATUS_OK;
}

enum status char_ngrams_read(struct char_ngrams *ngrams, struct lines *lines)
{
    struct line line;
    int64_t rank = 0;
    lines_set_verbatim(lines);
    enum status status = lines_next(lines, &line);
    while (status == STATUS_OK && line.bytes != NULL) {
        size_t at = 0, size = 0, second_size = 0, third_size = 0;
        const char *word = next_word(line.bytes, line.size, &at, &size);
        next_word(line.bytes, line.size, &at, &second_size);
        next_word(line.bytes, line.size, &at, &third_size);
        if (second_size > 0 && third_size == 0)
            status = add_word(ngrams, word, size, rank++);
        if (status == STATUS_OK)
            status = lines_next(lines, &line);
    }
    return status;
}

static enum status put_word(const struct char_ngrams *ngrams, const char *word, size_t size,
                            struct buffer *output)
{
    const int32_t number = strings_find(&ngrams->words, word, size);
    const bool is_whole = number >= 0 && ngrams->ranks[number] <= ngrams->shortlist;
    enum status status = STATUS_OK;
    for (size_t at = 0; at < size && status == STATUS_OK;) {
        const size_t start = at;
        for (int64_t i = 0; at < size && (is_whole || i < ngrams->length); i++)
            utf8_next(word, size, &at);
        status = buffer_append(output, word + start, at - start);
        if (status == STATUS_OK && at < size)
            status = buffer_append_string(output, ngrams->separator);
        if (status == STATUS_OK)
            status = buffer_append(output, " ", 1);
    }
    return status;
}

enum status char_ngrams_apply(const struct char_ngrams *ngrams, const char *bytes, size_t size,
                              struct buffer *output)
{
    enum status status = STATUS_OK;
    size_t at = 0, word_size = 0;
    const char *word = next_word(bytes, size, &at, &word_size);
    while (word_size > 0 && status == STATUS_OK) {
        status = put_word(ngrams, word, word_size, output);
        word = next_word(bytes, size, &at, &word_size);
    }
    return status;
}

void char_ngrams_free(struct char_ngrams *ngrams)
{
    strings_free(&ngrams->words);
    free(ngrams->ranks);
    *ngrams = (struct char_ngrams){0};
}
