/* The scores of several systems side by side, with a paired test or without. */
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "text/metric/resample.h"
#include "text/utf8.h"
#include "tools/bleu/color.h"
#include "tools/bleu/notice.h"
#include "tools/bleu/results.h"
#include "tools/bleu/table.h"

/* A system under a metric; what a test adds is there where has_... says so. */
struct result {
    double score;
    bool has_p_value, has_mean;
    double p_value;
    double mean, half_width;
};

/* All results, and how they are to be shown. */
struct board {
    const struct bleu_results *base;
    struct result *items;             /* [n_systems, n_metrics] */
    size_t columns[BLEU_MAX_METRICS]; /* the metric of each column */
    bool is_paired;
    const char *test;  /* "bs", "ar", or NULL */
    int64_t n_samples; /* of the test */
};

static struct result *result_of(const struct board *board, size_t system, size_t m)
{
    return &board->items[system * board->base->metrics->count + m];
}

static struct resample_counts counts_of(const struct board *board, size_t system, size_t m)
{
    const struct bleu_tally *tally = board->base->tally;
    const struct buffer *rows = &tally->items[system * board->base->metrics->count + m].rows;
    return (struct resample_counts){(const int32_t *)(const void *)rows->data, tally->n_scored};
}

static struct resample_options resampling(const struct board *board)
{
    const struct bleu_results *base = board->base;
    return (struct resample_options){.n_samples = board->n_samples,
                                     .has_seed = base->seed != NULL,
                                     .seed = base->seed,
                                     .threads = parallel_threads(base->options->threads)};
}

/* Bootstraps all systems under a metric at once. */
static enum status bootstrap(const struct board *board, size_t m)
{
    const struct bleu_results *base = board->base;
    const size_t n_systems = base->inputs->n_systems;
    const struct resample_options resample = resampling(board);
    struct resample_counts *counts = calloc(n_systems, sizeof *counts);
    struct resample_result *found = calloc(n_systems, sizeof *found);
    enum status code = STATUS_OK;
    if (counts == NULL || found == NULL)
        code = status_set(STATUS_MEMORY, "no memory for %zu systems", n_systems);
    for (size_t i = 0; code == STATUS_OK && i < n_systems; i++)
        counts[i] = counts_of(board, i, m);
    if (code == STATUS_OK)
        code =
            resample_paired_systems(&base->metrics->items[m], counts, n_systems, &resample, found);
    for (size_t i = 0; code == STATUS_OK && i < n_systems; i++) {
        struct result *result = result_of(board, i, m);
        *result = (struct result){.score = result->score,
                                  .has_p_value = i > 0,
                                  .p_value = found[i].p_value,
                                  .has_mean = true,
                                  .mean = found[i].mean,
                                  .half_width = found[i].half_width};
    }
    free(counts);
    free(found);
    return code;
}

static enum status randomize(const struct board *board, size_t system, size_t m)
{
    const struct resample_counts baseline = counts_of(board, 0, m);
    const struct resample_counts counts = counts_of(board, system, m);
    const struct resample_options resample = resampling(board);
    struct resample_result found = {0};
    const enum status code = resample_randomization(&board->base->metrics->items[m], &baseline,
                                                    &counts, &resample, &found);
    struct result *result = result_of(board, system, m);
    result->has_p_value = code == STATUS_OK;
    result->p_value = found.p_value;
    return code;
}

static void announce(const struct board *board, size_t system, size_t m)
{
    const struct bleu_results *base = board->base;
    const bool is_bootstrap = base->options->is_paired_bs;
    char name[METRIC_NAME_BYTES];
    metric_name(&base->metrics->items[m], name);
    notice_info(base->options->is_quiet,
                "Computing %s for '%s' and extracting sufficient statistics", name,
                base->inputs->names[system]);
    notice_info(base->options->is_quiet, " > Performing %s test (# %s: %lld)",
                is_bootstrap ? "paired bootstrap resampling" : "approximate randomization",
                is_bootstrap ? "resamples" : "trials", (long long)board->n_samples);
}

static enum status run_tests(const struct board *board)
{
    const struct bleu_results *base = board->base;
    const size_t n_metrics = base->metrics->count;
    const bool is_bootstrap = base->options->is_paired_bs;
    enum status code = STATUS_OK;
    for (size_t m = 0; m < n_metrics; m++)
        notice_info(base->options->is_quiet, "Pre-computing %s statistics for '%s'",
                    base->metrics->items[m].kind == METRIC_BLEU ? "BLEU" : "CHRF",
                    base->inputs->names[0]);
    for (size_t i = 1; code == STATUS_OK && i < base->inputs->n_systems; i++) {
        for (size_t m = 0; code == STATUS_OK && m < n_metrics; m++) {
            announce(board, i, m);
            if (!is_bootstrap)
                code = randomize(board, i, m);
            else if (i == 1)
                code = bootstrap(board, m);
        }
    }
    return code;
}

