/* Words are kept once, with how often they occur, as rows of unit numbers in which pairs are joined
 * in place. A character without a piece is a hole: nothing is joined over it.
 *
 * Units are what is written, as pieces are: the start of a word that says "##s" is the same unit as
 * an "s" inside one, and encoding takes it for the same piece. */
#include "text/subword/wordpiece_learn.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "text/subword/bpe_counts.h"
#include "text/subword/strings.h"
#include "text/subword/wordpiece.h"
#include "text/utf8.h"

enum { HOLE = -1, PROGRESS_STEP = 256, N_CODE_POINTS = 0x110000 };

/* A word under way. */
struct row {
    size_t start; /* in symbols */
    uint32_t size;
    int64_t count;
};

/* A character and how often it occurs. */
struct character {
    uint32_t code_point;
    int64_t count;
};

struct wordpiece_learner {
    struct wordpiece_learn_options options;
    struct wordpiece_learn_report report;
    struct bpe_counts words;
    int64_t threshold;            /* words this rare are forgotten next */
    struct character *characters; /* [n_characters] owned; those kept, by code point */
    size_t n_characters;
    struct strings names; /* of the units: characters, then joined ones */
    struct row *rows;     /* [words.words.size] owned */
    int32_t *symbols;     /* owned; units or HOLE */
    struct wordpiece_pairs pairs;
};

