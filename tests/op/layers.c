/* The LSTM, softmax in its forms, and the loss. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "tests/op/op.h"

/* -- LSTM -- */

/* Places of the operands; those of the gradients follow for the backward pass. */
enum {
    LSTM_R,
    LSTM_X,
    LSTM_INPUT,
    LSTM_RECURRENT,
    LSTM_PROJECTION,
    LSTM_BIAS,
    LSTM_LENGTHS,
    LSTM_GATES, /* or the room, and then those of cells and hidden are absent */
    LSTM_CELLS,
    LSTM_HIDDEN,
    LSTM_FIRST_R,
    LSTM_FIRST_C,
    LSTM_D_INPUT,
    LSTM_D_RECURRENT,
    LSTM_D_PROJECTION,
    LSTM_D_BIAS,
    LSTM_D_FIRST_R,
    LSTM_D_CELL,
    LSTM_D_R,
    LSTM_D_X,
};

static struct lstm lstm_of(struct tensor *t, struct weight *w, const struct trial *trial)
{
    const bool has_room = t[LSTM_CELLS].rank == 0;
    struct lstm lstm = {.input = &w[LSTM_INPUT],
                        .recurrent = &w[LSTM_RECURRENT],
                        .projection = t[LSTM_PROJECTION].rank ? &w[LSTM_PROJECTION] : NULL,
                        .bias = t[LSTM_BIAS],
                        .lengths = t[LSTM_LENGTHS],
                        .reversed = trial->flag[0],
                        .first_r = t[LSTM_FIRST_R],
                        .first_c = t[LSTM_FIRST_C],
                        .gates = t[LSTM_GATES],
                        .cells = t[LSTM_CELLS],
                        .hidden = t[LSTM_HIDDEN]};
    if (has_room) {
        lstm.gates = (struct tensor){0};
        lstm.room = t[LSTM_GATES];
    }
    return lstm;
}

static void call_lstm_forward(struct backend *backend, struct tensor *t, struct weight *w,
                              const struct trial *trial)
{
    const struct lstm lstm = lstm_of(t, w, trial);
    backend->ops->lstm_forward(backend, &t[LSTM_R], &t[LSTM_X], &lstm);
}

static void call_lstm_backward(struct backend *backend, struct tensor *t, struct weight *w,
                               const struct trial *trial)
{
    const struct lstm lstm = lstm_of(t, w, trial);
    const struct lstm_gradients gradients = {.input = t[LSTM_D_INPUT],
                                             .recurrent = t[LSTM_D_RECURRENT],
                                             .projection = t[LSTM_D_PROJECTION],
                                             .bias = t[LSTM_D_BIAS],
                                             .first_r = t[LSTM_D_FIRST_R],
                                             .cell = t[LSTM_D_CELL]};
    backend->ops->lstm_backward(backend, given(&t[LSTM_D_X]), &t[LSTM_D_R], &t[LSTM_X], &t[LSTM_R],
                                &lstm, &gradients);
}

/* Both passes, with what lies between them in the room: no more of it than the backend wants. */
static void call_lstm_in_room(struct backend *backend, struct tensor *t, struct weight *w,
                              const struct trial *trial)
{
    const struct lstm lstm = lstm_of(t, w, trial);
    const int64_t n_room = backend->ops->lstm_room(backend, &t[LSTM_X], &lstm);
    struct tensor all = t[LSTM_GATES];
    t[LSTM_GATES] = tensor_slice(&all, 0, n_room);
    call_lstm_forward(backend, t, w, trial);
    call_lstm_backward(backend, t, w, trial);
    t[LSTM_GATES] = all;
}

/* Shapes of one layer; n_p 0: no projection. */
struct layer {
    int64_t n_t, n_b, n_i, n_h, n_p;
    bool reversed, has_first;
    enum { ALL_LONG, DESCENDING, ANY_ORDER } lengths;
};

