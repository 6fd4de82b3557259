/* The mixture-of-experts layer: gates, dispatch, experts, combine. */
#include "moe/moe.h"

#include <stdio.h>

#include "layer/phase.h"

enum { STREAM_GATE, STREAM_DROPOUT, STREAM_GATE2 };

void moe_init(struct moe *moe, struct param_list *params, const char *name, int64_t dim,
              const struct moe_config *config, uint32_t stream)
{
    static const char *const gates[] = {"gate", "gate2"};
    static const uint32_t streams[] = {STREAM_GATE, STREAM_GATE2};
    *moe = (struct moe){.config = *config, .n_experts = 1, .stream = stream + STREAM_DROPOUT};
    snprintf(moe->name, sizeof moe->name, "%s", name);
    char prefix[sizeof moe->name + 16];
    for (int64_t l = 0; l < config->n_levels; l++) {
        snprintf(prefix, sizeof prefix, "%s.%s", name, gates[l]);
        gate_init(&moe->gate[l], params, prefix, dim, &config->gate[l], moe->n_experts,
                  stream + streams[l]);
        moe->n_experts *= config->gate[l].n_experts;
    }
    snprintf(prefix, sizeof prefix, "%s.expert", name);
    if (moe_is_recurrent(moe))
        recurrent_init(&moe->recurrent, params, prefix, moe->n_experts, dim, config->expert.hidden,
                       config->expert.is_recomputed);
    else
        experts_init(&moe->experts, params, prefix, moe->n_experts, dim, dim, &config->expert);
}

bool moe_is_recurrent(const struct moe *moe)
{
    return moe->config.expert.kind == EXPERT_LSTM;
}

/* -- choosing -- */

/* Gate l's choices for x [N, D], sorted, and x at their places. */
static void choose(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                   int64_t l, const struct tensor *x, const struct tensor *names,
                   double balance_scale)
{
    const struct backend_ops *ops = pass->backend->ops;
    const struct gate *gate = &moe->gate[l];
    struct moe_level *level = &record->level[l];
    const struct gating *gating = &level->gate.gating;
    const struct tensor *groups = gate->n_groups > 1 ? &record->level[l - 1].offsets : NULL;
    phase_enter(pass->backend, PHASE_GATE);
    gate_forward(gate, pass, &level->gate, x, names, groups, balance_scale);
    phase_leave(pass->backend);
    const int64_t n_choices = tensor_count(&gating->experts);
    level->rows = tensor_1d(pass->arena, DTYPE_I32, n_choices);
    level->place = tensor_like(pass->arena, &gating->experts);
    level->offsets = tensor_1d(pass->arena, DTYPE_I32, gate->n_groups * gate->config.n_experts + 1);
    ops->dispatch(pass->backend, &level->rows, &level->place, &level->offsets, &gating->experts,
                  tensor_or_null(&gating->starts), groups);
    level->inputs = pass_2d(pass, n_choices, x->dim[1]);
    level->outputs = pass_2d(pass, n_choices, x->dim[1]);
    ops->gather_rows(pass->backend, &level->inputs, x, &level->rows);
}

/* The weights of a level's choices at their places [C]. */
static struct tensor sorted_weights(const struct pass *pass, const struct moe_level *level)
{
    const int64_t n_choices = tensor_count(&level->place);
    const struct tensor weights = tensor_as_2d(&level->gate.gating.weights, n_choices, 1);
    const struct tensor sorted = pass_2d(pass, n_choices, 1);
    pass->backend->ops->scatter_rows(pass->backend, &sorted, &weights, &level->place);
    return sorted;
}

/* from [M] at rows [C]: numbers of any type, in a fresh tensor [C]. */
static struct tensor gather_numbers(const struct pass *pass, const struct tensor *from,
                                    const struct tensor *rows)
{
    const int64_t count = tensor_count(rows);
    const struct tensor to = tensor_1d(pass->arena, from->dtype, count);
    const struct tensor column = tensor_as_2d(&to, count, 1);
    const struct tensor all = tensor_as_2d(from, tensor_count(from), 1);
    const struct tensor places = tensor_as_2d(rows, count, 1);
    pass->backend->ops->gather_rows(pass->backend, &column, &all, &places);
    return to;
}

/* The second gate, on the tokens as the first sorted them: each carries its weight and its name. */
static void choose_in_groups(const struct moe *moe, const struct pass *pass,
                             struct moe_record *record, const struct tensor *names,
                             double balance_scale)
{
    const struct moe_level *groups = &record->level[0];
    const struct tensor group_names =
        names ? gather_numbers(pass, names, &groups->rows) : groups->rows;
    choose(moe, pass, record, 1, &groups->inputs, &group_names, balance_scale);
    record->level[1].gate.gating.scale = sorted_weights(pass, groups);
}

