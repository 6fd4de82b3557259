/* mixt subword: train a subword model, apply it to lines, undo it, print its vocabulary. */
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "text/lines.h"
#include "text/subword/sentencepiece.h"
#include "tools/footer.h"
#include "tools/options.h"
#include "tools/verbs.h"

static int print_failure(enum status status)
{
    status_print();
    return status_exit_code(status);
}

struct train_values {
    struct option_list inputs; /* each a list of paths with commas between */
    const char *model;
    const char *type;
    const char *normalize;
    int64_t size;
    double coverage;
    bool byte_fallback;
    int64_t sample;
    int64_t seed;
    int64_t max_line;
};

#define AT(member) offsetof(struct train_values, member)

static const struct option train_options[] = {
    {"input", 'i', NULL, "FILE[,FILE]", OPTION_LIST, AT(inputs), 0, 0, NULL,
     "the text, a sentence a line; .gz is fine; may be repeated (default: standard input)"},
    {"model", 'm', NULL, "FILE", OPTION_STRING, AT(model), 0, 0, NULL,
     "where to write the model; needed"},
    {"type", 't', NULL, "TYPE", OPTION_STRING, AT(type), 0, 0, "unigram|bpe",
     "unigram or bpe (default: bpe)"},
    {"size", 's', NULL, "N", OPTION_INT, AT(size), 5, 1 << 22, NULL,
     "pieces in the vocabulary (default: 8000)"},
    {"coverage", 0, NULL, "SHARE", OPTION_DOUBLE, AT(coverage), 0.9, 1, NULL,
     "share of the characters that get a piece (default: 0.9995)"},
    {"normalize", 0, NULL, "NAME", OPTION_STRING, AT(normalize), 0, 0,
     "nmt_nfkc|nfkc|nmt_nfkc_cf|nfkc_cf|identity",
     "nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf or identity (default: nmt_nfkc)"},
    {"byte-fallback", 0, NULL, NULL, OPTION_FLAG, AT(byte_fallback), 0, 0, NULL,
     "spell other characters in bytes: 256 pieces more, and nothing is unknown"},
    {"sample", 0, NULL, "LINES", OPTION_INT, AT(sample), 1, 1e9, NULL,
     "train on at most so many lines, drawn evenly (default: 2000000)"},
    {"seed", 0, NULL, "N", OPTION_INT, AT(seed), 0, INFINITY, NULL, "of that draw (default: 0)"},
    {"max-line", 0, NULL, "BYTES", OPTION_INT, AT(max_line), 1, 1 << 20, NULL,
     "leave longer lines out (default: 4096)"},
};

#undef AT

static const struct options_command train_command = {
    .verb = "subword train",
    .arguments = "",
    .description = "Trains a SentencePiece model. The same text and options give the same bytes "
                   "on any machine. Ids 0 to 3 are padding, unknown, begin and end of sentence.",
    .options = train_options,
    .n_options = sizeof train_options / sizeof train_options[0],
};

/* Splits a copy of the inputs at commas. paths and text are to be freed. */
static enum status split_inputs(const struct option_list *inputs, struct option_list *paths,
                                struct buffer *text)
{
    enum status status = STATUS_OK;
    size_t n_paths = 0;
    for (size_t i = 0; i < inputs->count && status == STATUS_OK; i++) {
        status = buffer_append(text, inputs->items[i], strlen(inputs->items[i]) + 1);
        for (const char *cursor = inputs->items[i]; cursor; cursor = strchr(cursor + 1, ','))
            n_paths++;
    }
    if (status < 0)
        return status;
    paths->items = calloc(n_paths + 1, sizeof *paths->items);
    if (!paths->items)
        return status_set(STATUS_MEMORY, "no memory for the command line");
    for (char *cursor = text->data; cursor && cursor < text->data + text->size;) {
        const size_t length = strcspn(cursor, ",");
        cursor[length] = '\0';
        if (length == 0)
            return status_set(STATUS_USAGE, "option --input has an empty file name");
        paths->items[paths->count++] = cursor;
        cursor += length + 1;
    }
    if (paths->count == 0)
        paths->items[paths->count++] = "-";
    return STATUS_OK;
}