static struct trial lstm_trial(struct checker *c, struct layer s)
{
    const int64_t n_out = s.n_p ? s.n_p : s.n_h;
    struct trial trial = trial_of(c, "lstm_forward", call_lstm_forward);
    add_reals(c, &trial, "r", USE_OUT, 1, 3, s.n_t, s.n_b, n_out);
    add_reals(c, &trial, "x", USE_IN, 1, 3, s.n_t, s.n_b, s.n_i);
    add_weight(c, &trial, "input", 2, s.n_i, 4 * s.n_h, 0);
    add_weight(c, &trial, "recurrent", 2, n_out, 4 * s.n_h, 0);
    add_weight(c, &trial, "projection", 2, s.n_p ? s.n_h : -1, s.n_p, 0);
    add_reals(c, &trial, "bias", USE_IN, 0.3, 1, 4 * s.n_h, 0, 0);
    if (s.lengths == ALL_LONG)
        add_ints(c, &trial, "lengths", USE_IN, 1, 1, -1, 0);
    else
        add_lengths(c, &trial, s.n_b, s.n_t, s.lengths == DESCENDING);
    add_reals(c, &trial, "gates", USE_OUT, 1, 3, s.n_t, s.n_b, 4 * s.n_h);
    add_reals(c, &trial, "cells", USE_OUT, 1, 3, s.n_t, s.n_b, s.n_h);
    add_reals(c, &trial, "hidden", USE_OUT, 1, 3, s.n_p ? s.n_t : -1, s.n_b, s.n_h);
    add_reals(c, &trial, "first_r", USE_IN, 1, 2, s.has_first ? s.n_b : -1, n_out, 0);
    add_reals(c, &trial, "first_c", USE_IN, 1, 2, s.has_first ? s.n_b : -1, s.n_h, 0);
    trial.flag[0] = s.reversed;
    trial.work = 2.0 * (double)(s.n_t * s.n_b * s.n_h) * (double)(4 * s.n_i + 4 * n_out + s.n_p);
    return trial;
}

static void try_lstm_forward(struct checker *c, struct layer s)
{
    const struct trial trial = lstm_trial(c, s);
    check_trial(c, &trial);
}

/* With a first state its gradients are wanted, and those of the parameters are not in every other
 * shape. */
static void add_lstm_gradients(struct checker *c, struct trial *trial, struct layer s)
{
    const int64_t n_out = s.n_p ? s.n_p : s.n_h;
    const bool has_parameters = !s.has_first || s.n_b % 2;
    add_reals(c, trial, "d_input", USE_INOUT, 1, 2, has_parameters ? s.n_i : -1, 4 * s.n_h, 0);
    add_reals(c, trial, "d_recurrent", USE_INOUT, 1, 2, has_parameters ? n_out : -1, 4 * s.n_h, 0);
    add_reals(c, trial, "d_projection", USE_INOUT, 1, 2, has_parameters && s.n_p ? s.n_h : -1,
              s.n_p, 0);
    add_reals(c, trial, "d_bias", USE_INOUT, 1, 1, has_parameters ? 4 * s.n_h : -1, 0, 0);
    add_reals(c, trial, "d_first_r", USE_INOUT, 1, 2, s.has_first ? s.n_b : -1, n_out, 0);
    add_reals(c, trial, "d_cell", USE_INOUT, 1, 2, s.has_first ? s.n_b : -1, s.n_h, 0);
    add_reals(c, trial, "d_r", USE_INOUT, 1, 3, s.n_t, s.n_b, n_out);
    add_reals(c, trial, "d_x", USE_OUT, 1, 3, s.n_t % 2 ? -1 : s.n_t, s.n_b, s.n_i);
}

