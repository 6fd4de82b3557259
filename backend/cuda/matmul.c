/* Products and their gradients. In bf16 operands that are no weights are rounded into the scratch
 * on their way; sums are f32. */
#include <stdlib.h>

#include "backend/cuda/int8.h"
#include "backend/cuda/kernels.h"
#include "backend/cuda/product.h"
#include "backend/cuda/weight.h"

/* -- operands -- */

static const struct packed_weight *packed_of(const struct weight *weight)
{
    return weight->packed;
}

/* In bf16 where the weight has a copy of it. */
static bool reads_bf16(const struct weight *weight)
{
    return packed_of(weight) && packed_of(weight)->bf16;
}

static bool is_exact(const struct weight *weight)
{
    return packed_of(weight) && packed_of(weight)->is_exact;
}

static const void *matrix_of(const struct weight *weight)
{
    return reads_bf16(weight) ? packed_of(weight)->bf16 : (const void *)floats(&weight->value);
}

/* Bytes of a tensor in bf16, so padded that another may follow. */
static size_t bf16_bytes(const struct tensor *tensor)
{
    return ((size_t)tensor_count(tensor) * 2 + 255) / 256 * 256;
}

/* The tensor's numbers in bf16, written to `room`; or, without room, themselves. */
static const void *rounded(struct backend *backend, const struct tensor *tensor, void *room)
{
    if (!room)
        return floats(tensor);
    context_check(
        backend,
        launch_to_bf16(context_of(backend)->stream, room, floats(tensor), tensor_count(tensor)),
        "rounding to bf16");
    return room;
}

static void check_shapes(const struct tensor *y, const struct tensor *x,
                         const struct weight *weight, bool transposed, const struct tensor *bias,
                         int rank)
{
    const struct tensor *w = &weight->value;
    CHECK(w->rank == rank && weight->is_packed[transposed], "weight of rank %d, packed %d %d",
          w->rank, weight->is_packed[0], weight->is_packed[1]);
    const int64_t in = w->dim[rank - 2], out = w->dim[rank - 1];
    CHECK(tensor_columns(x) == (transposed ? out : in) &&
              tensor_columns(y) == (transposed ? in : out) && tensor_rows(x) == tensor_rows(y),
          "[%lld, %lld] x [%lld, %lld] to [%lld, %lld]", (long long)tensor_rows(x),
          (long long)tensor_columns(x), (long long)in, (long long)out, (long long)tensor_rows(y),
          (long long)tensor_columns(y));
    CHECK(!bias || tensor_columns(bias) == tensor_columns(y), "bias of %lld",
          (long long)tensor_columns(bias));
}

/* -- linear -- */

/* y = act(y + bias), each as wanted. */
static void finish(struct backend *backend, const struct tensor *y, const struct tensor *bias,
                   const struct tensor *offsets, enum activation activation)
{
    if (!bias && activation == ACTIVATION_NONE)
        return;
    context_check(backend,
                  launch_bias_activation(context_of(backend)->stream, floats(y),
                                         floats_or_null(bias), ints_or_null(offsets),
                                         offsets ? tensor_count(offsets) - 1 : 1, tensor_rows(y),
                                         tensor_columns(y), (int)activation),
                  "bias and activation");
}

/* y [N, out] = x W, or with W^T: a product of x with a weight of rank 2. */
static struct product product_of(const struct tensor *y, const void *x, const struct tensor *w,
                                 const void *matrix, bool transposed)
{
    const int64_t in = w->dim[w->rank - 2], out = w->dim[w->rank - 1];
    const int64_t n = transposed ? in : out, k = transposed ? out : in;
    return (struct product){.m = tensor_rows(y),
                            .n = n,
                            .k = k,
                            .a = {.data = x, .step = k},
                            .b = {.data = matrix, .step = out, .is_transposed = transposed},
                            .c = floats(y),
                            .c_step = n};
}

/* Room for x in bf16; NULL where it is read as it is, and after an error. */
static void *room_for(struct backend *backend, const struct weight *weight, const struct tensor *x)
{
    return reads_bf16(weight) ? context_scratch(backend, bf16_bytes(x)) : NULL;
}

static void cuda_linear(struct backend *backend, const struct tensor *y, const struct tensor *x,
                        const struct weight *weight, bool transposed, const struct tensor *bias,
                        enum activation activation, bool accumulate)
{
    check_shapes(y, x, weight, transposed, bias, 2);
    CHECK(!accumulate || activation == ACTIVATION_NONE, "an activation of a sum");
    if (tensor_count(y) == 0 || !context_enter_reals(backend))
        return;
    if (weight->blocks.rank) {
        int8_linear(backend, y, x, weight, transposed, bias, activation, accumulate);
        return;
    }
    const void *numbers = rounded(backend, x, room_for(backend, weight, x));
    if (backend->error != STATUS_OK)
        return;
    struct product product = product_of(y, numbers, &weight->value, matrix_of(weight), transposed);
    product.accumulate = accumulate;
    product.is_bf16 = reads_bf16(weight);
    product.is_exact = is_exact(weight);
    const bool is_relu = activation == ACTIVATION_RELU;
    if (bias && (is_relu || activation == ACTIVATION_NONE) &&
        product_run_biased(backend, &product, floats(bias), is_relu))
        return;
    product_run(backend, &product);
    finish(backend, y, bias, NULL, activation);
}

