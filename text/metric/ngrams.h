/* N-grams of words or characters: how many of one text's also occur in another, each counted as
 * often as it occurs there at most.
 *
 * First the n-grams of one text or several are noted, then those of others are looked up among
 * them. A text is given symbol by symbol and then noted or matched as a whole. Equal n-grams are
 * found equal exactly, without a chance of collision. */
#ifndef MIXT_TEXT_METRIC_NGRAMS_H
#define MIXT_TEXT_METRIC_NGRAMS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct ngram_node;

/* Working memory; zeroed it is empty and valid. */
struct ngrams {
    struct ngram_node *nodes; /* [n_nodes]; owned */
    size_t n_nodes;
    uint32_t mask;      /* nodes 0..mask are in use, a power of two of them */
    uint32_t stamp;     /* marks the nodes that belong to what was noted since ngrams_start() */
    const char *words;  /* where noted words start; borrowed */
    uint32_t *sequence; /* [n_sequence] symbols of the text at hand; owned */
    uint32_t *starts;   /* the same size: nodes of the n-grams that start there; owned */
    size_t n_sequence;
    size_t sequence_capacity;
};

/* Forgets everything noted.
 *
 * words     bytes that the words to note are part of, below 4 GiB; borrowed
 * n_ngrams  most that will be noted, symbols themselves included
 *
 * STATUS_MEMORY; STATUS_DATA for more than 2^30 n-grams. */
enum status ngrams_start(struct ngrams *ngrams, const char *words, size_t n_ngrams) STATUS_CHECKED;

/* Makes room for a text of so many symbols; wanted before the first one of a longer text than any
 * before. STATUS_MEMORY. */
enum status ngrams_reserve(struct ngrams *ngrams, size_t n_symbols) STATUS_CHECKED;

/* Gives the memory back and zeroes. */
void ngrams_free(struct ngrams *ngrams);

/* Adds a symbol to the text at hand: one to note, and one only to look up. */
void ngrams_note_word(struct ngrams *ngrams, size_t start, size_t size);
void ngrams_note_character(struct ngrams *ngrams, uint32_t code_point);
void ngrams_find_word(struct ngrams *ngrams, const char *bytes, size_t size);
void ngrams_find_character(struct ngrams *ngrams, uint32_t code_point);

/* Notes the n-grams of the text at hand, up to `order` symbols long, and ends it. Of texts with
 * different numbers the largest count in one of them is kept.
 *
 * text  a number that no other text has since ngrams_start(), 1 or more */
void ngrams_note(struct ngrams *ngrams, size_t order, uint32_t text);

/* Adds the matches of the text at hand to matches [order], and ends it. */
void ngrams_match(struct ngrams *ngrams, size_t order, uint32_t text, int64_t *matches);

#endif
