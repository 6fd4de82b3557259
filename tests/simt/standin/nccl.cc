/* Stand-in of NCCL: communicators, groups, and the checks of each call. */
#include "tests/simt/standin/nccl.hh"

#include <stdio.h>
#include <string.h>

#include "tests/simt/device.h"
#include "tests/simt/standin/standin.hh"

static Live<ncclComm> comms;

/* Of the calling thread: calls and communicators that wait for the end of the group. */
static thread_local int group_depth;
static thread_local std::vector<struct nccl_call> group_calls;
static thread_local std::vector<ncclComm_t> group_joins;
static thread_local ncclResult_t group_error;

size_t nccl_type_bytes(ncclDataType_t type)
{
    switch (type) {
    case ncclInt8:
        return 1;
    case ncclBfloat16:
        return 2;
    case ncclInt32:
    case ncclFloat32:
        return 4;
    case ncclInt64:
    case ncclUint64:
    case ncclFloat64:
        return 8;
    default:
        return 0; /* not in the stand-in */
    }
}

const char *nccl_kind_name(int kind)
{
    static const char *const names[] = {"ncclAllReduce", "ncclReduce",    "ncclReduceScatter",
                                        "ncclAllGather", "ncclBroadcast", "ncclSend",
                                        "ncclRecv"};
    return kind >= 0 && kind <= NCCL_RECV ? names[kind] : "nccl";
}

ncclResult_t ncclGetVersion(int *version)
{
    if (!version)
        return ncclInvalidArgument;
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
}

const char *ncclGetErrorString(ncclResult_t result)
{
    static const char *const texts[] = {"no error",
                                        "unhandled cuda error",
                                        "system error",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process exited or there was a network error",
                                        "operation in progress"};
    return (unsigned)result < ncclNumResults ? texts[result] : "unknown result code";
}

const char *ncclGetLastError(ncclComm_t comm)
{
    return comms.has(comm) ? ncclGetErrorString((ncclResult_t)comm->error.load()) : "no error";
}

ncclResult_t ncclGetUniqueId(ncclUniqueId *uniqueId)
{
    if (!uniqueId)
        return ncclInvalidArgument;
    if (simt_fail_now("nccl"))
        return ncclSystemError;
    memset(uniqueId, 0, sizeof *uniqueId);
    snprintf(uniqueId->internal, sizeof uniqueId->internal, "%s", nccl_new_folder().c_str());
    return ncclSuccess;
}

/* Waits for the others, unless the end of a group will. */
static ncclResult_t finish_join(ncclComm_t comm)
{
    const ncclResult_t result = nccl_wait_for_all(comm);
    if (result != ncclSuccess)
        comm->error = result;
    return result;
}

/* A communicator that has joined and waits for nobody yet. */
static ncclResult_t make(ncclComm_t *comm, int nranks, ncclUniqueId commId, int rank)
{
    if (!comm || nranks < 1 || rank < 0 || rank >= nranks)
        return ncclInvalidArgument;
    *comm = NULL;
    if (simt_fail_now("nccl"))
        return ncclSystemError;
    commId.internal[sizeof commId.internal - 1] = '\0';
    ncclComm *made = new ncclComm();
    made->folder = commId.internal;
    made->rank = rank;
    made->n_ranks = nranks;
    made->n_sent.resize((size_t)nranks);
    made->n_received.resize((size_t)nranks);
    made->is_blocking = true;
    made->since_ms = nccl_now_ms();
    cudaGetDevice(&made->device);
    if (made->folder.empty() || !nccl_join(made)) {
        standin_complain("ncclCommInitRank", "rank %d twice, or no unique id", rank);
        delete made;
        return ncclInvalidUsage;
    }
    *comm = comms.add(made);
    return ncclSuccess;
}

