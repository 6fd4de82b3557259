/* LSTM experts: the schedule on the host, the steps on the device. */
#include "moe/recurrent.h"

#include <math.h>
#include <string.h>

static struct param *add_matrices(struct param_list *params, const char *prefix, const char *name,
                                  int64_t n_experts, int64_t in, int64_t out, double bound)
{
    return param_add(params,
                     (struct param_spec){.rank = 3,
                                         .dim = {n_experts, in, out},
                                         .start = PARAM_UNIFORM,
                                         .bound = bound,
                                         .forms = PACK_PLAIN,
                                         .is_expert = true,
                                         .may_round = true},
                     "%s.%s", prefix, name);
}

void recurrent_init(struct recurrent *recurrent, struct param_list *params, const char *prefix,
                    int64_t n_experts, int64_t dim, int64_t hidden, bool is_recomputed)
{
    const double bound = 1 / sqrt((double)hidden);
    const int64_t width = 4 * hidden;
    *recurrent = (struct recurrent){.is_recomputed = is_recomputed};
    recurrent->input = add_matrices(params, prefix, "input", n_experts, dim, width, bound);
    recurrent->recurrent = add_matrices(params, prefix, "recurrent", n_experts, dim, width, bound);
    recurrent->projection =
        add_matrices(params, prefix, "projection", n_experts, hidden, dim, 1.5 * bound);
    recurrent->bias = param_add(
        params,
        (struct param_spec){
            .rank = 2, .dim = {n_experts, width}, .start = PARAM_FORGET_GATE, .is_expert = true},
        "%s.bias", prefix);
}

/* -- the schedule -- */

static int32_t *take_ints(const struct pass *pass, int64_t count)
{
    return arena_take(pass->host, (size_t)count * sizeof(int32_t));
}

static int32_t *download(const struct pass *pass, const struct tensor *tensor)
{
    const int64_t count = tensor_count(tensor);
    int32_t *numbers = take_ints(pass, count);
    pass->backend->ops->download(pass->backend, numbers, tensor, (size_t)count * sizeof *numbers);
    return numbers;
}

static struct tensor upload(const struct pass *pass, const int32_t *numbers, int64_t count)
{
    const struct tensor tensor = tensor_1d(pass->arena, DTYPE_I32, count);
    pass->backend->ops->upload(pass->backend, &tensor, numbers, (size_t)count * sizeof *numbers);
    return tensor;
}

/* Each row's step and the row one step before it, -1 in the first; returns the number of steps. */
static int64_t number_steps(const struct pass *pass, const struct recurrent_rows *rows,
                            const int32_t *offsets, int32_t *step, int32_t *before)
{
    struct sentence {
        int32_t expert, row; /* the last expert that met it, and the row */
    };
    const int64_t n_experts = tensor_count(&rows->offsets) - 1;
    const int32_t *tokens = download(pass, &rows->tokens);
    const int32_t *positions = rows->positions.rank ? download(pass, &rows->positions) : NULL;
    struct sentence *last =
        arena_take(pass->host, (size_t)rows->n_sentences * sizeof(struct sentence));
    for (int64_t b = 0; b < rows->n_sentences; b++)
        last[b].expert = -1;
    int64_t n_steps = 0;
    for (int32_t e = 0; e < n_experts; e++)
        for (int32_t m = offsets[e]; m < offsets[e + 1]; m++) {
            const int64_t position = positions ? positions[tokens[m]] : tokens[m];
            struct sentence *sentence = &last[position % rows->n_sentences];
            before[m] = sentence->expert == e ? sentence->row : -1;
            step[m] = before[m] < 0 ? 0 : step[before[m]] + 1;
            *sentence = (struct sentence){e, m};
            n_steps = step[m] >= n_steps ? step[m] + 1 : n_steps;
        }
    return n_steps;
}

