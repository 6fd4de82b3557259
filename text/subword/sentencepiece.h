/* Subword models: train, open, text to piece ids and back, over the SentencePiece library.
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

struct subword; /* an open model */

/* A text of known length; NUL may occur. */
struct subword_text {
    const char *bytes;
    size_t size;
};

struct subword_train_options {
    const char *const *paths; /* [n_paths] files of lines, .gz allowed; read one after another */
    size_t n_paths;
    const struct subword_text *texts; /* [n_texts] lines from memory, after those of the files */
    size_t n_texts;
    const char *type;      /* "unigram" or "bpe" */
    int64_t size;          /* pieces in all, the four special ones included */
    double coverage;       /* 0.9 .. 1: share of the text's characters that get a piece */
    const char *normalize; /* "nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf" (cf: case folded),
                            * "identity" */
    bool byte_fallback;    /* other characters become bytes (256 pieces more), not unknown */
    int64_t sample_lines;  /* train on at most so many lines, drawn evenly from all */
    uint64_t seed;         /* of that draw */
    size_t max_line_bytes; /* longer lines are left out */
};

/* What the training saw. */
struct subword_train_report {
    int64_t lines;    /* read */
    int64_t empty;    /* of these, left out as empty or blank */
    int64_t too_long; /* left out as longer than max_line_bytes */
    int64_t sampled;  /* trained on */
};

/* bpe, 8000 pieces, coverage 0.9995, nmt_nfkc, no bytes, 2 million lines of at most 4 KiB. */
struct subword_train_options subword_train_defaults(void);

/* Trains a model and appends its bytes to model: those of a .model file of SentencePiece.
 *
 * The same lines and options give the same bytes on any machine: the number of threads is fixed,
 * because the library's sums depend on it.
 *
 * STATUS_CONFIG for wrong options, and for a size that the text is too small or too rich for (the
 * message names the size that fits); STATUS_DATA without usable text; STATUS_IO, STATUS_FORMAT,
 * STATUS_MEMORY, STATUS_FAILED. report may be NULL. */
enum status subword_train(const struct subword_train_options *options, struct buffer *model,
                          struct subword_train_report *report) STATUS_CHECKED;

/* Opens a model from bytes, copied, or from a file; name is for messages. On error *subword is
 * NULL: STATUS_FORMAT (also for a foreign or damaged model), STATUS_IO, STATUS_MEMORY. */
enum status subword_open_bytes(struct subword **subword, const char *bytes, size_t size,
                               const char *name) STATUS_CHECKED;
enum status subword_open_file(struct subword **subword, const char *path) STATUS_CHECKED;

/* NULL is allowed. */
void subword_free(struct subword *subword);

/* Appends the ids of a text, without bos and eos; none for an empty or blank one. Invalid UTF-8
 * counts as U+FFFD. STATUS_MEMORY, STATUS_FAILED. */
enum status subword_encode(const struct subword *subword, const char *text, size_t size,
                           struct ids *ids) STATUS_CHECKED;

/* Appends the pieces, separated by one space. */
enum status subword_encode_pieces(const struct subword *subword, const char *text, size_t size,
                                  struct buffer *pieces) STATUS_CHECKED;

/* Appends the ids of a random segmentation, a pure function of (model, text, alpha, n_best, seed).
 *
 * unigram: drawn with probability proportional to P^alpha, among all segmentations (n_best < 0) or
 * the n_best best (2..512). bpe: each merge is left out with probability alpha, n_best is ignored.
 * Where nothing can be drawn (n_best 0 or 1, other model types) it is subword_encode(). alpha is
 * 0..100, for bpe 0..1. Errors as there. */
enum status subword_sample(const struct subword *subword, const char *text, size_t size,
                           double alpha, int n_best, uint64_t seed, struct ids *ids) STATUS_CHECKED;

/* Appends the text of n ids. Special ids give nothing, the unknown one " U+2047 "; the result is
 * one line: line ends and NUL that byte pieces spell become spaces. STATUS_DATA for an id out of
 * range (text as it was), STATUS_MEMORY, STATUS_FAILED. */
enum status subword_decode(const struct subword *subword, const int32_t *ids, size_t n,
                           struct buffer *text) STATUS_CHECKED;

/* The same for pieces as subword_encode_pieces() writes them; a word that is no piece stands for
 * itself. */
enum status subword_decode_pieces(const struct subword *subword, const char *pieces, size_t size,
                                  struct buffer *text) STATUS_CHECKED;

/* Number of pieces; ids are 0..size-1. */
int32_t subword_size(const struct subword *subword);

/* True for a BPE model, false for a unigram (or other) one. */
bool subword_is_bpe(const struct subword *subword);

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
