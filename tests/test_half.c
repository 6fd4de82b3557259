/* Products in fp16 against the same sums made number by number, to the bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu/gemm.h"
#include "backend/cpu/half.h"
#include "base/random.h"

enum { CHUNK = 128, STRETCH = 64, SKIPPED = 77 };

/* To the nearest number of fp16, ties to even: 11 bits, of which the lowest is worth 2^-24. */
static double round_to_half(long double x)
{
    int exponent;
    if (x == 0)
        return 0;
    (void)frexpl(x, &exponent);
    const int lowest = exponent - 11 > -24 ? exponent - 11 : -24;
    return (double)ldexpl(rintl(ldexpl(x, -lowest)), lowest);
}

/* The power of two that brings the largest of numbers, `step` apart, to 8 .. 16. */
static double scale_of(const float *x, int64_t count, int64_t step)
{
    float largest = 0;
    for (int64_t i = 0; i < count; i++)
        largest = fmaxf(largest, fabsf(x[i * step]));
    return largest > 0 ? ldexp(1, 3 - ilogbf(largest)) : ldexp(1, 103);
}

/* In fp16, the products of numbers `a_step` and `b_step` apart, scaled and rounded. Exact is what
 * is rounded: a product has 22 bits, and with a sum fits into 64. */
static double sum_stretch(const float *a, int64_t a_step, double a_scale, const float *b,
                          int64_t b_step, double b_scale, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++)
        sum = round_to_half((long double)round_to_half(a_scale * a[i * a_step]) *
                                round_to_half(b_scale * b[i * b_step]) +
                            sum);
    return sum;
}

/* sum += the products of a and b: each chunk scaled alike, its stretches summed in fp16, as are
 * their sums, then added in f32. */
static float add_products(float sum, const float *a, int64_t a_step, const float *b, int64_t b_step,
                          int64_t count)
{
    for (int64_t first = 0; first < count; first += CHUNK) {
        const int64_t left = count - first < CHUNK ? count - first : CHUNK;
        const double a_scale = scale_of(a + first * a_step, left, a_step);
        const double b_scale = scale_of(b + first * b_step, left, b_step);
        double chunk = 0;
        for (int64_t i = first; i < first + left; i += STRETCH)
            chunk = round_to_half(
                chunk + sum_stretch(a + i * a_step, a_step, a_scale, b + i * b_step, b_step,
                                    b_scale,
                                    first + left - i < STRETCH ? first + left - i : STRETCH));
        sum = fmaf((float)chunk, (float)(1 / a_scale) * (float)(1 / b_scale), sum);
    }
    return sum;
}

static void *take(size_t bytes)
{
    void *memory = aligned_alloc(64, (bytes + 64) / 64 * 64);
    assert_non_null(memory);
    return memory;
}

/* Normal numbers; of each 7th row magnitudes of 1e-20, and the 11th is 0. */
static float *draw(int64_t rows, int64_t columns, uint32_t stream)
{
    float *numbers = take((size_t)(rows * columns) * sizeof *numbers);
    for (int64_t i = 0; i < rows * columns; i++) {
        double pair[2];
        const struct random_words words =
            random_philox((struct random_key){.seed = 5, .stream = stream}, (uint32_t)i, 0);
        random_normal_pair(words.word[0], words.word[1], pair);
        const int64_t row = i / columns;
        numbers[i] = (float)(row % 11 == 10 ? 0 : row % 7 == 6 ? 1e-20 * pair[0] : pair[0]);
    }
    return numbers;
}

static void expect_same(const float *got, const float *wanted, int64_t count, const char *what,
                        const int64_t shape[3])
{
    for (int64_t i = 0; i < count; i++)
        if (memcmp(&got[i], &wanted[i], sizeof *got) != 0)
            fail_msg("%s %lld x %lld x %lld: number %lld is %.9g, not %.9g", what,
                     (long long)shape[0], (long long)shape[1], (long long)shape[2], (long long)i,
                     (double)got[i], (double)wanted[i]);
}

static float *transpose(const float *x, int64_t rows, int64_t columns)
{
    float *turned = take((size_t)(rows * columns) * sizeof *turned);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++)
            turned[c * rows + r] = x[r * columns + c];
    return turned;
}

/* Rows, terms, columns. */
static const int64_t shapes[][3] = {{1, 1, 1},       {14, 64, 64},  {15, 65, 65},
                                    {13, 63, 17},    {127, 16, 3},  {9, 129, 66},
                                    {29, 1100, 130}, {253, 30, 70}, {5, 2100, 16}};
enum { N_SHAPES = sizeof shapes / sizeof shapes[0] };

/* Numbers after a result that nobody may touch: adding 0 to one would show. */
enum { GUARD = 64 };

static float *guard(float *after)
{
    for (int i = 0; i < GUARD; i++)
        after[i] = -0.0f;
    return after;
}

static void expect_guard(const float *after, const char *what, const int64_t shape[3])
{
    float untouched[GUARD];
    expect_same(after, guard(untouched), GUARD, what, shape);
}

