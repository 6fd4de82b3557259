/* Top-k, and the gates' noise, importance, load, balance and gradients. */
#include <math.h>

#include "tests/op/op.h"

/* -- top-k: values, indices, x -- */

static void call_top_k(struct backend *backend, struct tensor *t, struct weight *w,
                       const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->top_k(backend, &t[0], &t[1], &t[2]);
}

/* kind 0: normal numbers; 1: many ties; 2: infinities and NaNs; 3: equal. */
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
        else if (kind == 3)
            x[i] = i / width % 3 == 2 ? -INFINITY : 0.5;
        else if (drawn < 3)
            x[i] = drawn == 0 ? NAN : -INFINITY;
        else if (drawn == 3 && i % 7 == 0)
            x[i] = INFINITY;
    }
    check_trial(c, &trial);
}

/* The same with log_sums. */
static void call_top_k_log_sum(struct backend *backend, struct tensor *t, struct weight *w,
                               const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->top_k_log_sum(backend, &t[0], &t[1], &t[2], &t[3]);
}

static void try_top_k_log_sum(struct checker *c, int64_t rows, int64_t width, int64_t k,
                              bool is_tied)
{
    struct trial trial = trial_of(c, "top_k_log_sum", call_top_k_log_sum);
    add_reals(c, &trial, "values", USE_EXACT, 1, 2, rows, k, 0);
    add_ints(c, &trial, "indices", USE_EXACT, 1, 2, rows, k);
    add_reals(c, &trial, "log_sums", USE_OUT, 1, 1, rows, 0, 0);
    double *x = add_reals(c, &trial, "x", USE_IN, 4, 2, rows, width, 0);
    for (int64_t i = 0; is_tied && i < rows * width; i++)
        x[i] = i % 5 ? (double)draw_below(c, 6) : -INFINITY;
    check_trial(c, &trial);
}

static void check_top_k_log_sum(struct checker *c)
{
    if (c->is_bench) {
        try_top_k_log_sum(c, 64, 8000, 8, false);
        try_top_k_log_sum(c, 64, 32000, 8, false);
        return;
    }
    for (int is_tied = 0; is_tied < 2; is_tied++) {
        for (int i = 0; i < N_ROW_COUNTS; i++) {
            try_top_k_log_sum(c, row_counts[i] / 8, 511 + i, 8, is_tied);
            try_top_k_log_sum(c, row_counts[i] / 16, 37 + i, 5, is_tied);
        }
        try_top_k_log_sum(c, 5, 8000, 8, is_tied);
        try_top_k_log_sum(c, 2, 4099, 33, is_tied);
        try_top_k_log_sum(c, 2, 4097, 256, is_tied);
        try_top_k_log_sum(c, 2, 5000, 257, is_tied);
        try_top_k_log_sum(c, 3, 9, 9, is_tied);
        try_top_k_log_sum(c, 3, 2, 1, is_tied);
    }
}

static void check_top_k(struct checker *c)
{
    if (c->is_bench) {
        try_top_k(c, 1792, 16, 3, 0);
        try_top_k(c, 640, 8192, 10, 0);
        try_top_k(c, 128, 40960, 10, 0);
        try_top_k(c, 1792, 1024, 5, 0);
        try_top_k(c, 1792, 16, 16, 0);
        try_top_k(c, 1792, 64, 64, 0);
        try_top_k(c, 1792, 1024, 1024, 0);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        try_top_k(c, row_counts[i], 37, 5, 3);
        try_top_k(c, row_counts[i] / 64, 300, 300, 3);
        for (int kind = 0; kind < 3; kind++) {
            try_top_k(c, row_counts[i], 37, 5, kind);
            try_top_k(c, row_counts[i] / 16, 1000, 11, kind);
            try_top_k(c, row_counts[i] / 4, 16, 16, kind);
            try_top_k(c, row_counts[i] / 8, 64, 17 + 47 * i / (N_ROW_COUNTS - 1), kind);
            try_top_k(c, row_counts[i] / 64, 300, 300, kind);
            try_top_k(c, row_counts[i] / 4, 64 + i, 1, kind);
        }
    }
    for (int kind = 0; kind < 4; kind++) {
        try_top_k(c, 7, 5000, 5, kind);
        try_top_k(c, 3, 20011, 40, kind);
    }
}

