/* LSTM experts against plain loops, against an LSTM layer, and against themselves step by step.
 *
 * Usage: test_recurrent BACKEND. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "layer/lstm.h"
#include "moe/moe.h"
#include "tests/fixture.h"

static const char *backend;

enum { D = 6, H = 5 };

struct recurrent_test {
    struct fixture fixture;
    struct moe moe;
    struct moe_record record;
};

static struct moe_config flat(enum gate_kind gate, int64_t n_experts, int64_t top_k)
{
    return (struct moe_config){
        .n_levels = 1,
        .gate = {{.kind = gate, .n_experts = n_experts, .top_k = top_k, .noise = 1}},
        .expert = {.kind = EXPERT_LSTM, .hidden = H, .n_patches = 1},
        .importance_weight = 0.1,
        .load_weight = 0.1};
}

static struct moe_config two_levels(enum gate_kind gate)
{
    struct moe_config config = flat(gate, 3, 2);
    config.n_levels = 2;
    config.gate[1] = config.gate[0];
    config.gate[1].n_experts = 2;
    config.gate[1].top_k = 1;
    return config;
}

static void open_moe(struct recurrent_test *test, const struct moe_config *config)
{
    fixture_open(&test->fixture, backend);
    moe_init(&test->moe, &test->fixture.params, "moe", D, config, 40);
    fixture_start(&test->fixture, 0.7);
}

static struct tensor run(struct recurrent_test *test, const struct tensor *x,
                         const struct sequence *sequence)
{
    const struct tensor y = tensor_like(&test->fixture.arena, x);
    moe_forward(&test->moe, &test->fixture.pass, &test->record, &y, x, sequence, 1);
    return y;
}

static double closeness(const struct recurrent_test *test)
{
    return test->fixture.backend.real == DTYPE_F64 ? 1e-12 : 1e-5;
}

/* -- against plain loops -- */

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* One token for expert e, whose state r [D] and c [H] moves on. */
static void slow_step(struct recurrent_test *test, int64_t e, const double *x, double *r, double *c)
{
    struct fixture *fixture = &test->fixture;
    const char *const names[] = {"moe.expert.input", "moe.expert.recurrent",
                                 "moe.expert.projection", "moe.expert.bias"};
    const double *value[4];
    const struct pass_mark mark = pass_mark(&fixture->pass);
    for (int i = 0; i < 4; i++) {
        const struct param *param = param_find(&fixture->params, names[i]);
        assert_non_null(param);
        const int64_t count = tensor_count(&param->weight.value) / test->moe.n_experts;
        value[i] = fixture_values(fixture, &param->weight.value) + e * count;
    }
    double sum[4][H], m[H];
    for (int j = 0; j < 4; j++)
        for (int h = 0; h < H; h++) {
            const int column = j * H + h;
            sum[j][h] = value[3][column];
            for (int d = 0; d < D; d++)
                sum[j][h] +=
                    x[d] * value[0][d * 4 * H + column] + r[d] * value[1][d * 4 * H + column];
        }
    for (int h = 0; h < H; h++) {
        c[h] = sigmoid(sum[1][h]) * c[h] + sigmoid(sum[0][h]) * tanh(sum[2][h]);
        m[h] = sigmoid(sum[3][h]) * tanh(c[h]);
    }
    for (int d = 0; d < D; d++) {
        r[d] = 0;
        for (int h = 0; h < H; h++)
            r[d] += m[h] * value[2][h * D + d];
    }
    pass_release(&fixture->pass, mark);
}

enum { T = 9, B = 4, MAX_EXPERTS = 8 };

static const int32_t ragged[B] = {5, 9, 1, 7};

