/* Phases nest, and what they take adds up to all the time there was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/profile.h"

static double now; /* the fake clock: whole numbers, so that sums are exact */

static double tell_time(void)
{
    return now;
}

/* Each phase has the time in it and not in those inside it; phase 0 has what is in none. */
static void test_exclusive(void **state)
{
    (void)state;
    struct profile profile;
    double seconds[PROFILE_MAX_PHASES];
    now = 100;
    profile_start(&profile, tell_time);
    now += 1;
    profile_enter(&profile, 1);
    now += 2;
    profile_enter(&profile, 2);
    now += 4;
    profile_enter(&profile, 1); /* inside itself */
    now += 8;
    profile_leave(&profile);
    now += 16;
    profile_leave(&profile);
    now += 32;
    profile_leave(&profile);
    now += 64;
    assert_true(profile_take(&profile, seconds) == 127);
    assert_true(seconds[0] == 1 + 64);
    assert_true(seconds[1] == 2 + 8 + 32);
    assert_true(seconds[2] == 4 + 16);
    for (int phase = 3; phase < PROFILE_MAX_PHASES; phase++)
        assert_true(seconds[phase] == 0);
}

/* A window may end inside a phase: each side of the border counts in its own window. */
static void test_windows(void **state)
{
    (void)state;
    struct profile profile;
    double seconds[PROFILE_MAX_PHASES];
    now = 0;
    profile_start(&profile, tell_time);
    profile_enter(&profile, 5);
    now = 3;
    assert_true(profile_take(&profile, seconds) == 3);
    assert_true(seconds[5] == 3 && seconds[0] == 0);
    now = 10;
    profile_leave(&profile);
    now = 11;
    assert_true(profile_take(&profile, seconds) == 8);
    assert_true(seconds[5] == 7 && seconds[0] == 1);
    assert_true(profile_take(&profile, seconds) == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exclusive),
        cmocka_unit_test(test_windows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
