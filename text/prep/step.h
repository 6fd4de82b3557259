/* Finds where two line-parallel files lose step: where a line is missing or one too many.
 *
 * The evidence is the lengths of the lines alone. A translation of a long line is long, so lengths
 * of lines that belong together correlate; what is wrong inside a line, or exchanged by a line as
 * long, is not seen. */
#ifndef MIXT_TEXT_PREP_STEP_H
#define MIXT_TEXT_PREP_STEP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

enum { STEP_MAX_BREAKS = 20 };

enum step_verdict {
    STEP_FITS,    /* the lengths correlate, and best as the lines stand */
    STEP_BREAKS,  /* see the breaks */
    STEP_UNCLEAR, /* too few lines, or lengths that do not correlate: nothing can be said */
};

enum step_kind {
    STEP_SHIFT,    /* behind it another shift fits clearly better */
    STEP_INFERRED, /* the counts differ, so there is a shift somewhere; here it fits best */
    STEP_LOST,     /* from first to last no shift fits; behind it the one before fits again, or the
                    * files end */
};

/* With a shift of k, line i of the source belongs to line i + k of the target. */
struct step_break {
    enum step_kind kind;
    int64_t first; /* source lines, from 1: a shift begins somewhere from first to last */
    int64_t last;
    int64_t likeliest;
    int64_t shift_before;
    int64_t shift_after; /* of STEP_LOST: the same */
};

struct step_report {
    int64_t source_lines;
    int64_t target_lines;
    enum step_verdict verdict;
    double correlation; /* of the lengths, as ranks, where the files fit; 0 where unclear */
    struct step_break breaks[STEP_MAX_BREAKS]; /* in the order of the lines */
    size_t n_breaks;
    bool is_cut;           /* the search ended at line `checked` with the last of the breaks */
    int64_t checked;       /* source lines that were looked at */
    int64_t largest_shift; /* that was tried, either way */
};

/* Reads both files (NULL or "-": standard input, for one of them) and looks for breaks. Takes 4
 * bytes a line. Unequal counts are no error. STATUS_IO, STATUS_FORMAT, STATUS_MEMORY. */
enum status step_check(const char *source, const char *target,
                       struct step_report *report) STATUS_CHECKED;

/* The search alone, on lengths in characters. STATUS_MEMORY. */
enum status step_search(const uint16_t *source, int64_t n_source, const uint16_t *target,
                        int64_t n_target, struct step_report *report) STATUS_CHECKED;

#endif
