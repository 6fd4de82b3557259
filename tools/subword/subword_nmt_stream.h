/* Lines through the pipeline as the verbs of subword-nmt want them. */
#ifndef MIXT_TOOLS_SUBWORD_SUBWORD_NMT_STREAM_H
#define MIXT_TOOLS_SUBWORD_SUBWORD_NMT_STREAM_H

#include <stdbool.h>

#include "base/buffer.h"
#include "text/lines.h"

/* Lines from an input through apply() to an output. */
struct nmt_job {
    const char *input;  /* a path; NULL or "-": standard input */
    const char *output; /* the same, standard output */
    int threads;
    void *context;
    /* Appends what becomes of a line, without a line end. Lines are verbatim. */
    enum status (*apply)(void *context, int thread, const struct line *line, struct buffer *output);
    bool wants_utf8;     /* say on stderr where the input is none */
    bool ends_last_line; /* also where the input does not end with "\n" */
};

/* Runs to the end of the input. What apply and pipeline_run() return, STATUS_IO. */
enum status nmt_run(const struct nmt_job *job) STATUS_CHECKED;

#endif
