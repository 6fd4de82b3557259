/* Linear layers, their gradients, and batched products. */
#include "tests/op/op.h"

enum { MANY = 300 }; /* groups */

/* -- linear: y, x, w, bias -- */

static void call_linear(struct backend *backend, struct tensor *t, struct weight *w,
                        const struct trial *trial)
{
    backend->ops->linear(backend, &t[0], &t[1], &w[2], trial->flag[0], given(&t[3]),
                         trial->activation, trial->flag[1]);
}

static void try_linear(struct checker *c, int64_t rows, int64_t in, int64_t out, bool transposed,
                       bool has_bias, enum activation activation, bool accumulate)
{
    struct trial trial = trial_of(c, "linear", call_linear);
    const int64_t n_x = transposed ? out : in, n_y = transposed ? in : out;
    add_reals(c, &trial, "y", accumulate ? USE_INOUT : USE_OUT, 1, 2, rows, n_y, 0);
    add_reals(c, &trial, "x", USE_IN, 1, 2, rows, n_x, 0);
    add_weight(c, &trial, "w", 2, in, out, 0);
    add_reals(c, &trial, "bias", USE_IN, 1, 1, has_bias ? n_y : -1, 0, 0);
    trial.flag[0] = transposed;
    trial.flag[1] = accumulate;
    trial.activation = activation;
    trial.work = 2.0 * (double)rows * (double)in * (double)out;
    check_trial(c, &trial);
}

static void check_linear(struct checker *c)
{
    if (c->is_bench) {
        try_linear(c, 1792, 256, 2048, false, true, ACTIVATION_NONE, false);
        try_linear(c, 1792, 256, 2048, true, false, ACTIVATION_NONE, false);
        try_linear(c, 1777, 256, 2048, false, true, ACTIVATION_NONE, false);
        try_linear(c, 128, 256, 2048, false, false, ACTIVATION_NONE, true);
        try_linear(c, 117, 256, 2048, false, false, ACTIVATION_NONE, true);
        try_linear(c, 128, 512, 256, false, false, ACTIVATION_NONE, false);
        try_linear(c, 1792, 256, 8192, false, true, ACTIVATION_NONE, false);
        try_linear(c, 1792, 256, 8192, true, false, ACTIVATION_NONE, false);
        try_linear(c, 640, 256, 8192, false, true, ACTIVATION_NONE, false);
        try_linear(c, 5, 256, 8192, false, true, ACTIVATION_NONE, false);
        try_linear(c, 1792, 256, 256, false, true, ACTIVATION_TANH, false);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++)
        for (int transposed = 0; transposed < 2; transposed++) {
            try_linear(c, row_counts[i], 37, 101, transposed, true, (enum activation)(i % 4),
                       false);
            try_linear(c, row_counts[i], 64, 48, transposed, i % 2, ACTIVATION_NONE, true);
        }
    for (int activation = 0; activation < 4; activation++)
        try_linear(c, 33, 96, 130, false, true, (enum activation)activation, false);
    try_linear(c, 19, 1, 300, false, true, ACTIVATION_NONE, false);
    try_linear(c, 19, 300, 1, true, false, ACTIVATION_NONE, false);
    try_linear(c, 70, 513, 257, false, false, ACTIVATION_NONE, true);
    try_linear(c, 140, 1070, 50, false, true, ACTIVATION_TANH, false);
}

/* -- grouped linear: y, x, w, bias, offsets -- */

static void call_grouped_linear(struct backend *backend, struct tensor *t, struct weight *w,
                                const struct trial *trial)
{
    backend->ops->grouped_linear(backend, &t[0], &t[1], &w[2], trial->flag[0], given(&t[3]), &t[4],
                                 trial->activation);
}

static void try_grouped_linear(struct checker *c, int64_t rows, int64_t n_groups, int64_t in,
                               int64_t out, bool transposed, bool has_bias,
                               enum activation activation)
{
    struct trial trial = trial_of(c, "grouped_linear", call_grouped_linear);
    const int64_t n_x = transposed ? out : in, n_y = transposed ? in : out;
    add_reals(c, &trial, "y", USE_OUT, 1, 2, rows, n_y, 0);
    add_reals(c, &trial, "x", USE_IN, 1, 2, rows, n_x, 0);
    add_weight(c, &trial, "w", 3, n_groups, in, out);
    add_reals(c, &trial, "bias", USE_IN, 1, 2, has_bias ? n_groups : -1, n_y, 0);
    add_offsets(c, &trial, n_groups, rows);
    trial.flag[0] = transposed;
    trial.activation = activation;
    trial.work = 2.0 * (double)rows * (double)in * (double)out;
    check_trial(c, &trial);
}

