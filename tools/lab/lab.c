/* mixt lab: experiments on mixtures of experts. */
#include <stdio.h>
#include <string.h>

#include "tools/dispatch.h"
#include "tools/lab/verbs.h"
#include "tools/verbs.h"

static const struct verb verbs[] = {
    {"cluster", lab_cluster_main,
     "the synthetic clusters of Chen et al. 2022: do experts find them?"},
    {"steps", lab_steps_main, "how a small step of the input changes a trained model's routing"},
    {"thresholds", lab_thresholds_main,
     "do a balanced gate's thresholds choose as its training does?"},
};

enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static void print_help(void)
{
    printf("Usage: mixt lab VERB [OPTION...]\n\n"
           "Experiments on mixtures of experts.\n\n");
    dispatch_list(verbs, N_VERBS);
    printf("\n'mixt lab cluster --help' lists the options of cluster, and so on.\n");
}

int lab_main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help();
        return 0;
    }
    return dispatch_run("lab", "cluster, steps or thresholds", verbs, N_VERBS, argc, argv);
}
