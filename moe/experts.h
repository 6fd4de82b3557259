/* E feed-forward experts with one ReLU layer each, run on the rows sorted to them.
 *
 * y = relu(x W1_e + b1_e) W2_e + b2_e. All experts of a layer lie in one tensor [E, in, out]. */
#ifndef MIXT_MOE_EXPERTS_H
#define MIXT_MOE_EXPERTS_H

#include "layer/param.h"
#include "layer/pass.h"

struct experts {
    struct param *up;        /* W1 [E, D, F] */
    struct param *up_bias;   /* [E, F] */
    struct param *down;      /* W2 [E, F, D] */
    struct param *down_bias; /* [E, D] */
};

struct experts_record {
    struct tensor x;       /* [M, D] borrowed: rows sorted by expert */
    struct tensor hidden;  /* [M, F] after the ReLU */
    struct tensor offsets; /* [E+1] i32 borrowed: where each expert's rows start */
};

/* Adds "PREFIX.expert.up", ".up_bias", ".down", ".down_bias"; matrices uniform in +-sqrt(3 / in).
 * */
void experts_init(struct experts *experts, struct param_list *params, const char *prefix,
                  int64_t n_experts, int64_t dim, int64_t hidden);

/* y [M, D] of x [M, D]. */
void experts_forward(const struct experts *experts, const struct pass *pass,
                     struct experts_record *record, const struct tensor *y, const struct tensor *x,
                     const struct tensor *offsets);

/* d_x [M, D] from d_y [M, D]. */
void experts_backward(const struct experts *experts, const struct pass *pass,
                      const struct tensor *d_x, const struct experts_record *record,
                      const struct tensor *d_y);

#endif