/* -- balance -- */

/* numbers = their sum over the ranks of the pass. */
static void add_ranks(const struct pass *pass, const struct tensor *numbers)
{
    if (comm_is_alone(pass->comm) || pass->by_parts)
        return;
    if (comm_all_reduce(pass->comm, pass->backend, numbers) < 0)
        backend_fail(pass->backend, "%s", status_message());
}

/* Room for what is added over the ranks: importance and loads at once. */
static struct tensor take_sums(const struct moe *moe, const struct pass *pass,
                               struct moe_record *record)
{
    const int64_t n_levels = moe->config.n_levels, n_experts = moe->n_experts;
    const int64_t n_groups = n_levels > 1 ? moe->config.gate[0].n_experts : 0;
    const struct tensor sums =
        tensor_1d(pass->arena, pass->backend->real, 2 * n_experts + n_groups);
    record->importance = tensor_slice(&sums, 0, n_experts);
    if (n_levels > 1)
        record->level_load[0] = tensor_slice(&sums, 2 * n_experts, n_groups);
    record->level_load[n_levels - 1] = tensor_slice(&sums, n_experts, n_experts);
    return sums;
}

/* The levels' offsets over all ranks: sums, as they count tokens before an expert. */
static void add_offsets(const struct moe *moe, const struct pass *pass, struct moe_record *record)
{
    for (int64_t l = 0; l < moe->config.n_levels; l++) {
        record->offsets[l] = record->level[l].offsets;
        if (comm_is_alone(pass->comm) || pass->by_parts)
            continue;
        record->offsets[l] = tensor_like(pass->arena, &record->level[l].offsets);
        pass->backend->ops->copy(pass->backend, &record->offsets[l], &record->level[l].offsets);
        add_ranks(pass, &record->offsets[l]);
    }
}

/* The losses of importance and load over all experts, and their gradients, from the ranks' sums. */
static void take_losses(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                        const struct tensor *sums, double scale)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    add_ranks(pass, sums);
    add_offsets(moe, pass, record);
    record->d_importance = tensor_like(pass->arena, &record->importance);
    record->d_load = tensor_like(pass->arena, &record->importance);
    record->load = record->level_load[0];
    if (moe->config.n_levels > 1) {
        record->load = tensor_like(pass->arena, &record->importance);
        ops->join_load(backend, &record->load, &record->level_load[0], &record->level_load[1],
                       &record->offsets[0]);
    }
    record->losses = tensor_1d(pass->arena, backend->real, 2);
    const struct tensor importance_loss = tensor_slice(&record->losses, 0, 1);
    const struct tensor load_loss = tensor_slice(&record->losses, 1, 1);
    ops->balance_loss(backend, &importance_loss, &record->d_importance, &record->importance,
                      scale * moe->config.importance_weight);
    ops->balance_loss(backend, &load_loss, &record->d_load, &record->load,
                      scale * moe->config.load_weight);
}

/* Importance and load over all experts, their losses and gradients. */
static void balance(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                    double scale)
{
    struct backend *backend = pass->backend;
    const int64_t last = moe->config.n_levels - 1;
    const struct tensor sums = take_sums(moe, pass, record);
    for (int64_t l = 0; l <= last; l++)
        backend->ops->gate_load(backend, &record->level_load[l], &record->level[l].gate.gating);
    backend->ops->gate_importance(backend, &record->importance, &record->level[last].gate.gating);
    take_losses(moe, pass, record, &sums, scale);
}

/* -- forward -- */

static void combine(const struct pass *pass, const struct tensor *y, const struct moe_level *level)
{
    const struct gating *gating = &level->gate.gating;
    pass->backend->ops->combine(pass->backend, y, &level->outputs, &gating->weights, &level->place,
                                tensor_or_null(&gating->starts));
}

/* What is known about the tokens beside their numbers. */
struct origin {
    const struct tensor *names;    /* [N] i32 for random numbers, or NULL */
    const struct tensor *rows;     /* [N] i32 positions t*B + b; NULL: their index */
    int64_t n_sentences;           /* B */
    struct recurrent_state *state; /* in a step of the decoder, of LSTM experts; else NULL */
};

