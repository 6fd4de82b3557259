/* How threads share a product whose first operand is rounded block by block, and a gradient. */
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

/* Rows row .. row+depth-1 of both operands of a gradient, and numbers (first_in .. last_in-1,
 * first_out .. last_out-1) of the matrix. */
struct region {
    int64_t row, depth, first_in, last_in, first_out, last_out;
};

/* What a thread adds to of a matrix [in, out], before any rows: a part of its longer side, in
 * panels. */
static inline struct region region_of(int64_t in, int64_t out, int64_t panel, int thread,
                                      int n_threads)
{
    const bool is_wide = out >= in;
    const int64_t side = is_wide ? out : in, panels = parts_of(side, panel);
    const int64_t first = part_start(panels, thread, n_threads) * panel;
    const int64_t last = smaller(side, part_start(panels, thread + 1, n_threads) * panel);
    return (struct region){.first_in = is_wide ? 0 : first,
                           .last_in = is_wide ? in : last,
                           .first_out = is_wide ? first : 0,
                           .last_out = is_wide ? last : out};
}

/* Goes on to the next of all `rows`, at most `most` of them, alike but in multiples of `unit`;
 * false at the end. */
static inline bool region_next(struct region *region, int64_t rows, int64_t most, int64_t unit)
{
    region->row += region->depth;
    if (region->row >= rows)
        return false;
    const int64_t depth = parts_of(parts_of(rows, parts_of(rows, most)), unit) * unit;
    region->depth = smaller(rows - region->row, depth);
    return true;
}

#endif
