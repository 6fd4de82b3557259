/* Sampling over a sorted list of pieces. */
#include "text/subword/subword_sample.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "text/utf8.h"

/* SentencePiece's own price of a character that has no piece, below the worst score. */
static const double UNKNOWN_PENALTY = 10.0;

enum { STREAM_SEGMENT = 0x53454753 }; /* random_key.stream of this file's numbers */

/* One piece that text may contain. */
struct entry {
    const char *bytes;
    size_t size;
    double score;
    int32_t id;
};

struct sampler {
    struct entry *entries; /* by bytes */
    size_t n_entries;
    double unknown_score;
    int32_t unknown_id;
    bool has_bytes;
    int32_t byte_ids[256];
};

static int compare_bytes(const char *a, size_t a_size, const char *b, size_t b_size)
{
    const size_t common = a_size < b_size ? a_size : b_size;
    const int order = common ? memcmp(a, b, common) : 0;
    return order ? order : (a_size > b_size) - (a_size < b_size);
}

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    return compare_bytes(a->bytes, a->size, b->bytes, b->size);
}

enum status sampler_open(struct sampler **sampler, const struct sampler_piece *pieces, size_t n,
                         int32_t unknown_id, const int32_t *byte_ids)
{
    *sampler = NULL;
    struct sampler *made = calloc(1, sizeof *made);
    struct entry *entries = calloc(n ? n : 1, sizeof *entries);
    if (!made || !entries) {
        free(made);
        free(entries);
        return status_set(STATUS_MEMORY, "no memory for %zu pieces", n);
    }
    double worst = 0;
    for (size_t i = 0; i < n; i++) {
        const struct sampler_piece *piece = &pieces[i];
        if (!piece->is_text)
            continue;
        worst = made->n_entries ? fmin(worst, piece->score) : piece->score;
        entries[made->n_entries++] =
            (struct entry){piece->bytes, piece->size, piece->score, (int32_t)i};
    }
    qsort(entries, made->n_entries, sizeof *entries, compare_entries);
    made->entries = entries;
    made->unknown_score = worst - UNKNOWN_PENALTY;
    made->unknown_id = unknown_id;
    made->has_bytes = byte_ids != NULL;
    if (byte_ids)
        memcpy(made->byte_ids, byte_ids, sizeof made->byte_ids);
    *sampler = made;
    return STATUS_OK;
}

void sampler_close(struct sampler *sampler)
{
    if (!sampler)
        return;
    free(sampler->entries);
    free(sampler);
}

/* The entries that start with the same bytes: first..last-1. */
struct range {
    size_t first, last;
};

/* The first entry of the range whose byte at `depth` is at least `byte`; all entries of the range
 * agree before depth, and one that ends there comes first. */
static size_t lower_bound(const struct sampler *sampler, struct range range, size_t depth,
                          unsigned byte)
{
    while (range.first < range.last) {
        const size_t middle = range.first + (range.last - range.first) / 2;
        const struct entry *entry = &sampler->entries[middle];
        if (entry->size <= depth || (uint8_t)entry->bytes[depth] < byte)
            range.first = middle + 1;
        else
            range.last = middle;
    }
    return range.first;
}

/* Narrows the range by one more byte. */
static struct range descend(const struct sampler *sampler, struct range range, size_t depth,
                            char byte)
{
    const size_t first = lower_bound(sampler, range, depth, (uint8_t)byte);
    const struct range rest = {first, range.last};
    return (struct range){first, lower_bound(sampler, rest, depth, (uint8_t)byte + 1u)};
}

static const struct entry *find(const struct sampler *sampler, const char *bytes, size_t size)
{
    const struct entry wanted = {.bytes = bytes, .size = size};
    return bsearch(&wanted, sampler->entries, sampler->n_entries, sizeof wanted, compare_entries);
}

static size_t character_size(const char *text, size_t size, size_t offset)
{
    const size_t start = offset;
    utf8_next(text, size, &offset);
    return offset - start;
}

static enum status append_piece(struct sampler_draw *draw, int32_t id, size_t end)
{
    const enum status status = ids_push(&draw->ids, id);
    return status < 0 ? status : ids_push(&draw->ends, (int32_t)end);
}

/* Appends the id of text[start .. end) that has no piece; a run of unknown characters is one
 * unknown id. */
