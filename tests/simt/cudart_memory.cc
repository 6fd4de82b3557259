/* Stand-in of cudart: memory, and copies of it. */
#include <stdlib.h>
#include <string.h>

#include <map>

#include "tests/simt/stream.hh"

using namespace simt;

/* Host memory that copies may read and write later. */
static auto &pinned = *new std::map<uintptr_t, size_t>;

static bool is_pinned(const void *p)
{
    auto next = pinned.upper_bound((uintptr_t)p);
    return next != pinned.begin() &&
           (uintptr_t)p - std::prev(next)->first < std::prev(next)->second;
}

/* Calls that wait for everything, or may: forbidden while a graph is captured. */
static cudaError_t begin_waiting_call(cudaError_t planned)
{
    cudaError_t error = planned_failure(planned);
    if (error == cudaSuccess && breaks_capture())
        error = cudaErrorStreamCaptureUnsupported;
    return error;
}

/* ---- copies ---- */

struct rectangle {
    size_t width, height; /* bytes in a row, rows */
    size_t to_pitch, from_pitch;
};

static size_t extent(const rectangle &r, size_t pitch)
{
    return r.height ? pitch * (r.height - 1) + r.width : 0;
}

static bool is_device_side(const void *p)
{
    return in_region(p);
}

/* Whether the pointers are what the kind says; cudaMemcpyDefault finds out itself. */
static bool fits_kind(const void *to, const void *from, enum cudaMemcpyKind kind)
{
    switch (kind) {
    case cudaMemcpyHostToHost:
        return !is_device_side(to) && !is_device_side(from);
    case cudaMemcpyHostToDevice:
        return is_device_side(to) && !is_device_side(from);
    case cudaMemcpyDeviceToHost:
        return !is_device_side(to) && is_device_side(from);
    case cudaMemcpyDeviceToDevice:
        return is_device_side(to) && is_device_side(from);
    default:
        return kind == cudaMemcpyDefault;
    }
}

static bool is_in_bounds(const char *what, const void *p, size_t size_bytes)
{
    if (!is_device_side(p) || simt_is_device(p, size_bytes))
        return true;
    report("%s of %zu bytes out of bounds: %s", what, size_bytes, heap_describe(p).c_str());
    return false;
}

static void copy_row(char *to, const char *from, size_t size_bytes)
{
    memmove(to, from, size_bytes);
    if (is_device_side(to) && is_device_side(from)) {
        mark_copied(to, from, size_bytes);
        return;
    }
    simt_mark_written(to, size_bytes);
    simt_check_read(from, size_bytes, "copy to the host");
}

static void copy_rows(void *to, const void *from, const rectangle &r)
{
    if (!is_in_bounds("copy: destination", to, extent(r, r.to_pitch)) ||
        !is_in_bounds("copy: source", from, extent(r, r.from_pitch)))
        return;
    for (size_t i = 0; i < r.height; i++)
        copy_row((char *)to + i * r.to_pitch, (const char *)from + i * r.from_pitch, r.width);
}

/* What the host may read only after it has waited. */
static void spoil(void *to, const rectangle &r)
{
    for (size_t i = 0; i < r.height; i++)
        memset((char *)to + i * r.to_pitch, 0x7f, r.width);
}

/* Host memory that is not pinned has been read when the call returns; pinned memory is
 * read later. */
static std::shared_ptr<std::vector<char>> stage(const void *from, const rectangle &r)
{
    const char *begin = (const char *)from;
    return std::make_shared<std::vector<char>>(begin, begin + extent(r, r.from_pitch));
}

static cudaError_t enqueue_copy(void *to, const void *from, const rectangle &r,
                                enum cudaMemcpyKind kind, cudaStream_t handle)
{
    if (!is_stream(handle))
        return cudaErrorInvalidResourceHandle;
    if (r.width == 0 || r.height == 0)
        return cudaSuccess;
    if (!to || !from)
        return cudaErrorInvalidValue;
    if (!fits_kind(to, from, kind)) {
        report("copy: kind %d does not fit the pointers", (int)kind);
        return cudaErrorInvalidValue;
    }
    if (!is_in_bounds("copy: destination", to, extent(r, r.to_pitch)) ||
        !is_in_bounds("copy: source", from, extent(r, r.from_pitch)))
        return cudaErrorInvalidValue;
    CUstream_st *stream = find_stream(handle);
    work item;
    item.run = [=](int) { copy_rows(to, from, r); };
    if (!stream->capturing && is_device_side(from) && !is_device_side(to))
        spoil(to, r);
    if (!stream->capturing && !is_device_side(from) && !is_pinned(from)) {
        auto staged = stage(from, r);
        item.run = [=](int) { copy_rows(to, staged->data(), r); };
    }
    return enqueue(stream, std::move(item));
}

