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
#include "moe/gate.h"

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
    struct experts experts;
    uint32_t stream; /* of the dropout's random numbers */
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
    struct experts_record experts;
    struct tensor mixture; /* [N, D] after the sigmoid */
    /* In training only: */
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

/* y [T, B, D] = x + dropout(act(mixture(x))) at the real positions of the sequence, 0 elsewhere:
 * padding is never routed. balance_scale multiplies the balance losses and so their gradients. */
void moe_forward(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                 const struct tensor *y, const struct tensor *x, const struct sequence *sequence,
                 double balance_scale);

/* d [T, B, D] inout: d_y becomes d_x; the parameters' gradients accumulate. */
void moe_backward(const struct moe *moe, const struct pass *pass, const struct moe_record *record,
                  const struct tensor *d, const struct sequence *sequence);

/* What was chosen, sorted by expert as moe_offsets() says: fresh tensors tokens [C] i32, rows of
 * record->x, and weights [C], over both levels. */
void moe_choices(const struct moe *moe, const struct pass *pass, const struct moe_record *record,
                 struct tensor *tokens, struct tensor *weights);

/* [n_experts + 1] i32: where each expert's choices start. */
const struct tensor *moe_offsets(const struct moe *moe, const struct moe_record *record);

#endif
