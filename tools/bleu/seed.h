/* The seed of resampling, from SACREBLEU_SEED in the environment. */
#ifndef MIXT_TOOLS_BLEU_SEED_H
#define MIXT_TOOLS_BLEU_SEED_H

#include "base/buffer.h"

struct bleu_seed {
    bool is_given;        /* false: the operating system seeds */
    struct buffer digits; /* a whole number of any size, without leading zeros */
    struct buffer name;   /* as given, in lower case: what a signature shows */
};

/* Reads the variable; without it the seed is 12345. STATUS_FAILED for what is no number, and for
 * one below 0; STATUS_MEMORY. To be freed also on error. */
enum status bleu_seed_read(struct bleu_seed *seed) STATUS_CHECKED;
void bleu_seed_free(struct bleu_seed *seed);

#endif
