/* Tensors between ranks that have a GPU each, by NCCL.
 *
 * Communicators are non-blocking: nothing is waited for inside NCCL. Each call is enqueued on the
 * handle's stream, behind what computes its input, and then both NCCL's errors and the stream are
 * looked at until the work is done or the deadline has passed. Rows of an all-to-all go on a stream
 * of their own, which an event lets begin behind what computes them: they travel while the handle's
 * stream computes. To abort a communicator, which ends
 * its kernels, can itself hang, and is left to comm_abort(). */
#include <nccl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend/cuda/comm.h"
#include "backend/cuda/context.h"
#include "base/clock.h"

_Static_assert(COMM_DEVICE_ID_BYTES == NCCL_UNIQUE_ID_BYTES, "the size of NCCL's unique id");

struct group {
    ncclComm_t ranks; /* NULL once aborted */
    int size, rank;
    cudaStream_t travel;
    cudaEvent_t ready;            /* what is to travel is computed */
    cudaEvent_t done[COMM_SLOTS]; /* what travels in each slot has come */
};

static struct group *group_of(const struct comm *comm)
{
    return comm->device_context;
}

/* -- errors and waiting -- */

static enum status refuse(struct comm *comm, const char *what, const char *words)
{
    char step[32] = "";
    if (comm->step >= 0)
        snprintf(step, sizeof step, "step %lld: ", (long long)comm->step);
    snprintf(comm->message, sizeof comm->message, "rank %d on %s: %s%s%s%s%s", comm->rank,
             comm->host, step, comm->operation, what, words[0] ? ": " : "", words);
    return STATUS_DEVICE;
}

static enum status fail(struct comm *comm, ncclResult_t result)
{
    return refuse(comm, ": NCCL", ncclGetErrorString(result));
}

static enum status too_late(struct comm *comm)
{
    char what[64];
    snprintf(what, sizeof what, " did not end within %g s", comm->timeout_s);
    return refuse(comm, what, "");
}

static void rest(int looks)
{
    enum { SPINS = 2000, PAUSE_NS = 50000 };
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    if (looks < SPINS)
        (void)sched_yield();
    else
        (void)nanosleep(&pause, NULL);
}

/* Until NCCL has taken what was given to it: without an error, ncclInProgress is over. */
static enum status settle(struct comm *comm, ncclResult_t result, double deadline)
{
    for (int looks = 0; result == ncclInProgress; looks++) {
        const ncclResult_t asked = ncclCommGetAsyncError(group_of(comm)->ranks, &result);
        if (asked != ncclSuccess)
            result = asked;
        if (result == ncclInProgress && clock_seconds() > deadline)
            return too_late(comm);
        rest(looks);
    }
    return result == ncclSuccess ? STATUS_OK : fail(comm, result);
}

/* Until the stream is done, or an event where one is given. Errors of the network show in the
 * communicator alone. */
static enum status drain(struct comm *comm, cudaStream_t stream, cudaEvent_t event, double deadline)
{
    for (int looks = 0;; looks++) {
        ncclResult_t result = ncclSuccess;
        const cudaError_t error = event ? cudaEventQuery(event) : cudaStreamQuery(stream);
        const ncclResult_t asked = ncclCommGetAsyncError(group_of(comm)->ranks, &result);
        if (asked != ncclSuccess || (result != ncclSuccess && result != ncclInProgress))
            return fail(comm, asked != ncclSuccess ? asked : result);
        if (error == cudaSuccess)
            return STATUS_OK;
        if (error != cudaErrorNotReady)
            return refuse(comm, "", cudaGetErrorString(error));
        if (clock_seconds() > deadline)
            return too_late(comm);
        rest(looks);
    }
}

/* A call with what its last function of NCCL returned. */
static enum status finish(struct comm *comm, const struct backend *backend, ncclResult_t result)
{
    const double deadline = clock_seconds() + comm->timeout_s;
    const enum status status = settle(comm, result, deadline);
    return status < 0 ? status : drain(comm, context_of(backend)->stream, NULL, deadline);
}

/* Before a call: the device is this thread's. */
static enum status enter(struct comm *comm, struct backend *backend)
{
    if (!group_of(comm)->ranks)
        return refuse(comm, "", "the communicator was aborted");
    return context_enter(backend) ? STATUS_OK : refuse(comm, "", backend->message);
}

/* The first error of a sequence of calls. ncclInProgress is none, and is not forgotten. */
static void note(ncclResult_t *result, ncclResult_t next)
{
    if (*result == ncclSuccess || (*result == ncclInProgress && next != ncclSuccess))
        *result = next;
}

/* -- communicators -- */

