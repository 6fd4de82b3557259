/* Products in fp16. */
#include "backend/cpu/half.h"

#include <omp.h>
#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/elements.h"

#if defined(__x86_64__) && defined(__linux__) &&                                                   \
    (__clang_major__ >= 14 || (!defined(__clang__) && __GNUC__ >= 12))

#    include <cpuid.h>

#    include "backend/cpu/transpose.h"

#    define HALF        __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512fp16")))
#    define HALF_INLINE HALF __attribute__((always_inline)) static inline

enum {
    SIDE = 16,             /* numbers of f32 in a vector, half as many as of fp16 */
    PANEL = 64,            /* columns that are multiplied together: two vectors */
    GROUP = 14,            /* rows that are, at most: sums fill 28 of 32 registers */
    STRETCH = 64,          /* terms of a sum in fp16 */
    CHUNK = 128,           /* terms scaled alike: two stretches, whose sums meet in fp16 */
    BLOCK_ROWS = 126,      /* of x that are rounded together and meet all columns ... */
    BLOCK_DEPTH = 1024,    /* ... in so many terms at a time */
    GRADIENT_ROWS = 1024,  /* terms of a gradient's sums that are rounded together ... */
    GRADIENT_INPUTS = 280, /* ... for so many rows of the matrix, or ... */
    GRADIENT_OUTPUTS = 256 /* ... for so many columns */
};

/* fp16 comes after AVX-512's other parts, and the system has to keep the same registers. */
bool half_is_there(void)
{
    const unsigned fp16 = 1u << 23;
    unsigned a, b, c, d;
    return __builtin_cpu_supports("avx512bw") && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (d & fp16);
}

/* -- rounding -- */

/* The first `count` of 16 numbers exist. */
HALF_INLINE __mmask16 mask_of(int64_t count)
{
    return (__mmask16)(count >= SIDE ? 0xffff : count > 0 ? (1u << count) - 1 : 0);
}

/* Powers of two that bring magnitudes to 8 .. 16, and their inverses to *back. */
HALF_INLINE __m512 scale_of(__m512 largest, __m512 *back)
{
    const __m512 least = _mm512_set1_ps(-100), three = _mm512_set1_ps(3);
    const __m512 up = _mm512_sub_ps(three, _mm512_max_ps(least, _mm512_getexp_ps(largest)));
    const __m512 one = _mm512_set1_ps(1);
    *back = _mm512_scalef_ps(one, _mm512_sub_ps(_mm512_setzero_ps(), up));
    return _mm512_scalef_ps(one, up);
}

HALF_INLINE __m256i round_numbers(__m512 x, __m512 scale)
{
    return _mm256_castph_si256(_mm512_cvtxps_ph(_mm512_mul_ps(x, scale)));
}

/* Rounded numbers, each twice, so that one is spread over a vector while it is loaded. */
HALF_INLINE __m512i round_twice(__m512 x, __m512 scale)
{
    const __m512i once = _mm512_cvtepu16_epi32(round_numbers(x, scale));
    return _mm512_or_si512(once, _mm512_slli_epi32(once, 16));
}

/* -- squares of numbers -- */

/* What is multiplied: `rows` of a first operand, whose numbers stand twice, by a panel. Scales are
 * the inverses of what each chunk was scaled by; C counts chunks. */
struct square {
    float *y; /* [rows, columns], rows `stride` apart */
    int64_t stride, columns;
    const uint32_t *a;         /* [C, rows, CHUNK], or [depth, rows] */
    const float *row_scale;    /* [C, rows] */
    const uint16_t *b;         /* [depth, PANEL] */
    const float *column_scale; /* [C, PANEL] */
    const float *bias;         /* [columns] or NULL */
    int64_t depth;
    bool is_added; /* to what y holds */
};

/* What is done with the sums of a chunk. */
struct chunk_end {
    __m512 scale[PANEL / SIDE]; /* of columns */
    const float *bias;          /* [columns] or NULL */
    bool is_added;
};

