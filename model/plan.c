/* Counting parameters, work and memory from the shapes alone. */
#include "model/plan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend/backend.h"
#include "backend/quantize.h"
#include "layer/output.h"
#include "model/model.h"

static struct plan_part *add_part(struct plan *plan, enum plan_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static struct plan_part *add_part(struct plan *plan, enum plan_kind kind, const char *format, ...)
{
    CHECK(plan->n_parts < PLAN_MAX_PARTS, "%lld parts", (long long)plan->n_parts);
    struct plan_part *part = &plan->part[plan->n_parts++];
    part->kind = kind;
    part->groups = 1;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(part->name, sizeof part->name, format, arguments);
    va_end(arguments);
    return part;
}

/* Bytes of a matrix in int8, with its scales. */
static int64_t rounded_bytes(int64_t in, int64_t out)
{
    return quantized_matrix_bytes(in, out) + out * (int64_t)sizeof(float);
}

/* A matrix that every token of a side meets once. */
static void add_matrix(struct plan_part *part, enum plan_side side, int64_t in, int64_t out)
{
    part->parameters += in * out;
    part->packable += in * out;
    part->largest = in * out > part->largest ? in * out : part->largest;
    part->rounded_bytes += rounded_bytes(in, out);
    part->work[side] += (double)in * (double)out;
}

/* -- layers -- */

/* Gates and cells of a token, for the backward pass. */
static double lstm_room(int64_t hidden)
{
    return (double)(5 * hidden);
}

static void add_lstm(struct plan_part *part, enum plan_side side, int64_t in, int64_t hidden,
                     int64_t dim, bool has_projection)
{
    add_matrix(part, side, in, 4 * hidden);
    add_matrix(part, side, dim, 4 * hidden);
    if (has_projection)
        add_matrix(part, side, hidden, dim);
    part->parameters += 4 * hidden;
    part->kept[side] = lstm_room(hidden) + (double)(2 * dim + (in > dim ? in : 0));
    part->scratch[side] = (double)(dim + in);
}

/* The gates of one level: n_gates of them, of which a token asks n_asked. */
static void add_gates(struct plan *plan, enum plan_side side, const struct config *config,
                      const char *place, int64_t level, int64_t n_gates, int64_t n_asked)
{
    /* Tensors [N, E] that a training pass keeps, by enum config_gate. */
    static const int64_t kept[] = {1, 4, 3, 4};
    const struct config_moe *moe = &config->model.moe;
    const int64_t kind = moe->gate.value[level];
    const int64_t dim = config->model.dim, n = moe->experts.value[level];
    const bool learns_noise = kind == CONFIG_GATE_NOISY_TOP_K && moe->noise > 0;
    const int64_t matrices = learns_noise ? 2 : 1;
    struct plan_part *part =
        add_part(plan, PLAN_GATE, level ? "%s.moe.gate2" : "%s.moe.gate", place);
    part->groups = n_gates;
    part->packable = matrices * n_gates * dim * n;
    part->parameters = part->packable + (kind == CONFIG_GATE_BALANCED ? n_gates * n : 0);
    part->work[side] = (double)matrices * (double)(n_asked * n) * (double)dim;
    part->kept[side] = (double)n_asked * (double)(kept[kind] * n + 4 * moe->top_k.value[level]);
    part->scratch[side] = 2 * (double)(n_asked * n);
}

/* Numbers of one expert: in a matrix of the optimiser's factored kind, and the sums of its rows and
 * columns. */
static void add_expert_matrix(struct plan_part *part, int64_t n_experts, int64_t in, int64_t out)
{
    part->parameters += n_experts * in * out;
    part->packable += n_experts * in * out;
    part->rounded_bytes += n_experts * rounded_bytes(in, out);
    part->factored += n_experts * (in + out);
}

/* What tokens, sent on by each level and then to an expert, leave and need. A choice leaves an
 * LSTM's gates, cells, hidden units and output; other experts as many units as there are patches,
 * and their sum. */
static void add_expert_activations(struct plan_part *part, enum plan_side side,
                                   const struct config *config)
{
    const struct config_moe *moe = &config->model.moe;
    const int64_t patches = moe->expert.patches, n_levels = moe->experts.n;
    const double dim = (double)config->model.dim, hidden = (double)moe->expert.hidden;
    const double groups = n_levels > 1 ? (double)moe->top_k.value[0] : 0;
    const double choices = (double)config_moe_choices(moe);
    const bool is_lstm = moe->expert.type == CONFIG_EXPERT_LSTM;
    const bool has_products = model_has_products(config);
    const bool keeps = !config->train.recompute_experts;
    const double inner = is_lstm ? 6 * hidden + dim : (double)(patches + (patches > 1)) * hidden;
    const double units = (double)patches * hidden, sum = patches > 1 ? hidden : 0;
    const double backward = is_lstm ? 9 * hidden + 3 * dim : units + sum;
    const double again = keeps ? 0 : inner;
    part->kept[side] = 2 * (groups + choices) * dim + 4 * dim + (keeps ? choices * inner : 0);
    part->scratch[side] = 2 * (groups + choices) * dim + 3 * dim;
    if (has_products) { /* the gradients' factors stay until the update */
        part->products[side] = choices * (dim + units + again);
        part->scratch[side] += choices * sum;
    } else {
        part->scratch[side] += choices * (backward + again);
    }
}

static void add_experts(struct plan *plan, enum plan_side side, const struct config *config,
                        const char *place)
{
    const struct config_moe *moe = &config->model.moe;
    const int64_t dim = config->model.dim, hidden = moe->expert.hidden;
    const int64_t n = config_moe_experts(moe);
    const bool is_lstm = moe->expert.type == CONFIG_EXPERT_LSTM;
    const int64_t bias = is_lstm ? 4 * hidden : hidden + dim;
    struct plan_part *part = add_part(plan, PLAN_EXPERTS, "%s.moe.expert", place);
    part->groups = n;
    if (is_lstm) {
        add_expert_matrix(part, n, dim, 4 * hidden);
        add_expert_matrix(part, n, dim, 4 * hidden);
    } else {
        add_expert_matrix(part, n, dim / moe->expert.patches, hidden);
    }
    add_expert_matrix(part, n, hidden, dim);
    part->parameters += n * bias;
    part->factored += n * bias;
    part->work[side] =
        (double)(config_moe_choices(moe) * dim) * (double)hidden * (is_lstm ? 2 * 4 + 1 : 2);
    add_expert_activations(part, side, config);
}

static void add_moe(struct plan *plan, enum plan_side side, const struct config *config,
                    const char *stack, int64_t layer)
{
    const struct config_moe *moe = &config->model.moe;
    char place[PLAN_NAME_BYTES - 12];
    snprintf(place, sizeof place, "%s.%lld", stack, (long long)layer);
    add_gates(plan, side, config, place, 0, 1, 1);
    if (moe->experts.n > 1)
        add_gates(plan, side, config, place, 1, moe->experts.value[0], moe->top_k.value[0]);
    add_experts(plan, side, config, place);
}

/* -- the model -- */

static void add_encoder(struct plan *plan, const struct config *config)
{
    const struct config_model *model = &config->model;
    const int64_t dim = model->dim, hidden = model->encoder.hidden;
    const bool has_projection = model->encoder.projection;
    for (int64_t l = 1; l <= model->encoder.layers; l++) {
        struct plan_part *part = add_part(plan, PLAN_LAYER, "encoder.%lld.forward", (long long)l);
        add_lstm(part, PLAN_SOURCE, dim, hidden, dim, has_projection);
        if (l == 1 && model->encoder.bidirectional == CONFIG_BIDIRECTIONAL_FIRST) {
            part = add_part(plan, PLAN_LAYER, "encoder.1.backward");
            add_lstm(part, PLAN_SOURCE, dim, hidden, dim, has_projection);
        }
        if (model->moe.after.encoder[l])
            add_moe(plan, PLAN_SOURCE, config, "encoder", l);
    }
}

static void add_decoder(struct plan *plan, const struct config *config)
{
    const struct config_model *model = &config->model;
    const int64_t dim = model->dim, hidden = model->decoder.hidden;
    const int64_t attention_dim = config_attention_dim(model);
    for (int64_t l = 1; l <= model->decoder.layers; l++) {
        const bool reads_context = l > 1 || model->decoder.input_feeding;
        struct plan_part *part = add_part(plan, PLAN_LAYER, "decoder.%lld.lstm", (long long)l);
        add_lstm(part, PLAN_TARGET, reads_context ? 2 * dim : dim, hidden, dim,
                 model->decoder.projection);
        part->room = l > 1 || !model->decoder.input_feeding ? lstm_room(hidden) : 0;
        if (model->moe.after.decoder[l])
            add_moe(plan, PLAN_TARGET, config, "decoder", l);
        plan->cells += 2 * (hidden + dim);
    }
    struct plan_part *attention = add_part(plan, PLAN_LAYER, "decoder.attention");
    add_matrix(attention, PLAN_SOURCE, dim, attention_dim);
    add_matrix(attention, PLAN_TARGET, dim, attention_dim);
    attention->parameters += attention_dim;
    attention->kept[PLAN_SOURCE] = (double)(attention_dim + dim);
    attention->kept[PLAN_TARGET] = (double)(2 * attention_dim + dim + PLAN_SENTENCE_TOKENS);
    plan->pair_work = (double)(attention_dim + dim);
    struct plan_part *readout = add_part(plan, PLAN_LAYER, "decoder.readout");
    add_matrix(readout, PLAN_TARGET, 2 * dim, dim);
    readout->parameters += dim;
    readout->kept[PLAN_TARGET] = (double)(6 * dim);
}

/* Source, target and softmax matrices, shared as model.tie says. */
static void add_tables(struct plan *plan, const struct config *config)
{
    const unsigned tie = config->model.tie;
    const int64_t dim = config->model.dim, numbers = plan->vocabulary * dim;
    const bool is_lm = config->model.type == CONFIG_MODEL_LM;
    const bool ties_softmax = (tie & CONFIG_TIE_SOFTMAX) != 0;
    static const char *const names[] = {"source", "target"};
    struct plan_part *part;
    if (tie) {
        part = add_part(plan, PLAN_EMBEDDING, "embedding.shared");
        part->parameters = numbers;
        part->packable = ties_softmax ? numbers : 0;
        part->rounded_bytes = ties_softmax ? rounded_bytes(dim, plan->vocabulary) : 0;
        part->kept[PLAN_SOURCE] = tie & CONFIG_TIE_SOURCE ? (double)dim : 0;
        part->kept[PLAN_TARGET] = tie & CONFIG_TIE_TARGET && !is_lm ? (double)dim : 0;
    }
    for (int side = 0; side < (is_lm ? 1 : 2); side++)
        if (!(tie & (side ? CONFIG_TIE_TARGET : CONFIG_TIE_SOURCE))) {
            part = add_part(plan, PLAN_EMBEDDING, "embedding.%s", names[side]);
            part->parameters = numbers;
            part->kept[side] = (double)dim;
        }
    part = add_part(plan, PLAN_SOFTMAX, "output");
    add_matrix(part, is_lm ? PLAN_SOURCE : PLAN_TARGET, plan->vocabulary, dim);
    part->parameters = (ties_softmax ? 0 : numbers) + plan->vocabulary;
    part->packable = ties_softmax ? 0 : numbers;
    part->rounded_bytes = ties_softmax ? 0 : rounded_bytes(dim, plan->vocabulary);
}

void plan_make(struct plan *plan, const struct config *config)
{
    *plan = (struct plan){.vocabulary = config->data.subword.size};
    add_tables(plan, config);
    add_encoder(plan, config);
    if (config->model.type == CONFIG_MODEL_GNMT)
        add_decoder(plan, config);
}

int64_t plan_parameters(const struct plan *plan, enum plan_kind kind)
{
    int64_t sum = 0;
    for (int64_t i = 0; i < plan->n_parts; i++)
        sum += plan->part[i].kind == kind ? plan->part[i].parameters : 0;
    return sum;
}

double plan_work(const struct plan *plan, enum plan_kind kind, enum plan_side side)
{
    double sum = 0;
    for (int64_t i = 0; i < plan->n_parts; i++)
        sum += plan->part[i].kind == kind ? plan->part[i].work[side] : 0;
    return sum;
}

/* -- memory -- */

enum { BYTES = 4 };

/* How many of a part's groups a rank has. */
static int64_t groups_of(const struct plan_part *part, int64_t ranks)
{
    return part->kind == PLAN_EXPERTS ? (part->groups + ranks - 1) / ranks : part->groups;
}

/* Bytes of a number of the part that each rank has its share of. */
static double share_of(const struct plan_part *part, int64_t ranks)
{
    return BYTES * (double)groups_of(part, ranks) / (double)part->groups;
}

/* Bytes of a rank's packed copies, in one form. */
static double packed_of(const struct plan_part *part, int64_t ranks)
{
    const bool is_packed = groups_of(part, ranks) < WEIGHT_MANY;
    return is_packed ? share_of(part, ranks) * (double)part->packable : 0;
}

/* Bytes of copies in training, in both forms: of what a backend packs when it is read those of the
 * largest matrix, and of the softmax's in its other form where a pass has several blocks of rows.
 */
static double packed_in_training(const struct plan *plan, const struct config *config,
                                 int64_t ranks, double tokens)
{
    const bool is_late = model_packs_late(config);
    const bool is_lstm = config->model.moe.expert.type == CONFIG_EXPERT_LSTM;
    double packed = 0, largest = 0, softmax = 0;
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const struct plan_part *part = &plan->part[i];
        const bool is_expert = part->kind == PLAN_EXPERTS;
        const double numbers = BYTES * (double)part->largest;
        if (!is_late || part->kind == PLAN_GATE || (is_expert && is_lstm))
            packed += 2 * packed_of(part, ranks);
        largest = numbers > largest ? numbers : largest;
        softmax += part->kind == PLAN_SOFTMAX && tokens > OUTPUT_BLOCK_ROWS ? numbers : 0;
    }
    return is_late ? packed + largest + softmax : packed;
}