/* -- noise: clean, raw, stddev, noisy, groups, names -- */

static void call_gate_noise(struct backend *backend, struct tensor *t, struct weight *w,
                            const struct trial *trial)
{
    (void)w;
    const struct gating gating = {.clean = t[0],
                                  .raw = t[1],
                                  .stddev = t[2],
                                  .noisy = t[3],
                                  .groups = t[4],
                                  .noise = trial->real[0]};
    backend->ops->gate_noise(backend, &gating, trial->key, given(&t[5]));
}

/* scale: of the normal noise's widths before the softplus; 0: the noise is uniform. */
static void try_gate_noise(struct checker *c, int64_t rows, int64_t n_experts, int64_t n_groups,
                           double scale)
{
    struct trial trial = trial_of(c, "gate_noise", call_gate_noise);
    const int64_t raw_rows = scale > 0 ? rows : -1;
    add_reals(c, &trial, "clean", USE_IN, 1, 2, rows, n_experts, 0);
    add_reals(c, &trial, "raw", USE_IN, scale, 2, raw_rows, n_experts, 0);
    add_reals(c, &trial, "stddev", USE_OUT, 1, 2, raw_rows, n_experts, 0);
    add_reals(c, &trial, "noisy", USE_OUT, 1, 2, rows, n_experts, 0);
    add_groups(c, &trial, n_groups, rows);
    add_ints(c, &trial, "names", USE_IN, 1000000, 1, rows % 2 ? rows : -1, 0);
    trial.real[0] = n_groups > 1 ? 0.3 : 1;
    check_trial(c, &trial);
}

static void check_gate_noise(struct checker *c)
{
    if (c->is_bench) {
        try_gate_noise(c, 1792, 16, 0, 1);
        try_gate_noise(c, 1792, 1024, 0, 1);
        try_gate_noise(c, 1792, 1024, 0, 0);
        try_gate_noise(c, 4096, 64, 64, 1);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++)
        for (int64_t n_groups = 0; n_groups < 8; n_groups += 7) {
            try_gate_noise(c, row_counts[i], 16, n_groups, 1);
            try_gate_noise(c, row_counts[i], 5, n_groups, 4);
            try_gate_noise(c, row_counts[i], 9, n_groups, 0);
            try_gate_noise(c, row_counts[i] / 16, 131, n_groups, i % 2);
        }
}

/* -- a gate's numbers for a batch, made by the reference's own operations -- */

/* NOISE_BORDER is uniform noise of few values, so that chances often lie at 0 and 1 exactly. */
enum noise { NOISE_NONE, NOISE_NORMAL, NOISE_UNIFORM, NOISE_BORDER };

struct gate_shape {
    int64_t rows, n_experts, k, n_groups; /* k 0: a mask chose; n_groups 0: groups are absent */
    enum noise noise;
};

enum { N_FIELDS = 11 };

static const char *const field_names[N_FIELDS] = {"clean",  "raw",    "stddev",  "noisy",
                                                  "top",    "order",  "weights", "experts",
                                                  "starts", "groups", "scale"};

static void fields_of(struct gating *g, struct tensor *fields[N_FIELDS])
{
    struct tensor *const all[N_FIELDS] = {&g->clean,  &g->raw,    &g->stddev,  &g->noisy,
                                          &g->top,    &g->order,  &g->weights, &g->experts,
                                          &g->starts, &g->groups, &g->scale};
    for (int i = 0; i < N_FIELDS; i++)
        fields[i] = all[i];
}

static struct tensor normal_numbers(struct checker *c, int64_t rows, int64_t columns)
{
    const struct tensor tensor = tensor_2d(&c->arena, DTYPE_F32, rows, columns);
    for (int64_t i = 0; i < rows * columns; i++)
        ((float *)tensor.data)[i] = (float)draw_normal(c);
    return tensor;
}

