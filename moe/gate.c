/* The four gates. */
#include "moe/gate.h"

#include <math.h>

#include "moe/columns.h"

static struct param *add_matrix(const struct gate *gate, struct param_list *params,
                                const char *prefix, const char *name, int64_t dim, double bound)
{
    const int64_t n_experts = gate->config.n_experts;
    /* Small differences of scores decide who is chosen. */
    const int forms = PACK_PLAIN | PACK_EXACT;
    struct param_spec spec = {.rank = 2, .dim = {dim, n_experts}, .forms = forms};
    if (gate->n_groups > 1)
        spec =
            (struct param_spec){.rank = 3, .dim = {gate->n_groups, dim, n_experts}, .forms = forms};
    spec.start = bound > 0 ? PARAM_UNIFORM : PARAM_ZERO;
    spec.bound = bound;
    return param_add(params, spec, "%s.%s", prefix, name);
}

static struct param *add_thresholds(const struct gate *gate, struct param_list *params,
                                    const char *prefix)
{
    const int64_t n_experts = gate->config.n_experts;
    struct param_spec spec = {
        .rank = 1, .dim = {n_experts}, .start = PARAM_CONSTANT, .bound = -log((double)n_experts)};
    if (gate->n_groups > 1) {
        spec.rank = 2;
        spec.dim[0] = gate->n_groups;
        spec.dim[1] = n_experts;
    }
    return param_add(params, spec, "%s.threshold", prefix);
}

void gate_init(struct gate *gate, struct param_list *params, const char *prefix, int64_t dim,
               const struct gate_config *config, int64_t n_groups, uint32_t stream)
{
    const bool is_balanced = config->kind == GATE_BALANCED;
    CHECK(config->top_k >= 1 && config->top_k <= config->n_experts, "top %lld of %lld experts",
          (long long)config->top_k, (long long)config->n_experts);
    *gate = (struct gate){.config = *config, .n_groups = n_groups, .stream = stream};
    gate->weight =
        add_matrix(gate, params, prefix, "weight", dim, is_balanced ? sqrt(3 / (double)dim) : 0);
    if (config->kind == GATE_NOISY_TOP_K && config->noise > 0)
        gate->noise = add_matrix(gate, params, prefix, "noise", dim, 0);
    if (is_balanced)
        gate->threshold = add_thresholds(gate, params, prefix);
}

/* Scores [N, E] = x W, each group with its own matrix. */
static struct tensor score(const struct gate *gate, const struct pass *pass, const struct tensor *x,
                           const struct param *weight, const struct tensor *groups)
{
    struct backend *backend = pass->backend;
    const struct tensor y = pass_2d(pass, x->dim[0], gate->config.n_experts);
    if (gate->n_groups > 1)
        backend->ops->grouped_linear(backend, &y, x, &weight->weight, false, NULL, groups,
                                     ACTIVATION_NONE);
    else
        backend->ops->linear(backend, &y, x, &weight->weight, false, NULL, ACTIVATION_NONE, false);
    return y;
}

static void add_noise(const struct gate *gate, const struct pass *pass, struct gate_record *record,
                      const struct tensor *names, const struct tensor *groups)
{
    struct gating *gating = &record->gating;
    gating->noise = gate->config.noise;
    gating->noisy = tensor_like(pass->arena, &gating->clean);
    if (gate->noise) {
        gating->raw = score(gate, pass, &record->x, gate->noise, groups);
        gating->stddev = tensor_like(pass->arena, &gating->clean);
    }
    pass->backend->ops->gate_noise(pass->backend, gating, pass_key(pass, gate->stream), names);
}

/* Keeps the K largest, and where there is noise the one after them, the threshold of eq. 9. */
static void choose_largest(const struct gate *gate, const struct pass *pass,
                           struct gate_record *record)
{
    struct backend *backend = pass->backend;
    struct gating *gating = &record->gating;
    const int64_t n_rows = record->x.dim[0], k = gate->config.top_k;
    const bool wants_threshold = gating->noise > 0 && k < gate->config.n_experts;
    gating->top = pass_2d(pass, n_rows, wants_threshold ? k + 1 : k);
    gating->order = tensor_2d(pass->arena, DTYPE_I32, n_rows, gating->top.dim[1]);
    backend->ops->top_k(backend, &gating->top, &gating->order, &gating->noisy);
    gating->weights = pass_2d(pass, n_rows, k);
    gating->experts = tensor_2d(pass->arena, DTYPE_I32, n_rows, k);
    backend->ops->copy_columns(backend, &gating->experts, 0, &gating->order, 0, k, false);
    if (gate->config.kind == GATE_SWITCH) {
        backend->ops->choice_weights(backend, &gating->weights, &record->p, &gating->experts, NULL,
                                     false);
        return;
    }
    backend->ops->copy_columns(backend, &gating->weights, 0, &gating->top, 0, k, false);
    backend->ops->softmax(backend, &gating->weights, &gating->weights);
}