/* The forward pass is run by the reference; its outputs are the inputs here. */
static void try_lstm_backward(struct checker *c, struct layer s)
{
    struct trial trial = lstm_trial(c, s);
    run_trial(c, c->is_bench ? &c->handles[0] : &c->ref, &trial);
    trial.op = "lstm_backward";
    trial.is_split = true;
    trial.call = call_lstm_backward;
    trial.operands[LSTM_R].use = USE_IN;
    trial.operands[LSTM_GATES].use = USE_INOUT;
    trial.operands[LSTM_CELLS].use = USE_IN;
    trial.operands[LSTM_HIDDEN].use = USE_IN;
    add_lstm_gradients(c, &trial, s);
    trial.work *= 2;
    check_trial(c, &trial);
}

/* The most room that a handle wants for a trial's layer. */
static int64_t largest_room(struct checker *c, const struct trial *trial)
{
    struct tensor t[LSTM_D_X + 1] = {{0}};
    struct weight w[LSTM_D_X + 1] = {{.packed = NULL}};
    for (int i = 0; i < trial->n_operands; i++) {
        t[i] = (struct tensor){.rank = trial->operands[i].rank, .dtype = trial->operands[i].dtype};
        memcpy(t[i].dim, trial->operands[i].dim, sizeof t[i].dim);
        w[i].value = t[i];
    }
    const struct lstm lstm = lstm_of(t, w, trial);
    const int64_t plain = c->ref.ops->lstm_room(&c->ref, &t[LSTM_X], &lstm);
    const int64_t room = c->handles[0].ops->lstm_room(&c->handles[0], &t[LSTM_X], &lstm);
    return room > plain ? room : plain;
}

static void try_lstm_room(struct checker *c, struct layer s)
{
    struct trial trial = lstm_trial(c, s);
    trial.op = "lstm_room";
    trial.is_split = true;
    trial.call = call_lstm_in_room;
    trial.operands[LSTM_CELLS].rank = trial.operands[LSTM_HIDDEN].rank = 0;
    add_lstm_gradients(c, &trial, s);
    const int64_t n_room = largest_room(c, &trial);
    struct operand *room = &trial.operands[LSTM_GATES];
    *room = (struct operand){.name = "room", .use = USE_SCRATCH, .rank = 1, .dim = {n_room}};
    room->values = arena_take(&c->arena, (size_t)n_room * sizeof(double));
    for (int64_t i = 0; i < n_room; i++)
        room->values[i] = NAN;
    trial.operands[LSTM_D_R].use = USE_SCRATCH;
    check_trial(c, &trial);
}

static const struct layer small_layers[] = {
    {1, 1, 5, 3, 2, false, false, ALL_LONG},      {1, 17, 9, 16, 7, false, false, ALL_LONG},
    {4, 3, 20, 33, 12, true, false, ALL_LONG},    {6, 7, 20, 33, 12, false, false, DESCENDING},
    {6, 40, 16, 32, 16, true, false, DESCENDING}, {7, 5, 20, 33, 12, false, false, ANY_ORDER},
    {8, 65, 8, 17, 9, true, false, ANY_ORDER},    {50, 4, 16, 24, 16, false, false, DESCENDING},
    {3, 0, 8, 8, 8, false, false, ALL_LONG},      {2, 130, 8, 16, 8, false, false, DESCENDING},
    {1, 17, 9, 16, 0, false, false, ALL_LONG},    {6, 40, 16, 33, 0, true, false, DESCENDING},
    {7, 5, 20, 17, 0, false, false, ANY_ORDER},   {8, 65, 8, 12, 0, true, false, ANY_ORDER},
    {3, 0, 8, 8, 0, false, false, ALL_LONG},      {5, 6, 7, 5, 9, true, false, DESCENDING},
    {4, 5, 6, 9, 9, false, false, ANY_ORDER},
};

static void check_lstm_forward(struct checker *c)
{
    if (c->is_bench) {
        try_lstm_forward(c, (struct layer){14, 128, 256, 512, 256, false, false, ALL_LONG});
        try_lstm_forward(c, (struct layer){14, 128, 512, 512, 256, true, false, DESCENDING});
        try_lstm_forward(c, (struct layer){1, 640, 256, 512, 256, false, true, ALL_LONG});
        try_lstm_forward(c, (struct layer){1, 5, 256, 512, 256, false, true, ALL_LONG});
        return;
    }
    for (size_t i = 0; i < sizeof small_layers / sizeof *small_layers; i++) {
        struct layer layer = small_layers[i];
        try_lstm_forward(c, layer);
        layer.has_first = true;
        try_lstm_forward(c, layer);
    }
}

