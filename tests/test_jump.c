/* Small steps of a mixture's inputs: the steps themselves, and what they do against plain loops.
 *
 * Usage: test_jump BACKEND, one that computes in float. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/fixture.h"
#include "tools/lab/jump.h"

static const char *backend;

enum { D = 10, E = 4, F = 6, N_T = 7, N_B = 30 };

static const struct random_key key = {.seed = 5, .step = 2, .stream = 300};

/* -- steps -- */

static void test_step(void **state)
{
    (void)state;
    enum { N = 4000 };
    static float x[N * D], moved[N * D];
    double squares[D] = {0}, means[D] = {0};
    for (int i = 0; i < N * D; i++)
        x[i] = moved[i] = (float)(1 + i % 7);
    jump_step(moved, N, D, 0.02, key, 0);
    for (int n = 0; n < N; n++) {
        double length = 0, step = 0;
        for (int d = 0; d < D; d++) {
            length += pow(x[n * D + d], 2);
            step += pow((double)moved[n * D + d] - x[n * D + d], 2);
        }
        assert_true(fabs(sqrt(step / length) - 0.02) <= 1e-5);
        for (int d = 0; d < D; d++) {
            const double u = ((double)moved[n * D + d] - x[n * D + d]) / sqrt(step);
            means[d] += u / N;
            squares[d] += u * u / N;
        }
    }
    for (int d = 0; d < D; d++) /* of a direction: mean 0, mean square 1 / D, no preference */
        assert_true(fabs(means[d]) <= 5 / sqrt((double)N * D) &&
                    fabs(squares[d] - 1.0 / D) <= 5 * sqrt(2) / D / sqrt(N));
    float alone[D];
    memcpy(alone, x + 17 * D, sizeof alone);
    jump_step(alone, 1, D, 0.02, key, 17);
    assert_memory_equal(alone, moved + 17 * D, sizeof alone);
}

/* -- what a step does -- */

struct jump_test {
    struct fixture fixture;
    struct moe moe;
    struct sequence sequence;
    struct tensor x;
};

static void open_moe(struct jump_test *test, enum gate_kind kind, int64_t top_k, int64_t n_levels,
                     enum expert_kind expert)
{
    static const int32_t lengths[N_B] = {7, 1, 3, 7, 5, 6, 2, 4, 7, 7, 1, 2, 3, 4, 5,
                                         6, 7, 7, 7, 7, 3, 3, 3, 3, 6, 6, 6, 6, 2, 2};
    const struct gate_config gate = {.kind = kind, .n_experts = E, .top_k = top_k, .noise = 1};
    const struct moe_config config = {
        .n_levels = n_levels,
        .gate = {gate, gate},
        .expert = {.kind = expert, .hidden = F, .n_patches = 1},
    };
    fixture_open(&test->fixture, backend);
    moe_init(&test->moe, &test->fixture.params, "moe", D, &config, 40);
    fixture_start(&test->fixture, 1);
    test->fixture.pass.is_training = false;
    test->sequence = fixture_sequence(&test->fixture, N_T, N_B, lengths, 5);
    test->x = fixture_random_3d(&test->fixture, N_T, N_B, D, 1);
}

static void run(struct jump_test *test, struct moe_record *record)
{
    const struct tensor y = tensor_like(&test->fixture.arena, &test->x);
    moe_forward(&test->moe, &test->fixture.pass, record, &y, &test->x, &test->sequence, 0);
}

static struct jump_tally measure(struct jump_test *test, double size)
{
    struct moe_record record;
    struct jump_tally tally = {0};
    run(test, &record);
    if (jump_measure(&test->moe, &test->fixture.pass, &record, &test->sequence, size, key, &tally) <
        0)
        fail_msg("%s", status_message());
    assert_int_equal(tally.tokens, test->sequence.rows.dim[0]);
    return tally;
}

static const double *values(struct jump_test *test, const char *name)
{
    return fixture_values(&test->fixture, &param_find(&test->fixture.params, name)->weight.value);
}

