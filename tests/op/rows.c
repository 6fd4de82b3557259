/* Embeddings, gather and scatter, experts' dispatch and combination, the optimiser. */
#include "tests/op/op.h"

static void call_embed(struct backend *backend, struct tensor *t, struct weight *w,
                       const struct trial *trial)
{
    (void)w;
    backend->ops->embed(backend, &t[0], &t[1], &t[2], trial->real[0]);
}

static void check_embed(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        const int64_t rows = c->is_bench ? 1792 : row_counts[i];
        const int64_t width = c->is_bench ? 256 : 37, n_words = c->is_bench ? 8192 : 50;
        struct trial trial = trial_of(c, "embed", call_embed);
        add_reals(c, &trial, "y", USE_OUT, 1, 2, rows, width, 0);
        add_reals(c, &trial, "table", USE_IN, 1, 2, n_words, width, 0);
        add_ints(c, &trial, "ids", USE_IN, n_words, 1, rows, 0);
        trial.real[0] = i % 2 ? 1 : 16;
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

static void call_embed_backward(struct backend *backend, struct tensor *t, struct weight *w,
                                const struct trial *trial)
{
    (void)w;
    backend->ops->embed_backward(backend, &t[0], &t[1], &t[2], trial->real[0]);
}

static void check_embed_backward(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        const int64_t rows = c->is_bench ? 1792 : row_counts[i];
        const int64_t width = c->is_bench ? 256 : 37, n_words = c->is_bench ? 8192 : 50;
        struct trial trial = trial_of(c, "embed_backward", call_embed_backward);
        add_reals(c, &trial, "d_table", USE_INOUT, 1, 2, n_words, width, 0);
        add_reals(c, &trial, "d_y", USE_IN, 1, 2, rows, width, 0);
        add_ints(c, &trial, "ids", USE_IN, n_words, 1, rows, 0);
        trial.real[0] = i % 2 ? 1 : 16;
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

static void call_gather(struct backend *backend, struct tensor *t, struct weight *w,
                        const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->gather_rows(backend, &t[0], &t[1], &t[2]);
}

static void check_gather(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        const int64_t rows = c->is_bench ? 3584 : row_counts[i], width = c->is_bench ? 256 : 37;
        struct trial trial = trial_of(c, "gather_rows", call_gather);
        if (i % 3 == 2) {
            add_ints(c, &trial, "y", USE_EXACT, 9, 2, rows, width);
            add_ints(c, &trial, "x", USE_IN, 999, 2, 30, width);
        } else {
            add_reals(c, &trial, "y", USE_EXACT, 1, 2, rows, width, 0);
            add_reals(c, &trial, "x", USE_IN, 1, 2, c->is_bench ? 1792 : 30, width, 0);
        }
        add_ints(c, &trial, "rows", USE_IN, c->is_bench ? 1792 : 30, 1, rows, 0);
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

static void call_scatter(struct backend *backend, struct tensor *t, struct weight *w,
                         const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->scatter_rows(backend, &t[0], &t[1], &t[2]);
}

static void check_scatter(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        const int64_t rows = c->is_bench ? 1700 : row_counts[i], width = c->is_bench ? 256 : 37;
        struct trial trial = trial_of(c, "scatter_rows", call_scatter);
        add_reals(c, &trial, "y", USE_EXACT, 1, 2, rows + 5 * (i % 3), width, 0);
        add_reals(c, &trial, "x", USE_IN, 1, 2, rows, width, 0);
        add_permutation(c, &trial, "rows", 1, rows, 0, rows + 5 * (i % 3));
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

/* -- training -- */

static void call_sum_squares(struct backend *backend, struct tensor *t, struct weight *w,
                             const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->sum_squares(backend, &t[0], &t[1]);
}

static void check_sum_squares(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        struct trial trial = trial_of(c, "sum_squares", call_sum_squares);
        add_reals(c, &trial, "sum", USE_INOUT, 1, 1, 1, 0, 0)[0] = 0.25;
        add_reals(c, &trial, "x", USE_IN, 1, 2, c->is_bench ? 10000 : row_counts[i],
                  c->is_bench ? 1000 : 77, 0);
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

static struct adam adam_of(const struct trial *trial)
{
    return (struct adam){.learning_rate = trial->real[0],
                         .beta1 = 0.9,
                         .beta2 = trial->real[1],
                         .epsilon = 1e-8,
                         .step = trial->number[0],
                         .gradient_scale = trial->real[2]};
}

/* Settings number i: early and late steps, with and without clipping. */
static void set_adam(struct trial *trial, int i)
{
    trial->real[0] = 0.001 * (i + 1);
    trial->real[1] = i % 2 ? 0.999 : 0.98;
    trial->real[2] = i % 3 ? 1 : 0.125;
    trial->number[0] = 1 + i * 100;
}

/* Second moments, as the squares of what was drawn. */
static void square(double *values, int64_t count)
{
    for (int64_t n = 0; n < count; n++)
        values[n] = (float)(0.01 * values[n] * values[n]);
}

static void call_adam(struct backend *backend, struct tensor *t, struct weight *w,
                      const struct trial *trial)
{
    (void)w;
    const struct adam adam = adam_of(trial);
    backend->ops->adam_step(backend, &t[0], given(&t[1]), &t[2], &t[3], &adam);
}

static void try_adam(struct checker *c, int i, bool has_first)
{
    const int64_t rows = c->is_bench ? 10000 : row_counts[i], width = c->is_bench ? 1000 : 77;
    struct trial trial = trial_of(c, "adam_step", call_adam);
    add_reals(c, &trial, "value", USE_INOUT, 1, 2, rows, width, 0);
    add_reals(c, &trial, "first", USE_INOUT, i ? 0.1 : 0, 2, has_first ? rows : -1, width, 0);
    square(add_reals(c, &trial, "second", USE_INOUT, i ? 1 : 0, 2, rows, width, 0), rows * width);
    add_reals(c, &trial, "gradient", USE_INOUT, 1, 2, rows, width, 0);
    set_adam(&trial, i);
    check_trial(c, &trial);
}

static void check_adam(struct checker *c)
{
    for (int i = 0; i < (c->is_bench ? 1 : N_ROW_COUNTS); i++) {
        try_adam(c, i, true);
        try_adam(c, i, false);
    }
}

static void call_factored(struct backend *backend, struct tensor *t, struct weight *w,
                          const struct trial *trial)
{
    (void)w;
    const struct adam adam = adam_of(trial);
    backend->ops->adam_factored_step(backend, &t[0], &t[1], &t[2], &t[3], &adam);
}

/* Matrix number 1 has no gradient, and matrix number 2 had none before either; settings 0 start
 * with moments of zero. */
static void try_factored(struct checker *c, int i, int64_t count, int64_t in, int64_t out)
{
    struct trial trial = trial_of(c, "adam_factored_step", call_factored);
    add_reals(c, &trial, "value", USE_INOUT, 1, 3, count, in, out);
    double *row = add_reals(c, &trial, "row", USE_INOUT, i ? 1 : 0, 2, count, in, 0);
    double *column = add_reals(c, &trial, "column", USE_INOUT, i ? 1 : 0, 2, count, out, 0);
    double *gradient = add_reals(c, &trial, "gradient", USE_INOUT, 1, 3, count, in, out);
    square(row, count * in);
    square(column, count * out);
    for (int64_t e = 1; e < count && e < 3; e++)
        for (int64_t n = 0; n < in * out; n++)
            gradient[e * in * out + n] = 0;
    for (int64_t n = 0; count > 2 && n < in; n++)
        row[2 * in + n] = 0;
    for (int64_t n = 0; count > 2 && n < out; n++)
        column[2 * out + n] = 0;
    set_adam(&trial, i);
    check_trial(c, &trial);
}

static void check_factored(struct checker *c)
{
    if (c->is_bench) {
        try_factored(c, 1, 512, 256, 512);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++)
        try_factored(c, i, i + 1, 1 + row_counts[i] % 256, 77);
    try_factored(c, 1, 4, 19, 1);
    try_factored(c, 2, 200, 1, 18);
    try_factored(c, 3, 1, 300, 300);
}

/* -- of gradients that are products -- */

/* Operands x, d_y, offsets and room. */
static void add_product(struct checker *c, struct trial *trial, int64_t rows, int64_t count,
                        int64_t in, int64_t out)
{
    add_reals(c, trial, "x", USE_IN, 1, 2, rows, in, 0);
    add_reals(c, trial, "d_y", USE_IN, 1, 2, rows, out, 0);
    add_offsets(c, trial, count, rows);
    add_reals(c, trial, "room", USE_SCRATCH, 1, 3, 1 + count / 3, in, out);
    trial->is_split = true;
    trial->work = 2.0 * (double)rows * (double)in * (double)out;
}

static struct product_gradient product_of(const struct tensor *t)
{
    return (struct product_gradient){.x = t[0], .d_y = t[1], .offsets = t[2]};
}

static void call_product_sum_squares(struct backend *backend, struct tensor *t, struct weight *w,
                                     const struct trial *trial)
{
    (void)w, (void)trial;
    const struct product_gradient gradient = product_of(t + 1);
    backend->ops->product_sum_squares(backend, &t[0], &t[4], &gradient);
}

static void try_product_sum_squares(struct checker *c, int64_t rows, int64_t count, int64_t in,
                                    int64_t out)
{
    struct trial trial = trial_of(c, "product_sum_squares", call_product_sum_squares);
    add_reals(c, &trial, "sum", USE_INOUT, 1, 1, 1, 0, 0)[0] = 0.25;
    add_product(c, &trial, rows, count, in, out);
    check_trial(c, &trial);
}

static void call_product_adam(struct backend *backend, struct tensor *t, struct weight *w,
                              const struct trial *trial)
{
    (void)w;
    const struct adam adam = adam_of(trial);
    const struct product_gradient gradient = product_of(t + 3);
    backend->ops->product_adam_step(backend, &t[0], given(&t[1]), &t[2], &t[6], &gradient, &adam);
}

static void try_product_adam(struct checker *c, int i, int64_t rows, int64_t count, int64_t in,
                             int64_t out)
{
    struct trial trial = trial_of(c, "product_adam_step", call_product_adam);
    add_reals(c, &trial, "value", USE_INOUT, 1, 3, count, in, out);
    add_reals(c, &trial, "first", USE_INOUT, 0.1, 3, i % 2 ? count : -1, in, out);
    double *second = add_reals(c, &trial, "second", USE_INOUT, 1, 3, count, in, out);
    square(second, count * in * out);
    /* A gradient that is near 0 differs by rounding, and must not be divided by a root as small. */
    for (int64_t n = 0; n < count * in * out; n++)
        second[n] += 0.01F;
    add_product(c, &trial, rows, count, in, out);
    set_adam(&trial, i);
    check_trial(c, &trial);
}

static void call_product_factored(struct backend *backend, struct tensor *t, struct weight *w,
                                  const struct trial *trial)
{
    (void)w;
    const struct adam adam = adam_of(trial);
    const struct product_gradient gradient = product_of(t + 3);
    backend->ops->product_adam_factored_step(backend, &t[0], &t[1], &t[2], &t[6], &gradient, &adam);
}

static void try_product_factored(struct checker *c, int i, int64_t rows, int64_t count, int64_t in,
                                 int64_t out)
{
    struct trial trial = trial_of(c, "product_adam_factored_step", call_product_factored);
    add_reals(c, &trial, "value", USE_INOUT, 1, 3, count, in, out);
    square(add_reals(c, &trial, "row", USE_INOUT, 1, 2, count, in, 0), count * in);
    square(add_reals(c, &trial, "column", USE_INOUT, 1, 2, count, out, 0), count * out);
    add_product(c, &trial, rows, count, in, out);
    set_adam(&trial, i);
    check_trial(c, &trial);
}

/* Shapes of a product: few rows and many, matrices of both sides of WEIGHT_MANY, one alone. */
static const int64_t product_shapes[][4] = {
    {0, 3, 5, 9},    {1, 1, 1, 1},       {5, 7, 33, 17},  {40, 4, 65, 130},  {300, 3, 7, 5},
    {90, 2, 70, 40}, {200, 130, 67, 33}, {17, 140, 5, 3}, {35, 1, 300, 300},
};
enum { N_PRODUCT_SHAPES = sizeof product_shapes / sizeof product_shapes[0] };

static void check_product_sum_squares(struct checker *c)
{
    if (c->is_bench) {
        try_product_sum_squares(c, 1024, 32, 512, 2048);
        try_product_sum_squares(c, 4160, 130, 256, 1024);
    }
    for (int i = 0; i < N_PRODUCT_SHAPES && !c->is_bench; i++) {
        const int64_t *s = product_shapes[i];
        try_product_sum_squares(c, s[0], s[1], s[2], s[3]);
    }
}

static void check_product_adam(struct checker *c)
{
    if (c->is_bench) {
        try_product_adam(c, 1, 1024, 32, 512, 2048);
        try_product_adam(c, 1, 4160, 130, 256, 1024);
    }
    for (int i = 0; i < N_PRODUCT_SHAPES && !c->is_bench; i++) {
        const int64_t *s = product_shapes[i];
        try_product_adam(c, i, s[0], s[1], s[2], s[3]);
        try_product_adam(c, i + 1, s[0], s[1], s[2], s[3]);
    }
}

static void check_product_factored(struct checker *c)
{
    if (c->is_bench) {
        try_product_factored(c, 1, 1024, 32, 512, 2048);
        try_product_factored(c, 1, 4160, 130, 256, 1024);
    }
    for (int i = 0; i < N_PRODUCT_SHAPES && !c->is_bench; i++) {
        const int64_t *s = product_shapes[i];
        try_product_factored(c, i, s[0], s[1], s[2], s[3]);
    }
}

const struct op_check row_checks[] = {
    OP(embed, check_embed),
    OP(embed_backward, check_embed_backward),
    OP(gather_rows, check_gather),
    OP(scatter_rows, check_scatter),
    OP(sum_squares, check_sum_squares),
    OP(adam_step, check_adam),
    OP(adam_factored_step, check_factored),
    OP(product_sum_squares, check_product_sum_squares),
    OP(product_adam_step, check_product_adam),
    OP(product_adam_factored_step, check_product_factored),
    {0},
};
