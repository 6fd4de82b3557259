/* Building the model from its configuration, and the teacher-forced pass. */
#include "model/model.h"

#include <math.h>

#include "layer/phase.h"
#include "layer/runs.h"
#include "model/lm.h"
#include "model/safetensors.h"

/* For parameters' names, and for start values of one a round at a time. */
enum { HOST_BYTES = 64 << 20 };

static bool is_one_pass(const struct config *config)
{
    return config->train.accumulate == 1 && !config->dist.reproducible;
}

static struct expert_config expert_config_of(const struct config *config)
{
    static const enum expert_kind kinds[] = {EXPERT_RELU, EXPERT_LINEAR, EXPERT_CUBIC, EXPERT_LSTM};
    const struct config_moe *moe = &config->model.moe;
    const int64_t choices = config_moe_choices(moe);
    return (struct expert_config){
        .kind = kinds[moe->expert.type],
        .hidden = moe->expert.hidden,
        .n_patches = moe->expert.patches,
        .is_recomputed = config->train.recompute_experts,
        .n_rows = is_one_pass(config) ? config->train.batch_tokens * choices : 0};
}

bool model_packs_late(const struct config *config)
{
    return is_one_pass(config);
}

bool model_lends_gradients(const struct config *config, bool is_alone)
{
    return is_alone && is_one_pass(config);
}

bool model_has_products(const struct config *config)
{
    const struct expert_config expert = expert_config_of(config);
    const int64_t dim = config->model.dim;
    return expert.kind != EXPERT_LSTM &&
           experts_have_few_rows(&expert, config_moe_experts(&config->model.moe), dim, dim);
}

static struct moe_config moe_config_of(const struct config *config)
{
    static const enum gate_kind gates[] = {GATE_SOFTMAX, GATE_NOISY_TOP_K, GATE_SWITCH,
                                           GATE_BALANCED};
    const struct config_moe *moe = &config->model.moe;
    struct moe_config mixture = {.n_levels = moe->experts.n,
                                 .expert = expert_config_of(config),
                                 .has_sigmoid = moe->output == CONFIG_MOE_OUTPUT_SIGMOID,
                                 .importance_weight = moe->importance_weight,
                                 .load_weight = moe->load_weight};
    for (int64_t l = 0; l < mixture.n_levels; l++)
        mixture.gate[l] = (struct gate_config){.kind = gates[moe->gate.value[l]],
                                               .n_experts = moe->experts.value[l],
                                               .top_k = moe->top_k.value[l],
                                               .noise = moe->noise,
                                               .threshold_weight = moe->threshold_weight};
    return mixture;
}

static struct encoder_config encoder_config_of(const struct config *whole)
{
    const struct config_model *config = &whole->model;
    struct encoder_config encoder = {.n_layers = config->encoder.layers,
                                     .dim = config->dim,
                                     .hidden = config->encoder.hidden,
                                     .has_projection = config->encoder.projection,
                                     .is_bidirectional = config->encoder.bidirectional ==
                                                         CONFIG_BIDIRECTIONAL_FIRST,
                                     .moe = moe_config_of(whole)};
    for (int64_t l = 0; l < encoder.n_layers; l++)
        encoder.has_moe_after[l] = config->moe.after.encoder[l + 1];
    return encoder;
}

static enum attention_kind attention_kind_of(enum config_attention attention)
{
    return attention == CONFIG_ATTENTION_ADDITIVE ? ATTENTION_ADDITIVE : ATTENTION_FACTORED;
}

static struct decoder_config decoder_config_of(const struct config *whole)
{
    const struct config_model *config = &whole->model;
    struct decoder_config decoder = {.n_layers = config->decoder.layers,
                                     .dim = config->dim,
                                     .hidden = config->decoder.hidden,
                                     .has_projection = config->decoder.projection,
                                     .attention_dim = config_attention_dim(config),
                                     .attention = attention_kind_of(config->decoder.attention),
                                     .has_input_feeding = config->decoder.input_feeding,
                                     .moe = moe_config_of(whole)};
    for (int64_t l = 0; l < decoder.n_layers; l++)
        decoder.has_moe_after[l] = config->moe.after.decoder[l + 1];
    return decoder;
}

