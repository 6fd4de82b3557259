/* The calls of tensors: through the host's memory, or by the device's own transport. */
#include <stdio.h>
#include <string.h>

#include "backend/comm/parts.h"
#include "backend/module.h"

/* Sums are made of pieces of the ranks' shares, so many bytes together, so that the room for them
 * is small; tensors up to the smaller size are summed by every rank for itself, which is one round
 * of messages instead of two. */
enum { PIECES_BYTES = 4 << 20, SMALLEST_PIECE = 1024, SMALL_BYTES = 64 << 10 };

/* -- a tensor's numbers on the host -- */

static bool is_on_host(const struct backend *backend)
{
    return backend->hardware[0] == '\0';
}

static size_t bytes_of(const struct tensor *tensor)
{
    return (size_t)tensor_count(tensor) * dtype_size(tensor->dtype);
}

/* The numbers themselves, or room for a copy of a device's. */
static enum status borrow(struct comm *comm, const struct backend *backend,
                          const struct tensor *tensor, int room, void **host)
{
    *host = tensor->data;
    if (is_on_host(backend))
        return STATUS_OK;
    return comm_take_room(comm, room, bytes_of(tensor), host);
}

static enum status borrow_filled(struct comm *comm, struct backend *backend,
                                 const struct tensor *tensor, int room, void **host)
{
    const enum status status = borrow(comm, backend, tensor, room, host);
    if (status >= 0 && *host != tensor->data && bytes_of(tensor) > 0)
        backend->ops->download(backend, *host, tensor, bytes_of(tensor));
    return status;
}

/* Writes back what borrow() gave. */
static void give_back(struct backend *backend, const struct tensor *tensor, const void *host)
{
    if (host != tensor->data && bytes_of(tensor) > 0)
        backend->ops->upload(backend, tensor, host, bytes_of(tensor));
}

static void copy(struct backend *backend, const struct tensor *target, const struct tensor *source)
{
    if (target->data != source->data && tensor_count(source) > 0)
        backend->ops->copy(backend, target, source);
}

/* -- the device's own transport -- */

/* All ranks make a communicator, whose id is the first rank's. */
static enum status open_device(struct comm *comm, struct backend *backend)
{
    struct {
        int32_t status;
        unsigned char id[COMM_DEVICE_ID_BYTES];
    } first = {0};
    if (comm->rank == 0)
        first.status = comm->device->make_id(comm, first.id);
    enum status status = comm_end(comm, comm->ops->broadcast(comm, &first, sizeof first, 0));
    if (status < 0)
        return status;
    if (first.status < 0 && comm->rank != 0)
        snprintf(comm->message, sizeof comm->message, "rank 0 got no unique id of NCCL");
    status = (enum status)first.status;
    return comm_end(comm, status < 0 ? status : comm->device->open(comm, backend, first.id));
}

/* At a handle's first call the ranks find out whether all have a transport for it. */
static enum status look_for_device(struct comm *comm, struct backend *backend)
{
    void *all = NULL;
    const struct comm_device_ops *mine = module_comm(backend);
    const unsigned char has_one = mine != NULL;
    if (comm->device_context)
        comm->device->close(comm);
    comm->device = NULL;
    enum status status = comm_take_room(comm, ROOM_LISTS, (size_t)comm->size, &all);
    if (status >= 0)
        status = comm_end(comm, comm->ops->all_gather(comm, all, &has_one, 1));
    if (status < 0)
        return status;
    comm->device_backend = backend;
    if (memchr(all, 0, (size_t)comm->size))
        return STATUS_OK;
    comm->device = mine;
    return open_device(comm, backend);
}

/* The start of a tensor's call. */
static enum status begin(struct comm *comm, struct backend *backend, const char *operation)
{
    const enum status status = comm_begin(comm, operation);
    if (status < 0 || comm->size == 1 || comm->device_backend == backend)
        return status;
    return look_for_device(comm, backend);
}

/* -- lists -- */

