#include "tools/subword/sentencepiece_settings.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

const struct settings settings_defaults = {
    .model_type = "unigram",
    .input_format = "",
    .accept_language = "",
    .normalization_rule_name = "nmt_nfkc",
    .normalization_rule_tsv = "",
    .denormalization_rule_tsv = "",
    .control_symbols = "",
    .user_defined_symbols = "",
    .required_chars = "",
    .unk_piece = "<unk>",
    .bos_piece = "<s>",
    .eos_piece = "</s>",
    .pad_piece = "<pad>",
    .unk_surface = " \xE2\x81\x87 ",
    .vocab_size = 8000,
    .input_sentence_size = -1,
    .seed_sentencepiece_size = 1000000,
    .num_threads = 16,
    .num_sub_iterations = 2,
    .max_sentencepiece_length = 16,
    .max_sentence_length = 4192,
    .bos_id = 1,
    .eos_id = 2,
    .pad_id = -1,
    .minloglevel = 3,
    .character_coverage = 0.9995,
    .shrinking_factor = 0.75,
    .shuffle_input_sentence = true,
    .split_by_unicode_script = true,
    .split_by_number = true,
    .split_by_whitespace = true,
    .vocabulary_output_piece_score = true,
    .add_dummy_prefix = true,
    .remove_extra_whitespaces = true,
    .hard_vocab_limit = true,
};

#define AT(member)  offsetof(struct train_values, member)
#define SET(member) AT(settings.member)
#define RULES       "nmt_nfkc|nfkc|nmt_nfkc_cf|nfkc_cf|identity"

