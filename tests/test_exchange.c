/* Experts divided over ranks, which are threads here: where each row goes, against plain loops, and
 * a layer of several ranks against the same layer of one.
 *
 * Usage: test_exchange BACKEND. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "backend/comm/transport.h"
#include "layer/runs.h"
#include "tests/crew.h"
#include "tests/mixture.h"

static const char *backend;

enum { MAX_ROWS = 64, MAX_PARAMS = 16 };

/* -- where rows go -- */

enum { WIDTH = 3 };

/* Rows that rank r has for expert e; some ranks have none at all, some experts get none. */
static int rows_for(int r, int e)
{
    return r == 1 || e == 2 ? 0 : (3 * r + 5 * e) % 4;
}

/* Row i of rank r for expert e, recognisable. */
static double mark_of(int r, int e, int i)
{
    return 10000 * r + 100 * e + i;
}

struct journey {
    int n_experts, n_trips;
    int n_wrong[CREW_MAX_RANKS];
};

/* Counts rows of x that are not [mark, 2 mark, 3 mark]. */
static int wrong_row(const double *x, int64_t row, double mark)
{
    for (int d = 0; d < WIDTH; d++)
        if (!(x[row * WIDTH + d] == (d + 1) * mark))
            return 1;
    return 0;
}

/* This rank's rows, sorted by expert, and where each expert's start. */
static struct tensor make_rows(struct fixture *fixture, int rank, int n_experts,
                               struct tensor *offsets)
{
    double values[MAX_ROWS * WIDTH];
    int32_t starts[16] = {0};
    int n = 0;
    for (int e = 0; e < n_experts; e++) {
        for (int i = 0; i < rows_for(rank, e); i++, n++)
            for (int d = 0; d < WIDTH; d++)
                values[n * WIDTH + d] = (d + 1) * mark_of(rank, e, i);
        starts[e + 1] = n;
    }
    *offsets = fixture_ints(fixture, starts, n_experts + 1);
    const struct tensor rows = fixture_random_2d(fixture, n, WIDTH, 1);
    fixture_write(fixture, &rows, values);
    return rows;
}

/* Ranks with a GPU have one each. */
static void open_of_rank(struct fixture *fixture, const struct comm *comm)
{
    char name[32];
    backend_device_of(backend, comm->rank, name, sizeof name);
    fixture_open(fixture, name);
}

static void travel(struct comm *comm, void *context)
{
    struct journey *journey = context;
    const int n_experts = journey->n_experts;
    int *n_wrong = &journey->n_wrong[comm->rank];
    struct fixture fixture;
    struct exchange exchange;
    struct tensor offsets;
    open_of_rank(&fixture, comm);
    fixture.pass.comm = comm;
    const struct tensor x = make_rows(&fixture, comm->rank, n_experts, &offsets);
    exchange_open(&exchange, &fixture.pass, &offsets, journey->n_trips);
    const struct tensor here = exchange_out(&exchange, &fixture.pass, &x);
    const double *values = fixture_values(&fixture, &here);
    const int32_t *starts = fixture_read_ints(&fixture, &exchange.offsets);
    const int first = (int)comm_share(n_experts, comm->rank, comm->size);
    const int last = (int)comm_share(n_experts, comm->rank + 1, comm->size);
    int64_t row = 0;
    for (int e = first; e < last; e++) {
        *n_wrong += starts[e - first] != row;
        for (int r = 0; r < comm->size; r++)
            for (int i = 0; i < rows_for(r, e); i++, row++)
                *n_wrong += row >= here.dim[0] || wrong_row(values, row, mark_of(r, e, i));
    }
    *n_wrong += starts[last - first] != row || here.dim[0] != row;
    const struct tensor back = tensor_like(&fixture.arena, &x);
    fixture.backend.ops->fill(&fixture.backend, &back, -1);
    exchange_back(&exchange, &fixture.pass, &back, &here);
    const double *came = fixture_values(&fixture, &back);
    row = 0;
    for (int e = 0; e < n_experts; e++)
        for (int i = 0; i < rows_for(comm->rank, e); i++, row++)
            *n_wrong += wrong_row(came, row, mark_of(comm->rank, e, i));
    fixture_close(&fixture);
}

