/* mixt bench: how fast this machine is, and how near to that each part of mixt comes. */
#include <stdio.h>
#include <string.h>

#include "tools/bench/verbs.h"
#include "tools/dispatch.h"
#include "tools/verbs.h"

static const struct verb verbs[] = {
    {"op", bench_op_main, "the products of an update one at a time, and other operations"},
    {"layer", bench_layer_main, "LSTM, attention, mixture and softmax, forward and backward"},
    {"train", bench_train_main, "updates of a whole model on random sentences"},
    {"decode", bench_decode_main, "translating random sentences, in batches and alone"},
    {"moe", bench_moe_main, "updates with more and more experts, and the share of gating"},
    {"comm", bench_comm_main, "all-to-alls and sums of ranks under mpirun: latency, bandwidth"},
    {"make", bench_make_main, "write a model file with random weights, to measure with"},
};

enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

static void print_help(void)
{
    printf("Usage: mixt bench VERB [OPTION...] [SECTION.KEY=VALUE...]\n\n"
           "Measures speed against this machine's own peak. Needs no files.\n\n");
    dispatch_list(verbs, N_VERBS);
    printf("\n'mixt bench op --help' lists the options of op, and so on. 'mixt bench --make\n"
           "FILE' is 'mixt bench make --make FILE'.\n");
}

int bench_main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help();
        return 0;
    }
    if (word[0] == '-')
        return bench_make_main(argc, argv);
    return dispatch_run("bench", "op, layer, train, decode, moe, comm or make", verbs, N_VERBS,
                        argc, argv);
}
