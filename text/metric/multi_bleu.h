/* BLEU as Moses' multi-bleu.perl computes and prints it, of text that is tokenized already.
 *
 * Words are what ASCII white space separates; there is no smoothing. */
#ifndef MIXT_TEXT_METRIC_MULTI_BLEU_H
#define MIXT_TEXT_METRIC_MULTI_BLEU_H

#include "base/buffer.h"
#include "text/metric/bleu.h"

struct multi_bleu; /* counts so far; not to be used by two threads at once */

/* On error *multi_bleu is NULL: STATUS_MEMORY. */
enum status multi_bleu_open(struct multi_bleu **multi_bleu, bool is_lowercase) STATUS_CHECKED;

/* NULL is allowed. */
void multi_bleu_close(struct multi_bleu *multi_bleu);

/* Counts one segment. Any bytes will do; in lower case only A-Z change. The texts may end with
 * "\r": it is white space.
 *
 * references  in  [n_references]  those files that have such a line; with 0 of them the reference
 *                                 counts as 9999 words of which none is found, as does one that
 *                                 differs by more words than that
 *
 * STATUS_MEMORY; STATUS_DATA for a text over 2^28 bytes. */
enum status multi_bleu_add(struct multi_bleu *multi_bleu, struct bleu_text hypothesis,
                           const struct bleu_text *references, size_t n_references) STATUS_CHECKED;

/* True while the references have no words at all: the script then prints a line of zeros, which
 * multi_bleu_append() gives too, and ends with exit code 1. */
bool multi_bleu_is_empty(const struct multi_bleu *multi_bleu);

/* Appends "BLEU = 31.42, 63.1/37.8/24.6/16.4 (BP=0.998, ratio=0.998, hyp_len=998, ref_len=1000)"
 * without a line end. STATUS_DATA for hypotheses without any word (the script divides by zero);
 * STATUS_MEMORY. */
enum status multi_bleu_append(const struct multi_bleu *multi_bleu,
                              struct buffer *buffer) STATUS_CHECKED;

#endif
