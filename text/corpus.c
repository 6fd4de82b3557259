/* Loading: the pipeline encodes rows on all threads, and what comes out of it, in order, is written
 * to two temporary files, ids and pairs, which are mapped at the end. */
#include "text/corpus.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <xxhash.h>

#include "base/file.h"
#include "base/parallel.h"
#include "text/pipeline.h"

/* What encoding a row leaves in the pipeline's output: this, then the ids of both sides. */
struct encoded {
    uint64_t text_hash;
    int64_t n_source; /* pieces, without eos; above any max_len for a line that is not encoded */
    int64_t n_target;
};

struct loader {
    const struct corpus_options *options;
    struct corpus *corpus;
    struct ids *scratch; /* [threads] */
    int64_t first_pair;  /* pairs read from the files before this one */
    int32_t prefix;      /* of this file's sources, -1: none */
    int64_t next_start;  /* ids written */
    FILE *ids;
    FILE *pairs;
};

static bool has_sources(const struct corpus_options *options)
{
    return options->sources != NULL;
}

static enum status cannot_write(const char *directory)
{
    return status_set(STATUS_IO, "cannot write a temporary file in %s: %s",
                      directory ? directory : "memory", strerror(errno));
}

/* Encodes a line, in the one best way or in a way drawn for its place in the corpus. */
static enum status encode_side(const struct loader *loader, const struct line *line, int side,
                               struct ids *ids, int64_t *n_pieces)
{
    const struct corpus_options *options = loader->options;
    const struct subword *subword = side ? options->target_subword : options->source_subword;
    *n_pieces = CORPUS_MAX_LEN + 1;
    if (line->size > CORPUS_MAX_LINE_BYTES)
        return STATUS_OK;
    const size_t before = ids->size;
    const int64_t pair = loader->first_pair + line->number - 1;
    const uint64_t place[2] = {options->seed, (uint64_t)(2 * pair + side)};
    const enum status status =
        options->sampling > 0 ? subword_sample(subword, line->bytes, line->size, options->sampling,
                                               -1, XXH3_64bits(place, sizeof place), ids)
                              : subword_encode(subword, line->bytes, line->size, ids);
    *n_pieces = (int64_t)(ids->size - before);
    return status;
}

static bool is_empty(const struct encoded *row, const struct corpus_options *options)
{
    return row->n_target == 0 || (has_sources(options) && row->n_source == 0);
}

static bool is_kept(const struct encoded *row, const struct corpus_options *options)
{
    return !is_empty(row, options) && row->n_source <= options->max_len &&
           row->n_target <= options->max_len;
}

static enum status encode_row(void *context, int thread, const struct line *row,
                              struct buffer *output)
{
    const struct loader *loader = context;
    struct ids *ids = &loader->scratch[thread];
    struct encoded encoded = {0};
    ids_clear(ids);
    const struct line *target = row;
    enum status status = STATUS_OK;
    if (has_sources(loader->options)) {
        encoded.text_hash = XXH3_64bits(row->bytes, row->size);
        status = encode_side(loader, row, 0, ids, &encoded.n_source);
        target++;
    }
    if (status == STATUS_OK)
        status = encode_side(loader, target, 1, ids, &encoded.n_target);
    if (status < 0)
        return status;
    encoded.text_hash = XXH3_64bits_withSeed(target->bytes, target->size, encoded.text_hash);
    status = buffer_append(output, &encoded, sizeof encoded);
    if (status < 0 || !is_kept(&encoded, loader->options))
        return status;
    return buffer_append(output, ids->data, ids->size * sizeof *ids->data);
}

static void tally(struct lines_tally *tally, int64_t number)
{
    if (tally->count++ == 0)
        tally->first = number;
}

/* Writes the prefix of a source, where it has one. */
static bool write_prefix(const struct loader *loader)
{
    return loader->prefix < 0 ||
           fwrite(&loader->prefix, sizeof loader->prefix, 1, loader->ids) == 1;
}

static bool write_side(FILE *file, const int32_t *ids, int64_t n, int32_t eos, int32_t unknown,
                       int64_t *n_unknown)
{
    for (int64_t i = 0; i < n; i++)
        *n_unknown += ids[i] == unknown;
    return fwrite(ids, sizeof *ids, (size_t)n, file) == (size_t)n &&
           fwrite(&eos, sizeof eos, 1, file) == 1;
}

