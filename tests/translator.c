/* The small model's forward and backward pass. */
#include "tests/translator.h"

struct translator_config translator_config_small(void)
{
    const struct moe_config moe = {
        .n_levels = 1,
        .gate = {{.kind = GATE_NOISY_TOP_K, .n_experts = 4, .top_k = 2, .noise = 1}},
        .expert = {.kind = EXPERT_RELU, .hidden = 6, .n_patches = 1},
        .has_sigmoid = true,
        .importance_weight = 0.05,
        .load_weight = 0.03};
    return (struct translator_config){
        .vocabulary = 11,
        .embedding_scale = 2,
        .encoder = {.n_layers = 3,
                    .dim = 4,
                    .hidden = 5,
                    .has_projection = true,
                    .is_bidirectional = true,
                    .has_moe_after = {false, true, false},
                    .moe = moe},
        .decoder = {.n_layers = 2,
                    .dim = 4,
                    .hidden = 5,
                    .has_projection = true,
                    .attention_dim = 3,
                    .has_moe_after = {true, false},
                    .moe = moe},
    };
}

void decoder_config_options(struct decoder_config *config, int options)
{
    config->has_input_feeding = options & 1;
    config->attention = options & 2 ? ATTENTION_ADDITIVE : ATTENTION_FACTORED;
    config->has_projection = !(options & 4);
    if (!config->has_projection)
        config->hidden = config->dim;
}

void translator_init(struct translator *translator, struct fixture *fixture,
                     const struct translator_config *config)
{
    struct param_list *params = &fixture->params;
    const int64_t dim = config->encoder.dim;
    const struct param_spec table = {
        .rank = 2, .dim = {config->vocabulary, dim}, .start = PARAM_NORMAL, .bound = 0.5};
    translator->embedding = (struct embedding){.table = param_add(params, table, "embedding"),
                                               .scale = config->embedding_scale};
    output_init(&translator->output, params, "output", config->vocabulary, dim,
                translator->embedding.table);
    encoder_init(&translator->encoder, params, &config->encoder, &translator->embedding);
    decoder_init(&translator->decoder, params, &config->decoder, &translator->embedding,
                 &translator->output);
}

struct translator_batch translator_batch_random(struct fixture *fixture, int32_t n_words,
                                                int64_t n_source, int64_t n_target, int64_t n_b,
                                                const int32_t *source_lengths,
                                                const int32_t *target_lengths)
{
    struct translator_batch batch = {
        .source = fixture_sequence(fixture, n_source, n_b, source_lengths, n_words),
        .target = fixture_sequence(fixture, n_target, n_b, target_lengths, n_words),
        .smoothing = 0.1,
        .scale = 0.5,
        .balance_scale = 2,
    };
    const int64_t n_rows = target_lengths ? batch.target.rows.dim[0] : n_target * n_b;
    const struct tensor wanted = fixture_ids(fixture, n_rows, 1, n_words);
    batch.wanted = wanted;
    return batch;
}

static double balance_losses(struct fixture *fixture, const struct moe_record *record)
{
    double loss =
        fixture_get(fixture, &record->losses, 0) + fixture_get(fixture, &record->losses, 1);
    for (int l = 0; l < MOE_MAX_LEVELS; l++)
        if (record->level[l].gate.threshold_loss.rank)
            loss += fixture_get(fixture, &record->level[l].gate.threshold_loss, 0);
    return loss;
}

static double all_balance_losses(const struct translator *translator, struct fixture *fixture,
                                 const struct translator_record *record)
{
    double sum = 0;
    for (int64_t l = 0; l < translator->encoder.config.n_layers; l++)
        if (translator->encoder.config.has_moe_after[l])
            sum += balance_losses(fixture, &record->encoder.layers[l].moe);
    for (int64_t l = 0; l < translator->decoder.config.n_layers; l++)
        if (translator->decoder.config.has_moe_after[l])
            sum += balance_losses(fixture, &record->decoder.layers[l].moe);
    return sum;
}

double translator_loss(const struct translator *translator, struct fixture *fixture,
                       struct translator_record *record, const struct translator_batch *batch,
                       bool wants_gradient)
{
    const struct pass *pass = &fixture->pass;
    record->memory = encoder_forward(&translator->encoder, pass, &record->encoder, &batch->source,
                                     batch->balance_scale);
    record->readout =
        decoder_forward(&translator->decoder, pass, &record->decoder, &batch->target,
                        &record->memory, &batch->source.lengths, batch->balance_scale);
    const int64_t n_rows = record->readout.dim[0];
    record->loss = tensor_1d(pass->arena, pass->backend->real, n_rows);
    record->nll = tensor_1d(pass->arena, pass->backend->real, n_rows);
    const struct tensor d_readout = tensor_like(pass->arena, &record->readout);
    output_loss(&translator->output, pass, &record->loss, &record->nll, &record->readout,
                &batch->wanted, batch->smoothing, batch->scale, wants_gradient ? &d_readout : NULL);
    if (wants_gradient) {
        const struct tensor d_memory = tensor_like(pass->arena, &record->memory);
        decoder_backward(&translator->decoder, pass, &record->decoder, &batch->target, &d_readout,
                         &d_memory);
        encoder_backward(&translator->encoder, pass, &record->encoder, &batch->source, &d_memory);
    }
    double sum = all_balance_losses(translator, fixture, record);
    const double *losses = fixture_values(fixture, &record->loss);
    for (int64_t n = 0; n < n_rows; n++)
        sum += batch->scale * losses[n];
    return sum;
}
