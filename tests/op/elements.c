/* Memory, copies, and work on single numbers. */
#include <string.h>

#include "tests/op/op.h"

/* A round trip: what was uploaded comes down, to the byte, and no further. */
static void call_upload(struct backend *backend, struct tensor *t, struct weight *w,
                        const struct trial *trial)
{
    (void)w;
    char bytes[1025 * sizeof(double)] = {0};
    const size_t size = (size_t)trial->number[0] * dtype_size(t[1].dtype);
    CHECK(size <= sizeof bytes, "%zu bytes", size);
    backend->ops->download(backend, bytes, &t[1], size);
    backend->ops->upload(backend, &t[0], bytes, size);
}

static void check_upload(struct checker *c)
{
    if (c->is_bench)
        return;
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        struct trial trial = trial_of(c, "upload", call_upload);
        add_reals(c, &trial, "target", USE_INOUT, 1, 1, row_counts[i] + 3, 0, 0);
        add_reals(c, &trial, "source", USE_IN, 1, 1, row_counts[i], 0, 0);
        trial.operands[0].use = USE_SCRATCH;
        trial.number[0] = row_counts[i];
        check_trial(c, &trial);
        trial = trial_of(c, "upload", call_upload);
        add_ints(c, &trial, "target", USE_EXACT, 99, 1, row_counts[i], 0);
        add_ints(c, &trial, "source", USE_IN, 99, 1, row_counts[i], 0);
        trial.number[0] = row_counts[i];
        check_trial(c, &trial);
    }
}

static void call_copy(struct backend *backend, struct tensor *t, struct weight *w,
                      const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->copy(backend, &t[0], &t[1]);
}

static void check_copy(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        const int64_t rows = c->is_bench ? 1792 : row_counts[i], width = c->is_bench ? 2048 : 19;
        struct trial trial = trial_of(c, "copy", call_copy);
        add_reals(c, &trial, "target", USE_EXACT, 1, 2, rows, width, 0);
        add_reals(c, &trial, "source", USE_IN, 1, 2, rows, width, 0);
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
    struct trial trial = trial_of(c, "copy", call_copy);
    add_ints(c, &trial, "target", USE_EXACT, 1000, 1, 33, 0);
    add_ints(c, &trial, "source", USE_IN, 1000, 1, 33, 0);
    check_trial(c, &trial);
}

static void call_fill(struct backend *backend, struct tensor *t, struct weight *w,
                      const struct trial *trial)
{
    (void)w;
    backend->ops->fill(backend, &t[0], trial->real[0]);
}

