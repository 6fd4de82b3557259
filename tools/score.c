/* mixt score: how probable a model finds given translations, or a language model given text. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "model/languages.h"
#include "model/model_file.h"
#include "text/lines.h"
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
    {"device", 0, NULL, "NAME", OPTION_STRING, AT(device), 0, 0, "auto|cpu|ref",
     "what computes (default auto)"},
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

enum { BLOCK_PAIRS = 64 };

struct scorer {
    struct backend backend;
    struct model model;
    struct arena arena;
    struct batch batch;
    struct model_batch uploaded;
    struct model_record record;
    struct lines *inputs[2]; /* owned; source and target, or a language model's one text */
    int n_inputs;
    int32_t prefix;                   /* piece that sources begin with, -1: none */
    struct ids sides[2][BLOCK_PAIRS]; /* sources, empty for a language model, and targets */
    float *nll;                       /* owned [nll_capacity] */
    size_t nll_capacity;
    double total;
    int64_t n_pieces, n_words;
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
            batch_add(&scorer->batch, scorer->sides[0][i].data, (int64_t)scorer->sides[0][i].size,
                      scorer->sides[1][i].data, (int64_t)scorer->sides[1][i].size);
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

/* The ids of a line, with eos, behind the prefix where that is not -1. */
static enum status encode(const struct subword *subword, const struct line *line, int32_t prefix,
                          struct ids *ids)
{
    ids_clear(ids);
    enum status status = prefix >= 0 ? ids_push(ids, prefix) : STATUS_OK;
    if (status >= 0)
        status = subword_encode(subword, line->bytes, line->size, ids);
    return status < 0 ? status : ids_push(ids, subword_eos_id(subword));
}

/* White space separated words of a line, and its end. */
static int64_t count_words(const struct line *line)
{
    int64_t count = 1;
    bool is_inside = false;
    for (size_t i = 0; i < line->size; i++) {
        const bool is_space = strchr(" \t\r\f\v", line->bytes[i]) != NULL;
        count += !is_space && !is_inside;
        is_inside = !is_space;
    }
    return count;
}

static enum status unequal(const struct scorer *scorer, bool source_ended)
{
    struct lines *const ended = scorer->inputs[!source_ended];
    struct lines *const longer = scorer->inputs[source_ended];
    (void)status_set(STATUS_DATA, "%s ends after %" PRId64 " lines, %s goes on", lines_name(ended),
                     lines_so_far(ended)->lines, lines_name(longer));
    status_hint("the files must be line-parallel");
    return STATUS_DATA;
}

/* Reads up to a block of lines or pairs; *n is 0 at the end of all files. */
static enum status read_block(struct scorer *scorer, size_t *n)
{
    const int n_inputs = scorer->n_inputs;
    for (*n = 0; *n < BLOCK_PAIRS; (*n)++) {
        struct line lines[2];
        enum status status = STATUS_OK;
        for (int i = 0; i < n_inputs && status >= 0; i++)
            status = lines_next(scorer->inputs[i], &lines[i]);
        if (status < 0)
            return status;
        const struct line *target = &lines[n_inputs - 1];
        if ((lines[0].bytes == NULL) != (target->bytes == NULL))
            return unequal(scorer, !lines[0].bytes);
        if (!target->bytes)
            return STATUS_OK;
        if (n_inputs == 2)
            status =
                encode(scorer->model.subword, &lines[0], scorer->prefix, &scorer->sides[0][*n]);
        if (status >= 0)
            status = encode(scorer->model.subword, target, -1, &scorer->sides[1][*n]);
        if (status < 0)
            return status;
        scorer->n_pieces += (int64_t)scorer->sides[1][*n].size;
        scorer->n_words += count_words(target);
    }
    return STATUS_OK;
}

static enum status score_files(struct scorer *scorer, bool only_ppl)
{
    double sums[BLOCK_PAIRS];
    for (;;) {
        size_t n;
        enum status status = read_block(scorer, &n);
        if (status < 0 || n == 0)
            return status;
        if ((status = score_block(scorer, n, sums)) < 0)
            return status;
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
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < BLOCK_PAIRS; i++)
            ids_free(&scorer->sides[side][i]);
        lines_close(scorer->inputs[side]);
    }
    free(scorer->nll);
    batch_free(&scorer->batch);
    model_batch_free(&scorer->uploaded);
    model_free(&scorer->model);
    arena_free(&scorer->arena);
    backend_close(&scorer->backend);
    free(scorer);
}

/* A translator scores pairs of lines, a language model lines. */
static enum status open_inputs(struct scorer *scorer, const struct option_list *paths)
{
    const bool is_lm = model_is_lm(&scorer->model);
    enum status status = STATUS_OK;
    if (paths->count != (is_lm ? 1 : 2))
        return status_set(STATUS_USAGE, is_lm ? "score: a language model scores one text: TARGET"
                                              : "score: a translator scores two: SOURCE TARGET");
    scorer->n_inputs = (int)paths->count;
    for (int i = 0; i < scorer->n_inputs && status >= 0; i++)
        status = lines_open(&scorer->inputs[i], paths->items[i]);
    return status;
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
        status = arena_init(&scorer->arena, 0);
    if (status >= 0)
        status = model_load(&scorer->model, &scorer->backend, options->model);
    if (status >= 0)
        status = languages_piece(&scorer->model.config.data.languages, scorer->model.subword,
                                 options->language, &scorer->prefix);
    if (status >= 0)
        status = open_inputs(scorer, paths);
    if (status >= 0)
        status = score_files(scorer, options->only_ppl);
    if (status >= 0) {
        const double a_piece = perplexity(scorer->total, scorer->n_pieces);
        char summary[192];
        snprintf(summary, sizeof summary,
                 "%" PRId64 " pieces, perplexity %.4f, %" PRId64 " words, perplexity %.4f",
                 scorer->n_pieces, a_piece, scorer->n_words,
                 perplexity(scorer->total, scorer->n_words));
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
