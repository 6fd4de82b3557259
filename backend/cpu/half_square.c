/* Squares of numbers multiplied in fp16. */
#include "backend/cpu/half_square.h"

#if defined(HALF_IS_COMPILED)

#    include "backend/cpu/context.h"

/* What is done with the sums of a chunk. */
struct chunk_end {
    __m512 scale[PANEL / SIDE]; /* of columns */
    const float *bias;          /* [columns] or NULL */
    bool is_added;
};

/* y (+)= the sums of a chunk, back in scale. */
HALF_INLINE void add_sums(float *y, const __m512h sums[2], float row_scale,
                          const struct chunk_end *end, int64_t columns)
{
    for (int64_t q = 0; q < PANEL / SIDE; q++) {
        const __mmask16 mask = mask_of(columns - q * SIDE);
        const __m512d half = _mm512_castph_pd(sums[q / 2]);
        const __m256d quarter =
            q % 2 ? _mm512_extractf64x4_pd(half, 1) : _mm512_castpd512_pd256(half);
        const __m512 sum = _mm512_cvtxph_ps(_mm256_castpd_ph(quarter));
        __m512 before =
            end->is_added ? _mm512_maskz_loadu_ps(mask, y + q * SIDE) : _mm512_setzero_ps();
        if (end->bias)
            before = _mm512_add_ps(before, _mm512_maskz_loadu_ps(mask, end->bias + q * SIDE));
        const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(row_scale), end->scale[q]);
        _mm512_mask_storeu_ps(y + q * SIDE, mask, _mm512_fmadd_ps(sum, scale, before));
    }
}

HALF_INLINE void add_rows(float *y, int64_t stride, __m512h sums[GROUP][2], const float *row_scale,
                          const struct chunk_end *end, int64_t columns, const int rows)
{
#    pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        add_sums(y + r * stride, sums[r], row_scale[r], end, columns);
}

/* While term k of a chunk is multiplied, asks for that of the next stretch and for a row of y,
 * which the chunk's end changes. */
HALF_INLINE void ask_ahead(const struct half_square *s, const uint16_t *b, int64_t k, int64_t rows)
{
    for (int64_t j = 0; j < PANEL; j += PANEL / 2)
        __builtin_prefetch(b + (STRETCH + k) * PANEL + j);
    for (int64_t j = 0; j < PANEL && k < rows; j += SIDE)
        __builtin_prefetch(s->y + k * s->stride + j, 1);
}

/* Sums of terms from .. end-1 of a chunk, for a constant number of rows; a row's terms stand k_step
 * apart, rows r_step. */
HALF_INLINE void sum_stretch(__m512h sums[GROUP][2], const struct half_square *s, const uint32_t *a,
                             const uint16_t *b, int64_t from, int64_t end, const int rows,
                             const int k_step, const int r_step)
{
#    pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        sums[r][0] = sums[r][1] = _mm512_setzero_ph();
    for (int64_t k = from; k < end; k++) {
        const __m512h left = _mm512_loadu_ph(b + k * PANEL);
        const __m512h right = _mm512_loadu_ph(b + k * PANEL + PANEL / 2);
        ask_ahead(s, b, k, rows);
#    pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
            const __m512h one =
                _mm512_castsi512_ph(_mm512_set1_epi32((int)a[k * k_step + r * r_step]));
            sums[r][0] = _mm512_fmadd_ph(one, left, sums[r][0]);
            sums[r][1] = _mm512_fmadd_ph(one, right, sums[r][1]);
        }
    }
}

