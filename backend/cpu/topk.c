/* The largest K of each row: a vector loop skips all numbers that cannot enter the list. Where most
 * of a row is wanted, as by gates that weight all experts, each number counts those before it. */
#include <math.h>
#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/int8.h"
#include "backend/cpu/vector.h"

/* The first place from `from` on that holds more than `bound`, or width. */
KERNEL static int64_t find_above(const float *x, int64_t from, int64_t width, float bound)
{
    enum { STRIDE = 64 };
    for (; from + STRIDE <= width; from += STRIDE) {
        int any = 0;
        for (int j = 0; j < STRIDE; j++)
            any |= x[from + j] > bound;
        if (any)
            break;
    }
    while (from < width && !(x[from] > bound))
        from++;
    return from;
}

enum { MAXIMA = 64, MAX_CHUNKS = 8, LEAST_DEPTH = 8 };

/* Cuts a row into chunks of depth * MAXIMA numbers, and takes the largest of every MAXIMA-th number
 * of each: maxima [n_chunks, MAXIMA]. NaNs are passed over. */
KERNEL static void chunk_maxima(float *maxima, const float *x, int64_t n_chunks, int64_t depth)
{
    for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
        float lane[MAXIMA];
        for (int j = 0; j < MAXIMA; j++)
            lane[j] = -INFINITY;
        for (int64_t i = 0; i < depth; i++) {
#pragma omp simd
            for (int j = 0; j < MAXIMA; j++)
                lane[j] = x[j] > lane[j] ? x[j] : lane[j];
            x += MAXIMA;
        }
        memcpy(maxima + chunk * MAXIMA, lane, sizeof lane);
    }
}

/* The k-th largest of n numbers, n a multiple of LANES: the least of those that fewer than k are
 * larger than. */
KERNEL static float largest_but(const float *x, int64_t n, int64_t k)
{
    float least = INFINITY;
    for (int64_t first = 0; first < n; first += LANES) {
        int32_t n_larger[LANES] = {0};
        for (int64_t m = 0; m < n; m++)
#pragma omp simd
            for (int j = 0; j < LANES; j++)
                n_larger[j] += x[m] > x[first + j];
        for (int j = 0; j < LANES; j++)
            least = n_larger[j] < k && x[first + j] < least ? x[first + j] : least;
    }
    return least;
}

/* Puts a number into the list of the `kept` largest, at most k; equal ones stay in front of it. */
static inline int64_t insert(float *best, int32_t *place, int64_t k, int64_t kept, float value,
                             int32_t index)
{
    int64_t at = kept < k ? kept : k - 1;
    for (; at > 0 && value > best[at - 1]; at--) {
        best[at] = best[at - 1];
        place[at] = place[at - 1];
    }
    best[at] = value;
    place[at] = index;
    return kept < k ? kept + 1 : k;
}

/* A bound that at least k numbers of a wide row lie above: the k-th largest of many maxima, less a
 * little. It spares the list all the numbers that would only pass through it. NaN when there is
 * none. */
static float lower_bound(int64_t k, const float *x, int64_t width)
{
    float maxima[MAX_CHUNKS * MAXIMA];
    const int64_t n_chunks = (2 * k + MAXIMA - 1) / MAXIMA;
    if (n_chunks > MAX_CHUNKS || width < n_chunks * MAXIMA * LEAST_DEPTH)
        return NAN;
    chunk_maxima(maxima, x, n_chunks, width / (n_chunks * MAXIMA));
    const float bound = largest_but(maxima, n_chunks * MAXIMA, k);
    return bound == -INFINITY ? NAN : nextafterf(bound, -INFINITY);
}

VECTOR_INLINE float number_of(float x)
{
    return x > -INFINITY ? x : -INFINITY;
}

/* For each of LANES numbers of a row, how many come before it: larger ones, and equal ones on its
 * left. */
KERNEL static void count_before(int32_t count[LANES], const float value[LANES], const float *x,
                                int64_t first, int64_t width)
{
    const int64_t end = first + LANES < width ? first + LANES : width;
    int32_t before[LANES] = {0};
    for (int64_t m = 0; m < first; m++) {
        const float other = number_of(x[m]);
#pragma omp simd
        for (int j = 0; j < LANES; j++)
            before[j] += other >= value[j];
    }
    for (int64_t m = first; m < end; m++) {
        const float other = number_of(x[m]);
#pragma omp simd
        for (int j = 0; j < LANES; j++)
            before[j] += (other > value[j]) | ((other == value[j]) & (m - first < j));
    }
    for (int64_t m = end; m < width; m++) {
        const float other = number_of(x[m]);
#pragma omp simd
        for (int j = 0; j < LANES; j++)
            before[j] += other > value[j];
    }
    memcpy(count, before, sizeof before);
}

