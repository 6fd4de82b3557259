/* How a result is printed. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/metric/metric.h"

const char metric_compatible_version[] = "2.6.0";

enum { MAX_DIGITS = 17, MAX_DECIMALS = 100 }; /* 17: enough for any double */

/* A number below 1000 with all its decimals. */
enum { NUMBER_BYTES = MAX_DECIMALS + 32 };

void metric_name(const struct metric *metric, char name[METRIC_NAME_BYTES])
{
    if (metric->kind == METRIC_BLEU) {
        snprintf(name, METRIC_NAME_BYTES, "BLEU");
        return;
    }
    char plus[CHRF_MAX_WORD_ORDER + 1] = "";
    CHECK(metric->chrf.word_order <= CHRF_MAX_WORD_ORDER, "words to order %lld",
          (long long)metric->chrf.word_order);
    memset(plus, '+', (size_t)metric->chrf.word_order);
    snprintf(name, METRIC_NAME_BYTES, "chrF%lld%s", (long long)metric->chrf.beta, plus);
}

static enum status append_bleu_settings(struct buffer *buffer, const struct bleu_config *config,
                                        bool is_short)
{
    static const char *const smoothings[] = {[BLEU_SMOOTHING_EXP] = "exp",
                                             [BLEU_SMOOTHING_FLOOR] = "floor",
                                             [BLEU_SMOOTHING_ADD_K] = "add-k",
                                             [BLEU_SMOOTHING_NONE] = "none"};
    const bool has_value =
        config->smoothing == BLEU_SMOOTHING_FLOOR || config->smoothing == BLEU_SMOOTHING_ADD_K;
    const enum status code = buffer_printf(
        buffer, "|%s:%s|%s:%s|tok:%s|%s:%s", is_short ? "c" : "case",
        config->is_lowercase ? "lc" : "mixed", is_short ? "e" : "eff",
        config->is_effective_order ? "yes" : "no", bleu_tokenizer_name(config->tokenizer),
        is_short ? "s" : "smooth", smoothings[config->smoothing]);
    if (code < 0 || !has_value)
        return code;
    return buffer_printf(buffer, "[%.2f]", config->smoothing_value);
}

static enum status append_chrf_settings(struct buffer *buffer, const struct chrf_config *config,
                                        bool is_short)
{
    return buffer_printf(buffer, "|%s:%s|%s:%s|nc:%lld|nw:%lld|%s:%s", is_short ? "c" : "case",
                         config->is_lowercase ? "lc" : "mixed", is_short ? "e" : "eff",
                         config->is_epsilon_smoothing ? "no" : "yes", (long long)config->char_order,
                         (long long)config->word_order, is_short ? "s" : "space",
                         config->is_whitespace ? "yes" : "no");
}

enum status metric_append_signature(struct buffer *buffer, const struct metric *metric,
                                    const struct metric_signature *signature)
{
    const bool is_short = signature->is_short;
    enum status code =
        buffer_printf(buffer, "%s:%zu", is_short ? "#" : "nrefs", signature->n_references);
    if (code == STATUS_OK && signature->test != NULL)
        code = buffer_printf(buffer, "|%s:%lld|%s:%s", signature->test,
                             (long long)signature->n_samples, is_short ? "rs" : "seed",
                             signature->seed);
    if (code == STATUS_OK)
        code = metric->kind == METRIC_BLEU ? append_bleu_settings(buffer, &metric->bleu, is_short)
                                           : append_chrf_settings(buffer, &metric->chrf, is_short);
    if (code < 0)
        return code;
    return buffer_printf(buffer, "|%s:%s", is_short ? "v" : "version", metric_compatible_version);
}

enum status metric_append_number(struct buffer *buffer, double number)
{
    char text[64] = "";
    for (int digits = 0; digits < MAX_DIGITS; digits++) {
        snprintf(text, sizeof text, "%.*e", digits, number);
        const double read_back = strtod(text, NULL);
        if (memcmp(&read_back, &number, sizeof number) == 0)
            break;
    }
    const char *mantissa_end = strchr(text, 'e');
    CHECK(mantissa_end != NULL, "%f is not finite", number);
    const int exponent = (int)strtol(mantissa_end + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16)
        return buffer_append_string(buffer, text);
    const char *point = strchr(text, '.');
    const int digits = point == NULL ? 0 : (int)(mantissa_end - point) - 1;
    const int decimals = digits - exponent;
    return buffer_printf(buffer, "%.*f", decimals > 1 ? decimals : 1, number);
}

/* A result with its numbers written out. */
struct result {
    char name[METRIC_NAME_BYTES];
    char score[NUMBER_BYTES];
    bool has_interval;
    char mean[NUMBER_BYTES];
    char half_width[NUMBER_BYTES];
    bool has_details;
    struct bleu_score details;
};

static void write_number(char text[NUMBER_BYTES], double number, int decimals)
{
    CHECK(decimals >= 0 && decimals <= MAX_DECIMALS, "%d decimals", decimals);
    snprintf(text, NUMBER_BYTES, "%.*f", decimals, number);
}

