/* mixt bench decode: translating random sentences. */
#include <stdio.h>
#include <stdlib.h>

#include "base/parallel.h"
#include "beam/beam.h"
#include "tools/bench/subject.h"
#include "tools/bench/verbs.h"

static const char description[] =
    "Translates random sentences with a model of the shape with random weights: batches of 64, one "
    "a thread at a time, with beams of 1 and 5, and one sentence alone. Every translation has as "
    "many tokens as its sentence: the end symbol is never chosen.";

enum { N_SENTENCES = 64 };

/* One thread's own: it decodes the same batch again and again. */
struct worker {
    struct backend backend;
    struct arena arena, host; /* host: for translations, too */
    struct model_batch uploaded;
    struct encoder_record record;
    struct nbest *best; /* owned [sentences] */
};

struct decoding {
    struct subject *subject;
    struct worker *workers; /* owned [n_workers] */
    int64_t n_workers;
    struct beam_config beam;
    enum status status; /* sticky */
};

static enum status open_worker(struct worker *worker, const struct session *session)
{
    enum status status = backend_open(&worker->backend, session->backend.name, 1);
    if (status >= 0)
        status = backend_arena_init(&worker->backend, &worker->arena, 0);
    if (status >= 0)
        status = arena_init(&worker->host, 0);
    worker->best = calloc((size_t)session->sentences, sizeof *worker->best);
    if (status >= 0 && !worker->best)
        status = status_set(STATUS_MEMORY, "no memory for translations");
    return status;
}

static void free_worker(struct worker *worker)
{
    free(worker->best);
    model_batch_free(&worker->uploaded);
    arena_free(&worker->host);
    arena_free(&worker->arena);
    backend_close(&worker->backend);
}

static enum status translate(void *context, int thread, int64_t index)
{
    (void)thread;
    struct decoding *decoding = context;
    struct worker *worker = &decoding->workers[index];
    struct model *model = &decoding->subject->model;
    const struct batch *batch = &decoding->subject->batch;
    const struct pass pass = {
        .backend = &worker->backend, .arena = &worker->arena, .host = &worker->host};
    arena_release(&worker->arena, 0);
    arena_release(&worker->host, 0);
    enum status status = model_batch_upload(&worker->uploaded, &pass, batch);
    if (status < 0)
        return status;
    const struct tensor memory =
        model_encode(model, &pass, &worker->record, &worker->uploaded.source);
    return beam_search(&model->decoder, &pass, &memory, batch->source_lengths, &decoding->beam,
                       &worker->host, worker->best);
}

/* A batch on each worker. */
static void run(void *context)
{
    struct decoding *decoding = context;
    if (decoding->status >= 0)
        decoding->status =
            parallel_for((int)decoding->n_workers, decoding->n_workers, translate, decoding);
}

static void measure(struct decoding *decoding, const char *name, int64_t sentences, int64_t workers,
                    int64_t beam)
{
    struct session *session = decoding->subject->session;
    struct row row = {.unit = ROW_SENTENCES, .amount = (double)(sentences * workers)};
    snprintf(row.name, sizeof row.name, "%s", name);
    if (decoding->status < 0 || !session_wants(session, name))
        return;
    decoding->status = subject_draw(decoding->subject, sentences, 0);
    decoding->n_workers = workers;
    decoding->beam.beam = beam;
    row.seconds = session_time(session, (struct work){.run = run, .context = decoding}, &row.calls);
    row.fraction = row.amount * subject_decoding_flops(session, beam) / row.seconds /
                   session_peak_flops(session);
    if (decoding->status >= 0)
        session_add(session, row);
}

/* The end of a sentence becomes so unlikely that all translations go on to their limit. */
static void forbid_end(struct subject *subject)
{
    const struct tensor *bias = &subject->model.output.bias->weight.value;
    const struct tensor column = tensor_as_2d(bias, tensor_count(bias), 1);
    const struct tensor end = tensor_slice(&column, SUBWORD_EOS, 1);
    struct backend *backend = &subject->session->backend;
    backend->ops->fill(backend, &end, -1e9);
}

static enum status measure_all(struct session *session, struct decoding *decoding)
{
    const int64_t n_workers = session->backend.n_threads;
    enum status status = subject_open(decoding->subject, session, false);
    decoding->workers = calloc((size_t)n_workers, sizeof *decoding->workers);
    if (status >= 0 && !decoding->workers)
        status = status_set(STATUS_MEMORY, "no memory for %lld threads", (long long)n_workers);
    for (int64_t i = 0; i < n_workers && status >= 0; i++, decoding->n_workers++)
        status = open_worker(&decoding->workers[i], session);
    if (status < 0)
        return status;
    forbid_end(decoding->subject);
    decoding->beam = (struct beam_config){.n_best = 1,
                                          .bos = SUBWORD_BOS,
                                          .eos = SUBWORD_EOS,
                                          .forbidden = {SUBWORD_BOS, SUBWORD_PAD},
                                          .n_forbidden = 2,
                                          .alpha = 0.6,
                                          .max_ratio = 1,
                                          .patience = 0.6};
    measure(decoding, "batches, beam 1", session->sentences, n_workers, 1);
    measure(decoding, "batches, beam 5", session->sentences, n_workers, 5);
    measure(decoding, "one sentence, beam 1", 1, 1, 1);
    measure(decoding, "one sentence, beam 5", 1, 1, 5);
    return decoding->status;
}

int bench_decode_main(int argc, char **argv)
{
    struct bench_options options = {.sentences = N_SENTENCES};
    struct session session;
    struct subject subject = {0};
    struct decoding decoding = {.subject = &subject};
    const int code = session_start(&session, &options, "decode", description, argc, argv);
    if (code >= 0)
        return code;
    const enum status status = measure_all(&session, &decoding);
    for (int64_t i = 0; decoding.workers && i < session.backend.n_threads; i++)
        free_worker(&decoding.workers[i]);
    free(decoding.workers);
    subject_free(&subject);
    return session_finish(&session, status);
}
