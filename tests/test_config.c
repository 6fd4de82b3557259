/* Settings: defaults, files, command line, messages, and the way to YAML and back. */
#include "model/config.h"

#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static enum status read_text(struct config *config, const char *text)
{
    return config_read_text(config, text, strlen(text), "f.yaml");
}

static void test_defaults(void **state)
{
    (void)state;
    struct config config;
    config_init(&config);
    assert_string_equal(config.name, "");
    assert_int_equal(config.data.train.n, 0);
    assert_int_equal(config.data.subword.type, CONFIG_SUBWORD_UNIGRAM);
    assert_int_equal(config.data.subword.size, 8000);
    assert_true(config.data.subword.coverage == 1.0);
    assert_int_equal(config.data.subword.normalize, CONFIG_NORMALIZE_NMT_NFKC);
    assert_false(config.data.subword.byte_fallback);
    assert_int_equal(config.model.dim, 256);
    assert_true(config.model.dropout == 0.2);
    assert_int_equal(config.model.tie, CONFIG_TIE_SOURCE | CONFIG_TIE_TARGET | CONFIG_TIE_SOFTMAX);
    assert_int_equal(config.model.encoder.layers, 3);
    assert_int_equal(config.model.decoder.layers, 2);
    assert_int_equal(config_attention_dim(&config.model), 256);
    for (int layer = 0; layer <= CONFIG_MAX_LAYERS; layer++) {
        assert_int_equal(config.model.moe.after.encoder[layer], layer == 2);
        assert_int_equal(config.model.moe.after.decoder[layer], layer == 1);
    }
    assert_int_equal(config.model.moe.output, CONFIG_MOE_OUTPUT_SIGMOID);
    assert_true(config.train.optimizer.lr == 1e-3);
    assert_true(config.train.optimizer.epsilon == 1e-8);
    assert_int_equal(config.train.schedule.decay, CONFIG_DECAY_INV_SQRT);
    assert_int_equal(config.valid.metric, CONFIG_METRIC_BLEU);
    assert_true(config.translate.max_ratio == 2.0);
}

static void test_reads_every_type(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(read_text(&config, "name: no\n"
                                        "data:\n"
                                        "  train: [a.en, /b.de]\n"
                                        "  subword: {byte_fallback: yes, type: bpe}\n"
                                        "model:\n"
                                        "  tie: [softmax, target]\n"
                                        "  decoder: {layers: 4, attention_dim: 7}\n"
                                        "  moe: {after: [decoder.3, decoder.1]}\n"
                                        "train:\n"
                                        "  optimizer: {lr: 2.5e-4, clip: 1}\n"
                                        "  schedule: {decay: none}\n"
                                        "log:\n"),
                     STATUS_OK);
    assert_string_equal(config.name, "no");
    assert_int_equal(config.data.train.n, 2);
    assert_string_equal(config.data.train.path[0], "a.en");
    assert_string_equal(config.data.train.path[1], "/b.de");
    assert_true(config.data.subword.byte_fallback);
    assert_int_equal(config.data.subword.type, CONFIG_SUBWORD_BPE);
    assert_int_equal(config.model.tie, CONFIG_TIE_TARGET | CONFIG_TIE_SOFTMAX);
    assert_int_equal(config_attention_dim(&config.model), 7);
    assert_false(config.model.moe.after.encoder[2]);
    assert_true(config.model.moe.after.decoder[1] && config.model.moe.after.decoder[3]);
    assert_true(config.train.optimizer.lr == 2.5e-4);
    assert_true(config.train.optimizer.clip == 1.0);
    assert_int_equal(config.train.schedule.decay, CONFIG_DECAY_NONE);
}

static void check_lr(const char *text, double expected)
{
    char yaml[100];
    struct config config;
    snprintf(yaml, sizeof yaml, "train.optimizer.lr: %s\n", text);
    const enum status status = read_text(&config, yaml);
    if (expected < 0)
        assert_int_equal(status, STATUS_CONFIG);
    else
        assert_true(status == STATUS_OK && config.train.optimizer.lr == expected);
}

