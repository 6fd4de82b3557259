/* The stand-in of cuBLAS against products in plain C, and what it must refuse. */
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/simt/device.h"
#include "tests/simt/standin/cases.h"

static cublasHandle_t handle;
static cudaStream_t stream;
static const float one = 1, zero = 0;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(cudaStreamCreate(&stream), cudaSuccess);
    assert_int_equal(cublasCreate(&handle), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    assert_int_equal(cublasDestroy(handle), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cudaStreamDestroy(stream), cudaSuccess);
    return simt_error_count();
}

/* One product of floats with room between the columns, in all orders. */
static void check_sgemm(bool transa, bool transb, int m, int n, int k)
{
    enum { ROOM = 3 };
    const int lda = (transa ? k : m) + ROOM, ldb = (transb ? n : k) + ROOM, ldc = m + ROOM;
    const int64_t na = (int64_t)lda * (transa ? m : k), nb = (int64_t)ldb * (transb ? k : n);
    const int64_t nc = (int64_t)ldc * n;
    float *a = cases_numbers(na, 1), *b = cases_numbers(nb, 2), *c = cases_numbers(nc, 3);
    float *da = cases_upload(a, (size_t)na * 4), *db = cases_upload(b, (size_t)nb * 4);
    float *dc = cases_upload(c, (size_t)nc * 4);
    float alpha = 0.5f, beta = -2;
    assert_int_equal(cublasSgemm(handle, transa ? CUBLAS_OP_T : CUBLAS_OP_N,
                                 transb ? CUBLAS_OP_T : CUBLAS_OP_N, m, n, k, &alpha, da, lda, db,
                                 ldb, &beta, dc, ldc),
                     CUBLAS_STATUS_SUCCESS);
    alpha = beta = NAN; /* scalars are read in the call */
    const struct cases_product p = {transa, transb, m, n, k, a, b, c, lda, ldb, ldc, 0.5, -2};
    cases_multiply(&p);
    float *got = cases_download(dc, (size_t)nc * 4);
    cases_expect("sgemm", got, c, nc, 1e-7);
    cudaFree(da), cudaFree(db), cudaFree(dc);
    free(a), free(b), free(c), free(got);
}

static void test_sgemm(void **state)
{
    (void)state;
    for (int t = 0; t < 4; t++) {
        check_sgemm(t & 1, t & 2, 5, 3, 7);
        check_sgemm(t & 1, t & 2, 1, 1, 1);
        check_sgemm(t & 1, t & 2, 4, 33, 0);
        check_sgemm(t & 1, t & 2, 4, 0, 2);
    }
}

static void test_beta_of_zero_does_not_read(void **state)
{
    (void)state;
    const float two[] = {2};
    float *a = cases_upload(two, 4), *c = cases_device(4);
    assert_int_equal(
        cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, 1, a, 1, &zero, c, 1),
        CUBLAS_STATUS_SUCCESS);
    float *got = cases_download(c, 4);
    assert_true(got[0] == 4);
    free(got);
    cudaFree(a), cudaFree(c);
}

/* A product by 1 shows how much of x was read. */
static void check_rounding(cublasComputeType_t compute, cublasMath_t math, float x, float want)
{
    float *a = cases_upload(&x, 4), *b = cases_upload(&one, 4), *c = cases_device(4);
    assert_int_equal(cublasSetMathMode(handle, math), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, a, CUDA_R_32F, 1,
                                  b, CUDA_R_32F, 1, &zero, c, CUDA_R_32F, 1, compute,
                                  CUBLAS_GEMM_DEFAULT),
                     CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasSetMathMode(handle, CUBLAS_DEFAULT_MATH), CUBLAS_STATUS_SUCCESS);
    float *got = cases_download(c, 4);
    assert_true(got[0] == want);
    free(got);
    cudaFree(a), cudaFree(b), cudaFree(c);
}

static void test_fast_types_round(void **state)
{
    (void)state;
    const float x = 1 + 0x1p-9f + 0x1p-11f + 0x1p-12f, tf32 = 1 + 0x1p-9f + 0x1p-10f;
    check_rounding(CUBLAS_COMPUTE_32F, CUBLAS_DEFAULT_MATH, x, x);
    check_rounding(CUBLAS_COMPUTE_32F_FAST_TF32, CUBLAS_DEFAULT_MATH, x, tf32);
    check_rounding(CUBLAS_COMPUTE_32F, CUBLAS_TF32_TENSOR_OP_MATH, x, tf32);
    check_rounding(CUBLAS_COMPUTE_32F_PEDANTIC, CUBLAS_TF32_TENSOR_OP_MATH, x, x);
    check_rounding(CUBLAS_COMPUTE_32F_FAST_16BF, CUBLAS_DEFAULT_MATH, x, 1);
}

