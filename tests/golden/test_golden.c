/* Values and gradients against PyTorch, by name (make_golden.py).
 *
 * Usage: test_golden BACKEND PARTS TRANSLATOR GNMT, with the three files. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/golden/golden.h"
#include "tests/translator.h"

static const char *backend, *parts_path, *translator_path, *gnmt_path;

struct golden_test {
    struct fixture fixture;
    struct golden golden;
    double relative; /* how close numbers must be */
};

static void open_test(struct golden_test *test, const char *path)
{
    fixture_open(&test->fixture, backend);
    golden_open(&test->golden, path);
    test->relative = test->fixture.backend.real == DTYPE_F64 ? 1e-10 : 1e-5;
}

static void close_test(struct golden_test *test)
{
    golden_close(&test->golden);
    fixture_close(&test->fixture);
}

static struct tensor real(struct golden_test *test, const char *prefix, const char *name)
{
    return golden_real(&test->golden, &test->fixture, prefix, name);
}

static struct tensor ints(struct golden_test *test, const char *prefix, const char *name)
{
    return golden_ints(&test->golden, &test->fixture, prefix, name);
}

static void expect(struct golden_test *test, const char *prefix, const char *name,
                   const struct tensor *got)
{
    golden_expect(&test->golden, &test->fixture, prefix, name, got, test->relative);
}

/* Sets all parameters, whose names start with param_prefix, to values under golden_prefix. */
static void start(struct golden_test *test, const char *param_prefix, const char *golden_prefix)
{
    struct param_list *params = &test->fixture.params;
    for (int64_t i = 0; i < params->count; i++)
        golden_set(&test->golden, &test->fixture, golden_prefix,
                   params->items[i]->name + strlen(param_prefix), params->items[i]);
    param_list_pack(params);
    param_list_zero_gradients(params);
}

static void expect_gradients(struct golden_test *test, const char *param_prefix,
                             const char *golden_prefix)
{
    const struct param_list *params = &test->fixture.params;
    for (int64_t i = 0; i < params->count; i++)
        expect(test, golden_prefix, params->items[i]->name + strlen(param_prefix),
               &params->items[i]->grad);
}

/* -- torch.nn.LSTM(bidirectional), with and without proj_size, over packed sequences -- */

static void check_lstm(const char *layer_prefix, int64_t projection, const char *direction)
{
    struct golden_test test;
    open_test(&test, parts_path);
    const struct pass *pass = &test.fixture.pass;
    char prefix[32], grad_prefix[48];
    snprintf(prefix, sizeof prefix, "%s%s.", layer_prefix, direction);
    snprintf(grad_prefix, sizeof grad_prefix, "%sgrad.", prefix);
    struct lstm_layer layer;
    lstm_init(&layer, &test.fixture.params, "lstm", 4, 5, projection,
              strcmp(direction, "backward") == 0);
    start(&test, "lstm.", prefix);
    const struct tensor x = real(&test, layer_prefix, "x");
    const struct tensor lengths = ints(&test, layer_prefix, "lengths");
    struct lstm_record record;
    lstm_layer_forward(&layer, pass, &record, &x, &lengths);
    expect(&test, prefix, "r", &record.r);
    struct tensor d_r = real(&test, prefix, "d_r");
    const struct tensor d_x = tensor_like(pass->arena, &x);
    lstm_layer_backward(&layer, pass, &d_x, &d_r, &record);
    expect(&test, prefix, "d_x", &d_x);
    expect_gradients(&test, "lstm.", grad_prefix);
    close_test(&test);
}

static void test_lstm(void **state)
{
    (void)state;
    check_lstm("lstm.", 3, "forward");
    check_lstm("lstm.", 3, "backward");
    check_lstm("lstm_plain.", 0, "forward");
    check_lstm("lstm_plain.", 0, "backward");
}

/* -- eqs. 21 and 22 -- */

static void check_attention(enum attention_kind kind, const char *prefix)
{
    char grad_prefix[48];
    snprintf(grad_prefix, sizeof grad_prefix, "%sgrad.", prefix);
    struct golden_test test;
    open_test(&test, parts_path);
    const struct pass *pass = &test.fixture.pass;
    struct attention attention;
    attention_init(&attention, &test.fixture.params, "attention", 4, 6, kind);
    start(&test, "attention.", prefix);
    const struct tensor x = real(&test, prefix, "x");
    const struct tensor memory = real(&test, prefix, "memory");
    const struct tensor lengths = ints(&test, prefix, "lengths");
    const struct tensor d_context = real(&test, prefix, "d_context");
    const struct tensor context = tensor_like(pass->arena, &x);
    const struct tensor d_x = tensor_like(pass->arena, &x);
    const struct tensor d_memory = tensor_like(pass->arena, &memory);
    pass->backend->ops->fill(pass->backend, &d_x, 0);
    pass->backend->ops->fill(pass->backend, &d_memory, 0);
    struct attention_source source;
    struct attention_record record;
    attention_start(&attention, pass, &source, &memory, &lengths);
    attention_forward(&attention, pass, &record, &source, &x, &context);
    expect(&test, prefix, "weights", &record.weights);
    expect(&test, prefix, "context", &context);
    attention_backward(&attention, pass, &d_x, &d_memory, &record, &source, &d_context);
    expect(&test, grad_prefix, "x", &d_x);
    expect(&test, grad_prefix, "memory", &d_memory);
    expect_gradients(&test, "attention.", grad_prefix);
    close_test(&test);
}

