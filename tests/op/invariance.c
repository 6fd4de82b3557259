/* A sentence's result must not depend on its neighbours, its place, its padding, or the threads:
 * rows computed alone equal the same rows in a batch, bit by bit. */
#include <pthread.h>
#include <string.h>

#include "tests/op/op.h"

/* What a call needs, by the places that it likes. */
struct state {
    struct tensor t[5];
    struct weight w[3];
    int64_t width; /* of a row of the result */
    bool flag;
};

/* Computes rows first .. first+count-1 into y [count, width]. */
typedef void compute_rows(struct backend *backend, struct checker *checker, struct state *state,
                          int64_t first, int64_t count, float *y);

static struct tensor random_tensor(struct checker *c, double scale, int rank, int64_t d0,
                                   int64_t d1, int64_t d2)
{
    struct tensor tensor = {.dim = {d0, d1, d2}, .rank = rank, .dtype = DTYPE_F32};
    const int64_t count = tensor_count(&tensor);
    tensor.data = arena_take(&c->arena, (size_t)count * sizeof(float));
    for (int64_t i = 0; i < count; i++)
        ((float *)tensor.data)[i] = (float)(scale * draw_normal(c));
    return tensor;
}

static struct tensor int_tensor(struct checker *c, int64_t count, int64_t bound)
{
    struct tensor tensor = tensor_1d(&c->arena, DTYPE_I32, count);
    for (int64_t i = 0; i < count; i++)
        ((int32_t *)tensor.data)[i] = (int32_t)(1 + draw_below(c, bound));
    return tensor;
}

static struct tensor matrix_at(float *data, int64_t rows, int64_t columns)
{
    return (struct tensor){data, {rows, columns}, 2, DTYPE_F32};
}

static void pack(struct checker *c, struct weight *weight, struct tensor value)
{
    *weight = (struct weight){.value = value};
    c->handles[0].ops->weight_pack(&c->handles[0], weight, PACK_PLAIN | PACK_TRANSPOSED);
}

static void pack_int8(struct checker *c, struct weight *weight, struct tensor value,
                      bool transposed)
{
    *weight = round_weight(c, &c->handles[0], &value, value.data, transposed);
}

static void check_rows(struct checker *c, const char *op, struct state *state, int64_t n_rows,
                       compute_rows *compute)
{
    const int64_t runs[][2] = {{0, n_rows}, {0, 1},  {n_rows - 1, 1}, {5, 2},
                               {3, 7},      {1, 17}, {0, 64},         {n_rows - 66, 65}};
    const size_t row_bytes = (size_t)state->width * sizeof(float);
    float *whole = arena_take(&c->arena, (size_t)n_rows * row_bytes);
    float *part = arena_take(&c->arena, (size_t)n_rows * row_bytes);
    compute(&c->handles[0], c, state, 0, n_rows, whole);
    for (int i = 0; i < c->n_handles; i++)
        for (size_t run = 0; run < sizeof runs / sizeof *runs; run++) {
            const int64_t first = runs[run][0], count = runs[run][1];
            memset(part, 0, (size_t)count * row_bytes);
            compute(&c->handles[i], c, state, first, count, part);
            const bool is_equal =
                memcmp(part, whole + first * state->width, (size_t)count * row_bytes) == 0;
            report(c, op, is_equal,
                   "%lld rows from %lld on, on %d threads, differ from the same rows of %lld",
                   (long long)count, (long long)first, c->handles[i].n_threads, (long long)n_rows);
        }
    for (int i = 0; i < 3; i++)
        c->handles[0].ops->weight_free(&c->handles[0], &state->w[i]);
}

static void linear_rows(struct backend *backend, struct checker *c, struct state *s, int64_t first,
                        int64_t count, float *y)
{
    (void)c;
    const struct tensor target = matrix_at(y, count, s->width);
    const struct tensor x = tensor_slice(&s->t[0], first, count);
    memset(y, 0, (size_t)(count * s->width) * sizeof *y);
    backend->ops->linear(backend, &target, &x, &s->w[0], s->flag, given(&s->t[1]),
                         s->t[1].rank ? ACTIVATION_TANH : ACTIVATION_NONE, s->t[1].rank == 0);
}

