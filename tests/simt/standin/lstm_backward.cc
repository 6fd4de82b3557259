/* The backward passes of the stand-in's LSTM: first of the data, then of the weights. */
#include "tests/simt/standin/lstm_run.hh"

#include <math.h>
#include <string.h>

using namespace lstm;

/* Gradients of a layer's inputs or outputs, [T, B, size]. */
struct gradients {
    int64_t B, size;
    Numbers numbers;

    gradients(int64_t T, int64_t B_, int64_t size_)
        : B(B_), size(size_), numbers((size_t)(T * B_ * size_))
    {
    }
    double *at(int64_t t, int64_t b)
    {
        return &numbers[(size_t)((t * B + b) * size)];
    }
};

static void step_backward(struct run *run, const struct cell *cell, int64_t p, int64_t k, int64_t b,
                          const double *d_out, Numbers *dh, Numbers *dc, double *d_in)
{
    const int64_t H = run->s->hidden, P = run->s->proj, t = time_of(run, p, k, b);
    double *gates = run->kept.gates(p, t, b);
    const double *c = run->kept.c(p, t, b);
    const Numbers before = c_before(run, p, k, b);
    for (int64_t j = 0; j < P; j++)
        (*dh)[(size_t)j] += d_out[j];
    memcpy(run->kept.dh(p, t, b), dh->data(), (size_t)P * sizeof(double));
    Numbers dm = *dh;
    if (!cell->projection.empty()) {
        dm.assign((size_t)H, 0);
        add_transposed(run, cell->projection, *dh, dm.data(), H);
    }
    for (int64_t j = 0; j < H; j++) {
        double *i = gates + j, *f = i + H, *n = f + H, *o = n + H;
        const double squashed = tanh(c[j]), d_m = dm[(size_t)j];
        const double d_c = (*dc)[(size_t)j] + d_m * *o * (1 - squashed * squashed);
        (*dc)[(size_t)j] = d_c * *f;
        const double d_i = d_c * *n, d_n = d_c * *i;
        *i = d_i * *i * (1 - *i);
        *f = d_c * before[(size_t)j] * *f * (1 - *f);
        *n = d_n * (1 - *n * *n);
        *o = d_m * squashed * *o * (1 - *o);
    }
    dh->assign((size_t)P, 0);
    for (int g = 0; g < 4; g++) {
        const Numbers dz = slice(gates + g * H, H);
        add_transposed(run, cell->r[g], dz, dh->data(), P);
        add_transposed(run, cell->w[g], dz, d_in, input_size(run, p));
    }
}

static void layer_backward(struct run *run, int64_t p, struct gradients *d_out,
                           struct gradients *d_in)
{
    const int64_t H = run->s->hidden, P = run->s->proj, B = run->s->B;
    const struct cell cell = read_cell(run, p);
    for (int64_t b = 0; b < B; b++) {
        Numbers dh = initial(run, run->call->dhy, p, b, P, "cuDNN: dhy");
        Numbers dc = initial(run, run->call->dcy, p, b, H, "cuDNN: dcy");
        for (int64_t k = run->lengths[b] - 1; k >= 0; k--) {
            const int64_t t = time_of(run, p, k, b);
            step_backward(run, &cell, p, k, b, d_out->at(t, b) + p % run->s->directions * P, &dh,
                          &dc, d_in->at(t, b));
        }
        write_vector(run, run->call->dhx, (p * B + b) * P, dh.data(), P);
        write_vector(run, run->call->dcx, (p * B + b) * H, dc.data(), H);
    }
}

static struct gradients read_output_gradients(struct run *run)
{
    struct gradients d(run->s->T, run->s->B, run->s->directions * run->s->proj);
    for (int64_t b = 0; b < run->s->B; b++)
        for (int64_t t = 0; t < run->lengths[b]; t++) {
            const Numbers dy =
                read_vector(run, run->call->dy, vector_at(run, t, b) * d.size, d.size, "cuDNN: dy");
            memcpy(d.at(t, b), dy.data(), dy.size() * sizeof(double));
        }
    return d;
}

