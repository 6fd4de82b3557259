/* Matrices in int8: their order in memory and in files, and the rule by which numbers are rounded.
 *
 * A number is scale * q with q whole in -127..127. Each column of a matrix has its own scale, the
 * largest magnitude in the column / 127, and so has each row of what it is multiplied with.
 *
 * A matrix [in, out] is cut into blocks of 16 columns, and these into rows of 4 inputs:
 *   blocks [ceil(out / 16), ceil(in / 64) * 16, 16, 4], the last two seen as one of 64,
 * filled up with zeros. 64 bytes are what a vector unit multiplies at once, 16 such rows a tile of
 * AMX, and one block of columns is read from front to back: so no kernel needs another order, and a
 * file that is mapped can be used as it lies. */
#ifndef MIXT_BACKEND_QUANTIZE_H
#define MIXT_BACKEND_QUANTIZE_H

#include <stdbool.h>

#include "backend/tensor.h"

enum {
    QUANTIZED_COLUMNS = 16, /* of a block */
    QUANTIZED_DEPTH = 4,    /* inputs of one column that stand together */
    QUANTIZED_INPUTS = 64,  /* inputs are filled up to a multiple of it */
    QUANTIZED_MAX = 127
};

static inline int64_t quantized_inputs(int64_t in)
{
    return (in + QUANTIZED_INPUTS - 1) / QUANTIZED_INPUTS * QUANTIZED_INPUTS;
}

/* Bytes of a block of columns, and of a whole matrix. */
static inline int64_t quantized_block_bytes(int64_t in)
{
    return quantized_inputs(in) * QUANTIZED_COLUMNS;
}

static inline int64_t quantized_matrix_bytes(int64_t in, int64_t out)
{
    return (out + QUANTIZED_COLUMNS - 1) / QUANTIZED_COLUMNS * quantized_block_bytes(in);
}

/* Where the number of an input and a column stands. */
static inline int64_t quantized_place(int64_t in, int64_t input, int64_t column)
{
    return column / QUANTIZED_COLUMNS * quantized_block_bytes(in) +
           input / QUANTIZED_DEPTH * QUANTIZED_COLUMNS * QUANTIZED_DEPTH +
           column % QUANTIZED_COLUMNS * QUANTIZED_DEPTH + input % QUANTIZED_DEPTH;
}

struct quantized_scale {
    float scale;   /* of a step */
    float inverse; /* steps: q = value * inverse, rounded to the nearest, ties to even */
};

/* The scale for numbers of at most this magnitude. What is below 2^-100 counts as zero, and with an
 * infinity or a NaN all results become NaN. */
static inline struct quantized_scale quantized_scale_of(float largest)
{
    if (largest < 0x1p-100f)
        return (struct quantized_scale){0, 0};
    if (!(largest <= 3.40282347e38f))
        return (struct quantized_scale){__builtin_nanf(""), 0};
    return (struct quantized_scale){largest / QUANTIZED_MAX, QUANTIZED_MAX / largest};
}

/* The shapes, without data, of `blocks` and `scales` in struct weight for a value [in, out] or
 * [E, in, out]; transposed: for products with its transpose. */
struct tensor quantized_blocks(const struct tensor *value, bool transposed);
struct tensor quantized_scales(const struct tensor *value, bool transposed);

/* Rounds a matrix [in, out], or a transposed one that is stored as [out, in]. blocks
 * [quantized_matrix_bytes()], scales [out]. False where a number is not finite. */
bool quantize_matrix(int8_t *blocks, float *scales, const float *value, int64_t in, int64_t out,
                     bool transposed);

#endif
