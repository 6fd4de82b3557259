/* The decoder: embedding, LSTM layers with residuals, attention, MoE layers, readout, softmax.
 *
 * Shazeer et al. 2017, section 5.3 and appendix E. The first layer's output asks the attention; its
 * context is joined to the input of every later layer and of the readout:
 *   x_1 = x_0 + dropout(LSTM_1(x_0));  context = attention(x_1)
 *   x_l = x_{l-1} + dropout(LSTM_l([x_{l-1}; context]))  for l >= 2, MoE layers between
 *   logits = softmax layer of dropout([x_L; context] W + bias)
 * Without input feeding (the default) the context of a step does not enter layer 1 of the next one,
 * so in training attention is computed for all steps at once and only the LSTMs run step by step.
 * With it, as in GNMT (Wu et al. 2016), layer 1 reads the context of the step before, which is 0 at
 * the first: x_1(t) = x_0(t) + dropout(LSTM_1([x_0(t); context(t-1)])), and layer 1 and the
 * attention run together, step by step (decoder/feeding.h). */
#ifndef MIXT_DECODER_DECODER_H
#define MIXT_DECODER_DECODER_H

#include "attention/attention.h"
#include "layer/embedding.h"
#include "layer/lstm.h"
#include "layer/output.h"
#include "layer/sequence.h"
#include "moe/moe.h"

enum { DECODER_MAX_LAYERS = 16 };

struct decoder_config {
    int64_t n_layers;      /* 1..DECODER_MAX_LAYERS */
    int64_t dim;           /* D */
    int64_t hidden;        /* H; D without a projection */
    bool has_projection;   /* of the cells to D */
    int64_t attention_dim; /* A */
    enum attention_kind attention;
    bool has_input_feeding;
    bool has_moe_after[DECODER_MAX_LAYERS]; /* [l-1]: a MoE layer follows LSTM layer l */
    struct moe_config moe;
};

struct decoder_layer {
    struct lstm_layer lstm;
    struct moe moe; /* only where has_moe_after */
};

struct decoder {
    struct decoder_config config;
    const struct embedding *embedding; /* borrowed */
    const struct output *output;       /* borrowed */
    struct attention attention;
    struct linear readout; /* [2D, D] */
    struct decoder_layer layers[DECODER_MAX_LAYERS];
};

/* -- teacher-forced: all steps at once -- */

struct decoder_record {
    struct attention_source source;
    struct attention_record attention;
    struct tensor joined; /* [N, 2D] of the real tokens: x_L and context */
    struct {
        struct lstm_record lstm;
        struct moe_record moe;
    } layers[DECODER_MAX_LAYERS];
};

/* Adds "decoder.L.lstm.*", "decoder.L.moe.*", "decoder.attention.*", "decoder.readout.*". */
void decoder_init(struct decoder *decoder, struct param_list *params,
                  const struct decoder_config *config, const struct embedding *embedding,
                  const struct output *output);

/* The readout [N, D] of the target's real tokens, before the softmax, in a fresh tensor of the
 * pass's arena. target.ids [T, B] start with the begin symbol. memory [S, B, D]. */
struct tensor decoder_forward(const struct decoder *decoder, const struct pass *pass,
                              struct decoder_record *record, const struct sequence *target,
                              const struct tensor *memory, const struct tensor *source_lengths,
                              double balance_scale);

/* Gradients of all parameters from d_readout [N, D], which is overwritten; d_memory [S, B, D] = the
 * memory's, 0 at padding. */
void decoder_backward(const struct decoder *decoder, const struct pass *pass,
                      struct decoder_record *record, const struct sequence *target,
                      const struct tensor *d_readout, const struct tensor *d_memory);

/* -- step by step: B sentences with W hypotheses each, rows w*B + b -- */

struct decoder_state {
    struct attention_source source; /* of the B sentences still being translated */
    struct attention_source spare;  /* room for the other half of decoder_keep() */
    int64_t n_beam;                 /* W, at most capacity rows / B */
    int64_t n_sentences;            /* B */
    int64_t max_rows;
    /* As the last step left them; row w*B + b continues row origin[w*B + b]. */
    struct tensor r[DECODER_MAX_LAYERS]; /* [max_rows, D] */
    struct tensor c[DECODER_MAX_LAYERS]; /* [max_rows, H] */
    int32_t *origin;                     /* [max_rows], host */
    int32_t *next_origin;
    bool is_moved; /* false: origin[i] = i */
    struct tensor next_r[DECODER_MAX_LAYERS];
    struct tensor next_c[DECODER_MAX_LAYERS];
    struct tensor context; /* [max_rows, D] of the last step; absent without input feeding */
    struct recurrent_state moe[DECODER_MAX_LAYERS]; /* only of LSTM experts; see moe/recurrent.h */
    struct tensor index;                            /* [max(max_rows, S*B)] i32: rows to gather */
    int32_t *numbers; /* [max(max_rows, V)] host, -1 between uses: see decoder/step.c */
};

/* Begins with one hypothesis a sentence (W = 1) and room for max_beam. Takes what it needs from the
 * pass's arena, to be released by the caller when the batch is done. */
void decoder_start(const struct decoder *decoder, const struct pass *pass,
                   struct decoder_state *state, const struct tensor *memory,
                   const struct tensor *source_lengths, int64_t max_beam);

/* Feeds tokens [W*B], host memory: the readout [W*B, D], which becomes the logits of the next
 * token, and the attention weights [W, B, S] of this step. Both live in the pass's arena above the
 * caller's mark. */
void decoder_step(const struct decoder *decoder, const struct pass *pass,
                  struct decoder_state *state, const int32_t *tokens, struct tensor *readout,
                  struct tensor *attention_weights);

/* Row i of the new state is row parents[i] of the old one, for n_beam * B rows; host memory. LSTM
 * states are not copied: the next step reads them where they are. */
void decoder_reorder(const struct decoder *decoder, struct decoder_state *state,
                     const int32_t *parents, int64_t n_beam);

/* Keeps the count sentences named, in ascending order, and drops the others, memory and state;
 * lengths are theirs, on the host. */
void decoder_keep(const struct decoder *decoder, const struct pass *pass,
                  struct decoder_state *state, const int32_t *sentences, int64_t count,
                  const int32_t *lengths);

#endif
