/* Translating lines in batches, on several workers. */
#include "api/translator.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/segments.h"
#include "base/parallel.h"
#include "beam/beam.h"
#include "model/languages.h"

/* Threads that share one batch. More of them wait for each other longer than they compute. */
enum { MOST_TOGETHER = 4 };

/* Workers that share a GPU: while one searches on the host, the other's work runs. */
enum { MOST_SHARING = 2 };

/* Up to so many batches a worker, the time that some of them wait at the end is worth avoiding. */
enum { EVEN_ROUNDS = 8 };

/* Source pieces of a batch. Of very many experts a step touches the more the more rows it has, but
 * less than in proportion, and reading them is what takes the time: so rows share it. */
enum { BATCH_PIECES = 2048, BATCH_PIECES_OF_MANY = 4096 };

/* One translation of one segment. */
struct output_text {
    struct buffer text;
    double score, log_prob;
    int64_t n_pieces; /* eos included; 0: there is none */
    bool reached_limit;
};

struct worker {
    struct translator *translator;
    pthread_t thread;
    struct backend backend;
    struct arena device; /* activations */
    struct arena host;   /* hypotheses, lists */
    struct batch batch;
    struct model_batch uploaded;
    struct nbest *nbest; /* owned [nbest_capacity] */
    size_t nbest_capacity;
    enum status status;
    char message[512]; /* of a failed status: messages are one a thread */
};

struct translator {
    struct model *model; /* borrowed */
    struct translator_options options;
    struct beam_config beam;
    struct translator_totals totals;
    struct segments segments;
    size_t *order;  /* [n segments] longest first */
    size_t *starts; /* [n_batches + 1] into order */
    size_t n_batches;
    atomic_size_t next_batch;
    struct output_text *outputs; /* [output_capacity >= n segments * n_best] */
    size_t output_capacity;
    struct translation *results; /* [result_capacity >= n lines * n_best] */
    size_t result_capacity;
    struct worker *workers; /* [n_workers] */
    int64_t n_workers;
    struct backend team; /* of several threads, for a batch that is alone; opened when first used */
};

struct translator_options translator_defaults(const struct config *config)
{
    const bool has_many = config_moe_experts(&config->model.moe) >= WEIGHT_MANY;
    return (struct translator_options){.beam = config->translate.beam,
                                       .n_best = 1,
                                       .alpha = config->translate.alpha,
                                       .beta = config->translate.beta,
                                       .max_ratio = config->translate.max_ratio,
                                       .max_extra = 10,
                                       .batch_tokens =
                                           has_many ? BATCH_PIECES_OF_MANY : BATCH_PIECES,
                                       .max_len = config->data.max_len};
}

static enum status open_worker(struct worker *worker, struct translator *translator)
{
    *worker = (struct worker){.translator = translator};
    enum status status = backend_open(&worker->backend, translator->model->params.backend->name, 1);
    if (status >= 0)
        status = backend_arena_init(&worker->backend, &worker->device, 0);
    if (status >= 0)
        status = arena_init(&worker->host, 0);
    return status;
}

static void close_worker(struct worker *worker)
{
    model_batch_free(&worker->uploaded);
    batch_free(&worker->batch);
    arena_free(&worker->device);
    arena_free(&worker->host);
    backend_close(&worker->backend);
    free(worker->nbest);
}

static struct beam_config beam_config_of(const struct translator_options *options,
                                         const struct subword *subword)
{
    struct beam_config beam = {.beam = options->beam,
                               .n_best = options->n_best,
                               .bos = subword_bos_id(subword),
                               .eos = subword_eos_id(subword),
                               .alpha = options->alpha,
                               .beta = options->beta,
                               .max_ratio = options->max_ratio,
                               .max_extra = options->max_extra,
                               .patience = 0.6};
    beam.forbidden[beam.n_forbidden++] = beam.bos;
    if (subword_pad_id(subword) >= 0)
        beam.forbidden[beam.n_forbidden++] = subword_pad_id(subword);
    return beam;
}

