/* Gradient checks: every number against central differences, in double; or, for a backend in f32,
 * which differences cannot check, against the gradients of the same tests on "ref".
 *
 * A test supplies a loss of its parameters and inputs. The checker compares the gradients that the
 * backward pass leaves with differences of the loss, and that gradients of parameters (and of the
 * inputs that say so) accumulate while the others overwrite. */
#ifndef MIXT_TESTS_GRAD_GRAD_H
#define MIXT_TESTS_GRAD_GRAD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "moe/moe.h"
#include "tests/fixture.h"

enum { GRAD_MAX_INPUTS = 3 };

struct grad_input {
    const char *name;
    struct tensor value;
    struct tensor grad;
    bool accumulates;
};

struct grad_test {
    struct fixture fixture; /* on "ref64", or on the backend that grad_main names */
    struct grad_input inputs[GRAD_MAX_INPUTS];
    int n_inputs;
    uint64_t choices, first_choices; /* hashes of the experts chosen, now and at the first loss */
    /* The loss at the present values; with wants_gradient, also adds to the parameters' gradients
     * and sets (or adds to) the inputs'. Takes what it needs from the fixture's arena. */
    double (*loss)(struct grad_test *test, bool wants_gradient);
};

/* Runs the tests on ref64. With a backend's name as the argument: runs them on ref, then on it, and
 * compares losses and gradients; no differences are taken. Returns the program's exit code. */
int grad_main(int argc, char **argv, const char *name, const struct CMUnitTest *tests,
              size_t count);

/* Opens the fixture and sets the loss; the rest is zero. */
void grad_open(struct grad_test *test, double (*loss)(struct grad_test *, bool));
void grad_close(struct grad_test *test);

/* Adds an input whose gradient is checked; its gradient tensor comes from the arena. */
void grad_add_input(struct grad_test *test, const char *name, struct tensor value,
                    bool accumulates);

/* Sum of y times fixed random numbers, one set a stream: a scalar that depends on all of y. d_y,
 * if not NULL, becomes these numbers: the gradient. With lengths [B], positions t >= lengths[b] of
 * y [T, B, ..] count nothing. */
double grad_project(struct grad_test *test, uint32_t stream, const struct tensor *y,
                    const int32_t *lengths, const struct tensor *d_y);

/* The losses of a MoE layer: balance and thresholds. Differences need the choice of experts to stay
 * as it is, so the test fails where it ever changes. */
double grad_balance(struct grad_test *test, const struct moe_record *record);

/* Checks every number of every input and parameter: relative error <= 1e-6, where numbers below
 * 1e-3 of the largest gradient count as that large. */
void grad_check(struct grad_test *test);

/* Checks the parameters' gradients along one random direction over all of them: relative 1e-6. */
void grad_check_direction(struct grad_test *test);

#endif
