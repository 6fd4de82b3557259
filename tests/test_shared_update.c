/* An update that ranks share, threads here, against the same update on one: values, and which
 * moments each rank keeps.
 *
 * Usage: test_shared_update BACKEND. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "layer/runs.h"
#include "tests/crew.h"
#include "tests/fixture.h"
#include "train/optimizer.h"

static const char *backend;

/* Small ones of which ranks own parts or nothing, and one that is larger than a run. */
enum { N_PARAMS = 5, N_STEPS = 3, LARGE = (1 << 22) + 37 };
static const struct param_spec specs[N_PARAMS] = {
    {.rank = 2, .dim = {3, 5}, .start = PARAM_UNIFORM, .bound = 1},
    {.rank = 1, .dim = {1}, .start = PARAM_UNIFORM, .bound = 1},
    {.rank = 1, .dim = {LARGE}, .start = PARAM_UNIFORM, .bound = 1},
    {.rank = 2, .dim = {6, 7}, .start = PARAM_UNIFORM, .bound = 1, .is_expert = true},
    {.rank = 2, .dim = {2, 2}, .start = PARAM_UNIFORM, .bound = 1},
};

enum { N_SMALL = 3 * 5 + 1 + 2 * 2 };

struct job {
    double first_values[CREW_MAX_RANKS][N_SMALL]; /* after the steps, what all hold but the large */
    double large_sum[CREW_MAX_RANKS], norm[CREW_MAX_RANKS];
    double moments[CREW_MAX_RANKS]; /* numbers of both, without the experts */
};

/* This rank's part of a gradient: the parts of any number of ranks add up to the same. */
static void fill_gradient(struct fixture *fixture, const struct comm *comm,
                          const struct param *param, int64_t number, int step)
{
    const int64_t count = tensor_count(&param->grad);
    const double whole =
        param->is_expert ? 1 : (comm->rank + 1.0) * 2 / (comm->size * (comm->size + 1.0));
    double *values = malloc((size_t)count * sizeof *values);
    CHECK(values, "no memory");
    const int64_t skipped = param->is_expert ? param->first_expert * 7 : 0;
    for (int64_t i = 0; i < count; i++)
        values[i] = whole * ((double)((skipped + i) * (number + 3) % 11) - 5) * (step + 1);
    fixture_write(fixture, &param->grad, values);
    free(values);
}

static void keep(struct fixture *fixture, const struct comm *comm, struct job *job)
{
    int64_t used = 0;
    for (int64_t i = 0; i < N_PARAMS; i++) {
        const struct param *param = fixture->params.items[i];
        const int64_t count = tensor_count(&param->weight.value);
        if (param->is_expert)
            continue;
        job->moments[comm->rank] +=
            (double)(tensor_count(&param->first) + tensor_count(&param->second));
        double *values = malloc((size_t)count * sizeof *values);
        CHECK(values, "no memory");
        fixture_read(fixture, &param->weight.value, values);
        if (count < LARGE)
            memcpy(job->first_values[comm->rank] + used, values, (size_t)count * sizeof *values);
        used += count < LARGE ? count : 0;
        for (int64_t j = 0; j < count && count == LARGE; j++)
            job->large_sum[comm->rank] += values[j] * (double)(j % 5 + 1);
        free(values);
    }
}

static void run_steps(struct comm *comm, void *context)
{
    struct job *job = context;
    struct fixture fixture;
    struct config_train train = {.steps = 100};
    train.optimizer.lr = 0.1;
    train.optimizer.beta1 = 0.5;
    train.optimizer.beta2 = 0.75;
    train.optimizer.epsilon = 1e-6;
    train.optimizer.clip = 3;
    train.schedule.hold = 100;
    fixture_open(&fixture, backend);
    struct param_list *params = &fixture.params;
    params->comm = comm;
    for (int i = 0; i < N_PARAMS; i++)
        (void)param_add(params, specs[i], "p%d", i);
    runs_place(params);
    param_list_start(params, 1);
    param_list_zero_gradients(params);
    for (int step = 0; step < N_STEPS; step++) {
        for (int64_t i = 0; i < N_PARAMS; i++)
            fill_gradient(&fixture, comm, params->items[i], i, step);
        CHECK(optimizer_step(params, &fixture.arena, &train, step + 1, &job->norm[comm->rank]) ==
                  STATUS_OK,
              "%s", status_message());
    }
    keep(&fixture, comm, job);
    for (int64_t i = 0; i < N_PARAMS; i++) /* each update leaves them so */
        for (int64_t j = 0; j < 4 && j < tensor_count(&params->items[i]->grad); j++)
            CHECK(fixture_get(&fixture, &params->items[i]->grad, j) == 0, "a gradient is left");
    fixture_close(&fixture);
}

static void test_values_and_moments(void **state)
{
    (void)state;
    struct job *const one = calloc(1, sizeof *one), *const many = calloc(1, sizeof *many);
    assert_true(one && many);
    crew_run(1, run_steps, one);
    assert_true(one->moments[0] == 2 * (N_SMALL + (double)LARGE));
    for (int size = 2; size <= 3; size++) {
        double moments = 0;
        *many = (struct job){0};
        crew_run(size, run_steps, many);
        for (int r = 0; r < size; r++) {
            expect_close("values", many->first_values[r], one->first_values[0], N_SMALL, 1e-5);
            expect_close("large", &many->large_sum[r], &one->large_sum[0], 1, 1e-5);
            expect_close("norm", &many->norm[r], &one->norm[0], 1, 1e-5);
            assert_memory_equal(many->first_values[r], many->first_values[0],
                                sizeof many->first_values[0]);
            /* A share counts the gaps between parameters, too: 64 numbers at most for each. */
            assert_true(many->moments[r] <= one->moments[0] / size + 2 * 64 * N_PARAMS);
            moments += many->moments[r];
        }
        assert_true(moments == one->moments[0]);
    }
    free(one);
    free(many);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_shared_update BACKEND\n");
        return 2;
    }
    backend = argv[1];
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_values_and_moments)};
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
