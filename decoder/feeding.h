/* Input feeding: layer 1 reads the context of the step before, so that in training it and the
 * attention run one step at a time. What does not hang on the step before, the gradients of the
 * parameters and of the memory, is still computed for all steps at once. */
#ifndef MIXT_DECODER_FEEDING_H
#define MIXT_DECODER_FEEDING_H

#include "decoder/decoder.h"

/* x_1 [T, B, D], a fresh tensor, and context [T, B, D] = from x_0 [T, B, D]; record->source has
 * been started. stream and names (or NULL): of layer 1's dropout. */
struct tensor feeding_forward(const struct decoder *decoder, const struct pass *pass,
                              struct decoder_record *record, const struct tensor *x,
                              const struct tensor *context, uint32_t stream,
                              const struct tensor *names);

/* d [T, B, D] inout: of x_1, then of x_0. d_context [T, B, D] inout: from the layers above, then
 * with layer 1's share. d_memory [S, B, D] +=. */
void feeding_backward(const struct decoder *decoder, const struct pass *pass,
                      const struct decoder_record *record, const struct tensor *d,
                      const struct tensor *d_context, const struct tensor *d_memory,
                      uint32_t stream, const struct tensor *names);

#endif
