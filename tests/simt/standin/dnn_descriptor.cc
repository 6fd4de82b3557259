/* Stand-in of cuDNN: descriptors of recurrent networks and of their data, which the real library
 * judges too where it is installed. Of the networks only the standard LSTM is there. */
#include <math.h>
#include <string.h>

#include "tests/simt/device.h"
#include "tests/simt/standin/dnn.hh"
#include "tests/simt/standin/standin.hh"

static Live<cudnnRNNStruct> networks;
static Live<cudnnRNNDataStruct> data_sets;

bool dnn_is_rnn(const char *function, cudnnRNNDescriptor_t descriptor)
{
    if (networks.has(descriptor) && descriptor->is_set)
        return true;
    dnn_error(CUDNN_STATUS_BAD_PARAM, function, "no RNN descriptor that was set");
    return false;
}

bool dnn_is_data(const char *function, const char *what, cudnnRNNDataDescriptor_t descriptor)
{
    if (data_sets.has(descriptor) && descriptor->is_set)
        return true;
    dnn_error(CUDNN_STATUS_BAD_PARAM, function, "%s is no RNN data descriptor that was set", what);
    return false;
}

cudnnStatus_t cudnnCreateRNNDescriptor(cudnnRNNDescriptor_t *rnnDesc)
{
    typedef decltype(cudnnCreateRNNDescriptor) creator;
    if (!rnnDesc)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (simt_fail_now("cudnn"))
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    cudnnRNNStruct *made = networks.add(new cudnnRNNStruct());
    creator *real = (creator *)dnn_real("cudnnCreateRNNDescriptor");
    if (real && real(&made->real) != CUDNN_STATUS_SUCCESS)
        made->real = NULL;
    *rnnDesc = made;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyRNNDescriptor(cudnnRNNDescriptor_t rnnDesc)
{
    typedef decltype(cudnnDestroyRNNDescriptor) destroyer;
    if (!rnnDesc)
        return CUDNN_STATUS_SUCCESS;
    if (!networks.remove(rnnDesc))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "no RNN descriptor");
    if (rnnDesc->real)
        ((destroyer *)dnn_real("cudnnDestroyRNNDescriptor"))(rnnDesc->real);
    delete rnnDesc;
    return CUDNN_STATUS_SUCCESS;
}

/* What the real library says without a device, so that it is refused without the library too. */
static cudnnStatus_t check_sizes(const cudnnRNNStruct *rnn)
{
    if (rnn->input_size <= 0 || rnn->hidden_size <= 0 || rnn->n_layers <= 0 ||
        rnn->proj_size <= 0 || rnn->flags > CUDNN_RNN_PADDED_IO_ENABLED ||
        (unsigned)rnn->bias > CUDNN_RNN_SINGLE_REC_BIAS ||
        (unsigned)rnn->direction > CUDNN_BIDIRECTIONAL)
        return CUDNN_STATUS_BAD_PARAM;
    return rnn->proj_size > rnn->hidden_size ? CUDNN_STATUS_NOT_SUPPORTED : CUDNN_STATUS_SUCCESS;
}

/* What the stand-in has not. */
static const char *missing(cudnnRNNAlgo_t algo, cudnnRNNMode_t mode, cudnnRNNInputMode_t input,
                           cudnnDataType_t type, cudnnDataType_t precision)
{
    if (algo != CUDNN_RNN_ALGO_STANDARD)
        return "other algorithms than the standard one";
    if (mode != CUDNN_LSTM)
        return "other cells than LSTM";
    if (input != CUDNN_LINEAR_INPUT)
        return "skipped inputs";
    if (dnn_type_bytes(type) == 0 || precision != CUDNN_DATA_FLOAT)
        return "other types than f32 and bf16, computed in f32";
    return NULL;
}