static void test_spellings_of_numbers(void **state)
{
    (void)state;
    const double refused = -1;
    check_lr("1e-3", 1e-3);
    check_lr("1.0e-3", 1e-3);
    check_lr("1E-3", 1e-3);
    check_lr("+.5e+1", 5);
    check_lr("3.", 3);
    check_lr("0", 0);
    check_lr("1e-999", 0);
    check_lr("1e999", refused);
    check_lr(".inf", refused);
    check_lr("inf", refused);
    check_lr(".nan", refused);
    check_lr("nan", refused);
    check_lr("0x1p-3", refused);
    check_lr("1,5", refused);
    check_lr("1e", refused);
    check_lr(".", refused);
    check_lr("", refused);
    check_lr("-1e-9", refused);
    check_lr("1 2", refused);
    check_lr("100.1", refused);
}

/* Configuration text and its message. */
struct refusal {
    const char *text, *message;
};

static void check_refusals(const struct refusal *refusals, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct config config;
        assert_int_equal(read_text(&config, refusals[i].text), STATUS_CONFIG);
        assert_string_equal(status_message(), refusals[i].message);
    }
}

static void test_unknown_keys(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"model:\n  dropuot: 0.1\n",
         "f.yaml:2: unknown key 'dropuot' in model; did you mean 'dropout'?"},
        {"modle:\n  dim: 3\n", "f.yaml:1: unknown key 'modle'; did you mean 'model'?"},
        {"modle.dim: 3\n", "f.yaml:1: unknown key 'dim' in modle; did you mean 'model.dim'?"},
        {"train: {lr: 3}\n",
         "f.yaml:1: unknown key 'lr' in train; did you mean 'train.optimizer.lr'?"},
        {"model:\n  moe:\n    expert: {hiden: 3}\n",
         "f.yaml:3: unknown key 'hiden' in model.moe.expert; did you mean 'hidden'?"},
        {"train: {optimizer: {rl: 3}}\n",
         "f.yaml:1: unknown key 'rl' in train.optimizer; did you mean 'lr'?"},
        {"zebra: 1\n", "f.yaml:1: unknown key 'zebra'"},
        {"model: {dim: {x: 1}}\n",
         "f.yaml:1: model.dim is a section, expected a whole number from 1 to 65536"},
        {"\"a\\nb\": 1\n", "f.yaml:1: unknown key 'a\\x0Ab'"},
        {"model: 3\n", "f.yaml:1: model is a section of keys and has no value"},
        {"model: []\n", "f.yaml:1: model is a section of keys and has no value"},
    };
    check_refusals(refusals, sizeof refusals / sizeof *refusals);
}

static void test_wrong_values(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"model.dim: big\n",
         "f.yaml:1: model.dim is 'big', expected a whole number from 1 to 65536"},
        {"\nmodel.dim: 0\n", "f.yaml:2: model.dim is '0', expected a whole number from 1 to 65536"},
        {"model.dim: 2.5\n",
         "f.yaml:1: model.dim is '2.5', expected a whole number from 1 to 65536"},
        {"model.dim: 010\n",
         "f.yaml:1: model.dim is '010', expected a whole number from 1 to 65536"},
        {"model.dim: 99999999999999999999\n", "f.yaml:1: model.dim is '99999999999999999999', "
                                              "expected a whole number from 1 to 65536"},
        {"model.dim: [3]\n", "f.yaml:1: model.dim is [3], expected a whole number from 1 to 65536"},
        {"model.dim:\n", "f.yaml:1: model.dim is '', expected a whole number from 1 to 65536"},
        {"model.dropout: 1\n",
         "f.yaml:1: model.dropout is '1', expected a number from 0.0 to 1.0 (excluded)"},
        {"train.optimizer.epsilon: 0\n", "f.yaml:1: train.optimizer.epsilon is '0', expected a "
                                         "number from 0.0 (excluded) to 1.0"},
        {"valid.metric: blue\n", "f.yaml:1: valid.metric is 'blue', expected bleu or perplexity"},
        {"data.subword.byte_fallback: 1\n",
         "f.yaml:1: data.subword.byte_fallback is '1', expected true or false"},
        {"model.tie: [source, sink]\n", "f.yaml:1: model.tie is [source, sink], expected a list "
                                        "of source, target or softmax"},
        {"model.tie: [source, source]\n", "f.yaml:1: model.tie is [source, source], expected a "
                                          "list of source, target or softmax"},
        {"data.train: a\n", "f.yaml:1: data.train is 'a', expected a list of at most 32 paths"},
        {"data.train: [a, '']\n",
         "f.yaml:1: data.train is [a, ], expected a list of at most 32 paths"},
        {"data.languages: [de, 'f r']\n",
         "f.yaml:1: data.languages is [de, f r], expected a list of at most 16 names of letters, "
         "digits, _ and -"},
        {"model.moe.after: [encoder.0]\n",
         "f.yaml:1: model.moe.after is [encoder.0], expected a list of layers from encoder.1 and "
         "decoder.1 to 16, each once"},
        {"model.moe.after: [decoder.1, decoder.1]\n",
         "f.yaml:1: model.moe.after is [decoder.1, decoder.1], expected a list of layers from "
         "encoder.1 and decoder.1 to 16, each once"},
    };
    check_refusals(refusals, sizeof refusals / sizeof *refusals);
}

