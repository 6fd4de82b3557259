/* The stand-in of cuDNN's LSTM against PyTorch (lstm.txt), and what it must refuse. */
#include <cuda_runtime_api.h>
#include <cudnn.h>
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
#include "tests/simt/standin/golden_lstm.h"

enum { FILL = 7 }; /* of y where there is no step */

/* How a case of lstm.txt is asked for. */
struct choice {
    cudnnRNNDataLayout_t layout;
    cudnnRNNBiasMode_t bias;
    cudnnDataType_t type;
    cudnnMathType_t math;
};

static const struct choice usual = {CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED, CUDNN_RNN_DOUBLE_BIAS,
                                    CUDNN_DATA_FLOAT, CUDNN_FMA_MATH};

/* A network with a batch, and all its buffers on the device. */
struct network {
    const char *name;
    struct choice choice;
    int I, H, P, L, D, T, B;
    int lengths[8];
    cudnnHandle_t handle;
    cudaStream_t stream;
    cudnnRNNDescriptor_t rnn;
    cudnnRNNDataDescriptor_t x_desc, y_desc;
    cudnnTensorDescriptor_t h_desc, c_desc;
    size_t weight_bytes, work_bytes, reserve_bytes;
    void *x, *hx, *cx, *y, *hy, *cy, *dy, *dhy, *dcy, *dx, *dhx, *dcx;
    void *weights, *dweights, *work, *reserve;
};

static const struct golden_numbers *golden(const struct network *n, const char *what)
{
    const struct golden_numbers *numbers = golden_lstm_find(n->name, what, -1);
    assert_non_null(numbers);
    return numbers;
}

static size_t element(const struct network *n)
{
    return n->choice.type == CUDNN_DATA_FLOAT ? 4 : 2;
}

static void *upload(const struct network *n, const float *values, int64_t count)
{
    if (n->choice.type == CUDNN_DATA_FLOAT)
        return cases_upload(values, (size_t)count * 4);
    uint16_t *copy = cases_to_bf16(values, count);
    void *data = cases_upload(copy, (size_t)count * 2);
    free(copy);
    return data;
}

static float *download(const struct network *n, const void *data, int64_t count)
{
    if (n->choice.type == CUDNN_DATA_FLOAT)
        return cases_download(data, (size_t)count * 4);
    uint16_t *copy = cases_download(data, (size_t)count * 2);
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = cases_float(copy[i]);
    free(copy);
    return values;
}

/* Where the vector of step t of sequence b lies in the chosen layout. */
static int64_t place(const struct network *n, int t, int b)
{
    int64_t vectors = 0;
    switch (n->choice.layout) {
    case CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED:
        return (int64_t)t * n->B + b;
    case CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED:
        return (int64_t)b * n->T + t;
    default:
        for (int s = 0; s < t; s++)
            for (int i = 0; i < n->B; i++)
                vectors += s < n->lengths[i];
        return vectors + b;
    }
}

static int64_t n_places(const struct network *n)
{
    if (n->choice.layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED)
        return place(n, n->T, 0);
    return (int64_t)n->T * n->B;
}

/* A tensor [T, B, size] in the chosen layout; NaN where there is no step. */
static void *upload_sequence(const struct network *n, const char *what, int size)
{
    const struct golden_numbers *from = golden(n, what);
    float *values = malloc((size_t)(n_places(n) * size) * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < n_places(n) * size; i++)
        values[i] = NAN;
    for (int t = 0; t < n->T; t++)
        for (int b = 0; b < n->B; b++)
            if (t < n->lengths[b])
                memcpy(&values[place(n, t, b) * size], &from->values[(t * n->B + b) * size],
                       (size_t)size * sizeof *values);
    void *data = upload(n, values, n_places(n) * size);
    free(values);
    return data;
}

