/* How long an update takes on many ranks, from shapes and a few measured numbers.
 *
 * A message of m bytes takes latency + m / bandwidth (alpha and beta of the usual model); a rank
 * sends to one other at a time while it receives as many bytes. With R ranks, of which each has 1/R
 * of the tokens and of the experts, an update is
 *
 *   compute    3 multiply-adds for each of the forward pass, 2 operations each, at `flops`
 *   update     what the optimiser reads and writes, at the memory's bandwidth
 *   exchange   for each mixture and batch: tokens to their experts and back, forward and backward,
 *              4 all-to-alls of k rows a token, after one of their numbers
 *   reduce     the gradients of all but the experts: 2 (R - 1) messages, 2 (R - 1) / R of the bytes
 *
 * one after the other. Experts compute while tokens travel (moe/far.h), which is not counted: five
 * eighths of the exchange's bytes may be hidden, and 4 (R - 1) messages come to each mixture's. An
 * all-to-all of b bytes a rank has R - 1 messages and (R - 1) / R b bytes; in two stages, inside
 * nodes of n ranks and then between nodes, 2 (n - 1) + R / n - 1 messages and up to twice the bytes
 * (backend/comm/stages.c). */
#ifndef MIXT_MODEL_PLAN_TIME_H
#define MIXT_MODEL_PLAN_TIME_H

#include "model/plan.h"

/* What each rank's machine does. */
struct plan_machine {
    double flops;     /* operations a second of products in training, as they come out; > 0 */
    double memory;    /* bytes a second; 0: the optimiser's time is not counted */
    double latency_s; /* of a message */
    double bandwidth; /* bytes a second of the network; > 0 */
    int64_t node;     /* ranks of a node, for the exchange in two stages; 1: in one */
};

/* One update, of train.batch_tokens * train.accumulate tokens a side. */
struct plan_time {
    double compute_s, update_s, exchange_s, reduce_s;
    double exchange_bytes, reduce_bytes; /* that a rank sends */
    double tokens_a_second;              /* source and target, of all ranks */
};

struct plan_time plan_time(const struct plan *plan, const struct config *config, int64_t ranks,
                           const struct plan_machine *machine);

double plan_time_total(const struct plan_time *time);

/* Seconds of an all-to-all in which each rank sends and receives `bytes` in all. */
double plan_all_to_all(const struct plan_machine *machine, int64_t ranks, double bytes);

#endif
