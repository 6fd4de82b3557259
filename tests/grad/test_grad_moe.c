/* Gradients of the gate with its balance losses, of the experts, and of the whole MoE layer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "moe/moe.h"
#include "tests/grad/grad.h"

/* -- gate -- */

struct gate_test {
    struct grad_test grad;
    struct gate gate;
    struct tensor names;
};

static double gate_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct gate_test *test = (struct gate_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct grad_input *x = &grad->inputs[0];
    struct gate_record record;
    gate_forward(&test->gate, pass, &record, &x->value, tensor_or_null(&test->names), 3);
    const struct tensor d_weights = tensor_like(pass->arena, &record.weights);
    const double loss = grad_project(grad, 1, &record.weights, NULL, &d_weights);
    if (wants_gradient)
        gate_backward(&test->gate, pass, &x->grad, &d_weights, &record);
    return loss + grad_balance(grad, &record);
}

static void check_gate(int64_t n_experts, int64_t top_k, bool is_named)
{
    enum { N = 9, D = 4 };
    const int32_t names[N] = {30, 10, 40, 11, 50, 90, 20, 60, 53};
    struct gate_test test = {0};
    grad_open(&test.grad, gate_loss);
    struct fixture *fixture = &test.grad.fixture;
    test.gate = (struct gate){.n_experts = n_experts,
                              .top_k = top_k,
                              .importance_weight = 0.2,
                              .load_weight = 0.3,
                              .stream = 9};
    gate_init(&test.gate, &fixture->params, "moe", D);
    if (is_named)
        test.names = fixture_ints(fixture, names, N);
    grad_add_input(&test.grad, "x", fixture_random_2d(fixture, N, D, 1), true);
    fixture_start(fixture, 1);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

static void test_gate(void **state)
{
    (void)state;
    check_gate(4, 2, false);
    check_gate(4, 2, true);
    check_gate(4, 1, true);
    check_gate(4, 4, true);
    check_gate(6, 3, true);
    check_gate(2, 1, false);
}

/* -- experts; the third gets no row -- */

struct experts_test {
    struct grad_test grad;
    struct experts experts;
    struct tensor offsets;
};

static double experts_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct experts_test *test = (struct experts_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct grad_input *x = &grad->inputs[0];
    struct experts_record record;
    const struct tensor y = tensor_like(pass->arena, &x->value);
    const struct tensor d_y = tensor_like(pass->arena, &x->value);
    experts_forward(&test->experts, pass, &record, &y, &x->value, &test->offsets);
    const double loss = grad_project(grad, 1, &y, NULL, &d_y);
    if (wants_gradient)
        experts_backward(&test->experts, pass, &x->grad, &record, &d_y);
    return loss;
}

static void test_experts(void **state)
{
    (void)state;
    enum { E = 4, M = 8, D = 3, F = 5 };
    const int32_t offsets[E + 1] = {0, 3, 4, 4, M};
    struct experts_test test;
    grad_open(&test.grad, experts_loss);
    struct fixture *fixture = &test.grad.fixture;
    experts_init(&test.experts, &fixture->params, "moe", E, D, F);
    test.offsets = fixture_ints(fixture, offsets, E + 1);
    grad_add_input(&test.grad, "x", fixture_random_2d(fixture, M, D, 1), false);
    fixture_start(fixture, 1);
    grad_check(&test.grad);
    grad_close(&test.grad);
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
    return loss + grad_balance(grad, &record.gate);
}

static void check_moe(const int32_t *lengths, int64_t top_k, bool has_sigmoid, double dropout)
{
    enum { T = 4, B = 3, D = 4, E = 4, F = 5 };
    const struct moe_config config = {.n_experts = E,
                                      .top_k = top_k,
                                      .hidden = F,
                                      .has_sigmoid = has_sigmoid,
                                      .importance_weight = 0.1,
                                      .load_weight = 0.2};
    struct moe_test test;
    grad_open(&test.grad, moe_loss);
    struct fixture *fixture = &test.grad.fixture;
    fixture->pass.dropout = dropout;
    moe_init(&test.moe, &fixture->params, "moe", D, &config, 20);
    test.sequence = fixture_sequence(fixture, T, B, lengths, 5);
    grad_add_input(&test.grad, "x", fixture_random_3d(fixture, T, B, D, 1), false);
    fixture_start(fixture, 0.7);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

static void test_moe(void **state)
{
    (void)state;
    const int32_t ragged[] = {4, 1, 2};
    for (int has_sigmoid = 0; has_sigmoid < 2; has_sigmoid++) {
        check_moe(NULL, 2, has_sigmoid, 0);
        check_moe(ragged, 2, has_sigmoid, 0.3);
        check_moe(ragged, 1, has_sigmoid, 0);
        check_moe(ragged, 4, has_sigmoid, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gate),
        cmocka_unit_test(test_experts),
        cmocka_unit_test(test_moe),
    };
    return cmocka_run_group_tests_name("grad_moe", tests, NULL, NULL);
}
