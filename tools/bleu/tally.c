#include "tools/bleu/tally.h"

#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "text/metric/tokenizer.h"
#include "text/pipeline.h"
#include "text/utf8.h"
#include "tools/bleu/notice.h"

enum { CJK_SAMPLE_LINES = 1000 }; /* of the references, to guess the script */

/* What a thread works with, and what it has seen. */
struct worker {
    struct metric_counter *counters[BLEU_MAX_METRICS];
    struct bleu_text *references; /* [n_references] */
    int64_t *sums;                /* [n_items, METRIC_MAX_COUNTS] */
    int64_t *n_tokenized;         /* [n_systems] */
    int64_t n_scored;
    int64_t n_cjk, n_other; /* characters of the references' start */
    int64_t first_return, first_tab;
    bool has_wrong_fields;
};

struct counting {
    struct bleu_tally *tally;
    const struct bleu_inputs *inputs;
    const struct bleu_metrics *metrics;
    const struct bleu_options *options;
    enum bleu_rows rows;
    struct buffer signature; /* for --sentence-level */
    struct worker *workers;  /* [n_workers] */
    int n_workers;
    int64_t n_delivered; /* lines whose counts were delivered, if those of all are kept */
    const struct lines *first;
    struct notice_count progress;
};

/* Does a line, 1, 2, ..., pass --origlang and --subset? */
static bool is_scored(const struct bleu_inputs *inputs, int64_t number)
{
    const size_t at = (size_t)number - 1;
    return inputs->is_kept == NULL || (at < inputs->n_kept && inputs->is_kept[at]);
}

static enum status check_text(const struct lines *lines, const struct line *line)
{
    if (utf8_valid_prefix(line->bytes, line->size) == line->size)
        return STATUS_OK;
    return status_set(STATUS_DATA, "invalid UTF-8 in %s", lines_name(lines));
}

static struct bleu_text strip(const struct line *line)
{
    return (struct bleu_text){line->bytes, tokenizer_strip_end(line->bytes, line->size)};
}

/* Cuts a line at tabs into the wanted number of references; the last keeps further tabs. */
static enum status split_references(const struct counting *counting, struct worker *worker,
                                    struct bleu_text rest)
{
    const size_t n = counting->inputs->n_references;
    for (size_t i = 0; i + 1 < n; i++) {
        const char *tab = rest.size == 0 ? NULL : memchr(rest.bytes, '\t', rest.size);
        if (tab == NULL) {
            worker->has_wrong_fields = true;
            return status_set(STATUS_DATA, "%zu references wanted in %s, %zu found", n,
                              lines_name(counting->inputs->files[0]), i + 1);
        }
        const size_t size = (size_t)(tab - rest.bytes);
        worker->references[i] = (struct bleu_text){rest.bytes, size};
        rest = (struct bleu_text){tab + 1, rest.size - size - 1};
    }
    worker->references[n - 1] = rest;
    return STATUS_OK;
}

static bool is_cjk(uint32_t c)
{
    return (c >= 0x3040 && c <= 0x30FF) || (c >= 0x3400 && c <= 0x9FFF) ||
           (c >= 0xAC00 && c <= 0xD7AF) || (c >= 0xF900 && c <= 0xFAFF) ||
           (c >= 0x20000 && c <= 0x3FFFF);
}

static void inspect_script(struct worker *worker, struct bleu_text text)
{
    for (size_t i = 0; i < text.size;) {
        const uint32_t c = utf8_next(text.bytes, text.size, &i);
        if (is_cjk(c))
            worker->n_cjk++;
        else if (c > ' ')
            worker->n_other++;
    }
}

static void note_first(int64_t *first, int64_t number, struct bleu_text text, char what)
{
    if ((*first == 0 || number < *first) && memchr(text.bytes, what, text.size) != NULL)
        *first = number;
}

