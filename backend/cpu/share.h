/* How threads share a product whose first operand is rounded block by block. */
#ifndef MIXT_BACKEND_CPU_SHARE_H
#define MIXT_BACKEND_CPU_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include "backend/cpu/context.h"

/* Blocks of rows times sides of the columns; both in what a kernel takes together. Many blocks are
 * as many for each thread; few are rounded by every thread, for some of the columns. */
struct shares {
    int64_t rows, columns;
    int blocks, sides;
};

/* Of blocks of at most `most` rows. */
static inline struct shares shares_of(int64_t rows, int64_t most, int64_t columns, int n_threads)
{
    const int64_t blocks = parts_of(rows, most);
    const bool is_many = blocks >= 2 * n_threads;
    return (struct shares){.rows = rows,
                           .columns = columns,
                           .blocks =
                               (int)(is_many ? parts_of(blocks, n_threads) * n_threads : blocks),
                           .sides = is_many ? 1 : (int)smaller(n_threads, columns)};
}

static inline int64_t shares_start(const struct shares *shares, int part, int n_parts)
{
    return part_start((int64_t)shares->blocks * shares->sides, part, n_parts);
}

/* A block of rows with one side or several. */
struct share {
    int64_t row, rows;
    int64_t column, last_column; /* column .. last_column-1 */
    int64_t next;                /* the first share after this one */
};

/* What a thread that works until `last` takes at once from share i on. */
static inline struct share share_at(const struct shares *shares, int64_t i, int64_t last)
{
    const int block = (int)(i / shares->sides), side = (int)(i % shares->sides);
    const int64_t next = smaller(last, (int64_t)(block + 1) * shares->sides);
    const int64_t row = part_start(shares->rows, block, shares->blocks);
    return (struct share){.row = row,
                          .rows = part_start(shares->rows, block + 1, shares->blocks) - row,
                          .column = part_start(shares->columns, side, shares->sides),
                          .last_column =
                              part_start(shares->columns, side + (int)(next - i), shares->sides),
                          .next = next};
}

#endif