/* An exchange whose four lists are to be filled in. */
struct lists {
    int64_t *receive, *out_at, *send, *in_at; /* [size] bytes */
};

static enum status take_lists(struct comm *comm, int room, struct lists *lists)
{
    void *memory = NULL;
    const size_t n = (size_t)comm->size;
    const enum status status = comm_take_room(comm, room, 4 * n * sizeof(int64_t), &memory);
    int64_t *numbers = memory;
    if (status >= 0)
        *lists = (struct lists){numbers, numbers + n, numbers + 2 * n, numbers + 3 * n};
    return status;
}

static struct comm_exchange exchange_of(const struct lists *lists, void *out, const void *in)
{
    return (struct comm_exchange){
        .out = out,
        .receive = lists->receive,
        .out_at = lists->out_at,
        .in = in,
        .send = lists->send,
        .in_at = lists->in_at,
    };
}

static enum status exchange(struct comm *comm, const struct lists *lists, void *out, const void *in)
{
    const struct comm_exchange bytes = exchange_of(lists, out, in);
    return comm_exchange_now(comm, &bytes);
}

/* -- sums -- */

/* Numbers to be summed over the ranks, and where this rank's share of the sum goes. */
struct sum {
    char *part;
    const char *whole;
    int64_t n;
    enum dtype dtype;
    bool is_onto; /* what part holds is the first summand */
};

static int64_t piece_length(const struct sum *sum, int rank, int size, int64_t from, int64_t piece)
{
    const int64_t left = comm_share_length(sum->n, rank, size) - from;
    return left < 0 ? 0 : left < piece ? left : piece;
}

/* Numbers from .. from + piece - 1 of every share go to its rank, which adds them. */
static enum status sum_pieces(struct comm *comm, const struct sum *sum, const struct lists *lists,
                              char *parts, int64_t from, int64_t piece)
{
    const int64_t element = (int64_t)dtype_size(sum->dtype);
    const int64_t mine = piece_length(sum, comm->rank, comm->size, from, piece);
    for (int r = 0; r < comm->size; r++) {
        lists->send[r] = piece_length(sum, r, comm->size, from, piece) * element;
        lists->in_at[r] = (comm_share(sum->n, r, comm->size) + from) * element;
        lists->receive[r] = mine * element;
        lists->out_at[r] = r * mine * element;
    }
    const enum status status = exchange(comm, lists, parts, sum->whole);
    if (status >= 0)
        (sum->is_onto ? parts_add : parts_sum)(sum->part + from * element, parts, mine, comm->size,
                                               sum->dtype);
    return status;
}

static enum status scatter_sum(struct comm *comm, const struct sum *sum)
{
    struct lists lists;
    void *parts = NULL;
    const int64_t element = (int64_t)dtype_size(sum->dtype);
    const int64_t longest = comm_share_length(sum->n, 0, comm->size);
    int64_t piece = PIECES_BYTES / element / comm->size;
    piece = piece < SMALLEST_PIECE ? SMALLEST_PIECE : piece;
    piece = piece < longest ? piece : longest;
    enum status status = take_lists(comm, ROOM_LISTS, &lists);
    if (status >= 0)
        status = comm_take_room(comm, ROOM_PARTS, (size_t)(piece * element * comm->size), &parts);
    for (int64_t from = 0; from < longest && status >= 0; from += piece)
        status = sum_pieces(comm, sum, &lists, parts, from, piece);
    return status;
}

/* whole [n] = the ranks' parts. */
static enum status gather(struct comm *comm, char *whole, const char *part, int64_t n,
                          enum dtype dtype)
{
    struct lists lists;
    const int64_t element = (int64_t)dtype_size(dtype);
    const enum status status = take_lists(comm, ROOM_LISTS, &lists);
    for (int r = 0; r < comm->size && status >= 0; r++) {
        lists.send[r] = comm_share_length(n, comm->rank, comm->size) * element;
        lists.in_at[r] = 0;
        lists.receive[r] = comm_share_length(n, r, comm->size) * element;
        lists.out_at[r] = comm_share(n, r, comm->size) * element;
    }
    return status < 0 ? status : exchange(comm, &lists, whole, part);
}

