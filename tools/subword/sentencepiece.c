/* mixt subword for SentencePiece models that are there: encode, decode, normalize, vocab. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/parallel.h"
#include "text/lines.h"
#include "text/pipeline.h"
#include "text/subword/sentencepiece_train.h"
#include "text/subword/subword_file.h"
#include "tools/subword/model.h"
#include "tools/subword/sentencepiece_options.h"
#include "tools/subword/stream.h"
#include "tools/subword/types.h"

enum { DEFAULT_N_BEST = 10 };

/* The library takes some 200 bytes of memory for a byte of a line, and much time for its n best. */
enum { LONGEST_LINE = 1 << 23, LONGEST_N_BEST_LINE = 1 << 16 };

/* What encode puts out. */
enum task { TASK_BEST, TASK_N_BEST, TASK_SAMPLE, TASK_COUNT };

/* Lines on their way through encode or decode. */
struct apply {
    struct subword *subword;
    FILE *stream;
    enum task task;
    bool wants_ids; /* or, for decode, has them */
    double alpha;
    int n_best;
    int64_t seed;
    int threads;
    struct ids *ids; /* [threads] */
    int64_t *counts; /* [threads, pieces] how often each is used; NULL: not counted */
};

typedef enum status apply_line(void *context, int thread, const struct line *row,
                               struct buffer *output);

static enum status append_number(struct buffer *output, int32_t number)
{
    char digits[12];
    char *first = digits + sizeof digits;
    for (uint32_t left = (uint32_t)number; first == digits + sizeof digits || left; left /= 10)
        *--first = (char)('0' + left % 10);
    return buffer_append(output, first, (size_t)(digits + sizeof digits - first));
}

static enum status append_ids(struct buffer *output, const struct ids *ids)
{
    enum status status = STATUS_OK;
    for (size_t i = 0; i < ids->size && status == STATUS_OK; i++) {
        status = buffer_append(output, " ", i > 0);
        if (status == STATUS_OK)
            status = append_number(output, ids->data[i]);
    }
    return status;
}

static enum status encode_ids(const struct apply *apply, const struct line *line, struct ids *ids)
{
    ids_clear(ids);
    if (apply->task == TASK_SAMPLE)
        return subword_sample(apply->subword, line->bytes, line->size, apply->alpha, apply->n_best,
                              (uint64_t)(apply->seed + line->number), ids);
    return subword_encode(apply->subword, line->bytes, line->size, ids);
}

static enum status count_line(const struct apply *apply, int thread, const struct line *line)
{
    struct ids *ids = &apply->ids[thread];
    const enum status status = encode_ids(apply, line, ids);
    int64_t *counts = apply->counts + (size_t)thread * (size_t)subword_size(apply->subword);
    for (size_t i = 0; i < ids->size && status == STATUS_OK; i++)
        counts[ids->data[i]]++;
    return status;
}

static enum status encode_line(void *context, int thread, const struct line *row,
                               struct buffer *output)
{
    const struct apply *apply = context;
    enum status status = STATUS_OK;
    if (apply->task == TASK_COUNT)
        return count_line(apply, thread, row);
    if (apply->task == TASK_N_BEST) {
        status = subword_n_best(apply->subword, row->bytes, row->size, apply->n_best,
                                apply->wants_ids, output);
    } else if (apply->wants_ids) {
        status = encode_ids(apply, row, &apply->ids[thread]);
        if (status == STATUS_OK)
            status = append_ids(output, &apply->ids[thread]);
    } else if (apply->task == TASK_SAMPLE) {
        status =
            subword_sample_pieces(apply->subword, row->bytes, row->size, apply->alpha,
                                  apply->n_best, (uint64_t)(apply->seed + row->number), output);
    } else {
        status = subword_encode_pieces(apply->subword, row->bytes, row->size, output);
    }
    return status < 0 ? status : buffer_append(output, "\n", 1);
}

