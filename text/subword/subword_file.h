/* Check a serialized SentencePiece model before the library sees it.
 *
 * Models come from strangers, and the library trusts them: it recurses once per byte of a piece
 * and follows the offsets of the normaliser's tables without looking. This walk over the bytes
 * (the protocol buffer encoding of sentencepiece_model.proto) refuses what the library would fall
 * over. */
#ifndef MIXT_TEXT_SUBWORD_SUBWORD_FILE_H
#define MIXT_TEXT_SUBWORD_SUBWORD_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum {
    SUBWORD_MAX_PIECES = 1 << 22,
    SUBWORD_MAX_PIECE_BYTES = 4096,
    SUBWORD_MAX_FILE_BYTES = 1 << 28
};

/* How a model segments; the numbers are those of the file. */
enum subword_method {
    SUBWORD_METHOD_UNIGRAM = 1,
    SUBWORD_METHOD_BPE = 2,
    SUBWORD_METHOD_WORD = 3,
    SUBWORD_METHOD_CHARACTER = 4
};

struct subword_file {
    int64_t n_pieces;
    enum subword_method method;
    bool has_byte_fallback;
};

/* Walks bytes [size] and fills file.
 *
 * name is for messages ("the subword model", a path). STATUS_FORMAT with the byte offset of what is
 * wrong: cut or foreign bytes, no pieces or too many, a piece that is empty, too long, not UTF-8 or
 * has a NUL, a score that is not finite, a normaliser table that points outside itself. */
enum status subword_file_check(const char *bytes, size_t size, const char *name,
                               struct subword_file *file) STATUS_CHECKED;

#endif
