/* What is planned against what is laid out: parameters of random configurations, part by part, and
 * the memory that a training pass really takes. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu/plain.h"
#include "model/model.h"
#include "model/plan.h"
#include "tests/fixture.h"

enum { N_CONFIGS = 100, MAX_SETTINGS = 32, SETTING_BYTES = 64 };

struct settings {
    char text[MAX_SETTINGS][SETTING_BYTES];
    const char *item[MAX_SETTINGS];
    size_t n;
};

static void set(struct settings *settings, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void set(struct settings *settings, const char *format, ...)
{
    assert_true(settings->n < MAX_SETTINGS);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(settings->text[settings->n], SETTING_BYTES, format, arguments);
    va_end(arguments);
    settings->item[settings->n] = settings->text[settings->n];
    settings->n++;
}

static const char *one_of(struct fixture *fixture, const char *const *words, int32_t n)
{
    return words[fixture_below(fixture, n)];
}

static void draw_mixture(struct fixture *fixture, struct settings *settings, bool is_lm)
{
    static const char *const places[] = {"[]",
                                         "[encoder.1]",
                                         "[encoder.1, encoder.2]",
                                         "[decoder.1]",
                                         "[encoder.2, decoder.1]",
                                         "[encoder.1, encoder.2, decoder.1, decoder.2]"};
    static const char *const gates[] = {"softmax", "noisy_top_k", "switch", "balanced"};
    static const char *const experts[] = {"relu", "linear", "cubic", "lstm"};
    const bool has_many = fixture_below(fixture, 4) == 0;
    set(settings, "model.moe.after=%s", one_of(fixture, places, is_lm ? 3 : 6));
    if (fixture_below(fixture, 2)) {
        set(settings, "model.moe.experts=%d", (has_many ? 120 : 2) + fixture_below(fixture, 16));
        set(settings, "model.moe.gate=%s", one_of(fixture, gates, 4));
    } else {
        set(settings, "model.moe.experts=[%d, %d]",
            (has_many ? 120 : 2) + fixture_below(fixture, 16), 2 + fixture_below(fixture, 5));
        set(settings, "model.moe.gate=[%s, %s]", one_of(fixture, gates, 4),
            one_of(fixture, gates, 4));
    }
    set(settings, "model.moe.noise=%d", fixture_below(fixture, 4) > 0);
    const char *const type = one_of(fixture, experts, 4);
    const bool has_patches = strcmp(type, "lstm") != 0;
    set(settings, "model.moe.expert.type=%s", type);
    set(settings, "model.moe.expert.hidden=%d", 3 + fixture_below(fixture, 20));
    set(settings, "model.moe.expert.patches=%d", has_patches ? 1 << fixture_below(fixture, 3) : 1);
}

/* A stack of LSTMs, with projections or of the model's own width. */
static void draw_layers(struct fixture *fixture, struct settings *settings, const char *stack,
                        int32_t dim)
{
    const bool has_projection = fixture_below(fixture, 3) > 0;
    set(settings, "model.%s.layers=%d", stack, 3 + fixture_below(fixture, 2));
    set(settings, "model.%s.hidden=%d", stack,
        has_projection ? 3 + fixture_below(fixture, 20) : dim);
    set(settings, "model.%s.projection=%s", stack, has_projection ? "true" : "false");
}