struct wordpiece_learn_options wordpiece_learn_defaults(void)
{
    static const char *const specials[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
    return (struct wordpiece_learn_options){
        .size = 32000,
        .specials = specials,
        .n_specials = sizeof specials / sizeof specials[0],
        .n_characters = 1000,
        .min_count = 2,
        .max_words = 5000000,
        .max_word_size = WORDPIECE_DEFAULT_MAX_CHARACTERS,
    };
}

enum status wordpiece_learner_open(struct wordpiece_learner **learner,
                                   const struct wordpiece_learn_options *options)
{
    CHECK(options->max_words >= 2 && options->min_count >= 1, "options");
    *learner = calloc(1, sizeof **learner);
    if (*learner == NULL)
        return status_set(STATUS_MEMORY, "no memory to learn wordpieces");
    (*learner)->options = *options;
    return STATUS_OK;
}

void wordpiece_learner_close(struct wordpiece_learner *learner)
{
    if (learner == NULL)
        return;
    bpe_counts_free(&learner->words);
    wordpiece_pairs_free(&learner->pairs);
    strings_free(&learner->names);
    free(learner->characters);
    free(learner->rows);
    free(learner->symbols);
    free(learner);
}

/* Keeps the words that are more frequent than the threshold. */
static enum status forget_rare(struct wordpiece_learner *learner)
{
    struct bpe_counts kept = {0};
    enum status code = STATUS_OK;
    int64_t forgotten = 0;
    for (int32_t i = 0; i < learner->words.words.size && code == STATUS_OK; i++) {
        size_t size;
        const char *word = strings_get(&learner->words.words, i, &size);
        if (learner->words.counts[i] > learner->threshold)
            code = bpe_counts_add(&kept, word, size, learner->words.counts[i]);
        else
            forgotten += learner->words.counts[i];
    }
    if (code < 0) {
        bpe_counts_free(&kept);
        return code;
    }
    bpe_counts_free(&learner->words);
    learner->words = kept;
    learner->report.forgotten += forgotten;
    return STATUS_OK;
}

static enum status add_word(struct wordpiece_learner *learner, const char *word, size_t size)
{
    learner->report.words++;
    if (size > (size_t)learner->options.max_word_size &&
        utf8_length(word, size) > (size_t)learner->options.max_word_size) {
        learner->report.long_words++;
        return STATUS_OK;
    }
    enum status code = bpe_counts_add(&learner->words, word, size, 1);
    if (learner->words.words.size <= learner->options.max_words)
        return code;
    while (learner->words.words.size > learner->options.max_words / 2 && code == STATUS_OK) {
        learner->threshold++;
        code = forget_rare(learner);
    }
    learner->threshold = 0;
    return code;
}

enum status wordpiece_learner_add(struct wordpiece_learner *learner, const char *words, size_t size)
{
    enum status code = STATUS_OK;
    for (size_t at = 0; at < size && code == STATUS_OK;) {
        const char *space = memchr(words + at, ' ', size - at);
        const size_t end = space == NULL ? size : (size_t)(space - words);
        code = add_word(learner, words + at, end - at);
        at = end + 1;
    }
    return code;
}

static int compare_frequency(const void *a, const void *b)
{
    const struct character *x = a, *y = b;
    if (x->count != y->count)
        return x->count < y->count ? 1 : -1;
    return (x->code_point > y->code_point) - (x->code_point < y->code_point);
}

static int compare_code_point(const void *a, const void *b)
{
    const struct character *x = a, *y = b;
    return (x->code_point > y->code_point) - (x->code_point < y->code_point);
}

/* Counts all characters in counts [N_CODE_POINTS] and returns how many occur. */
static size_t count_characters(const struct wordpiece_learner *learner, int64_t *counts)
{
    for (int32_t i = 0; i < learner->words.words.size; i++) {
        size_t size;
        const char *word = strings_get(&learner->words.words, i, &size);
        for (size_t at = 0; at < size;)
            counts[utf8_next(word, size, &at)] += learner->words.counts[i];
    }
    size_t n = 0;
    for (size_t c = 0; c < N_CODE_POINTS; c++)
        n += counts[c] > 0 ? 1 : 0;
    return n;
}

static enum status choose_characters(struct wordpiece_learner *learner)
{
    int64_t *counts = calloc(N_CODE_POINTS, sizeof *counts);
    if (counts == NULL)
        return status_set(STATUS_MEMORY, "no memory to count characters");
    size_t n = count_characters(learner, counts);
    learner->characters = calloc(n + 1, sizeof *learner->characters);
    if (learner->characters == NULL) {
        free(counts);
        return status_set(STATUS_MEMORY, "no memory for %zu characters", n);
    }
    n = 0;
    for (uint32_t c = 0; c < N_CODE_POINTS; c++) {
        if (counts[c] > 0)
            learner->characters[n++] = (struct character){c, counts[c]};
    }
    free(counts);
    qsort(learner->characters, n, sizeof *learner->characters, compare_frequency);
    learner->n_characters = n;
    if ((uint64_t)learner->options.n_characters < n)
        learner->n_characters = (size_t)learner->options.n_characters;
    learner->report.characters = (int64_t)learner->n_characters;
    learner->report.rare_characters = (int64_t)(n - learner->n_characters);
    qsort(learner->characters, learner->n_characters, sizeof *learner->characters,
          compare_code_point);
    return STATUS_OK;
}

/* Makes a unit of each character at the start of a word, then one of each inside. */
static enum status add_character_units(struct wordpiece_learner *learner)
{
    enum status code = STATUS_OK;
    for (size_t i = 0; i < 2 * learner->n_characters && code == STATUS_OK; i++) {
        const bool is_inside = i >= learner->n_characters;
        char name[WORDPIECE_INSIDE_BYTES + UTF8_MAX_BYTES] = WORDPIECE_INSIDE;
        const size_t cut = is_inside ? WORDPIECE_INSIDE_BYTES : 0;
        const size_t size =
            utf8_write(name + cut, learner->characters[i % learner->n_characters].code_point);
        int32_t unit;
        code = strings_add(&learner->names, name, cut + size, &unit);
    }
    if (code == STATUS_OK)
        code = wordpiece_pairs_add_units(&learner->pairs, learner->names.size);
    return code;
}

static int32_t unit_of(const struct wordpiece_learner *learner, uint32_t code_point, bool is_inside)
{
    const struct character wanted = {.code_point = code_point};
    const struct character *found = bsearch(&wanted, learner->characters, learner->n_characters,
                                            sizeof wanted, compare_code_point);
    if (found == NULL)
        return HOLE;
    return (int32_t)((size_t)(found - learner->characters) +
                     (is_inside ? learner->n_characters : 0));
}

/* Counts all units and pairs of a word n times more (or less); new_unit: pairs with it are new in
 * this word. HOLE: all are; -2: none. */
enum { ALL_NEW = HOLE, NONE_NEW = -2 };

static enum status count_row(struct wordpiece_learner *learner, int32_t word, int64_t n,
                             int32_t new_unit)
{
    const struct row *row = &learner->rows[word];
    const int32_t *symbols = learner->symbols + row->start;
    enum status code = STATUS_OK;
    for (uint32_t i = 0; i < row->size && code == STATUS_OK; i++) {
        const int32_t left = i > 0 ? symbols[i - 1] : HOLE, right = symbols[i];
        if (right == HOLE)
            continue;
        wordpiece_pairs_count_unit(&learner->pairs, right, n);
        if (left == HOLE)
            continue;
        const bool is_new = new_unit == ALL_NEW || left == new_unit || right == new_unit;
        code = wordpiece_pairs_count(&learner->pairs, left, right, n, is_new ? word : -1);
    }
    return code;
}

/* Lays all words out as characters and counts their pairs. */
static enum status make_rows(struct wordpiece_learner *learner)
{
    const int32_t n_words = learner->words.words.size;
    learner->rows = calloc((size_t)n_words, sizeof *learner->rows);
    learner->symbols = calloc(learner->words.words.text.size + 1, sizeof *learner->symbols);
    if (learner->rows == NULL || learner->symbols == NULL)
        return status_set(STATUS_MEMORY, "no memory for %" PRId32 " words", n_words);
    size_t used = 0;
    enum status code = STATUS_OK;
    for (int32_t i = 0; i < n_words && code == STATUS_OK; i++) {
        size_t size;
        const char *word = strings_get(&learner->words.words, i, &size);
        struct row *row = &learner->rows[i];
        *row = (struct row){.start = used, .count = learner->words.counts[i]};
        for (size_t at = 0; at < size;) {
            const bool is_inside = at > 0;
            learner->symbols[used++] = unit_of(learner, utf8_next(word, size, &at), is_inside);
        }
        row->size = (uint32_t)(used - row->start);
        code = count_row(learner, i, row->count, ALL_NEW);
    }
    return code;
}

/* Joins left and right in a row, from its start on; false where they are not there. */
static bool join_row(struct wordpiece_learner *learner, struct row *row, int32_t left,
                     int32_t right, int32_t joined)
{
    int32_t *symbols = learner->symbols + row->start;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < row->size; i++) {
        const bool is_pair = symbols[i] == left && i + 1 < row->size && symbols[i + 1] == right;
        symbols[kept++] = is_pair ? joined : symbols[i];
        i += is_pair ? 1 : 0;
    }
    const bool is_joined = kept < row->size;
    row->size = kept;
    return is_joined;
}

