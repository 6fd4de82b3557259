/* How often each word of a text occurs, in the order of first occurrence. */
#ifndef MIXT_TEXT_SUBWORD_BPE_COUNTS_H
#define MIXT_TEXT_SUBWORD_BPE_COUNTS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "text/lines.h"
#include "text/subword/strings.h"

/* A zeroed one is empty. */
struct bpe_counts {
    struct strings words;
    int64_t *counts; /* owned, [words.size] */
    size_t capacity;
    double weight; /* bytes of all words with repetition: kept where doubles are exact */
};

/* What a line of input is. */
enum bpe_input {
    BPE_INPUT_TEXT,      /* words with spaces between */
    BPE_INPUT_DICTIONARY /* "word count" */
};

/* Counts a word n times more; n may be 0 or negative. STATUS_MEMORY; STATUS_DATA when the counts
 * grow out of all bounds (2^53 bytes). */
enum status bpe_counts_add(struct bpe_counts *counts, const char *word, size_t size,
                           int64_t n) STATUS_CHECKED;

/* Counts the words of a line: what lies between spaces and, unless is_bytes, carriage returns. */
enum status bpe_counts_add_line(struct bpe_counts *counts, const char *bytes, size_t size,
                                bool is_bytes) STATUS_CHECKED;

/* Reads lines to their end; sets them verbatim and, unless is_bytes, repairs invalid UTF-8.
 * STATUS_DATA, with name and line, for a line that is no entry of a dictionary. */
enum status bpe_counts_read(struct bpe_counts *counts, struct lines *lines, enum bpe_input input,
                            bool is_bytes) STATUS_CHECKED;

/* Cuts words behind each line end within (bpe_line_end_bytes()), as subword-nmt cuts the lines of a
 * text before it counts. The order stays that of first occurrence. */
enum status bpe_counts_cut_lines(struct bpe_counts *counts) STATUS_CHECKED;

/* Adds all of more. */
enum status bpe_counts_merge(struct bpe_counts *counts,
                             const struct bpe_counts *more) STATUS_CHECKED;

/* Writes "word count" a line, the most frequent first, ties in order of first occurrence. Errors of
 * stream are left to whoever closes it. STATUS_MEMORY. */
enum status bpe_counts_write(const struct bpe_counts *counts, FILE *stream) STATUS_CHECKED;

/* Gives the memory back and zeroes the counts; zeroed ones may be freed. */
void bpe_counts_free(struct bpe_counts *counts);

#endif