static void rank_row(float *best, int32_t *place, int64_t k, const float *x, int64_t width)
{
    for (int64_t first = 0; first < width; first += LANES) {
        float value[LANES] = {0};
        int32_t at[LANES];
        for (int64_t j = 0; j < LANES && first + j < width; j++)
            value[j] = number_of(x[first + j]);
        count_before(at, value, x, first, width);
        for (int64_t j = 0; j < LANES && first + j < width; j++)
            if (at[j] < k) {
                best[at[j]] = value[j];
                place[at[j]] = (int32_t)(first + j);
            }
    }
}

/* Puts the numbers first .. first+width-1 of a row, which stand at x, into the list of the `kept`
 * largest so far, and returns how many it has then. */
static int64_t keep_largest(float *best, int32_t *place, int64_t k, int64_t kept, const float *x,
                            int64_t first, int64_t width)
{
    const float bound = kept == k ? NAN : lower_bound(k, x, width);
    const bool has_bound = !isnan(bound);
    for (int64_t m = 0; m < width; m++) {
        if (kept == k || has_bound)
            m = find_above(x, m, width, kept == k ? best[k - 1] : bound);
        if (m == width)
            break;
        kept = insert(best, place, k, kept, number_of(x[m]), (int32_t)(first + m));
    }
    return kept;
}

enum { LEAST_RANKED = 16 }; /* from so many on, and a quarter of the row, counting is faster */

static void top_of_row(float *best, int32_t *place, int64_t k, const float *x, int64_t width)
{
    if (k >= LEAST_RANKED && 4 * k >= width)
        rank_row(best, place, k, x, width);
    else
        keep_largest(best, place, k, 0, x, 0, width);
}

static void check_top(const struct tensor *values, const struct tensor *indices,
                      const struct tensor *x)
{
    const int64_t width = tensor_columns(x), k = tensor_columns(values), rows = tensor_rows(x);
    CHECK(k >= 1 && k <= width && tensor_columns(indices) == k && tensor_rows(values) == rows &&
              tensor_rows(indices) == rows,
          "top %lld of %lld", (long long)k, (long long)width);
}

static void cpu_top_k(struct backend *backend, const struct tensor *values,
                      const struct tensor *indices, const struct tensor *x)
{
    const int64_t width = tensor_columns(x), k = tensor_columns(values), rows = tensor_rows(x);
    check_top(values, indices, x);
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        top_of_row(floats(values) + n * k, ints(indices) + n * k, k, floats(x) + n * width, width);
}

/* -- with the sum of exponentials -- */

/* A row is read in panels of so many numbers, wherever they stand. */
enum { PANEL = 512 };

/* What is known of a row after some of its panels. */
struct row_top {
    int64_t kept;
    float largest;     /* so far */
    float lane[LANES]; /* sums of exp(x - largest) */
};

static const struct row_top no_panels = {.largest = -INFINITY};

/* Adds a panel's exponentials. As long as nothing is finite they are of the numbers themselves, so
 * that only a NaN stays. */
