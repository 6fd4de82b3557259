/* mixt score: how probable a model finds given translations, or a language model given text. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/model_file.h"
#include "tools/feed.h"
#include "tools/footer.h"
#include "tools/options.h"
#include "tools/verbs.h"

struct score_options {
    const char *model, *device, *language;
    int64_t threads;
    bool only_ppl;
};

#define AT(member) offsetof(struct score_options, member)

static const struct option table[] = {
    {"model", 'm', NULL, "MODEL", OPTION_STRING, AT(model), 0, 0, NULL,
     "run directory (its best model) or .safetensors file"},
    {"to", 0, NULL, "LANGUAGE", OPTION_STRING, AT(language), 0, 0, NULL,
     "language of TARGET, for a model with several (data.languages)"},
    {"ppl", 0, NULL, NULL, OPTION_FLAG, AT(only_ppl), 0, 0, NULL,
     "print only the perplexity of the whole, a piece"},
    {"threads", 't', NULL, "N", OPTION_INT, AT(threads), 0, 1024, NULL,
     "threads (default 0: all cores)"},
    {"device", 0, NULL, "NAME", OPTION_STRING, AT(device), 0, 0, NULL,
     "what computes: cpu, ref, cuda or cuda:N for GPU N, auto: a GPU where there is one (default "
     "auto)"},
};

static const struct options_command command = {
    .verb = "score",
    .arguments = "[SOURCE] TARGET",
    .description =
        "Prints for each pair of lines the natural logarithm of the probability that the model "
        "gives the target, end of sentence included; a language model has no SOURCE and scores "
        "the lines of one text. Lines are scored whole, whatever their length.\n"
        "The perplexity of all goes to standard error, a piece and a word; words are what white "
        "space separates, and one end a line, so that models of different vocabularies compare. "
        "With --ppl the perplexity a piece goes alone to standard output.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .min_arguments = 1,
    .max_arguments = 2,
};

struct scorer {
    struct backend backend;
    struct model model;
    struct arena arena, host;
    struct batch batch;
    struct model_batch uploaded;
    struct model_record record;
    struct feed feed;
    float *nll; /* owned [nll_capacity] */
    size_t nll_capacity;
    double total;
    int64_t n_pieces;
};

/* Sums of negative log-likelihoods of the n pairs of the batch. */
static enum status score_batch(struct scorer *scorer, size_t n, double sums[FEED_LINES])
{
    const struct pass pass = {
        .backend = &scorer->backend, .arena = &scorer->arena, .host = &scorer->host};
    const struct pass_mark mark = pass_mark(&pass);
    enum status status = model_batch_upload(&scorer->uploaded, &pass, &scorer->batch);
    if (status < 0)
        return status;
    model_loss(&scorer->model, &pass, &scorer->record, &scorer->uploaded, 0, 1, 0);
    status = backend_sync(&scorer->backend);
    const size_t count = (size_t)scorer->batch.n_target_tokens;
    if (status >= 0 && count > scorer->nll_capacity) {
        free(scorer->nll);
        scorer->nll = calloc(count, sizeof *scorer->nll);
        scorer->nll_capacity = scorer->nll ? count : 0;
        if (!scorer->nll)
            status = status_set(STATUS_MEMORY, "no memory for %zu scores", count);
    }
    if (status < 0)
        return status;
    scorer->backend.ops->download(&scorer->backend, scorer->nll, &scorer->record.nll,
                                  count * sizeof *scorer->nll);
    memset(sums, 0, FEED_LINES * sizeof *sums);
    for (size_t i = 0; i < count; i++)
        sums[(size_t)scorer->batch.target_rows[i] % n] += (double)scorer->nll[i];
    pass_release(&pass, mark);
    return STATUS_OK;
}

static enum status score_files(struct scorer *scorer, bool only_ppl)
{
    double sums[FEED_LINES];
    for (;;) {
        size_t n;
        enum status status = feed_next(&scorer->feed, &scorer->batch, &n);
        if (status < 0 || n == 0)
            return status;
        if ((status = score_batch(scorer, n, sums)) < 0)
            return status;
        scorer->n_pieces += scorer->batch.n_target_tokens;
        for (size_t i = 0; i < n; i++) {
            scorer->total += sums[i];
            if (!only_ppl)
                printf("%.6f\n", -sums[i]);
        }
        if (fflush(stdout) != 0)
            return status_set(STATUS_IO, "cannot write the scores");
    }
}

static void scorer_free(struct scorer *scorer)
{
    feed_free(&scorer->feed);
    free(scorer->nll);
    batch_free(&scorer->batch);
    model_batch_free(&scorer->uploaded);
    model_free(&scorer->model);
    arena_free(&scorer->arena);
    arena_free(&scorer->host);
    backend_close(&scorer->backend);
    free(scorer);
}

/* A translator scores pairs of lines, a language model lines. */
static enum status open_texts(struct scorer *scorer, const struct option_list *paths,
                              const char *language)
{
    const bool is_lm = model_is_lm(&scorer->model);
    if (paths->count != (is_lm ? 1 : 2))
        return status_set(STATUS_USAGE, is_lm ? "score: a language model scores one text: TARGET"
                                              : "score: a translator scores two: SOURCE TARGET");
    return feed_open(&scorer->feed, &scorer->model, language, is_lm ? NULL : paths->items[0],
                     paths->items[paths->count - 1]);
}

static double perplexity(double nll, int64_t count)
{
    return count ? exp(nll / (double)count) : 1;
}

static enum status run(const struct score_options *options, const struct option_list *paths)
{
    const double start = clock_seconds();
    struct scorer *scorer = calloc(1, sizeof *scorer);
    if (!scorer)
        return status_set(STATUS_MEMORY, "no memory to score");
    enum status status = backend_open(&scorer->backend, options->device, (int)options->threads);
    if (status >= 0)
        footer_tell_device(&scorer->backend);
    if (status >= 0)
        status = backend_arena_init(&scorer->backend, &scorer->arena, 0);
    if (status >= 0)
        status = arena_init(&scorer->host, 0);
    if (status >= 0)
        status = model_load(&scorer->model, &scorer->backend, options->model);
    if (status >= 0)
        status = open_texts(scorer, paths, options->language);
    if (status >= 0)
        status = score_files(scorer, options->only_ppl);
    if (status >= 0) {
        const double a_piece = perplexity(scorer->total, scorer->n_pieces);
        char summary[192];
        snprintf(summary, sizeof summary,
                 "%" PRId64 " pieces, perplexity %.4f, %" PRId64 " words, perplexity %.4f",
                 scorer->n_pieces, a_piece, scorer->feed.words,
                 perplexity(scorer->total, scorer->feed.words));
        if (options->only_ppl)
            printf("%.6f\n", a_piece);
        footer_print(start, summary);
    }
    scorer_free(scorer);
    return status;
}

int score_main(int argc, char **argv)
{
    struct score_options options = {.device = "auto"};
    struct option_list arguments = {0};
    int code = options_start(&command, argc, argv, &options, &arguments);
    if (code >= 0)
        return code;
    enum status status =
        options.model ? STATUS_OK : status_set(STATUS_USAGE, "score: no model given (-m)");
    if (status >= 0)
        status = run(&options, &arguments);
    options_free(&command, &options, &arguments);
    return status_finish(status);
}
