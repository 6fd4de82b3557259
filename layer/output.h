/* The softmax over the vocabulary and its label-smoothed cross-entropy.
 *
 * logits = x W^T + bias with W [V, D], which may be the embedding table (tied). */
#ifndef MIXT_LAYER_OUTPUT_H
#define MIXT_LAYER_OUTPUT_H

#include "layer/param.h"
#include "layer/pass.h"

enum { OUTPUT_BLOCK_ROWS = 1024 }; /* logits are held for so many rows at a time */

struct output {
    struct param *weight; /* [V, D] */
    struct param *bias;   /* [V] */
};

/* Adds "PREFIX.bias" and, where tied is NULL, "PREFIX.weight". */
void output_init(struct output *output, struct param_list *params, const char *prefix,
                 int64_t vocabulary, int64_t dim, struct param *tied);

/* logits [N, V] of x [N, D]. */
void output_logits(const struct output *output, const struct pass *pass,
                   const struct tensor *logits, const struct tensor *x);

/* What the search wants of the logits of x [N, D], which are never kept: the K largest of each row,
 * values [N, K] and their words [N, K] i32 (top_k in backend/backend.h), and the logarithm of the
 * sum of all exponentials, log_sums [N]. */
void output_top_k(const struct output *output, const struct pass *pass, const struct tensor *values,
                  const struct tensor *words, const struct tensor *log_sums,
                  const struct tensor *x);

/* What the logits of n_rows rows, or of a block of them, take of the pass's arena. */
size_t output_loss_bytes(const struct output *output, const struct pass *pass, int64_t n_rows);

/* Losses [N] and negative log-likelihoods [N] of targets [N] i32 (cross_entropy in
 * backend/backend.h). With d_x [N, D]: the gradient of scale * sum of losses goes to d_x (=) and to
 * the parameters (+=) in the same pass, so that logits are never kept. d_x NULL: no gradient. */
void output_loss(const struct output *output, const struct pass *pass, const struct tensor *loss,
                 const struct tensor *nll, const struct tensor *x, const struct tensor *targets,
                 double smoothing, double scale, const struct tensor *d_x);

#endif
