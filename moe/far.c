/* Experts on other ranks. */
#include "moe/far.h"

#include "layer/phase.h"

/* -- by parts -- */

static void forward_by_parts(const struct experts *experts, const struct pass *pass,
                             struct far_record *record, const struct tensor *y_here,
                             const struct tensor *x_here)
{
    const struct exchange *exchange = &record->exchange;
    const int n_parts = exchange_parts(exchange, pass);
    record->parts = arena_take(pass->host, (size_t)n_parts * sizeof *record->parts);
    for (int i = 0; i < n_parts; i++) {
        struct tensor starts;
        const struct tensor x_part = exchange_part(exchange, i, x_here, &starts);
        const struct tensor y_part = exchange_part(exchange, i, y_here, &starts);
        if (x_part.dim[0] > 0)
            experts_forward(experts, pass, &record->parts[i], &y_part, &x_part, &starts);
    }
}

static void backward_by_parts(const struct experts *experts, const struct pass *pass,
                              const struct tensor *d_x_here, const struct far_record *record,
                              const struct tensor *d_y_here)
{
    const struct exchange *exchange = &record->exchange;
    for (int i = 0; i < exchange_parts(exchange, pass); i++) {
        struct tensor starts;
        const struct tensor d_y_part = exchange_part(exchange, i, d_y_here, &starts);
        const struct tensor d_x_part = exchange_part(exchange, i, d_x_here, &starts);
        if (d_y_part.dim[0] == 0)
            continue;
        experts_backward(experts, pass, &d_x_part, &record->parts[i], &d_y_part);
        experts_add_part(experts, pass);
    }
}

/* -- while rows travel -- */

static void out_start(const struct far_record *record, const struct pass *pass,
                      const struct tensor *landing, const struct tensor *x)
{
    phase_enter(pass->backend, PHASE_EXCHANGE);
    for (int i = 0; i < record->exchange.n_trips; i++)
        exchange_out_start(&record->exchange, pass, i, landing, x);
    phase_leave(pass->backend);
}

static void out_finish(const struct far_record *record, const struct pass *pass, int trip,
                       const struct tensor *x_here, const struct tensor *landing)
{
    phase_enter(pass->backend, PHASE_EXCHANGE);
    exchange_out_finish(&record->exchange, pass, trip, x_here, landing);
    phase_leave(pass->backend);
}

static void back_start(const struct far_record *record, const struct pass *pass, int trip,
                       const struct tensor *y, const struct tensor *leaving, const struct tensor *x)
{
    phase_enter(pass->backend, PHASE_EXCHANGE);
    exchange_back_start(&record->exchange, pass, trip, y, leaving, x);
    phase_leave(pass->backend);
}

static void back_finish(const struct far_record *record, const struct pass *pass)
{
    phase_enter(pass->backend, PHASE_EXCHANGE);
    for (int i = 0; i < record->exchange.n_trips; i++)
        exchange_back_finish(&record->exchange, pass, i);
    phase_leave(pass->backend);
}

/* Rows land where their results will be. */
static void forward_in_trips(const struct experts *experts, const struct pass *pass,
                             struct far_record *record, const struct tensor *y,
                             const struct tensor *x)
{
    const struct exchange *exchange = &record->exchange;
    const struct tensor x_here = pass_2d(pass, exchange->n_rows, x->dim[1]);
    const struct tensor y_here = tensor_like(pass->arena, &x_here);
    out_start(record, pass, &y_here, x);
    for (int i = 0; i < exchange->n_trips; i++)
        record->turns[i] =
            experts_take_turn(experts, pass, exchange->trips[i].first, exchange->trips[i].n_rows,
                              &exchange->trips[i].offsets);
    experts_forward_open(experts, pass, &record->experts, &x_here, &exchange->offsets);
    const size_t mark = arena_mark(pass->arena);
    const struct tensor leaving = tensor_like(pass->arena, &x_here);
    for (int i = 0; i < exchange->n_trips; i++) {
        out_finish(record, pass, i, &x_here, &y_here);
        if (record->turns[i].n_rows > 0)
            experts_forward_turn(experts, pass, &record->experts, &y_here, &record->turns[i]);
        back_start(record, pass, i, y, &leaving, &y_here);
    }
    back_finish(record, pass);
    arena_release(pass->arena, mark);
    experts_forward_close(experts, pass, &record->experts);
}

/* As above. The gradients of parameters do not hold up what goes back. */
static void backward_in_trips(const struct experts *experts, const struct pass *pass,
                              const struct tensor *d_x, const struct far_record *record,
                              const struct tensor *d_y)
{
    const struct exchange *exchange = &record->exchange;
    const struct tensor d_y_here = pass_2d(pass, exchange->n_rows, d_y->dim[1]);
    const struct tensor d_x_here = tensor_like(pass->arena, &d_y_here);
    struct experts_gradients gradients;
    out_start(record, pass, &d_x_here, d_y);
    if (exchange->n_rows > 0)
        experts_backward_open(experts, pass, &gradients, &record->experts);
    const struct tensor leaving = tensor_like(pass->arena, &d_y_here);
    for (int i = 0; i < exchange->n_trips; i++) {
        out_finish(record, pass, i, &d_y_here, &d_x_here);
        if (record->turns[i].n_rows > 0)
            experts_backward_turn(experts, pass, &gradients, &d_x_here, &d_y_here,
                                  &record->turns[i]);
        back_start(record, pass, i, d_x, &leaving, &d_x_here);
    }
    if (exchange->n_rows > 0)
        experts_backward_params(experts, pass, &gradients, &d_y_here);
    back_finish(record, pass);
}

/* -- the calls -- */

void far_forward(const struct experts *experts, const struct pass *pass, struct far_record *record,
                 const struct tensor *y, const struct tensor *x, const struct tensor *offsets)
{
    phase_enter(pass->backend, PHASE_EXCHANGE);
    exchange_open(&record->exchange, pass, offsets, EXCHANGE_MAX_TRIPS);
    phase_leave(pass->backend);
    if (!pass->by_parts) {
        forward_in_trips(experts, pass, record, y, x);
        return;
    }
    phase_enter(pass->backend, PHASE_EXCHANGE);
    const struct tensor x_here = exchange_out(&record->exchange, pass, x);
    phase_leave(pass->backend);
    const struct tensor y_here = tensor_like(pass->arena, &x_here);
    forward_by_parts(experts, pass, record, &y_here, &x_here);
    phase_enter(pass->backend, PHASE_EXCHANGE);
    exchange_back(&record->exchange, pass, y, &y_here);
    phase_leave(pass->backend);
}

void far_backward(const struct experts *experts, const struct pass *pass, const struct tensor *d_x,
                  const struct far_record *record, const struct tensor *d_y)
{
    if (!pass->by_parts) {
        backward_in_trips(experts, pass, d_x, record, d_y);
        return;
    }
    phase_enter(pass->backend, PHASE_EXCHANGE);
    const struct tensor d_y_here = exchange_out(&record->exchange, pass, d_y);
    phase_leave(pass->backend);
    const struct tensor d_x_here = tensor_like(pass->arena, &d_y_here);
    backward_by_parts(experts, pass, &d_x_here, record, &d_y_here);
    phase_enter(pass->backend, PHASE_EXCHANGE);
    exchange_back(&record->exchange, pass, d_x, &d_x_here);
    phase_leave(pass->backend);
}
