/* What the host's files of this folder share: a handle's own state, its errors and its scratch.
 *
 * All work of a handle goes to one stream, in order; nothing is waited for but in sync() and
 * download(). Each operation is a C function in NAME.c that checks shapes and launches the kernels
 * of NAME.cu, whose launchers stand in kernels.h. */
#ifndef MIXT_BACKEND_CUDA_CONTEXT_H
#define MIXT_BACKEND_CUDA_CONTEXT_H

#include <cublasLt.h>
#include <cublas_v2.h>
#include <cuda_runtime.h>
#include <cudnn.h>

#include "backend/support.h"

/* Where bytes wait on their way between the host and the device: two halves of page-locked memory
 * in turn, each filled again when the copies out of it are done. */
struct staging {
    char *memory;           /* owned [2 * STAGING_BYTES] */
    cudaEvent_t is_free[2]; /* behind the last copy of a half */
    int half;               /* in use */
    size_t used;            /* bytes of it */
};

/* What cuBLASLt is told of a product; made once, filled in for each. */
struct lt_description {
    cublasLtMatmulDesc_t product;
    cublasLtMatrixLayout_t a, b, c;
    cublasLtMatmulPreference_t preference;
};

/* The groups' first rows of the last grouped product, on the host. */
struct known_offsets {
    int32_t *rows; /* owned [capacity] */
    int64_t count; /* E + 1; 0: nothing is known */
    int64_t capacity;
    const void *of; /* the tensor's address on the device */
};

/* cuDNN, and what it is told of an LSTM layer; made once, filled in for each call. */
struct dnn {
    cudnnHandle_t handle;
    cudnnRNNDescriptor_t network;
    cudnnRNNDataDescriptor_t x, y;
    cudnnTensorDescriptor_t h, c;         /* states */
    cudnnTensorDescriptor_t matrix, bias; /* of one gate */
    int *lengths;                         /* owned [n_lengths] */
    int64_t n_lengths;
};

/* Device memory that grows to the largest call and stays. */
struct room {
    void *memory; /* owned */
    size_t size_bytes;
};

struct context {
    int device;
    cudaStream_t stream;
    cublasHandle_t blas;
    cublasLtHandle_t blas_lt;
    struct room scratch, layer_scratch;
    void *workspace;             /* owned, on the device [WORKSPACE_BYTES]: cuBLAS's own */
    const void **group_pointers; /* owned, on the device: the matrices of a grouped product */
    struct staging staging;
    struct lt_description lt;
    struct dnn dnn;
    struct known_offsets offsets;
};

enum { STAGING_BYTES = 4 << 20, WORKSPACE_BYTES = 4 << 20 };

static inline struct context *context_of(const struct backend *backend)
{
    return backend->context;
}

/* Every operation that computes calls it first: makes the handle's device the calling thread's.
 * False means that an earlier operation failed and nothing should be done. */
bool context_enter(struct backend *backend);

/* The same for operations that write no whole numbers: what is known of offsets stays true. */
bool context_enter_reals(struct backend *backend);

/* Keeps a failed launch or call as the backend's error: "what: CUDA's words". */
void context_check(struct backend *backend, cudaError_t error, const char *what);
void context_check_blas(struct backend *backend, cublasStatus_t status, const char *what);
void context_check_dnn(struct backend *backend, cudnnStatus_t status, const char *what);

/* Device memory for one call, undefined, aligned to 256 bytes; the next call of it may move it.
 * NULL when there is none, and then the backend has the error; never for want of 0 bytes. */
void *context_scratch(struct backend *backend, size_t size_bytes);

/* The same for an operation that is made of others, which may use the scratch. */
void *context_layer_scratch(struct backend *backend, size_t size_bytes);

/* Copies to device memory; the host's may be used again at once. To be called after
 * context_enter(). */
void context_upload(struct backend *backend, void *target, const void *host, size_t size_bytes);

/* Copies from device memory and waits for it; zeros after an error. */
void context_download(struct backend *backend, void *host, const void *source, size_t size_bytes);

/* Where groups of rows start, offsets [E+1] i32, on the host. Waits for the device, unless the last
 * call had the same groups. NULL after an error. */
const int32_t *context_offsets(struct backend *backend, const struct tensor *offsets);

/* The staging's memory. False without memory; the backend has the error. */
bool staging_open(struct backend *backend);
void staging_close(struct staging *staging);

/* Each file sets the operations it defines. */
void cuda_set_attention(struct backend_ops *ops);
void cuda_set_cells(struct backend_ops *ops);
void cuda_set_elements(struct backend_ops *ops);
void cuda_set_gate(struct backend_ops *ops);
void cuda_set_loss(struct backend_ops *ops);
void cuda_set_lstm(struct backend_ops *ops);
void cuda_set_mask(struct backend_ops *ops);
void cuda_set_matmul(struct backend_ops *ops);
void cuda_set_memory(struct backend_ops *ops);
void cuda_set_moe(struct backend_ops *ops);
void cuda_set_optimizer(struct backend_ops *ops);
void cuda_set_rows(struct backend_ops *ops);
void cuda_set_topk(struct backend_ops *ops);
void cuda_set_transfer(struct backend_ops *ops);
void cuda_set_weight(struct backend_ops *ops);

#endif
