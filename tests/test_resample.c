/* The generator against numbers that NumPy 2.4 printed, and against itself one number at a time;
 * means against Python's and NumPy's; intervals and tests against what sacreBLEU 2.6.0 printed for
 * the same invented counts, to the last bit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text/metric/mean.h"
#include "text/metric/numpy_random.h"
#include "text/metric/resample.h"

enum { N_DRAWS = 13, MAX_SEGMENTS = 3000, MAX_WIDTH = 18, N_SAMPLES = 100 };

/* default_rng(seed): four of choice(1000), four of choice(3 * 2^30), one of choice(2^32), two of
 * integers(0, 2^33 + 1) and two of choice(7), one after another; and the first 64 of
 * integers(2, size=(2, 50), dtype=bool) of a new one, the first lowest. */
static const struct {
    const char *seed;
    uint64_t drawn[N_DRAWS];
    uint64_t bits;
} generators[] = {
    {"0",
     {850, 636, 511, 269, 131984958, 242365461, 53239240, 564575468, 3492969080, 7840510708,
      5210961635, 6, 5},
     UINT64_C(0xA30FEBCFD9C2825F)},
    {"12345",
     {699, 227, 788, 316, 657699810, 2568493921, 2178368770, 3184041033, 1679802728, 2858849872,
      5139433059, 1, 1},
     UINT64_C(0x3A32B18DB2FFC19D)},
    {"4294967296",
     {522, 889, 992, 557, 975859534, 736670500, 2871013501, 188812646, 272133842, 6767255251,
      2647764, 1, 0},
     UINT64_C(0xE3C5EBE285AC1625)},
    {"18446744073709551617",
     {976, 692, 770, 223, 2607969578, 2143534323, 610976178, 1047806810, 83382705, 7331995211,
      2056574228, 4, 3},
     UINT64_C(0xB138F4D9F9F0FFAB)},
    {"123456789012345678901234567890123456789012345",
     {502, 464, 729, 555, 28567005, 2805108515, 380602002, 349447732, 4244092746, 4845796555,
      2790460173, 5, 0},
     UINT64_C(0x76CA3E758087802A)},
};

static const uint64_t bounds[N_DRAWS] = {1000,
                                         1000,
                                         1000,
                                         1000,
                                         UINT64_C(3) << 30,
                                         UINT64_C(3) << 30,
                                         UINT64_C(3) << 30,
                                         UINT64_C(3) << 30,
                                         UINT64_C(1) << 32,
                                         (UINT64_C(1) << 33) + 1,
                                         (UINT64_C(1) << 33) + 1,
                                         7,
                                         7};

static struct numpy_random seeded(const char *seed)
{
    struct numpy_random random;
    assert_int_equal(numpy_random_seed(&random, seed), STATUS_OK);
    return random;
}

static void draws_are_those_of_numpy(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof generators / sizeof generators[0]; i++) {
        struct numpy_random random = seeded(generators[i].seed);
        for (size_t k = 0; k < N_DRAWS; k++) {
            const uint64_t drawn = numpy_random_below(&random, bounds[k]);
            if (drawn != generators[i].drawn[k])
                fail_msg("seed %s, draw %zu: %llu instead of %llu", generators[i].seed, k,
                         (unsigned long long)drawn, (unsigned long long)generators[i].drawn[k]);
        }
        random = seeded(generators[i].seed);
        assert_true(numpy_random_next(&random) == generators[i].bits);
    }
}

static void leading_zeros_are_no_other_seed(void **state)
{
    (void)state;
    struct numpy_random a = seeded("12345"), b = seeded("000000000000000000012345");
    assert_memory_equal(&a, &b, sizeof a);
}

static void bad_seeds_are_refused(void **state)
{
    (void)state;
    static const char *const seeds[] = {"", "-1", "1.5", "0x10", " 7", "12a"};
    struct numpy_random random;
    for (size_t i = 0; i < sizeof seeds / sizeof seeds[0]; i++)
        assert_int_equal(numpy_random_seed(&random, seeds[i]), STATUS_USAGE);
}

static void the_system_seeds_differently_each_time(void **state)
{
    (void)state;
    struct numpy_random a = seeded(NULL), b = seeded(NULL);
    assert_memory_not_equal(&a, &b, sizeof a);
}

/* Bounds from none to a quarter of the draws rejected, from both places in a word. */
static void many_draws_are_the_same_as_one_by_one(void **state)
{
    (void)state;
    static const uint32_t some[] = {1, 2, 7, 1000, 65536, 1000003, UINT32_C(3) << 30, UINT32_MAX};
    static const size_t sizes[] = {0, 1, 2, 3, 4, 5, 64, 1001};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        struct numpy_random many = seeded("99"), one = many;
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            uint32_t drawn[1001];
            numpy_random_fill(&many, some[i], drawn, sizes[k]);
            for (size_t at = 0; at < sizes[k]; at++)
                assert_int_equal(drawn[at], numpy_random_below(&one, some[i]));
            assert_int_equal(numpy_random_next_half(&many), numpy_random_next_half(&one));
        }
    }
}

