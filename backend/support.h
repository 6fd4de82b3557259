/* What implementations of backend.h share; whoever calls operations has no use for it. A module has
 * its own copy of support.c. */
#ifndef MIXT_BACKEND_SUPPORT_H
#define MIXT_BACKEND_SUPPORT_H

#include "backend/adam.h"
#include "backend/backend.h"

/* -- a tensor's numbers -- */

static inline float *floats(const struct tensor *tensor)
{
    CHECK(tensor->dtype == DTYPE_F32, "tensor of type %d", (int)tensor->dtype);
    return tensor->data;
}

static inline int32_t *ints(const struct tensor *tensor)
{
    CHECK(tensor->dtype == DTYPE_I32, "tensor of type %d", (int)tensor->dtype);
    return tensor->data;
}

/* The same of a tensor that may be NULL or absent: NULL then. */
static inline float *floats_or_null(const struct tensor *tensor)
{
    return tensor && tensor->rank ? floats(tensor) : NULL;
}

static inline int32_t *ints_or_null(const struct tensor *tensor)
{
    return tensor && tensor->rank ? ints(tensor) : NULL;
}

/* Of the offsets [G+1] of groups; NULL or absent: one group. */
static inline int64_t group_count(const struct tensor *groups)
{
    return groups && groups->rank ? tensor_count(groups) - 1 : 1;
}

/* -- shapes; a wrong one is a bug and aborts -- */

/* Sizes of one layer call, and its order of steps. */
struct lstm_shape {
    int64_t n_t, n_b, n_i, n_h, n_p;
    int64_t back; /* the step before t is t + back: -1, or 1 when reversed */
};

/* Of lstm_forward() and lstm_backward(). */
struct lstm_shape lstm_shape_of(const struct tensor *r, const struct tensor *x,
                                const struct lstm *lstm);

/* lstm_room() of who keeps gates, cells and hidden. */
int64_t lstm_room_of(struct backend *backend, const struct tensor *x, const struct lstm *lstm);

/* The same layer with these in the room, where it has one; without hidden in one that has no place
 * for it. */
struct lstm lstm_in_room(const struct lstm *lstm, struct lstm_shape s);

/* Of lstm_cell() and lstm_cell_backward(): third is a tensor like cells; before may be NULL. */
void lstm_check_cells(const struct tensor *gates, const struct tensor *cells,
                      const struct tensor *before, const struct tensor *third);

/* Of lstm_step_cell(). */
void lstm_check_step(const struct tensor *cells, const struct tensor *hidden,
                     const struct lstm_step *step);

/* Of additive_scores() and its backward. */
void additive_check(const struct tensor *scores, const struct tensor *query,
                    const struct tensor *keys, const struct tensor *v,
                    const struct tensor *lengths);

/* Of a gradient that is a product, and room for some of its matrices; returns E. */
int64_t product_check(const struct tensor *room, const struct product_gradient *gradient);

/* -- Adam -- */

/* has_first: there is a first moment. */
struct adam_rates adam_rates_of(const struct adam *adam, bool has_first);

#endif
