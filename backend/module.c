/* Finding and opening modules. */
#include "backend/module.h"

#include <dlfcn.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { MAX_MODULES = 4, STEM_BYTES = 16 };

/* What has been loaded, by stem. */
static struct {
    char stem[STEM_BYTES];
    const struct backend_module *module;
} loaded[MAX_MODULES];
static pthread_mutex_t loading = PTHREAD_MUTEX_INITIALIZER;

/* The program's folder with a '/' at its end; "" where it is not known. */
static void find_program_folder(char folder[PATH_MAX])
{
    const ssize_t size = readlink("/proc/self/exe", folder, PATH_MAX - 1);
    folder[size > 0 ? size : 0] = '\0';
    char *slash = strrchr(folder, '/');
    *(slash ? slash + 1 : folder) = '\0';
}

/* Why the loader gave up, for a user: nothing is there, or something that it needs is not. */
static enum status say_missing(const char *stem, const char *file, const char *why,
                               const char *hint)
{
    if (strncmp(why, file, strlen(file)) == 0 && strstr(why, "No such file")) {
        (void)status_set(STATUS_DEVICE, "%s: there is no %s beside mixt or where libraries are",
                         stem, file);
        status_hint("%s", hint);
        return STATUS_DEVICE;
    }
    return status_set(STATUS_DEVICE, "%s: %s cannot be loaded: %s", stem, file, why);
}

static enum status load(const char *stem, const char *hint, void **library)
{
    static const char *const folders[] = {"", "../lib/"};
    char folder[PATH_MAX], path[2 * PATH_MAX], file[64];
    snprintf(file, sizeof file, "libmixt-%s.so", stem);
    find_program_folder(folder);
    for (int i = 0; i < 2 && folder[0]; i++) {
        snprintf(path, sizeof path, "%s%s%s", folder, folders[i], file);
        if (access(path, F_OK) != 0)
            continue;
        *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        return *library ? STATUS_OK : say_missing(stem, file, dlerror(), hint);
    }
    *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    return *library ? STATUS_OK : say_missing(stem, file, dlerror(), hint);
}

enum status module_refuse(const char *stem)
{
    return status_set(STATUS_DEVICE, "%s: libmixt-%s.so is of another version of mixt", stem, stem);
}

enum status module_find_symbol(const char *stem, const char *name, const char *hint, void **symbol)
{
    void *library = NULL;
    const enum status status = load(stem, hint, &library);
    if (status < 0)
        return status;
    *symbol = dlsym(library, name);
    return *symbol ? STATUS_OK : module_refuse(stem);
}

static enum status load_module(const char *stem, const struct backend_module **module)
{
    static const char hint[] =
        "build mixt where CUDA, cuDNN and NCCL are installed (-Dcuda=enabled)";
    void *symbol = NULL;
    backend_module_function *function = NULL;
    const enum status status = module_find_symbol(stem, BACKEND_MODULE_SYMBOL, hint, &symbol);
    if (status < 0)
        return status;
    memcpy(&function, &symbol, sizeof function);
    *module = function(BACKEND_MODULE_VERSION);
    return *module ? STATUS_OK : module_refuse(stem);
}

static enum status find_module(const char *stem, const struct backend_module **module)
{
    int i = 0;
    CHECK(strlen(stem) < STEM_BYTES, "the module %s", stem);
    while (i < MAX_MODULES && loaded[i].module && strcmp(loaded[i].stem, stem) != 0)
        i++;
    CHECK(i < MAX_MODULES, "more than %d modules", i);
    if (!loaded[i].module) {
        const enum status status = load_module(stem, &loaded[i].module);
        if (status < 0)
            return status;
        strcpy(loaded[i].stem, stem);
    }
    *module = loaded[i].module;
    return STATUS_OK;
}

enum status module_open(struct backend *backend, const char *stem, int index, enum compute compute,
                        int n_threads)
{
    const struct backend_module *module = NULL;
    if (compute == COMPUTE_FP16)
        return status_set(STATUS_CONFIG, "GPUs compute in f32, tf32 or bf16, not in fp16");
    pthread_mutex_lock(&loading);
    enum status status = find_module(stem, &module);
    pthread_mutex_unlock(&loading);
    if (status < 0)
        return status;
    status = module->open(backend, stem, index, compute, n_threads);
    if (status < 0) {
        (void)status_set(status, "%s", backend->message);
        *backend = (struct backend){0};
    }
    return status;
}

/* A handle's name is its module's stem, a colon, and more. */
const struct comm_device_ops *module_comm(const struct backend *backend)
{
    const char *colon = strchr(backend->name, ':');
    const size_t length = colon ? (size_t)(colon - backend->name) : 0;
    const struct comm_device_ops *found = NULL;
    pthread_mutex_lock(&loading);
    for (int i = 0; i < MAX_MODULES && loaded[i].module && length > 0; i++)
        if (strlen(loaded[i].stem) == length && strncmp(loaded[i].stem, backend->name, length) == 0)
            found = loaded[i].module->comm;
    pthread_mutex_unlock(&loading);
    return found;
}

bool module_has_driver(void)
{
    void *const driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
    if (driver)
        dlclose(driver);
    return driver != NULL;
}
