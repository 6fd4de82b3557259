/* The LSTM layer by cuDNN, for calls that leave it to the backend what is kept (lstm->room).
 *
 * cuDNN gets whole batches: all sentences T steps long, which is its packed layout. Behind a
 * sentence's end it computes what nobody reads; no gradient comes from there. A reversed layer's
 * input is turned round first, each sentence within its own length, and its output back. */
#ifndef MIXT_BACKEND_CUDA_DNN_H
#define MIXT_BACKEND_CUDA_DNN_H

#include "backend/cuda/context.h"

/* Bytes that one layer's call needs. */
struct dnn_layer {
    struct lstm_shape shape;
    size_t weight_bytes, work_bytes, reserve_bytes;
    bool keeps_output; /* r is not what cuDNN gave: its output stays in the room, too */
};

/* Creates and destroys what a handle needs for it. False: the backend has the error. */
bool dnn_open(struct backend *backend);
void dnn_close(struct context *context);

/* Fills in a layer and sets cuDNN's descriptions of it, which dnn_forward() and dnn_backward()
 * read. False: cuDNN has no such layer, which hangs on shapes alone, or the backend has an error.
 */
bool dnn_describe(struct backend *backend, struct dnn_layer *layer, struct lstm_shape shape,
                  const struct lstm *lstm);

/* Bytes of room for a layer. */
size_t dnn_room_bytes(const struct dnn_layer *layer);

/* lstm_forward() and lstm_backward(). */
void dnn_forward(struct backend *backend, const struct dnn_layer *layer, const struct tensor *r,
                 const struct tensor *x, const struct lstm *lstm);
void dnn_backward(struct backend *backend, const struct dnn_layer *layer, const struct tensor *d_x,
                  const struct tensor *d_r, const struct tensor *x, const struct tensor *r,
                  const struct lstm *lstm, const struct lstm_gradients *gradients);

#endif
