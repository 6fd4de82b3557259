/* Stand-in of cuDNN: sizes, places of weights, and the three passes of an LSTM. */
#include "tests/simt/standin/dnn.hh"

#include <string.h>

#include "tests/simt/device.h"
#include "tests/simt/standin/standin.hh"
#include "tests/simt/standin/work.hh"

/* Larger than anything that might be computed by hand, and of an odd size. */
static size_t work_bytes(const struct lstm_shape *shape)
{
    return (size_t)(shape->T * shape->B * shape->hidden) * 8 + 1040;
}

static size_t weight_bytes(cudnnRNNDescriptor_t rnn)
{
    const struct lstm_shape shape = dnn_shape(rnn);
    int64_t n_elements = 0;
    lstm_weights(&shape, &n_elements);
    return (size_t)n_elements * dnn_type_bytes(rnn->type);
}

/* What data must be for a network; the layouts with padding must have been allowed. */
static bool fits(const char *function, cudnnRNNDescriptor_t rnn, cudnnRNNDataDescriptor_t x)
{
    const bool is_packed = x->layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED;
    if (x->type == rnn->type && x->vector_size == rnn->input_size &&
        (is_packed || rnn->flags & CUDNN_RNN_PADDED_IO_ENABLED))
        return true;
    dnn_error(CUDNN_STATUS_BAD_PARAM, function,
              "x: type %d, vectors of %d, layout %d for a network of type %d, input %d, flags %u",
              x->type, x->vector_size, x->layout, rnn->type, rnn->input_size, rnn->flags);
    return false;
}

cudnnStatus_t cudnnGetRNNTempSpaceSizes(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc,
                                        cudnnForwardMode_t fwdMode, cudnnRNNDataDescriptor_t xDesc,
                                        size_t *workSpaceSize, size_t *reserveSpaceSize)
{
    const cudnnStatus_t status = dnn_enter(__func__, handle);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!dnn_is_rnn(__func__, rnnDesc) || !dnn_is_data(__func__, "xDesc", xDesc) ||
        !fits(__func__, rnnDesc, xDesc))
        return CUDNN_STATUS_BAD_PARAM;
    const struct lstm_shape shape = dnn_shape_of(rnnDesc, xDesc);
    if (workSpaceSize)
        *workSpaceSize = work_bytes(&shape);
    if (reserveSpaceSize)
        *reserveSpaceSize = fwdMode == CUDNN_FWD_MODE_TRAINING ? lstm_reserve_bytes(&shape) : 0;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnGetRNNWeightSpaceSize(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc,
                                         size_t *weightSpaceSize)
{
    const cudnnStatus_t status = dnn_enter(__func__, handle);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!weightSpaceSize || !dnn_is_rnn(__func__, rnnDesc))
        return CUDNN_STATUS_BAD_PARAM;
    *weightSpaceSize = weight_bytes(rnnDesc);
    return CUDNN_STATUS_SUCCESS;
}

/* Gives a weight's place and shape to those who ask for them. */
static void tell(const struct lstm_weight *weight, cudnnDataType_t type, const void *space,
                 cudnnTensorDescriptor_t descriptor, void **address)
{
    if (descriptor)
        dnn_describe(descriptor, type, (int)weight->rows, (int)weight->cols);
    const size_t offset = (size_t)weight->offset * dnn_type_bytes(type);
    if (address)
        *address = weight->rows ? (char *)const_cast<void *>(space) + offset : NULL;
}

cudnnStatus_t cudnnGetRNNWeightParams(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc,
                                      int32_t pseudoLayer, size_t weightSpaceSize,
                                      const void *weightSpace, int32_t linLayerID,
                                      cudnnTensorDescriptor_t mDesc, void **mAddr,
                                      cudnnTensorDescriptor_t bDesc, void **bAddr)
{
    const cudnnStatus_t status = dnn_enter(__func__, handle);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!dnn_is_rnn(__func__, rnnDesc))
        return CUDNN_STATUS_BAD_PARAM;
    const struct lstm_shape shape = dnn_shape(rnnDesc);
    if (pseudoLayer < 0 || pseudoLayer >= shape.layers * shape.directions || linLayerID < 0 ||
        linLayerID >= LSTM_MATRICES || !weightSpace || weightSpaceSize < weight_bytes(rnnDesc))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__,
                         "pseudo-layer %d, linLayerID %d, %zu bytes at %p", pseudoLayer, linLayerID,
                         weightSpaceSize, weightSpace);
    if ((mDesc && !dnn_is_made(mDesc)) || (bDesc && !dnn_is_made(bDesc)))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "no tensor descriptor");
    int64_t n_elements = 0;
    const std::vector<struct lstm_weight> weights = lstm_weights(&shape, &n_elements);
    const size_t first = (size_t)pseudoLayer * (LSTM_MATRICES + LSTM_BIASES);
    const struct lstm_weight nothing = {0, 0, 0};
    const size_t id = (size_t)linLayerID;
    tell(&weights[first + id], rnnDesc->type, weightSpace, mDesc, mAddr);
    tell(id < LSTM_BIASES ? &weights[first + LSTM_MATRICES + id] : &nothing, rnnDesc->type,
         weightSpace, bDesc, bAddr);
    return CUDNN_STATUS_SUCCESS;
}