/* y [D] of the one expert with the highest score; returns it. */
static int one_expert(struct jump_test *test, const float *x, double *y)
{
    const double *gate = values(test, "moe.gate.weight");
    int best = 0;
    double best_score = -INFINITY;
    for (int e = 0; e < E; e++) {
        double score = 0;
        for (int d = 0; d < D; d++)
            score += x[d] * gate[d * E + e];
        if (score > best_score) {
            best = e;
            best_score = score;
        }
    }
    const double *up = values(test, "moe.expert.up") + best * D * F;
    const double *up_bias = values(test, "moe.expert.up_bias") + best * F;
    const double *down = values(test, "moe.expert.down") + best * F * D;
    memcpy(y, values(test, "moe.expert.down_bias") + best * D, D * sizeof *y);
    for (int f = 0; f < F; f++) {
        double hidden = up_bias[f];
        for (int d = 0; d < D; d++)
            hidden += x[d] * up[d * F + f];
        for (int d = 0; d < D && hidden > 0; d++)
            y[d] += hidden * down[f * D + d];
    }
    return best;
}

static void expect_mean(const struct jumps *found, const struct jumps *wanted)
{
    assert_int_equal(found->count, wanted->count);
    assert_true(wanted->count > 0);
    assert_true(fabs(found->sum - wanted->sum) <= 1e-3 * wanted->sum);
}

/* One expert of a flat mixture, in padded sentences. */
static void test_plain_loops(void **state)
{
    (void)state;
    struct jump_test test;
    struct jump_tally wanted = {0};
    struct moe_record record;
    open_moe(&test, GATE_NOISY_TOP_K, 1, 1, EXPERT_RELU);
    const struct jump_tally found = measure(&test, 0.2);
    run(&test, &record);
    const double *x = fixture_values(&test.fixture, &record.x);
    for (int64_t n = 0; n < record.x.dim[0]; n++) {
        const struct pass_mark mark = pass_mark(&test.fixture.pass);
        float before[D], after[D];
        double y[D], y_after[D], squares = 0, difference = 0;
        for (int d = 0; d < D; d++)
            before[d] = after[d] = (float)x[n * D + d];
        jump_step(after, 1, D, 0.2, key, (uint32_t)n);
        const bool is_changed = one_expert(&test, before, y) != one_expert(&test, after, y_after);
        for (int d = 0; d < D; d++) {
            squares += y[d] * y[d];
            difference += (y_after[d] - y[d]) * (y_after[d] - y[d]);
        }
        struct jumps *jumps = is_changed ? &wanted.other : &wanted.the_same;
        wanted.changed += is_changed;
        jumps->count++;
        jumps->sum += sqrt(difference / squares);
        pass_release(&test.fixture.pass, mark);
    }
    assert_int_equal(found.changed, wanted.changed);
    expect_mean(&found.other, &wanted.other);
    expect_mean(&found.the_same, &wanted.the_same);
    fixture_close(&test.fixture);
}

/* No step, no jump; a large one changes the experts, but for a gate that takes all of them. */
static void check_kind(enum gate_kind kind, int64_t top_k, int64_t n_levels,
                       enum expert_kind expert)
{
    struct jump_test test;
    open_moe(&test, kind, top_k, n_levels, expert);
    const struct jump_tally none = measure(&test, 0), large = measure(&test, 3);
    assert_true(none.changed == 0 && none.other.count == 0 && none.the_same.sum == 0);
    if (kind == GATE_SOFTMAX)
        assert_true(large.changed == 0);
    else
        assert_true(large.changed > large.tokens / 4 && large.other.sum > 0);
    assert_true(large.other.sum + large.the_same.sum > 0);
    fixture_close(&test.fixture);
}

static void test_kinds(void **state)
{
    (void)state;
    for (int64_t n_levels = 1; n_levels <= 2; n_levels++) {
        check_kind(GATE_SOFTMAX, E, n_levels, EXPERT_RELU);
        check_kind(GATE_NOISY_TOP_K, 2, n_levels, EXPERT_RELU);
        check_kind(GATE_SWITCH, 1, n_levels, EXPERT_CUBIC);
        check_kind(GATE_BALANCED, 2, n_levels, EXPERT_RELU);
        check_kind(GATE_NOISY_TOP_K, 2, n_levels, EXPERT_LSTM);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step),
        cmocka_unit_test(test_plain_loops),
        cmocka_unit_test(test_kinds),
    };
    if (argc != 2)
        return 2;
    backend = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
