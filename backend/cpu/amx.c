/* Products on AMX's tiles. */
#include "backend/cpu/amx.h"

#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/elements.h"
#include "backend/cpu/share.h"
#include "backend/cpu/tiles.h"

#if defined(__x86_64__) && defined(__linux__) && (__GNUC__ >= 11 || __clang_major__ >= 12)

#    include <cpuid.h>
#    include <immintrin.h>
#    include <pthread.h>

#    include "backend/cpu/transpose.h"

#    define TILES                                                                                  \
        __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16")))

enum {
    SIDE = 16,        /* rows of a tile, and numbers of f32 in a row of it */
    DEPTH = 2 * SIDE, /* numbers of bf16 in a row of a tile */
    PAIR = 2 * SIDE,  /* rows and columns of a square of tiles */
    TILE_BYTES = 1024,
    BLOCK_ROWS = 128,      /* of x that are rounded together and meet all columns ... */
    BLOCK_DEPTH = 1024,    /* ... in so many terms at a time */
    GRADIENT_ROWS = 1024,  /* terms of a gradient's sums that are rounded together ... */
    GRADIENT_INPUTS = 512, /* ... for so many rows ... */
    GRADIENT_OUTPUTS = 128 /* ... and columns of the matrix */
};

/* -- the processor -- */

static bool is_there;

static void look(void)
{
    const unsigned bf16_tiles = 1u << 22, tiles = 1u << 24, bf16_vectors = 1u << 5;
    unsigned a, b, c, d, a1 = 0, b1, c1, d1;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !__get_cpuid_count(7, 1, &a1, &b1, &c1, &d1))
        return;
    is_there = (d & bf16_tiles) && (d & tiles) && (a1 & bf16_vectors) && tiles_allow();
}

bool amx_is_there(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look);
    return is_there;
}

/* Eight whole tiles; what a square does not need of them holds zeros or is not stored. */
TILES static void tiles_start(void)
{
    _tile_loadconfig(&tiles_full);
}

TILES static void tiles_end(void)
{
    _tile_release();
}

/* -- rounding into tiles -- */

/* Numbers of a row from x on, of which the first `count` exist; the others are 0. */
TILES static inline __m512 load_row(const float *x, int64_t count)
{
    const __mmask16 mask = (__mmask16)(count >= SIDE ? 0xffff : count > 0 ? (1u << count) - 1 : 0);
    return _mm512_maskz_loadu_ps(mask, x);
}