/* Gradients that are stored, of one of `ranks` ranks. */
static double gradients_of(const struct plan_part *part, const struct config *config, int64_t ranks)
{
    const bool has_products = part->kind == PLAN_EXPERTS && model_has_products(config);
    return share_of(part, ranks) * (double)(part->parameters - (has_products ? part->packable : 0));
}

/* What gradients lend their memory to, see model_loss(): numbers of `tokens` target tokens. */
struct loans {
    double rooms; /* LSTMs', in the place of the encoder's gradients */
    double rest;  /* numbers of the gradients behind those: of them, and of the decoder */
};

static struct loans plan_loans(const struct plan *plan, const struct config *config, double tokens)
{
    struct loans loans = {0};
    double encoder = 0, decoder = 0;
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const struct plan_part *part = &plan->part[i];
        const bool is_table = part->kind == PLAN_EMBEDDING || part->kind == PLAN_SOFTMAX;
        if (strncmp(part->name, "encoder.", 8) == 0)
            encoder += gradients_of(part, config, 1);
        else if (!is_table)
            decoder += gradients_of(part, config, 1);
        if (loans.rooms + part->room * tokens <= encoder)
            loans.rooms += part->room * tokens;
    }
    loans.rest = encoder - loans.rooms + decoder;
    return loans;
}

