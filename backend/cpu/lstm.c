/* The LSTM layer: one product for the inputs of all steps, two a step, one without a projection.
 *
 * In a room only gates and cells are kept between the passes. The backward pass, which needs the
 * tanh of each cell anyway, leaves the hidden units there in the cells' place.
 *
 * Sentences that are over at a step cost nothing when they stand behind the others, as in a batch
 * ordered by length; a finished one among running ones is computed and masked. */
#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/matmul.h"
#include "backend/cpu/vector.h"

/* Sentences up to the last one that reaches step t; those from there on are over. */
static int64_t count_active(const struct lstm *lstm, struct lstm_shape s, int64_t t)
{
    if (t < 0 || t >= s.n_t)
        return 0;
    if (lstm->lengths.rank == 0)
        return s.n_b;
    const int32_t *length = ints(&lstm->lengths);
    int64_t active = s.n_b;
    while (active > 0 && length[active - 1] <= t)
        active--;
    return active;
}

/* Rounds up to a size that products like; the extra rows hold zeros or are not used. */
static int64_t round_rows(int64_t rows, int64_t n_b)
{
    const int64_t rounded = (rows + 15) / 16 * 16;
    return rounded < n_b ? rounded : n_b;
}

static void clear(float *x, int64_t count)
{
    if (count > 0)
        memset(x, 0, (size_t)count * sizeof *x);
}

/* One sentence's cell: gates [4H] hold the sums a and become the gates. Pairs of them share a
 * division. */
KERNEL static void forward_cell(float *restrict gates, float *restrict cell, float *restrict hidden,
                                const float *restrict before, int64_t n_h)
{
    float *i = gates, *f = gates + n_h, *g = gates + 2 * n_h, *o = gates + 3 * n_h;
#pragma omp simd
    for (int64_t h = 0; h < n_h; h++) {
        const float under_i = vector_inverse_sigmoid(i[h]), under_f = vector_inverse_sigmoid(f[h]);
        const float under_o = vector_inverse_sigmoid(o[h]), over_g = vector_tanh_part(g[h]);
        const float quotient = 1.0f / (under_i * under_f);
        const float other = 1.0f / (under_o * (over_g + 2.0f));
        i[h] = quotient * under_f;
        f[h] = quotient * under_i;
        g[h] = over_g * (other * under_o);
        o[h] = other * (over_g + 2.0f);
        cell[h] = f[h] * before[h] + i[h] * g[h];
        hidden[h] = o[h] * vector_tanh(cell[h]);
    }
}

/* The cells of the first `active` sentences at step t and their hidden units [B, H]; zero is a row
 * of H zeros. */
static void forward_cells(struct backend *backend, const struct lstm *lstm, struct lstm_shape s,
                          int64_t t, int64_t active, float *hidden, const float *c_before,
                          const float *zero)
{
    const int32_t *length = lstm->lengths.rank ? ints(&lstm->lengths) : NULL;
    float *gates = floats(&lstm->gates) + t * s.n_b * 4 * s.n_h;
    float *cells = floats(&lstm->cells) + t * s.n_b * s.n_h;
    const int n_parts = context_parts(backend, 4 * active * s.n_h);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t b = 0; b < active; b++) {
        if (length && length[b] <= t) {
            clear(gates + b * 4 * s.n_h, 4 * s.n_h);
            clear(cells + b * s.n_h, s.n_h);
            clear(hidden + b * s.n_h, s.n_h);
            continue;
        }
        forward_cell(gates + b * 4 * s.n_h, cells + b * s.n_h, hidden + b * s.n_h,
                     c_before ? c_before + b * s.n_h : zero, s.n_h);
    }
    const int64_t over = s.n_b - active;
    clear(gates + active * 4 * s.n_h, over * 4 * s.n_h);
    clear(cells + active * s.n_h, over * s.n_h);
    clear(hidden + active * s.n_h, over * s.n_h);
}

/* one_step [B, H]: for hidden units that are not kept. */
static void forward_step(struct backend *backend, const struct tensor *r, const struct lstm *lstm,
                         struct lstm_shape s, int64_t t, float *one_step, const float *zero)
{
    const int64_t before = t + s.back, active = count_active(lstm, s, t);
    float *hidden = lstm->hidden.rank ? floats(&lstm->hidden) + t * s.n_b * s.n_h : one_step;
    const bool is_first = before < 0 || before >= s.n_t;
    const float *r_before = NULL, *c_before = NULL;
    int64_t rows = active;
    if (!is_first) {
        const int64_t active_before = count_active(lstm, s, before);
        r_before = floats(r) + before * s.n_b * s.n_p;
        c_before = floats(&lstm->cells) + before * s.n_b * s.n_h;
        rows = active_before < active ? active_before : active;
    } else {
        r_before = lstm->first_r.rank ? floats(&lstm->first_r) : NULL;
        c_before = lstm->first_c.rank ? floats(&lstm->first_c) : NULL;
    }
    if (r_before)
        matmul_rows(backend, floats(&lstm->gates) + t * s.n_b * 4 * s.n_h, r_before,
                    round_rows(rows, s.n_b), lstm->recurrent, false, NULL, true);
    forward_cells(backend, lstm, s, t, active, hidden, c_before, zero);
    if (!lstm->projection)
        return;
    const int64_t rounded = round_rows(active, s.n_b);
    float *r_now = floats(r) + t * s.n_b * s.n_p;
    matmul_rows(backend, r_now, hidden, rounded, lstm->projection, false, NULL, false);
    clear(r_now + rounded * s.n_p, (s.n_b - rounded) * s.n_p);
}

