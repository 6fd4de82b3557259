/* mixt prep: raw parallel text, or a data set, to a binary corpus; and what there is to do with it.
 */
#include "tools/prep/prep.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parallel.h"
#include "text/prep/pairs.h"
#include "tools/prep/dataset.h"
#include "tools/verbs.h"

#define AT(member) offsetof(struct prep_values, member)

static const struct option prep_table[] = {
    {"output", 'o', NULL, "DIR", OPTION_STRING, AT(output), 0, 0, NULL,
     "the directory to write; needed, but for --check and --verify"},
    {"languages", 'l', NULL, "SRC-TRG", OPTION_STRING, AT(languages), 0, 0, NULL,
     "the languages, as en-de or en-sr_Latn; names of the sides, and what --max-foreign needs"},
    {"source", 0, NULL, "FILE", OPTION_WORDS, AT(sources), 0, 0, NULL,
     "several source files, instead of or after the plain arguments; .gz is fine"},
    {"target", 0, NULL, "FILE", OPTION_WORDS, AT(targets), 0, 0, NULL, "as many target files"},
    {"overwrite", 0, NULL, NULL, OPTION_FLAG, AT(overwrite), 0, 0, NULL,
     "replace a corpus that is in DIR"},
    {"text", 0, NULL, NULL, OPTION_FLAG, AT(writes_text), 0, 0, NULL,
     "also write the kept text as DIR/source.SRC and DIR/target.TRG"},
    {"dropped", 0, NULL, "FILE", OPTION_STRING, AT(dropped), 0, 0, NULL,
     "write each dropped pair: rule, source file, line, source, target, with tabs between; "
     "duplicates come last"},
    {"threads", 't', NULL, "N", OPTION_INT, AT(threads), 0, PARALLEL_MAX_THREADS, NULL,
     "threads that work; no influence on the result (default: 0, all cores)"},
    {"shard-size", 0, NULL, "MIB", OPTION_INT, AT(shard_mib), 1, 1024, NULL,
     "text of a file of the corpus (default: 256)"},
    {"normalize", 0, NULL, "FORM", OPTION_STRING, AT(normalize), 0, 0, "nfc|nfkc|none",
     "Unicode form: nfc, nfkc (also full-width letters, ligatures and the like) or none (default: "
     "nfc)"},
    {"keep-space", 0, NULL, NULL, OPTION_FLAG, AT(keeps_space), 0, 0, NULL,
     "leave white space and control characters alone; otherwise runs of white space become a "
     "space, "
     "and control characters, soft hyphens and the like go"},
    {"unify-punctuation", 0, NULL, NULL, OPTION_FLAG, AT(unifies_punctuation), 0, 0, NULL,
     "make typographic quotes, dashes, ellipses and full-width ASCII plain ASCII"},
    {"max-words", 0, NULL, "N", OPTION_DOUBLE, AT(max_words), 0, 1e9, NULL,
     "too-long: drop pairs with more words on a side; scripts without spaces are counted by "
     "letters: 1.5 Han, 2.5 Kana, 4 Thai a word; 0: any (default: 250)"},
    {"max-chars", 0, NULL, "N", OPTION_INT, AT(max_characters), 0, 1e9, NULL,
     "too-long: or more characters; 0: any (default: 5000)"},
    {"min-words", 0, NULL, "N", OPTION_DOUBLE, AT(min_words), 0, 1e9, NULL,
     "too-short: drop pairs with fewer words on a side (default: 0)"},
    {"min-chars", 0, NULL, "N", OPTION_INT, AT(min_characters), 0, 1e9, NULL,
     "too-short: or fewer characters (default: 0)"},
    {"max-ratio", 0, NULL, "R", OPTION_DOUBLE, AT(max_ratio), 0, 1e9, NULL,
     "ratio: drop pairs where a side has more than R times the words of the other and the slack; "
     "0: off (default: 2.5)"},
    {"ratio-slack", 0, NULL, "N", OPTION_DOUBLE, AT(ratio_slack), 0, 1e9, NULL,
     "words that are no matter, so that short sentences may differ (default: 5)"},
    {"copies", 0, NULL, "WHAT", OPTION_STRING, AT(copies), 0, 0, "drop|keep",
     "copy: drop or keep pairs of twice the same text (default: drop)"},
    {"max-foreign", 0, NULL, "SHARE", OPTION_DOUBLE, AT(max_foreign), 0, 1, NULL,
     "script: drop pairs where more of a side's letters are of scripts that the language of -l is "
     "not written in; 1: off (default: 0.5)"},
    {"max-non-letters", 0, NULL, "SHARE", OPTION_DOUBLE, AT(max_non_letters), 0, 1, NULL,
     "non-letters: drop pairs where more of a side's characters are no letters; 1: off (default: "
     "0.75)"},
    {"duplicates", 0, NULL, "WHAT", OPTION_STRING, AT(duplicates), 0, 0, "pair|source|target|keep",
     "duplicate: what must be there before for a pair to be dropped: pair, source or target; keep: "
     "nothing is dropped (default: pair)"},
    {"check", 0, NULL, NULL, OPTION_FLAG, AT(checks), 0, 0, NULL,
     "write nothing; look for the place where SOURCE and TARGET lose step"},
    {"verify", 0, NULL, NULL, OPTION_FLAG, AT(verifies), 0, 0, NULL,
     "write nothing; compare the corpus in the directory given with its hashes"},
    {"dataset", 0, NULL, "FILE", OPTION_STRING, AT(dataset), 0, 0, NULL,
     "a data set described in FILE, or a manifest to repeat"},
    {"from", 0, NULL, "PLACE", OPTION_STRING, AT(from), 0, 0, NULL,
     "data sets: take the archives from a folder, without the network, or from a mirror"},
    {"downloads", 0, NULL, "DIR", OPTION_STRING, AT(downloads), 0, 0, NULL,
     "data sets: keep the archives there (default: downloads in the output)"},
    {"timeout", 0, NULL, "S", OPTION_INT, AT(timeout_s), 1, 86400, NULL,
     "data sets: give up a connection on which nothing comes for so long (default: 60)"},
    {"no-verify", 0, NULL, NULL, OPTION_FLAG, AT(no_verify), 0, 0, NULL,
     "data sets: take other archives than the published ones"},
};

