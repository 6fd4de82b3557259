/* What the stand-ins share; see standin.hh. */
#include "tests/simt/standin/standin.hh"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <map>
#include <string>

#include "tests/simt/device.h"

void standin_complain(const char *function, const char *format, ...)
{
    char message[512] = "";
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    fprintf(stderr, "standin: %s: %s\n", function, message);
}

void standin_report(const char *function, const char *format, ...)
{
    char message[512] = "";
    va_list arguments;
    va_start(arguments, format);
    const int n = snprintf(message, sizeof message, "%s: ", function);
    vsnprintf(message + n, sizeof message - (size_t)n, format, arguments);
    va_end(arguments);
    simt_report(message);
}

bool standin_in_device(const char *function, const char *what, const void *p, size_t bytes,
                       size_t alignment)
{
    if (bytes == 0)
        return true;
    if (!simt_is_device(p, bytes)) {
        standin_report(function, "%s: %zu bytes at %p are not in one device allocation", what,
                       bytes, p);
        return false;
    }
    if ((uintptr_t)p % alignment) {
        standin_report(function, "%s: %p is not aligned to %zu bytes", what, p, alignment);
        return false;
    }
    return true;
}

void standin_scribble(void *buffer, size_t bytes)
{
    const size_t most = 4096;
    if (!buffer || bytes == 0)
        return;
    const size_t n = bytes < most ? bytes : most;
    memset(buffer, 0xff, n); /* NaN in every floating type */
    memset((char *)buffer + bytes - n, 0xff, n);
    simt_mark_written(buffer, n);
    simt_mark_written((char *)buffer + bytes - n, n);
}

uint64_t standin_hash(uint64_t value)
{
    const char *seed = getenv("STANDIN_SEED");
    uint64_t x = value + 0x9e3779b97f4a7c15u * (1 + (seed ? strtoull(seed, NULL, 10) : 0));
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u; /* the finaliser of splitmix64 */
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

/* Where the linker looks, then where the toolkit puts itself. */
static void *open_library(const char *name)
{
    void *library = dlopen(name, RTLD_LAZY | RTLD_LOCAL);
    if (!library) {
        const char *home = getenv("CUDA_HOME");
        const std::string folder = home ? home : "/usr/local/cuda";
        library = dlopen((folder + "/lib64/" + name).c_str(), RTLD_LAZY | RTLD_LOCAL);
    }
    if (!library)
        fprintf(stderr, "standin: no %s here: its descriptors are only checked by the stand-in\n",
                name);
    return library;
}

void *standin_real(const char *library, const char *function)
{
    static std::mutex mutex;
    static std::map<std::string, void *> opened;
    const char *wanted = getenv("STANDIN_REAL");
    if (wanted && strcmp(wanted, "0") == 0)
        return NULL;
    std::lock_guard<std::mutex> guard(mutex);
    if (!opened.count(library))
        opened[library] = open_library(library);
    return opened[library] ? dlsym(opened[library], function) : NULL;
}
