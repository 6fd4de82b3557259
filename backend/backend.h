/* One table of operations that every kind of hardware fills, and the handle that carries it.
 *
 * `ref` is plain C in float and double and the oracle of all others; `cpu` starts as a copy of it
 * and replaces what oneDNN and OpenMP do better. Callers build models from these operations and
 * never ask which backend runs them.
 *
 * Dimension letters: S source length, T target length, B sentences, N rows (tokens), D width,
 * A attention's hidden width, H LSTM cells, P LSTM projection, V vocabulary, E experts, K experts a
 * token, F expert hidden.
 * "real" is f32, or f64 on the double reference. Tensors are seen as matrices [rows, columns] where
 * an operation works row by row (tensor_rows, tensor_columns).
 *
 * Errors: operations return nothing. The first failure inside one is kept in the backend, later
 * operations may do nothing, and backend_sync() returns it. Wrong shapes are bugs and abort. No
 * operation allocates after its first call with the largest shapes.
 *
 * In backward operations gradients of parameters accumulate (+=) and gradients of inputs overwrite
 * (=), unless a line says otherwise. Outputs must not overlap inputs unless marked inout. */
#ifndef MIXT_BACKEND_BACKEND_H
#define MIXT_BACKEND_BACKEND_H

#include <stdbool.h>

#include "backend/tensor.h"
#include "base/random.h"

struct backend_ops;
struct profile;

/* What the operands of products are rounded to; sums, weights and what gates multiply with (weights
 * packed with PACK_EXACT) stay f32. */
enum compute {
    COMPUTE_F32,
    COMPUTE_TF32, /* 10 bits of mantissa; GPUs only */
    COMPUTE_BF16, /* 7 bits */
    COMPUTE_FP16, /* 10 bits, and sums of 64 terms; processors with AVX512-FP16 only */
    COMPUTE_AUTO  /* the fastest that trains as well as f32: bf16, fp16 or f32 */
};

struct backend {
    const struct backend_ops *ops;
    enum dtype real;         /* DTYPE_F32 or DTYPE_F64 */
    int n_threads;           /* >= 1 */
    enum compute compute;    /* never COMPUTE_AUTO */
    bool reads_host_weights; /* weights [E, in, out] may have `host` in place of a value's data */
    void *context;           /* the implementation's own */
    enum status error;       /* sticky; STATUS_OK while all went well */
    char message[256];       /* of the first error */
    struct profile *profile; /* borrowed: what layers note their times in; NULL: nothing is timed */
    char name[32];           /* for backend_open(): opens another handle like this one */
    char hardware[64];       /* "NVIDIA H200"; empty: the processor */
};

/* Opens "ref", "ref64", "cpu", "cuda" or "cuda:N" (GPU N, from 0 on; libmixt-cuda.so), "cuda-emu"
 * or "cuda-emu:N" (the same on emulated GPUs, for tests) or "auto" or "auto:N" (cuda where there is
 * a GPU, or GPU N, that can be used, else cpu). Behind all but the refs may stand "_bf16", on GPUs
 * "_tf32", or on the processor "_fp16": the compute type. n_threads 0 means
 * parallel_usable_cores(). A handle serves one thread of the caller at a time; several handles of a
 * device may share weights that are packed and not being updated, once the handle that packed them
 * was waited for. On error the handle is zeroed: STATUS_CONFIG where there is no such device or
 * compute type, STATUS_DEVICE where a module, a library, a driver or a GPU is missing. */
enum status backend_open(struct backend *backend, const char *name, int n_threads) STATUS_CHECKED;

/* The same for a device, a name as above without a compute type. The refs compute in their own. */
enum status backend_open_for(struct backend *backend, const char *device, enum compute compute,
                             int n_threads) STATUS_CHECKED;

/* A device for each of several processes of one machine: number `index` of those that it may have
 * several of ("cuda", "cuda-emu" and "auto", where no number is given), else the same for all.
 * name [bytes] becomes what backend_open_for() takes. */
void backend_device_of(const char *device, int index, char *name, size_t bytes);

/* Whether a name is one that --device and train.device may give, be there such hardware or not. */
bool backend_is_device(const char *name);

/* What COMPUTE_AUTO is on the processor: bf16 with AMX, else fp16 with AVX512-FP16, else f32. */
enum compute backend_cpu_compute(void);

