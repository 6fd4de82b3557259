/* Where files lose step, on made-up lengths with lines missing or too many at known places. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tests/folder.h"
#include "text/prep/step.h"

/* Lengths of both files; what is planted is planted in the target. */
struct lengths {
    uint16_t *source;
    uint16_t *target;
    int64_t n_source;
    int64_t n_target;
    int64_t room;
};

static uint16_t to_length(double length)
{
    return length < 0 ? 0 : length > 60000 ? 60000 : (uint16_t)lround(length);
}

/* Log-normal lengths, round 100 characters; translations are 1.2 times as long, with noise of the
 * given share. */
static struct lengths make_lengths(int64_t n, double noise, uint64_t seed)
{
    struct lengths lengths = {.n_source = n, .n_target = n, .room = n + 4096};
    lengths.source = calloc((size_t)lengths.room, sizeof *lengths.source);
    lengths.target = calloc((size_t)lengths.room, sizeof *lengths.target);
    for (int64_t i = 0; i < n; i++) {
        const struct random_words words =
            random_philox((struct random_key){seed, 0, 0}, (uint32_t)i, 0);
        double normal[2];
        random_normal_pair(words.word[0], words.word[1], normal);
        const double length = exp(4.4 + 0.6 * normal[0]);
        lengths.source[i] = to_length(length);
        lengths.target[i] = to_length(1.2 * length * exp(noise * normal[1]));
    }
    return lengths;
}

static void free_lengths(struct lengths *lengths)
{
    free(lengths->source);
    free(lengths->target);
}

/* Removes n lines of the target from line `place` on (from 0), or inserts n (n negative). */
static void plant(struct lengths *lengths, int64_t place, int64_t n)
{
    uint16_t *at = lengths->target + place;
    const size_t rest = (size_t)(lengths->n_target - place);
    if (n > 0) {
        memmove(at, at + n, (rest - (size_t)n) * sizeof *at);
    } else {
        assert_true(lengths->n_target - n <= lengths->room);
        memmove(at - n, at, rest * sizeof *at);
        for (int64_t i = 0; i < -n; i++)
            at[i] = lengths->target[(place * 7 + i * 13) % place];
    }
    lengths->n_target -= n;
}

static struct step_report search(const struct lengths *lengths)
{
    struct step_report report;
    assert_int_equal(step_search(lengths->source, lengths->n_source, lengths->target,
                                 lengths->n_target, &report),
                     STATUS_OK);
    assert_true(report.n_breaks <= STEP_MAX_BREAKS);
    assert_int_equal(report.verdict == STEP_BREAKS, report.n_breaks > 0);
    return report;
}

/* The break is where it was planted, within what is said, give or take a line. */
static void is_break(const struct step_break *found, int64_t place, int64_t before, int64_t after)
{
    assert_true(found->first <= found->likeliest && found->likeliest <= found->last);
    assert_int_equal(found->shift_before, before);
    assert_int_equal(found->shift_after, after);
    if (place + 1 < found->first - 4 || place + 1 > found->last + 4 ||
        found->last - found->first > 40)
        fail_msg("line %lld is not at %lld..%lld", (long long)place + 1, (long long)found->first,
                 (long long)found->last);
}

static void clean_files_fit(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 40; seed++) {
        struct lengths lengths =
            make_lengths(200 + (int64_t)seed * 200, 0.15 + 0.01 * (double)(seed % 20), seed);
        const struct step_report report = search(&lengths);
        assert_int_equal(report.verdict, STEP_FITS);
        assert_true(report.correlation > 0.7 && report.correlation <= 1);
        free_lengths(&lengths);
    }
}

static void finds_one_place(void **state)
{
    (void)state;
    static const int64_t changes[] = {1, -1, 2, -3, 30, -100};
    for (uint64_t seed = 0; seed < 60; seed++) {
        const int64_t n = 5000, change = changes[seed % 6];
        const int64_t place = 300 + (int64_t)((seed * 977) % 4300);
        struct lengths lengths = make_lengths(n, 0.2, seed);
        plant(&lengths, place, change);
        const struct step_report report = search(&lengths);
        assert_int_equal(report.verdict, STEP_BREAKS);
        assert_int_equal(report.n_breaks, 1);
        assert_int_equal(report.breaks[0].kind, STEP_SHIFT);
        is_break(&report.breaks[0], place, 0, -change);
        free_lengths(&lengths);
    }
}

/* The counts are equal again, so only the lengths tell. */
static void finds_places_in_equal_counts(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct lengths lengths = make_lengths(6000, 0.2, seed);
        plant(&lengths, 1000 + (int64_t)seed * 17, 1);
        plant(&lengths, 4000 + (int64_t)seed * 31, -1);
        const struct step_report report = search(&lengths);
        assert_int_equal(report.source_lines, report.target_lines);
        assert_int_equal(report.n_breaks, 2);
        is_break(&report.breaks[0], 1000 + (int64_t)seed * 17, 0, -1);
        is_break(&report.breaks[1], 4001 + (int64_t)seed * 31, -1, 0);
        free_lengths(&lengths);
    }
}

static void finds_the_front_and_the_end(void **state)
{
    (void)state;
    struct lengths lengths = make_lengths(3000, 0.2, 1);
    plant(&lengths, 0, 2);
    struct step_report report = search(&lengths);
    assert_int_equal(report.n_breaks, 1);
    is_break(&report.breaks[0], 0, 0, -2);
    free_lengths(&lengths);
    lengths = make_lengths(3000, 0.2, 2);
    plant(&lengths, 2995, 3); /* too near the end to be seen, but the counts tell */
    report = search(&lengths);
    assert_int_equal(report.n_breaks, 1);
    assert_int_equal(report.breaks[0].kind, STEP_INFERRED);
    is_break(&report.breaks[0], 2995, 0, -3);
    free_lengths(&lengths);
}

