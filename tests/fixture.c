/* Fixture of the numerical tests. */
#include "tests/fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { ARENA_BYTES = 1 << 28 };

void fixture_open(struct fixture *fixture, const char *backend)
{
    *fixture = (struct fixture){0};
    if (backend_open(&fixture->backend, backend, 2) < 0 ||
        backend_arena_init(&fixture->backend, &fixture->param_arena, ARENA_BYTES) < 0 ||
        backend_arena_init(&fixture->backend, &fixture->arena, ARENA_BYTES) < 0 ||
        arena_init(&fixture->param_host, ARENA_BYTES) < 0 ||
        arena_init(&fixture->host, ARENA_BYTES) < 0)
        fail_msg("%s", status_message());
    fixture->params = (struct param_list){.backend = &fixture->backend,
                                          .arena = &fixture->param_arena,
                                          .host = &fixture->param_host,
                                          .is_training = true};
    fixture->pass = (struct pass){.backend = &fixture->backend,
                                  .arena = &fixture->arena,
                                  .host = &fixture->host,
                                  .is_training = true,
                                  .seed = 0x123456789,
                                  .step = 3};
}

void fixture_close(struct fixture *fixture)
{
    if (backend_sync(&fixture->backend) < 0)
        fail_msg("%s", status_message());
    param_list_free(&fixture->params);
    arena_free(&fixture->param_arena);
    arena_free(&fixture->arena);
    arena_free(&fixture->param_host);
    arena_free(&fixture->host);
    backend_close(&fixture->backend);
}

void fixture_start(struct fixture *fixture, double scale)
{
    if (param_list_check(&fixture->params) < 0)
        fail_msg("%s", status_message());
    for (int64_t i = 0; i < fixture->params.count; i++) {
        const struct tensor *value = &fixture->params.items[i]->weight.value;
        for (int64_t j = 0; j < tensor_count(value); j++)
            fixture_set(fixture, value, j, scale * fixture_uniform(fixture));
    }
    param_list_pack(&fixture->params);
    param_list_zero_gradients(&fixture->params);
}

static struct random_words draw(struct fixture *fixture)
{
    return random_philox((struct random_key){.seed = 42}, 0, fixture->n_drawn++);
}

double fixture_uniform(struct fixture *fixture)
{
    return 2 * random_unit(draw(fixture).word[0]) - 1;
}

int32_t fixture_below(struct fixture *fixture, int32_t bound)
{
    const struct random_words words = draw(fixture);
    return (int32_t)random_below(words.word[0], words.word[1], (uint64_t)bound);
}

static struct tensor fill(struct fixture *fixture, struct tensor tensor, double scale)
{
    for (int64_t i = 0; i < tensor_count(&tensor); i++)
        fixture_set(fixture, &tensor, i, scale * fixture_uniform(fixture));
    return tensor;
}

struct tensor fixture_random_2d(struct fixture *fixture, int64_t d0, int64_t d1, double scale)
{
    return fill(fixture, pass_2d(&fixture->pass, d0, d1), scale);
}

struct tensor fixture_random_3d(struct fixture *fixture, int64_t d0, int64_t d1, int64_t d2,
                                double scale)
{
    return fill(fixture, pass_3d(&fixture->pass, d0, d1, d2), scale);
}

struct tensor fixture_ints(struct fixture *fixture, const int32_t *values, int64_t count)
{
    const struct tensor tensor = tensor_1d(&fixture->arena, DTYPE_I32, count);
    fixture->backend.ops->upload(&fixture->backend, &tensor, values,
                                 (size_t)count * sizeof *values);
    return tensor;
}

struct tensor fixture_ids(struct fixture *fixture, int64_t d0, int64_t d1, int32_t bound)
{
    int32_t *ids = arena_take(&fixture->host, (size_t)(d0 * d1) * sizeof *ids);
    for (int64_t i = 0; i < d0 * d1; i++)
        ids[i] = fixture_below(fixture, bound);
    const struct tensor flat = fixture_ints(fixture, ids, d0 * d1);
    return tensor_as_2d(&flat, d0, d1);
}

