/* Counting; the score is computed in chrf_score.c. */
#include "text/metric/chrf.h"

#include <stdlib.h>
#include <string.h>

#include "text/metric/lowercase.h"
#include "text/metric/ngrams.h"
#include "text/metric/tokenizer.h"
#include "text/utf8.h"

#define MAX_TEXT_BYTES ((size_t)1 << 28)

struct chrf_counter {
    struct chrf_config config;
    struct lowercase *lowercase; /* owned; NULL in mixed case */
    struct buffer hypothesis;    /* in lower case; not used in mixed case */
    struct buffer reference;     /* likewise, one at a time */
    struct ngrams ngrams;        /* those of the hypothesis */
};

/* What a text goes through; the numbers of symbols are those in the sequence at hand. */
struct pass {
    struct ngrams *ngrams;
    bool is_noted; /* the hypothesis; else only looked up */
    int64_t n_symbols;
};

enum status chrf_counter_open(struct chrf_counter **counter, const struct chrf_config *config)
{
    *counter = NULL;
    CHECK(config->char_order >= 1 && config->char_order <= CHRF_MAX_CHAR_ORDER &&
              config->word_order >= 0 && config->word_order <= CHRF_MAX_WORD_ORDER,
          "orders %lld and %lld", (long long)config->char_order, (long long)config->word_order);
    struct chrf_counter *made = calloc(1, sizeof *made);
    if (made == NULL)
        return status_set(STATUS_MEMORY, "no memory to compute chrF");
    made->config = *config;
    const enum status code = config->is_lowercase ? lowercase_open(&made->lowercase) : STATUS_OK;
    if (code < 0)
        chrf_counter_close(made);
    else
        *counter = made;
    return code;
}

void chrf_counter_close(struct chrf_counter *counter)
{
    if (counter == NULL)
        return;
    lowercase_close(counter->lowercase);
    buffer_free(&counter->hypothesis);
    buffer_free(&counter->reference);
    ngrams_free(&counter->ngrams);
    free(counter);
}

/* Replaces the text by its lower case in buffer where that is wanted. */
static enum status lower(struct chrf_counter *counter, struct buffer *buffer,
                         struct bleu_text *text)
{
    if (text->size > MAX_TEXT_BYTES)
        return status_set(STATUS_DATA, "chrF: a line of %zu bytes is too long (at most %zu)",
                          text->size, MAX_TEXT_BYTES);
    if (counter->lowercase == NULL)
        return STATUS_OK;
    buffer_clear(buffer);
    const enum status code = lowercase_append(counter->lowercase, buffer, text->bytes, text->size);
    *text = (struct bleu_text){buffer->data, buffer->size};
    return code;
}

static void add_characters(struct pass *pass, struct bleu_text text, bool is_whitespace)
{
    for (size_t at = 0; at < text.size;) {
        const size_t space =
            is_whitespace ? 0 : tokenizer_space_length(text.bytes + at, text.size - at);
        if (space > 0) {
            at += space;
            continue;
        }
        const uint32_t code_point = utf8_next(text.bytes, text.size, &at);
        if (pass->is_noted)
            ngrams_note_character(pass->ngrams, code_point);
        else
            ngrams_find_character(pass->ngrams, code_point);
        pass->n_symbols++;
    }
}

static bool is_punctuation(char byte)
{
    return byte > ' ' && byte < 0x7F && !(byte >= '0' && byte <= '9') &&
           !(byte >= 'A' && byte <= 'Z') && !(byte >= 'a' && byte <= 'z');
}

static void add_word(struct pass *pass, struct bleu_text text, size_t start, size_t end)
{
    if (pass->is_noted)
        ngrams_note_word(pass->ngrams, start, end - start);
    else
        ngrams_find_word(pass->ngrams, text.bytes + start, end - start);
    pass->n_symbols++;
}

static void add_split_word(struct pass *pass, struct bleu_text text, size_t start, size_t end)
{
    const bool is_split = end - start > 1;
    if (is_split && is_punctuation(text.bytes[end - 1])) {
        add_word(pass, text, start, end - 1);
        add_word(pass, text, end - 1, end);
    } else if (is_split && is_punctuation(text.bytes[start])) {
        add_word(pass, text, start, start + 1);
        add_word(pass, text, start + 1, end);
    } else {
        add_word(pass, text, start, end);
    }
}