/* y (+)= the sums of a chunk, back in scale. */
HALF_INLINE void add_sums(float *y, const __m512h sums[2], float row_scale,
                          const struct chunk_end *end, int64_t columns)
{
    for (int64_t q = 0; q < PANEL / SIDE; q++) {
        const __mmask16 mask = mask_of(columns - q * SIDE);
        const __m512d half = _mm512_castph_pd(sums[q / 2]);
        const __m256d quarter =
            q % 2 ? _mm512_extractf64x4_pd(half, 1) : _mm512_castpd512_pd256(half);
        const __m512 sum = _mm512_cvtxph_ps(_mm256_castpd_ph(quarter));
        __m512 before =
            end->is_added ? _mm512_maskz_loadu_ps(mask, y + q * SIDE) : _mm512_setzero_ps();
        if (end->bias)
            before = _mm512_add_ps(before, _mm512_maskz_loadu_ps(mask, end->bias + q * SIDE));
        const __m512 scale = _mm512_mul_ps(_mm512_set1_ps(row_scale), end->scale[q]);
        _mm512_mask_storeu_ps(y + q * SIDE, mask, _mm512_fmadd_ps(sum, scale, before));
    }
}

HALF_INLINE void add_rows(float *y, int64_t stride, __m512h sums[GROUP][2], const float *row_scale,
                          const struct chunk_end *end, int64_t columns, const int rows)
{
#    pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        add_sums(y + r * stride, sums[r], row_scale[r], end, columns);
}

/* While term k of a chunk is multiplied, asks for that of the next stretch and for a row of y,
 * which the chunk's end changes. */
HALF_INLINE void ask_ahead(const struct square *s, const uint16_t *b, int64_t k, int64_t rows)
{
    for (int64_t j = 0; j < PANEL; j += PANEL / 2)
        __builtin_prefetch(b + (STRETCH + k) * PANEL + j);
    for (int64_t j = 0; j < PANEL && k < rows; j += SIDE)
        __builtin_prefetch(s->y + k * s->stride + j, 1);
}

/* The square of a constant number of rows; a row's terms stand k_step apart, rows r_step. */
HALF_INLINE void sum_stretch(__m512h sums[GROUP][2], const struct square *s, const uint32_t *a,
                             const uint16_t *b, int64_t from, int64_t end, const int rows,
                             const int k_step, const int r_step)
{
#    pragma GCC unroll 14
    for (int r = 0; r < rows; r++)
        sums[r][0] = sums[r][1] = _mm512_setzero_ph();
    for (int64_t k = from; k < end; k++) {
        const __m512h left = _mm512_loadu_ph(b + k * PANEL);
        const __m512h right = _mm512_loadu_ph(b + k * PANEL + PANEL / 2);
        ask_ahead(s, b, k, rows);
#    pragma GCC unroll 14
        for (int r = 0; r < rows; r++) {
            const __m512h one =
                _mm512_castsi512_ph(_mm512_set1_epi32((int)a[k * k_step + r * r_step]));
            sums[r][0] = _mm512_fmadd_ph(one, left, sums[r][0]);
            sums[r][1] = _mm512_fmadd_ph(one, right, sums[r][1]);
        }
    }
}

HALF_INLINE void multiply(const struct square *s, const int rows, const int k_step,
                          const int r_step)
{
    for (int64_t first = 0; first < s->depth; first += CHUNK) {
        const uint32_t *a = s->a + first * rows;
        const uint16_t *b = s->b + first * PANEL;
        const int64_t depth = smaller(s->depth - first, CHUNK);
        __m512h sums[GROUP][2];
        sum_stretch(sums, s, a, b, 0, smaller(depth, STRETCH), rows, k_step, r_step);
        if (depth > STRETCH) {
            __m512h rest[GROUP][2];
            sum_stretch(rest, s, a, b, STRETCH, depth, rows, k_step, r_step);
#    pragma GCC unroll 14
            for (int r = 0; r < rows; r++) {
                sums[r][0] = _mm512_add_ph(sums[r][0], rest[r][0]);
                sums[r][1] = _mm512_add_ph(sums[r][1], rest[r][1]);
            }
        }
        const int64_t chunk = first / CHUNK;
        struct chunk_end end = {.bias = first > 0 ? NULL : s->bias,
                                .is_added = first > 0 || s->is_added};
        for (int64_t q = 0; q < PANEL / SIDE; q++)
            end.scale[q] = _mm512_loadu_ps(s->column_scale + chunk * PANEL + q * SIDE);
        /* Most often there is nothing to choose for each number. */
        if (s->columns >= PANEL && end.is_added && !end.bias)
            add_rows(s->y, s->stride, sums, s->row_scale + chunk * rows, &end, PANEL, rows);
        else
            add_rows(s->y, s->stride, sums, s->row_scale + chunk * rows, &end, s->columns, rows);
    }
}