static void check_lstm_backward(struct checker *c)
{
    if (c->is_bench) {
        try_lstm_backward(c, (struct layer){14, 128, 256, 512, 256, false, false, ALL_LONG});
        return;
    }
    for (size_t i = 0; i < sizeof small_layers / sizeof *small_layers; i++) {
        struct layer layer = small_layers[i];
        try_lstm_backward(c, layer);
        layer.has_first = true;
        try_lstm_backward(c, layer);
    }
}

/* Extreme numbers are for each pass alone: one after the other doubles what rounding does to them.
 */
static void check_lstm_room(struct checker *c)
{
    const size_t n_layers = c->is_bench || c->is_worst ? 0 : sizeof small_layers;
    for (size_t i = 0; i < n_layers / sizeof *small_layers; i++) {
        struct layer layer = small_layers[i];
        try_lstm_room(c, layer);
        layer.has_first = true;
        try_lstm_room(c, layer);
    }
}

/* -- the cells: gates, cells, hidden, before; and gates, d_cells, cells, before, d_hidden -- */

static void call_lstm_cell(struct backend *backend, struct tensor *t, struct weight *w,
                           const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->lstm_cell(backend, &t[0], &t[1], &t[2], given(&t[3]));
}

static void call_lstm_cell_backward(struct backend *backend, struct tensor *t, struct weight *w,
                                    const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->lstm_cell_backward(backend, &t[0], &t[1], &t[2], given(&t[3]), &t[4]);
}

static void try_lstm_cell(struct checker *c, int64_t rows, int64_t n_h, bool has_before)
{
    struct trial trial = trial_of(c, "lstm_cell", call_lstm_cell);
    add_reals(c, &trial, "gates", USE_INOUT, 2, 2, rows, 4 * n_h, 0);
    add_reals(c, &trial, "cells", USE_OUT, 1, 2, rows, n_h, 0);
    add_reals(c, &trial, "hidden", USE_OUT, 1, 2, rows, n_h, 0);
    add_reals(c, &trial, "before", USE_IN, 1, 2, has_before ? rows : -1, n_h, 0);
    check_trial(c, &trial);
}

/* cells, hidden, inputs, input_rows, recurrent, recurrent_rows, before, before_rows */
static void call_lstm_step_cell(struct backend *backend, struct tensor *t, struct weight *w,
                                const struct trial *trial)
{
    (void)w, (void)trial;
    const struct lstm_step step = {t[2], t[3], t[4], t[5], t[6], t[7]};
    backend->ops->lstm_step_cell(backend, &t[0], &t[1], &step);
}

static void try_lstm_step_cell(struct checker *c, int64_t rows, int64_t n_h, bool is_shared)
{
    const int64_t n_inputs = is_shared ? 1 + rows / 3 : rows;
    const int64_t n_states = is_shared ? 1 + rows / 2 : rows, n_before = is_shared ? 9 : rows;
    struct trial trial = trial_of(c, "lstm_step_cell", call_lstm_step_cell);
    add_reals(c, &trial, "cells", USE_OUT, 1, 2, rows, n_h, 0);
    add_reals(c, &trial, "hidden", USE_OUT, 1, 2, rows, n_h, 0);
    add_reals(c, &trial, "inputs", USE_IN, 2, 2, n_inputs, 4 * n_h, 0);
    add_ints(c, &trial, "input_rows", USE_IN, n_inputs, 1, is_shared ? rows : -1, 0);
    add_reals(c, &trial, "recurrent", USE_IN, 2, 2, n_states, 4 * n_h, 0);
    add_ints(c, &trial, "recurrent_rows", USE_IN, n_states, 1, is_shared ? rows : -1, 0);
    add_reals(c, &trial, "before", USE_IN, 1, 2, n_before, n_h, 0);
    add_ints(c, &trial, "before_rows", USE_IN, n_before, 1, is_shared ? rows : -1, 0);
    check_trial(c, &trial);
}

