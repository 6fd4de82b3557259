/* The table of mixt lab cluster, as text and as JSON. */
#include "tools/lab/cluster_report.h"

#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const struct cluster_model cluster_models[CLUSTER_MODELS] = {
    {.is_mixture = false, .is_cubic = false},
    {.is_mixture = false, .is_cubic = true},
    {.is_mixture = true, .is_cubic = false},
    {.is_mixture = true, .is_cubic = true},
};

/* A mean, and the deviation of the sample: 0 for one run. */
struct spread {
    double mean, deviation;
};

/* What was published: of single models one run, without entropy. */
struct published {
    struct spread accuracy; /* percent */
    struct spread entropy;
};

static const struct published published[PATCHES_SETTINGS][CLUSTER_MODELS] = {
    {{.accuracy = {70.94, 0}},
     {.accuracy = {78.54, 0}},
     {{92.99, 2.11}, {1.300, 0.044}},
     {{99.46, 0.55}, {0.098, 0.087}}},
    {{.accuracy = {69.56, 0}},
     {.accuracy = {74.04, 0}},
     {{88.48, 1.96}, {1.294, 0.036}},
     {{98.09, 1.27}, {0.171, 0.103}}},
    {{.accuracy = {74.81, 0}},
     {.accuracy = {72.71, 0}},
     {{95.93, 1.34}, {1.160, 0.100}},
     {{99.99, 0.02}, {0.008, 0.011}}},
    {{.accuracy = {74.63, 0}},
     {.accuracy = {68.60, 0}},
     {{93.30, 1.48}, {1.160, 0.155}},
     {{98.92, 1.18}, {0.089, 0.120}}},
};

static double test_percent(const struct trial_result *result)
{
    return 100 * result->test_accuracy;
}

static double train_percent(const struct trial_result *result)
{
    return 100 * result->train_accuracy;
}

static double entropy(const struct trial_result *result)
{
    return result->entropy;
}

static struct spread spread_of(const struct cluster_cell *cell,
                               double (*value)(const struct trial_result *))
{
    struct spread spread = {0};
    for (int64_t i = 0; i < cell->n_runs; i++)
        spread.mean += value(&cell->results[i]) / (double)cell->n_runs;
    if (cell->n_runs < 2)
        return spread;
    double squares = 0;
    for (int64_t i = 0; i < cell->n_runs; i++)
        squares += pow(value(&cell->results[i]) - spread.mean, 2);
    spread.deviation = sqrt(squares / (double)(cell->n_runs - 1));
    return spread;
}

/* -- text -- */

/* A column of 17 characters; the deviation of a single run is left out. */
static void print_spread(struct spread spread, int64_t n_runs, int digits)
{
    if (n_runs > 1)
        printf("  %6.*f +- %5.*f", digits, spread.mean, digits, spread.deviation);
    else
        printf("  %6.*f         ", digits, spread.mean);
}

static void print_row(const struct cluster_cell *cell, int setting, int model)
{
    const bool is_mixture = cluster_models[model].is_mixture;
    const int64_t runs_published = is_mixture ? 10 : 1;
    const struct published *other = &published[setting][model];
    printf("%-7d  %-7s  %-6s  %4" PRId64, setting + 1, is_mixture ? "mixture" : "single",
           cluster_models[model].is_cubic ? "cubic" : "linear", cell->n_runs);
    print_spread(spread_of(cell, test_percent), cell->n_runs, 2);
    print_spread(spread_of(cell, train_percent), cell->n_runs, 2);
    if (is_mixture)
        print_spread(spread_of(cell, entropy), cell->n_runs, 3);
    else
        printf("  %15s", "");
    print_spread(other->accuracy, runs_published, 2);
    if (is_mixture)
        print_spread(other->entropy, runs_published, 3);
    printf("\n");
}

void cluster_print_table(struct cluster_cell cells[PATCHES_SETTINGS][CLUSTER_MODELS])
{
    printf("%-7s  %-7s  %-6s  %4s  %-15s  %-15s  %-15s  %-15s  %s\n", "setting", "model", "kind",
           "runs", "test accuracy", "training", "entropy", "published test", "published entropy");
    for (int s = 0; s < PATCHES_SETTINGS; s++)
        for (int m = 0; m < CLUSTER_MODELS; m++)
            if (cells[s][m].n_runs > 0)
                print_row(&cells[s][m], s, m);
}

/* -- JSON -- */

/* NULL where there is no memory, as from all below. */
static json_t *spread_json(struct spread spread)
{
    return json_pack("{s:f, s:f}", "mean", spread.mean, "deviation", spread.deviation);
}

static json_t *published_json(int setting, int model)
{
    const struct published *other = &published[setting][model];
    if (!cluster_models[model].is_mixture)
        return json_pack("{s:o}", "test_accuracy", spread_json(other->accuracy));
    return json_pack("{s:o, s:o}", "test_accuracy", spread_json(other->accuracy),
                     "dispatch_entropy", spread_json(other->entropy));
}

static json_t *row_json(const struct cluster_cell *cell, int setting, int model)
{
    const bool is_mixture = cluster_models[model].is_mixture;
    return json_pack("{s:i, s:s, s:s, s:I, s:o, s:o, s:o*, s:o}", "setting", setting + 1, "model",
                     is_mixture ? "mixture" : "single", "kind",
                     cluster_models[model].is_cubic ? "cubic" : "linear", "runs",
                     (json_int_t)cell->n_runs, "test_accuracy",
                     spread_json(spread_of(cell, test_percent)), "train_accuracy",
                     spread_json(spread_of(cell, train_percent)), "dispatch_entropy",
                     is_mixture ? spread_json(spread_of(cell, entropy)) : NULL, "published",
                     published_json(setting, model));
}

enum status cluster_print_json(struct cluster_cell cells[PATCHES_SETTINGS][CLUSTER_MODELS])
{
    json_t *rows = json_array();
    bool is_good = rows != NULL;
    for (int s = 0; s < PATCHES_SETTINGS; s++)
        for (int m = 0; m < CLUSTER_MODELS; m++)
            if (cells[s][m].n_runs > 0 && is_good)
                is_good = json_array_append_new(rows, row_json(&cells[s][m], s, m)) == 0;
    char *text = is_good ? json_dumps(rows, JSON_INDENT(2) | JSON_REAL_PRECISION(6)) : NULL;
    if (text)
        printf("%s\n", text);
    free(text);
    json_decref(rows);
    return text ? STATUS_OK : status_set(STATUS_MEMORY, "lab: no memory for JSON");
}
