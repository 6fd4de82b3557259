/* Random segmentations of a text: subword regularisation (Kudo 2018, arXiv:1804.10959) for unigram
 * models, BPE-dropout (Provilkov et al. 2020, arXiv:1910.13267) for BPE models.
 *
 * The library has both, but draws from one generator a thread whose seed counts only at its first
 * use. Here a segmentation is a pure function of (seed, text), on any thread. Pieces that the
 * maker of a foreign model marked as user-defined are treated as ordinary ones. */
#ifndef MIXT_TEXT_SUBWORD_SUBWORD_SAMPLE_H
#define MIXT_TEXT_SUBWORD_SUBWORD_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "text/ids.h"

struct sampler_piece {
    const char *bytes; /* borrowed: must outlive the sampler */
    size_t size;
    float score;
    bool is_text; /* false: never found in text (control, unknown, byte, unused) */
};

/* A vocabulary prepared for search; read-only once open, so shared by threads. */
struct sampler;

/* Prepares n pieces, whose places are their ids. byte_ids: the ids of the 256 byte pieces, copied,
 * or NULL for a vocabulary where a character without a piece becomes unknown_id. STATUS_MEMORY. */
enum status sampler_open(struct sampler **sampler, const struct sampler_piece *pieces, size_t n,
                         int32_t unknown_id, const int32_t *byte_ids) STATUS_CHECKED;

void sampler_close(struct sampler *sampler);

/* A segmentation, piece by piece; zeroed before the call, both runs to be freed after it. */
struct sampler_draw {
    struct ids ids;
    struct ids ends; /* where in the text each piece ends; it begins where the one before ends */
};

/* Draws one segmentation of a normalised text [size], size up to INT32_MAX, with probability
 * proportional to exp(alpha * sum of the pieces' scores): alpha 0 draws all alike, a large one the
 * best. Time and memory grow with the text times the longest piece. STATUS_MEMORY. */
enum status sampler_draw_unigram(const struct sampler *sampler, const char *text, size_t size,
                                 double alpha, uint64_t seed,
                                 struct sampler_draw *draw) STATUS_CHECKED;

/* Draws the segmentation that the merges of a BPE model make when each possible merge is passed
 * over with the given probability, 0..1. STATUS_MEMORY. */
enum status sampler_drop_merges(const struct sampler *sampler, const char *text, size_t size,
                                double probability, uint64_t seed,
                                struct sampler_draw *draw) STATUS_CHECKED;

/* The score of a character without a piece. */
double sampler_unknown_score(const struct sampler *sampler);

/* A number in (0, 1) that is a pure function of (seed, text). */
double sampler_unit(const char *text, size_t size, uint64_t seed);

#endif
