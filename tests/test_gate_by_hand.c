/* Routing, importance, load, losses and gradients of tiny mixtures, worked by hand.
 *
 * Usage: test_gate_by_hand BACKEND.
 *
 * W_g is the identity, so a token's scores h are its x. Expert e has no weights and says its bias:
 * the unit vector e, so y = x + the token's weights, and d_y of a column is the gradient of that
 * expert's weight. All noise is that of Philox's published answer for a key and counter of zero,
 * 6627e8d5 e169c58d bc57ac4c 9b00dbd8, so every token has the same. CV is of the population; its
 * gradient is d_v = (2 / E) ((v - m) / m^2 - var / m^3), m the mean. */
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

static const double U0 = (0x6627E8D5 + 0.5) / 4294967296, U1 = (0xE169C58D + 0.5) / 4294967296;

enum { TOKENS = 2 };

struct hand {
    struct fixture fixture;
    struct moe moe;
    struct moe_record record;
    struct sequence sequence;
    struct tensor x; /* [2, 1, D] */
    struct tensor y;
};

/* Flat, of `dim` experts, with all balance losses' weights 1. */
static struct moe_config flat(enum gate_kind kind, int64_t dim, int64_t top_k, double noise)
{
    return (struct moe_config){.n_levels = 1,
                               .gate = {{.kind = kind,
                                         .n_experts = dim,
                                         .top_k = top_k,
                                         .noise = noise,
                                         .threshold_weight = 2}},
                               .expert = {.kind = EXPERT_LINEAR, .hidden = 1, .n_patches = 1},
                               .importance_weight = 1,
                               .load_weight = 1};
}

static void set(struct hand *hand, const char *name, const double *values)
{
    struct param *param = param_find(&hand->fixture.params, name);
    assert_non_null(param);
    fixture_write(&hand->fixture, &param->weight.value, values);
}

/* x [2, dim]. */
static void open_hand(struct hand *hand, const struct moe_config *config, int64_t dim,
                      const double *x)
{
    *hand = (struct hand){0};
    struct fixture *fixture = &hand->fixture;
    fixture_open(fixture, backend);
    fixture->pass.seed = 0;
    fixture->pass.step = 0;
    moe_init(&hand->moe, &fixture->params, "moe", dim, config, 0);
    fixture_start(fixture, 0);
    double unit[16] = {0};
    for (int64_t d = 0; d < dim; d++)
        unit[d * dim + d] = 1;
    set(hand, "moe.gate.weight", unit);
    if (config->n_levels == 1)
        set(hand, "moe.expert.down_bias", unit);
    hand->x = pass_3d(&fixture->pass, TOKENS, 1, dim);
    hand->y = pass_3d(&fixture->pass, TOKENS, 1, dim);
    fixture_write(fixture, &hand->x, x);
    const int32_t names[TOKENS] = {0, 0};
    hand->sequence.names = fixture_ints(fixture, names, TOKENS);
}

static void close_hand(struct hand *hand)
{
    fixture_close(&hand->fixture);
}

static double closeness(const struct hand *hand)
{
    return hand->fixture.backend.real == DTYPE_F64 ? 1e-12 : 1e-5;
}

/* Where all is 0, rounding is measured against 1. */
static void expect(struct hand *hand, const char *name, const double *got, const double *want,
                   int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(got[i] - want[i]) <= closeness(hand) * (1 + fabs(want[i]))))
            fail_msg("%s[%lld]: got %.17g, want %.17g", name, (long long)i, got[i], want[i]);
}

static void expect_tensor(struct hand *hand, const char *name, const struct tensor *got,
                          const double *want)
{
    expect(hand, name, fixture_values(&hand->fixture, got), want, tensor_count(got));
}

static void forward(struct hand *hand)
{
    param_list_pack(&hand->fixture.params);
    moe_forward(&hand->moe, &hand->fixture.pass, &hand->record, &hand->y, &hand->x, &hand->sequence,
                1);
}

static void expect_gates(struct hand *hand, const double *want)
{
    expect(hand, "gates", mixture_weights(&hand->fixture, &hand->moe, &hand->record), want,
           TOKENS * hand->moe.n_experts);
}

static void expect_gradient(struct hand *hand, const char *name, const double *want)
{
    const struct param *param = param_find(&hand->fixture.params, name);
    assert_non_null(param);
    expect_tensor(hand, name, &param->grad, want);
}

