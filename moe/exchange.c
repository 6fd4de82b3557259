/* Tokens to their experts' ranks and back. */
#include "moe/exchange.h"

#include <string.h>

/* A transport's error, kept where operations keep theirs. */
static void keep_error(const struct pass *pass, enum status status)
{
    if (status < 0)
        backend_fail(pass->backend, "%s", status_message());
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

/* A trip's share of `rank`'s experts: the first one and the one behind the last. */
static int64_t trip_share(const struct exchange *exchange, const struct pass *pass,
                          int64_t n_experts, int rank, int trip)
{
    const int size = pass->comm->size;
    return comm_share(n_experts, rank, size) +
           comm_share(comm_share_length(n_experts, rank, size), trip, exchange->n_trips);
}

/* How many rows go where, from where each expert's start; and how many come, from
 * coming [size, n_here]. */
static void plan_trip(struct exchange *exchange, const struct pass *pass, int number,
                      const int32_t *starts, int64_t n_experts, const int32_t *coming)
{
    const int rank = pass->comm->rank, size = pass->comm->size;
    const int64_t n_here = comm_share_length(n_experts, rank, size);
    const int64_t first = comm_share(n_here, number, exchange->n_trips);
    const int64_t last = comm_share(n_here, number + 1, exchange->n_trips);
    struct exchange_trip *trip = &exchange->trips[number];
    trip->first = exchange->n_rows;
    for (int r = 0; r < size; r++) {
        trip->send_at[r] = starts[trip_share(exchange, pass, n_experts, r, number)];
        trip->send[r] =
            starts[trip_share(exchange, pass, n_experts, r, number + 1)] - trip->send_at[r];
        trip->receive[r] = 0;
        for (int64_t e = first; e < last; e++)
            trip->receive[r] += coming[r * n_here + e];
        trip->receive_at[r] = exchange->n_rows;
        exchange->n_rows += trip->receive[r];
    }
    trip->n_rows = exchange->n_rows - trip->first;
}

static void upload_ints(const struct pass *pass, struct tensor *tensor, const int32_t *numbers,
                        int64_t n)
{
    *tensor = tensor_1d(pass->arena, DTYPE_I32, n);
    pass->backend->ops->upload(pass->backend, tensor, numbers, (size_t)n * sizeof *numbers);
}

/* Where each expert's rows start, and the order that sorts a trip's rows [source, expert] by
 * expert. */
static void plan_order(struct exchange_trip *trip, const struct pass *pass, const int32_t *coming,
                       int64_t n_here, const int64_t experts[2])
{
    const int size = pass->comm->size;
    const size_t mark = arena_mark(pass->host);
    int32_t *offsets = arena_take(pass->host, (size_t)(n_here + 1) * sizeof *offsets);
    int32_t *order = arena_take(pass->host, (size_t)(trip->n_rows + 1) * sizeof *order);
    int32_t *next = arena_take(pass->host, (size_t)size * sizeof *next);
    int32_t place = 0;
    for (int r = 0; r < size; r++)
        next[r] = (int32_t)(trip->receive_at[r] - trip->first);
    for (int64_t e = 0; e < n_here; e++) {
        offsets[e] = place;
        for (int r = 0; r < size && e >= experts[0] && e < experts[1]; r++)
            for (int32_t i = 0; i < coming[r * n_here + e]; i++)
                order[place++] = next[r]++;
    }
    offsets[n_here] = place;
    upload_ints(pass, &trip->offsets, offsets, n_here + 1);
    upload_ints(pass, &trip->order, order, trip->n_rows);
    arena_release(pass->host, mark);
}

/* The same of all trips together: their offsets are of experts one after the other. */
static void plan_orders(struct exchange *exchange, const struct pass *pass, const int32_t *coming,
                        int64_t n_here)
{
    const size_t mark = arena_mark(pass->host);
    int32_t *offsets = arena_take(pass->host, (size_t)(n_here + 1) * sizeof *offsets);
    offsets[0] = 0;
    for (int64_t e = 0; e < n_here; e++) {
        offsets[e + 1] = offsets[e];
        for (int r = 0; r < pass->comm->size; r++)
            offsets[e + 1] += coming[r * n_here + e];
    }
    upload_ints(pass, &exchange->offsets, offsets, n_here + 1);
    arena_release(pass->host, mark);
    for (int i = 0; i < exchange->n_trips; i++) {
        const int64_t experts[] = {comm_share(n_here, i, exchange->n_trips),
                                   comm_share(n_here, i + 1, exchange->n_trips)};
        plan_order(&exchange->trips[i], pass, coming, n_here, experts);
    }
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
        upload_ints(pass, &exchange->sources[r], offsets, n_here + 1);
    }
    arena_release(pass->host, mark);
}

/* The lists of every trip, and by parts of sources: below what is given back. */
static void take_lists(struct exchange *exchange, const struct pass *pass)
{
    const size_t size = (size_t)pass->comm->size;
    for (int i = 0; i < exchange->n_trips; i++) {
        struct exchange_trip *trip = &exchange->trips[i];
        trip->send = arena_take(pass->host, 4 * size * sizeof *trip->send);
        trip->send_at = trip->send + size;
        trip->receive = trip->send_at + size;
        trip->receive_at = trip->receive + size;
    }
    if (pass->by_parts)
        exchange->sources = arena_take(pass->host, size * sizeof *exchange->sources);
}

static int choose_trips(const struct pass *pass, int64_t n_experts, int max_trips)
{
    const bool is_whole = pass->by_parts || !comm_overlaps(pass->comm, pass->backend) ||
                          n_experts / pass->comm->size < max_trips;
    return is_whole ? 1 : max_trips;
}

