/* Int8 products in plain C. */
#include <string.h>

#include "backend/cpu/int8_kernel.h"

void int8_sums_plain(int32_t *sums, const struct int8_rows *rows, int64_t first, int64_t count,
                     const int8_t *blocks, int64_t n_blocks)
{
    const int64_t block_bytes = rows->step * QUANTIZED_COLUMNS;
    for (int64_t n = 0; n < count; n++)
        for (int64_t b = 0; b < n_blocks; b++) {
            const int8_t *x = rows->values + (first + n) * rows->step;
            const int8_t *w = blocks + b * block_bytes;
            int32_t sum[QUANTIZED_COLUMNS] = {0};
            for (int64_t i = 0; i < rows->step; i += QUANTIZED_DEPTH, w += QUANTIZED_INPUTS)
                for (int c = 0; c < QUANTIZED_COLUMNS; c++)
                    for (int d = 0; d < QUANTIZED_DEPTH; d++)
                        sum[c] += x[i + d] * w[c * QUANTIZED_DEPTH + d];
            memcpy(sums + n * INT8_COLUMNS + b * QUANTIZED_COLUMNS, sum, sizeof sum);
        }
}
