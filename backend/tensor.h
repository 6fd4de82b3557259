/* A view of numbers in a backend's memory: shape and type, no ownership.
 *
 * Dense, row-major, the last dimension contiguous. Sequences are time-major: [T, B, D]. */
#ifndef MIXT_BACKEND_TENSOR_H
#define MIXT_BACKEND_TENSOR_H

#include <stdint.h>

#include "base/arena.h"

enum { TENSOR_MAX_RANK = 4 };

enum dtype { DTYPE_F32, DTYPE_F64, DTYPE_I32, DTYPE_I8 };

struct tensor {
    void *data;                   /* borrowed from an arena; NULL in a zeroed, absent tensor */
    int64_t dim[TENSOR_MAX_RANK]; /* the first `rank` are in use, each >= 0 */
    int rank;
    enum dtype dtype;
};

size_t dtype_size(enum dtype dtype);

/* NULL for an absent tensor, as operations with optional arguments want it. */
static inline const struct tensor *tensor_or_null(const struct tensor *tensor)
{
    return tensor->rank ? tensor : NULL;
}

/* Takes a tensor from an arena; its content is undefined. */
struct tensor tensor_1d(struct arena *arena, enum dtype dtype, int64_t d0);
struct tensor tensor_2d(struct arena *arena, enum dtype dtype, int64_t d0, int64_t d1);
struct tensor tensor_3d(struct arena *arena, enum dtype dtype, int64_t d0, int64_t d1, int64_t d2);

/* Takes a tensor of another one's shape and type. */
struct tensor tensor_like(struct arena *arena, const struct tensor *model);

/* Product of all dimensions; 0 for an absent tensor. */
int64_t tensor_count(const struct tensor *tensor);

/* Product of all dimensions but the last, and the last: a tensor seen as a matrix. */
int64_t tensor_rows(const struct tensor *tensor);
int64_t tensor_columns(const struct tensor *tensor);

/* The same numbers seen as [d0, d1] or [d0, d1, d2]; the count must not change. */
struct tensor tensor_as_2d(const struct tensor *tensor, int64_t d0, int64_t d1);
struct tensor tensor_as_3d(const struct tensor *tensor, int64_t d0, int64_t d1, int64_t d2);

/* Entries first .. first+count-1 of the first dimension. */
struct tensor tensor_slice(const struct tensor *tensor, int64_t first, int64_t count);

#endif