/* Appends a string of JSON in ASCII, as Python does: characters above as \u, bytes that are no
 * UTF-8 as the surrogates that Python has for them in file names. */
static enum status append_json_string(struct buffer *out, const char *string)
{
    const size_t size = strlen(string);
    enum status code = buffer_append_string(out, "\"");
    for (size_t i = 0; code == STATUS_OK && i < size;) {
        const size_t start = i;
        bool is_valid = true;
        const uint32_t c = utf8_next_checked(string, size, &i, &is_valid);
        static const char special[] = "\"\\\n\r\t\f\b", letters[] = "\"\\nrtfb";
        const char *found = c < 0x80 && is_valid ? strchr(special, (int)c) : NULL;
        if (!is_valid) {
            i = start + 1;
            code = buffer_printf(out, "\\udc%02x", (unsigned)(unsigned char)string[start]);
        } else if (found != NULL) {
            code = buffer_printf(out, "\\%c", letters[found - special]);
        } else if (c >= 0x10000) {
            code = buffer_printf(out, "\\u%04x\\u%04x", 0xD800u + ((c - 0x10000) >> 10),
                                 0xDC00u + ((c - 0x10000) & 0x3FFu));
        } else if (c < 0x20 || c > 0x7E) {
            code = buffer_printf(out, "\\u%04x", c);
        } else {
            code = buffer_append(out, string + start, 1);
        }
    }
    return code < 0 ? code : buffer_append_string(out, "\"");
}

/* Appends one member of a result, or null. */
static enum status append_json_number(struct buffer *out, const char *name, bool is_given,
                                      double number, const char *end)
{
    enum status code = buffer_printf(out, "            \"%s\": ", name);
    if (code == STATUS_OK)
        code = is_given ? metric_append_number(out, number) : buffer_append_string(out, "null");
    return code < 0 ? code : buffer_append_string(out, end);
}

static enum status append_json_result(const struct board *board, const struct result *result,
                                      struct buffer *out)
{
    if (!board->is_paired)
        return buffer_printf(out, "\"%.*f\"", (int)board->base->options->width, result->score);
    enum status code = buffer_append_string(out, "{\n");
    if (code == STATUS_OK)
        code = append_json_number(out, "score", true, result->score, ",\n");
    if (code == STATUS_OK)
        code = append_json_number(out, "p_value", result->has_p_value, result->p_value, ",\n");
    if (code == STATUS_OK)
        code = append_json_number(out, "mean", result->has_mean, result->mean, ",\n");
    if (code == STATUS_OK)
        code = append_json_number(out, "ci", result->has_mean, result->half_width, "\n");
    return code < 0 ? code : buffer_append_string(out, "        }");
}

static enum status append_json(const struct board *board, struct buffer *out)
{
    const struct bleu_results *base = board->base;
    enum status code = buffer_append_string(out, "[\n");
    for (size_t i = 0; code == STATUS_OK && i < base->inputs->n_systems; i++) {
        code = buffer_append_string(out, "    {\n        \"system\": ");
        if (code == STATUS_OK)
            code = append_json_string(out, base->inputs->names[i]);
        for (size_t k = 0; code == STATUS_OK && k < base->metrics->count; k++) {
            const size_t m = board->columns[k];
            char name[METRIC_NAME_BYTES];
            metric_name(&base->metrics->items[m], name);
            code = buffer_printf(out, ",\n        \"%s\": ", name);
            if (code == STATUS_OK)
                code = append_json_result(board, result_of(board, i, m), out);
        }
        if (code == STATUS_OK)
            code = buffer_printf(out, "\n    }%s\n", i + 1 < base->inputs->n_systems ? "," : "");
    }
    return code < 0 ? code : buffer_append_string(out, "]\n");
}

/* Appends what stands in the table: "45.0 (44.0 ± 10.0)" and below or behind it the p-value, red
 * where it says nothing. */
static enum status append_cell(const struct board *board, const struct result *result,
                               struct buffer *out)
{
    const struct bleu_options *options = board->base->options;
    const int width = (int)options->width;
    enum status code = buffer_printf(out, "%.*f", width, result->score);
    if (code == STATUS_OK && result->has_mean)
        code = buffer_printf(out, " (%.*f ± %.*f)", width, result->mean, width, result->half_width);
    if (code < 0 || !result->has_p_value)
        return code;
    char p_value[32];
    const bool is_significant = !(result->p_value > 0.05);
    snprintf(p_value, sizeof p_value, "(p = %.4f)%s", result->p_value, is_significant ? "*" : "");
    code = buffer_append_string(out, strcmp(options->format, "text") == 0 ? "\n" : " ");
    if (code < 0)
        return code;
    return color_append(out, p_value, COLOR_RED, board->base->has_colors && !is_significant);
}