static void inspect(const struct counting *counting, struct worker *worker, size_t system,
                    struct bleu_text text, int64_t number)
{
    if (text.size >= 2 && memcmp(text.bytes + text.size - 2, " .", 2) == 0)
        worker->n_tokenized[system]++;
    if (!counting->inputs->is_stdin || text.size == 0)
        return;
    note_first(&worker->first_return, number, text, '\r');
    note_first(&worker->first_tab, number, text, '\t');
}

static enum status append_line_score(const struct counting *counting, const int32_t *counts,
                                     struct buffer *output)
{
    const struct metric *metric = &counting->metrics->items[0];
    const struct metric_style style = {.decimals = (int)counting->options->width,
                                       .is_score_only = counting->options->is_score_only,
                                       .signature = counting->signature.data};
    int64_t sums[METRIC_MAX_COUNTS];
    const size_t width = metric_width(metric);
    for (size_t k = 0; k < width; k++)
        sums[k] = counts[k];
    const enum status code = metric_append_result(output, metric, sums, NULL, &style);
    return code < 0 ? code : buffer_append(output, "\n", 1);
}

/* Counts one system; is_summed: into the sums, too. */
static enum status count_system(const struct counting *counting, struct worker *worker,
                                size_t system, struct bleu_text text, bool is_summed,
                                struct buffer *output)
{
    const struct bleu_metrics *metrics = counting->metrics;
    for (size_t m = 0; m < metrics->count; m++) {
        int32_t counts[METRIC_MAX_COUNTS];
        const size_t width = metric_width(&metrics->items[m]);
        enum status code = system == 0 ? metric_count(worker->counters[m], text, worker->references,
                                                      counting->inputs->n_references, counts)
                                       : metric_count_again(worker->counters[m], text, counts);
        int64_t *sums = worker->sums + (system * metrics->count + m) * METRIC_MAX_COUNTS;
        for (size_t k = 0; code == STATUS_OK && is_summed && k < width; k++)
            sums[k] += counts[k];
        if (code == STATUS_OK && counting->rows != BLEU_ROWS_NONE)
            code = buffer_append(output, counts, width * sizeof *counts);
        if (code == STATUS_OK && counting->options->is_sentence_level)
            code = append_line_score(counting, counts, output);
        if (code < 0)
            return code;
    }
    return STATUS_OK;
}

/* Fills the references of a row. */
static enum status read_references(const struct counting *counting, struct worker *worker,
                                   const struct line *row)
{
    const struct bleu_inputs *inputs = counting->inputs;
    const bool is_sampled = row->number <= CJK_SAMPLE_LINES;
    enum status code = STATUS_OK;
    for (size_t i = 0; code == STATUS_OK && i < inputs->n_files; i++) {
        const struct line *line = &row[inputs->n_systems + i];
        code = check_text(inputs->files[i], line);
        worker->references[i] = strip(line);
        if (code == STATUS_OK && is_sampled)
            inspect_script(worker, worker->references[i]);
    }
    if (code == STATUS_OK && counting->options->num_refs > 1)
        code = split_references(counting, worker, worker->references[0]);
    return code;
}

static enum status count_row(void *context, int thread, const struct line *row,
                             struct buffer *output)
{
    const struct counting *counting = context;
    const struct bleu_inputs *inputs = counting->inputs;
    struct worker *worker = &counting->workers[thread];
    const bool is_summed = is_scored(inputs, row->number);
    enum status code = read_references(counting, worker, row);
    worker->n_scored += is_summed ? 1 : 0;
    for (size_t i = 0; code == STATUS_OK && i < inputs->n_systems; i++) {
        code = check_text(inputs->systems[i], &row[i]);
        if (code < 0 || (!is_summed && counting->rows != BLEU_ROWS_ALL))
            continue;
        /* as in sacreBLEU, which strips the first line of several systems as a whole */
        const bool is_bare = counting->options->is_stdin_systems && row->number == 1;
        const struct bleu_text text =
            is_bare ? (struct bleu_text){row[i].bytes, row[i].size} : strip(&row[i]);
        if (is_summed)
            inspect(counting, worker, i, text, row->number);
        code = count_system(counting, worker, i, text, is_summed, output);
    }
    return code;
}

