/* The largest K of each row: a vector loop skips all numbers that cannot enter the list. Where most
 * of a row is wanted, as by gates that weight all experts, each number counts those before it. */
#include <math.h>
#include <string.h>

#include "backend/cpu/context.h"
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

enum { LEAST_RANKED = 16 }; /* from so many on, and a quarter of the row, counting is faster */

static void top_of_row(float *best, int32_t *place, int64_t k, const float *x, int64_t width)
{
    if (k >= LEAST_RANKED && 4 * k >= width) {
        rank_row(best, place, k, x, width);
        return;
    }
    const float bound = lower_bound(k, x, width);
    const bool has_bound = !isnan(bound);
    int64_t kept = 0;
    for (int64_t m = 0; m < width; m++) {
        if (kept == k || has_bound)
            m = find_above(x, m, width, kept == k ? best[k - 1] : bound);
        if (m == width)
            break;
        kept = insert(best, place, k, kept, isnan(x[m]) ? -INFINITY : x[m], (int32_t)m);
    }
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

/* The logarithm of the sum of a row's exponentials; largest is the row's largest number. */
KERNEL static float log_sum_of_row(const float *x, int64_t width, float largest)
{
    return vector_log_sum_exp(x, width, largest);
}

/* The search for the largest leaves a row in the cache, and its largest number in front. */
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
    for (int64_t n = 0; n < rows; n++) {
        const float *row = floats(x) + n * width;
        float *best = floats(values) + n * k;
        top_of_row(best, ints(indices) + n * k, k, row, width);
        floats(log_sums)[n] = log_sum_of_row(row, width, best[0]);
    }
}

void cpu_set_topk(struct backend_ops *ops)
{
    ops->top_k_log_sum = cpu_top_k_log_sum;
    ops->top_k = cpu_top_k;
}
