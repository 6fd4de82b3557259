/* What weight_pack() makes. */
#ifndef MIXT_BACKEND_CUDA_WEIGHT_H
#define MIXT_BACKEND_CUDA_WEIGHT_H

#include "backend/cuda/context.h"

struct packed_weight {
    void *bf16;    /* owned, on the device, in the value's order; NULL: products read the value */
    void *blocks;  /* owned, on the device: a weight's in int8 */
    bool is_exact; /* PACK_EXACT */
};

#endif