enum status translator_open(struct translator **translator, struct model *model,
                            const struct translator_options *options)
{
    *translator = NULL;
    if (model_is_lm(model)) {
        (void)status_set(STATUS_CONFIG, "a language model does not translate");
        status_hint("'mixt score -m MODEL TEXT' tells how probable it finds a text");
        return STATUS_CONFIG;
    }
    int32_t prefix;
    enum status status =
        languages_piece(&model->config.data.languages, model->subword, options->language, &prefix);
    if (status < 0)
        return status;
    struct translator *new = calloc(1, sizeof *new);
    if (!new)
        return status_set(STATUS_MEMORY, "no memory to translate");
    const int64_t n_threads = options->threads > 0 ? options->threads : parallel_usable_cores();
    const bool is_shared = model->params.backend->hardware[0] != '\0';
    const int64_t n_workers = is_shared && n_threads > MOST_SHARING ? MOST_SHARING : n_threads;
    new->model = model;
    new->options = *options;
    new->segments.prefix = prefix;
    new->beam = beam_config_of(options, model->subword);
    new->workers = calloc((size_t)n_workers, sizeof *new->workers);
    if (!new->workers)
        status = status_set(STATUS_MEMORY, "no memory for %lld workers", (long long)n_workers);
    while (status >= 0 && new->n_workers < n_workers)
        status = open_worker(&new->workers[new->n_workers++], new);
    if (status < 0) {
        translator_close(new);
        return status;
    }
    *translator = new;
    return STATUS_OK;
}

void translator_close(struct translator *translator)
{
    if (!translator)
        return;
    for (int64_t i = 0; i < translator->n_workers; i++)
        close_worker(&translator->workers[i]);
    backend_close(&translator->team);
    for (size_t i = 0; i < translator->output_capacity; i++)
        buffer_free(&translator->outputs[i].text);
    for (size_t i = 0; i < translator->result_capacity; i++)
        buffer_free(&translator->results[i].text);
    segments_free(&translator->segments);
    free(translator->order);
    free(translator->starts);
    free(translator->outputs);
    free(translator->results);
    free(translator->workers);
    free(translator);
}

/* Grows an array of zeroed items to at least wanted; false without memory. */
static bool grow(void **items, size_t *capacity, size_t wanted, size_t size)
{
    if (wanted <= *capacity)
        return true;
    char *grown = realloc(*items, wanted * size);
    if (!grown)
        return false;
    memset(grown + *capacity * size, 0, (wanted - *capacity) * size);
    *items = grown;
    *capacity = wanted;
    return true;
}

/* -- planning: longest segments first, batches of similar length -- */

static int by_length(const void *left, const void *right, void *context)
{
    const struct segment *items = context;
    const size_t a = *(const size_t *)left, b = *(const size_t *)right;
    if (items[a].length != items[b].length)
        return items[a].length > items[b].length ? -1 : 1;
    return a < b ? -1 : a > b;
}

/* Where the batch ends that begins at segment `first` of the order: as many as fit, and no more
 * than it takes to get past `most` pieces. */
static size_t batch_end(const struct translator *translator, size_t first, size_t most)
{
    const struct segment *items = translator->segments.items;
    const size_t n = translator->segments.count;
    const size_t longest = items[translator->order[first]].length;
    const size_t fit = (size_t)translator->options.batch_tokens / longest;
    size_t end = first, n_pieces = 0;
    while (end < n && end - first < (fit > 0 ? fit : 1) && n_pieces < most)
        n_pieces += items[translator->order[end++]].length;
    return end;
}

static void cut_batches(struct translator *translator, size_t most)
{
    const size_t n = translator->segments.count;
    translator->n_batches = 0;
    for (size_t first = 0; first < n; first = translator->starts[translator->n_batches])
        translator->starts[++translator->n_batches] = batch_end(translator, first, most);
}

/* Few batches are made as many as keep all workers busy to the end, of about as many pieces
 * each. */
static void cut_evenly(struct translator *translator)
{
    const size_t n_workers = (size_t)translator->n_workers;
    cut_batches(translator, SIZE_MAX);
    if (translator->n_batches < 2 || translator->n_batches > EVEN_ROUNDS * n_workers)
        return;
    const size_t n_rounds = (translator->n_batches + n_workers - 1) / n_workers;
    const size_t n_pieces = translator->segments.ids.size;
    cut_batches(translator, n_pieces / (n_rounds * n_workers) + 1);
}

static enum status plan_batches(struct translator *translator)
{
    const size_t n = translator->segments.count;
    const struct segment *items = translator->segments.items;
    free(translator->order);
    free(translator->starts);
    translator->order = calloc(n + 1, sizeof(size_t));
    translator->starts = calloc(n + 2, sizeof(size_t));
    if (!translator->order || !translator->starts)
        return status_set(STATUS_MEMORY, "no memory to plan %zu segments", n);
    for (size_t i = 0; i < n; i++)
        translator->order[i] = i;
    qsort_r(translator->order, n, sizeof(size_t), by_length, (void *)(uintptr_t)items);
    cut_evenly(translator);
    return STATUS_OK;
}

