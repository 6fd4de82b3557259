/* Lines that are made on the way from an input to its reader, kept in a temporary file without a
 * name. */
#ifndef MIXT_TOOLS_BLEU_SCRATCH_H
#define MIXT_TOOLS_BLEU_SCRATCH_H

#include <stdio.h>

#include "base/buffer.h"
#include "text/lines.h"

struct scratch {
    FILE *stream;
    struct buffer pending; /* append here, with line ends, then scratch_write() */
};

/* STATUS_IO. */
enum status scratch_create(struct scratch *scratch) STATUS_CHECKED;

/* Moves what is pending into the file. STATUS_IO. */
enum status scratch_write(struct scratch *scratch) STATUS_CHECKED;

/* Opens what was written, from its start; name is for messages. STATUS_IO, STATUS_MEMORY. */
enum status scratch_open(struct scratch *scratch, const char *name,
                         struct lines **lines) STATUS_CHECKED;

/* A reader that is open stays; a zeroed scratch may be freed. */
void scratch_free(struct scratch *scratch);

#endif