static void write_result(struct result *result, const struct metric *metric, const int64_t *sums,
                         const struct metric_interval *interval, int decimals)
{
    metric_name(metric, result->name);
    write_number(result->score, metric_score(metric, sums), decimals);
    result->has_details = metric->kind == METRIC_BLEU;
    if (result->has_details)
        result->details = metric_bleu_score(metric, sums);
    /* as in sacreBLEU, an interval around 0 is none */
    result->has_interval = interval != NULL && interval->is_given && interval->mean > 0;
    if (!result->has_interval)
        return;
    write_number(result->mean, interval->mean, decimals);
    write_number(result->half_width, interval->half_width, decimals);
}

/* "63.1/37.8/24.6/16.4 (BP = 1.000 ratio = 1.012 hyp_len = 100 ref_len = 99)" */
static enum status append_details(struct buffer *buffer, const struct bleu_score *score)
{
    for (int n = 0; n < BLEU_ORDER; n++) {
        const enum status code =
            buffer_printf(buffer, "%s%.1f", n == 0 ? "" : "/", score->precisions[n]);
        if (code < 0)
            return code;
    }
    return buffer_printf(buffer, " (BP = %.3f ratio = %.3f hyp_len = %lld ref_len = %lld)",
                         score->brevity_penalty, score->ratio, (long long)score->hypothesis_length,
                         (long long)score->reference_length);
}

/* "\xCE\xBC = 31.2 \xC2\xB1 0.4", with the letter mu and a plus-minus sign */
static enum status append_interval(struct buffer *buffer, const struct result *result)
{
    return buffer_printf(buffer, "\xCE\xBC = %s \xC2\xB1 %s", result->mean, result->half_width);
}

static enum status append_text(struct buffer *buffer, const struct result *result,
                               const struct metric_style *style)
{
    enum status code = STATUS_OK;
    if (!style->is_score_only)
        code = buffer_printf(buffer, "%s%s%s = ", result->name,
                             style->signature[0] == '\0' ? "" : "|", style->signature);
    if (code == STATUS_OK)
        code = buffer_append_string(buffer, result->score);
    if (code == STATUS_OK && result->has_interval) {
        code = buffer_append_string(buffer, " (");
        if (code == STATUS_OK)
            code = append_interval(buffer, result);
        if (code == STATUS_OK)
            code = buffer_append_string(buffer, ")");
    }
    if (code < 0 || style->is_score_only || !result->has_details)
        return code;
    code = buffer_append_string(buffer, " ");
    return code < 0 ? code : append_details(buffer, &result->details);
}

/* Appends what the decimal text reads as. */
static enum status append_rounded(struct buffer *buffer, const char *key, const char *text)
{
    const enum status code = buffer_printf(buffer, ",\n \"%s\": ", key);
    return code < 0 ? code : metric_append_number(buffer, strtod(text, NULL));
}

/* Appends ",\n \"key\": \"value\"" for each key:value of the signature; all plain ASCII. */
static enum status append_pairs(struct buffer *buffer, const char *signature)
{
    for (const char *pair = signature; *pair != '\0';) {
        const size_t key = strcspn(pair, ":");
        const size_t size = strcspn(pair, "|");
        CHECK(key < size, "signature %s", signature);
        const enum status code = buffer_printf(buffer, ",\n \"%.*s\": \"%.*s\"", (int)key, pair,
                                               (int)(size - key - 1), pair + key + 1);
        if (code < 0)
            return code;
        pair += size + (pair[size] == '|' ? 1 : 0);
    }
    return STATUS_OK;
}

static enum status append_json(struct buffer *buffer, const struct result *result,
                               const char *signature)
{
    enum status code = buffer_printf(buffer, "{\n \"name\": \"%s\"", result->name);
    if (code == STATUS_OK)
        code = append_rounded(buffer, "score", result->score);
    if (code == STATUS_OK)
        code = buffer_printf(buffer, ",\n \"signature\": \"%s\"", signature);
    if (code == STATUS_OK && result->has_interval) {
        code = append_rounded(buffer, "confidence_mean", result->mean);
        if (code == STATUS_OK)
            code = append_rounded(buffer, "confidence_var", result->half_width);
        if (code == STATUS_OK)
            code = buffer_append_string(buffer, ",\n \"confidence\": \"");
        if (code == STATUS_OK)
            code = append_interval(buffer, result);
        if (code == STATUS_OK)
            code = buffer_append_string(buffer, "\"");
    }
    if (code == STATUS_OK && result->has_details) {
        code = buffer_append_string(buffer, ",\n \"verbose_score\": \"");
        if (code == STATUS_OK)
            code = append_details(buffer, &result->details);
        if (code == STATUS_OK)
            code = buffer_append_string(buffer, "\"");
    }
    if (code == STATUS_OK)
        code = append_pairs(buffer, signature);
    return code < 0 ? code : buffer_append_string(buffer, "\n}");
}

enum status metric_append_result(struct buffer *buffer, const struct metric *metric,
                                 const int64_t *sums, const struct metric_interval *interval,
                                 const struct metric_style *style)
{
    struct result result = {0};
    write_result(&result, metric, sums, interval, style->decimals);
    if (style->is_json && !style->is_score_only)
        return append_json(buffer, &result, style->signature);
    return append_text(buffer, &result, style);
}
