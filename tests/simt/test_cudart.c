/* The runtime of the emulator: what the host code may rely on, and what it must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <cuda_runtime_api.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simt/device.h"

#define OK(call) assert_int_equal(call, cudaSuccess)

static int *device_int(int value)
{
    int *p = NULL;
    OK(cudaMalloc((void **)&p, sizeof(*p)));
    OK(cudaMemcpy(p, &value, sizeof(value), cudaMemcpyHostToDevice));
    return p;
}

static int value_of(const int *p)
{
    int value;
    OK(cudaMemcpy(&value, p, sizeof(value), cudaMemcpyDeviceToHost));
    return value;
}

static void test_memory_ends(void **state)
{
    (void)state;
    size_t free_bytes, total_bytes, left_bytes;
    void *most, *more = &free_bytes;
    OK(cudaMemGetInfo(&free_bytes, &total_bytes));
    assert_int_equal(total_bytes, 8 << 20);
    OK(cudaMalloc(&most, free_bytes - 100));
    assert_int_equal(cudaMalloc(&more, 101), cudaErrorMemoryAllocation);
    assert_null(more);
    assert_int_equal(cudaPeekAtLastError(), cudaErrorMemoryAllocation);
    assert_int_equal(cudaGetLastError(), cudaErrorMemoryAllocation);
    OK(cudaGetLastError());
    OK(cudaFree(most));
    OK(cudaMemGetInfo(&left_bytes, NULL));
    assert_int_equal(left_bytes, free_bytes);
}

/* Freed and taken again more often than addresses last. */
static void test_memory_returns(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        char *a, *b;
        OK(cudaMalloc((void **)&a, 3 << 20));
        OK(cudaMalloc((void **)&b, 1 << 20));
        OK(cudaMemset(a, 1, 3 << 20));
        OK(cudaFree(a));
        assert_true(simt_is_device(b, 1 << 20));
        assert_false(simt_is_device(a, 1));
        OK(cudaFree(b));
    }
}

static void test_devices(void **state)
{
    (void)state;
    int count = 0, device = -1, can = 0;
    struct cudaDeviceProp properties;
    OK(cudaGetDeviceCount(&count));
    assert_int_equal(count, 2);
    OK(cudaGetDeviceProperties(&properties, 1));
    assert_int_equal(properties.totalGlobalMem, 8 << 20);
    assert_int_equal(cudaSetDevice(2), cudaErrorInvalidDevice);
    OK(cudaSetDevice(1));
    OK(cudaGetDevice(&device));
    assert_int_equal(device, 1);
    int *there = device_int(5);
    assert_int_equal(simt_device_of(there), 1);
    OK(cudaSetDevice(0));
    int *here = device_int(0);
    OK(cudaDeviceCanAccessPeer(&can, 0, 1));
    assert_true(can);
    OK(cudaMemcpyPeerAsync(here, 0, there, 1, sizeof(*here), NULL));
    assert_int_equal(value_of(here), 5);
    OK(cudaFree(there));
    OK(cudaFree(here));
    cudaGetLastError();
}

/* Host memory that is not pinned may change as soon as the call returns; pinned memory may not. */
static void test_pinned_memory_is_read_late(void **state)
{
    (void)state;
    int *pinned, pageable = 1, *p = device_int(0);
    cudaStream_t stream;
    OK(cudaStreamCreate(&stream));
    OK(cudaMallocHost((void **)&pinned, sizeof(*pinned)));
    OK(cudaMemcpyAsync(p, &pageable, sizeof(*p), cudaMemcpyHostToDevice, stream));
    pageable = 2;
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(value_of(p), 1);
    *pinned = 3;
    OK(cudaMemcpyAsync(p, pinned, sizeof(*p), cudaMemcpyHostToDevice, stream));
    *pinned = 4;
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(value_of(p), 4);
    OK(cudaStreamDestroy(stream));
    OK(cudaFreeHost(pinned));
    OK(cudaFree(p));
}

