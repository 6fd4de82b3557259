/* Loading: both files in step, a chunk of pairs at a time; threads encode the slices of a chunk,
 * which are then joined in order. */
#include "text/corpus.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

enum { CHUNK_PAIRS = 8192, CHUNK_BYTES = 1 << 24, MAX_THREADS = 64, MESSAGE_BYTES = 512 };

/* A line in a chunk, and then its pieces. */
struct item {
    size_t start, size; /* in chunk.text */
    int64_t n_pieces;   /* without eos; above any max_len for a line that is not encoded */
    int64_t n_ids;      /* in the slice */
};

/* Pairs as read: item 2 i is the source of pair i, item 2 i + 1 its target. */
struct chunk {
    struct buffer text;
    struct item *items; /* [2 * CHUNK_PAIRS] */
    int64_t n_pairs;
    int64_t first_pair; /* pairs read before this chunk */
};

/* The pairs first..last-1 of a chunk, encoded by one thread; their ids one after another. */
struct slice {
    struct chunk *chunk;
    const struct corpus_options *options;
    int64_t first, last;
    struct ids ids;
    enum status status;
    char message[MESSAGE_BYTES]; /* of the thread's failure: status messages are per thread */
    pthread_t thread;
    bool has_thread;
};

struct loader {
    const struct corpus_options *options;
    struct corpus *corpus;
    struct chunk chunk;
    struct slice slices[MAX_THREADS];
    int n_slices;
};

/* Encodes item i of a chunk, in the one best way or in a way drawn for its place in the corpus. */
static enum status encode_item(struct slice *slice, int64_t i)
{
    const struct corpus_options *options = slice->options;
    const struct subword *subword = i % 2 ? options->target_subword : options->source_subword;
    const char *text = slice->chunk->text.data + slice->chunk->items[i].start;
    const size_t size = slice->chunk->items[i].size;
    if (options->sampling <= 0)
        return subword_encode(subword, text, size, &slice->ids);
    const uint64_t place[2] = {options->seed, (uint64_t)(2 * slice->chunk->first_pair + i)};
    return subword_sample(subword, text, size, options->sampling, -1,
                          XXH3_64bits(place, sizeof place), &slice->ids);
}

static void *encode_slice(void *argument)
{
    struct slice *slice = argument;
    ids_clear(&slice->ids);
    slice->status = ids_reserve(&slice->ids, 1); /* so that data is never NULL */
    for (int64_t i = 2 * slice->first; i < 2 * slice->last && slice->status == STATUS_OK; i++) {
        struct item *item = &slice->chunk->items[i];
        if (item->size > CORPUS_MAX_LINE_BYTES) {
            item->n_pieces = CORPUS_MAX_LEN + 1;
            continue;
        }
        const size_t before = slice->ids.size;
        slice->status = encode_item(slice, i);
        item->n_pieces = item->n_ids = (int64_t)(slice->ids.size - before);
    }
    if (slice->status < 0)
        snprintf(slice->message, sizeof slice->message, "%s", status_message());
    return NULL;
}

/* Encodes all slices, each on its own thread but the first, which the caller does. */
static enum status encode_chunk(struct loader *loader)
{
    const int64_t n_pairs = loader->chunk.n_pairs;
    for (int i = 0; i < loader->n_slices; i++) {
        struct slice *slice = &loader->slices[i];
        slice->chunk = &loader->chunk;
        slice->options = loader->options;
        slice->first = n_pairs * i / loader->n_slices;
        slice->last = n_pairs * (i + 1) / loader->n_slices;
        slice->has_thread = i > 0 && slice->last > slice->first &&
                            pthread_create(&slice->thread, NULL, encode_slice, slice) == 0;
    }
    for (int i = 0; i < loader->n_slices; i++) {
        if (!loader->slices[i].has_thread)
            encode_slice(&loader->slices[i]);
    }
    enum status status = STATUS_OK;
    for (int i = 0; i < loader->n_slices; i++) {
        struct slice *slice = &loader->slices[i];
        if (slice->has_thread)
            pthread_join(slice->thread, NULL);
        if (slice->status < 0 && status == STATUS_OK)
            status = status_set(slice->status, "%s", slice->message);
    }
    return status;
}

static void tally(struct lines_tally *tally, int64_t number)
{
    if (tally->count++ == 0)
        tally->first = number;
}