static void choose_largest(struct checker *c, struct gating *g, int64_t k)
{
    struct backend *ref = &c->ref;
    const int64_t rows = g->clean.dim[0], n_experts = g->clean.dim[1];
    const int64_t n_top = g->noise > 0 && k < n_experts ? k + 1 : k;
    g->top = tensor_2d(&c->arena, DTYPE_F32, rows, n_top);
    g->order = tensor_2d(&c->arena, DTYPE_I32, rows, n_top);
    g->weights = tensor_2d(&c->arena, DTYPE_F32, rows, k);
    g->experts = tensor_2d(&c->arena, DTYPE_I32, rows, k);
    ref->ops->top_k(ref, &g->top, &g->order, &g->noisy);
    ref->ops->copy_columns(ref, &g->weights, 0, &g->top, 0, k, false);
    ref->ops->softmax(ref, &g->weights, &g->weights);
    ref->ops->copy_columns(ref, &g->experts, 0, &g->order, 0, k, false);
}

/* Tokens have no choice, all experts, or some. */
static void choose_some(struct checker *c, struct gating *g)
{
    const int64_t rows = g->clean.dim[0], n_experts = g->clean.dim[1];
    const struct tensor all = tensor_1d(&c->arena, DTYPE_I32, rows * n_experts);
    g->starts = tensor_1d(&c->arena, DTYPE_I32, rows + 1);
    int32_t *starts = g->starts.data, count = 0;
    for (int64_t n = 0; n < rows; n++) {
        starts[n] = count;
        const int64_t kind = draw_below(c, 4);
        for (int64_t e = 0; e < n_experts; e++)
            if (kind == 1 || (kind > 1 && draw_below(c, 3) == 0))
                ((int32_t *)all.data)[count++] = (int32_t)e;
    }
    starts[rows] = count;
    g->experts = tensor_slice(&all, 0, count);
    g->weights = tensor_1d(&c->arena, DTYPE_F32, count);
    for (int64_t i = 0; i < count; i++)
        ((float *)g->weights.data)[i] = (float)fabs(draw_normal(c));
}

static struct gating make_gating(struct checker *c, const struct gate_shape *s)
{
    struct backend *ref = &c->ref;
    struct gating g = {.noise = s->noise == NOISE_NONE ? 0 : 0.7};
    g.clean = g.noisy = normal_numbers(c, s->rows, s->n_experts);
    if (s->noise == NOISE_NORMAL) {
        g.raw = normal_numbers(c, s->rows, s->n_experts);
        g.stddev = tensor_like(&c->arena, &g.clean);
    }
    if (s->noise == NOISE_BORDER) {
        g.noise = 0.5;
        g.noisy = tensor_like(&c->arena, &g.clean);
        for (int64_t i = 0; i < tensor_count(&g.clean); i++) {
            const float clean = 0.25f * (float)draw_below(c, 5);
            ((float *)g.clean.data)[i] = clean;
            ((float *)g.noisy.data)[i] = clean + 0.125f * (float)draw_below(c, 5);
        }
    } else if (s->noise != NOISE_NONE) {
        g.noisy = tensor_like(&c->arena, &g.clean);
        ref->ops->gate_noise(ref, &g, (struct random_key){.seed = c->seed}, NULL);
    }
    if (s->k > 0)
        choose_largest(c, &g, s->k);
    else
        choose_some(c, &g);
    if (s->n_groups > 1) {
        g.scale = normal_numbers(c, 1, s->rows);
        g.scale = tensor_slice(&g.scale, 0, 1);
    }
    return g;
}

/* An operand with the numbers of a tensor; absent ones stay absent. */
static void add_tensor(struct checker *c, struct trial *trial, const char *name,
                       const struct tensor *tensor)
{
    const bool is_whole = tensor->dtype == DTYPE_I32;
    const int rank = tensor->rank ? tensor->rank : 1;
    const int64_t d0 = tensor->rank ? tensor->dim[0] : -1, d1 = tensor->dim[1];
    double *values = is_whole ? add_ints(c, trial, name, USE_IN, 1, rank, d0, d1)
                              : add_reals(c, trial, name, USE_IN, 0, rank, d0, d1, 0);
    for (int64_t i = 0; i < tensor_count(tensor); i++)
        values[i] = is_whole ? ((int32_t *)tensor->data)[i] : (double)((float *)tensor->data)[i];
}