/* Sorts the rows by step. */
static struct recurrent_schedule make_schedule(const struct pass *pass,
                                               const struct recurrent_rows *rows)
{
    const int64_t n_experts = tensor_count(&rows->offsets) - 1,
                  n_rows = tensor_count(&rows->tokens);
    /* What lives on first; there are no more steps than rows. */
    int32_t *first = arena_take_zeroed(pass->host, (size_t)(n_rows + 2) * sizeof *first);
    const size_t mark = arena_mark(pass->host);
    const int32_t *offsets = download(pass, &rows->offsets);
    int32_t *step = arena_take_zeroed(pass->host, (size_t)n_rows * sizeof *step);
    int32_t *row_before = take_ints(pass, n_rows);
    int32_t *place = take_ints(pass, n_rows), *order = take_ints(pass, n_rows);
    int32_t *before = take_ints(pass, n_rows), *later = take_ints(pass, n_rows);
    int32_t *previous = take_ints(pass, n_rows), *later_offsets = take_ints(pass, n_experts + 1);
    const int64_t n_steps = number_steps(pass, rows, offsets, step, row_before);
    int32_t *next = take_ints(pass, n_steps),
            *step_offsets = take_ints(pass, n_steps * (n_experts + 1));
    for (int64_t m = 0; m < n_rows; m++)
        first[step[m] + 1]++;
    for (int64_t s = 0; s < n_steps; s++) {
        first[s + 1] += first[s];
        next[s] = first[s];
        step_offsets[s * (n_experts + 1)] = 0;
    }
    int32_t n_later = later_offsets[0] = 0;
    for (int64_t e = 0; e < n_experts; e++) {
        for (int32_t m = offsets[e]; m < offsets[e + 1]; m++) {
            const int32_t p = place[m] = next[step[m]]++;
            order[p] = m;
            before[p] = row_before[m] < 0 ? 0 : place[row_before[m]];
            if (row_before[m] < 0)
                continue;
            later[n_later] = p;
            previous[n_later++] = before[p];
        }
        later_offsets[e + 1] = n_later;
        for (int64_t s = 0; s < n_steps; s++)
            step_offsets[s * (n_experts + 1) + e + 1] = next[s] - first[s];
    }
    const struct tensor all_offsets = upload(pass, step_offsets, n_steps * (n_experts + 1));
    const struct recurrent_schedule schedule = {
        .n_steps = n_steps,
        .first = first,
        .order = upload(pass, order, n_rows),
        .before = upload(pass, before, n_rows),
        .offsets = tensor_as_2d(&all_offsets, n_steps, n_experts + 1),
        .later = upload(pass, later, n_later),
        .previous = upload(pass, previous, n_later),
        .later_offsets = upload(pass, later_offsets, n_experts + 1)};
    arena_release(pass->host, mark);
    return schedule;
}

/* -- forward -- */

static struct recurrent_cells slice_cells(const struct recurrent_cells *all, int64_t first,
                                          int64_t count)
{
    return (struct recurrent_cells){.gates = tensor_slice(&all->gates, first, count),
                                    .cells = tensor_slice(&all->cells, first, count),
                                    .hidden = tensor_slice(&all->hidden, first, count),
                                    .r = tensor_slice(&all->r, first, count)};
}

/* Places of step s, and where its experts start. */
static struct recurrent_cells step_cells(const struct recurrent_cells *all,
                                         const struct recurrent_schedule *schedule, int64_t s,
                                         struct tensor *offsets)
{
    *offsets = tensor_slice(&schedule->offsets, s, 1);
    return slice_cells(all, schedule->first[s], schedule->first[s + 1] - schedule->first[s]);
}

/* from [.., columns] at rows, in a fresh tensor. */
static struct tensor gather(const struct pass *pass, const struct tensor *from,
                            const struct tensor *rows)
{
    const struct tensor to = pass_2d(pass, tensor_count(rows), from->dim[1]);
    pass->backend->ops->gather_rows(pass->backend, &to, from, rows);
    return to;
}

/* One step of rows sorted by expert: gates hold x Wx + bias. Before the first step r and c are
 * NULL. */
static void advance(const struct recurrent *recurrent, const struct pass *pass,
                    const struct recurrent_cells *now, const struct tensor *r,
                    const struct tensor *c, const struct tensor *offsets)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    if (r) {
        const struct tensor sums = tensor_like(pass->arena, &now->gates);
        ops->grouped_linear(backend, &sums, r, &recurrent->recurrent->weight, false, NULL, offsets,
                            ACTIVATION_NONE);
        ops->add(backend, &now->gates, &sums, 1);
    }
    ops->lstm_cell(backend, &now->gates, &now->cells, &now->hidden, c);
    ops->grouped_linear(backend, &now->r, &now->hidden, &recurrent->projection->weight, false, NULL,
                        offsets, ACTIVATION_NONE);
}

