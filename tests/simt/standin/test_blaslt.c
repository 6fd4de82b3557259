/* The stand-in of cuBLASLt against products in plain C, its epilogues, and what it must refuse. */
#include <cublasLt.h>
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

enum { M = 8, N = 4, K = 12, WORKSPACE = 1 << 15 };

/* A product of a [M, K] by b [K, N], both as they are, into d [M, N]. */
struct fixture {
    cublasLtHandle_t handle;
    cudaStream_t stream;
    cublasLtMatmulDesc_t desc;
    cublasLtMatrixLayout_t a_layout, b_layout, d_layout;
    cublasLtMatmulPreference_t preference;
    cublasLtMatmulHeuristicResult_t choice;
    float *a, *b, *want; /* on the host */
    float *da, *db, *dd, *bias;
    void *workspace;
};

static const float one = 1, zero = 0;

static void set(cublasLtMatmulDesc_t desc, cublasLtMatmulDescAttributes_t attribute,
                const void *value, size_t size_bytes)
{
    assert_int_equal(cublasLtMatmulDescSetAttribute(desc, attribute, value, size_bytes),
                     CUBLAS_STATUS_SUCCESS);
}

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    assert_int_equal(cublasLtCreate(&f->handle), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cudaStreamCreate(&f->stream), cudaSuccess);
    assert_int_equal(cublasLtMatmulDescCreate(&f->desc, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                     CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutCreate(&f->a_layout, CUDA_R_32F, M, K, M),
                     CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutCreate(&f->b_layout, CUDA_R_32F, K, N, K),
                     CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutCreate(&f->d_layout, CUDA_R_32F, M, N, M),
                     CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmulPreferenceCreate(&f->preference), CUBLAS_STATUS_SUCCESS);
    const uint64_t most = WORKSPACE;
    assert_int_equal(cublasLtMatmulPreferenceSetAttribute(f->preference,
                                                          CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                          &most, sizeof most),
                     CUBLAS_STATUS_SUCCESS);
    f->a = cases_numbers(M * K, 1);
    f->b = cases_numbers(K * N, 2);
    f->want = cases_numbers(M * N, 3);
    f->da = cases_upload(f->a, M * K * 4);
    f->db = cases_upload(f->b, K * N * 4);
    f->dd = cases_upload(f->want, M * N * 4);
    f->bias = cases_upload(f->want, M * 4);
    f->workspace = cases_device(WORKSPACE);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    cudaFree(f->da), cudaFree(f->db), cudaFree(f->dd), cudaFree(f->bias), cudaFree(f->workspace);
    free(f->a), free(f->b), free(f->want);
    assert_int_equal(cublasLtMatmulPreferenceDestroy(f->preference), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutDestroy(f->a_layout), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutDestroy(f->b_layout), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutDestroy(f->d_layout), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmulDescDestroy(f->desc), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cudaStreamDestroy(f->stream), cudaSuccess);
    assert_int_equal(cublasLtDestroy(f->handle), CUBLAS_STATUS_SUCCESS);
    free(f);
    return simt_error_count();
}

static cublasStatus_t choose(struct fixture *f)
{
    int count = -1;
    const cublasStatus_t status =
        cublasLtMatmulAlgoGetHeuristic(f->handle, f->desc, f->a_layout, f->b_layout, f->d_layout,
                                       f->d_layout, f->preference, 1, &f->choice, &count);
    assert_int_equal(count, status == CUBLAS_STATUS_SUCCESS);
    return status;
}

static cublasStatus_t run(struct fixture *f, const float *beta, size_t workspace_bytes)
{
    return cublasLtMatmul(f->handle, f->desc, &one, f->da, f->a_layout, f->db, f->b_layout, beta,
                          f->dd, f->d_layout, f->dd, f->d_layout, &f->choice.algo, f->workspace,
                          workspace_bytes, f->stream);
}