/* Reads ids from a line, with blanks between. */
static enum status read_ids(const struct line *line, struct ids *ids)
{
    ids_clear(ids);
    for (const char *cursor = line->bytes + strspn(line->bytes, " \t"); *cursor;
         cursor += strspn(cursor, " \t")) {
        char *end = NULL;
        errno = 0;
        const long long id = strtoll(cursor, &end, 10);
        const bool is_number = end != cursor && (*end == '\0' || *end == ' ' || *end == '\t');
        if (!is_number || errno || id < 0 || id > INT32_MAX)
            return status_set(STATUS_DATA, "'%.*s' is not a piece id",
                              (int)strcspn(cursor, " \t") % 64, cursor);
        const enum status status = ids_push(ids, (int32_t)id);
        if (status < 0)
            return status;
        cursor = end;
    }
    return STATUS_OK;
}

static enum status decode_line(void *context, int thread, const struct line *row,
                               struct buffer *output)
{
    const struct apply *apply = context;
    struct ids *ids = &apply->ids[thread];
    enum status status = STATUS_OK;
    if (apply->wants_ids) {
        status = read_ids(row, ids);
        if (status == STATUS_OK)
            status = subword_decode(apply->subword, ids->data, ids->size, output);
    } else {
        status = subword_decode_pieces(apply->subword, row->bytes, row->size, output);
    }
    return status < 0 ? status : buffer_append(output, "\n", 1);
}

static enum status normalize_line(void *context, int thread, const struct line *row,
                                  struct buffer *output)
{
    const struct apply *apply = context;
    (void)thread;
    const enum status status = subword_normalize(apply->subword, row->bytes, row->size, output);
    return status < 0 ? status : buffer_append(output, "\n", 1);
}

static enum status deliver(void *context, const struct buffer *output, bool is_pause)
{
    const struct apply *apply = context;
    return pipeline_write(apply->stream, output, is_pause);
}

static enum status apply_to_file(struct apply *apply, const char *path, apply_line *apply_one)
{
    struct lines *lines = NULL;
    enum status status = lines_open(&lines, path);
    if (status < 0)
        return status;
    lines_set_verbatim(lines); /* as SentencePiece's own tools read */
    lines_set_limit(lines, apply->task == TASK_N_BEST ? LONGEST_N_BEST_LINE : LONGEST_LINE);
    const struct pipeline pipeline = {.inputs = &lines,
                                      .n_inputs = 1,
                                      .threads = apply->threads,
                                      .context = apply,
                                      .apply = apply_one,
                                      .deliver = deliver};
    status = pipeline_run(&pipeline);
    warn_of_bad_utf8(lines);
    lines_close(lines);
    return status;
}

static enum status apply_to_files(struct apply *apply, const struct sentencepiece_values *values,
                                  const struct option_list *arguments, apply_line *apply_one)
{
    if (values->inputs.count + arguments->count == 0)
        return apply_to_file(apply, NULL, apply_one);
    enum status status = STATUS_OK;
    for (size_t i = 0; i < values->inputs.count && status == STATUS_OK; i++)
        status = apply_to_file(apply, values->inputs.items[i], apply_one);
    for (size_t i = 0; i < arguments->count && status == STATUS_OK; i++)
        status = apply_to_file(apply, arguments->items[i], apply_one);
    return status;
}

/* A piece and how often it is used. */
struct count {
    const char *piece;
    int64_t times;
};

static int compare_counts(const void *left, const void *right)
{
    const struct count *a = left, *b = right;
    if (a->times != b->times)
        return a->times < b->times ? 1 : -1;
    return strcmp(a->piece, b->piece);
}

/* Prints the pieces that were used, the most frequent first. */
static enum status print_counts(const struct apply *apply)
{
    const size_t n_pieces = (size_t)subword_size(apply->subword);
    struct count *counts = calloc(n_pieces, sizeof *counts);
    if (counts == NULL)
        return status_set(STATUS_MEMORY, "no memory to sort %zu pieces", n_pieces);
    for (size_t id = 0; id < n_pieces; id++) {
        counts[id].piece = subword_piece(apply->subword, (int32_t)id);
        for (int i = 0; i < apply->threads && subword_is_text(apply->subword, (int32_t)id); i++)
            counts[id].times += apply->counts[(size_t)i * n_pieces + id];
    }
    qsort(counts, n_pieces, sizeof *counts, compare_counts);
    for (size_t i = 0; i < n_pieces && counts[i].times > 0; i++)
        fprintf(apply->stream, "%s\t%" PRId64 "\n", counts[i].piece, counts[i].times);
    free(counts);
    return STATUS_OK;
}

