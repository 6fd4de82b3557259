/* The synthetic patches: drawing, and how experts share the clusters. */
#include "tools/lab/patches.h"

#include <math.h>

#include "base/random.h"

const struct patches_setting patches_settings[PATCHES_SETTINGS] = {
    {.alpha = {0.5, 2}, .beta = {1, 2}, .gamma = {0.5, 3}, .noise = 1},
    {.alpha = {0.5, 2}, .beta = {1, 2}, .gamma = {0.5, 3}, .noise = 2},
    {.alpha = {0.5, 2}, .beta = {1, 2}, .gamma = {0.5, 2}, .noise = 1},
    {.alpha = {0.5, 2}, .beta = {1, 2}, .gamma = {0.5, 2}, .noise = 2},
};

/* Streams of random numbers; those of points are STREAM_POINTS + part. */
enum { STREAM_VECTORS = 100, STREAM_POINTS = 101 };

/* One row of random numbers, read word by word. */
struct draws {
    struct random_key key;
    uint32_t row, n_words;
    struct random_words words;
};

static uint32_t next_word(struct draws *draws)
{
    const uint32_t i = draws->n_words++;
    if (i % 4 == 0)
        draws->words = random_philox(draws->key, draws->row, i / 4);
    return draws->words.word[i % 4];
}

static double next_uniform(struct draws *draws, const double bounds[2])
{
    return bounds[0] + (bounds[1] - bounds[0]) * random_unit(next_word(draws));
}

/* In 0 .. bound-1. */
static int32_t next_below(struct draws *draws, int32_t bound)
{
    const uint32_t word0 = next_word(draws), word1 = next_word(draws);
    return (int32_t)random_below(word0, word1, (uint64_t)bound);
}

static void next_normals(struct draws *draws, double v[PATCHES_DIM])
{
    _Static_assert(PATCHES_DIM % 2 == 0, "normal numbers come in pairs");
    for (int d = 0; d < PATCHES_DIM; d += 2) {
        const uint32_t word0 = next_word(draws), word1 = next_word(draws);
        random_normal_pair(word0, word1, v + d);
    }
}

static double dot(const double *a, const double *b)
{
    double sum = 0;
    for (int d = 0; d < PATCHES_DIM; d++)
        sum += a[d] * b[d];
    return sum;
}

void patches_draw_vectors(struct patches_vectors *vectors, uint64_t seed)
{
    double *all[2 * PATCHES_CLUSTERS];
    for (int k = 0; k < PATCHES_CLUSTERS; k++) {
        all[k] = vectors->label[k];
        all[PATCHES_CLUSTERS + k] = vectors->cluster[k];
    }
    struct draws draws = {.key = {.seed = seed, .stream = STREAM_VECTORS}};
    for (int i = 0; i < 2 * PATCHES_CLUSTERS; i++) {
        next_normals(&draws, all[i]);
        for (int j = 0; j < i; j++) {
            const double along = dot(all[i], all[j]);
            for (int d = 0; d < PATCHES_DIM; d++)
                all[i][d] -= along * all[j][d];
        }
        const double length = sqrt(dot(all[i], all[i]));
        for (int d = 0; d < PATCHES_DIM; d++)
            all[i][d] /= length;
    }
}

/* A random order of the patches (Fisher and Yates). */
static void shuffle(struct draws *draws, int32_t order[PATCHES_COUNT])
{
    for (int32_t i = 0; i < PATCHES_COUNT; i++) {
        const int32_t j = next_below(draws, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
}

static void put(float *x, float *sum, const double *direction, double strength)
{
    for (int d = 0; d < PATCHES_DIM; d++) {
        x[d] = (float)(PATCHES_SCALE * strength * direction[d]);
        sum[d] += x[d];
    }
}

static void draw_point(struct patches *patches, int64_t n, const struct patches_setting *setting,
                       const struct patches_vectors *vectors, struct draws *draws)
{
    float *x = patches->x + n * PATCHES_POINT, *sum = patches->sum + n * PATCHES_DIM;
    int32_t order[PATCHES_COUNT];
    double noise[PATCHES_DIM];
    const int32_t cluster = next_below(draws, PATCHES_CLUSTERS);
    const int32_t other =
        (cluster + 1 + next_below(draws, PATCHES_CLUSTERS - 1)) % PATCHES_CLUSTERS;
    const uint32_t signs = next_word(draws);
    const double y = signs & 1 ? 1 : -1, eps = signs & 2 ? 1 : -1;
    const double alpha = next_uniform(draws, setting->alpha);
    const double beta = next_uniform(draws, setting->beta);
    const double gamma = next_uniform(draws, setting->gamma);
    shuffle(draws, order);
    next_normals(draws, noise);
    for (int d = 0; d < PATCHES_DIM; d++)
        sum[d] = 0;
    put(x + order[0] * PATCHES_DIM, sum, vectors->label[cluster], y * alpha);
    put(x + order[1] * PATCHES_DIM, sum, vectors->cluster[cluster], beta);
    put(x + order[2] * PATCHES_DIM, sum, vectors->label[other], eps * gamma);
    put(x + order[3] * PATCHES_DIM, sum, noise, setting->noise / sqrt(PATCHES_DIM));
    patches->label[n] = y > 0;
    patches->cluster[n] = cluster;
}

struct patches patches_draw(struct arena *arena, const struct patches_setting *setting,
                            const struct patches_vectors *vectors, int64_t count, uint64_t seed,
                            uint32_t part)
{
    const size_t n = (size_t)count;
    struct patches patches = {
        .count = count,
        .x = arena_take(arena, n * PATCHES_POINT * sizeof(float)),
        .sum = arena_take(arena, n * PATCHES_DIM * sizeof(float)),
        .label = arena_take(arena, n * sizeof(int32_t)),
        .cluster = arena_take(arena, n * sizeof(int32_t)),
    };
    for (int64_t i = 0; i < count; i++) {
        struct draws draws = {.key = {.seed = seed, .stream = STREAM_POINTS + part},
                              .row = (uint32_t)i};
        draw_point(&patches, i, setting, vectors, &draws);
    }
    return patches;
}

double patches_entropy(const int32_t *experts, const int32_t *clusters, int64_t count,
                       int64_t n_experts)
{
    double entropy = 0;
    for (int64_t e = 0; e < n_experts; e++) {
        int64_t of_cluster[PATCHES_CLUSTERS] = {0}, total = 0;
        for (int64_t n = 0; n < count; n++) {
            if (experts[n] == e) {
                of_cluster[clusters[n]]++;
                total++;
            }
        }
        for (int k = 0; k < PATCHES_CLUSTERS; k++)
            if (of_cluster[k] > 0)
                entropy -= (double)of_cluster[k] / (double)count *
                           log((double)of_cluster[k] / (double)total);
    }
    return entropy;
}