static enum status append_head(const struct board *board, size_t column, struct buffer *out)
{
    const struct bleu_results *base = board->base;
    char name[METRIC_NAME_BYTES] = "System", title[METRIC_NAME_BYTES + 32];
    if (column > 0)
        metric_name(&base->metrics->items[board->columns[column - 1]], name);
    const bool has_interval = column > 0 && base->options->is_paired_bs;
    snprintf(title, sizeof title, "%s%s", name, has_interval ? " (μ ± 95% CI)" : "");
    return color_append(out, title, COLOR_CYAN, base->has_colors);
}

/* Appends the text of a cell, row 0 being the head; the baseline's row is yellow. */
static enum status append_text(const struct board *board, size_t row, size_t column,
                               struct buffer *out)
{
    const struct bleu_results *base = board->base;
    if (row == 0)
        return append_head(board, column, out);
    struct buffer plain = {0};
    enum status code = STATUS_OK;
    if (column == 0)
        code = buffer_append_string(&plain, base->inputs->names[row - 1]);
    else
        code = append_cell(board, result_of(board, row - 1, board->columns[column - 1]), &plain);
    const bool is_baseline = row == 1 && strncmp(base->inputs->names[0], "Baseline:", 9) == 0;
    if (code == STATUS_OK)
        code = color_append(out, plain.data, COLOR_YELLOW, base->has_colors && is_baseline);
    buffer_free(&plain);
    return code;
}

static enum status append_table(const struct board *board, struct buffer *out)
{
    const struct bleu_results *base = board->base;
    const size_t n_columns = base->metrics->count + 1, n_rows = base->inputs->n_systems + 1;
    struct buffer *texts = calloc(n_rows * n_columns, sizeof *texts);
    const char **cells = calloc(n_rows * n_columns, sizeof *cells);
    enum status code = STATUS_OK;
    if (texts == NULL || cells == NULL)
        code = status_set(STATUS_MEMORY, "no memory for a table of %zu rows", n_rows);
    for (size_t i = 0; code == STATUS_OK && i < n_rows * n_columns; i++) {
        code = append_text(board, i / n_columns, i % n_columns, &texts[i]);
        cells[i] = texts[i].data;
    }
    const bool is_grid = strcmp(base->options->format, "text") == 0;
    const struct table table = {.style = is_grid ? TABLE_GRID : TABLE_LATEX,
                                .cells = cells,
                                .n_rows = n_rows,
                                .n_columns = n_columns,
                                .decimals = (int)base->options->width};
    if (code == STATUS_OK)
        code = table_append(out, &table);
    for (size_t i = 0; texts != NULL && i < n_rows * n_columns; i++)
        buffer_free(&texts[i]);
    free(texts);
    free(cells);
    return code < 0 ? code : buffer_append_string(out, "\n");
}

static enum status append_ruled(struct buffer *out, const char *title)
{
    const size_t length = strlen(title);
    enum status code = STATUS_OK;
    for (int line = 0; code == STATUS_OK && line < 3; line++) {
        for (size_t i = 0; code == STATUS_OK && line != 1 && i < length; i++)
            code = buffer_append(out, "-", 1);
        if (code == STATUS_OK && line == 1)
            code = buffer_append(out, title, length);
        if (code == STATUS_OK)
            code = buffer_append(out, "\n", 1);
    }
    return code;
}

/* What the paired test says, in sacreBLEU's words: they are part of its output. %b, %n, %l and %p
 * stand for words that have colours, %s for the baseline's name. */
static const char explanation[] =
    " - Each system is pairwise compared to %s.\n"
    "%k\n"
    "\n"
    " - %n: the system and the %b translations are essentially\n"
    "   generated by the same underlying process. For a given system and the %b,\n"
    "   the p-value is roughly the probability of the absolute score difference (delta)\n"
    "   or higher occurring due to chance, under the assumption that the %l is correct.\n"
    "\n"
    " - Assuming a significance threshold of 0.05, the %l can be rejected\n"
    "   for p-values < 0.05 (marked with \"*\"). This means that the delta is unlikely to be "
    "attributed\n"
    "   to chance, hence the system is significantly \"different\" than the %b.\n"
    "   Otherwise, the p-values are %p.\n"
    "\n"
    " - NOTE: Significance does not tell whether a system is \"better\" than the %b but rather\n"
    "   emphasizes the \"difference\" of the systems in terms of the replicability of the delta.\n"
    "\n";

