/* mixt translate: lines in, translations out, in order, one for one. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/translator.h"
#include "base/clock.h"
#include "base/file.h"
#include "model/model_file.h"
#include "text/lines.h"
#include "tools/footer.h"
#include "tools/options.h"
#include "tools/verbs.h"

struct translate_options {
    const char *model, *input, *output, *device, *language;
    int64_t beam, n_best, batch_tokens, threads, max_len; /* -1: the model's own */
    double alpha, beta, max_ratio;
};

#define AT(member) offsetof(struct translate_options, member)

static const struct option table[] = {
    {"model", 'm', NULL, "MODEL", OPTION_STRING, AT(model), 0, 0, NULL,
     "run directory (its best model) or .safetensors file"},
    {"input", 'i', NULL, "FILE", OPTION_STRING, AT(input), 0, 0, NULL,
     "text to translate, .gz is fine (default: standard input)"},
    {"output", 'o', NULL, "FILE", OPTION_STRING, AT(output), 0, 0, NULL,
     "where to write; appears when complete (default: standard output)"},
    {"to", 0, NULL, "LANGUAGE", OPTION_STRING, AT(language), 0, 0, NULL,
     "language to translate to, of a model with several (data.languages)"},
    {"beam", 'b', NULL, "N", OPTION_INT, AT(beam), 1, 64, NULL,
     "hypotheses kept a sentence (default: the model's translate.beam)"},
    {"nbest", 'n', NULL, "N", OPTION_INT, AT(n_best), 1, 64, NULL,
     "print the N best as 'line ||| text ||| F0= log-probability ||| score'"},
    {"alpha", 0, NULL, "X", OPTION_DOUBLE, AT(alpha), 0, 10, NULL,
     "GNMT length normalisation (default: the model's translate.alpha)"},
    {"beta", 0, NULL, "X", OPTION_DOUBLE, AT(beta), 0, 10, NULL,
     "GNMT coverage penalty (default: the model's translate.beta)"},
    {"max-ratio", 0, NULL, "X", OPTION_DOUBLE, AT(max_ratio), 0.1, 100, NULL,
     "longest translation, in source lengths (default: the model's translate.max_ratio)"},
    {"max-len", 0, NULL, "N", OPTION_INT, AT(max_len), 1, 100000, NULL,
     "pieces a line may have before it is cut and translated in parts (default: data.max_len)"},
    {"batch-tokens", 0, NULL, "N", OPTION_INT, AT(batch_tokens), 1, 1e9, NULL,
     "source pieces of a batch; no influence on the output (default 2048, of models with "
     "128 experts or more 4096)"},
    {"threads", 't', NULL, "N", OPTION_INT, AT(threads), 0, 1024, NULL,
     "worker threads; no influence on the output (default 0: all cores)"},
    {"device", 0, NULL, "NAME", OPTION_STRING, AT(device), 0, 0, NULL,
     "what computes: cpu, ref, cuda or cuda:N for GPU N, auto: a GPU where there is one (default "
     "auto)"},
};

static const struct options_command command = {
    .verb = "translate",
    .arguments = "",
    .description =
        "Translates text line by line: as many lines come out as go in, in the same order, and an "
        "empty line stays empty. A line's translation does not depend on the others, on the batch "
        "budget or on the threads. Invalid UTF-8 is replaced and counted; the counts and the lines "
        "that were cut or reached the length limit are named on standard error at the end. Lines "
        "are written as soon as the input pauses.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
};

enum { WINDOW_LINES = 8192, WINDOW_BYTES = 4 << 20 };

/* Lines read ahead, sorted by length inside the translator. */
struct window {
    struct buffer text;
    size_t starts[WINDOW_LINES + 1];
    struct subword_text lines[WINDOW_LINES];
    size_t count;
};

/* Reads until the window is full or the input ends or pauses. */
static enum status fill_window(struct window *window, struct lines *lines, bool *is_end)
{
    struct line line;
    buffer_clear(&window->text);
    window->count = 0;
    window->starts[0] = 0;
    while (window->count < WINDOW_LINES && window->text.size < WINDOW_BYTES) {
        if (window->count > 0 && lines_would_block(lines))
            break;
        enum status status = lines_next(lines, &line);
        if (status < 0)
            return status;
        *is_end = line.bytes == NULL;
        if (*is_end)
            break;
        if ((status = buffer_append(&window->text, line.bytes, line.size)) < 0)
            return status;
        window->starts[++window->count] = window->text.size;
    }
    for (size_t i = 0; i < window->count; i++)
        window->lines[i] = (struct subword_text){.bytes = window->text.data + window->starts[i],
                                                 .size = window->starts[i + 1] - window->starts[i]};
    return STATUS_OK;
}

static void write_line(FILE *stream, const struct translation *translation)
{
    if (translation->text.size)
        fwrite(translation->text.data, 1, translation->text.size, stream);
    fputc('\n', stream);
}

static void write_nbest(FILE *stream, const struct translation *translations, int64_t n_best,
                        int64_t line)
{
    for (int64_t i = 0; i < n_best; i++) {
        const struct translation *translation = &translations[i];
        if (i > 0 && isinf(translation->score))
            return;
        const bool is_empty = isinf(translation->score);
        fprintf(stream, "%" PRId64 " ||| %.*s ||| F0= %.6f ||| %.6f\n", line,
                (int)translation->text.size, translation->text.size ? translation->text.data : "",
                is_empty ? 0.0 : translation->log_prob, is_empty ? 0.0 : translation->score);
    }
}

