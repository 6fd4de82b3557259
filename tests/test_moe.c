/* What a mixture of experts must do whatever its numbers are.
 *
 * Usage: test_moe BACKEND. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/mixture.h"

static const char *backend;

enum { D = 12, F = MIXTURE_HIDDEN };

static void open_moe(struct mixture *test, int64_t n_experts, int64_t top_k, bool has_sigmoid)
{
    struct moe_config config = mixture_flat(GATE_NOISY_TOP_K, n_experts, top_k);
    config.has_sigmoid = has_sigmoid;
    mixture_open(test, backend, D, &config, MIXTURE_STREAM);
}

/* -- against plain loops -- */

static const double *param_values(struct mixture *test, const char *name)
{
    const struct param *param = param_find(&test->fixture.params, name);
    assert_non_null(param);
    return fixture_values(&test->fixture, &param->weight.value);
}

/* y [D] += weight * (relu(x W1 + b1) W2 + b2) of expert e. */
static void add_expert(struct mixture *test, int64_t e, double weight, const double *x, double *y)
{
    const double *up = param_values(test, "moe.expert.up") + e * D * F;
    const double *up_bias = param_values(test, "moe.expert.up_bias") + e * F;
    const double *down = param_values(test, "moe.expert.down") + e * F * D;
    const double *down_bias = param_values(test, "moe.expert.down_bias") + e * D;
    double hidden[F];
    for (int f = 0; f < F; f++) {
        hidden[f] = up_bias[f];
        for (int d = 0; d < D; d++)
            hidden[f] += x[d] * up[d * F + f];
        hidden[f] = hidden[f] > 0 ? hidden[f] : 0;
    }
    for (int d = 0; d < D; d++) {
        double sum = down_bias[d];
        for (int f = 0; f < F; f++)
            sum += hidden[f] * down[f * D + d];
        y[d] += weight * sum;
    }
}

/* Softmax(x W_g) over all experts (eq. 2). */
static void dense_gate(struct mixture *test, int64_t n_experts, const double *x, double *weights)
{
    const double *matrix = param_values(test, "moe.gate.weight");
    double total = 0;
    for (int64_t e = 0; e < n_experts; e++) {
        double score = 0;
        for (int d = 0; d < D; d++)
            score += x[d] * matrix[d * n_experts + e];
        total += weights[e] = exp(score);
    }
    for (int64_t e = 0; e < n_experts; e++)
        weights[e] /= total;
}

/* With K = E and with a softmax gate the layer is the dense mixture; one expert is a plain
 * feed-forward layer. */
static void check_dense(enum gate_kind kind, int64_t n_experts, bool has_sigmoid)
{
    enum { N = 11 };
    struct moe_config config = mixture_flat(kind, n_experts, n_experts);
    config.has_sigmoid = has_sigmoid;
    struct mixture test;
    mixture_open(&test, backend, D, &config, MIXTURE_STREAM);
    test.fixture.pass.is_training = false;
    const struct tensor x = fixture_random_3d(&test.fixture, N, 1, D, 1);
    const struct tensor y = mixture_run(&test, &x, NULL);
    const double *inputs = fixture_values(&test.fixture, &x);
    double wanted[N * D] = {0};
    for (int n = 0; n < N; n++) {
        double weights[8];
        dense_gate(&test, n_experts, inputs + n * D, weights);
        if (n_experts == 1)
            assert_true(weights[0] == 1);
        for (int64_t e = 0; e < n_experts; e++)
            add_expert(&test, e, weights[e], inputs + n * D, wanted + n * D);
    }
    for (int i = 0; i < N * D; i++)
        wanted[i] = inputs[i] + (has_sigmoid ? 1 / (1 + exp(-wanted[i])) : wanted[i]);
    expect_close("y", fixture_values(&test.fixture, &y), wanted, N * D, mixture_closeness(&test));
    fixture_close(&test.fixture);
}

static void test_dense_mixture(void **state)
{
    (void)state;
    check_dense(GATE_NOISY_TOP_K, 5, false);
    check_dense(GATE_NOISY_TOP_K, 5, true);
    check_dense(GATE_SOFTMAX, 5, false);
}

static void test_one_expert(void **state)
{
    (void)state;
    check_dense(GATE_NOISY_TOP_K, 1, false);
    check_dense(GATE_SOFTMAX, 1, true);
    check_dense(GATE_SWITCH, 1, true);
}

