/* Linear layers on packed weights, their gradients, and sums of columns. */
#include "backend/cpu/matmul.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "backend/cpu/context.h"
#include "backend/cpu/int8.h"
#include "backend/cpu/plain.h"

/* Packed forms of a weight: each has a layout, and its matrices one after the other. A weight that
 * is used as it lies has neither. */
struct packed {
    struct form {
        struct gemm_layout *layout; /* owned; NULL: form not used */
        char *data;                 /* owned; NULL of a weight that is packed late */
        struct copy copy;           /* its copy, of one with a single matrix */
        struct context *reader;     /* borrowed: whose handle may read it */
    } form[2];                      /* as stored; transposed */
    atomic_bool *is_fetched;        /* [E] of very many experts in int8, owned: whether an expert's
                                       matrix was asked for; handles share it */
};

static void form_free(struct form *form)
{
    gemm_layout_close(form->layout);
    copies_drop(&form->copy);
    free(form->data);
    *form = (struct form){0};
}

/* Memory of a form's own. */
static bool form_take(struct backend *backend, struct form *form, int64_t count)
{
    if (!form->data)
        form->data =
            aligned_alloc(ARENA_ALIGNMENT, (size_t)count * gemm_layout_bytes(form->layout));
    if (!form->data)
        backend_fail(backend, "no memory to pack %lld matrices [%lld, %lld]", (long long)count,
                     (long long)gemm_layout_k(form->layout),
                     (long long)gemm_layout_n(form->layout));
    return form->data;
}

/* Makes a form current, or what there was of it forgotten. */
static bool form_pack(struct backend *backend, struct form *form, const struct tensor *w,
                      bool transposed, int forms)
{
    const int64_t count = w->rank == 3 ? w->dim[0] : 1;
    const int64_t in = w->dim[w->rank - 2], out = w->dim[w->rank - 1];
    if (!form->layout)
        form->layout = gemm_layout_open(backend, transposed ? out : in, transposed ? in : out,
                                        forms & PACK_EXACT);
    if (!form->layout)
        return false;
    copies_drop(&form->copy);
    form->reader = context_of(backend);
    if (forms & PACK_LATE) {
        free(form->data);
        form->data = NULL;
        return true;
    }
    if (!form_take(backend, form, count))
        return false;
    gemm_pack(backend, form->layout, form->data, floats(w), transposed, count);
    return true;
}

/* The packed matrix of a form of a weight with one; NULL where it fails. */
static const void *form_matrix(struct backend *backend, const struct weight *weight,
                               bool transposed)
{
    struct form *form = &((struct packed *)weight->packed)->form[transposed];
    struct copies *copies = &context_of(backend)->copies;
    if (form->data)
        return form->data;
    CHECK(form->reader == context_of(backend), "a weight that is packed late has one reader");
    if (form->copy.home)
        return copies_find(copies, &form->copy);
    void *made = copies_make(copies, &form->copy, gemm_layout_bytes(form->layout));
    if (made)
        gemm_pack(backend, form->layout, made, floats(&weight->value), transposed, 1);
    else
        backend_fail(backend, "no memory for packed weights");
    return made;
}

/* Nothing is packed of a weight in int8, which products use as it lies. */
static void pack_int8(struct backend *backend, struct weight *weight, int forms)
{
    const struct tensor *w = &weight->value;
    CHECK(forms == PACK_PLAIN || forms == PACK_TRANSPOSED,
          "a weight in int8 has one form, not those of %d", forms);
    weight->is_packed[forms == PACK_TRANSPOSED] = true;
    if (w->rank < 3 || w->dim[0] < WEIGHT_MANY || weight->packed)
        return;
    struct packed *packed = calloc(1, sizeof *packed);
    weight->packed = packed;
    if (packed)
        packed->is_fetched = calloc((size_t)w->dim[0], sizeof *packed->is_fetched);
    if (!packed || !packed->is_fetched)
        backend_fail(backend, "no memory for a list of %lld experts", (long long)w->dim[0]);
}

static void cpu_weight_pack(struct backend *backend, struct weight *weight, int forms)
{
    const struct tensor *w = &weight->value;
    CHECK(w->rank == 2 || w->rank == 3, "weight of rank %d", w->rank);
    if (!context_enter(backend))
        return;
    if (weight->blocks.rank) {
        pack_int8(backend, weight, forms);
        return;
    }
    if (!weight->packed)
        weight->packed = calloc(1, sizeof(struct packed));
    struct packed *packed = weight->packed;
    if (!packed) {
        backend_fail(backend, "no memory to pack a weight");
        return;
    }
    for (int transposed = 0; transposed < 2; transposed++) {
        if (!(forms & (transposed ? PACK_TRANSPOSED : PACK_PLAIN)))
            continue;
        weight->is_packed[transposed] =
            plain_is_better(w) ||
            form_pack(backend, &packed->form[transposed], w, transposed, forms);
    }
}

