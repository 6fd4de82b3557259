/* The language model: embedding, LSTM and MoE layers, softmax, read from left to right.
 *
 * Shazeer et al. 2017, appendix C. Its layers are the encoder's (encoder/encoder.h) without a
 * reversed one, over the text behind the begin symbol; dropout before the softmax is ours:
 *   logits = softmax layer of dropout(x_L),  x_L the encoder's output
 * so that the logits of step t depend on the words before t alone. */
#ifndef MIXT_MODEL_LM_H
#define MIXT_MODEL_LM_H

#include "encoder/encoder.h"

/* What the softmax reads [N, D] at the text's real tokens, a fresh tensor of the pass's arena.
 * text.ids [T, B] start with the begin symbol. */
struct tensor lm_forward(const struct encoder *layers, const struct pass *pass,
                         struct encoder_record *record, const struct sequence *text,
                         double balance_scale);

/* Gradients of all parameters from d_readout [N, D], which is overwritten. */
void lm_backward(const struct encoder *layers, const struct pass *pass,
                 struct encoder_record *record, const struct sequence *text,
                 const struct tensor *d_readout);

#endif
