/* Additive attention, in its classic form and factored.
 *
 * Shazeer et al. 2017. With k_s = memory_s U and q_t = x_t W, both [A],
 *   additive, eq. 21:  score(t, s) = sum over a of v_a tanh(q_t + k_s)_a
 *   factored, eq. 22:  score(t, s) = sum over a of v_a tanh(q_t)_a tanh(k_s)_a
 * so that the scores of all steps are one product of matrices in the factored form, while the
 * classic one takes a tanh for every t, s and a. Weights are the softmax over the real source
 * positions, the context is the weighted mean of the memory. */
#ifndef MIXT_ATTENTION_ATTENTION_H
#define MIXT_ATTENTION_ATTENTION_H

#include "layer/linear.h"

enum attention_kind { ATTENTION_FACTORED, ATTENTION_ADDITIVE };

struct attention {
    enum attention_kind kind;
    struct linear memory; /* U [D, A] */
    struct linear query;  /* W [D, A] */
    struct param *v;      /* [A] */
};

/* What does not change while one batch is translated. */
struct attention_source {
    struct tensor memory;  /* [S, B, D] borrowed: the encoder's output */
    struct tensor keys;    /* [S, B, A] k, factored: tanh(k) */
    struct tensor lengths; /* [B] i32, borrowed, each >= 1 */
};

struct attention_record {
    struct tensor x;       /* [T, B, D] borrowed: where the queries come from */
    struct tensor query;   /* [T, B, A] q, factored: tanh(q) */
    struct tensor scaled;  /* [T, B, A] tanh(q) * v; absent in the additive form */
    struct tensor weights; /* [T, B, S] rows sum to 1, 0 at padding */
};

/* Adds "PREFIX.memory.weight", "PREFIX.query.weight", "PREFIX.v". */
void attention_init(struct attention *attention, struct param_list *params, const char *prefix,
                    int64_t dim, int64_t attention_dim, enum attention_kind kind);

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

/* -- the same one step at a time, where x of a step hangs on the context before it -- */

/* A record of steps to come: x [T, B, D] is borrowed and read one step at a time. */
void attention_record_start(const struct attention *attention, const struct pass *pass,
                            struct attention_record *record, const struct attention_source *source,
                            const struct tensor *x);

/* context [T, B, D] at t. */
void attention_forward_at(const struct attention *attention, const struct pass *pass,
                          const struct attention_record *record,
                          const struct attention_source *source, const struct tensor *context,
                          int64_t t);

/* What the steps leave for attention_gradients(). */
struct attention_gradient {
    struct tensor scores; /* [T, B, S] */
    struct tensor query;  /* [T, B, A] of q */
    struct tensor keys;   /* [S, B, A] of k */
};

void attention_gradient_start(const struct attention *attention, const struct pass *pass,
                              struct attention_gradient *gradient,
                              const struct attention_record *record,
                              const struct attention_source *source);

/* d_x [T, B, D] at t += from d_context [T, B, D] at t. */
void attention_backward_at(const struct attention *attention, const struct pass *pass,
                           const struct tensor *d_x, const struct attention_gradient *gradient,
                           const struct attention_record *record,
                           const struct attention_source *source, const struct tensor *d_context,
                           int64_t t);

/* After all steps: d_memory [S, B, D] += and the gradients of the matrices. */
void attention_gradients(const struct attention *attention, const struct pass *pass,
                         const struct tensor *d_memory, const struct attention_gradient *gradient,
                         const struct attention_record *record,
                         const struct attention_source *source, const struct tensor *d_context);

#endif
