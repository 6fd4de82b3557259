#include "tools/subword/subword_nmt_stream.h"

#include <errno.h>
#include <string.h>

#include "text/pipeline.h"

enum status nmt_output_open(struct nmt_output *output, const char *path)
{
    *output = (struct nmt_output){.stream = stdout};
    if (path == NULL || strcmp(path, "-") == 0)
        return STATUS_OK;
    const enum status status = file_create(&output->writer, path);
    output->stream = status < 0 ? NULL : output->writer.stream;
    return status;
}

enum status nmt_output_commit(struct nmt_output *output)
{
    enum status status = STATUS_OK;
    if (output->stream == stdout) {
        if (fflush(stdout) != 0 || ferror(stdout))
            status = status_set(STATUS_IO, "standard output: cannot write: %s", strerror(errno));
    } else if (output->stream != NULL) {
        status = file_commit(&output->writer);
    }
    output->stream = NULL;
    return status;
}

void nmt_output_discard(struct nmt_output *output)
{
    if (output->stream != NULL && output->stream != stdout)
        file_discard(&output->writer);
    output->stream = NULL;
}

/* A job at work. */
struct run {
    const struct nmt_job *job;
    struct lines *lines;
    struct nmt_output output;
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
        nmt_warn(run->lines);
    return status;
}

enum status nmt_run(const struct nmt_job *job)
{
    struct run run = {.job = job};
    enum status status = lines_open(&run.lines, job->input);
    if (status == STATUS_OK)
        status = nmt_output_open(&run.output, job->output);
    if (status == STATUS_OK)
        status = run_lines(&run);
    if (status == STATUS_OK)
        status = nmt_output_commit(&run.output);
    nmt_output_discard(&run.output);
    lines_close(run.lines);
    return status;
}

void nmt_warn(const struct lines *lines)
{
    struct buffer text = {0};
    struct lines_counts counts = {.lines = lines_so_far(lines)->lines,
                                  .bad_utf8 = lines_so_far(lines)->bad_utf8};
    if (lines_describe(&counts, lines_name(lines), &text) == STATUS_OK && text.size > 0)
        fprintf(stderr, "mixt: warning: %s\n", text.data);
    buffer_free(&text);
}

int nmt_exit_code(enum status status)
{
    if (status == STATUS_OK)
        return 0;
    status_print();
    return status_exit_code(status);
}