static cublasStatus_t bf16_product(const void *a, const void *b, void *c, cudaDataType c_type)
{
    return cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, 2, 3, 4, &one, a, CUDA_R_16BF, 4, b,
                        CUDA_R_16BF, 4, &zero, c, c_type, 2, CUBLAS_COMPUTE_32F,
                        CUBLAS_GEMM_DEFAULT);
}

static void test_bf16(void **state)
{
    (void)state;
    float *a = cases_numbers(8, 5), *b = cases_numbers(12, 6), want[6];
    uint16_t *a16 = cases_to_bf16(a, 8), *b16 = cases_to_bf16(b, 12);
    for (int i = 0; i < 8; i++)
        a[i] = cases_float(a16[i]);
    for (int i = 0; i < 12; i++)
        b[i] = cases_float(b16[i]);
    const struct cases_product p = {true, false, 2, 3, 4, a, b, want, 4, 4, 2, 1, 0};
    cases_multiply(&p);
    void *da = cases_upload(a16, 16), *db = cases_upload(b16, 24), *dc = cases_device(24);
    assert_int_equal(bf16_product(da, db, dc, CUDA_R_32F), CUBLAS_STATUS_SUCCESS);
    float *got = cases_download(dc, 24);
    cases_expect("bf16 to f32", got, want, 6, 1e-7);
    assert_int_equal(bf16_product(da, db, dc, CUDA_R_16BF), CUBLAS_STATUS_SUCCESS);
    uint16_t *got16 = cases_download(dc, 12);
    for (int i = 0; i < 6; i++)
        assert_int_equal(got16[i], cases_bf16(want[i]));
    assert_int_equal(bf16_product(da, db, dc, CUDA_R_32I), CUBLAS_STATUS_NOT_SUPPORTED);
    free(a), free(b), free(a16), free(b16), free(got), free(got16);
    cudaFree(da), cudaFree(db), cudaFree(dc);
}

static cublasStatus_t int8_product(const void *a, const void *b, void *c, int k, int ld)
{
    const int32_t alpha = 1, beta = 0;
    return cublasGemmEx(handle, CUBLAS_OP_T, CUBLAS_OP_N, 1, 1, k, &alpha, a, CUDA_R_8I, ld, b,
                        CUDA_R_8I, ld, &beta, c, CUDA_R_32I, 1, CUBLAS_COMPUTE_32I,
                        CUBLAS_GEMM_DEFAULT);
}

static void test_int8(void **state)
{
    (void)state;
    const int8_t a[] = {-128, 127, 3, 4, 5, 6, 7, 8}, b[] = {-128, -127, 1, 1, 1, 1, 1, 1};
    char *da = cases_upload(a, 8), *db = cases_upload(b, 8), *dc = cases_device(4);
    assert_int_equal(int8_product(da, db, dc, 3, 4), CUBLAS_STATUS_SUCCESS);
    int32_t *got = cases_download(dc, 4);
    assert_int_equal(*got, 128 * 128 - 127 * 127 + 3);
    assert_int_equal(int8_product(da, db, dc, 3, 3), CUBLAS_STATUS_NOT_SUPPORTED);
    assert_int_equal(int8_product(da + 1, db, dc, 3, 4), CUBLAS_STATUS_NOT_SUPPORTED);
    free(got);
    cudaFree(da), cudaFree(db), cudaFree(dc);
}

static void test_strided_batch(void **state)
{
    (void)state;
    enum { M = 2, N = 3, K = 4, BATCH = 3 };
    float *a = cases_numbers(M * K, 1), *b = cases_numbers(K * N * BATCH, 2);
    float want[M * N * BATCH];
    float *da = cases_upload(a, M * K * 4), *db = cases_upload(b, K * N * BATCH * 4);
    float *dc = cases_device(M * N * BATCH * 4);
    for (int i = 0; i < BATCH; i++) {
        const struct cases_product p = {false, false, M, N, K, a, b + i * K * N, want + i * M * N,
                                        M,     K,     M, 1, 0};
        cases_multiply(&p);
    }
    assert_int_equal(cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, M, N, K, &one, da,
                                               M, 0, db, K, K * N, &zero, dc, M, M * N, BATCH),
                     CUBLAS_STATUS_SUCCESS);
    float *got = cases_download(dc, M * N * BATCH * 4);
    cases_expect("strided", got, want, M * N * BATCH, 1e-7);
    assert_int_equal(cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, M, N, K, &one, da,
                                               M, 0, db, K, K * N, &zero, dc, M, M, BATCH),
                     CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasSgemmStridedBatched(handle, CUBLAS_OP_N, CUBLAS_OP_N, M, N, K, &one, da,
                                               M, 0, db, K, K * N, &zero, dc, M, M * N, BATCH + 1),
                     CUBLAS_STATUS_EXECUTION_FAILED);
    cases_expect_misuse("not in one device allocation");
    free(a), free(b), free(got);
    cudaFree(da), cudaFree(db), cudaFree(dc);
}

