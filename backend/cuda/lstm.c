/* The LSTM layer: by cuDNN where the caller leaves room for what it keeps and it has such a layer
 * (dnn.h). Otherwise one product for the inputs of all steps, then a product and the cells for
 * each; in between nothing is waited for. */
#include <math.h>

#include "backend/cuda/dnn.h"
#include "backend/cuda/kernels.h"

/* All rows [T*B, D] of a tensor, and those [B, D] of step t. */
static struct tensor rows_of(const struct tensor *all)
{
    return tensor_as_2d(all, tensor_rows(all), tensor_columns(all));
}

static struct tensor rows_at(const struct tensor *all, int64_t t)
{
    const struct tensor step = tensor_slice(all, t, 1);
    return rows_of(&step);
}

/* The state before step t: of the step before, or the first one given, or absent. */
static struct tensor state_before(const struct tensor *all, const struct tensor *first, int64_t t,
                                  struct lstm_shape s)
{
    const int64_t before = t + s.back;
    if (before >= 0 && before < s.n_t)
        return rows_at(all, before);
    return first->rank ? tensor_as_2d(first, s.n_b, tensor_columns(first)) : *first;
}

static void fill_behind(struct backend *backend, const struct tensor *all, const struct lstm *lstm,
                        struct lstm_shape s, float value)
{
    if (lstm->lengths.rank && context_enter_reals(backend))
        context_check(backend,
                      launch_fill_behind(context_of(backend)->stream, floats(all),
                                         ints(&lstm->lengths), s.n_t, s.n_b, tensor_columns(all),
                                         value),
                      "ends of sentences");
}

/* -- forward -- */

static void forward_step(struct backend *backend, const struct tensor *r, const struct lstm *lstm,
                         struct lstm_shape s, int64_t t)
{
    const struct backend_ops *ops = backend->ops;
    const struct tensor gates = rows_at(&lstm->gates, t), cells = rows_at(&lstm->cells, t);
    const struct tensor r_now = rows_at(r, t);
    const struct tensor hidden = lstm->projection ? rows_at(&lstm->hidden, t) : r_now;
    const struct tensor r_before = state_before(r, &lstm->first_r, t, s);
    const struct tensor c_before = state_before(&lstm->cells, &lstm->first_c, t, s);
    if (r_before.rank)
        ops->linear(backend, &gates, &r_before, lstm->recurrent, false, NULL, ACTIVATION_NONE,
                    true);
    ops->lstm_cell(backend, &gates, &cells, &hidden, tensor_or_null(&c_before));
    if (lstm->projection)
        ops->linear(backend, &r_now, &hidden, lstm->projection, false, NULL, ACTIVATION_NONE,
                    false);
}

/* Behind a sentence's end the sums are -infinity: all gates but g are then 0, and so are the cells
 * and what comes of them. */
static void forward(struct backend *backend, const struct tensor *r, const struct tensor *x,
                    const struct lstm *lstm, struct lstm_shape s)
{
    const struct tensor sums = rows_of(&lstm->gates), inputs = rows_of(x);
    backend->ops->linear(backend, &sums, &inputs, lstm->input, false, &lstm->bias, ACTIVATION_NONE,
                         false);
    fill_behind(backend, &lstm->gates, lstm, s, -INFINITY);
    for (int64_t step = 0; step < s.n_t; step++)
        forward_step(backend, r, lstm, s, lstm->reversed ? s.n_t - 1 - step : step);
    fill_behind(backend, &lstm->gates, lstm, s, 0);
}

/* -- backward -- */

/* What one layer's backward pass writes beside its results: [B, H] each. */
struct flow {
    struct tensor d_hidden, d_cells;
};

static struct tensor slot(float *data, struct lstm_shape s)
{
    return (struct tensor){.data = data, .dim = {s.n_b, s.n_h}, .rank = 2, .dtype = DTYPE_F32};
}

/* The gates of step t become d_a; d_r of the step before, or d_first_r, grows by Wh d_a. */
static void backward_step(struct backend *backend, struct tensor *d_r, const struct lstm *lstm,
                          const struct lstm_gradients *gradients, const struct flow *flow,
                          struct lstm_shape s, int64_t t)
{
    const struct backend_ops *ops = backend->ops;
    const struct tensor gates = rows_at(&lstm->gates, t), cells = rows_at(&lstm->cells, t);
    const struct tensor d_r_now = rows_at(d_r, t);
    const struct tensor c_before = state_before(&lstm->cells, &lstm->first_c, t, s);
    const struct tensor d_r_before = state_before(d_r, &gradients->first_r, t, s);
    if (lstm->projection)
        ops->linear(backend, &flow->d_hidden, &d_r_now, lstm->projection, true, NULL,
                    ACTIVATION_NONE, false);
    ops->lstm_cell_backward(backend, &gates, &flow->d_cells, &cells, tensor_or_null(&c_before),
                            lstm->projection ? &flow->d_hidden : &d_r_now);
    if (d_r_before.rank)
        ops->linear(backend, &d_r_before, &gates, lstm->recurrent, true, NULL, ACTIVATION_NONE,
                    true);
}

