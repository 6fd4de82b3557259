/* The language model, forward and backward. */
#include "model/lm.h"

enum { STREAM_READOUT = 0x3000 }; /* of the dropout's random numbers */

static bool is_padded(const struct sequence *text)
{
    return text->rows.rank != 0;
}

static const struct tensor *names_of(const struct sequence *text)
{
    return tensor_or_null(is_padded(text) ? &text->row_names : &text->names);
}

struct tensor lm_forward(const struct encoder *layers, const struct pass *pass,
                         struct encoder_record *record, const struct sequence *text,
                         double balance_scale)
{
    const struct tensor x = encoder_forward(layers, pass, record, text, balance_scale);
    struct tensor real = tensor_as_2d(&x, tensor_rows(&x), tensor_columns(&x));
    if (is_padded(text)) {
        real = pass_2d(pass, text->rows.dim[0], tensor_columns(&x));
        pass->backend->ops->gather_rows(pass->backend, &real, &x, &text->rows);
    }
    pass_dropout(pass, STREAM_READOUT, &real, &real, NULL, names_of(text));
    return real;
}

void lm_backward(const struct encoder *layers, const struct pass *pass,
                 struct encoder_record *record, const struct sequence *text,
                 const struct tensor *d_readout)
{
    const size_t mark = arena_mark(pass->arena);
    const int64_t n_t = text->ids.dim[0], n_b = text->ids.dim[1];
    const int64_t dim = tensor_columns(d_readout);
    struct tensor d_x;
    pass_dropout(pass, STREAM_READOUT, d_readout, d_readout, NULL, names_of(text));
    if (is_padded(text)) {
        d_x = pass_3d(pass, n_t, n_b, dim);
        pass->backend->ops->scatter_rows(pass->backend, &d_x, d_readout, &text->rows);
    } else {
        d_x = tensor_as_3d(d_readout, n_t, n_b, dim);
    }
    encoder_backward(layers, pass, record, text, &d_x);
    arena_release(pass->arena, mark);
}
