/* Raw parallel text to a binary corpus: normalises, drops what fails a rule, drops duplicates, and
 * reports what was dropped and why.
 *
 * Works on all cores in memory that does not grow with the text (but for one bit a pair), with
 * temporary files in the output directory about as large as the text and 24 bytes a pair. The
 * result does not depend on the number of threads. */
#ifndef MIXT_TEXT_PREP_PREP_H
#define MIXT_TEXT_PREP_PREP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "text/lines.h"
#include "text/prep/rules.h"

struct prep_input {
    const char *source; /* path; NULL or "-" is standard input */
    const char *target;
};

/* Where the work is; handed to the caller's function now and then, on the caller's thread. */
struct prep_progress {
    int64_t lines;   /* pairs of lines read */
    int64_t kept;    /* pairs kept so far; before is_writing, without a look at duplicates */
    bool is_writing; /* all lines are read; duplicates are being dropped, shards written */
    int64_t written; /* pairs written */
};

struct prep_options {
    const struct prep_input *inputs; /* [n_inputs] line-parallel files, read one after another */
    size_t n_inputs;
    const char *output;  /* directory */
    bool overwrite;      /* a corpus that is there */
    const char *dropped; /* file for the dropped pairs (rule, source file, line, source, target,
                          * with tabs between); NULL: none */
    bool writes_text;    /* also the plain text of both sides */
    const char *source_language; /* as "en" or "sr_Latn"; NULL: unknown; also names the side */
    const char *target_language;
    struct prep_rules rules;
    int threads;         /* 1 or more */
    int64_t shard_bytes; /* 0: PAIRS_SHARD_TEXT */
    bool (*progress)(void *context,
                     const struct prep_progress *progress); /* false: stop; or NULL */
    void *progress_context;
};

enum { PREP_EXAMPLES = 3, PREP_EXAMPLE_BYTES = 160 };

/* A dropped pair; the texts are cut to fit, at a character. */
struct prep_example {
    size_t input; /* index of the files */
    int64_t line;
    char source[PREP_EXAMPLE_BYTES];
    char target[PREP_EXAMPLE_BYTES];
};

struct prep_tally {
    int64_t count;
    struct prep_example examples[PREP_EXAMPLES]; /* the first ones */
};

/* What became of the lines: lines = kept + the sum of dropped[].count. Zeroed is empty. */
struct prep_report {
    bool is_complete; /* all lines were read; otherwise what follows is of the lines before */
    int64_t lines;
    int64_t kept;
    int64_t changed; /* pairs that normalisation changed, whatever became of them */
    struct prep_tally dropped[PREP_N_RULES];
    int64_t *input_lines;  /* [n_inputs] owned */
    struct buffer repairs; /* lines_describe() of each repaired file, a line each; owned */
};

/* Does the work. On any error the output is as it was before: STATUS_DATA for files that differ in
 * their numbers of lines and when no pair is left; STATUS_CONFIG for an output that exists;
 * STATUS_INTERRUPTED when progress returned false; STATUS_IO, STATUS_FORMAT, STATUS_MEMORY. The
 * report is to be freed in any case. */
enum status prep_run(const struct prep_options *options, struct prep_report *report) STATUS_CHECKED;

void prep_report_free(struct prep_report *report);

/* Appends the report as a JSON object, with the rules and the files it is about. STATUS_MEMORY. */
enum status prep_report_append_json(const struct prep_report *report,
                                    const struct prep_options *options,
                                    struct buffer *text) STATUS_CHECKED;

/* Appends the report as lines for people, each with a line end. STATUS_MEMORY. */
enum status prep_report_append_text(const struct prep_report *report,
                                    const struct prep_options *options,
                                    struct buffer *text) STATUS_CHECKED;

#endif