static bool has_pair(const struct wordpiece_learner *learner, const struct row *row, int32_t left,
                     int32_t right)
{
    const int32_t *symbols = learner->symbols + row->start;
    for (uint32_t i = 0; i + 1 < row->size; i++) {
        if (symbols[i] == left && symbols[i + 1] == right)
            return true;
    }
    return false;
}

/* The unit that joining makes; it may be one that another pair made before. */
static enum status name_joined(struct wordpiece_learner *learner, int32_t left, int32_t right,
                               int32_t *joined)
{
    struct buffer name = {0};
    size_t size;
    const char *bytes = strings_get(&learner->names, left, &size);
    enum status code = buffer_append(&name, bytes, size);
    bytes = strings_get(&learner->names, right, &size);
    if (code == STATUS_OK)
        code = buffer_append(&name, bytes + WORDPIECE_INSIDE_BYTES, size - WORDPIECE_INSIDE_BYTES);
    if (code == STATUS_OK)
        code = strings_add(&learner->names, name.data, name.size, joined);
    buffer_free(&name);
    if (code == STATUS_OK)
        code = wordpiece_pairs_add_units(&learner->pairs, learner->names.size);
    return code;
}

static enum status merge(struct wordpiece_learner *learner, int32_t number)
{
    struct wordpiece_pair *pair = &learner->pairs.pairs[number];
    const int32_t left = pair->left, right = pair->right;
    int32_t *words = pair->words;
    const uint32_t n_words = pair->n_words;
    pair->words = NULL;
    pair->n_words = pair->capacity = 0;
    int32_t joined;
    enum status code = name_joined(learner, left, right, &joined);
    for (uint32_t i = 0; i < n_words && code == STATUS_OK; i++) {
        struct row *row = &learner->rows[words[i]];
        if (!has_pair(learner, row, left, right))
            continue;
        code = count_row(learner, words[i], -row->count, NONE_NEW);
        join_row(learner, row, left, right, joined);
        if (code == STATUS_OK)
            code = count_row(learner, words[i], row->count, joined);
    }
    free(words);
    return code < 0 ? code : wordpiece_pairs_update(&learner->pairs);
}