/* d_x = d_y + d_h, since W_g is the identity, and the gradient of W_g is x^T d_h. */
static void expect_backward(struct hand *hand, const double *d_y, const double *d_h)
{
    const int64_t dim = hand->x.dim[2];
    const double *x = fixture_values(&hand->fixture, &hand->x);
    const struct tensor d = tensor_like(&hand->fixture.arena, &hand->x);
    fixture_write(&hand->fixture, &d, d_y);
    moe_backward(&hand->moe, &hand->fixture.pass, &hand->record, &d, &hand->sequence);
    double d_x[8], d_weight[16] = {0};
    for (int64_t i = 0; i < TOKENS * dim; i++)
        d_x[i] = d_y[i] + d_h[i];
    for (int64_t i = 0; i < dim * dim; i++)
        for (int64_t n = 0; n < TOKENS; n++)
            d_weight[i] += x[n * dim + i / dim] * d_h[n * dim + i % dim];
    expect_tensor(hand, "d_x", &d, d_x);
    expect_gradient(hand, "moe.gate.weight", d_weight);
}

/* -- softmax --
 *
 * g_1 = (1 2 5) / 8, g_2 = (3 4 1) / 8; Importance = (4 6 6) / 8, mean 2/3, var 1/72, CV^2 = 1/32,
 * d_Importance = (-9 3 3) / 32. Load = (2 2 2).
 * d_y_1 = (1 0 0): d_g_1 = (23 3 3) / 32, g_1 . d_g_1 = 11/64, d_h_1 = g_1 (35 -5 -5) / 64
 * d_y_2 = 0: d_g_2 = (-9 3 3) / 32, g_2 . d_g_2 = -3/64, d_h_2 = g_2 (-15 9 9) / 64 */
static void test_softmax(void **state)
{
    (void)state;
    const double x[] = {0, log(2), log(5), log(3), log(4), 0};
    const double gates[] = {1. / 8, 2. / 8, 5. / 8, 3. / 8, 4. / 8, 1. / 8};
    const double importance[] = {0.5, 0.75, 0.75}, load[] = {2, 2, 2}, losses[] = {1. / 32, 0};
    const double d_y[] = {1, 0, 0, 0, 0, 0};
    const double d_h[] = {35. / 512, -10. / 512, -25. / 512, -45. / 512, 36. / 512, 9. / 512};
    const struct moe_config config = flat(GATE_SOFTMAX, 3, 3, 0);
    struct hand hand;
    open_hand(&hand, &config, 3, x);
    forward(&hand);
    double y[6];
    for (int i = 0; i < 6; i++)
        y[i] = x[i] + gates[i];
    expect_gates(&hand, gates);
    expect_tensor(&hand, "y", &hand.y, y);
    expect_tensor(&hand, "importance", &hand.record.importance, importance);
    expect_tensor(&hand, "load", &hand.record.load, load);
    expect_tensor(&hand, "losses", &hand.record.losses, losses);
    expect_backward(&hand, d_y, d_h);
    close_hand(&hand);
}

/* -- noisy top-k, K = 1 --
 *
 * W_noise = 0: every deviation is s = ln 2. Normals a = r cos(2 pi u_1), b = r sin(2 pi u_1) with
 * r = sqrt(-2 ln u_0): 0.99, -0.92. H_1 = s (a, 1 + b): expert 0, against its clean score;
 * H_2 = s (a, 2 + b): expert 1. The kept softmax is 1 and has no gradient, Importance = (1 1).
 * z_n0 = (0 - H_n1) / s = -(n + b), z_n1 = (n s - H_n0) / s = n - a;
 * Load_e = Phi(z_1e) + Phi(z_2e).
 * Of two numbers CV^2 = (L_0 - L_1)^2 / S^2, S = L_0 + L_1, so d_L_0 = 4 (L_0 - L_1) L_1 / S^3 and
 * d_L_1 = -4 (L_0 - L_1) L_0 / S^3. With q_ne = d_L_e phi(z_ne) / s, threshold H of the other:
 * d_clean_n = (q_n0 - q_n1) (1, -1); d_s_n0 = -q_n0 z_n0 - q_n1 a; d_s_n1 = -q_n1 z_n1 - q_n0 b;
 * d_raw = d_s / 2; the gradient of W_noise is x^T d_raw, x_n = (0, n s). */