/* Numbers that `tokens` tokens of each side leave, and what the dearest part needs beside. */
static double activations(const struct plan *plan, double tokens, const struct loans *loans,
                          bool trains)
{
    double kept = -loans->rooms, products = 0, scratch = 0;
    for (int64_t i = 0; i < plan->n_parts; i++)
        for (int side = 0; side < PLAN_N_SIDES; side++) {
            const struct plan_part *part = &plan->part[i];
            kept += part->kept[side] * tokens;
            products += trains ? part->products[side] * tokens : 0;
            if (trains && part->scratch[side] * tokens > scratch)
                scratch = part->scratch[side] * tokens;
        }
    const double rows = tokens < OUTPUT_BLOCK_ROWS ? tokens : OUTPUT_BLOCK_ROWS;
    const double in_blocks = rows * (double)plan->vocabulary;
    const double logits = in_blocks <= loans->rest ? 0 : in_blocks;
    if (products > 0) /* after the logits, in their place */
        return kept + scratch + (products > logits ? products : logits);
    return kept + (scratch > logits ? scratch : logits);
}

struct plan_memory plan_training(const struct plan *plan, const struct config *config,
                                 int64_t ranks)
{
    const bool factors = config->train.optimizer.experts == CONFIG_EXPERT_OPTIMIZER_FACTORED;
    struct plan_memory memory = {0};
    struct loans loans = {0};
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const struct plan_part *part = &plan->part[i];
        const double share = share_of(part, ranks);
        const double numbers = share * (double)part->parameters;
        const bool is_factored = factors && part->kind == PLAN_EXPERTS;
        memory.values += numbers;
        memory.gradients += gradients_of(part, config, ranks);
        memory.gradients += config->dist.reproducible ? numbers : 0; /* the sums of the parts */
        /* What all hold is updated by a share each, but by parts. */
        const double owners =
            part->kind == PLAN_EXPERTS || config->dist.reproducible ? 1 : (double)ranks;
        memory.moments += is_factored ? share * (double)part->factored : 2 * numbers / owners;
        memory.averages += config->train.average > 0 ? numbers : 0;
    }
    const bool by_parts = config->dist.reproducible;
    const double shares = by_parts ? (double)config->dist.parts : (double)ranks;
    const double tokens = (double)config->train.batch_tokens / shares;
    memory.packed = packed_in_training(plan, config, ranks, tokens);
    if (model_lends_gradients(config, ranks == 1))
        loans = plan_loans(plan, config, tokens);
    memory.activations = BYTES * activations(plan, tokens, &loans, true);
    return memory;
}

