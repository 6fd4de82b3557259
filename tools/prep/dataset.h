/* mixt prep DATASET: a described data set (wmt14-en-de, wmt14-en-fr, multi30k, or a description of
 * the user's own) from its archives to a folder:
 *
 *   train/            the binary corpus (text/prep/pairs.h)
 *   dev.en, dev.de    held-out text as published, a line a segment; the same for test
 *   downloads/        the archives, where they had to be fetched
 *   manifest.json     the description with what was found, files written and their hashes;
 *                     can be given to --dataset to make the same again
 *
 * The folder appears complete or not at all; the work is done in OUT.part beside it, where only
 * downloads stay after a failure. */
#ifndef MIXT_TOOLS_PREP_DATASET_H
#define MIXT_TOOLS_PREP_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "text/prep/prep.h"

enum { PREP_DATASET_TIMEOUT_S = 60 };

/* What the command line says about the data set; strings borrowed, NULL where not given. */
struct prep_dataset_values {
    const char *name;      /* "wmt14-en-de"; NULL where file is given */
    const char *file;      /* --dataset FILE: a description or a manifest, as JSON */
    const char *from;      /* --from: a folder (no network then) or the address of a mirror */
    const char *downloads; /* --downloads: folder for the archives; NULL: OUT/downloads */
    int64_t timeout_s;     /* --timeout: of a connection on which nothing comes */
    bool no_verify;        /* --no-verify: take other archives than the published ones */
};

/* True for the name of a data set that is built in. */
bool prep_is_dataset(const char *word);

/* The rules of a data set where the command line names none: text is cleaned and a pair with an
 * empty side dropped, nothing else. */
struct prep_rules prep_dataset_rules(void);

/* Makes the folder options->output; inputs, languages and progress function of the options are set
 * here. Shows progress and the report on stderr, and stops at SIGINT and SIGTERM
 * (STATUS_INTERRUPTED; signals_stop() tells which).
 *
 * STATUS_CONFIG for an unknown data set, an output that exists (unless options->overwrite) or a
 * mixt built without the libraries; STATUS_IO when an archive cannot be found, fetched or read;
 * STATUS_FAILED when something cannot be written; STATUS_FORMAT for a damaged or other archive or
 * description; STATUS_DATA for text that is not as described; STATUS_MEMORY. */
enum status prep_dataset_run(const struct prep_dataset_values *values,
                             const struct prep_options *options) STATUS_CHECKED;

#endif