static void write_input_gradients(struct run *run, struct gradients *d)
{
    for (int64_t t = 0; t < run->s->T; t++)
        for (int64_t b = 0; b < run->s->B; b++)
            if (t < run->lengths[b])
                write_vector(run, run->call->dx, vector_at(run, t, b) * d->size, d->at(t, b),
                             d->size);
            else
                write_padding(run, run->call->dx, t, b, d->size, false);
}

void lstm_backward_data(const struct lstm_call *call, const int32_t *lengths, size_t n)
{
    (void)n;
    struct run run = start(call, lengths);
    if (!read_reserve(&run, 1) || !is_output_intact(&run))
        return;
    struct gradients d_out = read_output_gradients(&run);
    for (int64_t layer = run.s->layers - 1; layer >= 0; layer--) {
        const int64_t first = layer * run.s->directions;
        struct gradients d_in(run.s->T, run.s->B, input_size(&run, first));
        for (int64_t p = first; p < first + run.s->directions; p++)
            layer_backward(&run, p, &d_out, &d_in);
        d_out = d_in;
    }
    write_input_gradients(&run, &d_out);
    write_reserve(&run, 2);
}

/* a [rows, v.size()] += u v^T */
static void add_outer(const struct run *run, const double *u, int64_t rows, const Numbers &v,
                      Numbers *a)
{
    Numbers read(v.size());
    for (size_t j = 0; j < v.size(); j++)
        read[j] = operand(run, v[j]);
    for (size_t i = 0; i < (size_t)rows; i++)
        for (size_t j = 0; j < v.size(); j++)
            (*a)[i * v.size() + j] += operand(run, u[i]) * read[j];
}

/* Gradients are added to what is there. */
static void add_to_weight(struct run *run, const struct lstm_weight *weight, const Numbers &sum)
{
    const int64_t count = weight->rows * weight->cols;
    if (count == 0)
        return;
    Numbers total =
        read_vector(run, run->call->dweights, weight->offset, count, "cuDNN: dweightSpace");
    for (size_t i = 0; i < total.size(); i++)
        total[i] += sum[i];
    write_vector(run, run->call->dweights, weight->offset, total.data(), count);
}

static void layer_weights(struct run *run, int64_t p)
{
    const int64_t H = run->s->hidden, P = run->s->proj;
    Numbers w[4], r[4], z[4], projection((size_t)(P * H));
    for (int g = 0; g < 4; g++) {
        w[g].assign((size_t)(H * input_size(run, p)), 0);
        r[g].assign((size_t)(H * P), 0);
        z[g].assign((size_t)H, 0);
    }
    for (int64_t b = 0; b < run->s->B; b++)
        for (int64_t k = 0; k < run->lengths[b]; k++) {
            const int64_t t = time_of(run, p, k, b);
            const Numbers x = input_at(run, p, t, b), h = h_before(run, p, k, b);
            for (int g = 0; g < 4; g++) {
                const double *dz = run->kept.gates(p, t, b) + g * H;
                add_outer(run, dz, H, x, &w[g]);
                add_outer(run, dz, H, h, &r[g]);
                for (int64_t j = 0; j < H; j++)
                    z[g][(size_t)j] += dz[j];
            }
            add_outer(run, run->kept.dh(p, t, b), P, slice(run->kept.m(p, t, b), H), &projection);
        }
    for (int g = 0; g < 4; g++) {
        add_to_weight(run, matrix(run, p, g), w[g]);
        add_to_weight(run, matrix(run, p, 4 + g), r[g]);
        add_to_weight(run, bias(run, p, g), z[g]);
        add_to_weight(run, bias(run, p, 4 + g), z[g]);
    }
    add_to_weight(run, matrix(run, p, 8), projection);
}

void lstm_backward_weights(const struct lstm_call *call, const int32_t *lengths, size_t n)
{
    (void)n;
    struct run run = start(call, lengths);
    if (!read_reserve(&run, 2) || !is_output_intact(&run))
        return;
    for (int64_t p = 0; p < run.s->layers * run.s->directions; p++)
        layer_weights(&run, p);
}