static int64_t cpu_lstm_room(struct backend *backend, const struct tensor *x,
                             const struct lstm *lstm)
{
    (void)backend;
    return 5 * tensor_rows(x) * (lstm->recurrent->value.dim[1] / 4);
}

static void cpu_lstm_forward(struct backend *backend, const struct tensor *r,
                             const struct tensor *x, const struct lstm *given)
{
    const struct lstm_shape s = lstm_shape_of(r, x, given);
    if (!context_enter(backend))
        return;
    float *zero = context_scratch(backend, (size_t)((1 + s.n_b) * s.n_h));
    if (!zero)
        return;
    clear(zero, s.n_h);
    struct lstm lstm = lstm_in_room(given, s);
    if (!lstm.projection)
        lstm.hidden = *r;
    matmul_rows(backend, floats(&lstm.gates), floats(x), s.n_t * s.n_b, lstm.input, false,
                floats(&lstm.bias), false);
    for (int64_t step = 0; step < s.n_t; step++)
        forward_step(backend, r, &lstm, s, lstm.reversed ? s.n_t - 1 - step : step, zero + s.n_h,
                     zero);
}

/* -- backward -- */

/* One sentence's cell: gates [4H] become d_a, and d_cell [H] that of the step before; where hidden
 * units were not kept, cell [H] becomes them. */
KERNEL static void backward_cell(float *restrict gates, float *restrict d_cell,
                                 float *restrict cell, bool becomes_hidden,
                                 const float *restrict before, const float *restrict d_hidden,
                                 int64_t n_h)
{
    float *i = gates, *f = gates + n_h, *g = gates + 2 * n_h, *o = gates + 3 * n_h;
#pragma omp simd
    for (int64_t h = 0; h < n_h; h++) {
        const float squashed = vector_tanh(cell[h]);
        if (becomes_hidden)
            cell[h] = o[h] * squashed;
        const float d_c = d_cell[h] + d_hidden[h] * o[h] * (1.0f - squashed * squashed);
        const float d_i = d_c * g[h] * i[h] * (1.0f - i[h]);
        const float d_g = d_c * i[h] * (1.0f - g[h] * g[h]);
        d_cell[h] = d_c * f[h];
        i[h] = d_i;
        f[h] = d_c * before[h] * f[h] * (1.0f - f[h]);
        g[h] = d_g;
        o[h] = d_hidden[h] * squashed * o[h] * (1.0f - o[h]);
    }
}

static void backward_cells(struct backend *backend, const struct tensor *d_r,
                           const struct lstm *lstm, struct lstm_shape s, int64_t t, int64_t active,
                           float *d_cell, const float *d_hidden, const float *zero)
{
    const int32_t *length = lstm->lengths.rank ? ints(&lstm->lengths) : NULL;
    const int64_t first = t * s.n_b, before = t + s.back;
    float *gates = floats(&lstm->gates) + first * 4 * s.n_h;
    float *d_r_now = floats(d_r) + first * s.n_p;
    const bool becomes_hidden = lstm->projection && lstm->hidden.rank == 0;
    float *cells = floats(&lstm->cells);
    const bool is_first = before < 0 || before >= s.n_t;
    const float *c_before = !is_first                 ? cells + before * s.n_b * s.n_h
                            : lstm->first_c.rank != 0 ? floats(&lstm->first_c)
                                                      : NULL;
    const int n_parts = context_parts(backend, 4 * active * s.n_h);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t b = 0; b < active; b++) {
        if (length && length[b] <= t) {
            clear(gates + b * 4 * s.n_h, 4 * s.n_h);
            clear(d_r_now + b * s.n_p, s.n_p);
            clear(d_cell + b * s.n_h, s.n_h);
            continue;
        }
        backward_cell(gates + b * 4 * s.n_h, d_cell + b * s.n_h, cells + (first + b) * s.n_h,
                      becomes_hidden, c_before ? c_before + b * s.n_h : zero, d_hidden + b * s.n_h,
                      s.n_h);
    }
    const int64_t over = s.n_b - active;
    clear(gates + active * 4 * s.n_h, over * 4 * s.n_h);
    clear(d_r_now + active * s.n_p, over * s.n_p);
    clear(d_cell + active * s.n_h, over * s.n_h);
}

