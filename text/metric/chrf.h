/* chrF and chrF++ (Popovic 2015, 2017), number for number as sacreBLEU 2.6.0 computes them. */
#ifndef MIXT_TEXT_METRIC_CHRF_H
#define MIXT_TEXT_METRIC_CHRF_H

#include "text/metric/bleu.h"

/* Larger orders are refused; sacreBLEU knows no limit. */
enum { CHRF_MAX_CHAR_ORDER = 32, CHRF_MAX_WORD_ORDER = 32 };

struct chrf_config {
    int64_t char_order; /* 1..CHRF_MAX_CHAR_ORDER */
    int64_t word_order; /* 0..CHRF_MAX_WORD_ORDER; 2 is chrF++ */
    int64_t beta;       /* weight of recall over precision */
    bool is_whitespace; /* white space counts as a character */
    bool is_lowercase;
    bool is_epsilon_smoothing; /* instead of averaging over the orders that exist */
};

/* Characters to 6, no words, beta 2: what a published chrF2 means. */
struct chrf_config chrf_config_default(void);

#endif
