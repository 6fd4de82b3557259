/* Random numbers: published answers of Philox 4x32-10, and the statistics of what is made of it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"

/* The known answers that come with Random123 (Salmon et al. 2011), counters c0..c3 and keys k0, k1.
 * Here c0 is the block, c1 the row, c2 the stream and c3 the step; k0 and k1 are the low and the
 * high half of the seed. */
static void test_known_answers(void **state)
{
    (void)state;
    const struct {
        uint32_t counter[4], key[2], words[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const uint32_t *c = cases[i].counter;
        const struct random_key key = {.seed = cases[i].key[0] | (uint64_t)cases[i].key[1] << 32,
                                       .step = c[3],
                                       .stream = c[2]};
        const struct random_words words = random_philox(key, c[1], c[0]);
        for (int w = 0; w < 4; w++)
            assert_int_equal(words.word[w], cases[i].words[w]);
    }
}

static void test_unit(void **state)
{
    (void)state;
    assert_true(random_unit(0) == 0x1p-33);
    assert_true(random_unit(UINT32_MAX) == 1 - 0x1p-33);
    assert_true(random_unit(0x80000000) == 0.5 + 0x1p-33);
}

static void test_below(void **state)
{
    (void)state;
    assert_true(random_below(0, 7, 5) == 2);
    assert_true(random_below(1, 0, 1000) == 4294967296 % 1000);
    assert_true(random_below(UINT32_MAX, UINT32_MAX, 1) == 0);
    assert_true(random_below(UINT32_MAX, UINT32_MAX, UINT64_MAX) == 0);
}

/* Box and Muller by hand: u0 = e^-2 gives radius 2; quarter and eighth turns. */
static void test_normal_pair_values(void **state)
{
    (void)state;
    double normal[2];
    const uint32_t radius_two = (uint32_t)(exp(-2) * 0x1p32);
    random_normal_pair(radius_two, 0x40000000, normal);
    assert_true(fabs(normal[0]) < 1e-8 && fabs(normal[1] - 2) < 1e-8);
    random_normal_pair(radius_two, 0x20000000, normal);
    assert_true(fabs(normal[0] - sqrt(2)) < 1e-8 && fabs(normal[1] - sqrt(2)) < 1e-8);
    random_normal_pair(0, 0, normal);
    assert_true(fabs(normal[0] - sqrt(66 * log(2))) < 1e-8 && fabs(normal[1]) < 1e-8);
    random_normal_pair(UINT32_MAX, UINT32_MAX, normal);
    assert_true(isfinite(normal[0]) && isfinite(normal[1]));
}

enum { PAIRS = 200000 };

static void draw_pair(uint32_t i, double normal[2])
{
    const struct random_key key = {.seed = 2017, .stream = 1};
    const struct random_words words = random_philox(key, i / 2, i % 2);
    random_normal_pair(words.word[0], words.word[1], normal);
}

/* Moments within five standard errors of a standard normal's. */
static void test_normal_moments(void **state)
{
    (void)state;
    double sum[5] = {0}, product = 0, neighbours = 0, last = 0;
    for (uint32_t i = 0; i < PAIRS; i++) {
        double normal[2];
        draw_pair(i, normal);
        for (int j = 0; j < 2; j++)
            for (int power = 1; power <= 4; power++)
                sum[power] += pow(normal[j], power) / (2.0 * PAIRS);
        product += normal[0] * normal[1] / PAIRS;
        neighbours += normal[0] * last / PAIRS;
        last = normal[0];
    }
    const double count = 2.0 * PAIRS;
    assert_true(fabs(sum[1]) < 5 * sqrt(1 / count));
    assert_true(fabs(sum[2] - 1) < 5 * sqrt(2 / count));
    assert_true(fabs(sum[3]) < 5 * sqrt(15 / count));
    assert_true(fabs(sum[4] - 3) < 5 * sqrt(96 / count));
    assert_true(fabs(product) < 5 * sqrt(1.0 / PAIRS));
    assert_true(fabs(neighbours) < 5 * sqrt(1.0 / PAIRS));
}

/* Shares below some places against the normal distribution. */
static void test_normal_distribution(void **state)
{
    (void)state;
    static const double places[] = {-3, -2, -1.5, -1, -0.5, -0.1, 0, 0.3, 0.8, 1.2, 2.5, 3.5};
    enum { COUNT = sizeof places / sizeof places[0] };
    double below[COUNT] = {0};
    for (uint32_t i = 0; i < PAIRS; i++) {
        double normal[2];
        draw_pair(i, normal);
        for (int p = 0; p < COUNT; p++)
            below[p] += (normal[0] < places[p]) + (normal[1] < places[p]);
    }
    for (int p = 0; p < COUNT; p++) {
        const double count = 2.0 * PAIRS, wanted = 0.5 * erfc(-places[p] / sqrt(2));
        const double error = sqrt(wanted * (1 - wanted) / count);
        assert_true(fabs(below[p] / count - wanted) < 5 * error);
    }
}

/* Each part of the key and the counter changes every word. */
static void test_keys_differ(void **state)
{
    (void)state;
    const struct random_key key = {.seed = 5, .step = 6, .stream = 7};
    struct random_key keys[] = {key, key, key, key, key, key};
    uint32_t rows[6] = {0}, blocks[6] = {0};
    keys[1].seed += (uint64_t)1 << 32;
    keys[2].step++;
    keys[3].stream++;
    rows[4]++;
    blocks[5]++;
    for (int a = 0; a < 6; a++)
        for (int b = 0; b < a; b++)
            for (int w = 0; w < 4; w++)
                assert_int_not_equal(random_philox(keys[a], rows[a], blocks[a]).word[w],
                                     random_philox(keys[b], rows[b], blocks[b]).word[w]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),  cmocka_unit_test(test_unit),
        cmocka_unit_test(test_below),          cmocka_unit_test(test_normal_pair_values),
        cmocka_unit_test(test_normal_moments), cmocka_unit_test(test_normal_distribution),
        cmocka_unit_test(test_keys_differ),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}
