/* The LSTM layer, step by step, forward and backward. */
#include <math.h>
#include <stdlib.h>

#include "backend/ref/real.h"

static bool is_active(const struct lstm *lstm, int64_t t, int64_t b)
{
    return lstm->lengths.rank == 0 || t < ints(&lstm->lengths)[b];
}

/* State before step t: of the step before, or the first one given, or zero. */
static const real *state_before(const struct tensor *all, const struct tensor *first, int64_t t,
                                int64_t b, struct lstm_shape s)
{
    const int64_t width = tensor_columns(all), before = t + s.back;
    if (before >= 0 && before < s.n_t)
        return reals(all) + (before * s.n_b + b) * width;
    return first->rank ? reals(first) + b * width : NULL;
}

/* One row's cells: gates [4H] hold the sums a and become the gates; before may be NULL. */
static void forward_row(real *gates, real *cell, real *hidden, const real *before, int64_t n_h)
{
    for (int64_t h = 0; h < 4 * n_h; h++)
        gates[h] = (real)REF(activation_value)(gates[h],
                                               h / n_h == 2 ? ACTIVATION_TANH : ACTIVATION_SIGMOID);
    const real *i = gates, *f = gates + n_h, *g = gates + 2 * n_h, *o = gates + 3 * n_h;
    for (int64_t h = 0; h < n_h; h++) {
        cell[h] = (real)((before ? (double)f[h] * before[h] : 0) + (double)i[h] * g[h]);
        hidden[h] = (real)(o[h] * tanh(cell[h]));
    }
}

/* gates [4H] become d_a, and d_cell [H], what reaches this cell from the step after, the gradient
 * of the step before. */
static void backward_row(real *gates, real *d_cell, const real *cell, const real *before,
                         const real *d_hidden, int64_t n_h)
{
    for (int64_t h = 0; h < n_h; h++) {
        const double i = gates[h], f = gates[n_h + h], g = gates[2 * n_h + h];
        const double o = gates[3 * n_h + h], squashed = tanh(cell[h]);
        const double d_c = d_cell[h] + d_hidden[h] * o * (1 - squashed * squashed);
        gates[h] = (real)(d_c * g * i * (1 - i));
        gates[n_h + h] = (real)(before ? d_c * before[h] * f * (1 - f) : 0);
        gates[2 * n_h + h] = (real)(d_c * i * (1 - g * g));
        gates[3 * n_h + h] = (real)(d_hidden[h] * squashed * o * (1 - o));
        d_cell[h] = (real)(d_c * f);
    }
}

/* The sums a [4H] of one row; r_before may be NULL. */
static void sum_gates(real *gates, const real *x_row, const real *r_before, const struct lstm *lstm,
                      struct lstm_shape s)
{
    const int64_t width = 4 * s.n_h;
    if (lstm->input->blocks.rank) {
        const real *bias = reals(&lstm->bias);
        REF(int8_row)(gates, x_row, lstm->input, false, 0, bias, ACTIVATION_NONE, false);
        if (r_before)
            REF(int8_row)(gates, r_before, lstm->recurrent, false, 0, NULL, ACTIVATION_NONE, true);
        return;
    }
    for (int64_t h = 0; h < width; h++) {
        double a = reals(&lstm->bias)[h];
        for (int64_t i = 0; i < s.n_i; i++)
            a += (double)x_row[i] * reals(&lstm->input->value)[i * width + h];
        for (int64_t p = 0; r_before && p < s.n_p; p++)
            a += (double)r_before[p] * reals(&lstm->recurrent->value)[p * width + h];
        gates[h] = (real)a;
    }
}

static void project(real *r_row, const real *hidden, const struct lstm *lstm, struct lstm_shape s)
{
    if (lstm->projection->blocks.rank) {
        REF(int8_row)(r_row, hidden, lstm->projection, false, 0, NULL, ACTIVATION_NONE, false);
        return;
    }
    for (int64_t p = 0; p < s.n_p; p++) {
        double sum = 0;
        for (int64_t h = 0; h < s.n_h; h++)
            sum += (double)hidden[h] * reals(&lstm->projection->value)[h * s.n_p + p];
        r_row[p] = (real)sum;
    }
}

static void forward_cell(const struct tensor *r, const struct tensor *x, const struct lstm *lstm,
                         struct lstm_shape s, int64_t t, int64_t b)
{
    const int64_t n = t * s.n_b + b, width = 4 * s.n_h;
    real *gates = reals(&lstm->gates) + n * width;
    real *cell = reals(&lstm->cells) + n * s.n_h, *hidden = reals(&lstm->hidden) + n * s.n_h;
    real *r_row = reals(r) + n * s.n_p;
    if (!is_active(lstm, t, b)) {
        for (int64_t h = 0; h < width; h++)
            gates[h] = 0;
        for (int64_t h = 0; h < s.n_h; h++)
            cell[h] = hidden[h] = 0;
        for (int64_t p = 0; p < s.n_p; p++)
            r_row[p] = 0;
        return;
    }
    const real *r_before = state_before(r, &lstm->first_r, t, b, s);
    const real *c_before = state_before(&lstm->cells, &lstm->first_c, t, b, s);
    sum_gates(gates, reals(x) + n * s.n_i, r_before, lstm, s);
    forward_row(gates, cell, hidden, c_before, s.n_h);
    if (lstm->projection)
        project(r_row, hidden, lstm, s);
}