/* A small configuration; sizes that could stand for each other are rarely equal. */
static void draw(struct fixture *fixture, struct config *config)
{
    static const char *const ties[] = {"[]", "[source, target]", "[source, softmax]",
                                       "[target, softmax]", "[source, target, softmax]"};
    static const char *const directions[] = {"none", "first"};
    static const char *const attentions[] = {"factored_tanh", "additive"};
    static const char *const booleans[] = {"false", "true"};
    static const char *const optimizers[] = {"same", "factored"};
    const bool is_lm = fixture_below(fixture, 3) == 0;
    const int32_t dim = 4 * (2 + fixture_below(fixture, 5));
    struct settings settings = {.n = 0};
    set(&settings, "model.type=%s", is_lm ? "lm" : "gnmt");
    set(&settings, "data.subword.size=%d", 30 + fixture_below(fixture, 40));
    set(&settings, "model.dim=%d", dim);
    set(&settings, "model.tie=%s", one_of(fixture, ties, 5));
    draw_layers(fixture, &settings, "encoder", dim);
    set(&settings, "model.encoder.bidirectional=%s", one_of(fixture, directions, is_lm ? 1 : 2));
    draw_layers(fixture, &settings, "decoder", dim);
    set(&settings, "model.decoder.attention=%s", one_of(fixture, attentions, 2));
    set(&settings, "model.decoder.input_feeding=%s", one_of(fixture, booleans, 2));
    set(&settings, "model.decoder.attention_dim=%d", fixture_below(fixture, 12));
    draw_mixture(fixture, &settings, is_lm);
    set(&settings, "train.optimizer.experts=%s", one_of(fixture, optimizers, 2));
    set(&settings, "train.average=0.%d", fixture_below(fixture, 2));
    set(&settings, "train.batch_tokens=%d", 1000 + fixture_below(fixture, 50));
    set(&settings, "train.accumulate=%d", 1 + fixture_below(fixture, 2));
    if (config_read(config, NULL, settings.item, settings.n) < 0)
        fail_msg("%s", status_message());
}

static bool begins_with(const char *name, const char *part)
{
    const size_t length = strlen(part);
    return strncmp(name, part, length) == 0 && (name[length] == '.' || name[length] == '\0');
}

/* Every parameter belongs to one part, and every part has the parameters it says. */
static void compare(const struct plan *plan, const struct param_list *params)
{
    int64_t found = 0;
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const struct plan_part *part = &plan->part[i];
        int64_t numbers = 0, packed = 0;
        for (int64_t j = 0; j < params->count; j++) {
            const struct param *param = params->items[j];
            if (!begins_with(param->name, part->name))
                continue;
            numbers += tensor_count(&param->weight.value);
            packed += param->forms ? tensor_count(&param->weight.value) : 0;
        }
        if (numbers != part->parameters || packed != part->packable)
            fail_msg("%s: %lld numbers of which %lld are in matrices, planned are %lld and %lld",
                     part->name, (long long)numbers, (long long)packed, (long long)part->parameters,
                     (long long)part->packable);
        found += numbers;
    }
    assert_int_equal(found, param_list_size(params));
}

static double bytes_of(const struct tensor *tensor)
{
    return tensor->rank ? 4 * (double)tensor_count(tensor) : 0;
}

/* What one rank keeps from update to update. */
static void compare_state(const struct plan_memory *memory, const struct model *model)
{
    const struct param_list *params = &model->params;
    const bool has_blocks = model->config.train.batch_tokens > OUTPUT_BLOCK_ROWS;
    const double softmax = has_blocks ? bytes_of(&model->output.weight->weight.value) : 0;
    double values = 0, gradients = 0, moments = 0, averages = 0, packed = 0, largest = 0;
    for (int64_t i = 0; i < params->count; i++) {
        const struct param *param = params->items[i];
        values += bytes_of(&param->weight.value);
        gradients += bytes_of(&param->grad);
        moments += bytes_of(&param->first) + bytes_of(&param->second) +
                   bytes_of(&param->second_row) + bytes_of(&param->second_column);
        averages += bytes_of(&param->average);
        const double bytes = bytes_of(&param->weight.value);
        const bool is_late = param->is_late && !(param->forms & PACK_EXACT);
        if (param->forms && !is_late && !plain_is_better(&param->weight.value))
            packed += 2 * bytes;
        if (param->forms && is_late && !param->is_expert && bytes > largest)
            largest = bytes;
    }
    if (largest > 0)
        packed += largest + softmax;
    if (memory->packed != packed)
        fail_msg("planned %.0f bytes of copies, found %.0f", memory->packed, packed);
    if (memory->values != values || memory->gradients != gradients || memory->moments != moments ||
        memory->averages != averages)
        fail_msg("planned %.0f, %.0f, %.0f, %.0f bytes, found %.0f, %.0f, %.0f, %.0f",
                 memory->values, memory->gradients, memory->moments, memory->averages, values,
                 gradients, moments, averages);
}

