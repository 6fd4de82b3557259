/* Squares of numbers multiplied in fp16, and how their operands are rounded: what products and
 * gradients share. The order of sums is in half.h. */
#ifndef MIXT_BACKEND_CPU_HALF_SQUARE_H
#define MIXT_BACKEND_CPU_HALF_SQUARE_H

#include <stdbool.h>
#include <stdint.h>

/* Whether the compiler knows AVX512-FP16. */
#if defined(__x86_64__) && defined(__linux__) &&                                                   \
    (__clang_major__ >= 14 || (!defined(__clang__) && __GNUC__ >= 12))
#    define HALF_IS_COMPILED 1

#    include <immintrin.h>

#    define HALF        __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512fp16")))
#    define HALF_INLINE HALF __attribute__((always_inline)) static inline

enum {
    SIDE = 16,    /* numbers of f32 in a vector, half as many as of fp16 */
    PANEL = 64,   /* columns that are multiplied together: two vectors */
    GROUP = 14,   /* rows that are, at most: sums fill 28 of 32 registers */
    STRETCH = 64, /* terms of a sum in fp16 */
    CHUNK = 128   /* terms scaled alike: two stretches, whose sums meet in fp16 */
};

/* The first `count` of 16 numbers exist. */
HALF_INLINE __mmask16 mask_of(int64_t count)
{
    return (__mmask16)(count >= SIDE ? 0xffff : count > 0 ? (1u << count) - 1 : 0);
}

/* Powers of two that bring magnitudes to 8 .. 16, and their inverses to *back. */
HALF_INLINE __m512 scale_of(__m512 largest, __m512 *back)
{
    const __m512 least = _mm512_set1_ps(-100), three = _mm512_set1_ps(3);
    const __m512 up = _mm512_sub_ps(three, _mm512_max_ps(least, _mm512_getexp_ps(largest)));
    const __m512 one = _mm512_set1_ps(1);
    *back = _mm512_scalef_ps(one, _mm512_sub_ps(_mm512_setzero_ps(), up));
    return _mm512_scalef_ps(one, up);
}

HALF_INLINE __m256i round_numbers(__m512 x, __m512 scale)
{
    return _mm256_castph_si256(_mm512_cvtxps_ph(_mm512_mul_ps(x, scale)));
}

/* Rounded numbers, each twice, so that one is spread over a vector while it is loaded. */
HALF_INLINE __m512i round_twice(__m512 x, __m512 scale)
{
    const __m512i once = _mm512_cvtepu16_epi32(round_numbers(x, scale));
    return _mm512_or_si512(once, _mm512_slli_epi32(once, 16));
}

/* What is multiplied: `rows` of a first operand, whose numbers stand twice, by a panel. Scales are
 * the inverses of what each chunk was scaled by; C counts chunks. */
struct half_square {
    float *y; /* [rows, columns], rows `stride` apart */
    int64_t stride, columns;
    const uint32_t *a;         /* [C, rows, CHUNK], or [depth, rows] */
    const float *row_scale;    /* [C, rows] */
    const uint16_t *b;         /* [depth, PANEL] */
    const float *column_scale; /* [C, PANEL] */
    const float *bias;         /* [columns] or NULL */
    int64_t depth;
    bool is_added; /* to what y holds */
};

typedef void half_kernel(const struct half_square *square);

/* For 1 .. GROUP rows of a first operand [C, rows, CHUNK], and [depth, rows]. */
extern half_kernel *const half_kernel_of_rows[GROUP + 1], *const half_kernel_of_columns[GROUP + 1];

/* A panel [rows, PANEL] of a second operand, and scales [C, PANEL], from x [rows, stride], of which
 * `columns` exist. */
void half_round_panel(uint16_t *target, float *scales, const float *x, int64_t stride, int64_t rows,
                      int64_t columns);

#endif
#endif
