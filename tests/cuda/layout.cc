/* Where cuDNN has the weights of an LSTM: what cudnnGetRNNWeightParams() says, against what the
 * stand-in says by itself (tests/simt/standin/lstm_weights.cc, from NVIDIA's documents): which
 * matrices and biases there are, their shapes, rows one behind the other. Where they lie is
 * cuDNN's own affair, but they are inside the space and apart. backend/cuda/dnn.c packs by these
 * answers.
 *
 * Runs on a GPU, or on the emulator. Prints all of it; exits 1 where they differ, 77 without a GPU.
 */
#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <stdio.h>
#include <stdlib.h>

#include <algorithm>
#include <vector>

#include "tests/simt/standin/lstm.hh"

/* Where cuDNN is NVIDIA's, nothing else of the stand-in is linked, and order means nothing. */
__attribute__((weak)) uint64_t standin_hash(uint64_t value);
__attribute__((weak)) uint64_t standin_hash(uint64_t value)
{
    return value * 0x9E3779B97F4A7C15ull;
}

static int n_failed;

static void must(int code, const char *what)
{
    if (code == 0)
        return;
    printf("FAILED %s: code %d\n", what, code);
    exit(1);
}

static void check(bool is_right, const char *what, const char *kind, int id)
{
    if (is_right)
        return;
    n_failed++;
    printf("FAILED %s of %s %d\n", what, kind, id);
}

/* One matrix or bias as cuDNN has it, by elements; rows 0: it does not exist. */
struct found {
    lstm_weight place;
    bool is_dense; /* its rows one behind the other */
};

static found read_back(cudnnTensorDescriptor_t description, const void *address, const char *space)
{
    cudnnDataType_t type;
    int rank = 0, dims[3] = {0}, steps[3] = {0};
    if (!address)
        return {{0, 0, 0}, true};
    must(cudnnGetTensorNdDescriptor(description, 3, &type, &rank, dims, steps), "a description");
    const int64_t bytes = (const char *)address - space;
    return {{bytes / (int64_t)sizeof(float), dims[1], dims[2]},
            rank == 3 && dims[0] == 1 && type == CUDNN_DATA_FLOAT && steps[2] == 1 &&
                steps[1] == dims[2] && bytes % (int64_t)sizeof(float) == 0};
}

static void compare(const found &got, const lstm_weight &wanted, const char *kind, int id,
                    std::vector<lstm_weight> *places)
{
    const lstm_weight &place = got.place;
    printf("  %s %d: [%lld, %lld] at %lld\n", kind, id, (long long)place.rows,
           (long long)place.cols, (long long)place.offset);
    check(place.rows == wanted.rows && place.cols == wanted.cols, "shape", kind, id);
    check(got.is_dense, "layout", kind, id);
    if (place.rows > 0)
        places->push_back(place);
}

static void check_apart(std::vector<lstm_weight> places, size_t space_bytes)
{
    int64_t end = 0;
    std::sort(places.begin(), places.end(),
              [](const lstm_weight &a, const lstm_weight &b) { return a.offset < b.offset; });
    for (size_t i = 0; i < places.size(); i++) {
        check(places[i].offset >= end, "place", "the pieces in order, piece", (int)i);
        end = places[i].offset + places[i].rows * places[i].cols;
    }
    check((size_t)end * sizeof(float) <= space_bytes, "end", "the pieces, in all", (int)end);
}

/* As backend/cuda/dnn.c describes a layer. */
static void check_layer(cudnnHandle_t handle, cudnnMathType_t math, int input, int hidden, int proj)
{
    cudnnRNNDescriptor_t network;
    cudnnTensorDescriptor_t matrix, bias;
    size_t space_bytes = 0;
    char *space = NULL;
    must(cudnnCreateRNNDescriptor(&network), "network");
    must(cudnnCreateTensorDescriptor(&matrix), "matrix");
    must(cudnnCreateTensorDescriptor(&bias), "bias");
    must(cudnnSetRNNDescriptor_v8(network, CUDNN_RNN_ALGO_STANDARD, CUDNN_LSTM,
                                  CUDNN_RNN_SINGLE_INP_BIAS, CUDNN_UNIDIRECTIONAL,
                                  CUDNN_LINEAR_INPUT, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, math,
                                  input, hidden, proj, 1, NULL, CUDNN_RNN_PADDED_IO_DISABLED),
         "cudnnSetRNNDescriptor_v8");
    must(cudnnGetRNNWeightSpaceSize(handle, network, &space_bytes), "cudnnGetRNNWeightSpaceSize");
    must(cudaMalloc((void **)&space, space_bytes), "cudaMalloc");
    printf("input %d, cells %d, projection %d: %zu bytes\n", input, hidden, proj, space_bytes);
    struct lstm_shape shape = {};
    shape.type = CUDA_R_32F;
    shape.input = input, shape.hidden = hidden, shape.proj = proj;
    shape.layers = shape.directions = 1;
    shape.has_input_bias = true;
    int64_t n_elements;
    const std::vector<lstm_weight> wanted = lstm_weights(&shape, &n_elements);
    std::vector<lstm_weight> places;
    for (int id = 0; id < LSTM_MATRICES; id++) {
        void *matrix_at = NULL, *bias_at = NULL;
        must(cudnnGetRNNWeightParams(handle, network, 0, space_bytes, space, id, matrix, &matrix_at,
                                     bias, &bias_at),
             "cudnnGetRNNWeightParams");
        compare(read_back(matrix, matrix_at, space), wanted[(size_t)id], "matrix", id, &places);
        if (id < LSTM_BIASES)
            compare(read_back(bias, bias_at, space), wanted[(size_t)(LSTM_MATRICES + id)], "bias",
                    id, &places);
    }
    check_apart(places, space_bytes);
    must(cudaFree(space), "cudaFree");
    must(cudnnDestroyTensorDescriptor(bias), "bias");
    must(cudnnDestroyTensorDescriptor(matrix), "matrix");
    must(cudnnDestroyRNNDescriptor(network), "network");
}

int main()
{
    enum { SKIPPED = 77 };
    int n_gpus = 0;
    if (cudaGetDeviceCount(&n_gpus) != cudaSuccess || n_gpus == 0) {
        printf("skipped: no GPU\n");
        return SKIPPED;
    }
    cudnnHandle_t handle;
    must(cudnnCreate(&handle), "cudnnCreate");
    for (cudnnMathType_t math : {CUDNN_FMA_MATH, CUDNN_DEFAULT_MATH}) {
        check_layer(handle, math, 30, 40, 24);
        check_layer(handle, math, 33, 48, 7);
        check_layer(handle, math, 64, 64, 64);
        check_layer(handle, math, 512, 2048, 512);
    }
    must(cudnnDestroy(handle), "cudnnDestroy");
    printf("%d failed\n", n_failed);
    return n_failed > 0;
}
