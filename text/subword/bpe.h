/* Applies codes to text: cuts words into the pieces that merges leave, as subword-nmt 0.3.8 does,
 * to the byte.
 *
 * All but the last piece of a word get a separator behind them, "@@". With a vocabulary, pieces
 * that it lacks are taken apart again by undoing their merges. */
#ifndef MIXT_TEXT_SUBWORD_BPE_H
#define MIXT_TEXT_SUBWORD_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "text/lines.h"
#include "text/subword/bpe_codes.h"
#include "text/subword/bpe_glossary.h"
#include "text/subword/strings.h"

struct bpe_options {
    const char *separator;                   /* borrowed */
    const struct strings *vocabulary;        /* borrowed; NULL or empty: no filter */
    const struct bpe_glossaries *glossaries; /* borrowed; NULL: none */
    double dropout; /* each possible merge is left out with this probability, anew at each step */
    uint64_t seed;  /* of that: with the number of the line it decides */
};

struct bpe;         /* codes ready for use; may be used by several threads */
struct bpe_encoder; /* one thread's working memory, with a cache of frequent words */

/* codes and what options borrow must outlive the result. Duplicates among the codes: the first
 * counts. On error *bpe is NULL: STATUS_MEMORY. */
enum status bpe_open(struct bpe **bpe, struct bpe_codes *codes,
                     const struct bpe_options *options) STATUS_CHECKED;
void bpe_close(struct bpe *bpe);

enum status bpe_encoder_open(struct bpe_encoder **encoder, const struct bpe *bpe) STATUS_CHECKED;
void bpe_encoder_close(struct bpe_encoder *encoder);

/* Appends the pieces of one word (any bytes without a space), with a space between them. Randomness
 * goes on where the last word or line of this encoder left it. Invalid UTF-8 is repaired first,
 * unless the codes are of bytes. STATUS_MEMORY, and STATUS_DATA from glossaries. */
enum status bpe_encode_word(struct bpe_encoder *encoder, const char *word, size_t size,
                            struct buffer *output) STATUS_CHECKED;

/* Appends a line with its words cut; no line end is added.
 *
 * Spaces and carriage returns at its ends stay, several spaces between words become one. Unless the
 * codes are of bytes, each line end within (bpe_line_end_bytes()) ends a line of its own: it stays,
 * as the end of the word before it. */
enum status bpe_encode_line(struct bpe_encoder *encoder, const struct line *line,
                            struct buffer *output) STATUS_CHECKED;

/* Appends a line with its pieces joined: what 's/(@@ )|(@@ ?$)//g' of sed leaves, for the separator
 * in place of "@@". STATUS_MEMORY. */
enum status bpe_decode_line(const char *separator, const char *bytes, size_t size,
                            struct buffer *output) STATUS_CHECKED;

/* Reads a vocabulary, "piece count" a line, and adds the pieces whose count is at least threshold.
 * STATUS_FORMAT, with name and line, for another line; STATUS_IO, STATUS_MEMORY. */
enum status bpe_read_vocabulary(struct strings *vocabulary, struct lines *lines,
                                int64_t threshold) STATUS_CHECKED;

#endif
