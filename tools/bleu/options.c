#include "tools/bleu/options.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "text/subword/sentencepiece.h"
#include "tools/bleu/notice.h"
#include "tools/bleu/testset.h"

#define AT(member) offsetof(struct bleu_options, member)

static const char use_sacrebleu[] = "use sacreBLEU itself for that";

/* clang-format off */
static const struct option bleu_table[] = {
    {"input", 'i', NULL, "FILE", OPTION_WORDS, AT(input), 0, 0, NULL,
     "the translations, one a line, of one or more systems (default: standard input); give the "
     "references before it"},
    {"num-refs", 0, "nr", "N", OPTION_INT, AT(num_refs), 1, 1000, NULL,
     "the one reference file holds N references a line, separated by tabs (default: 1)"},
    {"stdin-systems", 0, NULL, NULL, OPTION_FLAG, AT(is_stdin_systems), 0, 0, NULL,
     "standard input holds several systems, separated by tabs (default: a tab is white space)"},
    {"encoding", 'e', NULL, "NAME", OPTION_STRING, AT(encoding), 0, 0, NULL,
     "of all texts: utf-8, ascii or latin-1 (default: utf-8)"},
    {"test-set", 't', NULL, "SET", OPTION_STRING, AT(test_set), 0, 0, NULL,
     "use the references of a test set, or of several with commas between, from sacreBLEU's folder "
     "($SACREBLEU or ~/.sacrebleu); nothing is ever downloaded"},
    {"language-pair", 'l', NULL, "SRC-TRG", OPTION_STRING, AT(language_pair), 0, 0, NULL,
     "of the test set; TRG also chooses the tokenizer: zh for zh, 13a else"},
    {"origlang", 0, "ol", "LANG", OPTION_STRING, AT(origlang), 0, 0, NULL,
     "only lines of the test set that were written in LANG, or with non-LANG that were not"},
    {"subset", 0, NULL, "REGEX", OPTION_STRING, AT(subset), 0, 0, NULL,
     "only lines of the test set whose domain matches the extended regular expression"},
    {"echo", 0, NULL, "FIELD", OPTION_WORDS, AT(echo), 0, 0, NULL,
     "print fields of the test set, as src, ref, docid or all, separated by tabs, and stop"},
    {"list", 0, NULL, NULL, OPTION_FLAG, AT(is_list), 0, 0, NULL,
     "print the test sets in the folder, or with --test-set its language pairs and fields, and "
     "stop"},
    {"metrics", 'm', NULL, "NAME", OPTION_WORDS, AT(metrics), 0, 0, NULL,
     "bleu, chrf or both (default: bleu)"},
    {"sentence-level", 0, "sl", NULL, OPTION_FLAG, AT(is_sentence_level), 0, 0, NULL,
     "print the score of every line; BLEU with effective order"},
    {"smooth-method", 's', NULL, "NAME", OPTION_STRING, AT(smooth_method), 0, 0,
     "none|floor|add-k|exp",
     "what stands in for a precision of 0: exp, floor, add-k or none (default: exp)"},
    {"smooth-value", 0, "sv", "X", OPTION_DOUBLE, AT(smooth_value), 0, INFINITY, NULL,
     "the value of floor (default: 0.1) or add-k (default: 1)"},
    {"tokenize", 0, "tok", "NAME", OPTION_STRING, AT(tokenize), 0, 0, NULL,
     "13a, intl, char, zh, none, or with a SentencePiece model flores101 (also called spm), "
     "flores200, spBLEU-1K (default: by --language-pair, else 13a)"},
    {"spm-model", 0, NULL, "FILE", OPTION_STRING, AT(spm_model), 0, 0, NULL,
     "the model of such a tokenizer (default: where sacreBLEU keeps it, models/ in its folder)"},
    {"lowercase", 0, "lc", NULL, OPTION_FLAG, AT(is_lowercase), 0, 0, NULL,
     "compare in lower case (BLEU)"},
    {"force", 0, NULL, NULL, OPTION_FLAG, AT(is_forced), 0, 0, NULL,
     "do not warn about translations that look tokenized"},
    {"chrf-char-order", 0, "cc", "N", OPTION_INT, AT(chrf_char_order), 1, CHRF_MAX_CHAR_ORDER,
     NULL, "characters in the longest n-gram of chrF (default: 6)"},
    {"chrf-word-order", 0, "cw", "N", OPTION_INT, AT(chrf_word_order), 0, CHRF_MAX_WORD_ORDER,
     NULL, "words in the longest n-gram of chrF (default: 0; chrF++ has 2)"},
    {"chrf-beta", 0, NULL, "N", OPTION_INT, AT(chrf_beta), -CHRF_MAX_BETA, CHRF_MAX_BETA, NULL,
     "weight of recall over precision in chrF (default: 2)"},
    {"chrf-whitespace", 0, NULL, NULL, OPTION_FLAG, AT(chrf_whitespace), 0, 0, NULL,
     "white space is a character of chrF"},
    {"chrf-lowercase", 0, NULL, NULL, OPTION_FLAG, AT(chrf_lowercase), 0, 0, NULL,
     "compare in lower case (chrF)"},
    {"chrf-eps-smoothing", 0, NULL, NULL, OPTION_FLAG, AT(chrf_eps_smoothing), 0, 0, NULL,
     "average chrF over all orders, with a tiny number for what is missing"},
    {"confidence", 0, "ci", NULL, OPTION_FLAG, AT(has_confidence), 0, 0, NULL,
     "add the mean and the 95 % interval of a bootstrap (one system)"},
    {"confidence-n", 0, "cin", "N", OPTION_INT, AT(confidence_n), -1e9, 1e9, NULL,
     "its resamples (default: 1000)"},
    {"paired-bs", 0, "pbs", NULL, OPTION_FLAG, AT(is_paired_bs), 0, 0, NULL,
     "compare each system with the first by paired bootstrap"},
    {"paired-ar", 0, "par", NULL, OPTION_FLAG, AT(is_paired_ar), 0, 0, NULL,
     "compare each system with the first by approximate randomization"},
    {"paired-bs-n", 0, "pbsn", "N", OPTION_INT, AT(paired_bs_n), -1e9, 1e9, NULL,
     "resamples (default: 1000)"},
    {"paired-ar-n", 0, "parn", "N", OPTION_INT, AT(paired_ar_n), -1e9, 1e9, NULL,
     "trials (default: 10000)"},
    {"paired-jobs", 'j', NULL, "N", OPTION_INT, AT(jobs), 0, 1e6, NULL,
     "accepted; see --threads"},
    {"format", 'f', NULL, "NAME", OPTION_STRING, AT(format), 0, 0, "json|text|latex",
     "json, text or latex; overridden by SACREBLEU_FORMAT in the environment (default: json)"},
    {"width", 'w', NULL, "N", OPTION_INT, AT(width), 0, 100, NULL,
     "decimals of the score (default: 1)"},
    {"score-only", 'b', NULL, NULL, OPTION_FLAG, AT(is_score_only), 0, 0, NULL,
     "print the bare number"},
    {"short", 0, "sh", NULL, OPTION_FLAG, AT(is_short), 0, 0, NULL,
     "print the short signature (text only)"},
    {"detail", 'd', NULL, NULL, OPTION_FLAG, AT(is_detailed), 0, 0, NULL,
     "add the scores by original language and domain of the test set; as text"},
    {"quiet", 'q', NULL, NULL, OPTION_FLAG, AT(is_quiet), 0, 0, NULL,
     "print no progress, and warnings without the name in front"},
    {"no-color", 0, "nc", NULL, OPTION_FLAG, AT(no_color), 0, 0, NULL,
     "no colours on a terminal; nor where NO_COLOR is set"},
    {"multi-bleu", 0, NULL, NULL, OPTION_FLAG, AT(is_multi_bleu), 0, 0, NULL,
     "print what Moses' multi-bleu.perl prints of tokenized text; --lowercase goes with it"},
    {"threads", 0, NULL, "N", OPTION_INT, AT(threads), 0, 1024, NULL,
     "that count; no influence on the output (default: 0, all cores)"},
    {"version", 'V', NULL, NULL, OPTION_FLAG, AT(is_version), 0, 0, NULL,
     "print the version and stop"},
    {.name = "download", .kind = OPTION_REFUSED,
     .help = "nothing is downloaded; put sacreBLEU's files SET/SET.SRC-TRG.src, .ref, ... into "
             "$SACREBLEU or ~/.sacrebleu"},
    {.name = "citation", .kind = OPTION_REFUSED, .help = use_sacrebleu},
    {.name = "cite", .kind = OPTION_REFUSED, .help = use_sacrebleu},
    {.name = "ter-case-sensitive", .kind = OPTION_REFUSED, .help = use_sacrebleu},
    {.name = "ter-asian-support", .kind = OPTION_REFUSED, .help = use_sacrebleu},
    {.name = "ter-no-punct", .kind = OPTION_REFUSED, .help = use_sacrebleu},
    {.name = "ter-normalized", .kind = OPTION_REFUSED, .help = use_sacrebleu},
};
/* clang-format on */

