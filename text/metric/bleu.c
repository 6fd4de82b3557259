/* Counting of n-grams and the score; printing is in bleu_format.c.
 *
 * Every distinct n-gram of a segment is one node of a trie that lives in a hash table: the node of
 * its first n-1 words, and its last word. Equal n-grams meet in one node exactly, without hashing
 * whole n-grams and without a chance of collision, and each costs one look-up. */
#include "text/metric/bleu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <unicode/ucasemap.h>

#include "text/metric/tokenizer_13a.h"

/* Longest text; keeps offsets and node numbers of all texts of a segment in 32 bits. */
#define MAX_TEXT_BYTES ((size_t)1 << 28)
#define MAX_NODES      ((size_t)1 << 31)

/* An n-gram of the current segment; of another one when the stamp is old. */
struct node {
    uint32_t stamp;  /* number of the segment */
    uint32_t parent; /* node of the n-gram without its last word; for a word, its hash */
    uint32_t word;   /* node of the last word; for a word, where its bytes start */
    uint32_t size;   /* bytes of a word; 0 for longer n-grams */
    uint32_t most;   /* largest count in one reference */
    uint32_t count;  /* in the text at hand */
    uint32_t text;   /* the text that count belongs to: 1.. references, then the hypothesis */
};

/* The tokens of one text, joined by spaces. */
struct span {
    size_t start; /* in the counter's tokens */
    size_t end;
    int64_t n_tokens;
};

struct bleu_counter {
    enum bleu_tokenizer tokenizer;
    UCaseMap *case_map;   /* owned; NULL in mixed case */
    struct buffer lower;  /* one text in lower case */
    struct buffer tokens; /* tokens of all texts of the segment, the texts one behind another */
    struct span *spans;   /* [n_spans] the references, then the hypothesis; owned */
    size_t n_spans;
    struct node *nodes; /* [n_nodes]; owned */
    size_t n_nodes;
    uint32_t mask; /* the segment uses nodes 0..mask, a power of two of them */
    uint32_t stamp;
};

struct bleu_config bleu_config_default(void)
{
    return (struct bleu_config){.tokenizer = BLEU_TOKENIZER_13A, .smoothing = BLEU_SMOOTHING_EXP};
}

double bleu_default_smoothing_value(enum bleu_smoothing smoothing)
{
    if (smoothing == BLEU_SMOOTHING_FLOOR)
        return 0.1;
    return smoothing == BLEU_SMOOTHING_ADD_K ? 1.0 : 0.0;
}

void bleu_add(struct bleu_stats *sum, const struct bleu_stats *segment)
{
    sum->hypothesis_length += segment->hypothesis_length;
    sum->reference_length += segment->reference_length;
    for (int n = 0; n < BLEU_ORDER; n++) {
        sum->correct[n] += segment->correct[n];
        sum->total[n] += segment->total[n];
    }
}

enum status bleu_counter_open(struct bleu_counter **counter, const struct bleu_config *config)
{
    *counter = NULL;
    struct bleu_counter *made = calloc(1, sizeof *made);
    if (made == NULL)
        return status_set(STATUS_MEMORY, "no memory to compute BLEU");
    made->tokenizer = config->tokenizer;
    if (config->is_lowercase) {
        UErrorCode error = U_ZERO_ERROR;
        made->case_map = ucasemap_open("", 0, &error); /* "": the rules of no language */
        if (U_FAILURE(error)) {
            bleu_counter_close(made);
            return status_set(STATUS_FAILED, "cannot load Unicode's lower case: %s",
                              u_errorName(error));
        }
    }
    *counter = made;
    return STATUS_OK;
}

void bleu_counter_close(struct bleu_counter *counter)
{
    if (counter == NULL)
        return;
    if (counter->case_map != NULL)
        ucasemap_close(counter->case_map);
    buffer_free(&counter->lower);
    buffer_free(&counter->tokens);
    free(counter->spans);
    free(counter->nodes);
    free(counter);
}

