/* The synthetic patches of Chen et al. 2022 (definition 3.1): points in clusters, whose label no
 * single model of the paper's form can read.
 *
 * A point has P patches of d numbers: y alpha v_k, which tells the label y; beta c_k, which tells
 * the cluster k; eps gamma v_k', the feature of another cluster with a sign of its own; and noise.
 * v and c are orthonormal; the patches come in random order. */
#ifndef MIXT_TOOLS_LAB_PATCHES_H
#define MIXT_TOOLS_LAB_PATCHES_H

#include <stdint.h>

#include "base/arena.h"

enum { PATCHES_CLUSTERS = 4, PATCHES_COUNT = 4, PATCHES_DIM = 50, PATCHES_SETTINGS = 4 };

/* Numbers of a point, all patches together. */
enum { PATCHES_POINT = PATCHES_COUNT * PATCHES_DIM };

/* Bounds of the uniform strengths, and the noise: normal, of deviation noise / sqrt(d). */
struct patches_setting {
    double alpha[2], beta[2], gamma[2], noise;
};

/* The paper's settings 1 to 4 are numbers 0 to 3. */
extern const struct patches_setting patches_settings[PATCHES_SETTINGS];

/* The directions of one run. */
struct patches_vectors {
    double label[PATCHES_CLUSTERS][PATCHES_DIM];   /* v_k */
    double cluster[PATCHES_CLUSTERS][PATCHES_DIM]; /* c_k; with v_k orthonormal */
};

/* Points drawn at random; the arrays belong to an arena. */
struct patches {
    int64_t count;
    float *x;         /* [N, P d] times PATCHES_SCALE */
    float *sum;       /* [N, d] over a point's patches: what the gate reads */
    int32_t *label;   /* [N] 0 or 1 */
    int32_t *cluster; /* [N] 0..PATCHES_CLUSTERS-1 */
};

/* The authors' code multiplies all numbers by this. */
#define PATCHES_SCALE 10.0

/* Normal draws made orthonormal one after the other (Gram and Schmidt). */
void patches_draw_vectors(struct patches_vectors *vectors, uint64_t seed);

/* Draws count points; a point depends on seed, part (0: training, 1: test) and its number alone. */
struct patches patches_draw(struct arena *arena, const struct patches_setting *setting,
                            const struct patches_vectors *vectors, int64_t count, uint64_t seed,
                            uint32_t part);

/* Dispatch entropy, in nats: sum over experts of their share of the points times the entropy of the
 * clusters among them. 0: each expert serves one cluster; ln 4: experts tell nothing of clusters.
 * experts [count] in 0..n_experts-1. */
double patches_entropy(const int32_t *experts, const int32_t *clusters, int64_t count,
                       int64_t n_experts);

#endif