/* What one level says holds for both, and gates with a fixed number of experts set it; the settings
 * written out say so, and read back the same. */
static void test_levels_settle(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *lines;
    } cases[] = {
        {"model.moe: {experts: [4, 8], top_k: 3}\n",
         "    gate: [noisy_top_k, noisy_top_k]\n    experts: [4, 8]\n    top_k: [3, 3]\n"},
        {"model.moe: {experts: [4, 8], gate: [softmax, switch]}\n",
         "    gate: [softmax, switch]\n    experts: [4, 8]\n    top_k: [4, 1]\n"},
        {"model.moe: {experts: [6], gate: softmax, top_k: 6}\n",
         "    gate: softmax\n    experts: 6\n    top_k: 6\n"},
        {"model.moe: {gate: switch}\n", "    gate: switch\n    experts: 16\n    top_k: 1\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct config config, again;
        struct buffer text = {0};
        assert_int_equal(config_read_text(&config, cases[i].yaml, strlen(cases[i].yaml), "f.yaml"),
                         STATUS_OK);
        assert_int_equal(config_write(&config, CONFIG_PART_ALL, &text), STATUS_OK);
        if (!strstr(text.data, cases[i].lines))
            fail_msg("%s became\n%s", cases[i].yaml, text.data);
        assert_int_equal(config_read_text(&again, text.data, text.size, "g.yaml"), STATUS_OK);
        assert_memory_equal(&again.model, &config.model, sizeof config.model);
        buffer_free(&text);
    }
}