static struct param *add_table(struct model *model, const char *name)
{
    const int64_t dim = model->config.model.dim;
    return param_add(&model->params,
                     (struct param_spec){.rank = 2,
                                         .dim = {model->vocabulary, dim},
                                         .start = PARAM_NORMAL,
                                         .bound = 1 / sqrt((double)dim)},
                     "%s", name);
}

bool model_is_lm(const struct model *model)
{
    return model->config.model.type == CONFIG_MODEL_LM;
}

/* Source, target and softmax matrices, shared as model.tie says. */
static void init_tables(struct model *model)
{
    const unsigned tie = model->config.model.tie;
    const int64_t dim = model->config.model.dim;
    struct param *shared = tie ? add_table(model, "embedding.shared") : NULL;
    const double scale = sqrt((double)dim);
    model->source_embedding = (struct embedding){
        .table = tie & CONFIG_TIE_SOURCE ? shared : add_table(model, "embedding.source"),
        .scale = scale};
    if (!model_is_lm(model))
        model->target_embedding = (struct embedding){
            .table = tie & CONFIG_TIE_TARGET ? shared : add_table(model, "embedding.target"),
            .scale = scale};
    output_init(&model->output, &model->params, "output", model->vocabulary, dim,
                tie & CONFIG_TIE_SOFTMAX ? shared : NULL);
}

/* How a model is laid out. */
struct layout {
    struct comm *comm; /* or NULL */
    bool is_training, is_mapped;
};

static enum status init(struct model *model, struct backend *backend, const struct config *config,
                        int64_t vocabulary, struct layout layout)
{
    const bool is_training = layout.is_training;
    *model = (struct model){.config = *config, .vocabulary = vocabulary};
    enum status status = arena_init(&model->host, HOST_BYTES);
    if (status >= 0)
        status = backend_arena_init(backend, &model->arena, 0);
    const bool has_products = is_training && model_has_products(config);
    if (status >= 0 && has_products)
        status = backend_arena_init(backend, &model->products, 0);
    const bool lends_gradients =
        is_training && model_lends_gradients(config, comm_is_alone(layout.comm));
    if (status >= 0 && lends_gradients)
        status = backend_arena_init(backend, &model->gradients, 0);
    if (status < 0) {
        model_free(model);
        return status;
    }
    model->params = (struct param_list){.backend = backend,
                                        .arena = &model->arena,
                                        .host = &model->host,
                                        .products = has_products ? &model->products : NULL,
                                        .gradients = lends_gradients ? &model->gradients : NULL,
                                        .comm = layout.comm,
                                        .is_training = is_training,
                                        .by_parts = is_training && config->dist.reproducible,
                                        .has_average = is_training && config->train.average > 0,
                                        .packs_late = is_training && model_packs_late(config),
                                        .is_int8 = config->model.dtype == CONFIG_DTYPE_INT8,
                                        .is_mapped = layout.is_mapped,
                                        .factors_experts = config->train.optimizer.experts ==
                                                           CONFIG_EXPERT_OPTIMIZER_FACTORED};
    const struct encoder_config encoder = encoder_config_of(config);
    const struct decoder_config decoder = decoder_config_of(config);
    init_tables(model);
    model->encoder_gradients = arena_mark(&model->gradients);
    encoder_init(&model->encoder, &model->params, &encoder, &model->source_embedding);
    model->decoder_gradients = arena_mark(&model->gradients);
    if (!model_is_lm(model))
        decoder_init(&model->decoder, &model->params, &decoder, &model->target_embedding,
                     &model->output);
    status = param_list_check(&model->params);
    if (status < 0)
        model_free(model);
    else
        runs_place(&model->params);
    return status;
}

enum status model_init_share(struct model *model, struct backend *backend, struct comm *comm,
                             const struct config *config, int64_t vocabulary, bool is_training)
{
    return init(model, backend, config, vocabulary,
                (struct layout){.comm = comm, .is_training = is_training});
}

