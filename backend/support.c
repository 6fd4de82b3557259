/* What implementations share; a module has its own copy. */
#include <stdarg.h>
#include <stdio.h>

#include "backend/backend.h"

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
