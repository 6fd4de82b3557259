/* Elementary functions that the compiler can turn into vector code, and sums in a fixed order.
 *
 * Errors are below 3 units in the last place of the result. NaN goes in and out. Every function is
 * inlined into the KERNEL that calls it, and so takes that kernel's vector width. */
#ifndef MIXT_BACKEND_CPU_VECTOR_H
#define MIXT_BACKEND_CPU_VECTOR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define VECTOR_INLINE static inline __attribute__((always_inline))

/* Partial sums: number i of a row goes to sum i % LANES, on every machine. */
enum { LANES = 16 };

VECTOR_INLINE float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

VECTOR_INLINE uint32_t bits_of_float(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/* exp(x) = 2^n (1 + tail): n is whole and tail = expm1(rest) for a rest within ln(2) / 2. */
struct exp_parts {
    float power; /* 2^n */
    float tail;
};

/* x must lie in -87 .. 88 (or be NaN). Adding 1.5 * 2^23 rounds to a whole number and leaves it in
 * the low bits. */
VECTOR_INLINE struct exp_parts exp_split(float x)
{
    const float magic = 12582912.0f;
    const float shifted = x * 1.44269504f + magic;
    const float n = shifted - magic;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    /* Taylor's series to r^7; the next term is below 1e-8 of the result. */
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    const uint32_t exponent = bits_of_float(shifted) - 0x4B400000u + 127u;
    return (struct exp_parts){float_of_bits(exponent << 23), p * r * r + r};
}

/* exp(x) for x <= 0 (or NaN), in three quarters of the time: below -87 the result stays e^-87,
 * which no sum with exp(0) in it can see. */
VECTOR_INLINE float vector_exp_below_one(float x)
{
    const struct exp_parts e = exp_split(x < -87.0f ? -87.0f : x);
    return e.power * e.tail + e.power;
}

/* Below -87 the result is 0, above 88 it stays at e^88. */
VECTOR_INLINE float vector_exp(float x)
{
    const float low = x < -87.0f ? -87.0f : x;
    const struct exp_parts e = exp_split(low > 88.0f ? 88.0f : low);
    const float value = e.power * e.tail + e.power;
    return x < -87.0f ? 0.0f : value;
}

VECTOR_INLINE float vector_sigmoid(float x)
{
    const float low = x < -87.0f ? -87.0f : x;
    const struct exp_parts e = exp_split(low > 87.0f ? -87.0f : -low);
    return 1.0f / (1.0f + (e.power * e.tail + e.power));
}

/* 1 / sigmoid(x), at most 1 + e^40, so that a few of them have a product: who needs several
 * quotients saves divisions, which take as long as all the rest. */
VECTOR_INLINE float vector_inverse_sigmoid(float x)
{
    const float low = x < -40.0f ? -40.0f : x;
    const struct exp_parts e = exp_split(low > 40.0f ? -40.0f : -low);
    return 1.0f + (e.power * e.tail + e.power);
}

/* tanh(x) = t / (t + 2) with this t = expm1(2x), which keeps small numbers exact. */
VECTOR_INLINE float vector_tanh_part(float x)
{
    const float low = x < -10.0f ? -10.0f : x;
    const struct exp_parts e = exp_split(2.0f * (low > 10.0f ? 10.0f : low));
    return e.power * e.tail + (e.power - 1.0f);
}

VECTOR_INLINE float vector_tanh(float x)
{
    const float t = vector_tanh_part(x);
    return t / (t + 2.0f);
}

/* Dividing the bits by three starts within 4 %, and each of Halley's steps triples the right
 * digits. Numbers below 2^-126 count as 0. */
VECTOR_INLINE float vector_cbrt(float x)
{
    const uint32_t sign = bits_of_float(x) & 0x80000000u;
    const float size = float_of_bits(bits_of_float(x) ^ sign);
    float root = float_of_bits(bits_of_float(size) / 3 + 0x2A514067u);
    for (int i = 0; i < 2; i++) {
        const float ratio = size / root / (root * root);
        root += root * (ratio - 1.0f) / (2.0f + ratio);
    }
    const float large = size <= 3.40282347e38f ? root : size; /* infinity and NaN stay */
    return float_of_bits(bits_of_float(size < 1.17549435e-38f ? 0.0f : large) | sign);
}

/* The sum of all lanes, halves onto halves. */
VECTOR_INLINE float lanes_sum(float lane[LANES])
{
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++)
            lane[i] += lane[i + width];
    return lane[0];
}

/* a . b over n numbers; zeros after them would change nothing. */
VECTOR_INLINE float vector_dot(const float *a, const float *b, int64_t n)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += a[i + j] * b[i + j];
    for (int j = 0; i + j < n; j++)
        lane[j] += a[i + j] * b[i + j];
    return lanes_sum(lane);
}

/* The largest of n numbers; -infinity for none; NaNs are passed over. */
VECTOR_INLINE float vector_max(const float *x, int64_t n)
{
    float lane[LANES];
    for (int j = 0; j < LANES; j++)
        lane[j] = -__builtin_inff();
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
#pragma omp simd
        for (int j = 0; j < LANES; j++)
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    for (int j = 0; i + j < n; j++)
        lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    float largest = lane[0];
    for (int j = 1; j < LANES; j++)
        largest = lane[j] > largest ? lane[j] : largest;
    return largest;
}

/* The logarithm of the sum of exp(x) over n numbers, of which `largest` is the largest. */
VECTOR_INLINE float vector_log_sum_exp(const float *x, int64_t n, float largest)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += vector_exp_below_one(x[i + j] - largest);
    for (int j = 0; i + j < n; j++)
        lane[j] += vector_exp_below_one(x[i + j] - largest);
    return (float)(largest + log(lanes_sum(lane)));
}

/* The sum of exp(x - offset) over n numbers; where y is given, it takes the exponentials. */
VECTOR_INLINE float vector_exp_sum(float *y, const float *x, int64_t n, float offset)
{
    float lane[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            const float e = vector_exp(x[i + j] - offset);
            lane[j] += e;
            if (y)
                y[i + j] = e;
        }
    if (i < n) {
        float rest[LANES];
        for (int j = 0; j < LANES; j++)
            rest[j] = -__builtin_inff();
        memcpy(rest, x + i, (size_t)(n - i) * sizeof *x);
        for (int j = 0; j < LANES; j++) {
            rest[j] = vector_exp(rest[j] - offset);
            lane[j] += rest[j];
        }
        if (y)
            memcpy(y + i, rest, (size_t)(n - i) * sizeof *x);
    }
    return lanes_sum(lane);
}

#endif