/* Every rank gets all numbers and adds them itself. */
static enum status sum_small(struct comm *comm, char *numbers, int64_t n, enum dtype dtype)
{
    void *all = NULL;
    const size_t bytes = (size_t)n * dtype_size(dtype);
    enum status status = comm_take_room(comm, ROOM_PARTS, bytes * (size_t)comm->size, &all);
    if (status >= 0)
        status = comm_end(comm, comm->ops->all_gather(comm, all, numbers, bytes));
    if (status >= 0)
        parts_sum(numbers, all, n, comm->size, dtype);
    return status;
}

static enum status sum_all(struct comm *comm, char *numbers, int64_t n, enum dtype dtype)
{
    const size_t element = dtype_size(dtype);
    if ((size_t)n * element * (size_t)comm->size <= SMALL_BYTES)
        return sum_small(comm, numbers, n, dtype);
    char *part = numbers + (size_t)comm_share(n, comm->rank, comm->size) * element;
    const struct sum sum = {.part = part, .whole = numbers, .n = n, .dtype = dtype};
    const enum status status = scatter_sum(comm, &sum);
    return status < 0 ? status : gather(comm, numbers, part, n, dtype);
}

/* -- the calls -- */

static void check_summable(const struct tensor *tensor)
{
    CHECK(tensor->dtype != DTYPE_I8, "a sum of int8");
}

static void check_share(const struct comm *comm, const struct tensor *part,
                        const struct tensor *whole)
{
    const int64_t want = comm_share_length(tensor_count(whole), comm->rank, comm->size);
    CHECK(tensor_count(part) == want, "a part of %lld, and rank %d's share of %lld is %lld",
          (long long)tensor_count(part), comm->rank, (long long)tensor_count(whole),
          (long long)want);
    CHECK(part->dtype == whole->dtype, "types %d and %d", (int)part->dtype, (int)whole->dtype);
}

enum status comm_all_reduce(struct comm *comm, struct backend *backend, const struct tensor *tensor)
{
    void *numbers = NULL;
    check_summable(tensor);
    enum status status = begin(comm, backend, "all_reduce");
    if (status < 0 || comm->size == 1 || tensor_count(tensor) == 0)
        return status;
    if (comm->device)
        return comm_end(comm, comm->device->all_reduce(comm, backend, tensor));
    status = borrow_filled(comm, backend, tensor, ROOM_IN, &numbers);
    if (status >= 0)
        status = sum_all(comm, numbers, tensor_count(tensor), tensor->dtype);
    if (status >= 0)
        give_back(backend, tensor, numbers);
    return status;
}

enum status comm_reduce_scatter(struct comm *comm, struct backend *backend,
                                const struct tensor *part, const struct tensor *whole)
{
    void *in = NULL, *out = NULL;
    check_summable(whole);
    check_share(comm, part, whole);
    enum status status = begin(comm, backend, "reduce_scatter");
    if (status < 0 || tensor_count(whole) == 0)
        return status;
    if (comm->size == 1) {
        copy(backend, part, whole);
        return STATUS_OK;
    }
    if (comm->device)
        return comm_end(comm, comm->device->reduce_scatter(comm, backend, part, whole));
    status = borrow_filled(comm, backend, whole, ROOM_IN, &in);
    if (status >= 0)
        status = borrow(comm, backend, part, ROOM_OUT, &out);
    const struct sum sum = {out, in, tensor_count(whole), whole->dtype, false};
    if (status >= 0)
        status = scatter_sum(comm, &sum);
    if (status >= 0)
        give_back(backend, part, out);
    return status;
}

