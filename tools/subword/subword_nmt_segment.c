/* mixt subword segment-char-ngrams: words that a list lacks as runs of characters. */
#include <math.h>
#include <stdio.h>

#include "base/parallel.h"
#include "text/subword/char_ngrams.h"
#include "tools/options.h"
#include "tools/subword/rows.h"
#include "tools/subword/subword_nmt_stream.h"
#include "tools/subword/types.h"

struct values {
    const char *type; /* chose this verb */
    const char *input;
    const char *output;
    const char *vocabulary;
    const char *separator;
    int64_t shortlist;
    int64_t length;
    int64_t threads;
};

#define AT(member) offsetof(struct values, member)

static const struct option segment_options[] = {
    {"type", 0, NULL, "TYPE", OPTION_STRING, AT(type), 0, 0, "subword-nmt", NULL},
    {"vocab", 0, NULL, "FILE", OPTION_STRING, AT(vocabulary), 0, 0, NULL,
     "the list, a word and its count on each line, the most frequent first; needed"},
    {"shortlist", 0, NULL, "N", OPTION_INT, AT(shortlist), -1, INFINITY, NULL,
     "keep the first word of the list and N more in one piece (default: 0)"},
    {"length", 'n', NULL, "N", OPTION_INT, AT(length), 1, INFINITY, NULL,
     "characters a piece (default: 2)"},
    {"input", 'i', NULL, "FILE", OPTION_STRING, AT(input), 0, 0, NULL, "another way to name FILE"},
    OUTPUT_ROW,
    {"separator", 's', NULL, "TEXT", OPTION_STRING, AT(separator), 0, 0, NULL,
     "behind pieces that do not end a word (default: @@)"},
    THREADS_ROW(-1),
};

#undef AT

static const struct options_command segment_command = {
    .verb = "subword segment-char-ngrams",
    .arguments = "[FILE]",
    .description = "Cuts rare words of FILE or standard input into runs of characters, as "
                   "subword-nmt's segment_char_ngrams does; one line out for each line in.",
    .options = segment_options,
    .n_options = sizeof segment_options / sizeof segment_options[0],
    .max_arguments = 1,
};

static enum status read_list(struct char_ngrams *ngrams, const char *path)
{
    struct lines *lines = NULL;
    if (path == NULL)
        return status_set(STATUS_USAGE, "option --vocab is needed");
    enum status status = lines_open(&lines, path);
    if (status == STATUS_OK)
        status = char_ngrams_read(ngrams, lines);
    lines_close(lines);
    return status;
}

static enum status segment_line(void *context, int thread, const struct line *line,
                                struct buffer *output)
{
    (void)thread;
    return char_ngrams_apply(context, line->bytes, line->size, output);
}

int subword_nmt_segment_main(int argc, char **argv)
{
    struct values values = {.separator = "@@", .length = 2};
    struct option_list arguments = {0};
    const int exit_code = options_start(&segment_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    struct char_ngrams ngrams = {
        .shortlist = values.shortlist, .length = values.length, .separator = values.separator};
    const struct nmt_job job = {.input = arguments.count > 0 ? arguments.items[0] : values.input,
                                .output = values.output,
                                .threads = parallel_threads(values.threads),
                                .context = &ngrams,
                                .apply = segment_line,
                                .ends_last_line = true};
    enum status status = read_list(&ngrams, values.vocabulary);
    if (status == STATUS_OK)
        status = nmt_run(&job);
    char_ngrams_free(&ngrams);
    options_free(&segment_command, &values, &arguments);
    return status_finish(status);
}
