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

enum { SEQUENCE_NAMES = 16384 }; /* a sentence; above any max_len */

/* A position's name for random numbers: unique while an update has fewer than 2^18 sentences;
 * beyond, names repeat and so does noise, which does no harm. */
static inline int32_t sequence_name(int32_t sentence, int64_t position)
{
    return (int32_t)((uint32_t)sentence * SEQUENCE_NAMES + (uint32_t)position);
}

/* Ascends with the rows of a batch in which sentences stand in order of their numbers: by position,
 * then by sentence. */
static inline uint32_t sequence_place(int32_t name)
{
    const uint32_t sentence = (uint32_t)name / SEQUENCE_NAMES;
    const uint32_t position = (uint32_t)name % SEQUENCE_NAMES;
    return position * (UINT32_MAX / SEQUENCE_NAMES + 1) + sentence;
}

#endif
