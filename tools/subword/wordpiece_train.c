/* mixt subword train --type wordpiece. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "text/lines.h"
#include "text/subword/wordpiece.h"
#include "text/subword/wordpiece_learn.h"
#include "text/subword/wordpiece_words.h"
#include "text/utf8.h"
#include "tools/footer.h"
#include "tools/options.h"
#include "tools/subword/rows.h"
#include "tools/subword/stream.h"
#include "tools/subword/types.h"

enum { PROGRESS_S = 5 }; /* between two lines about the work */

struct values {
    const char *model;
    const char *type;
    const char *specials;
    const char *score;
    struct option_list inputs; /* beside the plain arguments */
    struct wordpiece_words_options words;
    struct wordpiece_learn_options learn;
};

#define AT(member) offsetof(struct values, member)

/* clang-format off */
static const struct option train_options[] = {
    INPUTS_ROW,
    {"model", 'm', NULL, "FILE", OPTION_STRING, AT(model), 0, 0, NULL,
     "the vocabulary to write, one piece a line; needed"},
    {"type", 't', NULL, "TYPE", OPTION_STRING, AT(type), 0, 0, "wordpiece",
     "wordpiece; 'mixt subword --help' lists the others"},
    {"vocab-size", 's', NULL, "N", OPTION_INT, AT(learn.size), 1, 1 << 24, NULL,
     "pieces, the special ones included (default: 32000)"},
    {"size", 0, NULL, "N", OPTION_INT, AT(learn.size), 1, 1 << 24, NULL, NULL},
    {"special-pieces", 0, NULL, "LIST", OPTION_STRING, AT(specials), 0, 0, NULL,
     "the first pieces, with commas between; '' for none "
     "(default: [PAD],[UNK],[CLS],[SEP],[MASK])"},
    {"characters", 0, NULL, "N", OPTION_INT, AT(learn.n_characters), 1, 0x110000, NULL,
     "at most so many different characters, the most frequent ones, become pieces, each at the "
     "start of a word and inside; words with others are unknown (default: 1000)"},
    {"score", 0, NULL, "NAME", OPTION_STRING, AT(score), 0, 0, "gain|ratio",
     "which pair is joined next: gain, the one that raises the likelihood of the whole text most; "
     "ratio, most at each place where it occurs, be they few (default: gain)"},
    {"min-frequency", 0, NULL, "N", OPTION_INT, AT(learn.min_count), 1, INFINITY, NULL,
     "two pieces that meet less often are not joined (default: 2)"},
    {"max-characters", 0, NULL, "N", OPTION_INT, AT(learn.max_word_size), 1, INT32_MAX, NULL,
     "longer words are left out (default: 100)"},
    {"max-words", 0, NULL, "N", OPTION_INT, AT(learn.max_words), 2, 1 << 30, NULL,
     "different words kept in memory; beyond it the rarest are forgotten (default: 5000000)"},
    {"basic", 0, NULL, NULL, OPTION_FLAG, AT(words.is_basic), 0, 0, NULL,
     "split words as BERT's basic tokenisation does: control characters are dropped, punctuation "
     "and Chinese characters are words of their own (default: only white space separates)"},
    {"lowercase", 0, NULL, NULL, OPTION_FLAG, AT(words.is_lowercase), 0, 0, NULL,
     "the same, in lower case and without accents"},
};
/* clang-format on */

#undef AT

static const struct options_command train_command = {
    .verb = "subword train --type wordpiece",
    .arguments = "[FILE...]",
    .description = "Learns wordpieces from the files or from standard input: from single "
                   "characters on, the two neighbouring pieces are joined that raise the "
                   "likelihood of the text most. Encode wants the same --basic and --lowercase.",
    .options = train_options,
    .n_options = sizeof train_options / sizeof train_options[0],
    .max_arguments = SIZE_MAX,
};

/* What is said about the work while it goes on. */
struct progress {
    double last_s;
    int64_t wanted;
};

static bool is_due(struct progress *progress)
{
    const double now_s = clock_seconds();
    if (now_s - progress->last_s < PROGRESS_S)
        return false;
    progress->last_s = now_s;
    return true;
}

static void print_pieces(void *context, int64_t pieces)
{
    struct progress *progress = context;
    if (is_due(progress))
        fprintf(stderr, "mixt: %" PRId64 " of %" PRId64 " pieces\n", pieces, progress->wanted);
}

static enum status read_file(struct wordpiece_learner *learner, struct wordpiece_words *words,
                             const char *path, struct progress *progress)
{
    struct lines *lines = NULL;
    enum status code = lines_open(&lines, path);
    while (code == STATUS_OK) {
        struct line line;
        const struct buffer *text;
        code = lines_next(lines, &line);
        if (code < 0 || line.bytes == NULL)
            break;
        code = wordpiece_words_split(words, line.bytes, line.size, &text);
        if (code == STATUS_OK)
            code = wordpiece_learner_add(learner, text->data, text->size);
        if (line.number % 4096 == 0 && is_due(progress))
            fprintf(stderr, "mixt: %s: %" PRId64 " lines read\n", lines_name(lines), line.number);
    }
    if (lines != NULL)
        warn_of_bad_utf8(lines);
    lines_close(lines);
    return code;
}

