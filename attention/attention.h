/* Additive attention in its factored form.
 *
 * Shazeer et al. 2017, eq. 22: score(s, t) = sum over a of v_a tanh(memory_s U)_a tanh(query_t
 * W)_a, so the scores of all steps are one product of matrices. Weights are the softmax over the
 * real source positions, the context is the weighted mean of the memory. */
#ifndef MIXT_ATTENTION_ATTENTION_H
#define MIXT_ATTENTION_ATTENTION_H

#include "layer/linear.h"

struct attention {
    struct linear memory; /* U [D, A] */
    struct linear query;  /* W [D, A] */
    struct param *v;      /* [A] */
};

/* What does not change while one batch is translated. */
struct attention_source {
    struct tensor memory;  /* [S, B, D] borrowed: the encoder's output */
    struct tensor keys;    /* [S, B, A] = tanh(memory U) */
    struct tensor lengths; /* [B] i32, borrowed, each >= 1 */
};

struct attention_record {
    struct tensor x;       /* [T, B, D] borrowed: where the queries come from */
    struct tensor query;   /* [T, B, A] = tanh(x W) */
    struct tensor scaled;  /* [T, B, A] = query * v */
    struct tensor weights; /* [T, B, S] rows sum to 1, 0 at padding */
};

/* Adds "PREFIX.memory.weight", "PREFIX.query.weight", "PREFIX.v". */
void attention_init(struct attention *attention, struct param_list *params, const char *prefix,
                    int64_t dim, int64_t attention_dim);

/* Projects the memory once a batch. */
void attention_start(const struct attention *attention, const struct pass *pass,
                     struct attention_source *source, const struct tensor *memory,
                     const struct tensor *lengths);

/* context [T, B, D] of x [T, B, D]. Decoding calls it with the W hypotheses of a sentence as T. */
void attention_forward(const struct attention *attention, const struct pass *pass,
                       struct attention_record *record, const struct attention_source *source,
                       const struct tensor *x, const struct tensor *context);

/* From d_context [T, B, D]: d_x [T, B, D] += and d_memory [S, B, D] +=. */
void attention_backward(const struct attention *attention, const struct pass *pass,
                        const struct tensor *d_x, const struct tensor *d_memory,
                        const struct attention_record *record,
                        const struct attention_source *source, const struct tensor *d_context);

#endif
