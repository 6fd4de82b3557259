/* Opening a GPU, a handle's errors and scratch, and the table. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/cuda/comm.h"
#include "backend/cuda/context.h"
#include "backend/cuda/dnn.h"
#include "backend/cuda/product.h"
#include "backend/module.h"

/* The oldest GPUs that the kernels are compiled for (Turing), and those with bf16 and TF32
 * (Ampere); major and minor number of the compute capability. */
enum { OLDEST_MAJOR = 7, OLDEST_MINOR = 5, BF16_MAJOR = 8 };

/* -- errors -- */

/* "cudaMalloc: out of memory" in the handle; where memory is what is missing, the status says so.
 * An error of this call alone must not be found by the next one. */
static void keep_error(struct backend *backend, const char *what, const char *words, bool is_memory)
{
    const bool is_first = backend->error == STATUS_OK;
    backend_fail(backend, "%s: %s: %s", backend->name, what, words);
    if (is_first && is_memory)
        backend->error = STATUS_MEMORY;
    (void)cudaGetLastError();
}

void context_check(struct backend *backend, cudaError_t error, const char *what)
{
    if (error != cudaSuccess)
        keep_error(backend, what, cudaGetErrorString(error), error == cudaErrorMemoryAllocation);
}

void context_check_blas(struct backend *backend, cublasStatus_t status, const char *what)
{
    if (status != CUBLAS_STATUS_SUCCESS)
        keep_error(backend, what, cublasGetStatusString(status),
                   status == CUBLAS_STATUS_ALLOC_FAILED);
}

void context_check_dnn(struct backend *backend, cudnnStatus_t status, const char *what)
{
    if (status != CUDNN_STATUS_SUCCESS)
        keep_error(backend, what, cudnnGetErrorString(status), status == CUDNN_STATUS_ALLOC_FAILED);
}

/* -- what operations call -- */

bool context_enter_reals(struct backend *backend)
{
    if (backend->error != STATUS_OK)
        return false;
    context_check(backend, cudaSetDevice(context_of(backend)->device), "device");
    return backend->error == STATUS_OK;
}

bool context_enter(struct backend *backend)
{
    context_of(backend)->offsets.count = 0;
    return context_enter_reals(backend);
}

/* What still reads the old memory is waited for. */
static void grow(struct backend *backend, struct room *room, size_t size_bytes)
{
    const size_t grown = room->size_bytes + room->size_bytes / 2;
    const size_t size = size_bytes > grown ? size_bytes : grown;
    context_check(backend, cudaStreamSynchronize(context_of(backend)->stream), "scratch");
    context_check(backend, cudaFree(room->memory), "scratch");
    *room = (struct room){0};
    if (backend->error == STATUS_OK)
        context_check(backend, cudaMalloc(&room->memory, size), "scratch");
    room->size_bytes = backend->error == STATUS_OK ? size : 0;
}

static void *take_room(struct backend *backend, struct room *room, size_t size_bytes)
{
    const size_t wanted = size_bytes > 0 ? size_bytes : 1;
    if (wanted > room->size_bytes && backend->error == STATUS_OK)
        grow(backend, room, wanted);
    return backend->error == STATUS_OK ? room->memory : NULL;
}

void *context_scratch(struct backend *backend, size_t size_bytes)
{
    return take_room(backend, &context_of(backend)->scratch, size_bytes);
}

void *context_layer_scratch(struct backend *backend, size_t size_bytes)
{
    return take_room(backend, &context_of(backend)->layer_scratch, size_bytes);
}

/* -- the table -- */

static void cuda_sync(struct backend *backend)
{
    if (context_enter_reals(backend))
        context_check(backend, cudaStreamSynchronize(context_of(backend)->stream), "device");
}

/* Of a half-built handle, too. */
static void cuda_close(struct backend *backend)
{
    struct context *context = context_of(backend);
    if (!context)
        return;
    (void)cudaSetDevice(context->device);
    if (context->stream)
        (void)cudaStreamSynchronize(context->stream);
    product_close(context);
    dnn_close(context);
    staging_close(&context->staging);
    (void)cudaFree(context->scratch.memory);
    (void)cudaFree(context->layer_scratch.memory);
    if (context->stream)
        (void)cudaStreamDestroy(context->stream);
    free(context->offsets.rows);
    free(context);
    backend->context = NULL;
}

static struct backend_ops table;

static void make_table(void)
{
    table = (struct backend_ops){.name = "cuda", .close = cuda_close, .sync = cuda_sync};
    cuda_set_attention(&table);
    cuda_set_cells(&table);
    cuda_set_elements(&table);
    cuda_set_gate(&table);
    cuda_set_loss(&table);
    cuda_set_lstm(&table);
    cuda_set_mask(&table);
    cuda_set_matmul(&table);
    cuda_set_memory(&table);
    cuda_set_moe(&table);
    cuda_set_optimizer(&table);
    cuda_set_rows(&table);
    cuda_set_topk(&table);
    cuda_set_transfer(&table);
    cuda_set_weight(&table);
}

/* -- opening -- */

