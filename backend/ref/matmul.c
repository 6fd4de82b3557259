/* Products of matrices, by the definition, summed in double. */
#include "backend/ref/real.h"

/* A weight is used as it is stored; the mark only catches a caller who forgot to pack. */
static void ref_weight_pack(struct backend *backend, struct weight *weight, int forms)
{
    (void)backend;
    CHECK(weight->blocks.rank == 0 || forms == PACK_PLAIN || forms == PACK_TRANSPOSED,
          "a weight in int8 has one form, not those of %d", forms);
    weight->packed = weight->blocks.rank ? weight->blocks.data : weight->value.data;
    weight->is_packed[0] |= (forms & PACK_PLAIN) != 0;
    weight->is_packed[1] |= (forms & PACK_TRANSPOSED) != 0;
}

static void ref_weight_free(struct backend *backend, struct weight *weight)
{
    (void)backend;
    weight->packed = NULL;
    weight->is_packed[0] = weight->is_packed[1] = false;
}

/* Rows first .. last-1 of y = act(x W + bias), with matrix `group` of a weight or its transpose. */
static void multiply_rows(real *y, const real *x, int64_t first, int64_t last,
                          const struct weight *weight, int64_t group, bool transposed,
                          const real *bias, enum activation activation, bool accumulate)
{
    const struct tensor *value = &weight->value;
    const int64_t in = value->dim[value->rank - 2], out = value->dim[value->rank - 1];
    const int64_t n_x = transposed ? out : in, n_y = transposed ? in : out;
    if (weight->blocks.rank) {
        for (int64_t n = first; n < last; n++) {
            real *to = y + n * n_y;
            const real *of = x + n * n_x;
            REF(int8_row)(to, of, weight, transposed, group, bias, activation, accumulate);
        }
        return;
    }
    const real *w = reals(value) + group * in * out;
    for (int64_t n = first; n < last; n++)
        for (int64_t j = 0; j < n_y; j++) {
            double sum = bias ? bias[j] : 0;
            for (int64_t i = 0; i < n_x; i++)
                sum += (double)x[n * n_x + i] * w[transposed ? j * out + i : i * out + j];
            real *cell = &y[n * n_y + j];
            *cell = (real)(accumulate ? *cell + sum : REF(activation_value)(sum, activation));
        }
}

static void check_linear(const struct tensor *y, const struct tensor *x,
                         const struct weight *weight, bool transposed, int rank)
{
    const struct tensor *w = &weight->value;
    CHECK(w->rank == rank && weight->is_packed[transposed], "weight of rank %d, packed %d %d",
          w->rank, weight->is_packed[0], weight->is_packed[1]);
    const int64_t in = w->dim[rank - 2], out = w->dim[rank - 1];
    CHECK(tensor_rows(y) == tensor_rows(x) && tensor_columns(x) == (transposed ? out : in) &&
              tensor_columns(y) == (transposed ? in : out),
          "y [%lld, %lld] from x [%lld, %lld] and weight [%lld, %lld]%s", (long long)tensor_rows(y),
          (long long)tensor_columns(y), (long long)tensor_rows(x), (long long)tensor_columns(x),
          (long long)in, (long long)out, transposed ? " transposed" : "");
}

static void ref_linear(struct backend *backend, const struct tensor *y, const struct tensor *x,
                       const struct weight *weight, bool transposed, const struct tensor *bias,
                       enum activation activation, bool accumulate)
{
    (void)backend;
    check_linear(y, x, weight, transposed, 2);
    CHECK(!accumulate || activation == ACTIVATION_NONE, "an activation cannot accumulate");
    multiply_rows(reals(y), reals(x), 0, tensor_rows(x), weight, 0, transposed,
                  bias ? reals(bias) : NULL, activation, accumulate);
}

static void ref_grouped_linear(struct backend *backend, const struct tensor *y,
                               const struct tensor *x, const struct weight *weight, bool transposed,
                               const struct tensor *bias, const struct tensor *offsets,
                               enum activation activation)
{
    (void)backend;
    check_linear(y, x, weight, transposed, 3);
    const int32_t *start = ints(offsets);
    const int64_t in = weight->value.dim[1], out = weight->value.dim[2];
    for (int64_t e = 0; e < weight->value.dim[0]; e++)
        multiply_rows(reals(y), reals(x), start[e], start[e + 1], weight, e, transposed,
                      bias ? reals(bias) + e * (transposed ? in : out) : NULL, activation, false);
}

static void add_column_sums(real *sums, const real *x, int64_t first, int64_t last, int64_t width)
{
    for (int64_t j = 0; j < width; j++) {
        double sum = 0;
        for (int64_t n = first; n < last; n++)
            sum += x[n * width + j];
        sums[j] = (real)(sums[j] + sum);
    }
}

