/* A whole configuration: defaults, file, command line, checks, and the way back to YAML. */
#include "model/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"
#include "model/config_keys.h"
#include "model/quote.h"

enum { MAX_DEFAULT_WORDS = 4 };

/* Splits a default, "a" or "[a, b]", in place into words; returns how many. */
static size_t split_words(char *text, char *word[MAX_DEFAULT_WORDS])
{
    word[0] = text;
    if (text[0] != '[')
        return 1;
    size_t n = 0;
    for (char *rest = NULL, *next = strtok_r(text, "[, ]", &rest); next;
         next = strtok_r(NULL, "[, ]", &rest)) {
        CHECK(n < MAX_DEFAULT_WORDS, "a default has more than %d words", MAX_DEFAULT_WORDS);
        word[n++] = next;
    }
    return n;
}

/* Defaults are known to be good, so they go past the YAML reader and cannot run out of memory. */
void config_init(struct config *config)
{
    memset(config, 0, sizeof *config); /* also the padding: equal settings are equal bytes */
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *key = &config_keys[i];
        char text[YAML_KEY_BYTES];
        char *word[MAX_DEFAULT_WORDS];
        const int length = snprintf(text, sizeof text, "%s", key->initial);
        CHECK(length < (int)sizeof text, "the default of %s is long", key->name);
        const struct yaml_entry entry = {
            .kind = key->initial[0] == '[' ? YAML_LIST : YAML_VALUE,
            .value = word,
            .n_values = split_words(text, word),
            .file = "default",
        };
        const enum status status = config_value_set(config, key, &entry, "");
        CHECK(status == STATUS_OK, "default of %s: %s", key->name, status_message());
    }
}

static enum status unknown_key(const struct yaml_entry *entry)
{
    char word[QUOTE_BYTES], section[QUOTE_BYTES];
    const char *dot = strrchr(entry->key, '.');
    const char *guess = config_key_suggest(entry->key);
    quote(dot ? dot + 1 : entry->key, word);
    char parent[YAML_KEY_BYTES] = "";
    if (dot)
        snprintf(parent, sizeof parent, "%.*s", (int)(dot - entry->key), entry->key);
    return status_set(STATUS_CONFIG, "%s: unknown key '%s'%s%s%s%s%s", yaml_entry_place(entry),
                      word, dot ? " in " : "", quote(parent, section),
                      guess ? "; did you mean '" : "", guess ? guess : "", guess ? "'?" : "");
}

static enum status apply_entry(struct config *config, const struct yaml_entry *entry,
                               const char *directory)
{
    const struct config_key *key = config_key_find(entry->key);
    if (key)
        return config_value_set(config, key, entry, entry->line > 0 ? directory : "");
    if (!config_key_is_section(entry->key))
        return unknown_key(entry);
    const bool is_empty = entry->kind == YAML_VALUE && entry->value[0][0] == '\0';
    if (entry->kind == YAML_SECTION || is_empty) /* all keys of a section may be commented out */
        return STATUS_OK;
    return status_set(STATUS_CONFIG, "%s: %s is a section of keys and has no value",
                      yaml_entry_place(entry), entry->key);
}

/* Whether a key was set, and not just left at its default. */
static bool is_given(const struct yaml_settings *settings, const char *key)
{
    return yaml_settings_find(settings, key) != NULL;
}

/* Refuses a combination; key is the setting to blame, placed where it was given. */
static enum status refuse(const struct yaml_settings *settings, const char *key, const char *what)
{
    const struct yaml_entry *entry = yaml_settings_find(settings, key);
    if (entry)
        return status_set(STATUS_CONFIG, "%s: %s %s", yaml_entry_place(entry), key, what);
    return status_set(STATUS_CONFIG, "%s (by default) %s", key, what);
}

/* The MoE layers of one stack must have an LSTM layer behind them. */
static enum status check_places(const struct yaml_settings *settings, const bool *after,
                                int64_t layers, const char *stack)
{
    for (int64_t layer = layers; layer <= CONFIG_MAX_LAYERS; layer++) {
        if (!after[layer])
            continue;
        char what[160];
        snprintf(what, sizeof what,
                 "names %s.%lld, but model.%s.layers is %lld: a layer must follow", stack,
                 (long long)layer, stack, (long long)layers);
        const enum status status = refuse(settings, "model.moe.after", what);
        status_hint("set model.moe.after to layers below model.%s.layers, or to [] for a model "
                    "without experts",
                    stack);
        return status;
    }
    return STATUS_OK;
}