/* -- the same layer in another way -- */

/* A tensor of the first mixture is one of the second, to the bit. */
static void expect_equal(struct mixture test[2], const struct tensor *a, const struct tensor *b)
{
    const int64_t count = tensor_count(a);
    assert_int_equal(count, tensor_count(b));
    const double *left = fixture_values(&test[0].fixture, a);
    const double *right = fixture_values(&test[1].fixture, b);
    assert_memory_equal(left, right, (size_t)count * sizeof *left);
}

/* Fails where a layer of another configuration does not give the same bits from the same
 * parameters, forward or backward. */
static void expect_same(const struct moe_config *one, const struct moe_config *other)
{
    enum { N = 23 };
    const struct moe_config *const configs[] = {one, other};
    const struct sequence sequence = {0};
    struct mixture test[2];
    struct tensor y[2], d[2];
    for (int i = 0; i < 2; i++) {
        mixture_open(&test[i], backend, D, configs[i], MIXTURE_STREAM);
        const struct tensor x = fixture_random_3d(&test[i].fixture, N, 1, D, 1);
        d[i] = fixture_random_3d(&test[i].fixture, N, 1, D, 1);
        y[i] = mixture_run(&test[i], &x, NULL);
        moe_backward(&test[i].moe, &test[i].fixture.pass, &test[i].record, &d[i], &sequence);
    }
    expect_equal(test, &y[0], &y[1]);
    expect_equal(test, &d[0], &d[1]);
    const struct param_list *params = &test[0].fixture.params;
    for (int64_t i = 0; i < params->count; i++) {
        const struct tensor *grad = &params->items[i]->grad;
        const struct param *same = param_find(&test[1].fixture.params, params->items[i]->name);
        assert_non_null(same);
        expect_equal(test, grad, &same->grad);
    }
    for (int i = 0; i < 2; i++)
        fixture_close(&test[i].fixture);
}

/* All experts are all experts, whichever gate says so. */
static void test_all_of_them(void **state)
{
    (void)state;
    const struct moe_config softmax = mixture_flat(GATE_SOFTMAX, 7, 7);
    struct moe_config largest = mixture_flat(GATE_NOISY_TOP_K, 7, 7);
    largest.gate[0].noise = 0;
    expect_same(&softmax, &largest);
}

static void test_recomputed(void **state)
{
    (void)state;
    for (int kind = EXPERT_RELU; kind <= EXPERT_CUBIC; kind++)
        for (int64_t n_patches = 1; n_patches <= 3; n_patches += 2) {
            struct moe_config kept = mixture_flat(GATE_NOISY_TOP_K, 5, 2), again;
            kept.expert.kind = (enum expert_kind)kind;
            kept.expert.n_patches = n_patches;
            again = kept;
            again.expert.is_recomputed = true;
            expect_same(&kept, &again);
        }
}

/* -- dispatch: every token reaches its K experts -- */

static void expect_sorted(struct mixture *test, int64_t n_rows)
{
    struct fixture *fixture = &test->fixture;
    const int64_t n_experts = test->moe.n_experts, k = test->moe.config.gate[0].top_k;
    const struct moe_level *level = &test->record.level[0];
    const int32_t *experts = fixture_read_ints(fixture, &level->gate.gating.experts);
    const int32_t *rows = fixture_read_ints(fixture, &level->rows);
    const int32_t *place = fixture_read_ints(fixture, &level->place);
    const int32_t *offsets = fixture_read_ints(fixture, &level->offsets);
    for (int64_t i = 0; i < n_rows * k; i++) {
        assert_in_range(experts[i], 0, n_experts - 1);
        for (int64_t j = i / k * k; j < i; j++)
            assert_int_not_equal(experts[i], experts[j]);
        assert_in_range(place[i], offsets[experts[i]], offsets[experts[i] + 1] - 1);
        assert_int_equal(rows[place[i]], i / k);
    }
    assert_int_equal(offsets[0], 0);
    assert_int_equal(offsets[n_experts], n_rows * k);
    for (int64_t e = 0; e < n_experts; e++)
        for (int32_t at = offsets[e] + 1; at < offsets[e + 1]; at++)
            assert_true(rows[at] > rows[at - 1]);
}

