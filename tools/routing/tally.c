/* Counting choices, and a heap of typical tokens for each expert. */
#include "tools/routing/tally.h"

#include <math.h>
#include <stdlib.h>

enum status tally_init(struct tally *tally, int64_t n_experts, int64_t n_top)
{
    const size_t n = (size_t)n_experts;
    *tally = (struct tally){.n_experts = n_experts, .n_top = n_top};
    tally->load = calloc(n, sizeof *tally->load);
    tally->importance = calloc(n, sizeof *tally->importance);
    tally->top_count = calloc(n, sizeof *tally->top_count);
    tally->top = calloc(n * (size_t)n_top + 1, sizeof *tally->top);
    if (tally->load && tally->importance && tally->top_count && tally->top)
        return STATUS_OK;
    tally_free(tally);
    return status_set(STATUS_MEMORY, "no memory for %lld experts' %lld typical tokens each",
                      (long long)n_experts, (long long)n_top);
}

void tally_free(struct tally *tally)
{
    free(tally->load);
    free(tally->importance);
    free(tally->top_count);
    free(tally->top);
    free(tally->sums);
    free(tally->logarithms);
    *tally = (struct tally){0};
}

/* -- typical tokens: a heap with the least typical at its root -- */

static bool is_stronger(const struct tally_token *a, const struct tally_token *b)
{
    if (a->weight != b->weight)
        return a->weight > b->weight;
    return a->line != b->line ? a->line < b->line : a->position < b->position;
}

/* Lets heap[i] sink to its place. */
static void sift_down(struct tally_token *heap, int64_t count, int64_t i)
{
    const struct tally_token token = heap[i];
    for (;;) {
        int64_t child = 2 * i + 1;
        if (child >= count)
            break;
        if (child + 1 < count && is_stronger(&heap[child], &heap[child + 1]))
            child++;
        if (!is_stronger(&token, &heap[child]))
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = token;
}

static void sift_up(struct tally_token *heap, int64_t i)
{
    const struct tally_token token = heap[i];
    while (i > 0 && is_stronger(&heap[(i - 1) / 2], &token)) {
        heap[i] = heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    heap[i] = token;
}

/* Token n of the batch, with the pieces around it. */
static struct tally_token describe(const struct tally_choices *choices, int64_t n, double weight)
{
    const int64_t step = choices->n_sentences;
    const int64_t sentence = choices->rows[n] % step, place = choices->rows[n] / step;
    const int64_t first = place > TALLY_CONTEXT ? place - TALLY_CONTEXT : 0;
    struct tally_token token = {.weight = weight,
                                .line = choices->first_line + sentence,
                                .position = place + 1,
                                .n_before = (int)(place - first)};
    for (int64_t t = first; t < choices->lengths[sentence] && t <= place + TALLY_CONTEXT; t++)
        token.ids[token.n_ids++] = choices->ids[t * step + sentence];
    return token;
}

/* Tokens that are no more typical than those at hand are not looked at further. */
static void offer(struct tally *tally, int64_t expert, const struct tally_choices *choices,
                  int64_t n, double weight)
{
    struct tally_token *heap = tally->top + expert * tally->n_top;
    int64_t *count = &tally->top_count[expert];
    const bool is_full = *count == tally->n_top;
    if (tally->n_top == 0 || (is_full && weight < heap[0].weight))
        return;
    const struct tally_token token = describe(choices, n, weight);
    if (!is_full) {
        heap[*count] = token;
        sift_up(heap, (*count)++);
    } else if (is_stronger(&token, &heap[0])) {
        heap[0] = token;
        sift_down(heap, *count, 0);
    }
}

static int compare(const void *a, const void *b)
{
    return is_stronger(a, b) ? -1 : is_stronger(b, a);
}

void tally_sort(struct tally *tally)
{
    for (int64_t e = 0; e < tally->n_experts; e++)
        qsort(tally->top + e * tally->n_top, (size_t)tally->top_count[e], sizeof *tally->top,
              compare);
}

/* -- counts -- */

static enum status start_sums(struct tally *tally, int64_t n_tokens)
{
    if (n_tokens > tally->tokens_capacity) {
        free(tally->sums);
        free(tally->logarithms);
        tally->sums = calloc((size_t)n_tokens, sizeof *tally->sums);
        tally->logarithms = calloc((size_t)n_tokens, sizeof *tally->logarithms);
        tally->tokens_capacity = tally->sums && tally->logarithms ? n_tokens : 0;
        if (tally->tokens_capacity == 0)
            return status_set(STATUS_MEMORY, "no memory for %lld tokens", (long long)n_tokens);
    }
    for (int64_t n = 0; n < n_tokens; n++)
        tally->sums[n] = tally->logarithms[n] = 0;
    return STATUS_OK;
}

enum status tally_add(struct tally *tally, const struct tally_choices *choices)
{
    const enum status status = start_sums(tally, choices->n_tokens);
    if (status < 0)
        return status;
    for (int64_t e = 0; e < tally->n_experts; e++)
        for (int32_t c = choices->offsets[e]; c < choices->offsets[e + 1]; c++) {
            const int32_t n = choices->tokens[c];
            const double weight = (double)choices->weights[c];
            tally->load[e]++;
            tally->importance[e] += weight;
            tally->sums[n] += weight;
            tally->logarithms[n] += weight > 0 ? weight * log(weight) : 0;
            offer(tally, e, choices, n, weight);
        }
    tally->tokens += choices->n_tokens;
    tally->choices += choices->offsets[tally->n_experts];
    for (int64_t n = 0; n < choices->n_tokens; n++) {
        const double sum = tally->sums[n];
        if (sum > 0) /* -sum of (w / sum) log(w / sum); rounding may leave it below zero */
            tally->entropy += fmax(0, log(sum) - tally->logarithms[n] / sum);
        else
            tally->unrouted++;
    }
    return STATUS_OK;
}

/* -- figures -- */

static double variation(double sum, double squares, double count)
{
    const double mean = sum / count;
    return mean > 0 ? sqrt(fmax(0, squares / count - mean * mean)) / mean : 0;
}

struct tally_summary tally_summarize(const struct tally *tally)
{
    const double count = (double)tally->n_experts, total = (double)tally->choices;
    const double even = total / count;
    const int64_t routed = tally->tokens - tally->unrouted;
    struct tally_summary summary = {.gate_entropy = routed ? tally->entropy / (double)routed : 0};
    double importance = 0, squares = 0, load_squares = 0;
    for (int64_t e = 0; e < tally->n_experts; e++) {
        const double load = (double)tally->load[e];
        importance += tally->importance[e];
        squares += tally->importance[e] * tally->importance[e];
        load_squares += load * load;
        summary.load_entropy -= load > 0 ? load / total * log(load / total) : 0;
        summary.largest_load = fmax(summary.largest_load, even > 0 ? load / even : 0);
        summary.n_dead += load < 0.01 * even || load == 0;
    }
    summary.importance_cv = variation(importance, squares, count);
    summary.load_cv = variation(total, load_squares, count);
    summary.load_entropy = fmax(0, summary.load_entropy);
    return summary;
}
