/* mixt subword for subword-nmt's codes: learn them from text, alone or jointly, and count words. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "text/lines.h"
#include "text/subword/bpe.h"
#include "text/subword/bpe_counts.h"
#include "text/subword/bpe_learn.h"
#include "tools/footer.h"
#include "tools/options.h"
#include "tools/subword/stream.h"
#include "tools/subword/types.h"

static const double progress_s = 5;

struct learn_values {
    const char *type; /* chose these verbs */
    struct option_list inputs;
    const char *output;
    struct option_list vocabularies;
    const char *separator;
    int64_t n_merges;
    int64_t min_frequency;
    int64_t workers;
    bool is_bytes;
    bool is_dictionary;
    bool subtracts_characters;
    bool is_verbose;
};

#define AT(member) offsetof(struct learn_values, member)

static const struct option learn_options[] = {
    {"type", 0, NULL, "TYPE", OPTION_STRING, AT(type), 0, 0, "subword-nmt", NULL},
    {"input", 'i', NULL, "FILE", OPTION_WORDS, AT(inputs), 0, 0, NULL,
     "the text, words with spaces between; .gz is fine; several for joint codes (default: standard "
     "input)"},
    {"output", 'o', NULL, "FILE", OPTION_STRING, AT(output), 0, 0, NULL,
     "where the codes go (default: standard output)"},
    {"symbols", 's', NULL, "N", OPTION_INT, AT(n_merges), 0, 1e9, NULL,
     "merges to learn (default: 10000)"},
    {"min-frequency", 0, NULL, "N", OPTION_INT, AT(min_frequency), -1e15, 1e15, NULL,
     "stop when no pair of symbols occurs N times (default: 2)"},
    {"total-symbols", 't', NULL, NULL, OPTION_FLAG, AT(subtracts_characters), 0, 0, NULL,
     "learn fewer merges by the number of different characters, counted apart inside and at the "
     "end "
     "of words: --symbols is then about the size of the vocabulary"},
    {"byte", 'b', NULL, NULL, OPTION_FLAG, AT(is_bytes), 0, 0, NULL,
     "merge bytes instead of characters: nothing is unknown, and the text may be in any encoding"},
    {"dict-input", 0, NULL, NULL, OPTION_FLAG, AT(is_dictionary), 0, 0, NULL,
     "the input has a word, a space and its count on each line"},
    {"write-vocabulary", 0, NULL, "FILE", OPTION_WORDS, AT(vocabularies), 0, 0, NULL,
     "write the pieces of each input and their counts, one file an input, for the option "
     "--vocabulary of encode"},
    {"separator", 0, NULL, "TEXT", OPTION_STRING, AT(separator), 0, 0, NULL,
     "behind pieces that do not end a word, in these vocabularies (default: @@)"},
    {"num-workers", 0, NULL, "N", OPTION_INT, AT(workers), -1, INFINITY, NULL,
     "accepted for compatibility; one core does it"},
    {"verbose", 'v', NULL, NULL, OPTION_FLAG, AT(is_verbose), 0, 0, NULL,
     "print each merge and its frequency on standard error"},
};

#undef AT

static const struct options_command learn_command = {
    .verb = "subword train --type subword-nmt",
    .arguments = "",
    .description = "Learns merges of characters within words, byte for byte those of subword-nmt "
                   "learn-bpe or, with several inputs, learn-joint-bpe-and-vocab.",
    .options = learn_options,
    .n_options = sizeof learn_options / sizeof learn_options[0],
};

/* One run of learning. */
struct learning {
    const struct learn_values *values;
    struct bpe_counts *inputs; /* [n_inputs] */
    size_t n_inputs;
    struct bpe_counts all; /* of all inputs, as they are learned from */
    struct bpe_codes codes;
    struct destination output;
    struct destination *vocabularies; /* [n_inputs] */
    int64_t n_lines;
    double told_s; /* when progress was last shown */
};

