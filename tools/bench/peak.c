/* Peaks: products of friendly shapes, and large buffers. */
#include "tools/bench/peak.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/parallel.h"

/* Rows, in, out. The last ones are over so soon that other programs seldom get in between. */
static const int64_t shapes[][3] = {{1024, 1024, 1024}, {512, 512, 2048}, {256, 512, 512}};

enum { N_SHAPES = sizeof shapes / sizeof *shapes, N_STREAMS_A_THREAD = 4, LEAST_CALLS = 5 };
static const size_t stream_bytes = (size_t)16 << 20; /* of each piece of the buffers */

static struct tensor ramp(struct backend *backend, struct arena *arena, struct arena *host,
                          int64_t d0, int64_t d1)
{
    const struct tensor tensor = tensor_2d(arena, backend->real, d0, d1);
    float *numbers = arena_take(host, (size_t)(d0 * d1) * sizeof *numbers);
    for (int64_t i = 0; i < d0 * d1; i++)
        numbers[i] = (float)(i % 61 - 30) / 61;
    backend->ops->upload(backend, &tensor, numbers, (size_t)(d0 * d1) * sizeof *numbers);
    return tensor;
}

/* The best rate of y [N, out] = x [N, in] W. */
static double product_rate(struct backend *backend, struct arena *arena, struct arena *host,
                           const int64_t shape[3], double seconds)
{
    const size_t mark = arena_mark(arena), host_mark = arena_mark(host);
    const struct tensor x = ramp(backend, arena, host, shape[0], shape[1]);
    const struct tensor y = tensor_2d(arena, backend->real, shape[0], shape[2]);
    struct weight weight = {.value = ramp(backend, arena, host, shape[1], shape[2])};
    const double flops = 2 * (double)shape[0] * (double)shape[1] * (double)shape[2];
    double best = 0;
    backend->ops->weight_pack(backend, &weight, PACK_PLAIN);
    const double end = clock_seconds() + seconds;
    double now = 0;
    for (int i = 0; i < LEAST_CALLS || now < end; i++) {
        const double start = clock_seconds();
        backend->ops->linear(backend, &y, &x, &weight, false, NULL, ACTIVATION_NONE, false);
        backend->ops->sync(backend);
        now = clock_seconds();
        best = flops / (now - start) > best ? flops / (now - start) : best;
    }
    backend->ops->weight_free(backend, &weight);
    arena_release(arena, mark);
    arena_release(host, host_mark);
    return best;
}

static enum status product_peak(const char *device, enum compute compute, int n_threads,
                                double seconds, struct arena *host, double *peak)
{
    struct backend backend;
    struct arena arena = {0};
    enum status status = backend_open_for(&backend, device, compute, n_threads);
    if (status >= 0)
        status = backend_arena_init(&backend, &arena, 0);
    for (int i = 0; i < N_SHAPES && status >= 0; i++) {
        const double rate = product_rate(&backend, &arena, host, shapes[i], seconds / N_SHAPES);
        *peak = rate > *peak ? rate : *peak;
    }
    if (status >= 0)
        status = backend_sync(&backend);
    arena_free(&arena);
    backend_close(&backend);
    return status;
}

struct streams {
    char *from, *to;                     /* [n_threads * N_STREAMS_A_THREAD * stream_bytes] */
    uint64_t sums[PARALLEL_MAX_THREADS]; /* so that reading cannot be left out */
    bool copies;
};

static enum status stream_piece(void *context, int thread, int64_t index)
{
    struct streams *streams = context;
    char *from = streams->from + (size_t)index * stream_bytes;
    if (streams->copies) {
        memcpy(streams->to + (size_t)index * stream_bytes, from, stream_bytes);
        return STATUS_OK;
    }
    uint64_t sums[8] = {0}, sum = 0;
    const uint64_t *words = (const uint64_t *)(const void *)from;
    for (size_t i = 0; i < stream_bytes / sizeof *words; i += 8)
        for (int j = 0; j < 8; j++)
            sums[j] += words[i + (size_t)j];
    for (int j = 0; j < 8; j++)
        sum += sums[j];
    streams->sums[thread] += sum;
    return STATUS_OK;
}

