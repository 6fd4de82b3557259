/* Stand-in of cuDNN: versions, error texts, handles, tensor and dropout descriptors.
 *
 * Descriptors of tensors are set in the real library too, which judges them without a device; for a
 * dropout descriptor it wants a handle, so that one is judged here alone. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/simt/device.h"
#include "tests/simt/standin/dnn.hh"
#include "tests/simt/standin/standin.hh"

static Live<cudnnContext> handles;
static Live<cudnnTensorStruct> tensors;
static Live<cudnnDropoutStruct> dropouts;
static thread_local char last_error[512];

void *dnn_real(const char *function)
{
    return standin_real("libcudnn.so.9", function);
}

cudnnStatus_t dnn_error(cudnnStatus_t status, const char *function, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof last_error, format, arguments);
    va_end(arguments);
    standin_complain(function, "%s", last_error);
    return status;
}

cudnnStatus_t dnn_enter(const char *function, cudnnHandle_t handle)
{
    int device = -1;
    if (!handles.has(handle))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, function, "no handle");
    if (simt_fail_now("cudnn"))
        return CUDNN_STATUS_EXECUTION_FAILED;
    cudaGetDevice(&device);
    if (device != handle->device)
        return dnn_error(CUDNN_STATUS_BAD_PARAM, function,
                         "device %d is current, the handle was made on %d", device, handle->device);
    return CUDNN_STATUS_SUCCESS;
}

size_t cudnnGetVersion(void)
{
    return CUDNN_VERSION;
}

size_t cudnnGetCudartVersion(void)
{
    return CUDART_VERSION;
}

const char *cudnnGetErrorString(cudnnStatus_t status)
{
    switch (status) {
    case CUDNN_STATUS_SUCCESS:
        return "CUDNN_STATUS_SUCCESS";
    case CUDNN_STATUS_NOT_INITIALIZED:
        return "CUDNN_STATUS_NOT_INITIALIZED";
    case CUDNN_STATUS_BAD_PARAM:
        return "CUDNN_STATUS_BAD_PARAM";
    case CUDNN_STATUS_NOT_SUPPORTED:
        return "CUDNN_STATUS_NOT_SUPPORTED";
    case CUDNN_STATUS_EXECUTION_FAILED:
        return "CUDNN_STATUS_EXECUTION_FAILED";
    case CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED:
        return "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED";
    default:
        return "CUDNN_STATUS_INTERNAL_ERROR";
    }
}

void cudnnGetLastErrorString(char *message, size_t max_size)
{
    if (message && max_size)
        snprintf(message, max_size, "%s", last_error);
    last_error[0] = '\0';
}

cudnnStatus_t cudnnCreate(cudnnHandle_t *handle)
{
    if (!handle)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (simt_fail_now("cudnn"))
        return CUDNN_STATUS_NOT_INITIALIZED;
    *handle = handles.add(new cudnnContext());
    cudaGetDevice(&(*handle)->device);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle)
{
    if (!handles.remove(handle))
        return CUDNN_STATUS_BAD_PARAM;
    delete handle;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t streamId)
{
    const cudnnStatus_t status = dnn_enter(__func__, handle);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (simt_stream_device(streamId) != handle->device)
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "a stream of another device");
    handle->stream = streamId;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t *streamId)
{
    if (!handles.has(handle) || !streamId)
        return CUDNN_STATUS_BAD_PARAM;
    *streamId = handle->stream;
    return CUDNN_STATUS_SUCCESS;
}

size_t dnn_type_bytes(cudnnDataType_t type)
{
    switch (type) {
    case CUDNN_DATA_FLOAT:
        return 4;
    case CUDNN_DATA_BFLOAT16:
        return 2;
    default:
        return 0;
    }
}

/* -- tensors -- */

bool dnn_is_made(cudnnTensorDescriptor_t descriptor)
{
    return tensors.has(descriptor);
}

bool dnn_is_tensor(const char *function, const char *what, cudnnTensorDescriptor_t descriptor)
{
    if (tensors.has(descriptor) && !descriptor->dims.empty())
        return true;
    dnn_error(CUDNN_STATUS_BAD_PARAM, function, "%s is no tensor descriptor that was set", what);
    return false;
}

