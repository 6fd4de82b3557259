/* What every gate keeps, alone and in every pair of levels.
 *
 * Usage: test_routing BACKEND. */
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

enum { D = 12 };

/* -- tokens do not meet -- */

/* Noise and dropout follow the tokens' names, so they move with the tokens. */
static void check_permutation(const struct moe_config *config, bool is_training)
{
    enum { N = 37 };
    struct mixture test;
    mixture_open(&test, backend, D, config, MIXTURE_STREAM);
    struct fixture *fixture = &test.fixture;
    fixture->pass.dropout = 0.3;
    fixture->pass.is_training = is_training;
    int32_t rows[N], names[N], moved_names[N];
    for (int n = 0; n < N; n++) {
        rows[n] = (int32_t)(n * 10 % N);
        names[n] = 500 + n;
        moved_names[n] = 500 + rows[n];
    }
    const struct tensor order = fixture_ints(fixture, rows, N);
    const struct tensor before = fixture_ints(fixture, names, N);
    const struct tensor after = fixture_ints(fixture, moved_names, N);
    const struct tensor x = fixture_random_3d(fixture, N, 1, D, 1);
    const struct tensor moved = tensor_like(&fixture->arena, &x);
    fixture->backend.ops->gather_rows(&fixture->backend, &moved, &x, &order);
    const struct tensor y = mixture_run(&test, &x, &before);
    const struct tensor moved_y = mixture_run(&test, &moved, &after);
    for (int n = 0; n < N; n++)
        mixture_expect_row(fixture, &moved_y, n, &y, rows[n]);
    fixture_close(fixture);
}

static void check_alone(const struct moe_config *config)
{
    enum { N = 29 };
    struct mixture test;
    mixture_open(&test, backend, D, config, MIXTURE_STREAM);
    test.fixture.pass.is_training = false;
    const struct tensor x = fixture_random_3d(&test.fixture, N, 1, D, 1);
    const struct tensor y = mixture_run(&test, &x, NULL);
    for (int n = 0; n < N; n++) {
        const struct tensor one = tensor_slice(&x, n, 1);
        const struct tensor y_one = mixture_run(&test, &one, NULL);
        mixture_expect_row(&test.fixture, &y_one, 0, &y, n);
    }
    fixture_close(&test.fixture);
}

/* Every gate alone, and every pair. */
static void for_each_gate(void (*check)(const struct moe_config *config))
{
    for (int outer = GATE_SOFTMAX; outer <= GATE_BALANCED; outer++) {
        const struct moe_config config = mixture_flat((enum gate_kind)outer, 6, 2);
        check(&config);
        for (int inner = GATE_SOFTMAX; inner <= GATE_BALANCED; inner++) {
            const struct gate_config groups = mixture_gate((enum gate_kind)outer, 3, 2);
            const struct gate_config experts = mixture_gate((enum gate_kind)inner, 5, 2);
            const struct moe_config both = mixture_two_levels(&groups, &experts);
            check(&both);
        }
    }
}

/* A balanced gate's tokens meet in training: there only ties could tell their order. */
static void check_permutations(const struct moe_config *config)
{
    check_permutation(config, false);
    check_permutation(config, true);
}

static void test_permutation(void **state)
{
    (void)state;
    for_each_gate(check_permutations);
}

static void test_alone_as_in_a_batch(void **state)
{
    (void)state;
    for_each_gate(check_alone);
}

/* -- strictly balanced: exactly m tokens an expert -- */

static int64_t share(int64_t k, int64_t n_tokens, int64_t n_experts)
{
    const int64_t m = (2 * k * n_tokens + n_experts) / (2 * n_experts);
    return m > 0 ? m : 1;
}

static void check_balanced(int64_t n_tokens, int64_t n_experts, int64_t k)
{
    const struct moe_config config = mixture_flat(GATE_BALANCED, n_experts, k);
    struct mixture test;
    mixture_open(&test, backend, D, &config, MIXTURE_STREAM);
    const struct tensor x = fixture_random_3d(&test.fixture, n_tokens, 1, D, 1);
    mixture_run(&test, &x, NULL);
    const double *table = mixture_weights(&test.fixture, &test.moe, &test.record);
    for (int64_t e = 0; e < n_experts; e++) {
        int64_t count = 0;
        for (int64_t n = 0; n < n_tokens; n++)
            count += table[n * n_experts + e] > 0;
        assert_int_equal(count, share(k, n_tokens, n_experts));
    }
    fixture_close(&test.fixture);
}

