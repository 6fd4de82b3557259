/* The encoder: embedding, LSTM layers with residuals, mixture-of-experts layers between them.
 *
 * Shazeer et al. 2017, section 5.3 and appendix E. Layer 1 may read both ways: two LSTMs, each of
 * full width, whose outputs are added. Every LSTM and MoE layer is y = x + dropout(layer(x)). */
#ifndef MIXT_ENCODER_ENCODER_H
#define MIXT_ENCODER_ENCODER_H

#include "layer/embedding.h"
#include "layer/lstm.h"
#include "layer/sequence.h"
#include "moe/moe.h"

enum { ENCODER_MAX_LAYERS = 16 };

struct encoder_config {
    int64_t n_layers;                       /* 1..ENCODER_MAX_LAYERS */
    int64_t dim;                            /* D */
    int64_t hidden;                         /* H; D without a projection */
    bool has_projection;                    /* of the cells to D */
    bool is_bidirectional;                  /* the first layer */
    bool has_moe_after[ENCODER_MAX_LAYERS]; /* [l-1]: a MoE layer follows LSTM layer l */
    struct moe_config moe;
};

struct encoder_layer {
    struct lstm_layer forward;
    struct lstm_layer backward; /* only in a bidirectional first layer */
    struct moe moe;             /* only where has_moe_after */
};

struct encoder {
    struct encoder_config config;
    const struct embedding *embedding; /* borrowed */
    struct encoder_layer layers[ENCODER_MAX_LAYERS];
};

struct encoder_layer_record {
    struct lstm_record forward, backward;
    struct moe_record moe;
};

struct encoder_record {
    struct encoder_layer_record layers[ENCODER_MAX_LAYERS];
};

/* Adds "encoder.L.forward.*", "encoder.1.backward.*", "encoder.L.moe.*", L counted from 1. */
void encoder_init(struct encoder *encoder, struct param_list *params,
                  const struct encoder_config *config, const struct embedding *embedding);

/* memory [S, B, D], a fresh tensor of the pass's arena; padding holds finite numbers without
 * meaning. balance_scale: of the balance losses (moe/gate.h). */
struct tensor encoder_forward(const struct encoder *encoder, const struct pass *pass,
                              struct encoder_record *record, const struct sequence *source,
                              double balance_scale);

/* The same without a record, for translating: a layer's memory is used again by the next one. */
struct tensor encoder_encode(const struct encoder *encoder, const struct pass *pass,
                             const struct sequence *source);

/* Gradients of all parameters from d_memory [S, B, D], which is overwritten and must be 0 at
 * padding. */
void encoder_backward(const struct encoder *encoder, const struct pass *pass,
                      struct encoder_record *record, const struct sequence *source,
                      const struct tensor *d_memory);

#endif