static void test_parameters(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture, "ref");
    struct config *config = malloc(sizeof *config);
    struct plan *plan = malloc(sizeof *plan);
    struct model *model = malloc(sizeof *model);
    assert_true(config && plan && model);
    for (int i = 0; i < N_CONFIGS; i++) {
        draw(&fixture, config);
        plan_make(plan, config);
        assert_int_equal(
            model_init(model, &fixture.backend, config, config->data.subword.size, true),
            STATUS_OK);
        compare(plan, &model->params);
        const struct plan_memory memory = plan_training(plan, config, 1);
        compare_state(&memory, model);
        model_free(model);
    }
    free(model);
    free(plan);
    free(config);
    fixture_close(&fixture);
}

/* Bytes of what products read and of all else of a model in int8, as its file holds them. */
static double bytes_in_int8(const struct param_list *params)
{
    int64_t bytes = 0;
    for (int64_t i = 0; i < params->count; i++) {
        const struct weight *weight = &params->items[i]->weight;
        bytes += weight->value.data ? 4 * tensor_count(&weight->value) : 0;
        bytes += tensor_count(&weight->blocks) + 4 * tensor_count(&weight->scales);
    }
    return (double)bytes;
}

static void test_int8(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture, "ref");
    struct config *config = malloc(sizeof *config);
    struct plan *plan = malloc(sizeof *plan);
    struct model *model = malloc(sizeof *model);
    assert_true(config && plan && model);
    for (int i = 0; i < N_CONFIGS; i++) {
        draw(&fixture, config);
        config->model.dtype = CONFIG_DTYPE_INT8;
        plan_make(plan, config);
        assert_int_equal(
            model_init(model, &fixture.backend, config, config->data.subword.size, false),
            STATUS_OK);
        const double planned = plan_decoding(plan, config, 1).values;
        assert_true(planned == bytes_in_int8(&model->params));
        model_free(model);
    }
    free(model);
    free(plan);
    free(config);
    fixture_close(&fixture);
}

/* Bytes of the activations' arena that one training pass of 4 x 25 tokens a side takes. */
static double measure(struct fixture *fixture, const struct config *config)
{
    enum { N_T = 25, N_B = 4 };
    const int32_t n_words = (int32_t)config->data.subword.size;
    struct model *model = calloc(1, sizeof *model);
    struct model_record *record = calloc(1, sizeof *record);
    assert_true(model && record);
    assert_int_equal(model_init(model, &fixture->backend, config, n_words, true), STATUS_OK);
    model_start(model, 1);
    int32_t lengths[N_B] = {N_T, N_T, N_T, N_T};
    struct model_batch batch = {
        .source = fixture_sequence(fixture, N_T, N_B, NULL, n_words),
        .target = fixture_sequence(fixture, N_T, N_B, NULL, n_words),
    };
    batch.source.lengths = fixture_ints(fixture, lengths, N_B);
    int32_t labels[N_T * N_B];
    for (int i = 0; i < N_T * N_B; i++)
        labels[i] = fixture_below(fixture, n_words);
    batch.labels = fixture_ints(fixture, labels, N_T * N_B);
    const size_t before = arena_mark(&fixture->arena);
    model_loss(model, &fixture->pass, record, &batch, 0, 1, 1);
    const double bytes =
        (double)(fixture->arena.high_mark - before) + (double)model->products.high_mark;
    model_free(model);
    free(record);
    free(model);
    return bytes;
}

/* The plan says "about": by a tenth, for any shape that is not so small that the ends of tensors
 * count. */