static enum status check_format(struct apply *apply, const struct sentencepiece_values *values)
{
    const char *format = values->format;
    const char *kind = format;
    if (strncmp(format, "nbest_", 6) == 0)
        kind = format + 6;
    else if (strncmp(format, "sample_", 7) == 0)
        kind = format + 7;
    apply->wants_ids = strcmp(kind, "id") == 0 || strcmp(kind, "ids") == 0;
    if (strcmp(kind, "proto") == 0) {
        status_set(STATUS_USAGE, "output format '%s' is not supported", format);
        status_hint("it is a dump of the library's memory; use piece or id");
        return STATUS_USAGE;
    }
    if (!apply->wants_ids && strcmp(kind, "piece") != 0 && strcmp(kind, "pieces") != 0)
        return status_set(STATUS_USAGE,
                          "option --output-format wants piece, id, nbest_piece, "
                          "nbest_id, sample_piece or sample_id, not '%s'",
                          format);
    if (kind == format + 6)
        apply->task = TASK_N_BEST;
    else if (kind == format + 7 || values->sample >= 0)
        apply->task = TASK_SAMPLE;
    return STATUS_OK;
}

/* What encode is to do, once the model is open. */
static enum status prepare_encode(struct apply *apply, const struct sentencepiece_values *values)
{
    const bool has_sample = values->sample >= 0;
    enum status status = check_format(apply, values);
    if (status < 0)
        return status;
    if (values->counts_pieces)
        apply->task = TASK_COUNT;
    apply->alpha = has_sample ? values->sample : values->alpha;
    apply->n_best = (int)values->n_best;
    if (values->n_best == N_BEST_UNSET)
        apply->n_best = has_sample ? -1 : DEFAULT_N_BEST;
    apply->seed = values->seed;
    if (apply->task == TASK_SAMPLE && apply->alpha > 1 && subword_is_bpe(apply->subword))
        return status_set(STATUS_USAGE, "option --%s is a probability for a bpe model, not %g",
                          has_sample ? "sample" : "alpha", apply->alpha);
    if (apply->task == TASK_N_BEST && !subword_is_unigram(apply->subword))
        return status_set(STATUS_USAGE, "output format %s is for unigram models", values->format);
    if (apply->task == TASK_N_BEST && apply->n_best < 1)
        return status_set(STATUS_USAGE, "option --nbest-size wants 1 to %d for %s, not %d",
                          SUBWORD_MAX_BEST, values->format, apply->n_best);
    if (values->vocabulary)
        status = subword_restrict(apply->subword, values->vocabulary, values->threshold);
    if (status == STATUS_OK && values->extra)
        status = subword_set_extra(apply->subword, values->extra);
    return status;
}

static enum status prepare_decode(struct apply *apply, const struct sentencepiece_values *values)
{
    apply->wants_ids = strncmp(values->format, "id", 2) == 0;
    return values->extra ? subword_set_decode_extra(apply->subword, values->extra) : STATUS_OK;
}

static enum status make_room(struct apply *apply)
{
    const size_t n_counts = (size_t)apply->threads * (size_t)subword_size(apply->subword);
    apply->ids = calloc((size_t)apply->threads, sizeof *apply->ids);
    if (apply->task == TASK_COUNT)
        apply->counts = calloc(n_counts, sizeof *apply->counts);
    if (!apply->ids || (apply->task == TASK_COUNT && !apply->counts))
        return status_set(STATUS_MEMORY, "no memory for %d threads", apply->threads);
    return STATUS_OK;
}

static void free_room(struct apply *apply)
{
    for (int i = 0; i < apply->threads && apply->ids; i++)
        ids_free(&apply->ids[i]);
    free(apply->ids);
    free(apply->counts);
    subword_free(apply->subword);
}

static enum status open_model(const struct sentencepiece_values *values, struct subword **subword)
{
    if (!values->model)
        return status_set(STATUS_USAGE, "option --model is needed");
    return subword_open_file(subword, values->model);
}