#undef AT

static const struct options_command prep_command = {
    .verb = "prep",
    .arguments = "SOURCE TARGET | DATASET | cat DIR",
    .description =
        "Makes a binary corpus of line-parallel text: cleans it, drops pairs by the rules below, "
        "in "
        "their order, and duplicates, and reports what was dropped and why, on stderr and in "
        "DIR/manifest.json. Memory does not grow with the text; DIR needs room for up to twice the "
        "text while it is written.\n"
        "DATASET (wmt14-en-de, wmt14-en-fr, multi30k) is fetched, checked and unpacked first; of "
        "the rules only those given are used then.\n"
        "'mixt prep cat --help': a corpus as text again.",
    .options = prep_table,
    .n_options = sizeof prep_table / sizeof prep_table[0],
    .max_arguments = 2,
    .exit_codes = "0 done, 1 failed, 2 usage or configuration, 3 input data (also files that "
                  "--check finds out of step), 4 memory, 130 or 143 stopped by a signal.",
};

static enum clean_form form_of(const char *name)
{
    if (strcmp(name, "none") == 0)
        return CLEAN_AS_IS;
    return strcmp(name, "nfc") == 0 ? CLEAN_NFC : CLEAN_NFKC;
}

static const char *const form_names[] = {
    [CLEAN_AS_IS] = "none", [CLEAN_NFC] = "nfc", [CLEAN_NFKC] = "nfkc"};

static const char *const duplicates_names[] = {
    [PREP_DUPLICATES_KEEP] = "keep",
    [PREP_DUPLICATES_PAIR] = "pair",
    [PREP_DUPLICATES_SOURCE] = "source",
    [PREP_DUPLICATES_TARGET] = "target",
};

static enum prep_duplicates duplicates_of(const char *name)
{
    int kind = PREP_DUPLICATES_KEEP;
    while (strcmp(duplicates_names[kind], name) != 0)
        kind++;
    return (enum prep_duplicates)kind;
}

