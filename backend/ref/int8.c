/* Products with weights in int8, number by number: the integers that every kernel must find. */
#include <math.h>

#include "backend/quantize.h"
#include "backend/ref/real.h"

static int32_t round_to_int8(real x, float inverse)
{
    return (int32_t)lrintf((float)x * inverse);
}

/* Numbers that are not finite come out as the largest. */
static float largest_of(const real *x, int64_t n)
{
    float largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const float size = fabsf((float)x[i]);
        largest = size <= largest ? largest : size;
        if (isnan(size))
            return size;
    }
    return largest;
}

void REF(int8_row)(real *y, const real *x, const struct weight *weight, bool transposed,
                   int64_t group, const real *bias, enum activation activation, bool accumulate)
{
    const struct tensor *value = &weight->value;
    const int64_t in = value->dim[value->rank - (transposed ? 1 : 2)];
    const int64_t out = value->dim[value->rank - (transposed ? 2 : 1)];
    const int8_t *q = (const int8_t *)weight->blocks.data + group * quantized_matrix_bytes(in, out);
    const float *scales = (const float *)weight->scales.data + group * out;
    const struct quantized_scale row = quantized_scale_of(largest_of(x, in));
    for (int64_t j = 0; j < out; j++) {
        int32_t sum = 0;
        for (int64_t i = 0; i < in && row.inverse > 0; i++)
            sum += round_to_int8(x[i], row.inverse) * q[quantized_place(in, i, j)];
        real value_of = (float)sum * (row.scale * scales[j]);
        if (bias)
            value_of += bias[j];
        if (accumulate)
            value_of += y[j];
        y[j] = activation == ACTIVATION_NONE ? value_of
                                             : (real)REF(activation_value)(value_of, activation);
    }
}
