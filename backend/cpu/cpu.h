/* The processor's backend: oneDNN for the products, OpenMP and vector loops for the rest, f32. */
#ifndef MIXT_BACKEND_CPU_CPU_H
#define MIXT_BACKEND_CPU_CPU_H

#include "backend/backend.h"

/* Opens with n_threads >= 1; with one, everything runs on the thread that calls. On error the
 * handle is untouched (STATUS_MEMORY, STATUS_DEVICE). */
enum status cpu_open(struct backend *backend, int n_threads) STATUS_CHECKED;

#endif
