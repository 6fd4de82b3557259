/* The command line of mixt prep, and what its parts share. */
#ifndef MIXT_TOOLS_PREP_PREP_H
#define MIXT_TOOLS_PREP_PREP_H

#include "text/prep/prep.h"
#include "tools/options.h"

/* What was given; strings borrowed from argv, NULL where not given. */
struct prep_values {
    struct option_list sources; /* --source, --target: files beside the plain arguments */
    struct option_list targets;
    const char *output;
    bool overwrite;
    const char *languages; /* "en-de" */
    const char *dropped;
    bool writes_text;
    int64_t threads;
    int64_t shard_mib;
    const char *normalize;
    bool keeps_space;
    bool unifies_punctuation;
    double max_words;
    int64_t max_characters;
    double min_words;
    int64_t min_characters;
    double max_ratio;
    double ratio_slack;
    const char *copies;
    double max_foreign;
    double max_non_letters;
    const char *duplicates;
    bool checks;
    bool verifies;
    const char *dataset; /* of data sets, see tools/prep/dataset.h */
    const char *from;
    const char *downloads;
    int64_t timeout_s;
    bool no_verify;
};

enum { PREP_LANGUAGE_BYTES = 32 };

/* Splits "en-de" into two names. STATUS_USAGE for anything else. */
enum status prep_split_languages(const char *languages, char source[PREP_LANGUAGE_BYTES],
                                 char target[PREP_LANGUAGE_BYTES]) STATUS_CHECKED;

/* prep_run() with progress and report on stderr, and SIGINT and SIGTERM as a stop
 * (STATUS_INTERRUPTED, and signals_stop() tells which); sets the progress function. report is to be
 * freed by the caller, in any case. */
enum status prep_run_shown(struct prep_options *options, struct prep_report *report) STATUS_CHECKED;

/* Prints the error; returns the exit code, 128 and the signal after one. */
int prep_failed(enum status status);

/* mixt prep --check SOURCE TARGET: what was found goes to stdout. STATUS_DATA for files that lose
 * step, and what step_check() returns. */
enum status prep_check(const char *source, const char *target) STATUS_CHECKED;

/* mixt prep cat, a command line of its own; argv[0] is "cat". */
int prep_cat_main(int argc, char **argv);

#endif
