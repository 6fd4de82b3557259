/* One sentence's beam. */
#include "beam/hypotheses.h"

#include <math.h>
#include <string.h>

#include "beam/score.h"

int64_t hypotheses_limit(const struct beam_config *config, int64_t n_source)
{
    const double limit = ceil(config->max_ratio * (double)n_source) + (double)config->max_extra;
    CHECK(limit < INT32_MAX, "translations of up to %g tokens", limit);
    return limit < 1 ? 1 : (int64_t)limit;
}

static void *take(struct arena *arena, int64_t count, size_t size)
{
    return arena_take(arena, (size_t)count * size);
}

void hypotheses_start(struct hypotheses *hypotheses, const struct beam_config *config,
                      int64_t n_source, struct arena *arena)
{
    const int64_t beam = config->beam, limit = hypotheses_limit(config, n_source);
    *hypotheses =
        (struct hypotheses){.config = config, .n_source = n_source, .limit = limit, .n_live = 1};
    hypotheses->log_probs = take(arena, beam, sizeof(double));
    hypotheses->next_log_probs = take(arena, beam, sizeof(double));
    hypotheses->tokens = take(arena, limit * beam, sizeof(int32_t));
    hypotheses->parents = take(arena, limit * beam, sizeof(int32_t));
    hypotheses->heads = take(arena, beam, sizeof(int32_t));
    hypotheses->endings = take(arena, config->n_best, sizeof(struct ending));
    hypotheses->log_probs[0] = 0;
    if (config->beta > 0) {
        hypotheses->coverage = take(arena, beam * n_source, sizeof(double));
        hypotheses->next_coverage = take(arena, beam * n_source, sizeof(double));
        memset(hypotheses->coverage, 0, (size_t)n_source * sizeof(double));
    }
}

static bool is_before(const struct ending *a, const struct ending *b)
{
    if (a->reached_limit != b->reached_limit)
        return b->reached_limit;
    return a->score > b->score;
}

/* Keeps an ending if it is one of the n_best so far; of equal ones the earlier stays ahead. */
static void keep_ending(struct hypotheses *hypotheses, struct ending ending)
{
    struct ending *endings = hypotheses->endings;
    const int64_t n_best = hypotheses->config->n_best;
    int64_t at = hypotheses->n_endings;
    if (at == n_best && !is_before(&ending, &endings[at - 1]))
        return;
    if (at == n_best)
        at--;
    else
        hypotheses->n_endings++;
    for (; at > 0 && is_before(&ending, &endings[at - 1]); at--)
        endings[at] = endings[at - 1];
    endings[at] = ending;
}

/* Ends a hypothesis of `length` tokens whose last token that is not the end symbol is in `slot`. */
static void end_hypothesis(struct hypotheses *hypotheses, int64_t slot, double log_prob,
                           int64_t length, bool reached_limit)
{
    const struct beam_config *config = hypotheses->config;
    const int64_t n_source = hypotheses->n_source;
    double score = log_prob / score_length_penalty(length, config->alpha);
    if (hypotheses->coverage)
        score +=
            score_coverage_penalty(hypotheses->coverage + slot * n_source, n_source, config->beta);
    keep_ending(hypotheses, (struct ending){.score = score,
                                            .log_prob = log_prob,
                                            .count = reached_limit ? length : length - 1,
                                            .slot = (int32_t)slot,
                                            .reached_limit = reached_limit});
    hypotheses->n_finished += !reached_limit;
}

static void add_attention(struct hypotheses *hypotheses, const struct offers *offers)
{
    const int64_t n_source = hypotheses->n_source;
    for (int64_t w = 0; w < hypotheses->n_live; w++) {
        const double *attention = offers->attention + w * offers->stride * offers->n_attention;
        for (int64_t s = 0; s < n_source; s++)
            hypotheses->coverage[w * n_source + s] += attention[s];
    }
}

/* The best offer that is not taken yet, and whose it is; false when there is none. */
static bool best_offer(const struct hypotheses *hypotheses, const struct offers *offers,
                       int64_t *slot, double *log_prob)
{
    *log_prob = -INFINITY;
    for (int64_t w = 0; w < hypotheses->n_live; w++) {
        const int64_t head = hypotheses->heads[w];
        if (head == offers->n_choices)
            continue;
        const double offer = offers->log_probs[w * offers->stride * offers->n_choices + head];
        if (hypotheses->log_probs[w] + offer > *log_prob) {
            *log_prob = hypotheses->log_probs[w] + offer;
            *slot = w;
        }
    }
    return *log_prob > -INFINITY;
}

