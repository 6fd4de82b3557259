#include "text/metric/multi_bleu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Length of the reference where there is none, and of one that differs by more than so much. */
enum { FAR_LENGTH = 9999 };

struct multi_bleu {
    bool is_lowercase;
    struct bleu_counter *counter; /* owned */
    struct bleu_stats sum;
    struct buffer words;     /* of all texts of a segment, the texts one behind another */
    struct bleu_text *texts; /* [n_texts] those in words; owned */
    size_t n_texts;
};

enum status multi_bleu_open(struct multi_bleu **multi_bleu, bool is_lowercase)
{
    *multi_bleu = NULL;
    struct multi_bleu *made = calloc(1, sizeof *made);
    if (made == NULL)
        return status_set(STATUS_MEMORY, "no memory to compute BLEU");
    const struct bleu_config config = bleu_config_default();
    const enum status code = bleu_counter_open(&made->counter, &config);
    made->is_lowercase = is_lowercase;
    if (code < 0)
        multi_bleu_close(made);
    else
        *multi_bleu = made;
    return code;
}

void multi_bleu_close(struct multi_bleu *multi_bleu)
{
    if (multi_bleu == NULL)
        return;
    bleu_counter_close(multi_bleu->counter);
    buffer_free(&multi_bleu->words);
    free(multi_bleu->texts);
    free(multi_bleu);
}

/* Perl's white space in a string of bytes. */
static bool is_space(char byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* Writes the words of a text, joined by spaces, over the text itself; returns their size. */
static size_t split(char *text, size_t size, bool is_lowercase)
{
    size_t written = 0;
    bool is_apart = false;
    for (size_t i = 0; i < size; i++) {
        if (is_space(text[i])) {
            is_apart = written > 0;
            continue;
        }
        const bool is_capital = is_lowercase && text[i] >= 'A' && text[i] <= 'Z';
        const char byte = is_capital ? (char)(text[i] | 0x20) : text[i];
        if (is_apart)
            text[written++] = ' ';
        is_apart = false;
        text[written++] = byte;
    }
    return written;
}

/* Splits references, then hypothesis, into texts. */
static enum status split_all(struct multi_bleu *multi_bleu, struct bleu_text hypothesis,
                             const struct bleu_text *references, size_t n_references)
{
    struct buffer *words = &multi_bleu->words;
    if (n_references + 1 > multi_bleu->n_texts) {
        struct bleu_text *texts = realloc(multi_bleu->texts, (n_references + 1) * sizeof *texts);
        if (texts == NULL)
            return status_set(STATUS_MEMORY, "no memory for %zu references", n_references);
        multi_bleu->texts = texts;
        multi_bleu->n_texts = n_references + 1;
    }
    size_t size = hypothesis.size;
    for (size_t i = 0; i < n_references; i++)
        size += references[i].size;
    buffer_clear(words);
    const enum status code = buffer_reserve(words, size); /* so that it does not move below */
    if (code < 0)
        return code;
    for (size_t i = 0; i <= n_references; i++) {
        const struct bleu_text text = i < n_references ? references[i] : hypothesis;
        char *start = words->data + words->size;
        if (text.size > 0)
            memcpy(start, text.bytes, text.size);
        const size_t written = split(start, text.size, multi_bleu->is_lowercase);
        multi_bleu->texts[i] = (struct bleu_text){start, written};
        words->size += written;
    }
    return STATUS_OK;
}

enum status multi_bleu_add(struct multi_bleu *multi_bleu, struct bleu_text hypothesis,
                           const struct bleu_text *references, size_t n_references)
{
    struct bleu_stats stats;
    enum status code = split_all(multi_bleu, hypothesis, references, n_references);
    if (code == STATUS_OK)
        code = bleu_count_tokens(multi_bleu->counter, multi_bleu->texts[n_references],
                                 multi_bleu->texts, n_references, &stats);
    if (code < 0)
        return code;
    /* what the script starts its search for the nearest length from */
    const int64_t difference = llabs(stats.hypothesis_length - stats.reference_length);
    const bool is_far = difference > FAR_LENGTH ||
                        (difference == FAR_LENGTH && stats.reference_length > FAR_LENGTH);
    if (n_references == 0 || is_far)
        stats.reference_length = FAR_LENGTH;
    bleu_add(&multi_bleu->sum, &stats);
    return STATUS_OK;
}

bool multi_bleu_is_empty(const struct multi_bleu *multi_bleu)
{
    return multi_bleu->sum.reference_length == 0;
}

/* As the script: a logarithm so low that the score is 0. */
static double floored_log(double value)
{
    return value > 0 ? log(value) : -9999999999.0;
}

enum status multi_bleu_append(const struct multi_bleu *multi_bleu, struct buffer *buffer)
{
    const struct bleu_stats *sum = &multi_bleu->sum;
    if (multi_bleu_is_empty(multi_bleu))
        return buffer_append_string(buffer,
                                    "BLEU = 0, 0/0/0/0 (BP=0, ratio=0, hyp_len=0, ref_len=0)");
    if (sum->hypothesis_length == 0)
        return status_set(STATUS_DATA, "the translations hold no words");
    const double ratio = (double)sum->hypothesis_length / (double)sum->reference_length;
    const double inverse = (double)sum->reference_length / (double)sum->hypothesis_length;
    const double penalty = sum->hypothesis_length < sum->reference_length ? exp(1 - inverse) : 1.0;
    double precisions[BLEU_ORDER] = {0}, logarithms = 0;
    for (int n = 0; n < BLEU_ORDER; n++) {
        if (sum->total[n] > 0)
            precisions[n] = (double)sum->correct[n] / (double)sum->total[n];
        logarithms += floored_log(precisions[n]);
    }
    return buffer_printf(buffer,
                         "BLEU = %.2f, %.1f/%.1f/%.1f/%.1f (BP=%.3f, ratio=%.3f, hyp_len=%lld, "
                         "ref_len=%lld)",
                         100 * (penalty * exp(logarithms / BLEU_ORDER)), 100 * precisions[0],
                         100 * precisions[1], 100 * precisions[2], 100 * precisions[3], penalty,
                         ratio, (long long)sum->hypothesis_length,
                         (long long)sum->reference_length);
}
