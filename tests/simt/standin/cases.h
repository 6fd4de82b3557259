/* What the tests of the stand-ins share: numbers, device memory, and products in plain C. */
#ifndef MIXT_TESTS_SIMT_STANDIN_CASES_H
#define MIXT_TESTS_SIMT_STANDIN_CASES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `count` numbers in -1 .. 1, the same ones for a seed; freed by the caller. */
float *cases_numbers(int64_t count, uint64_t seed);

/* A device's copy of host memory; the test fails where there is none. */
void *cases_upload(const void *data, size_t size_bytes);

/* Device memory that has not been written. */
void *cases_device(size_t size_bytes);

/* Waits for everything, then copies; freed by the caller. */
void *cases_download(const void *data, size_t size_bytes);

/* To nearest with ties to even, as bits and as a number. */
uint16_t cases_bf16(float value);
float cases_float(uint16_t bf16);

/* A copy as bf16, freed by the caller. */
uint16_t *cases_to_bf16(const float *values, int64_t count);

/* A column-major product, in double: c = alpha op(a) op(b) + beta c. */
struct cases_product {
    bool transa, transb;
    int m, n, k;
    const float *a, *b;
    float *c; /* inout */
    int lda, ldb, ldc;
    double alpha, beta;
};
void cases_multiply(const struct cases_product *product);

/* Compares; fails the test at the first number that is further off than
 * tolerance * (1 + |want|). */
void cases_expect(const char *what, const float *got, const float *want, int64_t count,
                  double tolerance);

/* That the emulator has reported misuse, and a word of it; forgets it. */
void cases_expect_misuse(const char *word);

#endif