static void skipping_is_drawing(void **state)
{
    (void)state;
    static const uint64_t distances[] = {0, 1, 2, 3, 1000, 4097};
    for (size_t i = 0; i < sizeof distances / sizeof distances[0]; i++) {
        struct numpy_random far = seeded("7"), near = far;
        numpy_random_skip(&far, distances[i]);
        for (uint64_t k = 0; k < distances[i]; k++)
            numpy_random_next(&near);
        assert_memory_equal(&far, &near, sizeof far);
    }
}

static void rejected_draws_are_counted(void **state)
{
    (void)state;
    static const uint32_t some[] = {3, 1000, 1000003, UINT32_C(3) << 30, UINT32_C(2147483649)};
    for (size_t i = 0; i < sizeof some / sizeof some[0]; i++) {
        struct numpy_random random = seeded("3"), copy = random;
        const uint64_t rejected = numpy_random_count_rejected(&random, some[i], 1001);
        uint64_t brute = 0;
        for (int k = 0; k < 1001; k++)
            brute += (uint64_t)numpy_random_next_half(&copy) * some[i] % (UINT64_C(1) << 32) <
                             (UINT64_C(1) << 32) % some[i]
                         ? 1
                         : 0;
        assert_int_equal(rejected, brute);
        assert_int_equal(numpy_random_next_half(&random), numpy_random_next_half(&copy));
    }
}

static double harmonic(int i)
{
    return 1.0 / (i + 1);
}

static double vanishing(int i)
{
    double value = 100.0 / (i + 1);
    for (int k = 0; k < i; k++)
        value /= 8;
    return value;
}

static double smallest(int i)
{
    return (i + 1) * 0x1p-1074;
}