/* weight [T*B, E] of every position and expert; 0 where it was not sent there. */
static double *chosen_weights(struct recurrent_test *test, const struct sequence *sequence)
{
    struct fixture *fixture = &test->fixture;
    const int64_t n_experts = test->moe.n_experts;
    double *all = arena_take_zeroed(&fixture->host, (size_t)(T * B * n_experts) * sizeof *all);
    struct tensor tokens, weights;
    moe_choices(&test->moe, &fixture->pass, &test->record, &tokens, &weights);
    const int32_t *offsets = fixture_read_ints(fixture, moe_offsets(&test->moe, &test->record));
    const int32_t *token = fixture_read_ints(fixture, &tokens);
    const int32_t *rows = sequence->rows.rank ? fixture_read_ints(fixture, &sequence->rows) : NULL;
    const double *weight = fixture_values(fixture, &weights);
    for (int64_t e = 0; e < n_experts; e++)
        for (int32_t m = offsets[e]; m < offsets[e + 1]; m++) {
            const int32_t position = rows ? rows[token[m]] : token[m];
            assert_true(all[position * n_experts + e] == 0 && weight[m] > 0);
            all[position * n_experts + e] = weight[m];
        }
    return all;
}

/* One pass over the longest sequence: steps hold every row once. */
static void expect_schedule(struct recurrent_test *test, int64_t longest)
{
    const struct recurrent_schedule *schedule = &test->record.recurrent.schedule;
    const int64_t n_rows = test->record.recurrent.x.dim[0];
    assert_int_equal(schedule->n_steps, longest);
    assert_int_equal(schedule->first[schedule->n_steps], n_rows);
    for (int64_t s = 0; s < schedule->n_steps; s++)
        assert_true(schedule->first[s] < schedule->first[s + 1]);
}

static void check_loops(const struct moe_config *config, const int32_t *lengths, bool is_training)
{
    struct recurrent_test test;
    open_moe(&test, config);
    struct fixture *fixture = &test.fixture;
    fixture->pass.is_training = is_training;
    const struct sequence sequence = fixture_sequence(fixture, T, B, lengths, 7);
    const struct tensor x = fixture_random_3d(fixture, T, B, D, 1);
    const struct tensor y = run(&test, &x, &sequence);
    const int64_t n_experts = test.moe.n_experts;
    const double *weights = chosen_weights(&test, &sequence), *inputs = fixture_values(fixture, &x);
    double *wanted = arena_take_zeroed(&fixture->host, T * B * D * sizeof *wanted);
    int64_t longest = 0;
    for (int b = 0; b < B; b++) {
        double r[MAX_EXPERTS][D] = {{0}}, c[MAX_EXPERTS][H] = {{0}};
        int64_t met[MAX_EXPERTS] = {0};
        for (int t = 0; t < (lengths ? lengths[b] : T); t++) {
            const int64_t n = t * B + b;
            memcpy(wanted + n * D, inputs + n * D, D * sizeof *wanted);
            for (int64_t e = 0; e < n_experts; e++) {
                const double weight = weights[n * n_experts + e];
                if (weight == 0)
                    continue;
                slow_step(&test, e, inputs + n * D, r[e], c[e]);
                longest = ++met[e] > longest ? met[e] : longest;
                for (int d = 0; d < D; d++)
                    wanted[n * D + d] += weight * r[e][d];
            }
        }
    }
    expect_close("y", fixture_values(fixture, &y), wanted, T * B * D, closeness(&test));
    expect_schedule(&test, longest);
    fixture_close(fixture);
}

static void test_plain_loops(void **state)
{
    (void)state;
    const struct moe_config configs[] = {flat(GATE_NOISY_TOP_K, 5, 2), flat(GATE_NOISY_TOP_K, 7, 1),
                                         flat(GATE_SOFTMAX, 3, 3),     flat(GATE_SWITCH, 4, 1),
                                         flat(GATE_BALANCED, 4, 2),    two_levels(GATE_NOISY_TOP_K),
                                         two_levels(GATE_BALANCED)};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        for (int is_training = 0; is_training < 2; is_training++) {
            check_loops(&configs[i], ragged, is_training);
            check_loops(&configs[i], NULL, is_training);
        }
}