static void expect_sequence(const struct network *n, const char *what, const void *data, int size,
                            double tolerance)
{
    const struct golden_numbers *want = golden(n, what);
    float *got = download(n, data, n_places(n) * size);
    for (int t = 0; t < n->T; t++)
        for (int b = 0; b < n->B; b++)
            if (t < n->lengths[b])
                cases_expect(what, &got[place(n, t, b) * size],
                             &want->values[(t * n->B + b) * size], size, tolerance);
    free(got);
}

static void *upload_state(const struct network *n, const char *what)
{
    const struct golden_numbers *from = golden(n, what);
    return upload(n, from->values, from->count);
}

static void expect_state(const struct network *n, const char *what, const void *data,
                         double tolerance)
{
    const struct golden_numbers *want = golden(n, what);
    float *got = download(n, data, want->count);
    cases_expect(what, got, want->values, want->count, tolerance);
    free(got);
}

/* -- weights, by the one way that there is to them -- */

/* Where matrix (or bias) `id` begins, in elements, and its sizes; -1 if it does not exist. */
static int64_t weight_at(const struct network *n, int pseudo_layer, int id, bool is_bias, int *rows,
                         int *cols)
{
    cudnnTensorDescriptor_t desc = NULL;
    cudnnDataType_t type = CUDNN_DATA_DOUBLE;
    void *address = NULL;
    int rank = -1, dims[3] = {0}, strides[3] = {0};
    assert_int_equal(cudnnCreateTensorDescriptor(&desc), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnGetRNNWeightParams(n->handle, n->rnn, pseudo_layer, n->weight_bytes,
                                             n->weights, id, is_bias ? NULL : desc,
                                             is_bias ? NULL : &address, is_bias ? desc : NULL,
                                             is_bias ? &address : NULL),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnGetTensorNdDescriptor(desc, 3, &type, &rank, dims, strides),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroyTensorDescriptor(desc), CUDNN_STATUS_SUCCESS);
    assert_int_equal(rank, address ? 3 : 0);
    if (!address)
        return -1;
    assert_int_equal(dims[0], 1);
    *rows = dims[1];
    *cols = dims[2];
    const ptrdiff_t bytes = (char *)address - (char *)n->weights;
    assert_true(bytes >= 0 &&
                (size_t)bytes + (size_t)*rows * (size_t)*cols * element(n) <= n->weight_bytes);
    return bytes / (ptrdiff_t)element(n);
}

/* The golden numbers of a weight: of a bias, the sum of both where one stands for both. */
static float *golden_weight(const struct network *n, int p, int id, bool is_bias, bool is_gradient)
{
    static const char *const names[2][3] = {{"wih", "whh", "whr"}, {"dwih", "dwhh", "dwhr"}};
    static const char *const biases[2][2] = {{"bih", "bhh"}, {"dbih", "dbhh"}};
    const int gate = id % 4;
    const struct golden_numbers *from = golden_lstm_find(
        n->name, is_bias ? biases[is_gradient][id / 4] : names[is_gradient][id / 4], p);
    assert_non_null(from);
    const int64_t count = id == 8 ? from->count : from->count / 4;
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    memcpy(values, from->values + gate * count, (size_t)count * sizeof *values);
    if (is_bias && !is_gradient && n->choice.bias != CUDNN_RNN_DOUBLE_BIAS) {
        from = golden_lstm_find(n->name, biases[0][1 - id / 4], p);
        for (int64_t i = 0; i < count; i++)
            values[i] += from->values[gate * count + i];
    }
    return values;
}

/* Calls visit for all weights that exist. */
static void for_each_weight(struct network *n, float *space,
                            void (*visit)(const struct network *n, float *at, float *values,
                                          int64_t count),
                            bool is_gradient)
{
    for (int p = 0; p < n->L * n->D; p++)
        for (int id = 0; id < 9 + 8; id++) {
            const bool is_bias = id >= 9;
            int rows = 0, cols = 0;
            const int64_t at = weight_at(n, p, is_bias ? id - 9 : id, is_bias, &rows, &cols);
            if (at < 0)
                continue;
            float *values = golden_weight(n, p, is_bias ? id - 9 : id, is_bias, is_gradient);
            visit(n, space + at, values, (int64_t)rows * cols);
            free(values);
        }
}