/* x Wx + bias of rows sorted by expert. */
static void multiply_inputs(const struct recurrent *recurrent, const struct pass *pass,
                            const struct tensor *sums, const struct tensor *x,
                            const struct tensor *offsets)
{
    pass->backend->ops->grouped_linear(pass->backend, sums, x, &recurrent->input->weight, false,
                                       &recurrent->bias->weight.value, offsets, ACTIVATION_NONE);
}

/* All cells of the record's schedule, in fresh tensors. */
static void run_steps(const struct recurrent *recurrent, const struct pass *pass,
                      struct recurrent_record *record)
{
    const struct recurrent_schedule *schedule = &record->schedule;
    const int64_t n_rows = record->x.dim[0], n_h = recurrent->projection->weight.value.dim[1];
    struct recurrent_cells *all = &record->cells;
    *all = (struct recurrent_cells){.gates = pass_2d(pass, n_rows, 4 * n_h),
                                    .cells = pass_2d(pass, n_rows, n_h),
                                    .hidden = pass_2d(pass, n_rows, n_h),
                                    .r = tensor_like(pass->arena, &record->x)};
    const size_t mark = arena_mark(pass->arena);
    const struct tensor sums = tensor_like(pass->arena, &all->gates);
    multiply_inputs(recurrent, pass, &sums, &record->x, &record->offsets);
    pass->backend->ops->gather_rows(pass->backend, &all->gates, &sums, &schedule->order);
    for (int64_t s = 0; s < schedule->n_steps; s++) {
        struct tensor offsets;
        const struct recurrent_cells now = step_cells(all, schedule, s, &offsets);
        arena_release(pass->arena, mark);
        if (s == 0) {
            advance(recurrent, pass, &now, NULL, NULL, &offsets);
            continue;
        }
        const struct tensor before =
            tensor_slice(&schedule->before, schedule->first[s], now.r.dim[0]);
        const struct tensor r = gather(pass, &all->r, &before),
                            c = gather(pass, &all->cells, &before);
        advance(recurrent, pass, &now, &r, &c, &offsets);
    }
    arena_release(pass->arena, mark);
}

void recurrent_forward(const struct recurrent *recurrent, const struct pass *pass,
                       struct recurrent_record *record, const struct tensor *y,
                       const struct tensor *x, const struct recurrent_rows *rows)
{
    *record = (struct recurrent_record){
        .x = *x, .offsets = rows->offsets, .schedule = make_schedule(pass, rows)};
    const size_t mark = arena_mark(pass->arena);
    run_steps(recurrent, pass, record);
    pass->backend->ops->scatter_rows(pass->backend, y, &record->cells.r, &record->schedule.order);
    if (recurrent->is_recomputed)
        arena_release(pass->arena, mark);
}

/* -- backward -- */

/* Gradients through time: gates become those of the sums a. d_r [M, D] by place holds what comes
 * from y and grows by what comes from the steps after. */
static void run_steps_backward(const struct recurrent *recurrent, const struct pass *pass,
                               const struct recurrent_record *record, const struct tensor *d_r)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    const struct recurrent_schedule *schedule = &record->schedule;
    const struct recurrent_cells *all = &record->cells;
    const size_t mark = arena_mark(pass->arena);
    const struct tensor d_cells = tensor_like(pass->arena, &all->cells);
    ops->fill(backend, &d_cells, 0);
    for (int64_t s = schedule->n_steps - 1; s >= 0; s--) {
        const size_t step_mark = arena_mark(pass->arena);
        struct tensor offsets, c = {0};
        const struct recurrent_cells now = step_cells(all, schedule, s, &offsets);
        const int64_t first = schedule->first[s], count = now.r.dim[0];
        const struct tensor d_r_now = tensor_slice(d_r, first, count);
        const struct tensor d_cells_now = tensor_slice(&d_cells, first, count);
        const struct tensor d_hidden = tensor_like(pass->arena, &now.hidden);
        const struct tensor before = tensor_slice(&schedule->before, first, count);
        if (s > 0)
            c = gather(pass, &all->cells, &before);
        ops->grouped_linear(backend, &d_hidden, &d_r_now, &recurrent->projection->weight, true,
                            NULL, &offsets, ACTIVATION_NONE);
        ops->lstm_cell_backward(backend, &now.gates, &d_cells_now, &now.cells, tensor_or_null(&c),
                                &d_hidden);
        if (s > 0) {
            const struct tensor d_r_before = tensor_like(pass->arena, &now.r);
            ops->grouped_linear(backend, &d_r_before, &now.gates, &recurrent->recurrent->weight,
                                true, NULL, &offsets, ACTIVATION_NONE);
            /* Each place has at most one after it: this adds, and no two rows meet. */
            ops->embed_backward(backend, d_r, &d_r_before, &before, 1);
            ops->embed_backward(backend, &d_cells, &d_cells_now, &before, 1);
        }
        arena_release(pass->arena, step_mark);
    }
    arena_release(pass->arena, mark);
}

