/* Cuts products into blocks of rows and hands them to lanes: the whole team's, or each thread's. */
#include "backend/cpu/gemm.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/context.h"
#include "backend/cpu/lane.h"

enum {
    FIXED_ROWS = 64,    /* of every block where results depend on the number of rows */
    LEAST_ROWS = 32,    /* of a piece of work that one thread takes ... */
    MOST_ROWS = 256,    /* ... and at most */
    SMALL_WORK = 250000 /* multiplications that one thread finishes before a second one wakes */
};

struct gemm {
    int n_threads;
    enum compute compute; /* what operands are rounded to */
    bool has_tiles;       /* in bf16: they are multiplied by AMX */
    int n_lanes;          /* 1 with one thread, else 1 + n_threads */
    struct lane *lanes[]; /* owned; the team's, then each thread's */
};

static const char *first_message(const struct gemm *gemm)
{
    for (int i = 0; i < gemm->n_lanes; i++)
        if (lane_message(gemm->lanes[i])[0])
            return lane_message(gemm->lanes[i]);
    return "oneDNN failed";
}

/* The lane of a thread that works alone. */
static struct lane *lane_alone(const struct gemm *gemm, int thread)
{
    return gemm->lanes[gemm->n_threads == 1 ? 0 : 1 + thread];
}

struct gemm *gemm_open(int n_threads, enum compute compute)
{
    const int n_lanes = n_threads == 1 ? 1 : 1 + n_threads;
    struct gemm *gemm = calloc(1, sizeof *gemm + (size_t)n_lanes * sizeof *gemm->lanes);
    if (!gemm) {
        (void)status_set(STATUS_MEMORY, "no memory for the products of %d threads", n_threads);
        return NULL;
    }
    gemm->n_threads = n_threads;
    gemm->compute = compute;
    gemm->has_tiles = compute == COMPUTE_BF16 && lane_has_amx();
    for (; gemm->n_lanes < n_lanes; gemm->n_lanes++) {
        gemm->lanes[gemm->n_lanes] = lane_open(gemm->n_lanes == 0 ? n_threads : 1);
        if (!gemm->lanes[gemm->n_lanes]) {
            (void)status_set(STATUS_DEVICE, "oneDNN does not start");
            gemm_close(gemm);
            return NULL;
        }
    }
    return gemm;
}

void gemm_close(struct gemm *gemm)
{
    if (!gemm)
        return;
    for (int i = 0; i < gemm->n_lanes; i++)
        lane_close(gemm->lanes[i]);
    free(gemm);
}

struct gemm_layout *gemm_layout_open(struct backend *backend, int64_t k, int64_t n, bool is_exact)
{
    const struct gemm *gemm = context_of(backend)->gemm;
    struct gemm_layout *layout =
        lane_choose_layout(gemm->lanes[0], k, n, is_exact ? COMPUTE_F32 : gemm->compute);
    if (!layout)
        backend_fail(backend, "oneDNN has no layout for a matrix [%lld, %lld]", (long long)k,
                     (long long)n);
    return layout;
}

void gemm_pack(struct backend *backend, const struct gemm_layout *layout, void *target,
               const float *source, bool transposed, int64_t count)
{
    const struct gemm *gemm = context_of(backend)->gemm;
    const size_t step = gemm_layout_bytes(layout);
    const int64_t size = gemm_layout_k(layout) * gemm_layout_n(layout);
    bool is_failed = false;
    if (count < gemm->n_threads || gemm->n_threads == 1) {
        for (int64_t i = 0; i < count; i++)
            is_failed |= !lane_pack(gemm->lanes[0], layout, (char *)target + (size_t)i * step,
                                    source + i * size, transposed);
    } else {
#pragma omp parallel for num_threads(gemm->n_threads) schedule(static) reduction(| : is_failed)
        for (int64_t i = 0; i < count; i++)
            is_failed |=
                !lane_pack(lane_alone(gemm, omp_get_thread_num()), layout,
                           (char *)target + (size_t)i * step, source + i * size, transposed);
    }
    if (is_failed)
        backend_fail(backend, "%s", first_message(gemm));
}

/* The next of the few sizes that blocks of rows have: 1024, multiples of 128 and of 16, and 1 to
 * 64, since an expert's few rows pay for every pass over its weights. At most three blocks follow
 * the thousands. */
static int64_t next_block(int64_t rows)
{
    if (rows >= 1024)
        return 1024;
    if (rows >= 128)
        return rows / 128 * 128;
    return rows > 64 ? rows / 16 * 16 : rows;
}

