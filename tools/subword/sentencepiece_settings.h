/* The options of mixt subword train for SentencePiece models, and what of them goes to the library.
 */
#ifndef MIXT_TOOLS_SUBWORD_SENTENCEPIECE_SETTINGS_H
#define MIXT_TOOLS_SUBWORD_SENTENCEPIECE_SETTINGS_H

#include <stdint.h>

#include "text/subword/sentencepiece_train.h"
#include "tools/options.h"

enum { SETTINGS_MOST = 80 };

/* What spm_train's options hold; its names, but for those that mixt has a word for. */
struct settings {
    const char *model_type, *input_format, *accept_language, *normalization_rule_name;
    const char *normalization_rule_tsv, *denormalization_rule_tsv;
    const char *control_symbols, *user_defined_symbols, *required_chars;
    const char *unk_piece, *bos_piece, *eos_piece, *pad_piece, *unk_surface;
    int64_t vocab_size, self_test_sample_size, input_sentence_size, seed_sentencepiece_size;
    int64_t num_threads, num_sub_iterations, max_sentencepiece_length, max_sentence_length;
    int64_t unk_id, bos_id, eos_id, pad_id, random_seed, minloglevel, privacy_clipping;
    double character_coverage, shrinking_factor, privacy_noise;
    bool shuffle_input_sentence, split_by_unicode_script, split_by_number, split_by_whitespace;
    bool split_digits, treat_whitespace_as_suffix, allow_whitespace_only_pieces, byte_fallback;
    bool vocabulary_output_piece_score, add_dummy_prefix, remove_extra_whitespaces;
    bool hard_vocab_limit, use_all_vocab, train_extremely_large_corpus, is_private;
};

struct train_values {
    struct option_list inputs; /* each a list of paths with commas between */
    const char *model;
    const char *model_prefix;
    const char *control_file, *user_defined_file, *required_file;
    struct settings settings;
};

/* A setting in the text form of spm_train, and its name there. */
struct setting_text {
    char name[48];
    char number[32];
};

/* Defaults of spm_train, but for input_sentence_size, which is -1 where no option gives it. */
extern const struct settings settings_defaults;

extern const struct options_command settings_command;

/* Fills settings and, for the strings that they borrow, texts; returns their number. */
size_t settings_make(const struct train_values *values, struct setting_text texts[SETTINGS_MOST],
                     struct subword_setting settings[SETTINGS_MOST]);

#endif
