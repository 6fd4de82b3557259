/* Products with weights in int8: rounding the rows, then the integers. */
#include "backend/cuda/int8.h"

#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"
#include "backend/quantize.h"

_Static_assert((int)INT8_COLUMNS == (int)QUANTIZED_COLUMNS &&
                   (int)INT8_INPUTS == (int)QUANTIZED_INPUTS &&
                   (int)INT8_MAX_STEP == (int)QUANTIZED_MAX && QUANTIZED_DEPTH == 4,
               "kernels.h has other sizes");

void int8_linear(struct backend *backend, const struct tensor *y, const struct tensor *x,
                 const struct weight *weight, bool transposed, const struct tensor *bias,
                 const struct tensor *offsets, enum activation activation, bool accumulate)
{
    const struct tensor *value = &weight->value;
    const int64_t in = value->dim[value->rank - (transposed ? 1 : 2)], rows = tensor_rows(x);
    const int64_t out = value->dim[value->rank - (transposed ? 2 : 1)];
    CHECK(tensor_columns(x) == in && tensor_columns(y) == out && tensor_rows(y) == rows &&
              (value->rank == 3) == (offsets != NULL),
          "int8 product [%lld, %lld] of %lld rows", (long long)in, (long long)out, (long long)rows);
    const size_t q_bytes = (size_t)(rows * quantized_inputs(in));
    char *scratch = context_scratch(backend, q_bytes + (size_t)rows * sizeof(float));
    if (!scratch)
        return;
    float *row_scales = (float *)(void *)(scratch + q_bytes);
    cudaStream_t stream = context_of(backend)->stream;
    const struct int8_operands operands = {.q = (const int32_t *)(void *)scratch,
                                           .row_scales = row_scales,
                                           .blocks = weight->blocks.data,
                                           .scales = weight->scales.data,
                                           .bias = bias ? floats(bias) : NULL,
                                           .offsets = offsets ? ints(offsets) : NULL};
    const struct int8_shape shape = {rows, in, out, offsets ? tensor_count(offsets) - 1 : 1};
    const struct int8_rule rule = {(int)activation, accumulate};
    cudaError_t error = launch_int8_round_rows(stream, scratch, row_scales, floats(x), rows, in);
    if (error == cudaSuccess)
        error = launch_int8_linear(stream, floats(y), operands, shape, rule);
    context_check(backend, error, "int8 product");
}
