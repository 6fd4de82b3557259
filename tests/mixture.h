/* A MoE layer with its fixture, for tests that ask what it chose. */
#ifndef MIXT_TESTS_MIXTURE_H
#define MIXT_TESTS_MIXTURE_H

#include "moe/moe.h"
#include "tests/fixture.h"

enum { MIXTURE_STREAM = 40, MIXTURE_HIDDEN = 20 };

struct mixture {
    struct fixture fixture;
    struct moe moe;
    struct moe_record record; /* of the last mixture_run() */
};

/* A gate with noise 1. Softmax takes all experts and switch one, whatever top_k is. */
struct gate_config mixture_gate(enum gate_kind kind, int64_t n_experts, int64_t top_k);

/* A layer with a sigmoid, MIXTURE_HIDDEN ReLU units an expert, and balance losses: flat, or of two
 * levels. */
struct moe_config mixture_flat(enum gate_kind kind, int64_t n_experts, int64_t top_k);
struct moe_config mixture_two_levels(const struct gate_config *groups,
                                     const struct gate_config *experts);

/* Opens a layer "moe" of width dim; its parameters are random, thresholds near 1/8. Free with
 * fixture_close(&mixture->fixture). */
void mixture_open(struct mixture *mixture, const char *backend, int64_t dim,
                  const struct moe_config *config, uint32_t stream);

/* y [N, 1, D] of x [N, 1, D]; names [N] or NULL. */
struct tensor mixture_run(struct mixture *mixture, const struct tensor *x,
                          const struct tensor *names);

/* Closeness of a sum in float or double. */
double mixture_closeness(const struct mixture *mixture);

/* Fails the test where a row of a and one of b, both [N, 1, D], are not the same to the bit. */
void mixture_expect_row(struct fixture *fixture, const struct tensor *a, int64_t row_a,
                        const struct tensor *b, int64_t row_b);

/* The weight of every expert for every token, [N, experts] in the fixture's arena; 0 where a token
 * was not sent. Fails the test where a token was sent to an expert twice, or with a weight that is
 * not above 0. */
double *mixture_weights(struct fixture *fixture, const struct moe *moe,
                        const struct moe_record *record);

#endif