/* Runs it and compares with f->want. */
static void expect(struct fixture *f, const float *beta, const char *what)
{
    assert_int_equal(choose(f), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(run(f, beta, WORKSPACE), CUBLAS_STATUS_SUCCESS);
    float *got = cases_download(f->dd, M * N * 4);
    cases_expect(what, got, f->want, M * N, 1e-7);
    free(got);
}

static void multiply(struct fixture *f, double beta)
{
    const struct cases_product p = {false, false, M, N, K, f->a, f->b, f->want, M, K, M, 1, beta};
    cases_multiply(&p);
}

static void use_epilogue(struct fixture *f, uint32_t epilogue)
{
    set(f->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &epilogue, sizeof epilogue);
    set(f->desc, CUBLASLT_MATMUL_DESC_BIAS_POINTER, &f->bias, sizeof f->bias);
}

static void test_product(void **state)
{
    struct fixture *f = *state;
    const float beta = 3;
    multiply(f, 3);
    expect(f, &beta, "beta 3");
    multiply(f, 0);
    expect(f, &zero, "beta 0");
    assert_int_equal(cublasLtMatmul(f->handle, f->desc, &one, f->da, f->a_layout, f->db,
                                    f->b_layout, &zero, NULL, f->d_layout, f->dd, f->d_layout, NULL,
                                    NULL, 0, f->stream),
                     CUBLAS_STATUS_SUCCESS);
}

static void test_bias_and_relu(void **state)
{
    struct fixture *f = *state;
    float bias[M];
    memcpy(bias, f->want, sizeof bias);
    multiply(f, 0);
    for (int i = 0; i < M * N; i++)
        f->want[i] += bias[i % M];
    use_epilogue(f, CUBLASLT_EPILOGUE_BIAS);
    expect(f, &zero, "bias");
    for (int i = 0; i < M * N; i++)
        f->want[i] = f->want[i] > 0 ? f->want[i] : 0;
    use_epilogue(f, CUBLASLT_EPILOGUE_RELU_BIAS);
    expect(f, &zero, "bias and relu");
}

/* The mask of a forward product stops the gradient where ReLU did. */
static void test_mask(void **state)
{
    struct fixture *f = *state;
    const int64_t ld = 128;
    float sums[M] = {0};
    void *mask = cases_device((size_t)ld / 8 * N);
    set(f->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_POINTER, &mask, sizeof mask);
    set(f->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &ld, sizeof ld);
    multiply(f, 0);
    for (int i = 0; i < M * N; i++)
        f->want[i] = f->want[i] > 0 ? f->want[i] : 0;
    use_epilogue(f, CUBLASLT_EPILOGUE_RELU_AUX);
    expect(f, &zero, "relu");
    use_epilogue(f, CUBLASLT_EPILOGUE_DRELU_BGRAD);
    expect(f, &zero, "the same product where it was positive");
    for (int i = 0; i < M * N; i++)
        sums[i % M] += f->want[i];
    float *got = cases_download(f->bias, sizeof sums);
    cases_expect("gradient of the bias", got, sums, M, 1e-6);
    free(got);
    const int64_t odd = 8;
    set(f->desc, CUBLASLT_MATMUL_DESC_EPILOGUE_AUX_LD, &odd, sizeof odd);
    assert_int_equal(choose(f), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(run(f, &zero, WORKSPACE), CUBLAS_STATUS_INVALID_VALUE);
    cudaFree(mask);
}

/* Sums over k of one operand, beside the product. */
static void check_gradient(struct fixture *f, uint32_t epilogue, const float *matrix, int length,
                           int stride, int step)
{
    float sums[M] = {0};
    for (int i = 0; i < length; i++)
        for (int l = 0; l < K; l++)
            sums[i] += matrix[i * stride + l * step];
    multiply(f, 0);
    use_epilogue(f, epilogue);
    expect(f, &zero, "product beside a gradient");
    float *got = cases_download(f->bias, (size_t)length * 4);
    cases_expect("gradient", got, sums, length, 1e-6);
    free(got);
}

static void test_gradients(void **state)
{
    struct fixture *f = *state;
    check_gradient(f, CUBLASLT_EPILOGUE_BGRADA, f->a, M, 1, M);
    check_gradient(f, CUBLASLT_EPILOGUE_BGRADB, f->b, N, K, 1);
}

/* The transposes of all three, by rows. */
static void test_row_order(void **state)
{
    struct fixture *f = *state;
    const int32_t order = CUBLASLT_ORDER_ROW;
    cublasLtMatrixLayout_t *layouts[] = {&f->a_layout, &f->b_layout, &f->d_layout};
    const uint64_t shapes[3][2] = {{N, K}, {K, M}, {N, M}};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cublasLtMatrixLayoutDestroy(*layouts[i]), CUBLAS_STATUS_SUCCESS);
        assert_int_equal(cublasLtMatrixLayoutCreate(layouts[i], CUDA_R_32F, shapes[i][0],
                                                    shapes[i][1], (int64_t)shapes[i][1]),
                         CUBLAS_STATUS_SUCCESS);
        assert_int_equal(cublasLtMatrixLayoutSetAttribute(*layouts[i], CUBLASLT_MATRIX_LAYOUT_ORDER,
                                                          &order, sizeof order),
                         CUBLAS_STATUS_SUCCESS);
    }
    float *swap = f->da;
    f->da = f->db;
    f->db = swap;
    multiply(f, 0);
    expect(f, &zero, "by rows");
    use_epilogue(f, CUBLASLT_EPILOGUE_BIAS);
    assert_int_equal(choose(f), CUBLAS_STATUS_NOT_SUPPORTED);
}