/* Says a level's part of a key: "model.moe.top_k" or, of two levels, "level 2 of it". */
static enum status refuse_level(const struct yaml_settings *settings, const char *key, int64_t n,
                                int64_t level, const char *format, int64_t a, int64_t b)
{
    char what[200], place[32] = "";
    if (n > 1)
        snprintf(place, sizeof place, "at level %lld ", (long long)level + 1);
    int used = snprintf(what, sizeof what, "%s", place);
    snprintf(what + used, sizeof what - (size_t)used, format, (long long)a, (long long)b);
    return refuse(settings, key, what);
}

/* Gives every setting of the mixture as many levels as it has, and gates with a fixed number of
 * experts that number; what contradicts is refused. */
static enum status settle_levels(struct config_moe *moe, const struct yaml_settings *settings)
{
    struct config_levels *const shared[] = {&moe->gate, &moe->top_k};
    static const char *const keys[] = {"model.moe.gate", "model.moe.top_k"};
    const int64_t n = moe->experts.n;
    for (int i = 0; i < 2; i++) {
        if (shared[i]->n > n)
            return refuse(settings, keys[i],
                          "has two levels, but model.moe.experts has one: write [groups, experts]");
        if (shared[i]->n < n)
            shared[i]->value[1] = shared[i]->value[0];
        shared[i]->n = n;
    }
    if (config_moe_experts(moe) > CONFIG_MAX_EXPERTS)
        return refuse_level(settings, "model.moe.experts", 1, 0,
                            "multiplies to %lld experts; at most %lld", config_moe_experts(moe),
                            CONFIG_MAX_EXPERTS);
    for (int64_t l = 0; l < n; l++) {
        const int64_t experts = moe->experts.value[l], top_k = moe->top_k.value[l];
        const bool is_switch = moe->gate.value[l] == CONFIG_GATE_SWITCH;
        const bool is_softmax = moe->gate.value[l] == CONFIG_GATE_SOFTMAX;
        const int64_t fixed = is_switch ? 1 : is_softmax ? experts : top_k;
        if (is_given(settings, "model.moe.top_k") && fixed != top_k)
            return refuse_level(settings, "model.moe.top_k", n, l,
                                is_switch ? "is %lld, but gate switch sends a token to %lld expert"
                                          : "is %lld, but gate softmax sends a token to all %lld",
                                top_k, fixed);
        moe->top_k.value[l] = fixed;
        if (fixed > experts)
            return refuse_level(settings, "model.moe.top_k", n, l,
                                "is %lld, but there are only %lld experts (model.moe.experts)",
                                fixed, experts);
    }
    return STATUS_OK;
}

static enum status check_experts(const struct config_model *model,
                                 const struct yaml_settings *settings)
{
    const struct config_moe *moe = &model->moe;
    if (model->dim % moe->expert.patches != 0)
        return refuse_level(settings, "model.moe.expert.patches", 1, 0,
                            "is %lld and must divide model.dim, which is %lld", moe->expert.patches,
                            model->dim);
    if (moe->expert.type == CONFIG_EXPERT_LSTM && moe->expert.patches != 1)
        return refuse(settings, "model.moe.expert.patches", "must be 1 with lstm experts");
    return STATUS_OK;
}

/* Without a projection the LSTM's cells are its output. */
static enum status check_projections(const struct config_model *model,
                                     const struct yaml_settings *settings)
{
    static const char format[] = "is %lld, but must be model.dim, %lld, without a projection";
    if (!model->encoder.projection && model->encoder.hidden != model->dim)
        return refuse_level(settings, "model.encoder.hidden", 1, 0, format, model->encoder.hidden,
                            model->dim);
    if (!model->decoder.projection && model->decoder.hidden != model->dim)
        return refuse_level(settings, "model.decoder.hidden", 1, 0, format, model->decoder.hidden,
                            model->dim);
    return STATUS_OK;
}