static enum status write_pair(struct loader *loader, const struct encoded *row, const int32_t *ids)
{
    const bool is_pair = has_sources(loader->options);
    const int32_t n_extra = 1 + (loader->prefix >= 0); /* eos, prefix */
    const struct subword *source = loader->options->source_subword;
    const struct subword *target = loader->options->target_subword;
    struct corpus *corpus = loader->corpus;
    if (corpus->n_pairs == INT32_MAX)
        return status_set(STATUS_DATA, "more than %d pairs", INT32_MAX);
    const struct corpus_pair pair = {.start = loader->next_start,
                                     .source_length =
                                         is_pair ? (int32_t)row->n_source + n_extra : 0,
                                     .target_length = (int32_t)row->n_target + 1};
    if (!write_prefix(loader) ||
        (is_pair && !write_side(loader->ids, ids, row->n_source, subword_eos_id(source),
                                subword_unknown_id(source), &corpus->report.source_unknown)) ||
        !write_side(loader->ids, ids + row->n_source, row->n_target, subword_eos_id(target),
                    subword_unknown_id(target), &corpus->report.target_unknown) ||
        fwrite(&pair, sizeof pair, 1, loader->pairs) != 1)
        return cannot_write(loader->options->scratch_directory);
    loader->next_start += pair.source_length + pair.target_length;
    corpus->n_source_ids += pair.source_length;
    corpus->n_target_ids += pair.target_length;
    corpus->n_pairs++;
    return STATUS_OK;
}

/* Takes the encoded rows of a block: counts each, and keeps those that are to be kept. */
static enum status take_rows(void *context, const struct buffer *output, bool is_pause)
{
    struct loader *loader = context;
    struct corpus *corpus = loader->corpus;
    (void)is_pause;
    for (size_t place = 0; place < output->size;) {
        struct encoded row;
        memcpy(&row, output->data + place, sizeof row);
        place += sizeof row;
        corpus->text_hash =
            XXH3_64bits_withSeed(&row.text_hash, sizeof row.text_hash, corpus->text_hash);
        const int64_t line = ++corpus->report.lines;
        if (!is_kept(&row, loader->options)) {
            tally(is_empty(&row, loader->options) ? &corpus->report.empty
                                                  : &corpus->report.too_long,
                  line);
            continue;
        }
        /* whole ids follow whole structs, so they are aligned */
        const int32_t *ids = (const int32_t *)(const void *)(output->data + place);
        const enum status status = write_pair(loader, &row, ids);
        if (status < 0)
            return status;
        place += (size_t)(row.n_source + row.n_target) * sizeof *ids;
    }
    return STATUS_OK;
}

static enum status describe_repairs(struct corpus_report *report, const struct lines *lines)
{
    const size_t before = report->repairs.size;
    const enum status status =
        lines_describe(lines_so_far(lines), lines_name(lines), &report->repairs);
    if (status < 0 || report->repairs.size == before)
        return status;
    return buffer_append_string(&report->repairs, "\n");
}

/* Loads one file of each side; source is NULL in a corpus of one text. */
static enum status load_files(struct loader *loader, const char *source, const char *target)
{
    const char *const paths[2] = {source ? source : target, target};
    struct lines *inputs[2] = {NULL, NULL};
    const size_t n_inputs = source ? 2 : 1;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < n_inputs && status == STATUS_OK; i++)
        status = lines_open(&inputs[i], paths[i]);
    loader->first_pair = loader->corpus->report.lines;
    if (status == STATUS_OK)
        status = pipeline_run(&(struct pipeline){.inputs = inputs,
                                                 .n_inputs = n_inputs,
                                                 .threads = loader->options->threads,
                                                 .context = loader,
                                                 .apply = encode_row,
                                                 .deliver = take_rows});
    if (status == STATUS_DATA && source)
        status_hint("the files must be line-parallel: line n of one is the translation of line n "
                    "of the other; 'mixt prep --check %s %s' looks for the place",
                    source, target);
    for (size_t i = 0; i < n_inputs && status == STATUS_OK; i++)
        status = describe_repairs(&loader->corpus->report, inputs[i]);
    lines_close(inputs[0]);
    lines_close(inputs[1]);
    return status;
}

static enum status check_models(const struct corpus_options *options)
{
    if ((has_sources(options) && subword_eos_id(options->source_subword) < 0) ||
        subword_eos_id(options->target_subword) < 0)
        return status_set(STATUS_CONFIG, "the subword model has no end-of-sentence piece (</s>)");
    if (subword_bos_id(options->target_subword) < 0)
        return status_set(STATUS_CONFIG, "the subword model has no begin-of-sentence piece (<s>)");
    return STATUS_OK;
}

