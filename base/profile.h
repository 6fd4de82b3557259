/* Where the time goes: phases that nest, each with the time that was spent in it and in none of
 * those inside it. The phases of a profile add up to the time since its start, exactly: there is
 * one clock reading at each border, and what lies between two of them belongs to one phase.
 *
 * Phases are the caller's own small numbers; phase 0 is whatever no other one holds. */
#ifndef MIXT_BASE_PROFILE_H
#define MIXT_BASE_PROFILE_H

enum { PROFILE_MAX_PHASES = 32, PROFILE_MAX_DEPTH = 16 };

struct profile {
    double seconds[PROFILE_MAX_PHASES]; /* in each phase so far, up to the last border */
    double last_border;                 /* by the clock */
    double (*clock)(void);              /* seconds */
    int stack[PROFILE_MAX_DEPTH];       /* phases entered and not left */
    int depth;
};

/* All phases to 0, and from now on phase 0. clock: clock_seconds() or a test's own. */
void profile_start(struct profile *profile, double (*clock)(void));

/* Goes into a phase, 1..PROFILE_MAX_PHASES-1, and back to the one around it. */
void profile_enter(struct profile *profile, int phase);
void profile_leave(struct profile *profile);

/* Moves what was counted up to now, in whatever phase that is, into seconds
 * [PROFILE_MAX_PHASES] and counts on from 0. Returns the sum: the time since the start or the last
 * such call. */
double profile_take(struct profile *profile, double *seconds);

#endif
