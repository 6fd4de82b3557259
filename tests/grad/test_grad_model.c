/* Gradients of encoder, decoder, both with the loss, and the language model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "model/lm.h"
#include "tests/grad/grad.h"
#include "tests/translator.h"

enum { V = 11, S = 5, T = 4, B = 3 };

static const int32_t source_lengths[B] = {5, 2, 3};
static const int32_t target_lengths[B] = {3, 4, 1};

/* -- encoder -- */

struct encoder_test {
    struct grad_test grad;
    struct embedding embedding;
    struct encoder encoder;
    struct sequence source;
    const int32_t *lengths; /* or NULL */
};

static double encoder_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct encoder_test *test = (struct encoder_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    struct encoder_record record;
    const struct tensor memory = encoder_forward(&test->encoder, pass, &record, &test->source, 1.5);
    double balance = 0;
    for (int64_t l = 0; l < test->encoder.config.n_layers; l++)
        if (test->encoder.config.has_moe_after[l])
            balance += grad_balance(grad, &record.layers[l].moe);
    const struct tensor d_memory = tensor_like(pass->arena, &memory);
    const double loss = grad_project(grad, 1, &memory, test->lengths, &d_memory);
    if (wants_gradient)
        encoder_backward(&test->encoder, pass, &record, &test->source, &d_memory);
    return loss + balance;
}

static struct param *add_table(struct fixture *fixture, int64_t dim)
{
    return param_add(
        &fixture->params,
        (struct param_spec){.rank = 2, .dim = {V, dim}, .start = PARAM_NORMAL, .bound = 1},
        "embedding");
}

static void check_encoder(const struct encoder_config *config, const int32_t *lengths,
                          double dropout)
{
    struct encoder_test test;
    grad_open(&test.grad, encoder_loss);
    struct fixture *fixture = &test.grad.fixture;
    fixture->pass.dropout = dropout;
    test.embedding = (struct embedding){.table = add_table(fixture, config->dim), .scale = 2};
    encoder_init(&test.encoder, &fixture->params, config, &test.embedding);
    test.lengths = lengths;
    test.source = fixture_sequence(fixture, S, B, lengths, V);
    fixture_start(fixture, 0.6);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

static void test_encoder(void **state)
{
    (void)state;
    struct encoder_config config = translator_config_small().encoder;
    check_encoder(&config, source_lengths, 0);
    check_encoder(&config, source_lengths, 0.2);
    check_encoder(&config, NULL, 0);
    config.is_bidirectional = false;
    config.has_moe_after[1] = false;
    check_encoder(&config, source_lengths, 0);
    config.has_moe_after[0] = config.has_moe_after[2] = true;
    check_encoder(&config, source_lengths, 0);
    config.has_projection = false;
    config.hidden = config.dim;
    check_encoder(&config, source_lengths, 0);
    config.n_layers = 1;
    config.is_bidirectional = true;
    check_encoder(&config, source_lengths, 0);
}

/* -- decoder -- */

struct decoder_test {
    struct grad_test grad;
    struct embedding embedding;
    struct output output; /* its bias stays without a gradient: the readout is the end here */
    struct decoder decoder;
    struct sequence target;
    struct tensor lengths; /* [B] of the source */
};

static double decoder_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct decoder_test *test = (struct decoder_test *)grad;
    const struct pass *pass = &grad->fixture.pass;
    const struct grad_input *memory = &grad->inputs[0];
    struct decoder_record record;
    const struct tensor readout = decoder_forward(&test->decoder, pass, &record, &test->target,
                                                  &memory->value, &test->lengths, 1.5);
    double balance = 0;
    for (int64_t l = 0; l < test->decoder.config.n_layers; l++)
        if (test->decoder.config.has_moe_after[l])
            balance += grad_balance(grad, &record.layers[l].moe);
    const struct tensor d_readout = tensor_like(pass->arena, &readout);
    const double loss = grad_project(grad, 1, &readout, NULL, &d_readout);
    if (wants_gradient)
        decoder_backward(&test->decoder, pass, &record, &test->target, &d_readout, &memory->grad);
    return loss + balance;
}

static void check_decoder(const struct decoder_config *config, const int32_t *lengths,
                          double dropout)
{
    struct decoder_test test;
    grad_open(&test.grad, decoder_loss);
    struct fixture *fixture = &test.grad.fixture;
    fixture->pass.dropout = dropout;
    test.embedding = (struct embedding){.table = add_table(fixture, config->dim), .scale = 2};
    output_init(&test.output, &fixture->params, "output", V, config->dim, test.embedding.table);
    decoder_init(&test.decoder, &fixture->params, config, &test.embedding, &test.output);
    test.target = fixture_sequence(fixture, T, B, lengths, V);
    test.lengths = fixture_ints(fixture, source_lengths, B);
    grad_add_input(&test.grad, "memory", fixture_random_3d(fixture, S, B, config->dim, 1), false);
    fixture_start(fixture, 0.6);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

static void test_decoder(void **state)
{
    (void)state;
    struct decoder_config config = translator_config_small().decoder;
    check_decoder(&config, target_lengths, 0);
    check_decoder(&config, target_lengths, 0.2);
    check_decoder(&config, NULL, 0.2);
    config.has_moe_after[1] = true;
    config.n_layers = 3;
    check_decoder(&config, target_lengths, 0);
    config.has_moe_after[0] = config.has_moe_after[1] = false;
    check_decoder(&config, target_lengths, 0);
    config.n_layers = 1;
    check_decoder(&config, target_lengths, 0);
}

/* Every choice of attention, input feeding and projection. */
static void test_decoder_options(void **state)
{
    (void)state;
    for (int options = 0; options < 8; options++) {
        struct decoder_config config = translator_config_small().decoder;
        decoder_config_options(&config, options);
        check_decoder(&config, target_lengths, 0.2);
        config.n_layers = 1;
        config.has_moe_after[0] = false;
        check_decoder(&config, NULL, 0.2);
    }
}

/* -- all together -- */

struct model_test {
    struct grad_test grad;
    struct translator translator;
    struct translator_batch batch;
};

static double model_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct model_test *test = (struct model_test *)grad;
    struct translator_record record;
    const double loss =
        translator_loss(&test->translator, &grad->fixture, &record, &test->batch, wants_gradient);
    grad_balance(grad, &record.encoder.layers[1].moe);
    grad_balance(grad, &record.decoder.layers[0].moe);
    return loss;
}

