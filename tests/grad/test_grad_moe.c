/* Gradients of the experts, and of MoE layers: every gate with every expert at every level. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "moe/moe.h"
#include "tests/grad/grad.h"

/* -- experts; the third gets no row -- */

struct experts_test {
    struct grad_test grad;
    struct experts experts;
    struct tensor offsets;
};

enum { IN = 6, OUT = 2 };

static double experts_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct experts_test *test = (struct experts_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct grad_input *x = &grad->inputs[0];
    struct experts_record record;
    const struct tensor y = pass_2d(pass, x->value.dim[0], OUT);
    const struct tensor d_y = tensor_like(pass->arena, &y);
    experts_forward(&test->experts, pass, &record, &y, &x->value, &test->offsets);
    const double loss = grad_project(grad, 1, &y, NULL, &d_y);
    if (wants_gradient)
        experts_backward(&test->experts, pass, &x->grad, &record, &d_y);
    return loss;
}

static void check_experts(enum expert_kind kind, int64_t n_patches, bool is_recomputed)
{
    enum { E = 4, M = 8 };
    const int32_t offsets[E + 1] = {0, 3, 4, 4, M};
    const struct expert_config config = {
        .kind = kind, .hidden = 5, .n_patches = n_patches, .is_recomputed = is_recomputed};
    struct experts_test test;
    grad_open(&test.grad, experts_loss);
    struct fixture *fixture = &test.grad.fixture;
    experts_init(&test.experts, &fixture->params, "moe", E, IN, OUT, &config);
    test.offsets = fixture_ints(fixture, offsets, E + 1);
    grad_add_input(&test.grad, "x", fixture_random_2d(fixture, M, IN, 1), false);
    fixture_start(fixture, 1);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

static void test_experts(void **state)
{
    (void)state;
    for (int kind = EXPERT_RELU; kind <= EXPERT_CUBIC; kind++)
        for (int is_recomputed = 0; is_recomputed < 2; is_recomputed++) {
            check_experts((enum expert_kind)kind, 1, is_recomputed);
            check_experts((enum expert_kind)kind, 3, is_recomputed);
        }
}

/* -- the layer: its gradient passes through one tensor, d_y in and d_x out -- */

struct moe_test {
    struct grad_test grad;
    struct moe moe;
    struct sequence sequence;
};

static double moe_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct moe_test *test = (struct moe_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct grad_input *x = &grad->inputs[0];
    struct moe_record record;
    const struct tensor y = tensor_like(pass->arena, &x->value);
    moe_forward(&test->moe, pass, &record, &y, &x->value, &test->sequence, 2);
    const double loss = grad_project(grad, 1, &y, NULL, wants_gradient ? &x->grad : NULL);
    if (wants_gradient)
        moe_backward(&test->moe, pass, &record, &x->grad, &test->sequence);
    return loss + grad_balance(grad, &record);
}

static struct gate_config gate_of(enum gate_kind kind, int64_t n_experts, int64_t top_k)
{
    return (struct gate_config){.kind = kind,
                                .n_experts = n_experts,
                                .top_k = kind == GATE_SOFTMAX  ? n_experts
                                         : kind == GATE_SWITCH ? 1
                                                               : top_k,
                                .noise = 1.3,
                                .threshold_weight = 0.7};
}

static void check_moe(const struct moe_config *config, const int32_t *lengths, double dropout)
{
    enum { T = 4, B = 3, D = 4 };
    struct moe_test test;
    grad_open(&test.grad, moe_loss);
    struct fixture *fixture = &test.grad.fixture;
    fixture->pass.dropout = dropout;
    moe_init(&test.moe, &fixture->params, "moe", D, config, 20);
    test.sequence = fixture_sequence(fixture, T, B, lengths, 5);
    grad_add_input(&test.grad, "x", fixture_random_3d(fixture, T, B, D, 1), false);
    fixture_start(fixture, 0.7);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

static const int32_t ragged[] = {4, 1, 2};

static struct moe_config layer_of(enum expert_kind expert)
{
    return (struct moe_config){.n_levels = 1,
                               .expert = {.kind = expert, .hidden = 3, .n_patches = 1},
                               .importance_weight = 0.1,
                               .load_weight = 0.2};
}

/* Every gate with every expert, and every pair of gates with every expert. */
static void test_combinations(void **state)
{
    (void)state;
    for (int expert = EXPERT_RELU; expert <= EXPERT_LSTM; expert++)
        for (int gate = GATE_SOFTMAX; gate <= GATE_BALANCED; gate++) {
            struct moe_config config = layer_of((enum expert_kind)expert);
            config.gate[0] = gate_of((enum gate_kind)gate, 4, 2);
            check_moe(&config, ragged, 0);
            config.n_levels = 2;
            config.gate[0].n_experts = 3;
            config.gate[0].top_k = gate == GATE_SOFTMAX ? 3 : config.gate[0].top_k;
            for (int inner = GATE_SOFTMAX; inner <= GATE_BALANCED; inner++) {
                config.gate[1] = gate_of((enum gate_kind)inner, 3, 2);
                check_moe(&config, ragged, 0);
            }
        }
}

/* The options around: K from 1 to E, sigmoid, dropout, padding or none, noise or none. */
static void test_options(void **state)
{
    (void)state;
    for (int has_sigmoid = 0; has_sigmoid < 2; has_sigmoid++)
        for (int64_t k = 1; k <= 4; k++) {
            struct moe_config config = layer_of(EXPERT_RELU);
            config.has_sigmoid = has_sigmoid;
            config.gate[0] = gate_of(GATE_NOISY_TOP_K, 4, k);
            check_moe(&config, NULL, 0);
            check_moe(&config, ragged, 0.3);
            config.gate[0].kind = GATE_BALANCED;
            check_moe(&config, NULL, 0.3);
            config.gate[0] = gate_of(GATE_NOISY_TOP_K, 4, k);
            config.gate[0].noise = 0;
            check_moe(&config, ragged, 0);
        }
    struct moe_config config = layer_of(EXPERT_RELU);
    config.gate[0] = gate_of(GATE_SWITCH, 4, 1);
    config.gate[0].noise = 0;
    check_moe(&config, NULL, 0.3);
    config.n_levels = 2;
    config.gate[0] = gate_of(GATE_NOISY_TOP_K, 1, 1);
    config.gate[1] = gate_of(GATE_NOISY_TOP_K, 4, 2);
    check_moe(&config, ragged, 0.3);
}

/* LSTM experts over longer sequences, with dropout, and with their states computed again. */
static void test_recurrent(void **state)
{
    (void)state;
    for (int is_recomputed = 0; is_recomputed < 2; is_recomputed++)
        for (int64_t k = 1; k <= 2; k++) {
            struct moe_config config = layer_of(EXPERT_LSTM);
            config.expert.is_recomputed = is_recomputed;
            config.has_sigmoid = k == 2;
            config.gate[0] = gate_of(GATE_NOISY_TOP_K, 2, k);
            check_moe(&config, NULL, 0);
            check_moe(&config, ragged, 0.3);
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_combinations),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_recurrent),
    };
    return grad_main(argc, argv, "grad_moe", tests, sizeof tests / sizeof *tests);
}
