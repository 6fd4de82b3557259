/* The list of products, and one of them on its own. */
#include "tools/bench/product.h"

/* -- the list -- */

static struct product linear(const char *name, int64_t rows, int64_t in, int64_t out, int64_t calls)
{
    return (struct product){.name = name,
                            .a = in,
                            .b = out,
                            .rows = {rows, rows, rows},
                            .calls = {calls, calls, calls}};
}

/* A product of one step, whose weight gradient is taken over all `length` steps at once. */
static struct product stepwise(const char *name, int64_t sentences, int64_t length, int64_t in,
                               int64_t out, int64_t layers)
{
    struct product product = linear(name, sentences, in, out, layers * length);
    product.rows[DIRECTION_GRADIENT] = sentences * length;
    product.calls[DIRECTION_GRADIENT] = layers;
    return product;
}

static struct product grouped(const char *name, int64_t rows, int64_t in, int64_t out,
                              int64_t groups, int64_t calls)
{
    struct product product = linear(name, rows, in, out, calls);
    product.kind = PRODUCT_GROUPED;
    product.groups = groups;
    return product;
}

/* LSTMs that read `dim` numbers a step, and those that read twice as many: [x; context]. */
struct lstm_counts {
    int64_t narrow, wide;
};

static struct lstm_counts count_lstms(const struct config_model *model)
{
    const bool is_fed = model->decoder.input_feeding;
    const bool is_both = model->encoder.bidirectional == CONFIG_BIDIRECTIONAL_FIRST;
    return (struct lstm_counts){.narrow = model->encoder.layers + is_both + !is_fed,
                                .wide = model->decoder.layers - 1 + is_fed};
}

static int64_t add_lstms(const struct session *session, struct product *product)
{
    const struct config_model *model = &session->config->model;
    const int64_t dim = model->dim, hidden = model->encoder.hidden;
    const int64_t sentences = session->sentences, length = session->length;
    const struct lstm_counts count = count_lstms(model);
    const int64_t all = count.narrow + count.wide;
    int64_t n = 0;
    product[n++] = linear("lstm input", sentences * length, dim, 4 * hidden, count.narrow);
    if (count.wide)
        product[n++] =
            linear("lstm wide input", sentences * length, 2 * dim, 4 * hidden, count.wide);
    product[n++] = stepwise("lstm step", sentences, length, dim, 4 * hidden, all);
    if (model->encoder.projection)
        product[n++] = stepwise("lstm projection", sentences, length, hidden, dim, all);
    return n;
}

static int64_t add_attention(const struct session *session, struct product *product)
{
    const struct config_model *model = &session->config->model;
    const int64_t rows = session->sentences * session->length;
    const int64_t dim = model->dim, attention_dim = config_attention_dim(model);
    int64_t n = 0;
    product[n++] = linear("attention", rows, dim, attention_dim, 2);
    product[n++] = (struct product){
        .name = "attention scores", .kind = PRODUCT_BATCH, .a = attention_dim, .calls = {1, 1, 1}};
    product[n++] = (struct product){
        .name = "attention context", .kind = PRODUCT_BATCH, .a = dim, .calls = {1, 1, 1}};
    product[n++] = linear("readout", rows, 2 * dim, dim, 1);
    return n;
}

static int64_t count_mixtures(const struct config_moe *moe)
{
    int64_t count = 0;
    for (int64_t l = 1; l <= CONFIG_MAX_LAYERS; l++)
        count += moe->after.encoder[l] + moe->after.decoder[l];
    return count;
}

static int64_t add_mixtures(const struct session *session, struct product *product)
{
    const struct config_moe *moe = &session->config->model.moe;
    const int64_t dim = session->config->model.dim, rows = session->sentences * session->length;
    const int64_t experts = config_moe_experts(moe), count = count_mixtures(moe);
    const bool is_noisy = moe->gate.value[0] == CONFIG_GATE_NOISY_TOP_K && moe->noise > 0;
    int64_t n = 0;
    if (count == 0)
        return 0;
    product[n] = linear("gate", rows, dim, moe->experts.value[0], is_noisy ? 2 * count : count);
    product[n++].is_exact = true;
    if (moe->expert.type == CONFIG_EXPERT_LSTM)
        return n;
    const int64_t choices = rows * config_moe_choices(moe), patches = moe->expert.patches;
    product[n++] =
        grouped("experts up", choices * patches, dim / patches, moe->expert.hidden, experts, count);
    product[n++] = grouped("experts down", choices, moe->expert.hidden, dim, experts, count);
    return n;
}

/* Of the softmax: the embedding's rows are the weight's, in blocks as layer/output.c takes them. */
static struct product softmax(const struct session *session)
{
    enum { BLOCK = 1024 };
    const int64_t rows = session->sentences * session->length;
    const int64_t block = rows < BLOCK ? rows : BLOCK;
    struct product product = linear("softmax", block, session->config->data.subword.size,
                                    session->config->model.dim, (rows + block - 1) / block);
    product.is_transposed = true;
    return product;
}

int64_t product_list(const struct session *session, struct product product[PRODUCT_MAX])
{
    int64_t n = add_lstms(session, product);
    n += add_attention(session, product + n);
    n += add_mixtures(session, product + n);
    product[n++] = softmax(session);
    return n;
}

