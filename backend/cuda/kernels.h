/* The launchers of the kernels (NAME.cu), for the operations (NAME.c).
 *
 * The stream comes first, then what is written, then what is read. Pointers are to the device's
 * memory, tensors dense and row-major, and may be NULL only where a line says so. A launch of no
 * rows is cudaSuccess and launches nothing. Nothing waits. X_scratch() says how many bytes of
 * undefined memory launch_X() wants, aligned to 16 bytes. Row numbers and ids are not checked. */
#ifndef MIXT_BACKEND_CUDA_KERNELS_H
#define MIXT_BACKEND_CUDA_KERNELS_H

#include <cuda_runtime.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/adam.h"

#ifdef __cplusplus
extern "C" {
#endif

/* -- shapes and settings -- */

/* struct random_key, which does not compile as CUDA. */
struct philox_key {
    uint64_t seed;
    uint32_t step, stream;
};

/* Choices of tokens: K each, or, where an operation has starts [N+1], as these say (and k is not
 * used). n_groups >= 1. */
struct choice_shape {
    int64_t n_tokens, n_choices, k, n_experts, n_groups;
};

/* struct gating as its pointers. */
struct gate_view {
    const float *clean;     /* [N, E] */
    const float *raw;       /* [N, E], or NULL */
    float *stddev;          /* [N, E], or NULL */
    float *noisy;           /* [N, E] */
    const float *top;       /* [N, n_top] */
    const int32_t *order;   /* [N, n_top] */
    const float *weights;   /* [C], or NULL */
    const int32_t *experts; /* [C] */
    const int32_t *starts;  /* [N+1], or NULL */
    const int32_t *groups;  /* [G+1], or NULL */
    const float *scale;     /* [N], or NULL */
    int64_t n_tokens, n_experts, k, n_top, n_groups;
    double noise;
    float least_stddev;
};

struct additive_shape {
    int64_t n_t, n_b, n_s, n_a;
};

/* struct lstm_step as its pointers; row lists may be NULL. */
struct step_rows {
    const float *inputs, *recurrent, *before;                 /* [.., 4H], [.., 4H], [.., H] */
    const int32_t *input_rows, *recurrent_rows, *before_rows; /* [N] */
};

/* -- memory.cu -- */

cudaError_t launch_fill(cudaStream_t stream, float *y, int64_t count, float value);
/* y += scale * x; y may be x. */
cudaError_t launch_add(cudaStream_t stream, float *y, const float *x, int64_t count, float scale);
/* y [rows, columns] (+)= x, rows y_stride and x_stride numbers apart. */
cudaError_t launch_copy_rows(cudaStream_t stream, float *y, int64_t y_stride, const float *x,
                             int64_t x_stride, int64_t rows, int64_t columns, bool accumulate);
cudaError_t launch_copy_rows_i32(cudaStream_t stream, int32_t *y, int64_t y_stride,
                                 const int32_t *x, int64_t x_stride, int64_t rows, int64_t columns);
/* y [columns, rows] (+)= the transpose of x [rows, columns]. */
cudaError_t launch_transpose(cudaStream_t stream, float *y, int64_t y_stride, const float *x,
                             int64_t x_stride, int64_t rows, int64_t columns, bool accumulate);
/* y [T, B, D] (+)= x with each sentence's first lengths[b] steps in reverse order, and 0 behind
 * them. lengths [B], or NULL: all T. */
cudaError_t launch_reverse(cudaStream_t stream, float *y, const float *x, const int32_t *lengths,
                           int64_t n_t, int64_t n_b, int64_t width, bool accumulate);
/* Between f32 and __nv_bfloat16, rounded to the nearest, ties to even. */
cudaError_t launch_to_bf16(cudaStream_t stream, void *y, const float *x, int64_t count);
cudaError_t launch_from_bf16(cudaStream_t stream, float *y, const void *x, int64_t count);

/* -- sums.cu -- */

size_t column_sums_scratch(int64_t rows, int64_t columns);
/* sum [D] += column sums of x [N, D]. */
cudaError_t launch_column_sums(cudaStream_t stream, float *sum, float *scratch, const float *x,
                               int64_t rows, int64_t columns);
/* d_x = d_y * v, which may be d_y; d_v [D] += column sums of d_y * x. The scratch of column sums.
 */
cudaError_t launch_scale_columns_backward(cudaStream_t stream, float *d_x, float *d_v,
                                          float *scratch, const float *x, const float *v,
                                          const float *d_y, int64_t rows, int64_t columns);
/* sum [D] = or += the sums over parts [n_parts, D]. */
cudaError_t launch_join_sums(cudaStream_t stream, float *sum, const float *parts, int64_t n_parts,
                             int64_t columns, bool accumulate);
/* sum [E, D] += column sums of rows offsets[e] .. offsets[e+1]-1 of x [N, D]. */
cudaError_t launch_grouped_column_sums(cudaStream_t stream, float *sum, const float *x,
                                       const int32_t *offsets, int64_t n_groups, int64_t columns);
size_t sum_squares_scratch(void);
/* sum [1] += sum of squares of x. */
cudaError_t launch_sum_squares(cudaStream_t stream, float *sum, float *scratch, const float *x,
                               int64_t count);

/* -- elements.cu; activations are numbers of enum activation -- */

cudaError_t launch_activate(cudaStream_t stream, float *y, const float *x, int64_t count,
                            int activation);
cudaError_t launch_activate_backward(cudaStream_t stream, float *d_x, const float *y,
                                     const float *d_y, int64_t count, int activation);
cudaError_t launch_scale_columns(cudaStream_t stream, float *y, const float *x, const float *v,
                                 int64_t rows, int64_t width);
/* y [N, D] = act(y + bias), inout. bias [D], or [E, D] by offsets [E+1]; NULL: none. offsets NULL:
 * one group. */
cudaError_t launch_bias_activation(cudaStream_t stream, float *y, const float *bias,
                                   const int32_t *offsets, int64_t n_groups, int64_t rows,
                                   int64_t width, int activation);
/* residual and names may be NULL. What is kept is multiplied by scale; halves of words below the
 * threshold drop. */
cudaError_t launch_dropout(cudaStream_t stream, float *y, const float *x, const float *residual,
                           const int32_t *names, int64_t rows, int64_t width, struct philox_key key,
                           uint32_t threshold, float scale);

/* -- sort.cu -- */

size_t sort_scratch(int64_t count, int64_t n_bins);
/* place [count] = where each key goes in a stable sort of keys, 0..n_bins-1; offsets [n_bins+1]
 * where each key's run starts. */
cudaError_t launch_sort(cudaStream_t stream, int32_t *place, int32_t *offsets, int32_t *scratch,
                        const int32_t *keys, int64_t count, int64_t n_bins);
/* x [n] inout: becomes the sums of what stood before each; x[n] = the sum of all. */
cudaError_t launch_scan(cudaStream_t stream, int32_t *x, int64_t n);

/* -- rows.cu -- */

cudaError_t launch_embed(cudaStream_t stream, float *y, const float *table, const int32_t *ids,
                         int64_t rows, int64_t width, double scale);
size_t embed_backward_scratch(int64_t rows, int64_t n_words);
cudaError_t launch_embed_backward(cudaStream_t stream, float *d_table, void *scratch,
                                  const float *d_y, const int32_t *ids, int64_t rows,
                                  int64_t n_words, int64_t width, double scale);
/* Numbers of 4 bytes. */
cudaError_t launch_gather_rows(cudaStream_t stream, void *y, const void *x, const int32_t *rows,
                               int64_t n_rows, int64_t width);
cudaError_t launch_scatter_rows(cudaStream_t stream, void *y, const void *x, const int32_t *rows,
                                int64_t n_rows, int64_t y_rows, int64_t width);

/* -- cells.cu; before may be NULL -- */

cudaError_t launch_lstm_cell(cudaStream_t stream, float *gates, float *cells, float *hidden,
                             const float *before, int64_t rows, int64_t n_h);
cudaError_t launch_lstm_step_cell(cudaStream_t stream, float *cells, float *hidden,
                                  struct step_rows step, int64_t rows, int64_t n_h);
cudaError_t launch_lstm_cell_backward(cudaStream_t stream, float *gates, float *d_cells,
                                      const float *cells, const float *before,
                                      const float *d_hidden, int64_t rows, int64_t n_h);

/* -- steps.cu -- */

/* x [T, B, D] = value at t >= lengths[b]. */
cudaError_t launch_fill_behind(cudaStream_t stream, float *x, const int32_t *lengths, int64_t n_t,
                               int64_t n_b, int64_t width, float value);

/* -- attention.cu; rows = T * B -- */

cudaError_t launch_attention_softmax(cudaStream_t stream, float *weights, const int32_t *lengths,
                                     int64_t rows, int64_t n_b, int64_t n_s);
cudaError_t launch_attention_softmax_backward(cudaStream_t stream, float *d_scores,
                                              const float *weights, const int32_t *lengths,
                                              int64_t rows, int64_t n_b, int64_t n_s);
cudaError_t launch_additive_scores(cudaStream_t stream, float *scores, const float *query,
                                   const float *keys, const float *v, const int32_t *lengths,
                                   struct additive_shape shape);
size_t additive_scores_backward_scratch(struct additive_shape shape);
cudaError_t launch_additive_scores_backward(cudaStream_t stream, float *d_query, float *d_keys,
                                            float *d_v, float *scratch, const float *query,
                                            const float *keys, const float *v,
                                            const int32_t *lengths, const float *d_scores,
                                            struct additive_shape shape);

/* -- loss.cu -- */

cudaError_t launch_log_sum_exp(cudaStream_t stream, float *y, const float *x, int64_t rows,
                               int64_t width);
cudaError_t launch_softmax(cudaStream_t stream, float *y, const float *x, int64_t rows,
                           int64_t width);
cudaError_t launch_softmax_backward(cudaStream_t stream, float *d_x, const float *y,
                                    const float *d_y, int64_t rows, int64_t width);
cudaError_t launch_cross_entropy(cudaStream_t stream, float *loss, float *nll, float *logits,
                                 const int32_t *targets, int64_t rows, int64_t width,
                                 float smoothing, float gradient_scale);

/* -- topk.cu; log_sums may be NULL -- */

cudaError_t launch_top_k(cudaStream_t stream, float *values, int32_t *indices, float *log_sums,
                         const float *x, int64_t rows, int64_t width, int64_t k);

/* -- moe.cu; weights of combine, starts and groups may be NULL -- */

/* keys [C] = each choice's expert among all G*E. */
cudaError_t launch_choice_keys(cudaStream_t stream, int32_t *keys, const int32_t *experts,
                               const int32_t *starts, const int32_t *groups,
                               struct choice_shape shape);
size_t dispatch_scratch(struct choice_shape shape);
cudaError_t launch_dispatch(cudaStream_t stream, int32_t *rows, int32_t *place, int32_t *offsets,
                            void *scratch, const int32_t *experts, const int32_t *starts,
                            const int32_t *groups, struct choice_shape shape);
cudaError_t launch_combine(cudaStream_t stream, float *y, const float *x, const float *weights,
                           const int32_t *place, const int32_t *starts, struct choice_shape shape,
                           int64_t width);
cudaError_t launch_combine_backward(cudaStream_t stream, float *d_x, float *d_weights,
                                    const float *x, const float *weights, const int32_t *place,
                                    const int32_t *starts, const float *d_y,
                                    struct choice_shape shape, int64_t width);

/* -- gate.cu -- */

/* names [N] may be NULL. */
cudaError_t launch_gate_noise(cudaStream_t stream, struct gate_view gate, struct philox_key key,
                              const int32_t *names);
size_t gate_importance_scratch(struct choice_shape shape);
/* gate.weights NULL: choices are counted, and gate.scale is not used. */
cudaError_t launch_gate_importance(cudaStream_t stream, float *importance, float *scratch,
                                   struct gate_view gate, struct choice_shape shape);
/* d_scale may be NULL. */
cudaError_t launch_gate_importance_backward(cudaStream_t stream, float *d_weights, float *d_scale,
                                            const float *d_importance, struct gate_view gate,
                                            struct choice_shape shape);
size_t gate_load_scratch(struct gate_view gate);
/* The smooth one: gate.n_top = gate.k + 1, and noise was drawn. */
cudaError_t launch_gate_load(cudaStream_t stream, float *load, float *scratch,
                             struct gate_view gate);
/* d_raw is NULL where gate.raw is; d_weights and d_load may be. d_load only where the load is
 * smooth. */
cudaError_t launch_gate_backward(cudaStream_t stream, float *d_clean, float *d_raw,
                                 const float *d_weights, const float *d_load,
                                 struct gate_view gate);
cudaError_t launch_join_load(cudaStream_t stream, float *load, const float *primary,
                             const float *secondary, const int32_t *groups, int64_t n_groups,
                             int64_t n_experts);
cudaError_t launch_join_load_backward(cudaStream_t stream, float *d_primary, float *d_secondary,
                                      const float *d_load, const float *primary,
                                      const float *secondary, const int32_t *groups,
                                      int64_t n_groups, int64_t n_experts);
cudaError_t launch_balance_loss(cudaStream_t stream, float *loss, float *d_v, const float *v,
                                int64_t count, double coefficient);

/* -- mask.cu; starts and groups may be NULL -- */

cudaError_t launch_choice_weights(cudaStream_t stream, float *weights, const float *x,
                                  const int32_t *experts, const int32_t *starts,
                                  struct choice_shape shape, bool is_softmax);
cudaError_t launch_choice_weights_backward(cudaStream_t stream, float *d_x, const float *d_weights,
                                           const float *weights, const int32_t *experts,
                                           const int32_t *starts, struct choice_shape shape,
                                           bool is_softmax);
size_t balanced_mask_scratch(int64_t rows, int64_t n_columns, int64_t n_groups);
cudaError_t launch_balanced_mask(cudaStream_t stream, int32_t *mask, void *scratch, const float *p,
                                 const int32_t *groups, int64_t n_groups, int64_t rows,
                                 int64_t n_columns, int64_t k, int64_t n_experts);
cudaError_t launch_threshold_mask(cudaStream_t stream, int32_t *mask, const float *p,
                                  const float *log_threshold, const int32_t *groups,
                                  int64_t n_groups, int64_t rows, int64_t n_experts);
size_t threshold_loss_scratch(int64_t rows, int64_t n_experts, int64_t n_groups);
cudaError_t launch_threshold_loss(cudaStream_t stream, float *loss, float *d_p,
                                  float *d_log_threshold, void *scratch, const float *p,
                                  const int32_t *mask, const float *log_threshold,
                                  const int32_t *groups, int64_t n_groups, int64_t rows,
                                  int64_t n_experts, float coefficient);
cudaError_t launch_mask_starts(cudaStream_t stream, int32_t *starts, const int32_t *mask,
                               int64_t rows, int64_t n_experts);
cudaError_t launch_mask_experts(cudaStream_t stream, int32_t *experts, const int32_t *mask,
                                const int32_t *starts, int64_t rows, int64_t n_experts);

/* -- optimizer.cu; the gradient becomes zero -- */

/* first may be NULL. */
cudaError_t launch_adam_step(cudaStream_t stream, float *value, float *first, float *second,
                             float *gradient, int64_t count, struct adam_rates rates);
size_t adam_factored_scratch(int64_t n_matrices, int64_t in, int64_t out);
cudaError_t launch_adam_factored_step(cudaStream_t stream, float *value, float *row, float *column,
                                      float *gradient, float *scratch, int64_t n_matrices,
                                      int64_t in, int64_t out, struct adam_rates rates);

/* -- int8.cu; sizes as in backend/quantize.h, which int8.c compares -- */

enum { INT8_COLUMNS = 16, INT8_INPUTS = 64, INT8_MAX_STEP = 127 };

struct int8_operands {
    const int32_t *q;        /* [N, in rounded up to 64] rounded rows, four numbers a word */
    const float *row_scales; /* [N] */
    const int32_t *blocks;   /* a matrix in blocks, or some; aligned to 16 bytes */
    const int32_t *slots;    /* [E] which of them is a group's, where it has rows; NULL: the e-th */
    const float *scales;     /* [out], or [E, out] */
    const float *bias;       /* [out], or [E, out]; NULL: none */
    const int32_t *offsets;  /* [E+1]; NULL: one group */
};

struct int8_shape {
    int64_t rows, in, out, n_groups;
};

struct int8_rule {
    int activation;
    bool accumulate; /* y += */
};

/* q [N, in rounded up to 64] i8 and scales [N] from x [N, in]. */
cudaError_t launch_int8_round_rows(cudaStream_t stream, void *q, float *scales, const float *x,
                                   int64_t rows, int64_t in);
/* y [N, out]. */
cudaError_t launch_int8_linear(cudaStream_t stream, float *y, struct int8_operands x,
                               struct int8_shape shape, struct int8_rule rule);

#ifdef __cplusplus
}
#endif

#endif