static void check_weights(struct mixture *test, int64_t n_rows)
{
    const int64_t k = test->moe.config.gate[0].top_k;
    const double *weights =
        fixture_values(&test->fixture, &test->record.level[0].gate.gating.weights);
    for (int64_t n = 0; n < n_rows; n++) {
        double sum = 0;
        for (int64_t i = 0; i < k; i++) {
            sum += weights[n * k + i];
            assert_true(i == 0 || weights[n * k + i] <= weights[n * k + i - 1]);
        }
        assert_true(fabs(sum - 1) < 1e-6);
    }
}

static void test_dropless(void **state)
{
    (void)state;
    enum { N = 50 };
    const int64_t shapes[][2] = {{6, 3}, {6, 1}, {6, 6}, {1, 1}, {40, 2}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct mixture test;
        open_moe(&test, shapes[i][0], shapes[i][1], true);
        const struct tensor x = fixture_random_3d(&test.fixture, N, 1, D, 1);
        mixture_run(&test, &x, NULL);
        expect_sorted(&test, N);
        check_weights(&test, N);
        fixture_close(&test.fixture);
    }
}

/* All tokens alike want the same experts: none may be turned away. */
static void test_dropless_crowd(void **state)
{
    (void)state;
    enum { N = 200 };
    struct mixture test;
    open_moe(&test, 8, 2, true);
    struct fixture *fixture = &test.fixture;
    fixture->pass.is_training = false;
    const struct tensor x = fixture_random_3d(fixture, N, 1, D, 1);
    const double *first = fixture_values(fixture, &x);
    for (int64_t i = D; i < (int64_t)N * D; i++)
        fixture_set(fixture, &x, i, first[i % D]);
    const struct tensor y = mixture_run(&test, &x, NULL);
    expect_sorted(&test, N);
    for (int n = 1; n < N; n++)
        mixture_expect_row(fixture, &y, n, &y, 0);
    fixture_close(fixture);
}

/* Equal scores: the lower experts, in order, with equal weights. */
static void test_ties(void **state)
{
    (void)state;
    enum { N = 5 };
    struct mixture test;
    open_moe(&test, 6, 3, true);
    test.fixture.pass.is_training = false;
    param_list_start(&test.fixture.params, 1);
    param_list_pack(&test.fixture.params);
    const struct tensor x = fixture_random_3d(&test.fixture, N, 1, D, 1);
    mixture_run(&test, &x, NULL);
    const struct gating *gating = &test.record.level[0].gate.gating;
    const int32_t *experts = fixture_read_ints(&test.fixture, &gating->experts);
    const double *weights = fixture_values(&test.fixture, &gating->weights);
    for (int i = 0; i < 3 * N; i++) {
        assert_int_equal(experts[i], i % 3);
        assert_true(fabs(weights[i] - 1.0 / 3) < 1e-7);
    }
    fixture_close(&test.fixture);
}

/* Padding is not routed and comes out as zero. */
static void test_padding(void **state)
{
    (void)state;
    enum { T = 4, B = 3 };
    const int32_t lengths[B] = {2, 4, 1};
    struct mixture test;
    open_moe(&test, 5, 2, true);
    struct fixture *fixture = &test.fixture;
    const struct sequence sequence = fixture_sequence(fixture, T, B, lengths, 7);
    const struct tensor x = fixture_random_3d(fixture, T, B, D, 1);
    const struct tensor y = tensor_like(&fixture->arena, &x);
    moe_forward(&test.moe, &fixture->pass, &test.record, &y, &x, &sequence, 1);
    assert_int_equal(test.record.x.dim[0], 7);
    const double *inputs = fixture_values(fixture, &x), *outputs = fixture_values(fixture, &y);
    for (int i = 0; i < T * B * D; i++) {
        const bool is_real = i / D / B < lengths[i / D % B];
        assert_true(is_real ? outputs[i] > inputs[i] && outputs[i] < inputs[i] + 1
                            : outputs[i] == 0);
    }
    fixture_close(fixture);
}

/* -- the start: W_g = W_noise = 0, so H is noise of standard deviation ln 2 -- */