static void test_activations(void **state)
{
    (void)state;
    static const char *const shapes[][4] = {
        {"model.moe.expert.hidden=64", "model.encoder.hidden=64", "model.decoder.hidden=64"},
        {"model.moe.expert.hidden=512", "model.encoder.hidden=64", "model.decoder.hidden=64"},
        {"model.moe.experts=200", "model.encoder.hidden=64", "model.decoder.hidden=64"},
        {"model.moe.after=[]", "model.encoder.hidden=256", "model.decoder.hidden=64"},
        {"model.moe.experts=[40, 50]", "model.moe.top_k=[3, 2]", "model.moe.expert.hidden=32"},
        {"model.moe.experts=300", "model.moe.gate=balanced", "model.moe.expert.hidden=64"},
        {"model.moe.expert.patches=4", "model.moe.expert.type=cubic", "model.moe.top_k=4"},
        {"model.moe.expert.type=lstm", "model.moe.expert.hidden=512", "model.moe.top_k=3"},
        {"model.moe.after=[]", "model.decoder.attention=additive",
         "model.decoder.attention_dim=300"},
        {"model.moe.after=[]", "model.decoder.input_feeding=true", "model.decoder.hidden=64"},
        {"model.type=lm", "model.encoder.hidden=300", "model.moe.expert.hidden=64"},
        {"train.recompute_experts=true", "model.moe.expert.hidden=2048", "model.moe.top_k=4"},
        {"data.subword.size=20000", "model.encoder.hidden=64", "model.decoder.hidden=64"},
    };
    struct config *config = malloc(sizeof *config);
    struct plan *plan = malloc(sizeof *plan);
    assert_true(config && plan);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        /* What a shape says again counts. */
        const char *items[] = {"data.subword.size=50",
                               "model.dim=64",
                               "train.batch_tokens=100",
                               "model.encoder.hidden=256",
                               "model.decoder.hidden=256",
                               "model.moe.expert.hidden=512",
                               shapes[i][0],
                               shapes[i][1],
                               shapes[i][2]};
        const size_t n_items = sizeof items / sizeof *items - !shapes[i][2];
        struct fixture fixture;
        fixture_open(&fixture, "cpu");
        assert_int_equal(config_read(config, NULL, items, n_items), STATUS_OK);
        plan_make(plan, config);
        const double planned = plan_training(plan, config, 1).activations;
        const double taken = measure(&fixture, config);
        if (!(fabs(planned / taken - 1) < 0.1))
            fail_msg("%s %s: %.0f bytes planned, %.0f taken", shapes[i][0], shapes[i][1], planned,
                     taken);
        fixture_close(&fixture);
    }
    free(plan);
    free(config);
}

/* Experts of so many that the backend keeps no copies, a billion parameters in all: values and
 * gradients are nearly all of the memory, here and on two ranks; on 64 there are copies again,
 * where an update is several passes. */
static void test_many_experts(void **state)
{
    (void)state;
    static const char *const items[] = {"model.dim=256",
                                        "model.moe.after=[encoder.2]",
                                        "model.moe.experts=[64, 64]",
                                        "model.moe.top_k=[2, 2]",
                                        "model.moe.expert.hidden=512",
                                        "train.accumulate=2",
                                        "train.optimizer.experts=factored"};
    struct config *config = malloc(sizeof *config);
    struct plan *plan = malloc(sizeof *plan);
    assert_true(config && plan);
    assert_int_equal(config_read(config, NULL, items, sizeof items / sizeof *items), STATUS_OK);
    plan_make(plan, config);
    const double experts = 4096.0 * 2 * 256 * 512 * 4;
    const struct plan_memory alone = plan_training(plan, config, 1);
    assert_true(alone.values > experts && alone.packed < 0.05 * experts);
    assert_true(alone.moments < 0.1 * experts);
    assert_true(plan_memory_total(&alone) < 10.0 * (1 << 30));
    assert_true(plan_training(plan, config, 2).packed == alone.packed);
    assert_true(plan_training(plan, config, 64).packed > alone.packed + experts / 64);
    free(plan);
    free(config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_many_experts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
