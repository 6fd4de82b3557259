/* The synthetic patches of mixt lab cluster against their definition, the dispatch entropy by hand,
 * and one short experiment. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tools/lab/patches.h"
#include "tools/lab/trial.h"

enum { K = PATCHES_CLUSTERS, P = PATCHES_COUNT, D = PATCHES_DIM };

/* -- points -- */

static double dot(const double *v, const float *x)
{
    double sum = 0;
    for (int d = 0; d < D; d++)
        sum += v[d] * x[d];
    return sum;
}

static void test_vectors(void **state)
{
    (void)state;
    struct patches_vectors vectors;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        patches_draw_vectors(&vectors, seed);
        double(*const all[2])[D] = {vectors.label, vectors.cluster};
        for (int i = 0; i < 2 * K; i++)
            for (int j = 0; j < 2 * K; j++) {
                double sum = 0;
                for (int d = 0; d < D; d++)
                    sum += all[i / K][i % K][d] * all[j / K][j % K][d];
                assert_true(fabs(sum - (i == j)) <= 1e-6);
            }
    }
}

/* What a patch is: so much of one direction and nothing else, or noise. */
struct reading {
    int direction; /* 0..K-1 a label's, K..2K-1 a cluster's, -1 neither */
    double strength;
};

static struct reading read_patch(const struct patches_vectors *vectors, const float *x)
{
    struct reading reading = {.direction = -1};
    double squares = 0;
    for (int d = 0; d < D; d++)
        squares += (double)x[d] * x[d];
    for (int i = 0; i < 2 * K; i++) {
        const double along = dot(i < K ? vectors->label[i] : vectors->cluster[i - K], x);
        if (fabs(along * along - squares) <= 1e-5 * squares)
            reading = (struct reading){.direction = i, .strength = along / PATCHES_SCALE};
    }
    return reading;
}

/* Sums over points of what must have a known mean. */
struct tally {
    double alpha, beta, gamma, gamma_sign, label, noise, noise_square;
    double of_cluster[K], of_pair[K][K], place[P];
};

static void inside(double value, const double bounds[2])
{
    assert_true(value >= bounds[0] - 1e-5 && value <= bounds[1] + 1e-5);
}

/* Checks point n against the definition and adds it to the tally. */
static void check_point(const struct patches *patches, int64_t n,
                        const struct patches_vectors *vectors,
                        const struct patches_setting *setting, struct tally *tally)
{
    const int cluster = patches->cluster[n];
    const double y = patches->label[n] ? 1 : -1;
    const float *x = patches->x + n * PATCHES_POINT;
    int n_labels = 0, n_clusters = 0, n_others = 0, n_noises = 0;
    for (int p = 0; p < P; p++) {
        const struct reading reading = read_patch(vectors, x + p * D);
        if (reading.direction < 0) {
            n_noises++;
            for (int d = 0; d < D; d++) {
                tally->noise += x[p * D + d] / PATCHES_SCALE;
                tally->noise_square += pow(x[p * D + d] / PATCHES_SCALE, 2);
            }
        } else if (reading.direction >= K) {
            n_clusters += reading.direction == K + cluster;
            inside(reading.strength, setting->beta);
            tally->beta += reading.strength;
        } else if (reading.direction == cluster) {
            n_labels++;
            inside(y * reading.strength, setting->alpha);
            tally->alpha += y * reading.strength;
            tally->place[p]++;
        } else {
            n_others++;
            inside(fabs(reading.strength), setting->gamma);
            tally->gamma += fabs(reading.strength);
            tally->gamma_sign += y * (reading.strength > 0 ? 1 : -1);
            tally->of_pair[cluster][reading.direction]++;
        }
    }
    assert_true(n_labels == 1 && n_clusters == 1 && n_others == 1 && n_noises == 1);
    for (int d = 0; d < D; d++)
        assert_true(fabs(x[d] + x[D + d] + x[2 * D + d] + x[3 * D + d] - patches->sum[n * D + d]) <=
                    1e-4);
    tally->label += y;
    tally->of_cluster[cluster]++;
}

/* sum of count numbers must have this mean, within five standard errors. */
static void expect_mean(double sum, double count, double mean, double deviation)
{
    if (!(fabs(sum / count - mean) <= 5 * deviation / sqrt(count)))
        fail_msg("mean %g, wanted %g +- %g", sum / count, mean, deviation / sqrt(count));
}

static void expect_share(double sum, double count, double share)
{
    expect_mean(sum, count, share, sqrt(share * (1 - share)));
}

static void expect_uniform(double sum, double count, const double bounds[2])
{
    expect_mean(sum, count, (bounds[0] + bounds[1]) / 2, (bounds[1] - bounds[0]) / sqrt(12));
}

