/* Merges the symbols of one word in the order of the codes. */
#ifndef MIXT_TEXT_SUBWORD_BPE_MERGER_H
#define MIXT_TEXT_SUBWORD_BPE_MERGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/random.h"
#include "text/subword/bpe_codes.h"

/* One merge, by its pair of symbols. */
struct bpe_rule {
    int32_t left;
    int32_t right;
    int32_t merged;
    uint32_t rank; /* place in the codes; BPE_NO_RANK: a free slot of the table */
};

#define BPE_NO_RANK UINT32_MAX

enum { BPE_ASCII = 128 };

/* The merges of codes by pair, and what each merged symbol was made of. */
struct bpe_rules {
    struct bpe_codes *codes; /* borrowed; merged symbols are added to its strings */
    struct bpe_rule *slots;  /* owned, [n_slots] a hash table */
    size_t n_slots;          /* a power of two, more than there are rules */
    int32_t *parts; /* owned, [codes->symbols.size] the merge that is undone to take a symbol apart,
                       -1: none */
    int32_t inside[BPE_ASCII]; /* symbols of the ASCII characters, -1: none; only for speed */
    int32_t final[BPE_ASCII];  /* the same with the end of the word */
};

/* A symbol of a word, at the place of its first character. */
struct bpe_node {
    size_t start;   /* first byte in the word */
    int32_t symbol; /* -1: none of the codes' */
    uint32_t rank;  /* of the merge with the next symbol; BPE_NO_RANK: none, or merged away */
    uint32_t previous;
    uint32_t next; /* n_nodes at the end */
};

/* The symbols of a word while they merge; a zeroed one is empty. */
struct bpe_merger {
    struct bpe_node *nodes; /* owned, [capacity] */
    uint64_t *heap;         /* owned, rank and place, the smallest first; some are out of date */
    uint64_t *dropped;      /* owned, left out of this step */
    uint32_t *chosen;       /* owned, [capacity] places of the merge at hand */
    size_t capacity, n_heap;
    uint32_t n_nodes; /* as the word was cut */
};

/* Chance for dropout: a stream of random words. */
struct bpe_chance {
    double dropout;
    struct random_key key;
    struct random_words words;
    uint32_t row, block; /* of the next words */
    unsigned n_left;     /* words not used yet */
};

/* codes are borrowed, and get the merged symbols. STATUS_MEMORY. */
enum status bpe_rules_init(struct bpe_rules *rules, struct bpe_codes *codes) STATUS_CHECKED;
void bpe_rules_free(struct bpe_rules *rules);

/* Cuts a word of two or more characters into symbols and merges them. chance NULL: no dropout.
 *
 * Then the symbols that are left are those from nodes[0] on along next. The last one is empty where
 * it is the end of the word alone, in codes of version 0.1. STATUS_MEMORY. */
enum status bpe_merger_run(struct bpe_merger *merger, const struct bpe_rules *rules,
                           const char *word, size_t size, struct bpe_chance *chance) STATUS_CHECKED;

void bpe_merger_free(struct bpe_merger *merger);

#endif