static void means_are_those_of_python_and_numpy(void **state)
{
    (void)state;
    static const struct {
        double (*value)(int i);
        size_t n;
        double exact, pairwise;
        float pairwise_float;
    } cases[] = {
        {harmonic, 1, 0x1.0000000000000p+0, 0x1.0000000000000p+0, 0x1.0000000000000p+0f},
        {harmonic, 7, 0x1.7b4c470d956bap-2, 0x1.7b4c470d956b9p-2, 0x1.7b4c4a0000000p-2f},
        {harmonic, 300, 0x1.571e01ea2a26fp-6, 0x1.571e01ea2a26fp-6, 0x1.571e060000000p-6f},
        {vanishing, 1, 0x1.9000000000000p+6, 0x1.9000000000000p+6, 0x1.9000000000000p+6f},
        {vanishing, 7, 0x1.e857e5a8ecd7fp+3, 0x1.e857e5a8ecd7fp+3, 0x1.e857e60000000p+3f},
        {vanishing, 300, 0x1.6ca13583530a5p-2, 0x1.6ca13583530a5p-2, 0x1.6ca1360000000p-2f},
        {smallest, 1, 0x0.0000000000001p-1022, 0x0.0000000000001p-1022, 0x0.0p+0f},
        {smallest, 7, 0x0.0000000000004p-1022, 0x0.0000000000004p-1022, 0x0.0p+0f},
        {smallest, 300, 0x0.0000000000096p-1022, 0x0.0000000000096p-1022, 0x0.0p+0f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double values[300];
        float floats[300];
        for (size_t k = 0; k < cases[i].n; k++) {
            values[k] = cases[i].value((int)k);
            floats[k] = (float)values[k];
        }
        assert_true(mean_exact(values, cases[i].n) == cases[i].exact);
        assert_true(mean_pairwise(values, cases[i].n) == cases[i].pairwise);
        assert_true(mean_pairwise_float(floats, cases[i].n) == cases[i].pairwise_float);
    }
}

/* 100 resamples or trials of invented systems: counts drawn by next_below() from seeds 1 and 2,
 * times scale, two thirds of the second system's rows equal to the first's. In the third case some
 * resamples' sums pass 2^24, where float sums depend on the order of additions; in the two after
 * it, all do, and in the last counts do not fit 16 bits. */
static const struct {
    enum metric_kind kind;
    int64_t n;
    int32_t scale;
    const char *seed;
    double mean, half_width;         /* of the second system alone */
    double p_value;                  /* paired bootstrap */
    double paired_mean, paired_half; /* of the second system in it */
    double randomization_p_value;
} runs[] = {
    {METRIC_BLEU, 1, 1, "5", 0x1.53eba066da0cap+2, 0x0.0p+0, 0x1.446f86562d9fbp-7,
     0x1.53eba066da0cap+2, 0x0.0p+0, 0x1.446f86562d9fbp-7},
    {METRIC_BLEU, 97, 1, "12345", 0x1.1f427682201f4p+4, 0x1.0dba7eb5b4078p+2, 0x1.58b67ebb9079bp-3,
     0x1.1f427682201f3p+4, 0x1.0dba7eb5b4078p+2, 0x1.d260511be1959p-2},
    {METRIC_BLEU, 3000, 207, "12345", 0x1.2ba104f1f6a72p+4, 0x1.61b4a2ffef250p-1,
     0x1.079a9d260511cp-3, 0x1.2ba104f1f6a73p+4, 0x1.61b4a2ffef250p-1, 0x1.958b67ebb907ap-2},
    {METRIC_BLEU, 700, 1201, "18446744073709551617", 0x1.2fee381b15319p+4, 0x1.66a6942cd8ce8p+0,
     0x1.be1958b67ebb9p-4, 0x1.2fee381b1531ap+4, 0x1.66a6942cd8ce8p+0, 0x1.58b67ebb9079bp-2},
    {METRIC_BLEU, 700, 20011, "12345", 0x1.2b70b31a744dep+4, 0x1.d05c1e4fac448p+0,
     0x1.30288df0cac5bp-3, 0x1.2b70b31a744dfp+4, 0x1.d05c1e4fac448p+0, 0x1.3a4c0a237c32bp-2},
    {METRIC_CHRF, 1, 1, "5", 0x1.ea991a0000000p+5, 0x0.0p+0, 0x1.446f86562d9fbp-7,
     0x1.ea991c0000000p+5, 0x0.0p+0, 0x1.446f86562d9fbp-7},
    {METRIC_CHRF, 97, 1, "12345", 0x1.73e6ac0000000p+5, 0x1.3aefe00000000p+1, 0x1.958b67ebb907ap-4,
     0x1.73e6ac0000000p+5, 0x1.3aefe00000000p+1, 0x1.30288df0cac5bp-2},
    {METRIC_CHRF, 3000, 207, "12345", 0x1.81f0480000000p+5, 0x1.2750c00000000p-1,
     0x1.d260511be1959p-3, 0x1.81f04a0000000p+5, 0x1.2750c00000000p-1, 0x1.353a4c0a237c3p-1},
    {METRIC_CHRF, 700, 1201, "18446744073709551617", 0x1.836e760000000p+5, 0x1.0e8e600000000p+0,
     0x1.e6a74981446f8p-4, 0x1.836e760000000p+5, 0x1.0e8e600000000p+0, 0x1.11be1958b67ecp-2},
    {METRIC_CHRF, 700, 20011, "12345", 0x1.830e840000000p+5, 0x1.dffe800000000p-1,
     0x1.079a9d260511cp-3, 0x1.830e860000000p+5, 0x1.dffe800000000p-1, 0x1.6cfd7720f353ap-2},
};

static uint32_t invention;

static int32_t next_below(int32_t bound)
{
    invention = (invention * UINT32_C(1103515245) + 12345) & UINT32_C(0x7FFFFFFF);
    return (int32_t)(invention >> 8) % bound;
}

static int32_t at_least(int32_t least, int32_t value)
{
    return value < least ? least : value;
}

static void invent_row(enum metric_kind kind, int32_t *row)
{
    const int32_t length = 4 + next_below(46);
    const int32_t reference = at_least(1, length + next_below(7) - 3);
    int32_t correct = length;
    row[0] = length;
    row[1] = reference;
    for (int32_t k = 0; kind == METRIC_BLEU && k < BLEU_ORDER; k++) {
        const int32_t total = at_least(0, length - k);
        correct = next_below((correct < total ? correct : total) + 1);
        row[2 + k] = correct;
        row[2 + BLEU_ORDER + k] = total;
    }
    for (int32_t k = 0; kind == METRIC_CHRF && k < 6; k++) {
        row[3 * k] = at_least(0, length - k);
        row[3 * k + 1] = at_least(0, reference - k);
        row[3 * k + 2] =
            next_below((row[3 * k] < row[3 * k + 1] ? row[3 * k] : row[3 * k + 1]) + 1);
    }
}

static struct resample_counts invent(const struct metric *metric, int64_t n, int32_t scale,
                                     uint32_t seed, int32_t *rows)
{
    const size_t width = metric_width(metric);
    invention = seed;
    for (int64_t i = 0; i < n; i++)
        invent_row(metric->kind, rows + (size_t)i * width);
    for (size_t i = 0; i < (size_t)n * width; i++)
        rows[i] *= scale;
    return (struct resample_counts){rows, n};
}

static void check_number(size_t run, int threads, const char *what, double found, double wanted)
{
    if (!(found == wanted))
        fail_msg("run %zu, %d threads: %s %a instead of %a", run, threads, what, found, wanted);
}

static void check_run(size_t run, const struct metric *metric,
                      const struct resample_counts systems[2], int threads)
{
    const struct resample_options options = {
        .n_samples = N_SAMPLES, .has_seed = true, .seed = runs[run].seed, .threads = threads};
    double mean, half_width;
    assert_int_equal(resample_interval(metric, &systems[1], &options, &mean, &half_width),
                     STATUS_OK);
    check_number(run, threads, "mean", mean, runs[run].mean);
    check_number(run, threads, "half width", half_width, runs[run].half_width);
    struct resample_result result, both[2];
    assert_int_equal(resample_paired_bootstrap(metric, &systems[0], &systems[1], &options, &result),
                     STATUS_OK);
    check_number(run, threads, "bootstrap p", result.p_value, runs[run].p_value);
    check_number(run, threads, "bootstrap mean", result.mean, runs[run].paired_mean);
    check_number(run, threads, "bootstrap half width", result.half_width, runs[run].paired_half);
    assert_int_equal(resample_paired_systems(metric, systems, 2, &options, both), STATUS_OK);
    assert_memory_equal(&both[1], &result, sizeof result);
    assert_int_equal(resample_paired_systems(metric, &systems[1], 1, &options, both), STATUS_OK);
    check_number(run, threads, "baseline mean", both[0].mean, runs[run].paired_mean);
    check_number(run, threads, "baseline half width", both[0].half_width, runs[run].paired_half);
    assert_int_equal(resample_randomization(metric, &systems[0], &systems[1], &options, &result),
                     STATUS_OK);
    check_number(run, threads, "randomization p", result.p_value, runs[run].randomization_p_value);
}

static void intervals_and_tests_are_those_of_sacrebleu(void **state)
{
    (void)state;
    static int32_t rows[2][MAX_SEGMENTS * MAX_WIDTH];
    for (size_t run = 0; run < sizeof runs / sizeof runs[0]; run++) {
        const struct metric metric = {
            .kind = runs[run].kind, .bleu = bleu_config_default(), .chrf = chrf_config_default()};
        const size_t row_bytes = metric_width(&metric) * sizeof(int32_t);
        struct resample_counts systems[2];
        for (uint32_t i = 0; i < 2; i++)
            systems[i] = invent(&metric, runs[run].n, runs[run].scale, i + 1, rows[i]);
        for (size_t i = 0; i < (size_t)runs[run].n; i++) {
            if (i % 3 != 0)
                memcpy((char *)rows[1] + i * row_bytes, (char *)rows[0] + i * row_bytes, row_bytes);
        }
        check_run(run, &metric, systems, 1);
        check_run(run, &metric, systems, 3);
    }
}

/* Enough segments that draws are rejected before most groups of resamples start. */
static void threads_change_nothing_where_draws_are_rejected(void **state)
{
    (void)state;
    enum { N = 300007 };
    const struct metric metric = {.kind = METRIC_BLEU, .bleu = bleu_config_default()};
    int32_t *rows = malloc((size_t)N * 10 * sizeof *rows);
    assert_non_null(rows);
    const struct resample_counts system = invent(&metric, N, 1, 5, rows);
    double mean[2], half_width[2];
    for (int i = 0; i < 2; i++) {
        const struct resample_options options = {
            .n_samples = 9, .has_seed = true, .seed = "1", .threads = 1 + 2 * i};
        assert_int_equal(resample_interval(&metric, &system, &options, &mean[i], &half_width[i]),
                         STATUS_OK);
    }
    assert_memory_equal(&mean[0], &mean[1], sizeof mean[0]);
    assert_memory_equal(&half_width[0], &half_width[1], sizeof half_width[0]);
    free(rows);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_are_those_of_numpy),
        cmocka_unit_test(leading_zeros_are_no_other_seed),
        cmocka_unit_test(bad_seeds_are_refused),
        cmocka_unit_test(the_system_seeds_differently_each_time),
        cmocka_unit_test(many_draws_are_the_same_as_one_by_one),
        cmocka_unit_test(skipping_is_drawing),
        cmocka_unit_test(rejected_draws_are_counted),
        cmocka_unit_test(means_are_those_of_python_and_numpy),
        cmocka_unit_test(intervals_and_tests_are_those_of_sacrebleu),
        cmocka_unit_test(threads_change_nothing_where_draws_are_rejected),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
