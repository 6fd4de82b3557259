/* The directory a corpus is written into: locked, with a subdirectory for what is unfinished. */
#ifndef MIXT_TEXT_PREP_OUTPUT_H
#define MIXT_TEXT_PREP_OUTPUT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/status.h"
#include "text/prep/manifest.h"
#include "text/prep/pairs.h"

enum { OUTPUT_NAME_BYTES = PAIRS_NAME_BYTES + 16 };

/* Zeroed is closed. */
struct output {
    char *directory;    /* owned */
    char *unfinished;   /* owned; the subdirectory, NULL where it was not made */
    size_t kept_prefix; /* bytes of directory that name what existed before */
    int lock;           /* descriptor of the directory; valid while unfinished is set */
};

/* Makes and locks the directory. On error it is closed, and nothing is left behind: STATUS_CONFIG
 * when it holds a corpus and overwrite is false, or another process is writing to it; STATUS_IO,
 * STATUS_MEMORY. */
enum status output_open(struct output *output, const char *directory,
                        bool overwrite) STATUS_CHECKED;

/* The path of an unfinished file. STATUS_IO when it is too long. */
enum status output_path(const struct output *output, const char *name,
                        char path[PATH_MAX]) STATUS_CHECKED;

/* "source.de": the plain text of a side; "source.txt" where its name is just "source". */
void output_text_name(enum pairs_side side, const char *name, char text[OUTPUT_NAME_BYTES]);

/* A new file without a name, gone when it is closed. STATUS_IO. */
enum status output_temporary(const struct output *output, FILE **stream) STATUS_CHECKED;

/* Replaces an earlier corpus by the finished files: its manifest goes first, the new one comes
 * last. has_text: the plain text is among them. STATUS_IO. */
enum status output_publish(struct output *output, const struct manifest *manifest,
                           bool has_text) STATUS_CHECKED;

/* Removes what is unfinished, and directories that were made and are empty. */
void output_close(struct output *output);

#endif
