/* Int8 products with AVX2: numbers widened to 16 bits, whose products in pairs cannot overflow. */
#include "backend/cpu/int8_kernel.h"

#if defined(__x86_64__)
#    include <immintrin.h>
#    include <string.h>

#    define AVX2        __attribute__((target("avx2")))
#    define AVX2_INLINE static inline __attribute__((target("avx2"), always_inline))

/* The sums of the halves of a block, 4 columns in each register: of the first and the second two
 * inputs of every four apart. */
struct halves {
    __m256i part[4];
};

AVX2_INLINE void add_products(struct halves *sum, const __m256i w[4], const int8_t *x)
{
    int32_t four;
    memcpy(&four, x, sizeof four);
    const __m256i wide = _mm256_cvtepi8_epi16(_mm_set1_epi32(four));
    for (int i = 0; i < 4; i++)
        sum->part[i] = _mm256_add_epi32(sum->part[i], _mm256_madd_epi16(w[i], wide));
}

/* `rows` rows with one block; rows is constant where it is called. */
AVX2_INLINE void block_rows(int32_t *sums, const int8_t *x, int64_t step, const int8_t *w,
                            const int rows)
{
    struct halves sum[2] = {0};
    for (int64_t i = 0; i < step; i += QUANTIZED_DEPTH, w += QUANTIZED_INPUTS) {
        __m256i wide[4];
        for (int part = 0; part < 4; part++)
            wide[part] = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(w + part * 16)));
        for (int n = 0; n < rows; n++)
            add_products(&sum[n], wide, x + n * step + i);
    }
    for (int n = 0; n < rows; n++)
        for (int pair = 0; pair < 2; pair++) {
            /* Columns 0 1 4 5 2 3 6 7 of eight. */
            const __m256i mixed =
                _mm256_hadd_epi32(sum[n].part[2 * pair], sum[n].part[2 * pair + 1]);
            _mm256_storeu_si256((__m256i *)(sums + n * INT8_COLUMNS + pair * 8),
                                _mm256_permute4x64_epi64(mixed, _MM_SHUFFLE(3, 1, 2, 0)));
        }
}

AVX2 void int8_sums_avx2(int32_t *sums, const struct int8_rows *rows, int64_t first, int64_t count,
                         const int8_t *blocks, int64_t n_blocks)
{
    const int8_t *x = rows->values + first * rows->step;
    for (int64_t b = 0; b < n_blocks; b++) {
        const int8_t *w = blocks + b * rows->step * QUANTIZED_COLUMNS;
        int32_t *target = sums + b * QUANTIZED_COLUMNS;
        int64_t n = 0;
        for (; n + 2 <= count; n += 2)
            block_rows(target + n * INT8_COLUMNS, x + n * rows->step, rows->step, w, 2);
        if (n < count)
            block_rows(target + n * INT8_COLUMNS, x + n * rows->step, rows->step, w, 1);
    }
}
#else
typedef int int8_avx2_is_for_x86;
#endif
