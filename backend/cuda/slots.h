/* Where the matrices of a weight [E, in, out], in int8 or f32, that is borrowed from the host lie:
 * all on the device where there is room, else as many as there is room for, in slots, and the
 * others on the host, from where they come when rows meet them, in place of those that were used
 * longest ago.
 *
 * Handles share weights, so who multiplies holds the weight from slots_begin() to slots_end(); on
 * the device each product of a weight with slots waits for the one before. */
#ifndef MIXT_BACKEND_CUDA_SLOTS_H
#define MIXT_BACKEND_CUDA_SLOTS_H

#include "backend/cuda/context.h"

struct slots;

/* Makes known that E matrices of matrix_bytes each, which stay on the host at `host`, want room on
 * the handle's device. They get it when first used: then it is known what else wants some. NULL
 * without memory, and the backend has the error. */
struct slots *slots_make(struct backend *backend, const void *host, int64_t n_matrices,
                         size_t matrix_bytes);

/* NULL is allowed. The device is the calling thread's, and nothing is being computed with them. */
void slots_free(struct slots *slots);

/* Takes hold of the matrices, the first time finds them room. Returns them all, on the device, or
 * NULL where they have slots; also after an error, which the backend has. */
const void *slots_begin(struct backend *backend, struct slots *slots);
void slots_end(struct backend *backend, struct slots *slots);

/* Brings the matrices from `first` on that have rows, starts[e] .. starts[e+1]-1 on the host, until
 * no slot is left: returns the first that has none, or E. */
int64_t slots_bring(struct backend *backend, struct slots *slots, const int32_t *starts,
                    int64_t first);

/* The device's memory of the slots, and which slot each matrix has [E], on the host; -1: none. */
const void *slots_memory(const struct slots *slots);
const int32_t *slots_of(const struct slots *slots);

/* starts of first .. last, counted from the first's, on the host; the next call overwrites them. */
const int32_t *slots_starts(struct slots *slots, const int32_t *starts, int64_t first,
                            int64_t last);

#endif