/* -- what all three passes check -- */

/* The descriptors of one call; h and c may be NULL where their data are. */
struct descriptors {
    cudnnRNNDescriptor_t rnn;
    cudnnRNNDataDescriptor_t x, y;
    cudnnTensorDescriptor_t h, c;
    bool needs_h, needs_c;
};

static bool is_state(const char *function, const char *what, cudnnTensorDescriptor_t state,
                     const struct lstm_shape *shape, cudnnDataType_t type, int64_t size)
{
    if (!dnn_is_tensor(function, what, state))
        return false;
    const std::vector<int> dims = {(int)(shape->layers * shape->directions), (int)shape->B,
                                   (int)size};
    const std::vector<int> strides = {dims[1] * dims[2], dims[2], 1};
    if (state->type == type && state->dims == dims && state->strides == strides)
        return true;
    dnn_error(CUDNN_STATUS_BAD_PARAM, function, "%s is not packed [%d, %d, %d] of type %d", what,
              dims[0], dims[1], dims[2], type);
    return false;
}

static bool is_output(const char *function, const struct descriptors *d)
{
    const int directions = d->rnn->direction == CUDNN_BIDIRECTIONAL ? 2 : 1;
    if (d->y->type == d->x->type && d->y->layout == d->x->layout &&
        d->y->max_length == d->x->max_length && d->y->lengths == d->x->lengths &&
        d->y->vector_size == d->rnn->proj_size * directions)
        return true;
    dnn_error(CUDNN_STATUS_BAD_PARAM, function, "yDesc does not fit xDesc and the network");
    return false;
}

static cudnnStatus_t check_descriptors(const char *function, cudnnHandle_t handle,
                                       const struct descriptors *d)
{
    const cudnnStatus_t status = dnn_enter(function, handle);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (!dnn_is_rnn(function, d->rnn) || !dnn_is_data(function, "xDesc", d->x) ||
        !dnn_is_data(function, "yDesc", d->y) || !fits(function, d->rnn, d->x) ||
        !is_output(function, d))
        return CUDNN_STATUS_BAD_PARAM;
    const struct lstm_shape shape = dnn_shape_of(d->rnn, d->x);
    if ((d->needs_h && !is_state(function, "hDesc", d->h, &shape, d->rnn->type, shape.proj)) ||
        (d->needs_c && !is_state(function, "cDesc", d->c, &shape, d->rnn->type, shape.hidden)))
        return CUDNN_STATUS_BAD_PARAM;
    return CUDNN_STATUS_SUCCESS;
}

struct buffer {
    const char *what;
    const void *data;
    bool is_required;
    size_t bytes, alignment;
};

static cudnnStatus_t check_buffers(const char *function, const std::vector<struct buffer> &buffers)
{
    for (const struct buffer &buffer : buffers) {
        if (!buffer.data && buffer.is_required)
            return dnn_error(CUDNN_STATUS_BAD_PARAM, function, "%s is NULL", buffer.what);
        if (buffer.data &&
            !standin_in_device(function, buffer.what, buffer.data, buffer.bytes, buffer.alignment))
            return CUDNN_STATUS_EXECUTION_FAILED;
    }
    return CUDNN_STATUS_SUCCESS;
}

/* Bytes of x or y. */
static size_t data_bytes(cudnnRNNDataDescriptor_t data)
{
    size_t vectors = (size_t)data->max_length * (size_t)data->batch;
    if (data->layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED) {
        vectors = 0;
        for (int32_t length : data->lengths)
            vectors += (size_t)length;
    }
    return vectors * (size_t)data->vector_size * dnn_type_bytes(data->type);
}

static size_t state_bytes(const struct descriptors *d, int32_t size)
{
    const size_t directions = d->rnn->direction == CUDNN_BIDIRECTIONAL ? 2 : 1;
    return (size_t)d->rnn->n_layers * directions * (size_t)d->x->batch * (size_t)size *
           dnn_type_bytes(d->rnn->type);
}

