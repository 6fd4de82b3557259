/* The mathematics of cuDNN's LSTM on emulated device memory: forward, and both backward passes.
 *
 * For gate g of i, f, n (new memory), o:  z_g = W_g x + R_g h' + bW_g + bR_g, with h' and c' the
 * state before;  c = sigmoid(z_f) c' + sigmoid(z_i) tanh(z_n);  m = sigmoid(z_o) tanh(c);
 * h = P m with a projection, else h = m. Everything is summed in double. */
#ifndef MIXT_TESTS_SIMT_STANDIN_LSTM_HH
#define MIXT_TESTS_SIMT_STANDIN_LSTM_HH

#include <library_types.h>

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/simt/standin/product.hh"

enum lstm_layout {
    LSTM_TIME_MAJOR,
    LSTM_BATCH_MAJOR,
    LSTM_PACKED, /* by time, without padding; lengths fall */
};

struct lstm_shape {
    cudaDataType type;              /* of data and weights */
    enum standin_rounding rounding; /* of what products read */
    int64_t input, hidden, proj;    /* proj = hidden: no projection */
    int64_t layers, directions;
    bool has_input_bias, has_recurrent_bias;
    /* Of one batch: */
    enum lstm_layout layout;
    int64_t T, B;
    bool has_fill; /* of y where there is no time step; else it is left undefined */
    double fill;
};

/* One matrix or vector of the weights, by elements; rows = 0: it does not exist. */
struct lstm_weight {
    int64_t offset, rows, cols;
};

enum { LSTM_MATRICES = 9, LSTM_BIASES = 8 }; /* of a layer in one direction, by linLayerID */

/* Where everything lies: matrix `id` of pseudo-layer p at [p * 17 + id], bias `id` at
 * [p * 17 + 9 + id]. The order and the gaps between depend on the shape and on the seed. */
std::vector<struct lstm_weight> lstm_weights(const struct lstm_shape *shape, int64_t *n_elements);

/* Bytes that a training step needs to keep. */
size_t lstm_reserve_bytes(const struct lstm_shape *shape);

/* All buffers of one call; NULL where cuDNN allows it. */
struct lstm_call {
    const char *function;
    struct lstm_shape shape;
    const void *x, *hx, *cx, *weights;
    void *y, *hy, *cy; /* written by forward, read by backward */
    const void *dy, *dhy, *dcy;
    void *dx, *dhx, *dcx, *dweights;
    void *work, *reserve; /* reserve NULL: inference */
    size_t work_bytes;
};

/* They run on a stream: lengths[B] are copies. */
void lstm_forward(const struct lstm_call *call, const int32_t *lengths, size_t n);
void lstm_backward_data(const struct lstm_call *call, const int32_t *lengths, size_t n);
void lstm_backward_weights(const struct lstm_call *call, const int32_t *lengths, size_t n);

#endif
