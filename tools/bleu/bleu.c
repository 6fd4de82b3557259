/* mixt bleu: BLEU and chrF of translations, with sacreBLEU's options, output and exit codes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/bleu/color.h"
#include "tools/bleu/echo.h"
#include "tools/bleu/multi.h"
#include "tools/bleu/notice.h"
#include "tools/bleu/options.h"
#include "tools/bleu/results.h"
#include "tools/bleu/seed.h"
#include "tools/verbs.h"

enum {
    EXIT_FIELDS = 17,            /* sacreBLEU's code for a line with a wrong number of texts */
    TOKENIZED_LINES_WARNED = 100 /* so many lines ending in " ." look tokenized */
};

/* What is read, and what came of it. */
struct run {
    struct bleu_options options;
    struct option_list references; /* paths */
    struct bleu_metrics metrics;
    struct bleu_inputs inputs;
    struct bleu_tally tally;
    struct bleu_seed seed;
};

static bool uses_13a(const struct bleu_metrics *metrics)
{
    for (size_t m = 0; m < metrics->count; m++) {
        if (metrics->items[m].kind == METRIC_BLEU)
            return metrics->items[m].bleu.tokenizer == BLEU_TOKENIZER_13A;
    }
    return false;
}

static bool has_bleu(const struct bleu_metrics *metrics)
{
    return metrics->items[0].kind == METRIC_BLEU || metrics->count > 1;
}

/* As often as sacreBLEU does: for each system. */
static void warn_of_tokenized(const struct run *run)
{
    const struct bleu_options *options = &run->options;
    if (!has_bleu(&run->metrics) || options->is_forced || options->is_sentence_level)
        return;
    for (size_t i = 0; i < run->inputs.n_systems; i++) {
        if (run->tally.n_tokenized[i] < TOKENIZED_LINES_WARNED)
            continue;
        notice_warning(options->is_quiet, "That's 100 lines that end in a tokenized period ('.')");
        notice_warning(options->is_quiet,
                       "It looks like you forgot to detokenize your test data, which may hurt "
                       "your score.");
        notice_warning(options->is_quiet,
                       "If you insist your data is detokenized, or don't care, you can suppress "
                       "this message with the `force` parameter.");
    }
}

static void print_warnings(const struct run *run)
{
    const struct bleu_tally *tally = &run->tally;
    const bool is_unchosen = run->options.language_pair == NULL && run->options.tokenize == NULL;
    warn_of_tokenized(run);
    if (tally->first_return > 0)
        fprintf(stderr,
                "mixt: standard input:%lld: a carriage return inside the line is white space "
                "here; sacreBLEU would end the line there\n",
                (long long)tally->first_return);
    if (tally->first_tab > 0)
        fprintf(stderr,
                "mixt: standard input:%lld: a tab inside the line is white space here; sacreBLEU "
                "would see several systems, as --stdin-systems does\n",
                (long long)tally->first_tab);
    if (tally->is_cjk && is_unchosen && uses_13a(&run->metrics) && !run->options.is_quiet)
        fprintf(stderr,
                "mixt: the references look Chinese, Japanese or Korean, where tokenizer 13a does "
                "not find the words\nhint: give the language pair, as -l en-zh, or --tokenize\n");
}

static enum bleu_rows rows_wanted(const struct bleu_options *options, size_t n_systems)
{
    if (options->is_sentence_level)
        return BLEU_ROWS_NONE;
    if (options->is_detailed && options->test_set != NULL && n_systems == 1)
        return BLEU_ROWS_ALL;
    const bool is_resampled =
        (options->has_confidence && options->confidence_n > 1) || bleu_options_are_paired(options);
    return is_resampled ? BLEU_ROWS_SCORED : BLEU_ROWS_NONE;
}

static enum status print_results(struct run *run)
{
    struct bleu_options *options = &run->options;
    const char *no_color = getenv("NO_COLOR");
    const bool is_plain = options->no_color || (no_color != NULL && no_color[0] != '\0');
    const struct bleu_results results = {
        .options = options,
        .inputs = &run->inputs,
        .metrics = &run->metrics,
        .tally = &run->tally,
        .seed = run->seed.is_given ? run->seed.digits.data : NULL,
        .seed_name = run->seed.name.data,
        .has_colors = !is_plain,
    };
    struct buffer out = {0};
    enum status code = STATUS_OK;
    if (options->is_detailed && strcmp(options->format, "json") == 0)
        options->format = "text";
    if (run->inputs.n_systems > 1)
        code = bleu_results_append_systems(&results, &out);
    else
        code = bleu_results_append_single(&results, &out);
    if (code == STATUS_OK && run->inputs.n_systems == 1 && options->is_detailed)
        code = bleu_results_append_details(&results, &out);
    if (results.has_colors && !isatty(STDOUT_FILENO))
        color_remove(&out);
    if (code == STATUS_OK)
        fwrite(out.data, 1, out.size, stdout); /* main() sees errors */
    buffer_free(&out);
    return code;
}

static enum status score(struct run *run)
{
    const struct bleu_options *options = &run->options;
    if (options->test_set != NULL && options->tokenize != NULL &&
        strcmp(options->tokenize, "none") == 0) {
        notice_warning(options->is_quiet, "You are turning off BLEU's internal tokenizer "
                                          "presumably to supply your own tokenized files.");
        notice_warning(options->is_quiet,
                       "Published numbers will not be comparable to other papers.");
    }
    enum status code = bleu_metrics_choose(&run->metrics, options);
    if (code == STATUS_OK)
        code = bleu_seed_read(&run->seed);
    if (code == STATUS_OK)
        code = bleu_inputs_open(&run->inputs, options, &run->references);
    if (code == STATUS_OK)
        code = bleu_tally_run(&run->tally, &run->inputs, &run->metrics, options,
                              rows_wanted(options, run->inputs.n_systems));
    if (code < 0)
        return code;
    print_warnings(run);
    return options->is_sentence_level ? STATUS_OK : print_results(run);
}

static enum status run_bleu(struct run *run)
{
    const struct bleu_options *options = &run->options;
    const enum status code = bleu_options_check(&run->options, &run->references);
    if (code < 0)
        return code;
    if (options->is_list)
        return testset_list(stdout, options->test_set, options->language_pair);
    if (options->is_multi_bleu)
        return bleu_multi_run(options, &run->references);
    if (options->echo.count > 0)
        return bleu_echo(stdout, options);
    return score(run);
}

static void close_run(struct run *run)
{
    bleu_tally_free(&run->tally);
    bleu_inputs_close(&run->inputs);
    bleu_metrics_free(&run->metrics);
    bleu_seed_free(&run->seed);
    options_free(&bleu_command, &run->options, &run->references);
}

int bleu_main(int argc, char **argv)
{
    struct run run = {.options = bleu_options_default()};
    int exit_code = options_start(&bleu_command, argc, argv, &run.options, &run.references);
    if (exit_code >= 0)
        return exit_code;
    if (run.options.is_version) {
        printf("mixt bleu %s (as sacreBLEU %s)\n", MIXT_VERSION, metric_compatible_version);
        close_run(&run);
        return 0;
    }
    const enum status code = run_bleu(&run);
    const bool is_fields = run.inputs.has_wrong_fields || run.tally.has_wrong_fields;
    exit_code = code == STATUS_OK ? 0 : is_fields ? EXIT_FIELDS : 1;
    if (code < 0)
        status_print();
    if (code == STATUS_USAGE || code == STATUS_MEMORY)
        exit_code = status_exit_code(code);
    close_run(&run);
    return exit_code;
}
