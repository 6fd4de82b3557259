/* mixt subword for subword-nmt's codes: cut the words of lines by them, and join them again. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "text/lines.h"
#include "text/subword/bpe.h"
#include "tools/options.h"
#include "tools/subword/rows.h"
#include "tools/subword/subword_nmt_stream.h"
#include "tools/subword/types.h"

struct values {
    const char *type; /* chose these verbs */
    const char *input;
    const char *output;
    const char *codes;
    int64_t n_merges;
    const char *separator;
    const char *vocabulary;
    int64_t threshold;
    double dropout;
    int64_t seed;
    struct option_list glossaries;
    int64_t threads;
};

#define AT(member) offsetof(struct values, member)
#define TYPE_ROW                                                                                   \
    {                                                                                              \
        "type", 0, NULL, "TYPE", OPTION_STRING, AT(type), 0, 0, "subword-nmt", NULL                \
    }
#define INPUT_ROW                                                                                  \
    {                                                                                              \
        "input", 'i', NULL, "FILE", OPTION_STRING, AT(input), 0, 0, NULL,                          \
            "another way to name FILE"                                                             \
    }
#define SEPARATOR_ROW                                                                              \
    {                                                                                              \
        "separator", 's', NULL, "TEXT", OPTION_STRING, AT(separator), 0, 0, NULL,                  \
            "behind pieces that do not end a word (default: @@)"                                   \
    }

/* clang-format off */
static const struct option apply_options[] = {
    TYPE_ROW,
    {"codes", 'c', NULL, "FILE", OPTION_STRING, AT(codes), 0, 0, NULL, "the codes; needed"},
    INPUT_ROW,
    OUTPUT_ROW,
    {"merges", 'm', NULL, "N", OPTION_INT, AT(n_merges), -1, INFINITY, NULL,
     "use the first N merges only (default: -1, all)"},
    SEPARATOR_ROW,
    {"vocabulary", 0, NULL, "FILE", OPTION_STRING, AT(vocabulary), 0, 0, NULL,
     "undo merges until each piece is one of this file, lines of a piece, a space and its count"},
    {"vocabulary-threshold", 0, NULL, "N", OPTION_INT, AT(threshold), -1e15, 1e15, NULL,
     "and of these only pieces with a count of N or more (default: all)"},
    {"dropout", 0, NULL, "P", OPTION_DOUBLE, AT(dropout), 0, 1, NULL,
     "leave each merge out with this probability, for the text to train on (default: 0)"},
    {"seed", 0, NULL, "N", OPTION_INT, AT(seed), 0, INFINITY, NULL,
     "of dropout: it, the number of a line and its text decide (default: 0)"},
    {"glossaries", 0, NULL, "PATTERN", OPTION_WORDS, AT(glossaries), 0, 0, NULL,
     "keep what matches one of these regular expressions in one piece, apart from the rest of its "
     "word"},
    THREADS_ROW(-1),
    {"num-workers", 0, NULL, "N", OPTION_INT, AT(threads), -1, PARALLEL_MAX_THREADS, NULL,
     "the same"},
};

static const struct option decode_options[] = {
    TYPE_ROW,
    INPUT_ROW,
    OUTPUT_ROW,
    SEPARATOR_ROW,
    THREADS_ROW(-1),
};
/* clang-format on */

#undef AT

static const struct options_command apply_command = {
    .verb = "subword encode --type subword-nmt",
    .arguments = "[FILE]",
    .description = "Cuts the words of FILE or standard input into pieces, byte for byte as "
                   "subword-nmt apply-bpe does; one line out for each line in.",
    .options = apply_options,
    .n_options = sizeof apply_options / sizeof apply_options[0],
    .max_arguments = 1,
};

static const struct options_command decode_command = {
    .verb = "subword decode --type subword-nmt",
    .arguments = "[FILE]",
    .description = "Joins the pieces of each line of FILE or standard input to words.",
    .options = decode_options,
    .n_options = sizeof decode_options / sizeof decode_options[0],
    .max_arguments = 1,
};

/* What encode works with. */
struct apply {
    struct bpe_codes codes;
    struct strings vocabulary;
    struct bpe_glossaries *glossaries;
    struct bpe *bpe;
    struct bpe_encoder **encoders; /* [threads] */
    int threads;
};

