/* Grouped products download where their groups start. Those that follow each other with the same
 * offsets do it once, and operations in between that write no whole numbers change nothing. */
#include <dlfcn.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "backend/backend.h"

enum { E = 2, N = 6, D = 4 };

struct bench {
    struct backend backend;
    struct arena arena;
    struct tensor x, y, z, gates, cells, offsets, rows, copy; /* [N, D], [N, 4D], [E+1] i32 */
    struct weight weight;
    long (*call_count)(void); /* of NVIDIA's functions */
};

static struct tensor filled(struct bench *bench, int64_t d0, int64_t d1)
{
    const struct tensor tensor = tensor_2d(&bench->arena, DTYPE_F32, d0, d1);
    bench->backend.ops->fill(&bench->backend, &tensor, 0.5);
    return tensor;
}

static void open_bench(struct bench *bench)
{
    const int32_t starts[E + 1] = {0, 2, N}, rows[E + 1] = {0, 1, 2};
    struct backend *backend = &bench->backend;
    *bench = (struct bench){0};
    assert_int_equal(backend_open(backend, "cuda-emu", 1), STATUS_OK);
    void *module = dlopen("libmixt-cuda-emu.so", RTLD_NOW | RTLD_NOLOAD);
    assert_non_null(module);
    *(void **)&bench->call_count = dlsym(module, "simt_call_count");
    assert_non_null(bench->call_count);
    assert_int_equal(backend_arena_init(backend, &bench->arena, 0), STATUS_OK);
    bench->x = filled(bench, N, D);
    bench->y = filled(bench, N, D);
    bench->z = filled(bench, N, D);
    bench->gates = filled(bench, N, 4 * D);
    bench->cells = filled(bench, N, D);
    const struct tensor value = filled(bench, E * D, D);
    bench->weight.value = tensor_as_3d(&value, E, D, D);
    bench->copy = tensor_2d(&bench->arena, DTYPE_I32, E + 1, 1);
    bench->rows = tensor_1d(&bench->arena, DTYPE_I32, E + 1);
    bench->offsets = tensor_1d(&bench->arena, DTYPE_I32, E + 1);
    backend->ops->weight_pack(backend, &bench->weight, PACK_PLAIN);
    backend->ops->upload(backend, &bench->rows, rows, sizeof rows);
    backend->ops->upload(backend, &bench->offsets, starts, sizeof starts);
}

static void close_bench(struct bench *bench)
{
    assert_int_equal(backend_sync(&bench->backend), STATUS_OK);
    bench->backend.ops->weight_free(&bench->backend, &bench->weight);
    arena_free(&bench->arena);
    backend_close(&bench->backend);
}

/* Calls that a grouped product makes. */
static long multiply(struct bench *bench)
{
    const long before = bench->call_count();
    bench->backend.ops->grouped_linear(&bench->backend, &bench->y, &bench->x, &bench->weight, false,
                                       NULL, &bench->offsets, ACTIVATION_NONE);
    return bench->call_count() - before;
}

static void test_kept(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench);
    struct backend *backend = &bench.backend;
    const struct backend_ops *ops = backend->ops;
    const long unknown = multiply(&bench), known = multiply(&bench);
    assert_true(known < unknown);
    ops->activate(backend, &bench.z, &bench.y, ACTIVATION_CUBE);
    assert_int_equal(multiply(&bench), known);
    ops->activate_backward(backend, &bench.z, &bench.y, &bench.x, ACTIVATION_RELU);
    assert_int_equal(multiply(&bench), known);
    ops->add(backend, &bench.z, &bench.y, 2);
    assert_int_equal(multiply(&bench), known);
    ops->lstm_cell(backend, &bench.gates, &bench.cells, &bench.z, NULL);
    assert_int_equal(multiply(&bench), known);
    ops->lstm_cell_backward(backend, &bench.gates, &bench.z, &bench.cells, NULL, &bench.x);
    assert_int_equal(multiply(&bench), known);
    close_bench(&bench);
}

static void test_dropped(void **state)
{
    (void)state;
    struct bench bench;
    open_bench(&bench);
    struct backend *backend = &bench.backend;
    const struct backend_ops *ops = backend->ops;
    const int32_t starts[E + 1] = {0, 3, N};
    const long unknown = multiply(&bench);
    const struct tensor column = tensor_as_2d(&bench.offsets, E + 1, 1);
    ops->gather_rows(backend, &bench.copy, &column, &bench.rows);
    assert_int_equal(multiply(&bench), unknown);
    ops->copy(backend, &bench.copy, &bench.offsets);
    assert_int_equal(multiply(&bench), unknown);
    ops->upload(backend, &bench.offsets, starts, sizeof starts);
    assert_int_equal(multiply(&bench), unknown);
    close_bench(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_kept), cmocka_unit_test(test_dropped)};
    return cmocka_run_group_tests_name("cuda_offsets", tests, NULL, NULL);
}
