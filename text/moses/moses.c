/* The steps in their order, and the two that need no rules. */
#include "text/moses/moses.h"

#include <stdlib.h>

#include "text/moses/step.h"
#include "text/utf8.h"

enum status moses_open(struct moses **moses, const struct moses_options *options)
{
    CHECK(options->steps != 0, "no step");
    CHECK(!(options->steps & MOSES_TOKENIZE) || !(options->steps & MOSES_DETOKENIZE),
          "tokens made and unmade");
    struct moses *made = calloc(1, sizeof *made);
    *moses = made;
    if (made == NULL)
        return status_set(STATUS_MEMORY, "no memory for a tokenizer");
    made->options = *options;
    character_fill(&made->characters);
    return STATUS_OK;
}

void moses_close(struct moses *moses)
{
    free(moses);
}

void moses_work_free(struct moses_work *work)
{
    buffer_free(&work->text);
    buffer_free(&work->spare);
    buffer_free(&work->marks);
}

static enum status lowercase(const struct moses *moses, struct moses_work *work)
{
    (void)moses;
    buffer_clear(&work->spare);
    const enum status status = character_lowercase(work->text.data, work->text.size, &work->spare);
    moses_take_spare(work);
    return status;
}

/* Puts a space in the place of each non-printing character. */
static enum status blank_out(const struct moses *moses, struct moses_work *work)
{
    struct edit edit = {.work = work};
    const struct buffer *text = &work->text;
    for (size_t offset = 0, next = 0; offset < text->size; offset = next) {
        if (!(character_next(&moses->characters, text->data, &next) & CHARACTER_OTHER))
            continue;
        const enum status status = edit_replace(&edit, offset, next, " ", 1);
        if (status < 0)
            return status;
    }
    return edit_finish(&edit);
}

static enum status take_line(struct moses_work *work, const char *line, size_t size)
{
    buffer_clear(&work->text);
    if (utf8_valid_prefix(line, size) == size)
        return buffer_append(&work->text, line, size);
    size_t n_bad = 0;
    return utf8_repair(&work->text, line, size, &n_bad);
}

enum status moses_apply(const struct moses *moses, struct moses_work *work, const char *line,
                        size_t size, struct buffer *output)
{
    static const struct {
        enum moses_step step;
        enum status (*run)(const struct moses *moses, struct moses_work *work);
    } steps[] = {
        {MOSES_LOWERCASE, lowercase},         {MOSES_NORMALIZE, moses_normalize},
        {MOSES_PRINTABLE, blank_out},         {MOSES_TOKENIZE, moses_tokenize},
        {MOSES_DETOKENIZE, moses_detokenize},
    };
    enum status status = take_line(work, line, size);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0] && status == STATUS_OK; i++) {
        if (moses->options.steps & steps[i].step)
            status = steps[i].run(moses, work);
    }
    return status < 0 ? status : buffer_append(output, work->text.data, work->text.size);
}