const char *direction_name(enum direction direction)
{
    static const char *const names[] = {"forward", "backward", "gradient"};
    return names[direction];
}

double product_flops(const struct session *session, const struct product *product,
                     enum direction direction)
{
    const double length = (double)session->length;
    if (product->kind == PRODUCT_BATCH)
        return 2 * (double)session->sentences * length * length * (double)product->a;
    return 2 * (double)product->rows[direction] * (double)product->a * (double)product->b;
}

/* -- one of them -- */

struct run {
    struct backend *backend;
    const struct product *product;
    enum direction direction;
    struct weight weight;
    struct tensor left, right; /* rows of a, and of b */
    struct tensor d_weight, offsets;
};

static void run_batch(struct run *run)
{
    const struct backend_ops *ops = run->backend->ops;
    if (run->direction == DIRECTION_FORWARD)
        ops->batch_matmul(run->backend, &run->d_weight, &run->left, false, &run->right, true,
                          false);
    else if (run->direction == DIRECTION_BACKWARD)
        ops->batch_matmul(run->backend, &run->left, &run->d_weight, false, &run->right, false,
                          false);
    else
        ops->batch_matmul(run->backend, &run->right, &run->d_weight, true, &run->left, false,
                          false);
}

static void run_product(void *context)
{
    struct run *run = context;
    struct backend *backend = run->backend;
    const struct backend_ops *ops = backend->ops;
    const bool is_transposed =
        run->product->is_transposed != (run->direction == DIRECTION_BACKWARD);
    const struct tensor *x = is_transposed ? &run->right : &run->left;
    const struct tensor *y = is_transposed ? &run->left : &run->right;
    const bool is_grouped = run->product->kind == PRODUCT_GROUPED;
    if (run->product->kind == PRODUCT_BATCH)
        run_batch(run);
    else if (run->direction == DIRECTION_GRADIENT && is_grouped)
        ops->grouped_linear_gradient(backend, &run->d_weight, NULL, &run->left, &run->right,
                                     &run->offsets);
    else if (run->direction == DIRECTION_GRADIENT)
        ops->linear_gradient(backend, &run->d_weight, NULL, &run->left, &run->right);
    else if (is_grouped)
        ops->grouped_linear(backend, y, x, &run->weight, is_transposed, NULL, &run->offsets,
                            ACTIVATION_NONE);
    else
        ops->linear(backend, y, x, &run->weight, is_transposed, NULL, ACTIVATION_NONE, false);
}

static void prepare_batch(struct session *session, struct run *run)
{
    const int64_t length = session->length, sentences = session->sentences;
    const int64_t rows = length * sentences, a = run->product->a;
    const struct tensor left = session_random(session, rows, a);
    const struct tensor right = session_random(session, rows, a);
    const struct tensor scores = session_random(session, rows, length);
    run->left = tensor_as_3d(&left, length, sentences, a);
    run->right = tensor_as_3d(&right, length, sentences, a);
    run->d_weight = tensor_as_3d(&scores, length, sentences, length);
}

/* The same number of rows for each expert, as nearly as can be. */
static struct tensor even_offsets(struct session *session, int64_t rows, int64_t groups)
{
    const struct tensor offsets = tensor_1d(&session->arena, DTYPE_I32, groups + 1);
    const size_t mark = arena_mark(&session->host);
    const size_t size = (size_t)(groups + 1) * sizeof(int32_t);
    int32_t *starts = arena_take(&session->host, size);
    for (int64_t e = 0; e <= groups; e++)
        starts[e] = (int32_t)(e * rows / groups);
    session->backend.ops->upload(&session->backend, &offsets, starts, size);
    arena_release(&session->host, mark);
    return offsets;
}

static void prepare_linear(struct session *session, struct run *run)
{
    const struct product *product = run->product;
    const int64_t rows = product->rows[run->direction], groups = product->groups;
    const int64_t height = (groups ? groups : 1) * product->a;
    run->left = session_random(session, rows, product->a);
    run->right = session_random(session, rows, product->b);
    struct tensor *matrix =
        run->direction == DIRECTION_GRADIENT ? &run->d_weight : &run->weight.value;
    *matrix = session_random(session, height, product->b);
    if (groups) {
        *matrix = tensor_as_3d(matrix, groups, product->a, product->b);
        run->offsets = even_offsets(session, rows, groups);
    }
    if (run->direction == DIRECTION_GRADIENT)
        return;
    const bool is_transposed = product->is_transposed != (run->direction == DIRECTION_BACKWARD);
    const int forms = is_transposed ? PACK_TRANSPOSED : PACK_PLAIN;
    session->backend.ops->weight_pack(&session->backend, &run->weight,
                                      forms | (product->is_exact ? PACK_EXACT : 0));
}

double product_time(struct session *session, const struct product *product,
                    enum direction direction, int64_t *calls)
{
    const size_t mark = arena_mark(&session->arena);
    struct run run = {.backend = &session->backend, .product = product, .direction = direction};
    if (product->kind == PRODUCT_BATCH)
        prepare_batch(session, &run);
    else
        prepare_linear(session, &run);
    const double seconds =
        session_time(session, (struct work){.run = run_product, .context = &run}, calls);
    if (run.weight.packed)
        session->backend.ops->weight_free(&session->backend, &run.weight);
    arena_release(&session->arena, mark);
    return seconds;
}
