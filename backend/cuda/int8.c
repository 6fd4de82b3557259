/* Products with weights in int8: rounding the rows, then the integers. */
#include "backend/cuda/int8.h"

#include "backend/cuda/kernels.h"
#include "backend/cuda/weight.h"
#include "backend/quantize.h"

_Static_assert((int)INT8_COLUMNS == (int)QUANTIZED_COLUMNS &&
                   (int)INT8_INPUTS == (int)QUANTIZED_INPUTS &&
                   (int)INT8_MAX_STEP == (int)QUANTIZED_MAX && QUANTIZED_DEPTH == 4,
               "kernels.h has other sizes");

/* What is multiplied: all of y, by the matrices that `operands` names. */
struct call {
    float *y;
    struct int8_operands operands;
    struct int8_shape shape;
    struct int8_rule rule;
    int32_t *lists; /* [2E + 1] on the device, for part of the groups; NULL where there are none */
};

static int64_t padded(size_t bytes)
{
    return ((int64_t)bytes + 255) / 256 * 256;
}

/* Rounds x into the scratch and fills in all of the call but the matrices. */
static bool prepare(struct backend *backend, struct call *call, const struct tensor *y,
                    const struct tensor *x, const struct weight *weight, bool transposed,
                    const struct tensor *bias, int64_t n_lists)
{
    const struct tensor *value = &weight->value;
    const int64_t in = value->dim[value->rank - (transposed ? 1 : 2)], rows = tensor_rows(x);
    const int64_t out = value->dim[value->rank - (transposed ? 2 : 1)];
    CHECK(weight->packed, "a weight in int8 is not packed");
    CHECK(tensor_columns(x) == in && tensor_columns(y) == out && tensor_rows(y) == rows,
          "int8 product [%lld, %lld] of %lld rows", (long long)in, (long long)out, (long long)rows);
    const int64_t q_bytes = padded((size_t)(rows * quantized_inputs(in)));
    const int64_t scale_bytes = padded((size_t)rows * sizeof(float));
    char *scratch = context_scratch(backend, (size_t)(q_bytes + scale_bytes) +
                                                 (size_t)n_lists * sizeof(int32_t));
    if (!scratch)
        return false;
    float *row_scales = (float *)(void *)(scratch + q_bytes);
    call->y = floats(y);
    call->operands.q = (const int32_t *)(void *)scratch;
    call->operands.row_scales = row_scales;
    call->operands.scales = weight->scales.data;
    call->operands.bias = bias ? floats(bias) : NULL;
    call->shape = (struct int8_shape){rows, in, out, 1};
    call->lists = n_lists ? (int32_t *)(void *)(scratch + q_bytes + scale_bytes) : NULL;
    context_check(backend,
                  launch_int8_round_rows(context_of(backend)->stream, scratch, row_scales,
                                         floats(x), rows, in),
                  "int8 product");
    return backend->error == STATUS_OK;
}

static void run(struct backend *backend, const struct call *call)
{
    context_check(backend,
                  launch_int8_linear(context_of(backend)->stream, call->y, call->operands,
                                     call->shape, call->rule),
                  "int8 product");
}

void int8_linear(struct backend *backend, const struct tensor *y, const struct tensor *x,
                 const struct weight *weight, bool transposed, const struct tensor *bias,
                 enum activation activation, bool accumulate)
{
    struct call call = {.rule = {(int)activation, accumulate}};
    if (!prepare(backend, &call, y, x, weight, transposed, bias, 0))
        return;
    call.operands.blocks = ((const struct packed_weight *)weight->packed)->blocks;
    run(backend, &call);
}

/* -- groups -- */

/* The product of groups first .. last - 1 alone, whose matrices lie in slots. */
static void run_part(struct backend *backend, const struct call *whole, struct slots *slots,
                     const int32_t *starts, int64_t first, int64_t last)
{
    struct call part = *whole;
    const int64_t row = starts[first], out = whole->shape.out;
    int32_t *const part_slots = whole->lists, *const part_starts = whole->lists + (last - first);
    part.y += row * out;
    part.operands.q += row * quantized_inputs(whole->shape.in) / (int64_t)sizeof(int32_t);
    part.operands.row_scales += row;
    part.operands.scales += first * out;
    if (part.operands.bias)
        part.operands.bias += first * out;
    part.operands.blocks = slots_memory(slots);
    part.operands.slots = part_slots;
    part.operands.offsets = part_starts;
    part.shape.rows = starts[last] - row;
    part.shape.n_groups = last - first;
    const size_t bytes = (size_t)(last - first) * sizeof(int32_t);
    context_upload(backend, part_slots, slots_of(slots) + first, bytes);
    context_upload(backend, part_starts, slots_starts(slots, starts, first, last),
                   bytes + sizeof(int32_t));
    if (backend->error == STATUS_OK)
        run(backend, &part);
}

/* As many groups at a time as have slots. */
static void run_parts(struct backend *backend, const struct call *call, struct slots *slots,
                      const struct tensor *offsets)
{
    const int32_t *starts = context_offsets(backend, offsets);
    for (int64_t e = 0; e < call->shape.n_groups && backend->error == STATUS_OK;) {
        const int64_t end = slots_bring(backend, slots, starts, e);
        if (backend->error == STATUS_OK)
            run_part(backend, call, slots, starts, e, end);
        e = end;
    }
}

void int8_grouped_linear(struct backend *backend, const struct tensor *y, const struct tensor *x,
                         const struct weight *weight, bool transposed, const struct tensor *bias,
                         const struct tensor *offsets, enum activation activation)
{
    struct call call = {.rule = {(int)activation, false}};
    const int64_t n_groups = tensor_count(offsets) - 1;
    if (!prepare(backend, &call, y, x, weight, transposed, bias, 2 * n_groups + 1))
        return;
    struct slots *slots = ((const struct packed_weight *)weight->packed)->slots;
    call.shape.n_groups = n_groups;
    call.operands.offsets = ints(offsets);
    call.operands.blocks = slots_begin(backend, slots);
    if (backend->error == STATUS_OK && call.operands.blocks)
        run(backend, &call);
    else if (backend->error == STATUS_OK)
        run_parts(backend, &call, slots, offsets);
    slots_end(backend, slots);
}
