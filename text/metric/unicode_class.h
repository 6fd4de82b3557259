/* Numbers, punctuation and symbols: Unicode's general categories N, P and S.
 *
 * The version is Unicode 18.0, as of the Python module regex 2026.11.15, which sacreBLEU asks. No
 * result depends on the ICU of a machine; older versions of regex know fewer characters. */
#ifndef MIXT_TEXT_METRIC_UNICODE_CLASS_H
#define MIXT_TEXT_METRIC_UNICODE_CLASS_H

#include <stdint.h>

enum unicode_class { UNICODE_OTHER, UNICODE_NUMBER, UNICODE_PUNCTUATION, UNICODE_SYMBOL };

/* A run of code points of one class. */
struct unicode_span {
    uint32_t first;
    uint32_t last;
    enum unicode_class class;
};

/* The longest span that holds a code point, any number: neighbours in a text often share it. */
struct unicode_span unicode_span_of(uint32_t code_point);

#endif
