/* Words are numbered strings; their counts stand beside. */
#include "text/subword/bpe_counts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text/subword/bpe_text.h"
#include "text/utf8.h"

/* Beyond it the learner's comparisons in double would not be exact. */
#define MAX_WEIGHT 0x1p53

static enum status reserve(struct bpe_counts *counts)
{
    if ((size_t)counts->words.size < counts->capacity)
        return STATUS_OK;
    const size_t capacity = counts->capacity ? 2 * counts->capacity : 64;
    int64_t *grown = realloc(counts->counts, capacity * sizeof *grown);
    if (grown == NULL)
        return status_set(STATUS_MEMORY, "no memory for the counts of %zu words", capacity);
    counts->counts = grown;
    counts->capacity = capacity;
    return STATUS_OK;
}

enum status bpe_counts_add(struct bpe_counts *counts, const char *word, size_t size, int64_t n)
{
    const int32_t n_words = counts->words.size;
    int32_t number = 0;
    enum status status = reserve(counts);
    if (status == STATUS_OK)
        status = strings_add(&counts->words, word, size, &number);
    if (status < 0)
        return status;
    if (number == n_words)
        counts->counts[number] = 0;
    counts->weight += ((double)size + BPE_WORD_END_BYTES) * (n < 0 ? -(double)n : (double)n);
    if (counts->weight > MAX_WEIGHT)
        return status_set(STATUS_DATA, "the counts of the words are too large");
    counts->counts[number] += n;
    return STATUS_OK;
}

enum status bpe_counts_add_line(struct bpe_counts *counts, const char *bytes, size_t size,
                                bool is_bytes)
{
    enum status status = STATUS_OK;
    if (is_bytes)
        bpe_strip(&bytes, &size);
    size_t start = 0;
    for (size_t i = 0; i <= size && status == STATUS_OK; i++) {
        if (i < size && bytes[i] != ' ' && (is_bytes || bytes[i] != '\r'))
            continue;
        if (i > start)
            status = bpe_counts_add(counts, bytes + start, i - start, 1);
        start = i + 1;
    }
    return status;
}

static enum status add_entry(struct bpe_counts *counts, const char *bytes, size_t size)
{
    const char *word = NULL;
    size_t word_size = 0;
    int64_t n = 0;
    if (!bpe_read_entry(bytes, size, &word, &word_size, &n))
        return status_set(STATUS_DATA, "wanted a word, a space and its count, found '%.*s'",
                          size > 60 ? 60 : (int)size, bytes);
    return bpe_counts_add(counts, word, word_size, n);
}

enum status bpe_counts_read(struct bpe_counts *counts, struct lines *lines, enum bpe_input input,
                            bool is_bytes)
{
    struct buffer repaired = {0};
    struct line line = {.bytes = ""};
    int64_t n_bad = 0;
    lines_set_verbatim(lines);
    enum status status = lines_next(lines, &line);
    while (status == STATUS_OK && line.bytes != NULL) {
        const bool is_bad = lines_so_far(lines)->bad_utf8.count > n_bad && !is_bytes;
        n_bad = lines_so_far(lines)->bad_utf8.count;
        if (is_bad) {
            size_t n_repairs = 0;
            buffer_clear(&repaired);
            status = utf8_repair(&repaired, line.bytes, line.size, &n_repairs);
            line.bytes = repaired.data;
            line.size = repaired.size;
        }
        if (status == STATUS_OK)
            status = input == BPE_INPUT_TEXT
                         ? bpe_counts_add_line(counts, line.bytes, line.size, is_bytes)
                         : add_entry(counts, line.bytes, line.size);
        if (status < 0)
            status_set(status, "%s:%" PRId64 ": %s", lines_name(lines), line.number,
                       status_message());
        else
            status = lines_next(lines, &line);
    }
    buffer_free(&repaired);
    return status;
}

enum status bpe_counts_merge(struct bpe_counts *counts, const struct bpe_counts *more)
{
    enum status status = STATUS_OK;
    for (int32_t i = 0; i < more->words.size && status == STATUS_OK; i++) {
        size_t size = 0;
        const char *word = strings_get(&more->words, i, &size);
        status = bpe_counts_add(counts, word, size, more->counts[i]);
    }
    return status;
}

static bool has_inner_line_end(const struct bpe_counts *counts)
{
    for (int32_t i = 0; i < counts->words.size; i++) {
        size_t size = 0;
        const char *word = strings_get(&counts->words, i, &size);
        if (bpe_line_bytes(word, size) < size)
            return true;
    }
    return false;
}

enum status bpe_counts_cut_lines(struct bpe_counts *counts)
{
    if (!has_inner_line_end(counts))
        return STATUS_OK;
    struct bpe_counts cut = {0};
    enum status status = STATUS_OK;
    for (int32_t i = 0; i < counts->words.size; i++) {
        size_t size = 0;
        const char *word = strings_get(&counts->words, i, &size);
        while (size > 0 && status == STATUS_OK) {
            const size_t length = bpe_line_bytes(word, size);
            status = bpe_counts_add(&cut, word, length, counts->counts[i]);
            word += length;
            size -= length;
        }
    }
    struct bpe_counts *loser = status < 0 ? &cut : counts;
    bpe_counts_free(loser);
    if (loser == counts)
        *counts = cut;
    return status;
}

struct ranked {
    int64_t count;
    int32_t number;
};

static int compare_ranked(const void *left, const void *right)
{
    const struct ranked *a = left, *b = right;
    if (a->count != b->count)
        return a->count < b->count ? 1 : -1;
    return (a->number > b->number) - (a->number < b->number);
}

enum status bpe_counts_write(const struct bpe_counts *counts, FILE *stream)
{
    const size_t n = (size_t)counts->words.size;
    struct ranked *ranked = malloc((n + 1) * sizeof *ranked);
    if (ranked == NULL)
        return status_set(STATUS_MEMORY, "no memory to sort %zu words", n);
    for (size_t i = 0; i < n; i++)
        ranked[i] = (struct ranked){counts->counts[i], (int32_t)i};
    qsort(ranked, n, sizeof *ranked, compare_ranked);
    for (size_t i = 0; i < n; i++) {
        size_t size = 0;
        const char *word = strings_get(&counts->words, ranked[i].number, &size);
        fwrite(word, 1, size, stream);
        fprintf(stream, " %" PRId64 "\n", ranked[i].count);
    }
    free(ranked);
    return STATUS_OK;
}

void bpe_counts_free(struct bpe_counts *counts)
{
    strings_free(&counts->words);
    free(counts->counts);
    *counts = (struct bpe_counts){0};
}
