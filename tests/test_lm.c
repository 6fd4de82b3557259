/* A language model of the program against the same sums in plain loops. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/model.h"
#include "tests/fixture.h"

enum { V = 7, D = 4, H = 5, E = 3, K = 2, F = 6, LAYERS = 2, BOS = 2, EOS = 3, B = 3 };

static const int32_t sentence0[] = {5, 4, 6, EOS}, sentence1[] = {EOS}, sentence2[] = {6, 6, EOS};
static const struct {
    const int32_t *ids;
    int64_t length;
} sentences[B] = {{sentence0, 4}, {sentence1, 1}, {sentence2, 3}};

struct lm_test {
    struct fixture fixture;
    struct model *model;
    bool has_sigmoid, is_tied;
};

static const double *values(struct lm_test *test, const char *name)
{
    for (int64_t i = 0; i < test->model->params.count; i++)
        if (strcmp(test->model->params.items[i]->name, name) == 0)
            return fixture_values(&test->fixture, &test->model->params.items[i]->weight.value);
    fail_msg("no parameter %s", name);
    return NULL;
}

/* y [n] += x [m] times a matrix [m, n]. */
static void multiply(const double *x, const double *matrix, int m, int n, double *y)
{
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++)
            y[j] += x[i] * matrix[i * n + j];
}

static double sigmoid(double x)
{
    return 1 / (1 + exp(-x));
}

/* x += r, the output of one step of an LSTM layer. */
static void step_lstm(struct lm_test *test, int layer, double x[D], double r[D], double c[H])
{
    char name[4][48];
    const char *const parts[] = {"input", "recurrent", "projection", "bias"};
    for (int i = 0; i < 4; i++)
        snprintf(name[i], sizeof name[i], "encoder.%d.forward.%s", layer + 1, parts[i]);
    double a[4 * H], m[H];
    memcpy(a, values(test, name[3]), sizeof a);
    multiply(x, values(test, name[0]), D, 4 * H, a);
    multiply(r, values(test, name[1]), D, 4 * H, a);
    for (int h = 0; h < H; h++) {
        c[h] = sigmoid(a[H + h]) * c[h] + sigmoid(a[h]) * tanh(a[2 * H + h]);
        m[h] = sigmoid(a[3 * H + h]) * tanh(c[h]);
    }
    memset(r, 0, D * sizeof *r);
    multiply(m, values(test, name[2]), H, D, r);
    for (int d = 0; d < D; d++)
        x[d] += r[d];
}

/* y += weight times the output of expert e. */
static void add_expert(struct lm_test *test, int e, double weight, const double x[D], double y[D])
{
    double hidden[F], out[D];
    memcpy(hidden, values(test, "encoder.1.moe.expert.up_bias") + e * F, sizeof hidden);
    memcpy(out, values(test, "encoder.1.moe.expert.down_bias") + e * D, sizeof out);
    multiply(x, values(test, "encoder.1.moe.expert.up") + e * D * F, D, F, hidden);
    for (int f = 0; f < F; f++)
        hidden[f] = fmax(hidden[f], 0);
    multiply(hidden, values(test, "encoder.1.moe.expert.down") + e * F * D, F, D, out);
    for (int d = 0; d < D; d++)
        y[d] += weight * out[d];
}

/* x += the mixture of all experts but the one of the lowest score: K = E - 1. */
static void step_moe(struct lm_test *test, double x[D])
{
    double score[E] = {0}, total = 0, y[D] = {0};
    multiply(x, values(test, "encoder.1.moe.gate.weight"), D, E, score);
    int lowest = 0;
    for (int e = 1; e < E; e++)
        lowest = score[e] < score[lowest] ? e : lowest;
    for (int e = 0; e < E; e++)
        total += e == lowest ? 0 : exp(score[e]);
    for (int e = 0; e < E; e++)
        if (e != lowest)
            add_expert(test, e, exp(score[e]) / total, x, y);
    for (int d = 0; d < D; d++)
        x[d] += test->has_sigmoid ? sigmoid(y[d]) : y[d];
}

