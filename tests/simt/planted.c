/* Runs the kernels of planted.cu with one defect, under several seeds.
 *
 * Usage: planted DEFECT|--list|--speed [SEEDS]. Prints "DEFECT: wrong W, flagged F of N: MESSAGE":
 * in how many runs a result was wrong, in how many something was reported, and the first report. */
#include "tests/simt/planted.h"

#include <ctype.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/simt/device.h"

static const char *const names[N_DEFECTS] = {
    "clean",
    "no_barrier_after_write",
    "no_barrier_before_reuse",
    "no_barrier_in_tree",
    "no_syncwarp",
    "partial_syncwarp",
    "divergent_barrier",
    "exit_before_barrier",
    "missing_thread",
    "shuffle_mask",
    "shuffle_inactive",
    "shared_unwritten",
    "shared_overrun",
    "read_overrun",
    "write_overrun",
    "local_overrun",
    "misaligned",
    "global_unwritten",
    "no_atomic",
    "atomic_and_read",
    "many_readers",
    "byte_in_word",
    "blocks_meet",
    "host_read",
    "host_write",
    "others_local",
    "other_device",
    "use_after_free",
    "double_free",
    "ragged_block",
    "copy_overrun",
    "copy_kind",
    "copy_unwritten",
    "library_overrun",
    "host_dereference",
    "no_sync",
    "no_event",
};

static cudaStream_t stream;
static int n_wrong;

static void need(cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return;
    fprintf(stderr, "planted: %s: %s\n", what, cudaGetErrorString(error));
    exit(2);
}

static void expect(bool is_right)
{
    n_wrong += !is_right;
}

static float random_value(void)
{
    return (float)rand() / (float)RAND_MAX * 4 - 2;
}

static void *device_new(size_t size_bytes)
{
    void *p;
    need(cudaMalloc(&p, size_bytes), "cudaMalloc");
    return p;
}

static void *upload(const void *from, size_t size_bytes)
{
    void *p = device_new(size_bytes);
    need(cudaMemcpyAsync(p, from, size_bytes, cudaMemcpyHostToDevice, stream), "upload");
    return p;
}

