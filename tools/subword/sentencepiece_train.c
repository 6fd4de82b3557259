/* mixt subword train for SentencePiece models, with the options of spm_train. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "text/lines.h"
#include "tools/footer.h"
#include "tools/subword/model.h"
#include "tools/subword/sentencepiece_settings.h"
#include "tools/subword/types.h"

enum { DEFAULT_SAMPLE = 2000000, SYMBOL_LIMIT = 1 << 24, FEW_LINES = 100000 };

/* Strings that outlive the call for training. */
struct texts {
    struct setting_text settings[SETTINGS_MOST];
    struct buffer control, user_defined, required; /* lists with those of the files in them */
};

/* Appends a line to a list of comma-separated values. */
static enum status append_quoted(struct buffer *list, const struct line *line)
{
    enum status status = buffer_append_string(list, list->size > 0 ? ",\"" : "\"");
    for (size_t i = 0; i < line->size && status == STATUS_OK; i++) {
        if (line->bytes[i] == '"')
            status = buffer_append(list, "\"", 1);
        if (status == STATUS_OK)
            status = buffer_append(list, &line->bytes[i], 1);
    }
    return status < 0 ? status : buffer_append(list, "\"", 1);
}

/* Puts the lines of a file behind the value: into its list, or one after another. */
static enum status add_file(const char *path, bool is_list, struct buffer *text, const char **value)
{
    if (path == NULL)
        return STATUS_OK;
    struct lines *lines = NULL;
    enum status status = buffer_append_string(text, *value);
    if (status == STATUS_OK)
        status = lines_open(&lines, path);
    for (struct line line = {.bytes = ""}; status == STATUS_OK;) {
        if ((status = lines_next(lines, &line)) < 0 || line.bytes == NULL)
            break;
        status = is_list ? append_quoted(text, &line) : buffer_append(text, line.bytes, line.size);
        if (status == STATUS_OK && text->size > SYMBOL_LIMIT)
            status = status_set(STATUS_DATA, "%s: more than 16 MiB of symbols", path);
    }
    lines_close(lines);
    *value = text->data;
    return status;
}

static enum status add_files(struct train_values *values, struct texts *texts)
{
    struct settings *settings = &values->settings;
    enum status status =
        add_file(values->control_file, true, &texts->control, &settings->control_symbols);
    if (status == STATUS_OK)
        status = add_file(values->user_defined_file, true, &texts->user_defined,
                          &settings->user_defined_symbols);
    if (status == STATUS_OK)
        status =
            add_file(values->required_file, false, &texts->required, &settings->required_chars);
    return status;
}

static void free_texts(struct texts *texts)
{
    buffer_free(&texts->control);
    buffer_free(&texts->user_defined);
    buffer_free(&texts->required);
}

/* Splits a copy of the inputs at commas. paths and text are to be freed. */
static enum status split_inputs(const struct option_list *inputs, struct option_list *paths,
                                struct buffer *text)
{
    enum status status = STATUS_OK;
    size_t n_paths = 0;
    for (size_t i = 0; i < inputs->count && status == STATUS_OK; i++) {
        status = buffer_append(text, inputs->items[i], strlen(inputs->items[i]) + 1);
        for (const char *cursor = inputs->items[i]; cursor; cursor = strchr(cursor + 1, ','))
            n_paths++;
    }
    if (status < 0)
        return status;
    paths->items = calloc(n_paths + 1, sizeof *paths->items);
    if (!paths->items)
        return status_set(STATUS_MEMORY, "no memory for the command line");
    for (char *cursor = text->data; cursor && cursor < text->data + text->size;) {
        const size_t length = strcspn(cursor, ",");
        cursor[length] = '\0';
        if (length == 0)
            return status_set(STATUS_USAGE, "option --input has an empty file name");
        paths->items[paths->count++] = cursor;
        cursor += length + 1;
    }
    if (paths->count == 0)
        paths->items[paths->count++] = "-";
    return STATUS_OK;
}

static void print_summary(double start_s, int32_t n_pieces,
                          const struct subword_train_report *report)
{
    char summary[256];
    if (report->sampled < report->lines - report->empty - report->too_long)
        fprintf(stderr, "mixt: trained on %" PRId64 " lines drawn from %" PRId64 "\n",
                report->sampled, report->lines);
    snprintf(summary, sizeof summary,
             "%" PRId32 " pieces from %" PRId64 " of %" PRId64 " lines (%" PRId64 " blank, %" PRId64
             " too long)",
             n_pieces, report->sampled, report->lines, report->empty, report->too_long);
    footer_print(start_s, summary);
}