ncclResult_t ncclCommInitRank(ncclComm_t *comm, int nranks, ncclUniqueId commId, int rank)
{
    const ncclResult_t made = make(comm, nranks, commId, rank);
    if (made != ncclSuccess)
        return made;
    if (group_depth > 0) {
        group_joins.push_back(*comm);
        return ncclSuccess;
    }
    const ncclResult_t result = finish_join(*comm);
    if (result == ncclSuccess)
        return ncclSuccess;
    ncclComm_t failed = *comm;
    *comm = NULL;
    comms.remove(failed);
    nccl_leave(failed);
    delete failed;
    return result;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t *comm, int nranks, ncclUniqueId commId, int rank,
                                    ncclConfig_t *config)
{
    const ncclConfig_t usual = NCCL_CONFIG_INITIALIZER;
    if (!config || config->blocking == NCCL_CONFIG_UNDEF_INT || config->blocking == 1)
        return ncclCommInitRank(comm, nranks, commId, rank);
    if (config->magic != usual.magic || config->size != usual.size || config->blocking != 0) {
        standin_complain(__func__, "the configuration was not initialized");
        return ncclInvalidArgument;
    }
    const ncclResult_t result = make(comm, nranks, commId, rank);
    if (result != ncclSuccess)
        return result;
    (*comm)->is_blocking = false;
    (*comm)->is_joining = true;
    return ncclInProgress;
}

ncclResult_t ncclCommInitAll(ncclComm_t *comm, int ndev, const int *devlist)
{
    int before = 0;
    ncclUniqueId id;
    if (!comm || ndev < 1)
        return ncclInvalidArgument;
    cudaGetDevice(&before);
    ncclResult_t result = ncclGetUniqueId(&id);
    if (result != ncclSuccess)
        return result;
    ncclGroupStart();
    for (int i = 0; i < ndev && result == ncclSuccess; i++) {
        if (cudaSetDevice(devlist ? devlist[i] : i) != cudaSuccess)
            result = ncclUnhandledCudaError;
        else
            result = ncclCommInitRank(&comm[i], ndev, id, i);
    }
    if (result != ncclSuccess)
        group_joins.clear(); /* they would wait for those that did not come */
    const ncclResult_t ended = ncclGroupEnd();
    cudaSetDevice(before);
    return result == ncclSuccess ? ended : result;
}

static ncclResult_t forget(ncclComm_t comm)
{
    comms.remove(comm);
    nccl_leave(comm);
    delete comm;
    return ncclSuccess;
}

ncclResult_t ncclCommFinalize(ncclComm_t comm)
{
    if (!comms.has(comm))
        return ncclInvalidArgument;
    if (comm->n_pending > 0 && cudaStreamSynchronize(comm->last_stream) != cudaSuccess)
        return ncclUnhandledCudaError;
    return (ncclResult_t)comm->error.load();
}

ncclResult_t ncclCommDestroy(ncclComm_t comm)
{
    if (!comm)
        return ncclSuccess;
    const ncclResult_t result = ncclCommFinalize(comm);
    if (result == ncclInvalidArgument)
        standin_complain(__func__, "no communicator");
    if (comms.has(comm))
        forget(comm);
    return result == ncclInvalidArgument ? result : ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm)
{
    if (!comms.has(comm))
        return ncclInvalidArgument;
    comm->error = ncclInternalError; /* what is on its streams ends at once */
    nccl_give_up(comm);
    if (comm->n_pending > 0)
        cudaStreamSynchronize(comm->last_stream);
    return forget(comm);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t *asyncError)
{
    if (!comms.has(comm) || !asyncError)
        return ncclInvalidArgument;
    const bool was_busy = comm->is_busy;
    comm->is_busy = false;
    if (comm->error == ncclSuccess && nccl_has_given_up(comm))
        comm->error = ncclRemoteError;
    if (comm->error == ncclSuccess && comm->is_joining) {
        const ncclResult_t joined = nccl_look_for_all(comm);
        comm->is_joining = joined == ncclInProgress;
        comm->error = comm->is_joining ? ncclSuccess : joined;
    }
    if (comm->error == ncclSuccess && (was_busy || comm->is_joining)) {
        *asyncError = ncclInProgress;
        return ncclSuccess;
    }
    *asyncError = (ncclResult_t)comm->error.load();
    return ncclSuccess;
}

ncclResult_t ncclCommCount(const ncclComm_t comm, int *count)
{
    if (!comms.has(comm) || !count)
        return ncclInvalidArgument;
    *count = comm->n_ranks;
    return ncclSuccess;
}

