/* Errors, checks of shapes, Adam's settings, and what implementations may build from other
 * operations. */
#include "backend/support.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>

void backend_fail(struct backend *backend, const char *format, ...)
{
    if (backend->error != STATUS_OK)
        return;
    backend->error = STATUS_DEVICE;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(backend->message, sizeof backend->message, format, arguments);
    va_end(arguments);
}

void backend_linear_top_k(struct backend *backend, const struct tensor *values,
                          const struct tensor *indices, const struct tensor *log_sums,
                          const struct tensor *room, const struct tensor *x,
                          const struct weight *weight, const struct tensor *bias)
{
    const int64_t n_rows = tensor_rows(x), n_block = tensor_rows(room);
    CHECK(n_block >= 1 || n_rows == 0, "room for no row");
    for (int64_t first = 0; first < n_rows; first += n_block) {
        const int64_t count = n_rows - first < n_block ? n_rows - first : n_block;
        const struct tensor logits = tensor_slice(room, 0, count);
        const struct tensor x_part = tensor_slice(x, first, count);
        const struct tensor values_part = tensor_slice(values, first, count);
        const struct tensor indices_part = tensor_slice(indices, first, count);
        const struct tensor sums_part = tensor_slice(log_sums, first, count);
        backend->ops->linear(backend, &logits, &x_part, weight, true, bias, ACTIVATION_NONE, false);
        backend->ops->top_k_log_sum(backend, &values_part, &indices_part, &sums_part, &logits);
    }
}

/* -- gradients that are products -- */

int64_t product_check(const struct tensor *room, const struct product_gradient *gradient)
{
    const int64_t n_matrices = tensor_count(&gradient->offsets) - 1;
    CHECK(room->rank == 3 && room->dim[0] >= 1 && n_matrices >= 1 && gradient->x.rank == 2 &&
              gradient->d_y.rank == 2 && gradient->x.dim[0] == gradient->d_y.dim[0] &&
              gradient->x.dim[1] == room->dim[1] && gradient->d_y.dim[1] == room->dim[2],
          "%lld gradients [%lld, %lld]", (long long)n_matrices, (long long)room->dim[1],
          (long long)room->dim[2]);
    return n_matrices;
}

/* As many gradients from number `first` on as the room has, stored in it. */
static struct tensor product_part(struct backend *backend, const struct tensor *room,
                                  const struct product_gradient *gradient, int64_t first)
{
    const int64_t left = product_check(room, gradient) - first;
    const int64_t count = left < room->dim[0] ? left : room->dim[0];
    const struct tensor part = tensor_slice(room, 0, count);
    const struct tensor offsets = tensor_slice(&gradient->offsets, first, count + 1);
    backend->ops->fill(backend, &part, 0);
    backend->ops->grouped_linear_gradient(backend, &part, NULL, &gradient->x, &gradient->d_y,
                                          &offsets);
    return part;
}

void backend_product_sum_squares(struct backend *backend, const struct tensor *sum,
                                 const struct tensor *room, const struct product_gradient *gradient)
{
    const int64_t n_matrices = product_check(room, gradient);
    for (int64_t e = 0; e < n_matrices; e += room->dim[0]) {
        const struct tensor part = product_part(backend, room, gradient, e);
        backend->ops->sum_squares(backend, sum, &part);
    }
}

void backend_product_adam_step(struct backend *backend, const struct tensor *value,
                               const struct tensor *first, const struct tensor *second,
                               const struct tensor *room, const struct product_gradient *gradient,
                               const struct adam *adam)
{
    for (int64_t e = 0; e < value->dim[0]; e += room->dim[0]) {
        const struct tensor part = product_part(backend, room, gradient, e);
        const struct tensor value_part = tensor_slice(value, e, part.dim[0]);
        const struct tensor second_part = tensor_slice(second, e, part.dim[0]);
        struct tensor first_part = {0};
        if (first)
            first_part = tensor_slice(first, e, part.dim[0]);
        backend->ops->adam_step(backend, &value_part, tensor_or_null(&first_part), &second_part,
                                &part, adam);
    }
}

void backend_product_adam_factored_step(struct backend *backend, const struct tensor *value,
                                        const struct tensor *row, const struct tensor *column,
                                        const struct tensor *room,
                                        const struct product_gradient *gradient,
                                        const struct adam *adam)
{
    for (int64_t e = 0; e < value->dim[0]; e += room->dim[0]) {
        const struct tensor part = product_part(backend, room, gradient, e);
        const struct tensor value_part = tensor_slice(value, e, part.dim[0]);
        const struct tensor row_part = tensor_slice(row, e, part.dim[0]);
        const struct tensor column_part = tensor_slice(column, e, part.dim[0]);
        backend->ops->adam_factored_step(backend, &value_part, &row_part, &column_part, &part,
                                         adam);
    }
}

/* -- shapes -- */

static void check_records(const struct lstm *lstm, int64_t n_cells)
{
    CHECK(tensor_count(&lstm->gates) == 4 * n_cells && tensor_count(&lstm->cells) == n_cells &&
              (!lstm->projection || tensor_count(&lstm->hidden) == n_cells),
          "%lld gates and %lld cells", (long long)tensor_count(&lstm->gates),
          (long long)tensor_count(&lstm->cells));
}