/* clang-format off */
static const struct option options[] = {
    {"input", 'i', NULL, "FILE[,FILE]", OPTION_LIST, AT(inputs), 0, 0, NULL,
     "the text, a sentence a line; .gz is fine; may be repeated (default: standard input)"},
    {"model", 'm', NULL, "FILE", OPTION_STRING, AT(model), 0, 0, NULL,
     "where to write the model, which then names no files; this or --model-prefix is needed"},
    {"model-prefix", 0, NULL, "NAME", OPTION_STRING, AT(model_prefix), 0, 0, NULL,
     "write NAME.model, with NAME and the names of the input files in it, and NAME.vocab, as "
     "spm_train does"},
    {"type", 't', NULL, "TYPE", OPTION_STRING, SET(model_type), 0, 0,
     "unigram|bpe|word|char|sentencepiece",
     "unigram, bpe, word or char (default: unigram); --model-type is the same"},
    {"model-type", 0, NULL, "TYPE", OPTION_STRING, SET(model_type), 0, 0,
     "unigram|bpe|word|char", NULL},
    {"vocab-size", 's', NULL, "N", OPTION_INT, SET(vocab_size), 1, 1 << 22, NULL,
     "pieces in the vocabulary (default: 8000); --size is the same"},
    {"size", 0, NULL, "N", OPTION_INT, SET(vocab_size), 1, 1 << 22, NULL, NULL},
    {"character-coverage", 0, NULL, "SHARE", OPTION_DOUBLE, SET(character_coverage), 0.98, 1, NULL,
     "share of the characters that get a piece (default: 0.9995); --coverage is the same"},
    {"coverage", 0, NULL, "SHARE", OPTION_DOUBLE, SET(character_coverage), 0.98, 1, NULL, NULL},
    {"normalization-rule-name", 0, NULL, "NAME", OPTION_STRING, SET(normalization_rule_name), 0, 0,
     RULES, "nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf (cf: case folded) or identity (default: "
     "nmt_nfkc); --normalize is the same"},
    {"normalize", 0, NULL, "NAME", OPTION_STRING, SET(normalization_rule_name), 0, 0, RULES, NULL},
    {"normalization-rule-tsv", 0, NULL, "FILE", OPTION_STRING, SET(normalization_rule_tsv), 0, 0,
     NULL, "own rules instead: lines of source TAB target, characters as hexadecimal numbers"},
    {"denormalization-rule-tsv", 0, NULL, "FILE", OPTION_STRING, SET(denormalization_rule_tsv),
     0, 0, NULL, "rules of the same form that decoding applies"},
    {"add-dummy-prefix", 0, NULL, "BOOL", OPTION_SWITCH, SET(add_dummy_prefix), 0, 0, NULL,
     "a space before each line (default: true)"},
    {"remove-extra-whitespaces", 0, NULL, "BOOL", OPTION_SWITCH, SET(remove_extra_whitespaces),
     0, 0, NULL, "no spaces at both ends, and single ones between (default: true)"},
    {"byte-fallback", 0, NULL, "BOOL", OPTION_SWITCH, SET(byte_fallback), 0, 0, NULL,
     "spell other characters in bytes: 256 pieces more, and nothing is unknown (default: false)"},
    {"input-format", 0, NULL, "NAME", OPTION_STRING, SET(input_format), 0, 0, "text|tsv",
     "text, or tsv: lines of a sentence, TAB and how often it counts (default: text)"},
    {"input-sentence-size", 0, NULL, "LINES", OPTION_INT, SET(input_sentence_size), 0, 1e12, NULL,
     "train on at most so many lines, drawn evenly, more than 100; 0: on all (default: all up to "
     "2000000; of a longer text so many, with a note)"},
    {"shuffle-input-sentence", 0, NULL, "BOOL", OPTION_SWITCH, SET(shuffle_input_sentence), 0, 0,
     NULL, "draw them; false takes the first ones (default: true)"},
    {"max-sentence-length", 0, NULL, "BYTES", OPTION_INT, SET(max_sentence_length), 10, 1 << 30,
     NULL, "leave longer lines out (default: 4192)"},
    {"max-line", 0, NULL, "BYTES", OPTION_INT, SET(max_sentence_length), 10, 1 << 30, NULL, NULL},
    {"max-sentencepiece-length", 0, NULL, "N", OPTION_INT, SET(max_sentencepiece_length), 1, 512,
     NULL, "characters in a piece (default: 16)"},
    {"split-by-unicode-script", 0, NULL, "BOOL", OPTION_SWITCH, SET(split_by_unicode_script), 0, 0,
     NULL, "no piece with letters of two scripts (default: true)"},
    {"split-by-number", 0, NULL, "BOOL", OPTION_SWITCH, SET(split_by_number), 0, 0, NULL,
     "no piece with letters and digits (default: true)"},
    {"split-by-whitespace", 0, NULL, "BOOL", OPTION_SWITCH, SET(split_by_whitespace), 0, 0, NULL,
     "no piece that goes on behind a space (default: true)"},
    {"split-digits", 0, NULL, "BOOL", OPTION_SWITCH, SET(split_digits), 0, 0, NULL,
     "each digit a piece of its own (default: false)"},
    {"treat-whitespace-as-suffix", 0, NULL, "BOOL", OPTION_SWITCH, SET(treat_whitespace_as_suffix),
     0, 0, NULL, "the mark of a space ends a piece instead of beginning one (default: false)"},
    {"allow-whitespace-only-pieces", 0, NULL, "BOOL", OPTION_SWITCH,
     SET(allow_whitespace_only_pieces), 0, 0, NULL, "pieces of several spaces (default: false)"},
    {"control-symbols", 0, NULL, "LIST", OPTION_STRING, SET(control_symbols), 0, 0, NULL,
     "pieces that no text has, with commas between"},
    {"control-symbols-file", 0, NULL, "FILE", OPTION_STRING, AT(control_file), 0, 0, NULL,
     "the same from a file, one a line"},
    {"user-defined-symbols", 0, NULL, "LIST", OPTION_STRING, SET(user_defined_symbols), 0, 0, NULL,
     "text that always is one piece, with commas between"},
    {"user-defined-symbols-file", 0, NULL, "FILE", OPTION_STRING, AT(user_defined_file), 0, 0, NULL,
     "the same from a file, one a line"},
    {"required-chars", 0, NULL, "TEXT", OPTION_STRING, SET(required_chars), 0, 0, NULL,
     "characters that get a piece in any case"},
    {"required-chars-file", 0, NULL, "FILE", OPTION_STRING, AT(required_file), 0, 0, NULL,
     "the same from a file"},
    {"unk-id", 0, NULL, "ID", OPTION_INT, SET(unk_id), 0, 1 << 22, NULL,
     "of the unknown piece (default: 0)"},
    {"bos-id", 0, NULL, "ID", OPTION_INT, SET(bos_id), -1, 1 << 22, NULL,
     "of the piece before a sentence; -1: none (default: 1)"},
    {"eos-id", 0, NULL, "ID", OPTION_INT, SET(eos_id), -1, 1 << 22, NULL,
     "of the piece behind it; -1: none (default: 2)"},
    {"pad-id", 0, NULL, "ID", OPTION_INT, SET(pad_id), -1, 1 << 22, NULL,
     "of the piece that fills up; -1: none (default: -1)"},
    {"unk-piece", 0, NULL, "TEXT", OPTION_STRING, SET(unk_piece), 0, 0, NULL, "(default: <unk>)"},
    {"bos-piece", 0, NULL, "TEXT", OPTION_STRING, SET(bos_piece), 0, 0, NULL, "(default: <s>)"},
    {"eos-piece", 0, NULL, "TEXT", OPTION_STRING, SET(eos_piece), 0, 0, NULL, "(default: </s>)"},
    {"pad-piece", 0, NULL, "TEXT", OPTION_STRING, SET(pad_piece), 0, 0, NULL, "(default: <pad>)"},
    {"unk-surface", 0, NULL, "TEXT", OPTION_STRING, SET(unk_surface), 0, 0, NULL,
     "what the id of the unknown piece is decoded to (default: U+2047 between spaces)"},
    {"hard-vocab-limit", 0, NULL, "BOOL", OPTION_SWITCH, SET(hard_vocab_limit), 0, 0, NULL,
     "fail rather than make fewer pieces than wanted (default: true)"},
    {"use-all-vocab", 0, NULL, "BOOL", OPTION_SWITCH, SET(use_all_vocab), 0, 0, NULL,
     "word and char: all words or characters, whatever the size (default: false)"},
    {"vocabulary-output-piece-score", 0, NULL, "BOOL", OPTION_SWITCH,
     SET(vocabulary_output_piece_score), 0, 0, NULL, "scores in NAME.vocab (default: true)"},
    {"seed-sentencepiece-size", 0, NULL, "N", OPTION_INT, SET(seed_sentencepiece_size), 1,
     INT32_MAX, NULL, "unigram: candidates to begin with (default: 1000000)"},
    {"shrinking-factor", 0, NULL, "SHARE", OPTION_DOUBLE, SET(shrinking_factor), 0.5, 0.95, NULL,
     "unigram: how many stay after each round (default: 0.75)"},
    {"num-sub-iterations", 0, NULL, "N", OPTION_INT, SET(num_sub_iterations), 1, 10, NULL,
     "unigram: estimates between two rounds (default: 2)"},
    {"num-threads", 0, NULL, "N", OPTION_INT, SET(num_threads), 1, 128, NULL,
     "threads; another number may give another unigram model (default: 16)"},
    {"train-extremely-large-corpus", 0, NULL, "BOOL", OPTION_SWITCH,
     SET(train_extremely_large_corpus), 0, 0, NULL,
     "unigram: count in 64 bits, for more than 2 GB of text (default: false)"},
    {"self-test-sample-size", 0, NULL, "LINES", OPTION_INT, SET(self_test_sample_size), 0, 1000,
     NULL, "lines kept in the model with their pieces, to check it when it is opened (default: 0)"},
    {"accept-language", 0, NULL, "LIST", OPTION_STRING, SET(accept_language), 0, 0, NULL,
     "languages to note in the model, with commas between"},
    {"random-seed", 0, NULL, "N", OPTION_INT, SET(random_seed), 0, UINT32_MAX, NULL,
     "of the self test's lines and of the noise below (default: 0)"},
    {"enable-differential-privacy", 0, NULL, "BOOL", OPTION_SWITCH, SET(is_private), 0, 0, NULL,
     "unigram, tsv: noise on the counts (default: false)"},
    {"differential-privacy-noise-level", 0, NULL, "X", OPTION_DOUBLE, SET(privacy_noise), 0,
     INFINITY, NULL, "how much (default: 0)"},
    {"differential-privacy-clipping-threshold", 0, NULL, "N", OPTION_INT, SET(privacy_clipping), 0,
     INFINITY, NULL, "largest count (default: 0)"},
    {"minloglevel", 0, NULL, "N", OPTION_INT, SET(minloglevel), 0, 3, NULL,
     "the library's own messages on standard error: 0 all, 1 warnings, 2 errors, 3 none "
     "(default: 3)"},
};
/* clang-format on */