ncclResult_t ncclCommCuDevice(const ncclComm_t comm, int *device)
{
    if (!comms.has(comm) || !device)
        return ncclInvalidArgument;
    *device = comm->device;
    return ncclSuccess;
}

ncclResult_t ncclCommUserRank(const ncclComm_t comm, int *rank)
{
    if (!comms.has(comm) || !rank)
        return ncclInvalidArgument;
    *rank = comm->rank;
    return ncclSuccess;
}

/* What the last call on a communicator returns when all went well. */
static ncclResult_t leave_busy(ncclComm_t comm)
{
    comm->is_busy = !comm->is_blocking;
    return comm->is_busy ? ncclInProgress : ncclSuccess;
}

ncclResult_t ncclGroupStart(void)
{
    if (group_depth++ == 0)
        group_error = ncclSuccess;
    return ncclSuccess;
}

ncclResult_t ncclGroupEnd(void)
{
    if (group_depth == 0)
        return ncclInvalidUsage;
    if (--group_depth > 0)
        return ncclSuccess;
    std::vector<ncclComm_t> joins;
    std::vector<struct nccl_call> calls;
    joins.swap(group_joins);
    calls.swap(group_calls);
    if (!joins.empty() && !calls.empty()) {
        standin_complain(__func__, "communicators are made in groups of their own");
        return ncclInvalidUsage;
    }
    for (ncclComm_t comm : joins) {
        const ncclResult_t result = finish_join(comm);
        group_error = group_error == ncclSuccess ? result : group_error;
    }
    if (group_error != ncclSuccess)
        return group_error;
    nccl_enqueue(calls);
    ncclResult_t result = ncclSuccess;
    for (const struct nccl_call &call : calls)
        result = leave_busy(call.comm) == ncclInProgress ? ncclInProgress : result;
    return result;
}

/* -- calls -- */

static bool is_on_device(const struct nccl_call *call, const char *what, const void *data,
                         size_t bytes)
{
    const char *name = nccl_kind_name(call->kind);
    if (!standin_in_device(name, what, data, bytes, nccl_type_bytes(call->type)))
        return false;
    if (bytes == 0 || simt_device_of(data) == call->comm->device)
        return true;
    standin_report(name, "%s lies on device %d, the communicator on %d", what, simt_device_of(data),
                   call->comm->device);
    return false;
}

/* A result may lie on the very place that NCCL names for it, or elsewhere. */
static bool is_apart(const struct nccl_call *call, size_t send_bytes, size_t recv_bytes)
{
    const char *send = static_cast<const char *>(call->send);
    const char *recv = static_cast<const char *>(call->recv);
    const size_t mine = (size_t)call->comm->rank * call->count * nccl_type_bytes(call->type);
    const bool is_in_place = call->kind == NCCL_ALL_GATHER       ? send == recv + mine
                             : call->kind == NCCL_REDUCE_SCATTER ? recv == send + mine
                                                                 : recv == send;
    if (!send_bytes || !recv_bytes || is_in_place || send + send_bytes <= recv ||
        recv + recv_bytes <= send)
        return true;
    standin_report(nccl_kind_name(call->kind), "sendbuff and recvbuff overlap");
    return false;
}

static ncclResult_t check_buffers(const struct nccl_call *call)
{
    const size_t bytes = call->count * nccl_type_bytes(call->type);
    const size_t all = bytes * (size_t)call->comm->n_ranks;
    const bool is_root = call->peer == call->comm->rank;
    size_t send = bytes, recv = bytes;
    if (call->kind == NCCL_REDUCE_SCATTER)
        send = all;
    if (call->kind == NCCL_ALL_GATHER)
        recv = all;
    if (call->kind == NCCL_RECV || (call->kind == NCCL_BROADCAST && !is_root))
        send = 0;
    if (call->kind == NCCL_SEND || (call->kind == NCCL_REDUCE && !is_root))
        recv = 0;
    if (!is_on_device(call, "sendbuff", call->send, send) ||
        !is_on_device(call, "recvbuff", call->recv, recv) || !is_apart(call, send, recv))
        return ncclInvalidArgument;
    return ncclSuccess;
}