static cudaError_t copy_now(void *to, const void *from, const rectangle &r,
                            enum cudaMemcpyKind kind)
{
    cudaError_t error = begin_waiting_call(cudaErrorUnknown);
    if (error == cudaSuccess)
        error = enqueue_copy(to, from, r, kind, nullptr);
    if (error == cudaSuccess)
        drain_stream(find_stream(nullptr));
    return keep(error);
}

static cudaError_t copy_later(void *to, const void *from, const rectangle &r,
                              enum cudaMemcpyKind kind, cudaStream_t stream)
{
    cudaError_t error = planned_failure(cudaErrorUnknown);
    if (error == cudaSuccess)
        error = enqueue_copy(to, from, r, kind, stream);
    return keep(error);
}

static bool is_valid_pitch(const rectangle &r)
{
    return r.width <= r.to_pitch && r.width <= r.from_pitch;
}

static cudaError_t enqueue_fill(void *to, int value, size_t size_bytes, cudaStream_t handle)
{
    if (!is_stream(handle))
        return cudaErrorInvalidResourceHandle;
    if (size_bytes == 0)
        return cudaSuccess;
    if (!is_device_side(to) || !is_in_bounds("memset", to, size_bytes)) {
        if (!is_device_side(to))
            report("memset of host memory at %p", to);
        return cudaErrorInvalidValue;
    }
    work item;
    item.run = [=](int) {
        if (!is_in_bounds("memset", to, size_bytes))
            return;
        memset(to, value, size_bytes);
        simt_mark_written(to, size_bytes);
    };
    return enqueue(find_stream(handle), std::move(item));
}

extern "C" {

/* ---- allocations ---- */

cudaError_t cudaMalloc(void **made, size_t size_bytes)
{
    entry locked;
    cudaError_t error = begin_waiting_call(cudaErrorMemoryAllocation);
    if (error != cudaSuccess)
        return keep(error);
    if (!made)
        return keep(cudaErrorInvalidValue);
    *made = nullptr;
    if (size_bytes == 0)
        return cudaSuccess;
    *made = heap_new(size_bytes, current_device());
    return *made ? cudaSuccess : keep(cudaErrorMemoryAllocation);
}

/* Waits for the device, since work that is enqueued may use the memory. */
cudaError_t cudaFree(void *p)
{
    entry locked;
    if (!p)
        return cudaSuccess;
    if (breaks_capture())
        return keep(cudaErrorStreamCaptureUnsupported);
    const int device = simt_device_of(p);
    if (device >= 0)
        drain_device(device);
    if (heap_free(p))
        return cudaSuccess;
    report("cudaFree of what is not allocated: %p", p);
    return keep(cudaErrorInvalidValue);
}

/* In the order of a stream; the memory is there at once, and goes when the stream gets there. */
cudaError_t cudaMallocAsync(void **made, size_t size_bytes, cudaStream_t stream)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorMemoryAllocation);
    if (error != cudaSuccess)
        return keep(error);
    if (!made || !is_stream(stream))
        return keep(cudaErrorInvalidValue);
    *made = size_bytes ? heap_new(size_bytes, find_stream(stream)->device) : nullptr;
    return *made || !size_bytes ? cudaSuccess : keep(cudaErrorMemoryAllocation);
}

cudaError_t cudaFreeAsync(void *p, cudaStream_t stream)
{
    entry locked;
    if (!p)
        return cudaSuccess;
    if (!is_stream(stream) || !simt_is_device(p, 1))
        return keep(cudaErrorInvalidValue);
    work item;
    item.run = [p](int) {
        if (!heap_free(p))
            report("cudaFreeAsync of what is not allocated: %p", p);
    };
    return keep(enqueue(find_stream(stream), std::move(item)));
}