static void test_batch(void **state)
{
    struct fixture *f = *state;
    const int32_t count = 2;
    const int64_t strides[] = {M * K, 0, M * N};
    cublasLtMatrixLayout_t layouts[] = {f->a_layout, f->b_layout, f->d_layout};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(cublasLtMatrixLayoutSetAttribute(
                             layouts[i], CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, &count, 4),
                         CUBLAS_STATUS_SUCCESS);
        assert_int_equal(
            cublasLtMatrixLayoutSetAttribute(
                layouts[i], CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, &strides[i], 8),
            CUBLAS_STATUS_SUCCESS);
    }
    float *twice = malloc(2 * M * K * 4);
    assert_non_null(twice);
    memcpy(twice, f->a, M * K * 4);
    for (int i = 0; i < M * K; i++)
        twice[M * K + i] = -f->a[i];
    cudaFree(f->da), cudaFree(f->dd);
    f->da = cases_upload(twice, 2 * M * K * 4);
    f->dd = cases_device(2 * M * N * 4);
    multiply(f, 0);
    expect(f, &zero, "the first");
    float *got = cases_download(f->dd + M * N, M * N * 4);
    for (int i = 0; i < M * N; i++)
        got[i] = -got[i];
    cases_expect("the second", got, f->want, M * N, 1e-7);
    free(got), free(twice);
}

static void test_integers(void **state)
{
    struct fixture *f = *state;
    const int8_t a[] = {1, -2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, -128};
    const int32_t alpha = 1, beta = 0;
    const int32_t t = CUBLAS_OP_T;
    cublasLtMatmulDesc_t desc = NULL;
    cublasLtMatrixLayout_t in = NULL, out = NULL;
    int8_t *da = cases_upload(a, sizeof a);
    assert_int_equal(cublasLtMatmulDescCreate(&desc, CUBLAS_COMPUTE_32I, CUDA_R_32I),
                     CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutCreate(&in, CUDA_R_8I, 4, 4, 4), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatrixLayoutCreate(&out, CUDA_R_32I, 4, 4, 4), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmul(f->handle, desc, &alpha, da, in, da, in, &beta, f->dd, out,
                                    f->dd, out, NULL, NULL, 0, f->stream),
                     CUBLAS_STATUS_NOT_SUPPORTED);
    set(desc, CUBLASLT_MATMUL_DESC_TRANSA, &t, sizeof t);
    assert_int_equal(cublasLtMatmul(f->handle, desc, &alpha, da, in, da, in, &beta, f->dd, out,
                                    f->dd, out, NULL, NULL, 0, f->stream),
                     CUBLAS_STATUS_SUCCESS);
    int32_t *got = cases_download(f->dd, 64);
    assert_int_equal(got[0], 1 + 4 + 9 + 16);
    assert_int_equal(got[12], 13 - 28 + 45 - 512);
    free(got);
    cudaFree(da);
    cublasLtMatrixLayoutDestroy(in), cublasLtMatrixLayoutDestroy(out);
    cublasLtMatmulDescDestroy(desc);
}