static void ref_lstm_forward(struct backend *backend, const struct tensor *r,
                             const struct tensor *x, const struct lstm *given)
{
    (void)backend;
    const struct lstm_shape s = lstm_shape_of(r, x, given);
    struct lstm lstm = lstm_in_room(given, s);
    if (!lstm.projection)
        lstm.hidden = *r;
    for (int64_t step = 0; step < s.n_t; step++)
        for (int64_t b = 0; b < s.n_b; b++)
            forward_cell(r, x, &lstm, s, lstm.reversed ? s.n_t - 1 - step : step, b);
}

/* One cell backward: its gates become d_a, d_r of the step before, or d_first_r (NULL: not wanted),
 * grows by Wh d_a, and d_cell, the gradient that reaches this cell from the step after, becomes
 * that of the step before. */
static void backward_cell(struct tensor *d_r, const struct tensor *d_first_r,
                          const struct lstm *lstm, struct lstm_shape s, int64_t t, int64_t b,
                          real *d_cell, real *d_hidden)
{
    const int64_t n = t * s.n_b + b, width = 4 * s.n_h, before = t + s.back;
    real *d_r_row = reals(d_r) + n * s.n_p, *gates = reals(&lstm->gates) + n * width;
    const real *cell = reals(&lstm->cells) + n * s.n_h;
    const real *c_before = state_before(&lstm->cells, &lstm->first_c, t, b, s);
    if (!is_active(lstm, t, b)) {
        for (int64_t h = 0; h < width; h++)
            gates[h] = 0;
        for (int64_t p = 0; p < s.n_p; p++)
            d_r_row[p] = 0;
        for (int64_t h = 0; h < s.n_h; h++)
            d_cell[h] = 0;
        return;
    }
    for (int64_t h = 0; h < s.n_h; h++) {
        double sum = lstm->projection ? 0 : d_r_row[h];
        for (int64_t p = 0; lstm->projection && p < s.n_p; p++)
            sum += (double)d_r_row[p] * reals(&lstm->projection->value)[h * s.n_p + p];
        d_hidden[h] = (real)sum;
    }
    backward_row(gates, d_cell, cell, c_before, d_hidden, s.n_h);
    const bool is_first = before < 0 || before >= s.n_t;
    if (is_first ? !d_first_r : !is_active(lstm, before, b))
        return;
    real *d_r_before =
        is_first ? reals(d_first_r) + b * s.n_p : reals(d_r) + (before * s.n_b + b) * s.n_p;
    for (int64_t p = 0; p < s.n_p; p++) {
        double sum = 0;
        for (int64_t h = 0; h < width; h++)
            sum += (double)gates[h] * reals(&lstm->recurrent->value)[p * width + h];
        d_r_before[p] = (real)(d_r_before[p] + sum);
    }
}

/* d_weight [in, out] += sum over t and b of left [t, b, in]^T right [t, b, out]. With first, left
 * is a state that `right` meets one step later, and first the one before all (or absent). */
static void weight_gradient(const struct tensor *d_weight, const struct tensor *left,
                            const struct tensor *first, const struct tensor *right,
                            struct lstm_shape s)
{
    const int64_t in = d_weight->dim[0], out = d_weight->dim[1];
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < out; j++) {
            double sum = 0;
            for (int64_t n = 0; n < s.n_t * s.n_b; n++) {
                const real *row = first ? state_before(left, first, n / s.n_b, n % s.n_b, s)
                                        : reals(left) + n * in;
                if (row)
                    sum += (double)row[i] * reals(right)[n * out + j];
            }
            reals(d_weight)[i * out + j] = (real)(reals(d_weight)[i * out + j] + sum);
        }
}

static void input_gradient(const struct tensor *d_x, const struct lstm *lstm, struct lstm_shape s)
{
    const int64_t width = 4 * s.n_h;
    for (int64_t n = 0; n < s.n_t * s.n_b; n++)
        for (int64_t i = 0; i < s.n_i; i++) {
            double sum = 0;
            for (int64_t h = 0; h < width; h++)
                sum += (double)reals(&lstm->gates)[n * width + h] *
                       reals(&lstm->input->value)[i * width + h];
            reals(d_x)[n * s.n_i + i] = (real)sum;
        }
}

static void parameter_gradients(const struct tensor *d_r, const struct tensor *x,
                                const struct tensor *r, const struct lstm *lstm,
                                const struct lstm_gradients *gradients, struct lstm_shape s)
{
    if (lstm->projection)
        weight_gradient(&gradients->projection, &lstm->hidden, NULL, d_r, s);
    weight_gradient(&gradients->recurrent, r, &lstm->first_r, &lstm->gates, s);
    weight_gradient(&gradients->input, x, NULL, &lstm->gates, s);
    for (int64_t h = 0; h < 4 * s.n_h; h++) {
        double sum = 0;
        for (int64_t n = 0; n < s.n_t * s.n_b; n++)
            sum += reals(&lstm->gates)[n * 4 * s.n_h + h];
        reals(&gradients->bias)[h] = (real)(reals(&gradients->bias)[h] + sum);
    }
}

