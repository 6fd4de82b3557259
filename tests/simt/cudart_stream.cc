/* Stand-in of cudart: streams and events. */
#include "tests/simt/stream.hh"

using namespace simt;

extern "C" {

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *made, unsigned flags, int priority)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorMemoryAllocation);
    if (error != cudaSuccess)
        return keep(error);
    if (!made || flags & ~(unsigned)cudaStreamNonBlocking)
        return keep(cudaErrorInvalidValue);
    *made = stream_new(current_device(), flags, priority);
    return cudaSuccess;
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *made, unsigned flags)
{
    return cudaStreamCreateWithPriority(made, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t *made)
{
    return cudaStreamCreateWithPriority(made, cudaStreamDefault, 0);
}

/* What is on the stream still runs; the real one does not wait for it either. */
cudaError_t cudaStreamDestroy(cudaStream_t stream)
{
    entry locked;
    if (!stream || !is_stream(stream))
        return keep(cudaErrorInvalidResourceHandle);
    drain_stream(stream);
    stream_delete(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorLaunchFailure);
    if (error != cudaSuccess)
        return keep(error);
    if (!is_stream(handle))
        return keep(cudaErrorInvalidResourceHandle);
    CUstream_st *stream = find_stream(handle);
    if (stream->capturing) {
        stream->capturing->is_broken = true;
        return keep(cudaErrorStreamCaptureUnsupported);
    }
    drain_stream(stream);
    return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t handle)
{
    entry locked;
    if (!is_stream(handle))
        return keep(cudaErrorInvalidResourceHandle);
    CUstream_st *stream = find_stream(handle);
    if (stream->capturing)
        return keep(cudaErrorStreamCaptureUnsupported);
    step();
    return stream->queue.empty() ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned *flags)
{
    entry locked;
    if (!is_stream(handle) || !flags)
        return keep(cudaErrorInvalidResourceHandle);
    *flags = find_stream(handle)->flags;
    return cudaSuccess;
}

cudaError_t cudaStreamGetPriority(cudaStream_t handle, int *priority)
{
    entry locked;
    if (!is_stream(handle) || !priority)
        return keep(cudaErrorInvalidResourceHandle);
    *priority = find_stream(handle)->priority;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorLaunchFailure);
    if (error != cudaSuccess)
        return keep(error);
    if (breaks_capture())
        return keep(cudaErrorStreamCaptureUnsupported);
    drain_device(current_device());
    return cudaSuccess;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t handle, cudaHostFn_t function, void *data)
{
    entry locked;
    if (!is_stream(handle) || !function)
        return keep(cudaErrorInvalidValue);
    work item;
    item.run = [function, data](int) { function(data); };
    return keep(enqueue(find_stream(handle), std::move(item)));
}

/* ---- events ---- */

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *made, unsigned flags)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorMemoryAllocation);
    if (error != cudaSuccess)
        return keep(error);
    if (!made)
        return keep(cudaErrorInvalidValue);
    *made = new CUevent_st{flags, current_device(), std::make_shared<event_state>(), nullptr};
    n_objects++;
    return cudaSuccess;
}

cudaError_t cudaEventCreate(cudaEvent_t *made)
{
    return cudaEventCreateWithFlags(made, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event)
{
    entry locked;
    if (!event)
        return keep(cudaErrorInvalidResourceHandle);
    delete event;
    n_objects--;
    return cudaSuccess;
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorUnknown);
    if (error != cudaSuccess)
        return keep(error);
    if (!event || !is_stream(handle) || find_stream(handle)->device != event->device)
        return keep(cudaErrorInvalidResourceHandle);
    CUstream_st *stream = find_stream(handle);
    event->captured_in = stream->capturing;
    if (stream->capturing)
        return cudaSuccess;
    work item;
    item.records = event->state;
    item.records_as = ++event->state->n_recorded;
    return keep(enqueue(stream, std::move(item)));
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t handle, unsigned)
{
    return cudaEventRecord(event, handle);
}

/* A stream that waits for a captured one takes part in its capture: what follows goes to the same
 * graph, which runs everything in the order of the calls. */
cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorUnknown);
    if (error != cudaSuccess)
        return keep(error);
    if (!event || !is_stream(handle))
        return keep(cudaErrorInvalidResourceHandle);
    CUstream_st *stream = find_stream(handle);
    if (event->captured_in) {
        if (event->captured_in->is_over)
            return keep(cudaErrorCapturedEvent);
        if (!stream->capturing)
            stream->capturing = event->captured_in;
        return cudaSuccess;
    }
    if (stream->capturing)
        return keep(cudaErrorStreamCaptureIsolation);
    work item;
    item.waits = event->state;
    item.waits_for = event->state->n_recorded;
    return keep(enqueue(stream, std::move(item)));
}

static bool is_reached(const CUevent_st *event)
{
    return event->state->n_reached >= event->state->n_recorded;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorLaunchFailure);
    if (error != cudaSuccess)
        return keep(error);
    if (!event)
        return keep(cudaErrorInvalidResourceHandle);
    if (event->captured_in)
        return keep(cudaErrorCapturedEvent);
    drain([event] { return is_reached(event); });
    return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event)
{
    entry locked;
    if (!event)
        return keep(cudaErrorInvalidResourceHandle);
    step();
    return is_reached(event) ? cudaSuccess : cudaErrorNotReady;
}

cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t start, cudaEvent_t end)
{
    entry locked;
    const bool is_timed = start && end && !((start->flags | end->flags) & cudaEventDisableTiming) &&
                          start->state->n_recorded && end->state->n_recorded;
    if (!ms || !is_timed)
        return keep(cudaErrorInvalidResourceHandle);
    if (!is_reached(start) || !is_reached(end))
        return cudaErrorNotReady;
    *ms = (float)(end->state->reached_ms - start->state->reached_ms);
    return cudaSuccess;
}
}