/* Fills counter->lower. Some letters grow by a half in UTF-8; where that is not enough, ICU says
 * what is. */
static enum status make_lower(struct bleu_counter *counter, struct bleu_text text)
{
    size_t room = text.size + text.size / 2 + 16;
    for (;;) {
        buffer_clear(&counter->lower);
        const enum status code = buffer_reserve(&counter->lower, room);
        if (code < 0)
            return code;
        UErrorCode error = U_ZERO_ERROR;
        const int32_t size =
            ucasemap_utf8ToLower(counter->case_map, counter->lower.data, (int32_t)room,
                                 text.size == 0 ? "" : text.bytes, (int32_t)text.size, &error);
        if (error == U_BUFFER_OVERFLOW_ERROR && (size_t)size > room) {
            room = (size_t)size;
            continue;
        }
        if (U_FAILURE(error))
            return status_set(STATUS_FAILED, "cannot make lower case: %s", u_errorName(error));
        counter->lower.size = (size_t)size;
        return STATUS_OK;
    }
}

static enum status append_tokens(struct bleu_counter *counter, struct bleu_text text)
{
    if (text.size > MAX_TEXT_BYTES)
        return status_set(STATUS_DATA, "BLEU: a line of %zu bytes is too long (at most %zu)",
                          text.size, MAX_TEXT_BYTES);
    if (counter->case_map != NULL) {
        const enum status code = make_lower(counter, text);
        if (code < 0)
            return code;
        text = (struct bleu_text){counter->lower.data, counter->lower.size};
    }
    if (counter->tokenizer == BLEU_TOKENIZER_NONE)
        return tokenizer_none(&counter->tokens, text.bytes, text.size);
    return tokenizer_13a(&counter->tokens, text.bytes, text.size);
}

static int64_t count_tokens(const char *tokens, size_t size)
{
    int64_t n_tokens = size > 0 ? 1 : 0;
    for (size_t i = 0; i < size; i++)
        n_tokens += tokens[i] == ' ' ? 1 : 0;
    return n_tokens;
}

/* Tokenizes references, then hypothesis. */
static enum status tokenize(struct bleu_counter *counter, struct bleu_text hypothesis,
                            const struct bleu_text *references, size_t n_references)
{
    if (n_references + 1 > counter->n_spans) {
        struct span *spans = realloc(counter->spans, (n_references + 1) * sizeof *spans);
        if (spans == NULL)
            return status_set(STATUS_MEMORY, "no memory for %zu references", n_references);
        counter->spans = spans;
        counter->n_spans = n_references + 1;
    }
    buffer_clear(&counter->tokens);
    for (size_t i = 0; i <= n_references; i++) {
        const size_t start = counter->tokens.size;
        const enum status code =
            append_tokens(counter, i < n_references ? references[i] : hypothesis);
        if (code < 0)
            return code;
        const size_t end = counter->tokens.size;
        const int64_t n_tokens = count_tokens(counter->tokens.data + start, end - start);
        counter->spans[i] = (struct span){start, end, n_tokens};
    }
    return STATUS_OK;
}

/* Makes the table at least twice as large as the number of n-grams, and empties it by taking a new
 * stamp. */
static enum status prepare_nodes(struct bleu_counter *counter, size_t n_texts)
{
    size_t n_ngrams = 0;
    for (size_t i = 0; i < n_texts; i++)
        n_ngrams += (size_t)counter->spans[i].n_tokens * BLEU_ORDER;
    size_t wanted = 64;
    while (wanted < 2 * n_ngrams)
        wanted *= 2;
    if (wanted > MAX_NODES)
        return status_set(STATUS_DATA, "BLEU: lines with %zu n-grams are too long", n_ngrams);
    if (wanted > counter->n_nodes) {
        struct node *nodes = calloc(wanted, sizeof *nodes);
        if (nodes == NULL)
            return status_set(STATUS_MEMORY, "no memory for %zu n-grams of one line", n_ngrams);
        free(counter->nodes);
        counter->nodes = nodes;
        counter->n_nodes = wanted;
        counter->stamp = 0;
    }
    if (counter->stamp == UINT32_MAX) {
        memset(counter->nodes, 0, counter->n_nodes * sizeof *counter->nodes);
        counter->stamp = 0;
    }
    counter->stamp++;
    counter->mask = (uint32_t)(wanted - 1);
    return STATUS_OK;
}

