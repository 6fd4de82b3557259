/* What weight_pack() makes. */
#ifndef MIXT_BACKEND_CUDA_WEIGHT_H
#define MIXT_BACKEND_CUDA_WEIGHT_H

#include "backend/cuda/slots.h"

struct packed_weight {
    void *bf16;   /* owned, on the device, in the value's order; NULL: products read the value */
    void *blocks; /* owned, on the device: a matrix's in int8 */
    struct slots *slots; /* owned: those of a weight [E, in, out], or its reals on the host */
    bool is_exact;       /* PACK_EXACT */
};

#endif
