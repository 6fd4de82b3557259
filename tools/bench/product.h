/* The products of matrices in an update of a translator: which ones, how often, and how long each
 * takes by itself. */
#ifndef MIXT_TOOLS_BENCH_PRODUCT_H
#define MIXT_TOOLS_BENCH_PRODUCT_H

#include "tools/bench/measure.h"

enum { PRODUCT_MAX = 16 };

/* Forward, to the gradient of the input, and to that of the weight. */
enum direction { DIRECTION_FORWARD, DIRECTION_BACKWARD, DIRECTION_GRADIENT, N_DIRECTIONS };

enum product_kind {
    PRODUCT_LINEAR,  /* one matrix [a, b] */
    PRODUCT_GROUPED, /* one for each of `groups` experts, which have equally many rows */
    PRODUCT_BATCH    /* [T, B, a] with [S, B, a] to [T, B, S] for each sentence: b is not used */
};

struct product {
    const char *name;
    enum product_kind kind;
    int64_t a, b;
    int64_t groups;
    bool is_transposed;          /* rows of b go in and rows of a come out */
    bool is_exact;               /* f32 on every backend */
    int64_t rows[N_DIRECTIONS];  /* of a call */
    int64_t calls[N_DIRECTIONS]; /* in an update; 0: there is none */
};

/* The products of an update with the session's configuration and batch; returns how many. Those of
 * experts with a state and of a second level of gates are left out. */
int64_t product_list(const struct session *session, struct product product[PRODUCT_MAX]);

const char *direction_name(enum direction direction);

/* Floating point operations of a call. */
double product_flops(const struct session *session, const struct product *product,
                     enum direction direction);

/* Median seconds of a call, and how many were made. */
double product_time(struct session *session, const struct product *product,
                    enum direction direction, int64_t *calls);

#endif
