#include "tools/subword/sentencepiece_options.h"

#include <math.h>

#include "text/subword/sentencepiece.h"
#include "tools/subword/rows.h"

#define AT(member) offsetof(struct sentencepiece_values, member)
#define MODEL_ROW                                                                                  \
    {                                                                                              \
        "model", 'm', NULL, "FILE", OPTION_STRING, AT(model), 0, 0, NULL, "the model; needed"      \
    }
#define TYPE_ROW                                                                                   \
    {                                                                                              \
        "type", 't', NULL, "TYPE", OPTION_STRING, AT(type), 0, 0,                                  \
            "sentencepiece|unigram|bpe|word|char",                                                 \
            "sentencepiece (default), for models of types unigram, bpe, word and char alike; "     \
            "'mixt subword --help' lists the others"                                               \
    }

/* clang-format off */
static const struct option encode_options[] = {
    MODEL_ROW,
    TYPE_ROW,
    {"output-format", 'f', NULL, "NAME", OPTION_STRING, AT(format), 0, 0, NULL,
     "piece or id (pieces and ids are the same); nbest_piece or nbest_id: several lines for each, "
     "best first, unigram models; sample_piece or sample_id: at random (default: piece)"},
    {"format", 0, NULL, "NAME", OPTION_STRING, AT(format), 0, 0, NULL, NULL},
    {"extra-options", 0, NULL, "LIST", OPTION_STRING, AT(extra), 0, 0, NULL,
     "what is done in addition, in this order, with colons between: bos and eos put these pieces "
     "at the ends, reverse turns the order round, unk prints the unknown piece"},
    {"vocabulary", 0, NULL, "FILE", OPTION_STRING, AT(vocabulary), 0, 0, NULL,
     "use only pieces of this file, lines of piece TAB count, and single characters"},
    {"vocabulary-threshold", 0, NULL, "N", OPTION_INT, AT(threshold), INT32_MIN, INT32_MAX, NULL,
     "and of these only pieces with a count of N or more (default: 0)"},
    {"generate-vocabulary", 0, NULL, "BOOL", OPTION_SWITCH, AT(counts_pieces), 0, 0, NULL,
     "print such a file for the text instead: each piece and how often it is used"},
    {"sample", 0, NULL, "ALPHA", OPTION_DOUBLE, AT(sample), 0, 100, NULL,
     "segment at random: for unigram models, pieces drawn by probability to the power ALPHA; for "
     "bpe models (0 to 1), merges left out with probability ALPHA"},
    {"alpha", 0, NULL, "ALPHA", OPTION_DOUBLE, AT(alpha), 0, 100, NULL,
     "the same for sample_piece and sample_id (default: 0.5)"},
    {"nbest-size", 0, NULL, "N", OPTION_INT, AT(n_best), -1, SUBWORD_MAX_BEST, NULL,
     "how many segmentations are printed or drawn from, unigram models; -1: drawn from all "
     "(default: 10; with --sample: -1)"},
    {"n-best", 0, NULL, "N", OPTION_INT, AT(n_best), -1, SUBWORD_MAX_BEST, NULL, NULL},
    {"random-seed", 0, NULL, "N", OPTION_INT, AT(seed), 0, INFINITY, NULL,
     "a line is segmented by it, its number and its text alone (default: 0); --seed is the same"},
    {"seed", 0, NULL, "N", OPTION_INT, AT(seed), 0, INFINITY, NULL, NULL},
    THREADS_ROW(0),
    INPUTS_ROW,
    OUTPUT_ROW,
};

static const struct option decode_options[] = {
    MODEL_ROW,
    TYPE_ROW,
    PIECE_OR_ID_ROWS("input-format"),
    {"extra-options", 0, NULL, "LIST", OPTION_STRING, AT(extra), 0, 0, NULL,
     "what is done before, in this order, with colons between: reverse turns the order round; "
     "bos, eos and unk as for encode"},
    {.name = "output-format", .kind = OPTION_REFUSED, .help = "decode prints text"},
    THREADS_ROW(0),
    INPUTS_ROW,
    OUTPUT_ROW,
};

static const struct option normalize_options[] = {
    {"model", 'm', NULL, "FILE", OPTION_STRING, AT(model), 0, 0, NULL,
     "use the rules of this model"},
    TYPE_ROW,
    {"normalization-rule-name", 0, NULL, "NAME", OPTION_STRING, AT(rules), 0, 0,
     "nmt_nfkc|nfkc|nmt_nfkc_cf|nfkc_cf|identity",
     "or these: nmt_nfkc, nfkc, nmt_nfkc_cf, nfkc_cf or identity"},
    {"normalization-rule-tsv", 0, NULL, "FILE", OPTION_STRING, AT(tsv), 0, 0, NULL,
     "or the rules of this file, as for train"},
    {"use-internal-normalization", 0, NULL, "BOOL", OPTION_SWITCH, AT(is_internal), 0, 0, NULL,
     "do with spaces what the model does before it segments (default: false)"},
    {"remove-extra-whitespaces", 0, NULL, "BOOL", OPTION_SWITCH, AT(removes_spaces), 0, 0, NULL,
     "otherwise: no spaces at both ends, and single ones between (default: true)"},
    {.name = "decompile", .kind = OPTION_REFUSED,
     .help = "mixt does not print the rules of a model"},
    THREADS_ROW(0),
    INPUTS_ROW,
    OUTPUT_ROW,
};

static const struct option vocab_options[] = {
    MODEL_ROW,
    TYPE_ROW,
    {"output-format", 'f', NULL, "NAME", OPTION_STRING, AT(format), 0, 0, "vocab|syms",
     "vocab: each piece and its score; syms: each piece and its id (default: vocab)"},
    OUTPUT_ROW,
};
/* clang-format on */

const struct options_command sentencepiece_encode_command = {
    .verb = "subword encode",
    .arguments = "[FILE...]",
    .description = "Segments each line of the files or of standard input; one line out for each "
                   "line in. Pieces and ids are those of spm_encode, whose options have their "
                   "names here, with '-' or '_'.",
    .options = encode_options,
    .n_options = sizeof encode_options / sizeof encode_options[0],
    .max_arguments = SIZE_MAX,
};

const struct options_command sentencepiece_decode_command = {
    .verb = "subword decode",
    .arguments = "[FILE...]",
    .description = "Joins the pieces or ids of each line of the files or of standard input to "
                   "text, as spm_decode does.",
    .options = decode_options,
    .n_options = sizeof decode_options / sizeof decode_options[0],
    .max_arguments = SIZE_MAX,
};

const struct options_command sentencepiece_normalize_command = {
    .verb = "subword normalize",
    .arguments = "[FILE...]",
    .description = "Prints each line of the files or of standard input as a SentencePiece model "
                   "normalises it, as spm_normalize does.",
    .options = normalize_options,
    .n_options = sizeof normalize_options / sizeof normalize_options[0],
    .max_arguments = SIZE_MAX,
};

const struct options_command sentencepiece_vocab_command = {
    .verb = "subword vocab",
    .arguments = "",
    .description = "Prints each piece of a model, a tab and its score, in the order of the ids, "
                   "as spm_export_vocab does.",
    .options = vocab_options,
    .n_options = sizeof vocab_options / sizeof vocab_options[0],
};
