/* Words as runs of symbol numbers in one array; a merge rewrites the words that have the pair and
 * tells the pairs around it. */
#include "text/subword/bpe_learn.h"

#include <stdlib.h>
#include <string.h>

#include "text/subword/bpe_pairs.h"
#include "text/subword/bpe_text.h"

struct word {
    size_t start;   /* in symbols */
    int32_t length; /* symbols */
    bool has_space; /* white space inside: merged as text */
};

struct learner {
    const struct bpe_counts *counts;
    struct bpe_codes *codes; /* its strings are the symbols */
    bool is_bytes;
    struct word *words; /* [counts->words.size] */
    int32_t *symbols;   /* of all words */
    size_t n_symbols;
    int32_t *before; /* [longest word] a word before its merge */
    struct bpe_pairs pairs;
    struct buffer text;   /* of one symbol or word */
    struct buffer merged; /* the same after a merge */
};

static enum status allocate(struct learner *learner)
{
    const struct strings *words = &learner->counts->words;
    size_t longest = 1;
    for (int32_t i = 0; i < words->size; i++) {
        size_t size = 0;
        strings_get(words, i, &size);
        longest = size > longest ? size : longest;
    }
    if (longest > INT32_MAX)
        return status_set(STATUS_DATA, "a word of %zu bytes is too long", longest);
    learner->words = calloc((size_t)words->size + 1, sizeof *learner->words);
    learner->symbols = malloc((words->text.size + 1) * sizeof *learner->symbols);
    learner->before = malloc(longest * sizeof *learner->before);
    if (learner->words == NULL || learner->symbols == NULL || learner->before == NULL)
        return status_set(STATUS_MEMORY, "no memory for the symbols of %d words", words->size);
    return STATUS_OK;
}

/* Adds the symbol of a character, which is_last in its word or not. */
static enum status add_symbol(struct learner *learner, const char *bytes, size_t size, bool is_last)
{
    struct buffer *text = &learner->text;
    buffer_clear(text);
    enum status status = buffer_append(text, bytes, size);
    if (status == STATUS_OK && is_last)
        status = buffer_append(text, BPE_WORD_END, BPE_WORD_END_BYTES);
    int32_t *symbol = &learner->symbols[learner->n_symbols++];
    if (status == STATUS_OK)
        status = strings_add(&learner->codes->symbols, text->data, text->size, symbol);
    return status;
}

/* Cuts a word into characters and counts its pairs. */
static enum status add_word(struct learner *learner, int32_t number)
{
    size_t size = 0;
    const char *bytes = strings_get(&learner->counts->words, number, &size);
    struct word *word = &learner->words[number];
    enum status status = STATUS_OK;
    word->start = learner->n_symbols;
    word->has_space = bpe_has_space(bytes, size, learner->is_bytes);
    for (size_t at = 0; at < size && status == STATUS_OK;) {
        const size_t length = bpe_character_bytes(bytes + at, size - at, learner->is_bytes);
        status = add_symbol(learner, bytes + at, length, at + length == size);
        at += length;
    }
    word->length = (int32_t)(learner->n_symbols - word->start);
    const int32_t *symbols = learner->symbols + word->start;
    for (int32_t i = 0; i + 1 < word->length && status == STATUS_OK; i++)
        status = bpe_pairs_change(&learner->pairs, (struct bpe_merge){symbols[i], symbols[i + 1]},
                                  number, 1, learner->counts->counts[number]);
    return status;
}

static enum status join_symbols(const struct learner *learner, struct bpe_merge pair,
                                const char *between, struct buffer *text)
{
    size_t left_size = 0, right_size = 0;
    const char *left = strings_get(&learner->codes->symbols, pair.left, &left_size);
    const char *right = strings_get(&learner->codes->symbols, pair.right, &right_size);
    buffer_clear(text);
    enum status status = buffer_append(text, left, left_size);
    if (status == STATUS_OK)
        status = buffer_append_string(text, between);
    if (status == STATUS_OK)
        status = buffer_append(text, right, right_size);
    return status;
}

/* Replaces the pair wherever its symbols are neighbours, from the left. */
static void merge_symbols(int32_t *symbols, struct word *word, struct bpe_merge pair,
                          int32_t merged)
{
    int32_t length = 0;
    for (int32_t i = 0; i < word->length; i++) {
        const bool is_pair =
            symbols[i] == pair.left && i + 1 < word->length && symbols[i + 1] == pair.right;
        symbols[length++] = is_pair ? merged : symbols[i];
        i += is_pair ? 1 : 0;
    }
    word->length = length;
}

