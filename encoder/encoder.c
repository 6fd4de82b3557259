/* The encoder, forward and backward. */
#include "encoder/encoder.h"

#include <stdio.h>

/* Random streams: the embedding's dropout, then for layer l both directions' and the MoE's. */
enum { STREAM_EMBEDDING = 0x1000, STREAM_LAYERS = 0x1010, STREAMS_A_LAYER = 16 };
enum { STREAM_FORWARD, STREAM_BACKWARD, STREAM_MOE };

static uint32_t stream_of(int64_t layer, uint32_t use)
{
    return STREAM_LAYERS + STREAMS_A_LAYER * (uint32_t)layer + use;
}

static bool is_bidirectional(const struct encoder *encoder, int64_t layer)
{
    return layer == 0 && encoder->config.is_bidirectional;
}

void encoder_init(struct encoder *encoder, struct param_list *params,
                  const struct encoder_config *config, const struct embedding *embedding)
{
    CHECK(config->n_layers >= 1 && config->n_layers <= ENCODER_MAX_LAYERS, "%lld layers",
          (long long)config->n_layers);
    CHECK(config->has_projection || config->hidden == config->dim, "%lld cells",
          (long long)config->hidden);
    *encoder = (struct encoder){.config = *config, .embedding = embedding};
    const int64_t dim = config->dim, projection = config->has_projection ? dim : 0;
    for (int64_t l = 0; l < config->n_layers; l++) {
        struct encoder_layer *layer = &encoder->layers[l];
        char name[48];
        snprintf(name, sizeof name, "encoder.%d.forward", (int)l + 1);
        lstm_init(&layer->forward, params, name, dim, config->hidden, projection, false);
        snprintf(name, sizeof name, "encoder.%d.backward", (int)l + 1);
        if (is_bidirectional(encoder, l))
            lstm_init(&layer->backward, params, name, dim, config->hidden, projection, true);
        snprintf(name, sizeof name, "encoder.%d.moe", (int)l + 1);
        if (config->has_moe_after[l])
            moe_init(&layer->moe, params, name, dim, &config->moe, stream_of(l, STREAM_MOE));
    }
}

/* y = x + what layer l's LSTMs make of it. */
static void read_layer(const struct encoder *encoder, const struct pass *pass, int64_t l,
                       struct encoder_layer_record *record, const struct tensor *y,
                       const struct tensor *x, const struct sequence *source)
{
    const struct encoder_layer *layer = &encoder->layers[l];
    const struct tensor *names = tensor_or_null(&source->names);
    lstm_layer_forward(&layer->forward, pass, &record->forward, x, &source->lengths);
    pass_dropout(pass, stream_of(l, STREAM_FORWARD), y, &record->forward.r, x, names);
    if (!is_bidirectional(encoder, l))
        return;
    lstm_layer_forward(&layer->backward, pass, &record->backward, x, &source->lengths);
    pass_dropout(pass, stream_of(l, STREAM_BACKWARD), y, &record->backward.r, y, names);
}

static struct tensor embed(const struct encoder *encoder, const struct pass *pass,
                           const struct sequence *source)
{
    const struct tensor x =
        pass_3d(pass, source->ids.dim[0], source->ids.dim[1], encoder->config.dim);
    embedding_forward(encoder->embedding, pass, &x, &source->ids);
    pass_dropout(pass, STREAM_EMBEDDING, &x, &x, NULL, tensor_or_null(&source->names));
    return x;
}

struct tensor encoder_forward(const struct encoder *encoder, const struct pass *pass,
                              struct encoder_record *record, const struct sequence *source,
                              double balance_scale)
{
    struct tensor x = embed(encoder, pass, source);
    for (int64_t l = 0; l < encoder->config.n_layers; l++) {
        struct encoder_layer_record *kept = &record->layers[l];
        struct tensor y = tensor_like(pass->arena, &x);
        read_layer(encoder, pass, l, kept, &y, &x, source);
        x = y;
        if (!encoder->config.has_moe_after[l])
            continue;
        y = tensor_like(pass->arena, &x);
        moe_forward(&encoder->layers[l].moe, pass, &kept->moe, &y, &x, source, balance_scale);
        x = y;
    }
    return x;
}

struct tensor encoder_encode(const struct encoder *encoder, const struct pass *pass,
                             const struct sequence *source)
{
    struct tensor x = embed(encoder, pass, source), y = tensor_like(pass->arena, &x);
    CHECK(!pass->is_training, "no record is kept of this pass");
    for (int64_t l = 0; l < encoder->config.n_layers; l++) {
        struct encoder_layer_record passing;
        const size_t mark = arena_mark(pass->arena);
        read_layer(encoder, pass, l, &passing, &y, &x, source);
        if (encoder->config.has_moe_after[l]) {
            moe_forward(&encoder->layers[l].moe, pass, &passing.moe, &x, &y, source, 0);
        } else {
            const struct tensor other = x;
            x = y;
            y = other;
        }
        arena_release(pass->arena, mark);
    }
    return x;
}

/* d += gradient of dropout(lstm(x)) with respect to x, from d_y. */
static void lstm_backward(const struct lstm_layer *layer, const struct pass *pass,
                          struct lstm_record *record, uint32_t stream, const struct tensor *names,
                          const struct tensor *d_y, const struct tensor *d)
{
    const size_t mark = arena_mark(pass->arena);
    struct tensor d_r = tensor_like(pass->arena, &record->r);
    const struct tensor d_x = tensor_like(pass->arena, &record->x);
    pass_dropout(pass, stream, &d_r, d_y, NULL, names);
    lstm_layer_backward(layer, pass, &d_x, &d_r, record);
    pass->backend->ops->add(pass->backend, d, &d_x, 1);
    arena_release(pass->arena, mark);
}

void encoder_backward(const struct encoder *encoder, const struct pass *pass,
                      struct encoder_record *record, const struct sequence *source,
                      const struct tensor *d_memory)
{
    const struct tensor *names = tensor_or_null(&source->names);
    const size_t mark = arena_mark(pass->arena);
    const struct tensor d = *d_memory, d_y = tensor_like(pass->arena, d_memory);
    for (int64_t l = encoder->config.n_layers - 1; l >= 0; l--) {
        const struct encoder_layer *layer = &encoder->layers[l];
        if (encoder->config.has_moe_after[l])
            moe_backward(&layer->moe, pass, &record->layers[l].moe, &d, source);
        pass->backend->ops->copy(pass->backend, &d_y, &d);
        lstm_backward(&layer->forward, pass, &record->layers[l].forward,
                      stream_of(l, STREAM_FORWARD), names, &d_y, &d);
        if (is_bidirectional(encoder, l))
            lstm_backward(&layer->backward, pass, &record->layers[l].backward,
                          stream_of(l, STREAM_BACKWARD), names, &d_y, &d);
    }
    pass_dropout(pass, STREAM_EMBEDDING, &d, &d, NULL, names);
    embedding_backward(encoder->embedding, pass, &d, &source->ids);
    arena_release(pass->arena, mark);
}