static void check_linear_rows(struct checker *c, int64_t in, int64_t out)
{
    struct state s = {.width = out};
    s.t[0] = random_tensor(c, 1, 2, 300, in, 0);
    s.t[1] = random_tensor(c, 1, 1, out, 0, 0);
    pack(c, &s.w[0], random_tensor(c, 0.1, 2, in, out, 0));
    check_rows(c, "linear", &s, 300, linear_rows);
    s = (struct state){.width = out, .flag = true};
    s.t[0] = random_tensor(c, 1, 2, 300, in, 0);
    pack(c, &s.w[0], random_tensor(c, 0.1, 2, out, in, 0));
    check_rows(c, "linear", &s, 300, linear_rows);
}

/* Row n belongs to expert n / 40; flag: W^T. */
static void grouped_rows(struct backend *backend, struct checker *c, struct state *s, int64_t first,
                         int64_t count, float *y)
{
    const int64_t n_groups = s->w[0].value.dim[0];
    const struct tensor offsets = tensor_1d(&c->arena, DTYPE_I32, n_groups + 1);
    for (int64_t g = 0; g <= n_groups; g++) {
        const int64_t start = 40 * g - first;
        ((int32_t *)offsets.data)[g] = (int32_t)(start < 0 ? 0 : start > count ? count : start);
    }
    const struct tensor target = matrix_at(y, count, s->width);
    const struct tensor x = tensor_slice(&s->t[0], first, count);
    backend->ops->grouped_linear(backend, &target, &x, &s->w[0], s->flag, &s->t[1], &offsets,
                                 ACTIVATION_RELU);
}

/* One step from a given state, as the decoder runs it; a row is r and the new cells. */
static void lstm_rows(struct backend *backend, struct checker *c, struct state *s, int64_t first,
                      int64_t count, float *y)
{
    const int64_t n_h = s->w[2].value.dim[0], n_p = s->w[2].value.dim[1];
    struct lstm lstm = {.input = &s->w[0],
                        .recurrent = &s->w[1],
                        .projection = &s->w[2],
                        .bias = s->t[1],
                        .first_r = tensor_slice(&s->t[2], first, count),
                        .first_c = tensor_slice(&s->t[3], first, count),
                        .gates = tensor_3d(&c->arena, DTYPE_F32, 1, count, 4 * n_h),
                        .cells = tensor_3d(&c->arena, DTYPE_F32, 1, count, n_h),
                        .hidden = tensor_3d(&c->arena, DTYPE_F32, 1, count, n_h)};
    const struct tensor rows = tensor_slice(&s->t[0], first, count);
    const struct tensor x = tensor_as_3d(&rows, 1, count, s->t[0].dim[1]);
    const struct tensor r = tensor_3d(&c->arena, DTYPE_F32, 1, count, n_p);
    backend->ops->lstm_forward(backend, &r, &x, &lstm);
    for (int64_t n = 0; n < count; n++) {
        memcpy(y + n * s->width, (float *)r.data + n * n_p, (size_t)n_p * sizeof *y);
        memcpy(y + n * s->width + n_p, (float *)lstm.cells.data + n * n_h, (size_t)n_h * sizeof *y);
    }
}

static void attention_rows(struct backend *backend, struct checker *c, struct state *s,
                           int64_t first, int64_t count, float *y)
{
    (void)c;
    const struct tensor lengths = tensor_slice(&s->t[1], first, count);
    const struct tensor weights = {y, {1, count, s->width}, 3, DTYPE_F32};
    const struct tensor x = tensor_slice(&s->t[0], first, count);
    memcpy(y, x.data, (size_t)(count * s->width) * sizeof *y);
    backend->ops->attention_softmax(backend, &weights, &lengths);
}

static void softmax_rows(struct backend *backend, struct checker *c, struct state *s, int64_t first,
                         int64_t count, float *y)
{
    (void)c;
    const struct tensor x = tensor_slice(&s->t[0], first, count);
    const struct tensor target = matrix_at(y, count, s->width);
    backend->ops->softmax(backend, &target, &x);
}