static void check_product(const int64_t shape[3], const struct gemm_end *end)
{
    const int64_t rows = shape[0], k = shape[1], n = shape[2], count = rows * n;
    float *x = draw(rows, k, 1), *w = draw(k, n, 2), *turned = transpose(w, k, n);
    float *start = draw(rows, n, 4), *wanted = take((size_t)count * sizeof *wanted);
    float *y = take((size_t)(count + GUARD) * sizeof *y);
    void *packed = take(half_packed_bytes(k, n)), *memory = take(half_product_bytes(k, 3));
    for (int64_t i = 0; i < count; i++) {
        float sum = (end->accumulate ? start[i] : 0) + (end->bias ? end->bias[i % n] : 0);
        sum = add_products(sum, x + i / n * k, 1, w + i % n, n, k);
        wanted[i] = end->activation == ACTIVATION_RELU && sum < 0 ? 0 : sum;
    }
    for (int n_threads = 1; n_threads <= 3; n_threads++)
        for (int transposed = 0; transposed < 2; transposed++) {
            half_pack(packed, transposed ? turned : w, transposed, k, n, n_threads);
            memcpy(y, start, (size_t)count * sizeof *y);
            guard(y + count);
            half_product(memory, packed, y, x, rows, k, n, end, n_threads);
            expect_same(y, wanted, count, "product", shape);
            expect_guard(y + count, "after a product", shape);
        }
    free(x), free(w), free(turned), free(start), free(wanted), free(y), free(packed), free(memory);
}

static void products_are_their_sums(void **state)
{
    (void)state;
    float *bias = draw(1, 256, 3);
    for (int i = 0; i < N_SHAPES; i++) {
        check_product(shapes[i], &(struct gemm_end){0});
        check_product(shapes[i], &(struct gemm_end){.bias = bias, .activation = ACTIVATION_RELU});
        check_product(shapes[i], &(struct gemm_end){.bias = bias, .accumulate = true});
    }
    free(bias);
}

/* shape: rows of both, rows and columns of the gradient. */
static void check_gradient(const int64_t shape[3])
{
    const int64_t rows = shape[1], in = shape[0], out = shape[2], count = in * out;
    float *x = draw(rows, in, 1), *d_y = draw(rows, out, 2), *start = draw(in, out, 3);
    float *wanted = take((size_t)count * sizeof *wanted),
          *d_w = take((size_t)(count + GUARD) * sizeof *d_w);
    void *memory = take(half_gradient_bytes(3));
    for (int64_t i = 0; i < count; i++)
        wanted[i] = add_products(start[i], x + i / out, in, d_y + i % out, out, rows);
    for (int n_threads = 1; n_threads <= 3; n_threads++) {
        memcpy(d_w, start, (size_t)count * sizeof *d_w);
        guard(d_w + count);
        half_gradient(memory, d_w, x, d_y, rows, in, out, n_threads);
        expect_same(d_w, wanted, count, "gradient", shape);
        expect_guard(d_w + count, "after a gradient", shape);
    }
    free(x), free(d_y), free(start), free(wanted), free(d_w), free(memory);
}

static void gradients_are_their_sums(void **state)
{
    (void)state;
    for (int i = 0; i < N_SHAPES; i++)
        check_gradient(shapes[i]);
    /* More inputs, or outputs, than are rounded together. */
    check_gradient((const int64_t[3]){300, 10, 310});
    check_gradient((const int64_t[3]){310, 10, 300});
}

/* The largest sum of a chunk is a number of fp16. */
static void largest_sums_are_finite(void **state)
{
    (void)state;
    enum { K = CHUNK };
    float x[K], y;
    void *packed = take(half_packed_bytes(K, 1)), *memory = take(half_product_bytes(K, 1));
    for (int i = 0; i < K; i++)
        x[i] = 2 - ldexpf(1, -10); /* the largest below 2 in fp16 */
    half_pack(packed, x, false, K, 1, 1);
    half_product(memory, packed, &y, x, 1, K, 1, &(struct gemm_end){0}, 1);
    const float wanted = add_products(0, x, 1, x, 1, K);
    expect_same(&y, &wanted, 1, "largest sum", (const int64_t[3]){1, K, 1});
    assert_true(fabsf(y - K * x[0] * x[0]) < 1); /* of 512, 2^-11 at each sum */
    free(packed), free(memory);
}

/* What is not finite stays so, and touches its own row alone. */
static void infinities_show(void **state)
{
    (void)state;
    enum { ROWS = 3, K = CHUNK + 6, N = 5 };
    float *x = draw(ROWS, K, 1), *w = draw(K, N, 2), y[ROWS * N];
    void *packed = take(half_packed_bytes(K, N)), *memory = take(half_product_bytes(K, 1));
    x[K + 3] = INFINITY;
    x[2 * K + CHUNK + 2] = NAN;
    half_pack(packed, w, false, K, N, 1);
    half_product(memory, packed, y, x, ROWS, K, N, &(struct gemm_end){0}, 1);
    for (int i = 0; i < ROWS * N; i++)
        assert_true(i < N ? isfinite(y[i]) : !isfinite(y[i]));
    free(x), free(w), free(packed), free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_are_their_sums), cmocka_unit_test(gradients_are_their_sums),
        cmocka_unit_test(largest_sums_are_finite), cmocka_unit_test(infinities_show)};
    if (!half_is_there()) {
        printf("skipped: no AVX512-FP16 here\n");
        return SKIPPED;
    }
    return cmocka_run_group_tests_name("half", tests, NULL, NULL);
}
