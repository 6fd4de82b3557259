/* Tokens to their experts' ranks and back. */
#include "moe/exchange.h"

#include <string.h>

/* A transport's error, kept where operations keep theirs. */
static void keep_error(const struct pass *pass, enum status status)
{
    if (status < 0)
        backend_fail(pass->backend, "%s", status_message());
}

static int64_t sum_of(const int64_t *counts, int64_t n)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += counts[i];
    return sum;
}

/* What each rank sends to each expert here: into coming [size, n_here], with what there is of own
 * rows, counts [E]; the counts of an error are zero. */
static void exchange_counts(const struct pass *pass, int32_t *coming, int64_t n_here,
                            const int32_t *counts, int64_t n_experts)
{
    struct comm *comm = pass->comm;
    const struct backend_ops *ops = pass->backend->ops;
    const size_t mark = arena_mark(pass->arena), host_mark = arena_mark(pass->host);
    const size_t bytes = (size_t)(comm->size * n_here) * sizeof *coming;
    int64_t *send = arena_take(pass->host, 2 * (size_t)comm->size * sizeof *send);
    int64_t *receive = send + comm->size;
    for (int r = 0; r < comm->size; r++) {
        send[r] = comm_share_length(n_experts, r, comm->size);
        receive[r] = n_here;
    }
    const struct tensor in = tensor_2d(pass->arena, DTYPE_I32, n_experts, 1);
    const struct tensor out = tensor_2d(pass->arena, DTYPE_I32, comm->size * n_here, 1);
    ops->upload(pass->backend, &in, counts, (size_t)n_experts * sizeof *counts);
    const enum status status = comm_all_to_all(comm, pass->backend, &out, receive, &in, send);
    keep_error(pass, status);
    memset(coming, 0, bytes);
    if (status >= 0)
        ops->download(pass->backend, coming, &out, bytes);
    arena_release(pass->arena, mark);
    arena_release(pass->host, host_mark);
}

/* Where each expert's rows start, and the order that sorts rows [source, expert] by expert. */
static void plan_order(struct exchange *exchange, const struct pass *pass, const int32_t *coming,
                       int64_t n_here)
{
    const int size = pass->comm->size;
    const int64_t n_rows = exchange->n_rows;
    const size_t mark = arena_mark(pass->host);
    int32_t *offsets = arena_take(pass->host, (size_t)(n_here + 1) * sizeof *offsets);
    int32_t *order = arena_take(pass->host, (size_t)(n_rows + 1) * sizeof *order);
    int32_t *first = arena_take(pass->host, (size_t)(size * n_here) * sizeof *first);
    int32_t row = 0, place = 0;
    for (int64_t i = 0; i < size * n_here; i++) {
        first[i] = row;
        row += coming[i];
    }
    for (int64_t e = 0; e < n_here; e++) {
        offsets[e] = place;
        for (int64_t r = 0; r < size; r++)
            for (int32_t i = 0; i < coming[r * n_here + e]; i++)
                order[place++] = first[r * n_here + e] + i;
    }
    offsets[n_here] = place;
    exchange->offsets = tensor_1d(pass->arena, DTYPE_I32, n_here + 1);
    exchange->order = tensor_1d(pass->arena, DTYPE_I32, n_rows);
    const struct backend_ops *ops = pass->backend->ops;
    ops->upload(pass->backend, &exchange->offsets, offsets, (size_t)(n_here + 1) * sizeof *offsets);
    ops->upload(pass->backend, &exchange->order, order, (size_t)n_rows * sizeof *order);
    arena_release(pass->host, mark);
}

/* Where each expert's rows start among each rank's. */
static void plan_sources(struct exchange *exchange, const struct pass *pass, const int32_t *coming,
                         int64_t n_here)
{
    const int size = pass->comm->size;
    const size_t mark = arena_mark(pass->host);
    int32_t *offsets = arena_take(pass->host, (size_t)(n_here + 1) * sizeof *offsets);
    offsets[0] = 0;
    for (int r = 0; r < size; r++) {
        for (int64_t e = 0; e < n_here; e++)
            offsets[e + 1] = offsets[e] + coming[r * n_here + e];
        exchange->sources[r] = tensor_1d(pass->arena, DTYPE_I32, n_here + 1);
        pass->backend->ops->upload(pass->backend, &exchange->sources[r], offsets,
                                   (size_t)(n_here + 1) * sizeof *offsets);
    }
    arena_release(pass->host, mark);
}