cudaError_t cudaHostAlloc(void **made, size_t size_bytes, unsigned)
{
    entry locked;
    cudaError_t error = begin_waiting_call(cudaErrorMemoryAllocation);
    if (error != cudaSuccess)
        return keep(error);
    if (!made)
        return keep(cudaErrorInvalidValue);
    *made = size_bytes ? aligned_alloc(256, (size_bytes + 255) / 256 * 256) : nullptr;
    if (size_bytes && !*made)
        return keep(cudaErrorMemoryAllocation);
    if (*made) {
        pinned[(uintptr_t)*made] = size_bytes;
        n_objects++;
    }
    return cudaSuccess;
}

cudaError_t cudaMallocHost(void **made, size_t size_bytes)
{
    return cudaHostAlloc(made, size_bytes, 0);
}

cudaError_t cudaFreeHost(void *p)
{
    entry locked;
    if (!p)
        return cudaSuccess;
    if (breaks_capture())
        return keep(cudaErrorStreamCaptureUnsupported);
    for (int i = 0; i < n_devices(); i++)
        drain_device(i);
    if (!pinned.erase((uintptr_t)p)) {
        report("cudaFreeHost of what is not allocated: %p", p);
        return keep(cudaErrorInvalidValue);
    }
    n_objects--;
    free(p);
    return cudaSuccess;
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorUnknown);
    if (error != cudaSuccess)
        return keep(error);
    if (free_bytes)
        *free_bytes = device_memory_bytes() - device_used_bytes(current_device());
    if (total_bytes)
        *total_bytes = device_memory_bytes();
    return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *made, const void *p)
{
    entry locked;
    if (!made)
        return keep(cudaErrorInvalidValue);
    memset(made, 0, sizeof(*made));
    made->type = simt_is_device(p, 1) ? cudaMemoryTypeDevice
                 : is_pinned(p)       ? cudaMemoryTypeHost
                                      : cudaMemoryTypeUnregistered;
    made->device = simt_device_of(p);
    made->devicePointer = made->type == cudaMemoryTypeDevice ? (void *)p : nullptr;
    made->hostPointer = made->type == cudaMemoryTypeHost ? (void *)p : nullptr;
    return cudaSuccess;
}

/* ---- copies and fills ---- */

cudaError_t cudaMemcpy(void *to, const void *from, size_t size_bytes, enum cudaMemcpyKind kind)
{
    entry locked;
    return copy_now(to, from, rectangle{size_bytes, 1, size_bytes, size_bytes}, kind);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size_bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream)
{
    entry locked;
    return copy_later(to, from, rectangle{size_bytes, 1, size_bytes, size_bytes}, kind, stream);
}

cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                         size_t width, size_t height, enum cudaMemcpyKind kind)
{
    entry locked;
    const rectangle r = {width, height, to_pitch, from_pitch};
    return is_valid_pitch(r) ? copy_now(to, from, r, kind) : keep(cudaErrorInvalidPitchValue);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind,
                              cudaStream_t stream)
{
    entry locked;
    const rectangle r = {width, height, to_pitch, from_pitch};
    return is_valid_pitch(r) ? copy_later(to, from, r, kind, stream)
                             : keep(cudaErrorInvalidPitchValue);
}

static bool is_on(const void *p, int device)
{
    return simt_device_of(p) == device;
}

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                                size_t size_bytes, cudaStream_t stream)
{
    entry locked;
    if (size_bytes && (!is_on(to, to_device) || !is_on(from, from_device)))
        return keep(cudaErrorInvalidValue);
    return copy_later(to, from, rectangle{size_bytes, 1, size_bytes, size_bytes},
                      cudaMemcpyDeviceToDevice, stream);
}

cudaError_t cudaMemsetAsync(void *to, int value, size_t size_bytes, cudaStream_t stream)
{
    entry locked;
    cudaError_t error = planned_failure(cudaErrorUnknown);
    if (error == cudaSuccess)
        error = enqueue_fill(to, value, size_bytes, stream);
    return keep(error);
}

cudaError_t cudaMemset(void *to, int value, size_t size_bytes)
{
    entry locked;
    cudaError_t error = begin_waiting_call(cudaErrorUnknown);
    if (error == cudaSuccess)
        error = enqueue_fill(to, value, size_bytes, nullptr);
    return keep(error);
}
}