/* Merges the offers, each slot's sorted already, into history row n_tokens and the next live ones,
 * whose number it returns. The best W + 1 offers of a slot are enough: at most one of them is the
 * end symbol, and the merge stops at W others. */
static int64_t merge(struct hypotheses *hypotheses, const struct offers *offers)
{
    const int64_t beam = hypotheses->config->beam, row = hypotheses->n_tokens * beam;
    int64_t n_next = 0, slot = 0;
    double log_prob;
    memset(hypotheses->heads, 0, (size_t)hypotheses->n_live * sizeof *hypotheses->heads);
    for (int64_t rank = 0; n_next < beam; rank++) {
        if (!best_offer(hypotheses, offers, &slot, &log_prob))
            break;
        const int64_t head = hypotheses->heads[slot]++;
        const int32_t token = offers->tokens[slot * offers->stride * offers->n_choices + head];
        if (token == hypotheses->config->eos) {
            if (rank < beam)
                end_hypothesis(hypotheses, slot, log_prob, hypotheses->n_tokens + 1, false);
            continue;
        }
        hypotheses->tokens[row + n_next] = token;
        hypotheses->parents[row + n_next] = (int32_t)slot;
        hypotheses->next_log_probs[n_next++] = log_prob;
    }
    return n_next;
}

/* Makes the merged ones the live ones. */
static void move_on(struct hypotheses *hypotheses, int64_t n_next)
{
    const int64_t n_source = hypotheses->n_source;
    const int32_t *parents = hypotheses->parents + hypotheses->n_tokens * hypotheses->config->beam;
    double *const log_probs = hypotheses->log_probs, *const coverage = hypotheses->coverage;
    hypotheses->log_probs = hypotheses->next_log_probs;
    hypotheses->next_log_probs = log_probs;
    if (coverage) {
        for (int64_t w = 0; w < n_next; w++)
            memcpy(hypotheses->next_coverage + w * n_source, coverage + parents[w] * n_source,
                   (size_t)n_source * sizeof *coverage);
        hypotheses->coverage = hypotheses->next_coverage;
        hypotheses->next_coverage = coverage;
    }
    hypotheses->n_live = n_next;
    hypotheses->n_tokens++;
}

/* Whether the live ones, the best of which is the first, need not grow any further. */
static bool is_settled(const struct hypotheses *hypotheses)
{
    const struct beam_config *config = hypotheses->config;
    if (hypotheses->n_finished < config->n_best)
        return false;
    /* A sure model finishes W hypotheses that each leave a word out before the right one, longer
     * and far better, reaches its end: out of patience, a live one still counts as what it is now.
     * */
    const bool is_impatient = config->patience > 0 && (double)hypotheses->n_finished >=
                                                          config->patience * (double)config->beam;
    const int64_t length = is_impatient ? hypotheses->n_tokens : hypotheses->limit;
    const double bound = score_bound(hypotheses->log_probs[0], length, config->alpha);
    return hypotheses->endings[config->n_best - 1].score >= bound;
}

void hypotheses_advance(struct hypotheses *hypotheses, const struct offers *offers)
{
    if (hypotheses->coverage)
        add_attention(hypotheses, offers);
    move_on(hypotheses, merge(hypotheses, offers));
    if (hypotheses->n_live == 0)
        return;
    if (hypotheses->n_tokens == hypotheses->limit) {
        for (int64_t w = 0; w < hypotheses->n_live; w++)
            end_hypothesis(hypotheses, w, hypotheses->log_probs[w], hypotheses->limit, true);
        hypotheses->n_live = 0;
    } else if (is_settled(hypotheses)) {
        hypotheses->n_live = 0;
    }
}

void hypotheses_collect(const struct hypotheses *hypotheses, struct nbest *result)
{
    const int64_t beam = hypotheses->config->beam;
    result->count = hypotheses->n_endings;
    for (int64_t i = 0; i < result->count; i++) {
        const struct ending *ending = &hypotheses->endings[i];
        struct hypothesis *item = &result->items[i];
        int32_t slot = ending->slot;
        for (int64_t t = ending->count - 1; t >= 0; t--) {
            item->tokens[t] = hypotheses->tokens[t * beam + slot];
            slot = hypotheses->parents[t * beam + slot];
        }
        item->count = ending->count;
        item->score = ending->score;
        item->log_prob = ending->log_prob;
        item->reached_limit = ending->reached_limit;
    }
}
