/* The gradient checker. */
#include "tests/grad/grad.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double epsilon = 1e-5;
static const double tolerance = 1e-6;
static const double floor_share = 1e-3; /* of the largest gradient of the test */
static const double f32_tolerance = 1e-4;
static const double f32_floor = 0.01;
static const double f32_twice = 1e-5; /* of the largest: sums of two passes may be rounded */

/* What a backend in f32 is compared with: the numbers of all tests on "ref", in their order. */
static struct {
    const char *backend; /* that the tests run on now */
    double *numbers;
    size_t count, room, at;
    double worst; /* difference, as a share of what is allowed */
} comparison = {.backend = "ref64"};

static bool is_compared(void)
{
    return strcmp(comparison.backend, "ref64") != 0;
}

/* Keeps a number of ref's, or returns the one kept for this place. */
static double kept(double number)
{
    if (strcmp(comparison.backend, "ref") != 0) {
        CHECK(comparison.at < comparison.count, "more numbers than on ref");
        return comparison.numbers[comparison.at++];
    }
    if (comparison.count == comparison.room) {
        comparison.room = 2 * comparison.room + 4096;
        comparison.numbers =
            realloc(comparison.numbers, comparison.room * sizeof *comparison.numbers);
        CHECK(comparison.numbers, "no memory for %zu numbers", comparison.room);
    }
    return comparison.numbers[comparison.count++] = number;
}

static void expect_kept(const char *name, int64_t at, double got, double largest)
{
    const double wanted = kept(got), allowed = f32_tolerance * (fabs(wanted) + f32_floor * largest);
    comparison.worst = fmax(comparison.worst, fabs(got - wanted) / allowed);
    if (!(fabs(got - wanted) <= allowed))
        fail_msg("%s: %s[%lld]: got %.9g, ref %.9g, largest %g", comparison.backend, name,
                 (long long)at, got, wanted, largest);
}

int grad_main(int argc, char **argv, const char *name, const struct CMUnitTest *tests, size_t count)
{
    if (argc < 2)
        return _cmocka_run_group_tests(name, tests, count, NULL, NULL);
    comparison.backend = "ref";
    int n_failed = _cmocka_run_group_tests(name, tests, count, NULL, NULL);
    comparison.backend = argv[1];
    n_failed += n_failed ? 0 : _cmocka_run_group_tests(name, tests, count, NULL, NULL);
    printf("%zu numbers; the worst difference is %.3g of what is allowed\n", comparison.count,
           comparison.worst);
    n_failed += comparison.at != comparison.count;
    free(comparison.numbers);
    return n_failed > 0;
}

void grad_open(struct grad_test *test, double (*loss)(struct grad_test *, bool))
{
    *test = (struct grad_test){.loss = loss};
    fixture_open(&test->fixture, comparison.backend);
}

void grad_close(struct grad_test *test)
{
    fixture_close(&test->fixture);
}

void grad_add_input(struct grad_test *test, const char *name, struct tensor value, bool accumulates)
{
    CHECK(test->n_inputs < GRAD_MAX_INPUTS, "too many inputs");
    test->inputs[test->n_inputs++] =
        (struct grad_input){.name = name,
                            .value = value,
                            .grad = tensor_like(&test->fixture.arena, &value),
                            .accumulates = accumulates};
}

double grad_project(struct grad_test *test, uint32_t stream, const struct tensor *y,
                    const int32_t *lengths, const struct tensor *d_y)
{
    struct fixture *fixture = &test->fixture;
    const struct pass_mark mark = pass_mark(&fixture->pass);
    const int64_t count = tensor_count(y);
    double *values = fixture_values(fixture, y);
    double *factors = arena_take(&fixture->host, (size_t)count * sizeof *factors);
    double sum = 0;
    for (int64_t i = 0; i < count; i++) {
        const struct random_key key = {.seed = 7, .stream = stream};
        const int64_t position = y->rank == 3 ? i / y->dim[2] : 0;
        const bool is_padding = lengths && position / y->dim[1] >= lengths[position % y->dim[1]];
        factors[i] =
            is_padding ? 0 : 2 * random_unit(random_philox(key, 0, (uint32_t)i).word[0]) - 1;
        if (!is_padding)
            sum += factors[i] * values[i];
    }
    if (d_y)
        fixture_write(fixture, d_y, factors);
    pass_release(&fixture->pass, mark);
    return sum;
}