/* One expert is an LSTM layer. */
static void test_one_expert(void **state)
{
    (void)state;
    struct recurrent_test test;
    const struct moe_config config = flat(GATE_NOISY_TOP_K, 1, 1);
    open_moe(&test, &config);
    struct fixture *fixture = &test.fixture;
    const struct sequence sequence = fixture_sequence(fixture, T, B, ragged, 7);
    const struct tensor x = fixture_random_3d(fixture, T, B, D, 1);
    const struct tensor y = run(&test, &x, &sequence);
    struct lstm_layer layer;
    lstm_init(&layer, &fixture->params, "layer", D, H, D, false);
    struct param *const own[] = {layer.input, layer.recurrent, layer.projection, layer.bias};
    struct param *const theirs[] = {test.moe.recurrent.input, test.moe.recurrent.recurrent,
                                    test.moe.recurrent.projection, test.moe.recurrent.bias};
    for (int i = 0; i < 4; i++)
        fixture_write(fixture, &own[i]->weight.value,
                      fixture_values(fixture, &theirs[i]->weight.value));
    param_list_pack(&fixture->params);
    struct lstm_record record;
    lstm_layer_forward(&layer, &fixture->pass, &record, &x, &sequence.lengths);
    double *wanted = fixture_values(fixture, &record.r), *inputs = fixture_values(fixture, &x);
    for (int i = 0; i < T * B * D; i++)
        wanted[i] = i / D / B < ragged[i / D % B] ? wanted[i] + inputs[i] : 0;
    expect_close("y", fixture_values(fixture, &y), wanted, T * B * D, closeness(&test));
    fixture_close(fixture);
}

/* Experts start as layers do: forget gates open. */
static void test_start(void **state)
{
    (void)state;
    struct recurrent_test test;
    const struct moe_config config = flat(GATE_NOISY_TOP_K, 3, 2);
    open_moe(&test, &config);
    param_list_start(&test.fixture.params, 1);
    const double *bias = fixture_values(&test.fixture, &test.moe.recurrent.bias->weight.value);
    const double *input = fixture_values(&test.fixture, &test.moe.recurrent.input->weight.value);
    double largest = 0;
    for (int i = 0; i < 3 * 4 * H; i++)
        assert_true(bias[i] == (i / H % 4 == 1 ? 1 : 0));
    for (int i = 0; i < 3 * D * 4 * H; i++)
        largest = fmax(largest, fabs(input[i]));
    assert_true(largest <= 1 / sqrt(H) && largest > 0.95 / sqrt(H));
    fixture_close(&test.fixture);
}

/* -- sentences do not meet -- */

/* Rows in all sentences b of left and right[b], for its first length steps, are the same bits. */
static void expect_same_sentence(struct fixture *fixture, const struct tensor *left, int64_t b,
                                 const struct tensor *right, int64_t other, int64_t length)
{
    const struct pass_mark mark = pass_mark(&fixture->pass);
    const double *a = fixture_values(fixture, left), *c = fixture_values(fixture, right);
    for (int64_t t = 0; t < length; t++)
        for (int d = 0; d < D; d++) {
            const double got = a[(t * left->dim[1] + b) * D + d];
            const double want = c[(t * right->dim[1] + other) * D + d];
            if (!(got == want))
                fail_msg("step %lld, column %d: %.17g and %.17g", (long long)t, d, got, want);
        }
    pass_release(&fixture->pass, mark);
}

/* Sentences `from` [count] of x, cut to the longest of them. */
static struct tensor pick_sentences(struct fixture *fixture, const struct tensor *x,
                                    const int32_t *from, int64_t count, int64_t n_t)
{
    int32_t rows[T * B];
    for (int64_t t = 0; t < n_t; t++)
        for (int64_t i = 0; i < count; i++)
            rows[t * count + i] = (int32_t)(t * x->dim[1]) + from[i];
    const struct tensor index = fixture_ints(fixture, rows, n_t * count);
    const struct tensor y = pass_3d(&fixture->pass, n_t, count, D);
    fixture->backend.ops->gather_rows(&fixture->backend, &y, x, &index);
    return y;
}

