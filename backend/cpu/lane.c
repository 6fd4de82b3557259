/* Products and gradients by the way that suits the numbers' type: oneDNN, AMX's tiles, fp16. */
#include "backend/cpu/lane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/amx.h"
#include "backend/cpu/context.h"
#include "backend/cpu/half.h"
#include "backend/cpu/onednn.h"
#include "backend/cpu/room.h"

enum { BF16_ROWS = 32 }; /* of a gradient, filled up with zeros: what one AMX instruction sums */

struct gemm_layout {
    int64_t k, n;
    bool is_bf16, is_amx, is_half;
    struct onednn_layout *onednn; /* owned; NULL where amx.c or half.c pack */
};

struct lane {
    int n_threads;
    struct onednn *onednn; /* owned */
    struct room scratch, room;
    struct room rounded; /* operands in bf16 or fp16 */
    char message[64];
};

bool lane_has_amx(void)
{
    return onednn_allows(ONEDNN_AMX) && amx_is_there();
}

bool lane_has_half(void)
{
    /* oneDNN has no name for it; what has it has bf16. */
    return onednn_allows(ONEDNN_BF16) && half_is_there();
}

enum lane_vectors lane_best_vectors(void)
{
    return onednn_allows(ONEDNN_AMX)    ? LANE_AMX
           : onednn_allows(ONEDNN_VNNI) ? LANE_VNNI
           : onednn_allows(ONEDNN_AVX2) ? LANE_AVX2
                                        : LANE_PLAIN;
}

struct lane *lane_open(int n_threads)
{
    struct lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->n_threads = n_threads;
    lane->onednn = onednn_open(n_threads);
    if (lane->onednn)
        return lane;
    lane_close(lane);
    return NULL;
}

void lane_close(struct lane *lane)
{
    if (!lane)
        return;
    onednn_close(lane->onednn);
    room_free(&lane->scratch);
    room_free(&lane->room);
    room_free(&lane->rounded);
    free(lane);
}

const char *lane_message(const struct lane *lane)
{
    return lane->message[0] ? lane->message : onednn_message(lane->onednn);
}

static void *take(struct lane *lane, struct room *room, size_t size_bytes)
{
    void *memory = room_take(room, size_bytes);
    if (!memory)
        snprintf(lane->message, sizeof lane->message, "no memory for %zu bytes", size_bytes);
    return memory;
}

float *lane_scratch(struct lane *lane, size_t count)
{
    return take(lane, &lane->scratch, count * sizeof(float));
}

void *lane_room(struct lane *lane, size_t size_bytes)
{
    return take(lane, &lane->room, size_bytes);
}

/* -- layouts -- */

struct gemm_layout *lane_choose_layout(struct lane *lane, int64_t k, int64_t n,
                                       enum compute compute)
{
    struct gemm_layout *layout = calloc(1, sizeof *layout);
    if (!layout)
        return NULL;
    *layout = (struct gemm_layout){.k = k,
                                   .n = n,
                                   .is_bf16 = compute == COMPUTE_BF16,
                                   .is_amx = compute == COMPUTE_BF16 && lane_has_amx(),
                                   .is_half = compute == COMPUTE_FP16};
    if (layout->is_amx || layout->is_half)
        return layout;
    layout->onednn = onednn_layout_open(lane->onednn, k, n, layout->is_bf16);
    if (layout->onednn)
        return layout;
    gemm_layout_close(layout);
    return NULL;
}

void gemm_layout_close(struct gemm_layout *layout)
{
    if (layout)
        onednn_layout_close(layout->onednn);
    free(layout);
}

