/* Top-k, and the gate's noise, load, balance and gradients. */
#include <math.h>

#include "tests/op/op.h"

/* -- top-k: values, indices, x -- */

static void call_top_k(struct backend *backend, struct tensor *t, struct weight *w,
                       const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->top_k(backend, &t[0], &t[1], &t[2]);
}

/* kind 0: normal numbers; 1: many ties; 2: infinities and NaNs. */
static void try_top_k(struct checker *c, int64_t rows, int64_t width, int64_t k, int kind)
{
    struct trial trial = trial_of(c, "top_k", call_top_k);
    add_reals(c, &trial, "values", USE_EXACT, 1, 2, rows, k, 0);
    add_ints(c, &trial, "indices", USE_EXACT, 1, 2, rows, k);
    double *x = add_reals(c, &trial, "x", USE_IN, 1, 2, rows, width, 0);
    for (int64_t i = 0; kind > 0 && i < rows * width; i++) {
        const int64_t drawn = draw_below(c, 6);
        if (kind == 1)
            x[i] = (double)drawn;
        else if (drawn < 3)
            x[i] = drawn == 0 ? NAN : -INFINITY;
        else if (drawn == 3 && i % 7 == 0)
            x[i] = INFINITY;
    }
    check_trial(c, &trial);
}

static void check_top_k(struct checker *c)
{
    if (c->is_bench) {
        try_top_k(c, 1792, 16, 3, 0);
        try_top_k(c, 640, 8192, 10, 0);
        try_top_k(c, 128, 40960, 10, 0);
        try_top_k(c, 1792, 1024, 5, 0);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++)
        for (int kind = 0; kind < 3; kind++) {
            try_top_k(c, row_counts[i], 37, 5, kind);
            try_top_k(c, row_counts[i] / 16, 1000, 11, kind);
            try_top_k(c, row_counts[i] / 4, 16, 16, kind);
            try_top_k(c, row_counts[i] / 4, 64 + i, 1, kind);
        }
    for (int kind = 0; kind < 3; kind++) {
        try_top_k(c, 7, 5000, 5, kind);
        try_top_k(c, 3, 20011, 40, kind);
    }
}

/* -- noise: noisy, stddev, clean, raw, rows -- */

static void call_gate_noise(struct backend *backend, struct tensor *t, struct weight *w,
                            const struct trial *trial)
{
    (void)w;
    backend->ops->gate_noise(backend, &t[0], &t[1], &t[2], &t[3], trial->key, given(&t[4]));
}

static void try_gate_noise(struct checker *c, int64_t rows, int64_t n_experts, bool has_names,
                           double scale)
{
    struct trial trial = trial_of(c, "gate_noise", call_gate_noise);
    add_reals(c, &trial, "noisy", USE_OUT, 1, 2, rows, n_experts, 0);
    add_reals(c, &trial, "stddev", USE_OUT, 1, 2, rows, n_experts, 0);
    add_reals(c, &trial, "clean", USE_IN, 1, 2, rows, n_experts, 0);
    add_reals(c, &trial, "raw", USE_IN, scale, 2, rows, n_experts, 0);
    add_ints(c, &trial, "rows", USE_IN, 1000000, 1, has_names ? rows : -1, 0);
    check_trial(c, &trial);
}

static void check_gate_noise(struct checker *c)
{
    if (c->is_bench) {
        try_gate_noise(c, 1792, 16, true, 1);
        try_gate_noise(c, 1792, 1024, true, 1);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        try_gate_noise(c, row_counts[i], 16, i % 2, 1);
        try_gate_noise(c, row_counts[i], 5, i % 2, 4);
        try_gate_noise(c, row_counts[i] / 16, 131, i % 2, 1);
    }
}

/* -- load and gradients -- */

/* A gate's numbers for a batch, made by the reference's own operations. */
struct gate {
    struct tensor clean, raw, noisy, stddev, top, order, weights, experts;
};

