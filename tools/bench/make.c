/* mixt bench make: a model file with random weights, to measure with. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/quantize.h"
#include "base/clock.h"
#include "model/languages.h"
#include "model/model_file.h"
#include "text/subword/sentencepiece_train.h"
#include "tools/bench/stand_in.h"
#include "tools/bench/verbs.h"
#include "tools/footer.h"
#include "tools/options.h"

struct make_options {
    const char *path, *config_path;
    int64_t seed;
};

#define AT(member) offsetof(struct make_options, member)

static const struct option table[] = {
    {"make", 'o', NULL, "FILE", OPTION_STRING, AT(path), 0, 0, NULL, "the model file to write"},
    {"config", 'c', NULL, "CONFIG", OPTION_STRING, AT(config_path), 0, 0, NULL,
     "YAML file with the settings (default: the settings' defaults)"},
    {"seed", 0, NULL, "N", OPTION_INT, AT(seed), 0, INFINITY, NULL,
     "of the random weights (default: 1)"},
};

static const struct options_command command = {
    .verb = "bench make",
    .arguments = "[SECTION.KEY=VALUE...]",
    .description =
        "Writes a model file of a configuration's shape (model.dtype=int8 too) with random "
        "weights, "
        "which every verb that reads models takes: to measure, not to translate. Weights are made "
        "and written block by "
        "block, so the model may be larger than memory. Its subword model is data.subword.model "
        "or, "
        "without one, one of data.subword.size pieces that is trained on made-up words.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .max_arguments = 1000,
};

/* -- the subword model -- */

enum { STREAM_WORDS = 500, STREAM_WEIGHTS, WORDS_A_LINE = 16 };

/* Appends made-up word number `word`: two to five syllables. */
static enum status append_word(struct buffer *text, uint32_t word)
{
    static const char consonants[] = "bcdfghjklmnprstvwz", vowels[] = "aeiou";
    const struct random_key key = {.stream = STREAM_WORDS};
    const struct random_words shape = random_philox(key, word, 0);
    enum status status = STATUS_OK;
    for (uint32_t s = 0; s < 2 + shape.word[0] % 4 && status >= 0; s++) {
        const struct random_words letters = random_philox(key, word, s + 1);
        const char syllable[] = {consonants[letters.word[0] % (sizeof consonants - 1)],
                                 vowels[letters.word[1] % (sizeof vowels - 1)], '\0'};
        status = buffer_append_string(text, syllable);
    }
    return status;
}

/* Lines of words, of which some are frequent and most are rare; rich enough for `size` pieces. */
static enum status make_text(struct buffer *text, int64_t size)
{
    const int64_t n_words = 12 * size + 1000;
    const struct random_key key = {.stream = STREAM_WORDS, .step = 1};
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < n_words && status >= 0; i++) {
        const double u = random_unit(random_philox(key, 0, (uint32_t)i).word[0]);
        status = append_word(text, (uint32_t)(3 * (double)size * u * u));
        if (status >= 0)
            status = buffer_append_string(text, (i + 1) % WORDS_A_LINE ? " " : "\n");
    }
    return status;
}