static enum status check_model(struct config_model *model, const struct yaml_settings *settings)
{
    const struct config_moe *moe = &model->moe;
    enum status status = settle_levels(&model->moe, settings);
    if (status == STATUS_OK)
        status = check_experts(model, settings);
    if (status == STATUS_OK)
        status = check_projections(model, settings);
    if (status < 0)
        return status;
    const bool ties_one = model->tie != 0 && (model->tie & (model->tie - 1)) == 0;
    if (ties_one)
        return refuse(settings, "model.tie",
                      "names one matrix; to tie takes two or three, and [] ties none");
    status = check_places(settings, moe->after.encoder, model->encoder.layers, "encoder");
    if (status < 0)
        return status;
    return check_places(settings, moe->after.decoder, model->decoder.layers, "decoder");
}

/* A language model reads one text, from left to right, and has no decoder: defaults that say
 * otherwise follow it, what was given so is refused. */
static enum status settle_lm(struct config *config, const struct yaml_settings *settings)
{
    struct config_model *model = &config->model;
    bool has_decoder_place = false;
    for (int64_t l = 1; l <= CONFIG_MAX_LAYERS; l++)
        has_decoder_place |= model->moe.after.decoder[l];
    if (has_decoder_place && is_given(settings, "model.moe.after"))
        return refuse(
            settings, "model.moe.after",
            "names a layer of the decoder, which a language model (model.type lm) has not");
    if (model->encoder.bidirectional != CONFIG_BIDIRECTIONAL_NONE &&
        is_given(settings, "model.encoder.bidirectional"))
        return refuse(settings, "model.encoder.bidirectional",
                      "must be none: a language model (model.type lm) reads from left to right");
    if (config->data.languages.n > 0)
        return refuse(settings, "data.languages",
                      "are those of a translator; a language model (model.type lm) has none");
    if (config->valid.metric != CONFIG_METRIC_PERPLEXITY && is_given(settings, "valid.metric"))
        return refuse(settings, "valid.metric",
                      "must be perplexity: a language model (model.type lm) does not translate");
    memset(model->moe.after.decoder, 0, sizeof model->moe.after.decoder);
    model->encoder.bidirectional = CONFIG_BIDIRECTIONAL_NONE;
    config->valid.metric = CONFIG_METRIC_PERPLEXITY;
    model->tie = model->tie & CONFIG_TIE_SOFTMAX ? CONFIG_TIE_SOURCE | CONFIG_TIE_SOFTMAX : 0;
    return STATUS_OK;
}

/* A translator learns from pairs of texts, with a target language each or with none, a language
 * model from one text. */
static enum status check_files(const struct config *config, const struct config_paths *paths,
                               const char *key, const struct yaml_settings *settings)
{
    const int64_t n_languages = config->data.languages.n;
    const bool is_lm = config->model.type == CONFIG_MODEL_LM;
    if (paths->n == 0)
        return STATUS_OK;
    if (is_lm && paths->n != 1)
        return refuse_level(settings, key, 1, 0,
                            "names %lld files; a language model (model.type lm) reads one text",
                            paths->n, 0);
    if (!is_lm && paths->n % 2 != 0)
        return refuse(settings, key,
                      "names an odd number of files; a translator reads pairs, [source, target]");
    if (!is_lm && n_languages > 0 && paths->n != 2 * n_languages)
        return refuse_level(settings, key, 1, 0,
                            "names %lld files, but data.languages has %lld: one a pair is needed",
                            paths->n, n_languages);
    return STATUS_OK;
}

static enum status check_data(const struct config_data *data, const struct yaml_settings *settings)
{
    enum { BYTE_PIECES = 256, CONTROL_PIECES = 4 }; /* unknown, start, end, and one that is text */
    const bool trains_pieces = data->subword.model[0] == '\0';
    if (trains_pieces && data->subword.byte_fallback &&
        data->subword.size < BYTE_PIECES + CONTROL_PIECES)
        return refuse(settings, "data.subword.size",
                      "must be at least 260 with data.subword.byte_fallback: each byte is a piece");
    if (data->subword.type == CONFIG_SUBWORD_BPE && data->subword.sampling > 1)
        return refuse(settings, "data.subword.sampling",
                      "is a share from 0.0 to 1.0 where data.subword.type is bpe");
    return STATUS_OK;
}

