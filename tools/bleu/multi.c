#include "tools/bleu/multi.h"

#include <stdio.h>
#include <stdlib.h>

#include "text/lines.h"
#include "text/metric/multi_bleu.h"
#include "tools/bleu/notice.h"

struct run {
    struct multi_bleu *counts;
    struct lines *hypotheses;
    struct lines **files; /* [n_files] */
    size_t n_files;
    struct bleu_text *texts; /* [n_files] references of a line */
};

static enum status open_lines(struct lines **lines, const char *path)
{
    const enum status code = lines_open(lines, path);
    if (code == STATUS_OK)
        lines_set_verbatim(*lines);
    return code;
}

static enum status open_files(struct run *run, const struct bleu_options *options,
                              const struct option_list *references)
{
    run->n_files = references->count;
    run->files = calloc(run->n_files, sizeof(struct lines *));
    run->texts = calloc(run->n_files, sizeof *run->texts);
    if (run->files == NULL || run->texts == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu files", run->n_files);
    enum status code = multi_bleu_open(&run->counts, options->is_lowercase);
    for (size_t i = 0; code == STATUS_OK && i < run->n_files; i++)
        code = open_lines(&run->files[i], references->items[i]);
    if (code < 0)
        return code;
    return open_lines(&run->hypotheses, options->input.count == 0 ? NULL : options->input.items[0]);
}

/* Reads a line of everything; hypothesis->bytes is NULL at the end of the hypotheses. */
static enum status read_row(struct run *run, struct bleu_text *hypothesis, size_t *n_references)
{
    struct line line = {0};
    enum status code = lines_next(run->hypotheses, &line);
    *hypothesis = (struct bleu_text){line.bytes, line.size};
    *n_references = 0;
    for (size_t i = 0; code == STATUS_OK && i < run->n_files; i++) {
        code = lines_next(run->files[i], &line);
        if (code == STATUS_OK && line.bytes != NULL)
            run->texts[(*n_references)++] = (struct bleu_text){line.bytes, line.size};
    }
    return code;
}

static enum status count(struct run *run)
{
    enum status code = STATUS_OK;
    while (code == STATUS_OK) {
        struct bleu_text hypothesis = {0};
        size_t n_references = 0;
        code = read_row(run, &hypothesis, &n_references);
        if (code < 0 || hypothesis.bytes == NULL)
            return code;
        code = multi_bleu_add(run->counts, hypothesis, run->texts, n_references);
    }
    return code;
}

static enum status print(const struct run *run, const struct bleu_options *options)
{
    struct buffer text = {0};
    enum status code = multi_bleu_append(run->counts, &text);
    if (code == STATUS_OK) {
        printf("%s\n", text.data);
        notice_info(options->is_quiet, "multi-BLEU depends on the tokenizer: compare it with "
                                       "nothing that was tokenized elsewhere");
        if (multi_bleu_is_empty(run->counts))
            code = status_set(STATUS_FAILED, "the references hold no words");
    }
    buffer_free(&text);
    return code;
}

enum status bleu_multi_run(const struct bleu_options *options, const struct option_list *references)
{
    struct run run = {0};
    enum status code = open_files(&run, options, references);
    if (code == STATUS_OK)
        code = count(&run);
    if (code == STATUS_OK)
        code = print(&run, options);
    for (size_t i = 0; run.files != NULL && i < run.n_files; i++)
        lines_close(run.files[i]);
    lines_close(run.hypotheses);
    multi_bleu_close(run.counts);
    free(run.files);
    free(run.texts);
    return code;
}
