/* mixt lab cluster: single models and mixtures on the synthetic clusters of Chen et al. 2022. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "tools/footer.h"
#include "tools/lab/cluster_report.h"
#include "tools/lab/verbs.h"
#include "tools/options.h"

struct cluster_options {
    int64_t setting; /* 0: all */
    int64_t runs, single_runs, points, steps, seed, threads;
    const char *factor, *recipe;
    bool wants_json;
};

#define AT(member) offsetof(struct cluster_options, member)

static const struct option table[] = {
    {"setting", 's', NULL, "1..4", OPTION_INT, AT(setting), 1, PATCHES_SETTINGS, NULL,
     "one of the paper's settings (default: all four)"},
    {"runs", 'r', NULL, "N", OPTION_INT, AT(runs), 1, 1000, NULL,
     "times each mixture is trained, on points of its own (default: 10)"},
    {"single-runs", 0, NULL, "N", OPTION_INT, AT(single_runs), 0, 1000, NULL,
     "the same for the single models, which take longest; 0 leaves them out (default: 1)"},
    {"points", 0, NULL, "N", OPTION_INT, AT(points), 1, 1000000, NULL,
     "points to train on, and again to test on (default: 16000)"},
    {"steps", 0, NULL, "N", OPTION_INT, AT(steps), 1, 1000000, NULL,
     "updates at most, each on all points (default: 501)"},
    {"factor", 0, NULL, "NAME", OPTION_STRING, AT(factor), 0, 0, "score|softmax",
     "what an expert's output is multiplied by: its score, as in the authors' code, or its share "
     "of the softmax, as in the paper (default: score)"},
    {"recipe", 0, NULL, "NAME", OPTION_STRING, AT(recipe), 0, 0, "steady|authors",
     "how mixtures learn: at the authors' rates, with which some runs split the clusters badly, "
     "or steadily: the gate 16 times as fast, rates falling to 0, and an end when the loss rests "
     "(default: steady)"},
    {"seed", 0, NULL, "N", OPTION_INT, AT(seed), 0, INFINITY, NULL,
     "of the first run; the others count on (default: 1)"},
    {"threads", 0, NULL, "N", OPTION_INT, AT(threads), 0, PARALLEL_MAX_THREADS, NULL,
     "threads that work; the result does not depend on it (default: 0, all cores)"},
    {"json", 0, NULL, NULL, OPTION_FLAG, AT(wants_json), 0, 0, NULL, "print JSON, not a table"},
};

static const struct options_command command = {
    .verb = "lab cluster",
    .arguments = "",
    .description =
        "Repeats the synthetic experiment of Chen et al. 2022: points in 4 clusters, whose label "
        "no single model of 128 filters can learn, and a mixture of 8 experts of 16 filters can, "
        "if its experts are not linear. Prints for each model the accuracy on new points and on "
        "those it learned from, in percent, and the dispatch entropy: 0 where each expert serves "
        "one cluster, 1.386 where experts tell nothing of clusters. Mean and standard deviation "
        "over the runs; beside them the published values, for mixtures of the paper, for single "
        "models of the authors' notebooks.\n"
        "Models and loss are those of the authors' code, which differs from the paper in the "
        "factor and by a second softmax before a mixture's loss. Noise is drawn in training only.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
};

/* All trials of a command line, in the order of their work: the longest first. */
struct work {
    const struct cluster_options *options;
    struct cluster_cell cells[PATCHES_SETTINGS][CLUSTER_MODELS];
    int64_t n_trials;
};

static int64_t runs_of(const struct cluster_options *options, int model)
{
    return cluster_models[model].is_mixture ? options->runs : options->single_runs;
}

static bool is_wanted(const struct cluster_options *options, int setting)
{
    return options->setting == 0 || options->setting == setting + 1;
}

/* Which trial piece number `index` is: model by model, setting by setting, run by run. */
static struct cluster_cell *find_trial(struct work *work, int64_t index, struct trial *trial,
                                       int64_t *run)
{
    const struct cluster_options *options = work->options;
    for (int m = 0; m < CLUSTER_MODELS; m++) {
        for (int s = 0; s < PATCHES_SETTINGS; s++) {
            struct cluster_cell *cell = &work->cells[s][m];
            if (index >= cell->n_runs) {
                index -= cell->n_runs;
                continue;
            }
            *run = index;
            *trial = (struct trial){.setting = s,
                                    .is_mixture = cluster_models[m].is_mixture,
                                    .is_cubic = cluster_models[m].is_cubic,
                                    .has_softmax_factor = strcmp(options->factor, "softmax") == 0,
                                    .is_steady = strcmp(options->recipe, "steady") == 0,
                                    .n_points = options->points,
                                    .n_steps = options->steps,
                                    .seed = (uint64_t)(options->seed + index)};
            return cell;
        }
    }
    CHECK(false, "no trial %lld", (long long)index);
}

static enum status run_piece(void *context, int thread, int64_t index)
{
    (void)thread;
    struct work *work = context;
    struct trial trial;
    int64_t run;
    const struct cluster_cell *cell = find_trial(work, index, &trial, &run);
    const double start_s = clock_seconds();
    const enum status status = trial_run(&trial, &cell->results[run]);
    if (status >= 0)
        fprintf(stderr,
                "setting %d, %s %s, run %" PRId64 " of %" PRId64 ": %.2f %% after %" PRId64
                " steps, %.1f s\n",
                trial.setting + 1, trial.is_mixture ? "mixture" : "single",
                trial.is_cubic ? "cubic" : "linear", run + 1, cell->n_runs,
                100 * cell->results[run].test_accuracy, cell->results[run].n_steps,
                clock_seconds() - start_s);
    return status;
}

static enum status run(const struct cluster_options *options)
{
    struct work work = {.options = options};
    const double start_s = clock_seconds();
    struct trial_result *results =
        calloc((size_t)(PATCHES_SETTINGS * CLUSTER_MODELS * (options->runs + options->single_runs)),
               sizeof *results);
    if (!results)
        return status_set(STATUS_MEMORY, "lab: no memory for results");
    for (int s = 0; s < PATCHES_SETTINGS; s++) {
        for (int m = 0; m < CLUSTER_MODELS && is_wanted(options, s); m++) {
            work.cells[s][m] = (struct cluster_cell){.results = results + work.n_trials,
                                                     .n_runs = runs_of(options, m)};
            work.n_trials += work.cells[s][m].n_runs;
        }
    }
    enum status status =
        parallel_for(parallel_threads(options->threads), work.n_trials, run_piece, &work);
    if (status >= 0 && options->wants_json)
        status = cluster_print_json(work.cells);
    else if (status >= 0)
        cluster_print_table(work.cells);
    if (status >= 0)
        footer_print(start_s, "");
    free(results);
    return status;
}

int lab_cluster_main(int argc, char **argv)
{
    struct cluster_options options = {.runs = 10,
                                      .single_runs = 1,
                                      .points = 16000,
                                      .steps = 501,
                                      .seed = 1,
                                      .factor = "score",
                                      .recipe = "steady"};
    struct option_list arguments = {0};
    const int code = options_start(&command, argc, argv, &options, &arguments);
    if (code >= 0)
        return code;
    const enum status status = run(&options);
    options_free(&command, &options, &arguments);
    return status_finish(status);
}