enum status model_init_mapped(struct model *model, struct backend *backend,
                              const struct config *config, int64_t vocabulary)
{
    const bool is_int8 = config->model.dtype == CONFIG_DTYPE_INT8;
    return init(model, backend, config, vocabulary,
                (struct layout){.is_mapped = backend->reads_host_weights && !is_int8});
}

enum status model_init(struct model *model, struct backend *backend, const struct config *config,
                       int64_t vocabulary, bool is_training)
{
    return model_init_share(model, backend, NULL, config, vocabulary, is_training);
}

void model_start(struct model *model, uint64_t seed)
{
    param_list_start(&model->params, seed);
    param_list_pack(&model->params);
}

void model_free(struct model *model)
{
    param_list_free(&model->params);
    subword_free(model->subword);
    arena_free(&model->arena);
    arena_free(&model->products);
    arena_free(&model->gradients);
    arena_free(&model->host);
    safetensors_close(model->file);
    *model = (struct model){0};
}

int64_t model_moe_layers(struct model *model, struct moe **layers, int64_t max)
{
    int64_t count = 0;
    for (int64_t l = 0; l < model->encoder.config.n_layers; l++)
        if (model->encoder.config.has_moe_after[l] && count < max)
            layers[count++] = &model->encoder.layers[l].moe;
    for (int64_t l = 0; l < model->decoder.config.n_layers; l++)
        if (model->decoder.config.has_moe_after[l] && count < max)
            layers[count++] = &model->decoder.layers[l].moe;
    return count;
}

const struct moe_record *model_moe_record(const struct model *model,
                                          const struct model_record *record, int64_t index)
{
    for (int64_t l = 0; l < model->encoder.config.n_layers; l++)
        if (model->encoder.config.has_moe_after[l] && index-- == 0)
            return &record->encoder.layers[l].moe;
    for (int64_t l = 0; l < model->decoder.config.n_layers; l++)
        if (model->decoder.config.has_moe_after[l] && index-- == 0)
            return &record->decoder.layers[l].moe;
    CHECK(false, "the model has fewer MoE layers");
}

static struct tensor upload(const struct pass *pass, const int32_t *numbers, int64_t count)
{
    const struct tensor tensor = tensor_1d(pass->arena, DTYPE_I32, count);
    pass->backend->ops->upload(pass->backend, &tensor, numbers, (size_t)count * sizeof *numbers);
    return tensor;
}

/* One side: rows and names only where there is padding or randomness to name. */
static enum status upload_side(struct sequence *sequence, struct ids *host, const struct pass *pass,
                               const int32_t *ids, int64_t n_t, int64_t n_b, const int32_t *lengths,
                               const int32_t *rows, int64_t n_rows, const int32_t *sentences)
{
    *sequence = (struct sequence){0};
    const struct tensor flat = upload(pass, ids, n_t * n_b);
    sequence->ids = tensor_as_2d(&flat, n_t, n_b);
    sequence->lengths = upload(pass, lengths, n_b);
    if (n_rows < n_t * n_b)
        sequence->rows = upload(pass, rows, n_rows);
    if (!pass->is_training)
        return STATUS_OK;
    ids_clear(host);
    const enum status status = ids_reserve(host, (size_t)(n_t * n_b));
    if (status < 0)
        return status;
    for (int64_t i = 0; i < n_t * n_b; i++)
        host->data[i] = sequence_name(sentences[i % n_b], i / n_b);
    sequence->names = upload(pass, host->data, n_t * n_b);
    for (int64_t i = 0; i < n_rows; i++)
        host->data[i] = sequence_name(sentences[rows[i] % n_b], rows[i] / n_b);
    if (sequence->rows.rank)
        sequence->row_names = upload(pass, host->data, n_rows);
    return STATUS_OK;
}

