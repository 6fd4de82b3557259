/* Memory for arenas, and bytes on their way between the host and the device. */
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/context.h"

/* -- staging -- */

bool staging_open(struct backend *backend)
{
    struct staging *staging = &context_of(backend)->staging;
    void *memory = NULL;
    context_check(backend, cudaMallocHost(&memory, 2 * (size_t)STAGING_BYTES),
                  "memory for transfers");
    if (backend->error != STATUS_OK)
        return false;
    staging->memory = memory;
    for (int half = 0; half < 2; half++)
        context_check(backend,
                      cudaEventCreateWithFlags(&staging->is_free[half], cudaEventDisableTiming),
                      "event");
    return backend->error == STATUS_OK;
}

void staging_close(struct staging *staging)
{
    for (int half = 0; half < 2; half++)
        if (staging->is_free[half])
            (void)cudaEventDestroy(staging->is_free[half]);
    if (staging->memory)
        (void)cudaFreeHost(staging->memory);
    *staging = (struct staging){0};
}

/* Room for so many bytes, at most STAGING_BYTES; NULL after an error. */
static char *staging_take(struct backend *backend, size_t size)
{
    struct context *context = context_of(backend);
    struct staging *staging = &context->staging;
    const size_t padded = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    if (padded > STAGING_BYTES - staging->used) {
        context_check(backend, cudaEventRecord(staging->is_free[staging->half], context->stream),
                      "transfer");
        staging->half = 1 - staging->half;
        staging->used = 0;
        /* An event that was never recorded is no reason to wait. */
        context_check(backend, cudaEventSynchronize(staging->is_free[staging->half]), "transfer");
    }
    if (backend->error != STATUS_OK)
        return NULL;
    char *room = staging->memory + (size_t)staging->half * STAGING_BYTES + staging->used;
    staging->used += padded;
    return room;
}

static size_t part_of(size_t left)
{
    return left < STAGING_BYTES ? left : STAGING_BYTES;
}

void context_upload(struct backend *backend, void *target, const void *host, size_t size_bytes)
{
    for (size_t at = 0; at < size_bytes; at += STAGING_BYTES) {
        const size_t size = part_of(size_bytes - at);
        char *room = staging_take(backend, size);
        if (!room)
            return;
        memcpy(room, (const char *)host + at, size);
        context_check(backend,
                      cudaMemcpyAsync((char *)target + at, room, size, cudaMemcpyHostToDevice,
                                      context_of(backend)->stream),
                      "upload");
    }
}

void context_download(struct backend *backend, void *host, const void *source, size_t size_bytes)
{
    cudaStream_t stream = context_of(backend)->stream;
    for (size_t at = 0; at < size_bytes && backend->error == STATUS_OK; at += STAGING_BYTES) {
        const size_t size = part_of(size_bytes - at);
        char *room = staging_take(backend, size);
        if (!room)
            break;
        context_check(
            backend,
            cudaMemcpyAsync(room, (const char *)source + at, size, cudaMemcpyDeviceToHost, stream),
            "download");
        context_check(backend, cudaStreamSynchronize(stream), "download");
        if (backend->error == STATUS_OK)
            memcpy((char *)host + at, room, size);
    }
    if (backend->error != STATUS_OK)
        memset(host, 0, size_bytes);
}

const int32_t *context_offsets(struct backend *backend, const struct tensor *offsets)
{
    struct known_offsets *known = &context_of(backend)->offsets;
    const int64_t count = tensor_count(offsets);
    if (known->count == count && known->of == offsets->data)
        return known->rows;
    if (count > known->capacity) {
        int32_t *rows = realloc(known->rows, (size_t)count * sizeof *rows);
        if (!rows) {
            backend_fail(backend, "no memory for %lld groups", (long long)count);
            return NULL;
        }
        known->rows = rows;
        known->capacity = count;
    }
    context_download(backend, known->rows, ints(offsets), (size_t)count * sizeof *known->rows);
    known->of = offsets->data;
    known->count = backend->error == STATUS_OK ? count : 0;
    return known->count ? known->rows : NULL;
}

/* -- operations -- */

static void *take_block(void *context, size_t size)
{
    struct backend *backend = context;
    void *block = NULL;
    if (context_enter(backend))
        context_check(backend, cudaMalloc(&block, size), "memory for tensors");
    return backend->error == STATUS_OK ? block : NULL;
}

/* cudaFree() waits for the device. */
static void give_block(void *context, void *block, size_t size)
{
    struct backend *backend = context;
    (void)size;
    (void)cudaSetDevice(context_of(backend)->device);
    (void)cudaFree(block);
}

static enum status cuda_arena_init(struct backend *backend, struct arena *arena, size_t capacity)
{
    (void)capacity; /* blocks come as they are wanted */
    const struct arena_source source = {take_block, give_block, backend};
    return arena_init_from(arena, &source);
}

static void check_size(const struct tensor *tensor, size_t size_bytes)
{
    CHECK(size_bytes <= (size_t)tensor_count(tensor) * dtype_size(tensor->dtype), "%zu bytes",
          size_bytes);
}

static void cuda_upload(struct backend *backend, const struct tensor *target, const void *host,
                        size_t size_bytes)
{
    check_size(target, size_bytes);
    if (size_bytes > 0 && context_enter(backend))
        context_upload(backend, target->data, host, size_bytes);
}

static void cuda_download(struct backend *backend, void *host, const struct tensor *source,
                          size_t size_bytes)
{
    check_size(source, size_bytes);
    if (size_bytes > 0 && context_enter_reals(backend))
        context_download(backend, host, source->data, size_bytes);
    else if (size_bytes > 0)
        memset(host, 0, size_bytes);
}

void cuda_set_transfer(struct backend_ops *ops)
{
    ops->arena_init = cuda_arena_init;
    ops->upload = cuda_upload;
    ops->download = cuda_download;
}
