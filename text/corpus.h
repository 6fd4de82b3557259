/* A parallel corpus, or one text, as piece ids, and the order in which an epoch goes through it.
 *
 * The ids lie in a temporary file that is mapped into memory, so a corpus may be larger than the
 * machine's memory: the system keeps what is in use and drops the rest. */
#ifndef MIXT_TEXT_CORPUS_H
#define MIXT_TEXT_CORPUS_H

#include <stdint.h>

#include "base/buffer.h"
#include "text/batch.h"
#include "text/ids.h"
#include "text/lines.h"
#include "text/subword/sentencepiece.h"

enum {
    CORPUS_MAX_LEN = (1 << 20) - 2,  /* largest max_len: lengths are sort keys of 20 bits */
    CORPUS_MAX_LINE_BYTES = 1 << 20, /* a longer line is too long, whatever its pieces */
};

struct corpus_options {
    const char *const *sources; /* [n_files] paths; file i of both sides is line-parallel; NULL:
                                 * one text, the targets, and no pair has a source */
    const char *const *targets; /* [n_files] */
    size_t n_files;
    const int32_t *prefixes; /* [n_files] id that each source of file i begins with, -1: none; NULL:
                              * none anywhere */
    const struct subword *source_subword; /* each has an eos, the target one also a bos; NULL where
                                           * sources is */
    const struct subword *target_subword; /* may be the same */
    int64_t max_len;               /* pieces a side, without prefix and eos; 1..CORPUS_MAX_LEN */
    int threads;                   /* for encoding, 1 or more; no influence on the result */
    const char *scratch_directory; /* where the temporary file lies, which has no name and goes with
                                    * the corpus; NULL: in memory */
    double sampling; /* alpha of subword_sample() (all segmentations), a new cut for each seed; 0:
                      * the one best cut */
    uint64_t seed;   /* of the sampling */
};

/* What corpus_load() met. Line numbers run on over all files. */
struct corpus_report {
    int64_t lines;               /* pairs read */
    struct lines_tally empty;    /* pairs left out: a side without a piece */
    struct lines_tally too_long; /* pairs left out: a side over max_len */
    int64_t source_unknown;      /* unknown pieces of the pairs that were kept */
    int64_t target_unknown;
    struct buffer repairs; /* lines_describe() of each repaired file, a line each; owned */
};

/* Where a pair lies in a corpus' ids: source with its prefix, then target, each with its eos. */
struct corpus_pair {
    int64_t start;
    int32_t source_length; /* prefix and eos included; 0 in a corpus of one text */
    int32_t target_length;
};

/* Zeroed is empty. */
struct corpus {
    int64_t n_pairs;
    const struct corpus_pair *pairs; /* [n_pairs] mapped */
    const int32_t *ids;              /* mapped */
    int64_t n_source_ids;            /* of all pairs, eos included */
    int64_t n_target_ids;
    int32_t bos;        /* of the target model */
    uint64_t text_hash; /* of all lines read, whatever became of them */
    struct corpus_report report;
};

/* Reads, encodes and keeps all pairs that are neither empty nor too long.
 *
 * A path may also name a side of a prepared corpus (text/lines.h).
 *
 * STATUS_DATA when two files have different numbers of lines (both are counted to the end) and when
 * no pair is left; STATUS_CONFIG for a model without eos or bos; STATUS_IO, STATUS_FORMAT,
 * STATUS_MEMORY. On error the corpus is empty. */
enum status corpus_load(struct corpus *corpus, const struct corpus_options *options) STATUS_CHECKED;

/* Gives memory and file back and zeroes the corpus. */
void corpus_free(struct corpus *corpus);

/* The first id of a pair's side; pairs[pair] says how many there are. Borrowed. */
const int32_t *corpus_source(const struct corpus *corpus, int64_t pair);
const int32_t *corpus_target(const struct corpus *corpus, int64_t pair);

/* The batches of one epoch. Zeroed is empty. */
struct epoch_plan {
    int64_t n_batches;
    int64_t *starts; /* [n_batches + 1] where batch i begins in pairs; the last is the end */
    int32_t *pairs;  /* [n_pairs] every pair once; within a batch longest source first */
};

/* Plans an epoch: shuffles, sorts by both lengths inside windows (of the whole corpus below a
 * million pairs, else of 262,144), cuts batches of at most max_tokens padded tokens on the longer
 * side (B * max(S, T), but one pair at least), and shuffles the batches.
 *
 * A pure function of its arguments, so (epoch, batch) is all that an exact continuation needs.
 * plan is overwritten: free it before. STATUS_MEMORY, with the plan empty. */
enum status epoch_plan_make(struct epoch_plan *plan, const struct corpus *corpus, uint64_t seed,
                            uint32_t epoch, int64_t max_tokens) STATUS_CHECKED;

void epoch_plan_free(struct epoch_plan *plan);

/* Fills batch with batch number `index` of the plan; first_sentence is the place of its first
 * sentence in the whole update. STATUS_MEMORY. */
enum status epoch_plan_batch(const struct epoch_plan *plan, const struct corpus *corpus,
                             int64_t index, int64_t first_sentence,
                             struct batch *batch) STATUS_CHECKED;

/* The same with share number `part` of n_parts of its sentences: every n_parts-th, so that the
 * shares have about as many tokens, as sentences stand by length. A share of a small batch may be
 * empty. */
enum status epoch_plan_share(const struct epoch_plan *plan, const struct corpus *corpus,
                             int64_t index, int64_t first_sentence, int part, int n_parts,
                             struct batch *batch) STATUS_CHECKED;

#endif