/* The gradients of the weights, from d_a in gates and the finished d_r, over all steps at once. */
static void weight_gradients(struct backend *backend, const struct tensor *d_r,
                             const struct tensor *x, const struct tensor *r,
                             const struct lstm *lstm, const struct lstm_gradients *gradients,
                             struct lstm_shape s)
{
    const int64_t rows = s.n_t * s.n_b, width = 4 * s.n_h;
    const float *d_a = floats(&lstm->gates);
    if (lstm->projection)
        gemm_gradient(backend, floats(&gradients->projection),
                      floats(lstm->hidden.rank ? &lstm->hidden : &lstm->cells), floats(d_r), rows,
                      s.n_h, s.n_p);
    gemm_gradient(backend, floats(&gradients->input), floats(x), d_a, rows, s.n_i, width);
    matmul_sum_columns(backend, floats(&gradients->bias), d_a, rows, width);
    const bool is_reversed = lstm->reversed;
    if (lstm->first_r.rank)
        gemm_gradient(backend, floats(&gradients->recurrent), floats(&lstm->first_r),
                      d_a + (is_reversed ? rows - s.n_b : 0) * width, s.n_b, s.n_p, width);
    if (s.n_t < 2)
        return;
    /* d_a at step t meets r at the step before. */
    gemm_gradient(backend, floats(&gradients->recurrent),
                  floats(r) + (is_reversed ? s.n_b * s.n_p : 0),
                  d_a + (is_reversed ? 0 : s.n_b * width), rows - s.n_b, s.n_p, width);
}

/* d_first_r: of the state before the first step, or NULL. */
static void backward_step(struct backend *backend, struct tensor *d_r, float *d_first_r,
                          const struct lstm *lstm, struct lstm_shape s, int64_t t, float *d_cell,
                          float *d_hidden, const float *zero)
{
    const int64_t before = t + s.back, active = count_active(lstm, s, t);
    const bool is_first = before < 0 || before >= s.n_t;
    const float *d_m = floats(d_r) + t * s.n_b * s.n_p;
    if (lstm->projection) {
        matmul_rows(backend, d_hidden, d_m, round_rows(active, s.n_b), lstm->projection, true, NULL,
                    false);
        d_m = d_hidden;
    }
    backward_cells(backend, d_r, lstm, s, t, active, d_cell, d_m, zero);
    const int64_t active_before = is_first ? s.n_b : count_active(lstm, s, before);
    const int64_t rows = active_before < active ? active_before : active;
    float *d_r_before = is_first ? d_first_r : floats(d_r) + before * s.n_b * s.n_p;
    if (rows > 0 && d_r_before)
        matmul_rows(backend, d_r_before, floats(&lstm->gates) + t * s.n_b * 4 * s.n_h,
                    round_rows(rows, s.n_b), lstm->recurrent, true, NULL, true);
}

static void cpu_lstm_backward(struct backend *backend, const struct tensor *d_x, struct tensor *d_r,
                              const struct tensor *x, const struct tensor *r,
                              const struct lstm *given, const struct lstm_gradients *gradients)
{
    const struct lstm_shape s = lstm_shape_of(r, x, given);
    const struct lstm placed = lstm_in_room(given, s), *lstm = &placed;
    CHECK(gradients->cell.rank == 0 || tensor_count(&gradients->cell) == s.n_b * s.n_h,
          "gradient of %lld cells", (long long)tensor_count(&gradients->cell));
    if (!context_enter(backend))
        return;
    const int64_t state = s.n_b * s.n_h;
    float *d_cell = context_scratch(backend, (size_t)(2 * state + s.n_h));
    if (!d_cell)
        return;
    float *d_hidden = d_cell + state, *zero = d_hidden + state;
    clear(d_cell, 2 * state + s.n_h);
    const size_t cell_bytes = (size_t)tensor_count(&gradients->cell) * sizeof(float);
    if (cell_bytes > 0)
        memcpy(d_cell, floats(&gradients->cell), cell_bytes);
    float *d_first_r = gradients->first_r.rank ? floats(&gradients->first_r) : NULL;
    for (int64_t step = s.n_t - 1; step >= 0; step--)
        backward_step(backend, d_r, d_first_r, lstm, s, lstm->reversed ? s.n_t - 1 - step : step,
                      d_cell, d_hidden, zero);
    if (cell_bytes > 0)
        memcpy(floats(&gradients->cell), d_cell, cell_bytes);
    if (gradients->input.rank)
        weight_gradients(backend, d_r, x, r, lstm, gradients, s);
    if (d_x)
        matmul_rows(backend, floats(d_x), floats(&lstm->gates), s.n_t * s.n_b, lstm->input, true,
                    NULL, false);
}

