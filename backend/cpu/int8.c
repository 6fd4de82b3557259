/* Int8 products: rounding rows, choosing a kernel, and what follows the sums.
 *
 * This file is compiled without fusing of products and sums (meson.build), for its results are to
 * be the same on every processor. */
#include "backend/cpu/int8.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "backend/cpu/context.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/int8_kernel.h"
#include "backend/cpu/lane.h"
#include "backend/cpu/tiles.h"
#include "backend/cpu/vector.h"

enum {
    PANEL_BYTES = 32 << 10, /* rows that stay in the first-level cache */
    FEW_ROWS = 4,           /* up to so many, tiles are not worth their setting */
    SPARE_ROWS = INT8_ROWS - 1
};

/* -- kernels -- */

static struct {
    int8_sums *sums;
    int8_sums *sums_few; /* of up to FEW_ROWS rows */
    bool has_tiles;
} kernel;

static void choose_kernel(void)
{
    kernel.sums = kernel.sums_few = int8_sums_plain;
#if defined(__x86_64__)
    const enum lane_vectors vectors = lane_best_vectors();
    if (vectors >= LANE_AVX2)
        kernel.sums = kernel.sums_few = int8_sums_avx2;
    if (vectors >= LANE_VNNI)
        kernel.sums = kernel.sums_few = int8_sums_vnni;
    kernel.has_tiles = vectors >= LANE_AMX && tiles_allow();
    if (kernel.has_tiles)
        kernel.sums = int8_sums_amx;
#endif
}

/* -- rows -- */

/* A row's values; returns its scale, and in *sum the sum of the values. Sizes are compared as
 * whole numbers, which puts infinities and NaNs on top. */
KERNEL static float round_row(int8_t *restrict values, int32_t *sum, const float *restrict x,
                              int64_t in, int64_t step)
{
    uint32_t largest = 0;
    for (int64_t i = 0; i < in; i++) {
        const uint32_t size = bits_of_float(x[i]) & 0x7FFFFFFFu;
        largest = size > largest ? size : largest;
    }
    const struct quantized_scale scale = quantized_scale_of(float_of_bits(largest));
    const float magic = 12582912.0f; /* 1.5 * 2^23: leaves the whole number in the low bits */
    int32_t total = 0;
    for (int64_t i = 0; i < in; i++) {
        const float shifted = x[i] * scale.inverse + magic;
        const int32_t value = (int32_t)(bits_of_float(shifted) - 0x4B400000u);
        values[i] = (int8_t)value;
        total += (int8_t)value;
    }
    if (step > in)
        memset(values + in, 0, (size_t)(step - in));
    *sum = total;
    return scale.scale;
}

struct int8_rows int8_round_rows(struct backend *backend, const float *x, int64_t count, int64_t in)
{
    const int64_t step = quantized_inputs(in);
    const size_t value_bytes = (size_t)((count + SPARE_ROWS) * step);
    const size_t number_bytes = (size_t)(count + SPARE_ROWS) * sizeof(float);
    char *memory = context_rows(backend, value_bytes + 2 * number_bytes);
    struct int8_rows rows = {.step = step};
    if (!memory)
        return rows;
    rows.values = (int8_t *)memory;
    rows.scales = (float *)(memory + value_bytes);
    rows.sums = (int32_t *)(memory + value_bytes + number_bytes);
    const int n_parts = context_parts(backend, count * in);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < count; n++)
        rows.scales[n] = round_row(rows.values + n * step, rows.sums + n, x + n * in, in, step);
    return rows;
}

/* -- what follows the sums -- */

/* One tile's place in the result. */
struct tile {
    float *y;
    int64_t y_step, n_rows, n_columns;
    const float *row_scales, *column_scales, *bias;
};

/* What is done to a sum beside the scales; constant where finish_as() is called. */
struct steps {
    bool has_bias, accumulates, is_relu;
};

