#include "tools/subword/subword_nmt_stream.h"

#include "text/pipeline.h"
#include "tools/subword/stream.h"

/* A job at work. */
struct run {
    const struct nmt_job *job;
    struct lines *lines;
    struct destination output;
    bool owes_line_end; /* of the line written last */
};

static enum status apply_row(void *context, int thread, const struct line *row,
                             struct buffer *output)
{
    const struct nmt_job *job = ((const struct run *)context)->job;
    const enum status status = job->apply(job->context, thread, row, output);
    return status < 0 ? status : buffer_append(output, "\n", 1);
}

static enum status pay_line_end(struct run *run)
{
    char line_end[] = "\n";
    const struct buffer text = {.data = line_end, .size = run->owes_line_end ? 1 : 0};
    run->owes_line_end = false;
    return pipeline_write(run->output.stream, &text, false);
}

/* The last line end waits until it is known whether the input has it too. */
static enum status deliver(void *context, const struct buffer *output, bool is_pause)
{
    struct run *run = context;
    if (output->size == 0)
        return STATUS_OK;
    enum status status = pay_line_end(run);
    const struct buffer text = {.data = output->data, .size = output->size - 1};
    run->owes_line_end = true;
    if (status == STATUS_OK)
        status = pipeline_write(run->output.stream, &text, false);
    if (status == STATUS_OK && is_pause && !lines_so_far(run->lines)->is_unended)
        status = pay_line_end(run);
    if (status == STATUS_OK && is_pause)
        status = pipeline_write(run->output.stream, &(struct buffer){0}, true);
    return status;
}

static enum status run_lines(struct run *run)
{
    const struct pipeline pipeline = {.inputs = &run->lines,
                                      .n_inputs = 1,
                                      .threads = run->job->threads,
                                      .context = run,
                                      .apply = apply_row,
                                      .deliver = deliver};
    lines_set_verbatim(run->lines);
    enum status status = pipeline_run(&pipeline);
    /* after a failure the line written last was not the last one of the input */
    const bool is_unended = status == STATUS_OK && lines_so_far(run->lines)->is_unended;
    if (!is_unended || run->job->ends_last_line) {
        const enum status paid = pay_line_end(run);
        status = status < 0 ? status : paid;
    }
    if (run->job->wants_utf8)
        warn_of_bad_utf8(run->lines);
    return status;
}

enum status nmt_run(const struct nmt_job *job)
{
    struct run run = {.job = job};
    enum status status = lines_open(&run.lines, job->input);
    if (status == STATUS_OK)
        status = destination_open(&run.output, job->output);
    if (status == STATUS_OK)
        status = run_lines(&run);
    if (status == STATUS_OK)
        status = destination_commit(&run.output);
    destination_discard(&run.output);
    lines_close(run.lines);
    return status;
}
