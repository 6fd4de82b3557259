/* Tokens on their way to the ranks that hold their experts, and back (Shazeer et al. 2017, 3.1).
 *
 * The ranks of a job divide a layer's experts: rank r has numbers comm_share(E, r, size) up to
 * comm_share(E, r + 1, size). Rows are sorted by expert on the rank that chose; so each rank's are
 * next to each other, and what comes in is sorted by source, then by expert. There it is sorted by
 * expert, and by source rank within one: an expert sees the tokens of all ranks together.
 *
 * Rows travel in trips, each with those of a share of every rank's experts, so that one trip's
 * experts compute while the next's rows come and the last's results go back.
 *
 * In a pass by parts they stay as they come, in one trip: experts meet one rank's rows after the
 * other's.
 *
 * All calls are collective. An error of the ranks' transport becomes the backend's, which
 * backend_sync() returns.
 *
 * C: rows of this rank's tokens; R: rows at this rank's experts. */
#ifndef MIXT_MOE_EXCHANGE_H
#define MIXT_MOE_EXCHANGE_H

#include "layer/pass.h"

enum { EXCHANGE_MAX_TRIPS = 2 };

struct exchange_trip {
    int64_t *send, *send_at;       /* [size] rows to each rank, and where they start among C; */
    int64_t *receive, *receive_at; /* [size] from each, among R; in the pass's host arena */
    int64_t first, n_rows;         /* of R: a trip's rows stand behind the last one's */
    struct tensor order;           /* [n_rows] i32 the row as it comes in at each place; absent by
                                      parts */
    struct tensor offsets;         /* [experts here + 1] i32 where each one's rows start, from first
                                      on; experts of other trips have none; absent by parts */
};

struct exchange {
    int n_trips;
    struct exchange_trip trips[EXCHANGE_MAX_TRIPS];
    int64_t n_rows;        /* R */
    struct tensor offsets; /* [experts here + 1] i32 where each one's rows start; absent by parts */
    struct tensor *sources; /* [size] by parts: the same of each rank's rows, from their first on;
                                NULL else; in the pass's host arena */
};

/* Tells all ranks how many rows come. offsets [E+1] i32: where the rows of each expert of all
 * start. Reads them back from the device. In one trip, or in several where rows can travel so, by
 * comm_overlaps(), and each rank has an expert for each: alike on all ranks. */
void exchange_open(struct exchange *exchange, const struct pass *pass, const struct tensor *offsets,
                   int max_trips);

/* In how many turns the experts here run by parts: one for each rank. */
int exchange_parts(const struct exchange *exchange, const struct pass *pass);

/* The rows of a part of what exchange_out() gave, or what is alike; offsets [experts here + 1]
 * become where each expert's start in them. */
struct tensor exchange_part(const struct exchange *exchange, int part, const struct tensor *x,
                            struct tensor *offsets);

/* -- while others compute: no rows that are on their way may be touched -- */

/* Rows x [C, D] of a trip leave, and arrive in landing [R, D]; then they are there, sorted, in
 * x_here [R, D]. By parts x_here is landing. */
void exchange_out_start(const struct exchange *exchange, const struct pass *pass, int trip,
                        const struct tensor *landing, const struct tensor *x);
void exchange_out_finish(const struct exchange *exchange, const struct pass *pass, int trip,
                         const struct tensor *x_here, const struct tensor *landing);

/* The way back: y [C, D] of x [R, D]. leaving [R, D] is room for what is on its way; by parts it is
 * x. */
void exchange_back_start(const struct exchange *exchange, const struct pass *pass, int trip,
                         const struct tensor *y, const struct tensor *leaving,
                         const struct tensor *x);
void exchange_back_finish(const struct exchange *exchange, const struct pass *pass, int trip);

/* -- all at once -- */

/* Rows x [C, D] at this rank's experts: fresh [R, D]. */
struct tensor exchange_out(const struct exchange *exchange, const struct pass *pass,
                           const struct tensor *x);

/* The way back: y [C, D] of x [R, D]. */
void exchange_back(const struct exchange *exchange, const struct pass *pass, const struct tensor *y,
                   const struct tensor *x);

#endif
