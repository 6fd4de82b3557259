/* Launchers that tests/op does not reach, or not in these sizes: helpers of the products and the
 * LSTM, rows of a whole vocabulary, K above what one pass finds, and bits that must be equal.
 *
 * Runs on the emulator. Exits 1 with a line for each failure. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cuda/kernels.h"
#include "tests/simt/device.h"

static cudaStream_t stream;
static int n_failed;

static void check(bool is_right, const char *what, int64_t a, int64_t b)
{
    if (is_right)
        return;
    n_failed++;
    printf("FAILED %s (%lld, %lld)\n", what, (long long)a, (long long)b);
}

static void must(cudaError_t error, const char *what)
{
    if (error == cudaSuccess)
        return;
    printf("FAILED %s: %s\n", what, cudaGetErrorString(error));
    exit(1);
}

/* -- memory on both sides; the device's is freed by clear() -- */

enum { MAX_PIECES = 64 };
static void *pieces[MAX_PIECES];
static int n_pieces;

static void *on_device(size_t size_bytes)
{
    void *p = NULL;
    must(cudaMalloc(&p, size_bytes ? size_bytes : 1), "cudaMalloc");
    return pieces[n_pieces++] = p;
}

static void *upload(const void *host, size_t size_bytes)
{
    void *p = on_device(size_bytes);
    must(cudaMemcpy(p, host, size_bytes, cudaMemcpyHostToDevice), "upload");
    return p;
}

/* Waits for the stream; the result is the caller's to free. */
static void *download(const void *p, size_t size_bytes)
{
    void *host = malloc(size_bytes + 1);
    must(cudaStreamSynchronize(stream), "kernel");
    must(cudaMemcpy(host, p, size_bytes, cudaMemcpyDeviceToHost), "download");
    return host;
}

static void clear(void)
{
    must(cudaStreamSynchronize(stream), "kernel");
    while (n_pieces > 0)
        must(cudaFree(pieces[--n_pieces]), "cudaFree");
}

static uint32_t drawn = 1;

static uint32_t draw(void)
{
    drawn = drawn * 1664525u + 1013904223u;
    return drawn >> 8;
}

/* Numbers in -4..4 of which few are equal, or many with `steps`; steps 0: all differ mostly. */
static float *random_floats(int64_t count, uint32_t steps)
{
    float *x = malloc((size_t)count * sizeof *x + 1);
    for (int64_t i = 0; i < count; i++)
        x[i] = steps ? (float)(draw() % steps) : (float)draw() / 2097152.0f - 4;
    return x;
}

/* -- layouts -- */

static void check_transpose(int64_t rows, int64_t columns)
{
    const int64_t x_stride = columns + 3, y_stride = rows + 2, count = columns * y_stride;
    float *x = random_floats(rows * x_stride, 0), *y = random_floats(count, 0);
    float *d_x = upload(x, (size_t)(rows * x_stride) * 4), *d_y = upload(y, (size_t)count * 4);
    must(launch_transpose(stream, d_y, y_stride, d_x, x_stride, rows, columns, true), "transpose");
    float *got = download(d_y, (size_t)count * 4);
    for (int64_t c = 0; c < columns; c++)
        for (int64_t r = 0; r < y_stride; r++) {
            const float more = r < rows ? x[r * x_stride + c] : 0;
            check(got[c * y_stride + r] == y[c * y_stride + r] + more, "transpose", r, c);
        }
    free(x), free(y), free(got), clear();
}

static void check_reverse(void)
{
    enum { N_T = 7, N_B = 3, D = 5 };
    const int32_t lengths[N_B] = {7, 1, 4};
    float *x = random_floats(N_T * N_B * D, 0);
    float *d_x = upload(x, N_T * N_B * D * 4), *d_y = on_device(N_T * N_B * D * 4);
    int32_t *d_lengths = upload(lengths, sizeof lengths);
    must(launch_reverse(stream, d_y, d_x, d_lengths, N_T, N_B, D, false), "reverse");
    float *got = download(d_y, N_T * N_B * D * 4);
    for (int t = 0; t < N_T; t++)
        for (int b = 0; b < N_B; b++)
            for (int d = 0; d < D; d++) {
                const int from = lengths[b] - 1 - t;
                const float wanted = from >= 0 ? x[(from * N_B + b) * D + d] : 0;
                check(got[(t * N_B + b) * D + d] == wanted, "reverse", t, b);
            }
    free(x), free(got), clear();
}