/* One block of FIXED_ROWS of which the first `rows` are wanted. */
static bool fixed_block(struct lane *lane, const struct gemm_layout *layout, const void *packed,
                        float *y, const float *x, int64_t rows, struct gemm_end end)
{
    if (rows == FIXED_ROWS)
        return lane_product(lane, layout, packed, y, x, rows, end);
    const size_t k = (size_t)gemm_layout_k(layout), n = (size_t)gemm_layout_n(layout);
    float *padded = lane_scratch(lane, FIXED_ROWS * (k + n));
    if (!padded)
        return false;
    float *result = padded + FIXED_ROWS * k;
    memset(padded, 0, FIXED_ROWS * (k + n) * sizeof(float));
    memcpy(padded, x, (size_t)rows * k * sizeof(float));
    if (end.accumulate)
        memcpy(result, y, (size_t)rows * n * sizeof(float));
    if (!lane_product(lane, layout, packed, result, padded, FIXED_ROWS, end))
        return false;
    memcpy(y, result, (size_t)rows * n * sizeof(float));
    return true;
}

/* Any number of rows on one lane. */
static bool rows_on_lane(struct lane *lane, const struct gemm_layout *layout, const void *packed,
                         float *y, const float *x, int64_t rows, struct gemm_end end)
{
    const bool is_free = lane_rows_are_free(layout);
    const int64_t k = gemm_layout_k(layout), n = gemm_layout_n(layout);
    for (int64_t first = 0; first < rows;) {
        const int64_t left = rows - first;
        const int64_t block = is_free ? next_block(left) : left < FIXED_ROWS ? left : FIXED_ROWS;
        const bool is_done =
            is_free ? lane_product(lane, layout, packed, y + first * n, x + first * k, block, end)
                    : fixed_block(lane, layout, packed, y + first * n, x + first * k, block, end);
        if (!is_done)
            return false;
        first += block;
    }
    return true;
}

/* Rows of one piece of work, so that each thread finds several. */
static int64_t piece_rows(int64_t total, int n_threads)
{
    const int64_t rows = (total / (4 * n_threads) + 15) / 16 * 16;
    return rows < LEAST_ROWS ? LEAST_ROWS : rows > MOST_ROWS ? MOST_ROWS : rows;
}

/* Matrix number g, packed; NULL when that fails. *held is the one that the lane has packed last. */
static const void *packed_matrix(struct lane *lane, const struct gemm_matrices *m, int64_t g,
                                 int64_t *held)
{
    const size_t size_bytes = gemm_layout_bytes(m->layout);
    if (m->packed)
        return (const char *)m->packed + (size_t)g * size_bytes;
    void *room = lane_room(lane, size_bytes);
    const int64_t size = gemm_layout_k(m->layout) * gemm_layout_n(m->layout);
    if (room && *held != g &&
        !lane_pack(lane, m->layout, room, m->source + g * size, m->transposed))
        return NULL;
    *held = g;
    return room;
}

void gemm_groups(struct backend *backend, const struct gemm_matrices *matrices, float *y,
                 const float *x, const int32_t *offsets, int64_t n_groups, struct gemm_end end)
{
    const struct gemm *gemm = context_of(backend)->gemm;
    const struct gemm_layout *layout = matrices->layout;
    const int64_t k = gemm_layout_k(layout), n = gemm_layout_n(layout);
    const int64_t total = offsets[n_groups] - offsets[0];
    const int64_t most = !matrices->packed            ? total / (2 * gemm->n_threads) + FIXED_ROWS
                         : lane_rows_are_free(layout) ? piece_rows(total, gemm->n_threads)
                                                      : FIXED_ROWS;
    const bool is_small = total * k * n < SMALL_WORK;
    int64_t n_taken = 0;
    bool is_failed = false;
#pragma omp parallel num_threads(is_small ? 1 : gemm->n_threads) reduction(| : is_failed)
    {
        struct lane *lane = lane_alone(gemm, omp_get_thread_num());
        int64_t passed = 0, held = -1, mine;
#pragma omp atomic capture
        mine = n_taken++;
        /* Pieces are numbered through all groups; each thread walks past those of others. */
        for (int64_t g = 0; g < n_groups; g++) {
            const int64_t rows = offsets[g + 1] - offsets[g], pieces = (rows + most - 1) / most;
            struct gemm_end own = end;
            own.bias = end.bias ? end.bias + g * n : NULL;
            while (mine < passed + pieces) {
                const int64_t first = (mine - passed) * most, left = rows - first;
                const int64_t start = offsets[g] + first;
                const void *packed = packed_matrix(lane, matrices, g, &held);
                is_failed |=
                    !packed || !rows_on_lane(lane, layout, packed, y + start * n, x + start * k,
                                             left < most ? left : most, own);
#pragma omp atomic capture
                mine = n_taken++;
            }
            passed += pieces;
        }
    }
    if (is_failed)
        backend_fail(backend, "%s", first_message(gemm));
}

