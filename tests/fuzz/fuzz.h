/* What a fuzz target defines. With clang's libFuzzer (-Dfuzz=true) the library calls it; otherwise
 * tests/fuzz/driver.c does, with a fixed number of mutated seeds, as a test like others. */
#ifndef MIXT_TESTS_FUZZ_FUZZ_H
#define MIXT_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* Reads bytes [size] as a stranger's file would be read; returns 0. Must not keep memory, and must
 * end with a status, whatever the bytes are. */
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* A well-formed input to begin with. */
struct fuzz_seed {
    const char *bytes;
    size_t size;
};

/* The bytes of a string literal, or of an array that ends with a NUL. */
#define FUZZ_SEED(text)                                                                            \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }

extern const struct fuzz_seed fuzz_seeds[];
extern const size_t n_fuzz_seeds;

#endif
