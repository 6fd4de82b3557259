/* The processor's backend: oneDNN for the products, OpenMP and vector loops for the rest, f32.
 * Opened as cpu_bf16, products round their operands to bf16 and sum in f32; as cpu_fp16, see
 * half.h. */
#ifndef MIXT_BACKEND_CPU_CPU_H
#define MIXT_BACKEND_CPU_CPU_H

#include "backend/backend.h"

/* Opens with n_threads >= 1; with one, everything runs on the thread that calls. On error the
 * handle is closed (STATUS_MEMORY, STATUS_DEVICE; STATUS_CONFIG: this processor has no bf16, or no
 * fp16). compute: f32, bf16 or fp16. */
enum status cpu_open(struct backend *backend, int n_threads, enum compute compute) STATUS_CHECKED;

/* The compute type whose products are fastest here: bf16 with AMX, else fp16 where there is
 * AVX512-FP16, else f32. */
enum compute cpu_fastest_compute(void);

#endif
