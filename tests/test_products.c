/* Updates from gradients that are not stored against those from stored ones.
 *
 * Usage: test_products BACKEND. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tests/mixture.h"
#include "train/optimizer.h"

static const char *backend;

/* How far two ways of one sum may be apart. */
static double closeness(void)
{
    return strcmp(backend, "ref64") == 0 ? 1e-11 : 2e-5;
}

enum { N = 14, K = 2, D = 12, N_UPDATES = 3 };

/* What is varied. */
struct setting {
    int64_t n_experts, n_patches;
    bool is_recomputed, is_factored;
    double clip;
};

static void open_side(struct mixture *side, struct arena *products, const struct setting *setting)
{
    struct moe_config config = mixture_flat(GATE_NOISY_TOP_K, setting->n_experts, K);
    *side = (struct mixture){0};
    fixture_open(&side->fixture, backend);
    config.expert.n_patches = setting->n_patches;
    config.expert.is_recomputed = setting->is_recomputed;
    config.expert.n_rows = N * K;
    side->fixture.params.factors_experts = setting->is_factored;
    if (products)
        assert_int_equal(backend_arena_init(&side->fixture.backend, products, 1 << 20), STATUS_OK);
    side->fixture.params.products = products;
    moe_init(&side->moe, &side->fixture.params, "moe", D, &config, MIXTURE_STREAM);
    fixture_start(&side->fixture, 0.7);
}

static double update(struct mixture *side, const struct setting *setting, int64_t step)
{
    struct fixture *fixture = &side->fixture;
    struct config_train train = {.steps = 100};
    train.optimizer.lr = 0.05;
    train.optimizer.beta1 = 0.8;
    train.optimizer.beta2 = 0.9;
    train.optimizer.epsilon = 0.01; /* or a gradient that is 0 but for rounding moves as any */
    train.optimizer.clip = setting->clip;
    train.schedule.decay = CONFIG_DECAY_NONE;
    const struct pass_mark mark = pass_mark(&fixture->pass);
    const struct tensor x = fixture_random_3d(fixture, N, 1, D, 1);
    const struct tensor d = fixture_random_3d(fixture, N, 1, D, 1);
    double norm = 0;
    (void)mixture_run(side, &x, NULL);
    moe_backward(&side->moe, &fixture->pass, &side->record, &d, &(struct sequence){0});
    /* What the update reads must not be among tensors that the backward pass gave back. */
    const size_t above = arena_mark(&fixture->arena);
    const struct tensor dirt = tensor_2d(&fixture->arena, fixture->backend.real, 1000, D);
    fixture->backend.ops->fill(&fixture->backend, &dirt, 1e6);
    arena_release(&fixture->arena, above);
    assert_int_equal(optimizer_step(&fixture->params, &fixture->arena, &train, step, &norm),
                     STATUS_OK);
    pass_release(&fixture->pass, mark);
    return norm;
}

static void compare(struct mixture *a, const struct tensor *of_a, struct mixture *b,
                    const struct tensor *of_b, const char *name)
{
    assert_int_equal(of_a->rank, of_b->rank);
    if (of_a->rank)
        expect_close(name, fixture_values(&a->fixture, of_a), fixture_values(&b->fixture, of_b),
                     tensor_count(of_a), closeness());
}

/* Experts that no token was sent to. */
static int64_t count_idle(struct mixture *side)
{
    const struct tensor *offsets = moe_offsets(&side->moe, &side->record);
    const int32_t *start = fixture_read_ints(&side->fixture, offsets);
    int64_t n_idle = 0;
    for (int64_t e = 0; e < side->moe.n_experts; e++)
        n_idle += start[e] == start[e + 1];
    return n_idle;
}

static void check(struct setting setting)
{
    struct mixture stored, product;
    struct arena products;
    open_side(&stored, NULL, &setting);
    open_side(&product, &products, &setting);
    const struct param_list *a = &stored.fixture.params, *b = &product.fixture.params;
    assert_true(stored.moe.experts.up->grad.rank && !product.moe.experts.up->grad.rank);
    assert_true(stored.moe.experts.down->grad.rank && !product.moe.experts.down->grad.rank);
    for (int64_t step = 1; step <= N_UPDATES; step++) {
        const double norm = update(&stored, &setting, step);
        const double other = update(&product, &setting, step);
        expect_close("norm", &other, &norm, 1, closeness());
        assert_true(setting.clip == 0 || norm > 1.5 * setting.clip);
        assert_int_equal(arena_mark(&products), 0);
        for (int64_t i = 0; i < a->count; i++) {
            const struct param *p = a->items[i], *q = b->items[i];
            compare(&stored, &p->weight.value, &product, &q->weight.value, p->name);
            compare(&stored, &p->first, &product, &q->first, p->name);
            compare(&stored, &p->second, &product, &q->second, p->name);
            compare(&stored, &p->second_row, &product, &q->second_row, p->name);
            compare(&stored, &p->second_column, &product, &q->second_column, p->name);
        }
    }
    assert_true(products.high_mark > 0);
    const struct tensor x = fixture_random_3d(&product.fixture, N, 1, D, 1);
    (void)mixture_run(&product, &x, NULL);
    assert_true(count_idle(&product) > 0);
    fixture_close(&stored.fixture);
    param_list_free(&product.fixture.params);
    arena_free(&products);
    fixture_close(&product.fixture);
}

static void test_updates(void **state)
{
    (void)state;
    for (int is_factored = 0; is_factored < 2; is_factored++)
        for (int is_clipped = 0; is_clipped < 2; is_clipped++) {
            struct setting setting = {.n_experts = 60,
                                      .n_patches = 1,
                                      .is_factored = is_factored,
                                      .clip = is_clipped ? 0.5 : 0};
            check(setting);
            setting.is_recomputed = true;
            check(setting);
            setting.n_patches = 3;
            check(setting);
            setting.n_experts = WEIGHT_MANY + 3;
            check(setting);
        }
}

/* Few experts, and those that do not know how many rows to expect, store their gradients. */
static void test_stored(void **state)
{
    (void)state;
    const struct expert_config few = {.hidden = 20, .n_patches = 1, .n_rows = 100};
    struct expert_config unknown = few;
    unknown.n_rows = 0;
    assert_true(experts_have_few_rows(&few, 27, 12, 12)); /* 2 * 100 * 32 < 27 * 240 */
    assert_false(experts_have_few_rows(&few, 26, 12, 12));
    assert_false(experts_have_few_rows(&unknown, 1000, 12, 12));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_updates),
        cmocka_unit_test(test_stored),
    };
    if (argc != 2)
        return 2;
    backend = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
