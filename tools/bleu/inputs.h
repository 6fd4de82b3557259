/* The texts that mixt bleu compares: systems and references, side by side as line readers. */
#ifndef MIXT_TOOLS_BLEU_INPUTS_H
#define MIXT_TOOLS_BLEU_INPUTS_H

#include "text/lines.h"
#include "tools/bleu/options.h"
#include "tools/bleu/testset.h"

struct bleu_inputs {
    struct lines **systems; /* [n_systems] all readers are verbatim */
    char **names;           /* [n_systems] as results call them */
    size_t n_systems;
    struct lines **files; /* [n_files] of references */
    size_t n_files;
    size_t n_references;   /* of a segment: n_files, or the tab-separated parts of the one file */
    bool is_stdin;         /* the only system is standard input */
    bool has_wrong_fields; /* opening failed for a line with too few or too many texts */

    bool *is_kept; /* [n_kept] the lines that --origlang and --subset leave; NULL: all */
    size_t n_kept;
    struct testset_names origlangs; /* of each line of the test sets; for --detail, else empty */
    struct testset_names domains;   /* the same; empty also where a set does not say */
};

/* Opens everything the options name; to be closed also on error. STATUS_FAILED for options that do
 * not go with what was found; STATUS_DATA for lines with different numbers of systems; STATUS_IO,
 * STATUS_FORMAT, STATUS_MEMORY. */
enum status bleu_inputs_open(struct bleu_inputs *inputs, const struct bleu_options *options,
                             const struct option_list *references) STATUS_CHECKED;
void bleu_inputs_close(struct bleu_inputs *inputs);

/* Calls use for every test set that --test-set names, until one call fails. */
enum status bleu_inputs_each_set(const struct bleu_options *options,
                                 enum status (*use)(void *context, const struct testset *set),
                                 void *context) STATUS_CHECKED;

#endif
