/* Layers of experts behind every gate, values and gradients, against PyTorch (make_gates.py).
 *
 * Usage: test_gates BACKEND GATES, the file. Every case in it is a test: NAME.levels holds a row
 * (enum gate_kind, E, K) for each level, NAME.settings what struct settings says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/golden/golden.h"
#include "tests/mixture.h"

enum { MAX_CASES = 64, STREAM = 40 };

static const char *backend, *path;

struct settings {
    enum expert_kind expert;
    int64_t n_patches;
    bool is_training, has_sigmoid;
    double noise, dropout;
};

struct case_test {
    struct fixture fixture;
    struct golden golden;
    char prefix[40]; /* "NAME." */
    double relative; /* how close numbers must be */
    struct tensor x; /* [N, 1, D] */
    struct moe moe;
    struct moe_record record;
    struct sequence sequence;
};

static struct settings read_settings(const struct case_test *test)
{
    const double *values = golden_find(&test->golden, test->prefix, "settings")->values;
    return (struct settings){.expert = (enum expert_kind)values[0],
                             .n_patches = (int64_t)values[1],
                             .is_training = values[2] > 0,
                             .has_sigmoid = values[3] > 0,
                             .noise = values[4],
                             .dropout = values[5]};
}

static struct moe_config read_config(const struct case_test *test, const struct settings *settings)
{
    const struct golden_tensor *levels = golden_find(&test->golden, test->prefix, "levels");
    struct moe_config config = {
        .n_levels = levels->dim[0],
        .expert = {.kind = settings->expert, .hidden = 2, .n_patches = settings->n_patches},
        .has_sigmoid = settings->has_sigmoid,
        .importance_weight = 0.2,
        .load_weight = 0.3};
    for (int64_t l = 0; l < levels->dim[0]; l++)
        config.gate[l] = (struct gate_config){.kind = (enum gate_kind)levels->values[3 * l],
                                              .n_experts = (int64_t)levels->values[3 * l + 1],
                                              .top_k = (int64_t)levels->values[3 * l + 2],
                                              .noise = settings->noise,
                                              .threshold_weight = 0.4};
    return config;
}

/* [N, D] of the file as the layer's [N, 1, D]. */
static struct tensor read_rows(struct case_test *test, const char *name)
{
    const struct tensor rows = golden_real(&test->golden, &test->fixture, test->prefix, name);
    return tensor_as_3d(&rows, rows.dim[0], 1, rows.dim[1]);
}

static void open_case(struct case_test *test, const char *name, bool is_recomputed)
{
    fixture_open(&test->fixture, backend);
    golden_open(&test->golden, path);
    snprintf(test->prefix, sizeof test->prefix, "%s.", name);
    test->relative = test->fixture.backend.real == DTYPE_F64 ? 1e-9 : 1e-4;
    const struct settings settings = read_settings(test);
    struct moe_config config = read_config(test, &settings);
    config.expert.is_recomputed = is_recomputed;
    struct fixture *fixture = &test->fixture;
    fixture->pass.is_training = settings.is_training;
    fixture->pass.dropout = settings.dropout;
    test->x = read_rows(test, "x");
    test->sequence.names = golden_ints(&test->golden, fixture, test->prefix, "names");
    moe_init(&test->moe, &fixture->params, "moe", test->x.dim[2], &config, STREAM);
    for (int64_t i = 0; i < fixture->params.count; i++)
        golden_set(&test->golden, fixture, test->prefix,
                   fixture->params.items[i]->name + strlen("moe."), fixture->params.items[i]);
    param_list_pack(&fixture->params);
    param_list_zero_gradients(&fixture->params);
}

static void close_case(struct case_test *test)
{
    golden_close(&test->golden);
    fixture_close(&test->fixture);
}

static void expect(struct case_test *test, const char *name, const struct tensor *got)
{
    golden_expect(&test->golden, &test->fixture, test->prefix, name, got, test->relative);
}

/* Weights, and exactly the same experts. */
static void expect_routing(struct case_test *test)
{
    const struct golden_tensor *want = golden_find(&test->golden, test->prefix, "gates");
    const double *got = mixture_weights(&test->fixture, &test->moe, &test->record);
    for (int64_t i = 0; i < want->count; i++)
        if ((got[i] > 0) != (want->values[i] > 0))
            fail_msg("%s[%lld of %lld]: got %g, want %g", want->name, (long long)i,
                     (long long)want->count, got[i], want->values[i]);
    expect_close(want->name, got, want->values, want->count, test->relative);
}

static void expect_losses(struct case_test *test)
{
    struct fixture *fixture = &test->fixture;
    double losses[3] = {fixture_get(fixture, &test->record.losses, 0),
                        fixture_get(fixture, &test->record.losses, 1), 0};
    for (int64_t l = 0; l < test->moe.config.n_levels; l++) {
        const struct tensor *loss = &test->record.level[l].gate.threshold_loss;
        if (loss->rank)
            losses[2] += fixture_get(fixture, loss, 0);
    }
    expect_close("losses", losses, golden_find(&test->golden, test->prefix, "losses")->values, 3,
                 test->relative);
}

static void expect_gradients(struct case_test *test)
{
    struct fixture *fixture = &test->fixture;
    const struct tensor d = read_rows(test, "d_y");
    moe_backward(&test->moe, &fixture->pass, &test->record, &d, &test->sequence);
    expect(test, "grad.x", &d);
    for (int64_t i = 0; i < fixture->params.count; i++) {
        const struct param *param = fixture->params.items[i];
        char name[64];
        snprintf(name, sizeof name, "grad.%s", param->name + strlen("moe."));
        expect(test, name, &param->grad);
    }
}

static void check_case(const char *name, bool is_recomputed)
{
    struct case_test test = {0};
    open_case(&test, name, is_recomputed);
    const struct tensor y = tensor_like(&test.fixture.arena, &test.x);
    moe_forward(&test.moe, &test.fixture.pass, &test.record, &y, &test.x, &test.sequence, 2);
    expect_routing(&test);
    expect(&test, "y", &y);
    if (test.fixture.pass.is_training) {
        expect(&test, "importance", &test.record.importance);
        expect(&test, "load", &test.record.load);
        expect_losses(&test);
        expect_gradients(&test);
    }
    close_case(&test);
}

static void test_case(void **state)
{
    check_case(*state, false);
    check_case(*state, true);
}

/* A test for every "NAME.levels" of the file; returns how many. */
static int list_cases(struct CMUnitTest *tests, char (*names)[40])
{
    int count = 0;
    struct golden golden;
    golden_open(&golden, path);
    for (int64_t i = 0; i < golden.count; i++) {
        const char *name = golden.tensors[i].name, *end = strstr(name, ".levels");
        if (!end)
            continue;
        CHECK(count < MAX_CASES, "more than %d cases", (int)MAX_CASES);
        snprintf(names[count], sizeof names[count], "%.*s", (int)(end - name), name);
        tests[count] = (struct CMUnitTest){
            .name = names[count], .test_func = test_case, .initial_state = names[count]};
        count++;
    }
    golden_close(&golden);
    return count;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: test_gates BACKEND GATES\n");
        return 2;
    }
    backend = argv[1];
    path = argv[2];
    static struct CMUnitTest tests[MAX_CASES]; /* those without a name do not run */
    static char names[MAX_CASES][40];
    if (list_cases(tests, names) == 0) {
        fprintf(stderr, "test_gates: no case in %s\n", path);
        return 1;
    }
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
