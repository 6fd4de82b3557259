/* Small steps of a mixture's inputs. */
#include "tools/lab/jump.h"

#include <math.h>

void jump_step(float *x, int64_t n_rows, int64_t dim, double size, struct random_key key,
               uint32_t first_row)
{
    for (int64_t n = 0; n < n_rows; n++) {
        float *row = x + n * dim;
        double direction = 0, length = 0, normal[2];
        /* Twice the same numbers: first for the norms. */
        for (int pass = 0; pass < 2; pass++)
            for (int64_t d = 0; d < dim; d++) {
                const struct random_words words =
                    random_philox(key, first_row + (uint32_t)n, (uint32_t)(d / 2));
                random_normal_pair(words.word[0], words.word[1], normal);
                if (pass == 0) {
                    direction += normal[d % 2] * normal[d % 2];
                    length += (double)row[d] * row[d];
                } else {
                    row[d] += (float)(size * sqrt(length / direction) * normal[d % 2]);
                }
            }
    }
}

/* A tensor's bytes in the pass's arena on the host. */
static void *to_host(const struct pass *pass, const struct tensor *tensor)
{
    const size_t size = (size_t)tensor_count(tensor) * dtype_size(tensor->dtype);
    void *bytes = arena_take(pass->host, size);
    pass->backend->ops->download(pass->backend, bytes, tensor, size);
    return bytes;
}

/* A number for each token's set of experts: the sum of a random one for each expert. Two sets have
 * the same number with a chance of 2^-64. */
static uint64_t *name_sets(const struct moe *moe, const struct pass *pass,
                           const struct moe_record *record)
{
    struct tensor tokens, weights;
    moe_choices(moe, pass, record, &tokens, &weights);
    const int32_t *token = to_host(pass, &tokens);
    const int32_t *offsets = to_host(pass, moe_offsets(moe, record));
    uint64_t *names = arena_take_zeroed(pass->host, (size_t)record->x.dim[0] * sizeof(uint64_t));
    for (int64_t e = 0; e < moe->n_experts; e++) {
        const struct random_words words = random_philox((struct random_key){0}, (uint32_t)e, 0);
        for (int32_t c = offsets[e]; c < offsets[e + 1]; c++)
            names[token[c]] += (uint64_t)words.word[0] << 32 | words.word[1];
    }
    return names;
}

/* The layer again at x [N, D], in the places of the sequence. */
static void run_again(const struct moe *moe, const struct pass *pass, struct moe_record *record,
                      const struct tensor *x, const struct sequence *sequence)
{
    struct tensor input = *x;
    if (sequence->rows.rank > 0) {
        input = pass_3d(pass, sequence->ids.dim[0], sequence->ids.dim[1], x->dim[1]);
        pass->backend->ops->scatter_rows(pass->backend, &input, x, &sequence->rows);
    } else if (sequence->ids.rank > 0) {
        input = tensor_as_3d(x, sequence->ids.dim[0], sequence->ids.dim[1], x->dim[1]);
    }
    const struct tensor y = tensor_like(pass->arena, &input);
    moe_forward(moe, pass, record, &y, &input, sequence, 0);
}

static void add_jump(struct jumps *jumps, const float *before, const float *after, int64_t dim)
{
    double squares = 0, difference = 0;
    for (int64_t d = 0; d < dim; d++) {
        squares += (double)before[d] * before[d];
        difference += ((double)after[d] - before[d]) * ((double)after[d] - before[d]);
    }
    if (squares == 0)
        return;
    jumps->count++;
    jumps->sum += sqrt(difference / squares);
}

enum status jump_measure(const struct moe *moe, const struct pass *pass,
                         const struct moe_record *record, const struct sequence *sequence,
                         double size, struct random_key key, struct jump_tally *tally)
{
    const struct backend_ops *ops = pass->backend->ops;
    const int64_t n_rows = record->x.dim[0], dim = record->x.dim[1];
    const struct pass_mark mark = pass_mark(pass);
    CHECK(pass->backend->real == DTYPE_F32 && !pass->is_training, "not an inference in f32");
    float *moved = to_host(pass, &record->x);
    jump_step(moved, n_rows, dim, size, key, (uint32_t)tally->tokens);
    const struct tensor x = tensor_like(pass->arena, &record->x);
    ops->upload(pass->backend, &x, moved, (size_t)(n_rows * dim) * sizeof *moved);
    struct moe_record record_after;
    run_again(moe, pass, &record_after, &x, sequence);
    const uint64_t *sets = name_sets(moe, pass, record);
    const uint64_t *sets_after = name_sets(moe, pass, &record_after);
    const float *y = to_host(pass, &record->mixture);
    const float *y_after = to_host(pass, &record_after.mixture);
    const enum status status = backend_sync(pass->backend);
    for (int64_t n = 0; n < n_rows && status >= 0; n++) {
        const bool is_changed = sets[n] != sets_after[n];
        tally->tokens++;
        tally->changed += is_changed;
        add_jump(is_changed ? &tally->other : &tally->the_same, y + n * dim, y_after + n * dim,
                 dim);
    }
    pass_release(pass, mark);
    return status;
}
