/* mixt subword --type wordpiece with a vocabulary that is there: encode, decode, vocab. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "text/pipeline.h"
#include "text/subword/wordpiece.h"
#include "text/subword/wordpiece_words.h"
#include "tools/options.h"
#include "tools/subword/rows.h"
#include "tools/subword/stream.h"
#include "tools/subword/types.h"

struct values {
    const char *model;
    const char *type;
    const char *format;
    const char *unknown;
    const char *output;
    struct option_list inputs; /* beside the plain arguments */
    struct wordpiece_words_options words;
    int64_t max_characters;
    int64_t threads;
};

#define AT(member) offsetof(struct values, member)

/* clang-format off */
#define MODEL_ROW                                                                                  \
    {"model", 'm', NULL, "FILE", OPTION_STRING, AT(model), 0, 0, NULL,                             \
     "the vocabulary, a vocab.txt as BERT's; needed"}
#define TYPE_ROW                                                                                   \
    {"type", 't', NULL, "TYPE", OPTION_STRING, AT(type), 0, 0, "wordpiece",                        \
     "wordpiece; 'mixt subword --help' lists the others"}

static const struct option encode_options[] = {
    MODEL_ROW,
    TYPE_ROW,
    PIECE_OR_ID_ROWS("output-format"),
    {"basic", 0, NULL, NULL, OPTION_FLAG, AT(words.is_basic), 0, 0, NULL,
     "split words as BERT's basic tokenisation does: control characters are dropped, punctuation "
     "and Chinese characters are words of their own (default: only white space separates)"},
    {"lowercase", 0, NULL, NULL, OPTION_FLAG, AT(words.is_lowercase), 0, 0, NULL,
     "the same, in lower case and without accents, as for BERT's uncased vocabularies"},
    {"unknown", 0, NULL, "PIECE", OPTION_STRING, AT(unknown), 0, 0, NULL,
     "the piece for words that have no pieces (default: [UNK])"},
    {"max-characters", 0, NULL, "N", OPTION_INT, AT(max_characters), 1, INT32_MAX, NULL,
     "a longer word is unknown (default: 100)"},
    THREADS_ROW(0),
    INPUTS_ROW,
    OUTPUT_ROW,
};

static const struct option decode_options[] = {
    MODEL_ROW,
    TYPE_ROW,
    PIECE_OR_ID_ROWS("input-format"),
    THREADS_ROW(0),
    INPUTS_ROW,
    OUTPUT_ROW,
};

static const struct option vocab_options[] = {
    MODEL_ROW,
    TYPE_ROW,
    OUTPUT_ROW,
};
/* clang-format on */

static const struct options_command encode_command = {
    .verb = "subword encode --type wordpiece",
    .arguments = "[FILE...]",
    .description = "Cuts the words of each line of the files or of standard input into the "
                   "longest pieces there are, from the left; one line out for each line in.",
    .options = encode_options,
    .n_options = sizeof encode_options / sizeof encode_options[0],
    .max_arguments = SIZE_MAX,
};

static const struct options_command decode_command = {
    .verb = "subword decode --type wordpiece",
    .arguments = "[FILE...]",
    .description = "Joins the pieces or ids of each line of the files or of standard input to "
                   "words. Pieces need no vocabulary.",
    .options = decode_options,
    .n_options = sizeof decode_options / sizeof decode_options[0],
    .max_arguments = SIZE_MAX,
};

static const struct options_command vocab_command = {
    .verb = "subword vocab --type wordpiece",
    .arguments = "",
    .description = "Checks a vocabulary and prints each piece, a tab and its id.",
    .options = vocab_options,
    .n_options = sizeof vocab_options / sizeof vocab_options[0],
};

/* What a thread works with. */
struct desk {
    struct wordpiece_words *words; /* of encode; owned */
    struct ids ids;
};