static void log_sum_exp_rows(struct backend *backend, struct checker *c, struct state *s,
                             int64_t first, int64_t count, float *y)
{
    (void)c;
    const struct tensor x = tensor_slice(&s->t[0], first, count);
    const struct tensor target = matrix_at(y, count, 1);
    backend->ops->log_sum_exp(backend, &target, &x);
}

static void top_k_rows(struct backend *backend, struct checker *c, struct state *s, int64_t first,
                       int64_t count, float *y)
{
    const struct tensor x = tensor_slice(&s->t[0], first, count);
    const struct tensor target = matrix_at(y, count, s->width);
    const struct tensor indices = tensor_2d(&c->arena, DTYPE_I32, count, s->width);
    backend->ops->top_k(backend, &target, &indices, &x);
}

/* A row is its K largest and its logarithm. */
static void top_k_log_sum_rows(struct backend *backend, struct checker *c, struct state *s,
                               int64_t first, int64_t count, float *y)
{
    const int64_t k = s->width - 1;
    const struct tensor x = tensor_slice(&s->t[0], first, count);
    const struct tensor values = tensor_2d(&c->arena, DTYPE_F32, count, k);
    const struct tensor indices = tensor_2d(&c->arena, DTYPE_I32, count, k);
    const struct tensor log_sums = tensor_1d(&c->arena, DTYPE_F32, count);
    backend->ops->top_k_log_sum(backend, &values, &indices, &log_sums, &x);
    for (int64_t n = 0; n < count; n++) {
        memcpy(y + n * s->width, (float *)values.data + n * k, (size_t)k * sizeof *y);
        y[n * s->width + k] = ((float *)log_sums.data)[n];
    }
}

/* Sentences first .. of a tensor [rows, B, columns], copied together. */
static struct tensor sentences(struct checker *c, const struct tensor *all, int64_t first,
                               int64_t count)
{
    const int64_t width = all->dim[2];
    const struct tensor part = tensor_3d(&c->arena, DTYPE_F32, all->dim[0], count, width);
    for (int64_t row = 0; row < all->dim[0]; row++)
        memcpy((float *)part.data + row * count * width,
               (float *)all->data + (row * all->dim[1] + first) * width,
               (size_t)(count * width) * sizeof(float));
    return part;
}

/* flag: scores of one query against the keys; else a sum of the keys. */
static void batch_rows(struct backend *backend, struct checker *c, struct state *s, int64_t first,
                       int64_t count, float *y)
{
    const struct tensor a = sentences(c, &s->t[0], first, count);
    const struct tensor b = sentences(c, &s->t[1], first, count);
    const struct tensor target = {y, {1, count, s->width}, 3, DTYPE_F32};
    backend->ops->batch_matmul(backend, &target, &a, false, &b, s->flag, false);
}

/* Four queries over S keys, and over more keys of which the rest has no weight. */
static void check_padding(struct checker *c, struct backend *backend, int64_t n_s, int64_t padded,
                          bool is_additive)
{
    const int64_t n_b = 3, n_d = 37, n_t = 4;
    struct tensor q = random_tensor(c, 1, 3, n_t, n_b, n_d);
    struct tensor keys = random_tensor(c, 1, 3, padded, n_b, n_d),
                  lengths = int_tensor(c, n_b, n_s), v = random_tensor(c, 1, 1, n_d, 0, 0);
    struct tensor context[2];
    for (int i = 0; i < 2; i++) {
        const int64_t width = i == 0 ? n_s : padded;
        const struct tensor seen = tensor_slice(&keys, 0, width);
        const struct tensor weights = tensor_3d(&c->arena, DTYPE_F32, n_t, n_b, width);
        context[i] = tensor_3d(&c->arena, DTYPE_F32, n_t, n_b, n_d);
        if (is_additive)
            backend->ops->additive_scores(backend, &weights, &q, &seen, &v, &lengths);
        else
            backend->ops->batch_matmul(backend, &weights, &q, false, &seen, true, false);
        backend->ops->attention_softmax(backend, &weights, &lengths);
        backend->ops->batch_matmul(backend, &context[i], &weights, false, &seen, false, false);
    }
    report(c, "attention",
           memcmp(context[0].data, context[1].data, (size_t)(n_t * n_b * n_d) * sizeof(float)) == 0,
           "%lld keys give another context than %lld padded to %lld", (long long)n_s,
           (long long)n_s, (long long)padded);
}