/* d_weight [in, out] += sum over rows first .. last-1 of x^T d_y, and d_bias [out] likewise. */
static void gradient_rows(real *d_weight, real *d_bias, const real *x, const real *d_y,
                          int64_t first, int64_t last, int64_t in, int64_t out)
{
    for (int64_t i = 0; i < in; i++)
        for (int64_t j = 0; j < out; j++) {
            double sum = 0;
            for (int64_t n = first; n < last; n++)
                sum += (double)x[n * in + i] * d_y[n * out + j];
            d_weight[i * out + j] = (real)(d_weight[i * out + j] + sum);
        }
    if (d_bias)
        add_column_sums(d_bias, d_y, first, last, out);
}

static void ref_linear_gradient(struct backend *backend, const struct tensor *d_weight,
                                const struct tensor *d_bias, const struct tensor *x,
                                const struct tensor *d_y)
{
    (void)backend;
    CHECK(d_weight->rank == 2 && tensor_rows(x) == tensor_rows(d_y) &&
              d_weight->dim[0] == tensor_columns(x) && d_weight->dim[1] == tensor_columns(d_y),
          "gradient [%lld, %lld]", (long long)d_weight->dim[0], (long long)d_weight->dim[1]);
    gradient_rows(reals(d_weight), d_bias ? reals(d_bias) : NULL, reals(x), reals(d_y), 0,
                  tensor_rows(x), d_weight->dim[0], d_weight->dim[1]);
}

static void ref_grouped_linear_gradient(struct backend *backend, const struct tensor *d_weight,
                                        const struct tensor *d_bias, const struct tensor *x,
                                        const struct tensor *d_y, const struct tensor *offsets)
{
    (void)backend;
    const int32_t *start = ints(offsets);
    const int64_t n_groups = tensor_count(offsets) - 1;
    const int64_t in = tensor_columns(x), out = tensor_columns(d_y);
    CHECK(tensor_rows(x) == tensor_rows(d_y) &&
              (!d_weight || (d_weight->rank == 3 && d_weight->dim[0] == n_groups &&
                             d_weight->dim[1] == in && d_weight->dim[2] == out)),
          "%lld gradients [%lld, %lld]", (long long)n_groups, (long long)in, (long long)out);
    for (int64_t e = 0; e < n_groups; e++) {
        if (d_weight)
            gradient_rows(reals(d_weight) + e * in * out, d_bias ? reals(d_bias) + e * out : NULL,
                          reals(x), reals(d_y), start[e], start[e + 1], in, out);
        else
            add_column_sums(reals(d_bias) + e * out, reals(d_y), start[e], start[e + 1], out);
    }
}

static void ref_column_sums(struct backend *backend, const struct tensor *sum,
                            const struct tensor *x)
{
    (void)backend;
    const int64_t width = tensor_columns(x);
    CHECK(tensor_count(sum) == width, "%lld sums of %lld columns", (long long)tensor_count(sum),
          (long long)width);
    add_column_sums(reals(sum), reals(x), 0, tensor_rows(x), width);
}

static void ref_batch_matmul(struct backend *backend, const struct tensor *c,
                             const struct tensor *a, bool transpose_a, const struct tensor *b,
                             bool transpose_b, bool accumulate)
{
    (void)backend;
    CHECK(a->rank == 3 && b->rank == 3 && c->rank == 3, "products of ranks %d, %d, %d", a->rank,
          b->rank, c->rank);
    const int64_t n_i = c->dim[0], n_b = c->dim[1], n_j = c->dim[2];
    const int64_t n_k = transpose_a ? a->dim[0] : a->dim[2];
    CHECK(a->dim[transpose_a ? 2 : 0] == n_i && a->dim[1] == n_b && b->dim[1] == n_b &&
              b->dim[transpose_b ? 0 : 2] == n_j && b->dim[transpose_b ? 2 : 0] == n_k,
          "product [%lld, %lld, %lld]", (long long)n_i, (long long)n_b, (long long)n_j);
    for (int64_t i = 0; i < n_i; i++)
        for (int64_t s = 0; s < n_b; s++)
            for (int64_t j = 0; j < n_j; j++) {
                double sum = 0;
                for (int64_t k = 0; k < n_k; k++) {
                    const int64_t at =
                        transpose_a ? (k * n_b + s) * n_i + i : (i * n_b + s) * n_k + k;
                    const int64_t bt =
                        transpose_b ? (j * n_b + s) * n_k + k : (k * n_b + s) * n_j + j;
                    sum += (double)reals(a)[at] * reals(b)[bt];
                }
                real *cell = &reals(c)[(i * n_b + s) * n_j + j];
                *cell = (real)(accumulate ? *cell + sum : sum);
            }
}

void REF(set_matmul)(struct backend_ops *ops)
{
    ops->weight_pack = ref_weight_pack;
    ops->weight_free = ref_weight_free;
    ops->linear = ref_linear;
    ops->grouped_linear = ref_grouped_linear;
    ops->linear_gradient = ref_linear_gradient;
    ops->grouped_linear_gradient = ref_grouped_linear_gradient;
    ops->column_sums = ref_column_sums;
    ops->batch_matmul = ref_batch_matmul;
}