/* The command line before anything is read from it. */
static struct prep_values values_of(const struct prep_rules *rules)
{
    return (struct prep_values){
        .shard_mib = PAIRS_SHARD_TEXT >> 20,
        .normalize = form_names[rules->clean.form],
        .keeps_space = rules->clean.keeps_space,
        .unifies_punctuation = rules->clean.unifies_punctuation,
        .max_words = rules->max_words,
        .max_characters = rules->max_characters,
        .min_words = rules->min_words,
        .min_characters = rules->min_characters,
        .max_ratio = rules->max_ratio,
        .ratio_slack = rules->ratio_slack,
        .copies = rules->drops_copies ? "drop" : "keep",
        .max_foreign = rules->max_foreign,
        .max_non_letters = rules->max_non_letters,
        .duplicates = duplicates_names[rules->duplicates],
        .timeout_s = 60,
    };
}

static struct prep_options options_of(const struct prep_values *values)
{
    return (struct prep_options){
        .output = values->output,
        .overwrite = values->overwrite,
        .dropped = values->dropped,
        .writes_text = values->writes_text,
        .threads = parallel_threads(values->threads),
        .shard_bytes = values->shard_mib << 20,
        .rules =
            {
                .clean =
                    {
                        .form = form_of(values->normalize),
                        .keeps_space = values->keeps_space,
                        .unifies_punctuation = values->unifies_punctuation,
                    },
                .max_characters = values->max_characters,
                .max_words = values->max_words,
                .min_characters = values->min_characters,
                .min_words = values->min_words,
                .max_ratio = values->max_ratio,
                .ratio_slack = values->ratio_slack,
                .drops_copies = strcmp(values->copies, "drop") == 0,
                .max_foreign = values->max_foreign,
                .max_non_letters = values->max_non_letters,
                .duplicates = duplicates_of(values->duplicates),
            },
    };
}

enum status prep_split_languages(const char *languages, char source[PREP_LANGUAGE_BYTES],
                                 char target[PREP_LANGUAGE_BYTES])
{
    const size_t n_source = strcspn(languages, "-");
    const char *rest = languages + n_source + (languages[n_source] == '-' ? 1 : 0);
    const size_t n_target = strlen(rest);
    if (n_source == 0 || n_target == 0 || n_source >= PREP_LANGUAGE_BYTES ||
        n_target >= PREP_LANGUAGE_BYTES || strpbrk(languages, "/. \t") != NULL ||
        strchr(rest, '-') != NULL) {
        const enum status status =
            status_set(STATUS_USAGE, "option --languages wants two languages, not '%s'", languages);
        status_hint("as en-de; inside a language use '_', as in en-sr_Latn");
        return status;
    }
    snprintf(source, PREP_LANGUAGE_BYTES, "%.*s", (int)n_source, languages);
    snprintf(target, PREP_LANGUAGE_BYTES, "%s", rest);
    return STATUS_OK;
}

static bool is_standard_input(const char *path)
{
    return strcmp(path, "-") == 0;
}

/* The plain arguments and those of --source and --target as pairs of files; to be freed. */
static enum status gather_inputs(const struct prep_values *values,
                                 const struct option_list *arguments, struct prep_input **inputs,
                                 size_t *n)
{
    if (arguments->count == 1)
        return status_set(STATUS_USAGE, "'%s' alone is no pair of files, and no data set",
                          arguments->items[0]);
    if (values->sources.count != values->targets.count)
        return status_set(STATUS_USAGE, "%zu files of --source but %zu of --target",
                          values->sources.count, values->targets.count);
    if (arguments->count + values->sources.count == 0) {
        const enum status status = status_set(STATUS_USAGE, "no files given");
        status_hint("mixt prep SOURCE TARGET -o DIR");
        return status;
    }
    *inputs = calloc(values->sources.count + 1, sizeof **inputs);
    if (*inputs == NULL)
        return status_set(STATUS_MEMORY, "no memory for the command line");
    if (arguments->count == 2)
        (*inputs)[(*n)++] = (struct prep_input){arguments->items[0], arguments->items[1]};
    for (size_t i = 0; i < values->sources.count; i++)
        (*inputs)[(*n)++] = (struct prep_input){values->sources.items[i], values->targets.items[i]};
    int n_standard = 0;
    for (size_t i = 0; i < *n; i++) {
        n_standard += is_standard_input((*inputs)[i].source) ? 1 : 0;
        n_standard += is_standard_input((*inputs)[i].target) ? 1 : 0;
    }
    if (n_standard > 1)
        return status_set(STATUS_USAGE, "standard input can be only one of the files");
    return STATUS_OK;
}

