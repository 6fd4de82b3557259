/* The LSTM layer around the backend's operation. */
#include "layer/lstm.h"

#include <math.h>

static struct param *add_matrix(struct param_list *params, const char *prefix, const char *name,
                                int64_t in, int64_t out, double bound)
{
    return param_add(params,
                     (struct param_spec){.rank = 2,
                                         .dim = {in, out},
                                         .start = PARAM_UNIFORM,
                                         .bound = bound,
                                         .forms = PACK_PLAIN,
                                         .may_round = true},
                     "%s.%s", prefix, name);
}

void lstm_init(struct lstm_layer *layer, struct param_list *params, const char *prefix, int64_t in,
               int64_t hidden, int64_t projection, bool is_reversed)
{
    const double bound = 1 / sqrt((double)hidden);
    *layer = (struct lstm_layer){.is_reversed = is_reversed};
    layer->input = add_matrix(params, prefix, "input", in, 4 * hidden, bound);
    layer->recurrent = add_matrix(params, prefix, "recurrent", projection ? projection : hidden,
                                  4 * hidden, bound);
    if (projection)
        layer->projection =
            add_matrix(params, prefix, "projection", hidden, projection, 1.5 * bound);
    layer->bias = param_add(
        params, (struct param_spec){.rank = 1, .dim = {4 * hidden}, .start = PARAM_FORGET_GATE},
        "%s.bias", prefix);
}

/* A record of x with a fresh r, and without anything for what happens in between. */
static struct lstm_record describe(const struct lstm_layer *layer, const struct pass *pass,
                                   const struct tensor *x)
{
    const int64_t n_out = layer->recurrent->weight.value.dim[0];
    return (struct lstm_record){
        .x = *x,
        .r = pass_3d(pass, x->dim[0], x->dim[1], n_out),
        .lstm = {.input = &layer->input->weight,
                 .recurrent = &layer->recurrent->weight,
                 .projection = layer->projection ? &layer->projection->weight : NULL,
                 .bias = layer->bias->weight.value,
                 .reversed = layer->is_reversed}};
}

/* What lies between a layer's passes, [n] real. */
static struct tensor take_room(const struct pass *pass, int64_t n)
{
    const enum dtype real = pass->backend->real;
    const bool is_lent = pass->rooms && arena_has_room(pass->rooms, (size_t)n * dtype_size(real));
    return tensor_1d(is_lent ? pass->rooms : pass->arena, real, n);
}

void lstm_layer_forward(const struct lstm_layer *layer, const struct pass *pass,
                        struct lstm_record *record, const struct tensor *x,
                        const struct tensor *lengths)
{
    struct backend *backend = pass->backend;
    *record = describe(layer, pass, x);
    record->lstm.lengths = *lengths;
    record->lstm.room = take_room(pass, backend->ops->lstm_room(backend, x, &record->lstm));
    backend->ops->lstm_forward(backend, &record->r, x, &record->lstm);
}

void lstm_layer_backward(const struct lstm_layer *layer, const struct pass *pass,
                         const struct tensor *d_x, struct tensor *d_r, struct lstm_record *record)
{
    struct lstm_gradients gradients = {.input = layer->input->grad,
                                       .recurrent = layer->recurrent->grad,
                                       .bias = layer->bias->grad};
    if (layer->projection)
        gradients.projection = layer->projection->grad;
    pass->backend->ops->lstm_backward(pass->backend, d_x, d_r, &record->x, &record->r,
                                      &record->lstm, &gradients);
}

/* -- training step by step -- */

void lstm_layer_record(const struct lstm_layer *layer, const struct pass *pass,
                       struct lstm_record *record, const struct tensor *x)
{
    const int64_t n_t = x->dim[0], n_b = x->dim[1];
    const int64_t n_h = layer->recurrent->weight.value.dim[1] / 4;
    *record = describe(layer, pass, x);
    record->lstm.gates = pass_3d(pass, n_t, n_b, 4 * n_h);
    record->lstm.cells = pass_3d(pass, n_t, n_b, n_h);
    if (layer->projection)
        record->lstm.hidden = pass_3d(pass, n_t, n_b, n_h);
}