/* Two rows rounded, number by number side by side: what a row of the second operand is. */
TILES static inline __m512i join_rows(__m512 first, __m512 second)
{
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

/* Rows 0 .. 15 of 32 numbers, rounded as they lie; those past `rows` and `columns` are 0. What
 * stands AHEAD numbers further is asked for: the processor does not foresee so many rows. */
enum { AHEAD = 4 * SIDE };

TILES static inline void round_rows(__m512i r[SIDE], const float *x, int64_t stride, int64_t rows,
                                    int64_t columns)
{
    if (rows >= SIDE && columns >= DEPTH) {
        for (int64_t i = 0; i < SIDE; i++) {
            const float *row = x + i * stride;
            __builtin_prefetch(row + AHEAD);
            __builtin_prefetch(row + AHEAD + SIDE);
            r[i] = (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(row + SIDE), _mm512_loadu_ps(row));
        }
        return;
    }
    for (int64_t i = 0; i < SIDE; i++) {
        const float *row = x + i * stride;
        const int64_t count = i < rows ? columns : 0;
        r[i] =
            (__m512i)_mm512_cvtne2ps_pbh(load_row(row + SIDE, count - SIDE), load_row(row, count));
    }
}

TILES static inline void store_tile(char *tile, const __m512i r[SIDE])
{
    for (int64_t i = 0; i < SIDE; i++)
        _mm512_store_si512(tile + i * 64, r[i]);
}

/* A tile of the first operand. */
TILES static void tile_of_rows(char *tile, const float *x, int64_t stride, int64_t rows,
                               int64_t columns)
{
    __m512i r[SIDE];
    round_rows(r, x, stride, rows, columns);
    store_tile(tile, r);
}

/* Rows 0 .. 31 of 16 numbers, rounded and joined in pairs, where all of them exist. */
TILES static inline void join_whole(__m512i r[SIDE], const float *x, int64_t stride)
{
    for (int64_t i = 0; i < SIDE; i++) {
        const float *first = x + 2 * i * stride, *second = first + stride;
        __builtin_prefetch(first + AHEAD);
        __builtin_prefetch(second + AHEAD);
        r[i] = join_rows(_mm512_loadu_ps(first), _mm512_loadu_ps(second));
    }
}

/* A tile of the second operand from 32 rows of 16 numbers; or, transposed, of the first one with
 * the columns of x as rows. */
TILES static void tile_of_pairs(char *tile, const float *x, int64_t stride, int64_t rows,
                                int64_t columns, bool transposed)
{
    __m512i r[SIDE];
    if (rows >= DEPTH && columns >= SIDE)
        join_whole(r, x, stride);
    else
        for (int64_t i = 0; i < SIDE; i++)
            r[i] = join_rows(load_row(x + 2 * i * stride, 2 * i < rows ? columns : 0),
                             load_row(x + (2 * i + 1) * stride, 2 * i + 1 < rows ? columns : 0));
    if (transposed)
        transpose_pairs(r);
    store_tile(tile, r);
}

/* A tile of the second operand from 16 rows of 32 numbers, which become its columns. */
TILES static void tile_of_columns(char *tile, const float *x, int64_t stride, int64_t rows,
                                  int64_t columns)
{
    __m512i r[SIDE];
    round_rows(r, x, stride, rows, columns);
    transpose_pairs(r);
    store_tile(tile, r);
}

size_t amx_packed_bytes(int64_t k, int64_t n)
{
    return (size_t)(parts_of(n, PAIR) * parts_of(k, DEPTH) * 2 * TILE_BYTES);
}

/* Packed are pairs of 16 columns one after the other, each with all its terms. */
static char *packed_tile(void *packed, int64_t depth, int64_t d, int64_t column)
{
    return (char *)packed + ((column / PAIR * depth + d) * 2 + column / SIDE % 2) * TILE_BYTES;
}

/* The source is read along its rows, which the processor fetches ahead. */
void amx_pack(void *target, const float *source, bool transposed, int64_t k, int64_t n,
              int n_threads)
{
    const int64_t n_pairs = parts_of(n, PAIR), depth = parts_of(k, DEPTH);
    const int n_parts = k * n < 65536 ? 1 : n_threads;
    if (transposed) {
#    pragma omp parallel for num_threads(n_parts) schedule(static) if (n_parts > 1)
        for (int64_t column = 0; column < n_pairs * PAIR; column += SIDE)
            for (int64_t d = 0; d < depth; d++)
                tile_of_columns(packed_tile(target, depth, d, column),
                                source + column * k + d * DEPTH, k, n - column, k - d * DEPTH);
        return;
    }
#    pragma omp parallel for num_threads(n_parts) schedule(static) if (n_parts > 1)
    for (int64_t d = 0; d < depth; d++)
        for (int64_t column = 0; column < n_pairs * PAIR; column += SIDE)
            tile_of_pairs(packed_tile(target, depth, d, column), source + d * DEPTH * n + column, n,
                          k - d * DEPTH, n - column, false);
}

/* -- squares of tiles -- */

/* Where a square's sums start, and where they go. */
struct square {
    float *y; /* [rows, columns], rows `stride` apart */
    int64_t stride;
    int64_t rows, columns; /* of the square that exist, up to PAIR */
    bool is_added;         /* to what y holds */
    const float *bias;     /* else to this row; NULL: to 0 */
    float *next;           /* of the square after this one, likewise; fetched meanwhile */
};

/* Asks for rows first .. last-1 of a square that will be written. */
TILES static inline void fetch_rows(const float *sums, int64_t stride, int64_t first, int64_t last)
{
    for (int64_t r = first; r < smaller(last, PAIR); r++) {
        __builtin_prefetch(sums + r * stride, 1);
        __builtin_prefetch(sums + r * stride + SIDE, 1);
    }
}

/* Tiles 0 to 3 start with the sums there are, with the bias in every row, or with 0. */
TILES static inline void load_sums(const float *sums, size_t row, bool is_added, const float *bias)
{
    const float *start = is_added ? sums : bias;
    if (!start) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
        return;
    }
    const size_t step = is_added ? row : 0;
    const char *lower = (const char *)start + SIDE * step;
    _tile_loadd(0, start, step);
    _tile_loadd(1, start + SIDE, step);
    _tile_loadd(2, lower, step);
    _tile_loadd(3, lower + SIDE * sizeof *start, step);
}

