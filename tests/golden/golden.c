/* Reader of golden files. */
#include "tests/golden/golden.h"

#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ARENA_BYTES = 1 << 24, MAX_TENSORS = 1024 };

static bool read_tensor(struct golden *golden, FILE *stream)
{
    CHECK(golden->count < MAX_TENSORS, "more than %d tensors", (int)MAX_TENSORS);
    struct golden_tensor *tensor = &golden->tensors[golden->count];
    *tensor = (struct golden_tensor){.count = 1};
    if (fscanf(stream, "%63s %d", tensor->name, &tensor->rank) != 2)
        return false;
    CHECK(tensor->rank >= 1 && tensor->rank <= TENSOR_MAX_RANK, "%s", tensor->name);
    for (int i = 0; i < tensor->rank; i++) {
        CHECK(fscanf(stream, "%" SCNd64, &tensor->dim[i]) == 1, "%s", tensor->name);
        tensor->count *= tensor->dim[i];
    }
    tensor->values = arena_take(&golden->arena, (size_t)tensor->count * sizeof(double));
    for (int64_t i = 0; i < tensor->count; i++)
        CHECK(fscanf(stream, "%lf", &tensor->values[i]) == 1, "%s ends early", tensor->name);
    golden->count++;
    return true;
}

void golden_open(struct golden *golden, const char *path)
{
    *golden = (struct golden){0};
    if (arena_init(&golden->arena, ARENA_BYTES) < 0)
        fail_msg("%s", status_message());
    golden->tensors = arena_take(&golden->arena, MAX_TENSORS * sizeof *golden->tensors);
    FILE *stream = fopen(path, "r");
    if (!stream) {
        fail_msg("cannot open %s", path);
        return;
    }
    while (read_tensor(golden, stream))
        continue;
    fclose(stream);
}

void golden_close(struct golden *golden)
{
    arena_free(&golden->arena);
    *golden = (struct golden){0};
}

const struct golden_tensor *golden_find(const struct golden *golden, const char *prefix,
                                        const char *name)
{
    const size_t length = strlen(prefix);
    for (int64_t i = 0; i < golden->count; i++)
        if (strncmp(golden->tensors[i].name, prefix, length) == 0 &&
            strcmp(golden->tensors[i].name + length, name) == 0)
            return &golden->tensors[i];
    fail_msg("no %s%s", prefix, name);
    return NULL;
}

static struct tensor reshape(const struct golden_tensor *from, struct tensor flat)
{
    struct tensor tensor = {.data = flat.data, .rank = from->rank, .dtype = flat.dtype};
    memcpy(tensor.dim, from->dim, sizeof tensor.dim);
    return tensor;
}

struct tensor golden_real(const struct golden *golden, struct fixture *fixture, const char *prefix,
                          const char *name)
{
    const struct golden_tensor *from = golden_find(golden, prefix, name);
    const struct tensor flat = tensor_1d(&fixture->arena, fixture->backend.real, from->count);
    fixture_write(fixture, &flat, from->values);
    return reshape(from, flat);
}

struct tensor golden_ints(const struct golden *golden, struct fixture *fixture, const char *prefix,
                          const char *name)
{
    const struct golden_tensor *from = golden_find(golden, prefix, name);
    int32_t *values = arena_take(&fixture->host, (size_t)from->count * sizeof *values);
    for (int64_t i = 0; i < from->count; i++)
        values[i] = (int32_t)from->values[i];
    return reshape(from, fixture_ints(fixture, values, from->count));
}

static void expect_count(const struct golden_tensor *want, const struct tensor *got)
{
    if (tensor_count(got) != want->count)
        fail_msg("%s: %lld numbers, want %lld", want->name, (long long)tensor_count(got),
                 (long long)want->count);
}

void golden_set(const struct golden *golden, struct fixture *fixture, const char *prefix,
                const char *name, const struct param *param)
{
    const struct golden_tensor *from = golden_find(golden, prefix, name);
    expect_count(from, &param->weight.value);
    fixture_write(fixture, &param->weight.value, from->values);
}

void golden_expect(const struct golden *golden, struct fixture *fixture, const char *prefix,
                   const char *name, const struct tensor *got, double relative)
{
    const struct golden_tensor *want = golden_find(golden, prefix, name);
    expect_count(want, got);
    expect_close(want->name, fixture_values(fixture, got), want->values, want->count, relative);
}

void golden_expect_ints(const struct golden *golden, struct fixture *fixture, const char *prefix,
                        const char *name, const struct tensor *got)
{
    const struct golden_tensor *want = golden_find(golden, prefix, name);
    expect_count(want, got);
    const int32_t *values = fixture_read_ints(fixture, got);
    for (int64_t i = 0; i < want->count; i++)
        if (values[i] != (int32_t)want->values[i])
            fail_msg("%s[%lld]: got %d, want %g", want->name, (long long)i, values[i],
                     want->values[i]);
}