/* An empty corpus cannot train; says what happened to the lines. */
static enum status check_not_empty(const struct corpus *corpus,
                                   const struct corpus_options *options)
{
    if (corpus->n_pairs > 0)
        return STATUS_OK;
    const struct corpus_report *report = &corpus->report;
    if (!has_sources(options))
        return status_set(STATUS_DATA,
                          "no sentence left in %s: %lld lines, %lld empty, %lld longer than %lld "
                          "pieces",
                          options->n_files ? options->targets[0] : "no file",
                          (long long)report->lines, (long long)report->empty.count,
                          (long long)report->too_long.count, (long long)options->max_len);
    return status_set(STATUS_DATA,
                      "no sentence pair left in %s and %s: %lld lines, %lld with an empty side, "
                      "%lld longer than %lld pieces",
                      options->n_files ? options->sources[0] : "no file",
                      options->n_files ? options->targets[0] : "no file", (long long)report->lines,
                      (long long)report->empty.count, (long long)report->too_long.count,
                      (long long)options->max_len);
}

/* Maps size bytes of a file that was just written; *map stays NULL for an empty one. */
static enum status map_file(FILE *file, size_t size, const char *directory, const void **map)
{
    if (fflush(file) != 0)
        return cannot_write(directory);
    if (size == 0)
        return STATUS_OK;
    void *mapped = mmap(NULL, size, PROT_READ, MAP_SHARED, fileno(file), 0);
    if (mapped == MAP_FAILED)
        return status_set(STATUS_MEMORY, "cannot map %zu bytes of a corpus: %s", size,
                          strerror(errno));
    *map = mapped;
    return STATUS_OK;
}

static size_t ids_bytes(const struct corpus *corpus)
{
    return (size_t)(corpus->n_source_ids + corpus->n_target_ids) * sizeof *corpus->ids;
}

static size_t pairs_bytes(const struct corpus *corpus)
{
    return (size_t)corpus->n_pairs * sizeof *corpus->pairs;
}

static enum status map_files(struct loader *loader)
{
    struct corpus *corpus = loader->corpus;
    const char *directory = loader->options->scratch_directory;
    const void *ids = NULL, *pairs = NULL;
    enum status status = map_file(loader->ids, ids_bytes(corpus), directory, &ids);
    if (status == STATUS_OK)
        status = map_file(loader->pairs, pairs_bytes(corpus), directory, &pairs);
    corpus->ids = ids;
    corpus->pairs = pairs;
    return status;
}

static enum status load(struct loader *loader)
{
    const struct corpus_options *options = loader->options;
    loader->ids = file_temporary(options->scratch_directory);
    if (loader->ids != NULL)
        loader->pairs = file_temporary(options->scratch_directory);
    enum status status =
        loader->pairs == NULL ? cannot_write(options->scratch_directory) : STATUS_OK;
    for (size_t i = 0; i < options->n_files && status == STATUS_OK; i++) {
        loader->prefix = options->prefixes ? options->prefixes[i] : -1;
        status = load_files(loader, has_sources(options) ? options->sources[i] : NULL,
                            options->targets[i]);
    }
    if (status == STATUS_OK)
        status = check_not_empty(loader->corpus, options);
    return status < 0 ? status : map_files(loader);
}

enum status corpus_load(struct corpus *corpus, const struct corpus_options *options)
{
    CHECK(options->max_len >= 1 && options->max_len <= CORPUS_MAX_LEN, "max_len %lld",
          (long long)options->max_len);
    *corpus = (struct corpus){0};
    enum status status = check_models(options);
    if (status < 0)
        return status;
    corpus->bos = subword_bos_id(options->target_subword);
    struct ids scratch[PARALLEL_MAX_THREADS] = {{0}};
    struct loader loader = {.options = options, .corpus = corpus, .scratch = scratch};
    status = load(&loader);
    for (int i = 0; i < PARALLEL_MAX_THREADS; i++)
        ids_free(&scratch[i]);
    if (loader.ids != NULL)
        fclose(loader.ids);
    if (loader.pairs != NULL)
        fclose(loader.pairs);
    if (status < 0)
        corpus_free(corpus);
    return status;
}

void corpus_free(struct corpus *corpus)
{
    if (corpus->ids != NULL)
        munmap((void *)(uintptr_t)corpus->ids, ids_bytes(corpus));
    if (corpus->pairs != NULL)
        munmap((void *)(uintptr_t)corpus->pairs, pairs_bytes(corpus));
    buffer_free(&corpus->report.repairs);
    *corpus = (struct corpus){0};
}

const int32_t *corpus_source(const struct corpus *corpus, int64_t pair)
{
    return corpus->ids + corpus->pairs[pair].start;
}

const int32_t *corpus_target(const struct corpus *corpus, int64_t pair)
{
    return corpus_source(corpus, pair) + corpus->pairs[pair].source_length;
}