struct plan_memory plan_decoding(const struct plan *plan, const struct config *config,
                                 int64_t ranks)
{
    const struct loans no_loans = {0};
    struct plan_memory memory = {0};
    for (int64_t i = 0; i < plan->n_parts; i++) {
        const struct plan_part *part = &plan->part[i];
        const double share = share_of(part, ranks);
        const bool is_int8 = config->model.dtype == CONFIG_DTYPE_INT8 && part->rounded_bytes > 0;
        /* An embedding that is the softmax's matrix, too, is there twice. */
        const int64_t replaced = is_int8 && part->kind != PLAN_EMBEDDING ? part->packable : 0;
        memory.values += share * (double)(part->parameters - replaced);
        memory.values += is_int8 ? share / BYTES * (double)part->rounded_bytes : 0;
        memory.packed += is_int8 ? 0 : packed_of(part, ranks);
    }
    const double rows =
        (double)config->translate.beam * (PLAN_DECODING_TOKENS / (double)PLAN_SENTENCE_TOKENS);
    const double state = rows * (double)(plan->cells + plan->vocabulary);
    memory.activations = BYTES * (activations(plan, PLAN_DECODING_TOKENS, &no_loans, false) +
                                  (plan->cells ? state : 0));
    return memory;
}

double plan_memory_total(const struct plan_memory *memory)
{
    return memory->values + memory->gradients + memory->moments + memory->averages +
           memory->packed + memory->activations;
}