/* A failure to open: the message alone, in the handle. */
#define REFUSE(backend, status, ...)                                                               \
    (snprintf((backend)->message, sizeof(backend)->message, __VA_ARGS__), (status))

/* How many GPUs there are, or why none can be used. */
static enum status count_devices(struct backend *backend, const char *stem, int *count)
{
    int driver = 0, runtime = 0;
    *count = 0;
    const cudaError_t seen = cudaDriverGetVersion(&driver);
    if (seen != cudaSuccess || driver == 0)
        return REFUSE(backend, STATUS_DEVICE, "%s: no NVIDIA driver is installed", stem);
    const cudaError_t error = cudaGetDeviceCount(count);
    if (error == cudaErrorInsufficientDriver && cudaRuntimeGetVersion(&runtime) == cudaSuccess)
        return REFUSE(backend, STATUS_DEVICE,
                      "%s: the NVIDIA driver knows CUDA up to %d.%d, and %d.%d is needed", stem,
                      driver / 1000, driver % 1000 / 10, runtime / 1000, runtime % 1000 / 10);
    if (error == cudaErrorNoDevice || (error == cudaSuccess && *count == 0))
        return REFUSE(backend, STATUS_DEVICE, "%s: there is no GPU", stem);
    if (error != cudaSuccess)
        return REFUSE(backend, STATUS_DEVICE, "%s: %s", stem, cudaGetErrorString(error));
    return STATUS_OK;
}

static enum status check_index(struct backend *backend, const char *stem, int index)
{
    int count;
    const enum status status = count_devices(backend, stem, &count);
    if (status < 0 || (index >= 0 && index < count))
        return status;
    if (count == 1)
        return REFUSE(backend, STATUS_CONFIG, "%s:%d: there is one GPU, %s:0", stem, index, stem);
    return REFUSE(backend, STATUS_CONFIG, "%s:%d: there are %d GPUs, %s:0 to %s:%d", stem, index,
                  count, stem, stem, count - 1);
}

/* Looks at the GPU; settles the compute type and the handle's names. */
static enum status describe(struct backend *backend, const char *stem, int index,
                            enum compute compute)
{
    static const char *const endings[] = {"", "_tf32", "_bf16"};
    struct cudaDeviceProp properties;
    const cudaError_t error = cudaGetDeviceProperties(&properties, index);
    if (error != cudaSuccess)
        return REFUSE(backend, STATUS_DEVICE, "%s:%d: %s", stem, index, cudaGetErrorString(error));
    const int major = properties.major, minor = properties.minor;
    snprintf(backend->hardware, sizeof backend->hardware, "%.*s", (int)sizeof backend->hardware - 1,
             properties.name);
    if (major < OLDEST_MAJOR || (major == OLDEST_MAJOR && minor < OLDEST_MINOR))
        return REFUSE(backend, STATUS_DEVICE,
                      "%s:%d: %s has compute capability %d.%d, and %d.%d is needed", stem, index,
                      backend->hardware, major, minor, OLDEST_MAJOR, OLDEST_MINOR);
    if (compute == COMPUTE_AUTO)
        compute = major >= BF16_MAJOR ? COMPUTE_BF16 : COMPUTE_F32;
    if (compute != COMPUTE_F32 && major < BF16_MAJOR)
        return REFUSE(backend, STATUS_CONFIG, "%s:%d: %s cannot compute in %s; use f32", stem,
                      index, backend->hardware, endings[compute] + 1);
    backend->compute = compute;
    backend->reads_host_weights = compute != COMPUTE_BF16; /* whose copies are made on the device */
    snprintf(backend->name, sizeof backend->name, "%s:%d%s", stem, index, endings[compute]);
    return STATUS_OK;
}

/* Everything that stays for the handle's life; the first failure is the backend's error. */
static void start(struct backend *backend)
{
    struct context *context = context_of(backend);
    context_check(backend, cudaSetDevice(context->device), "device");
    if (backend->error == STATUS_OK)
        context_check(backend, cudaStreamCreateWithFlags(&context->stream, cudaStreamNonBlocking),
                      "stream");
    if (backend->error == STATUS_OK && staging_open(backend) && product_open(backend))
        (void)dnn_open(backend);
}

static enum status cuda_open(struct backend *backend, const char *stem, int index,
                             enum compute compute, int n_threads)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    (void)pthread_once(&once, make_table);
    *backend = (struct backend){.ops = &table, .real = DTYPE_F32, .n_threads = n_threads};
    enum status status = check_index(backend, stem, index);
    if (status >= 0)
        status = describe(backend, stem, index, compute);
    if (status < 0)
        return status;
    struct context *context = calloc(1, sizeof *context);
    if (!context)
        return REFUSE(backend, STATUS_MEMORY, "%s: no memory for a handle", stem);
    context->device = index;
    backend->context = context;
    start(backend);
    status = backend->error;
    if (status < 0)
        cuda_close(backend);
    return status;
}

__attribute__((visibility("default"))) const struct backend_module *
mixt_backend_module(int version);

const struct backend_module *mixt_backend_module(int version)
{
    static struct backend_module module = {.open = cuda_open};
    module.comm = cuda_comm();
    return version == BACKEND_MODULE_VERSION ? &module : NULL;
}
