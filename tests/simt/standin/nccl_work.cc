/* Stand-in of NCCL: what calls do on their streams.
 *
 * A call sends its part to the others when its stream comes to it, and ends when all parts for it
 * are there. Sums go by rank in double, so all ranks get the same bits. A send ends when its
 * receiver is there, since the real one may wait for it: without a group, two ranks that both send
 * first wait for each other, until the time is up. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simt/device.h"
#include "tests/simt/standin/nccl.hh"
#include "tests/simt/standin/product.hh"
#include "tests/simt/standin/standin.hh"

enum { COLLECTIVE = 'c', DATA = 'd', RECEIVER = 'r' }; /* channels */

static cudaDataType cuda_type(ncclDataType_t type)
{
    switch (type) {
    case ncclInt8:
        return CUDA_R_8I;
    case ncclInt32:
        return CUDA_R_32I;
    case ncclFloat64:
        return CUDA_R_64F;
    case ncclBfloat16:
        return CUDA_R_16BF;
    default:
        return CUDA_R_32F;
    }
}

static bool has_root(const struct nccl_call *call)
{
    return call->kind == NCCL_BROADCAST || call->kind == NCCL_REDUCE;
}

static bool is_pair(const struct nccl_call *call)
{
    return call->kind == NCCL_SEND || call->kind == NCCL_RECV;
}

static bool is_sum(const struct nccl_call *call)
{
    return call->kind <= NCCL_REDUCE_SCATTER;
}

/* Sends and receives say the same of themselves, so that they can be compared. */
static struct nccl_head head_of(const struct nccl_call *call)
{
    return {call->count, is_pair(call) ? NCCL_SEND : call->kind, call->type,
            is_sum(call) ? call->op : 0, has_root(call) ? call->peer : -1};
}

/* -- sending -- */

/* What a rank gets of this one in a collective call: bytes of `send`. */
static void part_for(const struct nccl_call *call, int rank, size_t *begin, size_t *bytes)
{
    const size_t all = call->count * nccl_type_bytes(call->type);
    const bool is_mine = call->kind != NCCL_BROADCAST || call->peer == call->comm->rank;
    const bool is_for_it = call->kind != NCCL_REDUCE || call->peer == rank;
    *begin = call->kind == NCCL_REDUCE_SCATTER ? (size_t)rank * all : 0;
    *bytes = is_mine && is_for_it ? all : 0;
}

static void send_parts(const struct nccl_call *call, uint64_t number)
{
    const struct nccl_head head = head_of(call);
    for (int rank = 0; rank < call->comm->n_ranks; rank++) {
        size_t begin = 0, bytes = 0;
        part_for(call, rank, &begin, &bytes);
        const char *part = static_cast<const char *>(call->send) + begin;
        if (bytes)
            simt_check_read(part, bytes, nccl_kind_name(call->kind));
        nccl_put(call->comm, COLLECTIVE, number, rank, &head, part, bytes);
    }
}

/* The first half of a call. */
static void start(void *argument)
{
    const struct nccl_call *call = static_cast<const struct nccl_call *>(argument);
    struct ncclComm *comm = call->comm;
    const struct nccl_head head = head_of(call);
    const size_t bytes = call->count * nccl_type_bytes(call->type);
    uint64_t number = 0;
    if (call->kind == NCCL_SEND) {
        number = comm->n_sent[(size_t)call->peer]++;
        simt_check_read(call->send, bytes, "ncclSend");
        nccl_put(comm, DATA, number, call->peer, &head, call->send, bytes);
    } else if (call->kind == NCCL_RECV) {
        number = comm->n_received[(size_t)call->peer]++;
        nccl_put(comm, RECEIVER, number, call->peer, &head, NULL, 0);
    } else {
        number = comm->n_collectives++;
        send_parts(call, number);
    }
    comm->started.push_back({*call, number, nccl_now_ms()});
}

/* -- ending -- */

static bool is_same_call(const struct nccl_call *a, const struct nccl_call *b)
{
    return a->kind == b->kind && a->send == b->send && a->recv == b->recv && a->count == b->count &&
           a->peer == b->peer;
}

static bool has_come(const struct nccl_started *started)
{
    const struct nccl_call *call = &started->call;
    if (call->kind == NCCL_SEND)
        return nccl_is_there(call->comm, RECEIVER, started->number, call->peer);
    if (call->kind == NCCL_RECV)
        return nccl_is_there(call->comm, DATA, started->number, call->peer);
    for (int rank = 0; rank < call->comm->n_ranks; rank++)
        if (!nccl_is_there(call->comm, COLLECTIVE, started->number, rank))
            return false;
    return true;
}

static void fail(struct ncclComm *comm, ncclResult_t error, const char *function,
                 const char *message)
{
    standin_report(function, "rank %d: %s", comm->rank, message);
    comm->error = error;
}

/* A call whose time is up is over too, with an error that everyone sees. */
static bool may_end(void *argument)
{
    const struct nccl_call *call = static_cast<const struct nccl_call *>(argument);
    struct ncclComm *comm = call->comm;
    if (comm->error != ncclSuccess)
        return true;
    if (comm->started.empty() || !is_same_call(&comm->started.front().call, call))
        return false;
    if (has_come(&comm->started.front()))
        return true;
    if (nccl_has_given_up(comm)) {
        comm->error = ncclRemoteError;
        return true;
    }
    if (nccl_now_ms() - comm->started.front().since_ms < nccl_timeout_ms())
        return false;
    fail(comm, ncclSystemError, nccl_kind_name(call->kind),
         "the others do not come: another order of calls, a rank less, or no group");
    nccl_give_up(comm);
    return true;
}