size_t gemm_layout_bytes(const struct gemm_layout *layout)
{
    const size_t size_bytes = layout->is_amx    ? amx_packed_bytes(layout->k, layout->n)
                              : layout->is_half ? half_packed_bytes(layout->k, layout->n)
                                                : onednn_layout_bytes(layout->onednn);
    return (size_bytes + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
}

int64_t gemm_layout_k(const struct gemm_layout *layout)
{
    return layout->k;
}

int64_t gemm_layout_n(const struct gemm_layout *layout)
{
    return layout->n;
}

bool lane_rows_are_free(const struct gemm_layout *layout)
{
    return layout->onednn ? onednn_rows_are_free(layout->onednn) : true;
}

/* -- products -- */

/* Rounds to the nearest bf16, ties to even. What is not a number stays so. */
KERNEL static void round_run(uint16_t *target, const float *source, int64_t count)
{
#pragma omp simd
    for (int64_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, source + i, sizeof bits);
        const uint32_t nearest = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
        target[i] = (uint16_t)((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : nearest);
    }
}

/* Rounds `count` numbers on the lane's threads, and fills up with zeros to `filled`. */
static void round_to_bf16(const struct lane *lane, uint16_t *target, const float *source,
                          int64_t count, int64_t filled)
{
    const int64_t worth = count / 16384 + 1;
    const int n_parts = worth < lane->n_threads ? (int)worth : lane->n_threads;
#pragma omp parallel for num_threads(n_parts) schedule(static) if (n_parts > 1)
    for (int part = 0; part < n_parts; part++) {
        const int64_t first = part_start(count, part, n_parts);
        round_run(target + first, source + first, part_start(count, part + 1, n_parts) - first);
    }
    memset(target + count, 0, (size_t)(filled - count) * sizeof *target);
}

bool lane_pack(struct lane *lane, const struct gemm_layout *layout, void *target,
               const float *source, bool transposed)
{
    if (layout->is_amx)
        amx_pack(target, source, transposed, layout->k, layout->n, lane->n_threads);
    else if (layout->is_half)
        half_pack(target, source, transposed, layout->k, layout->n, lane->n_threads);
    else
        return onednn_pack(lane->onednn, layout->onednn, target, source, transposed);
    return true;
}

bool lane_product(struct lane *lane, const struct gemm_layout *layout, const void *packed, float *y,
                  const float *x, int64_t rows, struct gemm_end end)
{
    const int64_t k = layout->k, n = layout->n;
    if (layout->is_amx) {
        void *memory = take(lane, &lane->rounded, amx_product_bytes(k, lane->n_threads));
        if (memory)
            amx_product(memory, packed, y, x, rows, k, n, &end, lane->n_threads);
        return memory;
    }
    if (layout->is_half) {
        void *memory = take(lane, &lane->rounded, half_product_bytes(k, lane->n_threads));
        if (memory)
            half_product(memory, packed, y, x, rows, k, n, &end, lane->n_threads);
        return memory;
    }
    if (!layout->is_bf16)
        return onednn_product(lane->onednn, layout->onednn, packed, y, x, rows, &end);
    uint16_t *rounded = take(lane, &lane->rounded, (size_t)(rows * k) * sizeof *rounded);
    if (!rounded)
        return false;
    round_to_bf16(lane, rounded, x, rows * k, rows * k);
    return onednn_product(lane->onednn, layout->onednn, packed, y, rounded, rows, &end);
}

bool lane_gradient(struct lane *lane, float *d_w, const float *x, const float *d_y, int64_t rows,
                   int64_t in, int64_t out)
{
    return onednn_gradient(lane->onednn, d_w, x, d_y, rows, in, out, false);
}

bool lane_gradient_any(struct lane *lane, float *d_w, const float *x, const float *d_y,
                       int64_t rows, int64_t in, int64_t out)
{
    return onednn_gradient_any(lane->onednn, d_w, x, d_y, rows, in, out);
}

bool lane_gradient_bf16(struct lane *lane, float *d_w, const float *x, const float *d_y,
                        int64_t rows, int64_t in, int64_t out)
{
    const int64_t filled = (rows + BF16_ROWS - 1) / BF16_ROWS * BF16_ROWS;
    uint16_t *rounded = take(lane, &lane->rounded, (size_t)(filled * (in + out)) * sizeof *rounded);
    if (!rounded)
        return false;
    uint16_t *rounded_y = rounded + filled * in;
    round_to_bf16(lane, rounded, x, rows * in, filled * in);
    round_to_bf16(lane, rounded_y, d_y, rows * out, filled * out);
    return onednn_gradient(lane->onednn, d_w, rounded, rounded_y, filled, in, out, true);
}

bool lane_gradient_amx(struct lane *lane, float *d_w, const float *x, const float *d_y,
                       int64_t rows, int64_t in, int64_t out)
{
    void *memory = take(lane, &lane->rounded, amx_gradient_bytes(lane->n_threads));
    if (memory)
        amx_gradient(memory, d_w, x, d_y, rows, in, out, lane->n_threads);
    return memory;
}

bool lane_gradient_half(struct lane *lane, float *d_w, const float *x, const float *d_y,
                        int64_t rows, int64_t in, int64_t out)
{
    void *memory = take(lane, &lane->rounded, half_gradient_bytes(lane->n_threads));
    if (memory)
        half_gradient(memory, d_w, x, d_y, rows, in, out, lane->n_threads);
    return memory;
}
