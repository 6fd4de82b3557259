/* The bookkeeping of one sentence's beam, on offers small enough to merge by hand. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "beam/hypotheses.h"

enum { EOS = 1, N_BEST = 2, ROOM = 16 };

static const double NONE = -INFINITY;

struct bench {
    struct arena arena;
    struct beam_config config;
    struct hypotheses hypotheses;
    int32_t tokens[N_BEST][ROOM];
    struct hypothesis items[N_BEST];
    struct nbest result;
};

static void open_bench(struct bench *bench, double max_ratio, double patience)
{
    *bench = (struct bench){
        .config = {
            .beam = 2, .n_best = N_BEST, .eos = EOS, .max_ratio = max_ratio, .patience = patience}};
    if (arena_init(&bench->arena, 1 << 20) < 0)
        fail_msg("%s", status_message());
    hypotheses_start(&bench->hypotheses, &bench->config, 4, &bench->arena);
    for (int i = 0; i < N_BEST; i++)
        bench->items[i].tokens = bench->tokens[i];
    bench->result.items = bench->items;
}

static void advance(struct bench *bench, const int32_t *tokens, const double *log_probs)
{
    const struct offers offers = {
        .tokens = tokens, .log_probs = log_probs, .n_choices = 3, .stride = 1};
    hypotheses_advance(&bench->hypotheses, &offers);
}

static void expect_ending(const struct bench *bench, int i, double score, bool reached_limit,
                          int64_t count, const int32_t *tokens)
{
    const struct hypothesis *item = &bench->result.items[i];
    assert_true(i < bench->result.count);
    assert_true(fabs(item->score - score) < 1e-12);
    assert_int_equal(item->reached_limit, reached_limit);
    assert_int_equal(item->count, count);
    for (int64_t t = 0; t < count; t++)
        assert_int_equal(item->tokens[t], tokens[t]);
}

/* Three steps, W = 2.
 *   1: 7 (-1), 8 (-2), end (-3): the end symbol is third and does not finish.
 *   2: of 7: 9 (-1.5), end (-2), 5 (-3); of 8: 6 (-2.25), 5 (-2.5), end (-9). In order: 7 9 (-1.5),
 *      7 end (-2) finishes, 8 6 (-2.25); the beam is full.
 *   3: of 7 9: end (-1.75), 4 (-4), 3 (-5); of 8 6: end (-2.5), 2 (-6), 3 (-7). Both finish: three
 *      have, the best two are kept, and no live one (-4) can beat them. */
static void test_merge(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 2, 0);
    assert_int_equal(bench.hypotheses.limit, 8);
    advance(&bench, (const int32_t[]){7, 8, EOS}, (const double[]){-1, -2, -3});
    assert_int_equal(bench.hypotheses.n_live, 2);
    assert_int_equal(bench.hypotheses.n_finished, 0);
    advance(&bench, (const int32_t[]){9, EOS, 5, 6, 5, EOS},
            (const double[]){-0.5, -1, -2, -0.25, -0.5, -7});
    assert_int_equal(bench.hypotheses.n_finished, 1);
    assert_int_equal(bench.hypotheses.n_live, 2);
    advance(&bench, (const int32_t[]){EOS, 4, 3, EOS, 2, 3},
            (const double[]){-0.25, -2.5, -3.5, -0.25, -3.75, -4.75});
    assert_int_equal(bench.hypotheses.n_live, 0);
    assert_int_equal(bench.hypotheses.n_finished, 3);
    hypotheses_collect(&bench.hypotheses, &bench.result);
    assert_int_equal(bench.result.count, 2);
    expect_ending(&bench, 0, -1.75, false, 2, (const int32_t[]){7, 9});
    expect_ending(&bench, 1, -2, false, 1, (const int32_t[]){7});
    arena_free(&bench.arena);
}

/* 3 (-1) and 4 (-1.25) offer end -1.5, 5 -2, end -2.25, 6 -2.5: the second end comes third of a
 * beam of 2, and only the first finishes. */
static void test_late_end(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 2, 0);
    advance(&bench, (const int32_t[]){3, 4, 5}, (const double[]){-1, -1.25, -2});
    advance(&bench, (const int32_t[]){EOS, 5, 6, EOS, 6, 7},
            (const double[]){-0.5, -1, -9, -1, -1.25, -9});
    assert_int_equal(bench.hypotheses.n_finished, 1);
    assert_int_equal(bench.hypotheses.n_live, 2);
    assert_int_equal(bench.hypotheses.tokens[2], 5);
    assert_int_equal(bench.hypotheses.tokens[3], 6);
    arena_free(&bench.arena);
}

/* Equal scores: the one that ended first stays ahead. */
static void test_equal_scores(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 2, 2);
    advance(&bench, (const int32_t[]){3, EOS, 4}, (const double[]){-1, -2, -3});
    advance(&bench, (const int32_t[]){EOS, 5, 6, 7, 8, 9},
            (const double[]){-1, -1, -1, -5, -5, -5});
    hypotheses_collect(&bench.hypotheses, &bench.result);
    assert_int_equal(bench.result.count, 2);
    expect_ending(&bench, 0, -2, false, 0, NULL);
    expect_ending(&bench, 1, -2, false, 1, (const int32_t[]){3});
    arena_free(&bench.arena);
}

/* Length normalisation with alpha = 1 and at most 8 tokens. Two finish: -2 / (6/6) and
 * -3 / (7/6) = -2.57. The best live one, -4.9, may still reach -4.9 / (13/6) = -2.26 and goes on; a
 * token later, at -7, it may reach no more than -3.23. */
