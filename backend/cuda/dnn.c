/* cuDNN's LSTM: its descriptions, its weights, and its three calls. */
#include "backend/cuda/dnn.h"

#include <stdlib.h>

#include "backend/cuda/kernels.h"

/* Calls a function of cuDNN's unless there is an error already; a failure becomes the backend's. */
#define CALL(backend, function, ...)                                                               \
    ((backend)->error == STATUS_OK ? context_check_dnn(backend, function(__VA_ARGS__), #function)  \
                                   : (void)0)

/* -- the handle's part -- */

bool dnn_open(struct backend *backend)
{
    struct dnn *dnn = &context_of(backend)->dnn;
    CALL(backend, cudnnCreate, &dnn->handle);
    CALL(backend, cudnnSetStream, dnn->handle, context_of(backend)->stream);
    CALL(backend, cudnnCreateRNNDescriptor, &dnn->network);
    CALL(backend, cudnnCreateRNNDataDescriptor, &dnn->x);
    CALL(backend, cudnnCreateRNNDataDescriptor, &dnn->y);
    CALL(backend, cudnnCreateTensorDescriptor, &dnn->h);
    CALL(backend, cudnnCreateTensorDescriptor, &dnn->c);
    CALL(backend, cudnnCreateTensorDescriptor, &dnn->matrix);
    CALL(backend, cudnnCreateTensorDescriptor, &dnn->bias);
    return backend->error == STATUS_OK;
}

/* What was not created is NULL, which may be destroyed. */
void dnn_close(struct context *context)
{
    struct dnn *dnn = &context->dnn;
    (void)cudnnDestroyTensorDescriptor(dnn->bias);
    (void)cudnnDestroyTensorDescriptor(dnn->matrix);
    (void)cudnnDestroyTensorDescriptor(dnn->c);
    (void)cudnnDestroyTensorDescriptor(dnn->h);
    (void)cudnnDestroyRNNDataDescriptor(dnn->y);
    (void)cudnnDestroyRNNDataDescriptor(dnn->x);
    (void)cudnnDestroyRNNDescriptor(dnn->network);
    if (dnn->handle)
        (void)cudnnDestroy(dnn->handle);
    free(dnn->lengths);
    *dnn = (struct dnn){0};
}

/* -- describing a layer -- */

/* n_b times n_t, for cuDNN's descriptions of data. NULL without memory. */
static const int *equal_lengths(struct backend *backend, struct lstm_shape s)
{
    struct dnn *dnn = &context_of(backend)->dnn;
    if (s.n_b > dnn->n_lengths) {
        int *lengths = realloc(dnn->lengths, (size_t)s.n_b * sizeof *lengths);
        if (!lengths) {
            backend_fail(backend, "no memory for %lld lengths", (long long)s.n_b);
            return NULL;
        }
        dnn->lengths = lengths;
        dnn->n_lengths = s.n_b;
    }
    for (int64_t b = 0; b < s.n_b; b++)
        dnn->lengths[b] = (int)s.n_t;
    return dnn->lengths;
}

static void describe_data(struct backend *backend, cudnnRNNDataDescriptor_t data,
                          struct lstm_shape s, int64_t width, const int *lengths)
{
    CALL(backend, cudnnSetRNNDataDescriptor, data, CUDNN_DATA_FLOAT,
         CUDNN_RNN_DATA_LAYOUT_SEQ_MAJOR_PACKED, (int)s.n_t, (int)s.n_b, (int)width, lengths, NULL);
}

static void describe_state(struct backend *backend, cudnnTensorDescriptor_t state,
                           struct lstm_shape s, int64_t width)
{
    const int dims[] = {1, (int)s.n_b, (int)width};
    const int steps[] = {(int)(s.n_b * width), (int)width, 1};
    CALL(backend, cudnnSetTensorNdDescriptor, state, CUDNN_DATA_FLOAT, 3, dims, steps);
}

/* Where products may round their operands they are rounded to TF32, in bf16 too: cuDNN's bf16 would
 * round cells and gradients as well. */
static void describe_network(struct backend *backend, struct lstm_shape s)
{
    const cudnnMathType_t math =
        backend->compute == COMPUTE_F32 ? CUDNN_FMA_MATH : CUDNN_DEFAULT_MATH;
    CALL(backend, cudnnSetRNNDescriptor_v8, context_of(backend)->dnn.network,
         CUDNN_RNN_ALGO_STANDARD, CUDNN_LSTM, CUDNN_RNN_SINGLE_INP_BIAS, CUDNN_UNIDIRECTIONAL,
         CUDNN_LINEAR_INPUT, CUDNN_DATA_FLOAT, CUDNN_DATA_FLOAT, math, (int32_t)s.n_i,
         (int32_t)s.n_h, (int32_t)s.n_p, 1, NULL, CUDNN_RNN_PADDED_IO_DISABLED);
}

/* Weights in int8 are not cuDNN's. It projects to fewer numbers than there are cells only, and as
 * many are no projection to it. States before sentences of different lengths are met by some of
 * them only in a reversed layer. */
static bool is_for_dnn(struct lstm_shape s, const struct lstm *lstm)
{
    return s.n_t * s.n_b > 0 && lstm->input->blocks.rank == 0 &&
           (!lstm->projection || s.n_p < s.n_h) &&
           (lstm->lengths.rank == 0 || lstm->first_r.rank + lstm->first_c.rank == 0);
}

bool dnn_describe(struct backend *backend, struct dnn_layer *layer, struct lstm_shape s,
                  const struct lstm *lstm)
{
    const struct dnn *dnn = &context_of(backend)->dnn;
    *layer =
        (struct dnn_layer){.shape = s, .keeps_output = lstm->reversed || lstm->lengths.rank != 0};
    if (!is_for_dnn(s, lstm) || !context_enter_reals(backend))
        return false;
    describe_network(backend, s);
    const int *lengths = equal_lengths(backend, s);
    describe_data(backend, dnn->x, s, s.n_i, lengths);
    describe_data(backend, dnn->y, s, s.n_p, lengths);
    describe_state(backend, dnn->h, s, s.n_p);
    describe_state(backend, dnn->c, s, s.n_h);
    CALL(backend, cudnnGetRNNWeightSpaceSize, dnn->handle, dnn->network, &layer->weight_bytes);
    CALL(backend, cudnnGetRNNTempSpaceSizes, dnn->handle, dnn->network, CUDNN_FWD_MODE_TRAINING,
         dnn->x, &layer->work_bytes, &layer->reserve_bytes);
    return backend->error == STATUS_OK;
}

/* -- memory -- */

/* So padded that something else may follow. */
static size_t padded(size_t size_bytes)
{
    return (size_bytes + ARENA_SOURCE_ALIGNMENT - 1) / ARENA_SOURCE_ALIGNMENT *
           ARENA_SOURCE_ALIGNMENT;
}

/* Bytes of [T, B, width], or of [B, width]. */
static size_t sequence_bytes(struct lstm_shape s, int64_t width)
{
    return padded((size_t)(s.n_t * s.n_b * width) * sizeof(float));
}

static size_t state_bytes(struct lstm_shape s, int64_t width)
{
    return padded((size_t)(s.n_b * width) * sizeof(float));
}

size_t dnn_room_bytes(const struct dnn_layer *layer)
{
    return padded(layer->reserve_bytes) + padded(layer->weight_bytes) +
           (layer->keeps_output ? sequence_bytes(layer->shape, layer->shape.n_p) : 0);
}

/* What a forward pass leaves in the room. */
struct kept {
    void *reserve, *weights;
    float *y;
};

static struct kept kept_in(const struct dnn_layer *layer, const struct tensor *r,
                           const struct lstm *lstm)
{
    char *room = (char *)floats(&lstm->room), *weights = room + padded(layer->reserve_bytes);
    CHECK((size_t)tensor_count(&lstm->room) * sizeof(float) >= dnn_room_bytes(layer),
          "room of %lld numbers", (long long)tensor_count(&lstm->room));
    float *y = (float *)(weights + padded(layer->weight_bytes));
    return (struct kept){room, weights, layer->keeps_output ? y : floats(r)};
}

/* The next piece of a scratch; NULL if it is not wanted. */
static void *take(char **scratch, size_t size_bytes, bool is_wanted)
{
    void *piece = is_wanted ? *scratch : NULL;
    *scratch += is_wanted ? size_bytes : 0;
    return piece;
}

/* -- weights -- */

/* The layer's parameters, or their gradients. */
struct parameters {
    const struct tensor *input, *recurrent, *projection; /* projection may be NULL */
    const struct tensor *bias;
};

/* cuDNN's matrices: of the input by gates, 0 to 3, of the recurrent state by gates, and the
 * projection. Its gates stand in our order: i f g o. */
enum { GATES = 4, PROJECTION = 8 };

/* Our part of matrix `id`: rows numbers of columns, step apart. cuDNN has it transposed. */
struct part {
    float *data;
    int64_t rows, columns, step;
};

static struct part part_of(const struct parameters *parameters, int id, struct lstm_shape s)
{
    if (id == PROJECTION)
        return (struct part){floats(parameters->projection), s.n_h, s.n_p, s.n_p};
    const struct tensor *all = id < GATES ? parameters->input : parameters->recurrent;
    return (struct part){floats(all) + id % GATES * s.n_h, all->dim[0], s.n_h, 4 * s.n_h};
}

/* Where cuDNN has matrix `id` in a space, and, for ids below GATES, that gate's bias. */
static void find_matrix(struct backend *backend, const struct dnn_layer *layer, void *space, int id,
                        const struct part *part, float **matrix, float **bias)
{
    const struct dnn *dnn = &context_of(backend)->dnn;
    void *matrix_address = NULL, *bias_address = NULL;
    cudnnDataType_t type;
    int rank = 0, dims[3] = {0}, steps[3];
    CALL(backend, cudnnGetRNNWeightParams, dnn->handle, dnn->network, 0, layer->weight_bytes, space,
         id, dnn->matrix, &matrix_address, dnn->bias, &bias_address);
    CALL(backend, cudnnGetTensorNdDescriptor, dnn->matrix, 3, &type, &rank, dims, steps);
    *matrix = matrix_address;
    *bias = bias_address;
    if (rank != 3 || dims[1] != part->columns || dims[2] != part->rows || !*matrix ||
        (id < GATES && !*bias))
        backend_fail(backend, "cuDNN's matrix %d of an LSTM is [%d, %d] instead of [%lld, %lld]",
                     id, dims[1], dims[2], (long long)part->columns, (long long)part->rows);
}

/* Copies parameters to cuDNN's places, or adds to gradients what stands in these. */
static void move_weights(struct backend *backend, const struct dnn_layer *layer, void *space,
                         const struct parameters *parameters, bool is_gradient)
{
    cudaStream_t stream = context_of(backend)->stream;
    const struct lstm_shape s = layer->shape;
    const int n_matrices = parameters->projection ? PROJECTION + 1 : PROJECTION;
    for (int id = 0; id < n_matrices && backend->error == STATUS_OK; id++) {
        const struct part part = part_of(parameters, id, s);
        float *matrix, *bias;
        find_matrix(backend, layer, space, id, &part, &matrix, &bias);
        if (backend->error != STATUS_OK)
            return;
        context_check(backend,
                      is_gradient ? launch_transpose(stream, part.data, part.step, matrix,
                                                     part.rows, part.columns, part.rows, true)
                                  : launch_transpose(stream, matrix, part.rows, part.data,
                                                     part.step, part.rows, part.columns, false),
                      "weights of an LSTM");
        float *ours = floats(parameters->bias) + id * s.n_h;
        if (id < GATES)
            context_check(backend,
                          is_gradient ? launch_copy_rows(stream, ours, 0, bias, 0, 1, s.n_h, true)
                                      : launch_copy_rows(stream, bias, 0, ours, 0, 1, s.n_h, false),
                          "bias of an LSTM");
    }
}

/* -- forward -- */

static void reverse(struct backend *backend, float *y, const float *x, const struct lstm *lstm,
                    struct lstm_shape s, int64_t width)
{
    context_check(backend,
                  launch_reverse(context_of(backend)->stream, y, x, ints_or_null(&lstm->lengths),
                                 s.n_t, s.n_b, width, false),
                  "reversed sentences");
}

static void clear_behind(struct backend *backend, float *x, const struct lstm *lstm,
                         struct lstm_shape s, int64_t width)
{
    if (lstm->lengths.rank)
        context_check(backend,
                      launch_fill_behind(context_of(backend)->stream, x, ints(&lstm->lengths),
                                         s.n_t, s.n_b, width, 0),
                      "ends of sentences");
}

static void copy(struct backend *backend, float *y, const float *x, int64_t count)
{
    context_check(backend,
                  cudaMemcpyAsync(y, x, (size_t)count * sizeof *y, cudaMemcpyDeviceToDevice,
                                  context_of(backend)->stream),
                  "copy");
}

/* r from cuDNN's y. */
static void finish_output(struct backend *backend, const struct tensor *r, const float *y,
                          const struct lstm *lstm, struct lstm_shape s)
{
    if (lstm->reversed) {
        reverse(backend, floats(r), y, lstm, s, s.n_p);
    } else if (lstm->lengths.rank) {
        copy(backend, floats(r), y, tensor_count(r));
        clear_behind(backend, floats(r), lstm, s, s.n_p);
    }
}

void dnn_forward(struct backend *backend, const struct dnn_layer *layer, const struct tensor *r,
                 const struct tensor *x, const struct lstm *lstm)
{
    const struct dnn *dnn = &context_of(backend)->dnn;
    const struct lstm_shape s = layer->shape;
    const struct kept kept = kept_in(layer, r, lstm);
    const struct parameters parameters = {&lstm->input->value, &lstm->recurrent->value,
                                          lstm->projection ? &lstm->projection->value : NULL,
                                          &lstm->bias};
    const size_t input_bytes = lstm->reversed ? sequence_bytes(s, s.n_i) : 0;
    char *scratch = context_scratch(backend, padded(layer->work_bytes) + input_bytes);
    if (!scratch)
        return;
    void *work = take(&scratch, padded(layer->work_bytes), true);
    const float *input = floats(x);
    if (lstm->reversed) {
        input = (const float *)scratch;
        reverse(backend, (float *)scratch, floats(x), lstm, s, s.n_i);
    }
    move_weights(backend, layer, kept.weights, &parameters, false);
    CALL(backend, cudnnRNNForward, dnn->handle, dnn->network, CUDNN_FWD_MODE_TRAINING, NULL, dnn->x,
         input, dnn->y, kept.y, dnn->h, floats_or_null(&lstm->first_r), NULL, dnn->c,
         floats_or_null(&lstm->first_c), NULL, layer->weight_bytes, kept.weights, layer->work_bytes,
         work, layer->reserve_bytes, kept.reserve);
    if (backend->error == STATUS_OK)
        finish_output(backend, r, kept.y, lstm, s);
}

/* -- backward -- */

/* What the backward pass writes beside its results, and reads turned round; NULL: not needed. */
struct flow {
    void *work, *d_weights;
    float *x, *dy, *dx; /* [T, B, ..] of a reversed layer; dx also where no d_x is wanted */
    float *dhx, *dcx;   /* [B, P] and [B, H] of wanted gradients of states */
};

static bool take_flow(struct backend *backend, struct flow *flow, const struct dnn_layer *layer,
                      const struct lstm *lstm, bool wants_x, const struct lstm_gradients *gradients)
{
    const struct lstm_shape s = layer->shape;
    const size_t input = sequence_bytes(s, s.n_i), output = sequence_bytes(s, s.n_p);
    const size_t work = padded(layer->work_bytes), weights = padded(layer->weight_bytes);
    const size_t h = state_bytes(s, s.n_p), c = state_bytes(s, s.n_h);
    char *scratch = context_scratch(backend, work + weights + 2 * input + output + h + c);
    if (!scratch)
        return false;
    const bool has_weights = gradients->input.rank != 0;
    flow->work = take(&scratch, work, true);
    flow->d_weights = take(&scratch, weights, has_weights);
    flow->x = take(&scratch, input, lstm->reversed && has_weights);
    flow->dy = take(&scratch, output, lstm->reversed);
    flow->dx = take(&scratch, input, lstm->reversed || !wants_x);
    flow->dhx = take(&scratch, h, gradients->first_r.rank != 0);
    flow->dcx = take(&scratch, c, gradients->cell.rank != 0);
    return true;
}

/* Gradients of what the layer reads. */
static void backward_data(struct backend *backend, const struct dnn_layer *layer,
                          const struct tensor *d_x, const struct tensor *d_r,
                          const struct lstm *lstm, const struct lstm_gradients *gradients,
                          const struct kept *kept, const struct flow *flow)
{
    const struct dnn *dnn = &context_of(backend)->dnn;
    const struct lstm_shape s = layer->shape;
    const float *dy = lstm->reversed ? flow->dy : floats(d_r);
    if (lstm->reversed)
        reverse(backend, flow->dy, floats(d_r), lstm, s, s.n_p);
    else
        clear_behind(backend, floats(d_r), lstm, s, s.n_p);
    CALL(backend, cudnnRNNBackwardData_v8, dnn->handle, dnn->network, NULL, dnn->y, kept->y, dy,
         dnn->x, flow->dx ? flow->dx : floats(d_x), dnn->h, floats_or_null(&lstm->first_r), NULL,
         flow->dhx, dnn->c, floats_or_null(&lstm->first_c), floats_or_null(&gradients->cell),
         flow->dcx, layer->weight_bytes, kept->weights, layer->work_bytes, flow->work,
         layer->reserve_bytes, kept->reserve);
    if (backend->error != STATUS_OK)
        return;
    if (lstm->reversed && d_x)
        reverse(backend, floats(d_x), flow->dx, lstm, s, s.n_i);
    if (flow->dhx)
        context_check(backend,
                      launch_add(context_of(backend)->stream, floats(&gradients->first_r),
                                 flow->dhx, s.n_b * s.n_p, 1),
                      "gradient of a state");
    if (flow->dcx)
        copy(backend, floats(&gradients->cell), flow->dcx, s.n_b * s.n_h);
}

/* Gradients of the parameters; cuDNN can only add to them. */
static void backward_weights(struct backend *backend, const struct dnn_layer *layer,
                             const struct tensor *x, const struct lstm *lstm,
                             const struct lstm_gradients *gradients, const struct kept *kept,
                             const struct flow *flow)
{
    const struct dnn *dnn = &context_of(backend)->dnn;
    const struct parameters parameters = {&gradients->input, &gradients->recurrent,
                                          tensor_or_null(&gradients->projection), &gradients->bias};
    if (flow->x)
        reverse(backend, flow->x, floats(x), lstm, layer->shape, layer->shape.n_i);
    context_check(
        backend,
        cudaMemsetAsync(flow->d_weights, 0, layer->weight_bytes, context_of(backend)->stream),
        "gradients of an LSTM");
    CALL(backend, cudnnRNNBackwardWeights_v8, dnn->handle, dnn->network, CUDNN_WGRAD_MODE_ADD, NULL,
         dnn->x, flow->x ? flow->x : floats(x), dnn->h, floats_or_null(&lstm->first_r), dnn->y,
         kept->y, layer->weight_bytes, flow->d_weights, layer->work_bytes, flow->work,
         layer->reserve_bytes, kept->reserve);
    move_weights(backend, layer, flow->d_weights, &parameters, true);
}

void dnn_backward(struct backend *backend, const struct dnn_layer *layer, const struct tensor *d_x,
                  const struct tensor *d_r, const struct tensor *x, const struct tensor *r,
                  const struct lstm *lstm, const struct lstm_gradients *gradients)
{
    const struct kept kept = kept_in(layer, r, lstm);
    struct flow flow;
    CHECK(gradients->cell.rank + gradients->first_r.rank == 0 || lstm->lengths.rank == 0,
          "gradients of states that were not given");
    if (!take_flow(backend, &flow, layer, lstm, d_x != NULL, gradients))
        return;
    backward_data(backend, layer, d_x, d_r, lstm, gradients, &kept, &flow);
    if (backend->error == STATUS_OK && flow.d_weights)
        backward_weights(backend, layer, x, lstm, gradients, &kept, &flow);
}