static void cpu_weight_free(struct backend *backend, struct weight *weight)
{
    (void)backend;
    struct packed *packed = weight->packed;
    if (packed) {
        form_free(&packed->form[0]);
        form_free(&packed->form[1]);
        free(packed->is_fetched);
        free(packed);
    }
    weight->packed = NULL;
    weight->is_packed[0] = weight->is_packed[1] = false;
}

static void check_product(const struct tensor *y, const struct tensor *x,
                          const struct weight *weight, bool transposed, int rank)
{
    const struct tensor *w = &weight->value;
    CHECK(w->rank == rank, "weight of rank %d", w->rank);
    const int64_t in = w->dim[rank - 2], out = w->dim[rank - 1];
    CHECK(tensor_rows(y) == tensor_rows(x) && tensor_columns(x) == (transposed ? out : in) &&
              tensor_columns(y) == (transposed ? in : out),
          "y [%lld, %lld] from x [%lld, %lld] and weight [%lld, %lld]%s", (long long)tensor_rows(y),
          (long long)tensor_columns(y), (long long)tensor_rows(x), (long long)tensor_columns(x),
          (long long)in, (long long)out, transposed ? " transposed" : "");
}

/* y = end(x W) with a weight of one matrix. */
static void multiply(struct backend *backend, float *y, const float *x, int64_t rows,
                     const struct weight *weight, bool transposed, struct gemm_end end)
{
    CHECK(weight->is_packed[transposed], "weight is not packed%s", transposed ? " transposed" : "");
    if (weight->blocks.rank) {
        int8_linear(backend, y, x, rows, weight, transposed, end);
        return;
    }
    const struct packed *packed = weight->packed;
    const void *matrix = form_matrix(backend, weight, transposed);
    if (matrix)
        gemm_rows(backend, packed->form[transposed].layout, matrix, y, x, rows, end);
}

void matmul_rows(struct backend *backend, float *y, const float *x, int64_t rows,
                 const struct weight *weight, bool transposed, const float *bias, bool accumulate)
{
    const struct gemm_end end = {bias, ACTIVATION_NONE, accumulate};
    multiply(backend, y, x, rows, weight, transposed, end);
}

static void cpu_linear(struct backend *backend, const struct tensor *y, const struct tensor *x,
                       const struct weight *weight, bool transposed, const struct tensor *bias,
                       enum activation activation, bool accumulate)
{
    CHECK(!accumulate || activation == ACTIVATION_NONE, "an activation cannot accumulate");
    if (!context_enter(backend))
        return;
    check_product(y, x, weight, transposed, 2);
    CHECK(!bias || tensor_count(bias) == tensor_columns(y), "bias of %lld numbers",
          (long long)tensor_count(bias));
    const struct gemm_end end = {bias ? floats(bias) : NULL, activation, accumulate};
    multiply(backend, floats(y), floats(x), tensor_rows(x), weight, transposed, end);
}

/* Asks for the matrices of all experts that have rows and were not asked for before: so a file that
 * is mapped is read while the first of them are multiplied, and no more of it than they are. A
 * fault at a page that nobody asked for waits, and reads what lies around it too. */
static void fetch_groups(const struct weight *weight, bool transposed, const int32_t *offsets)
{
    const struct packed *packed = weight->packed;
    for (int64_t g = 0; packed && g < weight->value.dim[0]; g++)
        if (offsets[g + 1] > offsets[g] &&
            !atomic_load_explicit(&packed->is_fetched[g], memory_order_relaxed)) {
            atomic_store_explicit(&packed->is_fetched[g], true, memory_order_relaxed);
            const struct int8_matrix matrix = int8_matrix_of(weight, transposed, g);
            int8_fetch(&matrix);
        }
}

static void cpu_grouped_linear(struct backend *backend, const struct tensor *y,
                               const struct tensor *x, const struct weight *weight, bool transposed,
                               const struct tensor *bias, const struct tensor *offsets,
                               enum activation activation)
{
    if (!context_enter(backend))
        return;
    check_product(y, x, weight, transposed, 3);
    CHECK(weight->is_packed[transposed], "weight is not packed%s", transposed ? " transposed" : "");
    const int64_t n_groups = weight->value.dim[0];
    const int32_t *start = ints(offsets);
    CHECK(tensor_count(offsets) == n_groups + 1 && start[n_groups] == tensor_rows(x),
          "%lld offsets for %lld groups", (long long)tensor_count(offsets), (long long)n_groups);
    CHECK(!bias || tensor_count(bias) == n_groups * tensor_columns(y), "bias of %lld numbers",
          (long long)tensor_count(bias));
    const struct gemm_end end = {bias ? floats(bias) : NULL, activation, false};
    if (weight->blocks.rank) {
        fetch_groups(weight, transposed, start);
        int8_groups(backend, floats(y), floats(x), start, n_groups, weight, transposed, end);
    } else if (plain_is_better(&weight->value)) {
        plain_groups(backend, &weight->value, transposed, floats(y), floats(x), start, end);
    } else {
        const struct form *form = &((struct packed *)weight->packed)->form[transposed];
        const struct gemm_matrices matrices = {form->layout, form->data, floats(&weight->value),
                                               transposed};
        gemm_groups(backend, &matrices, floats(y), floats(x), start, n_groups, end);
    }
}