const struct options_command bleu_command = {
    .verb = "bleu",
    .arguments = "REFERENCE...",
    .description =
        "Scores translations, read from standard input or --input, against one or more reference "
        "files, line by line, and prints what sacreBLEU 2.6.0 prints.\n"
        "SACREBLEU_SEED is the seed of all resampling (default: 12345; none: another each time).",
    .options = bleu_table,
    .n_options = sizeof bleu_table / sizeof bleu_table[0],
    .min_arguments = 0,
    .max_arguments = 1000,
    .exit_codes = "0 done, 1 failed (unreadable files, unequal line counts, invalid UTF-8, options "
                  "that contradict each other), 2 wrong usage, 17 a line with another number of "
                  "tab-separated texts than the others.",
    .allows_beginnings = true,
};

struct bleu_options bleu_options_default(void)
{
    const struct chrf_config chrf = chrf_config_default();
    return (struct bleu_options){
        .num_refs = 1,
        .encoding = "utf-8",
        .smooth_method = "exp",
        .smooth_value = -1,
        .chrf_char_order = chrf.char_order,
        .chrf_word_order = chrf.word_order,
        .chrf_beta = chrf.beta,
        .confidence_n = 1000,
        .paired_ar_n = 10000,
        .paired_bs_n = 1000,
        .jobs = 1,
        .width = 1,
        .format = "json",
    };
}

