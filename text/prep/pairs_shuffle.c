/* A permutation without memory: a Feistel network over the least even number of bits that holds the
 * count, walked on until it is back inside (Black and Rogaway 2002, "Ciphers with arbitrary finite
 * domains"). */
#include "base/random.h"
#include "text/prep/pairs.h"

enum { ROUNDS = 8, SHUFFLE_STREAM = 0x70616972 };

/* One pass through the network; value is below 4^half_bits. */
static uint64_t exchange_halves(uint64_t value, unsigned half_bits, uint64_t seed)
{
    const uint64_t mask = ((uint64_t)1 << half_bits) - 1;
    uint64_t left = value >> half_bits, right = value & mask;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        const struct random_key key = {seed, round, SHUFFLE_STREAM};
        const struct random_words words = random_philox(key, (uint32_t)right, half_bits);
        const uint64_t next = (left ^ words.word[0]) & mask;
        left = right;
        right = next;
    }
    return left << half_bits | right;
}

int64_t pairs_shuffled(int64_t count, uint64_t seed, int64_t i)
{
    CHECK(i >= 0 && i < count, "place %lld of %lld", (long long)i, (long long)count);
    unsigned half_bits = 1;
    while (half_bits < 31 && (uint64_t)count > (uint64_t)1 << (2 * half_bits))
        half_bits++;
    uint64_t value = (uint64_t)i;
    do
        value = exchange_halves(value, half_bits, seed);
    while (value >= (uint64_t)count);
    return (int64_t)value;
}
