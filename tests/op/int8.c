/* Products with weights in int8: the same to the bit as the reference's, whatever the kernel. */
#include <math.h>

#include "tests/op/op.h"

/* Around the sizes of tiles, panels and vectors. */
static const int64_t some_rows[] = {0, 1, 2, 5, 6, 7, 16, 17, 31, 32, 33, 65, 129};
enum { N_ROWS = sizeof some_rows / sizeof *some_rows, MANY = 150 };

/* Rows that must not be rounded as others: of zeros, of what counts as zero, and not finite. */
static void add_odd_rows(double *x, int64_t rows, int64_t width, enum activation activation)
{
    for (int64_t d = 0; rows > 3 && d < width; d++)
        x[d] = x[width + d] = 0;
    for (int64_t d = 0; rows > 3 && d < width; d += 2)
        x[width + d] = (float)1e-34;
    if (rows > 6 && activation != ACTIVATION_RELU) { /* which may lose a NaN */
        x[4 * width] = NAN;
        x[6 * width - 1] = INFINITY;
    }
}

static void fill(double *values, int64_t count, double value)
{
    for (int64_t i = 0; i < count; i++)
        values[i] = value;
}

/* -- linear: y, x, w, bias -- */

static void call_linear(struct backend *backend, struct tensor *t, struct weight *w,
                        const struct trial *trial)
{
    backend->ops->linear(backend, &t[0], &t[1], &w[2], trial->flag[0], given(&t[3]),
                         trial->activation, trial->flag[1]);
}

struct linear {
    int64_t rows, in, out;
    bool transposed, has_bias, accumulate, is_largest;
    enum activation activation;
};

static void try_linear(struct checker *c, struct linear s)
{
    struct trial trial = trial_of(c, "linear", call_linear);
    const int64_t n_w = s.in * s.out;
    add_reals(c, &trial, "y", s.accumulate ? USE_INOUT : USE_OUT, 1, 2, s.rows, s.out, 0);
    double *x = add_reals(c, &trial, "x", USE_IN, 1, 2, s.rows, s.in, 0);
    double *w =
        add_weight(c, &trial, "w", 2, s.transposed ? s.out : s.in, s.transposed ? s.in : s.out, 0);
    add_reals(c, &trial, "bias", USE_IN, 1, 1, s.has_bias ? s.out : -1, 0, 0);
    if (s.is_largest) {
        fill(x, s.rows * s.in, 3);
        fill(w, n_w, -0.5);
    } else if (!c->is_bench) {
        add_odd_rows(x, s.rows, s.in, s.activation);
    }
    trial.int8 = s.transposed ? INT8_TRANSPOSED : INT8_PLAIN;
    trial.is_exact = s.activation == ACTIVATION_NONE || s.activation == ACTIVATION_RELU;
    trial.flag[0] = s.transposed;
    trial.flag[1] = s.accumulate;
    trial.activation = s.activation;
    trial.work = 2.0 * (double)(s.rows * n_w);
    check_trial(c, &trial);
}