static void check_neighbours(const struct moe_config *config)
{
    struct recurrent_test test;
    open_moe(&test, config);
    struct fixture *fixture = &test.fixture;
    fixture->pass.is_training = false;
    const int32_t order[B] = {2, 0, 3, 1};
    int32_t lengths[B];
    const struct sequence sequence = fixture_sequence(fixture, T, B, ragged, 7);
    const struct tensor x = fixture_random_3d(fixture, T, B, D, 1);
    const struct tensor y = run(&test, &x, &sequence);
    const struct tensor moved = pick_sentences(fixture, &x, order, B, T);
    for (int b = 0; b < B; b++)
        lengths[b] = ragged[order[b]];
    const struct sequence moved_sequence = fixture_sequence(fixture, T, B, lengths, 7);
    const struct tensor moved_y = run(&test, &moved, &moved_sequence);
    for (int32_t b = 0; b < B; b++) {
        expect_same_sentence(fixture, &moved_y, b, &y, order[b], lengths[b]);
        const struct sequence all = {0};
        const struct tensor one = pick_sentences(fixture, &x, &b, 1, ragged[b]);
        const struct tensor alone = run(&test, &one, &all);
        expect_same_sentence(fixture, &alone, 0, &y, b, ragged[b]);
    }
    fixture_close(fixture);
}

static void test_neighbours(void **state)
{
    (void)state;
    const struct moe_config configs[] = {
        flat(GATE_NOISY_TOP_K, 5, 2), flat(GATE_NOISY_TOP_K, 150, 4), two_levels(GATE_NOISY_TOP_K)};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        check_neighbours(&configs[i]);
}

/* -- step by step -- */

enum { MAX_ROWS = 5, STEPS = 24 };

/* Hypotheses split, die and change places; each is what its own history says, to the bit. */
static void check_steps(const struct moe_config *config, double threshold)
{
    struct recurrent_test test;
    open_moe(&test, config);
    struct fixture *fixture = &test.fixture;
    fixture->pass.is_training = false;
    if (test.moe.gate[0].threshold)
        fixture->backend.ops->fill(&fixture->backend, &test.moe.gate[0].threshold->weight.value,
                                   threshold);
    const struct tensor tokens = fixture_random_2d(fixture, 7, D, 1);
    int32_t history[MAX_ROWS][STEPS] = {{0}}, old[MAX_ROWS][STEPS], parents[MAX_ROWS];
    int32_t n_rows = 2, fed[MAX_ROWS];
    struct recurrent_state states;
    const struct sequence all = {0};
    moe_start(&test.moe, &fixture->pass, &states, MAX_ROWS);
    for (int64_t t = 0; t < STEPS; t++) {
        const struct pass_mark mark = pass_mark(&fixture->pass);
        for (int32_t row = 0; row < n_rows; row++)
            fed[row] = history[row][t] = fixture_below(fixture, 7);
        const struct tensor ids = fixture_ints(fixture, fed, n_rows);
        const struct tensor x = pass_2d(&fixture->pass, n_rows, D);
        const struct tensor y = tensor_like(&fixture->arena, &x);
        fixture->backend.ops->gather_rows(&fixture->backend, &x, &tokens, &ids);
        moe_step(&test.moe, &fixture->pass, &states, &y, &x);
        for (int32_t row = 0; row < n_rows; row++) {
            const struct tensor past = fixture_ints(fixture, history[row], t + 1);
            const struct tensor whole = pass_3d(&fixture->pass, t + 1, 1, D);
            fixture->backend.ops->gather_rows(&fixture->backend, &whole, &tokens, &past);
            const struct tensor wanted = run(&test, &whole, &all);
            const struct tensor last = tensor_slice(&wanted, t, 1);
            const struct tensor one = tensor_slice(&y, row, 1), got = tensor_as_3d(&one, 1, 1, D);
            expect_same_sentence(fixture, &got, 0, &last, 0, 1);
        }
        memcpy(old, history, sizeof old);
        const int32_t n_before = n_rows;
        n_rows = 1 + fixture_below(fixture, MAX_ROWS);
        for (int32_t row = 0; row < n_rows; row++) {
            parents[row] = fixture_below(fixture, n_before);
            memcpy(history[row], old[parents[row]], sizeof old[0]);
        }
        moe_reorder(&test.moe, &states, parents, n_rows);
        pass_release(&fixture->pass, mark);
    }
    fixture_close(fixture);
}

