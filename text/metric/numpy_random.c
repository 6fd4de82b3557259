/* A word is accepted or rejected by itself alone, so the draws below a bound are the stream of
 * words with some left out; that is what lets resampling start in the middle of the stream. */
#include "text/metric/numpy_random.h"

#include <stdlib.h>
#include <string.h>

#include <sys/random.h>

/* The one compiler extension: multiplication of 128 bits from 64-bit halves takes twice the time of
 * a resample's draws. */
__extension__ typedef unsigned __int128 uint128;

#define MULTIPLIER ((uint128)UINT64_C(0x2360ED051FC65DA4) << 64 | UINT64_C(0x4385DF649FCCF645))

enum { POOL_WORDS = 4, STATE_WORDS = 8, SYSTEM_WORDS = 4 };

static uint128 join(uint64_t high, uint64_t low)
{
    return (uint128)high << 64 | low;
}

static void put_state(struct numpy_random *random, uint128 state)
{
    random->state_high = (uint64_t)(state >> 64);
    random->state_low = (uint64_t)state;
}

/* XSL-RR: the halves are combined and turned by the top six bits. */
static inline uint64_t output(uint128 state)
{
    const uint64_t word = (uint64_t)(state >> 64) ^ (uint64_t)state;
    const unsigned turn = (unsigned)(state >> 122);
    return word >> turn | word << (-turn & 63);
}

/* The running multiplier of SeedSequence's hash. */
struct hash {
    uint32_t factor;
    uint32_t growth;
};

static uint32_t hash_word(struct hash *hash, uint32_t word)
{
    word ^= hash->factor;
    hash->factor *= hash->growth;
    word *= hash->factor;
    return word ^ word >> 16;
}

static uint32_t mix_words(uint32_t into, uint32_t word)
{
    const uint32_t mixed = UINT32_C(0xCA01F9DD) * into - UINT32_C(0x4973F715) * word;
    return mixed ^ mixed >> 16;
}

/* SeedSequence(entropy).generate_state(8): entropy [n] 32-bit words, lowest first. */
static void make_state(const uint32_t *entropy, size_t n, uint32_t state[STATE_WORDS])
{
    uint32_t pool[POOL_WORDS];
    struct hash in = {UINT32_C(0x43B0D7E5), UINT32_C(0x931E8875)};
    for (size_t i = 0; i < POOL_WORDS; i++)
        pool[i] = hash_word(&in, i < n ? entropy[i] : 0);
    for (size_t from = 0; from < POOL_WORDS; from++) {
        for (size_t to = 0; to < POOL_WORDS; to++) {
            if (from != to)
                pool[to] = mix_words(pool[to], hash_word(&in, pool[from]));
        }
    }
    for (size_t from = POOL_WORDS; from < n; from++) {
        for (size_t to = 0; to < POOL_WORDS; to++)
            pool[to] = mix_words(pool[to], hash_word(&in, entropy[from]));
    }
    struct hash out = {UINT32_C(0x8B51F9DD), UINT32_C(0x58F38DED)};
    for (size_t i = 0; i < STATE_WORDS; i++)
        state[i] = hash_word(&out, pool[i % POOL_WORDS]);
}

static void start(struct numpy_random *random, const uint32_t *entropy, size_t n)
{
    uint32_t words[STATE_WORDS];
    make_state(entropy, n, words);
    uint64_t value[STATE_WORDS / 2];
    for (size_t i = 0; i < STATE_WORDS / 2; i++)
        value[i] = (uint64_t)words[2 * i + 1] << 32 | words[2 * i];
    const uint128 increment = join(value[2], value[3]) << 1 | 1;
    const uint128 state = (increment + join(value[0], value[1])) * MULTIPLIER + increment;
    *random = (struct numpy_random){.increment_high = (uint64_t)(increment >> 64),
                                    .increment_low = (uint64_t)increment};
    put_state(random, state);
}

/* Turns decimal digits into 32-bit words, lowest first: words [strlen(digits) / 9 + 1]. Returns
 * how many there are, at least one. */
static size_t read_digits(const char *digits, uint32_t *words)
{
    size_t n = 1;
    words[0] = 0;
    for (; *digits; digits++) {
        uint64_t carry = (uint64_t)(*digits - '0');
        for (size_t i = 0; i < n; i++) {
            carry += (uint64_t)words[i] * 10;
            words[i] = (uint32_t)carry;
            carry >>= 32;
        }
        if (carry != 0)
            words[n++] = (uint32_t)carry;
    }
    return n;
}

enum status numpy_random_seed(struct numpy_random *random, const char *seed)
{
    if (seed == NULL) {
        uint32_t entropy[SYSTEM_WORDS];
        if (getrandom(entropy, sizeof entropy, 0) != (ssize_t)sizeof entropy)
            return status_set(STATUS_FAILED, "the system gives no random numbers to seed with");
        start(random, entropy, SYSTEM_WORDS);
        return STATUS_OK;
    }
    const size_t length = strlen(seed);
    if (length == 0 || strspn(seed, "0123456789") != length)
        return status_set(STATUS_USAGE, "seed '%.40s' is not a whole number", seed);
    uint32_t *words = malloc((length / 9 + 1) * sizeof *words); /* a word holds 9 digits */
    if (words == NULL)
        return status_set(STATUS_MEMORY, "no memory for a seed of %zu digits", length);
    start(random, words, read_digits(seed, words));
    free(words);
    return STATUS_OK;
}

