/* Int8 products with AMX: tiles of 16 rows by 64 inputs times 64 inputs by 16 columns. */
#include "backend/cpu/int8_kernel.h"
#include "backend/cpu/tiles.h"

#if defined(__x86_64__)
#    include <immintrin.h>

#    define AMX "amx-tile,amx-int8"

enum { TILE_ROWS = 16, TILE_BYTES = 1024, ROW_BYTES = 64 };

__attribute__((target(AMX))) void int8_amx_enter(struct int8_amx_settings *before)
{
    _tile_storeconfig(before->bytes);
    _tile_loadconfig(&tiles_full);
}

__attribute__((target(AMX))) void int8_amx_leave(const struct int8_amx_settings *before)
{
    if (before->bytes[0])
        _tile_loadconfig(before->bytes);
    else
        _tile_release();
}

/* 32 rows with two blocks: sums in tiles 0 to 3, rows in 4 and 5, columns in 6 and 7. */
__attribute__((target(AMX))) static void four_tiles(int32_t *sums, const int8_t *x, int64_t step,
                                                    const int8_t *w)
{
    const int8_t *w_next = w + step * QUANTIZED_COLUMNS, *x_next = x + TILE_ROWS * step;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t i = 0; i < step; i += QUANTIZED_INPUTS, w += TILE_BYTES, w_next += TILE_BYTES) {
        _tile_loadd(6, w, ROW_BYTES);
        _tile_loadd(4, x + i, step);
        _tile_dpbssd(0, 4, 6);
        _tile_loadd(7, w_next, ROW_BYTES);
        _tile_dpbssd(1, 4, 7);
        _tile_loadd(5, x_next + i, step);
        _tile_dpbssd(2, 5, 6);
        _tile_dpbssd(3, 5, 7);
    }
    const int64_t sums_step = INT8_COLUMNS * sizeof *sums;
    int32_t *below = sums + TILE_ROWS * INT8_COLUMNS;
    _tile_stored(0, sums, sums_step);
    _tile_stored(1, sums + QUANTIZED_COLUMNS, sums_step);
    _tile_stored(2, below, sums_step);
    _tile_stored(3, below + QUANTIZED_COLUMNS, sums_step);
}

/* 16 rows with one block. */
__attribute__((target(AMX))) static void one_tile(int32_t *sums, const int8_t *x, int64_t step,
                                                  const int8_t *w)
{
    _tile_zero(0);
    for (int64_t i = 0; i < step; i += QUANTIZED_INPUTS, w += TILE_BYTES) {
        _tile_loadd(6, w, ROW_BYTES);
        _tile_loadd(4, x + i, step);
        _tile_dpbssd(0, 4, 6);
    }
    _tile_stored(0, sums, INT8_COLUMNS * sizeof *sums);
}

/* 16 rows with four blocks. */
__attribute__((target(AMX))) static void tile_row(int32_t *sums, const int8_t *x, int64_t step,
                                                  const int8_t *w)
{
    const int64_t block_bytes = step * QUANTIZED_COLUMNS;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int64_t i = 0; i < step; i += QUANTIZED_INPUTS, w += TILE_BYTES) {
        _tile_loadd(4, x + i, step);
        _tile_loadd(5, w, ROW_BYTES);
        _tile_dpbssd(0, 4, 5);
        _tile_loadd(6, w + block_bytes, ROW_BYTES);
        _tile_dpbssd(1, 4, 6);
        _tile_loadd(7, w + 2 * block_bytes, ROW_BYTES);
        _tile_dpbssd(2, 4, 7);
        _tile_loadd(5, w + 3 * block_bytes, ROW_BYTES);
        _tile_dpbssd(3, 4, 5);
    }
    const int64_t sums_step = INT8_COLUMNS * sizeof *sums;
    _tile_stored(0, sums, sums_step);
    _tile_stored(1, sums + QUANTIZED_COLUMNS, sums_step);
    _tile_stored(2, sums + 2 * QUANTIZED_COLUMNS, sums_step);
    _tile_stored(3, sums + 3 * QUANTIZED_COLUMNS, sums_step);
}

void int8_sums_amx(int32_t *sums, const struct int8_rows *rows, int64_t first, int64_t count,
                   const int8_t *blocks, int64_t n_blocks)
{
    const int64_t step = rows->step, block_bytes = step * QUANTIZED_COLUMNS;
    const int8_t *x = rows->values + first * step;
    if (count <= TILE_ROWS && n_blocks == INT8_BLOCKS) {
        tile_row(sums, x, step, blocks);
        return;
    }
    int64_t b = 0;
    for (; b + 2 <= n_blocks && count > TILE_ROWS; b += 2)
        four_tiles(sums + b * QUANTIZED_COLUMNS, x, step, blocks + b * block_bytes);
    for (; b < n_blocks; b++)
        for (int64_t n = 0; n < count; n += TILE_ROWS)
            one_tile(sums + n * INT8_COLUMNS + b * QUANTIZED_COLUMNS, x + n * step, step,
                     blocks + b * block_bytes);
}
#else
typedef int int8_amx_is_for_x86;
#endif
