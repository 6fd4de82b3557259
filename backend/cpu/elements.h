/* Work on single numbers, for other operations of this folder. */
#ifndef MIXT_BACKEND_CPU_ELEMENTS_H
#define MIXT_BACKEND_CPU_ELEMENTS_H

#include "backend/backend.h"

/* y = act(x) for numbers first .. last-1; y may be x. On the calling thread. */
void elements_activate(float *y, const float *x, int64_t first, int64_t last,
                       enum activation activation);

#endif