VECTOR_INLINE void finish_rows(const struct tile *tile, const int32_t *sums,
                               const int64_t n_columns, const struct steps steps)
{
    const float *restrict scales = tile->column_scales, *restrict bias = tile->bias;
    for (int64_t n = 0; n < tile->n_rows; n++) {
        float *restrict y = tile->y + n * tile->y_step;
        const int32_t *restrict sum = sums + n * INT8_COLUMNS;
        const float scale = tile->row_scales[n];
#pragma omp simd
        for (int64_t j = 0; j < n_columns; j++) {
            float value = (float)sum[j] * (scale * scales[j]);
            if (steps.has_bias)
                value += bias[j];
            if (steps.accumulates)
                value += y[j];
            if (steps.is_relu)
                value = value < 0 ? 0 : value; /* NaN stays */
            y[j] = value;
        }
    }
}

/* Nearly all tiles are full, and loops of a known length several times as fast. */
VECTOR_INLINE void finish_as(const struct tile *tile, const int32_t *sums, const struct steps steps)
{
    if (tile->n_columns == INT8_COLUMNS)
        finish_rows(tile, sums, INT8_COLUMNS, steps);
    else
        finish_rows(tile, sums, tile->n_columns, steps);
}

KERNEL static void finish_tile(const struct tile *tile, const int32_t *sums,
                               const struct gemm_end *end)
{
    const bool is_relu = end->activation == ACTIVATION_RELU;
    if (tile->bias && end->accumulate)
        finish_as(tile, sums, (struct steps){true, true, false});
    else if (tile->bias && is_relu)
        finish_as(tile, sums, (struct steps){true, false, true});
    else if (tile->bias)
        finish_as(tile, sums, (struct steps){true, false, false});
    else if (end->accumulate)
        finish_as(tile, sums, (struct steps){false, true, false});
    else
        finish_as(tile, sums, (struct steps){false, false, is_relu});
}

/* -- products -- */

struct int8_matrix int8_matrix_of(const struct weight *weight, bool transposed, int64_t group)
{
    const struct tensor *value = &weight->value;
    CHECK(weight->blocks.rank && weight->is_packed[transposed], "weight is not packed%s",
          transposed ? " transposed" : "");
    const int64_t in = value->dim[value->rank - (transposed ? 1 : 2)];
    const int64_t out = value->dim[value->rank - (transposed ? 2 : 1)];
    return (struct int8_matrix){.blocks = (const int8_t *)weight->blocks.data +
                                          group * quantized_matrix_bytes(in, out),
                                .scales = floats(&weight->scales) + group * out,
                                .in = in,
                                .out = out};
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The rows first .. first+count-1 of a part, that many at a time as a tile has. */
static void multiply_panel(float *y, int64_t y_step, const struct int8_rows *rows, int64_t first,
                           int64_t count, const struct int8_matrix *matrix, int64_t column,
                           int64_t n_columns, const struct gemm_end *end, int8_sums *sums_of)
{
    _Alignas(ARENA_ALIGNMENT) int32_t sums[INT8_ROWS * INT8_COLUMNS];
    const int8_t *blocks =
        matrix->blocks + column / QUANTIZED_COLUMNS * quantized_block_bytes(matrix->in);
    const int64_t n_blocks = (n_columns + QUANTIZED_COLUMNS - 1) / QUANTIZED_COLUMNS;
    for (int64_t n = 0; n < count; n += INT8_ROWS) {
        const struct tile tile = {.y = y + n * y_step,
                                  .y_step = y_step,
                                  .n_rows = least(count - n, INT8_ROWS),
                                  .n_columns = n_columns,
                                  .row_scales = rows->scales + first + n,
                                  .column_scales = matrix->scales + column,
                                  .bias = end->bias ? end->bias + column : NULL};
        sums_of(sums, rows, first + n, tile.n_rows, blocks, n_blocks);
        finish_tile(&tile, sums, end);
    }
}

static void multiply(float *y, int64_t y_step, const struct int8_rows *rows,
                     const struct int8_matrix *matrix, struct int8_part part,
                     const struct gemm_end *end, int8_sums *sums_of)
{
    const int64_t fit = PANEL_BYTES / rows->step / INT8_ROWS * INT8_ROWS;
    const int64_t panel = fit > INT8_ROWS ? fit : INT8_ROWS;
    for (int64_t n = 0; n < part.n_rows; n += panel)
        for (int64_t j = 0; j < part.n_columns; j += INT8_COLUMNS)
            multiply_panel(y + n * y_step + j, y_step, rows, part.first_row + n,
                           least(part.n_rows - n, panel), matrix, part.first_column + j,
                           least(part.n_columns - j, INT8_COLUMNS), end, sums_of);
}

void int8_product(float *y, int64_t y_step, const struct int8_rows *rows,
                  const struct int8_matrix *matrix, struct int8_part part, struct gemm_end end)
{
    CHECK(part.first_column % QUANTIZED_COLUMNS == 0 &&
              part.first_column + part.n_columns <= matrix->out,
          "columns %lld + %lld of %lld", (long long)part.first_column, (long long)part.n_columns,
          (long long)matrix->out);
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose_kernel);
    if (part.n_rows <= FEW_ROWS || !kernel.has_tiles) {
        multiply(y, y_step, rows, matrix, part, &end, kernel.sums_few);
    } else {
#if defined(__x86_64__)
        struct int8_amx_settings settings;
        int8_amx_enter(&settings);
        multiply(y, y_step, rows, matrix, part, &end, kernel.sums);
        int8_amx_leave(&settings);
#endif
    }
    const bool is_done = end.activation == ACTIVATION_NONE || end.activation == ACTIVATION_RELU;
    for (int64_t n = 0; n < part.n_rows && !is_done; n++)
        elements_activate(y + n * y_step, y + n * y_step, 0, part.n_columns, end.activation);
}

