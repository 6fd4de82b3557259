/* mixt plan: what a configuration costs, before anything runs. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "model/plan.h"
#include "tools/options.h"
#include "tools/verbs.h"

struct plan_options {
    const char *config_path;
};

static const struct option table[] = {
    {"config", 'c', NULL, "FILE", OPTION_STRING, offsetof(struct plan_options, config_path), 0, 0,
     NULL, "YAML file with the settings"},
};

static const struct options_command command = {
    .verb = "plan",
    .arguments = "[SECTION.KEY=VALUE...]",
    .description = "Prints how many parameters a configuration has, how many multiply-adds a token "
                   "takes and how much memory training needs. Nothing is trained or allocated.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .max_arguments = 1000,
};

static void print_plan(const struct plan *plan)
{
    const double mib = 1024.0 * 1024.0;
    printf("parameters: %" PRId64 "\n", plan->parameters);
    printf("  embeddings and softmax: %" PRId64 "\n", plan->parameters_words);
    printf("  experts: %" PRId64 "\n", plan->parameters_experts);
    printf("  all but embeddings and softmax: %" PRId64 "\n",
           plan->parameters - plan->parameters_words);
    printf("multiply-adds per source token, encoder: %.0f\n", plan->encoder_multiply_adds);
    printf("multiply-adds per target token, decoder: %.0f\n", plan->decoder_multiply_adds);
    printf("multiply-adds per target token, softmax: %.0f\n", plan->softmax_multiply_adds);
    printf("model file: %.1f MiB\n", (double)plan->model_bytes / mib);
    printf("training, parameters and their state: %.1f MiB\n", (double)plan->training_bytes / mib);
    printf("training, activations of a batch, about: %.1f MiB\n",
           (double)plan->activation_bytes / mib);
}

int plan_main(int argc, char **argv)
{
    struct plan_options options = {0};
    struct option_list assignments = {0};
    int code = options_start(&command, argc, argv, &options, &assignments);
    if (code >= 0)
        return code;
    struct config *config = malloc(sizeof *config);
    const enum status status =
        config ? config_read(config, options.config_path, assignments.items, assignments.count)
               : status_set(STATUS_MEMORY, "no memory for the configuration");
    if (status >= 0) {
        const struct plan plan = plan_make(config);
        print_plan(&plan);
    } else {
        status_print();
    }
    free(config);
    options_free(&command, &options, &assignments);
    return status_exit_code(status);
}
