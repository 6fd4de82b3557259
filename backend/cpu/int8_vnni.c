/* Int8 products with AVX512-VNNI. Its instruction multiplies bytes without sign with bytes with
 * one: weights go in as w + 128, and 128 times the sum of the row is taken off again. */
#include "backend/cpu/int8_kernel.h"

#if defined(__x86_64__)
#    include <immintrin.h>
#    include <string.h>

#    define VNNI        "avx512f,avx512bw,avx512vl,avx512vnni"
#    define VNNI_INLINE static inline __attribute__((target(VNNI), always_inline))

/* `rows` rows with `blocks` blocks; both are constant where it is called. */
VNNI_INLINE void tile(int32_t *sums, const int8_t *x, const int32_t *row_sums, int64_t step,
                      const int8_t *w, const int rows, const int blocks)
{
    const __m512i flip = _mm512_set1_epi8(-128);
    const int64_t block_bytes = step * QUANTIZED_COLUMNS;
    __m512i sum[6][INT8_BLOCKS];
    for (int n = 0; n < rows; n++)
        for (int b = 0; b < blocks; b++)
            sum[n][b] = _mm512_set1_epi32(-128 * row_sums[n]);
    for (int64_t i = 0; i < step; i += QUANTIZED_DEPTH, w += QUANTIZED_INPUTS) {
        __m512i part[INT8_BLOCKS];
        for (int b = 0; b < blocks; b++)
            part[b] = _mm512_xor_si512(_mm512_loadu_si512(w + b * block_bytes), flip);
        for (int n = 0; n < rows; n++) {
            int32_t four;
            memcpy(&four, x + n * step + i, sizeof four);
            const __m512i same = _mm512_set1_epi32(four);
            for (int b = 0; b < blocks; b++)
                sum[n][b] = _mm512_dpbusd_epi32(sum[n][b], part[b], same);
        }
    }
    for (int n = 0; n < rows; n++)
        for (int b = 0; b < blocks; b++)
            _mm512_storeu_si512(sums + n * INT8_COLUMNS + b * QUANTIZED_COLUMNS, sum[n][b]);
}

/* Any number of rows from 1 to 6. */
VNNI_INLINE void tile_rows(int32_t *sums, const int8_t *x, const int32_t *row_sums, int64_t step,
                           const int8_t *w, int64_t rows, const int blocks)
{
    switch (rows) {
    case 1:
        tile(sums, x, row_sums, step, w, 1, blocks);
        break;
    case 2:
        tile(sums, x, row_sums, step, w, 2, blocks);
        break;
    case 3:
        tile(sums, x, row_sums, step, w, 3, blocks);
        break;
    case 4:
        tile(sums, x, row_sums, step, w, 4, blocks);
        break;
    case 5:
        tile(sums, x, row_sums, step, w, 5, blocks);
        break;
    default:
        tile(sums, x, row_sums, step, w, 6, blocks);
        break;
    }
}

__attribute__((target(VNNI))) void int8_sums_vnni(int32_t *sums, const struct int8_rows *rows,
                                                  int64_t first, int64_t count,
                                                  const int8_t *blocks, int64_t n_blocks)
{
    const int64_t step = rows->step;
    for (int64_t n = 0; n < count; n += 6) {
        const int64_t left = count - n < 6 ? count - n : 6;
        const int8_t *x = rows->values + (first + n) * step;
        const int32_t *row_sums = rows->sums + first + n;
        int32_t *target = sums + n * INT8_COLUMNS;
        if (n_blocks == INT8_BLOCKS) {
            tile_rows(target, x, row_sums, step, blocks, left, INT8_BLOCKS);
            continue;
        }
        for (int64_t b = 0; b < n_blocks; b++)
            tile_rows(target + b * QUANTIZED_COLUMNS, x, row_sums, step,
                      blocks + b * step * QUANTIZED_COLUMNS, left, 1);
    }
}
#else
typedef int int8_vnni_is_for_x86;
#endif
