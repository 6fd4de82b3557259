/* The normal distribution, and random numbers by whole vectors. Accuracy as in vector.h. */
#ifndef MIXT_BACKEND_CPU_NORMAL_H
#define MIXT_BACKEND_CPU_NORMAL_H

#include "backend/cpu/vector.h"
#include "base/random.h"

/* The words of philox(key, row, first_block + j) for all lanes j. */
VECTOR_INLINE void vector_philox(uint32_t words[LANES][4], struct random_key key, uint32_t row,
                                 uint32_t first_block)
{
    uint32_t c0[LANES], c1[LANES], c2[LANES], c3[LANES];
    uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
    for (uint32_t j = 0; j < LANES; j++) {
        c0[j] = first_block + j;
        c1[j] = row;
        c2[j] = key.stream;
        c3[j] = key.step;
    }
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int j = 0; j < LANES; j++) {
            const uint64_t p0 = (uint64_t)0xD2511F53u * c0[j];
            const uint64_t p1 = (uint64_t)0xCD9E8D57u * c2[j];
            c0[j] = (uint32_t)(p1 >> 32) ^ c1[j] ^ k0;
            c2[j] = (uint32_t)(p0 >> 32) ^ c3[j] ^ k1;
            c1[j] = (uint32_t)p1;
            c3[j] = (uint32_t)p0;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
#pragma omp simd
    for (int j = 0; j < LANES; j++) {
        words[j][0] = c0[j];
        words[j][1] = c1[j];
        words[j][2] = c2[j];
        words[j][3] = c3[j];
    }
}

/* atanh(s) for |s| <= 1/3. */
VECTOR_INLINE float vector_atanh(float s)
{
    const float q = s * s;
    float p = 1.0f / 17;
    p = p * q + 1.0f / 15;
    p = p * q + 1.0f / 13;
    p = p * q + 1.0f / 11;
    p = p * q + 1.0f / 9;
    p = p * q + 1.0f / 7;
    p = p * q + 1.0f / 5;
    p = p * q + 1.0f / 3;
    return p * q * s + s;
}

/* -log((word + 0.5) / 2^32). Close to 1 the distance from 1 is what counts, so the upper half of
 * the words is turned round: -log(1 - t) = 2 atanh(t / (2 - t)). In the lower half t = 2^e m with m
 * in 2/3 .. 4/3, and -log(m) = 2 atanh((1 - m) / (1 + m)). */
VECTOR_INLINE float minus_log_of_word(uint32_t word)
{
    const int is_upper = word >= 0x80000000u;
    const float t = ((float)(is_upper ? ~word : word) + 0.5f) * 0x1p-32f;
    const uint32_t bits = bits_of_float(t), shifted = bits - 0x3f2aaaabu;
    const int32_t exponent = (int32_t)shifted >> 23;
    const float m = float_of_bits(bits - ((uint32_t)exponent << 23));
    const float above = t, below = 1 - m;
    const float s = is_upper ? above / (2 - above) : below / (1 + m);
    const float whole = is_upper ? 0 : -0.693147181f * (float)exponent;
    return whole + 2 * vector_atanh(s);
}

enum { NORMALS = 4 * LANES };

/* normal[4 j + i]: the normal i of philox(key, row, first_block + j), from word pairs (0, 1) and
 * (2, 3) as random_normal_pair() makes them. */
VECTOR_INLINE void vector_normals(float normal[NORMALS], struct random_key key, uint32_t row,
                                  uint32_t first_block)
{
    uint32_t words[LANES][4];
    vector_philox(words, key, row, first_block);
    const uint32_t *word = words[0];
#pragma omp simd
    for (int i = 0; i < NORMALS / 2; i++) {
        const float radius = __builtin_sqrtf(2 * minus_log_of_word(word[2 * i]));
        /* The angle as quarter turns and a rest of at most an eighth of a turn. */
        const uint32_t angle = word[2 * i + 1], quarter = (angle + 0x20000000u) >> 30;
        const float rest = ((float)(int32_t)(angle - (quarter << 30)) + 0.5f) * 1.46291808e-9f;
        const float q = rest * rest;
        const float sine =
            rest +
            rest * q * (-1.0f / 6 + q * (1.0f / 120 + q * (-1.0f / 5040 + q * (1.0f / 362880))));
        const float cosine =
            1 + q * (-0.5f + q * (1.0f / 24 + q * (-1.0f / 720 + q * (1.0f / 40320))));
        const float first = quarter & 1 ? sine : cosine, second = quarter & 1 ? cosine : sine;
        normal[2 * i] = (quarter + 1) & 2 ? -radius * first : radius * first;
        normal[2 * i + 1] = quarter & 2 ? -radius * second : radius * second;
    }
}

/* The standard normal density. */
VECTOR_INLINE float vector_normal_density(float z)
{
    return 0.39894228f * vector_exp(-0.5f * z * z);
}

/* The chance that a standard normal number is below z. With x = |z| / sqrt(2), erfc(x) =
 * exp(-x^2) t p(t) for t = 1 / (1 + x / 2); p is a minimax fit with an error of 5e-8. */
VECTOR_INLINE float vector_normal_below(float z)
{
    const float size = z < 0 ? -z : z;
    const float t = 1 / (1 + 0.353553391f * size);
    float p = 0.0394514930f;
    p = p * t - 0.219880980f;
    p = p * t + 0.471007753f;
    p = p * t - 0.439610395f;
    p = p * t + 0.130036992f;
    p = p * t - 0.0625085054f;
    p = p * t + 0.0955981216f;
    p = p * t + 0.174774045f;
    p = p * t + 0.246945301f;
    p = p * t + 0.282091316f;
    p = p * t + 0.282094810f;
    const float half = 0.5f * t * p * vector_exp(-0.5f * z * z);
    return z < 0 ? half : 1 - half;
}

#endif