static void test_attention(void **state)
{
    (void)state;
    check_attention(ATTENTION_FACTORED, "attention.");
    check_attention(ATTENTION_ADDITIVE, "additive.");
}

/* -- torch.nn.functional.cross_entropy(label_smoothing) -- */

static void check_loss(const char *name, double smoothing)
{
    struct golden_test test;
    open_test(&test, parts_path);
    const struct pass *pass = &test.fixture.pass;
    struct output output;
    output_init(&output, &test.fixture.params, "output", 9, 4, NULL);
    start(&test, "output.", "loss.");
    const struct tensor x = real(&test, "loss.", "x"), targets = ints(&test, "loss.", "targets");
    const struct tensor logits = pass_2d(pass, 6, 9), d_x = tensor_like(pass->arena, &x);
    const struct tensor loss = tensor_1d(pass->arena, pass->backend->real, 6);
    const struct tensor nll = tensor_like(pass->arena, &loss);
    char prefix[48], grad_prefix[64];
    snprintf(prefix, sizeof prefix, "loss.%s.", name);
    snprintf(grad_prefix, sizeof grad_prefix, "%sgrad.", prefix);
    output_logits(&output, pass, &logits, &x);
    expect(&test, "loss.", "logits", &logits);
    output_loss(&output, pass, &loss, &nll, &x, &targets, smoothing, 0.7, &d_x);
    expect(&test, prefix, "losses", &loss);
    expect(&test, "loss.", "nll", &nll);
    expect(&test, grad_prefix, "x", &d_x);
    expect_gradients(&test, "output.", grad_prefix);
    close_test(&test);
}

static void test_loss(void **state)
{
    (void)state;
    check_loss("plain", 0);
    check_loss("smooth", 0.1);
}

/* -- eqs. 3-11 -- */

/* Importance, load and their losses; d_load, and d_weights += importance's gradient. */
static void check_balance(struct golden_test *test, const char *prefix, const struct gating *gating,
                          const struct tensor *d_load, const struct tensor *d_weights)
{
    const double scale = 3, importance_weight = 0.2, load_weight = 0.3;
    struct backend *backend_used = &test->fixture.backend;
    const struct backend_ops *ops = backend_used->ops;
    struct arena *arena = &test->fixture.arena;
    const struct tensor importance = tensor_like(arena, d_load), load = tensor_like(arena, d_load);
    const struct tensor d_importance = tensor_like(arena, d_load);
    const struct tensor losses = tensor_1d(arena, backend_used->real, 2);
    const struct tensor importance_loss = tensor_slice(&losses, 0, 1);
    const struct tensor load_loss = tensor_slice(&losses, 1, 1);
    ops->gate_importance(backend_used, &importance, gating);
    ops->gate_load(backend_used, &load, gating);
    ops->balance_loss(backend_used, &importance_loss, &d_importance, &importance,
                      scale * importance_weight);
    ops->balance_loss(backend_used, &load_loss, d_load, &load, scale * load_weight);
    ops->gate_importance_backward(backend_used, d_weights, NULL, &d_importance, gating);
    expect(test, prefix, "importance", &importance);
    expect(test, prefix, "load", &load);
    expect(test, prefix, "losses", &losses);
}

static void check_gate(int n_experts, int top_k)
{
    struct golden_test test;
    open_test(&test, parts_path);
    const struct pass *pass = &test.fixture.pass;
    const struct gate_config config = {
        .kind = GATE_NOISY_TOP_K, .n_experts = n_experts, .top_k = top_k, .noise = 1};
    char prefix[32], grad_prefix[48];
    snprintf(prefix, sizeof prefix, "gate.%d.%d.", n_experts, top_k);
    snprintf(grad_prefix, sizeof grad_prefix, "%sgrad.", prefix);
    struct gate gate;
    gate_init(&gate, &test.fixture.params, "moe.gate", 4, &config, 1, 77);
    start(&test, "moe.gate.", prefix);
    const struct tensor x = real(&test, prefix, "x"), names = ints(&test, prefix, "names");
    struct gate_record record;
    gate_forward(&gate, pass, &record, &x, &names, NULL, 1);
    golden_expect_ints(&test.golden, &test.fixture, prefix, "experts", &record.gating.experts);
    expect(&test, prefix, "weights", &record.gating.weights);
    const struct tensor d_weights = real(&test, prefix, "d_weights");
    const struct tensor d_load = tensor_1d(pass->arena, pass->backend->real, n_experts);
    check_balance(&test, prefix, &record.gating, &d_load, &d_weights);
    const struct tensor d_x = tensor_like(pass->arena, &x);
    pass->backend->ops->fill(pass->backend, &d_x, 0);
    gate_backward(&gate, pass, &d_x, &d_weights, &d_load, &record);
    expect(&test, grad_prefix, "x", &d_x);
    expect_gradients(&test, "moe.gate.", grad_prefix);
    close_test(&test);
}