enum status model_batch_upload(struct model_batch *to, const struct pass *pass,
                               const struct batch *batch)
{
    to->source = to->target = (struct sequence){0};
    to->labels = (struct tensor){0};
    enum status status = STATUS_OK;
    if (batch->source_length > 0)
        status = upload_side(&to->source, &to->host, pass, batch->source, batch->source_length,
                             batch->n_sentences, batch->source_lengths, batch->source_rows,
                             batch->n_source_tokens, batch->sentences);
    if (status < 0 || batch->target_length == 0)
        return status;
    status = upload_side(&to->target, &to->host, pass, batch->target_in, batch->target_length,
                         batch->n_sentences, batch->target_lengths, batch->target_rows,
                         batch->n_target_tokens, batch->sentences);
    if (status < 0)
        return status;
    ids_clear(&to->host);
    status = ids_reserve(&to->host, (size_t)batch->n_target_tokens);
    if (status < 0)
        return status;
    for (int64_t i = 0; i < batch->n_target_tokens; i++)
        to->host.data[i] = batch->target_out[batch->target_rows[i]];
    to->labels = upload(pass, to->host.data, batch->n_target_tokens);
    return STATUS_OK;
}

void model_batch_free(struct model_batch *batch)
{
    ids_free(&batch->host);
    *batch = (struct model_batch){0};
}

struct tensor model_encode(struct model *model, const struct pass *pass,
                           struct encoder_record *record, const struct sequence *source)
{
    return record ? encoder_forward(&model->encoder, pass, record, source, 0)
                  : encoder_encode(&model->encoder, pass, source);
}

/* -- memory that gradients lend --
 *
 * Where an update is one pass, gradients are zero until the backward pass of their layer. What a
 * pass wants no longer than until then lies in their memory: the rooms of the decoder's LSTMs in
 * that of the encoder, logits behind them. */

/* Makes gradients of what they lent. */
static void take_back(const struct pass *pass, const struct arena *loan)
{
    const enum dtype real = pass->backend->real;
    const struct tensor used = {.data = loan->memory,
                                .rank = 1,
                                .dtype = real,
                                .dim = {(int64_t)(loan->high_mark / dtype_size(real))}};
    if (loan->high_mark > 0)
        pass->backend->ops->fill(pass->backend, &used, 0);
}

/* Losses of what the softmax reads; in a training pass its gradient, else an absent tensor. Logits
 * lie in the loan where it has room for them, or where the gradients' factors will later. */
static struct tensor loss_of(struct model *model, const struct pass *pass,
                             struct model_record *record, const struct model_batch *batch,
                             const struct tensor *readout, double smoothing, double scale,
                             struct arena *loan)
{
    struct tensor d_readout = {0};
    struct pass of_logits = *pass;
    if (arena_has_room(loan, output_loss_bytes(&model->output, pass, readout->dim[0])))
        of_logits.arena = loan;
    else if (pass->is_training && model->params.products)
        of_logits.arena = model->params.products;
    record->loss = tensor_1d(pass->arena, pass->backend->real, readout->dim[0]);
    record->nll = tensor_like(pass->arena, &record->loss);
    if (pass->is_training)
        d_readout = tensor_like(pass->arena, readout);
    output_loss(&model->output, &of_logits, &record->loss, &record->nll, readout, &batch->labels,
                smoothing, scale, tensor_or_null(&d_readout));
    return d_readout;
}

struct tensor model_read(struct model *model, const struct pass *pass, struct model_record *record,
                         const struct model_batch *batch, double balance_scale)
{
    struct backend *backend = pass->backend;
    const bool is_lm = model_is_lm(model);
    struct pass of_encoder = *pass;
    of_encoder.rooms = NULL; /* they are for what goes backward before the encoder does */
    struct tensor readout;
    phase_enter(backend, PHASE_ENCODER);
    if (is_lm)
        readout = lm_forward(&model->encoder, &of_encoder, &record->encoder, &batch->target,
                             balance_scale);
    else
        record->memory = encoder_forward(&model->encoder, &of_encoder, &record->encoder,
                                         &batch->source, balance_scale);
    phase_leave(backend);
    if (is_lm)
        return readout;
    phase_enter(backend, PHASE_DECODER);
    readout = decoder_forward(&model->decoder, pass, &record->decoder, &batch->target,
                              &record->memory, &batch->source.lengths, balance_scale);
    phase_leave(backend);
    return readout;
}