static enum status check_training(const struct config_train *train,
                                  const struct yaml_settings *settings)
{
    const int64_t before_decay = train->schedule.warmup + train->schedule.hold;
    if (train->schedule.decay == CONFIG_DECAY_LINEAR && before_decay >= train->steps) {
        const enum status status =
            refuse(settings, "train.schedule.decay",
                   "is linear, but warmup and hold leave no step of train.steps for it");
        status_hint("set train.steps above %lld, or train.schedule.decay=none for a short trial",
                    (long long)before_decay);
        return status;
    }
    if (!backend_is_device(train->device)) {
        char what[CONFIG_TEXT_BYTES + 80];
        snprintf(what, sizeof what, "is no device: '%s'; there are auto, cpu, ref, cuda and cuda:N",
                 train->device);
        return refuse(settings, "train.device", what);
    }
    return STATUS_OK;
}

/* Refuses what contradicts, and settles what follows from other settings. */
static enum status check(struct config *config, const struct yaml_settings *settings)
{
    const bool is_lm = config->model.type == CONFIG_MODEL_LM;
    enum status status = check_data(&config->data, settings);
    if (status == STATUS_OK)
        status = check_files(config, &config->data.train, "data.train", settings);
    if (status == STATUS_OK)
        status = check_files(config, &config->data.valid, "data.valid", settings);
    if (status == STATUS_OK && is_lm)
        status = settle_lm(config, settings);
    if (status == STATUS_OK)
        status = check_model(&config->model, settings);
    if (status == STATUS_OK)
        status = check_training(&config->train, settings);
    return status;
}

enum status config_check_train(const struct config *config)
{
    if (config->data.train.n == 0) {
        status_set(STATUS_CONFIG, "data.train names no files to learn from");
        status_hint("set data.train: [SOURCE, TARGET], two texts of one sentence a line, or [TEXT] "
                    "for a language model");
        return STATUS_CONFIG;
    }
    if (config->save.dir[0] == '\0') {
        status_set(STATUS_CONFIG, "save.dir names no directory for the run");
        status_hint("set save.dir, as in save.dir=runs/first");
        return STATUS_CONFIG;
    }
    if (config->model.dtype != CONFIG_DTYPE_F32) {
        status_set(STATUS_CONFIG, "model.dtype is int8, and such a model cannot be trained");
        status_hint("train with model.dtype: f32, and convert the result with 'mixt convert'");
        return STATUS_CONFIG;
    }
    if (config->valid.patience > 0 && config->data.valid.n == 0)
        return status_set(STATUS_CONFIG, "valid.patience is %lld, but data.valid names no files",
                          (long long)config->valid.patience);
    return STATUS_OK;
}

static enum status apply(struct config *config, const struct yaml_settings *settings,
                         const char *directory)
{
    enum status status = STATUS_OK;
    config_init(config);
    for (size_t i = 0; i < settings->n_entries && status == STATUS_OK; i++)
        status = apply_entry(config, &settings->entry[i], directory);
    return status < 0 ? status : check(config, settings);
}

/* The part of a path up to its last slash, with it; "" without one. */
static enum status directory_of(const char *path, char directory[CONFIG_PATH_BYTES])
{
    const char *slash = strrchr(path, '/');
    const size_t length = slash ? (size_t)(slash - path) + 1 : 0;
    if (length >= CONFIG_PATH_BYTES)
        return status_set(STATUS_IO, "cannot open %s: the path is too long", path);
    memcpy(directory, path, length);
    directory[length] = '\0';
    return STATUS_OK;
}

enum status config_read(struct config *config, const char *path, const char *const *assignments,
                        size_t n)
{
    struct yaml_settings settings = {0};
    char directory[CONFIG_PATH_BYTES] = "";
    enum status status = STATUS_OK;
    if (path && (status = directory_of(path, directory)) < 0)
        goto done;
    if (path && (status = yaml_settings_read(&settings, path)) < 0)
        goto done;
    for (size_t i = 0; i < n; i++)
        if ((status = yaml_settings_override(&settings, assignments[i])) < 0)
            goto done;
    status = apply(config, &settings, directory);
done:
    yaml_settings_free(&settings);
    return status;
}

