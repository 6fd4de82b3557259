/* What a configuration costs, before anything runs. */
#ifndef MIXT_MODEL_PLAN_H
#define MIXT_MODEL_PLAN_H

#include "model/config.h"

struct plan {
    int64_t parameters;           /* all numbers that are learned */
    int64_t parameters_words;     /* of these, embeddings and softmax */
    int64_t parameters_experts;   /* of these, in experts */
    double encoder_multiply_adds; /* forward, per source token, embedding excluded */
    double decoder_multiply_adds; /* forward, per target token, softmax excluded */
    double softmax_multiply_adds; /* forward, per target token */
    int64_t model_bytes;          /* a model file's tensors, f32 */
    int64_t training_bytes;       /* values, gradients, moments, averages, packed copies */
    int64_t activation_bytes;     /* of one batch of train.batch_tokens, about */
};

/* Counts for the vocabulary of data.subword.size. Source sentences are taken to be as long as
 * target sentences; attention's cost for each pair of positions is left out (it is below 1 %). */
struct plan plan_make(const struct config *config);

#endif
