/* Layer 1 and the attention, step by step, forward and backward. */
#include "decoder/feeding.h"

/* The names of all positions [T, B]: those given, or each position's index, as dropout would count
 * them if it saw all steps at once. */
static struct tensor all_names(const struct pass *pass, const struct tensor *names, int64_t n_t,
                               int64_t n_b)
{
    if (names)
        return tensor_as_2d(names, n_t, n_b);
    const struct tensor own = tensor_2d(pass->arena, DTYPE_I32, n_t, n_b);
    const size_t size = (size_t)(n_t * n_b) * sizeof(int32_t);
    const size_t mark = arena_mark(pass->host);
    int32_t *host = arena_take(pass->host, size);
    for (int64_t i = 0; i < n_t * n_b; i++)
        host[i] = (int32_t)i;
    pass->backend->ops->upload(pass->backend, &own, host, size);
    arena_release(pass->host, mark);
    return own;
}

struct tensor feeding_forward(const struct decoder *decoder, const struct pass *pass,
                              struct decoder_record *record, const struct tensor *x,
                              const struct tensor *context, uint32_t stream,
                              const struct tensor *names)
{
    struct backend *backend = pass->backend;
    const int64_t n_t = x->dim[0], n_b = x->dim[1], dim = decoder->config.dim;
    const struct lstm_layer *layer = &decoder->layers[0].lstm;
    struct lstm_record *lstm = &record->layers[0].lstm;
    const struct tensor y = tensor_like(pass->arena, x);
    const struct tensor joined = pass_3d(pass, n_t, n_b, 2 * dim);
    const struct tensor named = all_names(pass, names, n_t, n_b);
    backend->ops->fill(backend, &joined, 0);
    backend->ops->copy_columns(backend, &joined, 0, x, 0, dim, false);
    lstm_layer_record(layer, pass, lstm, &joined);
    attention_record_start(&decoder->attention, pass, &record->attention, &record->source, &y);
    for (int64_t t = 0; t < n_t; t++) {
        const struct tensor x_at = tensor_slice(x, t, 1), y_at = tensor_slice(&y, t, 1);
        const struct tensor r_at = tensor_slice(&lstm->r, t, 1);
        const struct tensor names_at = tensor_slice(&named, t, 1);
        if (t > 0) {
            const struct tensor joined_at = tensor_slice(&joined, t, 1);
            const struct tensor context_before = tensor_slice(context, t - 1, 1);
            backend->ops->copy_columns(backend, &joined_at, dim, &context_before, 0, dim, false);
        }
        lstm_layer_forward_at(layer, pass, lstm, t);
        pass_dropout(pass, stream, &y_at, &r_at, &x_at, &names_at);
        attention_forward_at(&decoder->attention, pass, &record->attention, &record->source,
                             context, t);
    }
    return y;
}

void feeding_backward(const struct decoder *decoder, const struct pass *pass,
                      const struct decoder_record *record, const struct tensor *d,
                      const struct tensor *d_context, const struct tensor *d_memory,
                      uint32_t stream, const struct tensor *names)
{
    struct backend *backend = pass->backend;
    const struct attention *attention = &decoder->attention;
    const struct lstm_layer *layer = &decoder->layers[0].lstm;
    const struct lstm_record *lstm = &record->layers[0].lstm;
    const int64_t n_t = d->dim[0], n_b = d->dim[1], dim = decoder->config.dim;
    const size_t mark = arena_mark(pass->arena);
    const struct tensor named = all_names(pass, names, n_t, n_b);
    const struct tensor d_r = tensor_like(pass->arena, &lstm->r);
    const struct tensor d_cell = pass_2d(pass, n_b, lstm->lstm.cells.dim[2]);
    const struct tensor d_joined = pass_2d(pass, n_b, 2 * dim);
    struct attention_gradient gradient;
    attention_gradient_start(attention, pass, &gradient, &record->attention, &record->source);
    backend->ops->fill(backend, &d_r, 0);
    backend->ops->fill(backend, &d_cell, 0);
    for (int64_t t = n_t - 1; t >= 0; t--) {
        const struct tensor d_at = tensor_slice(d, t, 1), d_r_at = tensor_slice(&d_r, t, 1);
        const struct tensor names_at = tensor_slice(&named, t, 1);
        attention_backward_at(attention, pass, d, &gradient, &record->attention, &record->source,
                              d_context, t);
        pass_dropout(pass, stream, &d_r_at, &d_at, &d_r_at, &names_at);
        lstm_layer_backward_at(layer, pass, &d_joined, &d_r, &d_cell, lstm, t);
        backend->ops->copy_columns(backend, &d_at, 0, &d_joined, 0, dim, true);
        if (t == 0)
            break;
        const struct tensor d_context_before = tensor_slice(d_context, t - 1, 1);
        backend->ops->copy_columns(backend, &d_context_before, 0, &d_joined, dim, dim, true);
    }
    lstm_layer_gradients(layer, pass, &d_r, lstm);
    attention_gradients(attention, pass, d_memory, &gradient, &record->attention, &record->source,
                        d_context);
    arena_release(pass->arena, mark);
}