/* The best rate of going once through the buffers; a byte counts `weight` times. */
static double stream_rate(struct streams *streams, int n_threads, double seconds, double weight)
{
    const int64_t n_pieces = (int64_t)n_threads * N_STREAMS_A_THREAD;
    const double bytes = weight * (double)n_pieces * (double)stream_bytes;
    double best = 0;
    const double end = clock_seconds() + seconds;
    double now = 0;
    for (int i = 0; i < LEAST_CALLS || now < end; i++) {
        const double start = clock_seconds();
        const enum status status = parallel_for(n_threads, n_pieces, stream_piece, streams);
        CHECK(status == STATUS_OK, "a piece failed");
        now = clock_seconds();
        best = bytes / (now - start) > best ? bytes / (now - start) : best;
    }
    return best;
}

static void memory_peak(struct peak *peak, int n_threads, double seconds, struct arena *arena)
{
    const size_t mark = arena_mark(arena);
    const size_t size = (size_t)n_threads * N_STREAMS_A_THREAD * stream_bytes;
    struct streams streams = {.from = arena_take(arena, size), .to = arena_take(arena, size)};
    memset(streams.from, 1, size);
    memset(streams.to, 2, size);
    peak->read = stream_rate(&streams, n_threads, seconds, 1);
    streams.copies = true;
    peak->copy = stream_rate(&streams, n_threads, seconds, 2);
    arena_release(arena, mark);
}

static enum status measure(struct peak *peak, const char *device, enum compute compute,
                           int n_threads, double seconds)
{
    const bool is_cpu = strcmp(device, "cpu") == 0;
    struct arena arena;
    enum status status = arena_init(&arena, 0);
    if (status >= 0)
        status = product_peak(device, COMPUTE_F32, n_threads, seconds, &arena,
                              &peak->products[COMPUTE_F32]);
    if (compute == COMPUTE_F32 || (compute == COMPUTE_AUTO && is_cpu))
        compute = is_cpu ? backend_cpu_compute() : COMPUTE_F32;
    if (status >= 0 && compute != COMPUTE_F32)
        status =
            product_peak(device, compute, n_threads, seconds, &arena, &peak->products[compute]);
    if (status >= 0)
        memory_peak(peak, n_threads, seconds / 2, &arena);
    arena_free(&arena);
    return status;
}

/* The child's whole life: the figures go into the pipe, a failure into the exit code. */
static _Noreturn void measure_and_exit(int to, const char *device, enum compute compute,
                                       int n_threads, double seconds)
{
    struct peak peak = {0};
    const bool is_good = measure(&peak, device, compute, n_threads, seconds) >= 0;
    _exit(is_good && write(to, &peak, sizeof peak) == (ssize_t)sizeof peak ? 0 : 1);
}

enum status peak_measure(struct peak *peak, const char *device, enum compute compute,
                         int64_t n_threads, double seconds)
{
    int ends[2], code = 0;
    *peak = (struct peak){0};
    if (pipe(ends) < 0)
        return status_set(STATUS_FAILED, "cannot measure the machine: %s", strerror(errno));
    const pid_t child = fork();
    if (child == 0) {
        close(ends[0]);
        measure_and_exit(ends[1], device, compute, parallel_threads(n_threads), seconds);
    }
    const int fault = errno;
    close(ends[1]);
    const ssize_t size = child > 0 ? read(ends[0], peak, sizeof *peak) : 0;
    close(ends[0]);
    if (child < 0)
        return status_set(STATUS_FAILED, "cannot measure the machine: %s", strerror(fault));
    if (waitpid(child, &code, 0) < 0 || code != 0 || size != (ssize_t)sizeof *peak)
        return status_set(STATUS_DEVICE, "the machine's peak could not be measured");
    return STATUS_OK;
}
