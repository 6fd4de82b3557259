/* E LSTM experts, each with a state of its own for every sentence: an answer to what Shazeer et al.
 * 2017 (section 3.1) leave open, a recurrent mixture of experts.
 *
 * The tokens of sentence b that are routed to expert e, in the order of time t1 < t2 < .., are the
 * input of one LSTM with projection (struct lstm in backend/backend.h):
 *   r_k, c_k = LSTM_e(x at t_k, r_{k-1}, c_{k-1}),  r_0 = c_0 = 0;   E_e(x at t_k) = r_k
 * Tokens that go elsewhere leave the state as it is. Whole sequences are run step by step, all
 * experts and sentences at once: step k takes every pair (e, b) that has at least k tokens, so the
 * work grows with the rows. */
#ifndef MIXT_MOE_RECURRENT_H
#define MIXT_MOE_RECURRENT_H

#include "layer/param.h"
#include "layer/pass.h"

struct recurrent {
    struct param *input;      /* Wx [E, D, 4H], gates i f g o */
    struct param *recurrent;  /* Wh [E, D, 4H] */
    struct param *projection; /* Wp [E, H, D] */
    struct param *bias;       /* [E, 4H] */
    bool is_recomputed; /* gates and states are computed again in the backward pass, not kept */
};

/* Rows sorted by expert, and where each comes from. */
struct recurrent_rows {
    struct tensor offsets;   /* [E+1] i32 where each expert's rows start */
    struct tensor tokens;    /* [M] i32 the token of each row, 0..N-1, ascending in each expert */
    struct tensor positions; /* [N] i32 ascending: each token's t*B + b; absent: its index */
    int64_t n_sentences;     /* B */
};

/* The order in which rows are run, their places: by step, and in a step by expert. */
struct recurrent_schedule {
    int64_t n_steps;       /* tokens of the longest sequence */
    int32_t *first;        /* [n_steps+1] on the host: where each step's places start */
    struct tensor order;   /* [M] i32 the row at each place */
    struct tensor before;  /* [M] i32 the place one step before; 0 in the first step */
    struct tensor offsets; /* [n_steps, E+1] i32 each expert's start, from the step's first place */
    struct tensor later;   /* [M'] i32 places after the first step, sorted by expert */
    struct tensor previous;      /* [M'] i32 their places one step before */
    struct tensor later_offsets; /* [E+1] i32 where each expert's entries of these start */
};

/* What the cells leave, place by place. */
struct recurrent_cells {
    struct tensor gates;  /* [M, 4H] */
    struct tensor cells;  /* [M, H] c */
    struct tensor hidden; /* [M, H] before the projection */
    struct tensor r;      /* [M, D] */
};

struct recurrent_record {
    struct tensor x;       /* [M, D] borrowed */
    struct tensor offsets; /* [E+1] i32 borrowed */
    struct recurrent_schedule schedule;
    struct recurrent_cells cells; /* absent where they are computed again */
};

/* Adds "PREFIX.input", ".recurrent", ".projection", ".bias", with the start values of an LSTM layer
 * (layer/lstm.h). */
void recurrent_init(struct recurrent *recurrent, struct param_list *params, const char *prefix,
                    int64_t n_experts, int64_t dim, int64_t hidden, bool is_recomputed);

/* y [M, D] of x [M, D]. Reads back the rows' tokens from the device. */
void recurrent_forward(const struct recurrent *recurrent, const struct pass *pass,
                       struct recurrent_record *record, const struct tensor *y,
                       const struct tensor *x, const struct recurrent_rows *rows);

/* d_x [M, D] from d_y [M, D]; the record is used up. */
void recurrent_backward(const struct recurrent *recurrent, const struct pass *pass,
                        const struct tensor *d_x, const struct recurrent_record *record,
                        const struct tensor *d_y);

/* -- step by step, for hypotheses -- */

/* The states of all hypotheses. Each token adds one of D + H numbers for every expert it goes to;
 * hypotheses share those of their common past, and when the room is full, states that nobody has
 * any more are dropped. Room is 2 (2 max_rows E + 1) (D + H) numbers of addresses, of which the
 * part that was ever written is real memory: after T steps about T max_rows K (D + H), never more
 * than the room. */
struct recurrent_state {
    int64_t max_rows, n_experts;
    int32_t *slots;       /* [max_rows, E] on the host: the row of r and c; 0: not yet any */
    int32_t *spare_slots; /* likewise */
    struct tensor r, c;   /* [room, D], [room, H]; row 0 is zero, rows n_used and on are free */
    struct tensor spare_r, spare_c;
    struct tensor index; /* [room] i32 */
    int64_t n_used;
};

/* Every hypothesis begins with zero states. Takes what it needs from the pass's arena. */
void recurrent_start(const struct recurrent *recurrent, const struct pass *pass,
                     struct recurrent_state *state, int64_t max_rows);

/* One token of each hypothesis: y [M, D] of x [M, D], where rows->tokens are hypotheses. */
void recurrent_step(const struct recurrent *recurrent, const struct pass *pass,
                    struct recurrent_state *state, const struct tensor *y, const struct tensor *x,
                    const struct recurrent_rows *rows);

/* Hypothesis i becomes the former parents[i]; those from n_rows on are gone. Host memory. */
void recurrent_reorder(struct recurrent_state *state, const int32_t *parents, int64_t n_rows);

#endif
