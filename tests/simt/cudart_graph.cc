/* Stand-in of cudart: capture of streams into graphs, which run as often as they are launched. */
#include "tests/simt/stream.hh"

using namespace simt;

/* What was enqueued during the capture, in the order of the calls. */
struct CUgraph_st {
    std::vector<std::shared_ptr<const work>> items;
};

struct CUgraphExec_st {
    std::vector<std::shared_ptr<const work>> items;
};

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorUnknown);
    if (error != cudaSuccess)
        return keep(error);
    if (!is_stream(handle))
        return keep(cudaErrorInvalidResourceHandle);
    CUstream_st *stream = find_stream(handle);
    if (stream->is_default)
        return keep(cudaErrorStreamCaptureUnsupported);
    if (stream->capturing)
        return keep(cudaErrorIllegalState);
    stream->capturing = std::make_shared<capture>(capture{{}, stream, mode, false, false});
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *made)
{
    entry locked;
    if (!is_stream(handle) || !made)
        return keep(cudaErrorInvalidValue);
    *made = nullptr;
    CUstream_st *stream = find_stream(handle);
    auto captured = stream->capturing;
    if (!captured)
        return keep(cudaErrorIllegalState);
    if (captured->origin != stream)
        return keep(cudaErrorStreamCaptureUnmatched);
    end_capture(captured);
    if (captured->is_broken)
        return keep(cudaErrorStreamCaptureInvalidated);
    cudaError_t error = planned_failure(cudaErrorUnknown);
    if (error != cudaSuccess)
        return keep(error);
    *made = new CUgraph_st{captured->items};
    n_objects++;
    return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, enum cudaStreamCaptureStatus *status)
{
    entry locked;
    if (!is_stream(handle) || !status)
        return keep(cudaErrorInvalidValue);
    const auto &captured = find_stream(handle)->capturing;
    *status = !captured             ? cudaStreamCaptureStatusNone
              : captured->is_broken ? cudaStreamCaptureStatusInvalidated
                                    : cudaStreamCaptureStatusActive;
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *made, cudaGraph_t graph, unsigned long long)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorMemoryAllocation);
    if (error != cudaSuccess)
        return keep(error);
    if (!made || !graph)
        return keep(cudaErrorInvalidValue);
    *made = new CUgraphExec_st{graph->items};
    n_objects++;
    return cudaSuccess;
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t handle)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorLaunchFailure);
    if (error != cudaSuccess)
        return keep(error);
    if (!graph || !is_stream(handle))
        return keep(cudaErrorInvalidValue);
    CUstream_st *stream = find_stream(handle);
    for (const auto &item : graph->items) {
        error = enqueue(stream, work(*item));
        if (error != cudaSuccess)
            break;
    }
    return keep(error);
}

/* A changed graph has to be instantiated anew. */
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t, cudaGraph_t, cudaGraphExecUpdateResultInfo *info)
{
    entry locked;
    if (info)
        *info =
            cudaGraphExecUpdateResultInfo{cudaGraphExecUpdateErrorNotSupported, nullptr, nullptr};
    return keep(cudaErrorGraphExecUpdateFailure);
}

/* Only the number of nodes can be had. */
cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count)
{
    entry locked;
    if (!graph || !count || nodes)
        return keep(cudaErrorInvalidValue);
    *count = graph->items.size();
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph)
{
    entry locked;
    if (!graph)
        return keep(cudaErrorInvalidValue);
    delete graph;
    n_objects--;
    return cudaSuccess;
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph)
{
    entry locked;
    if (!graph)
        return keep(cudaErrorInvalidValue);
    delete graph;
    n_objects--;
    return cudaSuccess;
}
}
