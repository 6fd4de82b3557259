/* What the passes of the stand-in's LSTM share.
 *
 * Names of sizes: T steps, B sequences, H cells, P outputs of a direction, D directions. A
 * pseudo-layer is a layer in one direction; p = layer * D + direction. */
#ifndef MIXT_TESTS_SIMT_STANDIN_LSTM_RUN_HH
#define MIXT_TESTS_SIMT_STANDIN_LSTM_RUN_HH

#include "tests/simt/standin/lstm.hh"

namespace lstm
{

typedef std::vector<double> Numbers;

/* What is kept of a time step of a sequence in a pseudo-layer, one after the other: gates i f n o
 * [4 H] (after backward_data: the gradients before their squashing), c [H], m [H], h [P], and the
 * gradient of h [P]. */
struct kept {
    int64_t H, P, pseudo_layers, T, B;
    Numbers numbers;

    explicit kept(const struct lstm_shape *s)
        : H(s->hidden), P(s->proj), pseudo_layers(s->layers * s->directions), T(s->T), B(s->B),
          numbers((size_t)(pseudo_layers * T * B * (6 * H + 2 * P)))
    {
    }
    double *at(int64_t p, int64_t t, int64_t b)
    {
        return &numbers[(size_t)(((p * T + t) * B + b) * (6 * H + 2 * P))];
    }
    double *gates(int64_t p, int64_t t, int64_t b)
    {
        return at(p, t, b);
    }
    double *c(int64_t p, int64_t t, int64_t b)
    {
        return at(p, t, b) + 4 * H;
    }
    double *m(int64_t p, int64_t t, int64_t b)
    {
        return at(p, t, b) + 5 * H;
    }
    double *h(int64_t p, int64_t t, int64_t b)
    {
        return at(p, t, b) + 6 * H;
    }
    double *dh(int64_t p, int64_t t, int64_t b)
    {
        return at(p, t, b) + 6 * H + P;
    }
};

/* The first bytes of a reserve space. */
struct reserve_head {
    uint64_t fingerprint; /* of the shape and the lengths */
    uint64_t phase;       /* 1 after forward, 2 after backward_data */
};

/* One call being run: what its parts share. */
struct run {
    const struct lstm_call *call;
    const struct lstm_shape *s;
    const int32_t *lengths;
    std::vector<int64_t> packed; /* [T] where each step begins, in vectors */
    std::vector<struct lstm_weight> weights;
    struct kept kept;
};

/* The weights of a pseudo-layer: W [4][H, I], R [4][H, P], P [P, H] or empty, biases [4][H]. */
struct cell {
    Numbers w[4], r[4], projection, bias[4];
};

/* Begins a call: sizes, places of weights, and garbage in the work space. */
struct run start(const struct lstm_call *call, const int32_t *lengths);

/* The number of the vector of step t of sequence b in x, y and their gradients. */
int64_t vector_at(const struct run *run, int64_t t, int64_t b);

/* Elements of a buffer; zeros of NULL, as an initial state or a gradient is then. */
Numbers read_vector(const struct run *run, const void *data, int64_t first, int64_t count,
                    const char *what);

/* Elements of a buffer; nothing for NULL. */
void write_vector(const struct run *run, void *data, int64_t first, const double *numbers,
                  int64_t count);

/* What memory of the data's type would keep of it. */
double stored(const struct run *run, double value);

/* What a product reads of it. */
double operand(const struct run *run, double value);

/* Where a matrix or a bias of a pseudo-layer lies, by linLayerID. */
const struct lstm_weight *matrix(const struct run *run, int64_t p, int id);
const struct lstm_weight *bias(const struct run *run, int64_t p, int id);
struct cell read_cell(const struct run *run, int64_t p);

/* out += a v, a [rows, v.size()] by rows. */
void add_product(const struct run *run, const Numbers &a, const Numbers &v, double *out,
                 int64_t rows);

/* out += transpose(a) v, a [v.size(), cols] by rows. */
void add_transposed(const struct run *run, const Numbers &a, const Numbers &v, double *out,
                    int64_t cols);
Numbers slice(const double *first, int64_t count);
int64_t input_size(const struct run *run, int64_t p);

/* What a pseudo-layer reads at a step: x, or the outputs of the layer below in all directions. */
Numbers input_at(struct run *run, int64_t p, int64_t t, int64_t b);

/* Step k of a direction: the second one runs from the end. */
int64_t time_of(const struct run *run, int64_t p, int64_t k, int64_t b);

/* The row of a state [pseudo-layers, B, size]. */
Numbers initial(const struct run *run, const void *data, int64_t p, int64_t b, int64_t size,
                const char *what);

/* The state before step k. */
Numbers h_before(struct run *run, int64_t p, int64_t k, int64_t b);
Numbers c_before(struct run *run, int64_t p, int64_t k, int64_t b);

/* What is in the place of a step that a sequence does not have: the fill, or NaN for undefined. */
void write_padding(struct run *run, void *data, int64_t t, int64_t b, int64_t size, bool has_fill);

/* y of a step. */
Numbers output_at(struct run *run, int64_t t, int64_t b);

/* Leaves a reserve space for the next pass; nothing in inference. */
void write_reserve(struct run *run, uint64_t phase);

/* False, after a report, when it is not what the pass before left for this very batch. */
bool read_reserve(struct run *run, uint64_t phase);

/* The library may take the last layer's states from y, so nobody may have changed it. */
bool is_output_intact(struct run *run);

} // namespace lstm

#endif
