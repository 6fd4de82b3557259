/* Counting parameters, work and memory from the shapes alone. */
#include "model/plan.h"

/* One layer of in inputs: numbers learned, and multiply-adds a token. */
struct cost {
    int64_t parameters;
    double multiply_adds;
    int64_t activations; /* numbers kept a token for the backward pass */
};

static struct cost lstm_cost(int64_t in, int64_t hidden, int64_t dim)
{
    const int64_t matrices = (in + dim) * 4 * hidden + hidden * dim;
    return (struct cost){.parameters = matrices + 4 * hidden,
                         .multiply_adds = (double)matrices,
                         .activations = 6 * hidden + 2 * dim + (in > dim ? in : 0)};
}

static struct cost moe_cost(const struct config_moe *moe, int64_t dim)
{
    const int64_t expert = 2 * dim * moe->expert.hidden;
    return (struct cost){
        .parameters = 2 * dim * config_moe_experts(moe) +
                      config_moe_experts(moe) * (expert + moe->expert.hidden + dim),
        .multiply_adds = (double)(2 * dim * config_moe_experts(moe) + moe->top_k.value[0] * expert),
        .activations = 4 * config_moe_experts(moe) +
                       moe->top_k.value[0] * (2 * dim + moe->expert.hidden) + 4 * dim};
}

static void add(struct cost *total, struct cost part, int64_t times)
{
    total->parameters += times * part.parameters;
    total->multiply_adds += (double)times * part.multiply_adds;
    total->activations += times * part.activations;
}

static int64_t count_places(const bool *places, int64_t n_layers)
{
    int64_t count = 0;
    for (int64_t l = 1; l <= n_layers; l++)
        count += places[l];
    return count;
}

static struct cost encoder_cost(const struct config_model *model)
{
    const int64_t dim = model->dim, n_layers = model->encoder.layers;
    const bool is_bidirectional = model->encoder.bidirectional == CONFIG_BIDIRECTIONAL_FIRST;
    struct cost total = {.activations = dim};
    add(&total, lstm_cost(dim, model->encoder.hidden, dim), n_layers + is_bidirectional);
    add(&total, moe_cost(&model->moe, dim), count_places(model->moe.after.encoder, n_layers));
    return total;
}

static struct cost decoder_cost(const struct config_model *model)
{
    const int64_t dim = model->dim, n_layers = model->decoder.layers;
    const int64_t attention_dim = config_attention_dim(model);
    const int64_t attention = 2 * dim * attention_dim, readout = 2 * dim * dim;
    struct cost total = {.parameters = attention + attention_dim + readout + dim,
                         .multiply_adds = (double)(attention + readout),
                         .activations = 4 * attention_dim + 8 * dim};
    add(&total, lstm_cost(dim, model->decoder.hidden, dim), 1);
    add(&total, lstm_cost(2 * dim, model->decoder.hidden, dim), n_layers - 1);
    add(&total, moe_cost(&model->moe, dim), count_places(model->moe.after.decoder, n_layers));
    return total;
}

static int64_t table_count(unsigned tie)
{
    const int64_t n_tied =
        !!(tie & CONFIG_TIE_SOURCE) + !!(tie & CONFIG_TIE_TARGET) + !!(tie & CONFIG_TIE_SOFTMAX);
    return n_tied ? 4 - n_tied : 3;
}

struct plan plan_make(const struct config *config)
{
    enum { BYTES = 4, OUTPUT_ROWS = 1024 };
    const struct config_model *model = &config->model;
    const int64_t dim = model->dim, n_words = config->data.subword.size;
    const struct cost encoder = encoder_cost(model), decoder = decoder_cost(model);
    const struct cost moe = moe_cost(&model->moe, dim);
    const int64_t n_moe = count_places(model->moe.after.encoder, model->encoder.layers) +
                          count_places(model->moe.after.decoder, model->decoder.layers);
    const int64_t words = table_count(model->tie) * n_words * dim + n_words;
    const int64_t all = words + encoder.parameters + decoder.parameters;
    const int64_t copies = config->train.average > 0 ? 5 : 4;
    const int64_t n_tokens = config->train.batch_tokens;
    const int64_t logits = (n_tokens < OUTPUT_ROWS ? n_tokens : OUTPUT_ROWS) * n_words;
    return (struct plan){
        .parameters = all,
        .parameters_words = words,
        .parameters_experts = n_moe * (moe.parameters - 2 * dim * config_moe_experts(&model->moe)),
        .encoder_multiply_adds = encoder.multiply_adds,
        .decoder_multiply_adds = decoder.multiply_adds,
        .softmax_multiply_adds = (double)(n_words * dim),
        .model_bytes = all * BYTES,
        .training_bytes = (copies + 2) * all * BYTES,
        .activation_bytes =
            BYTES * (n_tokens * (encoder.activations + decoder.activations) + logits)};
}