static void test_bound(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 2, 0);
    bench.config.alpha = 1;
    advance(&bench, (const int32_t[]){3, EOS, 4}, (const double[]){-1, -2, -6});
    advance(&bench, (const int32_t[]){EOS, 6, 5, 7, 8, 9},
            (const double[]){-2, -3.9, -9, -1, -9, -9});
    assert_int_equal(bench.hypotheses.n_finished, 2);
    assert_int_equal(bench.hypotheses.n_live, 2);
    advance(&bench, (const int32_t[]){3, 6, 5, 7, 8, 9},
            (const double[]){-2.1, -3.9, -9, -1, -9, -9});
    assert_int_equal(bench.hypotheses.n_live, 0);
    hypotheses_collect(&bench.hypotheses, &bench.result);
    expect_ending(&bench, 0, -2, false, 0, NULL);
    expect_ending(&bench, 1, -3 * 6.0 / 7, false, 1, (const int32_t[]){3});
    arena_free(&bench.arena);
}

/* Equal log-probabilities: the better parent first, then the order of its offers. */
static void test_ties(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 2, 0);
    advance(&bench, (const int32_t[]){3, 4, 5}, (const double[]){-1, -1, -1});
    assert_int_equal(bench.hypotheses.tokens[0], 3);
    assert_int_equal(bench.hypotheses.tokens[1], 4);
    advance(&bench, (const int32_t[]){5, 6, 7, 2, 3, 4}, (const double[]){-1, -1, -1, -1, -1, -1});
    assert_int_equal(bench.hypotheses.tokens[2], 5);
    assert_int_equal(bench.hypotheses.tokens[3], 6);
    assert_int_equal(bench.hypotheses.parents[2], 0);
    assert_int_equal(bench.hypotheses.parents[3], 0);
    arena_free(&bench.arena);
}

/* Limit ceil(0.5 * 4) = 2: one ends by itself; of those that were cut only the best fills the list,
 * though its score is higher. */
static void test_limit(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 0.5, 0);
    advance(&bench, (const int32_t[]){3, EOS, 4}, (const double[]){-1, -4, -5});
    assert_int_equal(bench.hypotheses.n_finished, 1);
    advance(&bench, (const int32_t[]){6, 5, EOS, 7, 8, 9},
            (const double[]){-0.5, -0.75, -9, -1, -1, -1});
    assert_int_equal(bench.hypotheses.n_live, 0);
    hypotheses_collect(&bench.hypotheses, &bench.result);
    assert_int_equal(bench.result.count, 2);
    expect_ending(&bench, 0, -4, false, 0, NULL);
    expect_ending(&bench, 1, -1.5, true, 2, (const int32_t[]){3, 6});
    arena_free(&bench.arena);
}

/* alpha 1: lp(3) = 8/6, lp(4) = 9/6 and, at the limit, lp(8) = 13/6. After step 3 two have
 * finished, the second with -4, but a live one stands at -1.25 / lp(3). After step 4 the best live
 * one stands at -7.25 / lp(4) = -4.83, which settles it with patience 1; yet it could reach -7.25
 * / lp(8) = -3.35, which keeps it going with patience 0, and with 2, since 4 have not finished. */
static void test_patience(void **state)
{
    (void)state;
    for (int patience = 0; patience <= 2; patience++) {
        struct bench bench;
        open_bench(&bench, 2, patience);
        bench.config.alpha = 1;
        advance(&bench, (const int32_t[]){3, EOS, 4}, (const double[]){-0.25, -4, -5});
        advance(&bench, (const int32_t[]){6, EOS, 5, 7, 8, 9},
                (const double[]){-0.5, -5, -6, -0.125, -3, -4});
        assert_int_equal(bench.hypotheses.n_finished, 1);
        advance(&bench, (const int32_t[]){6, EOS, 5, 7, 8, 9},
                (const double[]){-0.5, -1, -6, -2, -3, -4});
        assert_int_equal(bench.hypotheses.n_finished, 2);
        assert_int_equal(bench.hypotheses.n_live, 2);
        advance(&bench, (const int32_t[]){6, 5, 7, 6, 5, 7},
                (const double[]){-6, -7, -8, -20, -20, -20});
        assert_int_equal(bench.hypotheses.n_finished, 2);
        assert_int_equal(bench.hypotheses.n_live, patience == 1 ? 0 : 2);
        arena_free(&bench.arena);
    }
}

/* Fewer tokens than places in the beam, and at last none. */
static void test_dead_end(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench, 2, 0);
    advance(&bench, (const int32_t[]){3, 4, 5}, (const double[]){-1, NONE, NONE});
    assert_int_equal(bench.hypotheses.n_live, 1);
    advance(&bench, (const int32_t[]){3, 4, 5}, (const double[]){NONE, NONE, NONE});
    assert_int_equal(bench.hypotheses.n_live, 0);
    hypotheses_collect(&bench.hypotheses, &bench.result);
    assert_int_equal(bench.result.count, 0);
    arena_free(&bench.arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merge),        cmocka_unit_test(test_late_end),
        cmocka_unit_test(test_equal_scores), cmocka_unit_test(test_bound),
        cmocka_unit_test(test_ties),         cmocka_unit_test(test_limit),
        cmocka_unit_test(test_patience),     cmocka_unit_test(test_dead_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
