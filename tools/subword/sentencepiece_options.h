/* Command lines for SentencePiece models: mixt subword encode, decode, normalize and vocab. */
#ifndef MIXT_TOOLS_SUBWORD_SENTENCEPIECE_OPTIONS_H
#define MIXT_TOOLS_SUBWORD_SENTENCEPIECE_OPTIONS_H

#include <stdint.h>

#include "tools/options.h"

/* What their tables fill. */
struct sentencepiece_values {
    const char *model;
    const char *type; /* chose these verbs; the model knows its own */
    const char *format;
    struct option_list inputs; /* beside the plain arguments */
    const char *output;
    const char *extra;
    const char *vocabulary;
    int64_t threshold;
    bool counts_pieces;
    double sample; /* negative: not wanted */
    double alpha;
    int64_t n_best;
    int64_t seed;
    int64_t threads;
    const char *rules; /* of normalize, as the three below */
    const char *tsv;
    bool is_internal;
    bool removes_spaces;
};

/* n_best where no option said how many. */
enum { N_BEST_UNSET = -2 };

extern const struct options_command sentencepiece_encode_command;
extern const struct options_command sentencepiece_decode_command;
extern const struct options_command sentencepiece_normalize_command;
extern const struct options_command sentencepiece_vocab_command;

#endif