/* The word as text, a space between symbols. */
static enum status write_word(struct learner *learner, const struct word *word)
{
    struct buffer *text = &learner->text;
    enum status status = STATUS_OK;
    buffer_clear(text);
    for (int32_t i = 0; i < word->length && status == STATUS_OK; i++) {
        size_t size = 0;
        const char *bytes =
            strings_get(&learner->codes->symbols, learner->symbols[word->start + (size_t)i], &size);
        if (i > 0)
            status = buffer_append(text, " ", 1);
        if (status == STATUS_OK)
            status = buffer_append(text, bytes, size);
    }
    return status;
}

/* Takes the space out of each "left right" of text that has white space or nothing around it, and
 * puts the result into merged. */
static enum status replace_in_text(struct learner *learner, const char *pair, size_t pair_size,
                                   size_t left_size)
{
    const char *text = learner->text.data;
    const size_t size = learner->text.size;
    enum status status = STATUS_OK;
    buffer_clear(&learner->merged);
    for (size_t at = 0; at < size && status == STATUS_OK;) {
        const char *found = memmem(text + at, size - at, pair, pair_size);
        const size_t start = found != NULL ? (size_t)(found - text) : size;
        const size_t end = start + pair_size;
        const bool is_free =
            found != NULL && (start == 0 || bpe_ends_with_space(text, start, learner->is_bytes)) &&
            (end == size || bpe_space_bytes(text + end, size - end, learner->is_bytes) > 0);
        const size_t kept = is_free         ? start + left_size - at
                            : found != NULL ? start + 1 - at
                                            : size - at;
        status = buffer_append(&learner->merged, text + at, kept);
        if (status == STATUS_OK && is_free)
            status = buffer_append(&learner->merged, text + start + left_size + 1,
                                   pair_size - left_size - 1);
        at = is_free ? end : at + kept;
    }
    return status;
}

/* The merge in a word with white space: on its text, which is then cut at spaces again. */
static enum status merge_text(struct learner *learner, struct word *word, struct bpe_merge pair)
{
    struct buffer spaced = {0};
    size_t left_size = 0;
    strings_get(&learner->codes->symbols, pair.left, &left_size);
    enum status status = join_symbols(learner, pair, " ", &spaced);
    if (status == STATUS_OK)
        status = write_word(learner, word);
    if (status == STATUS_OK)
        status = replace_in_text(learner, spaced.data, spaced.size, left_size);
    word->length = 0;
    const char *rest = learner->merged.data;
    const char *end = rest + learner->merged.size;
    while (status == STATUS_OK && rest < end) {
        const char *space = memchr(rest, ' ', (size_t)(end - rest));
        const char *stop = space != NULL ? space : end;
        int32_t *symbol = &learner->symbols[word->start + (size_t)word->length++];
        status = strings_add(&learner->codes->symbols, rest, (size_t)(stop - rest), symbol);
        rest = stop + 1;
    }
    buffer_free(&spaced);
    return status;
}

/* A word before and after a merge. */
struct change {
    const int32_t *old_symbols, *new_symbols;
    int32_t old_length, new_length;
    int32_t word;
    int64_t frequency;
};

/* Counts down the neighbours of the pair in the word as it was. In "A B C B C" the pair "C B"
 * stands beside two "B C" and is counted once. */
static enum status remove_neighbours(struct bpe_pairs *pairs, const struct change *change,
                                     struct bpe_merge pair)
{
    const int32_t *symbols = change->old_symbols;
    const int32_t length = change->old_length;
    enum status status = STATUS_OK;
    for (int32_t i = 0; i + 1 < length && status == STATUS_OK; i++) {
        if (symbols[i] != pair.left || symbols[i + 1] != pair.right)
            continue;
        if (i > 0)
            status = bpe_pairs_change(pairs, (struct bpe_merge){symbols[i - 1], symbols[i]},
                                      change->word, -1, change->frequency);
        const bool repeats =
            i + 3 < length && symbols[i + 2] == pair.left && symbols[i + 3] == pair.right;
        if (status == STATUS_OK && i + 2 < length && !repeats)
            status = bpe_pairs_change(pairs, (struct bpe_merge){symbols[i + 1], symbols[i + 2]},
                                      change->word, -1, change->frequency);
        i++;
    }
    return status;
}

/* Counts up the neighbours of the merged symbol in the word as it is; where the word had that
 * symbol before, by another way, they count again, as they do in subword-nmt. */
static enum status add_neighbours(struct bpe_pairs *pairs, const struct change *change,
                                  int32_t merged)
{
    const int32_t *symbols = change->new_symbols;
    enum status status = STATUS_OK;
    for (int32_t i = 0; i < change->new_length && status == STATUS_OK; i++) {
        if (symbols[i] != merged)
            continue;
        if (i > 0)
            status = bpe_pairs_change(pairs, (struct bpe_merge){symbols[i - 1], merged},
                                      change->word, 1, change->frequency);
        if (status == STATUS_OK && i + 1 < change->new_length && symbols[i + 1] != merged)
            status = bpe_pairs_change(pairs, (struct bpe_merge){merged, symbols[i + 1]},
                                      change->word, 1, change->frequency);
    }
    return status;
}

