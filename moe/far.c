/* Experts on other ranks. */
#include "moe/far.h"

#include "layer/phase.h"

void far_forward(const struct experts *experts, const struct pass *pass, struct far_record *record,
                 const struct tensor *y, const struct tensor *x, const struct tensor *offsets)
{
    struct exchange *exchange = &record->exchange;
    phase_enter(pass->backend, PHASE_EXCHANGE);
    exchange_open(exchange, pass, offsets);
    const struct tensor x_here = exchange_out(exchange, pass, x);
    phase_leave(pass->backend);
    const struct tensor y_here = tensor_like(pass->arena, &x_here);
    const int n_turns = exchange_turns(exchange, pass);
    record->turns = arena_take(pass->host, (size_t)n_turns * sizeof *record->turns);
    for (int i = 0; i < n_turns; i++) {
        struct tensor starts;
        const struct tensor x_turn = exchange_turn(exchange, i, &x_here, &starts);
        const struct tensor y_turn = exchange_turn(exchange, i, &y_here, &starts);
        if (x_turn.dim[0] > 0)
            experts_forward(experts, pass, &record->turns[i], &y_turn, &x_turn, &starts);
    }
    phase_enter(pass->backend, PHASE_EXCHANGE);
    exchange_back(exchange, pass, y, &y_here);
    phase_leave(pass->backend);
}

void far_backward(const struct experts *experts, const struct pass *pass, const struct tensor *d_x,
                  const struct far_record *record, const struct tensor *d_y)
{
    const struct exchange *exchange = &record->exchange;
    phase_enter(pass->backend, PHASE_EXCHANGE);
    const struct tensor d_y_here = exchange_out(exchange, pass, d_y);
    phase_leave(pass->backend);
    const struct tensor d_x_here = tensor_like(pass->arena, &d_y_here);
    for (int i = 0; i < exchange_turns(exchange, pass); i++) {
        struct tensor starts;
        const struct tensor d_y_turn = exchange_turn(exchange, i, &d_y_here, &starts);
        const struct tensor d_x_turn = exchange_turn(exchange, i, &d_x_here, &starts);
        if (d_y_turn.dim[0] == 0)
            continue;
        experts_backward(experts, pass, &d_x_turn, &record->turns[i], &d_y_turn);
        if (pass->by_parts)
            experts_add_part(experts, pass);
    }
    phase_enter(pass->backend, PHASE_EXCHANGE);
    exchange_back(exchange, pass, d_x, &d_x_here);
    phase_leave(pass->backend);
}