/* -- by groups -- */

/* As many groups at a time as have slots. */
static void run_parts(struct backend *backend, struct grouped_product *grouped, struct slots *slots)
{
    const int64_t n_groups = grouped->n_groups;
    grouped->one.b.data = slots_memory(slots);
    grouped->places = slots_of(slots);
    for (int64_t e = 0; e < n_groups && backend->error == STATUS_OK; e = grouped->n_groups) {
        grouped->first = e;
        grouped->n_groups = slots_bring(backend, slots, grouped->rows, e);
        product_run_grouped(backend, grouped);
    }
}

/* With matrices that stay on the host. */
static void run_slots(struct backend *backend, struct grouped_product *grouped, struct slots *slots)
{
    grouped->one.b.data = slots_begin(backend, slots);
    if (backend->error == STATUS_OK && grouped->one.b.data)
        product_run_grouped(backend, grouped);
    else if (backend->error == STATUS_OK)
        run_parts(backend, grouped, slots);
    slots_end(backend, slots);
}

static void cuda_grouped_linear(struct backend *backend, const struct tensor *y,
                                const struct tensor *x, const struct weight *weight,
                                bool transposed, const struct tensor *bias,
                                const struct tensor *offsets, enum activation activation)
{
    const struct tensor *value = &weight->value;
    check_shapes(y, x, weight, transposed, bias, 3);
    CHECK(tensor_count(offsets) == value->dim[0] + 1, "%lld groups of rows for %lld weights",
          (long long)tensor_count(offsets) - 1, (long long)value->dim[0]);
    if (tensor_count(y) == 0 || !context_enter_reals(backend))
        return;
    if (weight->blocks.rank) {
        int8_grouped_linear(backend, y, x, weight, transposed, bias, offsets, activation);
        return;
    }
    const int32_t *rows = context_offsets(backend, offsets);
    const void *numbers = rows ? rounded(backend, x, room_for(backend, weight, x)) : NULL;
    if (backend->error != STATUS_OK)
        return;
    struct grouped_product grouped = {
        .one = product_of(y, numbers, value, matrix_of(weight), transposed),
        .rows = rows,
        .n_groups = value->dim[0],
        .b_group_step = value->dim[1] * value->dim[2]};
    grouped.one.is_bf16 = reads_bf16(weight);
    grouped.one.is_exact = is_exact(weight);
    if (weight->host)
        run_slots(backend, &grouped, packed_of(weight)->slots);
    else
        product_run_grouped(backend, &grouped);
    finish(backend, y, bias, offsets, activation);
}

/* -- gradients -- */

/* x and d_y as products of gradients read them. */
struct operands {
    const void *x, *d_y;
    bool is_bf16;
};

static struct operands read_operands(struct backend *backend, const struct tensor *x,
                                     const struct tensor *d_y)
{
    char *room = NULL;
    const bool is_bf16 = backend->compute == COMPUTE_BF16;
    if (is_bf16)
        room = context_scratch(backend, bf16_bytes(x) + bf16_bytes(d_y));
    if (backend->error != STATUS_OK)
        return (struct operands){0};
    return (struct operands){.x = rounded(backend, x, room),
                             .d_y = rounded(backend, d_y, room ? room + bf16_bytes(x) : NULL),
                             .is_bf16 = is_bf16};
}

/* d_weight [in, out] += x^T d_y. */
static struct product gradient_of(const struct tensor *d_weight, const struct operands *operands,
                                  int64_t in, int64_t out, int64_t rows)
{
    return (struct product){.m = in,
                            .n = out,
                            .k = rows,
                            .a = {.data = operands->x, .step = in, .is_transposed = true},
                            .b = {.data = operands->d_y, .step = out},
                            .c = floats(d_weight),
                            .c_step = out,
                            .accumulate = true,
                            .is_bf16 = operands->is_bf16};
}

static void add_column_sums(struct backend *backend, const struct tensor *sum,
                            const struct tensor *x)
{
    const int64_t rows = tensor_rows(x), columns = tensor_columns(x);
    float *scratch = context_scratch(backend, column_sums_scratch(rows, columns));
    if (scratch)
        context_check(backend,
                      launch_column_sums(context_of(backend)->stream, floats(sum), scratch,
                                         floats(x), rows, columns),
                      "column sums");
}

