/* Queues of work, and who may go next. */
#include "tests/simt/stream.hh"

#include <stdlib.h>
#include <time.h>

#include <algorithm>

namespace simt
{

/* Default ones first. Never destroyed: a program may use them while it exits. */
static auto &streams = *new std::vector<CUstream_st *>;
static uint64_t n_enqueued;
long n_objects;

static void make_default_streams()
{
    if (!streams.empty())
        return;
    for (int i = 0; i < n_devices(); i++)
        streams.push_back(new CUstream_st{i, cudaStreamDefault, 0, true, {}, nullptr});
}

bool is_stream(cudaStream_t handle)
{
    make_default_streams();
    return !handle || handle == cudaStreamLegacy || handle == cudaStreamPerThread ||
           std::find(streams.begin(), streams.end(), handle) != streams.end();
}

CUstream_st *find_stream(cudaStream_t handle)
{
    make_default_streams();
    if (!handle || handle == cudaStreamLegacy || handle == cudaStreamPerThread)
        return streams[(size_t)current_device()];
    return handle;
}

CUstream_st *stream_new(int device, unsigned flags, int priority)
{
    make_default_streams();
    streams.push_back(new CUstream_st{device, flags, priority, false, {}, nullptr});
    n_objects++;
    return streams.back();
}

void stream_delete(CUstream_st *stream)
{
    streams.erase(std::find(streams.begin(), streams.end(), stream));
    n_objects--;
    delete stream;
}

static double now_ms()
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec * 1e-6;
}

/* ---- who may go ---- */

/* The default stream waits for all that was enqueued before in streams that do not opt out of it,
 * and these wait for it. */
static bool is_held_back(const CUstream_st *stream)
{
    if (stream->flags & cudaStreamNonBlocking)
        return false;
    const uint64_t number = stream->queue.front().number;
    for (const CUstream_st *other : streams) {
        if (other == stream || other->device != stream->device || other->queue.empty())
            continue;
        const bool is_related = stream->is_default || other->is_default;
        if (is_related && !(other->flags & cudaStreamNonBlocking) &&
            other->queue.front().number < number)
            return true;
    }
    return false;
}

static bool may_go(const CUstream_st *stream)
{
    if (stream->queue.empty())
        return false;
    const work &next = *stream->queue.front().what;
    if (next.waits && next.waits->n_reached < next.waits_for)
        return false;
    return !is_held_back(stream) && (!next.is_ready || next.is_ready());
}

static CUstream_st *choose()
{
    CUstream_st *chosen = nullptr;
    uint32_t n = 0;
    for (CUstream_st *stream : streams)
        if (may_go(stream) && random_below(++n) == 0)
            chosen = stream;
    return chosen;
}

/* Some work waits for what another host thread has yet to enqueue. */
static bool is_any_unready()
{
    return std::any_of(streams.begin(), streams.end(), [](const CUstream_st *stream) {
        return !stream->queue.empty() && stream->queue.front().what->is_ready;
    });
}

static void run_front(CUstream_st *stream)
{
    const std::shared_ptr<const work> item = stream->queue.front().what;
    stream->queue.pop_front();
    if (item->run) {
        if (item->is_kernel)
            device_open(stream->device);
        else
            simt_device_begin();
        item->run(stream->device);
        if (!item->is_kernel)
            simt_device_end();
    }
    if (item->records) {
        item->records->n_reached = std::max(item->records->n_reached, item->records_as);
        item->records->reached_ms = now_ms();
    }
}

bool drain(const std::function<bool()> &is_done)
{
    bool is_successful = true;
    device_hold(true);
    while (!is_done()) {
        CUstream_st *next = choose();
        if (next) {
            run_front(next);
        } else if (is_any_unready()) {
            unlock_for_a_while();
        } else {
            is_successful = false;
            break;
        }
    }
    device_hold(false);
    return is_successful;
}

void step()
{
    bool is_done = false;
    drain([&is_done] {
        const bool was_done = is_done;
        is_done = true;
        return was_done || !choose();
    });
}

/* Until none of those streams has work. While drain() lets other host threads in, these make
 * streams and destroy them: nothing is remembered of a stream but its address. */
static void drain_all(const std::function<bool(const CUstream_st *)> &is_wanted)
{
    const bool is_done = drain([&is_wanted] {
        return std::none_of(streams.begin(), streams.end(), [&](const CUstream_st *stream) {
            return is_wanted(stream) && !stream->queue.empty();
        });
    });
    if (!is_done)
        report("streams wait for each other: nothing can run");
}

void drain_stream(const CUstream_st *stream)
{
    drain_all([stream](const CUstream_st *other) { return other == stream; });
}

void drain_device(int device)
{
    drain_all([device](const CUstream_st *stream) { return stream->device == device; });
}

