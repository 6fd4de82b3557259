/* mixt bleu: the corpus BLEU of translations, with sacreBLEU's options, output and exit codes.
 *
 * Reads hypothesis and references side by side, a line of each at a time. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/status.h"
#include "text/metric/bleu.h"
#include "text/lines.h"
#include "text/metric/tokenizer_13a.h"
#include "tools/options.h"
#include "tools/verbs.h"

enum {
    EXIT_FIELDS = 17,            /* sacreBLEU's code for a line with too few references in it */
    TOKENIZED_LINES_WARNED = 100 /* so many lines ending in " ." look tokenized */
};

struct bleu_options {
    struct option_list input;
    struct option_list metrics;
    const char *tokenize;
    const char *smooth_method;
    double smooth_value; /* negative: not given */
    bool is_lowercase;
    bool is_forced;
    int64_t num_refs;
    const char *language_pair;
    const char *encoding;
    bool is_sentence_level;
    const char *format;
    int64_t width;
    bool is_score_only;
    bool is_short;
    bool is_quiet;
    bool no_color;
    bool is_version;
};

#define AT(member) offsetof(struct bleu_options, member)

static const char only_corpus[] =
    "mixt computes the BLEU of one system against reference files; for the rest use sacreBLEU";

static const struct option bleu_table[] = {
    {"input", 'i', NULL, "FILE", OPTION_WORDS, AT(input), 0, 0, NULL,
     "the translations, one a line (default: standard input); give the references before it"},
    {"num-refs", 0, "nr", "N", OPTION_INT, AT(num_refs), 1, 1000, NULL,
     "the one reference file holds N references a line, separated by tabs (default: 1)"},
    {"tokenize", 0, "tok", "NAME", OPTION_STRING, AT(tokenize), 0, 0, NULL,
     "13a or none (default: 13a)"},
    {"lowercase", 0, "lc", NULL, OPTION_FLAG, AT(is_lowercase), 0, 0, NULL,
     "compare in lower case"},
    {"smooth-method", 's', NULL, "NAME", OPTION_STRING, AT(smooth_method), 0, 0,
     "none|floor|add-k|exp",
     "what stands in for a precision of 0: exp, floor, add-k or none (default: exp)"},
    {"smooth-value", 0, "sv", "X", OPTION_DOUBLE, AT(smooth_value), 0, INFINITY, NULL,
     "the value of floor (default: 0.1) or add-k (default: 1)"},
    {"sentence-level", 0, "sl", NULL, OPTION_FLAG, AT(is_sentence_level), 0, 0, NULL,
     "print the BLEU of every line, with effective order"},
    {"force", 0, NULL, NULL, OPTION_FLAG, AT(is_forced), 0, 0, NULL,
     "do not warn about translations that look tokenized"},
    {"language-pair", 'l', NULL, "SRC-TRG", OPTION_STRING, AT(language_pair), 0, 0, NULL,
     "refuse to score zh, ja and ko with 13a unless --tokenize says so (default: none)"},
    {"metrics", 'm', NULL, "NAME", OPTION_WORDS, AT(metrics), 0, 0, NULL, "bleu (default: bleu)"},
    {"format", 'f', NULL, "NAME", OPTION_STRING, AT(format), 0, 0, "json|text|latex",
     "json or text; overridden by SACREBLEU_FORMAT in the environment (default: json)"},
    {"width", 'w', NULL, "N", OPTION_INT, AT(width), 0, 100, NULL,
     "decimals of the score (default: 1)"},
    {"score-only", 'b', NULL, NULL, OPTION_FLAG, AT(is_score_only), 0, 0, NULL,
     "print the bare number"},
    {"short", 0, "sh", NULL, OPTION_FLAG, AT(is_short), 0, 0, NULL,
     "print the short signature (text only)"},
    {"quiet", 'q', NULL, NULL, OPTION_FLAG, AT(is_quiet), 0, 0, NULL,
     "print warnings without the name in front"},
    {"no-color", 0, "nc", NULL, OPTION_FLAG, AT(no_color), 0, 0, NULL,
     "accepted; the output never has colours"},
    {"encoding", 'e', NULL, "NAME", OPTION_STRING, AT(encoding), 0, 0, "utf-8|utf8|UTF-8|UTF8",
     "utf-8 (default: utf-8)"},
    {"version", 'V', NULL, NULL, OPTION_FLAG, AT(is_version), 0, 0, NULL,
     "print the version and stop"},
    {.name = "confidence", .alias = "ci", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "confidence-n", .alias = "cin", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "paired-ar", .alias = "par", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "paired-bs", .alias = "pbs", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "paired-ar-n", .alias = "parn", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "paired-bs-n", .alias = "pbsn", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "paired-jobs", .letter = 'j', .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "test-set", .letter = 't', .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "origlang", .alias = "ol", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "subset", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "download", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "echo", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "list", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "citation", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "cite", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "detail", .letter = 'd', .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "chrf-char-order", .alias = "cc", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "chrf-word-order", .alias = "cw", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "chrf-beta", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "chrf-whitespace", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "chrf-lowercase", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "chrf-eps-smoothing", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "ter-case-sensitive", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "ter-asian-support", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "ter-no-punct", .kind = OPTION_REFUSED, .help = only_corpus},
    {.name = "ter-normalized", .kind = OPTION_REFUSED, .help = only_corpus},
};

