/* mixt moses: lower-case, normalise, tokenise and detokenise text as the Moses scripts do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/parallel.h"
#include "text/lines.h"
#include "text/moses/moses.h"
#include "text/pipeline.h"
#include "tools/footer.h"
#include "tools/options.h"
#include "tools/verbs.h"

enum { LONG_RUN_S = 5 };

struct values {
    const char *language;
    const char *release;
    bool lowercase;
    bool normalize;
    bool printable;
    bool tokenize;
    bool detokenize;
    bool splits_hyphens;
    bool keeps_special;
    bool skips_tags;
    int64_t threads;
};

#define AT(member) offsetof(struct values, member)

static const struct option options[] = {
    {"language", 'l', NULL, "LANG", OPTION_STRING, AT(language), 0, 0, "en|de|fr",
     "en, de or fr; needed to normalize, tokenize and detokenize"},
    {"lowercase", 0, NULL, NULL, OPTION_FLAG, AT(lowercase), 0, 0, NULL, "as lowercase.perl"},
    {"normalize", 0, NULL, NULL, OPTION_FLAG, AT(normalize), 0, 0, NULL,
     "as normalize-punctuation.perl"},
    {"non-printing", 0, NULL, NULL, OPTION_FLAG, AT(printable), 0, 0, NULL,
     "make each non-printing character a space, as remove-non-printing-char.perl"},
    {"tokenize", 0, NULL, NULL, OPTION_FLAG, AT(tokenize), 0, 0, NULL, "as tokenizer.perl"},
    {"detokenize", 0, NULL, NULL, OPTION_FLAG, AT(detokenize), 0, 0, NULL, "as detokenizer.perl"},
    {"aggressive", 'a', NULL, NULL, OPTION_FLAG, AT(splits_hyphens), 0, 0, NULL,
     "tokenize: split words at hyphens, 'well @-@ known'"},
    {"no-escape", 0, "no-escape", NULL, OPTION_FLAG, AT(keeps_special), 0, 0, NULL,
     "tokenize: leave & | < > ' \" [ ] as they are instead of &amp; and so on"},
    {"skip-xml", 'x', NULL, NULL, OPTION_FLAG, AT(skips_tags), 0, 0, NULL,
     "tokenize: leave lines from '<' to '>' as they are (detokenize always does)"},
    {"release", 0, NULL, "NAME", OPTION_STRING, AT(release), 0, 0, "4.0|latest",
     "whose scripts: 4.0, the last release, with which most published data and scores were made "
     "(those of Multi30k too), or latest, those since the end of 2018; only 4.0 keeps the dot of "
     "an abbreviation, letter or German number also at the end of a line, and makes double quotes "
     "of single ones like \u2018 (default: 4.0)"},
    {"threads", 0, "threads", "N", OPTION_INT, AT(threads), 0, PARALLEL_MAX_THREADS, NULL,
     "threads that work (default: 0, all cores)"},
    {"penn", 0, "penn", NULL, OPTION_REFUSED, 0, 0, 0, NULL,
     "the rules of the Penn treebank are not here; leave it out"},
    {"protected", 0, "protected", NULL, OPTION_REFUSED, 0, 0, 0, NULL,
     "patterns that stay whole are not here; leave it out"},
};

#undef AT

static const struct options_command command = {
    .verb = "moses",
    .arguments = "[FILE]",
    .description =
        "Prepares FILE or standard input as the scripts of the Moses toolkit do, byte for byte: "
        "one line out for each line in.\n"
        "The steps run in the order in which they are listed here, however they are given: "
        "--lowercase --normalize --tokenize is lowercase.perl, then normalize-punctuation.perl, "
        "then tokenizer.perl.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
    .max_arguments = 1,
};

static enum moses_language language_of(const char *name)
{
    return strcmp(name, "de") == 0   ? MOSES_GERMAN
           : strcmp(name, "fr") == 0 ? MOSES_FRENCH
                                     : MOSES_ENGLISH;
}

static unsigned steps_of(const struct values *values)
{
    unsigned steps = 0;
    steps |= values->lowercase ? MOSES_LOWERCASE : 0;
    steps |= values->normalize ? MOSES_NORMALIZE : 0;
    steps |= values->printable ? MOSES_PRINTABLE : 0;
    steps |= values->tokenize ? MOSES_TOKENIZE : 0;
    steps |= values->detokenize ? MOSES_DETOKENIZE : 0;
    return steps;
}

/* An option of the tokenizer where nothing is tokenized is a mistake. */
static const char *idle_option(const struct values *values)
{
    if (values->tokenize)
        return NULL;
    return values->splits_hyphens  ? "aggressive"
           : values->keeps_special ? "no-escape"
           : values->skips_tags    ? "skip-xml"
                                   : NULL;
}