static void parameter_gradients(struct backend *backend, const struct tensor *d_r,
                                const struct tensor *x, const struct tensor *r,
                                const struct lstm *lstm, const struct lstm_gradients *gradients,
                                struct lstm_shape s)
{
    const struct backend_ops *ops = backend->ops;
    const int64_t first = lstm->reversed ? s.n_t - 1 : 0;
    const struct tensor d_a_first = rows_at(&lstm->gates, first);
    const struct tensor r_before = tensor_slice(r, lstm->reversed ? 1 : 0, s.n_t - 1);
    const struct tensor d_a_after = tensor_slice(&lstm->gates, lstm->reversed ? 0 : 1, s.n_t - 1);
    if (lstm->projection)
        ops->linear_gradient(backend, &gradients->projection, NULL, &lstm->hidden, d_r);
    ops->linear_gradient(backend, &gradients->recurrent, NULL, &r_before, &d_a_after);
    if (lstm->first_r.rank)
        ops->linear_gradient(backend, &gradients->recurrent, NULL, &lstm->first_r, &d_a_first);
    ops->linear_gradient(backend, &gradients->input, &gradients->bias, x, &lstm->gates);
}

/* Behind a sentence's end the gates are 0: once d_r is, too, no gradient arises there. */
static void backward(struct backend *backend, const struct tensor *d_x, struct tensor *d_r,
                     const struct tensor *x, const struct tensor *r, const struct lstm *lstm,
                     const struct lstm_gradients *gradients, struct lstm_shape s)
{
    const size_t slot_bytes = (size_t)(s.n_b * s.n_h) * sizeof(float);
    float *room = context_layer_scratch(backend, 2 * slot_bytes);
    if (!room)
        return;
    struct flow flow = {.d_hidden = slot(room, s), .d_cells = slot(room + s.n_b * s.n_h, s)};
    if (gradients->cell.rank)
        flow.d_cells = tensor_as_2d(&gradients->cell, s.n_b, s.n_h);
    else
        backend->ops->fill(backend, &flow.d_cells, 0);
    fill_behind(backend, d_r, lstm, s, 0);
    for (int64_t step = s.n_t - 1; step >= 0; step--)
        backward_step(backend, d_r, lstm, gradients, &flow, s,
                      lstm->reversed ? s.n_t - 1 - step : step);
    /* A reversed layer's first step has left its share behind the end. */
    if (lstm->reversed)
        fill_behind(backend, d_r, lstm, s, 0);
    if (gradients->input.rank)
        parameter_gradients(backend, d_r, x, r, lstm, gradients, s);
    if (d_x) {
        const struct tensor d_inputs = rows_of(d_x), d_a = rows_of(&lstm->gates);
        backend->ops->linear(backend, &d_inputs, &d_a, lstm->input, true, NULL, ACTIVATION_NONE,
                             false);
    }
}

/* -- by cuDNN or here -- */

static int64_t cuda_lstm_room(struct backend *backend, const struct tensor *x,
                              const struct lstm *lstm)
{
    const struct tensor *wh = &lstm->recurrent->value;
    const struct lstm_shape s = {.n_t = x->dim[0],
                                 .n_b = x->dim[1],
                                 .n_i = x->dim[2],
                                 .n_h = wh->dim[1] / 4,
                                 .n_p = wh->dim[0]};
    struct dnn_layer layer;
    if (!dnn_describe(backend, &layer, s, lstm))
        return lstm_room_of(backend, x, lstm);
    return (int64_t)(dnn_room_bytes(&layer) / sizeof(float));
}

static void cuda_lstm_forward(struct backend *backend, const struct tensor *r,
                              const struct tensor *x, const struct lstm *lstm)
{
    const struct lstm_shape s = lstm_shape_of(r, x, lstm);
    struct dnn_layer layer;
    if (s.n_t * s.n_b == 0 || !context_enter_reals(backend))
        return;
    if (lstm->room.rank && dnn_describe(backend, &layer, s, lstm)) {
        dnn_forward(backend, &layer, r, x, lstm);
    } else if (backend->error == STATUS_OK) {
        const struct lstm placed = lstm_in_room(lstm, s);
        forward(backend, r, x, &placed, s);
    }
}

static void cuda_lstm_backward(struct backend *backend, const struct tensor *d_x,
                               struct tensor *d_r, const struct tensor *x, const struct tensor *r,
                               const struct lstm *lstm, const struct lstm_gradients *gradients)
{
    const struct lstm_shape s = lstm_shape_of(r, x, lstm);
    struct dnn_layer layer;
    CHECK(gradients->cell.rank == 0 || tensor_count(&gradients->cell) == s.n_b * s.n_h,
          "gradient of %lld cells", (long long)tensor_count(&gradients->cell));
    if (s.n_t * s.n_b == 0 || !context_enter_reals(backend))
        return;
    if (lstm->room.rank && dnn_describe(backend, &layer, s, lstm)) {
        dnn_backward(backend, &layer, d_x, d_r, x, r, lstm, gradients);
    } else if (backend->error == STATUS_OK) {
        const struct lstm placed = lstm_in_room(lstm, s);
        backward(backend, d_x, d_r, x, r, &placed, gradients, s);
    }
}

void cuda_set_lstm(struct backend_ops *ops)
{
    ops->lstm_room = cuda_lstm_room;
    ops->lstm_forward = cuda_lstm_forward;
    ops->lstm_backward = cuda_lstm_backward;
}