/* Writes the files: the vocabulary first, so that a model never stands without it. */
static enum status write_files(const struct train_values *values, const struct buffer *model,
                               const struct subword *subword)
{
    const enum vocabulary_form form =
        values->settings.vocabulary_output_piece_score ? VOCABULARY_SCORES : VOCABULARY_PIECES;
    if (values->model != NULL)
        return model_write(values->model, model);
    struct buffer path = {0};
    enum status status = buffer_printf(&path, "%s.vocab", values->model_prefix);
    if (status == STATUS_OK)
        status = model_write_vocabulary(path.data, subword, form);
    buffer_clear(&path);
    if (status == STATUS_OK)
        status = buffer_printf(&path, "%s.model", values->model_prefix);
    if (status == STATUS_OK)
        status = model_write(path.data, model);
    buffer_free(&path);
    return status;
}

/* Says so where the training will take a while. */
static void tell_read(void *context, const struct subword_train_report *report)
{
    const struct train_values *values = context;
    if (report->lines > FEW_LINES)
        fprintf(stderr,
                "mixt: read %" PRId64 " lines; training a %s model of %" PRId64
                " pieces (--minloglevel 0 shows how it goes on)\n",
                report->lines, values->settings.model_type, values->settings.vocab_size);
}

/* Fails now rather than after the training where the model could not be written. */
static enum status check_place(const struct train_values *values)
{
    struct file_writer writer;
    const char *name = values->model != NULL ? values->model : values->model_prefix;
    const enum status status = file_create(&writer, name);
    if (status == STATUS_OK)
        file_discard(&writer);
    return status;
}

static enum status train(const struct train_values *values, const struct subword_spm_options *spm)
{
    const double start_s = clock_seconds();
    struct buffer model = {0};
    struct subword *subword = NULL;
    struct subword_train_report report;
    enum status status = check_place(values);
    if (status == STATUS_OK)
        status = subword_train_spm(spm, &model, &report);
    if (status == STATUS_OK)
        status = subword_open_bytes(&subword, model.data, model.size, "the new subword model");
    if (status == STATUS_OK)
        status = write_files(values, &model, subword);
    if (status == STATUS_OK)
        print_summary(start_s, subword_size(subword), &report);
    buffer_free(&model);
    subword_free(subword);
    return status;
}

static enum status check_values(struct train_values *values)
{
    struct settings *settings = &values->settings;
    if (strcmp(settings->model_type, "sentencepiece") == 0)
        settings->model_type = settings_defaults.model_type;
    if ((values->model != NULL) == (values->model_prefix != NULL)) {
        status_set(STATUS_USAGE, values->model != NULL
                                     ? "options --model and --model-prefix exclude each other"
                                     : "option --model is needed");
        status_hint("--model names the file to write, --model-prefix two files as spm_train does");
        return STATUS_USAGE;
    }
    if (settings->input_sentence_size > 0 && settings->input_sentence_size <= 100)
        return status_set(STATUS_USAGE,
                          "option --input-sentence-size wants more than 100 lines, "
                          "not %" PRId64,
                          settings->input_sentence_size);
    return STATUS_OK;
}

/* Hands the options over to the library and its wrapper. */
static enum status prepare_and_train(struct train_values *values, const struct option_list *paths)
{
    static struct texts texts;
    struct subword_setting settings[SETTINGS_MOST];
    const bool has_limit = values->settings.input_sentence_size >= 0;
    if (!has_limit)
        values->settings.input_sentence_size = 0;
    enum status status = add_files(values, &texts);
    const struct subword_spm_options spm = {
        .paths = paths->items,
        .n_paths = paths->count,
        .settings = settings,
        .n_settings = settings_make(values, texts.settings, settings),
        .sample_lines = has_limit ? 0 : DEFAULT_SAMPLE,
        .model_prefix = values->model_prefix,
        .on_read = tell_read,
        .context = values,
    };
    if (status == STATUS_OK)
        status = train(values, &spm);
    free_texts(&texts);
    return status;
}

int sentencepiece_train_main(int argc, char **argv)
{
    struct train_values values = {.settings = settings_defaults};
    struct option_list arguments = {0}, paths = {0};
    struct buffer text = {0};
    const int exit_code = options_start(&settings_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    enum status status = check_values(&values);
    if (status == STATUS_OK)
        status = split_inputs(&values.inputs, &paths, &text);
    if (status == STATUS_OK)
        status = prepare_and_train(&values, &paths);
    options_free(&settings_command, &values, &arguments);
    free(paths.items);
    buffer_free(&text);
    return status_finish(status);
}