struct sequence fixture_sequence(struct fixture *fixture, int64_t n_t, int64_t n_b,
                                 const int32_t *lengths, int32_t n_words)
{
    const size_t bytes = (size_t)(n_t * n_b) * sizeof(int32_t);
    int32_t *all = arena_take(&fixture->host, bytes), *names = arena_take(&fixture->host, bytes);
    int32_t *rows = arena_take(&fixture->host, bytes);
    int32_t *row_names = arena_take(&fixture->host, bytes);
    int64_t n_rows = 0;
    struct sequence sequence = {.ids = fixture_ids(fixture, n_t, n_b, n_words)};
    for (int64_t i = 0; i < n_t * n_b; i++) {
        all[i] = (int32_t)n_t;
        names[i] = (int32_t)(1000 + 7 * i);
        if (!lengths || i / n_b >= lengths[i % n_b])
            continue;
        rows[n_rows] = (int32_t)i;
        row_names[n_rows++] = names[i];
    }
    sequence.lengths = fixture_ints(fixture, lengths ? lengths : all, n_b);
    if (!lengths)
        return sequence;
    sequence.names = fixture_ints(fixture, names, n_t * n_b);
    sequence.rows = fixture_ints(fixture, rows, n_rows);
    sequence.row_names = fixture_ints(fixture, row_names, n_rows);
    return sequence;
}

void fixture_write(struct fixture *fixture, const struct tensor *tensor, const double *values)
{
    const int64_t count = tensor_count(tensor);
    const size_t mark = arena_mark(&fixture->host);
    float *narrow = arena_take(&fixture->host, (size_t)count * sizeof *narrow);
    for (int64_t i = 0; i < count; i++)
        narrow[i] = (float)values[i];
    const void *host = tensor->dtype == DTYPE_F64 ? (const void *)values : (const void *)narrow;
    fixture->backend.ops->upload(&fixture->backend, tensor, host,
                                 (size_t)count * dtype_size(tensor->dtype));
    arena_release(&fixture->host, mark);
}

void fixture_read(struct fixture *fixture, const struct tensor *tensor, double *values)
{
    const int64_t count = tensor_count(tensor);
    const size_t mark = arena_mark(&fixture->host);
    float *narrow = arena_take(&fixture->host, (size_t)count * sizeof *narrow);
    void *host = tensor->dtype == DTYPE_F64 ? (void *)values : (void *)narrow;
    fixture->backend.ops->download(&fixture->backend, host, tensor,
                                   (size_t)count * dtype_size(tensor->dtype));
    for (int64_t i = 0; i < count && tensor->dtype == DTYPE_F32; i++)
        values[i] = (double)narrow[i];
    arena_release(&fixture->host, mark);
}

double *fixture_values(struct fixture *fixture, const struct tensor *tensor)
{
    double *values = arena_take(&fixture->host, (size_t)tensor_count(tensor) * sizeof *values);
    fixture_read(fixture, tensor, values);
    return values;
}

int32_t *fixture_read_ints(struct fixture *fixture, const struct tensor *tensor)
{
    const size_t bytes = (size_t)tensor_count(tensor) * sizeof(int32_t);
    int32_t *values = arena_take(&fixture->host, bytes);
    fixture->backend.ops->download(&fixture->backend, values, tensor, bytes);
    return values;
}

static struct tensor one_number(const struct tensor *tensor, int64_t index)
{
    const struct tensor flat = tensor_as_2d(tensor, tensor_count(tensor), 1);
    return tensor_slice(&flat, index, 1);
}

double fixture_get(struct fixture *fixture, const struct tensor *tensor, int64_t index)
{
    const struct tensor one = one_number(tensor, index);
    double value = 0;
    fixture_read(fixture, &one, &value);
    return value;
}

void fixture_set(struct fixture *fixture, const struct tensor *tensor, int64_t index, double value)
{
    const struct tensor one = one_number(tensor, index);
    fixture_write(fixture, &one, &value);
}

void expect_close(const char *name, const double *got, const double *want, int64_t count,
                  double relative)
{
    double squares = 0;
    for (int64_t i = 0; i < count; i++)
        squares += want[i] * want[i] / (double)count;
    for (int64_t i = 0; i < count; i++)
        if (!(fabs(got[i] - want[i]) <= relative * (fabs(want[i]) + sqrt(squares))))
            fail_msg("%s[%lld of %lld]: got %.17g, want %.17g, rms %g", name, (long long)i,
                     (long long)count, got[i], want[i], sqrt(squares));
}

double normalized_error(const double *got, const double *want, int64_t count)
{
    double error = 0, size = 0;
    for (int64_t i = 0; i < count; i++) {
        error += (got[i] - want[i]) * (got[i] - want[i]);
        size += want[i] * want[i];
    }
    return size > 0 ? error / size : error;
}