static ncclResult_t check(const struct nccl_call *call)
{
    const char *name = nccl_kind_name(call->kind);
    if (!comms.has(call->comm)) {
        standin_complain(name, "no communicator");
        return ncclInvalidArgument;
    }
    if (simt_fail_now("nccl"))
        return ncclUnhandledCudaError;
    if (call->comm->error != ncclSuccess)
        return (ncclResult_t)call->comm->error.load();
    if (call->comm->is_joining || call->comm->is_busy) {
        standin_complain(name, "the communicator is still in progress");
        return ncclInvalidUsage;
    }
    if (nccl_type_bytes(call->type) == 0 || (unsigned)call->op >= ncclNumOps || call->peer < 0 ||
        call->peer >= call->comm->n_ranks) {
        standin_complain(name, "type %d, op %d or rank %d", call->type, call->op, call->peer);
        return ncclInvalidArgument;
    }
    if (simt_stream_device(call->stream) != call->comm->device) {
        standin_complain(name, "the stream is of another device than the communicator");
        return ncclInvalidUsage;
    }
    return check_buffers(call);
}

static ncclResult_t issue(const struct nccl_call *call)
{
    const ncclResult_t result = check(call);
    if (group_depth > 0) {
        if (result == ncclSuccess)
            group_calls.push_back(*call);
        else
            group_error = result;
    } else if (result == ncclSuccess) {
        nccl_enqueue({*call});
        return leave_busy(call->comm);
    }
    return result;
}

ncclResult_t ncclAllReduce(const void *sendbuff, void *recvbuff, size_t count,
                           ncclDataType_t datatype, ncclRedOp_t op, ncclComm_t comm,
                           cudaStream_t stream)
{
    const struct nccl_call call = {comm,     stream, sendbuff, recvbuff, count, NCCL_ALL_REDUCE,
                                   datatype, op,     0};
    return issue(&call);
}

ncclResult_t ncclReduce(const void *sendbuff, void *recvbuff, size_t count, ncclDataType_t datatype,
                        ncclRedOp_t op, int root, ncclComm_t comm, cudaStream_t stream)
{
    const struct nccl_call call = {comm,        stream,   sendbuff, recvbuff, count,
                                   NCCL_REDUCE, datatype, op,       root};
    return issue(&call);
}

ncclResult_t ncclReduceScatter(const void *sendbuff, void *recvbuff, size_t recvcount,
                               ncclDataType_t datatype, ncclRedOp_t op, ncclComm_t comm,
                               cudaStream_t stream)
{
    const struct nccl_call call = {
        comm, stream, sendbuff, recvbuff, recvcount, NCCL_REDUCE_SCATTER, datatype, op, 0};
    return issue(&call);
}

ncclResult_t ncclAllGather(const void *sendbuff, void *recvbuff, size_t sendcount,
                           ncclDataType_t datatype, ncclComm_t comm, cudaStream_t stream)
{
    const struct nccl_call call = {
        comm, stream, sendbuff, recvbuff, sendcount, NCCL_ALL_GATHER, datatype, ncclSum, 0};
    return issue(&call);
}

ncclResult_t ncclBroadcast(const void *sendbuff, void *recvbuff, size_t count,
                           ncclDataType_t datatype, int root, ncclComm_t comm, cudaStream_t stream)
{
    const struct nccl_call call = {comm,           stream,   sendbuff, recvbuff, count,
                                   NCCL_BROADCAST, datatype, ncclSum,  root};
    return issue(&call);
}

ncclResult_t ncclSend(const void *sendbuff, size_t count, ncclDataType_t datatype, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    const struct nccl_call call = {comm,      stream,   sendbuff, NULL, count,
                                   NCCL_SEND, datatype, ncclSum,  peer};
    return issue(&call);
}

ncclResult_t ncclRecv(void *recvbuff, size_t count, ncclDataType_t datatype, int peer,
                      ncclComm_t comm, cudaStream_t stream)
{
    const struct nccl_call call = {comm,      stream,   NULL,    recvbuff, count,
                                   NCCL_RECV, datatype, ncclSum, peer};
    return issue(&call);
}