static bool agrees(const struct nccl_call *call, const struct nccl_head *head, int rank)
{
    const struct nccl_head own = head_of(call);
    if (memcmp(&own, head, sizeof own) == 0)
        return true;
    char message[160] = "";
    snprintf(message, sizeof message,
             "calls differ: %s of %llu, type %d, op %d, root %d, and of rank %d %s of %llu, type "
             "%d, op %d, root %d",
             nccl_kind_name(own.kind), (unsigned long long)own.count, own.type, own.op, own.root,
             rank, nccl_kind_name(head->kind), (unsigned long long)head->count, head->type,
             head->op, head->root);
    fail(call->comm, ncclInvalidUsage, nccl_kind_name(call->kind), message);
    return false;
}

static double combine(double a, double b, ncclRedOp_t op)
{
    switch (op) {
    case ncclProd:
        return a * b;
    case ncclMax:
        return a > b ? a : b;
    case ncclMin:
        return a < b ? a : b;
    default:
        return a + b;
    }
}

/* Whole numbers of 64 bits do not fit a double. */
static int64_t combine_whole(int64_t a, int64_t b, ncclRedOp_t op)
{
    switch (op) {
    case ncclProd:
        return a * b;
    case ncclMax:
        return a > b ? a : b;
    case ncclMin:
        return a < b ? a : b;
    default:
        return a + b;
    }
}

static void reduce_whole(const struct nccl_call *call, const std::vector<std::vector<char>> &parts)
{
    int64_t *out = static_cast<int64_t *>(call->recv);
    for (size_t i = 0; i < call->count; i++) {
        int64_t sum = 0, next = 0;
        memcpy(&sum, parts[0].data() + i * 8, 8);
        for (size_t r = 1; r < parts.size(); r++) {
            memcpy(&next, parts[r].data() + i * 8, 8);
            sum = combine_whole(sum, next, call->op);
        }
        out[i] = call->op == ncclAvg ? sum / (int64_t)parts.size() : sum;
    }
}

static void reduce(const struct nccl_call *call, const std::vector<std::vector<char>> &parts)
{
    const cudaDataType type = cuda_type(call->type);
    if (call->type == ncclInt64 || call->type == ncclUint64) {
        reduce_whole(call, parts);
        return;
    }
    for (size_t i = 0; i < call->count; i++) {
        double sum = standin_load(parts[0].data(), type, (int64_t)i);
        for (size_t r = 1; r < parts.size(); r++)
            sum = combine(sum, standin_load(parts[r].data(), type, (int64_t)i), call->op);
        standin_store(call->recv, type, (int64_t)i,
                      call->op == ncclAvg ? sum / (double)parts.size() : sum);
    }
}

static void write_result(const struct nccl_call *call, const std::vector<std::vector<char>> &parts)
{
    const size_t bytes = call->count * nccl_type_bytes(call->type);
    char *out = static_cast<char *>(call->recv);
    if (bytes == 0 || (call->kind == NCCL_REDUCE && call->peer != call->comm->rank))
        return;
    if (call->kind == NCCL_BROADCAST)
        memcpy(out, parts[(size_t)call->peer].data(), bytes);
    else if (call->kind == NCCL_ALL_GATHER)
        for (size_t r = 0; r < parts.size(); r++)
            memcpy(out + r * bytes, parts[r].data(), bytes);
    else
        reduce(call, parts);
    simt_mark_written(out, call->kind == NCCL_ALL_GATHER ? parts.size() * bytes : bytes);
}

static void end_collective(const struct nccl_call *call, uint64_t number)
{
    std::vector<std::vector<char>> parts;
    bool is_agreed = true;
    for (int rank = 0; rank < call->comm->n_ranks; rank++) {
        struct nccl_head head;
        parts.push_back(nccl_take(call->comm, COLLECTIVE, number, rank, &head));
        is_agreed = is_agreed && agrees(call, &head, rank);
    }
    if (is_agreed)
        write_result(call, parts);
}

static void end_pair(const struct nccl_call *call, uint64_t number)
{
    struct nccl_head head;
    const bool is_send = call->kind == NCCL_SEND;
    const std::vector<char> data =
        nccl_take(call->comm, is_send ? RECEIVER : DATA, number, call->peer, &head);
    if (!agrees(call, &head, call->peer) || is_send || data.empty())
        return;
    memcpy(call->recv, data.data(), data.size());
    simt_mark_written(call->recv, data.size());
}

/* The second half; after an error nothing is done, and results stay as they are. */
static void end(void *argument)
{
    const struct nccl_call *call = static_cast<const struct nccl_call *>(argument);
    struct ncclComm *comm = call->comm;
    comm->n_pending--;
    if (comm->error != ncclSuccess)
        return;
    const uint64_t number = comm->started.front().number;
    comm->started.pop_front();
    if (is_pair(call))
        end_pair(call, number);
    else
        end_collective(call, number);
}

static void *copy(const struct nccl_call *call)
{
    void *copied = malloc(sizeof *call);
    if (!copied)
        abort();
    return memcpy(copied, call, sizeof *call);
}

void nccl_enqueue(const std::vector<struct nccl_call> &calls)
{
    for (const struct nccl_call &call : calls) {
        call.comm->n_pending++;
        call.comm->last_stream = call.stream;
        simt_enqueue(call.stream, start, copy(&call));
    }
    for (const struct nccl_call &call : calls)
        simt_enqueue_when(call.stream, may_end, end, copy(&call));
}