static enum status append_unknown(const struct sampler *sampler, const char *text, size_t start,
                                  size_t end, bool follows_unknown, struct sampler_draw *draw)
{
    if (!sampler->has_bytes && !follows_unknown)
        return append_piece(draw, sampler->unknown_id, end);
    if (!sampler->has_bytes) {
        draw->ends.data[draw->ends.size - 1] = (int32_t)end;
        return STATUS_OK;
    }
    for (size_t i = start; i < end; i++) {
        const int32_t id = sampler->byte_ids[(uint8_t)text[i]];
        const enum status status = append_piece(draw, id, i + 1);
        if (status < 0)
            return status;
    }
    return STATUS_OK;
}

/* The random numbers of one text: numbered, so a draw does not depend on the draws before it. */
struct dice {
    struct random_key key;
    uint32_t text;
};

static struct dice make_dice(uint64_t seed, const char *text, size_t size)
{
    uint32_t hash = 2166136261u; /* FNV-1a, 32 bits */
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (uint8_t)text[i]) * 16777619u;
    return (struct dice){{seed, 0, STREAM_SEGMENT}, hash};
}

static double roll(const struct dice *dice, size_t number)
{
    return random_unit(random_philox(dice->key, dice->text, (uint32_t)number).word[0]);
}

double sampler_unknown_score(const struct sampler *sampler)
{
    return sampler->unknown_score;
}

double sampler_unit(const char *text, size_t size, uint64_t seed)
{
    const struct dice dice = make_dice(seed, text, size);
    return roll(&dice, 0);
}

/* log(exp(a) + exp(b)), where either may be -inf. */
static double log_add(double a, double b)
{
    const double high = fmax(a, b);
    return isinf(high) ? high : high + log1p(exp(fmin(a, b) - high));
}

/* A piece that covers text[start .. end): an edge of the lattice, kept by its end. */
struct edge {
    size_t start, end;
    double weight;  /* alpha * score + log of the sum over all ways to reach start */
    int32_t id;     /* -1: no piece */
    int64_t before; /* the edge with the same end that was found before; -1: none */
};

struct lattice {
    struct edge *edges;
    size_t n_edges, capacity;
    double *reached; /* [size + 1] log of the sum over all ways to reach a place */
    int64_t *last;   /* [size + 1] last edge that ends there; -1: none */
    int64_t *drawn;  /* [size + 1] the edge of the drawn path that starts there */
};

static enum status add_edge(struct lattice *lattice, size_t start, size_t end, double weight,
                            int32_t id)
{
    if (lattice->n_edges == lattice->capacity) {
        const size_t capacity = lattice->capacity * 2 + 256;
        struct edge *edges = realloc(lattice->edges, capacity * sizeof *edges);
        if (!edges)
            return status_set(STATUS_MEMORY, "no memory for %zu pieces of one line", capacity);
        lattice->edges = edges;
        lattice->capacity = capacity;
    }
    lattice->edges[lattice->n_edges] = (struct edge){start, end, weight, id, lattice->last[end]};
    lattice->last[end] = (int64_t)lattice->n_edges++;
    lattice->reached[end] = log_add(lattice->reached[end], weight);
    return STATUS_OK;
}

/* Adds all edges that leave start; a character without a piece of its own may stay unknown. */
static enum status add_edges(const struct sampler *sampler, const char *text, size_t size,
                             size_t start, double alpha, struct lattice *lattice)
{
    enum status status = STATUS_OK;
    const size_t character = character_size(text, size, start);
    const double reached = lattice->reached[start];
    bool covers_character = false;
    struct range range = {0, sampler->n_entries};
    for (size_t depth = 0; start + depth < size; depth++) {
        range = descend(sampler, range, depth, text[start + depth]);
        if (range.first == range.last)
            break;
        const struct entry *entry = &sampler->entries[range.first];
        if (entry->size != depth + 1)
            continue;
        covers_character |= entry->size == character;
        status = add_edge(lattice, start, start + entry->size, reached + alpha * entry->score,
                          entry->id);
        if (status < 0)
            return status;
    }
    if (covers_character)
        return STATUS_OK;
    return add_edge(lattice, start, start + character, reached + alpha * sampler->unknown_score,
                    -1);
}

