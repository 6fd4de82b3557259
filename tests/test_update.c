/* The update by hand-worked numbers: schedule, Adam, clipping, moving average. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "train/optimizer.h"
#include "train/schedule.h"

static void near(double found, double wanted)
{
    if (!(fabs(found - wanted) <= 1e-12 * (1 + fabs(wanted)))) /* NaN fails, too */
        fail_msg("%.17g found, %.17g wanted", found, wanted);
}

/* Shazeer et al. 2017, appendix E, with warm-up 4, hold 12 and a highest rate of 0.8. */
static void test_inverse_root(void **state)
{
    (void)state;
    struct config_train train = {.steps = 1000};
    train.optimizer.lr = 0.8;
    train.schedule.warmup = 4;
    train.schedule.hold = 12;
    train.schedule.decay = CONFIG_DECAY_INV_SQRT;
    near(schedule_rate(&train, 1), 0.2);
    near(schedule_rate(&train, 3), 0.6);
    near(schedule_rate(&train, 4), 0.8);
    near(schedule_rate(&train, 16), 0.8);
    near(schedule_rate(&train, 64), 0.4); /* sqrt(16 / 64) = 1/2 */
    near(schedule_rate(&train, 400), 0.16);
}

static void test_linear(void **state)
{
    (void)state;
    struct config_train train = {.steps = 14};
    train.optimizer.lr = 1;
    train.schedule.warmup = 2;
    train.schedule.hold = 2;
    train.schedule.decay = CONFIG_DECAY_LINEAR;
    near(schedule_rate(&train, 2), 1);
    near(schedule_rate(&train, 4), 1);
    near(schedule_rate(&train, 5), 10.0 / 11);
    near(schedule_rate(&train, 14), 1.0 / 11); /* the step after the last would be 0 */
    train.schedule.decay = CONFIG_DECAY_NONE;
    near(schedule_rate(&train, 14), 1);
}

/* One parameter of two numbers on the double reference. */
struct fixture {
    struct backend backend;
    struct arena arena, scratch, host;
    struct param_list params;
    double *value, *grad;
    struct config_train train;
};

static void open_fixture(struct fixture *fixture, bool has_average)
{
    *fixture = (struct fixture){0};
    assert_int_equal(backend_open(&fixture->backend, "ref64", 1), STATUS_OK);
    assert_int_equal(arena_init(&fixture->arena, 1 << 20), STATUS_OK);
    assert_int_equal(arena_init(&fixture->scratch, 1 << 20), STATUS_OK);
    assert_int_equal(arena_init(&fixture->host, 1 << 20), STATUS_OK);
    fixture->params = (struct param_list){.backend = &fixture->backend,
                                          .arena = &fixture->arena,
                                          .host = &fixture->host,
                                          .is_training = true,
                                          .has_average = has_average};
    struct param *param =
        param_add(&fixture->params, (struct param_spec){.rank = 1, .dim = {2}}, "p");
    param_list_start(&fixture->params, 1);
    fixture->value = param->weight.value.data;
    fixture->grad = param->grad.data;
    fixture->train.optimizer.lr = 0.1;
    fixture->train.optimizer.beta1 = 0.5;
    fixture->train.optimizer.beta2 = 0.75;
    fixture->train.schedule.decay = CONFIG_DECAY_NONE;
    fixture->train.steps = 100;
}

static void close_fixture(struct fixture *fixture)
{
    param_list_free(&fixture->params);
    arena_free(&fixture->arena);
    arena_free(&fixture->scratch);
    arena_free(&fixture->host);
    backend_close(&fixture->backend);
}

/* beta1 = 1/2, beta2 = 3/4, epsilon = 0. Step 1 moves by the rate against the sign. In step 2, for
 * gradients 3 then 1: m = 1/2 * 3/2 + 1/2 = 5/4, v = 3/4 * 9/4 + 1/4 = 31/16; unbiased m = 5/3 and
 * v = (31/16) / (7/16) = 31/7. */
static void test_adam(void **state)
{
    (void)state;
    struct fixture fixture;
    double norm;
    open_fixture(&fixture, false);
    memcpy(fixture.value, (double[]){1, 1}, 2 * sizeof(double));
    memcpy(fixture.grad, (double[]){3, -4}, 2 * sizeof(double));
    assert_int_equal(optimizer_step(&fixture.params, &fixture.scratch, &fixture.train, 1, &norm),
                     STATUS_OK);
    near(norm, 5);
    near(fixture.value[0], 0.9);
    near(fixture.value[1], 1.1);
    memcpy(fixture.grad, (double[]){1, 0}, 2 * sizeof(double));
    assert_int_equal(optimizer_step(&fixture.params, &fixture.scratch, &fixture.train, 2, &norm),
                     STATUS_OK);
    near(fixture.value[0], 0.9 - 0.1 * (5.0 / 3) / sqrt(31.0 / 7));
    close_fixture(&fixture);
}

