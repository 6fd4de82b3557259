/* What the tests of the stand-ins share. */
#include "tests/simt/standin/cases.h"

#include <cuda_runtime_api.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/simt/device.h"

static void *host(size_t size_bytes)
{
    void *memory = malloc(size_bytes ? size_bytes : 1);
    assert_non_null(memory);
    return memory;
}

float *cases_numbers(int64_t count, uint64_t seed)
{
    float *numbers = host((size_t)count * sizeof *numbers);
    uint64_t state = seed * 2 + 1;
    for (int64_t i = 0; i < count; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        numbers[i] = (float)((double)(state >> 33) / 1073741824.0 - 1.0);
    }
    return numbers;
}

void *cases_device(size_t size_bytes)
{
    void *memory = NULL;
    assert_int_equal(cudaMalloc(&memory, size_bytes), cudaSuccess);
    return memory;
}

void *cases_upload(const void *data, size_t size_bytes)
{
    void *memory = cases_device(size_bytes);
    assert_int_equal(cudaMemcpy(memory, data, size_bytes, cudaMemcpyHostToDevice), cudaSuccess);
    return memory;
}

void *cases_download(const void *data, size_t size_bytes)
{
    void *memory = host(size_bytes);
    assert_int_equal(cudaDeviceSynchronize(), cudaSuccess);
    assert_int_equal(cudaMemcpy(memory, data, size_bytes, cudaMemcpyDeviceToHost), cudaSuccess);
    return memory;
}

uint16_t cases_bf16(float value)
{
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

float cases_float(uint16_t bf16)
{
    const uint32_t bits = (uint32_t)bf16 << 16;
    float value = 0;
    memcpy(&value, &bits, sizeof value);
    return value;
}

uint16_t *cases_to_bf16(const float *values, int64_t count)
{
    uint16_t *copy = host((size_t)count * sizeof *copy);
    for (int64_t i = 0; i < count; i++)
        copy[i] = cases_bf16(values[i]);
    return copy;
}

void cases_multiply(const struct cases_product *product)
{
    const struct cases_product *p = product;
    for (int j = 0; j < p->n; j++)
        for (int i = 0; i < p->m; i++) {
            double sum = 0;
            for (int l = 0; l < p->k; l++) {
                const float a = p->transa ? p->a[l + i * p->lda] : p->a[i + l * p->lda];
                const float b = p->transb ? p->b[j + l * p->ldb] : p->b[l + j * p->ldb];
                sum += (double)a * (double)b;
            }
            float *c = &p->c[i + j * p->ldc];
            const double before = p->beta == 0 ? 0 : p->beta * (double)*c;
            *c = (float)(p->alpha * sum + before);
        }
}

void cases_expect(const char *what, const float *got, const float *want, int64_t count,
                  double tolerance)
{
    for (int64_t i = 0; i < count; i++) {
        const double difference = fabs((double)got[i] - (double)want[i]);
        if (!(difference <= tolerance * (1 + fabs((double)want[i]))))
            fail_msg("%s[%lld]: got %.9g, want %.9g", what, (long long)i, (double)got[i],
                     (double)want[i]);
    }
}

void cases_expect_misuse(const char *word)
{
    if (simt_error_count() == 0)
        fail_msg("no misuse reported, \"%s\" expected", word);
    if (!strstr(simt_last_error(), word))
        fail_msg("\"%s\" reported, \"%s\" expected", simt_last_error(), word);
    simt_clear_errors();
}
