/* Counting; the score is computed in bleu_score.c. */
#include "text/metric/bleu.h"

#include <stdlib.h>
#include <string.h>

#include "text/metric/lowercase.h"
#include "text/metric/ngrams.h"
#include "text/metric/tokenizer.h"
#include "text/subword/sentencepiece.h"

/* Longest text; keeps offsets into all texts of a segment, lower-cased and tokenized, small. */
#define MAX_TEXT_BYTES ((size_t)1 << 28)

/* The tokens of one text, joined by spaces. */
struct span {
    size_t start; /* in the counter's tokens */
    size_t end;
    size_t n_tokens;
};

struct bleu_counter {
    enum bleu_tokenizer tokenizer;
    const struct subword *subword; /* borrowed */
    struct lowercase *lowercase;   /* owned; NULL in mixed case */
    struct buffer lower;           /* one text in lower case */
    struct buffer pieces;          /* of one text, by a subword model */
    struct buffer tokens; /* tokens of all texts of the segment, the texts one behind another */
    struct span *spans;   /* [n_spans] the references, then the hypothesis; owned */
    size_t n_spans;
    size_t n_references; /* of the segment */
    uint32_t n_texts;    /* noted or matched in ngrams since its start */
    struct ngrams ngrams;
};

static const char *const tokenizer_names[] = {
    [BLEU_TOKENIZER_13A] = "13a",
    [BLEU_TOKENIZER_NONE] = "none",
    [BLEU_TOKENIZER_INTL] = "intl",
    [BLEU_TOKENIZER_CHAR] = "char",
    [BLEU_TOKENIZER_ZH] = "zh",
    [BLEU_TOKENIZER_FLORES101] = "flores101",
    [BLEU_TOKENIZER_FLORES200] = "flores200",
    [BLEU_TOKENIZER_SPBLEU_1K] = "spBLEU-1K",
};

const char *bleu_tokenizer_name(enum bleu_tokenizer tokenizer)
{
    return tokenizer_names[tokenizer];
}

bool bleu_tokenizer_find(const char *name, enum bleu_tokenizer *tokenizer)
{
    if (strcmp(name, "spm") == 0)
        name = tokenizer_names[BLEU_TOKENIZER_FLORES101];
    for (int i = 0; i <= BLEU_TOKENIZER_SPBLEU_1K; i++) {
        if (strcmp(name, tokenizer_names[i]) == 0) {
            *tokenizer = (enum bleu_tokenizer)i;
            return true;
        }
    }
    return false;
}

bool bleu_tokenizer_wants_subword(enum bleu_tokenizer tokenizer)
{
    return tokenizer >= BLEU_TOKENIZER_FLORES101;
}

struct bleu_config bleu_config_default(void)
{
    return (struct bleu_config){.tokenizer = BLEU_TOKENIZER_13A, .smoothing = BLEU_SMOOTHING_EXP};
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
    CHECK(config->subword != NULL || !bleu_tokenizer_wants_subword(config->tokenizer),
          "tokenizer %s without a model", bleu_tokenizer_name(config->tokenizer));
    struct bleu_counter *made = calloc(1, sizeof *made);
    if (made == NULL)
        return status_set(STATUS_MEMORY, "no memory to compute BLEU");
    made->tokenizer = config->tokenizer;
    made->subword = config->subword;
    const enum status code = config->is_lowercase ? lowercase_open(&made->lowercase) : STATUS_OK;
    if (code < 0)
        bleu_counter_close(made);
    else
        *counter = made;
    return code;
}

void bleu_counter_close(struct bleu_counter *counter)
{
    if (counter == NULL)
        return;
    lowercase_close(counter->lowercase);
    buffer_free(&counter->lower);
    buffer_free(&counter->pieces);
    buffer_free(&counter->tokens);
    free(counter->spans);
    ngrams_free(&counter->ngrams);
    free(counter);
}