/* Makes room for one pair more; starts [n_pairs + 1] always exist once there is a pair. */
static enum status reserve_pair(struct corpus *corpus)
{
    if (corpus->n_pairs == INT32_MAX)
        return status_set(STATUS_DATA, "more than %d pairs", INT32_MAX);
    if (corpus->n_pairs + 2 <= corpus->pairs_capacity)
        return STATUS_OK;
    const int64_t capacity = corpus->pairs_capacity + corpus->pairs_capacity / 2 + 1024;
    const size_t bytes = (size_t)capacity * sizeof(int64_t);
    int64_t *source_starts = realloc(corpus->source_starts, bytes);
    if (source_starts)
        corpus->source_starts = source_starts;
    int64_t *target_starts = realloc(corpus->target_starts, bytes);
    if (target_starts)
        corpus->target_starts = target_starts;
    if (!source_starts || !target_starts)
        return status_set(STATUS_MEMORY, "no memory for %lld pairs", (long long)capacity);
    corpus->pairs_capacity = capacity;
    corpus->source_starts[0] = corpus->target_starts[0] = 0;
    return STATUS_OK;
}

static enum status append_side(struct ids *side, const int32_t *ids, int64_t n, int32_t eos,
                               int32_t unknown, int64_t *n_unknown)
{
    const enum status status = ids_append(side, ids, (size_t)n);
    if (status < 0)
        return status;
    for (int64_t i = 0; i < n; i++)
        *n_unknown += ids[i] == unknown;
    return ids_push(side, eos);
}

static enum status append_pair(struct loader *loader, const int32_t *source, int64_t n_source,
                               const int32_t *target, int64_t n_target)
{
    const struct corpus_options *options = loader->options;
    struct corpus *corpus = loader->corpus;
    struct corpus_report *report = &corpus->report;
    report->lines++;
    if (n_source == 0 || n_target == 0) {
        tally(&report->empty, report->lines);
        return STATUS_OK;
    }
    if (n_source > options->max_len || n_target > options->max_len) {
        tally(&report->too_long, report->lines);
        return STATUS_OK;
    }
    enum status status = reserve_pair(corpus);
    if (status < 0)
        return status;
    status =
        append_side(&corpus->sources, source, n_source, subword_eos_id(options->source_subword),
                    subword_unknown_id(options->source_subword), &report->source_unknown);
    if (status < 0)
        return status;
    status =
        append_side(&corpus->targets, target, n_target, subword_eos_id(options->target_subword),
                    subword_unknown_id(options->target_subword), &report->target_unknown);
    if (status < 0)
        return status;
    corpus->n_pairs++;
    corpus->source_starts[corpus->n_pairs] = (int64_t)corpus->sources.size;
    corpus->target_starts[corpus->n_pairs] = (int64_t)corpus->targets.size;
    return STATUS_OK;
}

/* Encodes the chunk, appends its pairs to the corpus and empties it. */
static enum status flush_chunk(struct loader *loader)
{
    enum status status = encode_chunk(loader);
    for (int i = 0; i < loader->n_slices && status == STATUS_OK; i++) {
        const struct slice *slice = &loader->slices[i];
        const int32_t *ids = slice->ids.data;
        for (int64_t pair = slice->first; pair < slice->last && status == STATUS_OK; pair++) {
            const struct item *source = &loader->chunk.items[2 * pair];
            const struct item *target = source + 1;
            const int32_t *target_ids = ids + source->n_ids;
            status = append_pair(loader, ids, source->n_pieces, target_ids, target->n_pieces);
            ids = target_ids + target->n_ids;
        }
    }
    struct chunk *chunk = &loader->chunk;
    loader->corpus->text_hash = XXH3_64bits_withSeed(
        chunk->text.data, chunk->text.size, loader->corpus->text_hash + (uint64_t)chunk->n_pairs);
    chunk->first_pair += chunk->n_pairs;
    chunk->n_pairs = 0;
    buffer_clear(&chunk->text);
    return status;
}

static enum status add_line(struct chunk *chunk, int64_t place, const struct line *line)
{
    chunk->items[place] = (struct item){.start = chunk->text.size, .size = line->size};
    return buffer_append(&chunk->text, line->bytes, line->size);
}

