/* Choosing a backend by name, and the sticky error. The only place that knows which ones exist. */
#include "backend/backend.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/ref/ref.h"
#include "base/parallel.h"

static enum status open_named(struct backend *backend, const char *name, int n_threads)
{
    if (strcmp(name, "ref") == 0)
        return ref_float_open(backend);
    if (strcmp(name, "ref64") == 0)
        return ref_double_open(backend);
    if (strcmp(name, "cpu") == 0 || strcmp(name, "auto") == 0)
        return cpu_open(backend, n_threads, false);
    if (strcmp(name, "cpu_bf16") == 0)
        return cpu_open(backend, n_threads, true);
    return status_set(STATUS_CONFIG, "no device '%s'; there are auto, cpu and ref", name);
}

enum status backend_open(struct backend *backend, const char *name, int n_threads)
{
    *backend = (struct backend){0};
    const enum status status =
        open_named(backend, name, n_threads ? n_threads : parallel_usable_cores());
    if (status >= 0)
        snprintf(backend->name, sizeof backend->name, "%s", backend->ops->name);
    return status;
}

void backend_close(struct backend *backend)
{
    if (backend->ops)
        backend->ops->close(backend);
    *backend = (struct backend){0};
}

enum status backend_arena_init(struct backend *backend, struct arena *arena, size_t capacity)
{
    return backend->ops->arena_init(backend, arena, capacity);
}

bool backend_has_fast_bf16(void)
{
    return cpu_has_fast_bf16();
}

enum status backend_sync(struct backend *backend)
{
    backend->ops->sync(backend);
    if (backend->error == STATUS_OK)
        return STATUS_OK;
    const enum status status = status_set(backend->error, "%s", backend->message);
    backend->error = STATUS_OK;
    return status;
}

void backend_linear_top_k(struct backend *backend, const struct tensor *values,
                          const struct tensor *indices, const struct tensor *log_sums,
                          const struct tensor *room, const struct tensor *x,
                          const struct weight *weight, const struct tensor *bias)
{
    const int64_t n_rows = tensor_rows(x), n_block = tensor_rows(room);
    CHECK(n_block >= 1 || n_rows == 0, "room for no row");
    for (int64_t first = 0; first < n_rows; first += n_block) {
        const int64_t count = n_rows - first < n_block ? n_rows - first : n_block;
        const struct tensor logits = tensor_slice(room, 0, count);
        const struct tensor x_part = tensor_slice(x, first, count);
        const struct tensor values_part = tensor_slice(values, first, count);
        const struct tensor indices_part = tensor_slice(indices, first, count);
        const struct tensor sums_part = tensor_slice(log_sums, first, count);
        backend->ops->linear(backend, &logits, &x_part, weight, true, bias, ACTIVATION_NONE, false);
        backend->ops->top_k_log_sum(backend, &values_part, &indices_part, &sums_part, &logits);
    }
}

void backend_fail(struct backend *backend, const char *format, ...)
{
    if (backend->error != STATUS_OK)
        return;
    backend->error = STATUS_DEVICE;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(backend->message, sizeof backend->message, format, arguments);
    va_end(arguments);
}