static void test_rows_are_copied(void **state)
{
    (void)state;
    char from[12] = "abcdefghijk", to[8] = "........", *p;
    OK(cudaMalloc((void **)&p, 12));
    OK(cudaMemcpy2DAsync(p, 4, from, 6, 3, 2, cudaMemcpyHostToDevice, NULL));
    OK(cudaMemcpy2DAsync(to, 4, p, 4, 3, 2, cudaMemcpyDeviceToHost, NULL));
    OK(cudaDeviceSynchronize());
    assert_memory_equal(to, "abc.ghi.", 8);
    assert_int_equal(cudaMemcpy2D(p, 2, from, 6, 3, 2, cudaMemcpyHostToDevice),
                     cudaErrorInvalidPitchValue);
    OK(cudaFree(p));
    cudaGetLastError();
}

/* The default stream keeps its place among streams that do not opt out. */
static void test_default_stream(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        cudaStream_t stream;
        int *p = device_int(0), got;
        OK(cudaStreamCreate(&stream));
        OK(cudaMemsetAsync(p, 1, sizeof(*p), stream));
        OK(cudaMemsetAsync(p, 2, sizeof(*p), NULL));
        OK(cudaMemcpyAsync(&got, p, sizeof(got), cudaMemcpyDeviceToHost, stream));
        OK(cudaStreamSynchronize(stream));
        assert_int_equal(got, 0x02020202);
        OK(cudaStreamDestroy(stream));
        OK(cudaFree(p));
    }
}

static void test_events(void **state)
{
    (void)state;
    cudaEvent_t start, end;
    cudaStream_t stream;
    float ms = -1;
    int *p = device_int(0), n_queries = 0;
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaEventCreate(&start));
    OK(cudaEventCreate(&end));
    OK(cudaEventRecord(start, stream));
    for (int i = 0; i < 10; i++)
        OK(cudaMemsetAsync(p, i, sizeof(*p), stream));
    OK(cudaEventRecord(end, stream));
    assert_int_equal(cudaEventElapsedTime(&ms, start, end), cudaErrorNotReady);
    while (cudaEventQuery(end) == cudaErrorNotReady)
        n_queries++;
    assert_true(n_queries > 5);
    OK(cudaEventElapsedTime(&ms, start, end));
    assert_true(ms >= 0);
    OK(cudaStreamQuery(stream));
    OK(cudaEventDestroy(start));
    OK(cudaEventDestroy(end));
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(p));
}

/* ---- graphs ---- */

struct addition {
    int *to;
    int by;
};

static void run_addition(void *argument)
{
    const struct addition *addition = argument;
    *addition->to += addition->by;
    simt_mark_written(addition->to, sizeof(int));
}

static void enqueue_addition(cudaStream_t stream, int *to, int by)
{
    struct addition *addition = malloc(sizeof(*addition));
    assert_non_null(addition);
    *addition = (struct addition){to, by};
    simt_enqueue(stream, run_addition, addition);
}

/* Another stream joins by an event; the graph outlives it, and what was captured runs each time. */
static void test_graph(void **state)
{
    (void)state;
    cudaStream_t stream, other;
    cudaEvent_t event;
    cudaGraph_t graph;
    cudaGraphExec_t program;
    size_t n_nodes = 0;
    int *p = device_int(1);
    OK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
    OK(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
    OK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    enqueue_addition(stream, p, 10);
    OK(cudaEventRecord(event, stream));
    OK(cudaStreamWaitEvent(other, event, 0));
    enqueue_addition(other, p, 100);
    OK(cudaEventRecord(event, other));
    OK(cudaStreamWaitEvent(stream, event, 0));
    OK(cudaStreamEndCapture(stream, &graph));
    assert_int_equal(cudaStreamWaitEvent(stream, event, 0), cudaErrorCapturedEvent);
    OK(cudaGraphGetNodes(graph, NULL, &n_nodes));
    assert_int_equal(n_nodes, 2);
    OK(cudaGraphInstantiate(&program, graph, 0));
    OK(cudaGraphDestroy(graph));
    OK(cudaStreamDestroy(other));
    assert_int_equal(value_of(p), 1);
    for (int i = 0; i < 3; i++)
        OK(cudaGraphLaunch(program, stream));
    OK(cudaStreamSynchronize(stream));
    assert_int_equal(value_of(p), 331);
    OK(cudaGraphExecDestroy(program));
    OK(cudaEventDestroy(event));
    OK(cudaStreamDestroy(stream));
    OK(cudaFree(p));
}

static void test_capture_refuses_to_wait(void **state)
{
    (void)state;
    cudaStream_t stream;
    cudaGraph_t graph;
    void *p = NULL;
    OK(cudaStreamCreate(&stream));
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
    assert_int_equal(cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported);
    assert_int_equal(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
    OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed));
    OK(cudaMalloc(&p, 4));
    OK(cudaStreamEndCapture(stream, &graph));
    OK(cudaGraphDestroy(graph));
    OK(cudaFree(p));
    OK(cudaStreamDestroy(stream));
    cudaGetLastError();
}

