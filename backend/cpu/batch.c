/* Many small products, one for each sentence, as attention needs them.
 *
 * Each number of the result is summed over k in an order that depends on nothing but k, so zeros
 * after the end, which is what a longer neighbour adds, change no bit. */
#include "backend/cpu/context.h"
#include "backend/cpu/vector.h"

/* One sentence's operands: element (i, k) of a is a[i * a_i + k * a_k], and so on. */
struct product {
    float *c;
    const float *a, *b;
    int64_t n_i, n_j, n_k;
    int64_t c_i, a_i, a_k, b_k, b_j;
    bool accumulate;
};

/* Four dot products of one row with rows of b, each summed as vector_dot() does. */
VECTOR_INLINE void four_dots(float dot[4], const float *a, const float *b, int64_t b_j, int64_t n)
{
    float lane0[LANES] = {0}, lane1[LANES] = {0}, lane2[LANES] = {0}, lane3[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            lane0[j] += a[i + j] * b[i + j];
            lane1[j] += a[i + j] * b[b_j + i + j];
            lane2[j] += a[i + j] * b[2 * b_j + i + j];
            lane3[j] += a[i + j] * b[3 * b_j + i + j];
        }
    for (int j = 0; i + j < n; j++) {
        lane0[j] += a[i + j] * b[i + j];
        lane1[j] += a[i + j] * b[b_j + i + j];
        lane2[j] += a[i + j] * b[2 * b_j + i + j];
        lane3[j] += a[i + j] * b[3 * b_j + i + j];
    }
    dot[0] = lanes_sum(lane0);
    dot[1] = lanes_sum(lane1);
    dot[2] = lanes_sum(lane2);
    dot[3] = lanes_sum(lane3);
}

/* Rows of b are contiguous in k, and so are those of a: each number is a dot product. */
KERNEL static void product_of_rows(const struct product *p)
{
    for (int64_t i = 0; i < p->n_i; i++) {
        const float *a = p->a + i * p->a_i;
        float *c = p->c + i * p->c_i;
        int64_t j = 0;
        for (; j + 4 <= p->n_j; j += 4) {
            float dot[4];
            four_dots(dot, a, p->b + j * p->b_j, p->b_j, p->n_k);
            for (int m = 0; m < 4; m++)
                c[j + m] = p->accumulate ? c[j + m] + dot[m] : dot[m];
        }
        for (; j < p->n_j; j++) {
            const float dot = vector_dot(a, p->b + j * p->b_j, p->n_k);
            c[j] = p->accumulate ? c[j] + dot : dot;
        }
    }
}

/* c [first .. first+count-1] of one row (+)= a times rows of b that are contiguous in j. */
VECTOR_INLINE void sum_rows(const struct product *p, int64_t i, int64_t first, int64_t count)
{
    float sum[4 * LANES] = {0};
    for (int64_t k = 0; k < p->n_k; k++) {
        const float factor = p->a[i * p->a_i + k * p->a_k];
        const float *row = p->b + k * p->b_k + first;
        for (int64_t j = 0; j < count; j++)
            sum[j] += factor * row[j];
    }
    float *cell = p->c + i * p->c_i + first;
    for (int64_t j = 0; j < count; j++)
        cell[j] = p->accumulate ? cell[j] + sum[j] : sum[j];
}

KERNEL static void product_of_columns(const struct product *p)
{
    for (int64_t i = 0; i < p->n_i; i++) {
        int64_t j = 0;
        for (; j + 4 * LANES <= p->n_j; j += 4 * LANES)
            sum_rows(p, i, j, 4 * LANES);
        for (; j + LANES <= p->n_j; j += LANES)
            sum_rows(p, i, j, LANES);
        if (j < p->n_j)
            sum_rows(p, i, j, p->n_j - j);
    }
}

/* Neither is contiguous; nothing uses this much. */
KERNEL static void product_by_element(const struct product *p)
{
    for (int64_t i = 0; i < p->n_i; i++)
        for (int64_t j = 0; j < p->n_j; j++) {
            float sum = 0;
            for (int64_t k = 0; k < p->n_k; k++)
                sum += p->a[i * p->a_i + k * p->a_k] * p->b[k * p->b_k + j * p->b_j];
            float *cell = &p->c[i * p->c_i + j];
            *cell = p->accumulate ? *cell + sum : sum;
        }
}

static void cpu_batch_matmul(struct backend *backend, const struct tensor *c,
                             const struct tensor *a, bool transpose_a, const struct tensor *b,
                             bool transpose_b, bool accumulate)
{
    CHECK(a->rank == 3 && b->rank == 3 && c->rank == 3, "products of ranks %d, %d, %d", a->rank,
          b->rank, c->rank);
    const int64_t n_i = c->dim[0], n_b = c->dim[1], n_j = c->dim[2];
    const int64_t n_k = transpose_a ? a->dim[0] : a->dim[2];
    CHECK(a->dim[transpose_a ? 2 : 0] == n_i && a->dim[1] == n_b && b->dim[1] == n_b &&
              b->dim[transpose_b ? 0 : 2] == n_j && b->dim[transpose_b ? 2 : 0] == n_k,
          "product [%lld, %lld, %lld]", (long long)n_i, (long long)n_b, (long long)n_j);
    if (!context_enter(backend))
        return;
    const int64_t a_width = transpose_a ? n_i : n_k, b_width = transpose_b ? n_k : n_j;
    const int n_parts = context_parts(backend, n_i * n_b * n_j * n_k / 4);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t s = 0; s < n_b; s++) {
        const struct product product = {.c = floats(c) + s * n_j,
                                        .a = floats(a) + s * a_width,
                                        .b = floats(b) + s * b_width,
                                        .n_i = n_i,
                                        .n_j = n_j,
                                        .n_k = n_k,
                                        .c_i = n_b * n_j,
                                        .a_i = transpose_a ? 1 : n_b * n_k,
                                        .a_k = transpose_a ? n_b * n_i : 1,
                                        .b_k = transpose_b ? 1 : n_b * n_j,
                                        .b_j = transpose_b ? n_b * n_k : 1,
                                        .accumulate = accumulate};
        if (!transpose_b)
            product_of_columns(&product);
        else if (!transpose_a)
            product_of_rows(&product);
        else
            product_by_element(&product);
    }
}

void cpu_set_batch(struct backend_ops *ops)
{
    ops->batch_matmul = cpu_batch_matmul;
}
