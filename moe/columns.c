/* Scores to the ranks that have their experts, and back. */
#include "moe/columns.h"

#include <string.h>

#include "layer/sequence.h"

/* A transport's error, kept where operations keep theirs; whether there was none. */
static bool is_well(const struct pass *pass, enum status status)
{
    if (status < 0)
        backend_fail(pass->backend, "%s", status_message());
    return status >= 0;
}

/* -- order: by group, then as in a batch of all sentences -- */

struct key {
    uint64_t place; /* what is sorted by */
    int32_t row;
};

static void merge(struct key *to, const struct key *a, int64_t n_a, const struct key *b,
                  int64_t n_b)
{
    int64_t i = 0, j = 0;
    while (i < n_a || j < n_b)
        if (j == n_b || (i < n_a && a[i].place <= b[j].place)) {
            *to++ = a[i++];
        } else {
            *to++ = b[j++];
        }
}

/* Sorts keys, stable, of runs that are sorted; bounds [n_runs + 1]. Returns keys or room, whichever
 * has them then. */
static struct key *merge_runs(struct key *keys, struct key *room, const int64_t *bounds, int n_runs)
{
    for (int width = 1; width < n_runs; width *= 2) {
        for (int r = 0; r < n_runs; r += 2 * width) {
            const int64_t first = bounds[r];
            const int64_t middle = bounds[r + width < n_runs ? r + width : n_runs];
            const int64_t last = bounds[r + 2 * width < n_runs ? r + 2 * width : n_runs];
            merge(room + first, keys + first, middle - first, keys + middle, last - middle);
        }
        struct key *const merged = room;
        room = keys;
        keys = merged;
    }
    return keys;
}

/* Names of all ranks' tokens, [T] in the host arena; n_rows [size]: how many each has. */
static int32_t *gather_names(const struct columns *columns, const struct pass *pass,
                             const int64_t *n_rows, const struct tensor *names)
{
    struct comm *comm = pass->comm;
    const size_t bytes = (size_t)columns->n_rows * sizeof(int32_t);
    int32_t *all = arena_take_zeroed(pass->host, bytes + 1);
    const size_t mark = arena_mark(pass->arena), host_mark = arena_mark(pass->host);
    const int64_t n = n_rows[comm->rank];
    int64_t *send = arena_take(pass->host, (size_t)comm->size * sizeof *send);
    const struct tensor copies = tensor_2d(pass->arena, DTYPE_I32, comm->size * n, 1);
    const struct tensor out = tensor_2d(pass->arena, DTYPE_I32, columns->n_rows, 1);
    for (int r = 0; r < comm->size; r++) {
        const struct tensor copy = tensor_slice(&copies, r * n, n);
        send[r] = n;
        if (n > 0)
            pass->backend->ops->copy(pass->backend, &copy, names);
    }
    if (is_well(pass, comm_all_to_all(comm, pass->backend, &out, n_rows, &copies, send)))
        pass->backend->ops->download(pass->backend, all, &out, bytes);
    arena_release(pass->arena, mark);
    arena_release(pass->host, host_mark);
    return all;
}

/* starts [size, G+1]: where each rank's groups start among its own tokens; names [T] or NULL. */
static void plan_order(struct columns *columns, const struct pass *pass, const int32_t *starts,
                       int64_t n_groups, const int32_t *names)
{
    const int size = pass->comm->size;
    const size_t count = (size_t)columns->n_rows;
    struct key *keys = arena_take(pass->host, (count + 1) * sizeof *keys);
    struct key *room = arena_take(pass->host, (count + 1) * sizeof *room);
    int64_t *bounds = arena_take(pass->host, (size_t)(size + 1) * sizeof *bounds);
    int32_t *order = arena_take(pass->host, (count + 1) * sizeof *order);
    int32_t *place = arena_take(pass->host, (count + 1) * sizeof *place);
    int32_t row = 0;
    for (int r = 0; r < size; r++) {
        const int32_t *of_rank = starts + r * (n_groups + 1);
        bounds[r] = row;
        for (int64_t g = 0; g < n_groups; g++)
            for (int32_t i = of_rank[g]; i < of_rank[g + 1]; i++, row++)
                keys[row] = (struct key){(uint64_t)g << 32, row};
        for (int64_t i = bounds[r]; i < row && names; i++)
            keys[i].place += sequence_place(names[i]);
    }
    bounds[size] = row;
    const struct key *sorted = merge_runs(keys, room, bounds, size);
    for (int32_t i = 0; i < row; i++) {
        order[i] = sorted[i].row;
        place[sorted[i].row] = i;
    }
    const struct backend_ops *ops = pass->backend->ops;
    ops->upload(pass->backend, &columns->order, order, count * sizeof *order);
    ops->upload(pass->backend, &columns->place, place, count * sizeof *place);
}

/* Where groups start among the tokens of all ranks. */
static void add_groups(const struct columns *columns, const struct pass *pass,
                       const int32_t *starts, int64_t n_groups)
{
    const size_t bytes = (size_t)(n_groups + 1) * sizeof *starts;
    int32_t *sums = arena_take_zeroed(pass->host, bytes);
    for (int64_t i = 0; i < pass->comm->size * (n_groups + 1); i++)
        sums[i % (n_groups + 1)] += starts[i];
    pass->backend->ops->upload(pass->backend, &columns->groups, sums, bytes);
}

/* starts [size, G+1], in the host arena: where each rank's groups start; all zero after an error.
 */