static enum status nccl_make_id(struct comm *comm, unsigned char id[COMM_DEVICE_ID_BYTES])
{
    ncclUniqueId made;
    const ncclResult_t result = ncclGetUniqueId(&made);
    if (result != ncclSuccess)
        return fail(comm, result);
    memcpy(id, made.internal, sizeof made.internal);
    return STATUS_OK;
}

/* The stream and the events of rows. */
static enum status make_stream(struct comm *comm)
{
    struct group *group = group_of(comm);
    cudaError_t error = cudaStreamCreateWithFlags(&group->travel, cudaStreamNonBlocking);
    if (error == cudaSuccess)
        error = cudaEventCreateWithFlags(&group->ready, cudaEventDisableTiming);
    for (int i = 0; i < COMM_SLOTS && error == cudaSuccess; i++)
        error = cudaEventCreateWithFlags(&group->done[i], cudaEventDisableTiming);
    return error == cudaSuccess ? STATUS_OK : refuse(comm, "", cudaGetErrorString(error));
}

static void free_group(struct comm *comm)
{
    struct group *group = group_of(comm);
    for (int i = 0; i < COMM_SLOTS; i++)
        if (group->done[i])
            (void)cudaEventDestroy(group->done[i]);
    if (group->ready)
        (void)cudaEventDestroy(group->ready);
    if (group->travel)
        (void)cudaStreamDestroy(group->travel);
    free(group);
    comm->device_context = NULL;
}

static void nccl_close(struct comm *comm)
{
    struct group *group = group_of(comm);
    if (group->ranks && comm->error >= 0) {
        const double deadline = clock_seconds() + comm->timeout_s;
        if (settle(comm, ncclCommFinalize(group->ranks), deadline) >= 0)
            (void)ncclCommDestroy(group->ranks);
    } else if (group->ranks) {
        (void)ncclCommAbort(group->ranks);
    }
    free_group(comm);
}

static void nccl_abort(struct comm *comm)
{
    struct group *group = group_of(comm);
    if (group->ranks)
        (void)ncclCommAbort(group->ranks);
    group->ranks = NULL;
}

static enum status nccl_open(struct comm *comm, struct backend *backend,
                             const unsigned char id[COMM_DEVICE_ID_BYTES])
{
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId given;
    struct group *group = calloc(1, sizeof *group);
    if (!group)
        return refuse(comm, "", "no memory for NCCL");
    *group = (struct group){.size = comm->size, .rank = comm->rank};
    comm->device_context = group;
    memcpy(given.internal, id, sizeof given.internal);
    config.blocking = 0;
    enum status status = context_enter(backend) ? STATUS_OK : refuse(comm, "", backend->message);
    if (status >= 0)
        status = settle(
            comm, ncclCommInitRankConfig(&group->ranks, comm->size, given, comm->rank, &config),
            clock_seconds() + comm->timeout_s);
    if (status >= 0)
        status = make_stream(comm);
    if (status < 0) {
        nccl_abort(comm);
        free_group(comm);
    }
    return status;
}

/* -- tensors -- */

static ncclDataType_t type_of(const struct tensor *tensor)
{
    switch (tensor->dtype) {
    case DTYPE_F32:
        return ncclFloat32;
    case DTYPE_F64:
        return ncclFloat64;
    case DTYPE_I32:
        return ncclInt32;
    default:
        return ncclInt8;
    }
}

/* Element i of a tensor. */
static char *at(const struct tensor *tensor, int64_t i)
{
    return (char *)tensor->data + (size_t)i * dtype_size(tensor->dtype);
}

static size_t share_of(int64_t n, int rank, int size)
{
    return (size_t)comm_share_length(n, rank, size);
}

static enum status nccl_all_reduce(struct comm *comm, struct backend *backend,
                                   const struct tensor *tensor)
{
    const enum status status = enter(comm, backend);
    if (status < 0)
        return status;
    return finish(comm, backend,
                  ncclAllReduce(tensor->data, tensor->data, (size_t)tensor_count(tensor),
                                type_of(tensor), ncclSum, group_of(comm)->ranks,
                                context_of(backend)->stream));
}

/* NCCL's own call takes equal shares; of others each rank's share is summed to it, in one group. */
static enum status nccl_reduce_scatter(struct comm *comm, struct backend *backend,
                                       const struct tensor *part, const struct tensor *whole)
{
    const struct group *group = group_of(comm);
    const int64_t n = tensor_count(whole);
    const cudaStream_t stream = context_of(backend)->stream;
    const enum status status = enter(comm, backend);
    if (status < 0)
        return status;
    if (n % group->size == 0)
        return finish(comm, backend,
                      ncclReduceScatter(whole->data, part->data, (size_t)(n / group->size),
                                        type_of(whole), ncclSum, group->ranks, stream));
    ncclResult_t result = ncclGroupStart();
    for (int r = 0; r < group->size; r++)
        if (share_of(n, r, group->size) > 0)
            note(&result,
                 ncclReduce(at(whole, comm_share(n, r, group->size)),
                            r == group->rank ? part->data : NULL, share_of(n, r, group->size),
                            type_of(whole), ncclSum, r, group->ranks, stream));
    note(&result, ncclGroupEnd());
    return finish(comm, backend, result);
}

