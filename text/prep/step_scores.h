/* How much the lengths of two lines speak for their belonging together. */
#ifndef MIXT_TEXT_PREP_STEP_SCORES_H
#define MIXT_TEXT_PREP_STEP_SCORES_H

#include <stdint.h>

#include "base/status.h"

enum { STEP_SCORES_LENGTHS = 1 << 16 };

/* Zeroed is empty. */
struct step_scores {
    const uint16_t *source; /* [n_source] borrowed */
    const uint16_t *target; /* [n_target] borrowed */
    int64_t n_source;
    int64_t n_target;
    float *source_ranks; /* [STEP_SCORES_LENGTHS] normal score of each length; owned */
    float *target_ranks;
    double correlation; /* of lines that belong together; 0: too little can be seen */
    double expected;    /* score of a pair that belongs together, on average */
    double square;      /* the score is constant - square (u^2 + v^2) + product u v */
    double product;
    double constant;
};

/* Learns from blocks of lines all over the files, each at the shift up to largest_shift that fits
 * it best, as long as that is more than chance. correlation stays 0 when few blocks do.
 * STATUS_MEMORY. */
enum status step_scores_learn(struct step_scores *scores, const uint16_t *source, int64_t n_source,
                              const uint16_t *target, int64_t n_target,
                              int64_t largest_shift) STATUS_CHECKED;

void step_scores_free(struct step_scores *scores);

/* Nats for source line i and target line j, from 0; bounded. A line outside its file counts
 * nothing. */
double step_score(const struct step_scores *scores, int64_t i, int64_t j);

#endif