/* -- several handles at once, as decoding threads use them -- */

enum { N_WORKERS = 3, N_ROUNDS = 40 };

struct worker {
    struct backend backend;
    const struct weight *weight;
    const struct tensor *x;
    float *y;
    const float *wanted;
    bool is_equal;
};

static void *work(void *argument)
{
    struct worker *worker = argument;
    const int64_t width = worker->weight->value.dim[1];
    worker->is_equal = true;
    for (int64_t round = 0; round < N_ROUNDS; round++) {
        const int64_t rows = 1 + round % worker->x->dim[0];
        const struct tensor x = tensor_slice(worker->x, 0, rows);
        const struct tensor y = matrix_at(worker->y, rows, width);
        worker->backend.ops->linear(&worker->backend, &y, &x, worker->weight, false, NULL,
                                    ACTIVATION_TANH, false);
        worker->is_equal &=
            memcmp(worker->y, worker->wanted, (size_t)(rows * width) * sizeof(float)) == 0;
    }
    return NULL;
}

/* Handles of their own, opened here and used on other threads, on weights packed by another. */
static void check_workers(struct checker *c)
{
    const int64_t rows = 70, in = 96, out = 100;
    struct tensor x = random_tensor(c, 1, 2, rows, in, 0);
    struct weight weight;
    pack(c, &weight, random_tensor(c, 0.1, 2, in, out, 0));
    const struct tensor wanted = tensor_2d(&c->arena, DTYPE_F32, rows, out);
    c->handles[0].ops->linear(&c->handles[0], &wanted, &x, &weight, false, NULL, ACTIVATION_TANH,
                              false);
    struct worker workers[N_WORKERS] = {0};
    pthread_t threads[N_WORKERS];
    for (int i = 0; i < N_WORKERS; i++) {
        workers[i].weight = &weight;
        workers[i].x = &x;
        workers[i].y = arena_take(&c->arena, (size_t)(rows * out) * sizeof(float));
        workers[i].wanted = wanted.data;
        CHECK(backend_open(&workers[i].backend, c->handles[0].ops->name, 1) == STATUS_OK &&
                  pthread_create(&threads[i], NULL, work, &workers[i]) == 0,
              "worker %d does not start", i);
    }
    for (int i = 0; i < N_WORKERS; i++) {
        pthread_join(threads[i], NULL);
        report(c, "linear", workers[i].is_equal && backend_sync(&workers[i].backend) == STATUS_OK,
               "differs among several handles");
        backend_close(&workers[i].backend);
    }
    c->handles[0].ops->weight_free(&c->handles[0], &weight);
}

/* The same with weights in int8. */
static void check_int8_products(struct checker *c)
{
    for (int form = 0; form < 2; form++) {
        struct state s = {.width = 100, .flag = form};
        s.t[0] = random_tensor(c, 1, 2, 300, 96, 0);
        s.t[1] = random_tensor(c, 1, 1, 100, 0, 0);
        pack_int8(c, &s.w[0], random_tensor(c, 0.1, 2, form ? 100 : 96, form ? 96 : 100, 0), form);
        check_rows(c, "linear", &s, 300, linear_rows);
        s = (struct state){.width = form ? 50 : 72, .flag = form};
        s.t[0] = random_tensor(c, 1, 2, 320, form ? 72 : 50, 0);
        s.t[1] = random_tensor(c, 1, 2, 8, s.width, 0);
        pack_int8(c, &s.w[0], random_tensor(c, 0.1, 3, 8, 50, 72), form);
        check_rows(c, "grouped_linear", &s, 320, grouped_rows);
    }
    struct state s = {.width = 24 + 40};
    s.t[0] = random_tensor(c, 1, 2, 300, 30, 0);
    s.t[1] = random_tensor(c, 1, 1, 160, 0, 0);
    s.t[2] = random_tensor(c, 1, 2, 300, 24, 0);
    s.t[3] = random_tensor(c, 1, 2, 300, 40, 0);
    pack_int8(c, &s.w[0], random_tensor(c, 0.1, 2, 30, 160, 0), false);
    pack_int8(c, &s.w[1], random_tensor(c, 0.1, 2, 24, 160, 0), false);
    pack_int8(c, &s.w[2], random_tensor(c, 0.1, 2, 40, 24, 0), false);
    check_rows(c, "lstm_forward", &s, 300, lstm_rows);
}

