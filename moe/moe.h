/* The sparsely gated mixture-of-experts layer, with its residual.
 *
 * Shazeer et al. 2017, eq. 1: y = sum over the chosen experts of weight * expert(x), then, in the
 * order of their appendix C: sigmoid (an option), dropout, residual. Dispatch is dropless: every
 * token reaches all of its K experts, in training and in decoding. */
#ifndef MIXT_MOE_MOE_H
#define MIXT_MOE_MOE_H

#include "layer/sequence.h"
#include "moe/experts.h"
#include "moe/gate.h"

struct moe {
    char name[64]; /* the parameters' prefix, such as "encoder.moe2" */
    struct gate gate;
    struct experts experts;
    bool has_sigmoid;
    uint32_t stream; /* of the dropout's random numbers */
};

struct moe_config {
    int64_t n_experts; /* E, 1.. */
    int64_t top_k;     /* K, 1..E */
    int64_t hidden;    /* F */
    bool has_sigmoid;
    double importance_weight, load_weight;
};

struct moe_record {
    struct tensor x; /* [N, D] the real tokens */
    struct gate_record gate;
    struct experts_record experts;
    struct tensor order;   /* [N*K] i32, choices by expert */
    struct tensor place;   /* [N, K] i32, its inverse */
    struct tensor offsets; /* [E+1] i32 */
    struct tensor outputs; /* [N*K, D] of the experts */
    struct tensor y;       /* [N, D] after the sigmoid */
};

/* Random streams a layer uses: stream for the gate's noise and stream + 1 for dropout. */
void moe_init(struct moe *moe, struct param_list *params, const char *name, int64_t dim,
              const struct moe_config *config, uint32_t stream);

/* y [T, B, D] = x + dropout(act(mixture(x))) at the real positions of the sequence, 0 elsewhere:
 * padding is never routed. balance_scale as in gate_forward. */
void moe_forward(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                 const struct tensor *y, const struct tensor *x, const struct sequence *sequence,
                 double balance_scale);

/* d [T, B, D] inout: d_y becomes d_x; the parameters' gradients accumulate. */
void moe_backward(const struct moe *moe, const struct pass *pass, const struct moe_record *record,
                  const struct tensor *d, const struct sequence *sequence);

#endif