static enum status read_codes(struct apply *apply, const struct values *values)
{
    struct lines *lines = NULL;
    enum status status = lines_open(&lines, values->codes);
    if (status == STATUS_OK)
        status = bpe_codes_read(&apply->codes, lines, values->n_merges);
    lines_close(lines);
    return status;
}

static enum status read_vocabulary(struct apply *apply, const struct values *values)
{
    struct lines *lines = NULL;
    enum status status = lines_open(&lines, values->vocabulary);
    if (status == STATUS_OK)
        status = bpe_read_vocabulary(&apply->vocabulary, lines, values->threshold);
    lines_close(lines);
    return status;
}

static enum status open_apply(struct apply *apply, const struct values *values)
{
    const bool is_bytes = apply->codes.version == BPE_VERSION_BYTE;
    enum status status = STATUS_OK;
    if (values->vocabulary != NULL)
        status = read_vocabulary(apply, values);
    if (status == STATUS_OK && values->glossaries.count > 0)
        status = bpe_glossaries_open(&apply->glossaries, values->glossaries.items,
                                     values->glossaries.count, is_bytes);
    const struct bpe_options options = {.separator = values->separator,
                                        .vocabulary = &apply->vocabulary,
                                        .glossaries = apply->glossaries,
                                        .dropout = values->dropout,
                                        .seed = (uint64_t)values->seed};
    if (status == STATUS_OK)
        status = bpe_open(&apply->bpe, &apply->codes, &options);
    apply->threads = parallel_threads(values->threads);
    apply->encoders = calloc((size_t)apply->threads, sizeof(struct bpe_encoder *));
    if (status == STATUS_OK && apply->encoders == NULL)
        status = status_set(STATUS_MEMORY, "no memory for %d threads", apply->threads);
    for (int i = 0; i < apply->threads && status == STATUS_OK; i++)
        status = bpe_encoder_open(&apply->encoders[i], apply->bpe);
    return status;
}

static void close_apply(struct apply *apply)
{
    for (int i = 0; i < apply->threads && apply->encoders != NULL; i++)
        bpe_encoder_close(apply->encoders[i]);
    free(apply->encoders);
    bpe_close(apply->bpe);
    bpe_glossaries_close(apply->glossaries);
    strings_free(&apply->vocabulary);
    bpe_codes_free(&apply->codes);
}

static enum status encode_line(void *context, int thread, const struct line *line,
                               struct buffer *output)
{
    const struct apply *apply = context;
    return bpe_encode_line(apply->encoders[thread], line, output);
}

static enum status decode_line(void *context, int thread, const struct line *line,
                               struct buffer *output)
{
    const struct values *values = context;
    (void)thread;
    return bpe_decode_line(values->separator, line->bytes, line->size, output);
}

int subword_nmt_apply_main(int argc, char **argv)
{
    struct values values = {.separator = "@@", .n_merges = -1, .threshold = INT64_MIN};
    struct option_list arguments = {0};
    const int exit_code = options_start(&apply_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    if (arguments.count > 0)
        values.input = arguments.items[0];
    struct apply apply = {0};
    enum status status = STATUS_OK;
    if (values.codes == NULL) {
        status = status_set(STATUS_USAGE, "option --codes is needed");
        status_hint("'mixt subword train --type subword-nmt' makes such a file");
    }
    if (status == STATUS_OK)
        status = read_codes(&apply, &values);
    if (status == STATUS_OK)
        status = open_apply(&apply, &values);
    const struct nmt_job job = {.input = values.input,
                                .output = values.output,
                                .threads = apply.threads,
                                .context = &apply,
                                .apply = encode_line,
                                .wants_utf8 = apply.codes.version != BPE_VERSION_BYTE};
    if (status == STATUS_OK)
        status = nmt_run(&job);
    close_apply(&apply);
    options_free(&apply_command, &values, &arguments);
    return status_finish(status);
}

int subword_nmt_decode_main(int argc, char **argv)
{
    struct values values = {.separator = "@@"};
    struct option_list arguments = {0};
    const int exit_code = options_start(&decode_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    if (arguments.count > 0)
        values.input = arguments.items[0];
    const struct nmt_job job = {.input = values.input,
                                .output = values.output,
                                .threads = parallel_threads(values.threads),
                                .context = &values,
                                .apply = decode_line};
    const enum status status = nmt_run(&job);
    options_free(&decode_command, &values, &arguments);
    return status_finish(status);
}
