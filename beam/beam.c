/* The search over a batch: decoder steps on the device, bookkeeping on the host. */
#include "beam/beam.h"

#include <math.h>

#include "beam/hypotheses.h"

struct search {
    const struct decoder *decoder;
    const struct pass *pass;
    const struct beam_config *config;
    const int32_t *lengths;        /* [B] of all sentences */
    struct hypotheses *hypotheses; /* [B] of all sentences */
    struct decoder_state state;    /* of the n_active sentences in the batch, rows w*n_active + i */
    int32_t *active;               /* [n_active] which ones they are, ascending */
    int64_t n_active;
    int32_t *next_tokens;         /* [B*W] to be fed next */
    int32_t *next_parents;        /* [B*W] rows of the state that they continue */
    int32_t *kept, *kept_lengths; /* [B] */
    int64_t n_choices;            /* K: offers fetched for each row */
    int32_t *choices;             /* [B*W, K] tokens */
    double *offers;               /* [B*W, K] their logits, then log-probabilities */
    double *totals;               /* [B*W] logarithms of the sums of exp(logits) */
    double *attention;            /* [B*W, S] only with a coverage penalty */
    float *staging;               /* as many as the longest of the above */
};

static void *take(struct arena *arena, int64_t count, size_t size)
{
    return arena_take(arena, (size_t)count * size);
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void check_config(const struct beam_config *config, int64_t n_words)
{
    CHECK(config->beam >= 1 && config->n_best >= 1 && config->n_best <= config->beam,
          "%lld best of a beam of %lld", (long long)config->n_best, (long long)config->beam);
    CHECK(config->bos >= 0 && config->bos < n_words && config->eos >= 0 && config->eos < n_words,
          "bos %d and eos %d of %lld words", config->bos, config->eos, (long long)n_words);
    CHECK(config->n_forbidden >= 0 && config->n_forbidden <= BEAM_MAX_FORBIDDEN,
          "%lld forbidden ids", (long long)config->n_forbidden);
    CHECK(config->alpha >= 0 && config->beta >= 0 && config->patience >= 0 &&
              config->max_ratio >= 0,
          "alpha %g, beta %g, patience %g, ratio %g", config->alpha, config->beta, config->patience,
          config->max_ratio);
}

/* Room for the results: as long as they can become. */
static void take_results(const struct beam_config *config, const int32_t *lengths,
                         int64_t n_sentences, struct arena *arena, struct nbest *results)
{
    for (int64_t b = 0; b < n_sentences; b++) {
        const int64_t limit = hypotheses_limit(config, lengths[b]);
        results[b] =
            (struct nbest){.items = take(arena, config->n_best, sizeof(struct hypothesis))};
        int32_t *tokens = take(arena, config->n_best * limit, sizeof *tokens);
        for (int64_t i = 0; i < config->n_best; i++)
            results[b].items[i] = (struct hypothesis){.tokens = tokens + i * limit};
    }
}

static void start_sentences(struct search *search, const struct tensor *memory, struct arena *arena)
{
    search->n_active = memory->dim[1];
    search->active = take(arena, search->n_active, sizeof(int32_t));
    search->kept = take(arena, search->n_active, sizeof(int32_t));
    search->kept_lengths = take(arena, search->n_active, sizeof(int32_t));
    search->hypotheses = take(arena, search->n_active, sizeof(struct hypotheses));
    for (int64_t b = 0; b < search->n_active; b++) {
        CHECK(search->lengths[b] >= 1 && search->lengths[b] <= memory->dim[0],
              "sentence of %d tokens in a memory of %lld", search->lengths[b],
              (long long)memory->dim[0]);
        search->active[b] = (int32_t)b;
        hypotheses_start(&search->hypotheses[b], search->config, search->lengths[b], arena);
    }
}

/* Everything that one batch needs: host memory from the arena, the rest from the pass's. */
static void start(struct search *search, const struct tensor *memory, struct arena *arena)
{
    const struct pass *pass = search->pass;
    const struct beam_config *config = search->config;
    const int64_t n_words = search->decoder->output->weight->weight.value.dim[0];
    const int64_t n_sentences = memory->dim[1], n_rows = config->beam * n_sentences;
    const int64_t n_attention = config->beta > 0 ? memory->dim[0] : 0;
    CHECK(n_rows <= INT32_MAX, "%lld rows", (long long)n_rows);
    search->n_choices = smaller(n_words, config->beam + 1 + config->n_forbidden);
    const int64_t widest = search->n_choices > n_attention ? search->n_choices : n_attention;
    start_sentences(search, memory, arena);
    search->next_tokens = take(arena, n_rows, sizeof(int32_t));
    search->next_parents = take(arena, n_rows, sizeof(int32_t));
    search->choices = take(arena, n_rows * search->n_choices, sizeof(int32_t));
    search->offers = take(arena, n_rows * search->n_choices, sizeof(double));
    search->totals = take(arena, n_rows, sizeof(double));
    search->attention = take(arena, n_rows * n_attention, sizeof(double));
    search->staging = take(arena, n_rows * widest, sizeof(float));

    const struct tensor lengths = tensor_1d(pass->arena, DTYPE_I32, n_sentences);
    pass->backend->ops->upload(pass->backend, &lengths, search->lengths,
                               (size_t)n_sentences * sizeof(int32_t));
    decoder_start(search->decoder, pass, &search->state, memory, &lengths, config->beam);
    for (int64_t b = 0; b < n_sentences; b++)
        search->next_tokens[b] = config->bos;
}

/* Numbers of a real tensor, as double. */
static void fetch(const struct search *search, double *host, const struct tensor *source)
{
    struct backend *backend = search->pass->backend;
    const int64_t count = tensor_count(source);
    if (source->dtype == DTYPE_F64) {
        backend->ops->download(backend, host, source, (size_t)count * sizeof *host);
        return;
    }
    backend->ops->download(backend, search->staging, source,
                           (size_t)count * sizeof *search->staging);
    for (int64_t i = 0; i < count; i++)
        host[i] = (double)search->staging[i];
}

static bool is_forbidden(const struct beam_config *config, int32_t token)
{
    for (int64_t i = 0; i < config->n_forbidden; i++)
        if (config->forbidden[i] == token)
            return true;
    return false;
}

/* A row's best logits become log-probabilities, without the forbidden tokens. Rounding may lift one
 * above 0, which the bound of beam/score.h must not see. */
static void offer_row(const struct beam_config *config, int32_t *tokens, double *offers,
                      int64_t n_choices, double total)
{
    int64_t n_offers = 0;
    for (int64_t k = 0; k < n_choices; k++) {
        if (is_forbidden(config, tokens[k]))
            continue;
        tokens[n_offers] = tokens[k];
        offers[n_offers++] = fmin(offers[k] - total, 0);
    }
    for (; n_offers < n_choices; n_offers++)
        offers[n_offers] = -INFINITY;
}

/* One step of the decoder, and what it offers every row. */
static enum status expand(struct search *search)
{
    const struct pass *pass = search->pass;
    struct backend *backend = pass->backend;
    const int64_t n_rows = search->state.n_beam * search->n_active, k = search->n_choices;
    const size_t mark = arena_mark(pass->arena);
    struct tensor readout, attention;
    decoder_step(search->decoder, pass, &search->state, search->next_tokens, &readout, &attention);
    const struct tensor totals = tensor_1d(pass->arena, backend->real, n_rows);
    const struct tensor best = pass_2d(pass, n_rows, k);
    const struct tensor choices = tensor_2d(pass->arena, DTYPE_I32, n_rows, k);
    output_top_k(search->decoder->output, pass, &best, &choices, &totals, &readout);
    fetch(search, search->totals, &totals);
    fetch(search, search->offers, &best);
    backend->ops->download(backend, search->choices, &choices,
                           (size_t)(n_rows * k) * sizeof(int32_t));
    if (search->config->beta > 0)
        fetch(search, search->attention, &attention);
    arena_release(pass->arena, mark);

    const enum status status = backend_sync(backend);
    if (status != STATUS_OK)
        return status;
    for (int64_t row = 0; row < n_rows; row++) {
        if (!isfinite(search->totals[row]))
            return status_set(STATUS_DIVERGED, "the decoder's output is not finite");
        offer_row(search->config, search->choices + row * k, search->offers + row * k, k,
                  search->totals[row]);
    }
    return STATUS_OK;
}

/* Chooses each sentence's next live hypotheses; returns whether a sentence is done. */
static bool select_live(struct search *search)
{
    const int64_t n_attention = search->config->beta > 0 ? search->state.source.memory.dim[0] : 0;
    bool is_any_done = false;
    for (int64_t i = 0; i < search->n_active; i++) {
        struct hypotheses *hypotheses = &search->hypotheses[search->active[i]];
        const struct offers offers = {.tokens = search->choices + i * search->n_choices,
                                      .log_probs = search->offers + i * search->n_choices,
                                      .attention = search->attention + i * n_attention,
                                      .n_choices = search->n_choices,
                                      .n_attention = n_attention,
                                      .stride = search->n_active};
        hypotheses_advance(hypotheses, &offers);
        is_any_done = is_any_done || hypotheses->n_live == 0;
    }
    return is_any_done;
}

/* Takes the sentences that are done out of the batch, at once: moving the others' memory and state
 * was measured to cost less than 1 % of the search, and each row that stays costs a step's work. */
static void finish(struct search *search)
{
    int64_t n_kept = 0;
    for (int64_t i = 0; i < search->n_active; i++) {
        const int32_t b = search->active[i];
        if (search->hypotheses[b].n_live == 0)
            continue;
        search->kept[n_kept] = (int32_t)i;
        search->kept_lengths[n_kept] = search->lengths[b];
        search->active[n_kept++] = b;
    }
    search->n_active = n_kept;
    if (n_kept > 0)
        decoder_keep(search->decoder, search->pass, &search->state, search->kept, n_kept,
                     search->kept_lengths);
}

/* The next tokens, and the decoder's state moved to where each continues. A sentence with fewer
 * live hypotheses than another fills its rows with copies of its first, which nobody reads. */
static void follow(struct search *search)
{
    const int64_t n_active = search->n_active, beam = search->config->beam;
    int64_t n_beam = 1;
    for (int64_t i = 0; i < n_active; i++) {
        const int64_t n_live = search->hypotheses[search->active[i]].n_live;
        n_beam = n_live > n_beam ? n_live : n_beam;
    }
    bool is_same = n_beam == search->state.n_beam;
    for (int64_t w = 0; w < n_beam; w++) {
        for (int64_t i = 0; i < n_active; i++) {
            const struct hypotheses *from = &search->hypotheses[search->active[i]];
            const int64_t at = (from->n_tokens - 1) * beam + (w < from->n_live ? w : 0);
            const int64_t row = w * n_active + i;
            search->next_tokens[row] = from->tokens[at];
            search->next_parents[row] = (int32_t)(from->parents[at] * n_active + i);
            is_same = is_same && search->next_parents[row] == row;
        }
    }
    if (!is_same)
        decoder_reorder(search->decoder, &search->state, search->next_parents, n_beam);
}

enum status beam_search(const struct decoder *decoder, const struct pass *pass,
                        const struct tensor *memory, const int32_t *lengths,
                        const struct beam_config *config, struct arena *arena,
                        struct nbest *results)
{
    const int64_t n_sentences = memory->dim[1];
    const size_t before = arena_mark(arena);
    struct search search = {.decoder = decoder, .pass = pass, .config = config, .lengths = lengths};
    enum status status = STATUS_OK;
    check_config(config, decoder->output->weight->weight.value.dim[0]);
    take_results(config, lengths, n_sentences, arena, results);
    /* In this order, so that one arena may serve as this one and the pass's of the host. */
    const size_t after = arena_mark(arena);
    const struct pass_mark mark = pass_mark(pass);
    if (n_sentences > 0)
        start(&search, memory, arena);
    while (search.n_active > 0) {
        if ((status = expand(&search)) != STATUS_OK)
            break;
        if (select_live(&search))
            finish(&search);
        if (search.n_active > 0)
            follow(&search);
    }
    for (int64_t b = 0; b < n_sentences && status == STATUS_OK; b++)
        hypotheses_collect(&search.hypotheses[b], &results[b]);
    pass_release(pass, mark);
    arena_release(arena, status == STATUS_OK ? after : before);
    return status;
}
