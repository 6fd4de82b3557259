#include "text/metric/mean.h"

#include <math.h>
#include <stdint.h>

/* A number in units of 2^-1106, from 32 bits below the smallest double up to 2^31 of the largest. A
 * quotient by n < 2^31 that is not half way between two doubles differs from there by more than
 * 2^-32 of the smallest, so that what division leaves over does not matter. */
enum {
    LIMB_BITS = 32,
    FRACTION_BITS = 32,
    UNIT_EXPONENT = -1074 - FRACTION_BITS,
    N_LIMBS = (1024 - UNIT_EXPONENT + 31) / LIMB_BITS + 1
};

/* Adds bits * 2^shift units; shift < 0 only where it cuts off zeros, in a subnormal number. */
static void add_at(uint32_t *limbs, int shift, uint64_t bits)
{
    if (shift < 0) {
        bits >>= -shift;
        shift = 0;
    }
    const int inside = shift % LIMB_BITS;
    const uint64_t low = bits << inside, high = inside == 0 ? 0 : bits >> (64 - inside);
    const uint64_t added[3] = {(uint32_t)low, low >> LIMB_BITS, high};
    uint64_t carry = 0;
    for (size_t at = (size_t)(shift / LIMB_BITS), i = 0; at < N_LIMBS && (i < 3 || carry); at++) {
        carry += limbs[at] + (i < 3 ? added[i] : 0);
        limbs[at] = (uint32_t)carry;
        carry >>= LIMB_BITS;
        i++;
    }
}

static void divide(uint32_t *limbs, uint32_t n)
{
    uint64_t rest = 0;
    for (size_t i = N_LIMBS; i-- > 0;) {
        rest = rest << LIMB_BITS | limbs[i];
        limbs[i] = (uint32_t)(rest / n);
        rest %= n;
    }
}

static int bit(const uint32_t *limbs, int at)
{
    return limbs[at / LIMB_BITS] >> at % LIMB_BITS & 1;
}

/* Rounds to the nearest double, ties to even. */
static double to_double(const uint32_t *limbs)
{
    int top = N_LIMBS * LIMB_BITS - 1;
    while (top >= 0 && bit(limbs, top) == 0)
        top--;
    /* Of the 53 bits that a double holds, or fewer near 0. */
    const int lowest = top > 52 + FRACTION_BITS ? top - 52 : FRACTION_BITS;
    uint64_t bits = 0;
    for (int at = top; at >= lowest; at--)
        bits = bits << 1 | (uint64_t)bit(limbs, at);
    if (bit(limbs, lowest - 1) != 0) {
        int is_above_half = 0;
        for (int at = lowest - 2; at >= 0 && !is_above_half; at--)
            is_above_half = bit(limbs, at);
        bits += is_above_half ? 1 : bits & 1;
    }
    return ldexp((double)bits, lowest + UNIT_EXPONENT);
}

double mean_exact(const double *values, size_t n)
{
    CHECK(n >= 1 && n <= INT32_MAX, "mean of %zu values", n);
    uint32_t limbs[N_LIMBS] = {0};
    for (size_t i = 0; i < n; i++) {
        CHECK(values[i] >= 0 && isfinite(values[i]), "mean of %g", values[i]);
        if (values[i] > 0) {
            int exponent;
            const uint64_t bits = (uint64_t)ldexp(frexp(values[i], &exponent), 53);
            const int shift = exponent - 53 - UNIT_EXPONENT;
            add_at(limbs, shift, bits);
        }
    }
    divide(limbs, (uint32_t)n);
    return to_double(limbs);
}

/* NumPy's order of additions, for a type: up to 8 one after another, up to 128 in eight strands,
 * above that the sums of two halves, the first a multiple of 8. */
#define DEFINE_SUM(NAME, TYPE)                                                                     \
    static TYPE NAME(const TYPE *values, size_t n)                                                 \
    {                                                                                              \
        if (n > 128) {                                                                             \
            const size_t half = n / 2 - n / 2 % 8;                                                 \
            return NAME(values, half) + NAME(values + half, n - half);                             \
        }                                                                                          \
        TYPE sum = 0;                                                                              \
        size_t done = 0;                                                                           \
        if (n >= 8) {                                                                              \
            TYPE strand[8];                                                                        \
            for (size_t k = 0; k < 8; k++)                                                         \
                strand[k] = values[k];                                                             \
            for (done = 8; done + 8 <= n; done += 8) {                                             \
                for (size_t k = 0; k < 8; k++)                                                     \
                    strand[k] += values[done + k];                                                 \
            }                                                                                      \
            sum = ((strand[0] + strand[1]) + (strand[2] + strand[3])) +                            \
                  ((strand[4] + strand[5]) + (strand[6] + strand[7]));                             \
        }                                                                                          \
        for (; done < n; done++)                                                                   \
            sum += values[done];                                                                   \
        return sum;                                                                                \
    }

DEFINE_SUM(sum_double, double)
DEFINE_SUM(sum_float, float)

double mean_pairwise(const double *values, size_t n)
{
    CHECK(n >= 1, "mean of no values");
    return sum_double(values, n) / (double)n;
}

float mean_pairwise_float(const float *values, size_t n)
{
    CHECK(n >= 1, "mean of no values");
    return (float)((double)sum_float(values, n) / (double)n);
}