static void ref_lstm_backward(struct backend *backend, const struct tensor *d_x, struct tensor *d_r,
                              const struct tensor *x, const struct tensor *r,
                              const struct lstm *given, const struct lstm_gradients *gradients)
{
    const struct lstm_shape s = lstm_shape_of(r, x, given);
    const struct lstm placed = lstm_in_room(given, s), *lstm = &placed;
    CHECK(gradients->cell.rank == 0 || tensor_count(&gradients->cell) == s.n_b * s.n_h,
          "gradient of %lld cells", (long long)tensor_count(&gradients->cell));
    const struct tensor *cell = &gradients->cell;
    real *d_cell = calloc((size_t)(s.n_b * s.n_h + s.n_h + 1), sizeof *d_cell);
    if (!d_cell) {
        backend_fail(backend, "no memory for the reference LSTM");
        return;
    }
    real *d_hidden = d_cell + s.n_b * s.n_h;
    for (int64_t i = 0; i < tensor_count(cell); i++)
        d_cell[i] = reals(cell)[i];
    for (int64_t step = s.n_t - 1; step >= 0; step--)
        for (int64_t b = 0; b < s.n_b; b++)
            backward_cell(d_r, gradients->first_r.rank ? &gradients->first_r : NULL, lstm, s,
                          lstm->reversed ? s.n_t - 1 - step : step, b, d_cell + b * s.n_h,
                          d_hidden);
    for (int64_t i = 0; i < tensor_count(cell); i++)
        reals(cell)[i] = d_cell[i];
    free(d_cell);
    if (gradients->input.rank)
        parameter_gradients(d_r, x, r, lstm, gradients, s);
    if (d_x)
        input_gradient(d_x, lstm, s);
}

static void ref_lstm_cell(struct backend *backend, const struct tensor *gates,
                          const struct tensor *cells, const struct tensor *hidden,
                          const struct tensor *before)
{
    (void)backend;
    lstm_check_cells(gates, cells, before, hidden);
    const int64_t n_h = tensor_columns(cells);
    for (int64_t n = 0; n < tensor_rows(cells); n++)
        forward_row(reals(gates) + n * 4 * n_h, reals(cells) + n * n_h, reals(hidden) + n * n_h,
                    before ? reals(before) + n * n_h : NULL, n_h);
}

/* The row of a tensor that is row n's. */
static const real *row_of(const struct tensor *tensor, const struct tensor *rows, int64_t n)
{
    const int64_t row = rows->rank ? ints(rows)[n] : n;
    CHECK(row >= 0 && row < tensor_rows(tensor), "row %lld of %lld", (long long)row,
          (long long)tensor_rows(tensor));
    return reals(tensor) + row * tensor_columns(tensor);
}

static void ref_lstm_step_cell(struct backend *backend, const struct tensor *cells,
                               const struct tensor *hidden, const struct lstm_step *step)
{
    const int64_t n_h = tensor_columns(cells);
    lstm_check_step(cells, hidden, step);
    real *gates = calloc((size_t)(4 * n_h), sizeof *gates);
    if (!gates) {
        backend_fail(backend, "no memory for the reference LSTM");
        return;
    }
    for (int64_t n = 0; n < tensor_rows(cells); n++) {
        const real *inputs = row_of(&step->inputs, &step->input_rows, n);
        const real *recurrent = row_of(&step->recurrent, &step->recurrent_rows, n);
        for (int64_t h = 0; h < 4 * n_h; h++)
            gates[h] = inputs[h] + recurrent[h];
        forward_row(gates, reals(cells) + n * n_h, reals(hidden) + n * n_h,
                    row_of(&step->before, &step->before_rows, n), n_h);
    }
    free(gates);
}

static void ref_lstm_cell_backward(struct backend *backend, const struct tensor *gates,
                                   const struct tensor *d_cells, const struct tensor *cells,
                                   const struct tensor *before, const struct tensor *d_hidden)
{
    (void)backend;
    lstm_check_cells(gates, cells, before, d_hidden);
    lstm_check_cells(gates, cells, before, d_cells);
    const int64_t n_h = tensor_columns(cells);
    for (int64_t n = 0; n < tensor_rows(cells); n++)
        backward_row(reals(gates) + n * 4 * n_h, reals(d_cells) + n * n_h, reals(cells) + n * n_h,
                     before ? reals(before) + n * n_h : NULL, reals(d_hidden) + n * n_h, n_h);
}

void REF(set_lstm)(struct backend_ops *ops)
{
    ops->lstm_cell = ref_lstm_cell;
    ops->lstm_step_cell = ref_lstm_step_cell;
    ops->lstm_cell_backward = ref_lstm_cell_backward;
    ops->lstm_room = lstm_room_of;
    ops->lstm_forward = ref_lstm_forward;
    ops->lstm_backward = ref_lstm_backward;
}