/* ---- failures, threads ---- */

static void test_planned_failure(void **state)
{
    (void)state;
    void *p;
    const long before = simt_call_count();
    simt_fail_call(2, NULL);
    OK(cudaMalloc(&p, 4));
    assert_int_equal(cudaMemset(p, 0, 4), cudaErrorUnknown);
    OK(cudaMemset(p, 0, 4));
    assert_int_equal(simt_call_count() - before, 3);
    assert_int_equal(cudaGetLastError(), cudaErrorUnknown);
    simt_fail_call(1, "cublas");
    OK(cudaMemset(p, 0, 4));
    assert_true(simt_fail_now("cublas"));
    setenv("SIMT_FAIL_STICKY", "1", 1);
    simt_fail_call(1, "cudart");
    assert_int_equal(cudaMemset(p, 0, 4), cudaErrorIllegalAddress);
    assert_int_equal(cudaDeviceSynchronize(), cudaErrorIllegalAddress);
    assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
    assert_int_equal(cudaGetLastError(), cudaErrorIllegalAddress);
    unsetenv("SIMT_FAIL_STICKY");
    simt_fail_call(0, NULL);
    OK(cudaFree(p));
}

static bool is_other_there;

static bool other_is_there(void *argument)
{
    (void)argument;
    return is_other_there;
}

static void *come_late(void *p)
{
    cudaSetDevice(1);
    int *waste = NULL;
    if (cudaMalloc((void **)&waste, 4) == cudaSuccess)
        cudaFree(waste);
    is_other_there = true;
    return p;
}

/* A collective of two host threads: the one that waits must let the other one in. */
static void test_two_host_threads(void **state)
{
    (void)state;
    pthread_t thread;
    int *p = device_int(1), device = -1;
    struct addition *addition = malloc(sizeof(*addition));
    assert_non_null(addition);
    *addition = (struct addition){p, 1};
    simt_enqueue_when(NULL, other_is_there, run_addition, addition);
    assert_int_equal(pthread_create(&thread, NULL, come_late, NULL), 0);
    OK(cudaDeviceSynchronize());
    assert_int_equal(value_of(p), 2);
    pthread_join(thread, NULL);
    OK(cudaGetDevice(&device));
    assert_int_equal(device, 0);
    OK(cudaFree(p));
}

static void test_nothing_is_left(void **state)
{
    (void)state;
    size_t count, size_bytes;
    simt_live_allocations(&count, &size_bytes);
    assert_int_equal(count, 0);
    assert_int_equal(size_bytes, 0);
    assert_int_equal(simt_live_objects(), 0);
    assert_int_equal(simt_error_count(), 0);
}

/* The last test: what a machine without a driver answers. */
static void test_no_driver(void **state)
{
    (void)state;
    int count = 7, version = 7;
    void *p = NULL;
    setenv("SIMT_NO_DRIVER", "1", 1);
    assert_int_equal(cudaGetDeviceCount(&count), cudaErrorInsufficientDriver);
    assert_int_equal(count, 7);
    OK(cudaDriverGetVersion(&version));
    assert_int_equal(version, 0);
    assert_int_equal(cudaMalloc(&p, 4), cudaErrorInsufficientDriver);
}

int main(void)
{
    setenv("SIMT_DEVICES", "2", 1);
    setenv("SIMT_MEMORY_MIB", "8", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_ends),
        cmocka_unit_test(test_memory_returns),
        cmocka_unit_test(test_devices),
        cmocka_unit_test(test_pinned_memory_is_read_late),
        cmocka_unit_test(test_rows_are_copied),
        cmocka_unit_test(test_default_stream),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_graph),
        cmocka_unit_test(test_capture_refuses_to_wait),
        cmocka_unit_test(test_planned_failure),
        cmocka_unit_test(test_two_host_threads),
        cmocka_unit_test(test_nothing_is_left),
        cmocka_unit_test(test_no_driver),
    };
    return cmocka_run_group_tests_name("cudart", tests, NULL, NULL);
}
