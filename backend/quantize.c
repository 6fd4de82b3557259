/* Rounding matrices to int8. */
#include "backend/quantize.h"

#include <math.h>
#include <string.h>

struct tensor quantized_blocks(const struct tensor *value, bool transposed)
{
    const bool is_grouped = value->rank == 3;
    const int64_t in = value->dim[value->rank - (transposed ? 1 : 2)];
    const int64_t out = value->dim[value->rank - (transposed ? 2 : 1)];
    struct tensor blocks = {.rank = value->rank + 1, .dtype = DTYPE_I8};
    int64_t *dim = blocks.dim;
    if (is_grouped)
        *dim++ = value->dim[0];
    *dim++ = (out + QUANTIZED_COLUMNS - 1) / QUANTIZED_COLUMNS;
    *dim++ = quantized_inputs(in) / QUANTIZED_DEPTH;
    *dim = QUANTIZED_COLUMNS * QUANTIZED_DEPTH;
    return blocks;
}

struct tensor quantized_scales(const struct tensor *value, bool transposed)
{
    const int64_t out = value->dim[value->rank - (transposed ? 2 : 1)];
    if (value->rank == 3)
        return (struct tensor){.rank = 2, .dim = {value->dim[0], out}, .dtype = DTYPE_F32};
    return (struct tensor){.rank = 1, .dim = {out}, .dtype = DTYPE_F32};
}

/* Steps between neighbours in a matrix as it is stored. */
struct steps {
    int64_t input, column;
};

/* The block of `count` columns from value on; block and scales are zero before. */
static bool quantize_block(int8_t *block, float *scales, const float *value, int64_t in,
                           int64_t count, struct steps steps)
{
    float largest[QUANTIZED_COLUMNS] = {0}, inverse[QUANTIZED_COLUMNS];
    bool is_finite = true;
    for (int64_t i = 0; i < in; i++)
        for (int64_t c = 0; c < count; c++) {
            const float size = fabsf(value[i * steps.input + c * steps.column]);
            is_finite &= size <= 3.40282347e38f;
            largest[c] = size > largest[c] ? size : largest[c];
        }
    if (!is_finite)
        return false;
    for (int64_t c = 0; c < count; c++) {
        const struct quantized_scale scale = quantized_scale_of(largest[c]);
        scales[c] = scale.scale;
        inverse[c] = scale.inverse;
    }
    for (int64_t i = 0; i < in; i++)
        for (int64_t c = 0; c < count; c++)
            block[quantized_place(in, i, c)] =
                (int8_t)lrintf(value[i * steps.input + c * steps.column] * inverse[c]);
    return true;
}

bool quantize_matrix(int8_t *blocks, float *scales, const float *value, int64_t in, int64_t out,
                     bool transposed)
{
    const struct steps steps = {transposed ? 1 : out, transposed ? in : 1};
    memset(blocks, 0, (size_t)quantized_matrix_bytes(in, out));
    for (int64_t first = 0; first < out; first += QUANTIZED_COLUMNS) {
        const int64_t left = out - first;
        if (!quantize_block(blocks + first / QUANTIZED_COLUMNS * quantized_block_bytes(in),
                            scales + first, value + first * steps.column, in,
                            left < QUANTIZED_COLUMNS ? left : QUANTIZED_COLUMNS, steps))
            return false;
    }
    return true;
}