#undef SET
#undef RULES

const struct options_command settings_command = {
    .verb = "subword train",
    .arguments = "",
    .description =
        "Trains a SentencePiece model, as spm_train does: its options by its names, with '-' or "
        "'_', and the same model from the same text. 'mixt subword train --type TYPE --help' is "
        "about the other types.",
    .options = options,
    .n_options = sizeof options / sizeof options[0],
};

static const char *value_text(const struct option *option, const void *value, char *number,
                              size_t size)
{
    switch (option->kind) {
    case OPTION_STRING:
        return *(const char *const *)value;
    case OPTION_INT:
        snprintf(number, size, "%" PRId64, *(const int64_t *)value);
        return number;
    case OPTION_DOUBLE:
        snprintf(number, size, "%.17g", *(const double *)value);
        return number;
    case OPTION_SWITCH:
        return *(const bool *)value ? "true" : "false";
    case OPTION_FLAG:
    case OPTION_LIST:
    case OPTION_WORDS:
    case OPTION_REFUSED:
        break;
    }
    CHECK(false, "option --%s is no setting", option->name);
    return NULL;
}

/* Whether the option goes to the library as it is. denormalization_rule_tsv is one that it wants
 * to be without unless it names a file. */
static bool is_setting(const struct option *option, const struct train_values *values)
{
    if (option->offset < AT(settings) || option->help == NULL)
        return false;
    return strcmp(option->name, "denormalization-rule-tsv") != 0 ||
           values->settings.denormalization_rule_tsv[0];
}

size_t settings_make(const struct train_values *values, struct setting_text texts[SETTINGS_MOST],
                     struct subword_setting settings[SETTINGS_MOST])
{
    CHECK(settings_command.n_options <= SETTINGS_MOST, "%zu options", settings_command.n_options);
    size_t n = 0;
    for (size_t i = 0; i < settings_command.n_options; i++) {
        const struct option *option = &options[i];
        if (!is_setting(option, values))
            continue;
        struct setting_text *text = &texts[n];
        const char *name = strcmp(option->name, "type") == 0 ? "model-type" : option->name;
        snprintf(text->name, sizeof text->name, "%s", name);
        for (char *dash = strchr(text->name, '-'); dash; dash = strchr(dash, '-'))
            *dash = '_';
        settings[n++] = (struct subword_setting){
            text->name, value_text(option, (const char *)values + option->offset, text->number,
                                   sizeof text->number)};
    }
    return n;
}
