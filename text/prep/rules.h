/* Which sentence pairs are worth training on: the settings, and the decision on one pair. */
#ifndef MIXT_TEXT_PREP_RULES_H
#define MIXT_TEXT_PREP_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "text/prep/clean.h"
#include "text/prep/measure.h"
#include "text/prep/pairs.h"

/* Reasons to drop a pair, in the order they are tried: the first that holds is the one counted. */
enum prep_rule {
    PREP_EMPTY,     /* a side has nothing but white space */
    PREP_TOO_LONG,  /* a side is over max_characters or max_words */
    PREP_TOO_SHORT, /* a side is under min_characters or min_words */
    PREP_RATIO,     /* words of the longer side > max_ratio * words of the shorter + ratio_slack */
    PREP_COPY,      /* both sides are the same text */
    PREP_SCRIPT,    /* too many letters of scripts that the side's language is not written in */
    PREP_NON_LETTERS, /* too many characters of a side are not letters */
    PREP_DUPLICATE,   /* the pair (or side) was there before */
    PREP_N_RULES,
    PREP_KEEP = PREP_N_RULES /* none of them */
};

/* What makes a pair a duplicate. */
enum prep_duplicates {
    PREP_DUPLICATES_KEEP,
    PREP_DUPLICATES_PAIR,
    PREP_DUPLICATES_SOURCE,
    PREP_DUPLICATES_TARGET
};

struct prep_rules {
    struct clean_options clean;
    int64_t max_characters; /* a side, after cleaning; 0: any number */
    double max_words;       /* a side, as measure.h counts words; 0: any number */
    int64_t min_characters;
    double min_words;
    double max_ratio;   /* 1 or more; 0: off */
    double ratio_slack; /* words that short sentences may differ by, 0 or more */
    bool drops_copies;
    double max_foreign;     /* share of the letters, 0..1; 1: off */
    double max_non_letters; /* share of the characters that are not white space, 0..1; 1: off */
    enum prep_duplicates duplicates;
};

/* NFC and cleaning on, 5000 characters, 250 words, ratio 2.5 with slack 5, copies dropped, at most
 * half of the letters foreign, at most 3/4 non-letters, duplicates by pair. */
struct prep_rules prep_rules_default(void);

/* A short name, "too-long", as reports use it. */
const char *prep_rule_name(enum prep_rule rule);

/* What a rule says, for people: "a side has over 250 words or 5000 characters". At most
 * PREP_REASON_BYTES, the final NUL included. */
enum { PREP_REASON_BYTES = 160 };
void prep_rule_describe(const struct prep_rules *rules, enum prep_rule rule,
                        char text[PREP_REASON_BYTES]);

/* The first rule that drops a cleaned pair, but PREP_DUPLICATE; PREP_KEEP where none does. */
enum prep_rule prep_judge(const struct prep_rules *rules, const struct pair *pair,
                          const struct script_set *source_scripts,
                          const struct script_set *target_scripts);

#endif
