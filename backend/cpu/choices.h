/* Walking over a gating: the choices of each token, and blocks of one group's tokens.
 *
 * Threads take whole blocks. Blocks follow from the groups alone, and sums over tokens are made
 * block by block and joined in order, so that no result depends on the number of threads; and many
 * small groups cost no more than one large one. */
#ifndef MIXT_BACKEND_CPU_CHOICES_H
#define MIXT_BACKEND_CPU_CHOICES_H

#include "backend/cpu/context.h"

enum { BLOCK_ROWS = 64 };

/* Tokens first .. last-1, all of one group. */
struct block {
    int64_t group, first, last;
};

struct blocks {
    struct block *list;
    int64_t count;
    float *memory; /* for the call, as much as was asked for, aligned to a cache line */
};

/* No more blocks than this come of so many rows. */
static inline int64_t block_limit(const struct tensor *groups, int64_t n_rows)
{
    return n_rows / BLOCK_ROWS + group_count(groups);
}

/* The blocks of n_rows tokens, in order, and memory for n_floats numbers. Both lie in the context's
 * scratch. Without memory the backend has the error, and there are no blocks. */
static inline struct blocks blocks_of(struct backend *backend, const struct tensor *groups,
                                      int64_t n_rows, int64_t n_floats)
{
    const int64_t unit = sizeof(struct block) / sizeof(float), start = (n_floats + 15) / 16 * 16;
    struct blocks blocks = {0};
    blocks.memory = context_scratch(backend, (size_t)(start + unit * block_limit(groups, n_rows)));
    if (!blocks.memory)
        return blocks;
    blocks.list = (struct block *)(blocks.memory + start);
    for (int64_t g = 0; g < group_count(groups); g++) {
        const int64_t end = groups ? ints(groups)[g + 1] : n_rows;
        for (int64_t first = groups ? ints(groups)[g] : 0; first < end; first += BLOCK_ROWS)
            blocks.list[blocks.count++] =
                (struct block){g, first, first + BLOCK_ROWS < end ? first + BLOCK_ROWS : end};
    }
    return blocks;
}

/* True for a group's first block. */
static inline bool is_first_block(const struct blocks *blocks, int64_t i)
{
    return i == 0 || blocks->list[i].group != blocks->list[i - 1].group;
}

/* sums holds n numbers for each block: those of a group's first block become the whole group's. */
static inline void join_blocks(double *sums, const struct blocks *blocks, int64_t n)
{
    int64_t head = 0;
    for (int64_t i = 0; i < blocks->count; i++)
        if (is_first_block(blocks, i))
            head = i;
        else
            for (int64_t j = 0; j < n; j++)
                sums[head * n + j] += sums[i * n + j];
}

/* Token n's choices are first_of(n) .. first_of(n+1)-1: K each, or as starts says. */
static inline int64_t first_of(const int32_t *starts, int64_t k, int64_t n)
{
    return starts ? starts[n] : n * k;
}

#endif