/* Lines on their way through encode or decode. */
struct job {
    const struct values *values;
    struct wordpiece *wordpiece; /* owned; NULL where pieces are decoded */
    struct desk *desks;          /* [threads] owned */
    struct destination output;
    int threads;
    bool has_ids; /* puts out, or takes in, ids instead of pieces */
};

typedef enum status apply_line(void *context, int thread, const struct line *row,
                               struct buffer *output);

/* Appends what ids stand for, with spaces between, and a line end. */
static enum status append_pieces(const struct job *job, const struct ids *ids,
                                 struct buffer *output)
{
    enum status code = STATUS_OK;
    for (size_t i = 0; i < ids->size && code == STATUS_OK; i++) {
        size_t size;
        const char *piece = wordpiece_piece(job->wordpiece, ids->data[i], &size);
        if (i > 0)
            code = buffer_append(output, " ", 1);
        if (code == STATUS_OK && job->has_ids)
            code = buffer_printf(output, "%" PRId32, ids->data[i]);
        else if (code == STATUS_OK)
            code = buffer_append(output, piece, size);
    }
    return code < 0 ? code : buffer_append(output, "\n", 1);
}

static enum status encode_line(void *context, int thread, const struct line *row,
                               struct buffer *output)
{
    const struct job *job = context;
    struct desk *desk = &job->desks[thread];
    const struct buffer *text;
    ids_clear(&desk->ids);
    enum status code = wordpiece_words_split(desk->words, row->bytes, row->size, &text);
    if (code == STATUS_OK)
        code = wordpiece_encode(job->wordpiece, text->data, text->size, job->values->max_characters,
                                &desk->ids);
    return code < 0 ? code : append_pieces(job, &desk->ids, output);
}

/* Reads ids from a line, with blanks between. */
static enum status read_ids(const struct line *row, struct ids *ids)
{
    ids_clear(ids);
    for (const char *cursor = row->bytes + strspn(row->bytes, " \t"); *cursor != '\0';
         cursor += strspn(cursor, " \t")) {
        char *end = NULL;
        errno = 0;
        const long long id = strtoll(cursor, &end, 10);
        const bool is_number = end != cursor && (*end == '\0' || *end == ' ' || *end == '\t');
        if (!is_number || errno != 0 || id < 0 || id > INT32_MAX) {
            const size_t size = strcspn(cursor, " \t");
            return status_set(STATUS_DATA, "'%.*s' is not a piece id", size < 64 ? (int)size : 64,
                              cursor);
        }
        const enum status code = ids_push(ids, (int32_t)id);
        if (code < 0)
            return code;
        cursor = end;
    }
    return STATUS_OK;
}

static enum status decode_line(void *context, int thread, const struct line *row,
                               struct buffer *output)
{
    const struct job *job = context;
    struct ids *ids = &job->desks[thread].ids;
    enum status code = STATUS_OK;
    if (job->has_ids) {
        code = read_ids(row, ids);
        if (code == STATUS_OK)
            code = wordpiece_decode(job->wordpiece, ids->data, ids->size, output);
    } else {
        code = wordpiece_decode_pieces(row->bytes, row->size, output);
    }
    return code < 0 ? code : buffer_append(output, "\n", 1);
}

static enum status deliver(void *context, const struct buffer *output, bool is_pause)
{
    const struct job *job = context;
    return pipeline_write(job->output.stream, output, is_pause);
}

static enum status apply_to_file(struct job *job, const char *path, apply_line *apply)
{
    struct lines *lines = NULL;
    enum status code = lines_open(&lines, path);
    if (code < 0)
        return code;
    const struct pipeline pipeline = {.inputs = &lines,
                                      .n_inputs = 1,
                                      .threads = job->threads,
                                      .context = job,
                                      .apply = apply,
                                      .deliver = deliver};
    code = pipeline_run(&pipeline);
    warn_of_bad_utf8(lines);
    lines_close(lines);
    return code;
}

