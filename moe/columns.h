/* Scores of the tokens of all ranks, for gates that choose by the whole batch.
 *
 * The ranks of a job divide a gate's experts as comm_share() cuts them: each gets the columns of
 * its share, of all tokens, in the order in which one rank would have these. What it finds for each
 * number, such as a mask, goes back to where the number came from. So a gate of E experts moves E
 * numbers a token each way, however many ranks there are, and ranks share the work.
 *
 * All calls are collective. An error of the ranks' transport becomes the backend's, which
 * backend_sync() returns.
 *
 * N: tokens here; T: tokens of all ranks; C: experts here, of E. */
#ifndef MIXT_MOE_COLUMNS_H
#define MIXT_MOE_COLUMNS_H

#include "layer/pass.h"

struct columns {
    int64_t *first;          /* [size + 1] the first expert of each rank; in the pass's host arena,
                               as the next two */
    int64_t *send, *receive; /* [size] numbers to and from each rank */
    int64_t n_rows;          /* T */
    struct tensor order;     /* [T] i32 the row as it comes in at each place */
    struct tensor place;     /* [T] i32 where each row that comes in stands */
    struct tensor groups; /* [G+1] i32 where each group's tokens start; absent where there is one */
};

/* For scores [N, n_experts]. names [N] i32: of each token in a sequence, ascending by
 * sequence_place() in each group; or NULL, on all ranks: one rank's tokens stand before the next
 * one's. groups [G+1] i32: where each group's tokens start here, NULL where there is one group.
 * Reads from the device. */
void columns_open(struct columns *columns, const struct pass *pass, int64_t n_rows,
                  int64_t n_experts, const struct tensor *names, const struct tensor *groups);

/* Fresh [T, C] of scores [N, E]. */
struct tensor columns_out(const struct columns *columns, const struct pass *pass,
                          const struct tensor *scores);

/* The way back: marks [N, E] i32 of [T, C] i32; zeros where the ranks cannot be reached. */
void columns_back(const struct columns *columns, const struct pass *pass,
                  const struct tensor *marks, const struct tensor *here);

#endif