static void test_settings_that_contradict(void **state)
{
    (void)state;
    static const struct refusal refusals[] = {
        {"model:\n  moe:\n    top_k: 5\n    experts: 4\n",
         "f.yaml:3: model.moe.top_k is 5, but there are only 4 experts (model.moe.experts)"},
        {"model.moe.experts: 1\n", "model.moe.top_k (by default) is 2, but there are only 1 "
                                   "experts (model.moe.experts)"},
        {"model.moe.experts: 0\n",
         "f.yaml:1: model.moe.experts is '0', expected a whole number from 1 to 131072, or two of "
         "them for two levels"},
        {"model.moe: {experts: [4, 8], top_k: [5, 2]}\n",
         "f.yaml:1: model.moe.top_k at level 1 is 5, but there are only 4 experts "
         "(model.moe.experts)"},
        {"model.moe: {experts: [8, 4], top_k: 5}\n",
         "f.yaml:1: model.moe.top_k at level 2 is 5, but there are only 4 experts "
         "(model.moe.experts)"},
        {"model.moe: {experts: 8, top_k: [2, 2]}\n",
         "f.yaml:1: model.moe.top_k has two levels, but model.moe.experts has one: write [groups, "
         "experts]"},
        {"model.moe.gate: [switch, softmax]\n",
         "f.yaml:1: model.moe.gate has two levels, but model.moe.experts has one: write [groups, "
         "experts]"},
        {"model.moe.experts: [4, 4, 4]\n",
         "f.yaml:1: model.moe.experts is [4, 4, 4], expected a whole number from 1 to 131072, or "
         "two of them for two levels"},
        {"model.moe.experts: [1024, 1024]\n",
         "f.yaml:1: model.moe.experts multiplies to 1048576 experts; at most 131072"},
        {"model.moe.experts: [131072, 131072]\n",
         "f.yaml:1: model.moe.experts multiplies to 17179869184 experts; at most 131072"},
        {"model.moe: {gate: switch, top_k: 2}\n",
         "f.yaml:1: model.moe.top_k is 2, but gate switch sends a token to 1 expert"},
        {"model.moe: {gate: softmax, top_k: 2}\n",
         "f.yaml:1: model.moe.top_k is 2, but gate softmax sends a token to all 16"},
        {"model.moe.gate: top_k\n",
         "f.yaml:1: model.moe.gate is 'top_k', expected softmax, noisy_top_k, switch or balanced, "
         "or two of them for two levels"},
        {"model.moe.load_weight: -0.1\n",
         "f.yaml:1: model.moe.load_weight is '-0.1', expected a number from 0.0 to 1000.0"},
        {"model.moe.threshold_weight: -1\n",
         "f.yaml:1: model.moe.threshold_weight is '-1', expected a number from 0.0 to 1000.0"},
        {"model.moe.expert: {type: cubic, patches: 3}\n",
         "f.yaml:1: model.moe.expert.patches is 3 and must divide model.dim, which is 256"},
        {"model.moe.expert: {type: lstm, patches: 2}\n",
         "f.yaml:1: model.moe.expert.patches must be 1 with lstm experts"},
        {"model.encoder.projection: false\n",
         "model.encoder.hidden (by default) is 512, but must be model.dim, 256, without a "
         "projection"},
        {"model.encoder.layers: 2\n", "model.moe.after (by default) names encoder.2, but "
                                      "model.encoder.layers is 2: a layer must follow"},
        {"model.moe.after: [decoder.2]\n", "f.yaml:1: model.moe.after names decoder.2, but "
                                           "model.decoder.layers is 2: a layer must follow"},
        {"model.tie: [target]\n", "f.yaml:1: model.tie names one matrix; to tie takes two or "
                                  "three, and [] ties none"},
        {"data.subword: {byte_fallback: on, size: 259}\n",
         "f.yaml:1: data.subword.size must be at least 260 with data.subword.byte_fallback: each "
         "byte is a piece"},
        {"data.subword: {type: bpe, sampling: 1.1}\n",
         "f.yaml:1: data.subword.sampling is a share from 0.0 to 1.0 where data.subword.type is "
         "bpe"},
        {"train.schedule.decay: linear\n",
         "f.yaml:1: train.schedule.decay is linear, but warmup and hold leave no step of "
         "train.steps for it"},
        {"data.train: [a]\n", "f.yaml:1: data.train names an odd number of files; a translator "
                              "reads pairs, [source, target]"},
        {"data: {train: [a, b, c, d], languages: [de]}\n",
         "f.yaml:1: data.train names 4 files, but data.languages has 1: one a pair is needed"},
        {"data: {valid: [a, b], languages: [de, fr]}\n",
         "f.yaml:1: data.valid names 2 files, but data.languages has 2: one a pair is needed"},
        {"model.type: lm\ndata.languages: [de]\n",
         "f.yaml:2: data.languages are those of a translator; a language model (model.type lm) "
         "has none"},
        {"data.valid: [a, b]\nmodel.type: lm\n",
         "f.yaml:1: data.valid names 2 files; a language model (model.type lm) reads one text"},
        {"model: {type: lm, moe: {after: [encoder.1, decoder.1]}}\n",
         "f.yaml:1: model.moe.after names a layer of the decoder, which a language model "
         "(model.type lm) has not"},
        {"model: {type: lm, encoder: {bidirectional: first}}\n",
         "f.yaml:1: model.encoder.bidirectional must be none: a language model (model.type lm) "
         "reads from left to right"},
        {"model.type: lm\nvalid.metric: bleu\n",
         "f.yaml:2: valid.metric must be perplexity: a language model (model.type lm) does not "
         "translate"},
    };
    check_refusals(refusals, sizeof refusals / sizeof *refusals);
}