static void tell_characters(void *context, int64_t n_inside, int64_t n_final)
{
    const struct learning *learning = context;
    if (!learning->values->subtracts_characters)
        return;
    fprintf(stderr,
            "Number of word-internal characters: %" PRId64 "\n"
            "Number of word-final characters: %" PRId64 "\n"
            "Reducing number of merge operations by %" PRId64 "\n",
            n_inside, n_final, n_inside + n_final);
}

static void print_symbol(const struct bpe_codes *codes, int32_t symbol, const char *behind)
{
    size_t size = 0;
    const char *bytes = strings_get(&codes->symbols, symbol, &size);
    fwrite(bytes, 1, size, stderr);
    fputs(behind, stderr);
}

static void tell_merge(void *context, int64_t number, const struct bpe_codes *codes,
                       int64_t frequency)
{
    struct learning *learning = context;
    if (learning->values->is_verbose) {
        const struct bpe_merge merge = codes->merges[codes->n_merges - 1];
        fprintf(stderr, "pair %" PRId64 ": ", number);
        print_symbol(codes, merge.left, " ");
        print_symbol(codes, merge.right, " -> ");
        print_symbol(codes, merge.left, "");
        print_symbol(codes, merge.right, "");
        fprintf(stderr, " (frequency %" PRId64 ")\n", frequency);
    } else if (number % 100 == 0 && clock_seconds() - learning->told_s > progress_s) {
        learning->told_s = clock_seconds();
        fprintf(stderr, "mixt: %" PRId64 " merges, frequency %" PRId64 "\n", number, frequency);
    }
}

static void tell_stop(void *context)
{
    const struct learning *learning = context;
    fprintf(stderr, "no pair has frequency >= %" PRId64 ". Stopping\n",
            learning->values->min_frequency);
}

static enum status check_values(const struct learn_values *values)
{
    const size_t n_inputs = values->inputs.count > 0 ? values->inputs.count : 1;
    const size_t n_vocabularies = values->vocabularies.count;
    if (n_vocabularies > 0 && n_vocabularies != n_inputs)
        return status_set(STATUS_USAGE, "%zu inputs but %zu files for option --write-vocabulary",
                          n_inputs, n_vocabularies);
    if (values->is_dictionary && (n_inputs > 1 || n_vocabularies > 0))
        return status_set(STATUS_USAGE,
                          "option --dict-input goes with one input and no --write-vocabulary");
    return STATUS_OK;
}

/* Opens what will be written, so that a wrong name is found before the work. */
static enum status open_outputs(struct learning *learning)
{
    const struct learn_values *values = learning->values;
    learning->n_inputs = values->inputs.count > 0 ? values->inputs.count : 1;
    learning->inputs = calloc(learning->n_inputs, sizeof *learning->inputs);
    learning->vocabularies = calloc(learning->n_inputs, sizeof *learning->vocabularies);
    if (learning->inputs == NULL || learning->vocabularies == NULL)
        return status_set(STATUS_MEMORY, "no memory for %zu inputs", learning->n_inputs);
    enum status status = destination_open(&learning->output, values->output);
    for (size_t i = 0; i < values->vocabularies.count && status == STATUS_OK; i++)
        status = destination_open(&learning->vocabularies[i], values->vocabularies.items[i]);
    return status;
}

static enum status read_input(struct learning *learning, size_t number)
{
    const struct learn_values *values = learning->values;
    struct lines *lines = NULL;
    enum status status =
        lines_open(&lines, values->inputs.count > 0 ? values->inputs.items[number] : NULL);
    if (status == STATUS_OK)
        status = bpe_counts_read(&learning->inputs[number], lines,
                                 values->is_dictionary ? BPE_INPUT_DICTIONARY : BPE_INPUT_TEXT,
                                 values->is_bytes);
    if (status == STATUS_OK && !values->is_bytes)
        warn_of_bad_utf8(lines);
    if (status == STATUS_OK)
        learning->n_lines += lines_so_far(lines)->lines;
    lines_close(lines);
    return status;
}

