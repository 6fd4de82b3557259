/* What gates did with a text: how often and how strongly each expert of a MoE layer was chosen, and
 * the tokens that chose it most.
 *
 * Memory does not grow with the text: an expert keeps its n_top most typical tokens, with the
 * pieces around them. */
#ifndef MIXT_TOOLS_ROUTING_TALLY_H
#define MIXT_TOOLS_ROUTING_TALLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { TALLY_CONTEXT = 6 }; /* pieces kept on either side of a typical token */

/* A token that an expert was chosen for. */
struct tally_token {
    double weight;    /* of the gate */
    int64_t line;     /* 1, 2, ... */
    int64_t position; /* of its piece in the line, 1, 2, ... */
    int n_before;     /* pieces of `ids` that stand before it */
    int n_ids;
    int32_t ids[2 * TALLY_CONTEXT + 1];
};

struct tally {
    int64_t n_experts; /* E */
    int64_t n_top;     /* typical tokens of an expert, 0.. */
    int64_t tokens;    /* that reached the layer */
    int64_t choices;   /* token and expert */
    int64_t unrouted;  /* tokens that no expert was chosen for */
    double entropy;    /* of each token's weights, divided by their sum, in nats; sum over tokens */
    int64_t *load;     /* [E] choices */
    double *importance;        /* [E] sums of weights */
    struct tally_token *top;   /* [E, n_top] */
    int64_t *top_count;        /* [E] how many of them there are */
    double *sums, *logarithms; /* [tokens_capacity] of one call: sums of w and of w log w */
    int64_t tokens_capacity;
};

/* The tokens of a batch and the choices of one layer. */
struct tally_choices {
    int64_t n_tokens;       /* N */
    int64_t n_sentences;    /* B */
    int64_t first_line;     /* number of sentence 0's line */
    const int32_t *ids;     /* [T, B] pieces, time-major */
    const int32_t *lengths; /* [B] */
    const int32_t *rows;    /* [N] t * B + b of each token */
    const int32_t *offsets; /* [E+1] where each expert's choices start */
    const int32_t *tokens;  /* [offsets[E]] 0..N-1, sorted by expert */
    const float *weights;   /* [offsets[E]] */
};

/* The figures of a layer in plain numbers; an even layer has CVs of 0 and a largest load of 1. */
struct tally_summary {
    double gate_entropy;           /* nats, mean over tokens that were routed */
    double load_entropy;           /* nats, of the choices' distribution over experts */
    double importance_cv, load_cv; /* population's standard deviation / mean */
    double largest_load;           /* / mean */
    int64_t n_dead;                /* experts below 1 % of an even share of the choices */
};

/* Zeroes the counts; STATUS_MEMORY. A zeroed tally may be freed. */
enum status tally_init(struct tally *tally, int64_t n_experts, int64_t n_top) STATUS_CHECKED;
void tally_free(struct tally *tally);

/* Adds a batch. STATUS_MEMORY. */
enum status tally_add(struct tally *tally, const struct tally_choices *choices) STATUS_CHECKED;

/* Puts each expert's typical tokens into order: highest weight first, then earlier in the text.
 * Nothing may be added afterwards. */
void tally_sort(struct tally *tally);

struct tally_summary tally_summarize(const struct tally *tally);

#endif