/* ---- putting work on a stream ---- */

static bool break_captures(bool (*is_hit)(const CUstream_st *))
{
    bool is_broken = false;
    for (CUstream_st *stream : streams)
        if (stream->capturing && is_hit(stream))
            is_broken = stream->capturing->is_broken = true;
    return is_broken;
}

bool breaks_capture()
{
    return break_captures([](const CUstream_st *stream) {
        return stream->capturing->mode != cudaStreamCaptureModeRelaxed;
    });
}

/* The default stream would have to wait for what is only being recorded. */
static bool breaks_capture_of_blocking()
{
    return break_captures(
        [](const CUstream_st *stream) { return !(stream->flags & cudaStreamNonBlocking); });
}

cudaError_t enqueue(CUstream_st *stream, work item)
{
    static const bool is_lazy = option("SIMT_LAZY", 1) != 0;
    auto shared = std::make_shared<const work>(std::move(item));
    if (stream->capturing) {
        if (stream->capturing->is_broken)
            return cudaErrorStreamCaptureInvalidated;
        stream->capturing->items.push_back(shared);
        return cudaSuccess;
    }
    if (stream->is_default && breaks_capture_of_blocking())
        return cudaErrorStreamCaptureImplicit;
    stream->queue.push_back(queued{shared, ++n_enqueued});
    if (!is_lazy)
        drain_stream(stream);
    return cudaSuccess;
}

void end_capture(const std::shared_ptr<capture> &captured)
{
    captured->is_over = true;
    for (CUstream_st *stream : streams)
        if (stream->capturing == captured)
            stream->capturing = nullptr;
}

} // namespace simt

using namespace simt;

/* ---- kernels ---- */

static bool is_valid_launch(dim3 grid, dim3 block, size_t shared_bytes)
{
    const size_t n_threads = (size_t)block.x * block.y * block.z;
    return n_threads > 0 && n_threads <= max_block_threads && block.x <= 1024 && block.y <= 1024 &&
           block.z <= 64 && grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= INT32_MAX &&
           grid.y <= 65535 && grid.z <= 65535 && shared_bytes <= max_shared_bytes;
}

static std::shared_ptr<launch> make_launch(const char *name, dim3 grid, dim3 block,
                                           size_t shared_bytes, const simt_closure &closure)
{
    return std::shared_ptr<launch>(new launch{name, grid, block, shared_bytes, 0, 0, closure},
                                   [](launch *kernel) {
                                       kernel->closure.destroy(kernel->closure.object);
                                       delete kernel;
                                   });
}

cudaError_t simt_launch(const char *name, dim3 grid, dim3 block, size_t shared_bytes,
                        cudaStream_t handle, simt_closure closure)
{
    entry locked;
    auto kernel = make_launch(name, grid, block, shared_bytes, closure);
    cudaError_t error = planned_failure(cudaErrorLaunchFailure);
    if (error != cudaSuccess)
        return keep(error);
    if (!is_stream(handle))
        return keep(cudaErrorInvalidResourceHandle);
    if (!is_valid_launch(grid, block, shared_bytes))
        return keep(cudaErrorInvalidConfiguration);
    if ((size_t)block.x * block.y * block.z % warp_size)
        report("launch of %s: %u x %u x %u threads are not whole warps", name, block.x, block.y,
               block.z);
    CUstream_st *stream = find_stream(handle);
    if (stream->device != current_device())
        return keep(cudaErrorInvalidResourceHandle);
    work item;
    item.is_kernel = true;
    item.run = [kernel](int device) {
        kernel->device = device;
        kernel_run(*kernel);
    };
    return keep(enqueue(stream, std::move(item)));
}

/* ---- device.h ---- */

static void enqueue_library_work(cudaStream_t handle, bool (*is_ready)(void *), void (*run)(void *),
                                 void *argument)
{
    entry locked;
    std::shared_ptr<void> owned(argument, free);
    if (!is_stream(handle)) {
        report("a library was given a stream that does not exist");
        return;
    }
    work item;
    item.run = [run, owned](int) { run(owned.get()); };
    if (is_ready)
        item.is_ready = [is_ready, owned] { return is_ready(owned.get()); };
    keep(enqueue(find_stream(handle), std::move(item)));
}

void simt_enqueue(cudaStream_t stream, void (*run)(void *), void *argument)
{
    enqueue_library_work(stream, nullptr, run, argument);
}

void simt_enqueue_when(cudaStream_t stream, bool (*is_ready)(void *), void (*run)(void *),
                       void *argument)
{
    enqueue_library_work(stream, is_ready, run, argument);
}

int simt_stream_device(cudaStream_t handle)
{
    entry locked;
    return is_stream(handle) ? find_stream(handle)->device : -1;
}

long simt_live_objects(void)
{
    return n_objects;
}
