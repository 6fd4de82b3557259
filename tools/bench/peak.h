/* What the machine can do at most, as far as programs on this backend can see. */
#ifndef MIXT_TOOLS_BENCH_PEAK_H
#define MIXT_TOOLS_BENCH_PEAK_H

#include "backend/backend.h"

struct peak {
    double products[COMPUTE_AUTO]; /* floating point operations a second by type; 0: not measured */
    double read, copy;             /* bytes of memory a second; a copied byte counts twice */
};

/* Measures with n_threads threads, 0: all cores. Products have three shapes that are good to the
 * machine, of which the best counts; buffers are far larger than the caches. Each measurement takes
 * about `seconds`. compute: f32 is measured, and this type, too; on the cpu with f32 also bf16
 * where it is fast. Works in a process of its own, so that this one's peak memory is its own; to
 * be called before any thread is started. STATUS_DEVICE, STATUS_MEMORY. */
enum status peak_measure(struct peak *peak, const char *device, enum compute compute,
                         int64_t n_threads, double seconds) STATUS_CHECKED;

#endif