static void test_algorithm(void **state)
{
    struct fixture *f = *state;
    const int32_t t = CUBLAS_OP_T;
    assert_int_equal(choose(f), CUBLAS_STATUS_SUCCESS);
    if (f->choice.workspaceSize)
        assert_int_equal(run(f, &zero, f->choice.workspaceSize - 1), CUBLAS_STATUS_INVALID_VALUE);
    f->da++; /* less aligned than the preference said */
    assert_int_equal(run(f, &zero, WORKSPACE), CUBLAS_STATUS_INVALID_VALUE);
    f->da--;
    f->choice.algo.data[1]++;
    assert_int_equal(run(f, &zero, WORKSPACE), CUBLAS_STATUS_INVALID_VALUE);
    set(f->desc, CUBLASLT_MATMUL_DESC_TRANSA, &t, sizeof t);
    assert_int_equal(choose(f), CUBLAS_STATUS_INVALID_VALUE);
}

static void test_wrong_arguments(void **state)
{
    struct fixture *f = *state;
    const uint32_t gelu = CUBLASLT_EPILOGUE_GELU;
    const int64_t wide = 1;
    cublasLtMatmulDesc_t gone = NULL;
    assert_int_equal(cublasLtMatmulDescSetAttribute(f->desc, CUBLASLT_MATMUL_DESC_TRANSA, &wide, 8),
                     CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmulDescSetAttribute(f->desc, CUBLASLT_MATMUL_DESC_TRANSA, NULL, 4),
                     CUBLAS_STATUS_INVALID_VALUE);
    set(f->desc, CUBLASLT_MATMUL_DESC_EPILOGUE, &gelu, sizeof gelu);
    assert_int_equal(choose(f), CUBLAS_STATUS_NOT_SUPPORTED);
    use_epilogue(f, CUBLASLT_EPILOGUE_BIAS);
    assert_int_equal(choose(f), CUBLAS_STATUS_SUCCESS);
    float *kept = f->bias;
    f->bias = f->want; /* on the host */
    use_epilogue(f, CUBLASLT_EPILOGUE_BIAS);
    assert_int_equal(run(f, &zero, WORKSPACE), CUBLAS_STATUS_INVALID_VALUE);
    cases_expect_misuse("bias");
    f->bias = kept;
    assert_int_equal(cublasLtMatmulDescCreate(&gone, CUBLAS_COMPUTE_32F, CUDA_R_32F),
                     CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmulDescDestroy(gone), CUBLAS_STATUS_SUCCESS);
    assert_int_equal(cublasLtMatmulDescDestroy(gone), CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmul(f->handle, gone, &one, f->da, f->a_layout, f->db, f->b_layout,
                                    &zero, f->dd, f->d_layout, f->dd, f->d_layout, NULL, NULL, 0,
                                    f->stream),
                     CUBLAS_STATUS_INVALID_VALUE);
    assert_int_equal(cublasLtMatmul(NULL, f->desc, &one, f->da, f->a_layout, f->db, f->b_layout,
                                    &zero, f->dd, f->d_layout, f->dd, f->d_layout, NULL, NULL, 0,
                                    f->stream),
                     CUBLAS_STATUS_NOT_INITIALIZED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_product, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bias_and_relu, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mask, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_gradients, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_row_order, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_batch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_integers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_algorithm, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_arguments, set_up, tear_down),
    };
    return cmocka_run_group_tests_name("standin_blaslt", tests, NULL, NULL);
}