static enum status need_output(const struct prep_values *values)
{
    if (values->output != NULL)
        return STATUS_OK;
    const enum status status = status_set(STATUS_USAGE, "option --output is needed");
    status_hint("it names the directory to write");
    return status;
}

static enum status run_text(const struct prep_values *values, const struct option_list *arguments)
{
    struct prep_options options = options_of(values);
    char source[PREP_LANGUAGE_BYTES], target[PREP_LANGUAGE_BYTES];
    struct prep_input *inputs = NULL;
    enum status status = gather_inputs(values, arguments, &inputs, &options.n_inputs);
    if (status == STATUS_OK)
        status = need_output(values);
    if (status == STATUS_OK && values->languages != NULL) {
        status = prep_split_languages(values->languages, source, target);
        options.source_language = source;
        options.target_language = target;
    }
    options.inputs = inputs;
    if (status == STATUS_OK) {
        struct prep_report report = {0};
        status = prep_run_shown(&options, &report);
        prep_report_free(&report);
    }
    free(inputs);
    return status;
}

static enum status run_check(const struct prep_values *values, const struct option_list *arguments)
{
    struct prep_input *inputs = NULL;
    size_t n = 0;
    enum status status = gather_inputs(values, arguments, &inputs, &n);
    for (size_t i = 0; i < n && status == STATUS_OK; i++)
        status = prep_check(inputs[i].source, inputs[i].target);
    free(inputs);
    return status;
}

static enum status run_verify(const struct option_list *arguments)
{
    if (arguments->count != 1)
        return status_set(STATUS_USAGE, "option --verify wants the directory of a corpus");
    struct pairs *pairs = NULL;
    enum status status = pairs_open(&pairs, arguments->items[0]);
    if (status == STATUS_OK)
        status = pairs_verify(pairs);
    if (status == STATUS_OK)
        fprintf(stderr, "mixt: %s: %" PRId64 " pairs, all as they were written\n",
                arguments->items[0], pairs_count(pairs));
    pairs_close(pairs);
    return status;
}

static bool is_dataset(const struct prep_values *values, const struct option_list *arguments)
{
    return values->dataset != NULL ||
           (arguments->count == 1 && prep_is_dataset(arguments->items[0]));
}

static enum status run_dataset(const struct prep_values *values,
                               const struct option_list *arguments)
{
    const struct prep_dataset_values dataset = {
        .name = arguments->count == 1 ? arguments->items[0] : NULL,
        .file = values->dataset,
        .from = values->from,
        .downloads = values->downloads,
        .timeout_s = values->timeout_s,
        .no_verify = values->no_verify,
    };
    if (arguments->count + (values->dataset == NULL ? 0 : 1) != 1 || values->sources.count > 0 ||
        values->targets.count > 0 || values->languages != NULL)
        return status_set(STATUS_USAGE, "a data set brings its own files and languages");
    const struct prep_options options = options_of(values);
    const enum status status = need_output(values);
    return status < 0 ? status : prep_dataset_run(&dataset, &options);
}

static enum status run_part(const struct prep_values *values, const struct option_list *arguments)
{
    if (values->verifies)
        return run_verify(arguments);
    if (values->checks)
        return run_check(values, arguments);
    return is_dataset(values, arguments) ? run_dataset(values, arguments)
                                         : run_text(values, arguments);
}

int prep_main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "cat") == 0)
        return prep_cat_main(argc - 1, argv + 1);
    struct prep_rules rules = prep_rules_default();
    struct prep_values values = values_of(&rules);
    struct option_list arguments = {0};
    int exit_code = options_start(&prep_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    if (is_dataset(&values, &arguments)) { /* once more, with the rules that data sets begin with */
        options_free(&prep_command, &values, &arguments);
        rules = prep_dataset_rules();
        values = values_of(&rules);
        exit_code = options_start(&prep_command, argc, argv, &values, &arguments);
        if (exit_code >= 0)
            return exit_code;
    }
    const enum status status = run_part(&values, &arguments);
    options_free(&prep_command, &values, &arguments);
    return status < 0 ? prep_failed(status) : 0;
}