static cudnnStatus_t check_spaces(const char *function, const struct descriptors *d,
                                  size_t weight_space, size_t work_space, size_t reserve_space,
                                  bool is_training)
{
    const struct lstm_shape shape = dnn_shape_of(d->rnn, d->x);
    const size_t reserve = is_training ? lstm_reserve_bytes(&shape) : 0;
    if (weight_space >= weight_bytes(d->rnn) && work_space >= work_bytes(&shape) &&
        reserve_space >= reserve)
        return CUDNN_STATUS_SUCCESS;
    return dnn_error(CUDNN_STATUS_BAD_PARAM, function,
                     "weight, work or reserve space of %zu, %zu, %zu bytes instead of %zu, %zu, "
                     "%zu",
                     weight_space, work_space, reserve_space, weight_bytes(d->rnn),
                     work_bytes(&shape), reserve);
}

/* A copy of the lengths on the device may be given, and must then be one. */
struct device_lengths {
    const char *function;
    const int32_t *data;
};

static void compare_lengths(const struct device_lengths *device, const int32_t *lengths, size_t n)
{
    simt_check_read(device->data, n * sizeof *lengths, "cuDNN: devSeqLengths");
    if (memcmp(device->data, lengths, n * sizeof *lengths) != 0)
        standin_report(device->function, "devSeqLengths are not the lengths of xDesc");
}

