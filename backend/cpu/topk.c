/* The largest K of each row: a vector loop skips all numbers that cannot enter the list. Where most
 * of a row is wanted, as by gates that weight all experts, each number counts those before it. */
#include <math.h>

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

enum { MAX_CHUNKS = 32, LEAST_DEPTH = 32 };

/* Cuts a row into chunks of depth * LANES numbers, and takes the largest of each chunk's lane:
 * maxima [n_chunks, LANES]. NaNs are passed over. */
KERNEL static void lane_maxima(float *maxima, const float *x, int64_t n_chunks, int64_t depth)
{
    for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
        float lane[LANES];
        for (int j = 0; j < LANES; j++)
            lane[j] = -INFINITY;
        for (int64_t i = 0; i < depth; i++) {
#pragma omp simd
            for (int j = 0; j < LANES; j++)
                lane[j] = x[j] > lane[j] ? x[j] : lane[j];
            x += LANES;
        }
        for (int j = 0; j < LANES; j++)
            maxima[chunk * LANES + j] = lane[j];
    }
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
 * none. best and place are scratch. */
static float lower_bound(float *best, int32_t *place, int64_t k, const float *x, int64_t width)
{
    float maxima[MAX_CHUNKS * LANES];
    const int64_t wanted = (8 * k + LANES - 1) / LANES;
    const int64_t n_chunks = wanted < 8 ? 8 : wanted > MAX_CHUNKS ? MAX_CHUNKS : wanted;
    const int64_t depth = width / (n_chunks * LANES);
    if (depth < LEAST_DEPTH || n_chunks * LANES < 2 * k)
        return NAN;
    lane_maxima(maxima, x, n_chunks, depth);
    int64_t kept = 0;
    for (int64_t i = 0; i < n_chunks * LANES; i++)
        if (kept < k || maxima[i] > best[k - 1])
            kept = insert(best, place, k, kept, maxima[i], 0);
    return best[k - 1] == -INFINITY ? NAN : nextafterf(best[k - 1], -INFINITY);
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
    const float bound = lower_bound(best, place, k, x, width);
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

static void cpu_top_k(struct backend *backend, const struct tensor *values,
                      const struct tensor *indices, const struct tensor *x)
{
    const int64_t width = tensor_columns(x), k = tensor_columns(values), rows = tensor_rows(x);
    CHECK(k >= 1 && k <= width && tensor_columns(indices) == k && tensor_rows(values) == rows &&
              tensor_rows(indices) == rows,
          "top %lld of %lld", (long long)k, (long long)width);
    if (!context_enter(backend))
        return;
    const int n_parts = context_parts(backend, rows * width);
#pragma omp parallel for num_threads(n_parts) schedule(static)
    for (int64_t n = 0; n < rows; n++)
        top_of_row(floats(values) + n * k, ints(indices) + n * k, k, floats(x) + n * width, width);
}

void cpu_set_topk(struct backend_ops *ops)
{
    ops->top_k = cpu_top_k;
}