static void finds_a_place_in_a_million_lines(void **state)
{
    (void)state;
    struct lengths lengths = make_lengths(1000000, 0.3, 3);
    plant(&lengths, 876543, -1);
    const struct step_report report = search(&lengths);
    assert_int_equal(report.n_breaks, 1);
    is_break(&report.breaks[0], 876543, 0, 1);
    free_lengths(&lengths);
}

/* Lines in the middle that belong to nothing. */
static void finds_where_nothing_fits(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 10; seed++) {
        struct lengths lengths = make_lengths(8000, 0.2, seed);
        const struct lengths others = make_lengths(8000, 0.2, seed + 1000);
        memcpy(lengths.target + 3000, others.target + 3000, 1500 * sizeof *lengths.target);
        const struct step_report report = search(&lengths);
        assert_int_equal(report.n_breaks, 1);
        assert_int_equal(report.breaks[0].kind, STEP_LOST);
        assert_in_range(report.breaks[0].first, 3000 - 128, 3000 + 128);
        assert_in_range(report.breaks[0].last, 4500 - 128, 4500 + 128);
        free_lengths(&lengths);
        free(others.source);
        free(others.target);
    }
}

/* Files that have nothing to do with each other, or whose lengths say nothing. */
static void claims_nothing_without_evidence(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct lengths lengths = make_lengths(4000, 0.2, seed);
        struct lengths others = make_lengths(4000 + (int64_t)seed % 3, 0.2, seed + 1000);
        struct lengths mixed = {lengths.source, others.target, lengths.n_source, others.n_target,
                                0};
        assert_int_equal(search(&mixed).verdict, STEP_UNCLEAR);
        for (int64_t i = 0; i < 4000; i++)
            lengths.source[i] = lengths.target[i] = 50;
        assert_int_equal(search(&lengths).verdict, STEP_UNCLEAR);
        free_lengths(&lengths);
        free_lengths(&others);
    }
    /* a tenth of the lines belong together: too little to say that the others should */
    struct lengths few = make_lengths(20000, 0.1, 1);
    const struct lengths others = make_lengths(20000, 0.1, 2);
    memcpy(few.target + 2000, others.target + 2000, 18000 * sizeof *few.target);
    assert_int_equal(search(&few).verdict, STEP_UNCLEAR);
    free_lengths(&few);
    free(others.source);
    free(others.target);
    for (int64_t n = 0; n < 20; n++) {
        struct lengths lengths = make_lengths(n, 0.2, 1);
        assert_int_equal(search(&lengths).verdict, STEP_UNCLEAR);
        free_lengths(&lengths);
    }
}

/* More places than are wanted: the first ones, and it says that it stopped. */
static void stops_after_many(void **state)
{
    (void)state;
    struct lengths lengths = make_lengths(30000, 0.15, 5);
    for (int64_t i = 29; i >= 1; i--)
        plant(&lengths, i * 1000, 1);
    const struct step_report report = search(&lengths);
    assert_int_equal(report.n_breaks, STEP_MAX_BREAKS);
    assert_true(report.is_cut);
    for (int64_t i = 0; i < STEP_MAX_BREAKS; i++)
        is_break(&report.breaks[i], (i + 1) * 1000, -i, -i - 1);
    free_lengths(&lengths);
}

static void reads_files(void **state)
{
    (void)state;
    struct folder folder;
    char source[FOLDER_PATH_BYTES], target[FOLDER_PATH_BYTES];
    struct step_report report;
    folder_open(&folder);
    folder_join(&folder, "source", source);
    folder_join(&folder, "target", target);
    const struct lengths lengths = make_lengths(400, 0.1, 9);
    FILE *streams[2] = {fopen(source, "w"), fopen(target, "w")};
    for (int64_t i = 0; i < 400; i++) {
        for (int k = 0; k < lengths.source[i]; k++)
            fputs("\xC3\xA4", streams[0]);
        for (int k = 0; i != 150 && k < lengths.target[i]; k++)
            putc('x', streams[1]);
        putc('\n', streams[0]);
        if (i != 150)
            putc('\n', streams[1]);
    }
    fclose(streams[0]);
    fclose(streams[1]);
    assert_int_equal(step_check(source, target, &report), STATUS_OK);
    assert_int_equal(report.source_lines, 400);
    assert_int_equal(report.target_lines, 399);
    assert_int_equal(report.n_breaks, 1);
    is_break(&report.breaks[0], 150, 0, -1);
    folder_join(&folder, "none", source);
    assert_int_equal(step_check(source, target, &report), STATUS_IO);
    free(lengths.source);
    free(lengths.target);
    folder_remove(folder.path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clean_files_fit),
        cmocka_unit_test(finds_one_place),
        cmocka_unit_test(finds_places_in_equal_counts),
        cmocka_unit_test(finds_the_front_and_the_end),
        cmocka_unit_test(finds_a_place_in_a_million_lines),
        cmocka_unit_test(finds_where_nothing_fits),
        cmocka_unit_test(claims_nothing_without_evidence),
        cmocka_unit_test(stops_after_many),
        cmocka_unit_test(reads_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
