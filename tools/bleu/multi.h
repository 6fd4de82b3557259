/* mixt bleu --multi-bleu: what Moses' multi-bleu.perl prints, of text that is tokenized already. */
#ifndef MIXT_TOOLS_BLEU_MULTI_H
#define MIXT_TOOLS_BLEU_MULTI_H

#include "tools/bleu/options.h"

/* Scores --input or standard input against the reference files and prints the line. As the script
 * does, it takes missing lines of a reference for no reference, and prints zeros for references
 * without a word. STATUS_FAILED after those zeros; STATUS_DATA, STATUS_IO, STATUS_MEMORY. */
enum status bleu_multi_run(const struct bleu_options *options,
                           const struct option_list *references) STATUS_CHECKED;

#endif