bool bleu_options_are_paired(const struct bleu_options *options)
{
    return options->is_paired_ar || options->is_paired_bs;
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

static enum status check_metrics(const struct bleu_options *options)
{
    const struct option_list *metrics = &options->metrics;
    for (size_t i = 0; i < metrics->count; i++) {
        const char *name = metrics->items[i];
        if (strcmp(name, "ter") == 0) {
            const enum status code = status_set(STATUS_USAGE, "metric 'ter' is not supported");
            status_hint("%s", use_sacrebleu);
            return code;
        }
        if (strcmp(name, "bleu") != 0 && strcmp(name, "chrf") != 0)
            return status_set(STATUS_USAGE, "option --metrics wants bleu or chrf, not '%s'", name);
    }
    if (options->is_sentence_level && metrics->count > 1)
        return status_set(STATUS_FAILED, "--sentence-level goes with one metric, not %zu",
                          metrics->count);
    return STATUS_OK;
}

static enum status unsupported_tokenizer(const char *name)
{
    const enum status code = status_set(STATUS_USAGE, "tokenizer '%s' is not supported", name);
    status_hint("%s", use_sacrebleu);
    return code;
}

static enum status check_tokenizer(const struct bleu_options *options)
{
    enum bleu_tokenizer tokenizer = BLEU_TOKENIZER_13A;
    const char *name = options->tokenize;
    if (name == NULL || bleu_tokenizer_find(name, &tokenizer))
        return STATUS_OK;
    if (strcmp(name, "ja-mecab") == 0 || strcmp(name, "ko-mecab") == 0)
        return unsupported_tokenizer(name);
    const enum status code =
        status_set(STATUS_USAGE, "option --tokenize knows no tokenizer '%s'", name);
    status_hint("13a, intl, char, zh, none, flores101, flores200 or spBLEU-1K");
    return code;
}

/* What goes with --multi-bleu is little. */
static enum status check_multi_bleu(const struct bleu_options *options)
{
    const bool has_more = options->test_set != NULL || options->num_refs != 1 ||
                          options->metrics.count > 0 || options->tokenize != NULL ||
                          options->is_sentence_level || options->has_confidence ||
                          options->is_stdin_systems || bleu_options_are_paired(options);
    if (has_more)
        return status_set(STATUS_USAGE, "with --multi-bleu go reference files, --input and "
                                        "--lowercase only");
    if (options->input.count > 1)
        return status_set(STATUS_USAGE, "--multi-bleu scores one system, not %zu",
                          options->input.count);
    return STATUS_OK;
}

static enum status check_sources(const struct bleu_options *options,
                                 const struct option_list *references)
{
    enum status code = STATUS_OK;
    if (options->test_set != NULL && references->count > 0)
        return status_set(STATUS_FAILED, "give reference files or a test set (-t), not both");
    if (options->test_set != NULL && options->language_pair == NULL)
        return status_set(STATUS_FAILED, "a test set (-t) wants a language pair (-l)");
    if (options->test_set == NULL && references->count == 0) {
        code = status_set(STATUS_FAILED, "bleu: no reference file given");
        status_hint("mixt bleu REFERENCE... --input FILE; what follows --input is no reference");
    } else if (options->echo.count > 0 && options->test_set == NULL) {
        code = status_set(STATUS_FAILED, "--echo wants a test set (-t) and a language pair (-l)");
    } else if ((options->origlang != NULL || options->subset != NULL) &&
               options->test_set == NULL) {
        code = status_set(STATUS_FAILED, "--origlang and --subset want a test set (-t)");
    } else if (options->num_refs != 1 && (options->test_set != NULL || references->count > 1)) {
        code = status_set(STATUS_FAILED, "--num-refs goes with one reference file");
    } else if (options->language_pair != NULL && strchr(options->language_pair, '-') == NULL) {
        code = status_set(STATUS_FAILED, "option --language-pair wants SRC-TRG, not '%s'",
                          options->language_pair);
    } else if (options->is_stdin_systems && options->input.count > 0) {
        code = status_set(STATUS_USAGE, "--stdin-systems goes with standard input, not --input");
    }
    return code;
}

static enum status check_standard_input(const struct bleu_options *options,
                                        const struct option_list *references)
{
    size_t n_stdin = options->input.count == 0 ? 1 : 0;
    for (size_t i = 0; i < options->input.count; i++)
        n_stdin += strcmp(options->input.items[i], "-") == 0 ? 1 : 0;
    for (size_t i = 0; i < references->count; i++)
        n_stdin += strcmp(references->items[i], "-") == 0 ? 1 : 0;
    if (n_stdin > 1)
        return status_set(STATUS_USAGE, "standard input can be only one of the texts");
    return STATUS_OK;
}

enum status bleu_options_check(struct bleu_options *options, const struct option_list *references)
{
    read_format_variable(options);
    if (options->is_paired_ar && options->is_paired_bs)
        return status_set(STATUS_USAGE, "--paired-ar and --paired-bs exclude each other");
    enum status code = check_metrics(options);
    if (code == STATUS_OK)
        code = check_tokenizer(options);
    if (code < 0 || options->is_list)
        return code;
    if (options->is_multi_bleu)
        code = check_multi_bleu(options);
    if (code == STATUS_OK)
        code = check_sources(options, references);
    if (code == STATUS_OK && options->echo.count == 0)
        code = check_standard_input(options, references);
    return code;
}

/* The language after the first '-', up to the next; sacreBLEU knows three that want more. */
static bool is_target(const struct bleu_options *options, const char *language)
{
    if (options->language_pair == NULL)
        return false;
    const char *target = strchr(options->language_pair, '-') + 1;
    const size_t size = strcspn(target, "-");
    return size == strlen(language) && strncmp(target, language, size) == 0;
}

static enum status choose_tokenizer(const struct bleu_options *options,
                                    enum bleu_tokenizer *tokenizer)
{
    *tokenizer = BLEU_TOKENIZER_13A;
    if (options->tokenize == NULL && (is_target(options, "ja") || is_target(options, "ko"))) {
        const bool is_japanese = is_target(options, "ja");
        const enum status code = unsupported_tokenizer(is_japanese ? "ja-mecab" : "ko-mecab");
        status_hint("the language pair asks for it; give --tokenize, as char or flores200, or use "
                    "sacreBLEU");
        return code;
    }
    if (options->tokenize == NULL) {
        *tokenizer = is_target(options, "zh") ? BLEU_TOKENIZER_ZH : BLEU_TOKENIZER_13A;
        return STATUS_OK;
    }
    const char *name = options->tokenize;
    CHECK(bleu_tokenizer_find(name, tokenizer), "tokenizer '%s'", name);
    static const struct {
        const char *language, *tokenizer, *name;
    } better[] = {
        {"zh", "zh", "Chinese"}, {"ja", "ja-mecab", "Japanese"}, {"ko", "ko-mecab", "Korean"}};
    for (size_t i = 0; i < sizeof better / sizeof better[0]; i++) {
        if (is_target(options, better[i].language) && strcmp(name, better[i].tokenizer) != 0)
            notice_warning(options->is_quiet, "Consider using the '%s' or 'spm' tokenizer for %s.",
                           better[i].tokenizer, better[i].name);
    }
    if (strcmp(name, "spm") == 0)
        notice_warning(options->is_quiet, "Tokenizer 'spm' has been changed to 'flores101', and "
                                          "may be removed in the future.");
    return STATUS_OK;
}

/* Opens the model of the tokenizer: the one given, or sacreBLEU's own copy. */
static enum status open_model(const struct bleu_options *options, enum bleu_tokenizer tokenizer,
                              struct subword **subword)
{
    if (options->spm_model != NULL)
        return subword_open_file(subword, options->spm_model);
    const char *name = tokenizer == BLEU_TOKENIZER_FLORES101   ? "sacrebleu_tokenizer_spm.model"
                       : tokenizer == BLEU_TOKENIZER_FLORES200 ? "flores200sacrebleuspm"
                                                               : "spbleu-1k_tokenizer_spm.model";
    struct buffer path = {0};
    enum status code = testset_folder(&path);
    if (code == STATUS_OK)
        code = buffer_printf(&path, "/models/%s", name);
    if (code == STATUS_OK)
        code = subword_open_file(subword, path.data);
    if (code < 0 && code != STATUS_MEMORY)
        status_hint("tokenizer '%s' wants its SentencePiece model there, or --spm-model FILE; "
                    "nothing is downloaded",
                    bleu_tokenizer_name(tokenizer));
    buffer_free(&path);
    return code;
}

static struct bleu_config read_smoothing(const struct bleu_options *options)
{
    static const struct {
        const char *name;
        enum bleu_smoothing smoothing;
    } methods[] = {{"exp", BLEU_SMOOTHING_EXP},
                   {"floor", BLEU_SMOOTHING_FLOOR},
                   {"add-k", BLEU_SMOOTHING_ADD_K},
                   {"none", BLEU_SMOOTHING_NONE}};
    struct bleu_config config = bleu_config_default();
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        if (strcmp(options->smooth_method, methods[i].name) == 0)
            config.smoothing = methods[i].smoothing;
    }
    config.smoothing_value = options->smooth_value < 0
                                 ? bleu_default_smoothing_value(config.smoothing)
                                 : options->smooth_value;
    return config;
}