/* The gates are numbers in 0..1, as the forward pass leaves them; the candidates up to 1 too. */
static void try_lstm_cell_backward(struct checker *c, int64_t rows, int64_t n_h, bool has_before)
{
    struct trial trial = trial_of(c, "lstm_cell_backward", call_lstm_cell_backward);
    double *gates = add_reals(c, &trial, "gates", USE_INOUT, 1, 2, rows, 4 * n_h, 0);
    for (int64_t i = 0; i < rows * 4 * n_h; i++)
        gates[i] = (double)draw_below(c, 256) / 256;
    add_reals(c, &trial, "d_cells", USE_INOUT, 1, 2, rows, n_h, 0);
    add_reals(c, &trial, "cells", USE_IN, 1, 2, rows, n_h, 0);
    add_reals(c, &trial, "before", USE_IN, 1, 2, has_before ? rows : -1, n_h, 0);
    add_reals(c, &trial, "d_hidden", USE_IN, 1, 2, rows, n_h, 0);
    check_trial(c, &trial);
}

static void check_lstm_cell(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++)
        for (int has_before = 0; has_before < 2; has_before++)
            try_lstm_cell(c, c->is_bench ? 640 : row_counts[i], c->is_bench ? 512 : 1 + 7 * i,
                          has_before);
}

static void check_lstm_step_cell(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++)
        for (int is_shared = 0; is_shared < 2; is_shared++)
            try_lstm_step_cell(c, c->is_bench ? 320 : row_counts[i], c->is_bench ? 512 : 1 + 7 * i,
                               is_shared);
}

static void check_lstm_cell_backward(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++)
        for (int has_before = 0; has_before < 2; has_before++)
            try_lstm_cell_backward(c, c->is_bench ? 640 : row_counts[i],
                                   c->is_bench ? 512 : 1 + 7 * i, has_before);
}

/* -- attention -- */

static void call_attention(struct backend *backend, struct tensor *t, struct weight *w,
                           const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->attention_softmax(backend, &t[0], &t[1]);
}

static void call_attention_backward(struct backend *backend, struct tensor *t, struct weight *w,
                                    const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->attention_softmax_backward(backend, &t[0], &t[2], &t[1]);
}

static const int64_t attention_shapes[][3] = {{1, 1, 1},   {3, 2, 7},   {5, 7, 16},  {2, 9, 17},
                                              {14, 5, 64}, {1, 64, 65}, {3, 3, 255}, {2, 0, 5}};

static void try_attention(struct checker *c, const int64_t shape[3], bool is_backward)
{
    struct trial trial =
        trial_of(c, is_backward ? "attention_softmax_backward" : "attention_softmax",
                 is_backward ? call_attention_backward : call_attention);
    add_reals(c, &trial, is_backward ? "d_scores" : "weights", USE_INOUT, 2, 3, shape[0], shape[1],
              shape[2]);
    add_lengths(c, &trial, shape[1], shape[2], false);
    if (is_backward)
        add_reals(c, &trial, "weights", USE_IN, 0.2, 3, shape[0], shape[1], shape[2]);
    check_trial(c, &trial);
}

static void check_attention(struct checker *c)
{
    const int64_t large[3] = {14, 128, 14};
    for (size_t i = 0; i < sizeof attention_shapes / sizeof *attention_shapes; i++) {
        try_attention(c, c->is_bench ? large : attention_shapes[i], false);
        if (c->is_bench)
            return;
    }
}

static void check_attention_backward(struct checker *c)
{
    const int64_t large[3] = {14, 128, 14};
    for (size_t i = 0; i < sizeof attention_shapes / sizeof *attention_shapes; i++) {
        try_attention(c, c->is_bench ? large : attention_shapes[i], true);
        if (c->is_bench)
            return;
    }
}