static enum status append_word(const struct board *board, char word, struct buffer *out)
{
    const struct bleu_results *base = board->base;
    const bool has_colors = base->has_colors;
    const char *name = base->options->is_stdin_systems ? "" : base->inputs->names[0];
    switch (word) {
    case 's':
        return color_append(out, name, COLOR_YELLOW, has_colors);
    case 'b':
        return color_append(out, "baseline", COLOR_YELLOW, has_colors);
    case 'n':
        return color_append(out, "Null hypothesis", COLOR_GREEN, has_colors);
    case 'l':
        return color_append(out, "null hypothesis", COLOR_GREEN, has_colors);
    case 'p':
        return color_append(out, "highlighted in red", COLOR_RED, has_colors);
    default:
        return buffer_append_string(
            out, base->options->is_paired_bs
                     ? "   Actual system score / bootstrap estimated true mean / 95% CI are "
                       "provided for each metric."
                     : "   Actual system score is provided for each metric.");
    }
}

static enum status append_explanation(const struct board *board, struct buffer *out)
{
    const struct bleu_options *options = board->base->options;
    char title[128];
    snprintf(title, sizeof title, "Paired %s test with %lld %s",
             options->is_paired_bs ? "bootstrap resampling" : "approximate randomization",
             (long long)(options->is_paired_bs ? options->paired_bs_n : options->paired_ar_n),
             options->is_paired_bs ? "resampling trials" : "trials");
    enum status code = append_ruled(out, title);
    for (const char *at = explanation; code == STATUS_OK && *at != '\0';) {
        const size_t plain = strcspn(at, "%");
        code = buffer_append(out, at, plain);
        at += plain;
        if (code < 0 || *at == '\0')
            continue;
        code = append_word(board, at[1], out);
        at += 2;
    }
    return code;
}

static enum status append_signatures(const struct board *board, struct buffer *out)
{
    const struct bleu_results *base = board->base;
    enum status code = append_ruled(out, "Metric signatures");
    for (size_t k = 0; code == STATUS_OK && k < base->metrics->count; k++) {
        const struct metric *metric = &base->metrics->items[board->columns[k]];
        const struct metric_signature parts = {.n_references = base->inputs->n_references,
                                               .test = board->test,
                                               .n_samples = board->n_samples,
                                               .seed = base->seed == NULL ? "none" : base->seed,
                                               .is_short = base->options->is_short};
        struct buffer signature = {0};
        char name[METRIC_NAME_BYTES];
        metric_name(metric, name);
        code = metric_append_signature(&signature, metric, &parts);
        if (code == STATUS_OK)
            code = buffer_printf(out, " - %-10s %s\n", name, signature.data);
        buffer_free(&signature);
    }
    return code;
}

/* Fills the scores and the order of the columns: that of the command line for a test, else by name.
 */
static void fill(struct board *board)
{
    const struct bleu_results *base = board->base;
    const struct bleu_metrics *metrics = base->metrics;
    const bool is_sorted = metrics->items[0].kind == METRIC_BLEU || board->is_paired;
    for (size_t m = 0; m < metrics->count; m++)
        board->columns[m] = is_sorted ? m : metrics->count - 1 - m;
    for (size_t i = 0; i < base->inputs->n_systems * metrics->count; i++)
        board->items[i].score =
            metric_score(&metrics->items[i % metrics->count], base->tally->items[i].sums);
}

static enum status append_all(const struct board *board, struct buffer *out)
{
    if (strcmp(board->base->options->format, "json") == 0)
        return append_json(board, out);
    enum status code = append_table(board, out);
    if (code == STATUS_OK && board->is_paired)
        code = append_explanation(board, out);
    return code < 0 ? code : append_signatures(board, out);
}

enum status bleu_results_append_systems(const struct bleu_results *results, struct buffer *out)
{
    const struct bleu_options *options = results->options;
    const int64_t wanted = options->is_paired_bs ? options->paired_bs_n : options->paired_ar_n;
    const int64_t usual = options->is_paired_bs ? 1000 : 10000;
    const bool is_paired = bleu_options_are_paired(options);
    struct board board = {.base = results,
                          .is_paired = is_paired,
                          .test = !is_paired              ? NULL
                                  : options->is_paired_bs ? "bs"
                                                          : "ar",
                          .n_samples = wanted > 0 ? wanted : usual};
    board.items = calloc(results->tally->n_items, sizeof *board.items);
    if (board.items == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu systems", results->inputs->n_systems);
    notice_info(options->is_quiet, "Found %zu systems.", results->inputs->n_systems);
    fill(&board);
    enum status code = board.is_paired ? run_tests(&board) : STATUS_OK;
    if (code == STATUS_OK)
        code = append_all(&board, out);
    free(board.items);
    return code;
}
