/* The score of BLEU, in each of the arithmetics that sacreBLEU computes it in. */
#include <math.h>

#include "text/metric/bleu.h"

double bleu_default_smoothing_value(enum bleu_smoothing smoothing)
{
    if (smoothing == BLEU_SMOOTHING_FLOOR)
        return 0.1;
    return smoothing == BLEU_SMOOTHING_ADD_K ? 1.0 : 0.0;
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

/* A result as the arithmetic keeps it. Computing with two floats in double and rounding gives what
 * computing in float gives: a double has more than twice the digits. */
static double kept(double result, enum bleu_arithmetic arithmetic)
{
    return arithmetic == BLEU_ARITHMETIC_FLOAT ? (double)(float)result : result;
}

/* A count with what add-k adds to it. */
static double smoothed(int64_t count, double added, enum bleu_arithmetic arithmetic)
{
    const double sum = kept((double)count + kept(added, arithmetic), arithmetic);
    return arithmetic == BLEU_ARITHMETIC_TRIAL ? trunc(sum) : sum;
}

/* Fills precisions and returns the order up to which they count. Once no n-gram is that long, the
 * precisions from there on stay 0. */
static int compute_precisions(const struct bleu_stats *stats, const struct bleu_config *config,
                              enum bleu_arithmetic arithmetic, double precisions[BLEU_ORDER])
{
    double fraction = 1.0;
    int order = config->is_effective_order ? 0 : BLEU_ORDER;
    for (int n = 0; n < BLEU_ORDER; n++) {
        const bool is_added = config->smoothing == BLEU_SMOOTHING_ADD_K && n > 0;
        const double added = is_added ? config->smoothing_value : 0.0;
        const double correct = smoothed(stats->correct[n], added, arithmetic);
        const double total = smoothed(stats->total[n], added, arithmetic);
        if (!(total > 0))
            break;
        if (config->is_effective_order)
            order = n + 1;
        if (correct > 0) {
            precisions[n] = kept(kept(100.0 * correct, arithmetic) / total, arithmetic);
        } else if (config->smoothing == BLEU_SMOOTHING_EXP) {
            fraction *= 2.0;
            precisions[n] = kept(100.0 / kept(fraction * total, arithmetic), arithmetic);
        } else if (config->smoothing == BLEU_SMOOTHING_FLOOR) {
            const double numerator = kept(100.0 * config->smoothing_value, arithmetic);
            precisions[n] = kept(numerator / total, arithmetic);
        }
    }
    return order;
}

struct bleu_score bleu_compute_in(const struct bleu_stats *stats, const struct bleu_config *config,
                                  enum bleu_arithmetic arithmetic)
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
    const int order = compute_precisions(stats, config, arithmetic, score.precisions);
    double sum = 0.0;
    for (int n = 0; n < order; n++)
        sum += floored_log(score.precisions[n]);
    score.score = score.brevity_penalty * exp(sum / order);
    return score;
}

struct bleu_score bleu_compute(const struct bleu_stats *stats, const struct bleu_config *config)
{
    return bleu_compute_in(stats, config, BLEU_ARITHMETIC_DOUBLE);
}