static void check_grouped_linear(struct checker *c)
{
    if (c->is_bench) {
        try_grouped_linear(c, 3584, 16, 256, 1024, false, true, ACTIVATION_RELU);
        try_grouped_linear(c, 3584, 16, 1024, 256, false, true, ACTIVATION_NONE);
        try_grouped_linear(c, 3584, 16, 256, 1024, true, false, ACTIVATION_NONE);
        try_grouped_linear(c, 1280, 16, 256, 1024, false, true, ACTIVATION_RELU);
        try_grouped_linear(c, 64, 16, 256, 1024, false, true, ACTIVATION_RELU);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        try_grouped_linear(c, row_counts[i], 5, 37, 65, false, true, ACTIVATION_RELU);
        try_grouped_linear(c, row_counts[i], 3, 64, 32, true, false, ACTIVATION_NONE);
    }
    try_grouped_linear(c, 40, 64, 16, 16, false, true, ACTIVATION_SIGMOID);
    /* So many that a backend may choose another way. */
    for (int transposed = 0; transposed < 2; transposed++) {
        for (int i = 0; i < N_ROW_COUNTS; i++)
            try_grouped_linear(c, row_counts[i], MANY, 37, 65, transposed, i % 2,
                               (enum activation)(i % 4));
        try_grouped_linear(c, 1000, MANY, 7, 515, transposed, true, ACTIVATION_NONE);
        try_grouped_linear(c, 300, MANY, 515, 7, transposed, true, ACTIVATION_TANH);
        try_grouped_linear(c, 300, MANY, 48, 32, transposed, false, ACTIVATION_NONE);
        try_grouped_linear(c, 4000, MANY, 70, 300, transposed, true, ACTIVATION_RELU);
    }
    try_grouped_linear(c, 3000, WEIGHT_MANY, 260, 288, false, true, ACTIVATION_NONE);
    try_grouped_linear(c, 300, 1, 33, 17, false, true, ACTIVATION_TANH);
}

/* -- gradients: d_w, d_bias, x, d_y, (offsets) -- */

static void call_linear_gradient(struct backend *backend, struct tensor *t, struct weight *w,
                                 const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->linear_gradient(backend, &t[0], given(&t[1]), &t[2], &t[3]);
}

static void try_linear_gradient(struct checker *c, int64_t rows, int64_t in, int64_t out,
                                bool has_bias)
{
    struct trial trial = trial_of(c, "linear_gradient", call_linear_gradient);
    trial.is_split = true;
    add_reals(c, &trial, "d_w", USE_INOUT, 1, 2, in, out, 0);
    add_reals(c, &trial, "d_bias", USE_INOUT, 1, 1, has_bias ? out : -1, 0, 0);
    add_reals(c, &trial, "x", USE_IN, 1, 2, rows, in, 0);
    add_reals(c, &trial, "d_y", USE_IN, 1, 2, rows, out, 0);
    trial.work = 2.0 * (double)rows * (double)in * (double)out;
    check_trial(c, &trial);
}

static void check_linear_gradient(struct checker *c)
{
    if (c->is_bench) {
        try_linear_gradient(c, 1792, 256, 2048, false);
        try_linear_gradient(c, 1777, 256, 2048, true);
        try_linear_gradient(c, 1792, 512, 256, false);
        try_linear_gradient(c, 1792, 256, 8192, true);
        try_linear_gradient(c, 1777, 256, 8192, false);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        try_linear_gradient(c, row_counts[i], 37, 101, true);
        try_linear_gradient(c, row_counts[i], 64, 16, i % 2);
    }
    try_linear_gradient(c, 1300, 40, 70, true);
    try_linear_gradient(c, 70, 550, 150, false);
    try_linear_gradient(c, 130, 1, 257, true);
    try_linear_gradient(c, 130, 257, 1, true);
}

static void call_grouped_gradient(struct backend *backend, struct tensor *t, struct weight *w,
                                  const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->grouped_linear_gradient(backend, given(&t[0]), given(&t[1]), &t[2], &t[3], &t[4]);
}

static void try_gradients(struct checker *c, int64_t rows, int64_t n_groups, int64_t in,
                          int64_t out, bool has_matrix, bool has_bias)
{
    struct trial trial = trial_of(c, "grouped_linear_gradient", call_grouped_gradient);
    trial.is_split = true;
    add_reals(c, &trial, "d_w", USE_INOUT, 1, 3, has_matrix ? n_groups : -1, in, out);
    add_reals(c, &trial, "d_bias", USE_INOUT, 1, 2, has_bias ? n_groups : -1, out, 0);
    add_reals(c, &trial, "x", USE_IN, 1, 2, rows, in, 0);
    add_reals(c, &trial, "d_y", USE_IN, 1, 2, rows, out, 0);
    add_offsets(c, &trial, n_groups, rows);
    trial.work = 2.0 * (double)rows * (double)in * (double)out;
    check_trial(c, &trial);
}

