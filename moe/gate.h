/* Gates: which experts a token goes to, and with what weight.
 *
 *   softmax      all of them: G = softmax(x W_g)                                          (eq. 2)
 *   noisy_top_k  softmax over the K largest of H = x W_g + normal * softplus(x W_noise)  (eqs. 3-5)
 *   switch       the largest of x W_g + uniform, with its weight in softmax(x W_g)
 *                (Chen et al. 2022)
 *   balanced     of softmax(x W_g), in training what is among the largest of its expert over the
 *                batch, so that every expert gets the same number of tokens; else what is above a
 *                learned threshold; weights are the softmax's, normalised      (eqs. 15-20)
 *
 * Equations of Shazeer et al. 2017. Noise is drawn in training only. A gate may also stand in the
 * second level of a hierarchy (appendix B): G gates side by side, one for each group of experts,
 * each with its own parameters and its own tokens.
 *
 * Where several ranks run a pass a balanced gate's batch is the tokens of all of them, in the order
 * in which one rank would have them, so that it chooses as there (moe/columns.h); by parts it is
 * each part's own. */
#ifndef MIXT_MOE_GATE_H
#define MIXT_MOE_GATE_H

#include "layer/param.h"
#include "layer/pass.h"

enum gate_kind { GATE_SOFTMAX, GATE_NOISY_TOP_K, GATE_SWITCH, GATE_BALANCED };

struct gate_config {
    enum gate_kind kind;
    int64_t n_experts;       /* E, of one group */
    int64_t top_k;           /* K, 1..E; E for softmax, 1 for switch; balanced: on average */
    double noise;            /* scale of the noise, >= 0; noisy_top_k and switch */
    double threshold_weight; /* of eq. 20's loss, a mean over tokens; balanced */
};

struct gate {
    struct gate_config config;
    int64_t n_groups;        /* G */
    struct param *weight;    /* W_g [D, E], or [G, D, E] for G > 1 */
    struct param *noise;     /* W_noise, same shape; noisy_top_k with noise, else NULL */
    struct param *threshold; /* [E] or [G, E] logarithms of thresholds; balanced, else NULL */
    uint32_t stream;         /* of the noise's random numbers */
};

struct gate_record {
    struct tensor x;              /* [N, D] borrowed */
    struct gating gating;         /* scores and choices */
    struct tensor p;              /* [N, E] softmax(clean); switch and balanced */
    struct tensor mask;           /* [N, E] i32; balanced */
    struct tensor d_p;            /* [N, E] gradients of the threshold loss; balanced in training */
    struct tensor d_threshold;    /* [G*E] */
    struct tensor threshold_loss; /* [1] of the tokens here, scaled; likewise */
};

/* Adds "PREFIX.weight" and, where the kind has them, "PREFIX.noise" and "PREFIX.threshold". W_g and
 * W_noise start at zero (noise alone breaks ties at first), but W_g of a balanced gate, which has
 * no noise, uniform in +-sqrt(3 / D); thresholds at 1 / E. */
void gate_init(struct gate *gate, struct param_list *params, const char *prefix, int64_t dim,
               const struct gate_config *config, int64_t n_groups, uint32_t stream);

/* Chooses for x [N, D]. names [N] i32: each token's name for random numbers, or NULL. groups [G+1]
 * i32: where each group's tokens start; NULL where G = 1. balance_scale multiplies the threshold
 * loss. Reads back a count from the device where kind is balanced; with several ranks a training
 * pass is collective then, and names are of a sequence. */
void gate_forward(const struct gate *gate, const struct pass *pass, struct gate_record *record,
                  const struct tensor *x, const struct tensor *names, const struct tensor *groups,
                  double balance_scale);

/* The part in a pass of several ranks of one that has no token; groups as above, all zero. */
void gate_forward_none(const struct gate *gate, const struct pass *pass, struct gate_record *record,
                       const struct tensor *groups);

/* d_x [N, D] += and the parameters' gradients, from d_weights (as gating.weights) and d_load [G*E],
 * NULL where there is no loss of it. The record is used up. */
void gate_backward(const struct gate *gate, const struct pass *pass, const struct tensor *d_x,
                   const struct tensor *d_weights, const struct tensor *d_load,
                   const struct gate_record *record);

#endif
