/* The forward pass of the stand-in's LSTM; the equations stand in lstm.hh. */
#include "tests/simt/standin/lstm_run.hh"

#include <math.h>
#include <string.h>

using namespace lstm;

static double sigmoid(double z)
{
    return 1 / (1 + exp(-z));
}

static void step_forward(struct run *run, const struct cell *cell, int64_t p, int64_t k, int64_t b)
{
    const int64_t H = run->s->hidden, P = run->s->proj, t = time_of(run, p, k, b);
    const Numbers x = input_at(run, p, t, b), h = h_before(run, p, k, b);
    const Numbers before = c_before(run, p, k, b);
    double *gates = run->kept.gates(p, t, b), *c = run->kept.c(p, t, b);
    double *m = run->kept.m(p, t, b), *out = run->kept.h(p, t, b);
    for (int g = 0; g < 4; g++) {
        double *z = gates + g * H;
        memcpy(z, cell->bias[g].data(), (size_t)H * sizeof *z);
        add_product(run, cell->w[g], x, z, H);
        add_product(run, cell->r[g], h, z, H);
        for (int64_t j = 0; j < H; j++)
            z[j] = g == 2 ? tanh(z[j]) : sigmoid(z[j]);
    }
    for (int64_t j = 0; j < H; j++) {
        c[j] = gates[H + j] * before[(size_t)j] + gates[j] * gates[2 * H + j];
        m[j] = stored(run, gates[3 * H + j] * tanh(c[j]));
    }
    if (cell->projection.empty()) {
        memcpy(out, m, (size_t)H * sizeof *out);
        return;
    }
    memset(out, 0, (size_t)P * sizeof *out);
    add_product(run, cell->projection, slice(m, H), out, P);
    for (int64_t j = 0; j < P; j++)
        out[j] = stored(run, out[j]);
}

static void layer_forward(struct run *run, int64_t p)
{
    const int64_t H = run->s->hidden, P = run->s->proj, B = run->s->B;
    const struct cell cell = read_cell(run, p);
    for (int64_t b = 0; b < B; b++) {
        for (int64_t k = 0; k < run->lengths[b]; k++)
            step_forward(run, &cell, p, k, b);
        const Numbers h = h_before(run, p, run->lengths[b], b);
        const Numbers c = c_before(run, p, run->lengths[b], b);
        write_vector(run, run->call->hy, (p * B + b) * P, h.data(), P);
        write_vector(run, run->call->cy, (p * B + b) * H, c.data(), H);
    }
}

static void write_output(struct run *run)
{
    const int64_t size = run->s->directions * run->s->proj;
    for (int64_t t = 0; t < run->s->T; t++)
        for (int64_t b = 0; b < run->s->B; b++)
            if (t < run->lengths[b])
                write_vector(run, run->call->y, vector_at(run, t, b) * size,
                             output_at(run, t, b).data(), size);
            else
                write_padding(run, run->call->y, t, b, size, run->s->has_fill);
}

/* What lies between the weights belongs to nobody: NaN, should somebody read it. */
static void scribble_gaps(struct run *run)
{
    void *weights = const_cast<void *>(run->call->weights);
    int64_t n_elements = 0;
    lstm_weights(run->s, &n_elements);
    std::vector<bool> is_used((size_t)n_elements);
    for (const struct lstm_weight &weight : run->weights)
        for (int64_t i = 0; i < weight.rows * weight.cols; i++)
            is_used[(size_t)(weight.offset + i)] = true;
    for (int64_t i = 0; i < n_elements; i++)
        if (!is_used[(size_t)i]) {
            const double nothing = NAN;
            write_vector(run, weights, i, &nothing, 1);
        }
}

void lstm_forward(const struct lstm_call *call, const int32_t *lengths, size_t n)
{
    (void)n;
    struct run run = start(call, lengths);
    scribble_gaps(&run);
    for (int64_t p = 0; p < run.s->layers * run.s->directions; p++)
        layer_forward(&run, p);
    write_output(&run);
    write_reserve(&run, 1);
}
