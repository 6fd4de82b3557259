/* The handle of the stand-in of cuBLAS. */
#ifndef MIXT_TESTS_SIMT_STANDIN_BLAS_HH
#define MIXT_TESTS_SIMT_STANDIN_BLAS_HH

#include <cublas_v2.h>

#include <cstddef>

struct cublasContext {
    int device;
    cudaStream_t stream;
    cublasMath_t math;
    void *workspace;
    size_t workspace_bytes;
};

/* What every call on a handle begins with: is it one, may it be used now, shall the call fail? */
cublasStatus_t blas_enter(const char *function, cublasHandle_t handle);

#endif
