/* Files that mixt subword writes for SentencePiece models. */
#ifndef MIXT_TOOLS_SUBWORD_MODEL_H
#define MIXT_TOOLS_SUBWORD_MODEL_H

#include <stdio.h>

#include "base/buffer.h"
#include "text/subword/sentencepiece.h"

/* Writes the bytes of a model. STATUS_IO, STATUS_MEMORY. */
enum status model_write(const char *path, const struct buffer *model) STATUS_CHECKED;

/* What stands behind each piece in a vocabulary. */
enum vocabulary_form {
    VOCABULARY_SCORES, /* TAB and the score */
    VOCABULARY_IDS,    /* TAB and the id */
    VOCABULARY_PIECES  /* nothing */
};

/* Prints a line for each piece, in the order of the ids. */
void model_print_vocabulary(FILE *stream, const struct subword *subword, enum vocabulary_form form);

/* The same into a file. STATUS_IO, STATUS_MEMORY. */
enum status model_write_vocabulary(const char *path, const struct subword *subword,
                                   enum vocabulary_form form) STATUS_CHECKED;

#endif
