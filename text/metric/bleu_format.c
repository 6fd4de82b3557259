/* How a BLEU score is printed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/metric/bleu.h"

const char bleu_compatible_version[] = "2.6.0";

enum { MAX_DIGITS = 17, MAX_DECIMALS = 100 }; /* 17: enough for any double */

static const char *tokenizer_name(enum bleu_tokenizer tokenizer)
{
    return tokenizer == BLEU_TOKENIZER_NONE ? "none" : "13a";
}

static enum status append_smoothing(struct buffer *buffer, const struct bleu_config *config)
{
    switch (config->smoothing) {
    case BLEU_SMOOTHING_FLOOR:
        return buffer_printf(buffer, "floor[%.2f]", config->smoothing_value);
    case BLEU_SMOOTHING_ADD_K:
        return buffer_printf(buffer, "add-k[%.2f]", config->smoothing_value);
    case BLEU_SMOOTHING_NONE:
        return buffer_append_string(buffer, "none");
    case BLEU_SMOOTHING_EXP:
        break;
    }
    return buffer_append_string(buffer, "exp");
}

enum status bleu_append_signature(struct buffer *buffer, const struct bleu_config *config,
                                  size_t n_references, bool is_short)
{
    enum status code =
        buffer_printf(buffer, "%s:%zu|%s:%s|%s:%s|tok:%s|%s:", is_short ? "#" : "nrefs",
                      n_references, is_short ? "c" : "case", config->is_lowercase ? "lc" : "mixed",
                      is_short ? "e" : "eff", config->is_effective_order ? "yes" : "no",
                      tokenizer_name(config->tokenizer), is_short ? "s" : "smooth");
    if (code == STATUS_OK)
        code = append_smoothing(buffer, config);
    if (code < 0)
        return code;
    return buffer_printf(buffer, "|%s:%s", is_short ? "v" : "version", bleu_compatible_version);
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

enum status bleu_append_text(struct buffer *buffer, const struct bleu_score *score,
                             const char *signature, int decimals)
{
    CHECK(decimals >= 0 && decimals <= MAX_DECIMALS, "%d decimals", decimals);
    const enum status code =
        buffer_printf(buffer, "BLEU|%s = %.*f ", signature, decimals, score->score);
    return code < 0 ? code : append_details(buffer, score);
}

enum status bleu_append_number(struct buffer *buffer, double number)
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

/* Appends "\n \"key\": \"value\"," for each key:value of the signature; all plain ASCII. */
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

enum status bleu_append_json(struct buffer *buffer, const struct bleu_score *score,
                             const char *signature, int decimals)
{
    CHECK(decimals >= 0 && decimals <= MAX_DECIMALS, "%d decimals", decimals);
    char rounded[MAX_DECIMALS + 32];
    snprintf(rounded, sizeof rounded, "%.*f", decimals, score->score);
    enum status code = buffer_append_string(buffer, "{\n \"name\": \"BLEU\",\n \"score\": ");
    if (code == STATUS_OK)
        code = bleu_append_number(buffer, strtod(rounded, NULL));
    if (code == STATUS_OK)
        code =
            buffer_printf(buffer, ",\n \"signature\": \"%s\",\n \"verbose_score\": \"", signature);
    if (code == STATUS_OK)
        code = append_details(buffer, score);
    if (code == STATUS_OK)
        code = buffer_append_string(buffer, "\"");
    if (code == STATUS_OK)
        code = append_pairs(buffer, signature);
    return code < 0 ? code : buffer_append_string(buffer, "\n}");
}