/* The token behind each of the last level's places [C]. */
static struct tensor tokens_of(const struct pass *pass, const struct moe_record *record,
                               int64_t last)
{
    const struct moe_level *level = record->level;
    return last == 0 ? level[0].rows : gather_numbers(pass, &level[0].rows, &level[1].rows);
}

/* The last level's outputs from experts that are divided over the ranks. */
static void run_far_experts(const struct moe *moe, const struct pass *pass,
                            struct moe_record *record)
{
    const struct moe_level *level = &record->level[moe->config.n_levels - 1];
    far_forward(&moe->experts, pass, &record->far, &level->outputs, &level->inputs,
                &level->offsets);
}

static void run_experts(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                        const struct origin *origin)
{
    const int64_t last = moe->config.n_levels - 1;
    const struct moe_level *level = &record->level[last];
    if (!comm_is_alone(pass->comm)) {
        CHECK(!moe_is_recurrent(moe), "LSTM experts on several ranks");
        run_far_experts(moe, pass, record);
        return;
    }
    if (!moe_is_recurrent(moe)) {
        experts_forward(&moe->experts, pass, &record->experts, &level->outputs, &level->inputs,
                        &level->offsets);
        return;
    }
    struct recurrent_rows rows = {.offsets = level->offsets,
                                  .tokens = tokens_of(pass, record, last),
                                  .n_sentences = origin->n_sentences};
    if (origin->rows)
        rows.positions = *origin->rows;
    if (origin->state)
        recurrent_step(&moe->recurrent, pass, origin->state, &level->outputs, &level->inputs,
                       &rows);
    else
        recurrent_forward(&moe->recurrent, pass, &record->recurrent, &level->outputs,
                          &level->inputs, &rows);
}

/* y [N, D] = x + dropout(act(mixture(x))) of real tokens x [N, D]. */
static void mix_tokens(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                       const struct tensor *y, const struct tensor *x, const struct origin *origin,
                       double balance_scale)
{
    struct backend *backend = pass->backend;
    const bool has_groups = moe->config.n_levels > 1;
    struct moe_level *level = record->level;
    choose(moe, pass, record, 0, x, origin->names, balance_scale);
    if (has_groups)
        choose_in_groups(moe, pass, record, origin->names, balance_scale);
    if (pass->is_training) {
        phase_enter(backend, PHASE_GATE);
        balance(moe, pass, record, balance_scale);
        phase_leave(backend);
    }
    phase_enter(backend, PHASE_EXPERTS);
    run_experts(moe, pass, record, origin);
    phase_leave(backend);
    if (has_groups)
        combine(pass, &level[0].outputs, &level[1]);
    record->mixture = pass_2d(pass, x->dim[0], x->dim[1]);
    combine(pass, &record->mixture, &level[0]);
    if (moe->config.has_sigmoid)
        backend->ops->activate(backend, &record->mixture, &record->mixture, ACTIVATION_SIGMOID);
    pass_dropout(pass, moe->stream, y, &record->mixture, x, origin->names);
}

void moe_forward(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                 const struct tensor *y, const struct tensor *x, const struct sequence *sequence,
                 double balance_scale)
{
    struct backend *backend = pass->backend;
    const int64_t dim = tensor_columns(x);
    struct origin origin = {.names = tensor_or_null(&sequence->names),
                            .n_sentences = x->rank == 3 ? x->dim[1] : x->dim[0]};
    *record = (struct moe_record){0};
    phase_enter(backend, PHASE_DISPATCH);
    if (sequence->rows.rank == 0) {
        const struct tensor flat = tensor_as_2d(y, tensor_rows(y), dim);
        record->x = tensor_as_2d(x, tensor_rows(x), dim);
        mix_tokens(moe, pass, record, &flat, &record->x, &origin, balance_scale);
        phase_leave(backend);
        return;
    }
    origin.names = tensor_or_null(&sequence->row_names);
    origin.rows = &sequence->rows;
    record->x = pass_2d(pass, sequence->rows.dim[0], dim);
    backend->ops->gather_rows(backend, &record->x, x, &sequence->rows);
    const struct tensor real = tensor_like(pass->arena, &record->x);
    mix_tokens(moe, pass, record, &real, &record->x, &origin, balance_scale);
    backend->ops->scatter_rows(backend, y, &real, &sequence->rows);
    phase_leave(backend);
}

void moe_start(const struct moe *moe, const struct pass *pass, struct recurrent_state *state,
               int64_t max_rows)
{
    if (moe_is_recurrent(moe))
        recurrent_start(&moe->recurrent, pass, state, max_rows);
}

