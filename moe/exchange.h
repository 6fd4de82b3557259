/* Tokens on their way to the ranks that hold their experts, and back (Shazeer et al. 2017, 3.1).
 *
 * The ranks of a job divide a layer's experts: rank r has numbers comm_share(E, r, size) up to
 * comm_share(E, r + 1, size). Rows are sorted by expert on the rank that chose; so each rank's are
 * next to each other, and what comes in is sorted by source, then by expert. There it is sorted by
 * expert, and by source rank within one: an expert sees the tokens of all ranks together.
 *
 * In a pass by parts they stay as they come: experts meet one rank's rows after the other's.
 *
 * All calls are collective. An error of the ranks' transport becomes the backend's, which
 * backend_sync() returns.
 *
 * C: rows of this rank's tokens; R: rows at this rank's experts. */
#ifndef MIXT_MOE_EXCHANGE_H
#define MIXT_MOE_EXCHANGE_H

#include "layer/pass.h"

struct exchange {
    int64_t *send, *receive; /* [size] rows to and from each rank; in the pass's host arena */
    int64_t n_rows;          /* R */
    struct tensor order;     /* [R] i32 the row as it comes in at each place; absent by parts */
    struct tensor offsets; /* [experts here + 1] i32 where each one's rows start; absent by parts */
    struct tensor *sources; /* [size] by parts: the same of each rank's rows, from their first on;
                                NULL else; in the pass's host arena */
};

/* Tells all ranks how many rows come. offsets [E+1] i32: where the rows of each expert of all
 * start. Reads them back from the device. */
void exchange_open(struct exchange *exchange, const struct pass *pass,
                   const struct tensor *offsets);

/* In how many turns the experts here run: one, or by parts one for each rank. */
int exchange_turns(const struct exchange *exchange, const struct pass *pass);

/* The rows of a turn of what exchange_out() gave, or what is alike; offsets [experts here + 1]
 * become where each expert's start in them. */
struct tensor exchange_turn(const struct exchange *exchange, int turn, const struct tensor *x,
                            struct tensor *offsets);

/* Rows x [C, D] at this rank's experts: fresh [R, D]. */
struct tensor exchange_out(const struct exchange *exchange, const struct pass *pass,
                           const struct tensor *x);

/* The way back: y [C, D] of x [R, D]. */
void exchange_back(const struct exchange *exchange, const struct pass *pass, const struct tensor *y,
                   const struct tensor *x);

#endif