/* Operands: scores, query, keys, v, lengths; backward: d_query, d_keys, d_v behind them. */
static void call_additive(struct backend *backend, struct tensor *t, struct weight *w,
                          const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->additive_scores(backend, &t[0], &t[1], &t[2], &t[3], &t[4]);
}

static void call_additive_backward(struct backend *backend, struct tensor *t, struct weight *w,
                                   const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->additive_scores_backward(backend, &t[5], &t[6], &t[7], &t[1], &t[2], &t[3], &t[4],
                                           &t[0]);
}

static void try_additive(struct checker *c, const int64_t shape[4], bool is_backward)
{
    const int64_t n_t = shape[0], n_b = shape[1], n_s = shape[2], n_a = shape[3];
    struct trial trial = trial_of(c, is_backward ? "additive_scores_backward" : "additive_scores",
                                  is_backward ? call_additive_backward : call_additive);
    add_reals(c, &trial, "scores", is_backward ? USE_IN : USE_OUT, 1, 3, n_t, n_b, n_s);
    add_reals(c, &trial, "query", USE_IN, 1, 3, n_t, n_b, n_a);
    add_reals(c, &trial, "keys", USE_IN, 1, 3, n_s, n_b, n_a);
    add_reals(c, &trial, "v", USE_IN, 1, 1, n_a, 0, 0);
    add_lengths(c, &trial, n_b, n_s, false);
    if (is_backward) {
        add_reals(c, &trial, "d_query", USE_OUT, 1, 3, n_t, n_b, n_a);
        add_reals(c, &trial, "d_keys", USE_INOUT, 1, 3, n_s, n_b, n_a);
        add_reals(c, &trial, "d_v", USE_INOUT, 1, 1, n_a, 0, 0);
    }
    trial.work = 20.0 * (double)(n_t * n_b * n_s * n_a);
    check_trial(c, &trial);
}

static void check_additive(struct checker *c, bool is_backward)
{
    static const int64_t shapes[][4] = {{2, 1, 1, 9},   {3, 2, 7, 16},  {5, 7, 16, 37},
                                        {2, 9, 17, 1},  {14, 5, 9, 64}, {1, 64, 65, 17},
                                        {3, 3, 70, 33}, {2, 0, 5, 4}};
    static const int64_t large[4] = {14, 128, 14, 256};
    if (c->is_bench)
        try_additive(c, large, is_backward);
    for (size_t i = 0; !c->is_bench && i < sizeof shapes / sizeof *shapes; i++)
        try_additive(c, shapes[i], is_backward);
}

static void check_additive_scores(struct checker *c)
{
    check_additive(c, false);
}

static void check_additive_scores_backward(struct checker *c)
{
    check_additive(c, true);
}

/* -- the loss: loss, nll, logits, targets -- */

static void call_cross_entropy(struct backend *backend, struct tensor *t, struct weight *w,
                               const struct trial *trial)
{
    (void)w;
    backend->ops->cross_entropy(backend, &t[0], &t[1], &t[2], &t[3], trial->real[0],
                                trial->real[1]);
}

static void try_cross_entropy(struct checker *c, int64_t rows, int64_t width, double smoothing,
                              double gradient_scale)
{
    struct trial trial = trial_of(c, "cross_entropy", call_cross_entropy);
    add_reals(c, &trial, "loss", USE_OUT, 1, 1, rows, 0, 0);
    add_reals(c, &trial, "nll", USE_OUT, 1, 1, rows, 0, 0);
    add_reals(c, &trial, "logits", USE_INOUT, 3, 2, rows, width, 0);
    add_ints(c, &trial, "targets", USE_IN, width, 1, rows, 0);
    trial.real[0] = smoothing;
    trial.real[1] = gradient_scale;
    check_trial(c, &trial);
}