/* Kernels for each number of rows. */
#    define FOR_ALL_ROWS(CASE)                                                                     \
        CASE(1)                                                                                    \
        CASE(2)                                                                                    \
        CASE(3)                                                                                    \
        CASE(4) CASE(5) CASE(6) CASE(7) CASE(8) CASE(9) CASE(10) CASE(11) CASE(12) CASE(13) CASE(14)
#    define BY_ROWS(N)                                                                             \
        HALF static void multiply_##N(const struct square *s)                                      \
        {                                                                                          \
            multiply(s, N, 1, CHUNK);                                                              \
        }                                                                                          \
        HALF static void multiply_columns_##N(const struct square *s)                              \
        {                                                                                          \
            multiply(s, N, N, 1);                                                                  \
        }
FOR_ALL_ROWS(BY_ROWS)

typedef void kernel(const struct square *square);
#    define ROWS_KERNEL(N)    [N] = multiply_##N,
#    define COLUMNS_KERNEL(N) [N] = multiply_columns_##N,
static kernel *const of_rows[GROUP + 1] = {FOR_ALL_ROWS(ROWS_KERNEL)};
static kernel *const of_columns[GROUP + 1] = {FOR_ALL_ROWS(COLUMNS_KERNEL)};

/* -- packing -- */

/* A packed matrix: panels one after the other, each [k, PANEL] and then its scales [C, PANEL]. */
static int64_t panels_of(int64_t n)
{
    return parts_of(n, PANEL);
}

static size_t panel_bytes(int64_t k)
{
    return PANEL * ((size_t)k * sizeof(uint16_t) + (size_t)parts_of(k, CHUNK) * sizeof(float));
}

size_t half_packed_bytes(int64_t k, int64_t n)
{
    return (size_t)panels_of(n) * panel_bytes(k);
}

static uint16_t *panel_of(const void *packed, int64_t k, int64_t panel)
{
    return (uint16_t *)((char *)packed + (size_t)panel * panel_bytes(k));
}

static float *scales_of(const uint16_t *panel, int64_t k)
{
    return (float *)(panel + k * PANEL);
}

/* Rows that are asked for before they are read: the processor does not foresee so wide steps. */
enum { AHEAD = 8 };

/* A chunk of a panel from rows 0 .. rows-1, columns 0 .. columns-1 of x [.., stride]. */
HALF static void round_chunk(uint16_t *target, float *scales, const float *x, int64_t stride,
                             int64_t rows, int64_t columns)
{
    __m512 largest[PANEL / SIDE], scale[PANEL / SIDE], back;
    __mmask16 mask[PANEL / SIDE];
    for (int q = 0; q < PANEL / SIDE; q++) {
        mask[q] = mask_of(columns - q * SIDE);
        largest[q] = _mm512_setzero_ps();
    }
    for (int64_t k = 0; k < rows; k++)
        for (int q = 0; q < PANEL / SIDE; q++) {
            const float *numbers = x + k * stride + q * SIDE;
            __builtin_prefetch(numbers + AHEAD * stride);
            largest[q] =
                _mm512_max_ps(largest[q], _mm512_abs_ps(_mm512_maskz_loadu_ps(mask[q], numbers)));
        }
    for (int q = 0; q < PANEL / SIDE; q++) {
        scale[q] = scale_of(largest[q], &back);
        _mm512_storeu_ps(scales + q * SIDE, back);
    }
    for (int64_t k = 0; k < rows; k++)
        for (int q = 0; q < PANEL / SIDE; q++)
            _mm256_storeu_si256(
                (__m256i *)(target + k * PANEL + q * SIDE),
                round_numbers(_mm512_maskz_loadu_ps(mask[q], x + k * stride + q * SIDE), scale[q]));
}

