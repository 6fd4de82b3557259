/* mixt bench op: the products of an update, and the operations that go through memory. */
#include <stdio.h>

#include "tools/bench/product.h"
#include "tools/bench/verbs.h"

static void measure_products(struct session *session)
{
    struct product product[PRODUCT_MAX];
    const int64_t n = product_list(session, product);
    for (int64_t i = 0; i < n; i++)
        for (enum direction d = DIRECTION_FORWARD; d < N_DIRECTIONS; d++) {
            struct row row = {.unit = ROW_FLOPS,
                              .amount = product_flops(session, &product[i], d),
                              .extra = {{"calls_an_update", (double)product[i].calls[d]}}};
            snprintf(row.name, sizeof row.name, "%s %s", product[i].name, direction_name(d));
            if (!session_wants(session, row.name))
                continue;
            row.seconds = product_time(session, &product[i], d, &row.calls);
            session_add(session, row);
        }
}

/* -- operations that do little to each number: bytes read and written count -- */

struct element {
    struct backend *backend;
    struct tensor x, y, z, u;     /* real */
    struct tensor i, j, k, names; /* i32 */
    struct gating gating;
};

static void run_embed(void *context)
{
    struct element *e = context;
    e->backend->ops->embed(e->backend, &e->y, &e->x, &e->i, 2);
}

static void run_embed_backward(void *context)
{
    struct element *e = context;
    e->backend->ops->embed_backward(e->backend, &e->x, &e->y, &e->i, 2);
}

static void run_attention_softmax(void *context)
{
    struct element *e = context;
    e->backend->ops->attention_softmax(e->backend, &e->x, &e->i);
}

static void run_top_k(void *context)
{
    struct element *e = context;
    e->backend->ops->top_k(e->backend, &e->y, &e->i, &e->x);
}

static void run_cross_entropy(void *context)
{
    struct element *e = context;
    e->backend->ops->cross_entropy(e->backend, &e->y, &e->z, &e->x, &e->i, 0.1, 1e-3);
}

static void run_adam(void *context)
{
    struct element *e = context;
    const struct adam adam = {.learning_rate = 1e-9,
                              .beta1 = 0.9,
                              .beta2 = 0.98,
                              .epsilon = 1e-8,
                              .step = 1000,
                              .gradient_scale = 1};
    e->backend->ops->adam_step(e->backend, &e->x, &e->y, &e->z, &e->u, &adam);
}

static void run_dropout(void *context)
{
    struct element *e = context;
    e->backend->ops->dropout(e->backend, &e->y, &e->x, &e->z, 0.3, (struct random_key){0}, NULL);
}

static void run_fill(void *context)
{
    struct element *e = context;
    e->backend->ops->fill(e->backend, &e->x, 0);
}

static void run_lstm_cell(void *context)
{
    struct element *e = context;
    e->backend->ops->lstm_cell(e->backend, &e->x, &e->y, &e->z, &e->u);
}

static void run_gate_noise(void *context)
{
    struct element *e = context;
    e->backend->ops->gate_noise(e->backend, &e->gating, (struct random_key){0}, &e->names);
}

static void run_gate_load(void *context)
{
    struct element *e = context;
    e->backend->ops->gate_load(e->backend, &e->u, &e->gating);
}

static void run_dispatch(void *context)
{
    struct element *e = context;
    e->backend->ops->dispatch(e->backend, &e->i, &e->j, &e->k, &e->gating.experts, NULL, NULL);
}

static void run_gather(void *context)
{
    struct element *e = context;
    e->backend->ops->gather_rows(e->backend, &e->y, &e->x, &e->i);
}

static void run_combine(void *context)
{
    struct element *e = context;
    e->backend->ops->combine(e->backend, &e->x, &e->y, &e->gating.weights, &e->j, NULL);
}

/* One row, of `numbers` numbers of four bytes read or written; prepare has filled *element. */
static void measure(struct session *session, const char *name, double numbers,
                    void (*run)(void *context), struct element *element)
{
    if (session_wants(session, name))
        session_row(session, name, ROW_BYTES, 4 * numbers,
                    (struct work){.run = run, .context = element});
}

static struct element begin(struct session *session)
{
    return (struct element){.backend = &session->backend};
}

static void measure_words(struct session *session)
{
    const int64_t dim = session->config->model.dim, words = session->config->data.subword.size;
    const int64_t rows = session->sentences * session->length;
    const int64_t block = rows < 1024 ? rows : 1024;
    const double moved = (double)(rows * dim), logits = (double)(block * words);
    const size_t mark = arena_mark(&session->arena);
    struct element e = begin(session);
    e.x = session_random(session, words, dim);
    e.y = session_random(session, rows, dim);
    e.i = session_ids(session, rows, words);
    measure(session, "embed", 2 * moved, run_embed, &e);
    measure(session, "embed_backward", 3 * moved, run_embed_backward, &e);
    arena_release(&session->arena, mark);
    e = begin(session);
    e.x = session_random(session, block, words);
    e.y = tensor_1d(&session->arena, session->backend.real, block);
    e.z = tensor_like(&session->arena, &e.y);
    e.i = session_ids(session, block, words);
    measure(session, "cross_entropy", 2 * logits, run_cross_entropy, &e);
    arena_release(&session->arena, mark);
    e = begin(session);
    e.x = session_random(session, session->sentences, words);
    e.y = session_random(session, session->sentences, 5);
    e.i = tensor_2d(&session->arena, DTYPE_I32, session->sentences, 5);
    measure(session, "top_k of words", (double)(session->sentences * words), run_top_k, &e);
    arena_release(&session->arena, mark);
}