void exchange_open(struct exchange *exchange, const struct pass *pass, const struct tensor *offsets,
                   int max_trips)
{
    const int rank = pass->comm->rank, size = pass->comm->size;
    const int64_t n_experts = tensor_count(offsets) - 1;
    const int64_t n_here = comm_share_length(n_experts, rank, size);
    const struct backend_ops *ops = pass->backend->ops;
    CHECK(max_trips >= 1 && max_trips <= EXCHANGE_MAX_TRIPS, "%d trips", max_trips);
    *exchange = (struct exchange){.n_trips = choose_trips(pass, n_experts, max_trips)};
    take_lists(exchange, pass);
    const size_t mark = arena_mark(pass->host);
    int32_t *starts = arena_take(pass->host, (size_t)(n_experts + 1) * sizeof *starts);
    int32_t *counts = arena_take(pass->host, (size_t)(n_experts + 1) * sizeof *counts);
    int32_t *coming = arena_take(pass->host, (size_t)(size * n_here) * sizeof *coming);
    ops->download(pass->backend, starts, offsets, (size_t)(n_experts + 1) * sizeof *starts);
    for (int64_t e = 0; e < n_experts; e++)
        counts[e] = starts[e + 1] - starts[e];
    exchange_counts(pass, coming, n_here, counts, n_experts);
    for (int i = 0; i < exchange->n_trips; i++)
        plan_trip(exchange, pass, i, starts, n_experts, coming);
    CHECK(exchange->n_rows <= INT32_MAX, "%lld rows", (long long)exchange->n_rows);
    if (pass->by_parts)
        plan_sources(exchange, pass, coming, n_here);
    else
        plan_orders(exchange, pass, coming, n_here);
    arena_release(pass->host, mark);
}

int exchange_parts(const struct exchange *exchange, const struct pass *pass)
{
    return exchange->sources ? pass->comm->size : 0;
}

struct tensor exchange_part(const struct exchange *exchange, int part, const struct tensor *x,
                            struct tensor *offsets)
{
    const struct exchange_trip *trip = &exchange->trips[0];
    *offsets = exchange->sources[part];
    return tensor_slice(x, trip->receive_at[part], trip->receive[part]);
}

/* -- trips -- */

/* Slots of the ranks' transport: out and back of each trip. */
enum { SLOT_OUT = 0, SLOT_BACK = EXCHANGE_MAX_TRIPS };

_Static_assert(SLOT_BACK + EXCHANGE_MAX_TRIPS <= COMM_SLOTS, "too many trips");

static struct tensor rows_of(const struct exchange_trip *trip, const struct tensor *x)
{
    return tensor_slice(x, trip->first, trip->n_rows);
}

void exchange_out_start(const struct exchange *exchange, const struct pass *pass, int trip,
                        const struct tensor *landing, const struct tensor *x)
{
    const struct exchange_trip *of = &exchange->trips[trip];
    const struct comm_rows out = {landing, of->receive, of->receive_at};
    const struct comm_rows in = {x, of->send, of->send_at};
    keep_error(pass, comm_all_to_all_start(pass->comm, pass->backend, SLOT_OUT + trip, &out, &in));
}

void exchange_out_finish(const struct exchange *exchange, const struct pass *pass, int trip,
                         const struct tensor *x_here, const struct tensor *landing)
{
    const struct exchange_trip *of = &exchange->trips[trip];
    const struct tensor sorted = rows_of(of, x_here), came = rows_of(of, landing);
    keep_error(pass, comm_all_to_all_finish(pass->comm, SLOT_OUT + trip));
    if (of->n_rows > 0 && !exchange->sources)
        pass->backend->ops->gather_rows(pass->backend, &sorted, &came, &of->order);
}

void exchange_back_start(const struct exchange *exchange, const struct pass *pass, int trip,
                         const struct tensor *y, const struct tensor *leaving,
                         const struct tensor *x)
{
    const struct exchange_trip *of = &exchange->trips[trip];
    const struct tensor sorted = rows_of(of, x), goes = rows_of(of, leaving);
    if (of->n_rows > 0 && !exchange->sources)
        pass->backend->ops->scatter_rows(pass->backend, &goes, &sorted, &of->order);
    const struct comm_rows out = {y, of->send, of->send_at};
    const struct comm_rows in = {leaving, of->receive, of->receive_at};
    keep_error(pass, comm_all_to_all_start(pass->comm, pass->backend, SLOT_BACK + trip, &out, &in));
}

void exchange_back_finish(const struct exchange *exchange, const struct pass *pass, int trip)
{
    (void)exchange;
    keep_error(pass, comm_all_to_all_finish(pass->comm, SLOT_BACK + trip));
}

struct tensor exchange_out(const struct exchange *exchange, const struct pass *pass,
                           const struct tensor *x)
{
    const struct tensor x_here = pass_2d(pass, exchange->n_rows, x->dim[1]);
    const size_t mark = arena_mark(pass->arena);
    const struct tensor landing = exchange->sources ? x_here : tensor_like(pass->arena, &x_here);
    for (int i = 0; i < exchange->n_trips; i++) {
        exchange_out_start(exchange, pass, i, &landing, x);
        exchange_out_finish(exchange, pass, i, &x_here, &landing);
    }
    arena_release(pass->arena, mark);
    return x_here;
}

void exchange_back(const struct exchange *exchange, const struct pass *pass, const struct tensor *y,
                   const struct tensor *x)
{
    const size_t mark = arena_mark(pass->arena);
    const struct tensor leaving = exchange->sources ? *x : tensor_like(pass->arena, x);
    for (int i = 0; i < exchange->n_trips; i++) {
        exchange_back_start(exchange, pass, i, y, &leaving, x);
        exchange_back_finish(exchange, pass, i);
    }
    arena_release(pass->arena, mark);
}