/* Sorts the counts of some rows by system and metric. */
static enum status keep_rows(void *context, const struct buffer *output, bool is_pause)
{
    struct counting *counting = context;
    const struct bleu_metrics *metrics = counting->metrics;
    (void)is_pause;
    notice_count_show(&counting->progress, lines_so_far(counting->first)->lines);
    for (size_t at = 0; at < output->size;) {
        const bool has_all = counting->rows == BLEU_ROWS_ALL;
        const bool is_summed = !has_all || is_scored(counting->inputs, ++counting->n_delivered);
        for (size_t i = 0; i < counting->tally->n_items; i++) {
            struct bleu_sums *item = &counting->tally->items[i];
            const size_t size = metric_width(&metrics->items[i % metrics->count]) * sizeof(int32_t);
            enum status code = STATUS_OK;
            if (is_summed)
                code = buffer_append(&item->rows, output->data + at, size);
            if (code == STATUS_OK && has_all)
                code = buffer_append(&item->all_rows, output->data + at, size);
            if (code < 0)
                return code;
            at += size;
        }
    }
    return STATUS_OK;
}

static enum status print_scores(void *context, const struct buffer *output, bool is_pause)
{
    (void)context;
    return pipeline_write(stdout, output, is_pause);
}

static enum status open_worker(const struct counting *counting, struct worker *worker)
{
    const struct bleu_inputs *inputs = counting->inputs;
    const size_t n_texts = inputs->n_references + inputs->n_files;
    worker->references = calloc(n_texts, sizeof *worker->references);
    worker->sums = calloc(counting->tally->n_items * METRIC_MAX_COUNTS, sizeof *worker->sums);
    worker->n_tokenized = calloc(inputs->n_systems, sizeof *worker->n_tokenized);
    if (worker->references == NULL || worker->sums == NULL || worker->n_tokenized == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu references", n_texts);
    enum status code = STATUS_OK;
    for (size_t m = 0; code == STATUS_OK && m < counting->metrics->count; m++)
        code = metric_counter_open(&worker->counters[m], &counting->metrics->items[m]);
    return code;
}

static void close_worker(struct worker *worker)
{
    for (size_t m = 0; m < BLEU_MAX_METRICS; m++)
        metric_counter_close(worker->counters[m]);
    free(worker->references);
    free(worker->sums);
    free(worker->n_tokenized);
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Adds up what the threads counted. */
static void collect(struct counting *counting)
{
    struct bleu_tally *tally = counting->tally;
    int64_t n_cjk = 0, n_other = 0;
    for (int t = 0; t < counting->n_workers; t++) {
        const struct worker *worker = &counting->workers[t];
        for (size_t i = 0; worker->sums != NULL && i < tally->n_items; i++) {
            for (size_t k = 0; k < METRIC_MAX_COUNTS; k++)
                tally->items[i].sums[k] += worker->sums[i * METRIC_MAX_COUNTS + k];
        }
        for (size_t i = 0; worker->n_tokenized != NULL && i < counting->inputs->n_systems; i++)
            tally->n_tokenized[i] += worker->n_tokenized[i];
        tally->n_scored += worker->n_scored;
        tally->first_return = earlier(tally->first_return, worker->first_return);
        tally->first_tab = earlier(tally->first_tab, worker->first_tab);
        tally->has_wrong_fields |= worker->has_wrong_fields;
        n_cjk += worker->n_cjk;
        n_other += worker->n_other;
    }
    tally->is_cjk = n_cjk > n_other;
}

static enum status run_pipeline(struct counting *counting)
{
    const struct bleu_inputs *inputs = counting->inputs;
    const size_t n_inputs = inputs->n_systems + inputs->n_files;
    struct lines **readers = calloc(n_inputs, sizeof(struct lines *));
    if (readers == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu files", n_inputs);
    memcpy(readers, inputs->systems, inputs->n_systems * sizeof(struct lines *));
    memcpy(readers + inputs->n_systems, inputs->files, inputs->n_files * sizeof(struct lines *));
    const struct pipeline pipeline = {
        .inputs = readers,
        .n_inputs = n_inputs,
        .threads = counting->n_workers,
        .context = counting,
        .apply = count_row,
        .deliver = counting->options->is_sentence_level ? print_scores : keep_rows,
    };
    counting->first = readers[0];
    counting->progress = notice_count_start(counting->options->is_quiet);
    const enum status code = pipeline_run(&pipeline);
    notice_count_end(&counting->progress);
    counting->tally->n_lines = lines_so_far(readers[0])->lines;
    free(readers);
    return code;
}

static enum status append_line_signature(struct counting *counting)
{
    const struct metric_signature signature = {.n_references = counting->inputs->n_references,
                                               .is_short = counting->options->is_short};
    if (!counting->options->is_sentence_level)
        return STATUS_OK;
    return metric_append_signature(&counting->signature, &counting->metrics->items[0], &signature);
}

static enum status check_result(const struct counting *counting)
{
    const struct bleu_options *options = counting->options;
    const char *name = lines_name(counting->inputs->systems[0]);
    if (counting->tally->n_lines == 0)
        return status_set(STATUS_DATA, "%s holds no lines", name);
    if (counting->tally->n_scored > 0)
        return STATUS_OK;
    return status_set(
        STATUS_FAILED, "test set %s has no line with%s%s%s%s", options->test_set,
        options->origlang == NULL ? "" : " origlang=",
        options->origlang == NULL ? "" : options->origlang,
        options->subset == NULL ? "" : " subset=", options->subset == NULL ? "" : options->subset);
}

enum status bleu_tally_run(struct bleu_tally *tally, const struct bleu_inputs *inputs,
                           const struct bleu_metrics *metrics, const struct bleu_options *options,
                           enum bleu_rows rows)
{
    struct counting counting = {
        .tally = tally, .inputs = inputs, .metrics = metrics, .options = options, .rows = rows};
    *tally = (struct bleu_tally){.n_items = inputs->n_systems * metrics->count};
    tally->items = calloc(tally->n_items, sizeof *tally->items);
    tally->n_tokenized = calloc(inputs->n_systems, sizeof *tally->n_tokenized);
    const int threads = parallel_threads(options->threads);
    counting.workers = calloc((size_t)threads, sizeof *counting.workers);
    enum status code = STATUS_OK;
    if (tally->items == NULL || tally->n_tokenized == NULL || counting.workers == NULL)
        code = status_set(STATUS_MEMORY, "no memory for %zu systems", inputs->n_systems);
    else
        counting.n_workers = threads;
    for (int t = 0; code == STATUS_OK && t < threads; t++)
        code = open_worker(&counting, &counting.workers[t]);
    if (code == STATUS_OK)
        code = append_line_signature(&counting);
    if (code == STATUS_OK)
        code = run_pipeline(&counting);
    collect(&counting);
    if (code == STATUS_OK)
        code = check_result(&counting);
    for (int t = 0; t < counting.n_workers; t++)
        close_worker(&counting.workers[t]);
    free(counting.workers);
    buffer_free(&counting.signature);
    return code;
}

void bleu_tally_free(struct bleu_tally *tally)
{
    for (size_t i = 0; tally->items != NULL && i < tally->n_items; i++) {
        buffer_free(&tally->items[i].rows);
        buffer_free(&tally->items[i].all_rows);
    }
    free(tally->items);
    free(tally->n_tokenized);
    *tally = (struct bleu_tally){0};
}