/* Reads the inputs and joins their words. Those of one input alone are moved. */
static enum status read_inputs(struct learning *learning)
{
    const struct learn_values *values = learning->values;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < learning->n_inputs && status == STATUS_OK; i++)
        status = read_input(learning, i);
    if (learning->n_inputs == 1 && values->vocabularies.count == 0) {
        learning->all = learning->inputs[0];
        learning->inputs[0] = (struct bpe_counts){0};
    }
    for (size_t i = 0; i < learning->n_inputs && status == STATUS_OK; i++)
        status = bpe_counts_merge(&learning->all, &learning->inputs[i]);
    if (status == STATUS_OK && !values->is_bytes && !values->is_dictionary)
        status = bpe_counts_cut_lines(&learning->all);
    return status;
}

/* Counts the pieces that an input's words are cut into, in the order of their first occurrence in
 * the text: that of the words that bring them. */
static enum status count_pieces(struct bpe_encoder *encoder, const struct bpe_counts *words,
                                struct bpe_counts *pieces)
{
    struct buffer text = {0};
    enum status status = STATUS_OK;
    for (int32_t i = 0; i < words->words.size && status == STATUS_OK; i++) {
        size_t size = 0;
        const char *word = strings_get(&words->words, i, &size);
        buffer_clear(&text);
        status = bpe_encode_word(encoder, word, size, &text);
        const char *end = text.data + text.size;
        for (const char *piece = text.data; piece < end && status == STATUS_OK;) {
            const char *space = memchr(piece, ' ', (size_t)(end - piece));
            const char *stop = space != NULL ? space : end;
            if (stop > piece)
                status = bpe_counts_add(pieces, piece, (size_t)(stop - piece), words->counts[i]);
            piece = stop + 1;
        }
    }
    buffer_free(&text);
    return status;
}

static enum status write_vocabulary(const struct learning *learning, struct bpe_encoder *encoder,
                                    size_t number)
{
    struct bpe_counts pieces = {0};
    enum status status = count_pieces(encoder, &learning->inputs[number], &pieces);
    if (status == STATUS_OK && !learning->values->is_bytes)
        status = bpe_counts_cut_lines(&pieces);
    if (status == STATUS_OK)
        status = bpe_counts_write(&pieces, learning->vocabularies[number].stream);
    bpe_counts_free(&pieces);
    return status;
}

static enum status write_vocabularies(struct learning *learning)
{
    const struct bpe_options options = {.separator = learning->values->separator};
    struct bpe *bpe = NULL;
    struct bpe_encoder *encoder = NULL;
    enum status status = bpe_open(&bpe, &learning->codes, &options);
    if (status == STATUS_OK)
        status = bpe_encoder_open(&encoder, bpe);
    for (size_t i = 0; i < learning->n_inputs && status == STATUS_OK; i++)
        status = write_vocabulary(learning, encoder, i);
    bpe_encoder_close(encoder);
    bpe_close(bpe);
    for (size_t i = 0; i < learning->n_inputs && status == STATUS_OK; i++)
        status = destination_commit(&learning->vocabularies[i]);
    return status;
}

static enum status learn(struct learning *learning)
{
    const struct learn_values *values = learning->values;
    const struct bpe_learn_options options = {.n_merges = values->n_merges,
                                              .min_frequency = values->min_frequency,
                                              .is_bytes = values->is_bytes,
                                              .subtracts_characters = values->subtracts_characters,
                                              .context = learning,
                                              .on_characters = tell_characters,
                                              .on_merge = tell_merge,
                                              .on_stop = tell_stop};
    const double start_s = clock_seconds();
    learning->told_s = start_s;
    enum status status = open_outputs(learning);
    if (status == STATUS_OK)
        status = read_inputs(learning);
    if (status == STATUS_OK)
        status = bpe_learn(&learning->all, &options, &learning->codes);
    if (status == STATUS_OK)
        bpe_codes_write(&learning->codes, learning->output.stream);
    if (status == STATUS_OK && values->vocabularies.count > 0)
        status = write_vocabularies(learning);
    if (status == STATUS_OK)
        status = destination_commit(&learning->output);
    if (status < 0)
        return status;
    char summary[128];
    snprintf(summary, sizeof summary,
             "%zu merges from %" PRId64 " lines with %" PRId32 " different words",
             learning->codes.n_merges, learning->n_lines, learning->all.words.size);
    footer_print(start_s, summary);
    return STATUS_OK;
}

