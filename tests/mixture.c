/* A MoE layer for tests. */
#include "tests/mixture.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

struct gate_config mixture_gate(enum gate_kind kind, int64_t n_experts, int64_t top_k)
{
    if (kind == GATE_SOFTMAX)
        top_k = n_experts;
    if (kind == GATE_SWITCH)
        top_k = 1;
    return (struct gate_config){
        .kind = kind, .n_experts = n_experts, .top_k = top_k, .noise = 1, .threshold_weight = 0.5};
}

struct moe_config mixture_flat(enum gate_kind kind, int64_t n_experts, int64_t top_k)
{
    return (struct moe_config){
        .n_levels = 1,
        .gate = {mixture_gate(kind, n_experts, top_k)},
        .expert = {.kind = EXPERT_RELU, .hidden = MIXTURE_HIDDEN, .n_patches = 1},
        .has_sigmoid = true,
        .importance_weight = 0.1,
        .load_weight = 0.1};
}

struct moe_config mixture_two_levels(const struct gate_config *groups,
                                     const struct gate_config *experts)
{
    struct moe_config config = mixture_flat(GATE_SOFTMAX, 1, 1);
    config.n_levels = 2;
    config.gate[0] = *groups;
    config.gate[1] = *experts;
    return config;
}

void mixture_open(struct mixture *mixture, const char *backend, int64_t dim,
                  const struct moe_config *config, uint32_t stream)
{
    *mixture = (struct mixture){0};
    fixture_open(&mixture->fixture, backend);
    moe_init(&mixture->moe, &mixture->fixture.params, "moe", dim, config, stream);
    fixture_start(&mixture->fixture, 0.7);
    for (int l = 0; l < MOE_MAX_LEVELS; l++) {
        const struct param *param = mixture->moe.gate[l].threshold;
        for (int64_t i = 0; param && i < tensor_count(&param->weight.value); i++)
            fixture_set(&mixture->fixture, &param->weight.value, i,
                        fixture_get(&mixture->fixture, &param->weight.value, i) - 2);
    }
}

struct tensor mixture_run(struct mixture *mixture, const struct tensor *x,
                          const struct tensor *names)
{
    const struct tensor y = tensor_like(&mixture->fixture.arena, x);
    const struct sequence sequence = {.names = names ? *names : (struct tensor){0}};
    moe_forward(&mixture->moe, &mixture->fixture.pass, &mixture->record, &y, x, &sequence, 1);
    return y;
}

double mixture_closeness(const struct mixture *mixture)
{
    return mixture->fixture.backend.real == DTYPE_F64 ? 1e-12 : 1e-5;
}

void mixture_expect_row(struct fixture *fixture, const struct tensor *a, int64_t row_a,
                        const struct tensor *b, int64_t row_b)
{
    const int64_t dim = a->dim[2];
    const struct pass_mark mark = pass_mark(&fixture->pass);
    const double *left = fixture_values(fixture, a) + row_a * dim;
    const double *right = fixture_values(fixture, b) + row_b * dim;
    for (int64_t d = 0; d < dim; d++)
        if (!(left[d] == right[d]))
            fail_msg("row %lld column %lld is %.17g, row %lld is %.17g", (long long)row_a,
                     (long long)d, left[d], (long long)row_b, right[d]);
    pass_release(&fixture->pass, mark);
}

double *mixture_weights(struct fixture *fixture, const struct moe *moe,
                        const struct moe_record *record)
{
    const int64_t n_tokens = record->x.dim[0], n_experts = moe->n_experts;
    const size_t bytes = (size_t)(n_tokens * n_experts) * sizeof(double);
    double *table = arena_take(&fixture->host, bytes);
    memset(table, 0, bytes);
    struct tensor tokens, weights;
    moe_choices(moe, &fixture->pass, record, &tokens, &weights);
    const int32_t *rows = fixture_read_ints(fixture, &tokens);
    const int32_t *starts = fixture_read_ints(fixture, moe_offsets(moe, record));
    const double *values = fixture_values(fixture, &weights);
    assert_int_equal(starts[0], 0);
    assert_int_equal(starts[n_experts], tensor_count(&tokens));
    for (int64_t e = 0; e < n_experts; e++)
        for (int32_t at = starts[e]; at < starts[e + 1]; at++) {
            assert_in_range(rows[at], 0, n_tokens - 1);
            double *cell = &table[rows[at] * n_experts + e];
            if (*cell != 0 || !(values[at] > 0))
                fail_msg("token %d, expert %lld: weight %g after %g", rows[at], (long long)e,
                         values[at], *cell);
            *cell = values[at];
        }
    return table;
}
