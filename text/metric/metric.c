/* Dispatch to BLEU and chrF; printing is in metric_format.c. */
#include "text/metric/metric.h"

#include <stdlib.h>

enum { BLEU_WIDTH = 2 + 2 * BLEU_ORDER };

struct metric_counter {
    struct metric metric;
    struct bleu_counter *bleu; /* owned; the one of the metric's kind is there */
    struct chrf_counter *chrf;
    const struct bleu_text *references; /* [n_references] of the segment at hand; borrowed */
    size_t n_references;
};

size_t metric_width(const struct metric *metric)
{
    if (metric->kind == METRIC_BLEU)
        return BLEU_WIDTH;
    return 3 * (size_t)(metric->chrf.char_order + metric->chrf.word_order);
}

enum status metric_counter_open(struct metric_counter **counter, const struct metric *metric)
{
    *counter = NULL;
    struct metric_counter *made = calloc(1, sizeof *made);
    if (made == NULL)
        return status_set(STATUS_MEMORY, "no memory to compute a score");
    made->metric = *metric;
    const enum status code = metric->kind == METRIC_BLEU
                                 ? bleu_counter_open(&made->bleu, &metric->bleu)
                                 : chrf_counter_open(&made->chrf, &metric->chrf);
    if (code < 0)
        metric_counter_close(made);
    else
        *counter = made;
    return code;
}

void metric_counter_close(struct metric_counter *counter)
{
    if (counter == NULL)
        return;
    bleu_counter_close(counter->bleu);
    chrf_counter_close(counter->chrf);
    free(counter);
}

/* In the order of the counts. */
static void unpack(const int64_t *sums, struct bleu_stats *stats)
{
    stats->hypothesis_length = sums[0];
    stats->reference_length = sums[1];
    for (int n = 0; n < BLEU_ORDER; n++) {
        stats->correct[n] = sums[2 + n];
        stats->total[n] = sums[2 + BLEU_ORDER + n];
    }
}

static void pack(const struct bleu_stats *stats, int64_t *counts)
{
    counts[0] = stats->hypothesis_length;
    counts[1] = stats->reference_length;
    for (int n = 0; n < BLEU_ORDER; n++) {
        counts[2 + n] = stats->correct[n];
        counts[2 + BLEU_ORDER + n] = stats->total[n];
    }
}

static void narrow(const struct metric *metric, const int64_t *wide, int32_t *counts)
{
    const size_t width = metric_width(metric);
    for (size_t i = 0; i < width; i++)
        counts[i] = (int32_t)wide[i];
}

enum status metric_count(struct metric_counter *counter, struct bleu_text hypothesis,
                         const struct bleu_text *references, size_t n_references, int32_t *counts)
{
    counter->references = references;
    counter->n_references = n_references;
    if (counter->metric.kind == METRIC_CHRF)
        return metric_count_again(counter, hypothesis, counts);
    int64_t wide[METRIC_MAX_COUNTS];
    struct bleu_stats stats;
    const enum status code =
        bleu_count(counter->bleu, hypothesis, references, n_references, &stats);
    if (code < 0)
        return code;
    pack(&stats, wide);
    narrow(&counter->metric, wide, counts);
    return STATUS_OK;
}

/* chrF compares with each reference by itself, so there is nothing to keep. */
enum status metric_count_again(struct metric_counter *counter, struct bleu_text hypothesis,
                               int32_t *counts)
{
    int64_t wide[METRIC_MAX_COUNTS];
    enum status code = STATUS_OK;
    if (counter->metric.kind == METRIC_BLEU) {
        struct bleu_stats stats;
        code = bleu_count_again(counter->bleu, hypothesis, &stats);
        pack(&stats, wide);
    } else {
        code =
            chrf_count(counter->chrf, hypothesis, counter->references, counter->n_references, wide);
    }
    if (code < 0)
        return code;
    narrow(&counter->metric, wide, counts);
    return STATUS_OK;
}

struct bleu_score metric_bleu_score(const struct metric *metric, const int64_t *sums)
{
    struct bleu_stats stats;
    unpack(sums, &stats);
    return bleu_compute(&stats, &metric->bleu);
}

static double bleu_in(const struct metric *metric, const int64_t *sums,
                      enum bleu_arithmetic arithmetic)
{
    struct bleu_stats stats;
    unpack(sums, &stats);
    return bleu_compute_in(&stats, &metric->bleu, arithmetic).score;
}

double metric_score(const struct metric *metric, const int64_t *sums)
{
    if (metric->kind == METRIC_BLEU)
        return bleu_in(metric, sums, BLEU_ARITHMETIC_DOUBLE);
    return chrf_compute(sums, &metric->chrf, false).score;
}

double metric_score_trial(const struct metric *metric, const int64_t *sums)
{
    if (metric->kind == METRIC_BLEU)
        return bleu_in(metric, sums, BLEU_ARITHMETIC_TRIAL);
    return chrf_compute(sums, &metric->chrf, false).score;
}

/* Sums of counts are whole numbers, so nothing is lost. */
static void widen(const struct metric *metric, const float *sums, int64_t *wide)
{
    const size_t width = metric_width(metric);
    for (size_t i = 0; i < width; i++)
        wide[i] = (int64_t)sums[i];
}

double metric_score_float(const struct metric *metric, const float *sums)
{
    int64_t wide[METRIC_MAX_COUNTS];
    widen(metric, sums, wide);
    if (metric->kind == METRIC_BLEU)
        return bleu_in(metric, wide, BLEU_ARITHMETIC_FLOAT);
    return chrf_compute(wide, &metric->chrf, true).score;
}

bool metric_is_float(const struct metric *metric, const float *sums)
{
    int64_t wide[METRIC_MAX_COUNTS];
    widen(metric, sums, wide);
    return metric->kind == METRIC_CHRF && chrf_compute(wide, &metric->chrf, true).is_float;
}
