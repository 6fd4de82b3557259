/* An LSTM layer, with or without projection, over whole sequences, and one step of it.
 *
 * Sak et al. 2014; the cell's equations are at struct lstm in backend/backend.h. */
#ifndef MIXT_LAYER_LSTM_H
#define MIXT_LAYER_LSTM_H

#include "layer/param.h"
#include "layer/pass.h"

struct lstm_layer {
    struct param *input;      /* [I, 4H], gates i f g o */
    struct param *recurrent;  /* [P, 4H] */
    struct param *projection; /* [H, P], or NULL: P = H, r_t = m_t */
    struct param *bias;       /* [4H] */
    bool is_reversed;         /* reads each sentence from its end */
};

/* What the forward pass leaves for the backward pass. */
struct lstm_record {
    struct tensor x;  /* [T, B, I] borrowed */
    struct tensor r;  /* [T, B, P] the layer's output */
    struct lstm lstm; /* its room, or, step by step, gates, cells, hidden */
};

/* Adds "PREFIX.input", ".recurrent", ".projection", ".bias". Matrices are uniform in +-1/sqrt(H),
 * the projection in +-1.5/sqrt(H); forget gates start open with bias 1. projection 0: there is
 * none, and the layer's output is H wide. */
void lstm_init(struct lstm_layer *layer, struct param_list *params, const char *prefix, int64_t in,
               int64_t hidden, int64_t projection, bool is_reversed);

/* record->r [T, B, P] from x [T, B, I]; lengths [B] i32, or absent: all T. r is 0 at t >= length.
 * */
void lstm_layer_forward(const struct lstm_layer *layer, const struct pass *pass,
                        struct lstm_record *record, const struct tensor *x,
                        const struct tensor *lengths);

/* d_x [T, B, I] from d_r [T, B, P], which is overwritten; the record is used up. */
void lstm_layer_backward(const struct lstm_layer *layer, const struct pass *pass,
                         const struct tensor *d_x, struct tensor *d_r, struct lstm_record *record);

/* -- training step by step, where a step's input hangs on the step before; not reversed -- */

/* A record of steps to come: x [T, B, I] is borrowed and read one step at a time. */
void lstm_layer_record(const struct lstm_layer *layer, const struct pass *pass,
                       struct lstm_record *record, const struct tensor *x);

/* Step t, after those before it: record->r at t. */
void lstm_layer_forward_at(const struct lstm_layer *layer, const struct pass *pass,
                           const struct lstm_record *record, int64_t t);

/* Step t, after those behind it: d_x [B, I] from d_r [T, B, P] at t, which is complete but for what
 * step t+1 has added here; adds to d_r at t-1. d_cell [B, H] inout is the gradient of c_t through
 * step t+1, 0 at the last step, and becomes that of c_{t-1}. */
void lstm_layer_backward_at(const struct lstm_layer *layer, const struct pass *pass,
                            const struct tensor *d_x, const struct tensor *d_r,
                            const struct tensor *d_cell, const struct lstm_record *record,
                            int64_t t);

/* The parameters' gradients, all steps at once, after step 0; d_r as the steps have left it. */
void lstm_layer_gradients(const struct lstm_layer *layer, const struct pass *pass,
                          const struct tensor *d_r, const struct lstm_record *record);

/* -- decoding -- */

/* What a step of N rows reads, of each tensor at most N. The lists say which row of a tensor is row
 * n's; absent: n itself. */
struct lstm_layer_source {
    struct tensor x; /* [.., I] */
    struct tensor x_rows;
    struct tensor r; /* [.., P] the state before, and c [.., H] */
    struct tensor r_rows;
    struct tensor c;
    struct tensor c_rows;
};

/* One step: next_r [N, P] and next_c [N, H], which must not overlap what is read. */
void lstm_layer_step(const struct lstm_layer *layer, const struct pass *pass,
                     const struct tensor *next_r, const struct tensor *next_c,
                     const struct lstm_layer_source *source);

#endif