HALF_INLINE void multiply(const struct half_square *s, const int rows, const int k_step,
                          const int r_step)
{
    for (int64_t first = 0; first < s->depth; first += CHUNK) {
        const uint32_t *a = s->a + first * rows;
        const uint16_t *b = s->b + first * PANEL;
        const int64_t depth = smaller(s->depth - first, CHUNK);
        __m512h sums[GROUP][2];
        sum_stretch(sums, s, a, b, 0, smaller(depth, STRETCH), rows, k_step, r_step);
        if (depth > STRETCH) {
            __m512h rest[GROUP][2];
            sum_stretch(rest, s, a, b, STRETCH, depth, rows, k_step, r_step);
#    pragma GCC unroll 14
            for (int r = 0; r < rows; r++) {
                sums[r][0] = _mm512_add_ph(sums[r][0], rest[r][0]);
                sums[r][1] = _mm512_add_ph(sums[r][1], rest[r][1]);
            }
        }
        const int64_t chunk = first / CHUNK;
        struct chunk_end end = {.bias = first > 0 ? NULL : s->bias,
                                .is_added = first > 0 || s->is_added};
        for (int64_t q = 0; q < PANEL / SIDE; q++)
            end.scale[q] = _mm512_loadu_ps(s->column_scale + chunk * PANEL + q * SIDE);
        /* Most often there is nothing to choose for each number. */
        if (s->columns >= PANEL && end.is_added && !end.bias)
            add_rows(s->y, s->stride, sums, s->row_scale + chunk * rows, &end, PANEL, rows);
        else
            add_rows(s->y, s->stride, sums, s->row_scale + chunk * rows, &end, s->columns, rows);
    }
}

/* Kernels for each number of rows. */
#    define FOR_ALL_ROWS(CASE)                                                                     \
        CASE(1)                                                                                    \
        CASE(2)                                                                                    \
        CASE(3)                                                                                    \
        CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#    define BY_ROWS(N)                                                                             \
        HALF static void multiply_##N(const struct half_square *s)                                 \
        {                                                                                          \
            multiply(s, N, 1, CHUNK);                                                              \
        }                                                                                          \
        HALF static void multiply_columns_##N(const struct half_square *s)                         \
        {                                                                                          \
            multiply(s, N, N, 1);                                                                  \
        }
FOR_ALL_ROWS(BY_ROWS)

#    define ROWS_KERNEL(N)    [N] = multiply_##N,
#    define COLUMNS_KERNEL(N) [N] = multiply_columns_##N,
half_kernel *const half_kernel_of_rows[GROUP + 1] = {FOR_ALL_ROWS(ROWS_KERNEL)};
half_kernel *const half_kernel_of_columns[GROUP + 1] = {FOR_ALL_ROWS(COLUMNS_KERNEL)};

/* -- rounding a panel -- */

/* Rows that are asked for before they are read: the processor does not foresee so wide steps. */
enum { AHEAD = 8 };

/* A chunk of a panel from rows 0 .. rows-1, columns 0 .. columns-1 of x [.., stride]. */
HALF static void round_chunk(uint16_t *target, float *scales, const float *x, int64_t stride,
                             int64_t rows, int64_t columns)
{
    __m512 largest[PANEL / SIDE], scale[PANEL / SIDE], back;
    __mmask16 mask[PANEL / SIDE];
    for (int q = 0; q < PANEL / SIDE; q++) {
        mask[q] = mask_of(columns - q * SIDE);
        largest[q] = _mm512_setzero_ps();
    }
    for (int64_t k = 0; k < rows; k++)
        for (int q = 0; q < PANEL / SIDE; q++) {
            const float *numbers = x + k * stride + q * SIDE;
            __builtin_prefetch(numbers + AHEAD * stride);
            largest[q] =
                _mm512_max_ps(largest[q], _mm512_abs_ps(_mm512_maskz_loadu_ps(mask[q], numbers)));
        }
    for (int q = 0; q < PANEL / SIDE; q++) {
        scale[q] = scale_of(largest[q], &back);
        _mm512_storeu_ps(scales + q * SIDE, back);
    }
    for (int64_t k = 0; k < rows; k++)
        for (int q = 0; q < PANEL / SIDE; q++)
            _mm256_storeu_si256(
                (__m256i *)(target + k * PANEL + q * SIDE),
                round_numbers(_mm512_maskz_loadu_ps(mask[q], x + k * stride + q * SIDE), scale[q]));
}

void half_round_panel(uint16_t *target, float *scales, const float *x, int64_t stride, int64_t rows,
                      int64_t columns)
{
    for (int64_t first = 0; first < rows; first += CHUNK)
        round_chunk(target + first * PANEL, scales + first / CHUNK * PANEL, x + first * stride,
                    stride, smaller(rows - first, CHUNK), columns);
}

#endif