/* Runs with standard output or the file that --output names. */
static enum status run_to_output(struct apply *apply, const struct sentencepiece_values *values,
                                 const struct option_list *arguments, apply_line *apply_one)
{
    struct file_writer writer = {0};
    enum status status = STATUS_OK;
    apply->stream = stdout;
    if (values->output) {
        status = file_create(&writer, values->output);
        apply->stream = writer.stream;
    }
    if (status == STATUS_OK)
        status = apply_to_files(apply, values, arguments, apply_one);
    if (status == STATUS_OK && apply->task == TASK_COUNT)
        status = print_counts(apply);
    if (status == STATUS_OK && values->output)
        return file_commit(&writer);
    file_discard(&writer);
    return status;
}

static enum status open_normalizer(const struct sentencepiece_values *values,
                                   struct subword **subword)
{
    const int n_sources = (values->model != NULL) + (values->rules != NULL) + (values->tsv != NULL);
    if (n_sources != 1)
        return status_set(STATUS_USAGE, "one of the options --model, --normalization-rule-name and "
                                        "--normalization-rule-tsv is needed");
    struct buffer bytes = {0};
    enum status status = STATUS_OK;
    if (values->model)
        status = file_read(values->model, SUBWORD_MAX_FILE_BYTES, &bytes);
    else
        status = subword_make_rules(values->rules ? values->rules : "",
                                    values->tsv ? values->tsv : "", &bytes);
    enum subword_spaces spaces =
        values->removes_spaces ? SUBWORD_SPACES_SINGLE : SUBWORD_SPACES_KEPT;
    if (values->is_internal)
        spaces = SUBWORD_SPACES_AS_MODEL;
    if (status == STATUS_OK)
        status = subword_open_normalizer(subword, bytes.data, bytes.size,
                                         values->model ? values->model : "rules", spaces);
    buffer_free(&bytes);
    return status;
}

static enum status prepare(struct apply *apply, const struct sentencepiece_values *values,
                           apply_line *apply_one)
{
    if (apply_one == normalize_line)
        return open_normalizer(values, &apply->subword);
    const enum status status = open_model(values, &apply->subword);
    if (status < 0)
        return status;
    return apply_one == encode_line ? prepare_encode(apply, values) : prepare_decode(apply, values);
}

/* The common run of encode, decode and normalize. */
static int apply_verb(const struct options_command *command, apply_line *apply_one, int argc,
                      char **argv)
{
    struct sentencepiece_values values = {.format = "piece",
                                          .sample = -1,
                                          .alpha = 0.5,
                                          .n_best = N_BEST_UNSET,
                                          .removes_spaces = true};
    struct option_list arguments = {0};
    const int exit_code = options_start(command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    struct apply apply = {.threads = parallel_threads(values.threads)};
    enum status status = prepare(&apply, &values, apply_one);
    if (status == STATUS_OK)
        status = make_room(&apply);
    if (status == STATUS_OK)
        status = run_to_output(&apply, &values, &arguments, apply_one);
    free_room(&apply);
    options_free(command, &values, &arguments);
    return status_finish(status);
}

int sentencepiece_encode_main(int argc, char **argv)
{
    return apply_verb(&sentencepiece_encode_command, encode_line, argc, argv);
}

int sentencepiece_decode_main(int argc, char **argv)
{
    return apply_verb(&sentencepiece_decode_command, decode_line, argc, argv);
}

int sentencepiece_normalize_main(int argc, char **argv)
{
    return apply_verb(&sentencepiece_normalize_command, normalize_line, argc, argv);
}

int sentencepiece_vocab_main(int argc, char **argv)
{
    struct sentencepiece_values values = {.format = "vocab"};
    struct option_list arguments = {0};
    const int exit_code =
        options_start(&sentencepiece_vocab_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    struct subword *subword = NULL;
    enum status status = open_model(&values, &subword);
    const enum vocabulary_form form =
        strcmp(values.format, "syms") == 0 ? VOCABULARY_IDS : VOCABULARY_SCORES;
    if (status == STATUS_OK && values.output)
        status = model_write_vocabulary(values.output, subword, form);
    else if (status == STATUS_OK)
        model_print_vocabulary(stdout, subword, form);
    subword_free(subword);
    options_free(&sentencepiece_vocab_command, &values, &arguments);
    return status_finish(status);
}
