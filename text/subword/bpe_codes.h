/* A file of codes as subword-nmt writes it: the merges of symbols, the first learned first.
 *
 * The first line is "#version: 0.2", then each line has the left and the right symbol with a space
 * between; "</w>" at the end of a symbol stands for the end of a word. Without that first line the
 * file is of version 0.1, where "</w>" is a symbol of its own. "#version: 0.2 byte" has merges of
 * bytes, which need not be UTF-8. */
#ifndef MIXT_TEXT_SUBWORD_BPE_CODES_H
#define MIXT_TEXT_SUBWORD_BPE_CODES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "text/lines.h"
#include "text/subword/strings.h"

enum bpe_version {
    BPE_VERSION_0_2,
    BPE_VERSION_0_1,
    BPE_VERSION_BYTE /* 0.2, in bytes */
};

/* Numbers of two strings. */
struct bpe_merge {
    int32_t left;
    int32_t right;
};

/* A zeroed one has no merges and is of version 0.2. */
struct bpe_codes {
    enum bpe_version version;
    struct strings symbols;
    struct bpe_merge *merges; /* owned, [n_merges] in file order, duplicates included */
    size_t n_merges;
    size_t capacity;
};

/* Adds a merge of two symbols of the codes. STATUS_MEMORY. */
enum status bpe_codes_push(struct bpe_codes *codes, struct bpe_merge merge) STATUS_CHECKED;

/* Reads lines to their end into empty codes.
 *
 * limit is how many merges to take: the lines behind them are not looked at; negative for all.
 *
 * STATUS_FORMAT, with name and line: not exactly two symbols with one space between (white space at
 * the ends of a line is fine, so are empty lines at the end of the file), a version other than
 * those above, invalid UTF-8 in a file that is not of bytes, an empty file. STATUS_IO,
 * STATUS_MEMORY. */
enum status bpe_codes_read(struct bpe_codes *codes, struct lines *lines,
                           int64_t limit) STATUS_CHECKED;

/* Writes version 0.2 or byte codes. Errors of stream are left to whoever closes it. */
void bpe_codes_write(const struct bpe_codes *codes, FILE *stream);

/* Gives the memory back and zeroes the codes; zeroed ones may be freed. */
void bpe_codes_free(struct bpe_codes *codes);

#endif
