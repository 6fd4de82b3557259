/* Experts that are divided over the ranks of a job: rows go there, are computed, and come back.
 *
 * All calls are collective. */
#ifndef MIXT_MOE_FAR_H
#define MIXT_MOE_FAR_H

#include "moe/exchange.h"
#include "moe/experts.h"

struct far_record {
    struct exchange exchange;
    struct experts_record *turns; /* [exchange_turns()] in the pass's host arena */
};

/* y [C, out] of x [C, in], rows sorted by expert; offsets [E+1] of all experts. */
void far_forward(const struct experts *experts, const struct pass *pass, struct far_record *record,
                 const struct tensor *y, const struct tensor *x, const struct tensor *offsets);

/* d_x [C, in] from d_y [C, out]. In a pass by parts the experts' gradients are added turn by turn
 * to the parts' sums. */
void far_backward(const struct experts *experts, const struct pass *pass, const struct tensor *d_x,
                  const struct far_record *record, const struct tensor *d_y);

#endif