static cudnnStatus_t enqueue(cudnnHandle_t handle, const struct descriptors *d,
                             const struct lstm_call *call, const int32_t *device_lengths,
                             void (*run)(const struct lstm_call *, const int32_t *, size_t))
{
    const size_t bytes = d->x->lengths.size() * sizeof(int32_t);
    if (device_lengths) {
        const struct device_lengths device = {call->function, device_lengths};
        if (!standin_in_device(call->function, "devSeqLengths", device_lengths, bytes, 4))
            return CUDNN_STATUS_EXECUTION_FAILED;
        standin_enqueue(handle->stream, compare_lengths, device, d->x->lengths);
    }
    standin_enqueue(handle->stream, run, *call, d->x->lengths);
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnRNNForward(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc,
                              cudnnForwardMode_t fwdMode, const int32_t devSeqLengths[],
                              cudnnRNNDataDescriptor_t xDesc, const void *x,
                              cudnnRNNDataDescriptor_t yDesc, void *y,
                              cudnnTensorDescriptor_t hDesc, const void *hx, void *hy,
                              cudnnTensorDescriptor_t cDesc, const void *cx, void *cy,
                              size_t weightSpaceSize, const void *weightSpace, size_t workSpaceSize,
                              void *workSpace, size_t reserveSpaceSize, void *reserveSpace)
{
    const bool is_training = fwdMode == CUDNN_FWD_MODE_TRAINING;
    const struct descriptors d = {rnnDesc, xDesc, yDesc, hDesc, cDesc, hx || hy, cx || cy};
    cudnnStatus_t status = check_descriptors(__func__, handle, &d);
    if (status == CUDNN_STATUS_SUCCESS)
        status = check_spaces(__func__, &d, weightSpaceSize, workSpaceSize, reserveSpaceSize,
                              is_training);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (is_training && rnnDesc->dropout > 0 && rnnDesc->n_layers > 1)
        return dnn_error(CUDNN_STATUS_NOT_SUPPORTED, __func__, "the stand-in is without dropout");
    const size_t size = dnn_type_bytes(rnnDesc->type);
    const size_t h = state_bytes(&d, rnnDesc->proj_size), c = state_bytes(&d, rnnDesc->hidden_size);
    status = check_buffers(__func__, {{"x", x, true, data_bytes(xDesc), size},
                                      {"y", y, true, data_bytes(yDesc), size},
                                      {"hx", hx, false, h, size},
                                      {"hy", hy, false, h, size},
                                      {"cx", cx, false, c, size},
                                      {"cy", cy, false, c, size},
                                      {"weightSpace", weightSpace, true, weightSpaceSize, size},
                                      {"workSpace", workSpace, true, workSpaceSize, 8},
                                      {"reserveSpace", reserveSpace, is_training,
                                       is_training ? reserveSpaceSize : 0, 8}});
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    struct lstm_call call = {};
    call.function = __func__;
    call.shape = dnn_shape_of(rnnDesc, xDesc);
    call.shape.has_fill = yDesc->has_fill;
    call.shape.fill = yDesc->fill;
    call.x = x, call.hx = hx, call.cx = cx, call.weights = weightSpace;
    call.y = y, call.hy = hy, call.cy = cy;
    call.work = workSpace, call.work_bytes = workSpaceSize;
    call.reserve = is_training ? reserveSpace : NULL;
    return enqueue(handle, &d, &call, devSeqLengths, lstm_forward);
}

cudnnStatus_t cudnnRNNBackwardData_v8(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc,
                                      const int32_t devSeqLengths[], cudnnRNNDataDescriptor_t yDesc,
                                      const void *y, const void *dy, cudnnRNNDataDescriptor_t xDesc,
                                      void *dx, cudnnTensorDescriptor_t hDesc, const void *hx,
                                      const void *dhy, void *dhx, cudnnTensorDescriptor_t cDesc,
                                      const void *cx, const void *dcy, void *dcx,
                                      size_t weightSpaceSize, const void *weightSpace,
                                      size_t workSpaceSize, void *workSpace,
                                      size_t reserveSpaceSize, void *reserveSpace)
{
    const struct descriptors d = {rnnDesc,          xDesc,           yDesc, hDesc, cDesc,
                                  hx || dhy || dhx, cx || dcy || dcx};
    cudnnStatus_t status = check_descriptors(__func__, handle, &d);
    if (status == CUDNN_STATUS_SUCCESS)
        status = check_spaces(__func__, &d, weightSpaceSize, workSpaceSize, reserveSpaceSize, true);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    const size_t size = dnn_type_bytes(rnnDesc->type);
    const size_t h = state_bytes(&d, rnnDesc->proj_size), c = state_bytes(&d, rnnDesc->hidden_size);
    status = check_buffers(__func__, {{"y", y, true, data_bytes(yDesc), size},
                                      {"dy", dy, true, data_bytes(yDesc), size},
                                      {"dx", dx, true, data_bytes(xDesc), size},
                                      {"hx", hx, false, h, size},
                                      {"dhy", dhy, false, h, size},
                                      {"dhx", dhx, false, h, size},
                                      {"cx", cx, false, c, size},
                                      {"dcy", dcy, false, c, size},
                                      {"dcx", dcx, false, c, size},
                                      {"weightSpace", weightSpace, true, weightSpaceSize, size},
                                      {"workSpace", workSpace, true, workSpaceSize, 8},
                                      {"reserveSpace", reserveSpace, true, reserveSpaceSize, 8}});
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    struct lstm_call call = {};
    call.function = __func__;
    call.shape = dnn_shape_of(rnnDesc, xDesc);
    call.y = const_cast<void *>(y), call.dy = dy, call.dx = dx;
    call.hx = hx, call.dhy = dhy, call.dhx = dhx;
    call.cx = cx, call.dcy = dcy, call.dcx = dcx, call.weights = weightSpace;
    call.work = workSpace, call.work_bytes = workSpaceSize, call.reserve = reserveSpace;
    return enqueue(handle, &d, &call, devSeqLengths, lstm_backward_data);
}

cudnnStatus_t cudnnRNNBackwardWeights_v8(cudnnHandle_t handle, cudnnRNNDescriptor_t rnnDesc,
                                         cudnnWgradMode_t addGrad, const int32_t devSeqLengths[],
                                         cudnnRNNDataDescriptor_t xDesc, const void *x,
                                         cudnnTensorDescriptor_t hDesc, const void *hx,
                                         cudnnRNNDataDescriptor_t yDesc, const void *y,
                                         size_t weightSpaceSize, void *dweightSpace,
                                         size_t workSpaceSize, void *workSpace,
                                         size_t reserveSpaceSize, void *reserveSpace)
{
    const struct descriptors d = {rnnDesc, xDesc, yDesc, hDesc, NULL, hx != NULL, false};
    cudnnStatus_t status = check_descriptors(__func__, handle, &d);
    if (status == CUDNN_STATUS_SUCCESS)
        status = check_spaces(__func__, &d, weightSpaceSize, workSpaceSize, reserveSpaceSize, true);
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    if (addGrad != CUDNN_WGRAD_MODE_ADD)
        return dnn_error(CUDNN_STATUS_NOT_SUPPORTED, __func__,
                         "gradients of weights can only be added");
    const size_t size = dnn_type_bytes(rnnDesc->type);
    const size_t h = state_bytes(&d, rnnDesc->proj_size);
    status = check_buffers(__func__, {{"x", x, true, data_bytes(xDesc), size},
                                      {"y", y, true, data_bytes(yDesc), size},
                                      {"hx", hx, false, h, size},
                                      {"dweightSpace", dweightSpace, true, weightSpaceSize, size},
                                      {"workSpace", workSpace, true, workSpaceSize, 8},
                                      {"reserveSpace", reserveSpace, true, reserveSpaceSize, 8}});
    if (status != CUDNN_STATUS_SUCCESS)
        return status;
    struct lstm_call call = {};
    call.function = __func__;
    call.shape = dnn_shape_of(rnnDesc, xDesc);
    call.x = x, call.hx = hx, call.y = const_cast<void *>(y), call.dweights = dweightSpace;
    call.work = workSpace, call.work_bytes = workSpaceSize, call.reserve = reserveSpace;
    return enqueue(handle, &d, &call, devSeqLengths, lstm_backward_weights);
}