static void put(const struct network *n, float *at, float *values, int64_t count)
{
    (void)n;
    memcpy(at, values, (size_t)count * sizeof *at);
}

/* Gradients were added to ones. */
static void expect_gradient(const struct network *n, float *at, float *values, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        values[i] += 1;
    cases_expect("gradient of a weight", at, values, count,
                 n->choice.type == CUDNN_DATA_FLOAT ? 2e-6 : 5e-2);
}

static float *filled(int64_t count, float value)
{
    float *values = malloc((size_t)count * sizeof *values);
    assert_non_null(values);
    for (int64_t i = 0; i < count; i++)
        values[i] = value;
    return values;
}

static void make_weights(struct network *n)
{
    assert_int_equal(cudnnGetRNNWeightSpaceSize(n->handle, n->rnn, &n->weight_bytes),
                     CUDNN_STATUS_SUCCESS);
    const int64_t count = (int64_t)(n->weight_bytes / element(n));
    float *space = filled(count, 1);
    n->dweights = upload(n, space, count);
    n->weights = cases_device(n->weight_bytes);
    for_each_weight(n, space, put, false);
    cudaFree(n->weights);
    n->weights = upload(n, space, count);
    free(space);
}

/* -- a whole network -- */

static void make_descriptors(struct network *n)
{
    const int states[] = {n->L * n->D, n->B, n->P}, cells[] = {n->L * n->D, n->B, n->H};
    const int state_strides[] = {n->B * n->P, n->P, 1}, cell_strides[] = {n->B * n->H, n->H, 1};
    const float fill32 = FILL;
    uint16_t fill16 = cases_bf16(FILL);
    void *fill = n->choice.type == CUDNN_DATA_FLOAT ? (void *)&fill32 : (void *)&fill16;
    assert_int_equal(cudnnCreateRNNDescriptor(&n->rnn), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnSetRNNDescriptor_v8(
                         n->rnn, CUDNN_RNN_ALGO_STANDARD, CUDNN_LSTM, n->choice.bias,
                         n->D == 2 ? CUDNN_BIDIRECTIONAL : CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT,
                         n->choice.type, CUDNN_DATA_FLOAT, n->choice.math, n->I, n->H, n->P, n->L,
                         NULL, CUDNN_RNN_PADDED_IO_ENABLED),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnCreateRNNDataDescriptor(&n->x_desc), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnSetRNNDataDescriptor(n->x_desc, n->choice.type, n->choice.layout, n->T,
                                               n->B, n->I, n->lengths, NULL),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnCreateRNNDataDescriptor(&n->y_desc), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnSetRNNDataDescriptor(n->y_desc, n->choice.type, n->choice.layout, n->T,
                                               n->B, n->P * n->D, n->lengths, fill),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnCreateTensorDescriptor(&n->h_desc), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnCreateTensorDescriptor(&n->c_desc), CUDNN_STATUS_SUCCESS);
    assert_int_equal(
        cudnnSetTensorNdDescriptor(n->h_desc, n->choice.type, 3, states, state_strides),
        CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnSetTensorNdDescriptor(n->c_desc, n->choice.type, 3, cells, cell_strides),
                     CUDNN_STATUS_SUCCESS);
}