static enum status write_model(const char *path, const struct buffer *model)
{
    struct file_writer writer;
    const enum status status = file_create(&writer, path);
    if (status < 0)
        return status;
    fwrite(model->data, 1, model->size, writer.stream); /* file_commit() sees a failure */
    return file_commit(&writer);
}

static enum status train(const struct train_values *values, const struct option_list *paths)
{
    const double start_s = clock_seconds();
    struct subword_train_options options = subword_train_defaults();
    options.paths = paths->items;
    options.n_paths = paths->count;
    options.type = values->type;
    options.normalize = values->normalize;
    options.size = values->size;
    options.coverage = values->coverage;
    options.byte_fallback = values->byte_fallback;
    options.sample_lines = values->sample;
    options.seed = (uint64_t)values->seed;
    options.max_line_bytes = (size_t)values->max_line;
    struct buffer model = {0};
    struct subword_train_report report;
    enum status status = subword_train(&options, &model, &report);
    if (status == STATUS_OK)
        status = write_model(values->model, &model);
    buffer_free(&model);
    if (status < 0)
        return status;
    char summary[256];
    snprintf(summary, sizeof summary,
             "%" PRId64 " pieces from %" PRId64 " of %" PRId64 " lines (%" PRId64 " blank, %" PRId64
             " too long)",
             values->size, report.sampled, report.lines, report.empty, report.too_long);
    footer_print(start_s, summary);
    return STATUS_OK;
}

