/* What all ranks hold, side by side in runs, each of which goes among the ranks in one call.
 *
 * A list that trains on several ranks has in each run its parameters' values and gradients, by
 * parts their sums as well. Where it does not train by parts the ranks share an update: of each run
 * a rank has comm_share() of the numbers, sums their gradients, keeps their moments and moves their
 * values, which all then gather. */
#ifndef MIXT_LAYER_RUNS_H
#define MIXT_LAYER_RUNS_H

#include "layer/param.h"

/* Vectors [n] of the list's arena, zero where no parameter lies. A large parameter is a run of its
 * own. */
struct run {
    struct tensor values, gradients;
    struct tensor sums;              /* absent unless the list is by parts */
    struct tensor first, second;     /* this rank's moments; absent unless ranks share updates */
    int64_t first_param, last_param; /* numbers first .. last - 1 of the list, but for experts */
};

/* Whether the ranks of a list share its update. */
bool runs_are_shared(const struct param_list *list);

/* Whether a parameter of this list lies in a run. */
bool runs_hold(const struct param_list *list, bool is_expert);

/* Once all parameters are added: makes the runs, where there are any, and gives parameters their
 * memory in them. */
void runs_place(struct param_list *list);

/* This rank's numbers of a vector of a run. */
struct tensor run_share_of(const struct param_list *list, const struct tensor *vector);

/* Numbers start .. end - 1 of a parameter in a run, of which ranks share the update, are that
 * rank's. */
struct run_range {
    int64_t start, end;
};

struct run_range run_range_of(const struct param *param, int rank, int size);

#endif