static void add_words(struct pass *pass, struct bleu_text text)
{
    size_t start = 0;
    for (size_t at = 0; at < text.size;) {
        const size_t space = tokenizer_space_length(text.bytes + at, text.size - at);
        if (space > 0 && at > start)
            add_split_word(pass, text, start, at);
        at += space > 0 ? space : 1;
        start = space > 0 ? at : start;
    }
    if (text.size > start)
        add_split_word(pass, text, start, text.size);
}

/* n-grams of each order in n_symbols symbols, into every third count. */
static void count_totals(int64_t n_symbols, int64_t n_orders, int64_t *counts)
{
    for (int64_t n = 0; n < n_orders; n++)
        counts[3 * n] = n_symbols > n ? n_symbols - n : 0;
}

/* The hypothesis' n-grams become those noted; their totals go to counts. */
static enum status note_hypothesis(struct chrf_counter *counter, struct bleu_text hypothesis,
                                   int64_t *counts)
{
    const struct chrf_config *config = &counter->config;
    const size_t n_orders = (size_t)(config->char_order + config->word_order) + 1;
    struct pass pass = {.ngrams = &counter->ngrams, .is_noted = true};
    enum status code = ngrams_start(&counter->ngrams, hypothesis.bytes, hypothesis.size * n_orders);
    if (code == STATUS_OK)
        code = ngrams_reserve(&counter->ngrams, hypothesis.size);
    if (code < 0)
        return code;
    add_characters(&pass, hypothesis, config->is_whitespace);
    ngrams_note(&counter->ngrams, (size_t)config->char_order, 1);
    count_totals(pass.n_symbols, config->char_order, counts);
    pass.n_symbols = 0;
    if (config->word_order > 0)
        add_words(&pass, hypothesis);
    ngrams_note(&counter->ngrams, (size_t)config->word_order, 1);
    count_totals(pass.n_symbols, config->word_order, counts + 3 * config->char_order);
    return STATUS_OK;
}

/* Fills the counts of reference and matches, and takes out the hypothesis' n-grams of orders that
 * the reference has none of. */
static enum status match_reference(struct chrf_counter *counter, struct bleu_text reference,
                                   uint32_t text, int64_t *counts)
{
    const struct chrf_config *config = &counter->config;
    const int64_t n_orders = config->char_order + config->word_order;
    int64_t matches[CHRF_MAX_CHAR_ORDER + CHRF_MAX_WORD_ORDER] = {0};
    struct pass pass = {.ngrams = &counter->ngrams};
    const enum status code = ngrams_reserve(&counter->ngrams, reference.size);
    if (code < 0)
        return code;
    add_characters(&pass, reference, config->is_whitespace);
    ngrams_match(&counter->ngrams, (size_t)config->char_order, text, matches);
    count_totals(pass.n_symbols, config->char_order, counts + 1);
    pass.n_symbols = 0;
    if (config->word_order > 0)
        add_words(&pass, reference);
    ngrams_match(&counter->ngrams, (size_t)config->word_order, text, matches + config->char_order);
    count_totals(pass.n_symbols, config->word_order, counts + 3 * config->char_order + 1);
    for (int64_t i = 0; i < n_orders; i++) {
        counts[3 * i + 2] = matches[i];
        counts[3 * i] = counts[3 * i + 1] > 0 ? counts[3 * i] : 0;
    }
    return STATUS_OK;
}

enum status chrf_count(struct chrf_counter *counter, struct bleu_text hypothesis,
                       const struct bleu_text *references, size_t n_references, int64_t *counts)
{
    CHECK(n_references >= 1 && n_references < UINT32_MAX - 1, "%zu references", n_references);
    const struct chrf_config *config = &counter->config;
    const size_t width = 3 * (size_t)(config->char_order + config->word_order);
    int64_t totals[CHRF_MAX_COUNTS] = {0};
    double best = -1.0;
    enum status code = lower(counter, &counter->hypothesis, &hypothesis);
    if (code == STATUS_OK)
        code = note_hypothesis(counter, hypothesis, totals);
    for (size_t i = 0; code == STATUS_OK && i < n_references; i++) {
        struct bleu_text reference = references[i];
        int64_t trial[CHRF_MAX_COUNTS];
        memcpy(trial, totals, sizeof trial);
        code = lower(counter, &counter->reference, &reference);
        if (code == STATUS_OK)
            code = match_reference(counter, reference, (uint32_t)i + 2, trial);
        const double score = code < 0 ? -1.0 : chrf_compute(trial, config, false).score;
        if (score > best) {
            best = score;
            memcpy(counts, trial, width * sizeof *counts);
        }
    }
    return code;
}
