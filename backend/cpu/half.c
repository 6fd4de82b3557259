/* Products in fp16. */
#include "backend/cpu/half.h"

#include "backend/cpu/context.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/half_square.h"
#include "backend/cpu/share.h"

#if defined(HALF_IS_COMPILED)

#    include <cpuid.h>

#    include "backend/cpu/transpose.h"

enum {
    BLOCK_ROWS = 126,  /* of x that are rounded together and meet all columns ... */
    BLOCK_DEPTH = 1024 /* ... in so many terms at a time */
};

/* fp16 comes after AVX-512's other parts, and the system has to keep the same registers. */
bool half_is_there(void)
{
    const unsigned fp16 = 1u << 23;
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx512bw") && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (d & fp16);
}

/* -- packing -- */

/* A packed matrix: panels one after the other, each [k, PANEL] and then its scales [C, PANEL]. */
static size_t panel_bytes(int64_t k)
{
    return PANEL * ((size_t)k * sizeof(uint16_t) + (size_t)parts_of(k, CHUNK) * sizeof(float));
}

size_t half_packed_bytes(int64_t k, int64_t n)
{
    return (size_t)parts_of(n, PANEL) * panel_bytes(k);
}

static uint16_t *panel_of(const void *packed, int64_t k, int64_t panel)
{
    return (uint16_t *)((char *)packed + (size_t)panel * panel_bytes(k));
}

static float *scales_of(const uint16_t *panel, int64_t k)
{
    return (float *)(panel + k * PANEL);
}

/* The largest magnitude of a chunk of a row. */
HALF static float largest_of(const float *x, int64_t count)
{
    __m512 largest = _mm512_setzero_ps();
    for (int64_t k = 0; k < smaller(count, CHUNK); k += SIDE)
        largest =
            _mm512_max_ps(largest, _mm512_abs_ps(_mm512_maskz_loadu_ps(mask_of(count - k), x + k)));
    return _mm512_reduce_max_ps(largest);
}

/* A chunk of 16 columns of a panel from as many rows of x [.., k], of which `rows` exist, with
 * `count` numbers left. */
HALF static void round_columns(uint16_t *target, float *scales, const float *x, int64_t k,
                               int64_t rows, int64_t count)
{
    float largest[SIDE] = {0};
    __m512 back;
    for (int64_t r = 0; r < smaller(rows, SIDE); r++)
        largest[r] = largest_of(x + r * k, count);
    const __m512 scale = scale_of(_mm512_loadu_ps(largest), &back);
    _mm512_storeu_ps(scales, back);
    for (int64_t first = 0; first < smaller(count, CHUNK); first += SIDE) {
        const __mmask16 mask = mask_of(count - first);
        __m512i square[SIDE];
        for (int64_t r = 0; r < SIDE; r++)
            square[r] = r < rows ? _mm512_maskz_loadu_epi32(mask, x + r * k + first)
                                 : _mm512_setzero_si512();
        transpose_pairs(square);
        for (int64_t i = 0; i < smaller(count - first, SIDE); i++)
            _mm256_storeu_si256((__m256i *)(target + (first + i) * PANEL),
                                round_numbers(_mm512_castsi512_ps(square[i]), scale));
    }
}

void half_pack(void *target, const float *source, bool transposed, int64_t k, int64_t n,
               int n_threads)
{
    const int n_parts = k * n < 65536 ? 1 : n_threads;
#    pragma omp parallel for num_threads(n_parts) schedule(static) if (n_parts > 1)
    for (int64_t p = 0; p < parts_of(n, PANEL); p++) {
        const int64_t column = p * PANEL;
        uint16_t *panel = panel_of(target, k, p);
        float *scales = scales_of(panel, k);
        if (!transposed)
            half_round_panel(panel, scales, source + column, n, k, n - column);
        for (int64_t q = 0; q < PANEL && transposed; q += SIDE)
            for (int64_t first = 0; first < k; first += CHUNK)
                round_columns(panel + first * PANEL + q, scales + first / CHUNK * PANEL + q,
                              source + (column + q) * k + first, k, n - column - q, k - first);
    }
}

/* -- products -- */

struct product {
    const void *packed;
    float *y;
    const float *x;
    int64_t k, n;
    const struct gemm_end *end;
};

enum { BLOCK_SCALES = BLOCK_ROWS * (BLOCK_DEPTH / CHUNK) };

size_t half_product_bytes(int64_t k, int n_threads)
{
    const int64_t terms = smaller(parts_of(k, CHUNK) * CHUNK, BLOCK_DEPTH);
    return (size_t)n_threads *
           (BLOCK_SCALES * sizeof(float) + (size_t)(BLOCK_ROWS * terms) * sizeof(uint32_t));
}

