/* The text steps of the Moses toolkit, for English, German and French: lower-casing, punctuation
 * normalisation, removal of non-printing characters, tokenisation and its inverse.
 *
 * Each step gives the bytes that the script of the same purpose gives (lowercase.perl,
 * normalize-punctuation.perl, remove-non-printing-char.perl, tokenizer.perl, detokenizer.perl),
 * with perl 5.36 and its Unicode 14. Two things differ on purpose: invalid UTF-8 becomes U+FFFD
 * first, and the words that tokenizer.perl uses as marks for runs of dots (DOTMULTI and the like)
 * are ordinary words here, where the script turns them into dots. */
#ifndef MIXT_TEXT_MOSES_MOSES_H
#define MIXT_TEXT_MOSES_MOSES_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

enum moses_language { MOSES_ENGLISH, MOSES_GERMAN, MOSES_FRENCH };

/* The scripts changed what they do to these languages; published data may need the older ones. */
enum moses_release {
    MOSES_LATEST,    /* as of 2021 and since */
    MOSES_RELEASE_4, /* of 2017: a dot at the end of a line stays with an abbreviation, a letter or
                        (German) a number; U+2018 and U+201A become double quotes; no "Rs." */
};

/* Steps to be joined by |; however they are asked for, they run in this order. */
enum moses_step {
    MOSES_LOWERCASE = 1 << 0,
    MOSES_NORMALIZE = 1 << 1,
    MOSES_PRINTABLE = 1 << 2, /* each non-printing character becomes a space */
    MOSES_TOKENIZE = 1 << 3,
    MOSES_DETOKENIZE = 1 << 4 /* not together with MOSES_TOKENIZE */
};

struct moses_options {
    enum moses_language language;
    enum moses_release release;
    unsigned steps;      /* of enum moses_step, at least one */
    bool splits_hyphens; /* tokenizer.perl -a: "well-known" gives "well @-@ known" */
    bool keeps_special;  /* tokenizer.perl -no-escape: & | < > ' " [ ] stay as they are */
    bool skips_tags;     /* tokenizer.perl -x: a line from '<' to '>' stays as it is */
};

struct moses; /* the steps and their tables; read-only, may be used by many threads at once */

/* Working memory of one thread; zeroed is valid and empty. */
struct moses_work {
    struct buffer text;  /* the line after the steps so far */
    struct buffer spare; /* where the next one is made */
    struct buffer marks; /* quotation marks met by the detokenizer */
};

/* Prepares the steps. STATUS_MEMORY; *moses is then NULL. */
enum status moses_open(struct moses **moses, const struct moses_options *options) STATUS_CHECKED;

/* NULL is allowed. */
void moses_close(struct moses *moses);

/* Gives the memory back and zeroes work. */
void moses_work_free(struct moses_work *work);

/* Appends what becomes of a line to output.
 *
 * line    in     [size]  without its "\n"; "\r", NUL and a byte order mark are characters
 * output  inout  not one of work's
 *
 * Time and memory grow with size, whatever is in the line. STATUS_MEMORY. */
enum status moses_apply(const struct moses *moses, struct moses_work *work, const char *line,
                        size_t size, struct buffer *output) STATUS_CHECKED;

#endif