enum status config_read_text(struct config *config, const char *text, size_t size, const char *name)
{
    struct yaml_settings settings = {0};
    enum status status = yaml_settings_read_text(&settings, text, size, name);
    if (status == STATUS_OK)
        status = apply(config, &settings, "");
    yaml_settings_free(&settings);
    return status;
}

/* Appends "section:" lines for the sections of name that last, the key before, was not in, and the
 * spaces before its own word. Returns that word. */
static enum status write_sections(const char *last, const char *name, struct buffer *text,
                                  const char **word)
{
    enum { INDENT = 2 };
    int depth = 0;
    enum status status = STATUS_OK;
    *word = name;
    for (const char *dot = strchr(name, '.'); dot && status == STATUS_OK;
         dot = strchr(dot + 1, '.')) {
        if (strncmp(last, name, (size_t)(dot - name) + 1) != 0)
            status =
                buffer_printf(text, "%*s%.*s:\n", INDENT * depth, "", (int)(dot - *word), *word);
        *word = dot + 1;
        depth++;
    }
    return status < 0 ? status : buffer_printf(text, "%*s", INDENT * depth, "");
}

enum status config_write(const struct config *config, enum config_part part, struct buffer *text)
{
    const char *last = "";
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *key = &config_keys[i];
        if (part == CONFIG_PART_PORTABLE && (key->flags & CONFIG_KEY_MACHINE))
            continue;
        const char *word = NULL;
        enum status status = write_sections(last, key->name, text, &word);
        if (status == STATUS_OK)
            status = buffer_printf(text, "%s: ", word);
        if (status == STATUS_OK)
            status = config_value_write(config, key, true, text);
        if (status == STATUS_OK)
            status = buffer_append_string(text, "\n");
        if (status < 0)
            return status;
        last = key->name;
    }
    return STATUS_OK;
}

/* A line of a key: name and default, then help and what is allowed. */
static enum status describe_key(const struct config *defaults, const struct config_key *key,
                                struct buffer *text)
{
    enum status status = buffer_printf(text, "%s=", key->name);
    if (status == STATUS_OK)
        status = config_value_write(defaults, key, false, text);
    if (status == STATUS_OK)
        status = buffer_printf(text, "\n    %s; ", key->help);
    if (status == STATUS_OK)
        status = config_value_allowed(key, text);
    return status < 0 ? status : buffer_append_string(text, "\n");
}

enum status config_describe(struct buffer *text)
{
    struct config *defaults = malloc(sizeof *defaults);
    if (!defaults)
        return status_set(STATUS_MEMORY, "no memory for the defaults");
    enum status status = STATUS_OK;
    config_init(defaults);
    for (size_t i = 0; i < config_n_keys && status == STATUS_OK; i++)
        status = describe_key(defaults, &config_keys[i], text);
    free(defaults);
    return status;
}

/* Compares one key by what is written of it; *differs when the texts are not equal. */
static enum status compare_key(const struct config *trained, const struct config *wanted,
                               const struct config_key *key, const char *what, bool *differs)
{
    struct buffer old = {0}, new = {0};
    enum status status = config_value_write(trained, key, false, &old);
    if (status == STATUS_OK)
        status = config_value_write(wanted, key, false, &new);
    if (status == STATUS_OK && strcmp(old.data, new.data) != 0) {
        *differs = true;
        status = status_set(STATUS_CONFIG, "%s was trained with %s=%s, this configuration says %s",
                            what, key->name, old.data, new.data);
        status_hint("use another save.dir, or drop %s to continue", key->name);
    }
    buffer_free(&old);
    buffer_free(&new);
    return status;
}

enum status config_model_difference(const struct config *trained, const struct config *wanted,
                                    const char *what)
{
    struct config *copies = malloc(2 * sizeof *copies);
    if (!copies)
        return status_set(STATUS_MEMORY, "no memory to compare configurations");
    copies[0] = *trained;
    copies[1] = *wanted;
    for (int i = 0; i < 2; i++)
        copies[i].model.decoder.attention_dim = config_attention_dim(&copies[i].model);
    bool differs = false;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < config_n_keys && status == STATUS_OK && !differs; i++)
        if (config_keys[i].flags & CONFIG_KEY_MODEL)
            status = compare_key(&copies[0], &copies[1], &config_keys[i], what, &differs);
    free(copies);
    return status;
}