/* What a language model has not is off where the defaults have it. */
static void test_language_model(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(read_text(&config, "model.type: lm\ndata.train: [a]\n"), STATUS_OK);
    assert_int_equal(config.data.train.n, 1);
    assert_int_equal(config.model.encoder.bidirectional, CONFIG_BIDIRECTIONAL_NONE);
    assert_int_equal(config.valid.metric, CONFIG_METRIC_PERPLEXITY);
    assert_true(config.model.moe.after.encoder[2]);
    assert_false(config.model.moe.after.decoder[1]);
    assert_int_equal(config.model.tie, CONFIG_TIE_SOURCE | CONFIG_TIE_SOFTMAX);
    assert_int_equal(read_text(&config, "model: {type: lm, tie: [softmax]}\n"), STATUS_OK);
    assert_int_equal(config.model.tie, CONFIG_TIE_SOURCE | CONFIG_TIE_SOFTMAX);
    assert_int_equal(read_text(&config, "model: {type: lm, tie: [source, target]}\n"), STATUS_OK);
    assert_int_equal(config.model.tie, 0);
}

/* A directory of its own for a test, removed by the test. */
static void make_directory(char directory[64])
{
    snprintf(directory, 64, "%s", "/tmp/mixt-config-XXXXXX");
    assert_non_null(mkdtemp(directory));
}

static void test_paths_and_command_line(void **state)
{
    (void)state;
    char directory[64], path[128], expected[192];
    make_directory(directory);
    snprintf(path, sizeof path, "%s/c.yaml", directory);
    FILE *stream = fopen(path, "w");
    assert_non_null(stream);
    fputs("data:\n  train: [t.en, /abs/t.de]\n  valid: [v.en, v.de]\n"
          "  subword: {model: s.spm}\nsave: {dir: runs/x}\nmodel.dim: 7\n",
          stream);
    assert_int_equal(fclose(stream), 0);
    const char *assignments[] = {"data.valid=[v.en, v.de]", "model.dim=8", "model.dim=9"};
    struct config config;
    assert_int_equal(config_read(&config, path, assignments, 3), STATUS_OK);
    snprintf(expected, sizeof expected, "%s/t.en", directory);
    assert_string_equal(config.data.train.path[0], expected);
    assert_string_equal(config.data.train.path[1], "/abs/t.de");
    assert_string_equal(config.data.valid.path[0], "v.en");
    snprintf(expected, sizeof expected, "%s/s.spm", directory);
    assert_string_equal(config.data.subword.model, expected);
    assert_string_equal(config.save.dir, "runs/x");
    assert_int_equal(config.model.dim, 9);
    assert_int_equal(config_check_train(&config), STATUS_OK);

    const char *wrong[] = {"model.dmi=8"};
    assert_int_equal(config_read(&config, path, wrong, 1), STATUS_CONFIG);
    assert_string_equal(status_message(),
                        "command line: unknown key 'dmi' in model; did you mean 'dim'?");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(config_read(&config, path, NULL, 0), STATUS_IO);
    assert_int_equal(rmdir(directory), 0);
    assert_int_equal(config_read(&config, NULL, assignments, 3), STATUS_OK);
    assert_int_equal(config.model.dim, 9);
}

static void test_training_needs_data_and_a_directory(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(read_text(&config, "save.dir: x\n"), STATUS_OK);
    assert_int_equal(config_check_train(&config), STATUS_CONFIG);
    assert_string_equal(status_message(), "data.train names no files to learn from");
    assert_int_equal(read_text(&config, "data.train: [a, b]\n"), STATUS_OK);
    assert_int_equal(config_check_train(&config), STATUS_CONFIG);
    assert_int_equal(read_text(&config, "data.train: [a, b]\nsave.dir: x\nvalid.patience: 3\n"),
                     STATUS_OK);
    assert_int_equal(config_check_train(&config), STATUS_CONFIG);
    assert_string_equal(status_message(), "valid.patience is 3, but data.valid names no files");
}