/* Draws one of the edges that end at `end`. */
static int64_t draw_edge(const struct lattice *lattice, const struct dice *dice, size_t end)
{
    double left = roll(dice, end);
    int64_t drawn = -1;
    for (int64_t i = lattice->last[end]; i >= 0 && left > 0; i = lattice->edges[i].before) {
        left -= exp(lattice->edges[i].weight - lattice->reached[end]);
        drawn = i;
    }
    CHECK(drawn >= 0, "no piece ends at byte %zu", end);
    return drawn;
}

static void lattice_free(struct lattice *lattice)
{
    free(lattice->edges);
    free(lattice->reached);
    free(lattice->last);
    free(lattice->drawn);
}

/* All pieces at all places of the text, with the sums of the ways to get there. */
static enum status lattice_build(struct lattice *lattice, const struct sampler *sampler,
                                 const char *text, size_t size, double alpha)
{
    lattice->reached = calloc(size + 1, sizeof *lattice->reached);
    lattice->last = calloc(size + 1, sizeof *lattice->last);
    lattice->drawn = calloc(size + 1, sizeof *lattice->drawn);
    if (!lattice->reached || !lattice->last || !lattice->drawn)
        return status_set(STATUS_MEMORY, "no memory to segment %zu bytes", size);
    for (size_t i = 0; i <= size; i++) {
        lattice->reached[i] = i == 0 ? 0 : -INFINITY;
        lattice->last[i] = -1;
    }
    for (size_t start = 0; start < size; start++) {
        if (isinf(lattice->reached[start])) /* inside a character */
            continue;
        const enum status status = add_edges(sampler, text, size, start, alpha, lattice);
        if (status < 0)
            return status;
    }
    return STATUS_OK;
}

enum status sampler_draw_unigram(const struct sampler *sampler, const char *text, size_t size,
                                 double alpha, uint64_t seed, struct sampler_draw *draw)
{
    struct lattice lattice = {0};
    enum status status = lattice_build(&lattice, sampler, text, size, alpha);
    if (status < 0)
        goto done;
    const struct dice dice = make_dice(seed, text, size);
    for (size_t end = size; end > 0;) {
        const int64_t drawn = draw_edge(&lattice, &dice, end);
        end = lattice.edges[drawn].start;
        lattice.drawn[end] = drawn;
    }
    bool was_unknown = false;
    for (size_t start = 0; start < size && status == STATUS_OK;) {
        const struct edge *edge = &lattice.edges[lattice.drawn[start]];
        if (edge->id >= 0)
            status = append_piece(draw, edge->id, edge->end);
        else
            status = append_unknown(sampler, text, start, edge->end, was_unknown, draw);
        was_unknown = edge->id < 0;
        start = edge->end;
    }
done:
    lattice_free(&lattice);
    return status;
}

/* A stretch of the text that is one symbol so far; empty once merged into its left neighbour. */
struct symbol {
    size_t start, size;
    int64_t left, right; /* neighbours; -1: none */
};

/* A possible merge of two neighbours, as they were when it was found. */
struct merge {
    double score;
    int64_t left, right;
    size_t size; /* of both together; another size now means one of them has changed */
};

/* Symbols in a list, and the merges in a binary heap, best first. */
struct merger {
    const struct sampler *sampler;
    const char *text;
    struct symbol *symbols;
    size_t n_symbols;
    struct merge *heap;
    size_t n_merges, capacity;
};

static bool is_better(const struct merge *a, const struct merge *b)
{
    if (a->score > b->score || a->score < b->score)
        return a->score > b->score;
    return a->left < b->left;
}

static void swap_merges(struct merge *a, struct merge *b)
{
    const struct merge kept = *a;
    *a = *b;
    *b = kept;
}

static enum status push_merge(struct merger *merger, struct merge merge)
{
    if (merger->n_merges == merger->capacity) {
        const size_t capacity = merger->capacity * 2 + 64;
        struct merge *heap = realloc(merger->heap, capacity * sizeof *heap);
        if (!heap)
            return status_set(STATUS_MEMORY, "no memory for %zu merges of one line", capacity);
        merger->heap = heap;
        merger->capacity = capacity;
    }
    size_t at = merger->n_merges++;
    merger->heap[at] = merge;
    for (; at > 0 && is_better(&merger->heap[at], &merger->heap[(at - 1) / 2]); at = (at - 1) / 2)
        swap_merges(&merger->heap[at], &merger->heap[(at - 1) / 2]);
    return STATUS_OK;
}