static enum status read_files(struct wordpiece_learner *learner, const struct values *values,
                              const struct option_list *arguments, struct progress *progress)
{
    struct wordpiece_words *words = NULL;
    enum status code = wordpiece_words_open(&words, &values->words);
    if (code == STATUS_OK && values->inputs.count + arguments->count == 0)
        code = read_file(learner, words, NULL, progress);
    for (size_t i = 0; i < values->inputs.count && code == STATUS_OK; i++)
        code = read_file(learner, words, values->inputs.items[i], progress);
    for (size_t i = 0; i < arguments->count && code == STATUS_OK; i++)
        code = read_file(learner, words, arguments->items[i], progress);
    wordpiece_words_close(words);
    return code;
}

static enum status check_special(const struct option_list *specials, const char *special)
{
    const size_t size = strlen(special);
    if (size == 0 || strcspn(special, " \t\r\n") != size || size >= WORDPIECE_MAX_PIECE_BYTES ||
        utf8_valid_prefix(special, size) != size)
        return status_set(STATUS_USAGE, "option --special-pieces: '%.64s' is not a piece", special);
    for (size_t i = 0; i < specials->count; i++) {
        if (strcmp(specials->items[i], special) == 0)
            return status_set(STATUS_USAGE, "option --special-pieces: '%.64s' is there twice",
                              special);
    }
    return STATUS_OK;
}

/* Cuts the list at its commas, in copy. */
static enum status split_specials(const char *list, char **copy, struct option_list *specials)
{
    *copy = strdup(list);
    specials->items = calloc(strlen(list) + 1, sizeof *specials->items);
    if (*copy == NULL || specials->items == NULL)
        return status_set(STATUS_MEMORY, "no memory for the special pieces");
    for (char *cursor = *list != '\0' ? *copy : NULL; cursor != NULL;) {
        char *comma = strchr(cursor, ',');
        if (comma != NULL)
            *comma++ = '\0';
        const enum status code = check_special(specials, cursor);
        if (code < 0)
            return code;
        specials->items[specials->count++] = cursor;
        cursor = comma;
    }
    return STATUS_OK;
}

static void print_report(const struct wordpiece_learn_report *report, double start_s,
                         int64_t wanted)
{
    if (report->long_words > 0)
        fprintf(stderr, "mixt: %" PRId64 " words were too long to learn from\n",
                report->long_words);
    if (report->forgotten > 0)
        fprintf(stderr,
                "mixt: %" PRId64 " of %" PRId64 " words were forgotten as rare ones; "
                "--max-words keeps more\n",
                report->forgotten, report->words);
    if (report->rare_characters > 0)
        fprintf(stderr,
                "mixt: %" PRId64 " rare characters have no piece; --characters keeps more\n",
                report->rare_characters);
    if (report->pieces < wanted)
        fprintf(stderr,
                "mixt: warning: only %" PRId64 " of %" PRId64 " pieces: no others occur often "
                "enough (--min-frequency)\n",
                report->pieces, wanted);
    char summary[256];
    snprintf(summary, sizeof summary,
             "%" PRId64 " pieces from %" PRId64 " words (%" PRId64 " different, %" PRId64
             " characters)",
             report->pieces, report->words, report->different_words, report->characters);
    footer_print(start_s, summary);
}

static enum status train(const struct values *values, const struct option_list *arguments)
{
    const double start_s = clock_seconds();
    struct progress progress = {start_s, values->learn.size};
    struct wordpiece_learner *learner = NULL;
    struct wordpiece_learn_report report;
    struct buffer vocabulary = {0};
    struct destination output = {0};
    enum status code = wordpiece_learner_open(&learner, &values->learn);
    if (code == STATUS_OK)
        code = read_files(learner, values, arguments, &progress);
    if (code == STATUS_OK)
        code = wordpiece_learner_run(learner, print_pieces, &progress, &vocabulary, &report);
    if (code == STATUS_OK)
        code = destination_open(&output, values->model);
    if (code == STATUS_OK) {
        fwrite(vocabulary.data, 1, vocabulary.size, output.stream); /* commit sees a failure */
        code = destination_commit(&output);
    }
    if (code == STATUS_OK)
        print_report(&report, start_s, values->learn.size);
    destination_discard(&output);
    buffer_free(&vocabulary);
    wordpiece_learner_close(learner);
    return code;
}

int wordpiece_train_main(int argc, char **argv)
{
    struct values values = {.score = "gain", .learn = wordpiece_learn_defaults()};
    struct option_list arguments = {0}, specials = {0};
    char *copy = NULL;
    const int exit_code = options_start(&train_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    enum status code = STATUS_OK;
    if (values.model == NULL) {
        code = status_set(STATUS_USAGE, "option --model is needed");
        status_hint("it names the vocabulary to write");
    }
    if (strcmp(values.score, "ratio") == 0)
        values.learn.score = WORDPIECE_SCORE_RATIO;
    if (code == STATUS_OK && values.specials != NULL) {
        code = split_specials(values.specials, &copy, &specials);
        values.learn.specials = specials.items;
        values.learn.n_specials = specials.count;
    }
    if (code == STATUS_OK)
        code = train(&values, &arguments);
    options_free(&train_command, &values, &arguments);
    free(specials.items);
    free(copy);
    return status_finish(code);
}