static enum status append_pieces(struct bleu_counter *counter, struct bleu_text text)
{
    buffer_clear(&counter->pieces);
    const enum status code =
        subword_encode_pieces(counter->subword, text.bytes, text.size, &counter->pieces);
    return code < 0 ? code
                    : tokenizer_none(&counter->tokens, counter->pieces.data, counter->pieces.size);
}

static enum status append_tokens(struct bleu_counter *counter, struct bleu_text text)
{
    if (counter->lowercase != NULL) {
        buffer_clear(&counter->lower);
        const enum status code =
            lowercase_append(counter->lowercase, &counter->lower, text.bytes, text.size);
        if (code < 0)
            return code;
        text = (struct bleu_text){counter->lower.data, counter->lower.size};
    }
    text.size = tokenizer_strip_end(text.bytes, text.size);
    switch (counter->tokenizer) {
    case BLEU_TOKENIZER_13A:
        return tokenizer_13a(&counter->tokens, text.bytes, text.size);
    case BLEU_TOKENIZER_NONE:
        return tokenizer_none(&counter->tokens, text.bytes, text.size);
    case BLEU_TOKENIZER_INTL:
        return tokenizer_intl(&counter->tokens, text.bytes, text.size);
    case BLEU_TOKENIZER_CHAR:
        return tokenizer_char(&counter->tokens, text.bytes, text.size);
    case BLEU_TOKENIZER_ZH:
        return tokenizer_zh(&counter->tokens, text.bytes, text.size);
    case BLEU_TOKENIZER_FLORES101:
    case BLEU_TOKENIZER_FLORES200:
    case BLEU_TOKENIZER_SPBLEU_1K:
        break;
    }
    return append_pieces(counter, text);
}

static enum status append_as_is(struct bleu_counter *counter, struct bleu_text text)
{
    return buffer_append(&counter->tokens, text.bytes, text.size);
}

static size_t count_tokens(const char *tokens, size_t size)
{
    size_t n_tokens = size > 0 ? 1 : 0;
    for (size_t i = 0; i < size; i++)
        n_tokens += tokens[i] == ' ' ? 1 : 0;
    return n_tokens;
}

typedef enum status append_text(struct bleu_counter *counter, struct bleu_text text);

/* Brings a text into counter->tokens by way of `append`, as span number i. */
static enum status collect(struct bleu_counter *counter, size_t i, struct bleu_text text,
                           append_text *append)
{
    if (text.size > MAX_TEXT_BYTES)
        return status_set(STATUS_DATA, "BLEU: a line of %zu bytes is too long (at most %zu)",
                          text.size, MAX_TEXT_BYTES);
    const size_t start = counter->tokens.size;
    const enum status code = append(counter, text);
    if (code < 0)
        return code;
    const size_t end = counter->tokens.size;
    if (end > UINT32_MAX)
        return status_set(STATUS_DATA, "BLEU: the references of one line are too long");
    const size_t n_tokens = count_tokens(counter->tokens.data + start, end - start);
    counter->spans[i] = (struct span){start, end, n_tokens};
    return STATUS_OK;
}