static void bench_linear(struct checker *c)
{
    static const int64_t shapes[][3] = {
        {1792, 256, 2048}, {640, 256, 2048}, {640, 512, 256}, {640, 256, 8192}, {320, 512, 8192},
        {128, 256, 2048},  {64, 256, 2048},  {5, 256, 8192},  {8, 512, 8192},   {4, 512, 8192},
        {1, 512, 8192},    {1, 512, 32768},  {5, 512, 32768}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        try_linear(c, (struct linear){.rows = shapes[i][0],
                                      .in = shapes[i][1],
                                      .out = shapes[i][2],
                                      .has_bias = true});
}

static void check_linear(struct checker *c)
{
    if (c->is_bench) {
        bench_linear(c);
        return;
    }
    for (int i = 0; i < N_ROWS; i++)
        for (int form = 0; form < 4; form++)
            try_linear(c, (struct linear){.rows = some_rows[i],
                                          .in = form & 1 ? 64 : 101,
                                          .out = form & 1 ? 48 : 37,
                                          .transposed = form & 2,
                                          .has_bias = i % 2,
                                          .accumulate = form == 1 || form == 2,
                                          .activation = form == 3   ? ACTIVATION_RELU
                                                        : form == 0 ? (enum activation)(i % 4)
                                                                    : ACTIVATION_NONE});
    try_linear(c, (struct linear){.rows = 1025, .in = 130, .out = 70, .has_bias = true});
    try_linear(c, (struct linear){.rows = 45, .in = 513, .out = 257, .accumulate = true});
    try_linear(c, (struct linear){.rows = 300, .in = 64, .out = 256, .accumulate = true});
    try_linear(c, (struct linear){.rows = 19, .in = 1, .out = 300, .has_bias = true});
    try_linear(c, (struct linear){.rows = 19, .in = 300, .out = 1});
    for (int64_t rows = 1; rows < 40; rows += 19)
        try_linear(c, (struct linear){.rows = rows, .in = 2049, .out = 66, .is_largest = true});
}

/* -- grouped linear: y, x, w, bias, offsets -- */

static void call_grouped_linear(struct backend *backend, struct tensor *t, struct weight *w,
                                const struct trial *trial)
{
    backend->ops->grouped_linear(backend, &t[0], &t[1], &w[2], trial->flag[0], given(&t[3]), &t[4],
                                 trial->activation);
}

static void try_grouped_linear(struct checker *c, int64_t rows, int64_t n_groups, int64_t in,
                               int64_t out, bool transposed, bool has_bias)
{
    struct trial trial = trial_of(c, "grouped_linear", call_grouped_linear);
    add_reals(c, &trial, "y", USE_OUT, 1, 2, rows, out, 0);
    double *x = add_reals(c, &trial, "x", USE_IN, 1, 2, rows, in, 0);
    add_weight(c, &trial, "w", 3, n_groups, transposed ? out : in, transposed ? in : out);
    add_reals(c, &trial, "bias", USE_IN, 1, 2, has_bias ? n_groups : -1, out, 0);
    add_offsets(c, &trial, n_groups, rows);
    trial.activation = has_bias ? ACTIVATION_RELU : ACTIVATION_NONE;
    add_odd_rows(x, rows, in, trial.activation);
    trial.int8 = transposed ? INT8_TRANSPOSED : INT8_PLAIN;
    trial.is_exact = true;
    trial.flag[0] = transposed;
    trial.work = 2.0 * (double)(rows * in * out);
    check_trial(c, &trial);
}

static void check_grouped_linear(struct checker *c)
{
    if (c->is_bench) {
        try_grouped_linear(c, 1280, 16, 256, 1024, false, true);
        try_grouped_linear(c, 1280, 16, 1024, 256, false, true);
        try_grouped_linear(c, 300, MANY, 512, 2048, false, true);
        return;
    }
    for (int i = 0; i < N_ROWS; i++) {
        try_grouped_linear(c, some_rows[i], 5, 37, 65, false, i % 2);
        try_grouped_linear(c, some_rows[i], 3, 64, 32, true, i % 2);
        try_grouped_linear(c, some_rows[i], MANY, 33, 80, false, i % 2);
    }
    try_grouped_linear(c, 1025, 4, 70, 200, false, true);
    try_grouped_linear(c, 300, 1, 33, 17, false, true);
}

/* -- linear and top k: values, indices, log_sums, room, x, w, bias -- */

static void call_linear_top_k(struct backend *backend, struct tensor *t, struct weight *w,
                              const struct trial *trial)
{
    (void)trial;
    backend->ops->linear_top_k(backend, &t[0], &t[1], &t[2], &t[3], &t[4], &w[5], &t[6]);
}

/* Makes a matrix of multiples of a power of two, `step`, that rounding to int8 leaves as they are:
 * 127 of them are the largest of each row. */
static void make_exact(double *x, int64_t rows, int64_t width, double step)
{
    for (int64_t i = 0; i < rows * width; i++)
        x[i] = i % width == 0 ? 127 * step : step * fmax(-127, fmin(127, round(x[i] / step)));
}

/* f32 and f64 hold the same scores, so that both choose the same of those that are nearly alike,
 * and some are equal. */
static void try_linear_top_k(struct checker *c, int64_t rows, int64_t room, int64_t width,
                             int64_t k)
{
    enum { IN = 24 };
    struct trial trial = trial_of(c, "linear_top_k", call_linear_top_k);
    add_reals(c, &trial, "values", USE_OUT, 1, 2, rows, k, 0);
    add_ints(c, &trial, "indices", USE_EXACT, 1, 2, rows, k);
    add_reals(c, &trial, "log_sums", USE_OUT, 1, 1, rows, 0, 0);
    add_reals(c, &trial, "room", USE_SCRATCH, 1, 2, room, width, 0);
    double *x = add_reals(c, &trial, "x", USE_IN, 1, 2, rows, IN, 0);
    double *w = add_weight(c, &trial, "w", 2, width, IN, 0);
    double *bias = add_reals(c, &trial, "bias", USE_IN, 1, 1, width, 0, 0);
    make_exact(x, rows, IN, 0x1p-4);
    make_exact(w, width, IN, 0x1p-8);
    for (int64_t i = 0; i < width; i++)
        bias[i] = round(bias[i] * 0x1p12) * 0x1p-12;
    trial.int8 = INT8_TRANSPOSED;
    trial.work = 2.0 * (double)(rows * width * IN);
    check_trial(c, &trial);
}

/* With less room than rows, with panels that end anywhere, and with room for no panels. */
static void check_linear_top_k(struct checker *c)
{
    static const int64_t widths[] = {9, 511, 513, 1700};
    const int64_t most = c->is_remote ? 70 : 900; /* panels are the processor's */
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++)
        for (int64_t rows = 1; rows < most && !c->is_bench; rows = 3 * rows + 5) {
            try_linear_top_k(c, rows, rows < 64 ? rows : 64, widths[i], 8);
            try_linear_top_k(c, rows, 200, widths[i], 3);
        }
    if (c->is_bench)
        try_linear_top_k(c, 640, 64, 8000, 8);
}