static int train_verb(int argc, char **argv)
{
    const struct subword_train_options defaults = subword_train_defaults();
    struct train_values values = {
        .type = defaults.type,
        .normalize = defaults.normalize,
        .size = defaults.size,
        .coverage = defaults.coverage,
        .sample = defaults.sample_lines,
        .max_line = (int64_t)defaults.max_line_bytes,
    };
    struct option_list arguments = {0}, paths = {0};
    struct buffer text = {0};
    const int exit_code = options_start(&train_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    enum status status = STATUS_OK;
    if (!values.model) {
        status = status_set(STATUS_USAGE, "option --model is needed");
        status_hint("it names the file to write");
    }
    if (status == STATUS_OK)
        status = split_inputs(&values.inputs, &paths, &text);
    if (status == STATUS_OK)
        status = train(&values, &paths);
    options_free(&train_command, &values, &arguments);
    free(paths.items);
    buffer_free(&text);
    return status < 0 ? print_failure(status) : 0;
}

/* The options of encode, decode and vocab. */
struct apply_values {
    const char *model;
    const char *format;
    double sample; /* negative: not wanted */
    int64_t n_best;
    int64_t seed;
};

#define AT(member) offsetof(struct apply_values, member)

static const struct option encode_options[] = {
    {"model", 'm', NULL, "FILE", OPTION_STRING, AT(model), 0, 0, NULL, "the model; needed"},
    {"format", 'f', NULL, "NAME", OPTION_STRING, AT(format), 0, 0, "pieces|ids",
     "pieces or ids (default: pieces)"},
    {"sample", 0, NULL, "ALPHA", OPTION_DOUBLE, AT(sample), 0, 100, NULL,
     "segment at random: for unigram models, pieces drawn by probability to the power ALPHA; for "
     "bpe models (0 to 1), merges left out with probability ALPHA"},
    {"n-best", 0, NULL, "N", OPTION_INT, AT(n_best), -1, 512, NULL,
     "draw among the N best segmentations only; unigram models (default: -1, all)"},
    {"seed", 0, NULL, "N", OPTION_INT, AT(seed), 0, INFINITY, NULL,
     "of the random segmentation (default: 0)"},
};

static const struct option decode_options[] = {
    {"model", 'm', NULL, "FILE", OPTION_STRING, AT(model), 0, 0, NULL, "the model; needed"},
    {"format", 'f', NULL, "NAME", OPTION_STRING, AT(format), 0, 0, "pieces|ids",
     "pieces or ids (default: pieces)"},
};

static const struct option vocab_options[] = {
    {"model", 'm', NULL, "FILE", OPTION_STRING, AT(model), 0, 0, NULL, "the model; needed"},
};

#undef AT

static const struct options_command encode_command = {
    .verb = "subword encode",
    .arguments = "[FILE]",
    .description = "Segments each line of FILE or standard input; one line out for each line in.",
    .options = encode_options,
    .n_options = sizeof encode_options / sizeof encode_options[0],
    .max_arguments = 1,
};

static const struct options_command decode_command = {
    .verb = "subword decode",
    .arguments = "[FILE]",
    .description = "Joins the pieces or ids of each line of FILE or standard input to text.",
    .options = decode_options,
    .n_options = sizeof decode_options / sizeof decode_options[0],
    .max_arguments = 1,
};

static const struct options_command vocab_command = {
    .verb = "subword vocab",
    .arguments = "",
    .description = "Prints each piece of a model, a tab and its score, in the order of the ids.",
    .options = vocab_options,
    .n_options = sizeof vocab_options / sizeof vocab_options[0],
};

/* One line on its way through encode or decode. */
struct apply {
    const struct apply_values *values;
    struct subword *subword;
    struct ids ids;
    struct buffer output;
};

typedef enum status apply_line(struct apply *apply, const struct line *line);

static enum status encode_line(struct apply *apply, const struct line *line)
{
    const struct apply_values *values = apply->values;
    const bool wants_ids = strcmp(values->format, "ids") == 0;
    if (values->sample < 0 && !wants_ids)
        return subword_encode_pieces(apply->subword, line->bytes, line->size, &apply->output);
    enum status status = STATUS_OK;
    if (values->sample < 0)
        status = subword_encode(apply->subword, line->bytes, line->size, &apply->ids);
    else
        status = subword_sample(apply->subword, line->bytes, line->size, values->sample,
                                (int)values->n_best, (uint64_t)(values->seed + line->number),
                                &apply->ids);
    for (size_t i = 0; i < apply->ids.size && status == STATUS_OK; i++) {
        const int32_t id = apply->ids.data[i];
        const char *space = i ? " " : "";
        if (wants_ids)
            status = buffer_printf(&apply->output, "%s%" PRId32, space, id);
        else
            status =
                buffer_printf(&apply->output, "%s%s", space, subword_piece(apply->subword, id));
    }
    return status;
}

/* Reads ids from a line, with blanks between. */
static enum status read_ids(const struct line *line, struct ids *ids)
{
    for (const char *cursor = line->bytes + strspn(line->bytes, " \t"); *cursor;
         cursor += strspn(cursor, " \t")) {
        char *end = NULL;
        errno = 0;
        const long long id = strtoll(cursor, &end, 10);
        const bool is_number = end != cursor && (*end == '\0' || *end == ' ' || *end == '\t');
        if (!is_number || errno || id < 0 || id > INT32_MAX)
            return status_set(STATUS_DATA, "'%.*s' is not a piece id", (int)strcspn(cursor, " \t"),
                              cursor);
        const enum status status = ids_push(ids, (int32_t)id);
        if (status < 0)
            return status;
        cursor = end;
    }
    return STATUS_OK;
}

static enum status decode_line(struct apply *apply, const struct line *line)
{
    if (strcmp(apply->values->format, "ids") != 0)
        return subword_decode_pieces(apply->subword, line->bytes, line->size, &apply->output);
    const enum status status = read_ids(line, &apply->ids);
    if (status < 0)
        return status;
    return subword_decode(apply->subword, apply->ids.data, apply->ids.size, &apply->output);
}

static void warn_of_repairs(const struct lines *lines)
{
    struct buffer text = {0};
    if (lines_describe(lines_so_far(lines), lines_name(lines), &text) == STATUS_OK && text.size)
        fprintf(stderr, "mixt: warning: %s\n", text.data);
    buffer_free(&text);
}

/* Writes one line for each line read; flushes whenever the next one is not there yet. */
static enum status apply_to_lines(struct apply *apply, struct lines *lines, apply_line *apply_one)
{
    for (;;) {
        if (lines_would_block(lines))
            fflush(stdout);
        struct line line;
        enum status status = lines_next(lines, &line);
        if (status < 0 || !line.bytes)
            return status;
        ids_clear(&apply->ids);
        buffer_clear(&apply->output);
        status = apply_one(apply, &line);
        if (status < 0)
            return status_set(status, "%s:%" PRId64 ": %s", lines_name(lines), line.number,
                              status_message());
        if (apply->output.size)
            fwrite(apply->output.data, 1, apply->output.size, stdout);
        if (putchar('\n') == EOF)
            return status_set(STATUS_IO, "standard output: cannot write: %s", strerror(errno));
    }
}

static enum status check_sampling(const struct apply_values *values, const struct subword *subword)
{
    if (values->sample > 1 && subword_is_bpe(subword))
        return status_set(STATUS_USAGE, "option --sample is a probability for a bpe model, not %g",
                          values->sample);
    return STATUS_OK;
}

/* The common run of encode and decode. */
static int apply_verb(const struct options_command *command, apply_line *apply_one, int argc,
                      char **argv)
{
    struct apply_values values = {.format = "pieces", .sample = -1, .n_best = -1};
    struct option_list arguments = {0};
    const int exit_code = options_start(command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    struct apply apply = {.values = &values};
    struct lines *lines = NULL;
    enum status status = STATUS_OK;
    if (!values.model)
        status = status_set(STATUS_USAGE, "option --model is needed");
    else
        status = subword_open_file(&apply.subword, values.model);
    if (status == STATUS_OK)
        status = check_sampling(&values, apply.subword);
    if (status == STATUS_OK)
        status = lines_open(&lines, arguments.count ? arguments.items[0] : NULL);
    if (status == STATUS_OK) {
        status = apply_to_lines(&apply, lines, apply_one);
        warn_of_repairs(lines);
    }
    lines_close(lines);
    subword_free(apply.subword);
    ids_free(&apply.ids);
    buffer_free(&apply.output);
    options_free(command, &values, &arguments);
    return status < 0 ? print_failure(status) : 0;
}

static int vocab_verb(int argc, char **argv)
{
    struct apply_values values = {0};
    struct option_list arguments = {0};
    const int exit_code = options_start(&vocab_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    struct subword *subword = NULL;
    enum status status = STATUS_OK;
    if (!values.model)
        status = status_set(STATUS_USAGE, "option --model is needed");
    else
        status = subword_open_file(&subword, values.model);
    for (int32_t id = 0; status == STATUS_OK && id < subword_size(subword); id++)
        printf("%s\t%g\n", subword_piece(subword, id), subword_score(subword, id) + 0.0);
    subword_free(subword);
    options_free(&vocab_command, &values, &arguments);
    return status < 0 ? print_failure(status) : 0;
}

static void print_help(void)
{
    printf("Usage: mixt subword train|encode|decode|vocab [OPTION...]\n\n"
           "Subword models: the pieces of words that translation models read and write.\n\n"
           "  train      train a model on text\n"
           "  encode     text to pieces or ids, line by line\n"
           "  decode     pieces or ids to text, line by line\n"
           "  vocab      print the pieces of a model and their scores\n\n"
           "'mixt subword train --help' lists the options of train, and so on.\n");
}

int subword_main(int argc, char **argv)
{
    static const char *const names[] = {"train", "encode", "decode", "vocab"};
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help();
        return 0;
    }
    if (strcmp(word, "train") == 0)
        return train_verb(argc - 1, argv + 1);
    if (strcmp(word, "encode") == 0)
        return apply_verb(&encode_command, encode_line, argc - 1, argv + 1);
    if (strcmp(word, "decode") == 0)
        return apply_verb(&decode_command, decode_line, argc - 1, argv + 1);
    if (strcmp(word, "vocab") == 0)
        return vocab_verb(argc - 1, argv + 1);
    const char *nearest = options_nearest(word, names, sizeof names / sizeof names[0]);
    enum status status = STATUS_USAGE;
    if (!*word)
        status = status_set(status, "subword wants train, encode, decode or vocab");
    else if (nearest)
        status = status_set(status, "unknown subword verb '%s'; did you mean '%s'?", word, nearest);
    else
        status = status_set(status, "unknown subword verb '%s'", word);
    status_hint("'mixt subword --help' lists them");
    return print_failure(status);
}