KERNEL static void add_exponentials(struct row_top *top, const float *x, int64_t width,
                                    float largest)
{
    const float offset = largest > -INFINITY ? largest : 0;
    float lane[LANES];
    const float scale = largest > top->largest ? vector_exp(top->largest - largest) : 1.0f;
    for (int j = 0; j < LANES; j++)
        lane[j] = top->lane[j] * scale;
    int64_t i = 0;
    for (; i + LANES <= width; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += vector_exp_below_one(x[i + j] - offset);
    for (int j = 0; i + j < width; j++)
        lane[j] += vector_exp_below_one(x[i + j] - offset);
    memcpy(top->lane, lane, sizeof lane);
    top->largest = largest;
}

static float log_sum(struct row_top *top)
{
    return (float)(top->largest + log(lanes_sum(top->lane)));
}

/* The search for the largest leaves a panel in the cache, and the largest number in front. */
static void add_panel(struct row_top *top, float *best, int32_t *place, int64_t k, const float *x,
                      int64_t first, int64_t width)
{
    top->kept = keep_largest(best, place, k, top->kept, x, first, width);
    add_exponentials(top, x, width, best[0]);
}

static float top_and_log_sum(float *best, int32_t *place, int64_t k, const float *x, int64_t width)
{
    struct row_top top = no_panels;
    for (int64_t first = 0; first < width; first += PANEL)
        add_panel(&top, best, place, k, x + first, first,
                  width - first < PANEL ? width - first : PANEL);
    return log_sum(&top);
}

static void cpu_top_k_log_sum(struct backend *backend, const struct tensor *values,
                              const struct tensor *indices, const struct tensor *log_sums,
                              const struct tensor *x)
{
    const int64_t width = tensor_columns(x), k = tensor_columns(values), rows = tensor_rows(x);
    check_top(values, indices, x);
    CHECK(tensor_count(log_sums) == rows, "%lld sums", (long long)tensor_count(log_sums));
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, 4 * rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        floats(log_sums)[n] = top_and_log_sum(floats(values) + n * k, ints(indices) + n * k, k,
                                              floats(x) + n * width, width);
}

/* -- of a product that is not kept -- */

enum {
    PANEL_STEP = PANEL + LANES, /* from row to row, no power of two */
    LEAST_ROWS = 32,            /* fewer fit into the cache as they are */
    MOST_ROWS = 384             /* whose panels fit the second-level cache */
};

struct top_product {
    const struct int8_rows *rows;
    const struct int8_matrix *matrix;
    struct gemm_end end;
    float *best, *log_sums; /* of the rows from 0 on */
    int32_t *places;
    int64_t k;
};

/* The rows first .. first+count-1, at most MOST_ROWS; room [count, PANEL_STEP]. */
static void top_of_rows(const struct top_product *product, float *room, int64_t first,
                        int64_t count)
{
    struct row_top tops[MOST_ROWS];
    const int64_t k = product->k, out = product->matrix->out;
    for (int64_t n = 0; n < count; n++)
        tops[n] = no_panels;
    for (int64_t column = 0; column < out; column += PANEL) {
        const int64_t width = out - column < PANEL ? out - column : PANEL;
        const struct int8_part part = {first, count, column, width};
        int8_product(room, PANEL_STEP, product->rows, product->matrix, part, product->end);
        for (int64_t n = 0; n < count; n++)
            add_panel(&tops[n], product->best + (first + n) * k, product->places + (first + n) * k,
                      k, room + n * PANEL_STEP, column, width);
    }
    for (int64_t n = 0; n < count; n++)
        product->log_sums[first + n] = log_sum(&tops[n]);
}

static void cpu_linear_top_k(struct backend *backend, const struct tensor *values,
                             const struct tensor *indices, const struct tensor *log_sums,
                             const struct tensor *room, const struct tensor *x,
                             const struct weight *weight, const struct tensor *bias)
{
    const int64_t n_rows = tensor_rows(x), fit = tensor_count(room) / PANEL_STEP;
    const int n_parts = context_parts(backend, n_rows * tensor_columns(room));
    const int64_t share = (n_rows + n_parts - 1) / n_parts, most = fit / n_parts;
    if (!weight->blocks.rank || n_rows < LEAST_ROWS || most < LEAST_ROWS) {
        backend_linear_top_k(backend, values, indices, log_sums, room, x, weight, bias);
        return;
    }
    if (!context_enter(backend))
        return;
    const struct int8_matrix matrix = int8_matrix_of(weight, true, 0);
    CHECK(matrix.in == tensor_columns(x) && matrix.out == tensor_columns(room) &&
              tensor_count(log_sums) == n_rows && tensor_rows(values) == n_rows &&
              tensor_count(indices) == tensor_count(values) &&
              tensor_columns(values) <= matrix.out && tensor_count(bias) == matrix.out,
          "%lld rows of %lld", (long long)n_rows, (long long)matrix.out);
    const struct int8_rows rows = int8_round_rows(backend, floats(x), n_rows, matrix.in);
    if (!rows.values)
        return;
    const struct top_product product = {&rows,
                                        &matrix,
                                        {floats(bias), ACTIVATION_NONE, false},
                                        floats(values),
                                        floats(log_sums),
                                        ints(indices),
                                        tensor_columns(values)};
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int part = 0; part < n_parts; part++) {
        const int64_t stop = part_start(n_rows, part + 1, n_parts);
        int64_t step = most < MOST_ROWS ? most : MOST_ROWS;
        step = step < share ? step : share;
        for (int64_t n = part_start(n_rows, part, n_parts); n < stop; n += step)
            top_of_rows(&product, floats(room) + part * most * PANEL_STEP, n,
                        stop - n < step ? stop - n : step);
    }
}

void cpu_set_topk(struct backend_ops *ops)
{
    ops->linear_top_k = cpu_linear_top_k;
    ops->top_k_log_sum = cpu_top_k_log_sum;
    ops->top_k = cpu_top_k;
}