/* Numbers of a tensor's shape. */
static void add_like(struct checker *c, struct trial *trial, const char *name, enum use use,
                     const struct tensor *model)
{
    add_reals(c, trial, name, use, 1, model->rank ? model->rank : 1,
              model->rank ? model->dim[0] : -1, model->dim[1], 0);
}

/* Adds a gating's tensors as the next operands; gating_of() puts them together again. */
static void add_gating(struct checker *c, struct trial *trial, const struct gate_shape *shape,
                       struct gating *gating)
{
    enum { GROUPS = 9 };
    struct tensor *fields[N_FIELDS];
    fields_of(gating, fields);
    trial->number[0] = trial->n_operands;
    trial->real[0] = gating->noise;
    for (int i = 0; i < N_FIELDS; i++)
        if (i == GROUPS)
            add_groups(c, trial, shape->n_groups, shape->rows);
        else
            add_tensor(c, trial, field_names[i], fields[i]);
}

static struct gating gating_of(const struct tensor *t, const struct trial *trial)
{
    struct tensor *fields[N_FIELDS];
    struct gating gating = {.noise = trial->real[0]};
    fields_of(&gating, fields);
    for (int i = 0; i < N_FIELDS; i++)
        *fields[i] = t[trial->number[0] + i];
    return gating;
}

static const struct gate_shape gate_shapes[] = {
    {1, 4, 2, 0, NOISE_NORMAL},     {7, 5, 1, 0, NOISE_NORMAL},     {17, 16, 4, 0, NOISE_NORMAL},
    {65, 16, 15, 0, NOISE_NORMAL},  {64, 9, 9, 0, NOISE_NORMAL},    {255, 33, 3, 0, NOISE_NORMAL},
    {300, 130, 4, 0, NOISE_NORMAL}, {0, 8, 2, 0, NOISE_NORMAL},     {1025, 8, 2, 0, NOISE_NORMAL},
    {30, 7, 2, 5, NOISE_NORMAL},    {500, 20, 3, 17, NOISE_NORMAL}, {0, 8, 2, 3, NOISE_NORMAL},
    {1, 4, 1, 0, NOISE_UNIFORM},    {300, 17, 1, 0, NOISE_UNIFORM}, {200, 5, 1, 9, NOISE_UNIFORM},
    {90, 6, 2, 0, NOISE_UNIFORM},   {300, 17, 1, 0, NOISE_BORDER},  {99, 6, 2, 4, NOISE_BORDER},
    {40, 6, 6, 0, NOISE_NONE},      {300, 40, 2, 0, NOISE_NONE},    {200, 5, 2, 9, NOISE_NONE},
    {1, 9, 0, 0, NOISE_NONE},       {300, 33, 0, 0, NOISE_NONE},    {200, 5, 0, 9, NOISE_NONE},
    {0, 5, 0, 4, NOISE_NONE},       {31, 32, 32, 0, NOISE_NORMAL},  {32, 33, 31, 0, NOISE_NORMAL},
    {33, 31, 31, 0, NOISE_NONE}};

static const struct gate_shape bench_shapes[] = {
    {1792, 16, 2, 0, NOISE_NORMAL},    {1792, 1024, 4, 0, NOISE_NORMAL},
    {1792, 1024, 1, 0, NOISE_UNIFORM}, {4096, 64, 2, 64, NOISE_NORMAL},
    {1792, 64, 64, 0, NOISE_NONE},     {1792, 64, 0, 0, NOISE_NONE}};

/* Runs a trial of every shape, or of every large one. */
static void try_shapes(struct checker *c, void (*try)(struct checker *, const struct gate_shape *))
{
    const size_t n_shapes = sizeof gate_shapes / sizeof *gate_shapes;
    const size_t n_bench = sizeof bench_shapes / sizeof *bench_shapes;
    for (size_t i = 0; i < (c->is_bench ? n_bench : n_shapes); i++)
        try(c, c->is_bench ? &bench_shapes[i] : &gate_shapes[i]);
}