static struct gate make_gate(struct checker *c, int64_t rows, int64_t n_experts, int64_t k)
{
    struct arena *arena = &c->arena;
    struct backend *ref = &c->ref;
    const int64_t n_top = k < n_experts ? k + 1 : k;
    struct gate g = {.clean = tensor_2d(arena, DTYPE_F32, rows, n_experts),
                     .raw = tensor_2d(arena, DTYPE_F32, rows, n_experts),
                     .noisy = tensor_2d(arena, DTYPE_F32, rows, n_experts),
                     .stddev = tensor_2d(arena, DTYPE_F32, rows, n_experts),
                     .top = tensor_2d(arena, DTYPE_F32, rows, n_top),
                     .order = tensor_2d(arena, DTYPE_I32, rows, n_top),
                     .weights = tensor_2d(arena, DTYPE_F32, rows, k),
                     .experts = tensor_2d(arena, DTYPE_I32, rows, k)};
    for (int64_t i = 0; i < rows * n_experts; i++) {
        ((float *)g.clean.data)[i] = (float)draw_normal(c);
        ((float *)g.raw.data)[i] = (float)draw_normal(c);
    }
    const struct random_key key = {.seed = c->seed};
    ref->ops->gate_noise(ref, &g.noisy, &g.stddev, &g.clean, &g.raw, key, NULL);
    ref->ops->top_k(ref, &g.top, &g.order, &g.noisy);
    ref->ops->copy_columns(ref, &g.weights, 0, &g.top, 0, k, false);
    ref->ops->softmax(ref, &g.weights, &g.weights);
    ref->ops->copy_columns(ref, &g.experts, 0, &g.order, 0, k, false);
    return g;
}

/* An operand with the numbers of a tensor; absent ones stay absent. */
static void add_tensor(struct checker *c, struct trial *trial, const char *name, enum use use,
                       const struct tensor *tensor, bool is_absent)
{
    const int64_t d0 = is_absent ? -1 : tensor->dim[0];
    double *values = tensor->dtype == DTYPE_I32
                         ? add_ints(c, trial, name, use, 1, tensor->rank, d0, tensor->dim[1])
                         : add_reals(c, trial, name, use, 0, tensor->rank, d0, tensor->dim[1], 0);
    for (int64_t i = 0; !is_absent && i < tensor_count(tensor); i++)
        values[i] = tensor->dtype == DTYPE_I32 ? ((int32_t *)tensor->data)[i]
                                               : (double)((float *)tensor->data)[i];
}

static void call_gate_load(struct backend *backend, struct tensor *t, struct weight *w,
                           const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->gate_load(backend, &t[0], &t[1], &t[2], &t[3], &t[4], given(&t[5]), given(&t[6]),
                            given(&t[7]));
}

static void try_gate_load(struct checker *c, int64_t rows, int64_t n_experts, int64_t k,
                          bool has_noise)
{
    struct trial trial = trial_of(c, "gate_load", call_gate_load);
    const struct gate g = make_gate(c, rows, n_experts, k);
    add_reals(c, &trial, "importance", USE_OUT, 1, 1, n_experts, 0, 0);
    add_reals(c, &trial, "load", USE_OUT, 1, 1, n_experts, 0, 0);
    add_tensor(c, &trial, "weights", USE_IN, &g.weights, false);
    add_tensor(c, &trial, "experts", USE_IN, &g.experts, false);
    add_tensor(c, &trial, "top", USE_IN, &g.top, false);
    add_tensor(c, &trial, "clean", USE_IN, &g.clean, !has_noise);
    add_tensor(c, &trial, "noisy", USE_IN, &g.noisy, !has_noise);
    add_tensor(c, &trial, "stddev", USE_IN, &g.stddev, !has_noise);
    check_trial(c, &trial);
}

static const int64_t gate_shapes[][3] = {{1, 4, 2},     {7, 5, 1},  {17, 16, 4},
                                         {65, 16, 15},  {64, 9, 9}, {255, 33, 3},
                                         {300, 130, 4}, {0, 8, 2},  {1000, 8, 2}};