static void free_learning(struct learning *learning)
{
    for (size_t i = 0; i < learning->n_inputs; i++) {
        if (learning->inputs != NULL)
            bpe_counts_free(&learning->inputs[i]);
        if (learning->vocabularies != NULL)
            destination_discard(&learning->vocabularies[i]);
    }
    free(learning->inputs);
    free(learning->vocabularies);
    destination_discard(&learning->output);
    bpe_counts_free(&learning->all);
    bpe_codes_free(&learning->codes);
}

int subword_nmt_learn_main(int argc, char **argv)
{
    struct learn_values values = {.separator = "@@", .n_merges = 10000, .min_frequency = 2};
    struct option_list arguments = {0};
    const int exit_code = options_start(&learn_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    struct learning learning = {.values = &values};
    enum status status = check_values(&values);
    if (status == STATUS_OK)
        status = learn(&learning);
    free_learning(&learning);
    options_free(&learn_command, &values, &arguments);
    return status_finish(status);
}

int subword_nmt_joint_main(int argc, char **argv)
{
    return subword_nmt_learn_main(argc, argv);
}

struct vocab_values {
    const char *type;
    const char *input;
    const char *output;
};

#define AT(member) offsetof(struct vocab_values, member)

static const struct option vocab_options[] = {
    {"type", 0, NULL, "TYPE", OPTION_STRING, AT(type), 0, 0, "subword-nmt", NULL},
    {"input", 'i', NULL, "FILE", OPTION_STRING, AT(input), 0, 0, NULL, "another way to name FILE"},
    {"output", 'o', NULL, "FILE", OPTION_STRING, AT(output), 0, 0, NULL,
     "write there (default: standard output)"},
};

#undef AT

static const struct options_command vocab_command = {
    .verb = "subword vocab --type subword-nmt",
    .arguments = "[FILE]",
    .description = "Prints each word of FILE or standard input and how often it occurs, the most "
                   "frequent first, as subword-nmt get-vocab does. After encode these are the "
                   "pieces, for its option --vocabulary.",
    .options = vocab_options,
    .n_options = sizeof vocab_options / sizeof vocab_options[0],
    .max_arguments = 1,
};

static enum status print_counts(const char *input, const char *path)
{
    struct destination output = {0};
    struct lines *lines = NULL;
    struct bpe_counts counts = {0};
    enum status status = lines_open(&lines, input);
    if (status == STATUS_OK)
        status = destination_open(&output, path);
    if (status == STATUS_OK)
        status = bpe_counts_read(&counts, lines, BPE_INPUT_TEXT, false);
    if (status == STATUS_OK) {
        warn_of_bad_utf8(lines);
        status = bpe_counts_cut_lines(&counts);
    }
    if (status == STATUS_OK)
        status = bpe_counts_write(&counts, output.stream);
    if (status == STATUS_OK)
        status = destination_commit(&output);
    destination_discard(&output);
    bpe_counts_free(&counts);
    lines_close(lines);
    return status;
}

int subword_nmt_vocab_main(int argc, char **argv)
{
    struct vocab_values values = {0};
    struct option_list arguments = {0};
    const int exit_code = options_start(&vocab_command, argc, argv, &values, &arguments);
    if (exit_code >= 0)
        return exit_code;
    const enum status status =
        print_counts(arguments.count > 0 ? arguments.items[0] : values.input, values.output);
    options_free(&vocab_command, &values, &arguments);
    return status_finish(status);
}
