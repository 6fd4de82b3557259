/* The hypotheses of one sentence: those still growing, where they came from, the best that ended.
 *
 * Host memory and arithmetic only; knows nothing of the decoder or of other sentences. */
#ifndef MIXT_BEAM_HYPOTHESES_H
#define MIXT_BEAM_HYPOTHESES_H

#include "beam/beam.h"

/* A hypothesis that will not grow any more. */
struct ending {
    double score, log_prob;
    int64_t count; /* tokens, without the end symbol */
    int32_t slot;  /* place in the beam of its last token, in history row count-1 */
    bool reached_limit;
};

struct hypotheses {
    const struct beam_config *config; /* borrowed */
    int64_t n_source;                 /* S of this sentence */
    int64_t limit;                    /* most tokens of a hypothesis, end symbol included */
    int64_t n_tokens;                 /* of every live hypothesis */
    int64_t n_live;                   /* 0..W; 0 once the sentence is done */
    double *log_probs;                /* [W] of the live ones, highest first */
    double *next_log_probs;           /* [W] */
    int32_t *tokens;                  /* [limit, W] history: token number t of slot w */
    int32_t *parents;                 /* [limit, W] and the slot it continued */
    int32_t *heads;                   /* [W] first offer of each slot that is not taken yet */
    double *coverage;                 /* [W, S] sums of attention; NULL without coverage penalty */
    double *next_coverage;            /* [W, S] */
    int64_t n_finished;               /* ended by the end symbol so far, kept or not */
    struct ending *endings;           /* [n_best] best first */
    int64_t n_endings;
};

/* What one step offers a sentence: for its live hypothesis w the most probable next tokens and
 * their log-probabilities, highest first and -infinity where there are no more, at row w * stride
 * of [.., n_choices]. There must be W + 1 for each, or the whole vocabulary. */
struct offers {
    const int32_t *tokens;
    const double *log_probs;
    const double *attention; /* at row w * stride of [.., S or wider]; read with coverage only */
    int64_t n_choices;
    int64_t n_attention; /* width of a row of attention, >= S */
    int64_t stride;
};

/* Begins with one empty hypothesis. Everything lives in the arena. */
void hypotheses_start(struct hypotheses *hypotheses, const struct beam_config *config,
                      int64_t n_source, struct arena *arena);

/* One token more. Of all offers in order of log-probability (ties: the better parent, then the
 * earlier offer) the end symbols among the first W finish, and the first W others live on. Leaves
 * n_live = 0 when the sentence is done. */
void hypotheses_advance(struct hypotheses *hypotheses, const struct offers *offers);

/* Most tokens, end symbol included, of a translation of n_source tokens. */
int64_t hypotheses_limit(const struct beam_config *config, int64_t n_source);

/* Writes the endings, best first, into result->items [n_best], each with room for `limit` tokens.
 * */
void hypotheses_collect(const struct hypotheses *hypotheses, struct nbest *result);

#endif
