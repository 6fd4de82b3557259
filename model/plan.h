/* What a configuration costs, part by part, from the shapes alone: nothing is allocated.
 *
 * A part is what has one beginning of parameters' names, "encoder.2.moe.gate" or "decoder.1.lstm":
 * every parameter of the model belongs to exactly one. Multiply-adds are those of the forward pass
 * in training, one for each number of a matrix that a token meets (Shazeer et al. 2017's
 * "ops/timestep"); what is done number by number is not counted. */
#ifndef MIXT_MODEL_PLAN_H
#define MIXT_MODEL_PLAN_H

#include "model/config.h"

enum {
    PLAN_NAME_BYTES = 32,
    PLAN_MAX_PARTS = 128,
    PLAN_DECODING_TOKENS = 1024, /* source pieces of a batch that is translated */
    PLAN_SENTENCE_TOKENS = 25    /* and of one of its sentences */
};

enum plan_kind { PLAN_EMBEDDING, PLAN_SOFTMAX, PLAN_LAYER, PLAN_GATE, PLAN_EXPERTS };

/* Sides of a sentence pair; a language model has the source alone, which is its text. */
enum plan_side { PLAN_SOURCE, PLAN_TARGET, PLAN_N_SIDES };

struct plan_part {
    char name[PLAN_NAME_BYTES];
    enum plan_kind kind;
    int64_t parameters;
    int64_t packable;              /* of these, in matrices that layers read */
    int64_t rounded_bytes;         /* of matrices in int8 with their scales; 0: never in int8 */
    int64_t largest;               /* numbers of the largest matrix that is packed late */
    int64_t groups;                /* matrices of a shape that lie in one tensor */
    int64_t factored;              /* second moments under train.optimizer.experts=factored */
    double work[PLAN_N_SIDES];     /* multiply-adds a token of the side */
    double kept[PLAN_N_SIDES];     /* numbers a token leaves for the backward pass */
    double room;                   /* of these, what gradients may lend their memory to */
    double products[PLAN_N_SIDES]; /* and for its gradients, where they are not stored */
    double scratch[PLAN_N_SIDES];  /* numbers a token needs beside while this part goes backward */
};

struct plan {
    struct plan_part part[PLAN_MAX_PARTS];
    int64_t n_parts;
    double pair_work;   /* attention's multiply-adds a pair of a source and a target position */
    int64_t vocabulary; /* data.subword.size */
    int64_t cells;      /* widths of all the decoder's states, for decoding */
};

/* Bytes on one rank: 32-bit floats and, with model.dtype int8, in decoding, matrices in int8. */
struct plan_memory {
    double values, gradients, moments, averages, packed;
    double activations; /* of one batch, about */
};

/* Counts the parts of a checked configuration. */
void plan_make(struct plan *plan, const struct config *config);

/* Sums over the parts of a kind. */
int64_t plan_parameters(const struct plan *plan, enum plan_kind kind);
double plan_work(const struct plan *plan, enum plan_kind kind, enum plan_side side);

/* Memory of each of `ranks` ranks: all but the experts on every one, of their moments a share, an
 * equal share of each mixture's experts, and of the train.batch_tokens tokens of each side. */
struct plan_memory plan_training(const struct plan *plan, const struct config *config,
                                 int64_t ranks);

/* The same for decoding, PLAN_DECODING_TOKENS at a time with a beam of translate.beam. */
struct plan_memory plan_decoding(const struct plan *plan, const struct config *config,
                                 int64_t ranks);

double plan_memory_total(const struct plan_memory *memory);

#endif