/* The record of all steps seen as that of step t, with the state before it. */
static struct lstm_record record_at(const struct lstm_record *record, int64_t t)
{
    struct lstm_record at = *record;
    at.x = tensor_slice(&record->x, t, 1);
    at.r = tensor_slice(&record->r, t, 1);
    at.lstm.gates = tensor_slice(&record->lstm.gates, t, 1);
    at.lstm.cells = tensor_slice(&record->lstm.cells, t, 1);
    if (at.lstm.hidden.rank)
        at.lstm.hidden = tensor_slice(&record->lstm.hidden, t, 1);
    if (t > 0) {
        at.lstm.first_r = tensor_slice(&record->r, t - 1, 1);
        at.lstm.first_c = tensor_slice(&record->lstm.cells, t - 1, 1);
    }
    return at;
}

void lstm_layer_forward_at(const struct lstm_layer *layer, const struct pass *pass,
                           const struct lstm_record *record, int64_t t)
{
    CHECK(!layer->is_reversed, "step %lld of a reversed layer", (long long)t);
    const struct lstm_record at = record_at(record, t);
    pass->backend->ops->lstm_forward(pass->backend, &at.r, &at.x, &at.lstm);
}

void lstm_layer_backward_at(const struct lstm_layer *layer, const struct pass *pass,
                            const struct tensor *d_x, const struct tensor *d_r,
                            const struct tensor *d_cell, const struct lstm_record *record,
                            int64_t t)
{
    CHECK(!layer->is_reversed, "step %lld of a reversed layer", (long long)t);
    const struct lstm_record at = record_at(record, t);
    struct lstm_gradients gradients = {.cell = *d_cell};
    if (t > 0)
        gradients.first_r = tensor_slice(d_r, t - 1, 1);
    struct tensor d_r_at = tensor_slice(d_r, t, 1);
    const struct tensor d_x_at = tensor_as_3d(d_x, 1, at.x.dim[1], at.x.dim[2]);
    pass->backend->ops->lstm_backward(pass->backend, &d_x_at, &d_r_at, &at.x, &at.r, &at.lstm,
                                      &gradients);
}

void lstm_layer_gradients(const struct lstm_layer *layer, const struct pass *pass,
                          const struct tensor *d_r, const struct lstm_record *record)
{
    const struct backend_ops *ops = pass->backend->ops;
    const struct tensor *d_a = &record->lstm.gates;
    const int64_t n_t = d_a->dim[0];
    ops->linear_gradient(pass->backend, &layer->input->grad, &layer->bias->grad, &record->x, d_a);
    if (layer->projection)
        ops->linear_gradient(pass->backend, &layer->projection->grad, NULL, &record->lstm.hidden,
                             d_r);
    const struct tensor r_before = tensor_slice(&record->r, 0, n_t - 1);
    const struct tensor d_a_after = tensor_slice(d_a, 1, n_t - 1);
    ops->linear_gradient(pass->backend, &layer->recurrent->grad, NULL, &r_before, &d_a_after);
}

/* -- decoding -- */

void lstm_layer_step(const struct lstm_layer *layer, const struct pass *pass,
                     const struct tensor *next_r, const struct tensor *next_c,
                     const struct lstm_layer_source *source)
{
    struct backend *backend = pass->backend;
    const int64_t width = layer->recurrent->weight.value.dim[1];
    const int64_t n_rows = next_r->dim[0];
    const struct tensor inputs = pass_2d(pass, n_rows, width);
    const struct tensor recurrent = pass_2d(pass, n_rows, width);
    const struct lstm_step step = {.inputs = tensor_slice(&inputs, 0, source->x.dim[0]),
                                   .input_rows = source->x_rows,
                                   .recurrent = tensor_slice(&recurrent, 0, source->r.dim[0]),
                                   .recurrent_rows = source->r_rows,
                                   .before = source->c,
                                   .before_rows = source->c_rows};
    const struct tensor hidden = layer->projection ? pass_2d(pass, n_rows, width / 4) : *next_r;
    backend->ops->linear(backend, &step.inputs, &source->x, &layer->input->weight, false,
                         &layer->bias->weight.value, ACTIVATION_NONE, false);
    backend->ops->linear(backend, &step.recurrent, &source->r, &layer->recurrent->weight, false,
                         NULL, ACTIVATION_NONE, false);
    backend->ops->lstm_step_cell(backend, next_c, &hidden, &step);
    if (layer->projection)
        backend->ops->linear(backend, next_r, &hidden, &layer->projection->weight, false, NULL,
                             ACTIVATION_NONE, false);
}