static void check_gate_load(struct checker *c)
{
    if (c->is_bench) {
        try_gate_load(c, 1792, 16, 2, true);
        try_gate_load(c, 1792, 1024, 4, true);
        return;
    }
    for (size_t i = 0; i < sizeof gate_shapes / sizeof *gate_shapes; i++)
        for (int has_noise = 0; has_noise < 2; has_noise++)
            try_gate_load(c, gate_shapes[i][0], gate_shapes[i][1], gate_shapes[i][2], has_noise);
}

static void call_balance_loss(struct backend *backend, struct tensor *t, struct weight *w,
                              const struct trial *trial)
{
    (void)w;
    backend->ops->balance_loss(backend, &t[0], &t[1], &t[2], trial->real[0]);
}

static void check_balance_loss(struct checker *c)
{
    static const int64_t counts[] = {1, 4, 16, 255};
    for (int i = 0; i < 8; i++) {
        const int64_t count = counts[i % 4];
        struct trial trial = trial_of(c, "balance_loss", call_balance_loss);
        add_reals(c, &trial, "loss", USE_OUT, 1, 1, 1, 0, 0);
        add_reals(c, &trial, "d_v", USE_OUT, 1, 1, count, 0, 0);
        double *v = add_reals(c, &trial, "v", USE_IN, 1, 1, count, 0, 0);
        for (int64_t e = 0; e < count; e++)
            v[e] = i < 4 ? fabs(v[e]) : 0;
        trial.real[0] = 0.25;
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

static void call_gate_backward(struct backend *backend, struct tensor *t, struct weight *w,
                               const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->gate_backward(backend, &t[0], given(&t[1]), &t[2], &t[3], &t[4], &t[5], &t[6],
                                &t[7], given(&t[8]), given(&t[9]), given(&t[10]), given(&t[11]));
}

static void try_gate_backward(struct checker *c, int64_t rows, int64_t n_experts, int64_t k,
                              bool has_noise)
{
    struct trial trial = trial_of(c, "gate_backward", call_gate_backward);
    const struct gate g = make_gate(c, rows, n_experts, k);
    add_reals(c, &trial, "d_clean", USE_OUT, 1, 2, rows, n_experts, 0);
    add_reals(c, &trial, "d_raw", USE_OUT, 1, 2, has_noise ? rows : -1, n_experts, 0);
    add_reals(c, &trial, "d_weights", USE_INOUT, 1, 2, rows, k, 0);
    add_reals(c, &trial, "d_importance", USE_IN, 0.1, 1, n_experts, 0, 0);
    add_reals(c, &trial, "d_load", USE_IN, 0.1, 1, n_experts, 0, 0);
    add_tensor(c, &trial, "weights", USE_IN, &g.weights, false);
    add_tensor(c, &trial, "order", USE_IN, &g.order, false);
    add_tensor(c, &trial, "top", USE_IN, &g.top, false);
    add_tensor(c, &trial, "clean", USE_IN, &g.clean, !has_noise);
    add_tensor(c, &trial, "noisy", USE_IN, &g.noisy, !has_noise);
    add_tensor(c, &trial, "stddev", USE_IN, &g.stddev, !has_noise);
    add_tensor(c, &trial, "raw", USE_IN, &g.raw, !has_noise);
    check_trial(c, &trial);
}

static void check_gate_backward(struct checker *c)
{
    if (c->is_bench) {
        try_gate_backward(c, 1792, 16, 2, true);
        try_gate_backward(c, 1792, 1024, 4, true);
        return;
    }
    for (size_t i = 0; i < sizeof gate_shapes / sizeof *gate_shapes; i++)
        for (int has_noise = 0; has_noise < 2; has_noise++)
            try_gate_backward(c, gate_shapes[i][0], gate_shapes[i][1], gate_shapes[i][2],
                              has_noise);
}

const struct op_check gate_checks[] = {
    OP(top_k, check_top_k),
    OP(gate_noise, check_gate_noise),
    OP(gate_load, check_gate_load),
    OP(balance_loss, check_balance_loss),
    OP(gate_backward, check_gate_backward),
    {0},
};