static enum status merge_in_word(struct learner *learner, int32_t number, struct bpe_merge pair,
                                 int32_t merged)
{
    struct word *word = &learner->words[number];
    int32_t *symbols = learner->symbols + word->start;
    struct change change = {.old_symbols = learner->before,
                            .new_symbols = symbols,
                            .old_length = word->length,
                            .word = number,
                            .frequency = learner->counts->counts[number]};
    memcpy(learner->before, symbols, (size_t)word->length * sizeof *symbols);
    enum status status = STATUS_OK;
    if (word->has_space)
        status = merge_text(learner, word, pair);
    else
        merge_symbols(symbols, word, pair, merged);
    change.new_length = word->length;
    if (status == STATUS_OK)
        status = remove_neighbours(&learner->pairs, &change, pair);
    if (status == STATUS_OK)
        status = add_neighbours(&learner->pairs, &change, merged);
    return status;
}

/* Merges pair number `best` in all words that have it. */
static enum status merge_everywhere(struct learner *learner, int32_t best, int64_t round)
{
    const struct bpe_merge pair = learner->pairs.pairs[best];
    int32_t merged = 0;
    struct bpe_places places;
    bpe_pairs_take(&learner->pairs, best, &places);
    enum status status = join_symbols(learner, pair, "", &learner->text);
    if (status == STATUS_OK)
        status =
            strings_add(&learner->codes->symbols, learner->text.data, learner->text.size, &merged);
    for (uint32_t i = 0; i < places.capacity && status == STATUS_OK; i++) {
        if (places.entries[i].word >= 0 && places.entries[i].count > 0)
            status = merge_in_word(learner, places.entries[i].word, pair, merged);
    }
    bpe_places_free(&places);
    if (status == STATUS_OK)
        status = bpe_pairs_finish(&learner->pairs, round, best);
    return status;
}

/* Characters inside and at the end of words: the latter are those with "</w>". */
static void count_characters(const struct strings *symbols, int64_t *n_inside, int64_t *n_final)
{
    *n_inside = 0;
    *n_final = 0;
    for (int32_t i = 0; i < symbols->size; i++) {
        size_t size = 0;
        strings_get(symbols, i, &size);
        *(size > BPE_WORD_END_BYTES ? n_final : n_inside) += 1;
    }
}

static enum status learn(struct learner *learner, const struct bpe_learn_options *options)
{
    struct bpe_codes *codes = learner->codes;
    int64_t n_inside = 0, n_final = 0;
    count_characters(&codes->symbols, &n_inside, &n_final);
    if (options->on_characters != NULL)
        options->on_characters(options->context, n_inside, n_final);
    const int64_t taken_off = options->subtracts_characters ? n_inside + n_final : 0;
    const int64_t n_merges = options->n_merges - taken_off;
    enum status status = bpe_pairs_start(&learner->pairs);
    for (int64_t round = 0; round < n_merges && status == STATUS_OK; round++) {
        int32_t best = 0;
        int64_t frequency = 0;
        status = bpe_pairs_best(&learner->pairs, round, &best, &frequency);
        if (status == STATUS_OK && frequency < options->min_frequency) {
            if (options->on_stop != NULL)
                options->on_stop(options->context);
            break;
        }
        if (status == STATUS_OK)
            status = bpe_codes_push(codes, learner->pairs.pairs[best]);
        if (status == STATUS_OK && options->on_merge != NULL)
            options->on_merge(options->context, round, codes, frequency);
        if (status == STATUS_OK)
            status = merge_everywhere(learner, best, round);
    }
    return status;
}

enum status bpe_learn(const struct bpe_counts *counts, const struct bpe_learn_options *options,
                      struct bpe_codes *codes)
{
    struct learner learner = {.counts = counts, .codes = codes, .is_bytes = options->is_bytes};
    learner.pairs.symbols = &codes->symbols;
    codes->version = options->is_bytes ? BPE_VERSION_BYTE : BPE_VERSION_0_2;
    enum status status = allocate(&learner);
    for (int32_t i = 0; i < counts->words.size && status == STATUS_OK; i++)
        status = add_word(&learner, i);
    if (status == STATUS_OK && learner.pairs.size == 0)
        status = status_set(STATUS_DATA, "no word of two or more characters to learn merges from");
    if (status == STATUS_OK)
        status = learn(&learner, options);
    bpe_pairs_free(&learner.pairs);
    free(learner.words);
    free(learner.symbols);
    free(learner.before);
    buffer_free(&learner.text);
    buffer_free(&learner.merged);
    return status;
}
