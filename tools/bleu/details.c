/* One system's scores by original language and domain of the test set's lines. */
#include <stdlib.h>
#include <string.h>

#include "tools/bleu/color.h"
#include "tools/bleu/filter.h"
#include "tools/bleu/results.h"

/* A language and a domain that have lines. */
struct part {
    char *key; /* owned */
    int64_t n_lines;
    double scores[BLEU_MAX_METRICS];
};

struct parts {
    struct part *items;
    size_t count;
    bool *is_kept; /* [n_lines] */
};

static int compare(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The different values, sorted. */
static enum status list_values(const struct testset_names *values, struct testset_names *different)
{
    enum status code = STATUS_OK;
    for (size_t i = 0; code == STATUS_OK && i < values->count; i++) {
        bool is_known = false;
        for (size_t k = 0; k < different->count && !is_known; k++)
            is_known = strcmp(different->items[k], values->items[i]) == 0;
        if (!is_known)
            code = testset_names_add(different, values->items[i], strlen(values->items[i]));
    }
    if (different->count > 1)
        qsort(different->items, different->count, sizeof *different->items, compare);
    return code;
}

static void score_part(const struct bleu_results *results, const bool *is_kept, struct part *part)
{
    for (size_t m = 0; m < results->metrics->count; m++) {
        const struct metric *metric = &results->metrics->items[m];
        const int32_t *rows = (const int32_t *)(const void *)results->tally->items[m].all_rows.data;
        const size_t width = metric_width(metric);
        int64_t sums[METRIC_MAX_COUNTS] = {0};
        for (int64_t i = 0; i < results->tally->n_lines; i++) {
            for (size_t k = 0; is_kept[i] && k < width; k++)
                sums[k] += rows[(size_t)i * width + k];
        }
        part->scores[m] = metric_score(metric, sums);
    }
}

static enum status append_key(const struct bleu_filter *filter, struct buffer *key)
{
    static const char country[] = "country:";
    const size_t length = sizeof country - 1;
    if (filter->subset == NULL)
        return buffer_printf(key, "origlang=%s domain=ALL", filter->origlang);
    if (strncmp(filter->subset, country, length) == 0)
        return buffer_printf(key, "origlang=%s country=%s", filter->origlang,
                             filter->subset + length);
    return buffer_printf(key, "origlang=%s domain=%s", filter->origlang, filter->subset);
}

/* Adds a part unless it has no lines. */
static enum status add_part(const struct bleu_results *results, const struct bleu_filter *filter,
                            struct parts *parts)
{
    const struct bleu_inputs *inputs = results->inputs;
    struct part part = {0};
    enum status code = bleu_filter_apply(filter, &inputs->origlangs, &inputs->domains,
                                         (size_t)results->tally->n_lines, parts->is_kept);
    for (int64_t i = 0; i < results->tally->n_lines; i++)
        part.n_lines += parts->is_kept[i] ? 1 : 0;
    if (code < 0 || part.n_lines == 0)
        return code;
    struct part *items = realloc(parts->items, (parts->count + 1) * sizeof *items);
    struct buffer key = {0};
    parts->items = items == NULL ? parts->items : items;
    code = items == NULL ? status_set(STATUS_MEMORY, "no memory for the details")
                         : append_key(filter, &key);
    if (code < 0) {
        buffer_free(&key);
        return code;
    }
    part.key = key.data;
    score_part(results, parts->is_kept, &part);
    items[parts->count++] = part;
    return STATUS_OK;
}

static enum status find_parts(const struct bleu_results *results, struct parts *parts)
{
    const struct bleu_options *options = results->options;
    struct testset_names languages = {0}, domains = {0};
    enum status code = STATUS_OK;
    if (options->origlang != NULL)
        code = testset_names_add(&languages, options->origlang, strlen(options->origlang));
    else
        code = list_values(&results->inputs->origlangs, &languages);
    if (code == STATUS_OK && options->subset != NULL)
        code = testset_names_add(&domains, options->subset, strlen(options->subset));
    else if (code == STATUS_OK)
        code = list_values(&results->inputs->domains, &domains);
    for (size_t i = 0; code == STATUS_OK && i < languages.count; i++) {
        struct bleu_filter filter = {languages.items[i], NULL};
        code = add_part(results, &filter, parts);
        for (size_t k = 0; code == STATUS_OK && k < domains.count; k++) {
            filter.subset = domains.items[k];
            code = add_part(results, &filter, parts);
        }
    }
    testset_names_free(&languages);
    testset_names_free(&domains);
    return code;
}

static enum status append_parts(struct buffer *out, const struct bleu_results *results,
                                const struct parts *parts)
{
    const struct bleu_metrics *metrics = results->metrics;
    char names[BLEU_MAX_METRICS][METRIC_NAME_BYTES];
    int widest_name = 0, widest_key = 0;
    for (size_t m = 0; m < metrics->count; m++) {
        metric_name(&metrics->items[m], names[m]);
        const int length = (int)strlen(names[m]);
        widest_name = length > widest_name ? length : widest_name;
    }
    for (size_t i = 0; i < parts->count; i++) {
        const int length = (int)strlen(parts->items[i].key);
        widest_key = length > widest_key ? length : widest_key;
    }
    for (size_t i = 0; i < parts->count; i++) {
        const struct part *part = &parts->items[i];
        struct buffer plain = {0}, key = {0};
        enum status code = buffer_printf(&plain, "%-*s", widest_key + 1, part->key);
        if (code == STATUS_OK)
            code = color_append(&key, plain.data, COLOR_YELLOW, results->has_colors);
        for (size_t m = 0; code == STATUS_OK && m < metrics->count; m++)
            code = buffer_printf(out, "%s: sentences=%-6lld %-*s = %.*f\n", key.data,
                                 (long long)part->n_lines, widest_name, names[m],
                                 (int)results->options->width, part->scores[m]);
        buffer_free(&plain);
        buffer_free(&key);
        if (code < 0)
            return code;
    }
    return STATUS_OK;
}

enum status bleu_results_append_details(const struct bleu_results *results, struct buffer *out)
{
    if (results->inputs->origlangs.count == 0)
        return buffer_append_string(
            out, "No subset information found. Consider using --origlang argument.\n");
    struct parts parts = {0};
    parts.is_kept = calloc((size_t)results->tally->n_lines, sizeof *parts.is_kept);
    enum status code = parts.is_kept == NULL
                           ? status_set(STATUS_MEMORY, "no memory for the details")
                           : find_parts(results, &parts);
    if (code == STATUS_OK)
        code = append_parts(out, results, &parts);
    for (size_t i = 0; i < parts.count; i++)
        free(parts.items[i].key);
    free(parts.items);
    free(parts.is_kept);
    return code;
}