/* Whether the batch that a balanced gate chooses by has tokens of other ranks. */
static bool meets_ranks(const struct pass *pass)
{
    return pass->is_training && !comm_is_alone(pass->comm) && !pass->by_parts;
}

/* The mask of eq. 18; returns how many tokens the batch has. */
static int64_t balance_batch(const struct gate *gate, const struct pass *pass,
                             const struct gate_record *record, const struct tensor *names,
                             const struct tensor *groups)
{
    struct backend *backend = pass->backend;
    const int64_t n_experts = gate->config.n_experts, top_k = gate->config.top_k;
    struct columns columns;
    if (!meets_ranks(pass)) {
        backend->ops->balanced_mask(backend, &record->mask, &record->p, groups, top_k, n_experts);
        return record->p.dim[0];
    }
    const struct pass_mark mark = pass_mark(pass);
    CHECK(names, "tokens of several ranks without names");
    columns_open(&columns, pass, record->p.dim[0], n_experts, names, groups);
    const struct tensor here = columns_out(&columns, pass, &record->p);
    const struct tensor mask = tensor_2d(pass->arena, DTYPE_I32, here.dim[0], here.dim[1]);
    if (tensor_count(&here) > 0)
        backend->ops->balanced_mask(backend, &mask, &here, tensor_or_null(&columns.groups), top_k,
                                    n_experts);
    columns_back(&columns, pass, &record->mask, &mask);
    pass_release(pass, mark);
    return columns.n_rows;
}

/* The mask of eq. 18 and what the thresholds learn from it, or the mask of eq. 19. */
static void make_mask(const struct gate *gate, const struct pass *pass, struct gate_record *record,
                      const struct tensor *names, const struct tensor *groups, double balance_scale)
{
    struct backend *backend = pass->backend;
    const int64_t n_rows = record->x.dim[0];
    const struct tensor *thresholds = &gate->threshold->weight.value;
    record->mask = tensor_2d(pass->arena, DTYPE_I32, n_rows, gate->config.n_experts);
    if (!pass->is_training) {
        backend->ops->threshold_mask(backend, &record->mask, &record->p, thresholds, groups);
        return;
    }
    const int64_t n_batch = balance_batch(gate, pass, record, names, groups);
    record->d_p = tensor_like(pass->arena, &record->p);
    record->d_threshold = tensor_like(pass->arena, thresholds);
    record->threshold_loss = tensor_1d(pass->arena, backend->real, 1);
    backend->ops->fill(backend, &record->d_p, 0);
    backend->ops->fill(backend, &record->d_threshold, 0);
    const double mean = n_batch ? 1 / (double)n_batch : 0;
    backend->ops->threshold_loss(backend, &record->threshold_loss, &record->d_p,
                                 &record->d_threshold, &record->p, &record->mask, thresholds,
                                 groups, balance_scale * gate->config.threshold_weight * mean);
}

/* Lists what the mask marks: as many choices as there are, which only the device knows. */
static void choose_masked(const struct pass *pass, struct gate_record *record)
{
    struct backend *backend = pass->backend;
    struct gating *gating = &record->gating;
    const int64_t n_rows = record->x.dim[0];
    int32_t n_choices = 0;
    gating->starts = tensor_1d(pass->arena, DTYPE_I32, n_rows + 1);
    backend->ops->mask_starts(backend, &gating->starts, &record->mask);
    const struct tensor last = tensor_slice(&gating->starts, n_rows, 1);
    backend->ops->download(backend, &n_choices, &last, sizeof n_choices);
    gating->experts = tensor_1d(pass->arena, DTYPE_I32, n_choices);
    gating->weights = tensor_1d(pass->arena, backend->real, n_choices);
    backend->ops->mask_experts(backend, &gating->experts, &record->mask, &gating->starts);
    backend->ops->choice_weights(backend, &gating->weights, &gating->clean, &gating->experts,
                                 &gating->starts, true);
}

void gate_forward(const struct gate *gate, const struct pass *pass, struct gate_record *record,
                  const struct tensor *x, const struct tensor *names, const struct tensor *groups,
                  double balance_scale)
{
    struct backend *backend = pass->backend;
    const enum gate_kind kind = gate->config.kind;
    const bool has_noise = kind == GATE_NOISY_TOP_K || kind == GATE_SWITCH;
    *record = (struct gate_record){.x = *x};
    struct gating *gating = &record->gating;
    if (groups)
        gating->groups = *groups;
    gating->clean = score(gate, pass, x, gate->weight, groups);
    gating->noisy = gating->clean;
    if (kind == GATE_SWITCH || kind == GATE_BALANCED) {
        record->p = tensor_like(pass->arena, &gating->clean);
        backend->ops->softmax(backend, &record->p, &gating->clean);
    }
    if (kind == GATE_BALANCED) {
        make_mask(gate, pass, record, names, groups, balance_scale);
        choose_masked(pass, record);
        return;
    }
    if (pass->is_training && has_noise && gate->config.noise > 0)
        add_noise(gate, pass, record, names, groups);
    choose_largest(gate, pass, record);
}

