/* E feed-forward experts with one hidden layer each, run on the rows sorted to them.
 *
 *   E_e(x) = (sum over patches p of act(x_p W1_e + b1_e)) W2_e + b2_e
 *
 * where x is cut into P patches of in / P numbers that share W1. One patch and a ReLU is the expert
 * of Shazeer et al. 2017; the cube over patches is the convolution of Chen et al. 2022, and no
 * activation the linear expert that they compare it with. All experts of a layer lie in one tensor
 * [E, in, out]. */
#ifndef MIXT_MOE_EXPERTS_H
#define MIXT_MOE_EXPERTS_H

#include "layer/param.h"
#include "layer/pass.h"

enum expert_kind { EXPERT_RELU, EXPERT_LINEAR, EXPERT_CUBIC, EXPERT_LSTM };

struct expert_config {
    enum expert_kind kind; /* EXPERT_LSTM is not among these: moe/recurrent.h */
    int64_t hidden;        /* F; of EXPERT_LSTM H */
    int64_t n_patches;     /* P, 1.., divides the input */
    bool is_recomputed;    /* hidden units are computed again in the backward pass, not kept */
    int64_t n_rows;        /* of all experts together, about, in the one pass of an update; 0: not
                              known, or several passes' gradients are added up */
};

/* Whether so few rows meet each of so many experts that their matrices' gradients are better left
 * as products of rows (struct product_gradient): the rows are the smaller, and a matrix is formed
 * when it is applied, in a cache. */
bool experts_have_few_rows(const struct expert_config *config, int64_t n_experts, int64_t in,
                           int64_t out);

struct experts {
    struct expert_config config;
    struct param *up;        /* W1 [E, in / P, F] */
    struct param *up_bias;   /* [E, F] */
    struct param *down;      /* W2 [E, F, out] */
    struct param *down_bias; /* [E, out] */
};

struct experts_record {
    struct tensor x;             /* [M, in] borrowed: rows sorted by expert */
    struct tensor offsets;       /* [E+1] i32 borrowed: where each expert's rows start */
    struct tensor patch_offsets; /* [E+1] i32 where its patches start */
    struct tensor hidden;        /* [M*P, F] after the activation; absent, as the next, where
                                    hidden units are computed again */
    struct tensor sum;           /* [M, F] over the patches */
    size_t mark;                 /* of the arena, before the two */
};

/* Adds "PREFIX.up", ".up_bias", ".down", ".down_bias"; matrices uniform in +-sqrt(3 / their
 * inputs). */
void experts_init(struct experts *experts, struct param_list *params, const char *prefix,
                  int64_t n_experts, int64_t in, int64_t out, const struct expert_config *config);

/* y [M, out] of x [M, in]. Reads the offsets back from the device where P > 1. */
void experts_forward(const struct experts *experts, const struct pass *pass,
                     struct experts_record *record, const struct tensor *y, const struct tensor *x,
                     const struct tensor *offsets);

/* d_x [M, in], NULL where it is not wanted, from d_y [M, out]. Gradients that are not stored read
 * the record, and what it borrows, until the update. */
void experts_backward(const struct experts *experts, const struct pass *pass,
                      const struct tensor *d_x, const struct experts_record *record,
                      const struct tensor *d_y);

/* -- in turns, each of the rows of some experts that stand one after the other: what comes from
 * other ranks and goes back to them travels while other experts' rows are computed -- */

struct experts_turn {
    int64_t first, n_rows;
    struct tensor offsets;       /* [E+1] i32 borrowed: where each expert's rows start, from the
                                    turn's first on; experts of other turns have none */
    struct tensor patch_offsets; /* [E+1] i32 */
};

struct experts_turn experts_take_turn(const struct experts *experts, const struct pass *pass,
                                      int64_t first, int64_t n_rows, const struct tensor *offsets);

/* experts_forward() in turns: room for the hidden units of all rows x, which may still be on their
 * way; each turn's y, of y [M, out]; and the end, which gives back what is computed again later,
 * and all that was taken since from the pass's arena. */
void experts_forward_open(const struct experts *experts, const struct pass *pass,
                          struct experts_record *record, const struct tensor *x,
                          const struct tensor *offsets);
void experts_forward_turn(const struct experts *experts, const struct pass *pass,
                          const struct experts_record *record, const struct tensor *y,
                          const struct experts_turn *turn);
void experts_forward_close(const struct experts *experts, const struct pass *pass,
                           const struct experts_record *record);

/* experts_backward() in turns: first each one's d_x, of d_x [M, in], then, of all rows at once, the
 * gradients of the parameters. */
struct experts_gradients {
    struct experts_record record; /* with its hidden units */
    struct tensor d_sum;          /* [M, F] */
    struct tensor d_hidden;       /* [M*P, F] before the activation; of one patch it is d_sum */
};

void experts_backward_open(const struct experts *experts, const struct pass *pass,
                           struct experts_gradients *gradients,
                           const struct experts_record *record);
void experts_backward_turn(const struct experts *experts, const struct pass *pass,
                           const struct experts_gradients *gradients, const struct tensor *d_x,
                           const struct tensor *d_y, const struct experts_turn *turn);
void experts_backward_params(const struct experts *experts, const struct pass *pass,
                             const struct experts_gradients *gradients, const struct tensor *d_y);

/* Adds the gradients that a part's backward pass left to the parts' sums: param_add_part(). */
void experts_add_part(const struct experts *experts, const struct pass *pass);

#endif