/* Spreads the bits of a key over the low bits of the result (a multiplication by an odd number near
 * 2^64 over the golden ratio). */
static uint32_t mix(uint64_t key)
{
    key = (key ^ (key >> 29)) * UINT64_C(0x9E3779B97F4A7C15);
    return (uint32_t)(key >> 32);
}

static uint32_t hash_bytes(const char *bytes, size_t size)
{
    uint64_t hash = size;
    for (; size >= 8; bytes += 8, size -= 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * UINT64_C(0xFF51AFD7ED558CCD);
        hash ^= hash >> 32;
    }
    uint64_t rest = 0;
    for (size_t i = 0; i < size; i++)
        rest = rest << 8 | (unsigned char)bytes[i];
    return mix((hash ^ rest) * UINT64_C(0xC4CEB9FE1A85EC53));
}

static uint32_t find_word(struct bleu_counter *counter, size_t start, size_t size)
{
    const char *bytes = counter->tokens.data + start;
    const uint32_t hash = hash_bytes(bytes, size);
    const uint32_t mask = counter->mask;
    for (uint32_t slot = hash & mask;; slot = (slot + 1) & mask) {
        struct node *node = &counter->nodes[slot];
        if (node->stamp != counter->stamp) {
            *node = (struct node){.stamp = counter->stamp,
                                  .parent = hash,
                                  .word = (uint32_t)start,
                                  .size = (uint32_t)size};
            return slot;
        }
        if (node->size == size && node->parent == hash &&
            memcmp(counter->tokens.data + node->word, bytes, size) == 0)
            return slot;
    }
}

static uint32_t find_ngram(struct bleu_counter *counter, uint32_t parent, uint32_t word)
{
    const uint32_t mask = counter->mask;
    const uint32_t hash = mix(((uint64_t)parent << 32 | word) + 1);
    for (uint32_t slot = hash & mask;; slot = (slot + 1) & mask) {
        struct node *node = &counter->nodes[slot];
        if (node->stamp != counter->stamp) {
            *node = (struct node){.stamp = counter->stamp, .parent = parent, .word = word};
            return slot;
        }
        if (node->size == 0 && node->parent == parent && node->word == word)
            return slot;
    }
}

/* Counts one occurrence; returns the count in this text so far. */
static uint32_t count_node(struct node *node, uint32_t text)
{
    if (node->text != text) {
        node->text = text;
        node->count = 0;
    }
    return ++node->count;
}

/* Walks the tokens of text number `text` (from 1 on). With stats, it is the hypothesis: its n-grams
 * are counted there; otherwise they are noted as a reference's. */
static void count_text(struct bleu_counter *counter, uint32_t text, struct bleu_stats *stats)
{
    size_t at = counter->spans[text - 1].start;
    const size_t end = counter->spans[text - 1].end;
    uint32_t before[BLEU_ORDER] = {0}; /* nodes of the n-grams that end one word earlier */
    int longest = 1;
    while (at < end) {
        const char *start = counter->tokens.data + at;
        const char *space = memchr(start, ' ', end - at);
        const size_t size = space == NULL ? end - at : (size_t)(space - start);
        const uint32_t word = find_word(counter, at, size);
        uint32_t here[BLEU_ORDER] = {word};
        for (int n = 0; n < longest; n++) {
            if (n > 0)
                here[n] = find_ngram(counter, before[n - 1], word);
            struct node *node = &counter->nodes[here[n]];
            const uint32_t count = count_node(node, text);
            if (stats != NULL) {
                stats->total[n]++;
                stats->correct[n] += count <= node->most ? 1 : 0;
            } else if (count > node->most) {
                node->most = count;
            }
        }
        memcpy(before, here, sizeof before);
        longest += longest < BLEU_ORDER ? 1 : 0;
        at += size + 1;
    }
}