static void test_initial_noise(void **state)
{
    (void)state;
    enum { N = 20000, E = 8 };
    struct mixture test;
    open_moe(&test, E, 2, true);
    struct fixture *fixture = &test.fixture;
    param_list_start(&fixture->params, 1);
    param_list_pack(&fixture->params);
    const struct tensor x = fixture_random_3d(fixture, N, 1, D, 1);
    mixture_run(&test, &x, NULL);
    const double *noise = fixture_values(fixture, &test.record.level[0].gate.gating.noisy);
    double sum = 0, squares = 0, neighbours = 0;
    for (int i = 0; i < N * E; i++) {
        sum += noise[i];
        squares += noise[i] * noise[i];
        neighbours += i > 0 ? noise[i] * noise[i - 1] : 0;
    }
    const double count = (double)N * E, deviation = log(2), five = 5 / sqrt(count);
    assert_true(fabs(sum / count) < five * deviation);
    assert_true(fabs(sqrt(squares / count) / deviation - 1) < five / sqrt(2));
    assert_true(fabs(neighbours / squares) < five);
    /* Every expert is as likely: importance N / E each, load N K / E. */
    const double *importance = fixture_values(fixture, &test.record.importance);
    const double *load = fixture_values(fixture, &test.record.load);
    for (int e = 0; e < E; e++) {
        assert_true(fabs(importance[e] / (N / (double)E) - 1) < 0.05);
        assert_true(fabs(load[e] / (2.0 * N / E) - 1) < 0.05);
    }
    fixture_close(fixture);
}

/* Another step or seed draws other noise, the same ones the same. */
static void test_noise_follows_key(void **state)
{
    (void)state;
    enum { N = 3, E = 4 };
    struct mixture test;
    open_moe(&test, E, 2, true);
    struct fixture *fixture = &test.fixture;
    const struct tensor x = fixture_random_3d(fixture, N, 1, D, 1);
    double *noise[4];
    for (int i = 0; i < 4; i++) {
        fixture->pass.step = i == 1 ? 8 : 7;
        fixture->pass.seed = i == 2 ? 6 : 5;
        mixture_run(&test, &x, NULL);
        noise[i] = fixture_values(fixture, &test.record.level[0].gate.gating.noisy);
    }
    assert_memory_equal(noise[0], noise[3], N * E * sizeof(double));
    for (int i = 0; i < N * E; i++)
        assert_true(noise[0][i] != noise[1][i] && noise[0][i] != noise[2][i]);
    fixture_close(fixture);
}

/* Noise so narrow that its width rounds to zero leaves every gradient finite. */
static void test_vanishing_noise(void **state)
{
    (void)state;
    enum { N = 6, E = 4 };
    struct mixture test;
    open_moe(&test, E, 2, true);
    struct fixture *fixture = &test.fixture;
    const struct tensor x = fixture_random_3d(fixture, N, 1, D, 1);
    for (int i = 0; i < N * D; i++)
        fixture_set(fixture, &x, i, fabs(fixture_get(fixture, &x, i)) + 0.5);
    const struct gate *gate = &test.moe.gate[0];
    fixture->backend.ops->fill(&fixture->backend, &gate->noise->weight.value, -500);
    param_list_pack(&fixture->params);
    mixture_run(&test, &x, NULL);
    const struct tensor d = fixture_random_3d(fixture, N, 1, D, 1);
    const struct sequence sequence = {0};
    moe_backward(&test.moe, &fixture->pass, &test.record, &d, &sequence);
    const struct tensor *results[] = {&test.record.load, &test.record.losses, &d,
                                      &gate->weight->grad, &gate->noise->grad};
    for (size_t r = 0; r < sizeof results / sizeof results[0]; r++)
        for (int64_t i = 0; i < tensor_count(results[r]); i++)
            if (!isfinite(fixture_get(fixture, results[r], i)))
                fail_msg("result %zu[%lld] is %g", r, (long long)i,
                         fixture_get(fixture, results[r], i));
    fixture_close(fixture);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_moe BACKEND\n");
        return 2;
    }
    backend = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dense_mixture),
        cmocka_unit_test(test_one_expert),
        cmocka_unit_test(test_all_of_them),
        cmocka_unit_test(test_recomputed),
        cmocka_unit_test(test_dropless),
        cmocka_unit_test(test_dropless_crowd),
        cmocka_unit_test(test_ties),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_initial_noise),
        cmocka_unit_test(test_noise_follows_key),
        cmocka_unit_test(test_vanishing_noise),
    };
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