void moe_step(const struct moe *moe, const struct pass *pass, struct recurrent_state *state,
              const struct tensor *y, const struct tensor *x)
{
    struct moe_record record = {.x = *x};
    const struct origin origin = {.n_sentences = x->dim[0], .state = state};
    mix_tokens(moe, pass, &record, y, x, &origin, 0);
}

void moe_reorder(const struct moe *moe, struct recurrent_state *state, const int32_t *parents,
                 int64_t n_rows)
{
    if (moe_is_recurrent(moe))
        recurrent_reorder(state, parents, n_rows);
}

/* -- backward -- */

/* What one level's choices are told on the way back. */
struct level_gradients {
    struct tensor outputs; /* [C, D] */
    struct tensor weights; /* as the gating's */
};

static struct level_gradients
combine_backward(const struct pass *pass, const struct moe_level *level, const struct tensor *d_y)
{
    const struct gating *gating = &level->gate.gating;
    const struct level_gradients d = {.outputs = tensor_like(pass->arena, &level->outputs),
                                      .weights = tensor_like(pass->arena, &gating->weights)};
    pass->backend->ops->combine_backward(pass->backend, &d.outputs, &d.weights, &level->outputs,
                                         &gating->weights, &level->place,
                                         tensor_or_null(&gating->starts), d_y);
    return d;
}

/* d_x [N, D] = the sum of d_inputs [C, D] over each token's choices. */
static void gather_backward(const struct pass *pass, const struct tensor *d_x,
                            const struct moe_level *level, const struct tensor *d_inputs)
{
    pass->backend->ops->combine(pass->backend, d_x, d_inputs, NULL, &level->place,
                                tensor_or_null(&level->gate.gating.starts));
}

/* Importance's gradient: to d_weights, and over two levels also to the groups' weights. */
static void importance_backward(const struct pass *pass, const struct moe_record *record,
                                int64_t last, const struct level_gradients *d)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const struct gating *gating = &record->level[last].gate.gating;
    if (last == 0) {
        ops->gate_importance_backward(backend, &d[0].weights, NULL, &record->d_importance, gating);
        return;
    }
    const struct tensor d_scale = tensor_like(pass->arena, &gating->scale);
    ops->fill(backend, &d_scale, 0);
    ops->gate_importance_backward(backend, &d[1].weights, &d_scale, &record->d_importance, gating);
    const struct tensor d_groups = gather_numbers(pass, &d_scale, &record->level[0].place);
    ops->add(backend, &d[0].weights, &d_groups, 1);
}

/* Gradients of each level's load from the joint one. */
static void load_backward(const struct pass *pass, const struct moe_record *record, int64_t last,
                          struct tensor d_load[MOE_MAX_LEVELS])
{
    d_load[0] = record->d_load;
    if (last == 0)
        return;
    for (int64_t l = 0; l <= last; l++)
        d_load[l] = tensor_like(pass->arena, &record->level_load[l]);
    pass->backend->ops->join_load_backward(pass->backend, &d_load[0], &d_load[1], &record->d_load,
                                           &record->level_load[0], &record->level_load[1],
                                           &record->offsets[0]);
}

/* d_x [N, D] from d_y [N, D] of real tokens. */
static void mix_tokens_backward(const struct moe *moe, const struct pass *pass,
                                const struct tensor *d_x, const struct moe_record *record,
                                const struct tensor *d_y, const struct tensor *names)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const int64_t last = moe->config.n_levels - 1;
    const struct moe_level *level = record->level;
    struct level_gradients d[MOE_MAX_LEVELS];
    struct tensor d_load[MOE_MAX_LEVELS];
    const struct tensor d_mixture = tensor_like(pass->arena, &record->mixture);
    pass_dropout(pass, moe->stream, &d_mixture, d_y, NULL, names);
    if (moe->config.has_sigmoid)
        ops->activate_backward(backend, &d_mixture, &record->mixture, &d_mixture,
                               ACTIVATION_SIGMOID);
    d[0] = combine_backward(pass, &level[0], &d_mixture);
    if (last > 0)
        d[1] = combine_backward(pass, &level[1], &d[0].outputs);
    phase_enter(backend, PHASE_GATE_BACKWARD);
    importance_backward(pass, record, last, d);
    load_backward(pass, record, last, d_load);
    phase_leave(backend);
    struct tensor d_inputs = tensor_like(pass->arena, &level[last].inputs);
    phase_enter(backend, PHASE_EXPERTS_BACKWARD);
    if (!comm_is_alone(pass->comm))
        far_backward(&moe->experts, pass, &d_inputs, &record->far, &d[last].outputs);
    else if (moe_is_recurrent(moe))
        recurrent_backward(&moe->recurrent, pass, &d_inputs, &record->recurrent, &d[last].outputs);
    else
        experts_backward(&moe->experts, pass, &d_inputs, &record->experts, &d[last].outputs);
    phase_leave(backend);
    for (int64_t l = last; l >= 0; l--) {
        const struct tensor d_tokens = l > 0 ? tensor_like(pass->arena, &level[0].inputs) : *d_x;
        gather_backward(pass, &d_tokens, &level[l], &d_inputs);
        phase_enter(backend, PHASE_GATE_BACKWARD);
        gate_backward(&moe->gate[l], pass, &d_tokens, &d[l].weights, &d_load[l], &level[l].gate);
        phase_leave(backend);
        d_inputs = d_tokens;
    }
    ops->add(backend, d_x, d_y, 1);
}

