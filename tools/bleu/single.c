/* The scores of one system. */
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "text/metric/resample.h"
#include "text/utf8.h"
#include "tools/bleu/color.h"
#include "tools/bleu/results.h"

/* The metrics by name, as sacreBLEU prints them for one system: BLEU before chrF. */
static size_t sorted(const struct bleu_metrics *metrics, size_t i)
{
    return metrics->count == 2 && metrics->items[0].kind == METRIC_CHRF ? 1 - i : i;
}

static enum status estimate(const struct bleu_results *results, size_t m,
                            struct metric_interval *interval)
{
    const struct bleu_options *options = results->options;
    if (!options->has_confidence || options->confidence_n <= 1)
        return STATUS_OK;
    const struct metric *metric = &results->metrics->items[m];
    const struct buffer *rows = &results->tally->items[m].rows;
    const struct resample_counts counts = {(const int32_t *)(const void *)rows->data,
                                           results->tally->n_scored};
    const struct resample_options resample = {.n_samples = options->confidence_n,
                                              .has_seed = results->seed != NULL,
                                              .seed = results->seed,
                                              .threads = parallel_threads(options->threads)};
    *interval = (struct metric_interval){
        .is_given = true, .n_samples = options->confidence_n, .seed = results->seed_name};
    return resample_interval(metric, &counts, &resample, &interval->mean, &interval->half_width);
}

/* Appends a result to text; a NUL separates it from the next. */
static enum status append_result(const struct bleu_results *results, size_t m, struct buffer *text)
{
    const struct bleu_options *options = results->options;
    const bool is_json = strcmp(options->format, "json") == 0;
    struct metric_interval interval = {0};
    struct buffer signature = {0};
    enum status code = estimate(results, m, &interval);
    const struct metric_signature parts = {.n_references = results->inputs->n_references,
                                           .test = interval.is_given ? "bs" : NULL,
                                           .n_samples = interval.n_samples,
                                           .seed = interval.seed,
                                           .is_short = options->is_short && !is_json};
    if (code == STATUS_OK)
        code = metric_append_signature(&signature, &results->metrics->items[m], &parts);
    const struct metric_style style = {.decimals = (int)options->width,
                                       .is_score_only = options->is_score_only,
                                       .is_json = is_json,
                                       .signature = signature.data};
    if (code == STATUS_OK)
        code = metric_append_result(text, &results->metrics->items[m],
                                    results->tally->items[m].sums, &interval, &style);
    buffer_free(&signature);
    return code < 0 ? code : buffer_append(text, "", 1);
}

/* Colours "(μ = 70.3 ± 4.3)". */
static enum status append_colored(struct buffer *line, const char *text, bool is_colored)
{
    const char *open = strstr(text, "(μ = ");
    const char *close = open == NULL ? NULL : strchr(open, ')');
    if (!is_colored || close == NULL)
        return buffer_append_string(line, text);
    enum status code = buffer_append(line, text, (size_t)(open - text));
    char *interval = strndup(open, (size_t)(close - open) + 1);
    if (code == STATUS_OK && interval == NULL)
        code = status_set(STATUS_MEMORY, "no memory for a line");
    if (code == STATUS_OK)
        code = color_append(line, interval, COLOR_CYAN, true);
    free(interval);
    return code < 0 ? code : buffer_append_string(line, close + 1);
}

/* Appends lines [n] so that their first "=" stand below each other. One without goes first, and
 * then the widths belong to the wrong lines: that too is as in sacreBLEU. */
static enum status append_aligned(struct buffer *out, const struct buffer *lines, size_t n)
{
    size_t lefts[BLEU_MAX_METRICS], n_lefts = 0, widest = 0;
    enum status code = STATUS_OK;
    for (size_t i = 0; code == STATUS_OK && i < n; i++) {
        const char *equals = strchr(lines[i].data, '=');
        if (equals == NULL) {
            code = buffer_printf(out, "%s\n", lines[i].data);
            continue;
        }
        lefts[n_lefts] = utf8_length(lines[i].data, (size_t)(equals - lines[i].data)) - 1;
        widest = lefts[n_lefts] > widest ? lefts[n_lefts] : widest;
        n_lefts++;
    }
    for (size_t i = 0; code == STATUS_OK && i < n_lefts; i++) {
        const size_t length = utf8_length(lines[i].data, lines[i].size);
        const size_t left = lefts[i] < length ? lefts[i] : length;
        code = buffer_printf(out, "%*s%s\n", (int)(widest - left), "", lines[i].data);
    }
    return code;
}

enum status bleu_results_append_single(const struct bleu_results *results, struct buffer *out)
{
    const bool is_json = strcmp(results->options->format, "json") == 0;
    const size_t n = results->metrics->count;
    struct buffer text = {0}, lines[BLEU_MAX_METRICS] = {{0}};
    enum status code = STATUS_OK;
    for (size_t i = 0; code == STATUS_OK && i < n; i++)
        code = append_result(results, sorted(results->metrics, i), &text);
    const char *at = text.data;
    /* colours if the first has an interval, again as in sacreBLEU */
    const bool is_colored =
        results->has_colors && !is_json && at != NULL && strstr(at, "μ") != NULL;
    for (size_t i = 0; code == STATUS_OK && i < n; i++, at += strlen(at) + 1)
        code = append_colored(&lines[i], at, is_colored);
    if (code == STATUS_OK && n == 1)
        code = buffer_printf(out, "%s\n", lines[0].data);
    else if (code == STATUS_OK && is_json)
        code = buffer_printf(out, "[\n%s,\n%s\n]\n", lines[0].data, lines[1].data);
    else if (code == STATUS_OK)
        code = append_aligned(out, lines, n);
    for (size_t i = 0; i < n; i++)
        buffer_free(&lines[i]);
    buffer_free(&text);
    return code;
}
