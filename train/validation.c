/* Perplexity and BLEU on held-out text. */
#include "train/validation.h"

#include <stdlib.h>

#include "api/translator.h"
#include "model/model_file.h"
#include "text/lines.h"
#include "text/metric/bleu.h"
#include "train/losses.h"
#include "train/prepare.h"
#include "train/ranks.h"

/* Appends the lines of a file to buffer, each followed by '\n'; at most max lines, 0: all. Adds
 * their number to *count. */
static enum status read_lines(const char *path, int64_t max, struct buffer *buffer, int64_t *count)
{
    struct lines *lines;
    struct line line;
    enum status status = lines_open(&lines, path);
    if (status < 0)
        return status;
    for (int64_t n = 0; max == 0 || n < max; n++) {
        if ((status = lines_next(lines, &line)) < 0 || !line.bytes)
            break;
        if ((status = buffer_append(buffer, line.bytes, line.size)) < 0 ||
            (status = buffer_append(buffer, "\n", 1)) < 0)
            break;
        (*count)++;
    }
    lines_close(lines);
    return status;
}

/* Cuts text at its line ends into count views. */
static enum status index_lines(const struct buffer *text, int64_t count,
                               struct subword_text **views)
{
    *views = calloc((size_t)count + 1, sizeof **views);
    if (!*views)
        return status_set(STATUS_MEMORY, "no memory for %lld lines", (long long)count);
    size_t start = 0;
    for (int64_t i = 0; i < count; i++) {
        size_t end = start;
        while (text->data[end] != '\n')
            end++;
        (*views)[i] = (struct subword_text){.bytes = text->data + start, .size = end - start};
        start = end + 1;
    }
    return STATUS_OK;
}

/* What is translated, and the references. */
static enum status read_texts(struct validation *validation, const struct config *config)
{
    const struct config_paths *paths = &config->data.valid;
    const int64_t max = config->valid.max_sentences;
    int64_t n_references = 0;
    enum status status = STATUS_OK;
    for (int64_t i = 0; i < paths->n && status >= 0; i += 2) {
        status = read_lines(paths->path[i], max, &validation->sources, &validation->n_lines);
        if (status >= 0)
            status = read_lines(paths->path[i + 1], max, &validation->references, &n_references);
        validation->starts[++validation->n_pairs] = validation->n_lines;
    }
    if (status >= 0)
        status = index_lines(&validation->sources, validation->n_lines, &validation->source_lines);
    if (status >= 0)
        status = index_lines(&validation->references, n_references, &validation->reference_lines);
    return status;
}

enum status validation_open(struct validation *validation, const struct config *config,
                            const struct subword *subword, int threads)
{
    *validation = (struct validation){0};
    if (config->data.valid.n == 0)
        return STATUS_OK;
    struct corpus_options options = {.max_len = config->data.max_len, .threads = threads};
    validation->is_wanted = true;
    enum status status =
        prepare_load(config, &config->data.valid, subword, &options, &validation->corpus);
    if (status >= 0)
        status = epoch_plan_make(&validation->plan, &validation->corpus, 0, 0,
                                 config->train.batch_tokens);
    if (status >= 0 && config->valid.metric == CONFIG_METRIC_BLEU)
        status = read_texts(validation, config);
    if (status < 0)
        validation_free(validation);
    return status;
}

void validation_free(struct validation *validation)
{
    corpus_free(&validation->corpus);
    epoch_plan_free(&validation->plan);
    buffer_free(&validation->sources);
    buffer_free(&validation->references);
    free(validation->source_lines);
    free(validation->reference_lines);
    *validation = (struct validation){0};
}

static enum status measure_nll(const struct validation *validation, struct model *model,
                               struct arena *arena, struct arena *host, struct batch *batch,
                               double *nll)
{
    struct comm *comm = model->params.comm;
    const struct pass pass = {.backend = model->params.backend,
                              .arena = arena,
                              .host = host,
                              .comm = comm,
                              .by_parts = model->config.dist.reproducible};
    struct model_batch uploaded = {0};
    struct model_record *record = malloc(sizeof *record);
    struct comm *ordered = model->config.dist.reproducible ? comm : NULL; /* else at the end */
    struct losses total = {0}, part = {0};
    const int n_rounds = ranks_rounds(&model->config, comm);
    enum status status = record ? STATUS_OK : status_set(STATUS_MEMORY, "no memory to validate");
    status = ranks_agree(comm, status);
    const bool has_record = status >= 0;
    const bool goes_on = has_record && !comm_is_alone(comm); /* others' tokens need experts here */
    const int64_t n_passes = n_rounds * validation->plan.n_batches;
    for (int64_t i = 0; i < n_passes && (status >= 0 || goes_on); i++) {
        const struct pass_mark mark = pass_mark(&pass);
        const struct ranks_share share = ranks_share_of(&model->config, comm, (int)(i % n_rounds));
        enum status one = ranks_take_batch(&pass, &validation->plan, &validation->corpus,
                                           i / n_rounds, 0, share, status < 0, batch, &uploaded);
        losses_clear(&part);
        if (one >= 0 || goes_on) {
            model_loss(model, &pass, record, &uploaded, 0, 1, 0);
            const enum status added = losses_add(&part, &pass, record);
            one = one < 0 ? one : added;
            const enum status told = losses_add_in_order(&total, &part, ordered);
            one = one < 0 ? one : told;
        }
        status = status < 0 ? status : one;
        pass_release(&pass, mark);
    }
    if (has_record)
        status = ranks_agree(comm, status);
    double sums[] = {total.nll, (double)total.tokens};
    if (status >= 0 && !ordered)
        status = ranks_sum(comm, sums, 2);
    *nll = sums[1] > 0 ? sums[0] / sums[1] : 0;
    model_batch_free(&uploaded);
    losses_free(&total);
    losses_free(&part);
    free(record);
    return status;
}

