/* Every call of a library's stand-in can be made to fail: then it says so, and those that make
 * something have made nothing. */
#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <nccl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/simt/device.h"
#include "tests/simt/standin/cases.h"

static float *numbers; /* [16] on the device */

/* Each returns whether all its calls went well; what was made is destroyed all the same. */
static bool use_blas(void)
{
    const float one = 1, zero = 0;
    cublasHandle_t handle = NULL;
    bool is_good = cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS;
    if (!is_good)
        return false;
    is_good = cublasSetStream(handle, NULL) == CUBLAS_STATUS_SUCCESS &&
              cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH) == CUBLAS_STATUS_SUCCESS &&
              cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, numbers, 2, numbers, 2,
                          &zero, numbers + 8, 2) == CUBLAS_STATUS_SUCCESS;
    assert_int_equal(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
    return is_good;
}

static bool use_blaslt(void)
{
    const float one = 1, zero = 0;
    cublasLtHandle_t handle = NULL;
    cublasLtMatmulDesc_t desc = NULL;
    cublasLtMatrixLayout_t layout = NULL;
    const bool is_good =
        cublasLtCreate(&handle) == CUBLAS_STATUS_SUCCESS &&
        cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32F, CUDA_R_32F) == CUBLAS_STATUS_SUCCESS &&
        cublasLtMatrixLayoutCreate(&layout, CUDA_R_32F, 2, 2, 2) == CUBLAS_STATUS_SUCCESS &&
        cublasLtMatmul(handle, desc, &one, numbers, layout, numbers, layout, &zero, numbers + 8,
                       layout, numbers + 8, layout, NULL, NULL, 0, NULL) == CUBLAS_STATUS_SUCCESS;
    assert_int_equal(cublasLtMatrixLayoutDestroy(layout), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmulDescDestroy(desc), CUBLAS_STATUS_SUCCESS);
    if (handle)
        assert_int_equal(cublasLtDestroy(handle), CUBLAS_STATUS_SUCCESS);
    return is_good;
}

static bool use_dnn(void)
{
    cudnnHandle_t handle = NULL;
    cudnnRNNDescriptor_t rnn = NULL;
    cudnnTensorDescriptor_t tensor = NULL;
    size_t bytes = 0;
    const bool is_good =
        cudnnCreate(&handle) == CUDNN_STATUS_SUCCESS &&
        cudnnSetStream(handle, NULL) == CUDNN_STATUS_SUCCESS &&
        cudnnCreateTensorDescriptor(&tensor) == CUDNN_STATUS_SUCCESS &&
        cudnnCreateRNNDescriptor(&rnn) == CUDNN_STATUS_SUCCESS &&
        cudnnSetRNNDescriptor_v8(rnn, CUDNN_RNN_ALGO_STANDARD, CUDNN_LSTM, CUDNN_RNN_DOUBLE_BIAS,
                                 CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT, CUDNN_DATA_FLOAT,
                                 CUDNN_DATA_FLOAT, CUDNN_FMA_MATH, 2, 2, 2, 1, NULL,
                                 0) == CUDNN_STATUS_SUCCESS &&
        cudnnGetRNNWeightSpaceSize(handle, rnn, &bytes) == CUDNN_STATUS_SUCCESS;
    assert_int_equal(cudnnDestroyRNNDescriptor(rnn), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroyTensorDescriptor(tensor), CUDNN_STATUS_SUCCESS);
    if (handle)
        assert_int_equal(cudnnDestroy(handle), CUDNN_STATUS_SUCCESS);
    return is_good;
}

static bool use_nccl(void)
{
    ncclUniqueId id;
    ncclComm_t comm = NULL;
    const bool is_good =
        ncclGetUniqueId(&id) == ncclSuccess && ncclCommInitRank(&comm, 1, id, 0) == ncclSuccess &&
        ncclAllReduce(numbers, numbers, 4, ncclFloat, ncclSum, comm, NULL) == ncclSuccess;
    assert_int_equal(ncclCommDestroy(comm), ncclSuccess);
    return is_good;
}

/* Fails each of its calls in turn, and then none. */
static void check(const char *library, bool (*use)(void), int n_calls)
{
    for (int i = 1; i <= n_calls + 1; i++) {
        simt_fail_call(i, library);
        const bool is_good = use();
        simt_fail_call(0, NULL);
        if (is_good != (i > n_calls))
            fail_msg("%s: call %d of %d was to fail", library, i, n_calls);
        assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
        assert_int_equal(simt_error_count(), 0);
    }
}

static void test_each_call_fails(void **state)
{
    (void)state;
    float zeros[16] = {0};
    numbers = cases_upload(zeros, sizeof zeros);
    check("cublas", use_blas, 4);
    check("cublas", use_blaslt, 4);
    check("cudnn", use_dnn, 6);
    check("nccl", use_nccl, 3);
    cudaFree(numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_call_fails),
    };
    return cmocka_run_group_tests_name("standin_failures", tests, NULL, NULL);
}
