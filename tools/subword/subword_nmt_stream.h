/* What the verbs of subword-nmt share: where output goes, and lines through the pipeline. */
#ifndef MIXT_TOOLS_SUBWORD_SUBWORD_NMT_STREAM_H
#define MIXT_TOOLS_SUBWORD_SUBWORD_NMT_STREAM_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/file.h"
#include "text/lines.h"

/* A file to be written, or standard output. A zeroed one is closed. */
struct nmt_output {
    FILE *stream; /* write here */
    struct file_writer writer;
};

/* Opens path; NULL or "-" is standard output. STATUS_IO, STATUS_MEMORY. */
enum status nmt_output_open(struct nmt_output *output, const char *path) STATUS_CHECKED;

/* Puts the file in its place, or flushes standard output. STATUS_IO. */
enum status nmt_output_commit(struct nmt_output *output) STATUS_CHECKED;

/* Drops what was not committed. */
void nmt_output_discard(struct nmt_output *output);

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

/* Says on stderr what was wrong with lines of characters. */
void nmt_warn(const struct lines *lines);

/* Prints the message, if it is one, and returns the exit code. */
int nmt_exit_code(enum status status);

#endif
