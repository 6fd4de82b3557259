/* Nested phases on one line of time. */
#include "base/profile.h"

#include "base/status.h"

void profile_start(struct profile *profile, double (*clock)(void))
{
    *profile = (struct profile){.clock = clock, .last_border = clock()};
}

/* The time since the last border goes to the innermost phase. */
static void mark_border(struct profile *profile)
{
    const double now = profile->clock();
    const int phase = profile->depth ? profile->stack[profile->depth - 1] : 0;
    profile->seconds[phase] += now - profile->last_border;
    profile->last_border = now;
}

void profile_enter(struct profile *profile, int phase)
{
    CHECK(phase > 0 && phase < PROFILE_MAX_PHASES, "phase %d", phase);
    CHECK(profile->depth < PROFILE_MAX_DEPTH, "phase %d is one too deep", phase);
    mark_border(profile);
    profile->stack[profile->depth++] = phase;
}

void profile_leave(struct profile *profile)
{
    CHECK(profile->depth > 0, "no phase was entered");
    mark_border(profile);
    profile->depth--;
}

double profile_take(struct profile *profile, double *seconds)
{
    double total = 0;
    mark_border(profile);
    for (int phase = 0; phase < PROFILE_MAX_PHASES; phase++) {
        total += profile->seconds[phase];
        seconds[phase] = profile->seconds[phase];
        profile->seconds[phase] = 0;
    }
    return total;
}