static void make(struct network *n, const char *name, struct choice choice)
{
    *n = (struct network){.name = name, .choice = choice};
    const struct golden_numbers *sizes = golden(n, "sizes"), *lengths = golden(n, "lengths");
    n->I = (int)sizes->values[0], n->H = (int)sizes->values[1], n->P = (int)sizes->values[2];
    n->L = (int)sizes->values[3], n->D = (int)sizes->values[4];
    n->B = (int)lengths->count;
    for (int b = 0; b < n->B; b++)
        n->lengths[b] = (int)lengths->values[b];
    n->T = n->lengths[0];
    assert_int_equal(cudaStreamCreate(&n->stream), cudaSuccess);
    assert_int_equal(cudnnCreate(&n->handle), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnSetStream(n->handle, n->stream), CUDNN_STATUS_SUCCESS);
    make_descriptors(n);
    assert_int_equal(cudnnGetRNNTempSpaceSizes(n->handle, n->rnn, CUDNN_FWD_MODE_TRAINING,
                                               n->x_desc, &n->work_bytes, &n->reserve_bytes),
                     CUDNN_STATUS_SUCCESS);
    n->x = upload_sequence(n, "x", n->I);
    n->dy = upload_sequence(n, "dy", n->P * n->D);
    n->hx = upload_state(n, "hx"), n->cx = upload_state(n, "cx");
    n->dhy = upload_state(n, "dhy"), n->dcy = upload_state(n, "dcy");
    const size_t places = (size_t)n_places(n), states = (size_t)(n->L * n->D * n->B);
    n->y = cases_device(places * (size_t)(n->P * n->D) * element(n));
    n->dx = cases_device(places * (size_t)n->I * element(n));
    n->hy = cases_device(states * (size_t)n->P * element(n));
    n->dhx = cases_device(states * (size_t)n->P * element(n));
    n->cy = cases_device(states * (size_t)n->H * element(n));
    n->dcx = cases_device(states * (size_t)n->H * element(n));
    n->work = cases_device(n->work_bytes);
    n->reserve = cases_device(n->reserve_bytes);
    make_weights(n);
}

static void destroy(struct network *n)
{
    void *const buffers[] = {n->x,       n->hx,       n->cx,   n->y,      n->hy,  n->cy,
                             n->dy,      n->dhy,      n->dcy,  n->dx,     n->dhx, n->dcx,
                             n->weights, n->dweights, n->work, n->reserve};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++)
        cudaFree(buffers[i]);
    assert_int_equal(cudnnDestroyRNNDescriptor(n->rnn), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroyRNNDataDescriptor(n->x_desc), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroyRNNDataDescriptor(n->y_desc), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroyTensorDescriptor(n->h_desc), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroyTensorDescriptor(n->c_desc), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnDestroy(n->handle), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudaStreamDestroy(n->stream), cudaSuccess);
    assert_int_equal(simt_error_count(), 0);
}

static cudnnStatus_t forward_with(struct network *n, const int32_t *device_lengths,
                                  size_t reserve_bytes)
{
    return cudnnRNNForward(n->handle, n->rnn, CUDNN_FWD_MODE_TRAINING, device_lengths, n->x_desc,
                           n->x, n->y_desc, n->y, n->h_desc, n->hx, n->hy, n->c_desc, n->cx, n->cy,
                           n->weight_bytes, n->weights, n->work_bytes, n->work, reserve_bytes,
                           n->reserve);
}

static cudnnStatus_t forward(struct network *n)
{
    return forward_with(n, NULL, n->reserve_bytes);
}

static cudnnStatus_t backward_data(struct network *n)
{
    return cudnnRNNBackwardData_v8(n->handle, n->rnn, NULL, n->y_desc, n->y, n->dy, n->x_desc,
                                   n->dx, n->h_desc, n->hx, n->dhy, n->dhx, n->c_desc, n->cx,
                                   n->dcy, n->dcx, n->weight_bytes, n->weights, n->work_bytes,
                                   n->work, n->reserve_bytes, n->reserve);
}

static cudnnStatus_t backward_weights(struct network *n, cudnnWgradMode_t mode)
{
    return cudnnRNNBackwardWeights_v8(n->handle, n->rnn, mode, NULL, n->x_desc, n->x, n->h_desc,
                                      n->hx, n->y_desc, n->y, n->weight_bytes, n->dweights,
                                      n->work_bytes, n->work, n->reserve_bytes, n->reserve);
}