static void test_points(void **state)
{
    (void)state;
    enum { N = 20000 };
    for (int s = 0; s < PATCHES_SETTINGS; s++) {
        const struct patches_setting *setting = &patches_settings[s];
        struct arena arena;
        struct patches_vectors vectors;
        struct tally tally = {0};
        assert_int_equal(arena_init(&arena, 1 << 26), STATUS_OK);
        patches_draw_vectors(&vectors, 7);
        const struct patches patches = patches_draw(&arena, setting, &vectors, N, 7, 0);
        for (int64_t n = 0; n < N; n++)
            check_point(&patches, n, &vectors, setting, &tally);
        expect_uniform(tally.alpha, N, setting->alpha);
        expect_uniform(tally.beta, N, setting->beta);
        expect_uniform(tally.gamma, N, setting->gamma);
        expect_mean(tally.label, N, 0, 1);
        expect_mean(tally.gamma_sign, N, 0, 1);
        const double variance = setting->noise * setting->noise / D;
        expect_mean(tally.noise, (double)N * D, 0, sqrt(variance));
        expect_mean(tally.noise_square, (double)N * D, variance, sqrt(2) * variance);
        for (int p = 0; p < P; p++)
            expect_share(tally.place[p], N, 1.0 / P);
        for (int k = 0; k < K; k++) {
            expect_share(tally.of_cluster[k], N, 1.0 / K);
            for (int other = 0; other < K; other++)
                if (other != k)
                    expect_share(tally.of_pair[k][other], N, 1.0 / (K * (K - 1)));
        }
        arena_free(&arena);
    }
}

/* A point does not depend on how many are drawn; the test's points are others. */
static void test_point_alone(void **state)
{
    (void)state;
    struct arena arena;
    struct patches_vectors vectors;
    assert_int_equal(arena_init(&arena, 1 << 20), STATUS_OK);
    patches_draw_vectors(&vectors, 3);
    const struct patches few = patches_draw(&arena, &patches_settings[0], &vectors, 5, 3, 0);
    const struct patches many = patches_draw(&arena, &patches_settings[0], &vectors, 50, 3, 0);
    const struct patches others = patches_draw(&arena, &patches_settings[0], &vectors, 5, 3, 1);
    assert_memory_equal(few.x, many.x, 5 * PATCHES_POINT * sizeof *few.x);
    assert_memory_equal(few.label, many.label, 5 * sizeof *few.label);
    for (int n = 0; n < 5; n++)
        assert_memory_not_equal(few.x + n * PATCHES_POINT, others.x + n * PATCHES_POINT,
                                PATCHES_POINT * sizeof *few.x);
    arena_free(&arena);
}

/* -- dispatch entropy -- */

static void test_entropy(void **state)
{
    (void)state;
    const int32_t clusters[] = {0, 1, 2, 3, 0, 1, 2, 3};
    const int32_t own[] = {5, 1, 0, 7, 5, 1, 0, 7};    /* an expert for each cluster */
    const int32_t shared[] = {4, 4, 4, 4, 6, 6, 6, 6}; /* all clusters at each expert */
    const int32_t paired[] = {0, 0, 1, 2, 0, 0, 1, 2}; /* two clusters at one expert */
    assert_true(patches_entropy(own, clusters, 8, 8) == 0);
    assert_true(fabs(patches_entropy(shared, clusters, 8, 8) - log(4)) <= 1e-12);
    assert_true(fabs(patches_entropy(paired, clusters, 8, 8) - 0.5 * log(2)) <= 1e-12);
}

/* -- the experiment -- */

static struct trial_result run(struct trial trial)
{
    struct trial_result result;
    if (trial_run(&trial, &result) < 0)
        fail_msg("%s", status_message());
    return result;
}

/* Mixtures of cubic experts pass the 7/8 that bounds single models (theorem 4.1), with either
 * factor; their experts take a cluster each. Linear ones do not find the clusters. */
static void test_trial(void **state)
{
    (void)state;
    struct trial trial = {.setting = 2,
                          .is_mixture = true,
                          .is_cubic = true,
                          .n_points = 3000,
                          .n_steps = 150,
                          .seed = 1};
    const struct trial_result cubic = run(trial), again = run(trial);
    assert_memory_equal(&cubic, &again, sizeof cubic);
    assert_true(cubic.test_accuracy > 0.97 && cubic.entropy < 0.2);
    trial.has_softmax_factor = true;
    const struct trial_result softmax = run(trial);
    assert_true(softmax.test_accuracy > 0.97 && softmax.entropy < 0.2);
    trial.has_softmax_factor = trial.is_cubic = false;
    const struct trial_result linear = run(trial);
    assert_true(linear.test_accuracy > 0.8 && linear.entropy > 0.8);
    trial.is_mixture = false;
    trial.n_steps = 40;
    assert_true(run(trial).test_accuracy < 0.875);
    trial.is_cubic = true;
    const struct trial_result single = run(trial);
    assert_true(single.test_accuracy < 0.875 && single.test_accuracy > 0.55);
    assert_true(single.entropy == 0 && single.n_steps == 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),     cmocka_unit_test(test_points),
        cmocka_unit_test(test_point_alone), cmocka_unit_test(test_entropy),
        cmocka_unit_test(test_trial),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