/* Settings that are hard to write: long fractions, tiny and huge numbers, awkward text. */
static const char awkward[] =
    "name: \"true: \\\"#\\\\ \\u00e9\\u4e2d\\U0001F600 \\n\\t\\x85\\u2028\\x7f end \"\n"
    "data: {train: [/a b, \"/c'd\"], max_len: 9999}\n"
    "model: {dropout: 0.30000000000000004, tie: [], dim: 65536}\n"
    "model.moe: {after: [], importance_weight: 1.234567890123456e-5, load_weight: 123.456}\n"
    "train: {optimizer: {lr: 3.0e-300, clip: 123456789.125, epsilon: 5e-324, beta2: 0.999}}\n"
    "train.label_smoothing: 0.012\n"
    "save: {dir: 'no'}\n";

static void check_round_trip(const char *yaml)
{
    struct config first, second;
    struct buffer text = {0}, again = {0};
    assert_int_equal(read_text(&first, yaml), STATUS_OK);
    assert_int_equal(config_write(&first, CONFIG_PART_ALL, &text), STATUS_OK);
    assert_int_equal(config_read_text(&second, text.data, text.size, "dump"), STATUS_OK);
    assert_int_equal(config_write(&second, CONFIG_PART_ALL, &again), STATUS_OK);
    assert_string_equal(text.data, again.data);
    assert_memory_equal(&first, &second, sizeof first);
    buffer_free(&text);
    buffer_free(&again);
}

static void test_written_text_reads_back_to_the_bit(void **state)
{
    (void)state;
    check_round_trip("");
    check_round_trip(awkward);
    check_round_trip("data: {train: [/a, /b, /c, /d], languages: [no, zh-Hant]}\n");
    check_round_trip("model.type: lm\ndata: {train: [/a], valid: [/b]}\n");
}

