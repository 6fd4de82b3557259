/* What mixt lab cluster prints. */
#ifndef MIXT_TOOLS_LAB_CLUSTER_REPORT_H
#define MIXT_TOOLS_LAB_CLUSTER_REPORT_H

#include "tools/lab/patches.h"
#include "tools/lab/trial.h"

enum { CLUSTER_MODELS = 4 };

struct cluster_model {
    bool is_mixture, is_cubic;
};

/* The rows of the table; those that take longest first. */
extern const struct cluster_model cluster_models[CLUSTER_MODELS];

/* The trials of one model in one setting. */
struct cluster_cell {
    struct trial_result *results; /* [n_runs] borrowed */
    int64_t n_runs;               /* 0: not wanted */
};

/* Print all cells with runs on stdout. STATUS_MEMORY from the second. */
void cluster_print_table(struct cluster_cell cells[PATCHES_SETTINGS][CLUSTER_MODELS]);
enum status
cluster_print_json(struct cluster_cell cells[PATCHES_SETTINGS][CLUSTER_MODELS]) STATUS_CHECKED;

#endif
