#include "tools/bleu/echo.h"

#include <stdlib.h>
#include <string.h>

#include "text/metric/tokenizer.h"
#include "tools/bleu/filter.h"

struct echo {
    FILE *stream;
    const struct bleu_options *options;
};

/* sacreBLEU's old name "ref" stands for the first reference of a set that names its translators. */
static const char *find_field(const struct testset *set, const char *field)
{
    if (strcmp(field, "ref") != 0 || testset_has_field(set, field))
        return field;
    for (size_t i = 0; i < set->fields.count; i++) {
        if (strncmp(set->fields.items[i], field, 3) == 0)
            return set->fields.items[i];
    }
    return field;
}

static enum status open_field(const struct testset *set, const char *wanted, struct lines **lines)
{
    const char *field = find_field(set, wanted);
    if (!testset_has_field(set, field)) {
        struct buffer list = {0};
        enum status code = STATUS_OK;
        for (size_t i = 0; code == STATUS_OK && i < set->fields.count; i++)
            code = buffer_printf(&list, "%s%s", i == 0 ? "" : ", ", set->fields.items[i]);
        if (code == STATUS_OK)
            code = status_set(STATUS_FAILED, "test set %s, %s has no field %s; it has %s",
                              set->name, set->pair, field, list.data);
        buffer_free(&list);
        return code;
    }
    const enum status code = testset_open(set, field, lines);
    if (code == STATUS_OK)
        lines_set_verbatim(*lines);
    return code;
}

/* Prints a line of every field, or sets *is_end where one has no more. */
static enum status print_row(FILE *stream, struct lines **fields, size_t n, bool is_kept,
                             struct buffer *row, bool *is_end)
{
    buffer_clear(row);
    for (size_t i = 0; i < n; i++) {
        struct line line = {0};
        enum status code = lines_next(fields[i], &line);
        if (code < 0 || line.bytes == NULL) {
            *is_end = true;
            return code;
        }
        if (lines_so_far(fields[i])->bad_utf8.count > 0)
            return status_set(STATUS_DATA, "%s:%lld: invalid UTF-8", lines_name(fields[i]),
                              (long long)line.number);
        const size_t size = tokenizer_strip_end(line.bytes, line.size);
        code = buffer_append(row, line.bytes, size);
        if (code == STATUS_OK)
            code = buffer_append(row, i + 1 < n ? "\t" : "\n", 1);
        if (code < 0)
            return code;
    }
    if (is_kept)
        fwrite(row->data, 1, row->size, stream); /* main() sees errors */
    return STATUS_OK;
}

static enum status print_fields(FILE *stream, struct lines **fields, size_t n,
                                const struct bleu_inputs *filter)
{
    struct buffer row = {0};
    enum status code = STATUS_OK;
    bool is_end = false;
    for (size_t i = 0; code == STATUS_OK && !is_end; i++) {
        const bool is_kept = filter->is_kept == NULL || (i < filter->n_kept && filter->is_kept[i]);
        code = print_row(stream, fields, n, is_kept, &row, &is_end);
    }
    buffer_free(&row);
    return code;
}

static enum status echo_set(void *context, const struct testset *set)
{
    const struct echo *echo = context;
    const struct option_list *wanted = &echo->options->echo;
    const bool is_all = wanted->count == 1 && strcmp(wanted->items[0], "all") == 0;
    const size_t n = is_all ? set->fields.count : wanted->count;
    struct bleu_inputs filter = {0};
    struct bleu_options alone = *echo->options;
    alone.test_set = set->name;
    struct lines **fields = calloc(n, sizeof(struct lines *));
    enum status code = fields == NULL ? status_set(STATUS_MEMORY, "no memory for %zu fields", n)
                                      : bleu_filter_read(&filter, &alone);
    for (size_t i = 0; code == STATUS_OK && i < n; i++)
        code = open_field(set, is_all ? set->fields.items[i] : wanted->items[i], &fields[i]);
    if (code == STATUS_OK)
        code = print_fields(echo->stream, fields, n, &filter);
    for (size_t i = 0; fields != NULL && i < n; i++)
        lines_close(fields[i]);
    free(fields);
    bleu_inputs_close(&filter);
    return code;
}

enum status bleu_echo(FILE *stream, const struct bleu_options *options)
{
    struct echo echo = {stream, options};
    for (size_t i = 0; i < options->echo.count; i++) {
        if (options->echo.count > 1 && strcmp(options->echo.items[i], "all") == 0)
            return status_set(STATUS_FAILED, "--echo all goes with no other field");
    }
    return bleu_inputs_each_set(options, echo_set, &echo);
}