/* Closes; a zeroed handle may be closed. Weights packed by it, and its arenas, must be freed
 * before. */
void backend_close(struct backend *backend);

/* An arena for the handle's tensors. capacity as in arena_init(), where the backend reserves
 * addresses. The handle must stay where it is while the arena is used. Where its memory is not the
 * host's, to run out of it is an error of the handle (STATUS_MEMORY). */
enum status backend_arena_init(struct backend *backend, struct arena *arena,
                               size_t capacity) STATUS_CHECKED;

/* Waits for all work and returns the first error since the last call, as a status with message. */
enum status backend_sync(struct backend *backend) STATUS_CHECKED;

/* For implementations: keeps the first error, as STATUS_DEVICE. */
void backend_fail(struct backend *backend, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* A matrix [in, out], or E of them [E, in, out], that is read far more often than it changes.
 * Backends may keep copies in their own order; whoever writes `value` calls weight_pack() before
 * the next operation that reads it. */
struct weight {
    struct tensor value; /* [in, out] or [E, in, out] real, borrowed */
    void *packed;        /* the backend's own; NULL before the first weight_pack() */
    bool is_packed[2];   /* as stored; transposed */

    /* Of a weight in int8 (backend/quantize.h), else absent. It is packed in one form, which the
     * blocks are for, and products read these alone: value may be a shape without data. Rows of
     * x are rounded to int8 by their own scale, the sums are exact, and a row of the result is
     * sums * (scale of the row * scales) + bias, to the bit on every processor. Not for training:
     * backward operations refuse it. */
    struct tensor blocks; /* i8, borrowed, only read: it may be a file's mapping */
    struct tensor scales; /* [out], or [E, out]; f32, borrowed */

    /* Of a weight [E, in, out] in reals that stays on the host, its numbers, borrowed, only read:
     * perhaps a file's mapping; value is a shape without data. For backends that say so, whose
     * grouped_linear() brings the matrices that rows meet. Not for training. Else NULL. */
    const void *host;
};

/* Of so many matrices or more, E, the cpu keeps no copies: few rows meet each, and packing costs
 * more than it saves. */
enum { WEIGHT_MANY = 128 };

/* The gate's noise never gets narrower: gradients divide by its width. */
#define GATE_MIN_STDDEV 1e-10

/* Products take all but ACTIVATION_CUBE, x^3, which is for activate() alone. */
enum activation {
    ACTIVATION_NONE,
    ACTIVATION_RELU,
    ACTIVATION_TANH,
    ACTIVATION_SIGMOID,
    ACTIVATION_CUBE
};

/* Which forms of a weight weight_pack() prepares. PACK_EXACT, with others and on the first call:
 * products with it are as exact as f32 even where the backend rounds their operands to bf16.
 * PACK_LATE: a copy may be made each time the weight is read after something else was, so that only
 * a few exist at a time; until the next weight_pack() without it, one handle alone may read the
 * weight. It pays where all rows of a pass meet a weight in one call. */
enum { PACK_PLAIN = 1, PACK_TRANSPOSED = 2, PACK_EXACT = 4, PACK_LATE = 8 };

/* An LSTM layer, by default with projection (Sak et al. 2014), gates in the order i f g o:
 *   a_t = x_t Wx + r_{t-1} Wh + bias;  i, f, o = sigmoid(a); g = tanh(a)
 *   c_t = f c_{t-1} + i g;  m_t = o tanh(c_t);  r_t = m_t Wp, or m_t without a projection
 * At t >= lengths[b] the state is kept at zero and r is zero, so that a reversed layer starts
 * from zero at each sentence's last real token. */
struct lstm {
    struct weight *input;      /* [I, 4H] Wx */
    struct weight *recurrent;  /* [P, 4H] Wh */
    struct weight *projection; /* [H, P] Wp; NULL: none, and then P = H */
    struct tensor bias;        /* [4H] */
    struct tensor lengths;     /* [B] i32, or absent: all T */
    bool reversed;             /* runs from t = T-1 down to 0 */
    struct tensor first_r;     /* [B, P] state before the first step, or absent: zero */
    struct tensor first_c;     /* [B, H] likewise */
    struct tensor gates;       /* out [T, B, 4H]: after the nonlinearities; backward overwrites it
                                  with the gradients of a */
    struct tensor cells;       /* out [T, B, H] c_t */
    struct tensor hidden;      /* out [T, B, H] m_t; absent without a projection: r holds it */
    struct tensor room;        /* in place of these three, which are absent then: [lstm_room()] real
                                  for what the backend wants to keep for one backward pass. r must
                                  stay as it is until then */
};

/* Gradients of the above; all but `cell` accumulate. input absent: those of the parameters are not
 * wanted; the caller finds d_a in the gates when it wants them after all. With `room`, those of the
 * states are there only where the states were given. */
struct lstm_gradients {
    struct tensor input;      /* [I, 4H] */
    struct tensor recurrent;  /* [P, 4H] */
    struct tensor projection; /* [H, P], or absent as above */
    struct tensor bias;       /* [4H] */
    struct tensor first_r;    /* [B, P], or absent: not wanted */
    struct tensor cell;       /* [B, H] inout: in, of the cells after the last step; out, of those
                                 before the first. Absent: zero, and not wanted */
};

/* One step of an LSTM layer for the N rows of a search. Rows that continue the same state, or read
 * the same input, share its product: each list says which row of its tensor is row n's; absent: n
 * itself. */
struct lstm_step {
    struct tensor inputs;         /* [.., 4H] x Wx + bias */
    struct tensor input_rows;     /* [N] i32 */
    struct tensor recurrent;      /* [.., 4H] r_{t-1} Wh */
    struct tensor recurrent_rows; /* [N] i32 */
    struct tensor before;         /* [.., H] c_{t-1} */
    struct tensor before_rows;    /* [N] i32 */
};

/* One gate's scores and choices: N tokens, E experts, C choices. In the second level of a hierarchy
 * G gates stand side by side: tokens groups[g] .. groups[g+1]-1 are gate g's, and vectors over
 * experts are [G*E]. Equations of Shazeer et al. 2017. */
struct gating {
    struct tensor clean;   /* [N, E] x W_g */
    struct tensor raw;     /* [N, E] x W_noise; absent: the noise is uniform, or there is none */
    struct tensor stddev;  /* [N, E] noise * softplus(raw); absent as raw is */
    struct tensor noisy;   /* [N, E] with the noise; clean where there is none */
    struct tensor top;     /* [N, K+1] largest of noisy, sorted; [N, K] for K = E or no noise */
    struct tensor order;   /* [N, K+1] i32 their experts */
    struct tensor weights; /* [N, K], or [C] with starts: of the choices, token by token */
    struct tensor experts; /* same shape, i32: 0..E-1, within the token's group */
    struct tensor starts;  /* [N+1] i32 where each token's choices start; absent: K each */
    struct tensor groups;  /* [G+1] i32 ascending, from 0 to N; absent: one group */
    struct tensor scale;   /* [N] the token's weight in the level above; absent: 1 */
    double noise;          /* scale of the noise: of the normal's softplus(raw), or the uniform's
                              width; 0: none was drawn */
};

/* Adam's settings for one step (Kingma and Ba 2015, with bias correction). */
struct adam {
    double learning_rate, beta1, beta2, epsilon;
    int64_t step;          /* 1 for the first update */
    double gradient_scale; /* multiplies every gradient first: clipping by norm */
};

/* The gradient of E matrices [in, out] as the product that it is: matrix e's is x^T d_y over rows
 * offsets[e] .. offsets[e+1]-1. Of many matrices that few rows meet, the rows are the smaller. */
struct product_gradient {
    struct tensor x;       /* [N, in] */
    struct tensor d_y;     /* [N, out] */
    struct tensor offsets; /* [E+1] i32 ascending, from 0 to N */
};

#define B   struct backend *backend
#define IN  const struct tensor *
#define OUT const struct tensor *

struct backend_ops {
    const char *name;
    void (*close)(B);
    /* Waits for all work; failures go to backend_fail(). */
    void (*sync)(B);

    /* -- memory; host pointers are ordinary memory, those of tensors only operations follow -- */

    /* See backend_arena_init(). */
    enum status (*arena_init)(B, struct arena *arena, size_t capacity);
    /* Copies size_bytes between the host and a tensor's memory, from its first number on. Both
     * return when the host's memory may be used again. After an error download gives zeros. */
    void (*upload)(B, OUT target, const void *host, size_t size_bytes);
    void (*download)(B, void *host, IN source, size_t size_bytes);
    /* target = source; same count and type. */
    void (*copy)(B, OUT target, IN source);
    /* target = value everywhere; real. */
    void (*fill)(B, OUT target, double value);
    /* target[n, to .. to+columns-1] (+)= source[n, from .. from+columns-1] for all rows n. */
    void (*copy_columns)(B, OUT target, int64_t to, IN source, int64_t from, int64_t columns,
                         bool accumulate);
    /* target += scale * source; real, same count; target may be source. */
    void (*add)(B, OUT target, IN source, double scale);

    /* -- matrices -- */

    /* Makes the chosen forms (PACK_...) of a weight current; the first call allocates them. */
    void (*weight_pack)(B, struct weight *weight, int forms);
    /* Frees what weight_pack() allocated. */
    void (*weight_free)(B, struct weight *weight);
    /* y [N, out] = act(x [N, in] W + bias [out]); transposed: y [N, in] from x [N, out] with W^T.
     * accumulate: y += x W + bias, and then no activation. bias may be NULL. A row of y depends
     * only on the same row of x: on the processor to the bit, whatever N and n_threads are; on a
     * GPU see doc/cuda.md. */
    void (*linear)(B, OUT y, IN x, const struct weight *weight, bool transposed, IN bias,
                   enum activation activation, bool accumulate);
    /* The same for E weights: rows offsets[e] .. offsets[e+1]-1 use W_e and bias[e].
     * weight [E, in, out], bias [E, out] or NULL, offsets [E+1] i32 ascending, offsets[E] = N. */
    void (*grouped_linear)(B, OUT y, IN x, const struct weight *weight, bool transposed, IN bias,
                           IN offsets, enum activation activation);
    /* d_weight [in, out] += x^T [in, N] d_y [N, out]; d_bias [out] += column sums of d_y, or NULL.
     * */
    void (*linear_gradient)(B, OUT d_weight, OUT d_bias, IN x, IN d_y);
    /* The same for E weights over the rows of each expert; [E, in, out], [E, out] or NULL. d_weight
     * NULL: only d_bias. Rows before offsets[0] and from offsets[E] on are nobody's. */
    void (*grouped_linear_gradient)(B, OUT d_weight, OUT d_bias, IN x, IN d_y, IN offsets);
    /* sum [D] += column sums of x [N, D]. */
    void (*column_sums)(B, OUT sum, IN x);
    /* c [I, B, J] (+)= sum over k of a [I, B, k] b [k, B, J], one product for each sentence b.
     * transpose_a: a is [K, B, I]; transpose_b: b is [J, B, K]. */
    void (*batch_matmul)(B, OUT c, IN a, bool transpose_a, IN b, bool transpose_b, bool accumulate);

    /* -- elements -- */

    /* y = act(x); y may be x. */
    void (*activate)(B, OUT y, IN x, enum activation activation);
    /* d_x = d_y act'(x), from y = act(x); d_x may be d_y. */
    void (*activate_backward)(B, OUT d_x, IN y, IN d_y, enum activation activation);
    /* y [N, D] = x * v [D] in every row; y may be x. Backward: d_x = d_y * v (may be d_y),
     * d_v += column sums of d_y * x. */
    void (*scale_columns)(B, OUT y, IN x, IN v);
    void (*scale_columns_backward)(B, OUT d_x, OUT d_v, IN x, IN v, IN d_y);
    /* y [N, D] = residual + x * mask / (1 - rate); residual may be NULL (then 0) and may be y; y
     * may be x. Element (n, d) is dropped when 16 bits of philox(key, rows[n], d / 8) fall below
     * rate * 65536, rounded; halves of word (d % 8) / 2, low half first. rows [N] i32 names each
     * row's random numbers; NULL: its index. rate 0: nothing is dropped. Its own backward: d_x =
     * dropout(d_y) with the same key and rows. */
    void (*dropout)(B, OUT y, IN x, IN residual, double rate, struct random_key key, IN rows);

    /* -- rows -- */

    /* y [N, D] = scale * table [V, D] at row ids[n]; ids [N] i32 in 0..V-1. */
    void (*embed)(B, OUT y, IN table, IN ids, double scale);
    /* d_table[ids[n]] += scale * d_y[n], in ascending n for each row: same bits every time. */
    void (*embed_backward)(B, OUT d_table, IN d_y, IN ids, double scale);
    /* y [N, D] = x [M, D] at rows[n]; rows [N] i32. Any 4-byte or real type. */
    void (*gather_rows)(B, OUT y, IN x, IN rows);
    /* y [M, D] = 0, then y[rows[n]] = x[n]; rows distinct. */
    void (*scatter_rows)(B, OUT y, IN x, IN rows);

    /* -- layers -- */

    /* Numbers of room that an LSTM over x [T, B, I] wants; only shapes are looked at. */
    int64_t (*lstm_room)(B, IN x, const struct lstm *lstm);
    /* r [T, B, P] from x [T, B, I]; see struct lstm. */
    void (*lstm_forward)(B, OUT r, IN x, const struct lstm *lstm);
    /* d_x [T, B, I] (NULL: not wanted) from d_r [T, B, P], which becomes the whole gradient of each
     * r, that of the steps after it included; with room it is undefined afterwards. */
    void (*lstm_backward)(B, OUT d_x, struct tensor *d_r, IN x, IN r, const struct lstm *lstm,
                          const struct lstm_gradients *gradients);
    /* The cells alone, of any N rows: gates [N, 4H] inout hold the sums a and become the gates,
     * cells [N, H] = c_t, hidden [N, H] = m_t; before [N, H] c_{t-1}, or NULL: zero. */
    void (*lstm_cell)(B, OUT gates, OUT cells, OUT hidden, IN before);
    /* The same of a step, for inference: cells [N, H] = c_t, hidden [N, H] = m_t, and no gates. */
    void (*lstm_step_cell)(B, OUT cells, OUT hidden, const struct lstm_step *step);
    /* gates inout become the gradients of a. d_cells [N, H] inout holds what reaches c_t from the
     * step after and becomes the gradient of before. d_hidden [N, H] of m_t. */
    void (*lstm_cell_backward)(B, OUT gates, OUT d_cells, IN cells, IN before, IN d_hidden);
    /* scores [T, B, S] = sum over a of v [A] tanh(query [T, B, A] + keys [S, B, A]) at s <
     * lengths[b], and 0 from there on: additive attention, Shazeer et al. 2017, eq. 21. */
    void (*additive_scores)(B, OUT scores, IN query, IN keys, IN v, IN lengths);
    /* d_query = , d_keys += and d_v += from d_scores, which counts nothing at s >= lengths[b]. */
    void (*additive_scores_backward)(B, OUT d_query, OUT d_keys, OUT d_v, IN query, IN keys, IN v,
                                     IN lengths, IN d_scores);
    /* weights [T, B, S] inout: each row of scores becomes its softmax over s < lengths[b], and 0
     * from there on. lengths [B] i32, each >= 1. */
    void (*attention_softmax)(B, OUT weights, IN lengths);
    /* d_scores [T, B, S] inout: holds d_weights at the call. */
    void (*attention_softmax_backward)(B, OUT d_scores, IN weights, IN lengths);
    /* Label-smoothed cross-entropy of each row of logits [N, V] with targets [N] i32:
     * loss = (1 - smoothing) * nll + smoothing * mean over v of -log p(v). Both outputs [N];
     * logits inout: become d_logits = gradient_scale * d(sum of loss) when gradient_scale != 0. */
    void (*cross_entropy)(B, OUT loss, OUT nll, OUT logits, IN targets, double smoothing,
                          double gradient_scale);
    /* y [N] = log sum over v of exp(x [N, V]). */
    void (*log_sum_exp)(B, OUT y, IN x);

    /* -- choice: the gate and the beam -- */

    /* The K largest of each row of x [N, M], largest first; ties go to the lower index. values
     * [N, K] real, indices [N, K] i32, 1 <= K <= M. NaN counts as -infinity. */
    void (*top_k)(B, OUT values, OUT indices, IN x);
    /* The same, and log_sums [N] as log_sum_exp() gives them, in one go over each row: what the
     * search wants of logits. */
    void (*top_k_log_sum)(B, OUT values, OUT indices, OUT log_sums, IN x);
    /* The same of the rows of x [N, D] W^T + bias [V], W [V, D] packed transposed, which are not
     * kept; to the bit as linear() and top_k_log_sum() give it. room [M, V], M >= 1, is memory for
     * some of them. */
    void (*linear_top_k)(B, OUT values, OUT indices, OUT log_sums, OUT room, IN x,
                         const struct weight *weight, IN bias);
    /* y = softmax of each row of x; y may be x. */
    void (*softmax)(B, OUT y, IN x);
    /* d_x from y = softmax(x) and d_y; d_x may be d_y. */
    void (*softmax_backward)(B, OUT d_x, IN y, IN d_y);

    /* -- mixture of experts: choosing; groups, starts: see struct gating; NULL: absent -- */

    /* noisy and stddev of a gating. Normal noise (eq. 4): clean + normal * stddev, stddev = noise *
     * softplus(raw), never below GATE_MIN_STDDEV; element (n, e) takes its normal from philox(key,
     * names[n], g * ceil(E / 4) + e / 4), word pairs (0, 1) and (2, 3). Uniform noise: clean +
     * noise * random_unit(word e % 4). names [N] i32 as rows in dropout. */
    void (*gate_noise)(B, const struct gating *gating, struct random_key key, IN names);
    /* weights = x [N, E] at experts, or is_softmax: their softmax over each token's choices, which
     * is eq. 16 with x the scores that the gate's own softmax is taken of. */
    void (*choice_weights)(B, OUT weights, IN x, IN experts, IN starts, bool is_softmax);
    /* d_x [N, E] = from d_weights; 0 where nothing was chosen. */
    void (*choice_weights_backward)(B, OUT d_x, IN d_weights, IN weights, IN experts, IN starts,
                                    bool is_softmax);
    /* Eq. 18: mask [N, E] i32 = 1 for the m largest p [N, E] of each column in each group of n
     * rows, m = K n / n_experts rounded to the nearest, in 1..n; ties go to the lower row. NaN
     * counts as -infinity. n_experts: of which p has E, all or some. */
    void (*balanced_mask)(B, OUT mask, IN p, IN groups, int64_t k, int64_t n_experts);
    /* Eq. 19: mask = p > exp(log_threshold [G*E]). */
    void (*threshold_mask)(B, OUT mask, IN p, IN log_threshold, IN groups);
    /* Eq. 20 with T = exp(log_threshold): loss [1] = coefficient * sum over n and e of
     * (threshold_mask - mask) (p - T), both masks held fixed; d_p += and d_log_threshold +=. */
    void (*threshold_loss)(B, OUT loss, OUT d_p, OUT d_log_threshold, IN p, IN mask,
                           IN log_threshold, IN groups, double coefficient);
    /* starts [N+1] i32 of the choices that mask [N, E] i32 marks, and their experts [C]. */
    void (*mask_starts)(B, OUT starts, IN mask);
    void (*mask_experts)(B, OUT experts, IN mask, IN starts);
    /* Sorts the choices by expert, stable: rows [C] i32 holds the token of each place, place [C]
     * i32 where each choice went, offsets [G*E+1] i32 where each expert starts. experts [N, K] or
     * [C]. */
    void (*dispatch)(B, OUT rows, OUT place, OUT offsets, IN experts, IN starts, IN groups);
    /* y [N, D] = sum over a token's choices c of weights[c] * x [C, D] at place[c]; weights NULL:
     * 1. */
    void (*combine)(B, OUT y, IN x, IN weights, IN place, IN starts);
    /* d_x [C, D] at place[c] = weights[c] * d_y[n]; d_weights[c] = d_y[n] . x[place[c]]. */
    void (*combine_backward)(B, OUT d_x, OUT d_weights, IN x, IN weights, IN place, IN starts,
                             IN d_y);

    /* -- mixture of experts: balance -- */

    /* Eqs. 6 and 13: importance [G*E] = sums of scale * weight by expert. */
    void (*gate_importance)(B, OUT importance, const struct gating *gating);
    /* d_weights += and, unless NULL, d_scale [N] +=. */
    void (*gate_importance_backward)(B, OUT d_weights, OUT d_scale, IN d_importance,
                                     const struct gating *gating);
    /* Eqs. 8-10: load [G*E] = sum over tokens of the chance that fresh noise on e alone would lift
     * it among the K largest: Phi((clean - t) / stddev), for uniform noise clip((clean + noise - t)
     * / noise, 0, 1), where t is the K-th largest of noisy without e. Without noise, and for K = E,
     * tokens are counted. */
    void (*gate_load)(B, OUT load, const struct gating *gating);
    /* d_clean [N, E] = and d_raw [N, E] = (NULL where raw is absent) from d_weights [N, K] through
     * the softmax over the K kept values of noisy (NULL: none) and from d_load [G*E] through clean,
     * stddev and thresholds (NULL: none). */
    void (*gate_backward)(B, OUT d_clean, OUT d_raw, IN d_weights, IN d_load,
                          const struct gating *gating);
    /* Eq. 14: load [G*E] = primary [G] at g * secondary [G*E] / tokens of group g; 0 for a group
     * without tokens. */
    void (*join_load)(B, OUT load, IN primary, IN secondary, IN groups);
    /* d_primary = and d_secondary =. */
    void (*join_load_backward)(B, OUT d_primary, OUT d_secondary, IN d_load, IN primary,
                               IN secondary, IN groups);
    /* v [E] to loss [1] = coefficient * CV(v)^2 with the population variance, and d_v [E] (eqs. 7
     * and 11); all zero where the mean of v is 0. */
    void (*balance_loss)(B, OUT loss, OUT d_v, IN v, double coefficient);

    /* -- training -- */

    /* sum [1] += sum of squares of x. */
    void (*sum_squares)(B, OUT sum, IN x);
    /* One Adam step; value, first and second moments inout. first NULL: there is no first moment,
     * the gradient stands in its place, and beta1 is not used. gradient inout: becomes zero, while
     * it is at hand, for the next update's to be added to. */
    void (*adam_step)(B, OUT value, OUT first, OUT second, OUT gradient, const struct adam *adam);
    /* The same without first moments for E matrices [E, in, out] whose second moments are factored
     * (Shazeer et al. 2017, appendix D): row [E, in] and column [E, out] are moving averages of the
     * squared gradient's mean over each row and each column, and the estimate of a matrix's second
     * moments is outer(row, column) / mean(row). value, row and column inout; where row is zero
     * everywhere the estimate is 0. gradient inout: becomes zero. */
    void (*adam_factored_step)(B, OUT value, OUT row, OUT column, OUT gradient,
                               const struct adam *adam);
    /* The three of E matrices [E, in, out] whose gradient is nowhere but in its factors: it is
     * computed some matrices at a time, or not at all. room [M, in, out], M >= 1, is memory for
     * some of them; on the processor as many as there are threads are of use. In bf16 the
     * sum may be that of rows which are not rounded. */
    void (*product_sum_squares)(B, OUT sum, OUT room, const struct product_gradient *gradient);
    void (*product_adam_step)(B, OUT value, OUT first, OUT second, OUT room,
                              const struct product_gradient *gradient, const struct adam *adam);
    void (*product_adam_factored_step)(B, OUT value, OUT row, OUT column, OUT room,
                                       const struct product_gradient *gradient,
                                       const struct adam *adam);
};

#undef B
#undef IN
#undef OUT

/* For implementations: the operations on gradients that are products, by those on gradients that
 * are stored, as many matrices at a time as the room has. */
void backend_product_sum_squares(struct backend *backend, const struct tensor *sum,
                                 const struct tensor *room,
                                 const struct product_gradient *gradient);
void backend_product_adam_step(struct backend *backend, const struct tensor *value,
                               const struct tensor *first, const struct tensor *second,
                               const struct tensor *room, const struct product_gradient *gradient,
                               const struct adam *adam);
void backend_product_adam_factored_step(struct backend *backend, const struct tensor *value,
                                        const struct tensor *row, const struct tensor *column,
                                        const struct tensor *room,
                                        const struct product_gradient *gradient,
                                        const struct adam *adam);

/* For implementations: linear_top_k() of the operations, as many rows at a time as the room has. */
void backend_linear_top_k(struct backend *backend, const struct tensor *values,
                          const struct tensor *indices, const struct tensor *log_sums,
                          const struct tensor *room, const struct tensor *x,
                          const struct weight *weight, const struct tensor *bias);

#endif
