/* mixt subword: finds the verb of the kind of model that --type names. */
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "tools/dispatch.h"
#include "tools/subword/types.h"
#include "tools/verbs.h"

/* What a verb does for a type of model. */
struct subword_verb {
    const char *name;
    const char *type; /* NULL: the verb belongs to one type alone, and its name says which */
    int (*run)(int argc, char **argv);
};

static const char default_type[] = "sentencepiece";
static const char nmt_type[] = "subword-nmt";
static const char wordpiece_type[] = "wordpiece";

static const struct subword_verb verbs[] = {
    {"train", default_type, sentencepiece_train_main},
    {"encode", default_type, sentencepiece_encode_main},
    {"decode", default_type, sentencepiece_decode_main},
    {"vocab", default_type, sentencepiece_vocab_main},
    {"normalize", default_type, sentencepiece_normalize_main},
    {"train", nmt_type, subword_nmt_learn_main},
    {"encode", nmt_type, subword_nmt_apply_main},
    {"decode", nmt_type, subword_nmt_decode_main},
    {"vocab", nmt_type, subword_nmt_vocab_main},
    {"train", wordpiece_type, wordpiece_train_main},
    {"encode", wordpiece_type, wordpiece_encode_main},
    {"decode", wordpiece_type, wordpiece_decode_main},
    {"vocab", wordpiece_type, wordpiece_vocab_main},
    {"learn-bpe", NULL, subword_nmt_learn_main},
    {"apply-bpe", NULL, subword_nmt_apply_main},
    {"get-vocab", NULL, subword_nmt_vocab_main},
    {"learn-joint-bpe-and-vocab", NULL, subword_nmt_joint_main},
    {"segment-char-ngrams", NULL, subword_nmt_segment_main},
};

enum { N_VERBS = sizeof verbs / sizeof verbs[0] };

/* What --type may be, and whose verbs that means. */
struct type {
    const char *name;
    const char *owner; /* struct subword_verb.type */
};

static const struct type types[] = {
    {default_type, default_type},     {"unigram", default_type}, {"bpe", default_type},
    {"word", default_type},           {"char", default_type},    {nmt_type, nmt_type},
    {wordpiece_type, wordpiece_type},
};

enum { N_TYPES = sizeof types / sizeof types[0] };

static void print_help(void)
{
    printf("Usage: mixt subword VERB [--type TYPE] [OPTION...]\n\n"
           "Subword models: the pieces of words that translation models read and write.\n\n"
           "  train      train a model on text\n"
           "  encode     text to pieces or ids, line by line\n"
           "  decode     pieces or ids to text, line by line\n"
           "  vocab      print the pieces of a model and their scores\n"
           "  normalize  text as a SentencePiece model sees it, line by line\n\n"
           "Types:\n"
           "  unigram, bpe, word, char\n"
           "      SentencePiece models, one .model file; the default. The name matters to\n"
           "      train alone: the file knows its type.\n"
           "  subword-nmt\n"
           "      Merges of characters within words, one file of codes; also learn-bpe,\n"
           "      apply-bpe, get-vocab, segment-char-ngrams and learn-joint-bpe-and-vocab,\n"
           "      with subword-nmt's own options.\n"
           "  wordpiece\n"
           "      The longest pieces from the start of a word on, one vocab.txt as BERT's.\n\n"
           "'mixt subword train --help' lists the options of train, and so on; with --type,\n"
           "those of that type.\n");
}

static const struct type *find_type(const char *name)
{
    for (size_t i = 0; i < N_TYPES; i++) {
        if (strcmp(types[i].name, name) == 0)
            return &types[i];
    }
    return NULL;
}

/* The value of the last --type on the command line, or the default one. */
static const char *wanted_type(int argc, char **argv)
{
    const char *wanted = default_type;
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const bool has_next = i + 1 < argc;
        if (strncmp(argv[i], "--type=", 7) == 0)
            wanted = argv[i] + 7;
        else if (strcmp(argv[i], "--type") == 0 && has_next)
            wanted = argv[i + 1];
        else if (strcmp(argv[i], "-t") == 0 && has_next && find_type(argv[i + 1]) != NULL)
            wanted = argv[i + 1];
    }
    return wanted;
}

static int unknown_verb(const char *word)
{
    const char *names[N_VERBS];
    for (size_t i = 0; i < N_VERBS; i++)
        names[i] = verbs[i].name;
    return dispatch_unknown("subword", "verb", word, names, N_VERBS,
                            "train, encode, decode or vocab");
}

static int unknown_type(const char *word)
{
    const char *names[N_TYPES];
    for (size_t i = 0; i < N_TYPES; i++)
        names[i] = types[i].name;
    return dispatch_unknown("subword", "type", word, names, N_TYPES, NULL);
}

int subword_main(int argc, char **argv)
{
    const char *word = argc > 1 ? argv[1] : "";
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        print_help();
        return 0;
    }
    const char *type_name = wanted_type(argc, argv);
    const struct type *type = find_type(type_name);
    bool is_known = false;
    for (size_t i = 0; i < N_VERBS; i++) {
        if (strcmp(verbs[i].name, word) != 0)
            continue;
        is_known = true;
        if (verbs[i].type == NULL || (type != NULL && strcmp(verbs[i].type, type->owner) == 0))
            return verbs[i].run(argc - 1, argv + 1);
    }
    if (!is_known)
        return unknown_verb(word);
    if (type == NULL)
        return unknown_type(type_name);
    const enum status code =
        status_set(STATUS_USAGE, "subword %s: not for models of type %s", word, type_name);
    status_hint("'mixt subword --help' lists the verbs and types");
    return status_finish(code);
}