static enum status nccl_gather_parts(struct comm *comm, struct backend *backend,
                                     const struct tensor *whole, const struct tensor *part)
{
    const struct group *group = group_of(comm);
    const int64_t n = tensor_count(whole);
    const cudaStream_t stream = context_of(backend)->stream;
    const enum status status = enter(comm, backend);
    if (status < 0)
        return status;
    if (n % group->size == 0)
        return finish(comm, backend,
                      ncclAllGather(part->data, whole->data, (size_t)(n / group->size),
                                    type_of(whole), group->ranks, stream));
    ncclResult_t result = ncclGroupStart();
    for (int r = 0; r < group->size; r++)
        if (share_of(n, r, group->size) > 0) {
            char *target = at(whole, comm_share(n, r, group->size));
            note(&result, ncclBroadcast(r == group->rank ? part->data : target, target,
                                        share_of(n, r, group->size), type_of(whole), r,
                                        group->ranks, stream));
        }
    note(&result, ncclGroupEnd());
    return finish(comm, backend, result);
}

/* This rank's own rows, which no network is needed for. */
static cudaError_t copy_own(const struct group *group, const struct comm_rows *out,
                            const struct comm_rows *in)
{
    const int r = group->rank;
    const int64_t width = tensor_columns(in->tensor);
    const size_t bytes = (size_t)(in->count[r] * width) * dtype_size(in->tensor->dtype);
    if (bytes == 0)
        return cudaSuccess;
    return cudaMemcpyAsync(at(out->tensor, out->at[r] * width), at(in->tensor, in->at[r] * width),
                           bytes, cudaMemcpyDeviceToDevice, group->travel);
}

/* Rows to and from all other ranks, in one group. */
static ncclResult_t send_and_receive(const struct group *group, const struct comm_rows *out,
                                     const struct comm_rows *in)
{
    const int64_t width = tensor_columns(in->tensor);
    const ncclDataType_t type = type_of(in->tensor);
    ncclResult_t result = ncclGroupStart();
    for (int r = 0; r < group->size; r++) {
        const size_t sent = (size_t)(in->count[r] * width);
        const size_t received = (size_t)(out->count[r] * width);
        if (r != group->rank && sent > 0)
            note(&result, ncclSend(at(in->tensor, in->at[r] * width), sent, type, r, group->ranks,
                                   group->travel));
        if (r != group->rank && received > 0)
            note(&result, ncclRecv(at(out->tensor, out->at[r] * width), received, type, r,
                                   group->ranks, group->travel));
    }
    note(&result, ncclGroupEnd());
    return result;
}

/* NCCL has enqueued the rows before the event that marks their end is. */
static enum status nccl_start(struct comm *comm, struct backend *backend, int slot,
                              const struct comm_rows *out, const struct comm_rows *in)
{
    const struct group *group = group_of(comm);
    const double deadline = clock_seconds() + comm->timeout_s;
    enum status status = enter(comm, backend);
    if (status < 0)
        return status;
    cudaError_t error = cudaEventRecord(group->ready, context_of(backend)->stream);
    if (error == cudaSuccess)
        error = cudaStreamWaitEvent(group->travel, group->ready, 0);
    if (error == cudaSuccess)
        error = copy_own(group, out, in);
    if (error == cudaSuccess)
        status = settle(comm, send_and_receive(group, out, in), deadline);
    if (error == cudaSuccess && status >= 0)
        error = cudaEventRecord(group->done[slot], group->travel);
    return error == cudaSuccess ? status : refuse(comm, "", cudaGetErrorString(error));
}

static enum status nccl_finish(struct comm *comm, int slot)
{
    const struct group *group = group_of(comm);
    if (!group->ranks)
        return refuse(comm, "", "the communicator was aborted");
    return drain(comm, group->travel, group->done[slot], clock_seconds() + comm->timeout_s);
}

const struct comm_device_ops *cuda_comm(void)
{
    static const struct comm_device_ops ops = {
        .make_id = nccl_make_id,
        .open = nccl_open,
        .close = nccl_close,
        .abort = nccl_abort,
        .all_reduce = nccl_all_reduce,
        .reduce_scatter = nccl_reduce_scatter,
        .gather_parts = nccl_gather_parts,
        .start = nccl_start,
        .finish = nccl_finish,
    };
    return &ops;
}