static void check_balanced_in_groups(int64_t n_tokens, int64_t n_groups, int64_t n_experts)
{
    const struct gate_config groups = mixture_gate(GATE_BALANCED, n_groups, 2);
    const struct gate_config experts = mixture_gate(GATE_BALANCED, n_experts, 1);
    const struct moe_config config = mixture_two_levels(&groups, &experts);
    struct mixture test;
    mixture_open(&test, backend, D, &config, MIXTURE_STREAM);
    const struct tensor x = fixture_random_3d(&test.fixture, n_tokens, 1, D, 1);
    mixture_run(&test, &x, NULL);
    const int64_t in_group = share(2, n_tokens, n_groups);
    const int32_t *outer = fixture_read_ints(&test.fixture, &test.record.level[0].offsets);
    const int32_t *inner = fixture_read_ints(&test.fixture, &test.record.level[1].offsets);
    for (int64_t i = 0; i < n_groups; i++)
        assert_int_equal(outer[i + 1] - outer[i], in_group);
    for (int64_t e = 0; e < n_groups * n_experts; e++)
        assert_int_equal(inner[e + 1] - inner[e], share(1, in_group, n_experts));
    fixture_close(&test.fixture);
}

static void test_balanced(void **state)
{
    (void)state;
    const int64_t shapes[][3] = {{100, 8, 2}, {10, 4, 1}, {3, 16, 1}, {1, 5, 2},
                                 {7, 4, 4},   {9, 1, 1},  {33, 7, 3}};
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        check_balanced(shapes[i][0], shapes[i][1], shapes[i][2]);
    check_balanced_in_groups(100, 4, 5);
    check_balanced_in_groups(7, 3, 4);
    check_balanced_in_groups(2, 8, 3);
}

/* All tokens alike: every expert takes the first m. */
static void test_balanced_ties(void **state)
{
    (void)state;
    enum { N = 9, E = 4 };
    const struct moe_config config = mixture_flat(GATE_BALANCED, E, 1);
    struct mixture test;
    mixture_open(&test, backend, D, &config, MIXTURE_STREAM);
    const struct tensor x = fixture_random_3d(&test.fixture, N, 1, D, 1);
    const double *first = fixture_values(&test.fixture, &x);
    for (int64_t i = D; i < (int64_t)N * D; i++)
        fixture_set(&test.fixture, &x, i, first[i % D]);
    mixture_run(&test, &x, NULL);
    const double *table = mixture_weights(&test.fixture, &test.moe, &test.record);
    for (int64_t i = 0; i < (int64_t)N * E; i++)
        assert_true((table[i] > 0) == (i / E < share(1, N, E)));
    fixture_close(&test.fixture);
}

/* -- two levels, of which one has no choice, are the other alone -- */

/* The flat layer's parameter in one of two levels, whose own gate is "gate" or "gate2". */
static struct param *counterpart(struct mixture *two, const char *name, const char *gate)
{
    char other[80];
    if (strncmp(name, "moe.gate.", 9) == 0)
        snprintf(other, sizeof other, "moe.%s.%s", gate, name + 9);
    else
        snprintf(other, sizeof other, "%s", name);
    struct param *param = param_find(&two->fixture.params, other);
    assert_non_null(param);
    return param;
}

static struct tensor copy(struct mixture *to, struct mixture *from, const struct tensor *x)
{
    const struct tensor same = tensor_like(&to->fixture.arena, x);
    fixture_write(&to->fixture, &same, fixture_values(&from->fixture, x));
    return same;
}

static void expect_equal(struct mixture *one, struct mixture *two, const char *name,
                         const struct tensor *want, const struct tensor *got)
{
    assert_int_equal(tensor_count(got), tensor_count(want));
    expect_close(name, fixture_values(&two->fixture, got), fixture_values(&one->fixture, want),
                 tensor_count(want), 10 * mixture_closeness(one));
}

