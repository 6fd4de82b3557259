/* The sparsely gated mixture-of-experts layer, with its residual: flat, or of two levels.
 *
 * Shazeer et al. 2017, eq. 1: y = sum over the chosen experts of weight * expert(x), then, in the
 * order of their appendix C: sigmoid (an option), dropout, residual. In two levels (appendix B, eq.
 * 12) a gate chooses among a groups, and in each chosen group a gate of its own among b experts:
 * work and memory of gating grow with a + b. Dispatch is dropless: every token reaches all of its
 * experts, in training and in decoding. */
#ifndef MIXT_MOE_MOE_H
#define MIXT_MOE_MOE_H

#include "layer/sequence.h"
#include "moe/experts.h"
#include "moe/far.h"
#include "moe/gate.h"
#include "moe/recurrent.h"

enum { MOE_MAX_LEVELS = 2 };

struct moe_config {
    int64_t n_levels;                        /* 1, or 2 */
    struct gate_config gate[MOE_MAX_LEVELS]; /* of the experts; or of groups, then of experts */
    struct expert_config expert;
    bool has_sigmoid;
    double importance_weight, load_weight;
};

struct moe {
    char name[64]; /* the parameters' prefix, such as "encoder.moe2" */
    struct moe_config config;
    int64_t n_experts; /* of all groups */
    struct gate gate[MOE_MAX_LEVELS];
    struct experts experts;     /* all kinds but EXPERT_LSTM */
    struct recurrent recurrent; /* EXPERT_LSTM */
    uint32_t stream;            /* of the dropout's random numbers */
};

/* One level's choices, sorted by expert: C of them. */
struct moe_level {
    struct gate_record gate;
    struct tensor rows;    /* [C] i32 the level's token at each place */
    struct tensor place;   /* [C] i32 where each choice went */
    struct tensor offsets; /* [G*E+1] i32 where each expert starts */
    struct tensor inputs;  /* [C, D] the tokens at their places */
    struct tensor outputs; /* [C, D] what came back for each: of experts, or of groups */
};

struct moe_record {
    struct tensor x; /* [N, D] the real tokens */
    struct moe_level level[MOE_MAX_LEVELS];
    struct experts_record experts;     /* of experts that are all here, or ... */
    struct recurrent_record recurrent; /* as the kind is, or ... */
    struct far_record far;             /* where ranks divide the experts */
    struct tensor mixture;             /* [N, D] after the sigmoid */
    /* In training only, and of the tokens of all ranks, in a pass by parts of its own: */
    struct tensor offsets[MOE_MAX_LEVELS];    /* as each level's */
    struct tensor importance;                 /* [n_experts] eqs. 6, 13 */
    struct tensor load;                       /* [n_experts] eqs. 10, 14 */
    struct tensor d_importance;               /* [n_experts] of the balance losses, scaled */
    struct tensor d_load;                     /* [n_experts] */
    struct tensor level_load[MOE_MAX_LEVELS]; /* each level's load, which eq. 14 joins */
    struct tensor losses;                     /* [2] importance loss, load loss; scaled */
};

/* Adds "PREFIX.gate.*", with two levels "PREFIX.gate2.*", and "PREFIX.expert.*". Random streams it
 * uses: stream and stream + 2 for the gates' noise, stream + 1 for dropout. */
void moe_init(struct moe *moe, struct param_list *params, const char *name, int64_t dim,
              const struct moe_config *config, uint32_t stream);

/* Whether the experts are LSTMs, which keep a state from token to token of a sentence. */
bool moe_is_recurrent(const struct moe *moe);

/* Where several ranks run a pass (pass->comm) each has tokens of its own and a share of the experts
 * (moe/exchange.h), which are feed-forward then; the losses, and what balanced gates choose by, are
 * of all tokens together: forward and backward passes are collective. By parts (struct pass) they
 * are of the rank's own tokens, and what a backward pass adds to the experts' gradients it adds to
 * the sums of the parts.
 *
 * y [T, B, D] = x + dropout(act(mixture(x))) at the real positions of the sequence, 0 elsewhere:
 * padding is never routed. x [N, D] stands for [1, N, D]. balance_scale multiplies the balance
 * losses and so their gradients. */
void moe_forward(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                 const struct tensor *y, const struct tensor *x, const struct sequence *sequence,
                 double balance_scale);

/* d [T, B, D] inout: d_y becomes d_x; the parameters' gradients accumulate; the record is used up.
 */
void moe_backward(const struct moe *moe, const struct pass *pass, const struct moe_record *record,
                  const struct tensor *d, const struct sequence *sequence);

/* The part in a pass of several ranks of one that has no token: tokens of others may come to its
 * experts. */
void moe_forward_none(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                      double balance_scale);
void moe_backward_none(const struct moe *moe, const struct pass *pass,
                       const struct moe_record *record);

/* -- step by step: one token each of N hypotheses; state is used by LSTM experts alone -- */

/* Zero states, with room for max_rows hypotheses, from the pass's arena. */
void moe_start(const struct moe *moe, const struct pass *pass, struct recurrent_state *state,
               int64_t max_rows);

/* y [N, D] of x [N, D] as moe_forward(), going on from the state. */
void moe_step(const struct moe *moe, const struct pass *pass, struct recurrent_state *state,
              const struct tensor *y, const struct tensor *x);

/* Hypothesis i becomes the former parents[i] (host memory), for n_rows of them. */
void moe_reorder(const struct moe *moe, struct recurrent_state *state, const int32_t *parents,
                 int64_t n_rows);

/* -- what was chosen -- */

/* What was chosen, sorted by expert as moe_offsets() says: fresh tensors tokens [C] i32, rows of
 * record->x, and weights [C], over both levels. */
void moe_choices(const struct moe *moe, const struct pass *pass, const struct moe_record *record,
                 struct tensor *tokens, struct tensor *weights);

/* [n_experts + 1] i32: where each expert's choices start. */
const struct tensor *moe_offsets(const struct moe *moe, const struct moe_record *record);

#endif
