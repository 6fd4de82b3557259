/* Tensor shapes: arithmetic on dimensions, never on numbers. */
#include "backend/tensor.h"

size_t dtype_size(enum dtype dtype)
{
    switch (dtype) {
    case DTYPE_F32:
    case DTYPE_I32:
        return 4;
    case DTYPE_F64:
        return 8;
    case DTYPE_I8:
        return 1;
    }
    CHECK(false, "dtype %d", (int)dtype);
}

static struct tensor take(struct arena *arena, struct tensor shape)
{
    size_t size = dtype_size(shape.dtype);
    for (int i = 0; i < shape.rank; i++) {
        CHECK(shape.dim[i] >= 0, "dimension %d is %lld", i, (long long)shape.dim[i]);
        CHECK(!__builtin_mul_overflow(size, (size_t)shape.dim[i], &size), "size overflows");
    }
    shape.data = arena_take(arena, size);
    return shape;
}

struct tensor tensor_1d(struct arena *arena, enum dtype dtype, int64_t d0)
{
    return take(arena, (struct tensor){.dim = {d0}, .rank = 1, .dtype = dtype});
}

struct tensor tensor_2d(struct arena *arena, enum dtype dtype, int64_t d0, int64_t d1)
{
    return take(arena, (struct tensor){.dim = {d0, d1}, .rank = 2, .dtype = dtype});
}

struct tensor tensor_3d(struct arena *arena, enum dtype dtype, int64_t d0, int64_t d1, int64_t d2)
{
    return take(arena, (struct tensor){.dim = {d0, d1, d2}, .rank = 3, .dtype = dtype});
}

struct tensor tensor_like(struct arena *arena, const struct tensor *model)
{
    return take(arena, *model);
}

int64_t tensor_count(const struct tensor *tensor)
{
    if (tensor->rank == 0)
        return 0;
    int64_t count = 1;
    for (int i = 0; i < tensor->rank; i++)
        count *= tensor->dim[i];
    return count;
}

int64_t tensor_columns(const struct tensor *tensor)
{
    CHECK(tensor->rank > 0, "an absent tensor has no columns");
    return tensor->dim[tensor->rank - 1];
}

int64_t tensor_rows(const struct tensor *tensor)
{
    CHECK(tensor->rank > 0, "an absent tensor has no rows");
    int64_t rows = 1;
    for (int i = 0; i < tensor->rank - 1; i++)
        rows *= tensor->dim[i];
    return rows;
}

static struct tensor reshape(const struct tensor *tensor, struct tensor shape)
{
    CHECK(tensor_count(&shape) == tensor_count(tensor), "%lld numbers cannot become %lld",
          (long long)tensor_count(tensor), (long long)tensor_count(&shape));
    shape.data = tensor->data;
    shape.dtype = tensor->dtype;
    return shape;
}

struct tensor tensor_as_2d(const struct tensor *tensor, int64_t d0, int64_t d1)
{
    return reshape(tensor, (struct tensor){.dim = {d0, d1}, .rank = 2});
}

struct tensor tensor_as_3d(const struct tensor *tensor, int64_t d0, int64_t d1, int64_t d2)
{
    return reshape(tensor, (struct tensor){.dim = {d0, d1, d2}, .rank = 3});
}

struct tensor tensor_slice(const struct tensor *tensor, int64_t first, int64_t count)
{
    CHECK(tensor->rank > 0 && first >= 0 && count >= 0 && first + count <= tensor->dim[0],
          "entries %lld..%lld of %lld", (long long)first, (long long)(first + count),
          (long long)tensor->dim[0]);
    struct tensor slice = *tensor;
    int64_t stride = 1;
    for (int i = 1; i < tensor->rank; i++)
        stride *= tensor->dim[i];
    slice.dim[0] = count;
    slice.data = (char *)tensor->data + (size_t)(first * stride) * dtype_size(tensor->dtype);
    return slice;
}