/* Outputs, balance and gradients; noise is drawn from the stream of the gate that chooses. */
static void check_equal(const struct moe_config *flat_config, const struct moe_config *config,
                        const char *gate)
{
    enum { N = 23 };
    struct mixture one, two;
    mixture_open(&one, backend, D, flat_config,
                 MIXTURE_STREAM + (strcmp(gate, "gate2") == 0 ? 2 : 0));
    mixture_open(&two, backend, D, config, MIXTURE_STREAM);
    struct param_list *params = &one.fixture.params;
    for (int64_t i = 0; i < params->count; i++)
        fixture_write(&two.fixture, &counterpart(&two, params->items[i]->name, gate)->weight.value,
                      fixture_values(&one.fixture, &params->items[i]->weight.value));
    param_list_pack(&two.fixture.params);
    const struct tensor x = fixture_random_3d(&one.fixture, N, 1, D, 1);
    const struct tensor d = fixture_random_3d(&one.fixture, N, 1, D, 1);
    const struct tensor x_two = copy(&two, &one, &x), d_two = copy(&two, &one, &d);
    const struct tensor y = mixture_run(&one, &x, NULL), y_two = mixture_run(&two, &x_two, NULL);
    const struct sequence sequence = {0};
    moe_backward(&one.moe, &one.fixture.pass, &one.record, &d, &sequence);
    moe_backward(&two.moe, &two.fixture.pass, &two.record, &d_two, &sequence);
    expect_equal(&one, &two, "y", &y, &y_two);
    expect_equal(&one, &two, "d_x", &d, &d_two);
    expect_equal(&one, &two, "importance", &one.record.importance, &two.record.importance);
    expect_equal(&one, &two, "load", &one.record.load, &two.record.load);
    expect_equal(&one, &two, "losses", &one.record.losses, &two.record.losses);
    for (int64_t i = 0; i < params->count; i++)
        expect_equal(&one, &two, params->items[i]->name, &params->items[i]->grad,
                     &counterpart(&two, params->items[i]->name, gate)->grad);
    fixture_close(&one.fixture);
    fixture_close(&two.fixture);
}

static void test_level_without_choice(void **state)
{
    (void)state;
    const struct gate_config none = mixture_gate(GATE_SOFTMAX, 1, 1);
    for (int kind = GATE_SOFTMAX; kind <= GATE_BALANCED; kind++) {
        const struct moe_config one = mixture_flat((enum gate_kind)kind, 6, 2);
        const struct moe_config one_group = mixture_two_levels(&none, &one.gate[0]);
        const struct moe_config groups_of_one = mixture_two_levels(&one.gate[0], &none);
        check_equal(&one, &one_group, "gate2");
        check_equal(&one, &groups_of_one, "gate");
    }
}

/* -- what was chosen -- */

/* Adds a level's choices of one of its tokens: in the last level to the table of weights [experts],
 * else those that the next level made for it where it was sent. */
static void add_choices(struct mixture *test, int64_t l, int64_t token, int64_t group,
                        double weight, double *table)
{
    struct fixture *fixture = &test->fixture;
    const struct moe_level *level = &test->record.level[l];
    const struct gating *gating = &level->gate.gating;
    const int64_t n_experts = test->moe.config.gate[l].n_experts;
    const int64_t k = tensor_columns(&gating->experts);
    const int32_t *starts =
        gating->starts.rank ? fixture_read_ints(fixture, &gating->starts) : NULL;
    const int32_t *experts = fixture_read_ints(fixture, &gating->experts);
    const int32_t *place = fixture_read_ints(fixture, &level->place);
    const int64_t first = starts ? starts[token] : token * k;
    const int64_t last = starts ? starts[token + 1] : (token + 1) * k;
    for (int64_t c = first; c < last; c++) {
        const int64_t expert = group * n_experts + experts[c];
        const double product = weight * fixture_get(fixture, &gating->weights, c);
        if (l + 1 < MOE_MAX_LEVELS && l + 1 < test->moe.config.n_levels)
            add_choices(test, l + 1, place[c], expert, product, table);
        else
            table[expert] += product;
    }
}

static void check_choices(const struct moe_config *config)
{
    enum { N = 13, MOST = 15 };
    struct mixture test;
    mixture_open(&test, backend, D, config, MIXTURE_STREAM);
    const int64_t n_experts = test.moe.n_experts;
    assert_in_range(n_experts, 1, MOST);
    for (int is_training = 0; is_training < 2; is_training++) {
        test.fixture.pass.is_training = is_training;
        const struct tensor x = fixture_random_3d(&test.fixture, N, 1, D, 1);
        mixture_run(&test, &x, NULL);
        const double *got = mixture_weights(&test.fixture, &test.moe, &test.record);
        for (int64_t n = 0; n < N; n++) {
            double wanted[MOST] = {0};
            add_choices(&test, 0, n, 0, 1, wanted);
            for (int64_t e = 0; e < n_experts; e++)
                assert_true((got[n * n_experts + e] > 0) == (wanted[e] > 0) &&
                            fabs(got[n * n_experts + e] - wanted[e]) <= mixture_closeness(&test));
        }
    }
    fixture_close(&test.fixture);
}

