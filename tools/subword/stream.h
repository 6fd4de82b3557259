/* What the kinds of subword model share: where output goes, and what is said of the input. */
#ifndef MIXT_TOOLS_SUBWORD_STREAM_H
#define MIXT_TOOLS_SUBWORD_STREAM_H

#include <stdio.h>

#include "base/file.h"
#include "text/lines.h"

/* A file to be written, or standard output. A zeroed one is closed. */
struct destination {
    FILE *stream; /* write here */
    struct file_writer writer;
};

/* Opens path; NULL or "-" is standard output. STATUS_IO, STATUS_MEMORY. */
enum status destination_open(struct destination *destination, const char *path) STATUS_CHECKED;

/* Puts the file in its place, or flushes standard output. STATUS_IO. */
enum status destination_commit(struct destination *destination) STATUS_CHECKED;

/* Drops what was not committed. */
void destination_discard(struct destination *destination);

/* Says on stderr how many of the lines read were no UTF-8. */
void warn_of_bad_utf8(const struct lines *lines);

#endif