static int64_t expert_count(const struct gate_shape *s)
{
    return s->n_experts * (s->n_groups ? s->n_groups : 1);
}

/* -- importance and load -- */

static void call_gate_importance(struct backend *backend, struct tensor *t, struct weight *w,
                                 const struct trial *trial)
{
    (void)w;
    const struct gating gating = gating_of(t, trial);
    backend->ops->gate_importance(backend, &t[0], &gating);
}

static void try_gate_importance(struct checker *c, const struct gate_shape *s)
{
    struct trial trial = trial_of(c, "gate_importance", call_gate_importance);
    struct gating g = make_gating(c, s);
    add_reals(c, &trial, "importance", USE_OUT, 1, 1, expert_count(s), 0, 0);
    add_gating(c, &trial, s, &g);
    check_trial(c, &trial);
}

static void check_gate_importance(struct checker *c)
{
    try_shapes(c, try_gate_importance);
}

static void call_importance_backward(struct backend *backend, struct tensor *t, struct weight *w,
                                     const struct trial *trial)
{
    (void)w;
    const struct gating gating = gating_of(t, trial);
    backend->ops->gate_importance_backward(backend, &t[0], given(&t[1]), &t[2], &gating);
}

static void try_importance_backward(struct checker *c, const struct gate_shape *s)
{
    struct trial trial = trial_of(c, "gate_importance_backward", call_importance_backward);
    struct gating g = make_gating(c, s);
    add_like(c, &trial, "d_weights", USE_INOUT, &g.weights);
    add_like(c, &trial, "d_scale", USE_INOUT, &g.scale);
    add_reals(c, &trial, "d_importance", USE_IN, 0.1, 1, expert_count(s), 0, 0);
    add_gating(c, &trial, s, &g);
    check_trial(c, &trial);
}

static void check_importance_backward(struct checker *c)
{
    try_shapes(c, try_importance_backward);
}

static void call_gate_load(struct backend *backend, struct tensor *t, struct weight *w,
                           const struct trial *trial)
{
    (void)w;
    const struct gating gating = gating_of(t, trial);
    backend->ops->gate_load(backend, &t[0], &gating);
}

static void try_gate_load(struct checker *c, const struct gate_shape *s)
{
    struct trial trial = trial_of(c, "gate_load", call_gate_load);
    struct gating g = make_gating(c, s);
    add_reals(c, &trial, "load", USE_OUT, 1, 1, expert_count(s), 0, 0);
    add_gating(c, &trial, s, &g);
    check_trial(c, &trial);
}