static void open_config(struct model_test *test, const struct translator_config *config,
                        const int32_t *sources, const int32_t *targets)
{
    grad_open(&test->grad, model_loss);
    struct fixture *fixture = &test->grad.fixture;
    fixture->pass.dropout = 0.1;
    translator_init(&test->translator, fixture, config);
    test->batch = translator_batch_random(fixture, V, S, T, B, sources, targets);
    fixture_start(fixture, 0.6);
}

static void open_model(struct model_test *test, const int32_t *sources, const int32_t *targets,
                       int options)
{
    struct translator_config config = translator_config_small();
    decoder_config_options(&config.decoder, options);
    open_config(test, &config, sources, targets);
}

static void test_model_direction(void **state)
{
    (void)state;
    struct model_test test;
    for (int options = 0; options < 8; options++) {
        open_model(&test, source_lengths, target_lengths, options);
        grad_check_direction(&test.grad);
        grad_close(&test.grad);
        open_model(&test, NULL, NULL, options);
        grad_check_direction(&test.grad);
        grad_close(&test.grad);
    }
}

/* Kinds of mixtures: in two levels, strictly balanced, and of LSTMs. */
static void test_model_mixtures(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        struct translator_config config = translator_config_small();
        struct moe_config *moe = &config.encoder.moe;
        moe->n_levels = kind == 0 ? 2 : 1;
        moe->gate[1] =
            (struct gate_config){.kind = GATE_NOISY_TOP_K, .n_experts = 3, .top_k = 2, .noise = 1};
        if (kind == 1)
            moe->gate[0].kind = GATE_BALANCED;
        if (kind >= 2)
            moe->expert = (struct expert_config){
                .kind = EXPERT_LSTM, .hidden = 3, .n_patches = 1, .is_recomputed = kind == 3};
        config.decoder.moe = *moe;
        struct model_test test;
        open_config(&test, &config, source_lengths, target_lengths);
        grad_check_direction(&test.grad);
        grad_close(&test.grad);
    }
}

static void test_model_elements(void **state)
{
    (void)state;
    struct model_test test;
    open_model(&test, source_lengths, target_lengths, 0);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

/* -- the language model -- */

struct lm_test {
    struct grad_test grad;
    struct embedding embedding;
    struct output output;
    struct encoder layers;
    struct sequence text;
    struct tensor wanted; /* [N] i32 */
};

static double lm_loss(struct grad_test *grad, bool wants_gradient)
{
    const struct lm_test *test = (struct lm_test *)grad;
    struct fixture *fixture = &grad->fixture;
    const struct pass *pass = &fixture->pass;
    struct encoder_record record;
    const struct tensor readout = lm_forward(&test->layers, pass, &record, &test->text, 1.5);
    const struct tensor d_readout = tensor_like(pass->arena, &readout);
    const struct tensor loss = tensor_1d(pass->arena, pass->backend->real, readout.dim[0]);
    const struct tensor nll = tensor_like(pass->arena, &loss);
    output_loss(&test->output, pass, &loss, &nll, &readout, &test->wanted, 0.1, 0.5,
                wants_gradient ? &d_readout : NULL);
    if (wants_gradient)
        lm_backward(&test->layers, pass, &record, &test->text, &d_readout);
    double sum = grad_balance(grad, &record.layers[0].moe);
    for (int64_t n = 0; n < tensor_count(&loss); n++)
        sum += 0.5 * fixture_get(fixture, &loss, n);
    return sum;
}

static void check_lm(const int32_t *lengths, bool is_tied)
{
    struct lm_test test;
    grad_open(&test.grad, lm_loss);
    struct fixture *fixture = &test.grad.fixture;
    struct encoder_config config = translator_config_small().encoder;
    config.n_layers = 2;
    config.is_bidirectional = false;
    config.has_moe_after[0] = true;
    config.has_moe_after[1] = false;
    fixture->pass.dropout = 0.2;
    test.embedding = (struct embedding){.table = add_table(fixture, config.dim), .scale = 2};
    output_init(&test.output, &fixture->params, "output", V, config.dim,
                is_tied ? test.embedding.table : NULL);
    encoder_init(&test.layers, &fixture->params, &config, &test.embedding);
    test.text = fixture_sequence(fixture, T, B, lengths, V);
    test.wanted = fixture_ids(fixture, lengths ? test.text.rows.dim[0] : T * B, 1, V);
    fixture_start(fixture, 0.6);
    grad_check(&test.grad);
    grad_close(&test.grad);
}

static void test_lm(void **state)
{
    (void)state;
    check_lm(target_lengths, true);
    check_lm(target_lengths, false);
    check_lm(NULL, true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_encoder),
        cmocka_unit_test(test_decoder),
        cmocka_unit_test(test_decoder_options),
        cmocka_unit_test(test_model_direction),
        cmocka_unit_test(test_model_elements),
        cmocka_unit_test(test_model_mixtures),
        cmocka_unit_test(test_lm),
    };
    return grad_main(argc, argv, "grad_model", tests, sizeof tests / sizeof *tests);
}