static void hash_ints(struct grad_test *test, const struct tensor *tensor)
{
    if (!tensor->rank)
        return;
    const int32_t *values = fixture_read_ints(&test->fixture, tensor);
    for (int64_t i = 0; i < tensor_count(tensor); i++)
        test->choices = (test->choices ^ (uint32_t)values[i]) * 0x100000001B3;
}

double grad_balance(struct grad_test *test, const struct moe_record *record)
{
    struct fixture *fixture = &test->fixture;
    const struct pass_mark mark = pass_mark(&fixture->pass);
    double loss =
        fixture_get(fixture, &record->losses, 0) + fixture_get(fixture, &record->losses, 1);
    for (int l = 0; l < MOE_MAX_LEVELS; l++) {
        const struct gate_record *gate = &record->level[l].gate;
        hash_ints(test, &gate->gating.experts);
        hash_ints(test, &gate->gating.starts);
        if (gate->threshold_loss.rank)
            loss += fixture_get(fixture, &gate->threshold_loss, 0);
    }
    pass_release(&fixture->pass, mark);
    return loss;
}

static double loss_at(struct grad_test *test, bool wants_gradient)
{
    const struct pass_mark mark = pass_mark(&test->fixture.pass);
    param_list_pack(&test->fixture.params);
    test->choices = 0xCBF29CE484222325;
    const double loss = test->loss(test, wants_gradient);
    pass_release(&test->fixture.pass, mark);
    assert_true(isfinite(loss));
    if (test->first_choices && test->first_choices != test->choices)
        fail_msg("the choice of experts changed under a small difference: take other numbers");
    test->first_choices = test->choices;
    return loss;
}

/* One tensor under test, with its gradient after one backward pass. */
struct target {
    const char *name;
    struct tensor value, grad;
    bool accumulates;
    double *once;
};

static double largest_of(struct fixture *fixture, struct target *target)
{
    target->once = fixture_values(fixture, &target->grad);
    double largest = 0;
    for (int64_t i = 0; i < tensor_count(&target->grad); i++) {
        if (!isfinite(target->once[i]))
            fail_msg("gradient of %s[%lld] is %g", target->name, (long long)i, target->once[i]);
        largest = fmax(largest, fabs(target->once[i]));
    }
    return largest;
}

/* After a second backward pass: twice the gradient where it accumulates, the same where not. */
static void check_twice(struct fixture *fixture, const struct target *target, double largest)
{
    const double factor = target->accumulates ? 2 : 1, bound = is_compared() ? f32_twice : 1e-12;
    for (int64_t i = 0; i < tensor_count(&target->grad); i++) {
        const double twice = fixture_get(fixture, &target->grad, i);
        if (!(fabs(twice - factor * target->once[i]) <= bound * largest))
            fail_msg("gradient of %s[%lld] is %.17g after one pass, %.17g after two", target->name,
                     (long long)i, target->once[i], twice);
    }
}

static void check_differences(struct grad_test *test, const struct target *target, double largest)
{
    struct fixture *fixture = &test->fixture;
    for (int64_t i = 0; i < tensor_count(&target->value); i++) {
        const double value = fixture_get(fixture, &target->value, i);
        fixture_set(fixture, &target->value, i, value + epsilon);
        const double above = loss_at(test, false);
        fixture_set(fixture, &target->value, i, value - epsilon);
        const double below = loss_at(test, false);
        fixture_set(fixture, &target->value, i, value);
        const double wanted = (above - below) / (2 * epsilon), got = target->once[i];
        const double size = fmax(fmax(fabs(wanted), fabs(got)), floor_share * largest);
        if (!(fabs(got - wanted) <= tolerance * size))
            fail_msg("gradient of %s[%lld]: got %.12g, differences say %.12g, largest %g",
                     target->name, (long long)i, got, wanted, largest);
    }
}