void int8_fetch(const struct int8_matrix *matrix)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)matrix->blocks;
    const uintptr_t end = start + (uintptr_t)quantized_matrix_bytes(matrix->in, matrix->out);
    const uintptr_t from = start / page * page;
    (void)madvise((void *)from, end - from, MADV_WILLNEED);
}

void int8_groups(struct backend *backend, float *y, const float *x, const int32_t *offsets,
                 int64_t n_groups, const struct weight *weight, bool transposed,
                 struct gemm_end end)
{
    const struct int8_matrix first = int8_matrix_of(weight, transposed, 0);
    const int64_t n_rows = offsets[n_groups], out = first.out;
    const struct int8_rows rows = int8_round_rows(backend, x, n_rows, first.in);
    if (!rows.values)
        return;
    const int64_t tiles = (out + INT8_COLUMNS - 1) / INT8_COLUMNS;
    const int n_threads = context_parts(backend, n_rows * first.in * out / 32);
    const int64_t n_parts = least(tiles, n_threads);
#pragma omp parallel for collapse(2) num_threads(n_threads) schedule(dynamic)
    for (int64_t g = 0; g < n_groups; g++)
        for (int64_t p = 0; p < n_parts; p++) {
            const int64_t column = part_start(tiles, (int)p, (int)n_parts) * INT8_COLUMNS;
            const int64_t stop = part_start(tiles, (int)p + 1, (int)n_parts) * INT8_COLUMNS;
            const struct int8_part part = {offsets[g], offsets[g + 1] - offsets[g], column,
                                           least(stop, out) - column};
            const struct int8_matrix matrix = int8_matrix_of(weight, transposed, g);
            struct gemm_end own = end;
            own.bias = end.bias ? end.bias + g * out : NULL;
            if (part.n_rows > 0)
                int8_product(y + part.first_row * out + column, out, &rows, &matrix, part, own);
        }
}

void int8_linear(struct backend *backend, float *y, const float *x, int64_t rows,
                 const struct weight *weight, bool transposed, struct gemm_end end)
{
    const int32_t offsets[] = {0, (int32_t)rows};
    int8_groups(backend, y, x, offsets, 1, weight, transposed, end);
}
