/* A file of judged pairs, written once and read once, front to back. */
#ifndef MIXT_TEXT_PREP_STAGE_H
#define MIXT_TEXT_PREP_STAGE_H

#include <stdint.h>
#include <stdio.h>

#include "base/buffer.h"
#include "text/prep/pairs.h"

/* A pair and where it came from. */
struct staged {
    struct pair pair; /* as read: borrowed until the next call */
    size_t input;     /* index of its files */
    int64_t line;
};

/* Zeroed is closed. */
struct stage {
    FILE *file; /* takes over */
    int64_t read_bytes;
    int64_t released_bytes; /* given back to the disk */
    struct buffer text;
};

/* Appends. STATUS_IO. */
enum status stage_write(struct stage *stage, const struct staged *staged) STATUS_CHECKED;

/* Goes to the front, for reading. STATUS_IO. */
enum status stage_rewind(struct stage *stage) STATUS_CHECKED;

/* Reads the next of as many as were written; what is read may leave the disk. STATUS_IO,
 * STATUS_MEMORY. */
enum status stage_read(struct stage *stage, struct staged *staged) STATUS_CHECKED;

void stage_close(struct stage *stage);

#endif