/* sums [PAIR, stride] (+)= the product of two runs of `depth` pairs of tiles. */
TILES static void multiply(float *sums, int64_t stride, const struct square *square,
                           const float *bias, const char *a, int64_t a_step, const char *b,
                           int64_t depth)
{
    const size_t row = (size_t)stride * sizeof *sums;
    const int64_t rows_a_step = (PAIR + depth - 1) / depth;
    __asm__ volatile("" ::: "memory"); /* the intrinsics do not say that they read memory */
    load_sums(sums, row, square->is_added, bias);
    for (int64_t d = 0; d < depth; d++) {
        _tile_loadd(4, a + d * TILE_BYTES, 64);
        _tile_loadd(6, b + 2 * d * TILE_BYTES, 64);
        _tile_dpbf16ps(0, 4, 6);
        _tile_loadd(7, b + (2 * d + 1) * TILE_BYTES, 64);
        _tile_dpbf16ps(1, 4, 7);
        _tile_loadd(5, a + a_step + d * TILE_BYTES, 64);
        _tile_dpbf16ps(2, 5, 6);
        _tile_dpbf16ps(3, 5, 7);
        if (square->next)
            fetch_rows(square->next, square->stride, d * rows_a_step, (d + 1) * rows_a_step);
    }
    _tile_stored(0, sums, row);
    _tile_stored(1, sums + SIDE, row);
    _tile_stored(2, sums + SIDE * stride, row);
    _tile_stored(3, sums + SIDE * stride + SIDE, row);
    __asm__ volatile("" ::: "memory");
}

/* One square; what hangs over y's edges goes through memory of its own. */
static void square_multiply(const struct square *s, const char *a, int64_t a_step, const char *b,
                            int64_t depth)
{
    if (s->rows == PAIR && s->columns == PAIR) {
        multiply(s->y, s->stride, s, s->bias, a, a_step, b, depth);
        return;
    }
    _Alignas(64) float sums[PAIR * PAIR], bias[PAIR] = {0};
    const size_t bytes = (size_t)s->columns * sizeof(float);
    if (s->bias)
        memcpy(bias, s->bias, bytes);
    for (int64_t r = 0; r < s->rows && s->is_added; r++)
        memcpy(sums + r * PAIR, s->y + r * s->stride, bytes);
    multiply(sums, PAIR, s, s->bias ? bias : NULL, a, a_step, b, depth);
    for (int64_t r = 0; r < s->rows; r++)
        memcpy(s->y + r * s->stride, sums + r * PAIR, bytes);
}

/* -- products -- */

struct product {
    const char *packed;
    float *y;
    const float *x;
    int64_t k, n;
    const struct gemm_end *end;
};

size_t amx_product_bytes(int64_t k, int n_threads)
{
    const int64_t terms = smaller(parts_of(k, DEPTH) * DEPTH, BLOCK_DEPTH);
    return (size_t)(n_threads * BLOCK_ROWS * terms * 2);
}

/* Rounds some terms of a block of rows; the tiles of each 16 rows stand one after the other. */
static void round_block(char *a, const struct product *p, int64_t row, int64_t rows, int64_t first,
                        int64_t depth)
{
    for (int64_t r = 0; r < parts_of(rows, PAIR) * PAIR; r += SIDE)
        for (int64_t d = 0; d < depth; d++)
            tile_of_rows(a + (r / SIDE * depth + d) * TILE_BYTES,
                         p->x + (row + r) * p->k + first + d * DEPTH, p->k, rows - r,
                         p->k - first - d * DEPTH);
}

/* What remains to be done with finished sums. */
static void finish_square(const struct square *s, const struct gemm_end *end)
{
    for (int64_t r = 0; r < s->rows; r++) {
        float *row = s->y + r * s->stride;
        if (end->activation != ACTIVATION_NONE)
            elements_activate(row, row, 0, s->columns, end->activation);
        for (int64_t j = 0; j < s->columns && end->accumulate && s->bias; j++)
            row[j] += s->bias[j];
    }
}