static enum status append_piece(struct buffer *vocabulary, const char *piece, size_t size)
{
    const enum status code = buffer_append(vocabulary, piece, size);
    return code < 0 ? code : buffer_append(vocabulary, "\n", 1);
}

/* Specials first; a unit of the same name is not written again. */
static enum status write_pieces(const struct wordpiece_learner *learner, struct buffer *vocabulary,
                                int64_t *n_pieces)
{
    struct strings specials = {0};
    enum status code = STATUS_OK;
    for (size_t i = 0; i < learner->options.n_specials && code == STATUS_OK; i++) {
        const char *special = learner->options.specials[i];
        int32_t number;
        code = strings_add(&specials, special, strlen(special), &number);
        if (code == STATUS_OK)
            code = append_piece(vocabulary, special, strlen(special));
    }
    *n_pieces = specials.size;
    for (int32_t unit = 0; unit < learner->names.size && code == STATUS_OK; unit++) {
        size_t size;
        const char *name = strings_get(&learner->names, unit, &size);
        if (strings_find(&specials, name, size) >= 0)
            continue;
        code = append_piece(vocabulary, name, size);
        ++*n_pieces;
    }
    strings_free(&specials);
    return code;
}

/* Units that will be written beside the specials. */
static int64_t count_pieces(const struct wordpiece_learner *learner)
{
    int64_t n = (int64_t)learner->options.n_specials + learner->names.size;
    for (size_t i = 0; i < learner->options.n_specials; i++) {
        const char *special = learner->options.specials[i];
        n -= strings_find(&learner->names, special, strlen(special)) >= 0 ? 1 : 0;
    }
    return n;
}

static enum status prepare(struct wordpiece_learner *learner)
{
    learner->report.different_words = learner->words.words.size;
    if (learner->words.words.size == 0)
        return status_set(STATUS_DATA, "no words to learn wordpieces from");
    learner->pairs.names = &learner->names;
    learner->pairs.score = learner->options.score;
    learner->pairs.min_count = learner->options.min_count;
    enum status code = choose_characters(learner);
    if (code == STATUS_OK)
        code = add_character_units(learner);
    if (code == STATUS_OK && count_pieces(learner) > learner->options.size) {
        status_set(STATUS_CONFIG,
                   "%" PRId64 " pieces are too few for %zu special ones and twice %zu characters",
                   learner->options.size, learner->options.n_specials, learner->n_characters);
        status_hint("ask for more pieces or fewer characters");
        return STATUS_CONFIG;
    }
    if (code == STATUS_OK)
        code = make_rows(learner);
    if (code == STATUS_OK)
        code = wordpiece_pairs_update(&learner->pairs);
    return code;
}

enum status wordpiece_learner_run(struct wordpiece_learner *learner,
                                  void (*progress)(void *context, int64_t pieces), void *context,
                                  struct buffer *vocabulary, struct wordpiece_learn_report *report)
{
    enum status code = prepare(learner);
    for (int64_t step = 0; code == STATUS_OK; step++) {
        const int32_t best = wordpiece_pairs_best(&learner->pairs);
        const int64_t n_pieces = count_pieces(learner);
        if (best < 0 || n_pieces >= learner->options.size)
            break;
        if (progress != NULL && step % PROGRESS_STEP == 0)
            progress(context, n_pieces);
        code = merge(learner, best);
    }
    if (code == STATUS_OK)
        code = write_pieces(learner, vocabulary, &learner->report.pieces);
    *report = learner->report;
    return code;
}
