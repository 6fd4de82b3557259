/* Lines in, results out: on all cores, in order, in memory that does not grow with the input.
 *
 * The caller's thread reads rows (a line of each input) into blocks and delivers what became of
 * them; other threads work on the blocks in between. Where input pauses, as somebody typing into a
 * pipe does, everything read so far is delivered before it is waited for. */
#ifndef MIXT_TEXT_PIPELINE_H
#define MIXT_TEXT_PIPELINE_H

#include <stdio.h>

#include "base/buffer.h"
#include "text/lines.h"

struct pipeline {
    struct lines *const *inputs; /* [n_inputs] line-parallel readers, borrowed; at least one */
    size_t n_inputs;
    int threads;   /* that work; 1: all is done on the caller's */
    void *context; /* handed to both calls */

    /* Appends to output what becomes of a row: row [n_inputs], borrowed for the call. thread is
     * 0..threads-1, for working memory of its own. */
    enum status (*apply)(void *context, int thread, const struct line *row, struct buffer *output);

    /* Takes the results of the next rows, in order and on the caller's thread; is_pause: more may
     * be long in coming, flush. A failure ends the run. */
    enum status (*deliver)(void *context, const struct buffer *output, bool is_pause);
};

/* Runs to the end of the inputs. At a failure all rows before it are delivered, and its message
 * begins with the first input's name and the number of the line.
 *
 * STATUS_DATA, with both counts, when the inputs differ in their numbers of lines; what
 * lines_next(), apply and deliver return; STATUS_MEMORY. */
enum status pipeline_run(const struct pipeline *pipeline) STATUS_CHECKED;

/* The usual delivery: writes output to stream, and flushes it at a pause. STATUS_IO. */
enum status pipeline_write(FILE *stream, const struct buffer *output, bool is_pause) STATUS_CHECKED;

/* Reads all inputs [n] to their ends; STATUS_DATA, with the names and both counts, when one has
 * another number of lines than the first. */
enum status pipeline_check_counts(struct lines *const *inputs, size_t n) STATUS_CHECKED;

#endif