/* -- the cells alone -- */

/* A row of H zeros for cells that begin, or NULL where none begins or an error is kept. */
static float *zero_row(struct backend *backend, const struct tensor *before, int64_t n_h)
{
    float *zero = before ? NULL : context_scratch(backend, (size_t)n_h);
    if (zero)
        clear(zero, n_h);
    return zero;
}

static void cpu_lstm_cell(struct backend *backend, const struct tensor *gates,
                          const struct tensor *cells, const struct tensor *hidden,
                          const struct tensor *before)
{
    lstm_check_cells(gates, cells, before, hidden);
    if (!context_enter(backend))
        return;
    const int64_t n_rows = tensor_rows(cells), n_h = tensor_columns(cells);
    const float *zero = zero_row(backend, before, n_h);
    const float *from = before ? floats(before) : zero;
    float *a = floats(gates), *c = floats(cells), *m = floats(hidden);
    if (!from)
        return;
    const int n_parts = context_parts(backend, 4 * n_rows * n_h);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < n_rows; n++)
        forward_cell(a + n * 4 * n_h, c + n * n_h, m + n * n_h, zero ? zero : from + n * n_h, n_h);
}

/* One row's cell from the two parts of a [4H], with three divisions instead of five. */
KERNEL static void step_row(float *restrict cell, float *restrict hidden,
                            const float *restrict inputs, const float *restrict recurrent,
                            const float *restrict before, int64_t n_h)
{
#pragma omp simd
    for (int64_t h = 0; h < n_h; h++) {
        const float i = vector_inverse_sigmoid(inputs[h] + recurrent[h]);
        const float f = vector_inverse_sigmoid(inputs[n_h + h] + recurrent[n_h + h]);
        const float g = vector_tanh_part(inputs[2 * n_h + h] + recurrent[2 * n_h + h]);
        const float o = vector_inverse_sigmoid(inputs[3 * n_h + h] + recurrent[3 * n_h + h]);
        const float c = before[h] / f + g / (i * (g + 2.0f));
        const float t = vector_tanh_part(c);
        cell[h] = c;
        hidden[h] = t / (o * (t + 2.0f));
    }
}

/* The row of a tensor that is row n's. */
static const float *row_of(const struct tensor *tensor, const struct tensor *rows, int64_t n)
{
    const int64_t row = rows->rank ? ints(rows)[n] : n;
    CHECK(row >= 0 && row < tensor_rows(tensor), "row %lld of %lld", (long long)row,
          (long long)tensor_rows(tensor));
    return floats(tensor) + row * tensor_columns(tensor);
}

static void cpu_lstm_step_cell(struct backend *backend, const struct tensor *cells,
                               const struct tensor *hidden, const struct lstm_step *step)
{
    const int64_t n_rows = tensor_rows(cells), n_h = tensor_columns(cells);
    lstm_check_step(cells, hidden, step);
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, 4 * n_rows * n_h);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < n_rows; n++)
        step_row(floats(cells) + n * n_h, floats(hidden) + n * n_h,
                 row_of(&step->inputs, &step->input_rows, n),
                 row_of(&step->recurrent, &step->recurrent_rows, n),
                 row_of(&step->before, &step->before_rows, n), n_h);
}

static void cpu_lstm_cell_backward(struct backend *backend, const struct tensor *gates,
                                   const struct tensor *d_cells, const struct tensor *cells,
                                   const struct tensor *before, const struct tensor *d_hidden)
{
    lstm_check_cells(gates, cells, before, d_hidden);
    lstm_check_cells(gates, cells, before, d_cells);
    if (!context_enter(backend))
        return;
    const int64_t n_rows = tensor_rows(cells), n_h = tensor_columns(cells);
    const float *zero = zero_row(backend, before, n_h);
    const float *from = before ? floats(before) : zero, *d_m = floats(d_hidden);
    float *a = floats(gates), *d_c = floats(d_cells), *c = floats(cells);
    if (!from)
        return;
    const int n_parts = context_parts(backend, 4 * n_rows * n_h);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < n_rows; n++)
        backward_cell(a + n * 4 * n_h, d_c + n * n_h, c + n * n_h, false,
                      zero ? zero : from + n * n_h, d_m + n * n_h, n_h);
}

void cpu_set_lstm(struct backend_ops *ops)
{
    ops->lstm_cell = cpu_lstm_cell;
    ops->lstm_step_cell = cpu_lstm_step_cell;
    ops->lstm_cell_backward = cpu_lstm_cell_backward;
    ops->lstm_room = cpu_lstm_room;
    ops->lstm_forward = cpu_lstm_forward;
    ops->lstm_backward = cpu_lstm_backward;
}
