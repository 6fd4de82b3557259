/* A file in memory for readers that want a path. */
#ifndef MIXT_TESTS_FUZZ_FUZZ_FILE_H
#define MIXT_TESTS_FUZZ_FUZZ_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"

struct fuzz_file {
    int descriptor;
    char path[64];
};

static inline struct fuzz_file fuzz_file_open(const uint8_t *bytes, size_t size)
{
    struct fuzz_file file = {.descriptor = memfd_create("fuzz", MFD_CLOEXEC)};
    CHECK(file.descriptor >= 0, "no file in memory");
    CHECK(write(file.descriptor, bytes, size) == (ssize_t)size, "cannot write %zu bytes", size);
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.descriptor);
    return file;
}

static inline void fuzz_file_close(const struct fuzz_file *file)
{
    close(file->descriptor);
}

#endif