static enum status translate_window(struct translator *translator, const struct window *window,
                                    const struct translate_options *options, FILE *stream)
{
    const struct translation *results;
    const int64_t first = translator_so_far(translator)->lines;
    const enum status status = translator_run(translator, window->lines, window->count, &results);
    for (size_t i = 0; i < window->count && status >= 0; i++) {
        if (options->n_best > 0)
            write_nbest(stream, &results[i * (size_t)options->n_best], options->n_best,
                        first + (int64_t)i);
        else
            write_line(stream, &results[i]);
    }
    if (status >= 0 && (fflush(stream) != 0 || ferror(stream)))
        return status_set(STATUS_IO, "cannot write the translations");
    return status;
}

static enum status translate_all(struct translator *translator, struct lines *lines,
                                 const struct translate_options *options, FILE *stream)
{
    struct window *window = calloc(1, sizeof *window);
    enum status status = window ? STATUS_OK : status_set(STATUS_MEMORY, "no memory to read");
    for (bool is_end = false; status >= 0 && !is_end;) {
        status = fill_window(window, lines, &is_end);
        if (status >= 0 && window->count)
            status = translate_window(translator, window, options, stream);
    }
    if (window)
        buffer_free(&window->text);
    free(window);
    if (status >= 0)
        CHECK(translator_so_far(translator)->lines == lines_so_far(lines)->lines,
              "%" PRId64 " lines out of %" PRId64, translator_so_far(translator)->lines,
              lines_so_far(lines)->lines);
    return status;
}

/* What the user should know, and the closing line. */
static void tell(const struct translator *translator, struct lines *lines, double start,
                 double loaded)
{
    const struct translator_totals *totals = translator_so_far(translator);
    struct buffer text = {0};
    if (lines_describe(lines_so_far(lines), lines_name(lines), &text) >= 0 && text.size)
        fprintf(stderr, "mixt: warning: %s\n", text.data);
    buffer_clear(&text);
    if (totals->cut_lines)
        fprintf(stderr,
                "mixt: warning: %" PRId64 " lines were longer than --max-len and translated in "
                "parts (first: %" PRId64 ")\n",
                totals->cut_lines, totals->first_cut);
    if (totals->limit_lines)
        fprintf(stderr,
                "mixt: warning: %" PRId64 " translations reached the length limit (first: %" PRId64
                "); see --max-ratio\n",
                totals->limit_lines, totals->first_limit);
    const double seconds = clock_seconds() - loaded;
    if (buffer_printf(&text, "%" PRId64 " lines, %" PRId64 " + %" PRId64 " tokens, %.1f lines/s",
                      totals->lines, totals->source_pieces, totals->target_pieces,
                      (double)totals->lines / (seconds > 0 ? seconds : 1)) >= 0)
        footer_print(start, text.data);
    buffer_free(&text);
}

static struct translator_options merge_options(const struct translate_options *options,
                                               const struct config *config)
{
    struct translator_options merged = translator_defaults(config);
    merged.language = options->language;
    merged.beam = options->beam > 0 ? options->beam : merged.beam;
    merged.n_best = options->n_best > 0 ? options->n_best : 1;
    merged.beam = merged.n_best > merged.beam ? merged.n_best : merged.beam;
    merged.alpha = options->alpha >= 0 ? options->alpha : merged.alpha;
    merged.beta = options->beta >= 0 ? options->beta : merged.beta;
    merged.max_ratio = options->max_ratio >= 0 ? options->max_ratio : merged.max_ratio;
    merged.max_len = options->max_len > 0 ? options->max_len : merged.max_len;
    merged.batch_tokens = options->batch_tokens > 0 ? options->batch_tokens : merged.batch_tokens;
    merged.threads = options->threads;
    return merged;
}

static enum status run(const struct translate_options *options)
{
    const double start = clock_seconds();
    struct backend backend = {0};
    struct model *model = calloc(1, sizeof *model);
    struct lines *lines = NULL;
    struct translator *translator = NULL;
    struct file_writer writer = {0};
    enum status status = model ? STATUS_OK : status_set(STATUS_MEMORY, "no memory to translate");
    if (status >= 0)
        status = backend_open(&backend, options->device, (int)options->threads);
    if (status >= 0)
        footer_tell_device(&backend);
    if (status >= 0)
        status = model_load(model, &backend, options->model);
    if (status >= 0)
        status = lines_open(&lines, options->input);
    if (status >= 0 && options->output)
        status = file_create(&writer, options->output);
    if (status < 0)
        goto done;
    const struct translator_options merged = merge_options(options, &model->config);
    status = translator_open(&translator, model, &merged);
    const double loaded = clock_seconds();
    if (status >= 0)
        status =
            translate_all(translator, lines, options, options->output ? writer.stream : stdout);
    if (status >= 0 && options->output)
        status = file_commit(&writer);
    if (status >= 0)
        tell(translator, lines, start, loaded);
done:
    file_discard(&writer);
    translator_close(translator);
    lines_close(lines);
    if (model)
        model_free(model);
    free(model);
    backend_close(&backend);
    return status;
}

int translate_main(int argc, char **argv)
{
    struct translate_options options = {
        .device = "auto", .beam = -1, .alpha = -1, .beta = -1, .max_ratio = -1};
    struct option_list arguments = {0};
    int code = options_start(&command, argc, argv, &options, &arguments);
    if (code >= 0)
        return code;
    enum status status = STATUS_OK;
    if (!options.model) {
        status = status_set(STATUS_USAGE, "translate: no model given");
        status_hint("mixt translate -m MODEL < in > out");
    }
    if (status >= 0)
        status = run(&options);
    options_free(&command, &options, &arguments);
    return status_finish(status);
}