uint64_t numpy_random_next(struct numpy_random *random)
{
    const uint128 increment = join(random->increment_high, random->increment_low);
    const uint128 state = join(random->state_high, random->state_low) * MULTIPLIER + increment;
    put_state(random, state);
    return output(state);
}

uint32_t numpy_random_next_half(struct numpy_random *random)
{
    if (random->has_half) {
        random->has_half = false;
        return random->half;
    }
    const uint64_t word = numpy_random_next(random);
    random->has_half = true;
    random->half = (uint32_t)(word >> 32);
    return (uint32_t)word;
}

/* n steps of the generator are one step with another factor and increment, made by squaring (Brown
 * 1994, "Random number generation with arbitrary strides"). */
void numpy_random_skip(struct numpy_random *random, uint64_t n)
{
    uint128 factor = MULTIPLIER, increment = join(random->increment_high, random->increment_low);
    uint128 state = join(random->state_high, random->state_low);
    for (; n > 0; n >>= 1) {
        if (n & 1)
            state = state * factor + increment;
        increment *= factor + 1;
        factor *= factor;
    }
    put_state(random, state);
}

/* Below this the lower half of draw * bound is rejected: what 2^32 leaves over when divided into
 * bound equal parts. */
static uint32_t rejected_below(uint32_t bound)
{
    return (0 - bound) % bound;
}

static uint64_t below_64(struct numpy_random *random, uint64_t bound)
{
    const uint64_t rejected = (0 - bound) % bound;
    for (;;) {
        const uint128 product = (uint128)numpy_random_next(random) * bound;
        if ((uint64_t)product >= rejected)
            return (uint64_t)(product >> 64);
    }
}

uint64_t numpy_random_below(struct numpy_random *random, uint64_t bound)
{
    CHECK(bound >= 1, "no number is below 0");
    if (bound == 1)
        return 0;
    if (bound > (uint64_t)UINT32_MAX + 1)
        return below_64(random, bound);
    const uint32_t rejected = (uint32_t)(((uint64_t)UINT32_MAX + 1) % bound);
    for (;;) {
        const uint64_t product = numpy_random_next_half(random) * bound;
        if ((uint32_t)product >= rejected)
            return product >> 32;
    }
}

/* The generator's next words in two strands, each taking every second one: a step then does not
 * wait for the one before. */
struct strands {
    uint128 state[2]; /* whose words come next */
    uint128 factor;
    uint128 increment;
};

static struct strands part(const struct numpy_random *random)
{
    const uint128 increment = join(random->increment_high, random->increment_low);
    const uint128 state = join(random->state_high, random->state_low) * MULTIPLIER + increment;
    return (struct strands){.state = {state, state * MULTIPLIER + increment},
                            .factor = MULTIPLIER * MULTIPLIER,
                            .increment = increment * (MULTIPLIER + 1)};
}

/* Puts accepted numbers from a word at numbers[filled..]; may write one past those it keeps. */
static inline size_t put_halves(uint64_t word, uint32_t bound, uint32_t rejected, uint32_t *numbers,
                                size_t filled)
{
    const uint64_t first = (word & UINT32_MAX) * bound, second = (word >> 32) * bound;
    numbers[filled] = (uint32_t)(first >> 32);
    filled += (uint32_t)first >= rejected ? 1 : 0;
    numbers[filled] = (uint32_t)(second >> 32);
    return filled + ((uint32_t)second >= rejected ? 1 : 0);
}

void numpy_random_fill(struct numpy_random *random, uint32_t bound, uint32_t *numbers, size_t n)
{
    CHECK(bound >= 1, "no number is below 0");
    if (bound == 1) {
        memset(numbers, 0, n * sizeof *numbers);
        return;
    }
    const uint32_t rejected = rejected_below(bound);
    size_t filled = 0;
    while (filled < n && random->has_half)
        numbers[filled++] = (uint32_t)numpy_random_below(random, bound);
    struct strands strands = part(random);
    uint64_t passed = 0;
    for (; n - filled >= 4; passed += 2) {
        for (int i = 0; i < 2; i++) {
            filled = put_halves(output(strands.state[i]), bound, rejected, numbers, filled);
            strands.state[i] = strands.state[i] * strands.factor + strands.increment;
        }
    }
    numpy_random_skip(random, passed);
    for (; filled < n; filled++)
        numbers[filled] = (uint32_t)numpy_random_below(random, bound);
}

uint64_t numpy_random_count_rejected(struct numpy_random *random, uint32_t bound, uint64_t n)
{
    const uint32_t rejected = rejected_below(bound);
    uint64_t count = 0;
    for (; n > 0 && (random->has_half || n == 1); n--)
        count += numpy_random_next_half(random) * bound < rejected ? 1 : 0;
    const uint128 increment = join(random->increment_high, random->increment_low);
    uint128 state = join(random->state_high, random->state_low);
    for (; n >= 2; n -= 2) {
        state = state * MULTIPLIER + increment;
        const uint64_t word = output(state);
        count += (uint32_t)word * bound < rejected ? 1 : 0;
        count += (uint32_t)(word >> 32) * bound < rejected ? 1 : 0;
    }
    put_state(random, state);
    if (n == 1)
        count += numpy_random_next_half(random) * bound < rejected ? 1 : 0;
    return count;
}