struct lstm_shape lstm_shape_of(const struct tensor *r, const struct tensor *x,
                                const struct lstm *lstm)
{
    CHECK(x->rank == 3 && r->rank == 3, "ranks %d and %d", x->rank, r->rank);
    const struct lstm_shape s = {.n_t = x->dim[0],
                                 .n_b = x->dim[1],
                                 .n_i = x->dim[2],
                                 .n_h = lstm->recurrent->value.dim[1] / 4,
                                 .n_p = r->dim[2],
                                 .back = lstm->reversed ? 1 : -1};
    const struct tensor *wx = &lstm->input->value, *wh = &lstm->recurrent->value;
    CHECK(r->dim[0] == s.n_t && r->dim[1] == s.n_b && wx->dim[0] == s.n_i &&
              wx->dim[1] == 4 * s.n_h && wh->dim[0] == s.n_p && wh->dim[1] == 4 * s.n_h &&
              tensor_count(&lstm->bias) == 4 * s.n_h,
          "LSTM of %lld cells", (long long)s.n_h);
    if (lstm->projection)
        CHECK(lstm->projection->value.dim[0] == s.n_h && lstm->projection->value.dim[1] == s.n_p,
              "projection of %lld cells to %lld", (long long)s.n_h, (long long)s.n_p);
    else
        CHECK(s.n_p == s.n_h, "%lld cells, and %lld outputs without a projection", (long long)s.n_h,
              (long long)s.n_p);
    CHECK(lstm->lengths.rank == 0 || tensor_count(&lstm->lengths) == s.n_b, "%lld lengths",
          (long long)tensor_count(&lstm->lengths));
    if (lstm->room.rank == 0)
        check_records(lstm, s.n_t * s.n_b * s.n_h);
    return s;
}

int64_t lstm_room_of(struct backend *backend, const struct tensor *x, const struct lstm *lstm)
{
    (void)backend;
    const int64_t n_cells = tensor_rows(x) * (lstm->recurrent->value.dim[1] / 4);
    return (lstm->projection ? 6 : 5) * n_cells;
}

/* Numbers first.. of the room as [T, B, width]. */
static struct tensor part_of_room(const struct tensor *room, int64_t first, struct lstm_shape s,
                                  int64_t width)
{
    const struct tensor part = tensor_slice(room, first, s.n_t * s.n_b * width);
    return tensor_as_3d(&part, s.n_t, s.n_b, width);
}

struct lstm lstm_in_room(const struct lstm *lstm, struct lstm_shape s)
{
    struct lstm placed = *lstm;
    const int64_t n_cells = s.n_t * s.n_b * s.n_h;
    if (lstm->room.rank == 0)
        return placed;
    placed.gates = part_of_room(&lstm->room, 0, s, 4 * s.n_h);
    placed.cells = part_of_room(&lstm->room, 4 * n_cells, s, s.n_h);
    if (lstm->projection && tensor_count(&lstm->room) > 5 * n_cells)
        placed.hidden = part_of_room(&lstm->room, 5 * n_cells, s, s.n_h);
    return placed;
}

void lstm_check_cells(const struct tensor *gates, const struct tensor *cells,
                      const struct tensor *before, const struct tensor *third)
{
    const int64_t n_h = tensor_columns(cells);
    CHECK(tensor_columns(gates) == 4 * n_h && tensor_rows(gates) == tensor_rows(cells) &&
              tensor_count(third) == tensor_count(cells) &&
              (!before || tensor_count(before) == tensor_count(cells)),
          "cells [%lld, %lld]", (long long)tensor_rows(cells), (long long)n_h);
}

void lstm_check_step(const struct tensor *cells, const struct tensor *hidden,
                     const struct lstm_step *step)
{
    const int64_t n_h = tensor_columns(cells);
    CHECK(tensor_columns(&step->inputs) == 4 * n_h && tensor_columns(&step->recurrent) == 4 * n_h &&
              tensor_columns(&step->before) == n_h && tensor_count(hidden) == tensor_count(cells),
          "%lld cells", (long long)n_h);
}

void additive_check(const struct tensor *scores, const struct tensor *query,
                    const struct tensor *keys, const struct tensor *v, const struct tensor *lengths)
{
    CHECK(scores->rank == 3 && query->rank == 3 && keys->rank == 3 &&
              query->dim[0] == scores->dim[0] && query->dim[1] == scores->dim[1] &&
              keys->dim[0] == scores->dim[2] && keys->dim[1] == scores->dim[1] &&
              query->dim[2] == tensor_count(v) && keys->dim[2] == tensor_count(v) &&
              tensor_count(lengths) == scores->dim[1],
          "scores [%lld, %lld, %lld]", (long long)scores->dim[0], (long long)scores->dim[1],
          (long long)scores->dim[2]);
}

/* -- Adam -- */

struct adam_rates adam_rates_of(const struct adam *adam, bool has_first)
{
    const double unbias1 = has_first ? 1 - pow(adam->beta1, (double)adam->step) : 1;
    const double unbias2 = 1 - pow(adam->beta2, (double)adam->step);
    return (struct adam_rates){.keep1 = (float)adam->beta1,
                               .add1 = (float)(1 - adam->beta1),
                               .keep2 = (float)adam->beta2,
                               .add2 = (float)(1 - adam->beta2),
                               .gradient_scale = (float)adam->gradient_scale,
                               .step = (float)(adam->learning_rate / unbias1),
                               .unbias2 = (float)(1 / unbias2),
                               .epsilon = (float)adam->epsilon};
}
