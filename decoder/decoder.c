/* The decoder over whole sequences, forward and backward. */
#include "decoder/decoder.h"
#include "decoder/feeding.h"
#include "decoder/join.h"

#include <stdio.h>

/* Random streams: embedding's and readout's dropout, then for layer l the LSTM's and the MoE's. */
enum { STREAM_EMBEDDING = 0x2000, STREAM_READOUT, STREAM_LAYERS = 0x2010, STREAMS_A_LAYER = 16 };
enum { STREAM_LSTM, STREAM_MOE };

static uint32_t stream_of(int64_t layer, uint32_t use)
{
    return STREAM_LAYERS + STREAMS_A_LAYER * (uint32_t)layer + use;
}

void decoder_init(struct decoder *decoder, struct param_list *params,
                  const struct decoder_config *config, const struct embedding *embedding,
                  const struct output *output)
{
    CHECK(config->n_layers >= 1 && config->n_layers <= DECODER_MAX_LAYERS, "%lld layers",
          (long long)config->n_layers);
    CHECK(config->has_projection || config->hidden == config->dim, "%lld cells",
          (long long)config->hidden);
    *decoder = (struct decoder){.config = *config, .embedding = embedding, .output = output};
    const int64_t dim = config->dim, projection = config->has_projection ? dim : 0;
    for (int64_t l = 0; l < config->n_layers; l++) {
        struct decoder_layer *layer = &decoder->layers[l];
        char name[48];
        snprintf(name, sizeof name, "decoder.%d.lstm", (int)l + 1);
        const bool reads_context = l > 0 || config->has_input_feeding;
        lstm_init(&layer->lstm, params, name, reads_context ? 2 * dim : dim, config->hidden,
                  projection, false);
        snprintf(name, sizeof name, "decoder.%d.moe", (int)l + 1);
        if (config->has_moe_after[l])
            moe_init(&layer->moe, params, name, dim, &config->moe, stream_of(l, STREAM_MOE));
    }
    attention_init(&decoder->attention, params, "decoder.attention", dim, config->attention_dim,
                   config->attention);
    linear_init(&decoder->readout, params, "decoder.readout", 2 * dim, dim, true);
}

/* One layer's x + dropout(LSTM(input)) and the MoE after it; returns the new x. */
static struct tensor layer_forward(const struct decoder *decoder, const struct pass *pass,
                                   struct decoder_record *record, int64_t l, const struct tensor *x,
                                   const struct tensor *input, const struct tensor *names)
{
    const struct tensor all = {0};
    struct lstm_record *lstm = &record->layers[l].lstm;
    const struct tensor y = tensor_like(pass->arena, x);
    lstm_layer_forward(&decoder->layers[l].lstm, pass, lstm, input, &all);
    pass_dropout(pass, stream_of(l, STREAM_LSTM), &y, &lstm->r, x, names);
    return y;
}

static struct tensor moe_after(const struct decoder *decoder, const struct pass *pass,
                               struct decoder_record *record, int64_t l, const struct tensor *x,
                               const struct sequence *target, double balance_scale)
{
    if (!decoder->config.has_moe_after[l])
        return *x;
    const struct tensor y = tensor_like(pass->arena, x);
    moe_forward(&decoder->layers[l].moe, pass, &record->layers[l].moe, &y, x, target,
                balance_scale);
    return y;
}

/* dropout([x; context] W + bias) of the real tokens. */
static struct tensor readout_forward(const struct decoder *decoder, const struct pass *pass,
                                     struct decoder_record *record, const struct tensor *x,
                                     const struct tensor *context, const struct sequence *target)
{
    struct backend *backend = pass->backend;
    const struct tensor joined = decoder_join(pass, x, context);
    const int64_t dim = decoder->config.dim;
    const bool is_padded = target->rows.rank != 0;
    if (is_padded) {
        record->joined = pass_2d(pass, target->rows.dim[0], 2 * dim);
        backend->ops->gather_rows(backend, &record->joined, &joined, &target->rows);
    } else {
        record->joined = tensor_as_2d(&joined, tensor_rows(&joined), 2 * dim);
    }
    const struct tensor readout = pass_2d(pass, record->joined.dim[0], dim);
    linear_forward(&decoder->readout, pass, &readout, &record->joined, ACTIVATION_NONE);
    pass_dropout(pass, STREAM_READOUT, &readout, &readout, NULL,
                 tensor_or_null(is_padded ? &target->row_names : &target->names));
    return readout;
}

