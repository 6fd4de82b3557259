/* Beam search: the best translations of a batch of sentences.
 *
 * In each step every live hypothesis offers its best next tokens (the top-k operation that the
 * experts' gate uses), the offers of a sentence are merged, and the best W go on. An offer of the
 * end symbol among the best W finishes its hypothesis and takes no place in the beam.
 *
 * A sentence's result depends on nothing but the sentence: not on its neighbours in the batch,
 * their number, order or lengths. With a beam of at least as many hypotheses as there are, and
 * patience 0, the search is exhaustive; with W = 1 and patience 1 it is greedy. */
#ifndef MIXT_BEAM_BEAM_H
#define MIXT_BEAM_BEAM_H

#include "decoder/decoder.h"

enum { BEAM_MAX_FORBIDDEN = 4 };

struct beam_config {
    int64_t beam;                          /* W, >= 1 */
    int64_t n_best;                        /* translations wanted of a sentence, 1..W */
    int32_t bos;                           /* fed to the decoder first */
    int32_t eos;                           /* ends a hypothesis */
    int32_t forbidden[BEAM_MAX_FORBIDDEN]; /* ids never produced, as bos and padding; not eos */
    int64_t n_forbidden;
    double alpha;      /* of the length normalisation (beam/score.h), >= 0; 0: none */
    double beta;       /* of the coverage penalty, >= 0; 0: none, and then it costs nothing */
    double max_ratio;  /* a translation of S source tokens has at most ceil(max_ratio * S) + */
    int64_t max_extra; /* max_extra tokens, its end symbol included; never less than 1 */
    double patience;   /* once patience * W hypotheses of a sentence have finished, it is settled
                          when no live one scores better now than the n_best; before, and with 0,
                          only when none can become better */
};

struct hypothesis {
    int32_t *tokens; /* [count], without the end symbol */
    int64_t count;
    double score;       /* normalised, what hypotheses are ordered by */
    double log_prob;    /* natural logarithm, the end symbol's included */
    bool reached_limit; /* cut at the length limit: there is no end symbol */
};

/* The translations of one sentence, best first. Those that reached the limit come after all that
 * ended by themselves. */
struct nbest {
    struct hypothesis *items; /* [count], in the arena handed to beam_search */
    int64_t count;            /* 1..n_best; 0 only if every token is forbidden or impossible */
};

/* Searches translations of the B sentences whose encoded form is memory [S, B, D].
 *
 * lengths  in   [B], host; source tokens of each sentence, 1..S
 * arena    inout, host memory; on success it holds the results, otherwise what it held before
 * results  out  [B]
 *
 * The pass must not train; its arena is back at its mark afterwards. No step allocates. Errors:
 * what backend_sync() returns, and STATUS_DIVERGED where the model's output is not finite. */
enum status beam_search(const struct decoder *decoder, const struct pass *pass,
                        const struct tensor *memory, const int32_t *lengths,
                        const struct beam_config *config, struct arena *arena,
                        struct nbest *results) STATUS_CHECKED;

#endif
