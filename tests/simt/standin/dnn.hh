/* Handles and descriptors of the stand-in of cuDNN's recurrent networks. */
#ifndef MIXT_TESTS_SIMT_STANDIN_DNN_HH
#define MIXT_TESTS_SIMT_STANDIN_DNN_HH

#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/simt/standin/lstm.hh"

struct cudnnContext {
    int device;
    cudaStream_t stream;
};

/* `real` of each descriptor is the real library's, NULL without it. */
struct cudnnTensorStruct {
    cudnnTensorDescriptor_t real;
    cudnnDataType_t type;
    std::vector<int> dims, strides; /* empty until set, and for a weight that does not exist */
};

struct cudnnDropoutStruct {
    cudnnDropoutDescriptor_t real;
    bool is_set;
    float rate;
};

struct cudnnRNNStruct {
    cudnnRNNDescriptor_t real;
    bool is_set;
    cudnnRNNBiasMode_t bias;
    cudnnDirectionMode_t direction;
    cudnnDataType_t type;
    cudnnMathType_t math;
    int32_t input_size, hidden_size, proj_size, n_layers;
    float dropout;
    uint32_t flags;
};

struct cudnnRNNDataStruct {
    cudnnRNNDataDescriptor_t real;
    bool is_set;
    cudnnDataType_t type;
    cudnnRNNDataLayout_t layout;
    int max_length, batch, vector_size;
    std::vector<int32_t> lengths;
    bool has_fill;
    double fill;
};

/* What every call on a handle begins with. */
cudnnStatus_t dnn_enter(const char *function, cudnnHandle_t handle);

/* Returns the status, after a complaint that cudnnGetLastErrorString() gives too. */
cudnnStatus_t dnn_error(cudnnStatus_t status, const char *function, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* A function of the real library, or NULL. */
void *dnn_real(const char *function);

/* Whether these are descriptors that have been set; complain if not. */
bool dnn_is_tensor(const char *function, const char *what, cudnnTensorDescriptor_t descriptor);
bool dnn_is_rnn(const char *function, cudnnRNNDescriptor_t descriptor);
bool dnn_is_data(const char *function, const char *what, cudnnRNNDataDescriptor_t descriptor);

/* Made by cudnnCreateTensorDescriptor() and not destroyed, set or not. */
bool dnn_is_made(cudnnTensorDescriptor_t descriptor);

/* Describes a packed matrix [1, rows, cols], or with rows = 0 nothing at all. */
void dnn_describe(cudnnTensorDescriptor_t descriptor, cudnnDataType_t type, int rows, int cols);

/* The rate of a dropout descriptor; 0 of NULL, -1 if it is none. */
float dnn_dropout_rate(cudnnDropoutDescriptor_t descriptor);

/* Bytes of an element; 0 for a type that the stand-in does not know. */
size_t dnn_type_bytes(cudnnDataType_t type);

/* The network without data, and with the lengths of a batch. */
struct lstm_shape dnn_shape(cudnnRNNDescriptor_t rnn);
struct lstm_shape dnn_shape_of(cudnnRNNDescriptor_t rnn, cudnnRNNDataDescriptor_t data);

#endif
