/* Finds the published .sgm or .xml files of a test set by their names, which say the languages. */
#ifndef MIXT_TOOLS_BLEU_TESTSET_RAW_H
#define MIXT_TOOLS_BLEU_TESTSET_RAW_H

#include "tools/bleu/testset_names.h"

/* Looks in and below folder for the source and the references of set and pair ("en-de").
 *
 * source      inout  NULL on entry; set to an owned path where there are source and reference
 * references  inout  empty on entry; more than one path only for the sets called tworefs
 *
 * STATUS_FAILED where two files fit as well; STATUS_MEMORY. */
enum status testset_raw_find(const char *folder, const char *name, const char *pair, char **source,
                             struct testset_names *references) STATUS_CHECKED;

#endif