/* Trains on the text's lines. */
static enum status train_on(const struct buffer *text, const struct config *config,
                            struct subword_text *lines, struct buffer *bytes)
{
    static const char *const types[] = {"unigram", "bpe"};
    struct buffer symbols = {0};
    struct subword_train_options options = subword_train_defaults();
    options.type = types[config->data.subword.type];
    options.size = config->data.subword.size;
    options.coverage = 1;
    options.byte_fallback = config->data.subword.byte_fallback;
    options.texts = lines;
    for (const char *line = text->data, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        lines[options.n_texts++] =
            (struct subword_text){.bytes = line, .size = (size_t)(end - line)};
    enum status status = languages_symbols(&config->data.languages, &symbols);
    options.control = symbols.data;
    if (status >= 0)
        status = subword_train(&options, bytes, NULL);
    buffer_free(&symbols);
    return status;
}

static enum status make_subword(const struct config *config, struct subword **subword)
{
    struct buffer text = {0}, bytes = {0};
    *subword = NULL;
    if (config->data.subword.model[0])
        return subword_open_file(subword, config->data.subword.model);
    enum status status = make_text(&text, config->data.subword.size);
    struct subword_text *lines = calloc(text.size / WORDS_A_LINE + 1, sizeof *lines);
    if (status >= 0 && !lines)
        status = status_set(STATUS_MEMORY, "no memory for a text");
    if (status >= 0)
        status = train_on(&text, config, lines, &bytes);
    if (status >= 0)
        status = subword_open_bytes(subword, bytes.data, bytes.size, "the new subword model");
    free(lines);
    buffer_free(&text);
    buffer_free(&bytes);
    return status;
}

/* -- the weights -- */

struct weights {
    const struct param_list *params; /* borrowed */
    uint64_t seed;
    struct stand_in stand_in; /* that knows the thresholds of balanced gates */
};

/* Where a parameter's random numbers are: the same whatever else the model has. */
static uint32_t stream_of(const struct param *param)
{
    uint32_t hash = 2166136261u; /* FNV-1a of the name */
    for (const char *c = param->name; *c; c++)
        hash = (hash ^ (unsigned char)*c) * 16777619u;
    return hash;
}

/* Uniform in -bound .. bound; four numbers share a draw. */
static void draw_block(const struct param *param, uint64_t seed, uint64_t first, double bound,
                       float *numbers, size_t count)
{
    const struct random_key key = {
        .seed = seed, .step = STREAM_WEIGHTS, .stream = stream_of(param)};
    struct random_words words = {0};
    for (size_t i = 0; i < count; i++) {
        const uint64_t at = first + i;
        if (i == 0 || at % 4 == 0)
            words = random_philox(key, (uint32_t)(at >> 34), (uint32_t)(at >> 2));
        numbers[i] = (float)(bound * (2 * random_unit(words.word[at % 4]) - 1));
    }
}

/* How far a parameter's random numbers go, or 0: it is filled as it starts. Matrices and tables
 * are spread as at their start; gates' weights, which start at zero, wide enough that tokens go to
 * many experts. */
static double bound_of(const struct param *param)
{
    const struct tensor *value = &param->weight.value;
    if (param->start == PARAM_ZERO && strstr(param->name, ".gate"))
        return sqrt(3 / (double)value->dim[value->rank > 1 ? value->rank - 2 : 0]);
    if (param->start == PARAM_NORMAL)
        return param->bound * sqrt(3);
    return param->start == PARAM_UNIFORM ? param->bound : 0;
}

/* Numbers as a model in training has them. */
static void fill_block(const struct param *param, uint64_t seed, uint64_t first, float *numbers,
                       size_t count)
{
    const uint64_t gate_width =
        (uint64_t)tensor_columns(&param->weight.value) / 4; /* of an LSTM's biases */
    const double bound = bound_of(param);
    if (bound > 0) {
        draw_block(param, seed, first, bound, numbers, count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (param->start == PARAM_FORGET_GATE)
            numbers[i] = (first + i) / gate_width % 4 == 1 ? 1 : 0;
        else
            numbers[i] = param->start == PARAM_CONSTANT ? (float)param->bound : 0;
}

/* The same for a matrix in int8, whose scales are all bound / QUANTIZED_MAX. */
static void fill_rounded(const struct param *param, uint64_t seed, uint64_t first, int8_t *numbers,
                         size_t count)
{
    const struct random_key key = {
        .seed = seed, .step = STREAM_WEIGHTS, .stream = stream_of(param)};
    struct random_words words = {0};
    for (size_t i = 0; i < count; i++) {
        const uint64_t at = first + i;
        if (i == 0 || at % sizeof words.word == 0)
            words = random_philox(key, (uint32_t)(at >> 36), (uint32_t)(at >> 4));
        const uint32_t byte = words.word[at / 4 % 4] >> (8 * (at % 4)) & 0xff;
        numbers[i] = (int8_t)((int)(byte % (2 * QUANTIZED_MAX + 1)) - QUANTIZED_MAX);
    }
}

static enum status read_part(void *context, const char *name, uint64_t offset, void *target,
                             size_t size)
{
    const struct weights *weights = context;
    const struct param *blocks = param_find_part(weights->params, name, ".blocks");
    const struct param *scales = param_find_part(weights->params, name, ".scales");
    float *numbers = target;
    if (blocks) {
        fill_rounded(blocks, weights->seed, offset, target, size);
    } else if (scales) {
        for (size_t i = 0; i < size / sizeof *numbers; i++)
            numbers[i] = (float)(bound_of(scales) / QUANTIZED_MAX);
    } else {
        const struct param *param = param_find(weights->params, name);
        const uint64_t first = offset / sizeof *numbers;
        CHECK(param, "nothing is named %s", name);
        if (!stand_in_read(&weights->stand_in, name, first, numbers, size / sizeof *numbers))
            fill_block(param, weights->seed, first, numbers, size / sizeof *numbers);
    }
    return STATUS_OK;
}

static enum status write_model(const struct make_options *options, const struct config *config,
                               struct subword *subword)
{
    struct backend backend;
    struct model model = {0};
    struct weights weights = {.params = &model.params, .seed = (uint64_t)options->seed};
    const struct model_source source = {read_part, &weights};
    enum status status = backend_open(&backend, "cpu", 1);
    if (status >= 0)
        status = stand_in_open(&weights.stand_in, config, subword_size(subword), weights.seed,
                               fill_block);
    if (status >= 0)
        status = model_init(&model, &backend, config, subword_size(subword), false);
    if (status >= 0) {
        model.subword = subword;
        status = model_save_from(&model, options->path, &source);
        model.subword = NULL;
    }
    if (status >= 0)
        fprintf(stderr, "mixt: %s: %.1f M parameters, %" PRId32 " pieces\n", options->path,
                (double)param_list_size(&model.params) * 1e-6, subword_size(subword));
    stand_in_free(&weights.stand_in);
    model_free(&model);
    backend_close(&backend);
    return status;
}

static enum status run(const struct make_options *options, const struct option_list *assignments)
{
    const double start_s = clock_seconds();
    if (!options->path)
        return status_set(STATUS_USAGE, "a file is missing: --make FILE");
    struct config *config = malloc(sizeof *config);
    struct subword *subword = NULL;
    enum status status =
        config ? STATUS_OK : status_set(STATUS_MEMORY, "no memory for the configuration");
    if (status >= 0)
        status = config_read(config, options->config_path, assignments->items, assignments->count);
    if (status >= 0)
        status = make_subword(config, &subword);
    if (status >= 0)
        status = write_model(options, config, subword);
    if (status >= 0)
        footer_print(start_s, "");
    subword_free(subword);
    free(config);
    return status;
}

int bench_make_main(int argc, char **argv)
{
    struct make_options options = {.seed = 1};
    struct option_list assignments = {0};
    const int code = options_start(&command, argc, argv, &options, &assignments);
    if (code >= 0)
        return code;
    const enum status status = run(&options, &assignments);
    options_free(&command, &options, &assignments);
    return status_finish(status);
}
