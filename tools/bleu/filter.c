#include "tools/bleu/filter.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES = 256 };

struct reading {
    struct bleu_inputs *inputs;
    bool wants_origlang, wants_domain; /* it is an error not to have it */
};

/* Appends the lines of a field. */
static enum status read_values(const struct testset *set, const char *field,
                               struct testset_names *values)
{
    struct lines *lines = NULL;
    struct line line = {.bytes = ""};
    enum status code = testset_open(set, field, &lines);
    while (code == STATUS_OK) {
        code = lines_next(lines, &line);
        if (code < 0 || line.bytes == NULL)
            break;
        code = testset_names_add(values, line.bytes, line.size);
    }
    lines_close(lines);
    return code;
}

static enum status read_field(const struct testset *set, const char *field, bool is_wanted,
                              struct testset_names *values)
{
    if (testset_has_field(set, field))
        return read_values(set, field, values);
    if (is_wanted)
        return status_set(STATUS_FAILED, "test set %s, %s has no field %s", set->name, set->pair,
                          field);
    return STATUS_OK;
}

static enum status read_set(void *context, const struct testset *set)
{
    const struct reading *reading = context;
    struct bleu_inputs *inputs = reading->inputs;
    const enum status code =
        read_field(set, "origlang", reading->wants_origlang, &inputs->origlangs);
    return code < 0 ? code : read_field(set, "domain", reading->wants_domain, &inputs->domains);
}

static bool is_of_language(const char *language, const char *wanted)
{
    if (wanted == NULL)
        return true;
    if (strncmp(wanted, "non-", 4) == 0)
        return strcmp(language, wanted + 4) != 0;
    return strcmp(language, wanted) == 0;
}

enum status bleu_filter_apply(const struct bleu_filter *filter,
                              const struct testset_names *origlangs,
                              const struct testset_names *domains, size_t n, bool *is_kept)
{
    static const char country[] = "country:";
    const char *subset = filter->subset;
    regex_t pattern;
    if (subset != NULL && strncmp(subset, country, sizeof country - 1) == 0)
        subset += sizeof country - 1;
    if (subset != NULL) {
        const int error = regcomp(&pattern, subset, REG_EXTENDED | REG_NOSUB);
        char why[MESSAGE_BYTES];
        if (error != 0) {
            regerror(error, &pattern, why, sizeof why);
            return status_set(STATUS_FAILED, "--subset '%s': %s", subset, why);
        }
    }
    for (size_t i = 0; i < n; i++) {
        const bool is_right =
            filter->origlang == NULL ||
            (i < origlangs->count && is_of_language(origlangs->items[i], filter->origlang));
        is_kept[i] =
            is_right && (subset == NULL || (i < domains->count &&
                                            regexec(&pattern, domains->items[i], 0, NULL, 0) == 0));
    }
    if (subset != NULL)
        regfree(&pattern);
    return STATUS_OK;
}

enum status bleu_filter_read(struct bleu_inputs *inputs, const struct bleu_options *options)
{
    const struct bleu_filter filter = {options->origlang, options->subset};
    struct reading reading = {inputs, filter.origlang != NULL, filter.subset != NULL};
    const bool is_filtered = reading.wants_origlang || reading.wants_domain;
    if (options->test_set == NULL || (!is_filtered && !options->is_detailed))
        return STATUS_OK;
    enum status code = bleu_inputs_each_set(options, read_set, &reading);
    if (code < 0 || !is_filtered)
        return code;
    inputs->n_kept = reading.wants_origlang ? inputs->origlangs.count : inputs->domains.count;
    inputs->is_kept = calloc(inputs->n_kept + 1, sizeof *inputs->is_kept);
    if (inputs->is_kept == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu lines", inputs->n_kept);
    return bleu_filter_apply(&filter, &inputs->origlangs, &inputs->domains, inputs->n_kept,
                             inputs->is_kept);
}