static void check_gate_load(struct checker *c)
{
    try_shapes(c, try_gate_load);
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

/* -- what two levels have in common: load, primary, secondary, groups -- */

static void call_join_load(struct backend *backend, struct tensor *t, struct weight *w,
                           const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->join_load(backend, &t[0], &t[1], &t[2], &t[3]);
}

static void check_join_load(struct checker *c)
{
    for (int64_t n_groups = 1; n_groups < 70; n_groups = 3 * n_groups + 1) {
        const int64_t n_all = n_groups * 7;
        struct trial trial = trial_of(c, "join_load", call_join_load);
        add_reals(c, &trial, "load", USE_OUT, 1, 1, n_all, 0, 0);
        add_reals(c, &trial, "primary", USE_IN, 1, 1, n_groups, 0, 0);
        add_reals(c, &trial, "secondary", USE_IN, 1, 1, n_all, 0, 0);
        add_groups(c, &trial, n_groups, 20);
        check_trial(c, &trial);
    }
}

static void call_join_load_backward(struct backend *backend, struct tensor *t, struct weight *w,
                                    const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->join_load_backward(backend, &t[0], &t[1], &t[2], &t[3], &t[4], &t[5]);
}

static void check_join_load_backward(struct checker *c)
{
    for (int64_t n_groups = 1; n_groups < 70; n_groups = 3 * n_groups + 1) {
        const int64_t n_all = n_groups * 7;
        struct trial trial = trial_of(c, "join_load_backward", call_join_load_backward);
        add_reals(c, &trial, "d_primary", USE_OUT, 1, 1, n_groups, 0, 0);
        add_reals(c, &trial, "d_secondary", USE_OUT, 1, 1, n_all, 0, 0);
        add_reals(c, &trial, "d_load", USE_IN, 1, 1, n_all, 0, 0);
        add_reals(c, &trial, "primary", USE_IN, 1, 1, n_groups, 0, 0);
        add_reals(c, &trial, "secondary", USE_IN, 1, 1, n_all, 0, 0);
        add_groups(c, &trial, n_groups, 20);
        check_trial(c, &trial);
    }
}

/* -- gradients: d_clean, d_raw, d_weights, d_load -- */

static void call_gate_backward(struct backend *backend, struct tensor *t, struct weight *w,
                               const struct trial *trial)
{
    (void)w;
    const struct gating gating = gating_of(t, trial);
    backend->ops->gate_backward(backend, &t[0], given(&t[1]), given(&t[2]), given(&t[3]), &gating);
}

/* What the weights' softmax gives a noisy value, and it to clean and raw, may cancel: its summands
 * are the choice's own gradient and all of its token's. raw_scale is empty where raw is absent. */
static void fill_scales(double *clean_scale, double *raw_scale, const struct gating *g,
                        const double *d_weights)
{
    const float *weights = g->weights.data, *clean = g->clean.data, *raw = g->raw.data;
    const float *noisy = g->noisy.data, *stddev = g->stddev.data;
    const int64_t k = g->experts.dim[1], n_experts = g->clean.dim[1];
    for (int64_t n = 0; n < g->clean.dim[0]; n++) {
        double sum = 0;
        for (int64_t i = n * k; i < (n + 1) * k; i++)
            sum += fabs(weights[i] * d_weights[i]);
        for (int64_t i = n * k; i < (n + 1) * k; i++) {
            const int64_t at = n * n_experts + ((const int32_t *)g->experts.data)[i];
            clean_scale[at] = weights[i] * (fabs(d_weights[i]) + sum);
            if (raw)
                raw_scale[at] = clean_scale[at] * g->noise *
                                fabs((noisy[at] - clean[at]) / stddev[at]) /
                                (1 + exp(-(double)raw[at]));
        }
    }
}

/* With both gradients, and with either alone. */
static void try_gate_backward(struct checker *c, const struct gate_shape *s)
{
    for (int missing = 0; missing < (s->k == 0 ? 0 : c->is_bench ? 1 : 3); missing++) {
        struct trial trial = trial_of(c, "gate_backward", call_gate_backward);
        struct gating g = make_gating(c, s);
        add_like(c, &trial, "d_clean", USE_OUT, &g.clean);
        double *clean_scale = add_scale(c, &trial);
        add_like(c, &trial, "d_raw", USE_OUT, &g.raw);
        double *raw_scale = add_scale(c, &trial);
        add_like(c, &trial, "d_weights", USE_IN, missing == 1 ? &(struct tensor){0} : &g.weights);
        if (missing != 1)
            fill_scales(clean_scale, raw_scale, &g, trial.operands[2].values);
        add_reals(c, &trial, "d_load", USE_IN, 0.1, 1, missing == 2 ? -1 : expert_count(s), 0, 0);
        add_gating(c, &trial, s, &g);
        check_trial(c, &trial);
    }
}

static void check_gate_backward(struct checker *c)
{
    try_shapes(c, try_gate_backward);
}

const struct op_check gate_checks[] = {
    OP(top_k, check_top_k),
    OP(top_k_log_sum, check_top_k_log_sum),
    OP(gate_noise, check_gate_noise),
    OP(gate_importance, check_gate_importance),
    OP(gate_importance_backward, check_importance_backward),
    OP(gate_load, check_gate_load),
    OP(balance_loss, check_balance_loss),
    OP(join_load, check_join_load),
    OP(join_load_backward, check_join_load_backward),
    OP(gate_backward, check_gate_backward),
    {0},
};