/* -log p(target | x). */
static double nll_of(struct lm_test *test, const double x[D], int32_t target)
{
    const double *matrix = values(test, test->is_tied ? "embedding.shared" : "output.weight");
    const double *bias = values(test, "output.bias");
    double total = 0, wanted = 0;
    for (int v = 0; v < V; v++) {
        double logit = bias[v];
        for (int d = 0; d < D; d++)
            logit += x[d] * matrix[v * D + d];
        total += exp(logit);
        wanted = v == target ? logit : wanted;
    }
    return log(total) - wanted;
}

/* What each token of a sentence costs. */
static void brute_force(struct lm_test *test, int b, double *nll)
{
    const double *table = values(test, test->is_tied ? "embedding.shared" : "embedding.source");
    double r[LAYERS][D] = {{0}}, c[LAYERS][H] = {{0}};
    int32_t before = BOS;
    for (int64_t t = 0; t < sentences[b].length; t++) {
        double x[D];
        for (int d = 0; d < D; d++)
            x[d] = sqrt(D) * table[before * D + d];
        step_lstm(test, 0, x, r[0], c[0]);
        step_moe(test, x);
        step_lstm(test, 1, x, r[1], c[1]);
        before = sentences[b].ids[t];
        nll[t] = nll_of(test, x, before);
    }
}

static void open_test(struct lm_test *test, bool has_sigmoid, bool is_tied)
{
    char text[400];
    struct config *config = malloc(sizeof *config);
    *test = (struct lm_test){
        .model = malloc(sizeof *test->model), .has_sigmoid = has_sigmoid, .is_tied = is_tied};
    assert_true(config && test->model);
    const int size = snprintf(
        text, sizeof text,
        "model: {type: lm, dim: %d, %s encoder: {layers: %d, hidden: %d},\n"
        "  moe: {after: [encoder.1], experts: %d, top_k: %d, output: %s, expert: {hidden: %d}}}\n",
        D, is_tied ? "" : "tie: [],", LAYERS, H, E, K, has_sigmoid ? "sigmoid" : "none", F);
    assert_int_equal(config_read_text(config, text, (size_t)size, "lm"), STATUS_OK);
    fixture_open(&test->fixture, "ref64");
    assert_int_equal(model_init(test->model, &test->fixture.backend, config, V, false), STATUS_OK);
    for (int64_t i = 0; i < test->model->params.count; i++) {
        const struct tensor *value = &test->model->params.items[i]->weight.value;
        for (int64_t j = 0; j < tensor_count(value); j++)
            fixture_set(&test->fixture, value, j, 0.8 * fixture_uniform(&test->fixture));
    }
    param_list_pack(&test->model->params);
    test->fixture.pass.is_training = false;
    free(config);
}

static void check(bool has_sigmoid, bool is_tied)
{
    struct lm_test test;
    struct batch batch = {0};
    struct model_batch uploaded = {0};
    struct model_record *record = malloc(sizeof *record);
    assert_non_null(record);
    open_test(&test, has_sigmoid, is_tied);
    batch_start(&batch);
    for (int b = 0; b < B; b++)
        assert_int_equal(batch_add(&batch, NULL, 0, sentences[b].ids, sentences[b].length),
                         STATUS_OK);
    assert_int_equal(batch_finish(&batch, BOS, 0), STATUS_OK);
    assert_int_equal(model_batch_upload(&uploaded, &test.fixture.pass, &batch), STATUS_OK);
    model_loss(test.model, &test.fixture.pass, record, &uploaded, 0, 1, 0);
    double wanted[16], one[8];
    assert_int_equal(tensor_count(&record->nll), batch.n_target_tokens);
    for (int b = 0; b < B; b++) {
        brute_force(&test, b, one);
        for (int64_t n = 0; n < batch.n_target_tokens; n++)
            if (batch.target_rows[n] % B == b)
                wanted[n] = one[batch.target_rows[n] / B];
    }
    expect_close("nll", fixture_values(&test.fixture, &record->nll), wanted, batch.n_target_tokens,
                 1e-12);
    model_batch_free(&uploaded);
    batch_free(&batch);
    model_free(test.model);
    free(test.model);
    free(record);
    fixture_close(&test.fixture);
}

static void test_plain_loops(void **state)
{
    (void)state;
    check(true, true);
    check(false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_plain_loops)};
    return cmocka_run_group_tests_name("lm", tests, NULL, NULL);
}
