/* The parameter list: names, gradients, and the values that parameters start with.
 *
 * Usage: test_param BACKEND. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "tests/fixture.h"

static const char *backend;

enum { ROWS = 100, COLUMNS = 101, COUNT = ROWS * COLUMNS };

static struct param *add(struct fixture *fixture, const char *name, enum param_start start)
{
    const struct param_spec spec = {
        .rank = 2, .dim = {ROWS, COLUMNS}, .start = start, .bound = 0.25};
    return param_add(&fixture->params, spec, "layer.%s", name);
}

static void test_list(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture, backend);
    struct param *first = NULL;
    char name[16];
    for (int i = 0; i < 200; i++) {
        snprintf(name, sizeof name, "p%d", i);
        struct param *param = param_add(
            &fixture.params, (struct param_spec){.rank = 3, .dim = {2, 3, 5}}, "%s.value", name);
        first = first ? first : param;
        assert_int_equal(param->grad.dim[2], 5);
        assert_int_equal(tensor_count(&param->first), 30);
    }
    assert_int_equal(param_list_check(&fixture.params), STATUS_OK);
    assert_int_equal(fixture.params.count, 200);
    assert_int_equal(param_list_size(&fixture.params), 6000);
    assert_ptr_equal(param_find(&fixture.params, "p0.value"), first);
    assert_string_equal(param_find(&fixture.params, "p199.value")->name, "p199.value");
    assert_null(param_find(&fixture.params, "p200.value"));
    assert_null(param_find(&fixture.params, "p0"));
    fixture_set(&fixture, &first->grad, 29, 4);
    param_list_zero_gradients(&fixture.params);
    assert_true(fixture_get(&fixture, &first->grad, 29) == 0);
    fixture_close(&fixture);
}

static void moments(const double *values, double power[5])
{
    for (int p = 1; p <= 4; p++) {
        power[p] = 0;
        for (int i = 0; i < COUNT; i++)
            power[p] += pow(values[i], p) / COUNT;
    }
}

/* Uniform numbers in -b .. b: variance b^2 / 3, fourth moment b^4 / 5. Normal ones: b^2, 3 b^4. */
static void test_start_distributions(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture, backend);
    const struct param *uniform = add(&fixture, "uniform", PARAM_UNIFORM);
    const struct param *normal = add(&fixture, "normal", PARAM_NORMAL);
    const struct param *zero = add(&fixture, "zero", PARAM_ZERO);
    param_list_start(&fixture.params, 9);
    const double *values = fixture_values(&fixture, &uniform->weight.value);
    double power[5];
    moments(values, power);
    for (int i = 0; i < COUNT; i++)
        assert_true(fabs(values[i]) <= 0.25);
    assert_true(fabs(power[1]) < 5 * 0.25 / sqrt(3.0 * COUNT));
    assert_true(fabs(power[2] / (0.0625 / 3) - 1) < 0.05);
    assert_true(fabs(power[4] / (0.0625 * 0.0625 / 5) - 1) < 0.08);
    moments(fixture_values(&fixture, &normal->weight.value), power);
    assert_true(fabs(power[1]) < 5 * 0.25 / sqrt(COUNT));
    assert_true(fabs(power[2] / 0.0625 - 1) < 0.08);
    assert_true(fabs(power[4] / (3 * 0.0625 * 0.0625) - 1) < 0.2);
    moments(fixture_values(&fixture, &zero->weight.value), power);
    assert_true(power[2] == 0);
    fixture_close(&fixture);
}

static void test_forget_gates(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture, backend);
    const struct param_spec spec = {.rank = 1, .dim = {4 * 7}, .start = PARAM_FORGET_GATE};
    const struct param *bias = param_add(&fixture.params, spec, "bias");
    param_list_start(&fixture.params, 9);
    /* Gates lie in the order i f g o. */
    for (int i = 0; i < 4 * 7; i++)
        assert_true(fixture_get(&fixture, &bias->weight.value, i) == (i >= 7 && i < 14));
    fixture_close(&fixture);
}

/* How many places of two tensors hold the same number. */
static int count_equal(struct fixture *fixture, const struct param *a, const struct param *b)
{
    const double *left = fixture_values(fixture, &a->weight.value);
    const double *right = fixture_values(fixture, &b->weight.value);
    int equal = 0;
    for (int i = 0; i < COUNT; i++)
        equal += left[i] == right[i];
    return equal;
}

/* A seed gives the same values every time and in either precision; another seed, another parameter
 * and another place give others. */
static void test_start_follows_seed(void **state)
{
    (void)state;
    const enum param_start starts[] = {PARAM_UNIFORM, PARAM_NORMAL};
    for (int s = 0; s < 2; s++) {
        struct fixture fixture, wide;
        fixture_open(&fixture, backend);
        fixture_open(&wide, "ref64");
        const struct param *a = add(&fixture, "a", starts[s]), *b = add(&fixture, "b", starts[s]);
        const struct param *wide_a = add(&wide, "a", starts[s]);
        param_list_start(&wide.params, 9);
        param_list_start(&fixture.params, 10);
        const double *other = fixture_values(&fixture, &a->weight.value);
        param_list_start(&fixture.params, 9);
        const double *values = fixture_values(&fixture, &a->weight.value);
        const double *wanted = fixture_values(&wide, &wide_a->weight.value);
        const bool is_wide = fixture.backend.real == DTYPE_F64;
        for (int i = 0; i < COUNT; i++)
            assert_true(values[i] == (is_wide ? wanted[i] : (double)(float)wanted[i]));
        assert_in_range(count_equal(&fixture, a, b), 0, 2);
        int unchanged = 0, repeated = 0;
        for (int i = 0; i < COUNT; i++) {
            unchanged += values[i] == other[i];
            repeated += i > 0 && values[i] == values[i - 1];
            repeated += i >= 4096 && values[i] == values[i - 4096];
        }
        assert_in_range(unchanged, 0, 2);
        assert_in_range(repeated, 0, 4);
        fixture_close(&wide);
        fixture_close(&fixture);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_param BACKEND\n");
        return 2;
    }
    backend = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_start_distributions),
        cmocka_unit_test(test_forget_gates),
        cmocka_unit_test(test_start_follows_seed),
    };
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