static void try_grouped_gradient(struct checker *c, int64_t rows, int64_t n_groups, int64_t in,
                                 int64_t out, bool has_bias)
{
    try_gradients(c, rows, n_groups, in, out, true, has_bias);
}

static void check_grouped_gradient(struct checker *c)
{
    if (c->is_bench) {
        try_grouped_gradient(c, 3584, 16, 256, 1024, true);
        try_grouped_gradient(c, 3584, 16, 1024, 256, true);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++)
        try_grouped_gradient(c, row_counts[i], 5, 37, 65, i % 2);
    try_grouped_gradient(c, 40, 64, 16, 16, true);
    for (int i = 0; i < N_ROW_COUNTS; i++)
        try_grouped_gradient(c, row_counts[i], MANY, 37, 65, i % 2);
    try_grouped_gradient(c, 1000, MANY, 130, 7, true);
    try_grouped_gradient(c, 300, MANY, 7, 515, false);
    try_grouped_gradient(c, 4000, MANY, 70, 300, true);
    try_grouped_gradient(c, 700, 1, 33, 17, true);
    try_gradients(c, 70, 5, 33, 17, false, true);
    try_gradients(c, 300, MANY, 7, 515, false, true);
}

static void call_column_sums(struct backend *backend, struct tensor *t, struct weight *w,
                             const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->column_sums(backend, &t[0], &t[1]);
}

static void check_column_sums(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        const int64_t rows = c->is_bench ? 1792 : row_counts[i], width = c->is_bench ? 2048 : 101;
        struct trial trial = trial_of(c, "column_sums", call_column_sums);
        add_reals(c, &trial, "sum", USE_INOUT, 1, 1, width, 0, 0);
        add_reals(c, &trial, "x", USE_IN, 1, 2, rows, width, 0);
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

/* -- batched products: c, a, b -- */

static void call_batch_matmul(struct backend *backend, struct tensor *t, struct weight *w,
                              const struct trial *trial)
{
    (void)w;
    backend->ops->batch_matmul(backend, &t[0], &t[1], trial->flag[0], &t[2], trial->flag[1],
                               trial->flag[2]);
}

static void try_batch_matmul(struct checker *c, int64_t n_i, int64_t n_j, int64_t n_k, int64_t n_b,
                             bool transpose_a, bool transpose_b, bool accumulate)
{
    struct trial trial = trial_of(c, "batch_matmul", call_batch_matmul);
    add_reals(c, &trial, "c", accumulate ? USE_INOUT : USE_OUT, 1, 3, n_i, n_b, n_j);
    add_reals(c, &trial, "a", USE_IN, 1, 3, transpose_a ? n_k : n_i, n_b, transpose_a ? n_i : n_k);
    add_reals(c, &trial, "b", USE_IN, 1, 3, transpose_b ? n_j : n_k, n_b, transpose_b ? n_k : n_j);
    trial.flag[0] = transpose_a;
    trial.flag[1] = transpose_b;
    trial.flag[2] = accumulate;
    trial.work = 2.0 * (double)n_i * (double)n_j * (double)n_k * (double)n_b;
    check_trial(c, &trial);
}

static void check_batch_matmul(struct checker *c)
{
    if (c->is_bench) {
        try_batch_matmul(c, 14, 14, 256, 128, false, true, false);
        try_batch_matmul(c, 14, 256, 14, 128, false, false, false);
        try_batch_matmul(c, 14, 256, 14, 128, true, false, true);
        try_batch_matmul(c, 1, 14, 256, 640, false, true, false);
        try_batch_matmul(c, 1, 256, 14, 640, false, false, false);
        return;
    }
    static const int64_t size[] = {0, 1, 3, 7, 17, 64, 65};
    for (int64_t i = 0; i < 7; i++)
        for (int form = 0; form < 8; form++)
            try_batch_matmul(c, size[i], 19, size[(i + 3) % 7] + 1, 5, form & 1, form & 2,
                             form & 4);
    for (int form = 0; form < 8; form++) {
        try_batch_matmul(c, 9, 255, 33, 3, form & 1, form & 2, form & 4);
        try_batch_matmul(c, 5, 128, 255, 2, form & 1, form & 2, form & 4);
    }
}

const struct op_check product_checks[] = {
    OP(linear, check_linear),
    OP(grouped_linear, check_grouped_linear),
    OP(linear_gradient, check_linear_gradient),
    OP(grouped_linear_gradient, check_grouped_gradient),
    OP(column_sums, check_column_sums),
    OP(batch_matmul, check_batch_matmul),
    {0},
};