/* target [rows, PANEL], and scales. */
static void round_panel(uint16_t *target, float *scales, const float *x, int64_t stride,
                        int64_t rows, int64_t columns)
{
    for (int64_t first = 0; first < rows; first += CHUNK)
        round_chunk(target + first * PANEL, scales + first / CHUNK * PANEL, x + first * stride,
                    stride, smaller(rows - first, CHUNK), columns);
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
    for (int64_t p = 0; p < panels_of(n); p++) {
        const int64_t column = p * PANEL;
        uint16_t *panel = panel_of(target, k, p);
        float *scales = scales_of(panel, k);
        if (!transposed)
            round_panel(panel, scales, source + column, n, k, n - column);
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
    int64_t row, rows, n_groups;
    int64_t first, depth; /* terms */
};

static void round_block(const struct product *p, const struct block *block)
{
    const int n_groups = (int)block->n_groups;
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
    const int n_groups = (int)block->n_groups;
    const int64_t chunks = parts_of(block->depth, CHUNK);
    const uint16_t *numbers = panel_of(p->packed, p->k, panel);
    const int64_t column = panel * PANEL;
    const bool is_last = block->first + block->depth >= p->k;
    for (int g = 0; g < n_groups; g++) {
        const int64_t from = part_start(block->rows, g, n_groups);
        const int64_t rows = part_start(block->rows, g + 1, n_groups) - from;
        const struct square square = {
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
        of_rows[rows](&square);
        for (int64_t r = 0; r < rows && is_last && p->end->activation != ACTIVATION_NONE; r++)
            elements_activate(square.y + r * p->n, square.y + r * p->n, 0, square.columns,
                              p->end->activation);
    }
}

void half_product(void *memory, const void *packed, float *y, const float *x, int64_t rows,
                  int64_t k, int64_t n, const struct gemm_end *end, int n_threads)
{
    const struct product product = {packed, y, x, k, n, end};
    const int64_t panels = panels_of(n), few = parts_of(rows, BLOCK_ROWS);
    /* Many blocks of rows are as many for each thread; few are rounded by every thread, for some of
     * the columns. */
    const bool is_many = few >= 2 * n_threads;
    const int64_t blocks = is_many ? parts_of(few, n_threads) * n_threads : few;
    const int64_t sides = is_many ? 1 : smaller(n_threads, panels);
    const size_t step = half_product_bytes(k, 1);
#    pragma omp parallel for num_threads(n_threads) schedule(static) if (n_threads > 1)
    for (int part = 0; part < n_threads; part++) {
        float *scales = (float *)((char *)memory + (size_t)part * step);
        const int64_t last = part_start(blocks * sides, part + 1, n_threads);
        for (int64_t i = part_start(blocks * sides, part, n_threads), next; i < last; i = next) {
            const int row_block = (int)(i / sides), side = (int)(i % sides);
            next = smaller(last, (row_block + 1) * sides);
            struct block block = {.a = (uint32_t *)(scales + BLOCK_SCALES),
                                  .scales = scales,
                                  .row = part_start(rows, row_block, (int)blocks)};
            block.rows = part_start(rows, row_block + 1, (int)blocks) - block.row;
            block.n_groups = parts_of(block.rows, GROUP);
            const int64_t last_panel = part_start(panels, side + (int)(next - i), (int)sides);
            for (; block.first < k; block.first += BLOCK_DEPTH) {
                block.depth = smaller(k - block.first, BLOCK_DEPTH);
                round_block(&product, &block);
                for (int64_t panel = part_start(panels, side, (int)sides); panel < last_panel;
                     panel++)
                    multiply_panel(&product, &block, panel);
            }
        }
    }
}

/* -- gradients -- */

/* As one thread sees it: of rounded parts of x^T and of d_y, and of their scales, those of the
 * matrix's longer side are its own, the others everybody's. */
struct gradient {
    float *d_w;
    const float *x, *d_y;
    int64_t in, out;
    float *row_scales, *column_scales;
    uint32_t *a;
    uint16_t *b;
    int thread, n_threads;
};

enum {
    GRADIENT_CHUNKS = GRADIENT_ROWS / CHUNK,
    GRADIENT_BYTES = GRADIENT_CHUNKS * (GRADIENT_INPUTS + GRADIENT_OUTPUTS) * 4 +
                     GRADIENT_ROWS * GRADIENT_INPUTS * 4 + GRADIENT_ROWS * GRADIENT_OUTPUTS * 2
};

size_t half_gradient_bytes(int n_threads)
{
    return (size_t)n_threads * GRADIENT_BYTES;
}

/* A chunk of a group: a [rows, inputs] from columns of x [rows, stride], and scales [inputs]. */
HALF static void round_group(uint32_t *a, float *scales, const float *x, int64_t stride,
                             int64_t rows, int64_t inputs)
{
    const __mmask16 mask = mask_of(inputs);
    __m512 largest = _mm512_setzero_ps(), back;
    for (int64_t d = 0; d < rows; d++)
        largest =
            _mm512_max_ps(largest, _mm512_abs_ps(_mm512_maskz_loadu_ps(mask, x + d * stride)));
    const __m512 scale = scale_of(largest, &back);
    _mm512_mask_storeu_ps(scales, mask, back);
    for (int64_t d = 0; d < rows; d++)
        _mm512_mask_storeu_epi32(a + d * inputs, mask,
                                 round_twice(_mm512_maskz_loadu_ps(mask, x + d * stride), scale));
}

/* Rows row .. row+depth-1 of both, and numbers (first_in .. last_in-1, first_out .. last_out-1) of
 * d_w. */
struct region {
    int64_t row, depth, first_in, last_in, first_out, last_out;
};

/* Part `part` of n_parts of the inputs; a chunk of them all after the other, so that x is read
 * once. */
static void round_inputs(const struct gradient *g, const struct region *r, int part, int n_parts)
{
    const int64_t chunks = parts_of(r->depth, CHUNK), inputs = r->last_in - r->first_in;
    const int n_groups = (int)parts_of(inputs, GROUP);
    const int first_group = (int)part_start(n_groups, part, n_parts);
    const int last_group = (int)part_start(n_groups, part + 1, n_parts);
    for (int64_t first = 0; first < r->depth; first += CHUNK)
        for (int i = first_group; i < last_group; i++) {
            const int64_t from = part_start(inputs, i, n_groups);
            const int64_t count = part_start(inputs, i + 1, n_groups) - from;
            round_group(g->a + from * r->depth + first * count,
                        g->row_scales + from * chunks + first / CHUNK * count,
                        g->x + (r->row + first) * g->in + r->first_in + from, g->in,
                        smaller(r->depth - first, CHUNK), count);
        }
}

/* Likewise of the outputs. */
static void round_outputs(const struct gradient *g, const struct region *r, int part, int n_parts)
{
    const int64_t panels = panels_of(r->last_out - r->first_out);
    for (int64_t panel = part_start(panels, part, n_parts);
         panel < part_start(panels, part + 1, n_parts); panel++) {
        const int64_t o = r->first_out + panel * PANEL;
        round_panel(g->b + panel * r->depth * PANEL,
                    g->column_scales + panel * parts_of(r->depth, CHUNK) * PANEL,
                    g->d_y + r->row * g->out + o, g->out, r->depth, r->last_out - o);
    }
}

/* Adds the sums over a region whose operands are rounded. */
static void multiply_region(const struct gradient *g, const struct region *r)
{
    const int64_t chunks = parts_of(r->depth, CHUNK), inputs = r->last_in - r->first_in;
    const int n_groups = (int)parts_of(inputs, GROUP);
    for (int64_t o = r->first_out; o < r->last_out; o += PANEL)
        for (int i = 0; i < n_groups; i++) {
            const int64_t panel = (o - r->first_out) / PANEL;
            const int64_t from = part_start(inputs, i, n_groups);
            const struct square square = {.y = g->d_w + (r->first_in + from) * g->out + o,
                                          .stride = g->out,
                                          .columns = smaller(r->last_out - o, PANEL),
                                          .a = g->a + from * r->depth,
                                          .row_scale = g->row_scales + from * chunks,
                                          .b = g->b + panel * r->depth * PANEL,
                                          .column_scale = g->column_scales + panel * chunks * PANEL,
                                          .depth = r->depth,
                                          .is_added = true};
            of_columns[part_start(inputs, i + 1, n_groups) - from](&square);
        }
}

/* Rounds part `part` of n_parts of one operand's numbers. */
typedef void round_part(const struct gradient *g, const struct region *r, int part, int n_parts);

/* What all threads share of a region is rounded by them together, after all have used what was
 * there before. */
static void round_shared(const struct gradient *g, const struct region *r, round_part *round)
{
#    pragma omp barrier
    round(g, r, g->thread, g->n_threads);
#    pragma omp barrier
}

/* The operand of the matrix's shorter side is rounded once, if it is not long, and the other one
 * block by block. */
static void gradient_wide(const struct gradient *g, struct region r)
{
    const int64_t last_in = r.last_in, first_out = r.first_out, last_out = r.last_out;
    for (; r.first_in < last_in; r.first_in = r.last_in) {
        r.last_in = smaller(last_in, r.first_in + GRADIENT_INPUTS);
        round_shared(g, &r, round_inputs);
        for (r.first_out = first_out; r.first_out < last_out; r.first_out = r.last_out) {
            r.last_out = smaller(last_out, r.first_out + PANEL);
            round_outputs(g, &r, 0, 1);
            multiply_region(g, &r);
        }
    }
}

static void gradient_tall(const struct gradient *g, struct region r)
{
    const int64_t last_out = r.last_out, first_in = r.first_in, last_in = r.last_in;
    for (; r.first_out < last_out; r.first_out = r.last_out) {
        r.last_out = smaller(last_out, r.first_out + GRADIENT_OUTPUTS);
        round_shared(g, &r, round_outputs);
        for (r.first_in = first_in; r.first_in < last_in; r.first_in = r.last_in) {
            r.last_in = smaller(last_in, r.first_in + 4 * GROUP);
            round_inputs(g, &r, 0, 1);
            multiply_region(g, &r);
        }
    }
}

/* A thread's memory: scales of rows and of columns, then a and b. */
static float *gradient_memory(void *memory, int thread)
{
    return (float *)((char *)memory + (size_t)thread * GRADIENT_BYTES);
}

void half_gradient(void *memory, float *d_w, const float *x, const float *d_y, int64_t rows,
                   int64_t in, int64_t out, int n_threads)
{
    const int64_t chunks = parts_of(rows, GRADIENT_ROWS);
    const int64_t chunk = chunks ? parts_of(parts_of(rows, chunks), CHUNK) * CHUNK : 0;
    const bool is_wide = out >= in;
    const int64_t panels = panels_of(is_wide ? out : in);
#    pragma omp parallel num_threads(n_threads) if (n_threads > 1)
    {
        const int thread = omp_get_thread_num(), n_there = omp_get_num_threads();
        float *const for_a = gradient_memory(memory, is_wide ? 0 : thread);
        float *const for_b = gradient_memory(memory, is_wide ? thread : 0);
        const int64_t n_scales = GRADIENT_CHUNKS * (GRADIENT_INPUTS + GRADIENT_OUTPUTS);
        const struct gradient g = {
            .d_w = d_w,
            .x = x,
            .d_y = d_y,
            .in = in,
            .out = out,
            .row_scales = for_a,
            .column_scales = for_b + GRADIENT_CHUNKS * GRADIENT_INPUTS,
            .a = (uint32_t *)(for_a + n_scales),
            .b = (uint16_t *)(for_b + n_scales + GRADIENT_ROWS * GRADIENT_INPUTS),
            .thread = thread,
            .n_threads = n_there};
        const int64_t first = part_start(panels, thread, n_there) * PANEL;
        const int64_t last = part_start(panels, thread + 1, n_there) * PANEL;
        for (int64_t row = 0; row < rows; row += chunk) {
            const struct region region = {.row = row,
                                          .depth = smaller(rows - row, chunk),
                                          .first_in = is_wide ? 0 : first,
                                          .last_in = is_wide ? in : smaller(last, in),
                                          .first_out = is_wide ? first : 0,
                                          .last_out = is_wide ? smaller(last, out) : out};
            (is_wide ? gradient_wide : gradient_tall)(&g, region);
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

size_t half_gradient_bytes(int n_threads)
{
    CHECK(false, "no fp16 on %d threads", n_threads);
}

void half_product(void *memory, const void *packed, float *y, const float *x, int64_t rows,
                  int64_t k, int64_t n, const struct gemm_end *end, int n_threads)
{
    (void)memory, (void)packed, (void)y, (void)x, (void)end, (void)n_threads;
    CHECK(false, "no fp16 for [%lld, %lld, %lld]", (long long)rows, (long long)k, (long long)n);
}

void half_gradient(void *memory, float *d_w, const float *x, const float *d_y, int64_t rows,
                   int64_t in, int64_t out, int n_threads)
{
    (void)memory, (void)d_w, (void)x, (void)d_y, (void)n_threads;
    CHECK(false, "no fp16 for [%lld, %lld, %lld]", (long long)rows, (long long)in, (long long)out);
}

#endif