static enum status check(const struct values *values)
{
    const bool needs_language = values->normalize || values->tokenize || values->detokenize;
    if (steps_of(values) == 0) {
        const enum status status = status_set(STATUS_USAGE, "nothing to do");
        status_hint("give one or more of --lowercase, --normalize, --non-printing, --tokenize and "
                    "--detokenize");
        return status;
    }
    if (values->tokenize && values->detokenize)
        return status_set(STATUS_USAGE, "--tokenize and --detokenize exclude each other");
    if (needs_language && values->language == NULL) {
        const enum status status = status_set(STATUS_USAGE, "option --language is needed");
        status_hint("-l en, -l de or -l fr");
        return status;
    }
    if (idle_option(values) != NULL)
        return status_set(STATUS_USAGE, "option --%s is for --tokenize, which was not given",
                          idle_option(values));
    return STATUS_OK;
}

struct context {
    struct moses *moses;
    struct moses_work *works; /* [threads] owned */
};

static enum status apply(void *argument, int thread, const struct line *row, struct buffer *output)
{
    struct context *context = argument;
    const enum status status =
        moses_apply(context->moses, &context->works[thread], row->bytes, row->size, output);
    return status < 0 ? status : buffer_append(output, "\n", 1);
}

static enum status deliver(void *argument, const struct buffer *output, bool is_pause)
{
    (void)argument;
    return pipeline_write(stdout, output, is_pause);
}

static enum status run(struct context *context, struct lines *lines, int threads)
{
    lines_set_verbatim(lines); /* "\r" and U+FEFF mean something to the scripts */
    return pipeline_run(&(struct pipeline){
        .inputs = &lines,
        .n_inputs = 1,
        .threads = threads,
        .context = context,
        .apply = apply,
        .deliver = deliver,
    });
}

static void report(const struct lines *lines, double start_s)
{
    const struct lines_counts *counts = lines_so_far(lines);
    if (counts->bad_utf8.count > 0)
        fprintf(stderr,
                "mixt: warning: %s: invalid UTF-8 became U+FFFD in %lld line%s (first: %lld)\n",
                lines_name(lines), (long long)counts->bad_utf8.count,
                counts->bad_utf8.count == 1 ? "" : "s", (long long)counts->bad_utf8.first);
    if (clock_seconds() - start_s >= LONG_RUN_S) {
        char summary[64];
        snprintf(summary, sizeof summary, "%lld lines", (long long)counts->lines);
        footer_print(start_s, summary);
    }
}

static enum status process(const struct values *values, const char *path)
{
    const struct moses_options choice = {
        .language = language_of(values->language != NULL ? values->language : "en"),
        .release = strcmp(values->release, "4.0") == 0 ? MOSES_RELEASE_4 : MOSES_LATEST,
        .steps = steps_of(values),
        .splits_hyphens = values->splits_hyphens,
        .keeps_special = values->keeps_special,
        .skips_tags = values->skips_tags,
    };
    const double start_s = clock_seconds();
    const int threads = parallel_threads(values->threads);
    struct context context = {0};
    struct lines *lines = NULL;
    enum status status = lines_open(&lines, path);
    if (status < 0)
        return status;
    context.works = calloc((size_t)threads, sizeof *context.works);
    if (context.works == NULL)
        status = status_set(STATUS_MEMORY, "no memory for %d threads", threads);
    if (status == STATUS_OK)
        status = moses_open(&context.moses, &choice);
    if (status == STATUS_OK)
        status = run(&context, lines, threads);
    report(lines, start_s);
    for (int i = 0; i < threads && context.works != NULL; i++)
        moses_work_free(&context.works[i]);
    free(context.works);
    moses_close(context.moses);
    lines_close(lines);
    return status;
}

int moses_main(int argc, char **argv)
{
    struct values values = {.release = "4.0"};
    struct option_list arguments = {0};
    const int exit_code = options_start(&command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    enum status status = check(&values);
    if (status == STATUS_OK)
        status = process(&values, arguments.count > 0 ? arguments.items[0] : NULL);
    options_free(&command, &values, &arguments);
    return status_finish(status);
}