enum status comm_add_shares(struct comm *comm, struct backend *backend, const struct tensor *part,
                            const struct tensor *whole)
{
    void *in = NULL, *out = NULL;
    check_summable(whole);
    check_share(comm, part, whole);
    enum status status = begin(comm, backend, "add_shares");
    if (status < 0 || tensor_count(whole) == 0)
        return status;
    status = borrow_filled(comm, backend, whole, ROOM_IN, &in);
    if (status >= 0)
        status = borrow_filled(comm, backend, part, ROOM_OUT, &out);
    const struct sum sum = {out, in, tensor_count(whole), whole->dtype, true};
    if (status >= 0)
        status = scatter_sum(comm, &sum);
    if (status >= 0)
        give_back(backend, part, out);
    return status;
}

enum status comm_gather_parts(struct comm *comm, struct backend *backend,
                              const struct tensor *whole, const struct tensor *part)
{
    void *in = NULL, *out = NULL;
    check_share(comm, part, whole);
    enum status status = begin(comm, backend, "gather_parts");
    if (status < 0 || tensor_count(whole) == 0)
        return status;
    if (comm->size == 1) {
        copy(backend, whole, part);
        return STATUS_OK;
    }
    if (comm->device)
        return comm_end(comm, comm->device->gather_parts(comm, backend, whole, part));
    status = borrow_filled(comm, backend, part, ROOM_IN, &in);
    if (status >= 0)
        status = borrow(comm, backend, whole, ROOM_OUT, &out);
    if (status >= 0)
        status = gather(comm, out, in, tensor_count(whole), whole->dtype);
    if (status >= 0)
        give_back(backend, whole, out);
    return status;
}

/* -- rows -- */

/* is_dense: they have to lie one behind the other. */
static void check_rows(const struct comm *comm, const struct comm_rows *rows, bool is_dense)
{
    int64_t end = 0;
    for (int r = 0; r < comm->size; r++) {
        const int64_t at = rows->at[r], count = rows->count[r];
        CHECK(count >= 0 && at >= 0 && at + count <= tensor_rows(rows->tensor) &&
                  (at == end || !is_dense),
              "%lld rows from %lld on of %lld, rank %d", (long long)count, (long long)at,
              (long long)tensor_rows(rows->tensor), r);
        end += count;
    }
}

static void check_both(const struct comm *comm, const struct comm_rows *out,
                       const struct comm_rows *in, bool is_dense)
{
    const int64_t width = tensor_columns(in->tensor), mine = in->count[comm->rank];
    CHECK(in->tensor->dtype == out->tensor->dtype && width == tensor_columns(out->tensor),
          "rows of %lld, type %d, to rows of %lld, type %d", (long long)width,
          (int)in->tensor->dtype, (long long)tensor_columns(out->tensor), (int)out->tensor->dtype);
    check_rows(comm, in, is_dense);
    check_rows(comm, out, is_dense);
    CHECK(mine == out->count[comm->rank], "%lld and %lld rows of one rank to itself",
          (long long)mine, (long long)out->count[comm->rank]);
}

static enum status list_rows(struct comm *comm, int room, const struct comm_rows *out,
                             const struct comm_rows *in, struct lists *lists)
{
    const int64_t bytes = tensor_columns(in->tensor) * (int64_t)dtype_size(in->tensor->dtype);
    const enum status status = take_lists(comm, room, lists);
    for (int r = 0; r < comm->size && status >= 0; r++) {
        lists->receive[r] = out->count[r] * bytes;
        lists->out_at[r] = out->at[r] * bytes;
        lists->send[r] = in->count[r] * bytes;
        lists->in_at[r] = in->at[r] * bytes;
    }
    return status;
}

/* From start to end, of rows one behind the other; in stages, or from a device. */
static enum status exchange_rows(struct comm *comm, struct backend *backend,
                                 const struct comm_rows *out, const struct comm_rows *in)
{
    struct lists lists;
    void *sent = NULL, *received = NULL;
    enum status status = list_rows(comm, ROOM_LISTS, out, in, &lists);
    if (status >= 0)
        status = borrow_filled(comm, backend, in->tensor, ROOM_IN, &sent);
    if (status >= 0)
        status = borrow(comm, backend, out->tensor, ROOM_OUT, &received);
    if (status >= 0)
        status = comm->stage > 1 ? stages_exchange(comm, received, lists.receive, sent, lists.send)
                                 : exchange(comm, &lists, received, sent);
    if (status >= 0)
        give_back(backend, out->tensor, received);
    return status;
}