static void test_steps(void **state)
{
    (void)state;
    const struct moe_config configs[] = {flat(GATE_NOISY_TOP_K, 4, 2), flat(GATE_SOFTMAX, 3, 3),
                                         flat(GATE_BALANCED, 4, 2), flat(GATE_NOISY_TOP_K, 150, 4),
                                         two_levels(GATE_SWITCH)};
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        check_steps(&configs[i], -1.4);
}

/* A balanced gate may send nobody anywhere. */
static void test_no_choices(void **state)
{
    (void)state;
    const struct moe_config config = flat(GATE_BALANCED, 4, 2);
    check_steps(&config, 0);
}

/* -- threads -- */

/* Bytes of y, then of all gradients, with n_threads. */
static void train_once(struct fixture *fixture, int n_threads, double *y_values, double **gradients)
{
    enum { WIDE = 40, LONG = 20, MANY = 12 };
    fixture_open(fixture, backend);
    backend_close(&fixture->backend);
    if (backend_open(&fixture->backend, backend, n_threads) < 0)
        fail_msg("%s", status_message());
    struct moe moe;
    struct moe_record record;
    struct moe_config config = flat(GATE_NOISY_TOP_K, 8, 3);
    config.expert.hidden = 64;
    moe_init(&moe, &fixture->params, "moe", WIDE, &config, 40);
    fixture_start(fixture, 0.3);
    const struct sequence sequence = fixture_sequence(fixture, LONG, MANY, NULL, 7);
    const struct tensor x = fixture_random_3d(fixture, LONG, MANY, WIDE, 1);
    const struct tensor y = tensor_like(&fixture->arena, &x);
    moe_forward(&moe, &fixture->pass, &record, &y, &x, &sequence, 1);
    fixture_read(fixture, &y, y_values);
    moe_backward(&moe, &fixture->pass, &record, &y, &sequence);
    for (int64_t i = 0; i < fixture->params.count; i++)
        gradients[i] = fixture_values(fixture, &fixture->params.items[i]->grad);
}

static void test_threads(void **state)
{
    (void)state;
    enum { COUNT = 20 * 12 * 40, MAX_PARAMS = 8 };
    static double y[2][COUNT];
    double *gradients[2][MAX_PARAMS];
    struct fixture fixtures[2];
    for (int i = 0; i < 2; i++)
        train_once(&fixtures[i], i + 1, y[i], gradients[i]);
    assert_memory_equal(y[0], y[1], sizeof y[0]);
    assert_true(fixtures[0].params.count <= MAX_PARAMS);
    for (int64_t i = 0; i < fixtures[0].params.count; i++)
        assert_memory_equal(gradients[0][i], gradients[1][i],
                            (size_t)tensor_count(&fixtures[0].params.items[i]->grad) *
                                sizeof(double));
    for (int i = 0; i < 2; i++)
        fixture_close(&fixtures[i]);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_recurrent BACKEND\n");
        return 2;
    }
    backend = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_loops), cmocka_unit_test(test_one_expert),
        cmocka_unit_test(test_start),       cmocka_unit_test(test_neighbours),
        cmocka_unit_test(test_steps),       cmocka_unit_test(test_no_choices),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
