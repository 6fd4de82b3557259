/* Choosing a backend by name, and the sticky error. The only place that knows which ones exist. */
#include "backend/backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend/cpu/cpu.h"
#include "backend/module.h"
#include "backend/ref/ref.h"
#include "base/parallel.h"

/* -- names -- */

/* A backend's name taken apart: STEM[:INDEX][_TYPE]. */
struct parts {
    char stem[16];
    int index; /* of the device; -1: none was given */
    enum compute compute;
};

static bool read_index(const char *text, int *index)
{
    char *end;
    const long number = strtol(text, &end, 10);
    *index = (int)number;
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && number < 1000;
}

/* False where the name is none. */
static bool take_apart(const char *name, struct parts *parts)
{
    static const char *const types[] = {
        [COMPUTE_TF32] = "_tf32", [COMPUTE_BF16] = "_bf16", [COMPUTE_FP16] = "_fp16"};
    char text[sizeof((struct backend *)0)->name];
    *parts = (struct parts){.index = -1};
    if (snprintf(text, sizeof text, "%s", name) >= (int)sizeof text)
        return false;
    for (int type = COMPUTE_TF32; type <= COMPUTE_FP16; type++) {
        const size_t length = strlen(text), ending = strlen(types[type]);
        if (length > ending && strcmp(text + length - ending, types[type]) == 0) {
            text[length - ending] = '\0';
            parts->compute = (enum compute)type;
        }
    }
    char *colon = strchr(text, ':');
    if (colon)
        *colon = '\0';
    if (colon && !read_index(colon + 1, &parts->index))
        return false;
    return snprintf(parts->stem, sizeof parts->stem, "%s", text) < (int)sizeof parts->stem;
}

static bool is_module(const char *stem)
{
    return strcmp(stem, "cuda") == 0 || strcmp(stem, "cuda-emu") == 0;
}

static bool is_auto(const char *stem)
{
    return strcmp(stem, "auto") == 0;
}

bool backend_is_device(const char *name)
{
    static const char *const processors[] = {"auto", "cpu", "ref"};
    struct parts parts;
    for (int i = 0; i < 3; i++)
        if (strcmp(name, processors[i]) == 0)
            return true;
    return take_apart(name, &parts) && is_module(parts.stem) && parts.compute == COMPUTE_F32;
}

void backend_device_of(const char *device, int index, char *name, size_t bytes)
{
    struct parts parts;
    const bool is_any = take_apart(device, &parts) && parts.compute == COMPUTE_F32 &&
                        parts.index < 0 && (is_module(parts.stem) || is_auto(parts.stem));
    if (is_any)
        snprintf(name, bytes, "%s:%d", device, index);
    else
        snprintf(name, bytes, "%s", device);
}

/* -- opening -- */

static enum status no_device(const char *name)
{
    return status_set(STATUS_CONFIG,
                      "no device '%s'; there are auto, cpu, ref, and with a GPU cuda or cuda:N",
                      name);
}

static enum status open_cpu(struct backend *backend, enum compute compute, int n_threads)
{
    if (compute == COMPUTE_TF32)
        return status_set(STATUS_CONFIG, "the cpu computes in f32, bf16 or fp16, not in tf32");
    if (compute == COMPUTE_AUTO)
        compute = cpu_fastest_compute();
    return cpu_open(backend, n_threads, compute);
}

/* A GPU, or where there is none, or none that can be used, the processor. */
static enum status open_best(struct backend *backend, int index, enum compute compute,
                             int n_threads)
{
    if (module_has_driver() && module_open(backend, "cuda", index, compute, n_threads) >= 0)
        return STATUS_OK;
    return open_cpu(backend, compute, n_threads);
}

static enum status open_parts(struct backend *backend, const struct parts *parts, int n_threads)
{
    const char *stem = parts->stem;
    const enum compute compute = parts->compute;
    const int index = parts->index < 0 ? 0 : parts->index;
    if (is_module(stem))
        return module_open(backend, stem, index, compute, n_threads);
    if (is_auto(stem))
        return open_best(backend, index, compute, n_threads);
    const bool is_processor = parts->index < 0;
    if (is_processor && strcmp(stem, "cpu") == 0)
        return open_cpu(backend, compute, n_threads);
    if (is_processor && strcmp(stem, "ref") == 0)
        return ref_float_open(backend);
    if (is_processor && strcmp(stem, "ref64") == 0)
        return ref_double_open(backend);
    return no_device(stem);
}

enum status backend_open_for(struct backend *backend, const char *device, enum compute compute,
                             int n_threads)
{
    struct parts parts;
    *backend = (struct backend){0};
    if (!take_apart(device, &parts))
        return no_device(device);
    if (parts.compute == COMPUTE_F32)
        parts.compute = compute;
    const enum status status =
        open_parts(backend, &parts, n_threads ? n_threads : parallel_usable_cores());
    if (status >= 0 && !backend->name[0])
        snprintf(backend->name, sizeof backend->name, "%s", backend->ops->name);
    return status;
}

enum status backend_open(struct backend *backend, const char *name, int n_threads)
{
    return backend_open_for(backend, name, COMPUTE_F32, n_threads);
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

enum compute backend_cpu_compute(void)
{
    return cpu_fastest_compute();
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