cudnnStatus_t cudnnSetRNNDescriptor_v8(cudnnRNNDescriptor_t rnnDesc, cudnnRNNAlgo_t algo,
                                       cudnnRNNMode_t cellMode, cudnnRNNBiasMode_t biasMode,
                                       cudnnDirectionMode_t dirMode, cudnnRNNInputMode_t inputMode,
                                       cudnnDataType_t dataType, cudnnDataType_t mathPrec,
                                       cudnnMathType_t mathType, int32_t inputSize,
                                       int32_t hiddenSize, int32_t projSize, int32_t numLayers,
                                       cudnnDropoutDescriptor_t dropoutDesc, uint32_t auxFlags)
{
    typedef decltype(cudnnSetRNNDescriptor_v8) setter;
    if (!networks.has(rnnDesc))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "no RNN descriptor");
    if (simt_fail_now("cudnn"))
        return CUDNN_STATUS_BAD_PARAM;
    const float rate = dnn_dropout_rate(dropoutDesc);
    if (rate < 0)
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "no dropout descriptor that was set");
    if (rnnDesc->real) {
        setter *real = (setter *)dnn_real("cudnnSetRNNDescriptor_v8");
        const cudnnStatus_t status =
            real(rnnDesc->real, algo, cellMode, biasMode, dirMode, inputMode, dataType, mathPrec,
                 mathType, inputSize, hiddenSize, projSize, numLayers, NULL, auxFlags);
        if (status != CUDNN_STATUS_SUCCESS)
            return dnn_error(status, __func__, "the real library refuses it");
    }
    cudnnRNNStruct set = {rnnDesc->real, true,       biasMode, dirMode,   dataType, mathType,
                          inputSize,     hiddenSize, projSize, numLayers, rate,     auxFlags};
    const cudnnStatus_t status = check_sizes(&set);
    if (status != CUDNN_STATUS_SUCCESS)
        return dnn_error(status, __func__, "sizes %d %d %d %d, flags %u", inputSize, hiddenSize,
                         projSize, numLayers, auxFlags);
    const char *without = missing(algo, cellMode, inputMode, dataType, mathPrec);
    if (without)
        return dnn_error(CUDNN_STATUS_NOT_SUPPORTED, __func__, "the stand-in is without %s",
                         without);
    *rnnDesc = set;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnRNNSetClip_v9(cudnnRNNDescriptor_t rnnDesc, cudnnRNNClipMode_t clipMode,
                                 double lclip, double rclip)
{
    (void)lclip, (void)rclip;
    if (!dnn_is_rnn(__func__, rnnDesc))
        return CUDNN_STATUS_BAD_PARAM;
    if (clipMode == CUDNN_RNN_CLIP_NONE)
        return CUDNN_STATUS_SUCCESS;
    return dnn_error(CUDNN_STATUS_NOT_SUPPORTED, __func__, "the stand-in is without clipping");
}

cudnnStatus_t cudnnCreateRNNDataDescriptor(cudnnRNNDataDescriptor_t *rnnDataDesc)
{
    typedef decltype(cudnnCreateRNNDataDescriptor) creator;
    if (!rnnDataDesc)
        return CUDNN_STATUS_BAD_PARAM_NULL_POINTER;
    if (simt_fail_now("cudnn"))
        return CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED;
    cudnnRNNDataStruct *made = data_sets.add(new cudnnRNNDataStruct());
    creator *real = (creator *)dnn_real("cudnnCreateRNNDataDescriptor");
    if (real && real(&made->real) != CUDNN_STATUS_SUCCESS)
        made->real = NULL;
    *rnnDataDesc = made;
    return CUDNN_STATUS_SUCCESS;
}

cudnnStatus_t cudnnDestroyRNNDataDescriptor(cudnnRNNDataDescriptor_t rnnDataDesc)
{
    typedef decltype(cudnnDestroyRNNDataDescriptor) destroyer;
    if (!rnnDataDesc)
        return CUDNN_STATUS_SUCCESS;
    if (!data_sets.remove(rnnDataDesc))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "no RNN data descriptor");
    if (rnnDataDesc->real)
        ((destroyer *)dnn_real("cudnnDestroyRNNDataDescriptor"))(rnnDataDesc->real);
    delete rnnDataDesc;
    return CUDNN_STATUS_SUCCESS;
}

/* Lengths in 0 .. max; packed data has none of 0, falling ones, and no step without a vector. */
static bool has_lengths(cudnnRNNDataLayout_t layout, int max, int batch, const int lengths[])
{
    for (int i = 0; i < batch; i++) {
        if (lengths[i] < 0 || lengths[i] > max)
            return false;
        if (layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED &&
            (lengths[i] == 0 || lengths[i] > (i ? lengths[i - 1] : max) || lengths[0] != max))
            return false;
    }
    return true;
}