/* A tensor by place, sorted by expert again: in a fresh one. */
static struct tensor by_expert(const struct pass *pass, const struct recurrent_record *record,
                               const struct tensor *by_place)
{
    const struct tensor to = tensor_like(pass->arena, by_place);
    pass->backend->ops->scatter_rows(pass->backend, &to, by_place, &record->schedule.order);
    return to;
}

void recurrent_backward(const struct recurrent *recurrent, const struct pass *pass,
                        const struct tensor *d_x, const struct recurrent_record *record,
                        const struct tensor *d_y)
{
    struct backend *backend = pass->backend;
    const struct backend_ops *ops = backend->ops;
    struct recurrent_record again = *record;
    const struct recurrent_schedule *schedule = &again.schedule;
    const size_t mark = arena_mark(pass->arena);
    if (recurrent->is_recomputed)
        run_steps(recurrent, pass, &again);
    const struct tensor d_r = gather(pass, d_y, &schedule->order);
    run_steps_backward(recurrent, pass, &again, &d_r);

    const struct tensor d_sums = by_expert(pass, &again, &again.cells.gates);
    ops->grouped_linear_gradient(backend, &recurrent->input->grad, &recurrent->bias->grad, &again.x,
                                 &d_sums, &again.offsets);
    ops->grouped_linear(backend, d_x, &d_sums, &recurrent->input->weight, true, NULL,
                        &again.offsets, ACTIVATION_NONE);
    const struct tensor hidden = by_expert(pass, &again, &again.cells.hidden);
    const struct tensor d_outputs = by_expert(pass, &again, &d_r);
    ops->grouped_linear_gradient(backend, &recurrent->projection->grad, NULL, &hidden, &d_outputs,
                                 &again.offsets);
    const struct tensor r = gather(pass, &again.cells.r, &schedule->previous);
    const struct tensor d_later = gather(pass, &again.cells.gates, &schedule->later);
    ops->grouped_linear_gradient(backend, &recurrent->recurrent->grad, NULL, &r, &d_later,
                                 &schedule->later_offsets);
    arena_release(pass->arena, mark);
}

/* -- step by step -- */

void recurrent_start(const struct recurrent *recurrent, const struct pass *pass,
                     struct recurrent_state *state, int64_t max_rows)
{
    const struct tensor *projection = &recurrent->projection->weight.value;
    const int64_t n_experts = projection->dim[0], room = 2 * max_rows * n_experts + 1;
    CHECK(room <= INT32_MAX, "%lld hypotheses with %lld experts", (long long)max_rows,
          (long long)n_experts);
    *state = (struct recurrent_state){.max_rows = max_rows, .n_experts = n_experts, .n_used = 1};
    const size_t slots_bytes = (size_t)(max_rows * n_experts) * sizeof(int32_t);
    state->slots = arena_take_zeroed(pass->host, slots_bytes);
    state->spare_slots = arena_take_zeroed(pass->host, slots_bytes);
    state->index = tensor_1d(pass->arena, DTYPE_I32, room);
    state->r = pass_2d(pass, room, projection->dim[2]);
    state->c = pass_2d(pass, room, projection->dim[1]);
    state->spare_r = tensor_like(pass->arena, &state->r);
    state->spare_c = tensor_like(pass->arena, &state->c);
    const struct tensor zero_r = tensor_slice(&state->r, 0, 1);
    const struct tensor zero_c = tensor_slice(&state->c, 0, 1);
    pass->backend->ops->fill(pass->backend, &zero_r, 0);
    pass->backend->ops->fill(pass->backend, &zero_c, 0);
}