/* Columns pair .. last_pair-1 (in pairs of tiles) of a block of rows, for some of the terms. */
static void product_columns(const struct product *p, const char *a, int64_t row, int64_t rows,
                            int64_t first, int64_t depth, int64_t pair, int64_t last_pair)
{
    const int64_t all_depth = parts_of(p->k, DEPTH);
    const bool is_last = first + depth * DEPTH >= p->k;
    for (; pair < last_pair; pair++) {
        const char *b = p->packed + (pair * all_depth + first / DEPTH) * 2 * TILE_BYTES;
        const int64_t column = pair * PAIR;
        float *const top = p->y + row * p->n + column;
        for (int64_t r = 0; r < rows; r += PAIR) {
            float *const below = rows - r > PAIR ? top + (r + PAIR) * p->n : NULL;
            const struct square square = {.y = top + r * p->n,
                                          .stride = p->n,
                                          .rows = smaller(rows - r, PAIR),
                                          .columns = smaller(p->n - column, PAIR),
                                          .is_added = first > 0 || p->end->accumulate,
                                          .bias = p->end->bias ? p->end->bias + column : NULL,
                                          .next = below                  ? below
                                                  : pair + 1 < last_pair ? top + PAIR
                                                                         : NULL};
            square_multiply(&square, a + r / SIDE * depth * TILE_BYTES, depth * TILE_BYTES, b,
                            depth);
            if (is_last)
                finish_square(&square, p->end);
        }
    }
}

void amx_product(void *memory, const void *packed, float *y, const float *x, int64_t rows,
                 int64_t k, int64_t n, const struct gemm_end *end, int n_threads)
{
    const struct product product = {packed, y, x, k, n, end};
    const struct shares shares =
        shares_of(parts_of(rows, PAIR), BLOCK_ROWS / PAIR, parts_of(n, PAIR), n_threads);
    const size_t step = amx_product_bytes(k, 1);
#    pragma omp parallel for num_threads(n_threads) schedule(static) if (n_threads > 1)
    for (int part = 0; part < n_threads; part++) {
        char *a = (char *)memory + (size_t)part * step;
        const int64_t last = shares_start(&shares, part + 1, n_threads);
        tiles_start();
        for (int64_t i = shares_start(&shares, part, n_threads); i < last;) {
            const struct share share = share_at(&shares, i, last);
            const int64_t row = share.row * PAIR, block = smaller(rows - row, share.rows * PAIR);
            for (int64_t first = 0; first < k; first += BLOCK_DEPTH) {
                const int64_t depth = parts_of(smaller(k - first, BLOCK_DEPTH), DEPTH);
                round_block(a, &product, row, block, first, depth);
                product_columns(&product, a, row, block, first, depth, share.column,
                                share.last_column);
            }
            i = share.next;
        }
        tiles_end();
    }
}

/* -- gradients -- */

struct gradient {
    float *d_w;
    const float *x, *d_y;
    int64_t in, out;
    char *a, *b; /* a thread's own: rounded parts of x^T and of d_y */
};

enum {
    GRADIENT_A_BYTES = GRADIENT_ROWS * GRADIENT_INPUTS * 2,
    GRADIENT_B_BYTES = GRADIENT_ROWS * GRADIENT_OUTPUTS * 2
};

size_t amx_gradient_bytes(int n_threads)
{
    return (size_t)n_threads * (GRADIENT_A_BYTES + GRADIENT_B_BYTES);
}

