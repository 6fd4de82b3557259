/* Wordpieces as BERT uses them (Schuster and Nakajima 2012, Devlin et al. 2019): a word is cut from
 * its start into the longest pieces that the vocabulary has; pieces that do not start a word are
 * written with "##" in front.
 *
 * The vocabulary is BERT's vocab.txt: one piece a line, its id the number of the line from 0. */
#ifndef MIXT_TEXT_SUBWORD_WORDPIECE_H
#define MIXT_TEXT_SUBWORD_WORDPIECE_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "text/ids.h"

/* In front of a piece that does not start a word. */
#define WORDPIECE_INSIDE "##"

enum {
    WORDPIECE_INSIDE_BYTES = 2,
    WORDPIECE_MAX_PIECE_BYTES = 1 << 16,
    WORDPIECE_DEFAULT_MAX_CHARACTERS = 100 /* of a word; longer ones are unknown */
};

struct wordpiece; /* a vocabulary; threads may share it */

/* Reads a vocabulary. unknown names the piece that stands for words without pieces; NULL: the
 * vocabulary is not asked to encode.
 *
 * On error *wordpiece is NULL: STATUS_IO, STATUS_MEMORY, and STATUS_FORMAT, with the line, for a
 * piece that is there twice, an empty line, white space in a line (a vocabulary of another kind),
 * text that is not UTF-8, no lines at all, or no unknown piece. "\r" at line ends and a byte order
 * mark are taken off. */
enum status wordpiece_open(struct wordpiece **wordpiece, const char *path,
                           const char *unknown) STATUS_CHECKED;

/* NULL is allowed. */
void wordpiece_close(struct wordpiece *wordpiece);

int32_t wordpiece_size(const struct wordpiece *wordpiece);

/* A piece, with "##" where it has it; borrowed, [*size], no NUL behind it. */
const char *wordpiece_piece(const struct wordpiece *wordpiece, int32_t id, size_t *size);

/* The id, or -1. */
int32_t wordpiece_find(const struct wordpiece *wordpiece, const char *piece, size_t size);

/* Appends the ids of words.
 *
 * words           in  [size]  valid UTF-8, words with single spaces between
 * max_characters  in  a longer word is unknown
 *
 * A word that has no pieces to its end is one unknown piece. STATUS_MEMORY. */
enum status wordpiece_encode(const struct wordpiece *wordpiece, const char *words, size_t size,
                             int64_t max_characters, struct ids *ids) STATUS_CHECKED;

/* Appends the text of pieces with single spaces between: a piece with "##" joins the one before it.
 * At the start of a line its "##" stays, as there is nothing to join. STATUS_MEMORY. */
enum status wordpiece_decode_pieces(const char *pieces, size_t size,
                                    struct buffer *text) STATUS_CHECKED;

/* The same from ids [n]. STATUS_DATA for an id that the vocabulary does not have. */
enum status wordpiece_decode(const struct wordpiece *wordpiece, const int32_t *ids, size_t n,
                             struct buffer *text) STATUS_CHECKED;

#endif