static struct tensor upload_index(const struct pass *pass, const struct recurrent_state *state,
                                  const int32_t *numbers, int64_t count)
{
    const struct tensor index = tensor_slice(&state->index, 0, count);
    pass->backend->ops->upload(pass->backend, &index, numbers, (size_t)count * sizeof *numbers);
    return index;
}

static void keep_rows(const struct pass *pass, struct tensor *all, struct tensor *spare,
                      const struct tensor *rows)
{
    const struct tensor kept = tensor_slice(spare, 0, tensor_count(rows)), other = *all;
    pass->backend->ops->gather_rows(pass->backend, &kept, all, rows);
    *all = *spare;
    *spare = other;
}

/* Moves the states that a hypothesis has to the front. */
static void drop_unused(const struct pass *pass, struct recurrent_state *state)
{
    const struct pass_mark mark = pass_mark(pass);
    const size_t size = (size_t)state->n_used * sizeof(int32_t);
    int32_t *moved = arena_take_zeroed(pass->host, size), *kept = take_ints(pass, state->n_used);
    int32_t n_kept = 1;
    kept[0] = 0;
    for (int64_t i = 0; i < state->max_rows * state->n_experts; i++) {
        const int32_t slot = state->slots[i];
        if (slot && !moved[slot]) {
            moved[slot] = n_kept;
            kept[n_kept++] = slot;
        }
        state->slots[i] = moved[slot];
    }
    const struct tensor rows = upload_index(pass, state, kept, n_kept);
    keep_rows(pass, &state->r, &state->spare_r, &rows);
    keep_rows(pass, &state->c, &state->spare_c, &rows);
    state->n_used = n_kept;
    pass_release(pass, mark);
}

/* Names a new state for every row; returns where the old ones lie [M]. */
static struct tensor move_on(const struct pass *pass, struct recurrent_state *state,
                             const struct recurrent_rows *rows)
{
    const int32_t *offsets = download(pass, &rows->offsets);
    const int32_t *tokens = download(pass, &rows->tokens);
    const int64_t n_rows = tensor_count(&rows->tokens);
    int32_t *before = take_ints(pass, n_rows);
    if (state->n_used + n_rows > tensor_count(&state->index))
        drop_unused(pass, state);
    for (int64_t e = 0; e < state->n_experts; e++)
        for (int32_t m = offsets[e]; m < offsets[e + 1]; m++) {
            int32_t *slot = &state->slots[tokens[m] * state->n_experts + e];
            before[m] = *slot;
            *slot = (int32_t)state->n_used + m;
        }
    state->n_used += n_rows;
    return upload_index(pass, state, before, n_rows);
}

void recurrent_step(const struct recurrent *recurrent, const struct pass *pass,
                    struct recurrent_state *state, const struct tensor *y, const struct tensor *x,
                    const struct recurrent_rows *rows)
{
    const struct pass_mark mark = pass_mark(pass);
    const struct tensor before = move_on(pass, state, rows);
    const int64_t n_rows = x->dim[0], n_h = state->c.dim[1], first = state->n_used - n_rows;
    const struct recurrent_cells now = {.gates = pass_2d(pass, n_rows, 4 * n_h),
                                        .cells = tensor_slice(&state->c, first, n_rows),
                                        .hidden = pass_2d(pass, n_rows, n_h),
                                        .r = tensor_slice(&state->r, first, n_rows)};
    const struct tensor r = gather(pass, &state->r, &before), c = gather(pass, &state->c, &before);
    multiply_inputs(recurrent, pass, &now.gates, x, &rows->offsets);
    advance(recurrent, pass, &now, &r, &c, &rows->offsets);
    pass->backend->ops->copy(pass->backend, y, &now.r);
    pass_release(pass, mark);
}

void recurrent_reorder(struct recurrent_state *state, const int32_t *parents, int64_t n_rows)
{
    const int64_t n_experts = state->n_experts;
    const size_t row_bytes = (size_t)n_experts * sizeof(int32_t);
    int32_t *slots = state->spare_slots;
    CHECK(n_rows <= state->max_rows, "%lld rows of %lld", (long long)n_rows,
          (long long)state->max_rows);
    for (int64_t row = 0; row < n_rows; row++)
        memcpy(slots + row * n_experts, state->slots + parents[row] * n_experts, row_bytes);
    memset(slots + n_rows * n_experts, 0, (size_t)(state->max_rows - n_rows) * row_bytes);
    state->spare_slots = state->slots;
    state->slots = slots;
}