static void download(void *to, const void *from, size_t size_bytes)
{
    need(cudaMemcpyAsync(to, from, size_bytes, cudaMemcpyDeviceToHost, stream), "download");
    need(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
}

/* ---- right kernels, each with what it must compute ---- */

enum { ROWS = 7, WIDTH = 300 };

static double softmax_error(const float *y, const float *x)
{
    double top = -INFINITY, sum = 0, worst = 0;
    for (int i = 0; i < WIDTH; i++)
        top = fmax(top, x[i]);
    for (int i = 0; i < WIDTH; i++)
        sum += exp(x[i] - top);
    for (int i = 0; i < WIDTH; i++) {
        const double error = fabs(exp(x[i] - top) / sum - y[i]) * WIDTH;
        worst = error <= worst ? worst : error;
    }
    return worst;
}

static void try_softmax(int defect, const float *x)
{
    static float y[ROWS * WIDTH];
    float *from = upload(x, sizeof(y)), *to = device_new(sizeof(y));
    need(planted_softmax(stream, defect, to, from, ROWS, WIDTH), "softmax");
    download(y, to, sizeof(y));
    for (int row = 0; row < ROWS; row++)
        expect(softmax_error(y + row * WIDTH, x + row * WIDTH) < 1e-4);
    cudaFree(from);
    cudaFree(to);
}

static void try_top(int defect, const float *x)
{
    int index[ROWS];
    float *from = upload(x, sizeof(float) * ROWS * WIDTH);
    int *to = device_new(sizeof(index));
    need(planted_top(stream, defect, to, from, ROWS, WIDTH), "top");
    download(index, to, sizeof(index));
    for (int row = 0; row < ROWS; row++) {
        int best = 0;
        for (int i = 1; i < WIDTH; i++)
            if (x[row * WIDTH + i] > x[row * WIDTH + best])
                best = i;
        expect(index[row] == best);
    }
    cudaFree(from);
    cudaFree(to);
}

static void try_tree_sum(int defect, const float *x)
{
    float y[4];
    float *from = upload(x, sizeof(float) * 4 * 256), *to = device_new(sizeof(y));
    need(planted_tree_sum(stream, defect, to, from, 4), "tree sum");
    download(y, to, sizeof(y));
    for (int row = 0; row < 4; row++) {
        double sum = 0;
        for (int i = 0; i < 256; i++)
            sum += x[row * 256 + i];
        expect(fabs(sum - y[row]) < 1e-3);
    }
    cudaFree(from);
    cudaFree(to);
}

static void try_scatter(int defect)
{
    enum { N = 20, D = 40, V = 5 };
    int row[N];
    float x[N * D], table[V * D], wanted[V * D] = {0};
    for (int i = 0; i < N; i++)
        row[i] = rand() % V;
    for (int i = 0; i < N * D; i++) {
        x[i] = (float)(rand() % 9); /* sums are exact in any order */
        wanted[row[i / D] * D + i % D] += x[i];
    }
    int *rows = upload(row, sizeof(row));
    float *from = upload(x, sizeof(x)), *to = device_new(sizeof(table));
    need(cudaMemsetAsync(to, 0, sizeof(table), stream), "cudaMemsetAsync");
    need(planted_scatter(stream, defect, to, rows, from, N, D), "scatter");
    download(table, to, sizeof(table));
    expect(memcmp(table, wanted, sizeof(table)) == 0);
    cudaFree(rows);
    cudaFree(from);
    cudaFree(to);
}

static void try_square(int defect, const float *x)
{
    enum { N4 = 70 };
    uint16_t y[N4 * 4];
    float *from = upload(x, sizeof(float) * (N4 * 4 + 4));
    uint16_t *to = device_new(sizeof(y));
    need(planted_square(stream, defect, to, from, N4), "square");
    download(y, to, sizeof(y));
    for (int i = 0; i < N4 * 4; i++) {
        const uint32_t bits = (uint32_t)y[i] << 16;
        float value;
        memcpy(&value, &bits, sizeof(value));
        expect(fabsf(value - x[i] * x[i]) <= x[i] * x[i] / 256);
    }
    cudaFree(from);
    cudaFree(to);
}

static void try_pass_on(int defect)
{
    enum { BLOCKS = 3 };
    int x[BLOCKS * 32], y[BLOCKS * 32];
    for (int i = 0; i < BLOCKS * 32; i++)
        x[i] = rand();
    int *from = upload(x, sizeof(x)), *to = device_new(sizeof(y));
    need(cudaMemsetAsync(to, 0, sizeof(y), stream), "cudaMemsetAsync");
    need(planted_pass_on(stream, defect, to, from, BLOCKS), "pass on");
    download(y, to, sizeof(y));
    for (int i = 0; i < BLOCKS * 32; i++)
        expect(y[i] == x[i / 32 * 32 + (i + 1) % 32]);
    cudaFree(from);
    cudaFree(to);
}

static void try_bytes(int defect)
{
    uint8_t y[32];
    uint8_t *to = device_new(sizeof(y));
    need(planted_bytes(stream, defect, to), "bytes");
    download(y, to, sizeof(y));
    for (int i = 0; i < 32; i++)
        expect(y[i] == i);
    cudaFree(to);
}

/* A captured step runs again as often as its graph is launched. */
static void try_graph(void)
{
    int value = 0, *p = upload(&value, sizeof(value)), *copy = device_new(sizeof(value));
    cudaGraph_t graph;
    cudaGraphExec_t program;
    need(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
    need(planted_touch(stream, p, 3), "touch");
    need(cudaMemcpyAsync(copy, p, sizeof(value), cudaMemcpyDeviceToDevice, stream), "copy");
    expect(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported);
    expect(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
    need(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "cudaStreamBeginCapture");
    need(planted_touch(stream, p, 3), "touch");
    need(cudaMemcpyAsync(copy, p, sizeof(value), cudaMemcpyDeviceToDevice, stream), "copy");
    need(cudaStreamEndCapture(stream, &graph), "cudaStreamEndCapture");
    need(cudaGraphInstantiate(&program, graph, 0), "cudaGraphInstantiate");
    download(&value, p, sizeof(value));
    expect(value == 0);
    for (int i = 0; i < 2; i++) {
        need(cudaMemsetAsync(p, 0, sizeof(value), stream), "cudaMemsetAsync");
        need(cudaGraphLaunch(program, stream), "cudaGraphLaunch");
        download(&value, copy, sizeof(value));
        expect(value == 3);
        need(cudaMemsetAsync(copy, 0, sizeof(value), stream), "cudaMemsetAsync");
    }
    cudaGraphExecDestroy(program);
    cudaGraphDestroy(graph);
    cudaFree(p);
    cudaFree(copy);
}

/* ---- defects outside kernels ---- */

static void try_streams(int defect)
{
    int value = 1, got = 0, *p = device_new(sizeof(value));
    cudaStream_t other;
    cudaEvent_t event;
    need(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    need(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
    need(cudaMemsetAsync(p, 0, sizeof(value), stream), "cudaMemsetAsync");
    need(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    need(planted_touch(other, p, 7), "touch");
    if (defect != NO_EVENT) {
        need(cudaEventRecord(event, other), "cudaEventRecord");
        need(cudaStreamWaitEvent(stream, event, 0), "cudaStreamWaitEvent");
    }
    need(cudaMemcpyAsync(&got, p, sizeof(got), cudaMemcpyDeviceToHost, stream), "download");
    if (defect != NO_SYNC)
        need(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    expect(got == 7);
    need(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    cudaEventDestroy(event);
    cudaStreamDestroy(other);
    cudaFree(p);
}

/* Memory that kernels must not touch, or cannot. */
static void try_touch(int defect)
{
    static int of_host = 0;
    int *p = device_new(4096);
    if (defect != GLOBAL_UNWRITTEN)
        need(cudaMemsetAsync(p, 0, 4096, stream), "cudaMemsetAsync");
    if (defect == USE_AFTER_FREE)
        need(cudaFree(p), "cudaFree");
    if (defect == OTHER_DEVICE) {
        need(cudaFree(p), "cudaFree");
        need(cudaSetDevice(1), "cudaSetDevice");
        p = device_new(4096);
        need(cudaMemset(p, 0, 4096), "cudaMemset");
        need(cudaSetDevice(0), "cudaSetDevice");
    }
    int *touched = defect == HOST_READ || defect == HOST_WRITE ? &of_host : p;
    need(planted_touch(stream, touched, defect == HOST_WRITE ? 1 : 0), "touch");
    need(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    if (defect != USE_AFTER_FREE)
        need(cudaFree(p), "cudaFree");
}

static void free_silently(void *argument)
{
    (void)argument;
}

static void try_calls(int defect)
{
    int values[16] = {0}, *p = upload(values, sizeof(values));
    need(cudaStreamSynchronize(stream), "cudaStreamSynchronize");
    if (defect == COPY_OVERRUN)
        cudaMemcpy(values, p + 1, sizeof(values), cudaMemcpyDeviceToHost);
    if (defect == COPY_KIND)
        cudaMemcpy(values, p, sizeof(values), cudaMemcpyHostToDevice);
    if (defect == LIBRARY_OVERRUN)
        simt_check_read(p, sizeof(values) + 1, "library: A");
    if (defect == HOST_DEREFERENCE)
        values[0] = *(volatile int *)p;
    simt_enqueue(stream, free_silently, malloc(1));
    expect(simt_is_device(p, sizeof(values)) && !simt_is_device(p, sizeof(values) + 1));
    need(cudaFree(p), "cudaFree");
    if (defect == DOUBLE_FREE)
        cudaFree(p);
    if (defect == COPY_UNWRITTEN) {
        p = device_new(sizeof(values));
        download(values, p, sizeof(values));
        cudaFree(p);
    }
}

static void run_all(int defect)
{
    static float x[ROWS * WIDTH];
    for (int i = 0; i < ROWS * WIDTH; i++)
        x[i] = random_value();
    need(cudaStreamCreate(&stream), "cudaStreamCreate");
    try_softmax(defect, x);
    try_top(defect, x);
    try_tree_sum(defect, x);
    try_scatter(defect);
    try_square(defect, x);
    try_pass_on(defect);
    try_bytes(defect);
    try_streams(defect);
    try_touch(defect);
    try_calls(defect);
    try_graph();
    cudaStreamDestroy(stream);
}

/* ---- speed ---- */

/* Of this process alone: others may share the processor. */
static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void time_barriers(int n_rounds)
{
    float *y = device_new(sizeof(float) * 256 * 1000);
    const double start_s = now_s();
    need(planted_barriers(NULL, y, 1000, n_rounds), "barriers");
    need(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    const double time_s = now_s() - start_s;
    printf("%4d barriers: %.2f M threads/s, %.1f M switches/s\n", n_rounds, 0.256 / time_s,
           0.256 * n_rounds / time_s);
    cudaFree(y);
}

static void time_rows(int n_rows, int n)
{
    const size_t size_bytes = sizeof(float) * (size_t)n_rows * (size_t)n;
    float *x = device_new(size_bytes), *y = device_new(size_bytes);
    need(cudaMemset(x, 0, size_bytes), "cudaMemset");
    double start_s = now_s();
    need(planted_softmax(NULL, CLEAN, y, x, n_rows, n), "softmax");
    need(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    printf("softmax of %d x %d: %.3f s\n", n_rows, n, now_s() - start_s);
    start_s = now_s();
    need(planted_top(NULL, CLEAN, (int *)y, x, n_rows * 8, n / 8), "top");
    need(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    printf("top of %d x %d: %.3f s\n", n_rows * 8, n / 8, now_s() - start_s);
    cudaFree(x);
    cudaFree(y);
}

/* Small launches, with a wait now and then, beside memory that nobody touches. */
static void time_launches(size_t idle_bytes, int n_between_waits)
{
    enum { LAUNCHES = 20000 };
    void *idle = device_new(idle_bytes);
    int *p = device_new(sizeof(int));
    need(cudaMemset(idle, 0, idle_bytes), "cudaMemset");
    need(cudaMemset(p, 0, sizeof(int)), "cudaMemset");
    need(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    const double start_s = now_s();
    for (int i = 0; i < LAUNCHES; i++) {
        need(planted_touch(NULL, p, 1), "touch");
        if (i % n_between_waits == 0)
            need(cudaStreamSynchronize(NULL), "cudaStreamSynchronize");
    }
    need(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    printf("%zu MiB in use, %d launches between waits: %.2f us a launch\n", idle_bytes >> 20,
           n_between_waits, (now_s() - start_s) / LAUNCHES * 1e6);
    cudaFree(idle);
    cudaFree(p);
}

static int show_speed(void)
{
    time_barriers(0);
    time_barriers(10);
    time_barriers(100);
    time_rows(512, 2048);
    time_launches(1 << 20, 100);
    time_launches(1 << 20, 1);
    time_launches(256 << 20, 100);
    time_launches(256 << 20, 1);
    return 0;
}

static int find_defect(const char *name)
{
    for (int i = 0; i < N_DEFECTS; i++)
        if (strcmp(names[i], name) == 0)
            return i;
    fprintf(stderr, "planted: no defect '%s'; --list names them\n", name);
    exit(2);
}

int main(int n_arguments, char **arguments)
{
    const char *name = n_arguments > 1 ? arguments[1] : "clean";
    for (int i = 0; i < N_DEFECTS && strcmp(name, "--list") == 0; i++)
        puts(names[i]);
    if (strcmp(name, "--list") == 0)
        return 0;
    if (strcmp(name, "--speed") == 0)
        return show_speed();
    const int defect = find_defect(name), n_seeds = n_arguments > 2 ? atoi(arguments[2]) : 20;
    int n_wrong_runs = 0, n_flagged = 0;
    char first[512] = "";
    for (int seed = 1; seed <= n_seeds; seed++) {
        simt_seed((unsigned long)seed);
        srand((unsigned)seed);
        n_wrong = 0;
        simt_clear_errors();
        run_all(defect);
        n_wrong_runs += n_wrong > 0;
        if (simt_error_count() && n_flagged++ == 0)
            snprintf(first, sizeof(first), "%s", simt_last_error());
    }
    printf("%s: wrong %d, flagged %d of %d: %s\n", name, n_wrong_runs, n_flagged, n_seeds, first);
    return 0;
}
