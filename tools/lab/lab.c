/* mixt lab: experiments on mixtures of experts. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "tools/lab/verbs.h"
#include "tools/options.h"
#include "tools/verbs.h"

struct verb {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help;
};

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
    for (size_t i = 0; i < N_VERBS; i++)
        printf("  %-10s %s\n", verbs[i].name, verbs[i].help);
    printf("\n'mixt lab cluster --help' lists the options of cluster, and so on.\n");
}

static int unknown_verb(const char *word)
{
    const char *names[N_VERBS];
    for (size_t i = 0; i < N_VERBS; i++)
        names[i] = verbs[i].name;
    const char *nearest = options_nearest(word, names, N_VERBS);
    enum status code = STATUS_USAGE;
    if (!*word)
        code = status_set(code, "lab wants a verb: cluster, steps or thresholds");
    else if (nearest != NULL)
        code = status_set(code, "unknown lab verb '%s'; did you mean '%s'?", word, nearest);
    else
        code = status_set(code, "unknown lab verb '%s'", word);
    status_hint("'mixt lab --help' lists them");
    return status_finish(code);
}

int lab_main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help();
        return 0;
    }
    for (size_t i = 0; i < N_VERBS; i++) {
        if (strcmp(verbs[i].name, word) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    }
    return unknown_verb(word);
}
