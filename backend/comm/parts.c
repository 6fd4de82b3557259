/* Sums of what the ranks sent. */
#include "backend/comm/parts.h"

#include <string.h>

/* So many numbers stay in the first cache while the ranks' parts are added. */
enum { BLOCK = 1024 };

static void add_floats(float *sum, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += x[i];
}

static void add_doubles(double *sum, const double *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] += x[i];
}

static void add_ints(int32_t *sum, const int32_t *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        sum[i] = (int32_t)((uint32_t)sum[i] + (uint32_t)x[i]);
}

static void add(void *sum, const void *x, int64_t n, enum dtype dtype)
{
    if (dtype == DTYPE_F32)
        add_floats(sum, x, n);
    else if (dtype == DTYPE_F64)
        add_doubles(sum, x, n);
    else
        add_ints(sum, x, n);
}

/* sum [n] = parts [size, n], or += where is_onto. */
static void sum_blocks(void *sum, const void *parts, int64_t n, int size, enum dtype dtype,
                       bool is_onto)
{
    const size_t element = dtype_size(dtype);
    for (int64_t from = 0; from < n; from += BLOCK) {
        const int64_t count = n - from < BLOCK ? n - from : BLOCK;
        char *target = (char *)sum + (size_t)from * element;
        const char *source = (const char *)parts + (size_t)from * element;
        if (!is_onto)
            memcpy(target, source, (size_t)count * element);
        for (int r = is_onto ? 0 : 1; r < size; r++)
            add(target, source + (size_t)r * (size_t)n * element, count, dtype);
    }
}

void parts_sum(void *sum, const void *parts, int64_t n, int size, enum dtype dtype)
{
    sum_blocks(sum, parts, n, size, dtype, false);
}

void parts_add(void *sum, const void *parts, int64_t n, int size, enum dtype dtype)
{
    sum_blocks(sum, parts, n, size, dtype, true);
}
