/* What the stand-ins of NVIDIA's libraries use of the emulated devices. C linkage.
 *
 * A library call checks its arguments at once, and enqueues what it would do on the device. That
 * runs later, when something waits for the stream, in whatever order the streams allow. */
#ifndef MIXT_TESTS_SIMT_DEVICE_H
#define MIXT_TESTS_SIMT_DEVICE_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Puts run(argument) on a stream (NULL: the current device's default one); `argument` is from
 * malloc() and is given to free() after the last run. A captured stream keeps the work in its
 * graph, and each launch of the graph runs it again: run() must leave `argument` as it is. */
void simt_enqueue(cudaStream_t stream, void (*run)(void *), void *argument);

/* The same, but not before is_ready(argument) returns true; it is asked again and again, from
 * within calls that wait, and must not wait itself, nor touch device memory. For collectives. */
void simt_enqueue_when(cudaStream_t stream, bool (*is_ready)(void *), void (*run)(void *),
                       void *argument);

/* Device memory of all devices may be touched between the two; they nest. run() of work from
 * simt_enqueue() is called between them already. Outside, touching it ends the program. */
void simt_device_begin(void);
void simt_device_end(void);

/* Whether [p, p + size_bytes) lies in one live device allocation. */
bool simt_is_device(const void *p, size_t size_bytes);

/* The device of the allocation that p points into, or -1. */
int simt_device_of(const void *p);

/* The device of a stream (NULL: the current one). */
int simt_stream_device(cudaStream_t stream);

/* Says that a library has written these bytes; reports them if they are not in one live device
 * allocation. `p` may be NULL or host memory, and then nothing happens. */
void simt_mark_written(void *p, size_t size_bytes);

/* Reports device memory that is out of bounds, or has never been written (the latter is known in
 * check builds only). `what` names the operand, "cublasGemmEx: A". */
void simt_check_read(const void *p, size_t size_bytes, const char *what);

/* Reports a misuse that a stand-in has found. */
void simt_report(const char *what);

/* Counts one call that may fail, of "cudart", "cublas", "cudnn" or "nccl". True when the failure
 * that SIMT_FAIL_CALL or simt_fail_call() asks for hits this very call, or an earlier one did and
 * SIMT_FAIL_STICKY is set: the stand-in then returns an error and does nothing. */
bool simt_fail_now(const char *library);

/* Lets call n from now on fail (1: the next one; 0: none), of one library or of any (NULL). */
void simt_fail_call(long n, const char *library);

/* Calls counted so far by simt_fail_now(), all libraries. */
long simt_call_count(void);

/* Misuses reported so far; the last one in words. At exit a count above 0 becomes exit code 86. */
int simt_error_count(void);
const char *simt_last_error(void);

/* Forgets the count: for tests that plant defects. */
void simt_clear_errors(void);

/* Device allocations that are not freed, and their bytes (either may be NULL). */
void simt_live_allocations(size_t *count, size_t *size_bytes);

/* Streams, events, graphs and pieces of pinned memory that exist. SIMT_LEAKS=1 in the environment
 * reports at exit what is left of these and of allocations. */
long simt_live_objects(void);

/* Seeds the order of threads, blocks and streams (else SIMT_SEED, else 1). */
void simt_seed(unsigned long seed);

#ifdef __cplusplus
}
#endif

#endif