static int64_t list_targets(struct grad_test *test, struct target *targets)
{
    int64_t count = 0;
    for (int i = 0; i < test->n_inputs; i++) {
        const struct grad_input *input = &test->inputs[i];
        targets[count++] = (struct target){.name = input->name,
                                           .value = input->value,
                                           .grad = input->grad,
                                           .accumulates = input->accumulates};
    }
    for (int64_t i = 0; i < test->fixture.params.count; i++) {
        const struct param *param = test->fixture.params.items[i];
        targets[count++] = (struct target){.name = param->name,
                                           .value = param->weight.value,
                                           .grad = param->grad,
                                           .accumulates = true};
    }
    return count;
}

/* Loss, choices and gradients against those of ref. */
static void compare(struct grad_test *test, const struct target *targets, int64_t count,
                    double loss)
{
    const double choices = (double)(test->choices >> 12); /* exact in double */
    if (kept(choices) != choices)
        fail_msg("%s chooses other experts than ref", comparison.backend);
    expect_kept("loss", 0, loss, 1);
    for (int64_t i = 0; i < count; i++) {
        double largest = 0;
        for (int64_t j = 0; j < tensor_count(&targets[i].grad); j++)
            largest = fmax(largest, fabs(targets[i].once[j]));
        for (int64_t j = 0; j < tensor_count(&targets[i].grad); j++)
            expect_kept(targets[i].name, j, targets[i].once[j], largest);
    }
}

void grad_check(struct grad_test *test)
{
    struct fixture *fixture = &test->fixture;
    struct target targets[GRAD_MAX_INPUTS + 128];
    CHECK(fixture->params.count <= 128, "%lld parameters", (long long)fixture->params.count);
    const int64_t count = list_targets(test, targets);
    const double poison = 1e3;
    for (int64_t i = 0; i < count; i++)
        fixture->backend.ops->fill(&fixture->backend, &targets[i].grad,
                                   targets[i].accumulates ? 0 : poison);
    const double loss = loss_at(test, true);
    double largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmax(largest, largest_of(fixture, &targets[i]));
    assert_true(largest > 0);
    if (is_compared())
        compare(test, targets, count, loss);
    loss_at(test, true);
    for (int64_t i = 0; i < count; i++)
        check_twice(fixture, &targets[i], largest);
    for (int64_t i = 0; i < count && !is_compared(); i++)
        check_differences(test, &targets[i], largest);
}

/* Every parameter moves by step times its own fixed random number. Returns gradient . direction. */
static double move(struct grad_test *test, double step)
{
    struct fixture *fixture = &test->fixture;
    double slope = 0;
    for (int64_t i = 0; i < fixture->params.count; i++) {
        const struct param *param = fixture->params.items[i];
        const struct random_key key = {.seed = 11, .stream = (uint32_t)i};
        for (int64_t j = 0; j < tensor_count(&param->grad); j++) {
            const double direction =
                2 * random_unit(random_philox(key, 0, (uint32_t)j).word[0]) - 1;
            const double value = fixture_get(fixture, &param->weight.value, j);
            fixture_set(fixture, &param->weight.value, j, value + step * direction);
            slope += direction * fixture_get(fixture, &param->grad, j);
        }
    }
    return slope;
}

void grad_check_direction(struct grad_test *test)
{
    if (is_compared()) { /* every element, then */
        grad_check(test);
        return;
    }
    param_list_zero_gradients(&test->fixture.params);
    loss_at(test, true);
    const double got = move(test, epsilon);
    const double above = loss_at(test, false);
    move(test, -2 * epsilon);
    const double below = loss_at(test, false);
    move(test, epsilon);
    const double wanted = (above - below) / (2 * epsilon);
    if (!(fabs(got - wanted) <= tolerance * fabs(wanted)))
        fail_msg("slope: got %.12g, differences say %.12g", got, wanted);
}