cudnnStatus_t cudnnCreateTensorDescriptor(cudnnTensorDescriptor_t *tensorDesc)
{
    typedef decltype(cudnnCreateTensorDescriptor) creator;
    if (!tensorDesc)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (simt_fail_now("cudnn"))
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    cudnnTensorStruct *made = tensors.add(new cudnnTensorStruct());
    creator *real = (creator *)dnn_real("cudnnCreateTensorDescriptor");
    if (real && real(&made->real) != CUDNN_STATUS_SUCCESS)
        made->real = NULL;
    *tensorDesc = made;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyTensorDescriptor(cudnnTensorDescriptor_t tensorDesc)
{
    typedef decltype(cudnnDestroyTensorDescriptor) destroyer;
    if (!tensorDesc)
        return CUDNN_STATUS_SUCCESS;
    if (!tensors.remove(tensorDesc))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "no tensor descriptor");
    if (tensorDesc->real)
        ((destroyer *)dnn_real("cudnnDestroyTensorDescriptor"))(tensorDesc->real);
    delete tensorDesc;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetTensorNdDescriptor(cudnnTensorDescriptor_t tensorDesc,
                                         cudnnDataType_t dataType, int nbDims, const int dimA[],
                                         const int strideA[])
{
    typedef decltype(cudnnSetTensorNdDescriptor) setter;
    if (!tensors.has(tensorDesc))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "no tensor descriptor");
    if (simt_fail_now("cudnn"))
        return CUDNN_STATUS_BAD_PARAM;
    if (nbDims < 2 || nbDims > CUDNN_DIM_MAX || !dimA || !strideA)
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "%d dimensions", nbDims);
    for (int i = 0; i < nbDims; i++)
        if (dimA[i] <= 0)
            return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "dimension %d is %d", i, dimA[i]);
    if (tensorDesc->real) {
        setter *real = (setter *)dnn_real("cudnnSetTensorNdDescriptor");
        const cudnnStatus_t status = real(tensorDesc->real, dataType, nbDims, dimA, strideA);
        if (status != CUDNN_STATUS_SUCCESS)
            return dnn_error(status, __func__, "the real library refuses it");
    }
    tensorDesc->type = dataType;
    tensorDesc->dims.assign(dimA, dimA + nbDims);
    tensorDesc->strides.assign(strideA, strideA + nbDims);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetTensorNdDescriptor(const cudnnTensorDescriptor_t tensorDesc,
                                         int nbDimsRequested, cudnnDataType_t *dataType,
                                         int *nbDims, int dimA[], int strideA[])
{
    if (!tensors.has(tensorDesc) || nbDimsRequested < 0 || !dataType || !nbDims || !dimA ||
        !strideA)
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "an argument is NULL or no descriptor");
    *dataType = tensorDesc->type;
    *nbDims = (int)tensorDesc->dims.size();
    for (int i = 0; i < *nbDims && i < nbDimsRequested; i++) {
        dimA[i] = tensorDesc->dims[(size_t)i];
        strideA[i] = tensorDesc->strides[(size_t)i];
    }
    return CUDNN_STATUS_SUCCESS;
}

void dnn_describe(cudnnTensorDescriptor_t descriptor, cudnnDataType_t type, int rows, int cols)
{
    descriptor->type = type;
    descriptor->dims.clear();
    descriptor->strides.clear();
    if (rows) {
        descriptor->dims = {1, rows, cols};
        descriptor->strides = {rows * cols, cols, 1};
    }
}

/* -- dropout -- */

float dnn_dropout_rate(cudnnDropoutDescriptor_t descriptor)
{
    if (!descriptor)
        return 0;
    return dropouts.has(descriptor) && descriptor->is_set ? descriptor->rate : -1;
}

cudnnStatus_t cudnnCreateDropoutDescriptor(cudnnDropoutDescriptor_t *dropoutDesc)
{
    if (!dropoutDesc)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (simt_fail_now("cudnn"))
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    *dropoutDesc = dropouts.add(new cudnnDropoutStruct());
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyDropoutDescriptor(cudnnDropoutDescriptor_t dropoutDesc)
{
    if (!dropoutDesc)
        return CUDNN_STATUS_SUCCESS;
    if (!dropouts.remove(dropoutDesc))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "no dropout descriptor");
    delete dropoutDesc;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDropoutGetStatesSize(cudnnHandle_t handle, size_t *sizeInBytes)
{
    const cudnnStatus_t status = dnn_enter(__func__, handle);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!sizeInBytes)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    *sizeInBytes = 1 << 16;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnSetDropoutDescriptor(cudnnDropoutDescriptor_t dropoutDesc, cudnnHandle_t handle,
                                        float dropout, void *states, size_t stateSizeInBytes,
                                        unsigned long long seed)
{
    (void)seed;
    const cudnnStatus_t status = dnn_enter(__func__, handle);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!dropouts.has(dropoutDesc) || !(dropout >= 0 && dropout <= 1))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "rate %g or no descriptor",
                         (double)dropout);
    if (states && !standin_in_device(__func__, "states", states, stateSizeInBytes, 1))
        return CUDNN_STATUS_EXECUTION_FAILED;
    if ((states || dropout > 0) && stateSizeInBytes < 1 << 16)
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "%zu bytes of states", stateSizeInBytes);
    dropoutDesc->is_set = true;
    dropoutDesc->rate = dropout;
    return CUDNN_STATUS_SUCCESS;
}
