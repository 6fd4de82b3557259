/* Walking over a gating: groups of tokens, and the choices of each token. */
#ifndef MIXT_BACKEND_REF_CHOICES_H
#define MIXT_BACKEND_REF_CHOICES_H

#include "backend/ref/real.h"

/* Rows group_first(g) .. group_end(g)-1 of x are group g's. */
static inline int64_t group_first(const struct tensor *groups, int64_t g)
{
    return groups ? ints(groups)[g] : 0;
}

static inline int64_t group_end(const struct tensor *groups, const struct tensor *x, int64_t g)
{
    return groups ? ints(groups)[g + 1] : tensor_rows(x);
}

/* Token n's choices are first_of(n) .. first_of(n+1)-1: K each, or as starts says. */
static inline int64_t first_of(const struct tensor *starts, int64_t k, int64_t n)
{
    return starts ? ints(starts)[n] : n * k;
}

/* Choices first_choice(n) .. first_choice(n+1)-1 are token n's. */
static inline int64_t first_choice(const struct gating *gating, int64_t n)
{
    return first_of(tensor_or_null(&gating->starts), tensor_columns(&gating->experts), n);
}

static inline double scale_of(const struct gating *gating, int64_t n)
{
    return gating->scale.rank ? (double)reals(&gating->scale)[n] : 1;
}

#endif
