/* The kernels of int8 products, one for each kind of vector unit. All find the same integers. */
#ifndef MIXT_BACKEND_CPU_INT8_KERNEL_H
#define MIXT_BACKEND_CPU_INT8_KERNEL_H

#include "backend/cpu/int8.h"
#include "backend/quantize.h"

enum { INT8_ROWS = 32, INT8_BLOCKS = 4, INT8_COLUMNS = INT8_BLOCKS * QUANTIZED_COLUMNS };

/* sums [INT8_ROWS, INT8_COLUMNS] = the product of `count` rows from row `first` on, 1..INT8_ROWS,
 * with n_blocks blocks of columns, 1..INT8_BLOCKS. What is left of sums is undefined. */
typedef void int8_sums(int32_t *sums, const struct int8_rows *rows, int64_t first, int64_t count,
                       const int8_t *blocks, int64_t n_blocks);

int8_sums int8_sums_plain;
#if defined(__x86_64__)
int8_sums int8_sums_avx2, int8_sums_vnni, int8_sums_amx;

/* Around calls of int8_sums_amx() on a thread. The registers' settings are the thread's, and oneDNN
 * relies on finding its own again: they are kept in between. */
struct int8_amx_settings {
    unsigned char bytes[64];
};
void int8_amx_enter(struct int8_amx_settings *before);
void int8_amx_leave(const struct int8_amx_settings *before);
#endif

#endif