static void test_choices(void **state)
{
    (void)state;
    for_each_gate(check_choices);
}

/* -- few tokens, and none -- */

/* No token, and one that leaves groups empty: nothing but finite numbers, forward and backward. */
static void check_few_with(const struct moe_config *config)
{
    struct mixture test;
    mixture_open(&test, backend, D, config, MIXTURE_STREAM);
    const struct sequence sequence = {0};
    for (int64_t n = 0; n < 2; n++) {
        const struct tensor x = fixture_random_3d(&test.fixture, n, 1, D, 1);
        const struct tensor d = fixture_random_3d(&test.fixture, n, 1, D, 1);
        test.fixture.pass.is_training = false;
        const struct tensor y = mixture_run(&test, &x, NULL);
        expect_close("y", fixture_values(&test.fixture, &y), fixture_values(&test.fixture, &y),
                     n * D, 0);
        test.fixture.pass.is_training = true;
        mixture_run(&test, &x, NULL);
        moe_backward(&test.moe, &test.fixture.pass, &test.record, &d, &sequence);
        expect_close("d_x", fixture_values(&test.fixture, &d), fixture_values(&test.fixture, &d),
                     n * D, 0);
        for (int i = 0; i < 2; i++)
            assert_true(isfinite(fixture_get(&test.fixture, &test.record.losses, i)));
    }
    for (int64_t i = 0; i < test.fixture.params.count; i++) {
        const struct tensor *grad = &test.fixture.params.items[i]->grad;
        const double *values = fixture_values(&test.fixture, grad);
        expect_close("gradient", values, values, tensor_count(grad), 0);
    }
    assert_int_equal(backend_sync(&test.fixture.backend), STATUS_OK);
    fixture_close(&test.fixture);
}

static void check_few(const struct moe_config *config)
{
    struct moe_config recurrent = *config;
    recurrent.expert.kind = EXPERT_LSTM;
    check_few_with(config);
    check_few_with(&recurrent);
}

static void test_few_tokens(void **state)
{
    (void)state;
    for_each_gate(check_few);
}

/* Thresholds that nothing reaches, in either level or both: no expert runs, and the mixture is the
 * sigmoid of 0. */
static void test_nothing_chosen(void **state)
{
    (void)state;
    enum { N = 7 };
    for (int levels = 1; levels <= 3; levels++) {
        const enum gate_kind outer = levels & 1 ? GATE_BALANCED : GATE_NOISY_TOP_K;
        const enum gate_kind inner = levels & 2 ? GATE_BALANCED : GATE_NOISY_TOP_K;
        const struct gate_config groups = mixture_gate(outer, 3, 2);
        const struct gate_config experts = mixture_gate(inner, 4, 2);
        const struct moe_config config = mixture_two_levels(&groups, &experts);
        struct mixture test;
        mixture_open(&test, backend, D, &config, MIXTURE_STREAM);
        for (int l = 0; l < 2; l++)
            if (test.moe.gate[l].threshold)
                test.fixture.backend.ops->fill(&test.fixture.backend,
                                               &test.moe.gate[l].threshold->weight.value, 1);
        test.fixture.pass.is_training = false;
        const struct tensor x = fixture_random_3d(&test.fixture, N, 1, D, 1);
        const struct tensor y = mixture_run(&test, &x, NULL);
        const double *table = mixture_weights(&test.fixture, &test.moe, &test.record);
        for (int64_t i = 0; i < (int64_t)N * test.moe.n_experts; i++)
            assert_true(table[i] == 0);
        for (int64_t i = 0; i < (int64_t)N * D; i++) {
            const double wanted = fixture_get(&test.fixture, &x, i) + 0.5;
            assert_true(fabs(fixture_get(&test.fixture, &y, i) - wanted) < 1e-6);
        }
        fixture_close(&test.fixture);
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_routing BACKEND\n");
        return 2;
    }
    backend = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permutation),
        cmocka_unit_test(test_alone_as_in_a_batch),
        cmocka_unit_test(test_balanced),
        cmocka_unit_test(test_balanced_ties),
        cmocka_unit_test(test_level_without_choice),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_few_tokens),
        cmocka_unit_test(test_nothing_chosen),
    };
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