static enum status plan(struct translator *translator, const struct subword_text *lines, size_t n)
{
    struct translator_totals *totals = &translator->totals;
    segments_clear(&translator->segments);
    for (size_t i = 0; i < n; i++) {
        size_t n_added;
        const enum status status =
            segments_add(&translator->segments, translator->model->subword, i, &lines[i],
                         (size_t)translator->options.max_len, &n_added);
        if (status < 0)
            return status;
        if (n_added > 1 && totals->cut_lines++ == 0)
            totals->first_cut = totals->lines + (int64_t)i + 1;
    }
    totals->source_pieces += (int64_t)translator->segments.ids.size;
    return plan_batches(translator);
}

/* -- the workers -- */

static enum status keep_output(struct worker *worker, const struct hypothesis *hypothesis,
                               struct output_text *output)
{
    output->score = hypothesis->score;
    output->log_prob = hypothesis->log_prob;
    output->reached_limit = hypothesis->reached_limit;
    output->n_pieces = hypothesis->count + !hypothesis->reached_limit;
    return subword_decode(worker->translator->model->subword, hypothesis->tokens,
                          (size_t)hypothesis->count, &output->text);
}

static enum status fill_batch(struct worker *worker, const size_t *order, size_t count)
{
    const struct segments *segments = &worker->translator->segments;
    batch_start(&worker->batch);
    for (size_t i = 0; i < count; i++) {
        const struct segment *segment = &segments->items[order[i]];
        const enum status status = batch_add(&worker->batch, segments->ids.data + segment->start,
                                             (int64_t)segment->length, NULL, 0);
        if (status < 0)
            return status;
    }
    return batch_finish(&worker->batch, worker->translator->beam.bos, 0);
}

/* A batch that is alone, as a line typed by someone who waits, gets all threads: what its few rows
 * wait for is the memory that weights come from, and two cores read more of it than one. */
static enum status choose_backend(struct worker *worker, struct backend **backend)
{
    struct translator *translator = worker->translator;
    const int n_threads =
        translator->n_workers < MOST_TOGETHER ? (int)translator->n_workers : MOST_TOGETHER;
    *backend = &worker->backend;
    if (translator->n_batches > 1 || n_threads == 1 || worker->backend.hardware[0])
        return STATUS_OK;
    if (!translator->team.ops) {
        const enum status status = backend_open(&translator->team, worker->backend.name, n_threads);
        if (status < 0)
            return status;
    }
    *backend = &translator->team;
    return STATUS_OK;
}

static enum status search(struct worker *worker, size_t count)
{
    struct translator *translator = worker->translator;
    struct pass pass = {.arena = &worker->device, .host = &worker->host};
    enum status status = choose_backend(worker, &pass.backend);
    if (status < 0)
        return status;
    if (count > worker->nbest_capacity) {
        struct nbest *nbest = realloc(worker->nbest, count * sizeof *nbest);
        if (!nbest)
            return status_set(STATUS_MEMORY, "no memory for %zu sentences", count);
        worker->nbest = nbest;
        worker->nbest_capacity = count;
    }
    status = model_batch_upload(&worker->uploaded, &pass, &worker->batch);
    if (status < 0)
        return status;
    const struct tensor memory =
        model_encode(translator->model, &pass, NULL, &worker->uploaded.source);
    return beam_search(&translator->model->decoder, &pass, &memory, worker->batch.source_lengths,
                       &translator->beam, &worker->host, worker->nbest);
}