/* -- gradients -- */

/* sum [first .. last-1] += sums over all rows of those columns of x [rows, width]. Rows are summed
 * in eights, to halve the number of roundings three times over. */
KERNEL static void sum_columns_of(float *sum, const float *x, int64_t rows, int64_t width,
                                  int64_t first, int64_t last)
{
    int64_t n = 0;
    for (; n + 8 <= rows; n += 8) {
        const float *r = x + n * width;
#pragma omp simd
        for (int64_t d = first; d < last; d++)
            sum[d] +=
                ((r[d] + r[width + d]) + (r[2 * width + d] + r[3 * width + d])) +
                ((r[4 * width + d] + r[5 * width + d]) + (r[6 * width + d] + r[7 * width + d]));
    }
    for (; n < rows; n++)
#pragma omp simd
        for (int64_t d = first; d < last; d++)
            sum[d] += x[n * width + d];
}

/* Threads take columns, so that the order of rows is the same for any number of them. */
void matmul_sum_columns(struct backend *backend, float *sum, const float *x, int64_t rows,
                        int64_t width)
{
    const int n_parts = context_parts(backend, rows * width);
    const int64_t blocks = (width + 63) / 64;
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++) {
        const int64_t last = part_start(blocks, part + 1, n_parts) * 64;
        sum_columns_of(sum, x, rows, width, part_start(blocks, part, n_parts) * 64,
                       last < width ? last : width);
    }
}

static void cpu_linear_gradient(struct backend *backend, const struct tensor *d_weight,
                                const struct tensor *d_bias, const struct tensor *x,
                                const struct tensor *d_y)
{
    const int64_t rows = tensor_rows(x), in = tensor_columns(x), out = tensor_columns(d_y);
    CHECK(d_weight->rank == 2 && rows == tensor_rows(d_y) && d_weight->dim[0] == in &&
              d_weight->dim[1] == out && (!d_bias || tensor_count(d_bias) == out),
          "gradient [%lld, %lld]", (long long)d_weight->dim[0], (long long)d_weight->dim[1]);
    if (!context_enter(backend))
        return;
    gemm_gradient(backend, floats(d_weight), floats(x), floats(d_y), rows, in, out);
    if (d_bias)
        matmul_sum_columns(backend, floats(d_bias), floats(d_y), rows, out);
}

static void cpu_grouped_linear_gradient(struct backend *backend, const struct tensor *d_weight,
                                        const struct tensor *d_bias, const struct tensor *x,
                                        const struct tensor *d_y, const struct tensor *offsets)
{
    const int64_t in = tensor_columns(x), out = tensor_columns(d_y);
    const int64_t n_groups = tensor_count(offsets) - 1;
    CHECK(tensor_rows(x) == tensor_rows(d_y) &&
              (!d_weight || (d_weight->rank == 3 && d_weight->dim[0] == n_groups &&
                             d_weight->dim[1] == in && d_weight->dim[2] == out)),
          "%lld gradients [%lld, %lld]", (long long)n_groups, (long long)in, (long long)out);
    if (!context_enter(backend))
        return;
    const int32_t *start = ints(offsets);
    CHECK(start[0] >= 0 && start[n_groups] <= tensor_rows(x), "%lld rows to %lld of %lld",
          (long long)start[0], (long long)start[n_groups], (long long)tensor_rows(x));
    if (d_weight && plain_is_better(d_weight))
        plain_gradient_groups(backend, d_weight, floats(x), floats(d_y), start);
    else if (d_weight)
        gemm_gradient_groups(backend, floats(d_weight), floats(x), floats(d_y), start, n_groups, in,
                             out);
    if (!d_bias)
        return;
    float *sum = floats(d_bias);
    const float *y = floats(d_y);
    const int n_parts = context_parts(backend, tensor_count(d_y));
#pragma omp parallel for num_threads(n_parts) schedule(dynamic)
    for (int64_t g = 0; g < n_groups; g++)
        sum_columns_of(sum + g * out, y + start[g] * out, start[g + 1] - start[g], out, 0, out);
}

static void cpu_column_sums(struct backend *backend, const struct tensor *sum,
                            const struct tensor *x)
{
    const int64_t width = tensor_columns(x);
    CHECK(tensor_count(sum) == width, "%lld sums of %lld columns", (long long)tensor_count(sum),
          (long long)width);
    if (context_enter(backend))
        matmul_sum_columns(backend, floats(sum), floats(x), tensor_rows(x), width);
}

void cpu_set_matmul(struct backend_ops *ops)
{
    ops->weight_pack = cpu_weight_pack;
    ops->weight_free = cpu_weight_free;
    ops->linear = cpu_linear;
    ops->grouped_linear = cpu_grouped_linear;
    ops->linear_gradient = cpu_linear_gradient;
    ops->column_sums = cpu_column_sums;
    ops->grouped_linear_gradient = cpu_grouped_linear_gradient;
}
