/* Model files in another type. */
#ifndef MIXT_MODEL_CONVERT_H
#define MIXT_MODEL_CONVERT_H

#include "base/status.h"

/* Writes the model at `from`, a file or a run directory in f32, to the file `to` with its matrices
 * in int8: those of LSTMs, experts, attention, readout and softmax; not gates, embeddings, biases.
 *
 * Goes matrix by matrix: memory is taken for the embeddings' shapes and one matrix. STATUS_FORMAT
 * for a model that is damaged, in int8, or has a number that is not finite. */
enum status model_convert_to_int8(const char *from, const char *to) STATUS_CHECKED;

#endif