static void test_written_form(void **state)
{
    (void)state;
    struct config config;
    struct buffer text = {0};
    assert_int_equal(read_text(&config, awkward), STATUS_OK);
    assert_int_equal(config_write(&config, CONFIG_PART_PORTABLE, &text), STATUS_OK);
    static const char *const lines[] = {
        "name: \"true: \\\"#\\\\ \xc3\xa9\xe4\xb8\xad\xf0\x9f\x98\x80 "
        "\\U0000000A\\U00000009\\U00000085"
        "\\U00002028\\U0000007F end \"\n",
        "\ndata:\n  languages: []\n  subword:\n    type: unigram\n",
        "\n  max_len: 9999\nmodel:\n  type: gnmt\n",
        "\n  dropout: 0.30000000000000004\n",
        "\n  tie: []\n  encoder:\n    layers: 3\n",
        "\n    importance_weight: 1.234567890123456e-5\n    load_weight: 123.456\n",
        "\n    lr: 3.0e-300\n",
        "\n    clip: 1.23456789125e+8\n",
        "\n    epsilon: 5.0e-324\n",
        "\n    beta2: 0.999\n",
        "\n  label_smoothing: 0.012\n",
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        if (!strstr(text.data, lines[i]))
            fail_msg("no '%s' in:\n%s", lines[i], text.data);
    assert_null(strstr(text.data, "/a b")); /* nothing of this machine */
    assert_null(strstr(text.data, "threads"));
    assert_null(strstr(text.data, "dir:"));
    buffer_free(&text);

    assert_int_equal(read_text(&config, "data.train: [a.en, b.de]\n"), STATUS_OK);
    char here[2048]; /* a checkout's path may need quotes, /usr does not */
    assert_non_null(getcwd(here, sizeof here));
    assert_int_equal(chdir("/usr"), 0);
    assert_int_equal(config_write(&config, CONFIG_PART_ALL, &text), STATUS_OK);
    assert_int_equal(chdir(here), 0);
    assert_non_null(strstr(text.data, "train: [/usr/a.en, /usr/b.de]\n"));
    assert_non_null(strstr(text.data, "\n    lr: 1.0e-3\n"));
    assert_non_null(strstr(text.data, "after: [encoder.2, decoder.1]\n"));
    buffer_free(&text);
}

/* A decimal comma must change nothing. Skipped where no such locale is installed. */
static void test_locale_changes_nothing(void **state)
{
    (void)state;
    if (!setlocale(LC_ALL, "de_DE.UTF-8") && !setlocale(LC_ALL, "fr_FR.UTF-8"))
        skip();
    check_lr("1.5e-3", 1.5e-3);
    check_lr("1,5", -1);
    check_round_trip(awkward);
    setlocale(LC_ALL, "C");
}

static void test_model_difference(void **state)
{
    (void)state;
    struct config trained, wanted;
    assert_int_equal(read_text(&trained, "model.decoder.hidden: 1024\n"), STATUS_OK);
    assert_int_equal(read_text(&wanted, "model.decoder.hidden: 1024\nmodel.dropout: 0.5\n"
                                        "train.steps: 3\nmodel.decoder.attention_dim: 256\n"),
                     STATUS_OK);
    assert_int_equal(config_model_difference(&trained, &wanted, "runs/x"), STATUS_OK);
    assert_int_equal(read_text(&wanted, "model.moe.after: [decoder.1]\n"), STATUS_OK);
    assert_int_equal(config_model_difference(&trained, &wanted, "runs/x"), STATUS_CONFIG);
    assert_string_equal(status_message(), "runs/x was trained with model.decoder.hidden=1024, this "
                                          "configuration says 512");
    wanted.model.decoder.hidden = 1024;
    assert_int_equal(config_model_difference(&trained, &wanted, "runs/x"), STATUS_CONFIG);
    assert_string_equal(status_message(),
                        "runs/x was trained with model.moe.after=[encoder.2, decoder.1], this "
                        "configuration says [decoder.1]");
    assert_string_equal(status_hint_text(),
                        "use another save.dir, or drop model.moe.after to continue");
}

static void test_short_schedule_has_a_hint(void **state)
{
    (void)state;
    struct config config;
    assert_int_equal(read_text(&config, "train: {steps: 60, schedule: {warmup: 40, hold: 21, "
                                        "decay: linear}}\n"),
                     STATUS_CONFIG);
    assert_string_equal(status_hint_text(),
                        "set train.steps above 61, or train.schedule.decay=none for a short trial");
    assert_int_equal(read_text(&config, "train: {steps: 62, schedule: {warmup: 40, hold: 21, "
                                        "decay: linear}}\n"),
                     STATUS_OK);
}

static void test_description_names_every_key(void **state)
{
    (void)state;
    struct buffer text = {0};
    assert_int_equal(config_describe(&text), STATUS_OK);
    assert_non_null(strstr(text.data, "model.dropout=0.2\n    share of values dropped between "
                                      "layers in training; a number from 0.0 to 1.0 (excluded)\n"));
    assert_non_null(strstr(text.data, "log.every=50\n"));
    buffer_free(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_reads_every_type),
        cmocka_unit_test(test_spellings_of_numbers),
        cmocka_unit_test(test_unknown_keys),
        cmocka_unit_test(test_wrong_values),
        cmocka_unit_test(test_levels_settle),
        cmocka_unit_test(test_settings_that_contradict),
        cmocka_unit_test(test_language_model),
        cmocka_unit_test(test_paths_and_command_line),
        cmocka_unit_test(test_training_needs_data_and_a_directory),
        cmocka_unit_test(test_written_text_reads_back_to_the_bit),
        cmocka_unit_test(test_written_form),
        cmocka_unit_test(test_locale_changes_nothing),
        cmocka_unit_test(test_model_difference),
        cmocka_unit_test(test_short_schedule_has_a_hint),
        cmocka_unit_test(test_description_names_every_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