static double read_fill(cudnnDataType_t type, const void *fill)
{
    const cudaDataType cuda_type = type == CUDNN_DATA_FLOAT ? CUDA_R_32F : CUDA_R_16BF;
    return fill ? standin_load(fill, cuda_type, 0) : 0;
}

cudnnStatus_t cudnnSetRNNDataDescriptor(cudnnRNNDataDescriptor_t rnnDataDesc,
                                        cudnnDataType_t dataType, cudnnRNNDataLayout_t layout,
                                        int maxSeqLength, int batchSize, int vectorSize,
                                        const int seqLengthArray[], void *paddingFill)
{
    typedef decltype(cudnnSetRNNDataDescriptor) setter;
    if (!data_sets.has(rnnDataDesc))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "no RNN data descriptor");
    if (simt_fail_now("cudnn"))
        return CUDNN_STATUS_BAD_PARAM;
    if (rnnDataDesc->real) {
        setter *real = (setter *)dnn_real("cudnnSetRNNDataDescriptor");
        const cudnnStatus_t status = real(rnnDataDesc->real, dataType, layout, maxSeqLength,
                                          batchSize, vectorSize, seqLengthArray, paddingFill);
        if (status != CUDNN_STATUS_SUCCESS)
            return dnn_error(status, __func__, "the real library refuses it");
    }
    if (maxSeqLength <= 0 || batchSize <= 0 || vectorSize <= 0 || !seqLengthArray ||
        (unsigned)layout > CUDNN_RNN_DATA_LAYOUT_BATCH_MAJOR_UNPACKED ||
        !has_lengths(layout, maxSeqLength, batchSize, seqLengthArray))
        return dnn_error(CUDNN_STATUS_BAD_PARAM, __func__, "sizes %d %d %d or the lengths",
                         maxSeqLength, batchSize, vectorSize);
    if (dnn_type_bytes(dataType) == 0)
        return dnn_error(CUDNN_STATUS_NOT_SUPPORTED, __func__, "the stand-in is without type %d",
                         dataType);
    rnnDataDesc->is_set = true;
    rnnDataDesc->type = dataType;
    rnnDataDesc->layout = layout;
    rnnDataDesc->max_length = maxSeqLength;
    rnnDataDesc->batch = batchSize;
    rnnDataDesc->vector_size = vectorSize;
    rnnDataDesc->lengths.assign(seqLengthArray, seqLengthArray + batchSize);
    rnnDataDesc->has_fill = paddingFill != NULL;
    rnnDataDesc->fill = read_fill(dataType, paddingFill);
    return CUDNN_STATUS_SUCCESS;
}

/* FMA only asks for f32 as it is; every other mode lets tensor cores round f32 to TF32. */
static enum standin_rounding rounding_of(cudnnRNNDescriptor_t rnn)
{
    return rnn->type == CUDNN_DATA_FLOAT && rnn->math != CUDNN_FMA_MATH ? STANDIN_ROUNDING_TF32
                                                                        : STANDIN_ROUNDING_NONE;
}

struct lstm_shape dnn_shape(cudnnRNNDescriptor_t rnn)
{
    struct lstm_shape shape = {};
    shape.type = rnn->type == CUDNN_DATA_FLOAT ? CUDA_R_32F : CUDA_R_16BF;
    shape.rounding = rounding_of(rnn);
    shape.input = rnn->input_size;
    shape.hidden = rnn->hidden_size;
    shape.proj = rnn->proj_size;
    shape.layers = rnn->n_layers;
    shape.directions = rnn->direction == CUDNN_BIDIRECTIONAL ? 2 : 1;
    shape.has_input_bias =
        rnn->bias == CUDNN_RNN_DOUBLE_BIAS || rnn->bias == CUDNN_RNN_SINGLE_INP_BIAS;
    shape.has_recurrent_bias =
        rnn->bias == CUDNN_RNN_DOUBLE_BIAS || rnn->bias == CUDNN_RNN_SINGLE_REC_BIAS;
    return shape;
}

struct lstm_shape dnn_shape_of(cudnnRNNDescriptor_t rnn, cudnnRNNDataDescriptor_t data)
{
    struct lstm_shape shape = dnn_shape(rnn);
    shape.layout = data->layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED     ? LSTM_PACKED
                   : data->layout == CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_UNPACKED ? LSTM_TIME_MAJOR
                                                                              : LSTM_BATCH_MAJOR;
    shape.T = data->max_length;
    shape.B = data->batch;
    return shape;
}