static const struct options_command bleu_command = {
    .verb = "bleu",
    .arguments = "REFERENCE...",
    .description = "Scores translations, read from standard input or --input, against one or "
                   "more reference files, line by line, and prints what sacreBLEU 2.6.0 prints.",
    .options = bleu_table,
    .n_options = sizeof bleu_table / sizeof bleu_table[0],
    .min_arguments = 0,
    .max_arguments = 1000,
    .exit_codes = "0 done, 1 failed (unreadable files, unequal line counts, invalid UTF-8), "
                  "2 wrong usage, 17 a line with fewer references than --num-refs.",
};

/* What is read, and what came of it so far. */
struct bleu_run {
    struct bleu_options options;
    struct option_list references; /* paths */
    struct bleu_config config;
    struct bleu_counter *counter;
    struct lines *hypotheses;
    struct lines **files;    /* [references.count] */
    bool is_stdin;           /* the hypotheses come from standard input */
    struct bleu_text *texts; /* [n_texts] the references of one line */
    size_t n_texts;
    struct bleu_stats stats;
    struct buffer output;
    int64_t n_lines;
    int64_t n_tokenized;     /* hypotheses that end in " ." */
    int64_t first_return;    /* first line of standard input with "\r" inside, or 0 */
    int64_t first_tab;       /* the same for a tab */
    bool is_short_of_fields; /* a line held fewer references than --num-refs */
};

static enum status read_tokenizer(struct bleu_run *run)
{
    static const char *const known[] = {"zh",  "intl",      "char",      "ja-mecab", "ko-mecab",
                                        "spm", "flores101", "flores200", "spBLEU-1K"};
    const char *name = run->options.tokenize;
    run->config.tokenizer = BLEU_TOKENIZER_13A;
    if (name == NULL || strcmp(name, "13a") == 0)
        return STATUS_OK;
    run->config.tokenizer = BLEU_TOKENIZER_NONE;
    if (strcmp(name, "none") == 0)
        return STATUS_OK;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(name, known[i]) == 0)
            return status_set(STATUS_USAGE, "tokenizer '%s' is not supported yet; use 13a or none",
                              name);
    }
    return status_set(STATUS_USAGE, "option --tokenize wants 13a or none, not '%s'", name);
}

/* sacreBLEU chooses other tokenizers for these languages, and 13a would give another number. */
static enum status check_language(const struct bleu_options *options)
{
    if (options->language_pair == NULL)
        return STATUS_OK;
    const char *target = strchr(options->language_pair, '-');
    if (target == NULL)
        return status_set(STATUS_USAGE, "option --language-pair wants SRC-TRG, not '%s'",
                          options->language_pair);
    target++;
    const size_t size = strcspn(target, "-");
    const bool is_special =
        size == 2 && (strncmp(target, "zh", size) == 0 || strncmp(target, "ja", size) == 0 ||
                      strncmp(target, "ko", size) == 0);
    if (!is_special || options->tokenize != NULL)
        return STATUS_OK;
    const enum status code =
        status_set(STATUS_USAGE, "the tokenizer for '%.2s' is not supported yet", target);
    status_hint("give --tokenize 13a or --tokenize none if that is meant");
    return code;
}