static void test_rows(void **state)
{
    (void)state;
    for (int size = 1; size <= 5; size++)
        for (int n_trips = 1; n_trips <= EXCHANGE_MAX_TRIPS; n_trips++) {
            struct journey journey = {.n_experts = 7, .n_trips = n_trips};
            crew_run(size, travel, &journey);
            for (int r = 0; r < size; r++)
                assert_int_equal(journey.n_wrong[r], 0);
        }
}

/* -- a layer of several ranks -- */

enum { D = 12 };

struct layer {
    struct moe_config config;
    int n_rows;           /* of all ranks together; dealt like cards */
    struct mixture whole; /* the same on one rank: its parameters and gradients are compared */
    double *x, *d;        /* [n_rows, D] in and gradient out */
    double *y, *d_x;      /* [n_rows, D] what all ranks wrote, each its rows */
    double *grads[CREW_MAX_RANKS][MAX_PARAMS];
    double losses[CREW_MAX_RANKS][2];
};

/* The rows that a rank has of a whole [n_rows, D]. */
static int take_rows(const struct layer *layer, const struct comm *comm, const double *from,
                     double *to)
{
    int n = 0;
    for (int i = comm->rank; i < layer->n_rows; i += comm->size)
        memcpy(to + D * n++, from + D * i, D * sizeof *to);
    return n;
}

static void give_rows(const struct layer *layer, const struct comm *comm, const double *from,
                      double *to)
{
    int n = 0;
    for (int i = comm->rank; i < layer->n_rows; i += comm->size)
        memcpy(to + D * i, from + D * n++, D * sizeof *to);
}

/* Gives every parameter its values of the whole layer. */
static void copy_params(struct fixture *fixture, struct layer *layer)
{
    struct param_list *params = &fixture->params;
    for (int64_t i = 0; i < params->count; i++) {
        const struct tensor *value = &params->items[i]->weight.value;
        const struct tensor *from = &layer->whole.fixture.params.items[i]->weight.value;
        const int64_t skipped = tensor_count(from) / from->dim[0] * params->items[i]->first_expert;
        for (int64_t j = 0; j < tensor_count(value); j++)
            fixture_set(fixture, value, j, fixture_get(&layer->whole.fixture, from, skipped + j));
    }
    param_list_pack(params);
    param_list_zero_gradients(params);
}

static double *copy_values(struct fixture *fixture, const struct tensor *tensor)
{
    double *values = calloc((size_t)tensor_count(tensor) + 1, sizeof *values);
    CHECK(values, "no memory");
    fixture_read(fixture, tensor, values);
    return values;
}

/* Forward and backward of this rank's rows. */
static void run_rows(struct layer *layer, struct comm *comm, struct mixture *mixture)
{
    struct fixture *fixture = &mixture->fixture;
    double rows[MAX_ROWS * D];
    int32_t names[MAX_ROWS];
    const int n = take_rows(layer, comm, layer->x, rows);
    if (n == 0) {
        moe_forward_none(&mixture->moe, &fixture->pass, &mixture->record, 0.7);
        moe_backward_none(&mixture->moe, &fixture->pass, &mixture->record);
        return;
    }
    for (int i = 0; i < n; i++)
        names[i] = 17 * (comm->rank + i * comm->size);
    const struct sequence sequence = {.names = fixture_ints(fixture, names, n)};
    const struct tensor x = fixture_random_3d(fixture, n, 1, D, 1);
    fixture_write(fixture, &x, rows);
    const struct tensor y = tensor_like(&fixture->arena, &x), d = tensor_like(&fixture->arena, &x);
    take_rows(layer, comm, layer->d, rows);
    fixture_write(fixture, &d, rows);
    moe_forward(&mixture->moe, &fixture->pass, &mixture->record, &y, &x, &sequence, 0.7);
    moe_backward(&mixture->moe, &fixture->pass, &mixture->record, &d, &sequence);
    give_rows(layer, comm, fixture_values(fixture, &y), layer->y);
    give_rows(layer, comm, fixture_values(fixture, &d), layer->d_x);
}