static void check_forward(struct network *n, double tolerance)
{
    assert_int_equal(forward(n), CUDNN_STATUS_SUCCESS);
    expect_sequence(n, "y", n->y, n->P * n->D, tolerance);
    expect_state(n, "hy", n->hy, tolerance);
    expect_state(n, "cy", n->cy, tolerance);
}

static void check_backward(struct network *n, double tolerance)
{
    assert_int_equal(backward_data(n), CUDNN_STATUS_SUCCESS);
    expect_sequence(n, "dx", n->dx, n->I, tolerance);
    expect_state(n, "dhx", n->dhx, tolerance);
    expect_state(n, "dcx", n->dcx, tolerance);
    assert_int_equal(backward_weights(n, CUDNN_WGRAD_MODE_ADD), CUDNN_STATUS_SUCCESS);
    const int64_t count = (int64_t)(n->weight_bytes / element(n));
    float *space = download(n, n->dweights, count);
    for_each_weight(n, space, expect_gradient, true);
    free(space);
}

static void test_against_pytorch(void **state)
{
    (void)state;
    static const char *const names[] = {"plain", "ragged", "deep", "wide"};
    static const cudnnRNNDataLayout_t layouts[] = {CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED,
                                                   CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED,
                                                   CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED};
    static const cudnnRNNBiasMode_t biases[] = {CUDNN_RNN_DOUBLE_BIAS, CUDNN_RNN_SINGLE_INP_BIAS,
                                                CUDNN_RNN_SINGLE_REC_BIAS};
    struct network n;
    for (int i = 0; i < 4 * 3 * 3; i++) {
        struct choice choice = usual;
        choice.layout = layouts[i / 3 % 3];
        choice.bias = biases[i % 3];
        make(&n, names[i / 9], choice);
        check_forward(&n, 1e-6);
        check_backward(&n, 2e-6);
        destroy(&n);
    }
}

static void test_bf16(void **state)
{
    (void)state;
    struct choice choice = usual;
    choice.type = CUDNN_DATA_BFLOAT16;
    struct network n;
    make(&n, "ragged", choice);
    check_forward(&n, 1e-2);
    check_backward(&n, 5e-2);
    destroy(&n);
}

/* Only FMA keeps f32: the default may use TF32. */
static void test_math_types(void **state)
{
    (void)state;
    struct choice choice = usual;
    choice.math = CUDNN_DEFAULT_MATH;
    struct network n;
    make(&n, "ragged", choice);
    check_forward(&n, 1e-3);
    const struct golden_numbers *want = golden(&n, "hy");
    float *got = download(&n, n.hy, want->count);
    double worst = 0;
    for (int64_t i = 0; i < want->count; i++)
        worst = fmax(worst, fabs((double)(got[i] - want->values[i])));
    assert_true(worst > 1e-6);
    free(got);
    destroy(&n);
}

static void test_padding(void **state)
{
    (void)state;
    struct network n;
    make(&n, "ragged", usual);
    assert_int_equal(forward(&n), CUDNN_STATUS_SUCCESS);
    float *y = download(&n, n.y, n_places(&n) * n.P);
    assert_true(y[place(&n, 4, 1) * n.P] == FILL);
    assert_true(y[place(&n, 1, 2) * n.P + n.P - 1] == FILL);
    free(y);
    destroy(&n);
}

