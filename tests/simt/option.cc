/* Settings from the environment, and the random numbers that order everything. */
#include <stdlib.h>

#include "tests/simt/machine.hh"

namespace simt
{

bool option_is_set(const char *name)
{
    const char *text = getenv(name);
    return text && *text;
}

long option(const char *name, long value)
{
    return option_is_set(name) ? strtol(getenv(name), nullptr, 0) : value;
}

static uint64_t random_state;

static void seed(uint64_t number)
{
    random_state = number * 0x9E3779B97F4A7C15ull + 0x632BE59BD9B4E019ull;
    if (!random_state)
        random_state = 1;
    for (int i = 0; i < 8; i++)
        random_bits();
}

uint32_t random_bits()
{
    if (!random_state)
        seed((uint64_t)option("SIMT_SEED", 1));
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (uint32_t)(random_state >> 24);
}

uint32_t random_below(uint32_t bound)
{
    return (uint32_t)((uint64_t)random_bits() * bound >> 32);
}

} // namespace simt

void simt_seed(unsigned long number)
{
    simt::seed(number);
}
