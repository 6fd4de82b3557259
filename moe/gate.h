/* Noisy top-k gating: choose K of E experts for each token and weight them.
 *
 * Shazeer et al. 2017, eqs. 3-5, and the balance losses of eqs. 6-11:
 *   H = x W_g + normal * softplus(x W_noise)    weights = softmax over the K largest of H
 *   importance_e = sum of weights               load_e = sum of P(e is among the K largest)
 *   loss = w_importance CV(importance)^2 + w_load CV(load)^2
 * W_g and W_noise start at zero. Noise is drawn in training only. */
#ifndef MIXT_MOE_GATE_H
#define MIXT_MOE_GATE_H

#include "layer/param.h"
#include "layer/pass.h"

struct gate {
    struct param *weight; /* W_g [D, E] */
    struct param *noise;  /* W_noise [D, E] */
    int64_t n_experts;    /* E */
    int64_t top_k;        /* K, 1..E */
    double importance_weight, load_weight;
    uint32_t stream; /* of the noise's random numbers */
};

struct gate_record {
    struct tensor x;          /* [N, D] borrowed */
    struct tensor clean;      /* [N, E] x W_g */
    struct tensor raw;        /* [N, E] x W_noise; absent outside of training, as the next two */
    struct tensor stddev;     /* [N, E] softplus(raw) */
    struct tensor noisy;      /* [N, E] H */
    struct tensor top;        /* [N, K+1] largest of H; [N, K] where K = E or outside of training */
    struct tensor order;      /* same shape, i32: their experts */
    struct tensor weights;    /* [N, K] rows sum to 1 */
    struct tensor experts;    /* [N, K] i32, highest weight first; ties go to the lower index */
    struct tensor importance; /* [E]; absent outside of training, as the rest */
    struct tensor load;       /* [E] */
    struct tensor d_importance; /* [E] gradients of the balance losses, scaled */
    struct tensor d_load;       /* [E] */
    struct tensor losses;       /* [2] importance loss, load loss; scaled */
};

/* Adds "PREFIX.gate.weight" and "PREFIX.gate.noise", both zero. */
void gate_init(struct gate *gate, struct param_list *params, const char *prefix, int64_t dim);

/* Chooses for x [N, D]. names [N] i32: each token's name for random numbers, or NULL.
 * balance_scale multiplies the balance losses and so their gradients. */
void gate_forward(const struct gate *gate, const struct pass *pass, struct gate_record *record,
                  const struct tensor *x, const struct tensor *names, double balance_scale);

/* d_x [N, D] += and the parameters' gradients, from d_weights [N, K], which is overwritten. */
void gate_backward(const struct gate *gate, const struct pass *pass, const struct tensor *d_x,
                   const struct tensor *d_weights, const struct gate_record *record);

#endif