static void test_noisy_top_k(void **state)
{
    (void)state;
    const double s = log(2), r = sqrt(-2 * log(U0)), pi = acos(-1);
    const double a = r * cos(2 * pi * U1), b = r * sin(2 * pi * U1);
    const double x[] = {0, s, 0, 2 * s}, gates[] = {1, 0, 0, 1}, importance[] = {1, 1};
    double z[TOKENS][2], load[2] = {0, 0};
    for (int n = 0; n < TOKENS; n++) {
        z[n][0] = -(n + 1 + b);
        z[n][1] = n + 1 - a;
        for (int e = 0; e < 2; e++)
            load[e] += erfc(-z[n][e] / sqrt(2)) / 2;
    }
    const double sum = load[0] + load[1], apart = load[0] - load[1];
    const double losses[] = {0, apart * apart / (sum * sum)};
    const double d_load[] = {4 * apart * load[1] / pow(sum, 3), -4 * apart * load[0] / pow(sum, 3)};
    double d_h[4], d_noise[4] = {0};
    for (int n = 0; n < TOKENS; n++) {
        const double q0 = d_load[0] * exp(-z[n][0] * z[n][0] / 2) / sqrt(2 * pi) / s;
        const double q1 = d_load[1] * exp(-z[n][1] * z[n][1] / 2) / sqrt(2 * pi) / s;
        d_h[2 * n] = q0 - q1;
        d_h[2 * n + 1] = q1 - q0;
        d_noise[2] += (n + 1) * s * (-q0 * z[n][0] - q1 * a) / 2;
        d_noise[3] += (n + 1) * s * (-q1 * z[n][1] - q0 * b) / 2;
    }
    const double d_y[] = {1, 2, 3, 4};
    const struct moe_config config = flat(GATE_NOISY_TOP_K, 2, 1, 1);
    struct hand hand;
    open_hand(&hand, &config, 2, x);
    forward(&hand);
    expect_gates(&hand, gates);
    expect_tensor(&hand, "importance", &hand.record.importance, importance);
    expect_tensor(&hand, "load", &hand.record.load, load);
    expect_tensor(&hand, "losses", &hand.record.losses, losses);
    expect_backward(&hand, d_y, d_h);
    expect_gradient(&hand, "moe.gate.noise", d_noise);
    close_hand(&hand);
}

/* -- switch, noise 1 --
 *
 * u = (0.40, 0.88). h_1 = (ln 3/2, 0), softmax (3 2) / 5; with noise (0.80, 0.88): expert 1.
 * h_2 = (0, ln 4), softmax (1 4) / 5; expert 1. Importance = (0, 6/5), CV^2 = 1, no gradient.
 * P_10 = ln 3/2 + 1 - u_1 = 0.52, P_11 = 0 + 1 - (ln 3/2 + u_0) = 0.20;
 * P_20: 1 - (ln 4 + u_1) < 0, so 0; P_21: ln 4 + 1 - u_0 > 1, so 1.
 * d_P_10 / d_h_1 = (1, -1), d_P_11 / d_h_1 = (-1, 1): d_h_1 += (d_L_0 - d_L_1) (1, -1), and that is
 * 4 (L_0 - L_1) / S^2. d_y_1 = (7 1): only the weight of expert 1 counts, 2/5 3/5 (-1, 1). */
static void test_switch(void **state)
{
    (void)state;
    const double near = log(1.5), x[] = {near, 0, 0, log(4)};
    const double gates[] = {0, 0.4, 0, 0.8}, importance[] = {0, 1.2};
    const double load[] = {near + 1 - U1, 2 - near - U0};
    const double sum = load[0] + load[1], apart = load[0] - load[1];
    const double losses[] = {1, apart * apart / (sum * sum)}, slope = 4 * apart / (sum * sum);
    const double d_y[] = {7, 1, 0, 0};
    const double d_h[] = {-6. / 25 + slope, 6. / 25 - slope, 0, 0};
    const struct moe_config config = flat(GATE_SWITCH, 2, 1, 1);
    struct hand hand;
    open_hand(&hand, &config, 2, x);
    forward(&hand);
    expect_gates(&hand, gates);
    expect_tensor(&hand, "importance", &hand.record.importance, importance);
    expect_tensor(&hand, "load", &hand.record.load, load);
    expect_tensor(&hand, "losses", &hand.record.losses, losses);
    expect_backward(&hand, d_y, d_h);
    close_hand(&hand);
}

/* -- strictly balanced, K = 1: m = round(2/3) = 1 token an expert --
 *
 * g_1 = (1 2 5) / 8, g_2 = (3 4 1) / 8: experts 0 and 1 keep token 2, expert 2 token 1.
 * G_1 = (0 0 1), G_2 = (3 4 0) / 7; Importance = (3 4 7) / 7, mean 2/3, var 26/441, CV^2 = 13/98,
 * d_Importance = (-48 -27 36) / 98.
 * T = (1/16 7/16 3/4): above it (1 0 0) and (1 1 0), less the choices: (1 0 -1) and 0. Eq. 20, its
 * weight 2 over 2 tokens: (1/8 - 1/16) - (5/8 - 3/4) = 3/16; d_g_1 = (1 0 -1),
 * d_log T = (-1/16, 0, 3/4).
 * Token 1 has one expert, so only d_g_1: g_1 . d_g_1 = -1/2, d_h_1 = g_1 (3 1 -1) / 2.
 * d_y_2 = (0 1 0): d_G_2 = (-48 71) / 98, G_2 . d_G_2 = 20/98, d_g_2 = 8/7 (-68 51) / 98,
 * d_h_2 = g_2 d_g_2 = (-102 102 0) / 343. */