/* Adds the gradients of all that model_read() passed through. */
static void read_backward(struct model *model, const struct pass *pass, struct model_record *record,
                          const struct model_batch *batch, const struct tensor *d_readout,
                          const struct arena *rooms)
{
    struct backend *backend = pass->backend;
    if (model_is_lm(model)) {
        phase_enter(backend, PHASE_ENCODER_BACKWARD);
        lm_backward(&model->encoder, pass, &record->encoder, &batch->target, d_readout);
        phase_leave(backend);
        return;
    }
    const struct tensor d_memory = tensor_like(pass->arena, &record->memory);
    phase_enter(backend, PHASE_DECODER_BACKWARD);
    decoder_backward(&model->decoder, pass, &record->decoder, &batch->target, d_readout, &d_memory);
    take_back(pass, rooms);
    phase_leave(backend);
    phase_enter(backend, PHASE_ENCODER_BACKWARD);
    encoder_backward(&model->encoder, pass, &record->encoder, &batch->source, &d_memory);
    phase_leave(backend);
}

/* The records of model_moe_layers(), in their order; returns how many. */
static int64_t moe_records(const struct model *model, struct model_record *record,
                           struct moe_record *records[2 * CONFIG_MAX_LAYERS])
{
    int64_t count = 0;
    for (int64_t l = 0; l < model->encoder.config.n_layers; l++)
        if (model->encoder.config.has_moe_after[l])
            records[count++] = &record->encoder.layers[l].moe;
    for (int64_t l = 0; l < model->decoder.config.n_layers; l++)
        if (model->decoder.config.has_moe_after[l])
            records[count++] = &record->decoder.layers[l].moe;
    return count;
}

void model_read_none(struct model *model, const struct pass *pass, struct model_record *record,
                     double balance_scale)
{
    struct moe *layers[2 * CONFIG_MAX_LAYERS];
    struct moe_record *records[2 * CONFIG_MAX_LAYERS];
    const int64_t n = moe_records(model, record, records);
    CHECK(model_moe_layers(model, layers, 2 * CONFIG_MAX_LAYERS) == n, "layers and records differ");
    for (int64_t i = 0; i < n && !comm_is_alone(pass->comm); i++)
        moe_forward_none(layers[i], pass, records[i], balance_scale);
}

/* The pass of a rank without sentences: only its experts have work. */
static void loss_of_none(struct model *model, const struct pass *pass, struct model_record *record,
                         double balance_scale)
{
    struct moe *layers[2 * CONFIG_MAX_LAYERS];
    struct moe_record *records[2 * CONFIG_MAX_LAYERS];
    model_read_none(model, pass, record, balance_scale);
    (void)model_moe_layers(model, layers, 2 * CONFIG_MAX_LAYERS);
    const int64_t n = moe_records(model, record, records);
    for (int64_t i = n - 1; i >= 0 && pass->is_training && !comm_is_alone(pass->comm); i--)
        moe_backward_none(layers[i], pass, records[i]);
    record->loss = tensor_1d(pass->arena, pass->backend->real, 0);
    record->nll = record->loss;
}

void model_loss(struct model *model, const struct pass *pass, struct model_record *record,
                const struct model_batch *batch, double smoothing, double scale,
                double balance_scale)
{
    if (batch->target.ids.rank == 0) {
        loss_of_none(model, pass, record, balance_scale);
        return;
    }
    const struct arena *gradients = &model->gradients;
    const size_t first = model->encoder_gradients, end = arena_mark(gradients);
    struct arena rooms = {0}, loan = {0};
    struct pass lending = *pass;
    if (pass->is_training) {
        rooms = arena_lend(gradients, first, model->decoder_gradients);
        lending.rooms = &rooms;
    }
    const struct tensor readout = model_read(model, &lending, record, batch, balance_scale);
    if (pass->is_training)
        loan = arena_lend(gradients, first + arena_mark(&rooms), end);
    const struct tensor d_readout =
        loss_of(model, pass, record, batch, &readout, smoothing, scale, &loan);
    take_back(pass, &loan);
    if (pass->is_training)
        read_backward(model, pass, record, batch, &d_readout, &rooms);
}
