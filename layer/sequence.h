/* One side of a batch on the device: padded sentences, and where the real tokens are. */
#ifndef MIXT_LAYER_SEQUENCE_H
#define MIXT_LAYER_SEQUENCE_H

#include "backend/tensor.h"

struct sequence {
    struct tensor ids;       /* [T, B] i32; padding holds any valid id */
    struct tensor lengths;   /* [B] i32, each >= 1 */
    struct tensor names;     /* [T*B] i32: each position's name for random numbers; absent: index */
    struct tensor rows;      /* [N] i32 ascending: real positions t*B + b; absent: all are real */
    struct tensor row_names; /* [N] i32: names at rows; absent where rows is */
};

#endif