static void check_cross_entropy(struct checker *c)
{
    if (c->is_bench) {
        try_cross_entropy(c, 1792, 8192, 0.1, 1e-3);
        return;
    }
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        try_cross_entropy(c, row_counts[i], 101, 0.1, i % 3 ? 0.01 : 0);
        try_cross_entropy(c, row_counts[i], 3, 0, 1);
    }
    try_cross_entropy(c, 5, 8000, 0.1, 1e-3);
}

/* -- softmax and its relatives: y, x; and d_x, y, d_y -- */

static void call_log_sum_exp(struct backend *backend, struct tensor *t, struct weight *w,
                             const struct trial *trial)
{
    (void)w, (void)trial;
    backend->ops->log_sum_exp(backend, &t[0], &t[1]);
}

static void check_log_sum_exp(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        const int64_t rows = c->is_bench ? 640 : row_counts[i];
        const int64_t width = c->is_bench ? 8192 : 1 + 33 * i;
        struct trial trial = trial_of(c, "log_sum_exp", call_log_sum_exp);
        add_reals(c, &trial, "y", USE_OUT, 1, 1, rows, 0, 0);
        add_reals(c, &trial, "x", USE_IN, 3, 2, rows, width, 0);
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

static void call_softmax(struct backend *backend, struct tensor *t, struct weight *w,
                         const struct trial *trial)
{
    (void)w;
    backend->ops->softmax(backend, &t[0], trial->flag[0] ? &t[0] : &t[1]);
}

static void check_softmax(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        const int64_t rows = c->is_bench ? 1792 : row_counts[i];
        /* Rows so wide that a backend may go over them in another way. */
        const int64_t wide = i == 3 ? 1025 : i == 4 ? 2052 : 0;
        const int64_t width = c->is_bench ? 16 : wide ? wide : 1 + 11 * i;
        struct trial trial = trial_of(c, "softmax", call_softmax);
        trial.flag[0] = i % 2;
        add_reals(c, &trial, "y", i % 2 ? USE_INOUT : USE_OUT, 3, 2, rows, width, 0);
        add_reals(c, &trial, "x", USE_IN, 3, 2, rows, width, 0);
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

static void call_softmax_backward(struct backend *backend, struct tensor *t, struct weight *w,
                                  const struct trial *trial)
{
    (void)w;
    backend->ops->softmax_backward(backend, &t[0], &t[1], trial->flag[0] ? &t[0] : &t[2]);
}

static void check_softmax_backward(struct checker *c)
{
    for (int i = 0; i < N_ROW_COUNTS; i++) {
        const int64_t rows = c->is_bench ? 1792 : row_counts[i];
        const int64_t width = c->is_bench ? 16 : 2 + 11 * i;
        struct trial trial = trial_of(c, "softmax_backward", call_softmax_backward);
        trial.flag[0] = i % 2;
        add_reals(c, &trial, "d_x", i % 2 ? USE_INOUT : USE_OUT, 1, 2, rows, width, 0);
        add_reals(c, &trial, "y", USE_IN, 0.3, 2, rows, width, 0);
        add_reals(c, &trial, "d_y", USE_IN, 1, 2, rows, width, 0);
        check_trial(c, &trial);
        if (c->is_bench)
            return;
    }
}

const struct op_check layer_checks[] = {
    OP(lstm_forward, check_lstm_forward),
    OP(lstm_room, check_lstm_room),
    OP(lstm_backward, check_lstm_backward),
    OP(lstm_cell, check_lstm_cell),
    OP(lstm_step_cell, check_lstm_step_cell),
    OP(lstm_cell_backward, check_lstm_cell_backward),
    OP(additive_scores, check_additive_scores),
    OP(additive_scores_backward, check_additive_scores_backward),
    OP(attention_softmax, check_attention),
    OP(attention_softmax_backward, check_attention_backward),
    OP(cross_entropy, check_cross_entropy),
    OP(log_sum_exp, check_log_sum_exp),
    OP(softmax, check_softmax),
    OP(softmax_backward, check_softmax_backward),
    {0},
};