void gemm_rows(struct backend *backend, const struct gemm_layout *layout, const void *packed,
               float *y, const float *x, int64_t rows, struct gemm_end end)
{
    const struct gemm *gemm = context_of(backend)->gemm;
    const int64_t work = rows * gemm_layout_k(layout) * gemm_layout_n(layout);
    if (!lane_rows_are_free(layout)) {
        const int32_t offsets[2] = {0, (int32_t)rows};
        const struct gemm_matrices matrix = {.layout = layout, .packed = packed};
        gemm_groups(backend, &matrix, y, x, offsets, 1, end);
        return;
    }
    struct lane *lane = work < SMALL_WORK ? lane_alone(gemm, 0) : gemm->lanes[0];
    if (!rows_on_lane(lane, layout, packed, y, x, rows, end))
        backend_fail(backend, "%s", first_message(gemm));
}

/* Many rows go through compiled code in a few sizes, the rest of f32's through the general
 * routine. */
static bool gradient_on_lane(const struct gemm *gemm, struct lane *lane, float *d_w, const float *x,
                             const float *d_y, int64_t rows, int64_t in, int64_t out)
{
    if (gemm->has_tiles)
        return rows == 0 || lane_gradient_amx(lane, d_w, x, d_y, rows, in, out);
    if (gemm->compute == COMPUTE_FP16)
        return rows == 0 || lane_gradient_half(lane, d_w, x, d_y, rows, in, out);
    const bool is_bf16 = gemm->compute == COMPUTE_BF16;
    const int64_t least = is_bf16 ? 1 : 256;
    int64_t first = 0;
    while (rows - first >= least) {
        const int64_t left = rows - first, block = left < 256 ? left : next_block(left);
        const float *block_x = x + first * in, *block_y = d_y + first * out;
        if (!(is_bf16 ? lane_gradient_bf16 : lane_gradient)(lane, d_w, block_x, block_y, block, in,
                                                            out))
            return false;
        first += block;
    }
    return rows == first ||
           lane_gradient_any(lane, d_w, x + first * in, d_y + first * out, rows - first, in, out);
}

void gemm_gradient(struct backend *backend, float *d_w, const float *x, const float *d_y,
                   int64_t rows, int64_t in, int64_t out)
{
    const struct gemm *gemm = context_of(backend)->gemm;
    struct lane *lane = rows * in * out < SMALL_WORK ? lane_alone(gemm, 0) : gemm->lanes[0];
    if (!gradient_on_lane(gemm, lane, d_w, x, d_y, rows, in, out))
        backend_fail(backend, "%s", first_message(gemm));
}

bool gemm_gradient_alone(const struct backend *backend, float *d_w, const float *x,
                         const float *d_y, int64_t rows, int64_t in, int64_t out)
{
    const struct gemm *gemm = context_of(backend)->gemm;
    return gradient_on_lane(gemm, lane_alone(gemm, omp_get_thread_num()), d_w, x, d_y, rows, in,
                            out);
}

const char *gemm_message(const struct backend *backend)
{
    return first_message(context_of(backend)->gemm);
}

void gemm_gradient_groups(struct backend *backend, float *d_w, const float *x, const float *d_y,
                          const int32_t *offsets, int64_t n_groups, int64_t in, int64_t out)
{
    const struct gemm *gemm = context_of(backend)->gemm;
    const int64_t total = offsets[n_groups] - offsets[0];
    bool is_failed = false;
    /* Groups that would keep one thread busy while the others wait go to the team. */
    const int64_t large = total / (2 * gemm->n_threads) + 1;
    for (int64_t g = 0; g < n_groups; g++) {
        const int64_t start = offsets[g], rows = offsets[g + 1] - start;
        if (rows >= large)
            is_failed |= !gradient_on_lane(gemm, gemm->lanes[0], d_w + g * in * out, x + start * in,
                                           d_y + start * out, rows, in, out);
    }
#pragma omp parallel for num_threads(gemm->n_threads) schedule(dynamic) reduction(| : is_failed)
    for (int64_t g = 0; g < n_groups; g++) {
        const int64_t start = offsets[g], rows = offsets[g + 1] - start;
        if (rows > 0 && rows < large)
            is_failed |=
                !gradient_on_lane(gemm, lane_alone(gemm, omp_get_thread_num()), d_w + g * in * out,
                                  x + start * in, d_y + start * out, rows, in, out);
    }
    if (is_failed)
        backend_fail(backend, "%s", first_message(gemm));
}