static void run_layer(struct comm *comm, void *context)
{
    struct layer *layer = context;
    struct mixture mixture = {0};
    struct fixture *fixture = &mixture.fixture;
    open_of_rank(fixture, comm);
    fixture->params.comm = comm;
    fixture->pass.comm = comm;
    fixture->pass.dropout = 0.3;
    moe_init(&mixture.moe, &fixture->params, "moe", D, &layer->config, MIXTURE_STREAM);
    runs_place(&fixture->params);
    /* Values of the whole are read by all at once: one after another, as its scratch is shared. */
    for (int r = 0; r < comm->size; r++) {
        if (r == comm->rank)
            copy_params(fixture, layer);
        CHECK(comm_barrier(comm) == STATUS_OK, "barrier");
    }
    run_rows(layer, comm, &mixture);
    for (int64_t i = 0; i < fixture->params.count; i++)
        layer->grads[comm->rank][i] = copy_values(fixture, &fixture->params.items[i]->grad);
    fixture_read(fixture, &mixture.record.losses, layer->losses[comm->rank]);
    fixture_close(fixture);
}

/* The gradient of parameter i from those of the ranks: slices, or their sum. */
static double *join_gradients(const struct layer *layer, int size, int64_t i)
{
    const struct param *param = layer->whole.fixture.params.items[i];
    const bool is_expert = strstr(param->name, ".expert.") != NULL;
    const int64_t count = tensor_count(&param->grad), n_experts = param->grad.dim[0];
    double *sum = calloc((size_t)count + 1, sizeof *sum);
    CHECK(sum, "no memory");
    for (int r = 0; r < size; r++) {
        const int64_t unit = is_expert ? count / n_experts : count;
        const int64_t first = is_expert ? unit * comm_share(n_experts, r, size) : 0;
        const int64_t last = is_expert ? unit * comm_share(n_experts, r + 1, size) : count;
        for (int64_t j = first; j < last; j++)
            sum[j] += layer->grads[r][i][j - first];
    }
    return sum;
}

static void compare_layers(struct layer *one, struct layer *many, int size, double relative)
{
    const struct param_list *params = &one->whole.fixture.params;
    expect_close("y", many->y, one->y, (int64_t)one->n_rows * D, relative);
    expect_close("d_x", many->d_x, one->d_x, (int64_t)one->n_rows * D, relative);
    for (int r = 0; r < size; r++)
        expect_close("losses", many->losses[r], one->losses[0], 2, relative);
    for (int64_t i = 0; i < params->count; i++) {
        double *joined = join_gradients(many, size, i);
        expect_close(params->items[i]->name, joined, one->grads[0][i],
                     tensor_count(&params->items[i]->grad), relative);
        free(joined);
        for (int r = 0; r < size; r++)
            free(many->grads[r][i]);
    }
}

/* Runs a layer's rows on so many ranks. */
static struct layer run_on(const struct layer *model, int size, double y[], double d_x[])
{
    struct layer layer = *model;
    layer.y = y;
    layer.d_x = d_x;
    crew_run(size, run_layer, &layer);
    return layer;
}