static enum status check_metrics(const struct option_list *metrics)
{
    for (size_t i = 0; i < metrics->count; i++) {
        const char *name = metrics->items[i];
        if (strcmp(name, "chrf") == 0 || strcmp(name, "ter") == 0)
            return status_set(STATUS_USAGE, "metric '%s' is not supported yet; only bleu is", name);
        if (strcmp(name, "bleu") != 0)
            return status_set(STATUS_USAGE, "option --metrics wants bleu, not '%s'", name);
    }
    return STATUS_OK;
}

static enum status check_files(const struct bleu_run *run)
{
    enum status code = STATUS_OK;
    size_t n_stdin = run->is_stdin ? 1 : 0;
    for (size_t i = 0; i < run->references.count; i++)
        n_stdin += strcmp(run->references.items[i], "-") == 0 ? 1 : 0;
    if (run->references.count == 0) {
        code = status_set(STATUS_USAGE, "bleu: no reference file given");
        status_hint("mixt bleu REFERENCE... --input FILE; what follows --input is no reference");
    } else if (run->options.input.count > 1) {
        code = status_set(STATUS_USAGE,
                          "bleu: several systems are not supported yet, but %zu "
                          "files follow --input",
                          run->options.input.count);
    } else if (run->options.num_refs > 1 && run->references.count > 1) {
        code = status_set(STATUS_USAGE, "--num-refs goes with one reference file, not %zu",
                          run->references.count);
    } else if (n_stdin > 1) {
        code = status_set(STATUS_USAGE, "standard input can be only one of the texts");
    }
    return code;
}

static void read_smoothing(struct bleu_run *run)
{
    static const struct {
        const char *name;
        enum bleu_smoothing smoothing;
    } methods[] = {{"exp", BLEU_SMOOTHING_EXP},
                   {"floor", BLEU_SMOOTHING_FLOOR},
                   {"add-k", BLEU_SMOOTHING_ADD_K},
                   {"none", BLEU_SMOOTHING_NONE}};
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(run->options.smooth_method, methods[i].name) == 0)
            run->config.smoothing = methods[i].smoothing;
    }
    run->config.smoothing_value = run->options.smooth_value < 0
                                      ? bleu_default_smoothing_value(run->config.smoothing)
                                      : run->options.smooth_value;
}

static void read_format_variable(struct bleu_options *options)
{
    static const char *const formats[] = {"json", "text", "latex"};
    const char *wanted = getenv("SACREBLEU_FORMAT");
    for (size_t i = 0; wanted != NULL && i < sizeof formats / sizeof formats[0]; i++) {
        if (strcasecmp(wanted, formats[i]) == 0)
            options->format = formats[i];
    }
}

static enum status check_options(struct bleu_run *run)
{
    const struct option_list *input = &run->options.input;
    run->is_stdin = input->count == 0 || strcmp(input->items[0], "-") == 0;
    run->config.is_lowercase = run->options.is_lowercase;
    run->config.is_effective_order = run->options.is_sentence_level;
    read_smoothing(run);
    read_format_variable(&run->options);
    enum status code = check_metrics(&run->options.metrics);
    if (code == STATUS_OK)
        code = check_language(&run->options);
    if (code == STATUS_OK)
        code = read_tokenizer(run);
    return code < 0 ? code : check_files(run);
}

static enum status open_lines(struct lines **lines, const char *path)
{
    const enum status code = lines_open(lines, path);
    if (code == STATUS_OK)
        lines_set_verbatim(*lines);
    return code;
}