/* a [C, rows, CHUNK] from some terms of rows x [rows, k], and scales [C, rows]. */
HALF static void round_rows(uint32_t *a, float *scales, const float *x, int64_t k, int64_t rows,
                            int64_t depth)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t first = 0; first < depth; first += CHUNK) {
            const float *numbers = x + r * k + first;
            const int64_t count = smaller(depth - first, CHUNK);
            __m512 back;
            const __m512 scale = scale_of(_mm512_set1_ps(largest_of(numbers, count)), &back);
            scales[first / CHUNK * rows + r] = _mm512_cvtss_f32(back);
            for (int64_t d = 0; d < count; d += SIDE)
                _mm512_storeu_si512(
                    a + first * rows + r * CHUNK + d,
                    round_twice(_mm512_maskz_loadu_ps(mask_of(count - d), numbers + d), scale));
        }
}

/* A thread's own memory: a block of rows, in groups. */
struct block {
    uint32_t *a;
    float *scales;
    int64_t row, rows;
    int64_t first, depth; /* terms */
};

static void round_block(const struct product *p, const struct block *block)
{
    const int n_groups = (int)parts_of(block->rows, GROUP);
    for (int g = 0; g < n_groups; g++) {
        const int64_t from = part_start(block->rows, g, n_groups);
        const int64_t rows = part_start(block->rows, g + 1, n_groups) - from;
        const int64_t chunks = parts_of(block->depth, CHUNK);
        round_rows(block->a + from * chunks * CHUNK, block->scales + from * chunks,
                   p->x + (block->row + from) * p->k + block->first, p->k, rows, block->depth);
    }
}

static void multiply_panel(const struct product *p, const struct block *block, int64_t panel)
{
    const int n_groups = (int)parts_of(block->rows, GROUP);
    const int64_t chunks = parts_of(block->depth, CHUNK);
    const uint16_t *numbers = panel_of(p->packed, p->k, panel);
    const int64_t column = panel * PANEL;
    const bool is_last = block->first + block->depth >= p->k;
    for (int g = 0; g < n_groups; g++) {
        const int64_t from = part_start(block->rows, g, n_groups);
        const int64_t rows = part_start(block->rows, g + 1, n_groups) - from;
        const struct half_square square = {
            .y = p->y + (block->row + from) * p->n + column,
            .stride = p->n,
            .columns = smaller(p->n - column, PANEL),
            .a = block->a + from * chunks * CHUNK,
            .row_scale = block->scales + from * chunks,
            .b = numbers + block->first * PANEL,
            .column_scale = scales_of(numbers, p->k) + block->first / CHUNK * PANEL,
            .bias = block->first == 0 && p->end->bias ? p->end->bias + column : NULL,
            .depth = block->depth,
            .is_added = block->first > 0 || p->end->accumulate};
        half_kernel_of_rows[rows](&square);
        for (int64_t r = 0; r < rows && is_last && p->end->activation != ACTIVATION_NONE; r++)
            elements_activate(square.y + r * p->n, square.y + r * p->n, 0, square.columns,
                              p->end->activation);
    }
}

void half_product(void *memory, const void *packed, float *y, const float *x, int64_t rows,
                  int64_t k, int64_t n, const struct gemm_end *end, int n_threads)
{
    const struct product product = {packed, y, x, k, n, end};
    const struct shares shares = shares_of(rows, BLOCK_ROWS, parts_of(n, PANEL), n_threads);
    const size_t step = half_product_bytes(k, 1);
#    pragma omp parallel for num_threads(n_threads) schedule(static) if (n_threads > 1)
    for (int part = 0; part < n_threads; part++) {
        float *scales = (float *)((char *)memory + (size_t)part * step);
        const int64_t last = shares_start(&shares, part + 1, n_threads);
        for (int64_t i = shares_start(&shares, part, n_threads); i < last;) {
            const struct share share = share_at(&shares, i, last);
            struct block block = {.a = (uint32_t *)(scales + BLOCK_SCALES),
                                  .scales = scales,
                                  .row = share.row,
                                  .rows = share.rows};
            for (; block.first < k; block.first += BLOCK_DEPTH) {
                block.depth = smaller(k - block.first, BLOCK_DEPTH);
                round_block(&product, &block);
                for (int64_t panel = share.column; panel < share.last_column; panel++)
                    multiply_panel(&product, &block, panel);
            }
            i = share.next;
        }
    }
}

#else

bool half_is_there(void)
{
    return false;
}

size_t half_packed_bytes(int64_t k, int64_t n)
{
    CHECK(false, "no fp16 for [%lld, %lld]", (long long)k, (long long)n);
}

void half_pack(void *target, const float *source, bool transposed, int64_t k, int64_t n,
               int n_threads)
{
    (void)target, (void)source, (void)transposed, (void)n_threads;
    CHECK(false, "no fp16 for [%lld, %lld]", (long long)k, (long long)n);
}

size_t half_product_bytes(int64_t k, int n_threads)
{
    CHECK(false, "no fp16 for %lld terms on %d threads", (long long)k, n_threads);
}

void half_product(void *memory, const void *packed, float *y, const float *x, int64_t rows,
                  int64_t k, int64_t n, const struct gemm_end *end, int n_threads)
{
    (void)memory, (void)packed, (void)y, (void)x, (void)end, (void)n_threads;
    CHECK(false, "no fp16 for [%lld, %lld, %lld]", (long long)rows, (long long)k, (long long)n);
}

#endif