static enum status add_pair(struct loader *loader, const struct line *source,
                            const struct line *target)
{
    struct chunk *chunk = &loader->chunk;
    enum status status = add_line(chunk, 2 * chunk->n_pairs, source);
    if (status == STATUS_OK)
        status = add_line(chunk, 2 * chunk->n_pairs + 1, target);
    if (status < 0)
        return status;
    chunk->n_pairs++;
    if (chunk->n_pairs == CHUNK_PAIRS || chunk->text.size >= CHUNK_BYTES)
        return flush_chunk(loader);
    return STATUS_OK;
}

/* Reads the longer file to its end, so that the message has both numbers. */
static enum status unequal(struct lines *sources, struct lines *targets)
{
    struct lines *const both[] = {sources, targets};
    for (int i = 0; i < 2; i++) {
        struct line line = {.bytes = ""};
        while (line.bytes) {
            const enum status status = lines_next(both[i], &line);
            if (status < 0)
                return status;
        }
    }
    const enum status status =
        status_set(STATUS_DATA, "%s has %lld lines but %s has %lld", lines_name(sources),
                   (long long)lines_so_far(sources)->lines, lines_name(targets),
                   (long long)lines_so_far(targets)->lines);
    status_hint("the files must be line-parallel: line n of one is the translation of line n of "
                "the other");
    return status;
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

static enum status load_files(struct loader *loader, const char *source, const char *target)
{
    struct lines *sources = NULL, *targets = NULL;
    enum status status = lines_open(&sources, source);
    if (status == STATUS_OK)
        status = lines_open(&targets, target);
    while (status == STATUS_OK) {
        struct line source_line, target_line;
        if ((status = lines_next(sources, &source_line)) < 0)
            break;
        if ((status = lines_next(targets, &target_line)) < 0)
            break;
        if (!source_line.bytes && !target_line.bytes)
            break;
        if (!source_line.bytes || !target_line.bytes)
            status = unequal(sources, targets);
        else
            status = add_pair(loader, &source_line, &target_line);
    }
    if (status == STATUS_OK)
        status = describe_repairs(&loader->corpus->report, sources);
    if (status == STATUS_OK)
        status = describe_repairs(&loader->corpus->report, targets);
    lines_close(sources);
    lines_close(targets);
    return status;
}

static enum status check_models(const struct corpus_options *options)
{
    if (subword_eos_id(options->source_subword) < 0 || subword_eos_id(options->target_subword) < 0)
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
    return status_set(STATUS_DATA,
                      "no sentence pair left in %s and %s: %lld lines, %lld with an empty side, "
                      "%lld longer than %lld pieces",
                      options->n_files ? options->sources[0] : "no file",
                      options->n_files ? options->targets[0] : "no file", (long long)report->lines,
                      (long long)report->empty.count, (long long)report->too_long.count,
                      (long long)options->max_len);
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
    struct loader *loader = calloc(1, sizeof *loader);
    struct item *items = calloc(2 * CHUNK_PAIRS, sizeof *items);
    if (!loader || !items) {
        status = status_set(STATUS_MEMORY, "no memory to read a corpus");
        goto done;
    }
    loader->options = options;
    loader->corpus = corpus;
    loader->chunk.items = items;
    loader->n_slices = options->threads < 1             ? 1
                       : options->threads > MAX_THREADS ? MAX_THREADS
                                                        : options->threads;
    for (size_t i = 0; i < options->n_files && status == STATUS_OK; i++)
        status = load_files(loader, options->sources[i], options->targets[i]);
    if (status == STATUS_OK)
        status = flush_chunk(loader);
    if (status == STATUS_OK)
        status = check_not_empty(corpus, options);
done:
    for (int i = 0; loader && i < loader->n_slices; i++)
        ids_free(&loader->slices[i].ids);
    if (loader)
        buffer_free(&loader->chunk.text);
    free(items);
    free(loader);
    if (status < 0)
        corpus_free(corpus);
    return status;
}

void corpus_free(struct corpus *corpus)
{
    ids_free(&corpus->sources);
    ids_free(&corpus->targets);
    free(corpus->source_starts);
    free(corpus->target_starts);
    buffer_free(&corpus->report.repairs);
    *corpus = (struct corpus){0};
}

int64_t corpus_source_length(const struct corpus *corpus, int64_t pair)
{
    return corpus->source_starts[pair + 1] - corpus->source_starts[pair];
}

int64_t corpus_target_length(const struct corpus *corpus, int64_t pair)
{
    return corpus->target_starts[pair + 1] - corpus->target_starts[pair];
}