static enum status reserve_spans(struct bleu_counter *counter, size_t n_spans)
{
    if (n_spans <= counter->n_spans)
        return STATUS_OK;
    struct span *spans = realloc(counter->spans, n_spans * sizeof *spans);
    if (spans == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu references", n_spans - 1);
    counter->spans = spans;
    counter->n_spans = n_spans;
    return STATUS_OK;
}

/* Makes the tokens of a text the sequence at hand of counter->ngrams. */
static void add_words(struct bleu_counter *counter, const struct span *span, bool is_noted)
{
    for (size_t at = span->start; at < span->end;) {
        const char *start = counter->tokens.data + at;
        const char *space = memchr(start, ' ', span->end - at);
        const size_t size = space == NULL ? span->end - at : (size_t)(space - start);
        if (is_noted)
            ngrams_note_word(&counter->ngrams, at, size);
        else
            ngrams_find_word(&counter->ngrams, start, size);
        at += size + 1;
    }
}

static int64_t nearest_length(const struct span *references, size_t n_references, int64_t length)
{
    int64_t nearest = n_references > 0 ? (int64_t)references[0].n_tokens : 0;
    for (size_t i = 1; i < n_references; i++) {
        const int64_t tokens = (int64_t)references[i].n_tokens;
        const int64_t farther = llabs(length - tokens) - llabs(length - nearest);
        if (farther < 0 || (farther == 0 && tokens < nearest))
            nearest = tokens;
    }
    return nearest;
}

/* Notes the n-grams of the references, for hypotheses to be matched with. */
static enum status note_references(struct bleu_counter *counter, const struct bleu_text *references,
                                   size_t n_references, append_text *append)
{
    size_t n_ngrams = 0, longest = 0;
    buffer_clear(&counter->tokens);
    counter->n_references = n_references;
    counter->n_texts = 0;
    enum status code = reserve_spans(counter, n_references + 1);
    for (size_t i = 0; code == STATUS_OK && i < n_references; i++) {
        code = collect(counter, i, references[i], append);
        if (code < 0)
            break;
        const size_t n_tokens = counter->spans[i].n_tokens;
        n_ngrams += n_tokens * BLEU_ORDER;
        longest = n_tokens > longest ? n_tokens : longest;
    }
    if (code == STATUS_OK)
        code = ngrams_start(&counter->ngrams, counter->tokens.data, n_ngrams);
    if (code == STATUS_OK)
        code = ngrams_reserve(&counter->ngrams, longest);
    for (size_t i = 0; code == STATUS_OK && i < n_references; i++) {
        add_words(counter, &counter->spans[i], true);
        ngrams_note(&counter->ngrams, BLEU_ORDER, ++counter->n_texts);
    }
    return code;
}

static enum status match_hypothesis(struct bleu_counter *counter, struct bleu_text hypothesis,
                                    append_text *append, struct bleu_stats *stats)
{
    const size_t n_references = counter->n_references;
    const struct span *span = &counter->spans[n_references];
    const size_t before = counter->tokens.size;
    *stats = (struct bleu_stats){0};
    enum status code = collect(counter, n_references, hypothesis, append);
    if (code == STATUS_OK)
        code = ngrams_reserve(&counter->ngrams, span->n_tokens);
    if (code < 0)
        return code;
    counter->ngrams.words = counter->tokens.data; /* which may have moved as it grew */
    add_words(counter, span, false);
    ngrams_match(&counter->ngrams, BLEU_ORDER, ++counter->n_texts, stats->correct);
    const int64_t length = (int64_t)span->n_tokens;
    for (int n = 0; n < BLEU_ORDER; n++)
        stats->total[n] = length > n ? length - n : 0;
    stats->hypothesis_length = length;
    stats->reference_length = nearest_length(counter->spans, n_references, length);
    counter->tokens.size = before;
    return STATUS_OK;
}

enum status bleu_count(struct bleu_counter *counter, struct bleu_text hypothesis,
                       const struct bleu_text *references, size_t n_references,
                       struct bleu_stats *stats)
{
    CHECK(n_references >= 1 && n_references < UINT32_MAX / 2, "%zu references", n_references);
    const enum status code = note_references(counter, references, n_references, append_tokens);
    return code < 0 ? code : match_hypothesis(counter, hypothesis, append_tokens, stats);
}

enum status bleu_count_again(struct bleu_counter *counter, struct bleu_text hypothesis,
                             struct bleu_stats *stats)
{
    CHECK(counter->n_texts > 0 && counter->n_texts < UINT32_MAX - 1, "%lu texts were counted",
          (unsigned long)counter->n_texts);
    return match_hypothesis(counter, hypothesis, append_tokens, stats);
}

enum status bleu_count_tokens(struct bleu_counter *counter, struct bleu_text hypothesis,
                              const struct bleu_text *references, size_t n_references,
                              struct bleu_stats *stats)
{
    CHECK(n_references < UINT32_MAX / 2, "%zu references", n_references);
    const enum status code = note_references(counter, references, n_references, append_as_is);
    return code < 0 ? code : match_hypothesis(counter, hypothesis, append_as_is, stats);
}