static enum status start_slot(struct comm *comm, int slot, const struct comm_rows *out,
                              const struct comm_rows *in)
{
    struct lists lists;
    const enum status status = list_rows(comm, ROOM_SLOTS + slot, out, in, &lists);
    if (status < 0)
        return status;
    const struct comm_exchange bytes = exchange_of(&lists, out->tensor->data, in->tensor->data);
    return comm_end(comm, comm->ops->start(comm, slot, &bytes));
}

bool comm_overlaps(const struct comm *comm, const struct backend *backend)
{
    if (comm_is_alone(comm))
        return false;
    return comm->device ? comm->device_backend == backend : is_on_host(backend) && comm->stage <= 1;
}

enum status comm_all_to_all_start(struct comm *comm, struct backend *backend, int slot,
                                  const struct comm_rows *out, const struct comm_rows *in)
{
    static const char name[] = "all_to_all";
    enum status status = comm->device_backend == backend ? comm_begin_beside(comm, name)
                                                         : begin(comm, backend, name);
    if (status < 0)
        return status; /* how many rows come may be what an earlier call failed to say */
    const bool overlaps = comm_overlaps(comm, backend);
    CHECK(slot >= 0 && slot < COMM_SLOTS && !(comm->under_way >> slot & 1), "slot %d", slot);
    check_both(comm, out, in, !overlaps);
    if (comm->size == 1) {
        copy(backend, out->tensor, in->tensor);
        return STATUS_OK;
    }
    if (!overlaps)
        return exchange_rows(comm, backend, out, in);
    status = comm->device ? comm_end(comm, comm->device->start(comm, backend, slot, out, in))
                          : start_slot(comm, slot, out, in);
    if (status >= 0)
        comm->under_way |= 1u << slot;
    return status;
}

enum status comm_all_to_all_finish(struct comm *comm, int slot)
{
    const enum status status = comm_begin_beside(comm, "all_to_all");
    if (status < 0 || !(comm->under_way >> slot & 1))
        return status;
    comm->under_way &= ~(1u << slot);
    return comm_end(comm, comm->device ? comm->device->finish(comm, slot)
                                       : comm->ops->finish(comm, slot));
}

void comm_poll(struct comm *comm)
{
    if (!comm || !comm->under_way || comm->device || comm->error < 0)
        return;
    const enum status status = comm_end(comm, comm->ops->poll(comm));
    (void)status; /* comm keeps it */
}

/* Where rows begin that lie one behind the other. */
static void place(const struct comm *comm, const struct tensor *tensor, const int64_t *count,
                  int64_t *at)
{
    int64_t sum = 0;
    for (int r = 0; r < comm->size; r++) {
        at[r] = sum;
        sum += count[r];
    }
    CHECK(sum == tensor_rows(tensor), "%lld rows of %lld", (long long)sum,
          (long long)tensor_rows(tensor));
}

enum status comm_all_to_all(struct comm *comm, struct backend *backend, const struct tensor *out,
                            const int64_t *receive, const struct tensor *in, const int64_t *send)
{
    void *memory = NULL;
    enum status status = comm_begin(comm, "all_to_all");
    if (status < 0)
        return status;
    const size_t n = (size_t)comm->size;
    status = comm_take_room(comm, ROOM_PARTS, 2 * n * sizeof(int64_t), &memory);
    if (status < 0)
        return status;
    int64_t *out_at = memory, *in_at = out_at + n;
    place(comm, out, receive, out_at);
    place(comm, in, send, in_at);
    const struct comm_rows to = {out, receive, out_at}, from = {in, send, in_at};
    status = comm_all_to_all_start(comm, backend, 0, &to, &from);
    return status < 0 ? status : comm_all_to_all_finish(comm, 0);
}