struct tensor decoder_forward(const struct decoder *decoder, const struct pass *pass,
                              struct decoder_record *record, const struct sequence *target,
                              const struct tensor *memory, const struct tensor *source_lengths,
                              double balance_scale)
{
    const struct tensor *names = tensor_or_null(&target->names);
    struct tensor x = pass_3d(pass, target->ids.dim[0], target->ids.dim[1], decoder->config.dim);
    embedding_forward(decoder->embedding, pass, &x, &target->ids);
    pass_dropout(pass, STREAM_EMBEDDING, &x, &x, NULL, names);
    const struct tensor context = tensor_like(pass->arena, &x);
    attention_start(&decoder->attention, pass, &record->source, memory, source_lengths);
    if (decoder->config.has_input_feeding) {
        x = feeding_forward(decoder, pass, record, &x, &context, stream_of(0, STREAM_LSTM), names);
    } else {
        x = layer_forward(decoder, pass, record, 0, &x, &x, names);
        attention_forward(&decoder->attention, pass, &record->attention, &record->source, &x,
                          &context);
    }
    x = moe_after(decoder, pass, record, 0, &x, target, balance_scale);
    for (int64_t l = 1; l < decoder->config.n_layers; l++) {
        const struct tensor joined = decoder_join(pass, &x, &context);
        x = layer_forward(decoder, pass, record, l, &x, &joined, names);
        x = moe_after(decoder, pass, record, l, &x, target, balance_scale);
    }
    return readout_forward(decoder, pass, record, &x, &context, target);
}

/* d_x [T, B, D] = and d_context [T, B, D] = from d_readout [N, D]. */
static void readout_backward(const struct decoder *decoder, const struct pass *pass,
                             const struct decoder_record *record, const struct sequence *target,
                             const struct tensor *d_readout, const struct tensor *d_x,
                             const struct tensor *d_context)
{
    struct backend *backend = pass->backend;
    const int64_t dim = decoder->config.dim;
    const bool is_padded = target->rows.rank != 0;
    const size_t mark = arena_mark(pass->arena);
    pass_dropout(pass, STREAM_READOUT, d_readout, d_readout, NULL,
                 tensor_or_null(is_padded ? &target->row_names : &target->names));
    struct tensor d_joined = tensor_like(pass->arena, &record->joined);
    linear_backward(&decoder->readout, pass, &d_joined, &record->joined, d_readout, false);
    if (is_padded) {
        const struct tensor all = pass_2d(pass, tensor_rows(d_x), 2 * dim);
        backend->ops->scatter_rows(backend, &all, &d_joined, &target->rows);
        d_joined = all;
    }
    backend->ops->copy_columns(backend, d_x, 0, &d_joined, 0, dim, false);
    backend->ops->copy_columns(backend, d_context, 0, &d_joined, dim, dim, false);
    arena_release(pass->arena, mark);
}

/* d [T, B, D] inout: of a layer's output, then of its x. Layers above the first add to
 * d_context. */
static void layer_backward(const struct decoder *decoder, const struct pass *pass,
                           struct decoder_record *record, int64_t l, const struct tensor *names,
                           const struct tensor *d, const struct tensor *d_context)
{
    struct backend *backend = pass->backend;
    struct lstm_record *lstm = &record->layers[l].lstm;
    const int64_t dim = decoder->config.dim;
    const size_t mark = arena_mark(pass->arena);
    struct tensor d_r = tensor_like(pass->arena, &lstm->r);
    const struct tensor d_input = tensor_like(pass->arena, &lstm->x);
    pass_dropout(pass, stream_of(l, STREAM_LSTM), &d_r, d, NULL, names);
    lstm_layer_backward(&decoder->layers[l].lstm, pass, &d_input, &d_r, lstm);
    backend->ops->copy_columns(backend, d, 0, &d_input, 0, dim, true);
    if (l > 0)
        backend->ops->copy_columns(backend, d_context, 0, &d_input, dim, dim, true);
    arena_release(pass->arena, mark);
}

void decoder_backward(const struct decoder *decoder, const struct pass *pass,
                      struct decoder_record *record, const struct sequence *target,
                      const struct tensor *d_readout, const struct tensor *d_memory)
{
    struct backend *backend = pass->backend;
    const struct tensor *names = tensor_or_null(&target->names);
    const size_t mark = arena_mark(pass->arena);
    const struct tensor d = tensor_like(pass->arena, &record->attention.x);
    const struct tensor d_context = tensor_like(pass->arena, &record->attention.x);
    readout_backward(decoder, pass, record, target, d_readout, &d, &d_context);
    for (int64_t l = decoder->config.n_layers - 1; l >= 0; l--) {
        if (decoder->config.has_moe_after[l])
            moe_backward(&decoder->layers[l].moe, pass, &record->layers[l].moe, &d, target);
        if (l > 0)
            layer_backward(decoder, pass, record, l, names, &d, &d_context);
    }
    backend->ops->fill(backend, d_memory, 0);
    if (decoder->config.has_input_feeding) {
        feeding_backward(decoder, pass, record, &d, &d_context, d_memory, stream_of(0, STREAM_LSTM),
                         names);
    } else {
        attention_backward(&decoder->attention, pass, &d, d_memory, &record->attention,
                           &record->source, &d_context);
        layer_backward(decoder, pass, record, 0, names, &d, &d_context);
    }
    pass_dropout(pass, STREAM_EMBEDDING, &d, &d, NULL, names);
    embedding_backward(decoder->embedding, pass, &d, &target->ids);
    arena_release(pass->arena, mark);
}