/* Sums over rows row .. row+rows-1 for the numbers (i .. i+inputs-1, o .. o+outputs-1) of d_w. */
static void gradient_panel(const struct gradient *g, int64_t row, int64_t rows, int64_t i,
                           int64_t inputs, int64_t o, int64_t outputs)
{
    const int64_t depth = parts_of(rows, DEPTH);
    for (int64_t d = 0; d < depth; d++)
        for (int64_t c = 0; c < parts_of(outputs, PAIR) * PAIR; c += SIDE)
            tile_of_pairs(g->b + ((c / PAIR * depth + d) * 2 + c / SIDE % 2) * TILE_BYTES,
                          g->d_y + (row + d * DEPTH) * g->out + o + c, g->out, rows - d * DEPTH,
                          outputs - c, false);
    for (int64_t c = 0; c < outputs; c += PAIR)
        for (int64_t r = 0; r < inputs; r += PAIR) {
            float *const next = inputs - r > PAIR ? g->d_w + (i + r + PAIR) * g->out + o + c : NULL;
            const struct square square = {.y = g->d_w + (i + r) * g->out + o + c,
                                          .stride = g->out,
                                          .rows = smaller(inputs - r, PAIR),
                                          .columns = smaller(outputs - c, PAIR),
                                          .is_added = true,
                                          .next = next};
            square_multiply(&square, g->a + r / SIDE * depth * TILE_BYTES, depth * TILE_BYTES,
                            g->b + c / PAIR * depth * 2 * TILE_BYTES, depth);
        }
}

static void gradient_rows(const struct gradient *g, const struct region *r)
{
    const int64_t depth = parts_of(r->depth, DEPTH);
    for (int64_t i = r->first_in; i < r->last_in; i += GRADIENT_INPUTS) {
        const int64_t inputs = smaller(r->last_in - i, GRADIENT_INPUTS);
        for (int64_t d = 0; d < depth; d++)
            for (int64_t c = 0; c < parts_of(inputs, PAIR) * PAIR; c += SIDE)
                tile_of_pairs(g->a + (c / SIDE * depth + d) * TILE_BYTES,
                              g->x + (r->row + d * DEPTH) * g->in + i + c, g->in,
                              r->depth - d * DEPTH, inputs - c, true);
        for (int64_t o = r->first_out; o < r->last_out; o += GRADIENT_OUTPUTS)
            gradient_panel(g, r->row, r->depth, i, inputs, o,
                           smaller(r->last_out - o, GRADIENT_OUTPUTS));
    }
}

void amx_gradient(void *memory, float *d_w, const float *x, const float *d_y, int64_t rows,
                  int64_t in, int64_t out, int n_threads)
{
#    pragma omp parallel for num_threads(n_threads) schedule(static) if (n_threads > 1)
    for (int part = 0; part < n_threads; part++) {
        char *a = (char *)memory + (size_t)part * (GRADIENT_A_BYTES + GRADIENT_B_BYTES);
        const struct gradient g = {d_w, x, d_y, in, out, a, a + GRADIENT_A_BYTES};
        struct region region = region_of(in, out, PAIR, part, n_threads);
        tiles_start();
        while (region_next(&region, rows, GRADIENT_ROWS, DEPTH))
            gradient_rows(&g, &region);
        tiles_end();
    }
}

#else

bool amx_is_there(void)
{
    return false;
}

size_t amx_packed_bytes(int64_t k, int64_t n)
{
    CHECK(false, "no tiles for [%lld, %lld]", (long long)k, (long long)n);
}

void amx_pack(void *target, const float *source, bool transposed, int64_t k, int64_t n,
              int n_threads)
{
    (void)target, (void)source, (void)transposed, (void)n_threads;
    CHECK(false, "no tiles for [%lld, %lld]", (long long)k, (long long)n);
}

size_t amx_product_bytes(int64_t k, int n_threads)
{
    CHECK(false, "no tiles for %lld terms on %d threads", (long long)k, n_threads);
}

size_t amx_gradient_bytes(int n_threads)
{
    CHECK(false, "no tiles on %d threads", n_threads);
}

void amx_product(void *memory, const void *packed, float *y, const float *x, int64_t rows,
                 int64_t k, int64_t n, const struct gemm_end *end, int n_threads)
{
    (void)memory, (void)packed, (void)y, (void)x, (void)end, (void)n_threads;
    CHECK(false, "no tiles for [%lld, %lld, %lld]", (long long)rows, (long long)k, (long long)n);
}

void amx_gradient(void *memory, float *d_w, const float *x, const float *d_y, int64_t rows,
                  int64_t in, int64_t out, int n_threads)
{
    (void)memory, (void)d_w, (void)x, (void)d_y, (void)n_threads;
    CHECK(false, "no tiles for [%lld, %lld, %lld]", (long long)rows, (long long)in, (long long)out);
}

#endif