void exchange_open(struct exchange *exchange, const struct pass *pass, const struct tensor *offsets)
{
    const int rank = pass->comm->rank, size = pass->comm->size;
    const int64_t n_experts = tensor_count(offsets) - 1;
    const int64_t n_here = comm_share_length(n_experts, rank, size);
    *exchange = (struct exchange){0};
    exchange->send = arena_take(pass->host, (size_t)size * sizeof *exchange->send);
    exchange->receive = arena_take(pass->host, (size_t)size * sizeof *exchange->receive);
    if (pass->by_parts) /* below what is given back */
        exchange->sources = arena_take(pass->host, (size_t)size * sizeof *exchange->sources);
    const size_t mark = arena_mark(pass->host);
    int32_t *starts = arena_take(pass->host, (size_t)(n_experts + 1) * sizeof *starts);
    int32_t *coming = arena_take(pass->host, (size_t)(size * n_here) * sizeof *coming);
    pass->backend->ops->download(pass->backend, starts, offsets,
                                 (size_t)(n_experts + 1) * sizeof *starts);
    for (int r = 0; r < size; r++)
        exchange->send[r] =
            starts[comm_share(n_experts, r + 1, size)] - starts[comm_share(n_experts, r, size)];
    for (int64_t e = 0; e < n_experts; e++)
        starts[e] = starts[e + 1] - starts[e];
    exchange_counts(pass, coming, n_here, starts, n_experts);
    for (int r = 0; r < size; r++) {
        exchange->receive[r] = 0;
        for (int64_t e = 0; e < n_here; e++)
            exchange->receive[r] += coming[r * n_here + e];
    }
    exchange->n_rows = sum_of(exchange->receive, size);
    CHECK(exchange->n_rows <= INT32_MAX, "%lld rows", (long long)exchange->n_rows);
    if (pass->by_parts)
        plan_sources(exchange, pass, coming, n_here);
    else
        plan_order(exchange, pass, coming, n_here);
    arena_release(pass->host, mark);
}

int exchange_turns(const struct exchange *exchange, const struct pass *pass)
{
    return exchange->sources ? pass->comm->size : 1;
}

struct tensor exchange_turn(const struct exchange *exchange, int turn, const struct tensor *x,
                            struct tensor *offsets)
{
    *offsets = exchange->sources ? exchange->sources[turn] : exchange->offsets;
    return exchange->sources
               ? tensor_slice(x, sum_of(exchange->receive, turn), exchange->receive[turn])
               : *x;
}

struct tensor exchange_out(const struct exchange *exchange, const struct pass *pass,
                           const struct tensor *x)
{
    const struct tensor sorted = pass_2d(pass, exchange->n_rows, x->dim[1]);
    const size_t mark = arena_mark(pass->arena);
    const struct tensor received = exchange->sources ? sorted : tensor_like(pass->arena, &sorted);
    keep_error(pass, comm_all_to_all(pass->comm, pass->backend, &received, exchange->receive, x,
                                     exchange->send));
    if (sorted.dim[0] > 0 && !exchange->sources)
        pass->backend->ops->gather_rows(pass->backend, &sorted, &received, &exchange->order);
    arena_release(pass->arena, mark);
    return sorted;
}

void exchange_back(const struct exchange *exchange, const struct pass *pass, const struct tensor *y,
                   const struct tensor *x)
{
    const size_t mark = arena_mark(pass->arena);
    const struct tensor sent = exchange->sources ? *x : tensor_like(pass->arena, x);
    if (x->dim[0] > 0 && !exchange->sources)
        pass->backend->ops->scatter_rows(pass->backend, &sent, x, &exchange->order);
    keep_error(pass, comm_all_to_all(pass->comm, pass->backend, y, exchange->send, &sent,
                                     exchange->receive));
    arena_release(pass->arena, mark);
}
