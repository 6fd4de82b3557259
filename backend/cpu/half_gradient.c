/* Gradients of matrices in fp16. */
#include <omp.h>

#include "backend/cpu/context.h"
#include "backend/cpu/half.h"
#include "backend/cpu/half_square.h"
#include "backend/cpu/share.h"

#if defined(HALF_IS_COMPILED)

enum {
    GRADIENT_ROWS = 1024,  /* terms of a sum that are rounded together ... */
    GRADIENT_INPUTS = 280, /* ... for so many rows of the matrix, or ... */
    GRADIENT_OUTPUTS = 256 /* ... for so many columns */
};

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
    const int64_t panels = parts_of(r->last_out - r->first_out, PANEL);
    for (int64_t panel = part_start(panels, part, n_parts);
         panel < part_start(panels, part + 1, n_parts); panel++) {
        const int64_t o = r->first_out + panel * PANEL;
        half_round_panel(g->b + panel * r->depth * PANEL,
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
            const struct half_square square = {.y = g->d_w + (r->first_in + from) * g->out + o,
                                               .stride = g->out,
                                               .columns = smaller(r->last_out - o, PANEL),
                                               .a = g->a + from * r->depth,
                                               .row_scale = g->row_scales + from * chunks,
                                               .b = g->b + panel * r->depth * PANEL,
                                               .column_scale =
                                                   g->column_scales + panel * chunks * PANEL,
                                               .depth = r->depth,
                                               .is_added = true};
            half_kernel_of_columns[part_start(inputs, i + 1, n_groups) - from](&square);
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
    const bool is_wide = out >= in;
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
        struct region region = region_of(in, out, PANEL, thread, n_there);
        while (region_next(&region, rows, GRADIENT_ROWS, CHUNK))
            (is_wide ? gradient_wide : gradient_tall)(&g, region);
    }
}

#else

size_t half_gradient_bytes(int n_threads)
{
    CHECK(false, "no fp16 on %d threads", n_threads);
}

void half_gradient(void *memory, float *d_w, const float *x, const float *d_y, int64_t rows,
                   int64_t in, int64_t out, int n_threads)
{
    (void)memory, (void)d_w, (void)x, (void)d_y, (void)n_threads;
    CHECK(false, "no fp16 for [%lld, %lld, %lld]", (long long)rows, (long long)in, (long long)out);
}

#endif