/* Every step-th of n lines, from the first on, into share; returns how many. */
static size_t share_lines(const struct subword_text *lines, int64_t n, int64_t first, int64_t step,
                          struct subword_text *share)
{
    size_t count = 0;
    for (int64_t i = first; i < n; i += step)
        share[count++] = lines[i];
    return count;
}

/* Adds the statistics of this rank's share of one pair of texts. */
static enum status count_pair(const struct validation *validation, struct model *model,
                              const struct comm *comm, const struct translator_options *options,
                              int64_t pair, struct bleu_counter *counter, struct bleu_stats *sum)
{
    const int64_t rank = comm_is_alone(comm) ? 0 : comm->rank;
    const int64_t step = comm_is_alone(comm) ? 1 : comm->size;
    const int64_t first = validation->starts[pair], n = validation->starts[pair + 1] - first;
    struct translator *translator = NULL;
    const struct translation *results;
    struct subword_text *lines = malloc(((size_t)n + 1) * sizeof *lines);
    if (!lines)
        return status_set(STATUS_MEMORY, "no memory for %lld lines", (long long)n);
    const size_t count = share_lines(validation->source_lines + first, n, rank, step, lines);
    enum status status = translator_open(&translator, model, options);
    if (status >= 0)
        status = translator_run(translator, lines, count, &results);
    for (size_t i = 0; i < count && status >= 0; i++) {
        const struct subword_text line =
            validation->reference_lines[first + rank + (int64_t)i * step];
        const struct bleu_text reference = {.bytes = line.bytes, .size = line.size};
        const struct bleu_text hypothesis = {.bytes = results[i].text.data,
                                             .size = results[i].text.size};
        struct bleu_stats segment;
        status = bleu_count(counter, hypothesis, &reference, 1, &segment);
        if (status >= 0)
            bleu_add(sum, &segment);
    }
    translator_close(translator);
    free(lines);
    return status;
}

/* Adds the ranks' counts, which doubles hold exactly. */
static enum status add_ranks(struct comm *comm, struct bleu_stats *sum)
{
    double counts[2 + 2 * BLEU_ORDER] = {(double)sum->hypothesis_length,
                                         (double)sum->reference_length};
    for (int i = 0; i < BLEU_ORDER; i++) {
        counts[2 + i] = (double)sum->correct[i];
        counts[2 + BLEU_ORDER + i] = (double)sum->total[i];
    }
    const enum status status = ranks_sum(comm, counts, 2 + 2 * BLEU_ORDER);
    sum->hypothesis_length = (int64_t)counts[0];
    sum->reference_length = (int64_t)counts[1];
    for (int i = 0; i < BLEU_ORDER; i++) {
        sum->correct[i] = (int64_t)counts[2 + i];
        sum->total[i] = (int64_t)counts[2 + BLEU_ORDER + i];
    }
    return status;
}

/* With a model whose experts are all here; each rank its share of the lines. */
static enum status measure_bleu(const struct validation *validation, struct model *model,
                                struct comm *comm, double *bleu)
{
    const struct config *config = &model->config;
    struct translator_options options = translator_defaults(config);
    options.beam = config->valid.beam;
    options.alpha = config->valid.alpha;
    options.beta = config->valid.beta;
    options.threads = model->params.backend->n_threads;
    const struct bleu_config settings = bleu_config_default();
    struct bleu_counter *counter = NULL;
    struct bleu_stats sum = {0};
    enum status status = bleu_counter_open(&counter, &settings);
    for (int64_t pair = 0; pair < validation->n_pairs && status >= 0; pair++) {
        options.language = config->data.languages.n > 0 ? config->data.languages.name[pair] : NULL;
        status = count_pair(validation, model, comm, &options, pair, counter, &sum);
    }
    status = ranks_agree(comm, status);
    if (status >= 0)
        status = add_ranks(comm, &sum);
    *bleu = bleu_compute(&sum, &settings).score;
    bleu_counter_close(counter);
    return status;
}

/* The same with the model that trains: workers share its weights. */
static enum status measure_bleu_alone(const struct validation *validation, struct model *model,
                                      double *bleu)
{
    param_list_pack_for_all(&model->params);
    const enum status status = measure_bleu(validation, model, NULL, bleu);
    param_list_pack(&model->params);
    return status;
}

/* With experts that are divided: every rank translates with a copy of the whole. Ranks
 * that have done their share wait for the others' as long as it takes. */
static enum status measure_bleu_of_ranks(const struct validation *validation, struct model *model,
                                         double *bleu)
{
    struct comm *comm = model->params.comm;
    const double timeout_s = comm->timeout_s;
    struct model whole;
    enum status status = model_gather(&whole, model);
    comm->timeout_s = RANKS_PATIENCE_S;
    if (status >= 0)
        status = measure_bleu(validation, &whole, comm, bleu);
    comm->timeout_s = timeout_s;
    model_free(&whole);
    return status;
}

enum status validation_run(const struct validation *validation, struct model *model,
                           struct arena *arena, struct arena *host, struct batch *batch,
                           struct validation_result *result)
{
    *result = (struct validation_result){.bleu = -1};
    enum status status = measure_nll(validation, model, arena, host, batch, &result->nll);
    if (status >= 0 && model->config.valid.metric == CONFIG_METRIC_BLEU)
        status = comm_is_alone(model->params.comm)
                     ? measure_bleu_alone(validation, model, &result->bleu)
                     : measure_bleu_of_ranks(validation, model, &result->bleu);
    return status;
}
