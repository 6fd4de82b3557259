/* Experts on the host that a device has no room for give the same numbers as where it has.
 *
 * Usage: test_cuda_slots, with SIMT_MEMORY_MIB saying how much the emulated device has: two weights
 * of 6 MiB each, in int8 or in f32, are multiplied in turn, and the reference's results wanted to
 * the bit. In f32 all numbers are whole and small, so that their sums are exact in any order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/backend.h"
#include "backend/quantize.h"

enum { E = 96, D = 256, D_REALS = 128, N = 96, N_WEIGHTS = 2, N_ROUNDS = 6 };

struct side {
    struct backend backend;
    struct arena arena;
    struct tensor x, y, bias, offsets;
    struct weight weight[N_WEIGHTS];
};

static int64_t d; /* the width of x, y and the matrices: D in int8, D_REALS in f32 */
static int8_t *blocks[N_WEIGHTS];
static float *numbers[N_WEIGHTS];
static float x[N * D], scales[N_WEIGHTS][E * D], bias[E * D];
static uint32_t state = 1;

/* 0 .. bound - 1 */
static int draw(int bound)
{
    state = state * 1664525u + 1013904223u;
    return (int)((state >> 8) % (uint32_t)bound);
}

static void make_int8(void)
{
    d = D;
    const int64_t bytes = quantized_matrix_bytes(D, D) * E;
    for (int w = 0; w < N_WEIGHTS; w++) {
        blocks[w] = malloc((size_t)bytes);
        assert_non_null(blocks[w]);
        for (int64_t i = 0; i < bytes; i++)
            blocks[w][i] = (int8_t)(draw(255) - 127);
        for (int i = 0; i < E * D; i++)
            scales[w][i] = (float)(1 + draw(100)) / 1000;
    }
    for (int i = 0; i < N * D; i++)
        x[i] = (float)(draw(2001) - 1000) / 100;
    for (int i = 0; i < E * D; i++)
        bias[i] = (float)draw(100);
}

static void make_reals(void)
{
    d = D_REALS;
    for (int w = 0; w < N_WEIGHTS; w++) {
        numbers[w] = malloc((size_t)(E * d * d) * sizeof **numbers);
        assert_non_null(numbers[w]);
        for (int64_t i = 0; i < E * d * d; i++)
            numbers[w][i] = (float)(draw(21) - 10);
    }
    for (int i = 0; i < N * D; i++)
        x[i] = (float)(draw(21) - 10);
}

static void free_numbers(void)
{
    for (int w = 0; w < N_WEIGHTS; w++) {
        free(blocks[w]);
        free(numbers[w]);
        blocks[w] = NULL;
        numbers[w] = NULL;
    }
}

static struct tensor uploaded(struct side *side, const float *values, int64_t d0, int64_t d1)
{
    const struct tensor tensor = tensor_2d(&side->arena, DTYPE_F32, d0, d1);
    side->backend.ops->upload(&side->backend, &tensor, values, (size_t)(d0 * d1) * sizeof *values);
    return tensor;
}

static void open_weight(struct side *side, int w)
{
    struct weight *weight = &side->weight[w];
    *weight = (struct weight){.value = {.dtype = DTYPE_F32, .rank = 3, .dim = {E, d, d}}};
    if (blocks[w]) {
        weight->blocks = quantized_blocks(&weight->value, false);
        weight->blocks.data = blocks[w];
        weight->scales = uploaded(side, scales[w], E, d);
    } else if (side->backend.reads_host_weights) {
        weight->host = numbers[w];
    } else {
        weight->value.data = numbers[w];
    }
    side->backend.ops->weight_pack(&side->backend, weight, PACK_PLAIN);
}

static void open_side(struct side *side, const char *name)
{
    *side = (struct side){0};
    assert_int_equal(backend_open(&side->backend, name, 1), STATUS_OK);
    assert_int_equal(backend_arena_init(&side->backend, &side->arena, 4 << 20), STATUS_OK);
    side->x = uploaded(side, x, N, d);
    side->y = tensor_2d(&side->arena, DTYPE_F32, N, d);
    side->bias = uploaded(side, bias, E, d);
    side->offsets = tensor_1d(&side->arena, DTYPE_I32, E + 1);
    for (int w = 0; w < N_WEIGHTS; w++)
        open_weight(side, w);
}

static void close_side(struct side *side)
{
    for (int w = 0; w < N_WEIGHTS; w++)
        side->backend.ops->weight_free(&side->backend, &side->weight[w]);
    arena_free(&side->arena);
    backend_close(&side->backend);
}

static void multiply(struct side *side, int w, const int32_t *starts, float *y)
{
    const struct backend_ops *ops = side->backend.ops;
    ops->upload(&side->backend, &side->offsets, starts, (E + 1) * sizeof *starts);
    ops->grouped_linear(&side->backend, &side->y, &side->x, &side->weight[w], false, &side->bias,
                        &side->offsets, ACTIVATION_RELU);
    ops->download(&side->backend, y, &side->y, (size_t)(N * d) * sizeof *y);
    assert_int_equal(backend_sync(&side->backend), STATUS_OK);
}

/* Rows of all groups, of some, or of a few neighbours. */
static void choose_rows(int round, int32_t *starts)
{
    int rows[E] = {0};
    for (int n = 0; n < N; n++)
        rows[round % 3 == 0 ? n % E : round % 3 == 1 ? draw(E) : (4 * round + draw(4)) % E]++;
    starts[0] = 0;
    for (int e = 0; e < E; e++)
        starts[e + 1] = starts[e] + rows[e];
}

static void compare(void)
{
    static struct side device, reference;
    static float found[N * D], wanted[N * D];
    open_side(&device, "cuda-emu");
    open_side(&reference, "ref");
    for (int round = 0; round < N_ROUNDS; round++) {
        int32_t starts[E + 1];
        choose_rows(round, starts);
        for (int w = 0; w < N_WEIGHTS; w++) {
            multiply(&device, w, starts, found);
            multiply(&reference, w, starts, wanted);
            assert_memory_equal(found, wanted, (size_t)(N * d) * sizeof *wanted);
        }
    }
    close_side(&device);
    close_side(&reference);
    free_numbers();
}

static void test_int8(void **unused)
{
    (void)unused;
    make_int8();
    compare();
}

static void test_reals(void **unused)
{
    (void)unused;
    make_reals();
    compare();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_int8), cmocka_unit_test(test_reals)};
    return cmocka_run_group_tests_name("cuda_slots", tests, NULL, NULL);
}