static enum status open_files(struct bleu_run *run)
{
    const size_t n_files = run->references.count;
    run->n_texts = run->options.num_refs > 1 ? (size_t)run->options.num_refs : n_files;
    run->files = calloc(n_files, sizeof *run->files);
    run->texts = calloc(run->n_texts, sizeof *run->texts);
    if (run->files == NULL || run->texts == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu references", run->n_texts);
    enum status code = bleu_counter_open(&run->counter, &run->config);
    for (size_t i = 0; code == STATUS_OK && i < n_files; i++)
        code = open_lines(&run->files[i], run->references.items[i]);
    if (code < 0)
        return code;
    return open_lines(&run->hypotheses, run->is_stdin ? NULL : run->options.input.items[0]);
}

static void close_files(struct bleu_run *run)
{
    for (size_t i = 0; run->files != NULL && i < run->references.count; i++)
        lines_close(run->files[i]);
    lines_close(run->hypotheses);
    bleu_counter_close(run->counter);
    buffer_free(&run->output);
    free(run->files);
    free(run->texts);
}

/* Reads a line and takes the white space at its end off; bytes is NULL at the end of the file. */
static enum status read_text(struct lines *lines, struct bleu_text *text)
{
    struct line line = {0};
    const enum status code = lines_next(lines, &line);
    if (code < 0)
        return code;
    if (lines_so_far(lines)->bad_utf8.count > 0)
        return status_set(STATUS_DATA, "%s:%lld: invalid UTF-8", lines_name(lines),
                          (long long)line.number);
    *text = (struct bleu_text){line.bytes, 0};
    if (line.bytes != NULL)
        text->size = tokenizer_strip_end(line.bytes, line.size);
    return STATUS_OK;
}

static enum status count_rest(struct lines *lines, int64_t *n_lines)
{
    struct line line = {0};
    enum status code = STATUS_OK;
    do
        code = lines_next(lines, &line);
    while (code == STATUS_OK && line.bytes != NULL);
    *n_lines = lines_so_far(lines)->lines;
    return code;
}

/* Names the first reference file whose number of lines differs from the hypotheses'. */
static enum status unequal_lines(struct bleu_run *run)
{
    int64_t n_hypotheses = 0;
    enum status code = count_rest(run->hypotheses, &n_hypotheses);
    for (size_t i = 0; code == STATUS_OK && i < run->references.count; i++) {
        int64_t n_lines = 0;
        code = count_rest(run->files[i], &n_lines);
        if (code == STATUS_OK && n_lines != n_hypotheses)
            return status_set(STATUS_DATA, "%s has %lld lines but %s has %lld",
                              lines_name(run->hypotheses), (long long)n_hypotheses,
                              lines_name(run->files[i]), (long long)n_lines);
    }
    return code;
}

/* Cuts a line at tabs into the wanted number of references; the last keeps further tabs. */
static enum status split_references(struct bleu_run *run)
{
    struct bleu_text rest = run->texts[0];
    for (size_t i = 0; i + 1 < run->n_texts; i++) {
        const char *tab = rest.size == 0 ? NULL : memchr(rest.bytes, '\t', rest.size);
        if (tab == NULL) {
            run->is_short_of_fields = true;
            return status_set(STATUS_DATA, "%s:%lld: %zu references wanted, %zu found",
                              lines_name(run->files[0]), (long long)run->n_lines + 1, run->n_texts,
                              i + 1);
        }
        const size_t size = (size_t)(tab - rest.bytes);
        run->texts[i] = (struct bleu_text){rest.bytes, size};
        rest = (struct bleu_text){tab + 1, rest.size - size - 1};
    }
    run->texts[run->n_texts - 1] = rest;
    return STATUS_OK;
}

/* Reads a line of every file. *is_end when all end here; STATUS_DATA when only some do. */
static enum status read_segment(struct bleu_run *run, struct bleu_text *hypothesis, bool *is_end)
{
    enum status code = read_text(run->hypotheses, hypothesis);
    /* sacreBLEU takes an empty standard input for one empty line */
    if (run->is_stdin && run->n_lines == 0 && hypothesis->bytes == NULL)
        *hypothesis = (struct bleu_text){"", 0};
    size_t n_ended = hypothesis->bytes == NULL ? 1 : 0;
    for (size_t i = 0; code == STATUS_OK && i < run->references.count; i++) {
        code = read_text(run->files[i], &run->texts[i]);
        n_ended += run->texts[i].bytes == NULL ? 1 : 0;
    }
    if (code < 0)
        return code;
    *is_end = n_ended == run->references.count + 1;
    if (n_ended > 0 && !*is_end)
        return unequal_lines(run);
    return *is_end || run->options.num_refs == 1 ? STATUS_OK : split_references(run);
}

/* Notes what deserves a warning at the end. */
static void inspect(struct bleu_run *run, struct bleu_text text)
{
    if (text.size >= 2 && memcmp(text.bytes + text.size - 2, " .", 2) == 0)
        run->n_tokenized++;
    if (!run->is_stdin || text.size == 0)
        return;
    if (run->first_return == 0 && memchr(text.bytes, '\r', text.size) != NULL)
        run->first_return = run->n_lines;
    if (run->first_tab == 0 && memchr(text.bytes, '\t', text.size) != NULL)
        run->first_tab = run->n_lines;
}

static void print_warnings(const struct bleu_run *run)
{
    const char *name = run->options.is_quiet ? "" : "sacreBLEU: ";
    if (run->n_tokenized >= TOKENIZED_LINES_WARNED && !run->options.is_forced &&
        !run->options.is_sentence_level) {
        fprintf(stderr, "%sThat's 100 lines that end in a tokenized period ('.')\n", name);
        fprintf(stderr,
                "%sIt looks like you forgot to detokenize your test data, which may hurt your "
                "score.\n",
                name);
        fprintf(stderr,
                "%sIf you insist your data is detokenized, or don't care, you can suppress this "
                "message with the `force` parameter.\n",
                name);
    }
    if (run->first_return > 0)
        fprintf(stderr,
                "mixt: standard input:%lld: a carriage return inside the line is white space "
                "here; sacreBLEU would end the line there\n",
                (long long)run->first_return);
    if (run->first_tab > 0)
        fprintf(stderr,
                "mixt: standard input:%lld: a tab inside the line is white space here; sacreBLEU "
                "would see several systems\n",
                (long long)run->first_tab);
}

static enum status append_score(struct bleu_run *run, const struct bleu_stats *stats)
{
    const struct bleu_options *options = &run->options;
    const struct bleu_score score = bleu_compute(stats, &run->config);
    const int width = (int)options->width;
    const bool is_json = strcmp(options->format, "json") == 0 && !options->is_sentence_level;
    if (options->is_score_only)
        return buffer_printf(&run->output, "%.*f\n", width, score.score);
    struct buffer signature = {0};
    enum status code = bleu_append_signature(&signature, &run->config, run->n_texts,
                                             options->is_short && !is_json);
    if (code == STATUS_OK)
        code = is_json ? bleu_append_json(&run->output, &score, signature.data, width)
                       : bleu_append_text(&run->output, &score, signature.data, width);
    buffer_free(&signature);
    return code < 0 ? code : buffer_append_string(&run->output, "\n");
}

static enum status score_lines(struct bleu_run *run)
{
    for (;;) {
        struct bleu_text hypothesis = {0};
        struct bleu_stats stats = {0};
        bool is_end = false;
        enum status code = read_segment(run, &hypothesis, &is_end);
        if (code < 0 || is_end)
            return code;
        run->n_lines++;
        inspect(run, hypothesis);
        code = bleu_count(run->counter, hypothesis, run->texts, run->n_texts, &stats);
        if (code == STATUS_OK && run->options.is_sentence_level)
            code = append_score(run, &stats);
        if (code < 0)
            return code;
        bleu_add(&run->stats, &stats);
    }
}

static enum status run_bleu(struct bleu_run *run)
{
    enum status code = check_options(run);
    if (code == STATUS_OK)
        code = open_files(run);
    if (code == STATUS_OK)
        code = score_lines(run);
    if (code < 0)
        return code;
    if (run->n_lines == 0)
        return status_set(STATUS_DATA, "%s holds no lines", lines_name(run->hypotheses));
    print_warnings(run);
    if (!run->options.is_sentence_level)
        code = append_score(run, &run->stats);
    if (code == STATUS_OK)
        fwrite(run->output.data, 1, run->output.size, stdout); /* main() sees errors */
    return code;
}

int bleu_main(int argc, char **argv)
{
    struct bleu_run run = {.options = {.smooth_method = "exp",
                                       .smooth_value = -1,
                                       .num_refs = 1,
                                       .format = "json",
                                       .width = 1}};
    int exit_code = options_start(&bleu_command, argc, argv, &run.options, &run.references);
    if (exit_code >= 0)
        return exit_code;
    if (run.options.is_version) {
        printf("mixt bleu %s (as sacreBLEU %s)\n", MIXT_VERSION, bleu_compatible_version);
        options_free(&bleu_command, &run.options, &run.references);
        return 0;
    }
    const enum status code = run_bleu(&run);
    exit_code = code == STATUS_OK ? 0 : run.is_short_of_fields ? EXIT_FIELDS : 1;
    if (code < 0)
        status_print();
    if (code == STATUS_USAGE)
        exit_code = status_exit_code(code);
    close_files(&run);
    options_free(&bleu_command, &run.options, &run.references);
    return exit_code;
}