static void measure_layers(struct session *session)
{
    const struct config_model *model = &session->config->model;
    const int64_t sentences = session->sentences, length = session->length;
    const int64_t rows = sentences * length, hidden = model->encoder.hidden;
    const size_t mark = arena_mark(&session->arena), host_mark = arena_mark(&session->host);
    struct element e = begin(session);
    e.x = session_random(session, rows, model->dim);
    e.y = session_random(session, rows, model->dim);
    e.z = session_random(session, rows, model->dim);
    measure(session, "dropout", 3 * (double)(rows * model->dim), run_dropout, &e);
    e.x = session_random(session, sentences, 4 * hidden);
    e.y = session_random(session, sentences, hidden);
    e.z = session_random(session, sentences, hidden);
    e.u = session_random(session, sentences, hidden);
    measure(session, "lstm_cell", 11 * (double)(sentences * hidden), run_lstm_cell, &e);
    const struct tensor scores = session_random(session, rows, length);
    e.x = tensor_as_3d(&scores, length, sentences, length);
    e.i = tensor_1d(&session->arena, DTYPE_I32, sentences);
    int32_t *lengths = arena_take(&session->host, (size_t)sentences * sizeof *lengths);
    for (int64_t b = 0; b < sentences; b++)
        lengths[b] = (int32_t)length;
    session->backend.ops->upload(&session->backend, &e.i, lengths,
                                 (size_t)sentences * sizeof *lengths);
    measure(session, "attention_softmax", 2 * (double)(rows * length), run_attention_softmax, &e);
    arena_release(&session->arena, mark);
    arena_release(&session->host, host_mark);
}

static struct gating make_gating(struct session *session, int64_t rows, int64_t experts, int64_t k)
{
    struct arena *arena = &session->arena;
    struct gating gating = {.noise = 1};
    const int64_t top = k < experts ? k + 1 : k;
    gating.clean = session_random(session, rows, experts);
    gating.raw = session_random(session, rows, experts);
    gating.stddev = tensor_like(arena, &gating.clean);
    gating.noisy = tensor_like(arena, &gating.clean);
    gating.top = tensor_2d(arena, session->backend.real, rows, top);
    gating.order = tensor_2d(arena, DTYPE_I32, rows, top);
    gating.weights = session_random(session, rows, k);
    const struct tensor experts_of = session_ids(session, rows * k, experts);
    gating.experts = tensor_as_2d(&experts_of, rows, k);
    return gating;
}

static void measure_gate(struct session *session)
{
    const struct config_model *model = &session->config->model;
    const int64_t rows = session->sentences * session->length, dim = model->dim;
    const int64_t experts = model->moe.experts.value[0], k = model->moe.top_k.value[0];
    const double scores = (double)(rows * experts), choices = (double)(rows * k);
    struct arena *arena = &session->arena;
    const size_t mark = arena_mark(arena);
    struct element e = begin(session);
    e.gating = make_gating(session, rows, experts, k);
    e.names = session_ids(session, rows, INT32_MAX);
    e.u = tensor_1d(arena, session->backend.real, experts);
    e.x = e.gating.noisy;
    e.y = e.gating.top;
    e.i = e.gating.order;
    session->backend.ops->copy(&session->backend, &e.gating.noisy, &e.gating.clean);
    measure(session, "gate_noise", 4 * scores, run_gate_noise, &e);
    run_gate_noise(&e); /* what follows reads it, also where --only leaves it out */
    measure(session, "top_k of experts", scores, run_top_k, &e);
    run_top_k(&e);
    measure(session, "gate_load", 2 * scores, run_gate_load, &e);
    e.i = tensor_1d(arena, DTYPE_I32, rows * k);
    e.j = tensor_like(arena, &e.gating.experts);
    e.k = tensor_1d(arena, DTYPE_I32, experts + 1);
    measure(session, "dispatch", 3 * choices, run_dispatch, &e);
    run_dispatch(&e);
    e.x = session_random(session, rows, dim);
    e.y = session_random(session, rows * k, dim);
    measure(session, "gather_rows", 2 * choices * (double)dim, run_gather, &e);
    measure(session, "combine", (choices + (double)rows) * (double)dim, run_combine, &e);
    arena_release(arena, mark);
}

static void measure_update(struct session *session)
{
    enum { NUMBERS = 1 << 23 };
    const size_t mark = arena_mark(&session->arena);
    struct element e = begin(session);
    struct tensor *const tensors[] = {&e.x, &e.y, &e.z, &e.u};
    for (int i = 0; i < 4; i++)
        *tensors[i] = session_random(session, NUMBERS / 1024, 1024);
    session->backend.ops->fill(&session->backend, &e.z, 1e-4); /* second moments */
    measure(session, "adam", 8.0 * NUMBERS, run_adam, &e);
    measure(session, "fill", NUMBERS, run_fill, &e);
    arena_release(&session->arena, mark);
}

int bench_op_main(int argc, char **argv)
{
    static const char description[] =
        "Times the products of an update at the shape, each by itself: forward, backward to the "
        "gradient of the input, and to that of the weight; and the operations that go through "
        "memory. Of these last, numbers that lie in the caches can exceed the memory's peak.";
    struct bench_options options = {0};
    struct session session;
    const int code = session_start(&session, &options, "op", description, argc, argv);
    if (code >= 0)
        return code;
    measure_products(&session);
    measure_words(&session);
    measure_layers(&session);
    if (session.config->model.moe.experts.n == 1)
        measure_gate(&session);
    measure_update(&session);
    return session_finish(&session, STATUS_OK);
}
