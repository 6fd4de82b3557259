/* The parameters that all ranks hold, side by side in runs of one call among ranks.
 *
 * Where a list trains on several ranks, and not by parts, they share an update: of each run a rank
 * has comm_share() of the numbers, sums their gradients, keeps their moments and moves their
 * values, which all then gather. */
#ifndef MIXT_LAYER_RUNS_H
#define MIXT_LAYER_RUNS_H

#include "layer/param.h"

/* Parameters number first .. last - 1; of those that ranks divide nothing is in the run. A large
 * parameter is a run of its own. */
struct run {
    int64_t first, last;
    int64_t n_params, used; /* that all hold, and their numbers */
};

/* The run that begins with parameter number first; used 0: there is none any more. */
struct run run_take(const struct param_list *list, int64_t first);

/* Whether the ranks of a list share its update. */
bool runs_are_shared(const struct param_list *list);

/* Where they do, once all parameters are added: gives each its place in a run, and moments of this
 * rank's numbers. */
void runs_share(struct param_list *list);

/* Numbers start .. end - 1 of a parameter that has a place in a run are that rank's. */
struct run_range {
    int64_t start, end;
};

struct run_range run_range_of(const struct param *param, int rank, int size);

#endif
