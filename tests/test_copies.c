/* Packed copies that weights make in turn: their places, and products with weights packed late
 * against those with weights that keep their copies, bit by bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "backend/cpu/copies.h"
#include "tests/fixture.h"

enum { N_COPIES = 20, UNIT = ARENA_ALIGNMENT };

/* Finds copy i or makes it; each byte of it says whose it is. */
static void use(struct copies *copies, struct copy *copy, int i)
{
    const size_t size = (size_t)(i % 5 + 1) * UNIT;
    if (!copy[i].home)
        memset(copies_make(copies, &copy[i], size), i, size);
    const unsigned char *bytes = copies_find(copies, &copy[i]);
    for (size_t j = 0; j < size; j++)
        assert_int_equal(bytes[j], i);
}

/* Passes over all, each time of new values, need no more memory than the largest; and what is there
 * is whole. */
static void test_passes(void **state)
{
    (void)state;
    struct copies copies = {0};
    struct copy copy[N_COPIES] = {{0}};
    for (int pass = 0; pass < 50; pass++) {
        for (int i = 0; i < N_COPIES; i++)
            for (int back = 0; back < 3; back++)
                use(&copies, copy, i > 0 && back == 1 && copy[i - 1].home ? i - 1 : i);
        for (int i = 0; i < N_COPIES && pass % 2; i++)
            copies_drop(&copy[i]);
    }
    assert_int_equal(arena_mark(&copies.arena), 5 * UNIT);
    copies_free(&copies);
}

/* A loop over a few comes to rest: nothing is made any more. */
static void test_loop(void **state)
{
    (void)state;
    struct copies copies = {0};
    struct copy copy[N_COPIES] = {{0}};
    for (int round = 0; round < 6; round++)
        for (int i = 3; i < 9; i++)
            use(&copies, copy, i);
    const int64_t n_made = copies.n_made;
    for (int i = 3; i < 9; i++)
        use(&copies, copy, i);
    assert_int_equal(copies.n_made, n_made);
    copies_free(&copies);
}

enum { E = 3, N = 150, IN = 70, OUT = 90 };

/* Two weights of equal values, the second late. */
struct pair {
    struct weight weight[2];
};

static void pack(struct fixture *fixture, struct pair *pair)
{
    const int forms = PACK_PLAIN | PACK_TRANSPOSED;
    const struct backend_ops *ops = fixture->backend.ops;
    ops->weight_pack(&fixture->backend, &pair->weight[0], forms);
    ops->weight_pack(&fixture->backend, &pair->weight[1], forms | PACK_LATE);
}

static void compare(struct fixture *fixture, const struct pair *pair, bool transposed)
{
    const struct backend_ops *ops = fixture->backend.ops;
    const int64_t in = transposed ? OUT : IN, out = transposed ? IN : OUT;
    const struct tensor x = fixture_random_2d(fixture, N, in, 1);
    const struct tensor offsets = fixture_ints(fixture, (const int32_t[]){0, 1, 131, N}, E + 1);
    struct tensor y[2];
    for (int late = 0; late < 2; late++) {
        const struct weight *weight = &pair->weight[late];
        y[late] = tensor_2d(&fixture->arena, DTYPE_F32, N, out);
        if (weight->value.rank == 2)
            ops->linear(&fixture->backend, &y[late], &x, weight, transposed, NULL, ACTIVATION_NONE,
                        false);
        else
            ops->grouped_linear(&fixture->backend, &y[late], &x, weight, transposed, NULL, &offsets,
                                ACTIVATION_NONE);
    }
    assert_int_equal(backend_sync(&fixture->backend), STATUS_OK);
    assert_memory_equal(y[0].data, y[1].data, (size_t)(N * out) * sizeof(float));
}

static void test_products(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_open(&fixture, "cpu");
    struct backend *backend = &fixture.backend;
    struct pair pairs[4];
    for (int i = 0; i < 4; i++) {
        const struct tensor value = i % 2 ? fixture_random_3d(&fixture, E, IN, OUT, 1)
                                          : fixture_random_2d(&fixture, IN, OUT, 1);
        pairs[i] = (struct pair){.weight = {{.value = value}, {.value = value}}};
    }
    for (int update = 0; update < 3; update++)
        for (int i = 0; i < 4; i++) {
            backend->ops->fill(backend, &pairs[i].weight[0].value, 0.1 * update + i);
            fixture_set(&fixture, &pairs[i].weight[0].value, 17, 3 + update);
            pack(&fixture, &pairs[i]);
            for (int other = 0; other <= i; other++)
                for (int transposed = 0; transposed < 2; transposed++)
                    compare(&fixture, &pairs[other], transposed);
        }
    /* Copies of its own for a while, and none again. */
    backend->ops->weight_pack(backend, &pairs[0].weight[1], PACK_PLAIN);
    compare(&fixture, &pairs[0], false);
    compare(&fixture, &pairs[0], true);
    pack(&fixture, &pairs[0]);
    compare(&fixture, &pairs[0], false);
    for (int i = 0; i < 4; i++)
        for (int late = 0; late < 2; late++)
            backend->ops->weight_free(backend, &pairs[i].weight[late]);
    fixture_close(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_loop),
        cmocka_unit_test(test_products),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
