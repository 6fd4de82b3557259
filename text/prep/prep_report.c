/* The report as JSON, for the manifest, and as lines, for people. */
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "text/prep/prep.h"
#include "text/utf8.h"

/* A path as JSON, which has to be UTF-8. */
static json_t *json_path(const char *path)
{
    struct buffer text = {0};
    size_t bad = 0;
    json_t *json = NULL;
    if (path == NULL)
        path = "-";
    if (utf8_repair(&text, path, strlen(path), &bad) == STATUS_OK)
        json = json_string(text.data == NULL ? "" : text.data);
    buffer_free(&text);
    return json;
}

/* Packing takes over what it is given and fails on NULL, so one look at the whole is enough. */
static json_t *pack_rules(const struct prep_rules *rules)
{
    static const char *const forms[] = {
        [CLEAN_AS_IS] = "none", [CLEAN_NFC] = "nfc", [CLEAN_NFKC] = "nfkc"};
    static const char *const duplicates[] = {
        [PREP_DUPLICATES_KEEP] = "keep",
        [PREP_DUPLICATES_PAIR] = "pair",
        [PREP_DUPLICATES_SOURCE] = "source",
        [PREP_DUPLICATES_TARGET] = "target",
    };
    return json_pack(
        "{s:s, s:b, s:b, s:I, s:f, s:I, s:f, s:f, s:f, s:b, s:f, s:f, s:s}", "normalize",
        forms[rules->clean.form], "keep_space", rules->clean.keeps_space, "unify_punctuation",
        rules->clean.unifies_punctuation, "max_characters", (json_int_t)rules->max_characters,
        "max_words", rules->max_words, "min_characters", (json_int_t)rules->min_characters,
        "min_words", rules->min_words, "max_ratio", rules->max_ratio, "ratio_slack",
        rules->ratio_slack, "drop_copies", rules->drops_copies, "max_foreign", rules->max_foreign,
        "max_non_letters", rules->max_non_letters, "duplicates", duplicates[rules->duplicates]);
}

static json_t *pack_inputs(const struct prep_report *report, const struct prep_options *options)
{
    json_t *inputs = json_array();
    for (size_t i = 0; i < options->n_inputs && inputs != NULL; i++) {
        json_t *input =
            json_pack("{s:o, s:o, s:I}", "source", json_path(options->inputs[i].source), "target",
                      json_path(options->inputs[i].target), "lines",
                      (json_int_t)(report->input_lines == NULL ? 0 : report->input_lines[i]));
        if (json_array_append_new(inputs, input) != 0) {
            json_decref(inputs);
            return NULL;
        }
    }
    return inputs;
}

static json_t *pack_tally(const struct prep_tally *tally)
{
    json_t *examples = json_array();
    for (int i = 0; i < PREP_EXAMPLES && i < tally->count && examples != NULL; i++) {
        const struct prep_example *example = &tally->examples[i];
        json_t *packed = json_pack("{s:I, s:I, s:s, s:s}", "input", (json_int_t)example->input,
                                   "line", (json_int_t)example->line, "source", example->source,
                                   "target", example->target);
        if (json_array_append_new(examples, packed) != 0) {
            json_decref(examples);
            return NULL;
        }
    }
    return json_pack("{s:I, s:o}", "pairs", (json_int_t)tally->count, "examples", examples);
}

static json_t *pack_dropped(const struct prep_report *report)
{
    json_t *dropped = json_object();
    for (int rule = 0; rule < PREP_N_RULES && dropped != NULL; rule++) {
        json_t *tally = pack_tally(&report->dropped[rule]);
        if (json_object_set_new(dropped, prep_rule_name((enum prep_rule)rule), tally) != 0) {
            json_decref(dropped);
            return NULL;
        }
    }
    return dropped;
}

static json_t *pack_repairs(const struct prep_report *report)
{
    json_t *repairs = json_array();
    for (const char *line = report->repairs.data; line != NULL && *line != '\0';) {
        const size_t size = strcspn(line, "\n");
        struct buffer text = {0};
        size_t bad = 0;
        json_t *string = NULL;
        if (utf8_repair(&text, line, size, &bad) == STATUS_OK)
            string = json_string(text.data);
        buffer_free(&text);
        if (json_array_append_new(repairs, string) != 0) {
            json_decref(repairs);
            return NULL;
        }
        line += size + (line[size] == '\n' ? 1 : 0);
    }
    return repairs;
}

enum status prep_report_append_json(const struct prep_report *report,
                                    const struct prep_options *options, struct buffer *text)
{
    json_t *root =
        json_pack("{s:I, s:I, s:I, s:o, s:o, s:o, s:o}", "lines", (json_int_t)report->lines, "kept",
                  (json_int_t)report->kept, "changed", (json_int_t)report->changed, "dropped",
                  pack_dropped(report), "rules", pack_rules(&options->rules), "inputs",
                  pack_inputs(report, options), "repairs", pack_repairs(report));
    char *dumped = root == NULL ? NULL : json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    const enum status status = dumped == NULL
                                   ? status_set(STATUS_MEMORY, "no memory for the report")
                                   : buffer_append_string(text, dumped);
    free(dumped);
    return status;
}

/* A share as people read it, "0.3 %"; of nothing it is none. */
static double percent(int64_t part, int64_t whole)
{
    return whole == 0 ? 0 : 100 * (double)part / (double)whole;
}

static enum status append_tally(const struct prep_report *report,
                                const struct prep_options *options, enum prep_rule rule,
                                struct buffer *text)
{
    const struct prep_tally *tally = &report->dropped[rule];
    char reason[PREP_REASON_BYTES];
    prep_rule_describe(&options->rules, rule, reason);
    enum status status =
        buffer_printf(text, "  %-12s %12" PRId64 "  %6.2f %%  %s\n", prep_rule_name(rule),
                      tally->count, percent(tally->count, report->lines), reason);
    for (int i = 0; i < PREP_EXAMPLES && i < tally->count && status == STATUS_OK; i++) {
        const struct prep_example *example = &tally->examples[i];
        const char *path = options->inputs[example->input].source;
        status =
            buffer_printf(text, "    %s:%" PRId64 ": %.*s ||| %.*s\n", path == NULL ? "-" : path,
                          example->line, 60, example->source, 60, example->target);
    }
    return status;
}

enum status prep_report_append_text(const struct prep_report *report,
                                    const struct prep_options *options, struct buffer *text)
{
    enum status status = buffer_printf(
        text,
        "%" PRId64 " pairs of lines, %" PRId64 " kept (%.2f %%), %" PRId64
        " changed by cleaning; dropped:\n",
        report->lines, report->kept, percent(report->kept, report->lines), report->changed);
    for (int rule = 0; rule < PREP_N_RULES && status == STATUS_OK; rule++)
        status = append_tally(report, options, (enum prep_rule)rule, text);
    if (status == STATUS_OK && report->repairs.size > 0)
        status = buffer_printf(text, "repaired:\n%s", report->repairs.data);
    return status;
}
