/* Brings a line into one form: Unicode normalisation, white space, control characters. */
#ifndef MIXT_TEXT_PREP_CLEAN_H
#define MIXT_TEXT_PREP_CLEAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buffer.h"

enum clean_form { CLEAN_AS_IS, CLEAN_NFC, CLEAN_NFKC };

struct clean_options {
    enum clean_form form;
    bool keeps_space;         /* leave white space and control characters as they are */
    bool unifies_punctuation; /* typographic quotes, dashes, dots and full-width forms to ASCII */
};

struct cleaner; /* working memory; not to be used by two threads at once */

/* On error *cleaner is NULL: STATUS_MEMORY; STATUS_FAILED when Unicode's tables cannot be loaded.
 */
enum status cleaner_open(struct cleaner **cleaner,
                         const struct clean_options *options) STATUS_CHECKED;

/* NULL is allowed. */
void cleaner_close(struct cleaner *cleaner);

/* Appends the cleaned text of a line, valid UTF-8 that must not point into output, without a final
 * NUL, and sets *is_changed where it differs.
 *
 * Unless keeps_space: removed are control characters, soft hyphens, zero-width spaces and joiners
 * of words, byte order marks, embeddings and isolates of direction, and code points that are no
 * characters; a run of white space becomes a space, none at the ends. Joiners inside words (U+200C,
 * U+200D) and direction marks stay: Persian, Hindi and emoji need them.
 *
 * STATUS_MEMORY; STATUS_DATA for a line too long to be normalised (over 512 MiB). */
enum status clean_line(struct cleaner *cleaner, const char *bytes, size_t size,
                       struct buffer *output, bool *is_changed) STATUS_CHECKED;

#endif
