/* A small whole model put together from its parts: embedding, encoder, decoder, output, loss. */
#ifndef MIXT_TESTS_TRANSLATOR_H
#define MIXT_TESTS_TRANSLATOR_H

#include "decoder/decoder.h"
#include "encoder/encoder.h"
#include "tests/fixture.h"

struct translator {
    struct embedding embedding; /* one table for source, target and softmax */
    struct output output;
    struct encoder encoder;
    struct decoder decoder;
};

struct translator_config {
    int64_t vocabulary;
    double embedding_scale;
    struct encoder_config encoder;
    struct decoder_config decoder;
};

/* 11 words; D 4, H 5, A 3; E 4, K 2, F 6. Encoder: three layers, the first in both directions, MoE
 * after the second. Decoder: two layers, MoE after the first. */
struct translator_config translator_config_small(void);

/* Combination 0..7 of the decoder's options: 1 input feeding, 2 additive attention, 4 no
 * projection. 0 is what the small configuration has. */
void decoder_config_options(struct decoder_config *config, int options);

/* Adds the parameters to the fixture's list; the table is "embedding". Borrows itself: keep it in
 * place. */
void translator_init(struct translator *translator, struct fixture *fixture,
                     const struct translator_config *config);

/* One batch: source, target that starts with the begin symbol, and the words to predict at the
 * target's real positions. */
struct translator_batch {
    struct sequence source, target;
    struct tensor wanted; /* [N] i32 */
    double smoothing;
    double scale;         /* of the sum of the tokens' losses */
    double balance_scale; /* of the balance losses */
};

/* A batch with random words, of n_source and n_target steps. Lengths NULL: all are as long. */
struct translator_batch translator_batch_random(struct fixture *fixture, int32_t n_words,
                                                int64_t n_source, int64_t n_target, int64_t n_b,
                                                const int32_t *source_lengths,
                                                const int32_t *target_lengths);

struct translator_record {
    struct encoder_record encoder;
    struct decoder_record decoder;
    struct tensor memory;  /* [S, B, D] */
    struct tensor readout; /* [N, D] */
    struct tensor loss;    /* [N] label-smoothed */
    struct tensor nll;     /* [N] */
};

/* scale * sum of losses + balance losses; with wants_gradient, adds to the gradients of the
 * parameters. */
double translator_loss(const struct translator *translator, struct fixture *fixture,
                       struct translator_record *record, const struct translator_batch *batch,
                       bool wants_gradient);

#endif