/* Of the rows n_kinds are different: the others are their copies, and tie with them. */
static void check_layer(const struct moe_config *config, int n_rows, int n_kinds,
                        bool is_recomputed)
{
    double x[MAX_ROWS * D], d[MAX_ROWS * D], y[2][MAX_ROWS * D], d_x[2][MAX_ROWS * D];
    struct layer model = {.config = *config, .n_rows = n_rows, .x = x, .d = d};
    model.config.expert.is_recomputed = is_recomputed;
    mixture_open(&model.whole, backend, D, &model.config, MIXTURE_STREAM);
    for (int i = 0; i < n_rows * D; i++) {
        x[i] = i < n_kinds * D ? fixture_uniform(&model.whole.fixture) : x[i - n_kinds * D];
        d[i] = fixture_uniform(&model.whole.fixture);
    }
    for (int size = 2; size <= 4; size++) {
        struct layer one = run_on(&model, 1, y[0], d_x[0]);
        struct layer many = run_on(&model, size, y[1], d_x[1]);
        compare_layers(&one, &many, size, mixture_closeness(&model.whole) * 10);
        for (int64_t i = 0; i < model.whole.fixture.params.count; i++)
            free(one.grads[0][i]);
    }
    fixture_close(&model.whole.fixture);
}

static void test_flat(void **state)
{
    (void)state;
    const struct moe_config noisy = mixture_flat(GATE_NOISY_TOP_K, 6, 2);
    const struct moe_config uniform = mixture_flat(GATE_SWITCH, 5, 1);
    struct moe_config cubic = noisy;
    cubic.expert.kind = EXPERT_CUBIC;
    cubic.expert.n_patches = 3;
    check_layer(&noisy, 37, 37, false);
    check_layer(&noisy, 37, 37, true);
    check_layer(&uniform, 29, 29, false);
    check_layer(&cubic, 37, 37, false);
    check_layer(&cubic, 37, 37, true);
}

static void test_two_levels(void **state)
{
    (void)state;
    const struct gate_config groups = mixture_gate(GATE_NOISY_TOP_K, 3, 2);
    const struct gate_config experts = mixture_gate(GATE_NOISY_TOP_K, 4, 2);
    const struct moe_config config = mixture_two_levels(&groups, &experts);
    check_layer(&config, 41, 41, false);
}

/* Choosing by the tokens of all ranks, of which many are alike. */
static void test_balanced(void **state)
{
    (void)state;
    const struct gate_config few = mixture_gate(GATE_BALANCED, 3, 2);
    const struct gate_config noisy = mixture_gate(GATE_NOISY_TOP_K, 3, 2);
    const struct gate_config many = mixture_gate(GATE_BALANCED, 5, 2);
    const struct moe_config flat = mixture_flat(GATE_BALANCED, 6, 2);
    const struct moe_config deep = mixture_two_levels(&few, &many);
    const struct moe_config mixed = mixture_two_levels(&noisy, &many);
    check_layer(&flat, 37, 37, false);
    check_layer(&flat, 37, 5, false);
    check_layer(&flat, 2, 1, false);
    check_layer(&deep, 41, 41, false);
    check_layer(&deep, 41, 4, false);
    check_layer(&deep, 1, 1, false);
    check_layer(&mixed, 41, 7, false);
}

/* Some ranks have no row at all. */
static void test_few_rows(void **state)
{
    (void)state;
    const struct gate_config groups = mixture_gate(GATE_NOISY_TOP_K, 3, 2);
    const struct gate_config experts = mixture_gate(GATE_NOISY_TOP_K, 4, 2);
    const struct moe_config flat = mixture_flat(GATE_NOISY_TOP_K, 6, 2);
    const struct moe_config deep = mixture_two_levels(&groups, &experts);
    check_layer(&flat, 2, 2, false);
    check_layer(&deep, 1, 1, false);
}

/* -- what is computed while rows travel -- */

/* The calls of a rank in their order: s and f start and finish an exchange, l is a product of
 * experts, g the gradients of a matrix. */
static _Thread_local char calls[64];
static _Thread_local const struct comm_ops *real_comm_ops;
static _Thread_local const struct backend_ops *real_ops;

static void note(char call)
{
    const size_t n = strlen(calls);
    CHECK(n + 1 < sizeof calls, "too many calls");
    calls[n] = call;
    calls[n + 1] = '\0';
}

static enum status noted_start(struct comm *comm, int slot, const struct comm_exchange *exchange)
{
    note('s');
    return real_comm_ops->start(comm, slot, exchange);
}