static struct merge pop_merge(struct merger *merger)
{
    struct merge *heap = merger->heap;
    const struct merge best = heap[0];
    heap[0] = heap[--merger->n_merges];
    for (size_t at = 0;;) {
        size_t child = 2 * at + 1;
        if (child >= merger->n_merges)
            break;
        if (child + 1 < merger->n_merges && is_better(&heap[child + 1], &heap[child]))
            child++;
        if (!is_better(&heap[child], &heap[at]))
            break;
        swap_merges(&heap[child], &heap[at]);
        at = child;
    }
    return best;
}

/* Queues the merge of two neighbours where the vocabulary has it. */
static enum status offer_merge(struct merger *merger, int64_t left, int64_t right)
{
    if (left < 0 || right < 0)
        return STATUS_OK;
    const struct symbol *a = &merger->symbols[left], *b = &merger->symbols[right];
    const size_t size = a->size + b->size;
    const struct entry *entry = find(merger->sampler, merger->text + a->start, size);
    if (!entry)
        return STATUS_OK;
    return push_merge(merger, (struct merge){entry->score, left, right, size});
}

/* Characters, in order, and the merges of neighbours. */
static enum status merger_start(struct merger *merger, size_t size)
{
    merger->symbols = calloc(size ? size : 1, sizeof *merger->symbols);
    if (!merger->symbols)
        return status_set(STATUS_MEMORY, "no memory to segment %zu bytes", size);
    for (size_t start = 0; start < size;) {
        const size_t length = character_size(merger->text, size, start);
        const int64_t place = (int64_t)merger->n_symbols++;
        merger->symbols[place] = (struct symbol){start, length, place - 1, place + 1};
        start += length;
    }
    if (merger->n_symbols)
        merger->symbols[merger->n_symbols - 1].right = -1;
    for (int64_t i = 1; i < (int64_t)merger->n_symbols; i++) {
        const enum status status = offer_merge(merger, i - 1, i);
        if (status < 0)
            return status;
    }
    return STATUS_OK;
}

/* Does the merges, best first; one that the dice pass over is gone, unless a new neighbour brings
 * it back. */
static enum status merge_all(struct merger *merger, const struct dice *dice, double probability)
{
    for (size_t number = 0; merger->n_merges > 0; number++) {
        const struct merge merge = pop_merge(merger);
        struct symbol *left = &merger->symbols[merge.left];
        struct symbol *right = &merger->symbols[merge.right];
        if (left->size == 0 || right->size == 0 || left->size + right->size != merge.size)
            continue;
        if (roll(dice, number) < probability)
            continue;
        left->size = merge.size;
        left->right = right->right;
        right->size = 0;
        if (left->right >= 0)
            merger->symbols[left->right].left = merge.left;
        enum status status = offer_merge(merger, left->left, merge.left);
        if (status == STATUS_OK)
            status = offer_merge(merger, merge.left, left->right);
        if (status < 0)
            return status;
    }
    return STATUS_OK;
}

enum status sampler_drop_merges(const struct sampler *sampler, const char *text, size_t size,
                                double probability, uint64_t seed, struct sampler_draw *draw)
{
    struct merger merger = {.sampler = sampler, .text = text};
    const struct dice dice = make_dice(seed, text, size);
    enum status status = merger_start(&merger, size);
    if (status == STATUS_OK)
        status = merge_all(&merger, &dice, probability);
    bool was_unknown = false;
    for (size_t i = 0; i < merger.n_symbols && status == STATUS_OK; i++) {
        const struct symbol *symbol = &merger.symbols[i];
        if (symbol->size == 0)
            continue;
        const struct entry *entry = find(sampler, text + symbol->start, symbol->size);
        const size_t end = symbol->start + symbol->size;
        if (entry)
            status = append_piece(draw, entry->id, end);
        else
            status = append_unknown(sampler, text, symbol->start, end, was_unknown, draw);
        was_unknown = !entry;
    }
    free(merger.symbols);
    free(merger.heap);
    return status;
}