/* -- LSTM: r, x, its weights, bias, lengths, gates or room, cells, hidden, first_r, first_c -- */

static void call_lstm(struct backend *backend, struct tensor *t, struct weight *w,
                      const struct trial *trial)
{
    struct lstm lstm = {.input = &w[2],
                        .recurrent = &w[3],
                        .projection = t[4].rank ? &w[4] : NULL,
                        .bias = t[5],
                        .lengths = t[6],
                        .reversed = trial->flag[0],
                        .gates = t[8].rank ? t[7] : (struct tensor){0},
                        .cells = t[8],
                        .hidden = t[9],
                        .room = t[8].rank ? (struct tensor){0} : t[7],
                        .first_r = t[10],
                        .first_c = t[11]};
    if (lstm.room.rank) /* no more of it than the backend wants */
        lstm.room = tensor_slice(&t[7], 0, backend->ops->lstm_room(backend, &t[1], &lstm));
    backend->ops->lstm_forward(backend, &t[0], &t[1], &lstm);
}

static void try_lstm(struct checker *c, int64_t n_t, int64_t n_b, int64_t n_p, bool reversed,
                     bool has_first, bool has_room)
{
    const int64_t n_i = 20, n_h = 33, n_out = n_p ? n_p : n_h;
    struct trial trial = trial_of(c, "lstm_forward", call_lstm);
    add_reals(c, &trial, "r", USE_OUT, 1, 3, n_t, n_b, n_out);
    add_reals(c, &trial, "x", USE_IN, 1, 3, n_t, n_b, n_i);
    add_weight(c, &trial, "input", 2, n_i, 4 * n_h, 0);
    add_weight(c, &trial, "recurrent", 2, n_out, 4 * n_h, 0);
    add_weight(c, &trial, "projection", 2, n_p ? n_h : -1, n_p, 0);
    add_reals(c, &trial, "bias", USE_IN, 0.3, 1, 4 * n_h, 0, 0);
    add_lengths(c, &trial, n_b, n_t, true);
    if (has_room)
        add_reals(c, &trial, "room", USE_SCRATCH, 1, 1, (n_p ? 6 : 5) * n_t * n_b * n_h, 0, 0);
    else
        add_reals(c, &trial, "gates", USE_OUT, 1, 3, n_t, n_b, 4 * n_h);
    add_reals(c, &trial, "cells", USE_OUT, 1, 3, has_room ? -1 : n_t, n_b, n_h);
    add_reals(c, &trial, "hidden", USE_OUT, 1, 3, n_p && !has_room ? n_t : -1, n_b, n_h);
    add_reals(c, &trial, "first_r", USE_IN, 1, 2, has_first ? n_b : -1, n_out, 0);
    add_reals(c, &trial, "first_c", USE_IN, 1, 2, has_first ? n_b : -1, n_h, 0);
    trial.int8 = INT8_PLAIN;
    trial.flag[0] = reversed;
    check_trial(c, &trial);
}

static void check_lstm(struct checker *c)
{
    for (int form = 0; form < 8 && !c->is_bench; form++) {
        try_lstm(c, 1, 5 + 30 * form, form & 1 ? 12 : 0, form & 2, form & 4, false);
        try_lstm(c, 6, 1 + 5 * form, form & 1 ? 12 : 0, form & 2, form & 4, false);
        try_lstm(c, 6, 1 + 5 * form, form & 1 ? 12 : 0, form & 2, form & 4, true);
    }
}

const struct op_check int8_checks[] = {
    OP(linear, check_linear),
    OP(grouped_linear, check_grouped_linear),
    OP(linear_top_k, check_linear_top_k),
    OP(lstm_forward, check_lstm),
    {0},
};
