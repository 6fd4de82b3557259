/* mixt score: how probable a model finds given translations. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/model_file.h"
#include "text/lines.h"
#include "tools/footer.h"
#include "tools/options.h"
#include "tools/verbs.h"

struct score_options {
    const char *model, *device;
    int64_t threads;
    bool only_ppl;
};

#define AT(member) offsetof(struct score_options, member)

static const struct option table[] = {
    {"model", 'm', NULL, "MODEL", OPTION_STRING, AT(model), 0, 0, NULL,
     "run directory (its best model) or .safetensors file"},
    {"ppl", 0, NULL, NULL, OPTION_FLAG, AT(only_ppl), 0, 0, NULL,
     "print only the perplexity of the whole, per target piece"},
    {"threads", 't', NULL, "N", OPTION_INT, AT(threads), 0, 1024, NULL,
     "threads (default 0: all cores)"},
    {"device", 0, NULL, "NAME", OPTION_STRING, AT(device), 0, 0, "auto|cpu|ref",
     "what computes (default auto)"},
};

static const struct options_command command = {
    .verb = "score",
    .arguments = "SOURCE TARGET",
    .description =
        "Prints for each pair of lines the natural logarithm of the probability that the model "
        "gives the target, end of sentence included. Pairs are scored whole, whatever their "
        "length. The perplexity of all goes to standard error, or, with --ppl, alone to standard "
        "output.",
    .options = table,
    .n_options = sizeof table / sizeof *table,
    .min_arguments = 2,
    .max_arguments = 2,
};

enum { BLOCK_PAIRS = 64 };

struct scorer {
    struct backend backend;
    struct model model;
    struct arena arena;
    struct batch batch;
    struct model_batch uploaded;
    struct model_record record;
    struct ids sources[BLOCK_PAIRS], targets[BLOCK_PAIRS];
    float *nll; /* owned [nll_capacity] */
    size_t nll_capacity;
    double total;
    int64_t n_pieces;
};

/* Sums of negative log-likelihoods of the n pairs of the block. */
static enum status score_block(struct scorer *scorer, size_t n, double sums[BLOCK_PAIRS])
{
    const struct pass pass = {.backend = &scorer->backend, .arena = &scorer->arena};
    const size_t mark = arena_mark(&scorer->arena);
    batch_start(&scorer->batch);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n && status >= 0; i++)
        status =
            batch_add(&scorer->batch, scorer->sources[i].data, (int64_t)scorer->sources[i].size,
                      scorer->targets[i].data, (int64_t)scorer->targets[i].size);
    if (status >= 0)
        status = batch_finish(&scorer->batch, subword_bos_id(scorer->model.subword), 0);
    if (status >= 0)
        status = model_batch_upload(&scorer->uploaded, &pass, &scorer->batch);
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
    memset(sums, 0, BLOCK_PAIRS * sizeof *sums);
    for (size_t i = 0; i < count; i++)
        sums[(size_t)scorer->batch.target_rows[i] % n] += (double)scorer->nll[i];
    arena_release(&scorer->arena, mark);
    return STATUS_OK;
}

static enum status encode(const struct subword *subword, const struct line *line, struct ids *ids)
{
    ids_clear(ids);
    const enum status status = subword_encode(subword, line->bytes, line->size, ids);
    return status < 0 ? status : ids_push(ids, subword_eos_id(subword));
}

/* Reads up to a block of pairs; *n is 0 at the end of both files. */
static enum status read_block(struct scorer *scorer, struct lines *sources, struct lines *targets,
                              size_t *n)
{
    const struct subword *subword = scorer->model.subword;
    for (*n = 0; *n < BLOCK_PAIRS; (*n)++) {
        struct line source, target;
        enum status status = lines_next(sources, &source);
        if (status >= 0)
            status = lines_next(targets, &target);
        if (status < 0)
            return status;
        if (!source.bytes && !target.bytes)
            return STATUS_OK;
        if (!source.bytes || !target.bytes) {
            (void)status_set(STATUS_DATA, "%s ends after %" PRId64 " lines, %s goes on",
                             lines_name(source.bytes ? targets : sources),
                             lines_so_far(source.bytes ? targets : sources)->lines,
                             lines_name(source.bytes ? sources : targets));
            status_hint("the files must be line-parallel");
            return STATUS_DATA;
        }
        status = encode(subword, &source, &scorer->sources[*n]);
        if (status >= 0)
            status = encode(subword, &target, &scorer->targets[*n]);
        if (status < 0)
            return status;
    }
    return STATUS_OK;
}

static enum status score_files(struct scorer *scorer, struct lines *sources, struct lines *targets,
                               bool only_ppl)
{
    double sums[BLOCK_PAIRS];
    for (;;) {
        size_t n;
        enum status status = read_block(scorer, sources, targets, &n);
        if (status < 0 || n == 0)
            return status;
        if ((status = score_block(scorer, n, sums)) < 0)
            return status;
        for (size_t i = 0; i < n; i++) {
            scorer->total += sums[i];
            scorer->n_pieces += (int64_t)scorer->targets[i].size;
            if (!only_ppl)
                printf("%.6f\n", -sums[i]);
        }
        if (fflush(stdout) != 0)
            return status_set(STATUS_IO, "cannot write the scores");
    }
}

static void scorer_free(struct scorer *scorer)
{
    for (int i = 0; i < BLOCK_PAIRS; i++) {
        ids_free(&scorer->sources[i]);
        ids_free(&scorer->targets[i]);
    }
    free(scorer->nll);
    batch_free(&scorer->batch);
    model_batch_free(&scorer->uploaded);
    model_free(&scorer->model);
    arena_free(&scorer->arena);
    backend_close(&scorer->backend);
    free(scorer);
}

static enum status run(const struct score_options *options, const char *source, const char *target)
{
    const double start = clock_seconds();
    struct scorer *scorer = calloc(1, sizeof *scorer);
    struct lines *sources = NULL, *targets = NULL;
    if (!scorer)
        return status_set(STATUS_MEMORY, "no memory to score");
    enum status status = backend_open(&scorer->backend, options->device, (int)options->threads);
    if (status >= 0)
        status = arena_init(&scorer->arena, 0);
    if (status >= 0)
        status = model_load(&scorer->model, &scorer->backend, options->model);
    if (status >= 0)
        status = lines_open(&sources, source);
    if (status >= 0)
        status = lines_open(&targets, target);
    if (status >= 0)
        status = score_files(scorer, sources, targets, options->only_ppl);
    if (status >= 0) {
        const double perplexity =
            scorer->n_pieces ? exp(scorer->total / (double)scorer->n_pieces) : 1;
        char summary[128];
        snprintf(summary, sizeof summary, "%" PRId64 " target pieces, perplexity %.4f",
                 scorer->n_pieces, perplexity);
        if (options->only_ppl)
            printf("%.6f\n", perplexity);
        footer_print(start, summary);
    }
    lines_close(sources);
    lines_close(targets);
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
        status = run(&options, arguments.items[0], arguments.items[1]);
    options_free(&command, &options, &arguments);
    return status_finish(status);
}
