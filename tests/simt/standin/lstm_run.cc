/* What the passes of the stand-in's LSTM share; see lstm_run.hh. */
#include "tests/simt/standin/lstm_run.hh"

#include <math.h>
#include <string.h>

#include "tests/simt/device.h"
#include "tests/simt/standin/standin.hh"

size_t lstm_reserve_bytes(const struct lstm_shape *shape)
{
    const int64_t step = 6 * shape->hidden + 2 * shape->proj;
    return sizeof(lstm::reserve_head) +
           (size_t)(shape->layers * shape->directions * shape->T * shape->B * step) *
               sizeof(double);
}

namespace lstm
{

struct run start(const struct lstm_call *call, const int32_t *lengths)
{
    int64_t n_elements = 0;
    struct run run = {call,
                      &call->shape,
                      lengths,
                      {},
                      lstm_weights(&call->shape, &n_elements),
                      kept(&call->shape)};
    int64_t begin = 0;
    for (int64_t t = 0; t < run.s->T; t++) {
        run.packed.push_back(begin);
        for (int64_t b = 0; b < run.s->B; b++)
            begin += lengths[b] > t;
    }
    standin_scribble(call->work, call->work_bytes);
    return run;
}

int64_t vector_at(const struct run *run, int64_t t, int64_t b)
{
    switch (run->s->layout) {
    case LSTM_TIME_MAJOR:
        return t * run->s->B + b;
    case LSTM_BATCH_MAJOR:
        return b * run->s->T + t;
    default:
        return run->packed[(size_t)t] + b;
    }
}

Numbers read_vector(const struct run *run, const void *data, int64_t first, int64_t count,
                    const char *what)
{
    Numbers numbers((size_t)count);
    if (!data)
        return numbers; /* an initial state or a gradient that is 0 */
    const size_t size = standin_type_bytes(run->s->type);
    simt_check_read((const char *)data + (size_t)first * size, (size_t)count * size, what);
    for (int64_t i = 0; i < count; i++)
        numbers[(size_t)i] = standin_load(data, run->s->type, first + i);
    return numbers;
}

void write_vector(const struct run *run, void *data, int64_t first, const double *numbers,
                  int64_t count)
{
    if (!data)
        return;
    const size_t size = standin_type_bytes(run->s->type);
    for (int64_t i = 0; i < count; i++)
        standin_store(data, run->s->type, first + i, numbers[i]);
    simt_mark_written((char *)data + (size_t)first * size, (size_t)count * size);
}

double stored(const struct run *run, double value)
{
    return run->s->type == CUDA_R_16BF ? standin_round_bf16(value) : value;
}

double operand(const struct run *run, double value)
{
    return standin_rounded(stored(run, value), run->s->rounding);
}

const struct lstm_weight *matrix(const struct run *run, int64_t p, int id)
{
    return &run->weights[(size_t)(p * (LSTM_MATRICES + LSTM_BIASES) + id)];
}

const struct lstm_weight *bias(const struct run *run, int64_t p, int id)
{
    return matrix(run, p, LSTM_MATRICES + id);
}

static Numbers read_weight(const struct run *run, const struct lstm_weight *weight, bool rounded)
{
    Numbers numbers = read_vector(run, run->call->weights, weight->offset,
                                  weight->rows * weight->cols, "cuDNN: weights");
    if (rounded)
        for (double &value : numbers)
            value = operand(run, value);
    return numbers;
}

struct cell read_cell(const struct run *run, int64_t p)
{
    struct cell cell;
    for (int g = 0; g < 4; g++) {
        cell.w[g] = read_weight(run, matrix(run, p, g), true);
        cell.r[g] = read_weight(run, matrix(run, p, 4 + g), true);
        cell.bias[g].assign((size_t)run->s->hidden, 0);
        for (int id : {g, 4 + g}) {
            const Numbers part = read_weight(run, bias(run, p, id), false);
            for (size_t i = 0; i < part.size(); i++)
                cell.bias[g][i] += part[i];
        }
    }
    cell.projection = read_weight(run, matrix(run, p, 8), true);
    return cell;
}

void add_product(const struct run *run, const Numbers &a, const Numbers &v, double *out,
                 int64_t rows)
{
    Numbers read(v.size());
    for (size_t j = 0; j < v.size(); j++)
        read[j] = operand(run, v[j]);
    for (size_t i = 0; i < (size_t)rows; i++)
        for (size_t j = 0; j < v.size(); j++)
            out[i] += a[i * v.size() + j] * read[j];
}

void add_transposed(const struct run *run, const Numbers &a, const Numbers &v, double *out,
                    int64_t cols)
{
    for (size_t i = 0; i < v.size(); i++) {
        const double value = operand(run, v[i]);
        for (size_t j = 0; j < (size_t)cols; j++)
            out[j] += a[i * (size_t)cols + j] * value;
    }
}

Numbers slice(const double *first, int64_t count)
{
    return Numbers(first, first + count);
}

int64_t input_size(const struct run *run, int64_t p)
{
    return matrix(run, p, 0)->cols;
}

Numbers input_at(struct run *run, int64_t p, int64_t t, int64_t b)
{
    const int64_t D = run->s->directions, layer = p / D;
    if (layer == 0)
        return read_vector(run, run->call->x, vector_at(run, t, b) * run->s->input, run->s->input,
                           "cuDNN: x");
    Numbers input;
    for (int64_t d = 0; d < D; d++) {
        const double *h = run->kept.h((layer - 1) * D + d, t, b);
        input.insert(input.end(), h, h + run->s->proj);
    }
    return input;
}

int64_t time_of(const struct run *run, int64_t p, int64_t k, int64_t b)
{
    return p % run->s->directions ? run->lengths[b] - 1 - k : k;
}

Numbers initial(const struct run *run, const void *data, int64_t p, int64_t b, int64_t size,
                const char *what)
{
    return read_vector(run, data, (p * run->s->B + b) * size, size, what);
}

Numbers h_before(struct run *run, int64_t p, int64_t k, int64_t b)
{
    if (k == 0)
        return initial(run, run->call->hx, p, b, run->s->proj, "cuDNN: hx");
    return slice(run->kept.h(p, time_of(run, p, k - 1, b), b), run->s->proj);
}

Numbers c_before(struct run *run, int64_t p, int64_t k, int64_t b)
{
    if (k == 0)
        return initial(run, run->call->cx, p, b, run->s->hidden, "cuDNN: cx");
    return slice(run->kept.c(p, time_of(run, p, k - 1, b), b), run->s->hidden);
}

void write_padding(struct run *run, void *data, int64_t t, int64_t b, int64_t size, bool has_fill)
{
    if (run->s->layout == LSTM_PACKED)
        return;
    const int64_t first = vector_at(run, t, b) * size;
    const Numbers fill((size_t)size, has_fill ? run->s->fill : (double)NAN);
    write_vector(run, data, first, fill.data(), size);
}

Numbers output_at(struct run *run, int64_t t, int64_t b)
{
    const int64_t D = run->s->directions, P = run->s->proj;
    Numbers y;
    for (int64_t d = 0; d < D; d++) {
        const double *h = run->kept.h((run->s->layers - 1) * D + d, t, b);
        y.insert(y.end(), h, h + P);
    }
    return y;
}

static uint64_t fingerprint(const struct run *run)
{
    const struct lstm_shape *s = run->s;
    uint64_t hash = 0;
    for (int64_t value : {(int64_t)s->type, (int64_t)s->rounding, s->input, s->hidden, s->proj,
                          s->layers, s->directions, (int64_t)s->layout, s->T, s->B})
        hash = standin_hash(hash ^ (uint64_t)value);
    for (int64_t b = 0; b < s->B; b++)
        hash = standin_hash(hash ^ (uint64_t)run->lengths[b]);
    return hash;
}

void write_reserve(struct run *run, uint64_t phase)
{
    const struct reserve_head head = {fingerprint(run), phase};
    char *reserve = static_cast<char *>(run->call->reserve);
    if (!reserve)
        return;
    memcpy(reserve, &head, sizeof head);
    memcpy(reserve + sizeof head, run->kept.numbers.data(),
           run->kept.numbers.size() * sizeof(double));
    simt_mark_written(reserve, lstm_reserve_bytes(run->s));
}

bool read_reserve(struct run *run, uint64_t phase)
{
    static const char *const before[] = {"", "cudnnRNNForward", "cudnnRNNBackwardData_v8"};
    struct reserve_head head = {0, 0};
    const char *reserve = static_cast<const char *>(run->call->reserve);
    simt_check_read(reserve, lstm_reserve_bytes(run->s), "cuDNN: reserve space");
    memcpy(&head, reserve, sizeof head);
    if (head.fingerprint != fingerprint(run) || head.phase != phase) {
        standin_report(run->call->function, "the reserve space is not as %s left it",
                       before[phase]);
        return false;
    }
    memcpy(run->kept.numbers.data(), reserve + sizeof head,
           run->kept.numbers.size() * sizeof(double));
    return true;
}

bool is_output_intact(struct run *run)
{
    const int64_t size = run->s->directions * run->s->proj;
    for (int64_t b = 0; b < run->s->B; b++)
        for (int64_t t = 0; t < run->lengths[b]; t++) {
            const Numbers now =
                read_vector(run, run->call->y, vector_at(run, t, b) * size, size, "cuDNN: y");
            const Numbers then = output_at(run, t, b);
            for (size_t i = 0; i < now.size(); i++)
                if ((float)now[i] != (float)then[i] && !isnan(then[i])) {
                    standin_report(run->call->function, "y has changed since cudnnRNNForward");
                    return false;
                }
        }
    return true;
}

} // namespace lstm
