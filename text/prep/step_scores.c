#include "text/prep/step_scores.h"

#include <math.h>
#include <stdlib.h>

enum { SAMPLE_BLOCKS = 200, SAMPLE_LINES = 256, LEAST_LINES = 20 };

static const double LARGEST_RANK = 3; /* normal scores are bounded: tails say little */
static const double LEAST_SCORE = -3; /* so that a bad translation does not decide */
static const double LARGEST_SCORE = 4;
static const double LEAST_CORRELATION = 0.4; /* of a block, to learn from it */
static const double SIGMAS = 4;              /* or so many standard errors, for short files */
static const double LARGEST_CORRELATION = 0.95;
static const double LEAST_SHARE = 0.2; /* of the blocks must be fit to learn from */

/* The x below which a standard normal variable is with probability p, by bisection. */
static double normal_quantile(double p)
{
    double low = -LARGEST_RANK, high = LARGEST_RANK;
    for (int i = 0; i < 40; i++) {
        const double middle = (low + high) / 2;
        if (erfc(-middle / sqrt(2)) / 2 < p)
            low = middle;
        else
            high = middle;
    }
    return (low + high) / 2;
}

/* The normal score of each length: of the middle of the ranks of its lines. */
static enum status make_ranks(float **ranks, const uint16_t *lengths, int64_t n)
{
    int64_t *counts = calloc(STEP_SCORES_LENGTHS, sizeof *counts);
    *ranks = calloc(STEP_SCORES_LENGTHS, sizeof **ranks);
    if (counts == NULL || *ranks == NULL) {
        free(counts);
        return status_set(STATUS_MEMORY, "no memory for the ranks of lengths");
    }
    for (int64_t i = 0; i < n; i++)
        counts[lengths[i]]++;
    int64_t below = 0;
    for (int length = 0; length < STEP_SCORES_LENGTHS; length++) {
        if (counts[length] > 0)
            (*ranks)[length] =
                (float)normal_quantile(((double)below + (double)counts[length] / 2) / (double)n);
        below += counts[length];
    }
    free(counts);
    return STATUS_OK;
}

/* Sums over pairs of lines, for a correlation. */
struct sums {
    double n, u, v, uu, vv, uv;
};

static void add_pair(struct sums *sums, double u, double v)
{
    sums->n += 1;
    sums->u += u;
    sums->v += v;
    sums->uu += u * u;
    sums->vv += v * v;
    sums->uv += u * v;
}

static double correlation_of(const struct sums *sums)
{
    const double uu = sums->uu - sums->u * sums->u / sums->n;
    const double vv = sums->vv - sums->v * sums->v / sums->n;
    const double uv = sums->uv - sums->u * sums->v / sums->n;
    return sums->n > 0 && uu > 1e-9 && vv > 1e-9 ? uv / sqrt(uu * vv) : 0;
}

/* Sums of a block at a shift; where it leaves the target, of what is left. */
static struct sums sum_block(const struct step_scores *scores, int64_t begin, int64_t end,
                             int64_t shift)
{
    struct sums sums = {0};
    for (int64_t i = begin; i < end; i++) {
        if (i + shift >= 0 && i + shift < scores->n_target)
            add_pair(&sums, scores->source_ranks[scores->source[i]],
                     scores->target_ranks[scores->target[i + shift]]);
    }
    return sums;
}

/* Adds the block at its best shift to the total, if it correlates by more than chance. */
static bool learn_block(const struct step_scores *scores, int64_t begin, int64_t end,
                        int64_t largest_shift, struct sums *total)
{
    const double n = (double)(end - begin);
    struct sums best = {0};
    double best_found = fmax(LEAST_CORRELATION, SIGMAS / sqrt(n));
    for (int64_t shift = -largest_shift; shift <= largest_shift; shift++) {
        const struct sums sums = sum_block(scores, begin, end, shift);
        const double correlation = correlation_of(&sums);
        if (2 * sums.n > n && correlation > best_found) {
            best_found = correlation;
            best = sums;
        }
    }
    total->n += best.n;
    total->u += best.u;
    total->v += best.v;
    total->uu += best.uu;
    total->vv += best.vv;
    total->uv += best.uv;
    return best.n > 0;
}

static void learn_correlation(struct step_scores *scores, int64_t largest_shift)
{
    const int64_t lines = scores->n_source < SAMPLE_LINES ? scores->n_source : SAMPLE_LINES;
    if (lines < LEAST_LINES || scores->n_target < LEAST_LINES)
        return;
    const int64_t n_whole = scores->n_source / lines;
    const int64_t n_blocks = n_whole < SAMPLE_BLOCKS ? n_whole : SAMPLE_BLOCKS;
    struct sums total = {0};
    int64_t n_learnt = 0;
    for (int64_t block = 0; block < n_blocks; block++) {
        const int64_t begin = block * n_whole / n_blocks * lines;
        n_learnt += learn_block(scores, begin, begin + lines, largest_shift, &total) ? 1 : 0;
    }
    if (n_learnt == 0 || (double)n_learnt < LEAST_SHARE * (double)n_blocks)
        return;
    const double found = correlation_of(&total);
    if (!(found > 0))
        return;
    const double r = fmin(found, LARGEST_CORRELATION);
    scores->correlation = found;
    scores->square = r * r / (2 * (1 - r * r));
    scores->product = r / (1 - r * r);
    scores->constant = -log(1 - r * r) / 2;
    scores->expected = scores->constant;
}

enum status step_scores_learn(struct step_scores *scores, const uint16_t *source, int64_t n_source,
                              const uint16_t *target, int64_t n_target, int64_t largest_shift)
{
    *scores = (struct step_scores){
        .source = source, .target = target, .n_source = n_source, .n_target = n_target};
    enum status status = make_ranks(&scores->source_ranks, source, n_source);
    if (status == STATUS_OK)
        status = make_ranks(&scores->target_ranks, target, n_target);
    if (status < 0)
        step_scores_free(scores);
    else
        learn_correlation(scores, largest_shift);
    return status;
}

void step_scores_free(struct step_scores *scores)
{
    free(scores->source_ranks);
    free(scores->target_ranks);
    *scores = (struct step_scores){0};
}

double step_score(const struct step_scores *scores, int64_t i, int64_t j)
{
    if (i < 0 || i >= scores->n_source || j < 0 || j >= scores->n_target)
        return 0;
    const double u = scores->source_ranks[scores->source[i]];
    const double v = scores->target_ranks[scores->target[j]];
    const double score =
        scores->constant - scores->square * (u * u + v * v) + scores->product * u * v;
    return score < LEAST_SCORE ? LEAST_SCORE : score > LARGEST_SCORE ? LARGEST_SCORE : score;
}