static int32_t *gather_starts(const struct pass *pass, int64_t n_rows, const struct tensor *groups)
{
    const int64_t n_starts = groups ? tensor_count(groups) : 2;
    const size_t bytes = (size_t)n_starts * sizeof(int32_t);
    int32_t *all = arena_take_zeroed(pass->host, (size_t)pass->comm->size * bytes);
    const size_t mark = arena_mark(pass->host);
    int32_t *mine = arena_take_zeroed(pass->host, bytes);
    mine[n_starts - 1] = (int32_t)n_rows;
    if (groups)
        pass->backend->ops->download(pass->backend, mine, groups, bytes);
    if (!is_well(pass, comm_all_gather(pass->comm, all, mine, bytes)))
        memset(all, 0, (size_t)pass->comm->size * bytes);
    arena_release(pass->host, mark);
    return all;
}

void columns_open(struct columns *columns, const struct pass *pass, int64_t n_rows,
                  int64_t n_experts, const struct tensor *names, const struct tensor *groups)
{
    const int rank = pass->comm->rank, size = pass->comm->size;
    const int64_t n_groups = groups ? tensor_count(groups) - 1 : 1;
    const size_t bytes = (size_t)size * sizeof(int64_t);
    *columns = (struct columns){.first = arena_take(pass->host, bytes + sizeof(int64_t)),
                                .send = arena_take(pass->host, bytes),
                                .receive = arena_take(pass->host, bytes)};
    for (int r = 0; r <= size; r++)
        columns->first[r] = comm_share(n_experts, r, size);
    const size_t mark = arena_mark(pass->host);
    const int32_t *starts = gather_starts(pass, n_rows, groups);
    int64_t *rows = arena_take(pass->host, bytes);
    for (int r = 0; r < size; r++) {
        rows[r] = starts[(r + 1) * (n_groups + 1) - 1];
        columns->n_rows += rows[r];
        columns->send[r] = n_rows * (columns->first[r + 1] - columns->first[r]);
        columns->receive[r] = rows[r] * (columns->first[rank + 1] - columns->first[rank]);
    }
    CHECK(columns->n_rows <= INT32_MAX, "%lld tokens", (long long)columns->n_rows);
    columns->order = tensor_1d(pass->arena, DTYPE_I32, columns->n_rows);
    columns->place = tensor_1d(pass->arena, DTYPE_I32, columns->n_rows);
    if (groups) {
        columns->groups = tensor_1d(pass->arena, DTYPE_I32, n_groups + 1);
        add_groups(columns, pass, starts, n_groups);
    }
    plan_order(columns, pass, starts, n_groups,
               names ? gather_names(columns, pass, rows, names) : NULL);
    arena_release(pass->host, mark);
}

static int64_t columns_here(const struct columns *columns, const struct pass *pass)
{
    return columns->first[pass->comm->rank + 1] - columns->first[pass->comm->rank];
}

/* The numbers [N, E] of this rank's tokens stand in blocks [N, their experts] on their way, one a
 * rank: to blocks from rows, or back. */
static void move_blocks(const struct columns *columns, const struct pass *pass,
                        const struct tensor *blocks, const struct tensor *rows, bool is_back)
{
    const struct backend_ops *ops = pass->backend->ops;
    const int64_t n = rows->dim[0];
    for (int r = 0; r < pass->comm->size && n > 0; r++) {
        const int64_t first = columns->first[r], width = columns->first[r + 1] - first;
        const struct tensor part = tensor_slice(blocks, n * first, n * width);
        const struct tensor block = tensor_as_2d(&part, n, width);
        if (width > 0 && is_back)
            ops->copy_columns(pass->backend, rows, first, &block, 0, width, false);
        else if (width > 0)
            ops->copy_columns(pass->backend, &block, 0, rows, first, width, false);
    }
}

struct tensor columns_out(const struct columns *columns, const struct pass *pass,
                          const struct tensor *scores)
{
    const int64_t n_rows = columns->n_rows, n_here = columns_here(columns, pass);
    const struct tensor sorted = pass_2d(pass, n_rows, n_here);
    const size_t mark = arena_mark(pass->arena);
    const struct tensor blocks = pass_2d(pass, tensor_count(scores), 1);
    const struct tensor received = pass_2d(pass, n_rows * n_here, 1);
    const struct tensor rows = tensor_as_2d(&received, n_rows, n_here);
    move_blocks(columns, pass, &blocks, scores, false);
    if (is_well(pass, comm_all_to_all(pass->comm, pass->backend, &received, columns->receive,
                                      &blocks, columns->send)) &&
        n_rows * n_here > 0)
        pass->backend->ops->gather_rows(pass->backend, &sorted, &rows, &columns->order);
    arena_release(pass->arena, mark);
    return sorted;
}

void columns_back(const struct columns *columns, const struct pass *pass,
                  const struct tensor *marks, const struct tensor *here)
{
    const struct backend_ops *ops = pass->backend->ops;
    const size_t mark = arena_mark(pass->arena), host_mark = arena_mark(pass->host);
    const size_t bytes = (size_t)tensor_count(marks) * sizeof(int32_t);
    const struct tensor blocks = tensor_2d(pass->arena, DTYPE_I32, tensor_count(marks), 1);
    const struct tensor sent = tensor_2d(pass->arena, DTYPE_I32, tensor_count(here), 1);
    const struct tensor rows = tensor_as_2d(&sent, here->dim[0], here->dim[1]);
    if (tensor_count(here) > 0)
        ops->gather_rows(pass->backend, &rows, here, &columns->place);
    if (is_well(pass, comm_all_to_all(pass->comm, pass->backend, &blocks, columns->send, &sent,
                                      columns->receive)))
        move_blocks(columns, pass, &blocks, marks, true);
    else
        ops->upload(pass->backend, marks, arena_take_zeroed(pass->host, bytes), bytes);
    arena_release(pass->arena, mark);
    arena_release(pass->host, host_mark);
}