static void cuda_linear_gradient(struct backend *backend, const struct tensor *d_weight,
                                 const struct tensor *d_bias, const struct tensor *x,
                                 const struct tensor *d_y)
{
    const int64_t in = tensor_columns(x), out = tensor_columns(d_y), rows = tensor_rows(x);
    CHECK(d_weight->rank == 2 && d_weight->dim[0] == in && d_weight->dim[1] == out &&
              tensor_rows(d_y) == rows && (!d_bias || tensor_count(d_bias) == out),
          "gradient [%lld, %lld] from %lld and %lld rows", (long long)in, (long long)out,
          (long long)rows, (long long)tensor_rows(d_y));
    if (rows == 0 || !context_enter_reals(backend))
        return;
    const struct operands operands = read_operands(backend, x, d_y);
    if (backend->error != STATUS_OK)
        return;
    const struct product product = gradient_of(d_weight, &operands, in, out, rows);
    product_run(backend, &product);
    if (d_bias)
        add_column_sums(backend, d_bias, d_y);
}

static void add_grouped_products(struct backend *backend, const struct tensor *d_weight,
                                 const struct tensor *x, const struct tensor *d_y,
                                 const struct tensor *offsets)
{
    const int64_t in = d_weight->dim[1], out = d_weight->dim[2];
    const int32_t *rows = context_offsets(backend, offsets);
    const struct operands operands = read_operands(backend, x, d_y);
    if (backend->error != STATUS_OK)
        return;
    const struct grouped_product grouped = {.one = gradient_of(d_weight, &operands, in, out, 0),
                                            .rows = rows,
                                            .n_groups = d_weight->dim[0],
                                            .is_k_grouped = true,
                                            .c_group_step = in * out};
    product_run_grouped(backend, &grouped);
}

static void cuda_grouped_linear_gradient(struct backend *backend, const struct tensor *d_weight,
                                         const struct tensor *d_bias, const struct tensor *x,
                                         const struct tensor *d_y, const struct tensor *offsets)
{
    const int64_t in = tensor_columns(x), out = tensor_columns(d_y), n_rows = tensor_rows(x);
    const int64_t n_groups = tensor_count(offsets) - 1;
    CHECK((!d_weight || (d_weight->rank == 3 && d_weight->dim[0] == n_groups &&
                         d_weight->dim[1] == in && d_weight->dim[2] == out)) &&
              tensor_rows(d_y) == n_rows && (!d_bias || tensor_count(d_bias) == n_groups * out),
          "gradients [%lld, %lld, %lld]", (long long)n_groups, (long long)in, (long long)out);
    if (n_rows == 0 || !context_enter_reals(backend))
        return;
    if (d_weight)
        add_grouped_products(backend, d_weight, x, d_y, offsets);
    if (d_bias && backend->error == STATUS_OK)
        context_check(backend,
                      launch_grouped_column_sums(context_of(backend)->stream, floats(d_bias),
                                                 floats(d_y), ints(offsets), n_groups, out),
                      "column sums");
}

/* -- one product for each sentence -- */

static void cuda_batch_matmul(struct backend *backend, const struct tensor *c,
                              const struct tensor *a, bool transpose_a, const struct tensor *b,
                              bool transpose_b, bool accumulate)
{
    const int64_t n_i = c->dim[0], n_b = c->dim[1], n_j = c->dim[2];
    const int64_t n_k = a->dim[transpose_a ? 0 : 2];
    const int64_t a_width = transpose_a ? n_i : n_k, b_width = transpose_b ? n_k : n_j;
    CHECK(c->rank == 3 && a->rank == 3 && b->rank == 3 && a->dim[1] == n_b && b->dim[1] == n_b &&
              a->dim[transpose_a ? 2 : 0] == n_i && b->dim[transpose_b ? 0 : 2] == n_j &&
              b->dim[transpose_b ? 2 : 0] == n_k,
          "products of %lld sentences, [%lld, %lld, %lld]", (long long)n_b, (long long)n_i,
          (long long)n_k, (long long)n_j);
    if (tensor_count(c) == 0 || !context_enter_reals(backend))
        return;
    const struct product product = {.m = n_i,
                                    .n = n_j,
                                    .k = n_k,
                                    .a = {floats(a), n_b * a_width, a_width, transpose_a},
                                    .b = {floats(b), n_b * b_width, b_width, transpose_b},
                                    .c = floats(c),
                                    .c_step = n_b * n_j,
                                    .c_batch_step = n_j,
                                    .n_batches = n_b,
                                    .accumulate = accumulate};
    product_run(backend, &product);
}

void cuda_set_matmul(struct backend_ops *ops)
{
    ops->linear = cuda_linear;
    ops->grouped_linear = cuda_grouped_linear;
    ops->linear_gradient = cuda_linear_gradient;
    ops->grouped_linear_gradient = cuda_grouped_linear_gradient;
    ops->batch_matmul = cuda_batch_matmul;
}