/* A gradient of norm 5 clipped to 1/2 enters the moments as (0.3, -0.4). */
static void test_clip(void **state)
{
    (void)state;
    struct fixture fixture;
    double norm;
    open_fixture(&fixture, false);
    fixture.train.optimizer.clip = 0.5;
    memcpy(fixture.grad, (double[]){3, -4}, 2 * sizeof(double));
    assert_int_equal(optimizer_step(&fixture.params, &fixture.scratch, &fixture.train, 1, &norm),
                     STATUS_OK);
    near(norm, 5);
    const double *first = fixture.params.items[0]->first.data;
    near(first[0], 0.5 * 0.3);
    near(first[1], 0.5 * -0.4);
    close_fixture(&fixture);
}

/* -- experts with factored second moments -- */

enum { MATRICES = 3, IN = 4, OUT = 5 };

/* Adds the experts' matrices [n, in, out] and biases [n, out] to a fixture's list. */
static struct param *add_experts(struct fixture *fixture, int64_t n, int64_t in, int64_t out,
                                 struct param **bias)
{
    fixture->params.factors_experts = true;
    *bias = param_add(&fixture->params,
                      (struct param_spec){.rank = 2, .dim = {n, out}, .is_expert = true}, "bias");
    return param_add(&fixture->params,
                     (struct param_spec){.rank = 3, .dim = {n, in, out}, .is_expert = true}, "w");
}

static void step(struct fixture *fixture, int64_t number)
{
    double norm;
    assert_int_equal(
        optimizer_step(&fixture->params, &fixture->scratch, &fixture->train, number, &norm),
        STATUS_OK);
}

/* Rate 0.1, beta2 = 3/4. Squares that are an outer product are factored without loss: in step 1
 * every number moves by the rate. In step 2 r = c = 3/4 (5/8, 5/2) + 1/4 (9/2, 1/2) = (51/32, 2),
 * their mean is 115/64 and 1 - b2^2 = 7/16, so the estimates are 51^2 / 805 and 64^2 / 805. The
 * second matrix has a gradient in step 1 only: in step 2 its values stay, its averages decay. */
static void test_factored_by_hand(void **state)
{
    (void)state;
    struct fixture fixture;
    struct param *bias;
    open_fixture(&fixture, false);
    struct param *w = add_experts(&fixture, 2, 2, 2, &bias);
    assert_true(w->first.rank == 0 && w->second.rank == 0 && bias->first.rank == 0);
    assert_true(fixture.params.items[0]->first.rank == 1); /* no expert's */
    param_list_start(&fixture.params, 1);
    param_list_zero_gradients(&fixture.params);
    fixture.train.optimizer.epsilon = 1e-30; /* a gradient of 0 must not be 0/0 */
    double *const value = w->weight.value.data, *const row = w->second_row.data;
    double *const column = w->second_column.data, *const b = bias->weight.value.data;
    memcpy(w->grad.data, (double[]){1, -2, 2, 4, 1, 1, 1, 1}, 8 * sizeof(double));
    memcpy(bias->grad.data, (double[]){3, -4, 0, 0}, 4 * sizeof(double));
    step(&fixture, 1);
    near(value[0], -0.1);
    near(value[1], 0.1);
    near(value[3], -0.1);
    near(row[1], 2.5);
    near(column[0], 0.625);
    near(b[0], -0.1);
    near(b[1], 0.1);
    memcpy(w->grad.data, (double[]){3, 0, 0, 1, 0, 0, 0, 0}, 8 * sizeof(double));
    memcpy(bias->grad.data, (double[]){1, 0, 0, 0}, 4 * sizeof(double));
    step(&fixture, 2);
    near(row[0], 51.0 / 32);
    near(column[1], 2);
    near(value[0], -0.1 - 0.3 * sqrt(805) / 51);
    near(value[1], 0.1);
    near(value[3], -0.1 - 0.1 * sqrt(805) / 64);
    near(value[4], -0.1);
    near(row[2], 0.25 * 0.75);
    near(column[3], 0.25 * 0.75);
    near(b[0], -0.1 - 0.1 / sqrt(31.0 / 7)); /* the moment is the gradient, 1; v as in test_adam */
    near(b[1], 0.1);
    close_fixture(&fixture);
}