static int64_t nearest_length(const struct span *references, size_t n_references, int64_t length)
{
    int64_t nearest = references[0].n_tokens;
    for (size_t i = 1; i < n_references; i++) {
        const int64_t tokens = references[i].n_tokens;
        const int64_t farther = llabs(length - tokens) - llabs(length - nearest);
        if (farther < 0 || (farther == 0 && tokens < nearest))
            nearest = tokens;
    }
    return nearest;
}

enum status bleu_count(struct bleu_counter *counter, struct bleu_text hypothesis,
                       const struct bleu_text *references, size_t n_references,
                       struct bleu_stats *stats)
{
    CHECK(n_references >= 1 && n_references < UINT32_MAX - 1, "%zu references", n_references);
    *stats = (struct bleu_stats){0};
    enum status code = tokenize(counter, hypothesis, references, n_references);
    if (code == STATUS_OK)
        code = prepare_nodes(counter, n_references + 1);
    if (code < 0)
        return code;
    for (uint32_t text = 1; text <= n_references; text++)
        count_text(counter, text, NULL);
    count_text(counter, (uint32_t)n_references + 1, stats);
    stats->hypothesis_length = counter->spans[n_references].n_tokens;
    stats->reference_length =
        nearest_length(counter->spans, n_references, stats->hypothesis_length);
    return STATUS_OK;
}

static double brevity_penalty(int64_t hypothesis, int64_t reference)
{
    if (hypothesis >= reference)
        return 1.0;
    return hypothesis > 0 ? exp(1.0 - (double)reference / (double)hypothesis) : 0.0;
}

/* The logarithm of a precision of 0 is a number so low that the score is 0. */
static double floored_log(double precision)
{
    return precision > 0 ? log(precision) : -9999999999.0;
}

/* Fills precisions and returns the order up to which they count. Once no n-gram is that long, the
 * precisions from there on stay 0. */
static int compute_precisions(const struct bleu_stats *stats, const struct bleu_config *config,
                              double precisions[BLEU_ORDER])
{
    double fraction = 1.0;
    int order = config->is_effective_order ? 0 : BLEU_ORDER;
    for (int n = 0; n < BLEU_ORDER; n++) {
        const bool is_added = config->smoothing == BLEU_SMOOTHING_ADD_K && n > 0;
        const double added = is_added ? config->smoothing_value : 0.0;
        const double correct = (double)stats->correct[n] + added;
        const double total = (double)stats->total[n] + added;
        if (!(total > 0))
            break;
        if (config->is_effective_order)
            order = n + 1;
        if (correct > 0) {
            precisions[n] = 100.0 * correct / total;
        } else if (config->smoothing == BLEU_SMOOTHING_EXP) {
            fraction *= 2.0;
            precisions[n] = 100.0 / (fraction * total);
        } else if (config->smoothing == BLEU_SMOOTHING_FLOOR) {
            precisions[n] = 100.0 * config->smoothing_value / total;
        }
    }
    return order;
}

struct bleu_score bleu_compute(const struct bleu_stats *stats, const struct bleu_config *config)
{
    const int64_t hypothesis = stats->hypothesis_length, reference = stats->reference_length;
    struct bleu_score score = {
        .brevity_penalty = brevity_penalty(hypothesis, reference),
        .ratio = reference == 0 ? 0.0 : (double)hypothesis / (double)reference,
        .hypothesis_length = hypothesis,
        .reference_length = reference,
    };
    bool has_match = false;
    for (int n = 0; n < BLEU_ORDER; n++)
        has_match = has_match || stats->correct[n] > 0;
    if (!has_match)
        return score;
    const int order = compute_precisions(stats, config, score.precisions);
    double sum = 0.0;
    for (int n = 0; n < order; n++)
        sum += floored_log(score.precisions[n]);
    score.score = score.brevity_penalty * exp(sum / order);
    return score;
}