void moe_backward(const struct moe *moe, const struct pass *pass, const struct moe_record *record,
                  const struct tensor *d, const struct sequence *sequence)
{
    struct backend *backend = pass->backend;
    const size_t mark = arena_mark(pass->arena);
    const struct tensor d_x = tensor_like(pass->arena, &record->x);
    phase_enter(backend, PHASE_DISPATCH_BACKWARD);
    if (sequence->rows.rank == 0) {
        mix_tokens_backward(moe, pass, &d_x, record, d, tensor_or_null(&sequence->names));
        backend->ops->copy(backend, d, &d_x);
    } else {
        const struct tensor d_y = tensor_like(pass->arena, &record->x);
        backend->ops->gather_rows(backend, &d_y, d, &sequence->rows);
        mix_tokens_backward(moe, pass, &d_x, record, &d_y, tensor_or_null(&sequence->row_names));
        backend->ops->scatter_rows(backend, d, &d_x, &sequence->rows);
    }
    phase_leave(backend);
    arena_release(pass->arena, mark);
}

/* -- a rank without tokens -- */

void moe_forward_none(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                      double balance_scale)
{
    struct backend *backend = pass->backend;
    const int64_t dim = tensor_columns(&moe->experts.down->weight.value);
    *record = (struct moe_record){0};
    for (int64_t l = 0; l < moe->config.n_levels; l++) {
        struct moe_level *level = &record->level[l];
        const int64_t n = moe->gate[l].n_groups * moe->gate[l].config.n_experts;
        const size_t bytes = (size_t)(n + 1) * sizeof(int32_t);
        const size_t mark = arena_mark(pass->host);
        level->offsets = tensor_1d(pass->arena, DTYPE_I32, n + 1);
        backend->ops->upload(backend, &level->offsets, arena_take_zeroed(pass->host, bytes), bytes);
        arena_release(pass->host, mark);
        level->inputs = level->outputs = pass_2d(pass, 0, dim);
        gate_forward_none(&moe->gate[l], pass, &level->gate,
                          l > 0 ? &record->level[l - 1].offsets : NULL);
    }
    if (pass->is_training) {
        const struct tensor sums = take_sums(moe, pass, record);
        backend->ops->fill(backend, &sums, 0);
        take_losses(moe, pass, record, &sums, balance_scale);
    }
    run_far_experts(moe, pass, record);
}

void moe_backward_none(const struct moe *moe, const struct pass *pass,
                       const struct moe_record *record)
{
    const size_t mark = arena_mark(pass->arena);
    const struct tensor none = record->level[moe->config.n_levels - 1].inputs;
    far_backward(&moe->experts, pass, &none, &record->far, &none);
    arena_release(pass->arena, mark);
}

/* -- what was chosen -- */

const struct tensor *moe_offsets(const struct moe *moe, const struct moe_record *record)
{
    return &record->level[moe->config.n_levels - 1].offsets;
}

void moe_choices(const struct moe *moe, const struct pass *pass, const struct moe_record *record,
                 struct tensor *tokens, struct tensor *weights)
{
    const struct moe_level *level = record->level;
    *tokens = tokens_of(pass, record, moe->config.n_levels - 1);
    *weights = sorted_weights(pass, &level[0]);
    if (moe->config.n_levels == 1)
        return;
    const int64_t n_choices = tensor_count(&level[1].rows);
    const struct tensor of_groups = gather_numbers(pass, weights, &level[1].rows);
    *weights = sorted_weights(pass, &level[1]);
    const struct tensor row = tensor_as_2d(weights, 1, n_choices);
    pass->backend->ops->scale_columns(pass->backend, &row, &row, &of_groups);
}