static void check_products(struct checker *c)
{
    check_linear_rows(c, 96, 100);
    check_linear_rows(c, 256, 256);
    check_linear_rows(c, 33, 7);
    struct state s = {.width = 72};
    s.t[0] = random_tensor(c, 1, 2, 320, 50, 0);
    s.t[1] = random_tensor(c, 1, 2, 8, 72, 0);
    pack(c, &s.w[0], random_tensor(c, 0.1, 3, 8, 50, 72));
    check_rows(c, "grouped_linear", &s, 320, grouped_rows);
    for (int form = 0; form < 2; form++) { /* so many that a backend may choose another way */
        s = (struct state){.width = form ? 70 : 300, .flag = form};
        s.t[0] = random_tensor(c, 1, 2, 320, form ? 300 : 70, 0);
        s.t[1] = random_tensor(c, 1, 2, 150, s.width, 0);
        pack(c, &s.w[0], random_tensor(c, 0.1, 3, 150, 70, 300));
        check_rows(c, "grouped_linear", &s, 320, grouped_rows);
    }
    for (int form = 0; form < 2; form++) {
        s = (struct state){.width = form ? 21 : 70, .flag = form};
        s.t[0] = random_tensor(c, 1, 3, 1, 300, form ? 70 : 21);
        s.t[1] = random_tensor(c, 1, 3, 21, 300, 70);
        check_rows(c, "batch_matmul", &s, 300, batch_rows);
    }
    s = (struct state){.width = 24 + 40};
    s.t[0] = random_tensor(c, 1, 2, 300, 30, 0);
    s.t[1] = random_tensor(c, 1, 1, 160, 0, 0);
    s.t[2] = random_tensor(c, 1, 2, 300, 24, 0);
    s.t[3] = random_tensor(c, 1, 2, 300, 40, 0);
    pack(c, &s.w[0], random_tensor(c, 0.1, 2, 30, 160, 0));
    pack(c, &s.w[1], random_tensor(c, 0.1, 2, 24, 160, 0));
    pack(c, &s.w[2], random_tensor(c, 0.1, 2, 40, 24, 0));
    check_rows(c, "lstm_forward", &s, 300, lstm_rows);
}

void check_invariance(struct checker *c)
{
    const size_t mark = arena_mark(&c->arena);
    check_products(c);
    check_int8_products(c);
    check_workers(c);
    struct state s = {.width = 37};
    s.t[0] = random_tensor(c, 2, 2, 300, 37, 0);
    s.t[1] = int_tensor(c, 300, 37);
    check_rows(c, "attention_softmax", &s, 300, attention_rows);
    check_rows(c, "softmax", &s, 300, softmax_rows);
    s.width = 1;
    check_rows(c, "log_sum_exp", &s, 300, log_sum_exp_rows);
    s.width = 5;
    check_rows(c, "top_k", &s, 300, top_k_rows);
    s.width = 6;
    check_rows(c, "top_k_log_sum", &s, 300, top_k_log_sum_rows);
    for (int i = 0; i < c->n_handles; i++)
        for (int64_t n_s = 1; n_s < 40; n_s += 6)
            for (int is_additive = 0; is_additive < 2; is_additive++)
                check_padding(c, &c->handles[i], n_s, n_s + 1 + 3 * (n_s % 5), is_additive);
    arena_release(&c->arena, mark);
}