static void test_balanced(void **state)
{
    (void)state;
    const double x[] = {0, log(2), log(5), log(3), log(4), 0};
    const double thresholds[] = {log(1. / 16), log(7. / 16), log(3. / 4)};
    const double gates[] = {0, 0, 1, 3. / 7, 4. / 7, 0}, importance[] = {3. / 7, 4. / 7, 1};
    const double load[] = {1, 1, 1}, losses[] = {13. / 98, 0}, threshold_loss = 3. / 16;
    const double d_y[] = {0, 0, 0, 0, 1, 0}, d_threshold[] = {-1. / 16, 0, 3. / 4};
    const double d_h[] = {3. / 16, 2. / 16, -5. / 16, -102. / 343, 102. / 343, 0};
    const double inference[] = {1, 0, 0, 3. / 7, 4. / 7, 0};
    const struct moe_config config = flat(GATE_BALANCED, 3, 1, 0);
    struct hand hand;
    open_hand(&hand, &config, 3, x);
    set(&hand, "moe.gate.threshold", thresholds);
    forward(&hand);
    expect_gates(&hand, gates);
    expect_tensor(&hand, "importance", &hand.record.importance, importance);
    expect_tensor(&hand, "load", &hand.record.load, load);
    expect_tensor(&hand, "losses", &hand.record.losses, losses);
    expect_tensor(&hand, "threshold loss", &hand.record.level[0].gate.threshold_loss,
                  &threshold_loss);
    expect_backward(&hand, d_y, d_h);
    expect_gradient(&hand, "moe.gate.threshold", d_threshold);
    hand.fixture.pass.is_training = false;
    forward(&hand);
    expect_gates(&hand, inference);
    close_hand(&hand);
}

/* -- two levels: softmax over 2 groups, the best of 2 experts in each --
 *
 * Primary g_1 = (1 3) / 4, g_2 = (2 1) / 3. The second group's W_g swaps: token 1 goes to experts 1
 * and 2, token 2 to 0 and 3, each with weight 1 in its group. G_1 = (0 1/4 3/4 0),
 * G_2 = (2/3 0 0 1/3). Importance = (2/3 1/4 3/4 1/3), mean 1/2, var 13/288, CV^2 = 13/72,
 * d_Importance = (11 -49 23 -37) / 72. Load = 2 * 1 / 2 for each.
 * d_g_1 = (-49 23) / 72, mean 5/72: d_h_1 = (-3 3) / 16;
 * d_g_2 = (11 -37) / 72, mean -5/72: d_h_2 = (4 -4) / 27. */
static void test_two_levels(void **state)
{
    (void)state;
    const double x[] = {0, log(3), log(2), 0}, secondary[] = {1, 0, 0, 1, 0, 1, 1, 0};
    const double bias[] = {1, 0, 0, 1, 1, 0, 0, 1};
    const double gates[] = {0, 1. / 4, 3. / 4, 0, 2. / 3, 0, 0, 1. / 3};
    const double y[] = {x[0] + 3. / 4, x[1] + 1. / 4, x[2] + 2. / 3, x[3] + 1. / 3};
    const double importance[] = {2. / 3, 1. / 4, 3. / 4, 1. / 3}, load[] = {1, 1, 1, 1};
    const double losses[] = {13. / 72, 0}, d_y[] = {0, 0, 0, 0};
    const double d_h[] = {-3. / 16, 3. / 16, 4. / 27, -4. / 27};
    struct moe_config config = flat(GATE_SOFTMAX, 2, 2, 0);
    config.n_levels = 2;
    config.gate[1] = (struct gate_config){.kind = GATE_NOISY_TOP_K, .n_experts = 2, .top_k = 1};
    struct hand hand;
    open_hand(&hand, &config, 2, x);
    set(&hand, "moe.gate2.weight", secondary);
    set(&hand, "moe.expert.down_bias", bias);
    forward(&hand);
    expect_gates(&hand, gates);
    expect_tensor(&hand, "y", &hand.y, y);
    expect_tensor(&hand, "importance", &hand.record.importance, importance);
    expect_tensor(&hand, "load", &hand.record.load, load);
    expect_tensor(&hand, "losses", &hand.record.losses, losses);
    expect_backward(&hand, d_y, d_h);
    close_hand(&hand);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_gate_by_hand BACKEND\n");
        return 2;
    }
    backend = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_softmax),    cmocka_unit_test(test_noisy_top_k),
        cmocka_unit_test(test_switch),     cmocka_unit_test(test_balanced),
        cmocka_unit_test(test_two_levels),
    };
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