/* One matrix as the formulas say it, with other loops than the operation's. */
static void factored_plainly(double value[IN][OUT], double row[IN], double column[OUT],
                             double gradient[IN][OUT], int64_t number)
{
    double total = 0;
    for (int i = 0; i < IN; i++)
        row[i] *= 0.75;
    for (int j = 0; j < OUT; j++)
        column[j] *= 0.75;
    for (int i = 0; i < IN; i++)
        for (int j = 0; j < OUT; j++) {
            row[i] += 0.25 * pow(gradient[i][j], 2) / OUT;
            column[j] += 0.25 * pow(gradient[i][j], 2) / IN;
        }
    for (int j = 0; j < OUT; j++)
        total += column[j];
    for (int i = 0; i < IN; i++)
        for (int j = 0; j < OUT; j++) {
            const double second = row[i] * column[j] / (total / OUT);
            value[i][j] -=
                0.1 * gradient[i][j] / (sqrt(second / (1 - pow(0.75, (double)number))) + 1e-3);
        }
}

static void test_factored_plainly(void **state)
{
    (void)state;
    struct fixture fixture;
    struct param *bias;
    double value[MATRICES][IN][OUT] = {0}, row[MATRICES][IN] = {0}, column[MATRICES][OUT] = {0};
    open_fixture(&fixture, false);
    struct param *w = add_experts(&fixture, MATRICES, IN, OUT, &bias);
    param_list_start(&fixture.params, 1);
    param_list_zero_gradients(&fixture.params);
    fixture.train.optimizer.epsilon = 1e-3;
    fixture.train.optimizer.clip = 0.5;
    for (int64_t number = 1; number <= 6; number++) {
        double gradient[MATRICES][IN][OUT], squares = 0;
        for (int n = 0; n < MATRICES * IN * OUT; n++) {
            const double g = sin(7.0 * n + 3.0 * (double)number);
            (&gradient[0][0][0])[n] = g;
            squares += g * g;
        }
        memcpy(w->grad.data, gradient, sizeof gradient);
        step(&fixture, number);
        for (int e = 0; e < MATRICES; e++) {
            for (int n = 0; n < IN * OUT; n++)
                (&gradient[e][0][0])[n] *= 0.5 / sqrt(squares);
            factored_plainly(value[e], row[e], column[e], gradient[e], number);
        }
    }
    for (int n = 0; n < MATRICES * IN * OUT; n++)
        near(((double *)w->weight.value.data)[n], (&value[0][0][0])[n]);
    for (int n = 0; n < MATRICES * IN; n++)
        near(((double *)w->second_row.data)[n], (&row[0][0])[n]);
    close_fixture(&fixture);
}

static void test_not_finite(void **state)
{
    (void)state;
    struct fixture fixture;
    double norm;
    open_fixture(&fixture, false);
    memcpy(fixture.value, (double[]){1, 2}, 2 * sizeof(double));
    memcpy(fixture.grad, (double[]){NAN, 0}, 2 * sizeof(double));
    assert_int_equal(optimizer_step(&fixture.params, &fixture.scratch, &fixture.train, 1, &norm),
                     STATUS_DIVERGED);
    assert_true(fixture.value[0] == 1 && fixture.value[1] == 2);
    close_fixture(&fixture);
}

/* Averages move at steps 10, 20, ...: by 10/10, which is the value itself, then by 1 - 0.9^10,
 * which is more than 10/20 and 10/30. */
static void test_average(void **state)
{
    (void)state;
    struct fixture fixture;
    double norm, wanted = 0;
    open_fixture(&fixture, true);
    fixture.train.average = 0.9;
    fixture.train.optimizer.epsilon = 1e-8; /* gradients are 0, and 0/0 is no number */
    for (int64_t step = 1; step <= 30; step++) {
        memcpy(fixture.grad, (double[]){0, 0}, 2 * sizeof(double));
        fixture.train.optimizer.lr = 0;
        fixture.value[0] = (double)step;
        assert_int_equal(
            optimizer_step(&fixture.params, &fixture.scratch, &fixture.train, step, &norm),
            STATUS_OK);
        if (step == 10)
            wanted = 10;
        else if (step == 20)
            wanted += (1 - pow(0.9, 10)) * (20 - wanted);
        else if (step == 30)
            wanted += (1 - pow(0.9, 10)) * (30 - wanted);
    }
    const double *average = fixture.params.items[0]->average.data;
    near(average[0], wanted);
    param_list_swap_average(&fixture.params);
    near(((double *)fixture.params.items[0]->weight.value.data)[0], wanted);
    param_list_swap_average(&fixture.params);
    near(fixture.value[0], 30);
    close_fixture(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inverse_root),
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_adam),
        cmocka_unit_test(test_clip),
        cmocka_unit_test(test_factored_by_hand),
        cmocka_unit_test(test_factored_plainly),
        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_average),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