static void test_gemv(void **state)
{
    (void)state;
    float *a = cases_numbers(6, 1), *x = cases_numbers(6, 2), want[3];
    float *da = cases_upload(a, 24), *dx = cases_upload(x, 24), *dy = cases_device(12);
    const float packed[] = {x[0], x[3]};
    const struct cases_product p = {true, false, 3, 1, 2, a, packed, want, 2, 2, 3, 1, 0};
    cases_multiply(&p);
    assert_int_equal(cublasSgemv(handle, CUBLAS_OP_T, 2, 3, &one, da, 2, dx, 3, &zero, dy, 1),
                     CUBLAS_STATUS_SUCCESS);
    float *got = cases_download(dy, 12);
    cases_expect("gemv", got, want, 3, 1e-7);
    free(a), free(x), free(got);
    cudaFree(da), cudaFree(dx), cudaFree(dy);
}

/* Two groups, of one and of two products, the first of no rows. */
static cublasStatus_t grouped(void *const *a, void *const *b, void *const *c, cudaDataType type,
                              cudaDataType c_type, cublasComputeType_t compute, int ldc)
{
    const cublasOperation_t ta[] = {CUBLAS_OP_N, CUBLAS_OP_N}, tb[] = {CUBLAS_OP_N, CUBLAS_OP_N};
    const int m[] = {0, 2}, n[] = {2, 2}, k[] = {2, 2}, lda[] = {2, 2}, ldb[] = {2, 2};
    const int ldcs[] = {2, ldc}, size[] = {1, 2};
    const float alpha[] = {1, 2}, beta[] = {0, 0};
    return cublasGemmGroupedBatchedEx(handle, ta, tb, m, n, k, alpha, (const void *const *)a, type,
                                      lda, (const void *const *)b, type, ldb, beta, c, c_type, ldcs,
                                      2, size, compute);
}