static void test_gate(void **state)
{
    (void)state;
    check_gate(5, 2);
    check_gate(4, 1);
    check_gate(3, 3);
    check_gate(6, 4);
}

/* -- the whole model -- */

static struct sequence read_sequence(struct golden_test *test, const char *prefix)
{
    struct sequence sequence = {.ids = ints(test, prefix, "ids"),
                                .lengths = ints(test, prefix, "lengths"),
                                .names = ints(test, prefix, "names")};
    const int64_t n_b = sequence.ids.dim[1], n_all = tensor_count(&sequence.ids);
    const int32_t *lengths = fixture_read_ints(&test->fixture, &sequence.lengths);
    const int32_t *names = fixture_read_ints(&test->fixture, &sequence.names);
    int32_t *rows = arena_take(&test->fixture.host, (size_t)n_all * sizeof *rows);
    int32_t *row_names = arena_take(&test->fixture.host, (size_t)n_all * sizeof *row_names);
    int64_t count = 0;
    for (int64_t i = 0; i < n_all; i++)
        if (i / n_b < lengths[i % n_b]) {
            rows[count] = (int32_t)i;
            row_names[count++] = names[i];
        }
    sequence.rows = fixture_ints(&test->fixture, rows, count);
    sequence.row_names = fixture_ints(&test->fixture, row_names, count);
    return sequence;
}

/* Rows of [T, B, D] at a sequence's real positions. */
static struct tensor real_rows(struct golden_test *test, const struct tensor *x,
                               const struct sequence *sequence)
{
    const struct pass *pass = &test->fixture.pass;
    const struct tensor y = pass_2d(pass, sequence->rows.dim[0], x->dim[2]);
    pass->backend->ops->gather_rows(pass->backend, &y, x, &sequence->rows);
    return y;
}

static void expect_results(struct golden_test *test, const struct translator *translator,
                           const struct translator_batch *batch,
                           const struct translator_record *record)
{
    const struct pass *pass = &test->fixture.pass;
    const struct tensor memory = real_rows(test, &record->memory, &batch->source);
    const struct tensor weights =
        real_rows(test, &record->decoder.attention.weights, &batch->target);
    const struct tensor logits = pass_2d(pass, record->readout.dim[0], 11);
    output_logits(&translator->output, pass, &logits, &record->readout);
    expect(test, "", "memory", &memory);
    expect(test, "", "attention", &weights);
    expect(test, "", "logits", &logits);
    expect(test, "", "losses", &record->loss);
}

/* Encoding without a record is the same to the bit. */
static void expect_same_memory(struct golden_test *test, const struct translator *translator,
                               const struct sequence *source)
{
    struct pass pass = test->fixture.pass;
    struct encoder_record record;
    pass.is_training = false;
    const struct tensor kept = encoder_forward(&translator->encoder, &pass, &record, source, 0);
    const struct tensor passing = encoder_encode(&translator->encoder, &pass, source);
    const size_t size = (size_t)tensor_count(&kept) * sizeof(double);
    assert_memory_equal(fixture_values(&test->fixture, &kept),
                        fixture_values(&test->fixture, &passing), size);
}

static void check_translator(const char *path, const struct translator_config *config)
{
    struct golden_test test;
    open_test(&test, path);
    struct fixture *fixture = &test.fixture;
    fixture->pass.dropout = 0.1;
    struct translator translator;
    translator_init(&translator, fixture, config);
    start(&test, "", "param.");
    const struct translator_batch batch = {.source = read_sequence(&test, "source."),
                                           .target = read_sequence(&test, "target."),
                                           .wanted = ints(&test, "", "wanted"),
                                           .smoothing = 0.1,
                                           .scale = 0.5,
                                           .balance_scale = 2};
    struct translator_record record;
    const double total = translator_loss(&translator, fixture, &record, &batch, true);
    expect_close("total", &total, golden_find(&test.golden, "", "total")->values, 1, test.relative);
    expect_results(&test, &translator, &batch, &record);
    expect_gradients(&test, "", "grad.");
    expect_same_memory(&test, &translator, &batch.source);
    close_test(&test);
}

static void test_translator(void **state)
{
    (void)state;
    const struct translator_config config = translator_config_small();
    check_translator(translator_path, &config);
}

/* Input feeding, additive attention, and no projection in any LSTM. */
static void test_gnmt(void **state)
{
    (void)state;
    struct translator_config config = translator_config_small();
    decoder_config_options(&config.decoder, 7);
    config.encoder.has_projection = false;
    config.encoder.hidden = config.encoder.dim;
    check_translator(gnmt_path, &config);
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: test_golden BACKEND PARTS TRANSLATOR GNMT\n");
        return 2;
    }
    backend = argv[1];
    parts_path = argv[2];
    translator_path = argv[3];
    gnmt_path = argv[4];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lstm), cmocka_unit_test(test_attention),  cmocka_unit_test(test_loss),
        cmocka_unit_test(test_gate), cmocka_unit_test(test_translator), cmocka_unit_test(test_gnmt),
    };
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
