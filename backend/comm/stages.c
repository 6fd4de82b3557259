/* An exchange in two stages, for many ranks: inside nodes, then between them.
 *
 * Of R = nodes * N ranks, rank a * N + i first gives its node's rank j all that is on its way to
 * the ranks b * N + j, for every node b; then ranks of the same place j in their nodes exchange.
 * That is 2 (N - 1) + R / N - 1 messages instead of R - 1 and up to twice the bytes, half of them
 * inside a node. A node's first messages say how many bytes are for each node. */
#include <string.h>

#include "backend/comm/parts.h"

struct stages {
    struct comm *comm;
    int64_t nodes, node; /* how many, and ranks of one */
    int64_t a, i;        /* this rank's node, and its place in it */
    int64_t *lists;      /* [4 * size]: of the exchange under way */
    int64_t *to_node;    /* [size]: bytes for place j of node b, at j * nodes + b */
    int64_t *from_node;  /* [size]: of those of rank i here for node b, at i * nodes + b */
};

static enum status take_lists(struct stages *stages)
{
    void *memory = NULL;
    const size_t n = (size_t)stages->comm->size;
    const enum status status =
        comm_take_room(stages->comm, ROOM_STAGES, 6 * n * sizeof(int64_t), &memory);
    stages->lists = memory;
    if (status >= 0) {
        stages->to_node = stages->lists + 4 * n;
        stages->from_node = stages->lists + 5 * n;
    }
    return status;
}

/* The exchange with lists as they are; blocks lie one behind the other on both sides, in order of
 * the ranks. */
static enum status exchange(struct stages *stages, void *out, const void *in)
{
    struct comm *comm = stages->comm;
    const int size = comm->size;
    int64_t *const receive = stages->lists, *const out_at = receive + size;
    int64_t *const send = out_at + size, *const in_at = send + size;
    int64_t came = 0, went = 0;
    for (int r = 0; r < size; r++) {
        out_at[r] = came;
        in_at[r] = went;
        came += receive[r];
        went += send[r];
    }
    const struct comm_exchange bytes = {out, receive, out_at, in, send, in_at};
    return comm_exchange_now(comm, &bytes);
}

static void clear_lists(struct stages *stages)
{
    memset(stages->lists, 0, 4 * (size_t)stages->comm->size * sizeof *stages->lists);
}

/* Each rank of the node learns how many bytes it gets for every node from each of the others. */
static enum status tell_sizes(struct stages *stages)
{
    const int size = stages->comm->size;
    const int64_t bytes = stages->nodes * (int64_t)sizeof(int64_t);
    clear_lists(stages);
    for (int64_t j = 0; j < stages->node; j++) {
        stages->lists[stages->a * stages->node + j] = bytes;
        stages->lists[2 * size + stages->a * stages->node + j] = bytes;
    }
    return exchange(stages, stages->from_node, stages->to_node);
}

static int64_t sum_of(const int64_t *numbers, int64_t n, int64_t step)
{
    int64_t sum = 0;
    for (int64_t k = 0; k < n; k++)
        sum += numbers[k * step];
    return sum;
}

/* The first stage: packed, for places in the node in turn and in each for nodes in turn, to middle,
 * by ranks of the node in turn. */
static enum status exchange_inside(struct stages *stages, char *middle, const char *packed)
{
    const int size = stages->comm->size;
    clear_lists(stages);
    for (int64_t j = 0; j < stages->node; j++) {
        const int64_t peer = stages->a * stages->node + j;
        stages->lists[peer] = sum_of(stages->from_node + j * stages->nodes, stages->nodes, 1);
        stages->lists[2 * size + peer] =
            sum_of(stages->to_node + j * stages->nodes, stages->nodes, 1);
    }
    return exchange(stages, middle, packed);
}

/* The second: packed, for nodes in turn and in each by ranks of this node in turn, to out, by ranks
 * in turn. */
static enum status exchange_between(struct stages *stages, char *out, const char *packed,
                                    const int64_t *receive)
{
    const int size = stages->comm->size;
    clear_lists(stages);
    for (int64_t b = 0; b < stages->nodes; b++) {
        const int64_t peer = b * stages->node + stages->i;
        stages->lists[peer] = sum_of(receive + b * stages->node, stages->node, 1);
        stages->lists[2 * size + peer] = sum_of(stages->from_node + b, stages->node, stages->nodes);
    }
    return exchange(stages, out, packed);
}

/* Blocks [rows, columns] of sizes `sizes`, one behind the other, become [columns, rows]. */
static void transpose(char *to, const char *from, const int64_t *sizes, int64_t rows,
                      int64_t columns)
{
    for (int64_t c = 0; c < columns; c++) {
        int64_t at = 0;
        for (int64_t r = 0; r < rows; r++) {
            const int64_t *row = sizes + r * columns;
            memcpy(to, from + at + sum_of(row, c, 1), (size_t)row[c]);
            to += row[c];
            at += sum_of(row, columns, 1);
        }
    }
}

enum status stages_exchange(struct comm *comm, char *out, const int64_t *receive, const char *in,
                            const int64_t *send)
{
    struct stages stages = {.comm = comm,
                            .nodes = comm->size / comm->stage,
                            .node = comm->stage,
                            .a = comm->rank / comm->stage,
                            .i = comm->rank % comm->stage};
    void *packed = NULL, *middle = NULL;
    const int64_t went = sum_of(send, comm->size, 1);
    enum status status = take_lists(&stages);
    if (status < 0)
        return status;
    for (int64_t b = 0; b < stages.nodes; b++)
        for (int64_t j = 0; j < stages.node; j++)
            stages.to_node[j * stages.nodes + b] = send[b * stages.node + j];
    status = tell_sizes(&stages);
    const int64_t passes = status < 0 ? 0 : sum_of(stages.from_node, comm->size, 1);
    if (status >= 0)
        status =
            comm_take_room(comm, ROOM_PACKED, (size_t)(went > passes ? went : passes), &packed);
    if (status >= 0)
        status = comm_take_room(comm, ROOM_MIDDLE, (size_t)passes, &middle);
    if (status < 0)
        return status;
    transpose(packed, in, send, stages.nodes, stages.node);
    status = exchange_inside(&stages, middle, packed);
    if (status < 0)
        return status;
    transpose(packed, middle, stages.from_node, stages.node, stages.nodes);
    return exchange_between(&stages, out, packed, receive);
}

void comm_set_stage(struct comm *comm, int node)
{
    CHECK(node >= 1 && comm->size % node == 0, "stages of %d of %d ranks", node, comm->size);
    comm->stage = node;
}

enum status stages_choose(struct comm *comm)
{
    int32_t all_same = comm->node_size > 1 && comm->size % comm->node_size == 0 &&
                       comm->rank % comm->node_size == comm->node_rank;
    void *room = NULL;
    const int32_t mine = all_same ? comm->node_size : 0;
    comm->stage = 1;
    if (comm->size < STAGES_FROM)
        return STATUS_OK;
    const enum status status = comm_gather_to_room(comm, "all_gather", &mine, sizeof mine, &room);
    const int32_t *const sizes = room;
    for (int r = 0; r < comm->size && status >= 0; r++)
        all_same = all_same && sizes[r] == mine;
    if (status >= 0 && all_same)
        comm->stage = comm->node_size;
    return status;
}