static enum status noted_finish(struct comm *comm, int slot)
{
    note('f');
    return real_comm_ops->finish(comm, slot);
}

static void noted_linear(struct backend *handle, const struct tensor *y, const struct tensor *x,
                         const struct weight *weight, bool transposed, const struct tensor *bias,
                         const struct tensor *offsets, enum activation activation)
{
    note('l');
    real_ops->grouped_linear(handle, y, x, weight, transposed, bias, offsets, activation);
}

static void noted_gradient(struct backend *handle, const struct tensor *d_weight,
                           const struct tensor *d_bias, const struct tensor *x,
                           const struct tensor *d_y, const struct tensor *offsets)
{
    note('g');
    real_ops->grouped_linear_gradient(handle, d_weight, d_bias, x, d_y, offsets);
}

struct order {
    int n_experts;
    char forward[CREW_MAX_RANKS][64], backward[CREW_MAX_RANKS][64];
};

/* One row for each expert of all, there and back. */
static void run_noted(struct comm *comm, void *context)
{
    struct order *order = context;
    struct fixture fixture;
    struct experts experts;
    struct far_record record = {0};
    const struct expert_config config = {.kind = EXPERT_RELU, .hidden = 8, .n_patches = 1};
    int32_t starts[16];
    open_of_rank(&fixture, comm);
    fixture.params.comm = fixture.pass.comm = comm;
    experts_init(&experts, &fixture.params, "expert", order->n_experts, D, D, &config);
    fixture_start(&fixture, 1);
    for (int e = 0; e <= order->n_experts; e++)
        starts[e] = e;
    const struct tensor offsets = fixture_ints(&fixture, starts, order->n_experts + 1);
    const struct tensor x = fixture_random_2d(&fixture, order->n_experts, D, 1);
    const struct tensor y = tensor_like(&fixture.arena, &x);
    struct comm_ops comm_ops = *comm->ops;
    struct backend_ops ops = *fixture.backend.ops;
    real_comm_ops = comm->ops;
    real_ops = fixture.backend.ops;
    comm_ops.start = noted_start;
    comm_ops.finish = noted_finish;
    ops.grouped_linear = noted_linear;
    ops.grouped_linear_gradient = noted_gradient;
    comm->ops = &comm_ops;
    fixture.backend.ops = &ops;
    calls[0] = '\0';
    far_forward(&experts, &fixture.pass, &record, &y, &x, &offsets);
    memcpy(order->forward[comm->rank], calls, sizeof calls);
    calls[0] = '\0';
    far_backward(&experts, &fixture.pass, &x, &record, &y);
    memcpy(order->backward[comm->rank], calls, sizeof calls);
    comm->ops = real_comm_ops;
    fixture.backend.ops = real_ops;
    fixture_close(&fixture);
}

static void check_order(struct order order, const char *forward, const char *backward)
{
    crew_run(2, run_noted, &order);
    for (int r = 0; r < 2; r++) {
        assert_string_equal(order.forward[r], forward);
        assert_string_equal(order.backward[r], backward);
    }
}

/* After the counts (sf): both halves' rows leave; while the second's travel the first compute,
 * while those go back the second, and gradients of matrices while gradients of rows go back. */
static void test_order(void **state)
{
    (void)state;
    if (strncmp(backend, "cuda", 4) == 0)
        return; /* whose rows do not go by the noted calls */
    check_order((struct order){.n_experts = 4}, "sfssfllsfllsff", "ssfllsfllsggff");
    check_order((struct order){.n_experts = 3}, "sfsfllsf", "sfllsggf"); /* one on a rank */
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: test_exchange BACKEND\n");
        return 2;
    }
    backend = argv[1];
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),       cmocka_unit_test(test_flat),
        cmocka_unit_test(test_two_levels), cmocka_unit_test(test_balanced),
        cmocka_unit_test(test_few_rows),   cmocka_unit_test(test_order),
    };
    return cmocka_run_group_tests_name(backend, tests, NULL, NULL);
}