static void test_grouped(void **state)
{
    (void)state;
    const float a[] = {1, 2, 3, 4}, b[] = {1, 0, 0, 1, 0, 1, 1, 0};
    char *da = cases_upload(a, sizeof a), *db = cases_upload(b, sizeof b), *dc = cases_device(32);
    void *as[] = {NULL, da, da}, *bs[] = {NULL, db, db + 16}, *cs[] = {NULL, dc, dc + 16};
    void **das = cases_upload(as, sizeof as), **dbs = cases_upload(bs, sizeof bs);
    void **dcs = cases_upload(cs, sizeof cs);
    assert_int_equal(grouped(das, dbs, dcs, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 2),
                     CUBLAS_STATUS_SUCCESS);
    float *got = cases_download(dc, 32);
    const float want[] = {2, 4, 6, 8, 6, 8, 2, 4};
    cases_expect("grouped", got, want, 8, 0);
    assert_int_equal(grouped(das, dbs, dcs, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, 2),
                     CUBLAS_STATUS_NOT_SUPPORTED);
    assert_int_equal(grouped(das, dbs, dcs, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 1),
                     CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(grouped(as, bs, cs, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 2),
                     CUBLAS_STATUS_EXECUTION_FAILED);
    cases_expect_misuse("Aarray");
    as[1] = da + 8; /* found when it runs */
    void **wrong = cases_upload(as, sizeof as);
    assert_int_equal(grouped(wrong, dbs, dcs, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, 2),
                     CUBLAS_STATUS_SUCCESS);
    cudaStreamSynchronize(stream);
    cases_expect_misuse("A: 16 bytes");
    free(got);
    cudaFree(da), cudaFree(db), cudaFree(dc);
    cudaFree(das), cudaFree(dbs), cudaFree(dcs), cudaFree(wrong);
}

static cublasStatus_t small(cublasHandle_t on, int m, int lda, const float *a, const float *alpha,
                            float *c)
{
    return cublasSgemm(on, CUBLAS_OP_N, CUBLAS_OP_N, m, 2, 2, alpha, a, lda, a, 2, &zero, c, 2);
}

static void test_wrong_arguments(void **state)
{
    (void)state;
    float numbers[8] = {0};
    float *a = cases_upload(numbers, 32), *c = cases_device(32);
    assert_int_equal(small(NULL, 2, 2, a, &one, c), CUBLAS_STATUS_NOT_INITIALIZED);
    assert_int_equal(small(handle, -1, 2, a, &one, c), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(small(handle, 2, 1, a, &one, c), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(small(handle, 2, 2, a, NULL, c), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(
        cublasSgemm(handle, CUBLAS_OP_CONJG, CUBLAS_OP_N, 2, 2, 2, &one, a, 2, a, 2, &zero, c, 2),
        CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, a, CUDA_R_32F, 2,
                                  a, CUDA_R_32F, 2, &zero, c, CUDA_R_16BF, 2, CUBLAS_COMPUTE_32F,
                                  CUBLAS_GEMM_DEFAULT),
                     CUBLAS_STATUS_NOT_SUPPORTED);
    assert_int_equal(small(handle, 2, 2, numbers, &one, c), CUBLAS_STATUS_EXECUTION_FAILED);
    cases_expect_misuse("not in one device allocation");
    assert_int_equal(small(handle, 2, 7, a, &one, c), CUBLAS_STATUS_EXECUTION_FAILED);
    cases_expect_misuse("A: 36 bytes");
    assert_int_equal(small(handle, 2, 2, (float *)((char *)a + 2), &one, c),
                     CUBLAS_STATUS_EXECUTION_FAILED);
    cases_expect_misuse("not aligned to 4");
    assert_int_equal(small(handle, 2, 2, a, &one, a), CUBLAS_STATUS_EXECUTION_FAILED);
    cases_expect_misuse("lies on an operand");
    assert_int_equal(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE),
                     CUBLAS_STATUS_NOT_SUPPORTED);
    cublasHandle_t gone = NULL;
    assert_int_equal(cublasCreate(&gone), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasDestroy(gone), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(small(gone, 2, 2, a, &one, c), CUBLAS_STATUS_NOT_INITIALIZED);
    assert_int_equal(cublasDestroy(gone), CUBLAS_STATUS_NOT_INITIALIZED);
    cudaFree(a), cudaFree(c);
}

static void test_another_device(void **state)
{
    (void)state;
    int count = 0;
    assert_int_equal(cudaGetDeviceCount(&count), cudaSuccess);
    if (count < 2)
        skip();
    float *a = cases_device(32);
    assert_int_equal(cudaSetDevice(1), cudaSuccess);
    assert_int_equal(small(handle, 2, 2, a, &one, a), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cudaSetDevice(0), cudaSuccess);
    cudaFree(a);
}

/* A product may write over all of the workspace. */
static void test_workspace(void **state)
{
    (void)state;
    float numbers[1024] = {0};
    char *workspace = cases_upload(numbers, sizeof numbers);
    float *a = cases_upload(numbers, 32), *c = cases_device(32);
    assert_int_equal(cublasSetWorkspace(handle, workspace + 16, 256), CUBLAS_STATUS_INVALID_VALUE);
    cases_expect_misuse("not aligned to 256");
    assert_int_equal(cublasSetWorkspace(handle, workspace, sizeof numbers), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(small(handle, 2, 2, a, &one, c), CUBLAS_STATUS_SUCCESS);
    float *got = cases_download(workspace, sizeof numbers);
    assert_true(isnan(got[0]) && isnan(got[1023]));
    assert_int_equal(cublasSetStream(handle, stream), CUBLAS_STATUS_SUCCESS);
    free(got);
    cudaFree(workspace), cudaFree(a), cudaFree(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgemm),
        cmocka_unit_test(test_beta_of_zero_does_not_read),
        cmocka_unit_test(test_fast_types_round),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_int8),
        cmocka_unit_test(test_strided_batch),
        cmocka_unit_test(test_gemv),
        cmocka_unit_test(test_grouped),
        cmocka_unit_test(test_wrong_arguments),
        cmocka_unit_test(test_another_device),
        cmocka_unit_test(test_workspace),
    };
    return cmocka_run_group_tests_name("standin_blas", tests, set_up, tear_down);
}
