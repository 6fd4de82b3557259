/* What of the random numbers is not inline. */
#include "base/random.h"

#include <math.h>

void random_normal_pair(uint32_t word0, uint32_t word1, double normal[2])
{
    const double radius = sqrt(-2.0 * log(random_unit(word0)));
    const double angle = 6.28318530717958647692 * random_unit(word1);
    normal[0] = radius * cos(angle);
    normal[1] = radius * sin(angle);
}