static void check_fill(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        struct trial trial = trial_of(c, "fill", call_fill);
        add_reals(c, &trial, "target", USE_EXACT, 1, 2, c->is_bench ? 1792 : row_counts[i],
                  c->is_bench ? 2048 : 19, 0);
        trial.real[0] = i - 0.5;
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

static void call_copy_columns(struct backend *backend, struct tensor *t, struct weight *w,
                              const struct trial *trial)
{
    (void)w;
    backend->ops->copy_columns(backend, &t[0], trial->number[0], &t[1], trial->number[1],
                               trial->number[2], trial->flag[0]);
}

static void try_copy_columns(struct checker *c, int64_t rows, int64_t y_width, int64_t to,
                             int64_t x_width, int64_t from, int64_t columns, bool accumulate)
{
    struct trial trial = trial_of(c, "copy_columns", call_copy_columns);
    add_reals(c, &trial, "target", USE_INOUT, 1, 2, rows, y_width, 0);
    add_reals(c, &trial, "source", USE_IN, 1, 2, rows, x_width, 0);
    trial.number[0] = to;
    trial.number[1] = from;
    trial.number[2] = columns;
    trial.flag[0] = accumulate;
    check_trial(c, &trial);
}

static void check_copy_columns(struct checker *c)
{
    if (c->is_bench) {
        try_copy_columns(c, 1792, 512, 256, 256, 0, 256, false);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        try_copy_columns(c, row_counts[i], 40, 17, 23, 0, 23, false);
        try_copy_columns(c, row_counts[i], 23, 0, 70, 31, 23, true);
    }
    try_copy_columns(c, 5, 8, 8, 8, 0, 0, false);
    struct trial trial = trial_of(c, "copy_columns", call_copy_columns);
    add_ints(c, &trial, "target", USE_INOUT, 1000, 2, 9, 12);
    add_ints(c, &trial, "source", USE_IN, 1000, 2, 9, 5);
    trial.number[0] = 3;
    trial.number[2] = 5;
    check_trial(c, &trial);
}

static void call_add(struct backend *backend, struct tensor *t, struct weight *w,
                     const struct trial *trial)
{
    (void)w;
    backend->ops->add(backend, &t[0], &t[1], trial->real[0]);
}

static void check_add(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        struct trial trial = trial_of(c, "add", call_add);
        const int64_t rows = c->is_bench ? 1792 : row_counts[i], width = c->is_bench ? 256 : 19;
        add_reals(c, &trial, "target", USE_INOUT, 1, 2, rows, width, 0);
        add_reals(c, &trial, "source", USE_IN, 1, 2, rows, width, 0);
        trial.real[0] = i % 2 ? -0.375 : 1;
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

/* -- activations: y, x; and d_x, y, d_y -- */

static void call_activate(struct backend *backend, struct tensor *t, struct weight *w,
                          const struct trial *trial)
{
    (void)w;
    backend->ops->activate(backend, &t[0], trial->flag[0] ? &t[0] : &t[1], trial->activation);
}

static void check_activate(struct checker *c)
{
    for (int activation = ACTIVATION_NONE; activation <= ACTIVATION_CUBE; activation++)
        for (int i = 0; i < N_ROW_COUNTS; i++)
            for (int scale = 0; scale < 2; scale++) {
                struct trial trial = trial_of(c, "activate", call_activate);
                const int64_t rows = c->is_bench ? 1792 : row_counts[i];
                const int64_t width = c->is_bench ? 256 : 19;
                trial.flag[0] = i % 2;
                add_reals(c, &trial, "y", i % 2 ? USE_INOUT : USE_OUT, scale ? 3 : 1e-3, 2, rows,
                          width, 0);
                add_reals(c, &trial, "x", USE_IN, scale ? 3 : 1e-3, 2, rows, width, 0);
                trial.activation = (enum activation)activation;
                check_trial(c, &trial);
                if (c->is_bench) {
                    i = N_ROW_COUNTS;
                    break;
                }
            }
}

static void call_activate_backward(struct backend *backend, struct tensor *t, struct weight *w,
                                   const struct trial *trial)
{
    (void)w;
    backend->ops->activate_backward(backend, &t[0], &t[1], trial->flag[0] ? &t[0] : &t[2],
                                    trial->activation);
}

static void check_activate_backward(struct checker *c)
{
    for (int activation = ACTIVATION_NONE; activation <= ACTIVATION_CUBE; activation++)
        for (int i = 0; i < N_ROW_COUNTS; i++) {
            struct trial trial = trial_of(c, "activate_backward", call_activate_backward);
            const int64_t rows = c->is_bench ? 1792 : row_counts[i];
            const int64_t width = c->is_bench ? 256 : 19;
            trial.flag[0] = i % 2;
            add_reals(c, &trial, "d_x", i % 2 ? USE_INOUT : USE_OUT, 1, 2, rows, width, 0);
            add_reals(c, &trial, "y", USE_IN, 0.5, 2, rows, width, 0);
            add_reals(c, &trial, "d_y", USE_IN, 1, 2, rows, width, 0);
            trial.activation = (enum activation)activation;
            check_trial(c, &trial);
            if (c->is_bench)
                break;
        }
}

/* -- scaling: y, x, v; and d_x, d_v, x, v, d_y -- */

static void call_scale_columns(struct backend *backend, struct tensor *t, struct weight *w,
                               const struct trial *trial)
{
    (void)w;
    backend->ops->scale_columns(backend, &t[0], trial->flag[0] ? &t[0] : &t[1], &t[2]);
}

static void check_scale_columns(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        struct trial trial = trial_of(c, "scale_columns", call_scale_columns);
        const int64_t rows = c->is_bench ? 1792 : row_counts[i], width = c->is_bench ? 256 : 37;
        trial.flag[0] = i % 2;
        add_reals(c, &trial, "y", i % 2 ? USE_INOUT : USE_OUT, 1, 2, rows, width, 0);
        add_reals(c, &trial, "x", USE_IN, 1, 2, rows, width, 0);
        add_reals(c, &trial, "v", USE_IN, 1, 1, width, 0, 0);
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

static void call_scale_backward(struct backend *backend, struct tensor *t, struct weight *w,
                                const struct trial *trial)
{
    (void)w;
    backend->ops->scale_columns_backward(backend, &t[0], &t[1], &t[2], &t[3],
                                         trial->flag[0] ? &t[0] : &t[4]);
}

static void check_scale_backward(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        struct trial trial = trial_of(c, "scale_columns_backward", call_scale_backward);
        const int64_t rows = c->is_bench ? 1792 : row_counts[i], width = c->is_bench ? 256 : 37;
        trial.flag[0] = i % 2;
        add_reals(c, &trial, "d_x", i % 2 ? USE_INOUT : USE_OUT, 1, 2, rows, width, 0);
        add_reals(c, &trial, "d_v", USE_INOUT, 1, 1, width, 0, 0);
        add_reals(c, &trial, "x", USE_IN, 1, 2, rows, width, 0);
        add_reals(c, &trial, "v", USE_IN, 1, 1, width, 0, 0);
        add_reals(c, &trial, "d_y", USE_IN, 1, 2, rows, width, 0);
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

/* -- dropout: y, x, residual, rows -- */

static void call_dropout(struct backend *backend, struct tensor *t, struct weight *w,
                         const struct trial *trial)
{
    (void)w;
    const int alias = (int)trial->number[0];
    const struct tensor *x = alias == 1 ? &t[0] : &t[1];
    const struct tensor *residual = alias == 2 ? &t[0] : given(&t[2]);
    backend->ops->dropout(backend, &t[0], x, residual, trial->real[0], trial->key, given(&t[3]));
}

static void try_dropout(struct checker *c, int64_t rows, int64_t width, double rate,
                        bool has_residual, bool has_names, int alias)
{
    struct trial trial = trial_of(c, "dropout", call_dropout);
    add_reals(c, &trial, "y", alias ? USE_INOUT : USE_OUT, 1, 2, rows, width, 0);
    add_reals(c, &trial, "x", USE_IN, 1, 2, rows, width, 0);
    add_reals(c, &trial, "residual", USE_IN, 1, 2, has_residual ? rows : -1, width, 0);
    add_ints(c, &trial, "rows", USE_IN, 1000000, 1, has_names ? rows : -1, 0);
    trial.real[0] = rate;
    trial.number[0] = alias;
    check_trial(c, &trial);
}

static void check_dropout(struct checker *c)
{
    if (c->is_bench) {
        try_dropout(c, 1792, 256, 0.3, true, true, 0);
        try_dropout(c, 1792, 256, 0.3, false, true, 0);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        try_dropout(c, row_counts[i], 37, 0.3, i % 2, i % 3, i % 3);
        try_dropout(c, row_counts[i], 256, 0.9, i % 3, i % 2, (i + 1) % 3);
    }
    try_dropout(c, 20, 300, 0, true, true, 0);
    try_dropout(c, 20, 129, 0.000005, true, true, 0);
    try_dropout(c, 20, 128, 0.999, false, true, 0);
    try_dropout(c, 3, 1, 0.5, false, false, 1);
}

const struct op_check element_checks[] = {
    OP(upload, check_upload),
    OP(download, check_upload),
    OP(copy, check_copy),
    OP(fill, check_fill),
    OP(copy_columns, check_copy_columns),
    OP(add, check_add),
    OP(activate, check_activate),
    OP(activate_backward, check_activate_backward),
    OP(scale_columns, check_scale_columns),
    OP(scale_columns_backward, check_scale_backward),
    OP(dropout, check_dropout),
    {0},
};