static uint16_t rounded_to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static void check_bf16(void)
{
    enum { COUNT = 1025 };
    float *x = random_floats(COUNT, 0);
    x[0] = 1.00390625f, x[1] = 1.01171875f, x[2] = -0.0f, x[3] = INFINITY; /* ties, to even */
    float *d_x = upload(x, COUNT * 4), *d_z = on_device(COUNT * 4);
    uint16_t *d_y = on_device(COUNT * 2);
    must(launch_to_bf16(stream, d_y, d_x, COUNT), "to_bf16");
    must(launch_from_bf16(stream, d_z, d_y, COUNT), "from_bf16");
    uint16_t *y = download(d_y, COUNT * 2);
    float *z = download(d_z, COUNT * 4);
    for (int i = 0; i < COUNT; i++) {
        const uint32_t bits = (uint32_t)y[i] << 16;
        check(y[i] == rounded_to_bf16(x[i]), "to_bf16", i, y[i]);
        check(memcmp(&bits, &z[i], 4) == 0, "from_bf16", i, y[i]);
    }
    free(x), free(y), free(z), clear();
}

/* -- sums and bias by expert -- */

static void check_groups(int64_t width)
{
    enum { E = 4, N = 300 };
    const int32_t offsets[E + 1] = {0, 290, 290, 291, N};
    float *x = random_floats(N * width, 9), *bias = random_floats(E * width, 9);
    float *d_x = upload(x, (size_t)(N * width) * 4);
    float *d_bias = upload(bias, (size_t)(E * width) * 4);
    int32_t *d_offsets = upload(offsets, sizeof offsets);
    must(launch_grouped_column_sums(stream, d_bias, d_x, d_offsets, E, width), "grouped sums");
    float *sums = download(d_bias, (size_t)(E * width) * 4);
    must(launch_bias_activation(stream, d_x, d_bias, d_offsets, E, N, width, 1), "bias");
    float *y = download(d_x, (size_t)(N * width) * 4);
    for (int e = 0; e < E; e++)
        for (int64_t d = 0; d < width; d++) {
            for (int n = offsets[e]; n < offsets[e + 1]; n++)
                bias[e * width + d] += x[n * width + d]; /* whole numbers: exact in any order */
            check(sums[e * width + d] == bias[e * width + d], "grouped sums", e, d);
            for (int n = offsets[e]; n < offsets[e + 1]; n++)
                check(y[n * width + d] == x[n * width + d] + bias[e * width + d], "bias", n, d);
        }
    free(x), free(bias), free(sums), free(y), clear();
}

static void check_column_sums(int64_t rows, int64_t width)
{
    float *x = random_floats(rows * width, 5), *sum = random_floats(width, 5);
    float *d_x = upload(x, (size_t)(rows * width) * 4), *d_sum = upload(sum, (size_t)width * 4);
    float *scratch = on_device(column_sums_scratch(rows, width));
    must(launch_column_sums(stream, d_sum, scratch, d_x, rows, width), "column_sums");
    float *got = download(d_sum, (size_t)width * 4);
    for (int64_t d = 0; d < width; d++) {
        for (int64_t n = 0; n < rows; n++)
            sum[d] += x[n * width + d];
        check(got[d] == sum[d], "column_sums", rows, d);
    }
    free(x), free(sum), free(got), clear();
}

/* -- embeddings: the reference's bits -- */

static void check_embed_backward(int64_t rows, int64_t n_words, int64_t width, double scale)
{
    float *d_y = random_floats(rows * width, 0), *table = random_floats(n_words * width, 0);
    int32_t *ids = malloc((size_t)rows * sizeof *ids);
    for (int64_t n = 0; n < rows; n++)
        ids[n] = (int32_t)((n % 3 ? draw() : 7) % (uint32_t)n_words); /* one id is very frequent */
    float *on_y = upload(d_y, (size_t)(rows * width) * 4);
    float *on_table = upload(table, (size_t)(n_words * width) * 4);
    int32_t *on_ids = upload(ids, (size_t)rows * 4);
    void *scratch = on_device(embed_backward_scratch(rows, n_words));
    must(
        launch_embed_backward(stream, on_table, scratch, on_y, on_ids, rows, n_words, width, scale),
        "embed_backward");
    float *got = download(on_table, (size_t)(n_words * width) * 4);
    for (int64_t n = 0; n < rows; n++)
        for (int64_t d = 0; d < width; d++)
            table[ids[n] * width + d] += (float)(scale * d_y[n * width + d]);
    check(memcmp(got, table, (size_t)(n_words * width) * 4) == 0, "embed_backward", rows, width);
    free(d_y), free(table), free(ids), free(got), clear();
}

/* -- top-k -- */

static const float *compared;

static int by_number(const void *a, const void *b)
{
    const int32_t i = *(const int32_t *)a, j = *(const int32_t *)b;
    const float x = isnan(compared[i]) ? -INFINITY : compared[i];
    const float y = isnan(compared[j]) ? -INFINITY : compared[j];
    return x > y ? -1 : x < y ? 1 : i - j;
}