static enum status translate_batch(struct worker *worker, size_t index)
{
    struct translator *translator = worker->translator;
    const size_t *order = translator->order + translator->starts[index];
    const size_t count = translator->starts[index + 1] - translator->starts[index];
    const size_t n_best = (size_t)translator->options.n_best;
    const size_t device_mark = arena_mark(&worker->device), host_mark = arena_mark(&worker->host);
    enum status status = fill_batch(worker, order, count);
    if (status >= 0)
        status = search(worker, count);
    for (size_t i = 0; i < count && status >= 0; i++) {
        const struct nbest *nbest = &worker->nbest[i];
        for (int64_t h = 0; h < nbest->count && status >= 0; h++)
            status = keep_output(worker, &nbest->items[h],
                                 &translator->outputs[order[i] * n_best + (size_t)h]);
    }
    arena_release(&worker->device, device_mark);
    arena_release(&worker->host, host_mark);
    return status;
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    struct translator *translator = worker->translator;
    worker->status = STATUS_OK;
    while (worker->status >= 0) {
        const size_t index = atomic_fetch_add(&translator->next_batch, 1);
        if (index >= translator->n_batches)
            return NULL;
        worker->status = translate_batch(worker, index);
    }
    strncpy(worker->message, status_message(), sizeof worker->message - 1);
    atomic_store(&translator->next_batch, translator->n_batches);
    return NULL;
}

/* Runs all workers; the first one is this thread. */
static enum status work_together(struct translator *translator)
{
    int64_t n_started = 1;
    atomic_store(&translator->next_batch, 0);
    while (n_started < translator->n_workers && (size_t)n_started < translator->n_batches &&
           pthread_create(&translator->workers[n_started].thread, NULL, work,
                          &translator->workers[n_started]) == 0)
        n_started++;
    work(&translator->workers[0]);
    for (int64_t i = 1; i < n_started; i++)
        pthread_join(translator->workers[i].thread, NULL);
    for (int64_t i = 0; i < n_started; i++)
        if (translator->workers[i].status < 0)
            return status_set(translator->workers[i].status, "%s", translator->workers[i].message);
    return STATUS_OK;
}

/* -- putting lines together again -- */

static enum status join_output(struct translation *result, const struct output_text *output)
{
    if (output->n_pieces == 0)
        return STATUS_OK;
    enum status status = STATUS_OK;
    if (isinf(result->score))
        result->score = result->log_prob = 0;
    if (result->text.size && output->text.size)
        status = buffer_append(&result->text, " ", 1);
    if (status >= 0)
        status = buffer_append(&result->text, output->text.data, output->text.size);
    result->score += output->score;
    result->log_prob += output->log_prob;
    result->reached_limit |= output->reached_limit;
    return status;
}

static enum status collect(struct translator *translator, size_t n_lines)
{
    const size_t n_best = (size_t)translator->options.n_best;
    struct translator_totals *totals = &translator->totals;
    for (size_t i = 0; i < n_lines * n_best; i++) {
        struct translation *result = &translator->results[i];
        buffer_clear(&result->text);
        result->score = result->log_prob = -INFINITY;
        result->reached_limit = false;
    }
    for (size_t s = 0; s < translator->segments.count; s++) {
        const size_t line = translator->segments.items[s].line;
        const struct output_text *outputs = &translator->outputs[s * n_best];
        totals->target_pieces += outputs[0].n_pieces;
        for (size_t h = 0; h < n_best; h++) {
            const enum status status =
                join_output(&translator->results[line * n_best + h], &outputs[h]);
            if (status < 0)
                return status;
        }
    }
    for (size_t i = 0; i < n_lines; i++)
        if (translator->results[i * n_best].reached_limit && totals->limit_lines++ == 0)
            totals->first_limit = totals->lines + (int64_t)i + 1;
    totals->lines += (int64_t)n_lines;
    return STATUS_OK;
}

enum status translator_run(struct translator *translator, const struct subword_text *lines,
                           size_t n, const struct translation **results)
{
    const size_t n_best = (size_t)translator->options.n_best;
    /* The workers' handles do not wait for what the model's is still doing. */
    enum status status = backend_sync(translator->model->params.backend);
    if (status >= 0)
        status = plan(translator, lines, n);
    if (status < 0)
        return status;
    const size_t n_outputs = translator->segments.count * n_best;
    if (!grow((void **)&translator->outputs, &translator->output_capacity, n_outputs,
              sizeof *translator->outputs) ||
        !grow((void **)&translator->results, &translator->result_capacity, n * n_best,
              sizeof *translator->results))
        return status_set(STATUS_MEMORY, "no memory for %zu translations", n * n_best);
    for (size_t i = 0; i < n_outputs; i++) {
        buffer_clear(&translator->outputs[i].text);
        translator->outputs[i].n_pieces = 0;
    }
    status = work_together(translator);
    if (status >= 0)
        status = collect(translator, n);
    *results = translator->results;
    return status;
}

const struct translator_totals *translator_so_far(const struct translator *translator)
{
    return &translator->totals;
}
