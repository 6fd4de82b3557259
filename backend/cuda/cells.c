/* The cells of an LSTM, apart from its products. */
#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

static void cuda_lstm_cell(struct backend *backend, const struct tensor *gates,
                           const struct tensor *cells, const struct tensor *hidden,
                           const struct tensor *before)
{
    lstm_check_cells(gates, cells, before, hidden);
    if (!context_enter_reals(backend))
        return;
    context_check(backend,
                  launch_lstm_cell(context_of(backend)->stream, floats(gates), floats(cells),
                                   floats(hidden), before ? floats(before) : NULL,
                                   tensor_rows(cells), tensor_columns(cells)),
                  "lstm_cell");
}

static void cuda_lstm_step_cell(struct backend *backend, const struct tensor *cells,
                                const struct tensor *hidden, const struct lstm_step *step)
{
    const int64_t n_h = tensor_columns(cells);
    lstm_check_step(cells, hidden, step);
    if (!context_enter(backend))
        return;
    const struct step_rows rows = {floats(&step->inputs),
                                   floats(&step->recurrent),
                                   floats(&step->before),
                                   ints_or_null(&step->input_rows),
                                   ints_or_null(&step->recurrent_rows),
                                   ints_or_null(&step->before_rows)};
    context_check(backend,
                  launch_lstm_step_cell(context_of(backend)->stream, floats(cells), floats(hidden),
                                        rows, tensor_rows(cells), n_h),
                  "lstm_step_cell");
}

static void cuda_lstm_cell_backward(struct backend *backend, const struct tensor *gates,
                                    const struct tensor *d_cells, const struct tensor *cells,
                                    const struct tensor *before, const struct tensor *d_hidden)
{
    lstm_check_cells(gates, cells, before, d_hidden);
    lstm_check_cells(gates, cells, before, d_cells);
    if (!context_enter_reals(backend))
        return;
    context_check(backend,
                  launch_lstm_cell_backward(context_of(backend)->stream, floats(gates),
                                            floats(d_cells), floats(cells),
                                            before ? floats(before) : NULL, floats(d_hidden),
                                            tensor_rows(cells), tensor_columns(cells)),
                  "lstm_cell_backward");
}

void cuda_set_cells(struct backend_ops *ops)
{
    ops->lstm_cell = cuda_lstm_cell;
    ops->lstm_step_cell = cuda_lstm_step_cell;
    ops->lstm_cell_backward = cuda_lstm_cell_backward;
}