/* Against a sort, and the logarithms against log_sum_exp, to the bit. Takes x. */
static void check_top_k(float *x, int64_t rows, int64_t width, int64_t k)
{
    const size_t n_k = (size_t)(rows * k), n_x = (size_t)(rows * width);
    float *d_x = upload(x, n_x * 4), *d_values = on_device(n_k * 4);
    float *d_logs = on_device((size_t)rows * 4), *d_sums = on_device((size_t)rows * 4);
    int32_t *d_indices = on_device(n_k * 4), *order = malloc((size_t)width * 4);
    must(launch_top_k(stream, d_values, d_indices, d_logs, d_x, rows, width, k), "top_k");
    must(launch_log_sum_exp(stream, d_sums, d_x, rows, width), "log_sum_exp");
    float *values = download(d_values, n_k * 4), *logs = download(d_logs, (size_t)rows * 4);
    float *sums = download(d_sums, (size_t)rows * 4);
    int32_t *indices = download(d_indices, n_k * 4);
    check(memcmp(logs, sums, (size_t)rows * 4) == 0, "log sums", width, k);
    for (int64_t n = 0; n < rows; n++) {
        compared = x + n * width;
        for (int64_t i = 0; i < width; i++)
            order[i] = (int32_t)i;
        qsort(order, (size_t)width, sizeof *order, by_number);
        int64_t n_wrong = 0;
        for (int64_t i = 0; i < k; i++)
            n_wrong += indices[n * k + i] != order[i] || values[n * k + i] != compared[order[i]];
        check(n_wrong == 0, "top_k", width, k);
    }
    free(x), free(order), free(values), free(logs), free(sums), free(indices), clear();
}

/* -- sorting and scanning -- */

static void check_sort(int64_t count, int64_t n_bins)
{
    int32_t *keys = malloc((size_t)count * 4 + 1), *next = calloc((size_t)n_bins + 1, 4);
    for (int64_t i = 0; i < count; i++) {
        keys[i] = (int32_t)(draw() % (uint32_t)n_bins);
        next[keys[i] + 1]++;
    }
    int32_t *d_keys = upload(keys, (size_t)count * 4), *d_place = on_device((size_t)count * 4);
    int32_t *d_offsets = on_device((size_t)(n_bins + 1) * 4);
    int32_t *scratch = on_device(sort_scratch(count, n_bins));
    must(launch_sort(stream, d_place, d_offsets, scratch, d_keys, count, n_bins), "sort");
    int32_t *place = download(d_place, (size_t)count * 4);
    int32_t *offsets = download(d_offsets, (size_t)(n_bins + 1) * 4);
    for (int64_t bin = 0; bin < n_bins; bin++)
        next[bin + 1] += next[bin];
    check(memcmp(offsets, next, (size_t)(n_bins + 1) * 4) == 0, "offsets", count, n_bins);
    int64_t n_wrong = 0;
    for (int64_t i = 0; i < count; i++)
        n_wrong += place[i] != next[keys[i]]++;
    check(n_wrong == 0, "places", count, n_bins);
    free(keys), free(next), free(place), free(offsets), clear();
}

int main(void)
{
    must(cudaStreamCreate(&stream), "stream");
    check_transpose(1, 1);
    check_transpose(33, 65);
    check_transpose(70, 31);
    check_reverse();
    check_bf16();
    check_groups(36);
    check_groups(33);
    check_column_sums(1025, 33);
    check_embed_backward(700, 40, 130, 22.62741699796952);
    check_embed_backward(33, 5000, 3, 1);
    check_embed_backward(20, 1, 5, 1); /* behind its order lie offsets, which are 0 and 20 */
    check_sort(0, 5);
    check_sort(1, 1);
    check_sort(1025, 3);
    check_sort(600, 1030);
    static const int64_t shapes[][2] = {
        {1, 1},     {31, 31},   {32, 32},     {33, 2},      {1024, 32}, {1024, 33}, {1025, 1},
        {1025, 32}, {1025, 33}, {2049, 2049}, {4100, 4100}, {32768, 8}, {256, 256}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int64_t width = shapes[i][0], k = shapes[i][1];
        check_top_k(random_floats(width, 0), 1, width, k);
        float *x = random_floats(2 * width, i % 2 ? 1 : 7);
        x[width / 2] = -0.0f, x[width / 3] = -INFINITY;
        check_top_k(x, 2, width, k);
    }
    for (int64_t k = 1; k <= 32; k += 31) {
        float *x = random_floats(5000, 7);
        for (int64_t i = 0; i < k; i++)
            x[64 * i] = (float)(100 + i); /* each in the share of other threads */
        check_top_k(x, 1, 5000, k);
    }
    must(cudaStreamDestroy(stream), "stream");
    printf("%d failed, %d reported by the emulator\n", n_failed, simt_error_count());
    return n_failed > 0;
}