static void test_states_may_be_left_out(void **state)
{
    (void)state;
    struct network n;
    make(&n, "deep", usual);
    cudaFree(n.hx), cudaFree(n.cx), cudaFree(n.hy), cudaFree(n.cy);
    n.hx = n.cx = n.hy = n.cy = NULL;
    cudaFree(n.dhy), cudaFree(n.dcy), cudaFree(n.dhx), cudaFree(n.dcx);
    n.dhy = n.dcy = n.dhx = n.dcx = NULL;
    assert_int_equal(forward(&n), CUDNN_STATUS_SUCCESS);
    assert_int_equal(backward_data(&n), CUDNN_STATUS_SUCCESS);
    assert_int_equal(backward_weights(&n, CUDNN_WGRAD_MODE_ADD), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    destroy(&n);
}

/* Neither the work space nor what lies between the weights keeps anything. */
static void test_scratch_is_spoilt(void **state)
{
    (void)state;
    struct network n;
    int n_used = 0, n_spoilt = 0;
    make(&n, "plain", usual);
    assert_int_equal(cudaMemset(n.work, 0, n.work_bytes), cudaSuccess);
    assert_int_equal(forward(&n), CUDNN_STATUS_SUCCESS);
    float *work = cases_download(n.work, 8), *weights = cases_download(n.weights, n.weight_bytes);
    assert_true(isnan(work[0]) && isnan(work[1]));
    for (int id = 0; id < 16; id++) {
        int rows = 0, cols = 0;
        assert_true(weight_at(&n, 0, id % 8, id >= 8, &rows, &cols) >= 0);
        n_used += rows * cols;
    }
    for (size_t i = 0; i < n.weight_bytes / 4; i++)
        n_spoilt += isnan(weights[i]);
    assert_int_equal(n_used + n_spoilt, n.weight_bytes / 4);
    free(work), free(weights);
    destroy(&n);
}

/* Inference gives the same and needs no reserve space. */
static void test_inference(void **state)
{
    (void)state;
    struct network n;
    make(&n, "deep", usual);
    size_t work = 0, reserve = 1;
    assert_int_equal(cudnnGetRNNTempSpaceSizes(n.handle, n.rnn, CUDNN_FWD_MODE_INFERENCE, n.x_desc,
                                               &work, &reserve),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(reserve, 0);
    assert_int_equal(cudnnRNNForward(n.handle, n.rnn, CUDNN_FWD_MODE_INFERENCE, NULL, n.x_desc, n.x,
                                     n.y_desc, n.y, n.h_desc, n.hx, NULL, n.c_desc, n.cx, NULL,
                                     n.weight_bytes, n.weights, n.work_bytes, n.work, 0, NULL),
                     CUDNN_STATUS_SUCCESS);
    expect_sequence(&n, "y", n.y, n.P * n.D, 1e-6);
    destroy(&n);
}

/* The passes need each other, in this order, on one reserve space. */
static void test_order_of_passes(void **state)
{
    (void)state;
    struct network n;
    make(&n, "ragged", usual);
    char *zeros = calloc(1, n.reserve_bytes);
    cudaMemcpy(n.reserve, zeros, n.reserve_bytes, cudaMemcpyHostToDevice);
    free(zeros);
    assert_int_equal(backward_data(&n), CUDNN_STATUS_SUCCESS);
    cudaDeviceSynchronize();
    cases_expect_misuse("not as cudnnRNNForward left it");
    assert_int_equal(forward(&n), CUDNN_STATUS_SUCCESS);
    assert_int_equal(backward_weights(&n, CUDNN_WGRAD_MODE_ADD), CUDNN_STATUS_SUCCESS);
    cudaDeviceSynchronize();
    cases_expect_misuse("not as cudnnRNNBackwardData_v8 left it");
    assert_int_equal(backward_data(&n), CUDNN_STATUS_SUCCESS);
    assert_int_equal(backward_data(&n), CUDNN_STATUS_SUCCESS);
    cudaDeviceSynchronize();
    cases_expect_misuse("not as cudnnRNNForward left it");
    const float changed = 0.25f;
    cudaMemcpy(n.y, &changed, 4, cudaMemcpyHostToDevice);
    assert_int_equal(backward_weights(&n, CUDNN_WGRAD_MODE_ADD), CUDNN_STATUS_SUCCESS);
    cudaDeviceSynchronize();
    cases_expect_misuse("y has changed");
    destroy(&n);
}

static void test_lengths_on_the_device(void **state)
{
    (void)state;
    struct network n;
    make(&n, "ragged", usual);
    int32_t *lengths = cases_upload(n.lengths, (size_t)n.B * 4);
    assert_int_equal(forward_with(&n, lengths, n.reserve_bytes), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    const int32_t wrong = 4;
    cudaMemcpy(lengths, &wrong, 4, cudaMemcpyHostToDevice);
    assert_int_equal(forward_with(&n, lengths, n.reserve_bytes), CUDNN_STATUS_SUCCESS);
    cudaDeviceSynchronize();
    cases_expect_misuse("devSeqLengths");
    assert_int_equal(forward_with(&n, n.lengths, n.reserve_bytes), CUDNN_STATUS_EXECUTION_FAILED);
    cases_expect_misuse("devSeqLengths");
    cudaFree(lengths);
    destroy(&n);
}

static void test_wrong_buffers(void **state)
{
    (void)state;
    struct network n;
    make(&n, "ragged", usual);
    float host[64] = {0};
    void *kept = n.x;
    assert_int_equal(forward_with(&n, NULL, n.reserve_bytes - 1), CUDNN_STATUS_BAD_PARAM);
    n.work_bytes--;
    assert_int_equal(forward(&n), CUDNN_STATUS_BAD_PARAM);
    n.work_bytes++;
    n.weight_bytes--;
    assert_int_equal(forward(&n), CUDNN_STATUS_BAD_PARAM);
    n.weight_bytes++;
    n.x = NULL;
    assert_int_equal(forward(&n), CUDNN_STATUS_BAD_PARAM);
    n.x = host;
    assert_int_equal(forward(&n), CUDNN_STATUS_EXECUTION_FAILED);
    cases_expect_misuse("cudnnRNNForward: x");
    n.x = (char *)kept + 4;
    assert_int_equal(forward(&n), CUDNN_STATUS_EXECUTION_FAILED);
    cases_expect_misuse("cudnnRNNForward: x");
    n.x = kept;
    assert_int_equal(backward_weights(&n, CUDNN_WGRAD_MODE_SET), CUDNN_STATUS_NOT_SUPPORTED);
    cudnnHandle_t handle = n.handle;
    n.handle = NULL;
    assert_int_equal(forward(&n), CUDNN_STATUS_BAD_PARAM);
    n.handle = handle;
    destroy(&n);
}

static cudnnStatus_t set_rnn(struct network *n, int I, int H, int P, uint32_t flags)
{
    return cudnnSetRNNDescriptor_v8(n->rnn, CUDNN_RNN_ALGO_STANDARD, CUDNN_LSTM,
                                    CUDNN_RNN_DOUBLE_BIAS, CUDNN_UNIDIRECTIONAL, CUDNN_LINEAR_INPUT,
                                    CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, CUDNN_FMA_MATH, I, H, P, 1,
                                    NULL, flags);
}

static void test_wrong_descriptors(void **state)
{
    (void)state;
    struct network n;
    make(&n, "ragged", usual);
    const int dims[] = {1, n.B, n.H}, strides[] = {n.B * n.H, n.H, 1};
    assert_int_equal(set_rnn(&n, n.I, n.H, 0, 1), CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(set_rnn(&n, n.I, n.H, n.H + 1, 1), CUDNN_STATUS_NOT_SUPPORTED);
    assert_int_equal(set_rnn(&n, n.I, 0, n.P, 1), CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(set_rnn(&n, n.I, n.H, n.P, 0), CUDNN_STATUS_SUCCESS);
    assert_int_equal(forward(&n), CUDNN_STATUS_BAD_PARAM); /* padding was not allowed */
    assert_int_equal(set_rnn(&n, n.I + 1, n.H, n.P, 1), CUDNN_STATUS_SUCCESS);
    assert_int_equal(forward(&n), CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(set_rnn(&n, n.I, n.H, n.P, 1), CUDNN_STATUS_SUCCESS);
    assert_int_equal(cudnnSetTensorNdDescriptor(n.h_desc, CUDNN_DATA_FLOAT, 3, dims, strides),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(forward(&n), CUDNN_STATUS_BAD_PARAM); /* cells instead of outputs */
    const int longer[] = {5, 3, 2};
    assert_int_equal(cudnnSetRNNDataDescriptor(n.y_desc, CUDNN_DATA_FLOAT, n.choice.layout, n.T,
                                               n.B, n.P, longer, NULL),
                     CUDNN_STATUS_SUCCESS);
    assert_int_equal(forward(&n), CUDNN_STATUS_BAD_PARAM);
    const int rising[] = {1, 3, 5}, beyond[] = {6, 1, 1};
    assert_int_equal(cudnnSetRNNDataDescriptor(n.y_desc, CUDNN_DATA_FLOAT,
                                               CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED, n.T, n.B,
                                               n.P, rising, NULL),
                     CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(cudnnSetRNNDataDescriptor(n.y_desc, CUDNN_DATA_FLOAT, n.choice.layout, n.T,
                                               n.B, n.P, beyond, NULL),
                     CUDNN_STATUS_BAD_PARAM);
    destroy(&n);
}

static void test_weight_params(void **state)
{
    (void)state;
    struct network n;
    void *address = NULL;
    int rows = 0, cols = 0;
    make(&n, "plain", usual);
    assert_int_equal(weight_at(&n, 0, 8, false, &rows, &cols), -1); /* no projection */
    static const int wrong[][2] = {{-1, 0}, {1, 0}, {0, -1}, {0, 9}};
    for (int i = 0; i < 4; i++)
        assert_int_equal(cudnnGetRNNWeightParams(n.handle, n.rnn, wrong[i][0], n.weight_bytes,
                                                 n.weights, wrong[i][1], NULL, &address, NULL,
                                                 NULL),
                         CUDNN_STATUS_BAD_PARAM);
    assert_int_equal(cudnnGetRNNWeightParams(n.handle, n.rnn, 0, n.weight_bytes - 1, n.weights, 0,
                                             NULL, &address, NULL, NULL),
                     CUDNN_STATUS_BAD_PARAM);
    destroy(&n);
}

/* No layout can be relied on: another seed, another order. */
static void test_layouts_differ(void **state)
{
    (void)state;
    struct network n;
    int64_t first[8] = {0};
    int rows = 0, cols = 0, n_moved = 0, n_falling = 0;
    make(&n, "plain", usual);
    for (int id = 0; id < 8; id++) {
        first[id] = weight_at(&n, 0, id, false, &rows, &cols);
        n_falling += id > 0 && first[id] < first[id - 1];
    }
    assert_true(n_falling > 0);
    destroy(&n);
    assert_int_equal(setenv("STANDIN_SEED", "77", 1), 0);
    make(&n, "plain", usual);
    for (int id = 0; id < 8; id++)
        n_moved += weight_at(&n, 0, id, false, &rows, &cols) != first[id];
    assert_true(n_moved > 0);
    check_forward(&n, 1e-6);
    destroy(&n);
    assert_int_equal(unsetenv("STANDIN_SEED"), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_pytorch),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_math_types),
        cmocka_unit_test(test_padding),
        cmocka_unit_test(test_states_may_be_left_out),
        cmocka_unit_test(test_scratch_is_spoilt),
        cmocka_unit_test(test_inference),
        cmocka_unit_test(test_order_of_passes),
        cmocka_unit_test(test_lengths_on_the_device),
        cmocka_unit_test(test_wrong_buffers),
        cmocka_unit_test(test_wrong_descriptors),
        cmocka_unit_test(test_weight_params),
        cmocka_unit_test(test_layouts_differ),
    };
    if (argc < 2)
        return 2;
    golden_lstm_open(argv[1]);
    const int n_failed = cmocka_run_group_tests_name("standin_dnn", tests, NULL, NULL);
    golden_lstm_close();
    return n_failed;
}
