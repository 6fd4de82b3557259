/* One trial of the experiment of Chen et al. 2022: draw patches, train a model, test it.
 *
 * Models: 8 experts of 16 filters behind a switch gate that reads the sum of the patches, or one
 * model of 128 filters; filters linear or cubic. A model's two logits are the sums of its first and
 * of its second half of filters, over all patches:
 *
 *   f(x) = (sum over p of act(x_p W1 + b1)) W2,  W2 [F, 2] fixed: 1 0 above, 0 1 below
 *   F(x) = g f_m(x),   m = argmax of h + uniform in training, of h in the test,   h = (sum x_p) W_g
 *   loss = cross-entropy of softmax(softmax(F)), which cannot fall below log(1 + 1/e) = 0.3133;
 *          of softmax(F) for single models
 *
 * The factor g is the score of the chosen expert, noise included, as in the authors' code, or its
 * share of softmax(h), as in their paper. Every step sees all points. Experts take normalised steps
 * (an expert's gradients divided by the sum of its filters' and its biases' norm), the gate plain
 * ones, single models Adam's with weight decay.
 *
 * Mixtures learn at the authors' rates, or steadily: experts 0.8 and the gate 16 times as fast,
 * both rates falling to 0 linearly, until the lowest loss has fallen by less than 0.003 in 50
 * steps. */
#ifndef MIXT_TOOLS_LAB_TRIAL_H
#define MIXT_TOOLS_LAB_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

struct trial {
    int setting; /* 0..PATCHES_SETTINGS-1 */
    bool is_mixture, is_cubic;
    bool has_softmax_factor; /* g is the expert's share of the softmax, not its score */
    bool is_steady;          /* a mixture's rates fall and it may end early; see above */
    int64_t n_points;        /* for training, and again for the test; 1.. */
    int64_t n_steps;         /* at most, 1..; a mixture ends when its loss is as low as it can be */
    uint64_t seed;           /* of points, start and noise */
};

struct trial_result {
    double test_accuracy;  /* 0..1 */
    double train_accuracy; /* 0..1, at the last step */
    double entropy;        /* of the last step's dispatch, patches_entropy(); 0 for single models */
    double loss;           /* at the last step */
    int64_t n_steps;       /* taken */
};

/* Runs the trial on one thread; the result depends on the trial alone. STATUS_MEMORY,
 * STATUS_DEVICE, STATUS_DIVERGED. */
enum status trial_run(const struct trial *trial, struct trial_result *result) STATUS_CHECKED;

#endif