static enum status apply_to_files(struct job *job, const struct option_list *arguments,
                                  apply_line *apply)
{
    const struct option_list *inputs = &job->values->inputs;
    if (inputs->count + arguments->count == 0)
        return apply_to_file(job, NULL, apply);
    enum status code = STATUS_OK;
    for (size_t i = 0; i < inputs->count && code == STATUS_OK; i++)
        code = apply_to_file(job, inputs->items[i], apply);
    for (size_t i = 0; i < arguments->count && code == STATUS_OK; i++)
        code = apply_to_file(job, arguments->items[i], apply);
    return code;
}

/* Opens the vocabulary; unknown as for wordpiece_open(). */
static enum status open_vocabulary(const struct values *values, const char *unknown,
                                   struct wordpiece **wordpiece)
{
    if (values->model == NULL)
        return status_set(STATUS_USAGE, "option --model is needed");
    return wordpiece_open(wordpiece, values->model, unknown);
}

static enum status prepare(struct job *job, apply_line *apply)
{
    const struct values *values = job->values;
    const bool is_encode = apply == encode_line;
    job->has_ids = strncmp(values->format, "id", 2) == 0;
    enum status code = STATUS_OK;
    if (is_encode || job->has_ids)
        code = open_vocabulary(values, is_encode ? values->unknown : NULL, &job->wordpiece);
    if (code < 0)
        return code;
    job->desks = calloc((size_t)job->threads, sizeof *job->desks);
    if (job->desks == NULL)
        return status_set(STATUS_MEMORY, "no memory for %d threads", job->threads);
    for (int i = 0; i < job->threads && is_encode && code == STATUS_OK; i++)
        code = wordpiece_words_open(&job->desks[i].words, &values->words);
    return code;
}

static void close_job(struct job *job)
{
    destination_discard(&job->output);
    for (int i = 0; i < job->threads && job->desks != NULL; i++) {
        wordpiece_words_close(job->desks[i].words);
        ids_free(&job->desks[i].ids);
    }
    free(job->desks);
    wordpiece_close(job->wordpiece);
}

/* The common run of encode and decode. */
static int apply_verb(const struct options_command *command, apply_line *apply, int argc,
                      char **argv)
{
    struct values values = {
        .format = "piece", .unknown = "[UNK]", .max_characters = WORDPIECE_DEFAULT_MAX_CHARACTERS};
    struct option_list arguments = {0};
    const int exit_code = options_start(command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    struct job job = {.values = &values, .threads = parallel_threads(values.threads)};
    enum status code = prepare(&job, apply);
    if (code == STATUS_OK)
        code = destination_open(&job.output, values.output);
    if (code == STATUS_OK)
        code = apply_to_files(&job, &arguments, apply);
    if (code == STATUS_OK)
        code = destination_commit(&job.output);
    close_job(&job);
    options_free(command, &values, &arguments);
    return status_finish(code);
}

int wordpiece_encode_main(int argc, char **argv)
{
    return apply_verb(&encode_command, encode_line, argc, argv);
}

int wordpiece_decode_main(int argc, char **argv)
{
    return apply_verb(&decode_command, decode_line, argc, argv);
}

int wordpiece_vocab_main(int argc, char **argv)
{
    struct values values = {0};
    struct option_list arguments = {0};
    const int exit_code = options_start(&vocab_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    struct wordpiece *wordpiece = NULL;
    struct destination output = {0};
    enum status code = open_vocabulary(&values, NULL, &wordpiece);
    if (code == STATUS_OK)
        code = destination_open(&output, values.output);
    for (int32_t id = 0; code == STATUS_OK && id < wordpiece_size(wordpiece); id++) {
        size_t size;
        const char *piece = wordpiece_piece(wordpiece, id, &size);
        fprintf(output.stream, "%.*s\t%" PRId32 "\n", (int)size, piece, id);
    }
    if (code == STATUS_OK)
        code = destination_commit(&output);
    destination_discard(&output);
    wordpiece_close(wordpiece);
    options_free(&vocab_command, &values, &arguments);
    return status_finish(code);
}
