/* Subword models: open, text to piece ids and back, over the SentencePiece library. Training is in
 * text/subword/sentencepiece_train.h.
 *
 * The library is C++ and has no C interface; this is ours. No exception leaves it, the library's
 * own messages never reach stderr, and a model is checked (text/subword/subword_file.h) before the
 * library sees it. An open model is read-only: any number of threads may use it at once. */
#ifndef MIXT_TEXT_SUBWORD_SENTENCEPIECE_H
#define MIXT_TEXT_SUBWORD_SENTENCEPIECE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "text/ids.h"

/* The special ids of every model trained here. */
enum { SUBWORD_PAD = 0, SUBWORD_UNKNOWN = 1, SUBWORD_BOS = 2, SUBWORD_EOS = 3 };

enum { SUBWORD_MAX_BEST = 512 }; /* segmentations of one text that are asked for at once */

struct subword; /* an open model */

/* A text of known length; NUL may occur. */
struct subword_text {
    const char *bytes;
    size_t size;
};

/* Opens a model from bytes, copied, or from a file; name is for messages. On error *subword is
 * NULL: STATUS_FORMAT (also for a foreign or damaged model), STATUS_IO, STATUS_MEMORY. */
enum status subword_open_bytes(struct subword **subword, const char *bytes, size_t size,
                               const char *name) STATUS_CHECKED;
enum status subword_open_file(struct subword **subword, const char *path) STATUS_CHECKED;

/* How a normaliser treats spaces. */
enum subword_spaces {
    SUBWORD_SPACES_AS_MODEL, /* as the model does before it segments, with U+2581 for a space */
    SUBWORD_SPACES_SINGLE,   /* none at the ends and single ones between */
    SUBWORD_SPACES_KEPT
};

/* Opens only the normalisation rules of a model, for subword_normalize(). Otherwise as above. */
enum status subword_open_normalizer(struct subword **subword, const char *bytes, size_t size,
                                    const char *name, enum subword_spaces spaces) STATUS_CHECKED;

/* Appends the text as the rules leave it. subword comes from subword_open_normalizer().
 * STATUS_MEMORY, STATUS_FAILED. */
enum status subword_normalize(const struct subword *subword, const char *text, size_t size,
                              struct buffer *normalized) STATUS_CHECKED;

/* NULL is allowed. */
void subword_free(struct subword *subword);

/* What is done to each segmentation from now on, in the order of the list: "bos:eos:reverse:unk"
 * puts the first and last piece there, turns the order round, and prints text without a piece as
 * the unknown piece. Before the model is shared by threads. STATUS_CONFIG for another word, and
 * for a piece that the model lacks; STATUS_MEMORY. */
enum status subword_set_extra(struct subword *subword, const char *list) STATUS_CHECKED;

/* The same for what is done before decoding. */
enum status subword_set_decode_extra(struct subword *subword, const char *list) STATUS_CHECKED;

/* Uses only the pieces that a vocabulary has from now on, and single characters: a file of lines
 * "piece TAB count", of which those with a count below threshold are left out; without a count it
 * is 1. Before the model is shared by threads; unigram and bpe models. STATUS_CONFIG for others,
 * STATUS_DATA with FILE:LINE, STATUS_IO, STATUS_MEMORY; after an error the model can only be
 * freed. */
enum status subword_restrict(struct subword *subword, const char *path,
                             int64_t threshold) STATUS_CHECKED;

/* Appends the ids of a text, without bos and eos unless subword_set_extra() wants them; none for an
 * empty or blank one. Invalid UTF-8 counts as U+FFFD. STATUS_MEMORY, STATUS_FAILED. */
enum status subword_encode(const struct subword *subword, const char *text, size_t size,
                           struct ids *ids) STATUS_CHECKED;

/* Appends the pieces, separated by one space. */
enum status subword_encode_pieces(const struct subword *subword, const char *text, size_t size,
                                  struct buffer *pieces) STATUS_CHECKED;

/* Appends the n best segmentations of a unigram model, n in 1..SUBWORD_MAX_BEST, best first and
 * perhaps fewer: pieces or ids with one space between, and "\n" between two segmentations.
 * STATUS_FAILED for other models. */
enum status subword_n_best(const struct subword *subword, const char *text, size_t size, int n,
                           bool wants_ids, struct buffer *lines) STATUS_CHECKED;

/* Appends the ids of a random segmentation, a pure function of (model, text, alpha, n_best, seed).
 *
 * unigram: drawn with probability proportional to P^alpha, among all segmentations (n_best < 0) or
 * the n_best best (2..512). bpe: each merge is left out with probability alpha, n_best is ignored.
 * Where nothing can be drawn (n_best 0 or 1, other model types) it is subword_encode(). alpha is
 * 0..100, for bpe 0..1. Errors as there. */
enum status subword_sample(const struct subword *subword, const char *text, size_t size,
                           double alpha, int n_best, uint64_t seed, struct ids *ids) STATUS_CHECKED;

/* The same, as pieces. */
enum status subword_sample_pieces(const struct subword *subword, const char *text, size_t size,
                                  double alpha, int n_best, uint64_t seed,
                                  struct buffer *pieces) STATUS_CHECKED;

/* Appends the text of n ids. Special ids give nothing, the unknown one " U+2047 "; the result is
 * one line: line feeds and NUL that byte pieces spell become spaces. STATUS_DATA for an id out of
 * range (text as it was), STATUS_MEMORY, STATUS_FAILED. */
enum status subword_decode(const struct subword *subword, const int32_t *ids, size_t n,
                           struct buffer *text) STATUS_CHECKED;

/* The same for pieces as subword_encode_pieces() writes them; a word that is no piece stands for
 * itself. */
enum status subword_decode_pieces(const struct subword *subword, const char *pieces, size_t size,
                                  struct buffer *text) STATUS_CHECKED;

/* Number of pieces; ids are 0..size-1. */
int32_t subword_size(const struct subword *subword);

/* True for a BPE model, and for a unigram one; neither for word and character models. */
bool subword_is_bpe(const struct subword *subword);
bool subword_is_unigram(const struct subword *subword);

/* True for a piece that text can have: not the unknown one, not bos, eos and other controls. */
bool subword_is_text(const struct subword *subword, int32_t id);

/* A piece as written in the model ("\xE2\x96\x81the"), borrowed from it, and its score: a
 * log-probability (unigram) or minus its rank (bpe). id in 0..size-1. */
const char *subword_piece(const struct subword *subword, int32_t id);
float subword_score(const struct subword *subword, int32_t id);

/* The id of a piece; -1 where the model has no such piece. */
int32_t subword_id(const struct subword *subword, const char *piece);

/* Special ids; -1 where a foreign model lacks one (the unknown one always exists). */
int32_t subword_unknown_id(const struct subword *subword);
int32_t subword_bos_id(const struct subword *subword);
int32_t subword_eos_id(const struct subword *subword);
int32_t subword_pad_id(const struct subword *subword);

/* The model's bytes as opened, to put into a model file; borrowed. */
struct subword_text subword_serialized(const struct subword *subword);

#endif