void gate_forward_none(const struct gate *gate, const struct pass *pass, struct gate_record *record,
                       const struct tensor *groups)
{
    const int64_t n_experts = gate->config.n_experts;
    *record = (struct gate_record){0};
    if (groups)
        record->gating.groups = *groups;
    if (gate->config.kind != GATE_BALANCED)
        return;
    record->p = pass_2d(pass, 0, n_experts);
    record->mask = tensor_2d(pass->arena, DTYPE_I32, 0, n_experts);
    const struct tensor names = tensor_1d(pass->arena, DTYPE_I32, 0);
    if (meets_ranks(pass))
        (void)balance_batch(gate, pass, record, &names, groups);
}

/* d_x += d_scores W^T, and W's gradient. */
static void score_backward(const struct gate *gate, const struct pass *pass,
                           const struct tensor *d_x, const struct param *weight,
                           const struct tensor *d_scores, const struct gate_record *record)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const struct tensor *groups = &record->gating.groups;
    if (gate->n_groups == 1) {
        ops->linear_gradient(backend, &weight->grad, NULL, &record->x, d_scores);
        ops->linear(backend, d_x, d_scores, &weight->weight, true, NULL, ACTIVATION_NONE, true);
        return;
    }
    const struct tensor more = tensor_like(pass->arena, d_x);
    ops->grouped_linear_gradient(backend, &weight->grad, NULL, &record->x, d_scores, groups);
    ops->grouped_linear(backend, &more, d_scores, &weight->weight, true, NULL, groups,
                        ACTIVATION_NONE);
    ops->add(backend, d_x, &more, 1);
}

/* d_clean += through p = softmax(clean) from d_p, which is overwritten. */
static void softmax_backward(const struct pass *pass, const struct tensor *d_clean,
                             const struct tensor *d_p, const struct gate_record *record)
{
    pass->backend->ops->softmax_backward(pass->backend, d_p, &record->p, d_p);
    pass->backend->ops->add(pass->backend, d_clean, d_p, 1);
}

/* d_clean = from the weights, a softmax over each token's choices, and from the threshold loss. */
static void balanced_backward(const struct gate *gate, const struct pass *pass,
                              const struct tensor *d_clean, const struct tensor *d_weights,
                              const struct gate_record *record)
{
    struct backend *backend = pass->backend;
    const struct gating *gating = &record->gating;
    backend->ops->choice_weights_backward(backend, d_clean, d_weights, &gating->weights,
                                          &gating->experts, &gating->starts, true);
    softmax_backward(pass, d_clean, &record->d_p, record);
    backend->ops->add(backend, &gate->threshold->grad, &record->d_threshold, 1);
}

/* d_clean += from the weight, the choice's part in the softmax over all experts. */
static void switch_backward(const struct pass *pass, const struct tensor *d_clean,
                            const struct tensor *d_weights, const struct gate_record *record)
{
    struct backend *backend = pass->backend;
    const struct gating *gating = &record->gating;
    const struct tensor d_p = tensor_like(pass->arena, &record->p);
    backend->ops->choice_weights_backward(backend, &d_p, d_weights, &gating->weights,
                                          &gating->experts, NULL, false);
    softmax_backward(pass, d_clean, &d_p, record);
}

void gate_backward(const struct gate *gate, const struct pass *pass, const struct tensor *d_x,
                   const struct tensor *d_weights, const struct tensor *d_load,
                   const struct gate_record *record)
{
    struct backend *backend = pass->backend;
    const struct gating *gating = &record->gating;
    const size_t mark = arena_mark(pass->arena);
    const struct tensor d_clean = tensor_like(pass->arena, &gating->clean);
    struct tensor d_raw = {0};
    if (gating->raw.rank)
        d_raw = tensor_like(pass->arena, &gating->raw);
    const bool is_switch = gate->config.kind == GATE_SWITCH;
    if (gate->config.kind == GATE_BALANCED)
        balanced_backward(gate, pass, &d_clean, d_weights, record);
    else
        backend->ops->gate_backward(backend, &d_clean, tensor_or_null(&d_raw),
                                    is_switch ? NULL : d_weights, d_load, gating);
    if (is_switch)
        switch_backward(pass, &d_clean, d_weights, record);
    score_backward(gate, pass, d_x, gate->weight, &d_clean, record);
    if (d_raw.rank)
        score_backward(gate, pass, d_x, gate->noise, &d_raw, record);
    arena_release(pass->arena, mark);
}
