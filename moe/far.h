/* Experts that are divided over the ranks of a job: rows go there, are computed, and come back.
 *
 * The first half of a rank's experts computes while the other half's rows are on their way, the
 * second while the first's results go back, and gradients of parameters are taken while those of
 * the inputs go back. By parts, and where there is no overlap (comm_overlaps()), one comes after
 * the other. Either way an expert's rows are in one product: overlap changes no bit and reads no
 * matrix twice. It costs twice the messages.
 *
 * All calls are collective. */
#ifndef MIXT_MOE_FAR_H
#define MIXT_MOE_FAR_H

#include "moe/exchange.h"
#include "moe/experts.h"

struct far_record {
    struct exchange exchange;
    struct experts_record experts; /* of all rows here */
    struct experts_turn turns[EXCHANGE_MAX_TRIPS];
    struct experts_record
        *parts; /* by parts: [exchange_parts()] instead, in the pass's host arena */
};

/* y [C, out] of x [C, in], rows sorted by expert; offsets [E+1] of all experts. */
void far_forward(const struct experts *experts, const struct pass *pass, struct far_record *record,
                 const struct tensor *y, const struct tensor *x, const struct tensor *offsets);

/* d_x [C, in] from d_y [C, out]. In a pass by parts the experts' gradients are added part by part
 * to the parts' sums. */
void far_backward(const struct experts *experts, const struct pass *pass, const struct tensor *d_x,
                  const struct far_record *record, const struct tensor *d_y);

#endif
