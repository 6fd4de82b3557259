/* Choosing a backend by name, and the sticky error. The only place that knows which ones exist. */
#include "backend/backend.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/ref/ref.h"
#include "base/parallel.h"

enum status backend_open(struct backend *backend, const char *name, int n_threads)
{
    *backend = (struct backend){0};
    if (n_threads == 0)
        n_threads = parallel_usable_cores();
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

void backend_close(struct backend *backend)
{
    if (backend->ops)
        backend->ops->close(backend);
    *backend = (struct backend){0};
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