static enum status choose_bleu(struct bleu_metrics *metrics, const struct bleu_options *options,
                               struct metric *metric)
{
    metric->kind = METRIC_BLEU;
    metric->bleu = read_smoothing(options);
    metric->bleu.is_lowercase = options->is_lowercase;
    metric->bleu.is_effective_order = options->is_sentence_level;
    enum status code = choose_tokenizer(options, &metric->bleu.tokenizer);
    if (code == STATUS_OK && bleu_tokenizer_wants_subword(metric->bleu.tokenizer))
        code = open_model(options, metric->bleu.tokenizer, &metrics->subword);
    metric->bleu.subword = metrics->subword;
    return code;
}

enum status bleu_metrics_choose(struct bleu_metrics *metrics, const struct bleu_options *options)
{
    static const char *const only_bleu[] = {"bleu"};
    const bool is_default = options->metrics.count == 0;
    const size_t n_names = is_default ? 1 : options->metrics.count;
    *metrics = (struct bleu_metrics){0};
    for (size_t i = 0; i < n_names; i++) {
        const char *name = is_default ? only_bleu[0] : options->metrics.items[i];
        const enum metric_kind kind = strcmp(name, "bleu") == 0 ? METRIC_BLEU : METRIC_CHRF;
        if (metrics->count > 0 && (metrics->items[0].kind == kind || metrics->count > 1))
            continue;
        struct metric *metric = &metrics->items[metrics->count++];
        metric->kind = kind;
        metric->chrf = (struct chrf_config){
            .char_order = options->chrf_char_order,
            .word_order = options->chrf_word_order,
            .beta = options->chrf_beta,
            .is_whitespace = options->chrf_whitespace,
            .is_lowercase = options->chrf_lowercase,
            .is_epsilon_smoothing = options->chrf_eps_smoothing,
        };
        const enum status code =
            kind == METRIC_BLEU ? choose_bleu(metrics, options, metric) : STATUS_OK;
        if (code < 0)
            return code;
    }
    return STATUS_OK;
}

void bleu_metrics_free(struct bleu_metrics *metrics)
{
    subword_free(metrics->subword);
    *metrics = (struct bleu_metrics){0};
}
