/* The emulator's self-test: kernels that are right, and become wrong in one place on demand. */
#ifndef MIXT_TESTS_SIMT_PLANTED_H
#define MIXT_TESTS_SIMT_PLANTED_H

#include <cuda_runtime_api.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What is wrong; the names of the test's command line are these in lower case. */
enum defect {
    CLEAN,
    NO_BARRIER_AFTER_WRITE, /* threads read partial sums that others still write */
    NO_BARRIER_BEFORE_REUSE,
    NO_BARRIER_IN_TREE,
    NO_SYNCWARP,
    PARTIAL_SYNCWARP, /* two halves of a warp sync, each by itself */
    DIVERGENT_BARRIER,
    EXIT_BEFORE_BARRIER,
    MISSING_THREAD, /* one thread never comes to the barrier */
    SHUFFLE_MASK,
    SHUFFLE_INACTIVE,
    SHARED_UNWRITTEN, /* one slot too many of partial sums */
    SHARED_OVERRUN,
    READ_OVERRUN,
    WRITE_OVERRUN,
    LOCAL_OVERRUN, /* of an array of the thread's own */
    MISALIGNED,
    GLOBAL_UNWRITTEN,
    NO_ATOMIC,
    ATOMIC_AND_READ,
    MANY_READERS, /* one of several readers writes, without a barrier */
    BYTE_IN_WORD, /* one thread writes a word, another one byte of it */
    BLOCKS_MEET,  /* two blocks write the same place */
    HOST_READ,
    HOST_WRITE,
    OTHERS_LOCAL, /* a local variable of another thread */
    OTHER_DEVICE,
    USE_AFTER_FREE,
    DOUBLE_FREE,
    RAGGED_BLOCK, /* 33 threads */
    COPY_OVERRUN,
    COPY_KIND,
    COPY_UNWRITTEN,
    LIBRARY_OVERRUN,
    HOST_DEREFERENCE,
    NO_SYNC,  /* the host reads too early */
    NO_EVENT, /* two streams without order */
    N_DEFECTS
};

cudaError_t planted_softmax(cudaStream_t stream, int defect, float *y, const float *x, int n_rows,
                            int n);
cudaError_t planted_top(cudaStream_t stream, int defect, int *index, const float *x, int n_rows,
                        int n);
cudaError_t planted_tree_sum(cudaStream_t stream, int defect, float *y, const float *x, int n_rows);
cudaError_t planted_scatter(cudaStream_t stream, int defect, float *table, const int *row,
                            const float *x, int n_rows, int n);
/* y = x^2 for n4 groups of four, as bf16 (host and device agree on the 2 bytes of one). */
cudaError_t planted_square(cudaStream_t stream, int defect, uint16_t *y, const float *x, int n4);
cudaError_t planted_pass_on(cudaStream_t stream, int defect, int *y, const int *x, int n_blocks);
cudaError_t planted_bytes(cudaStream_t stream, int defect, uint8_t *y);
cudaError_t planted_touch(cudaStream_t stream, int *p, int value);
cudaError_t planted_barriers(cudaStream_t stream, float *y, int n_blocks, int n_rounds);

#ifdef __cplusplus
}
#endif

#endif
