/* Train subword models with the SentencePiece library; they are used through
 * text/subword/sentencepiece.h. */
#ifndef MIXT_TEXT_SUBWORD_SENTENCEPIECE_TRAIN_H
#define MIXT_TEXT_SUBWORD_SENTENCEPIECE_TRAIN_H

#include "text/subword/sentencepiece.h"

struct subword_train_options {
    const char *const *paths; /* [n_paths] files of lines, .gz allowed; read one after another */
    size_t n_paths;
    const struct subword_text *texts; /* [n_texts] lines from memory, after those of the files */
    size_t n_texts;
    const char *type;      /* "unigram" or "bpe" */
    int64_t size;          /* pieces in all, the four special ones included */
    double coverage;       /* 0.98 .. 1: share of the text's characters that get a piece */
    const char *normalize; /* "nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf" (cf: case folded),
                            * "identity" */
    const char *control;   /* further control symbols with commas between, or NULL: pieces that no
                            * text spells and that decode to nothing */
    bool byte_fallback;    /* other characters become bytes (256 pieces more), not unknown */
    int64_t sample_lines;  /* train on at most so many lines, drawn evenly from all */
    uint64_t seed;         /* of that draw */
    size_t max_line_bytes; /* longer lines are left out */
};

/* What the training saw. */
struct subword_train_report {
    int64_t lines;    /* read */
    int64_t empty;    /* of these, left out as empty or blank */
    int64_t too_long; /* left out as longer than max_line_bytes */
    int64_t sampled;  /* trained on */
};

/* bpe, 8000 pieces, coverage 0.9995, nmt_nfkc, no bytes, 2 million lines of at most 4 KiB. */
struct subword_train_options subword_train_defaults(void);

/* Trains a model and appends its bytes to model: those of a .model file of SentencePiece.
 *
 * The same lines and options give the same bytes on any machine: the number of threads is fixed,
 * because the library's sums depend on it.
 *
 * STATUS_CONFIG for wrong options, and for a size that the text is too small or too rich for (the
 * message names the size that fits); STATUS_DATA without usable text; STATUS_IO, STATUS_FORMAT,
 * STATUS_MEMORY, STATUS_FAILED. report may be NULL. */
enum status subword_train(const struct subword_train_options *options, struct buffer *model,
                          struct subword_train_report *report) STATUS_CHECKED;

/* An option of the library's own trainer, spm_train: its name there ("vocab_size") and its value
 * in the form of that command line ("8000", "true"). */
struct subword_setting {
    const char *name;
    const char *value;
};

struct subword_spm_options {
    const char *const *paths; /* [n_paths] as above */
    size_t n_paths;
    const struct subword_setting *settings; /* [n_settings]; each name at most once */
    size_t n_settings;

    /* Keep at most so many lines, drawn evenly, where the setting "input_sentence_size" does not
     * say how many; 0: all. */
    int64_t sample_lines;

    /* Written into the model with the paths, as spm_train does; NULL: the model names no files. */
    const char *model_prefix;

    /* Called when all is read and the training begins; NULL: nobody is. */
    void (*on_read)(void *context, const struct subword_train_report *report);
    void *context;
};

/* Trains as spm_train does: the same lines and settings give the same model, byte for byte, where
 * spm_train's own are always the same. Lines are taken as they are, without repairs.
 *
 * settings may be all that spm_train has but input, model_prefix and the *_file options (the
 * repeated ones as comma-separated text, as its help says); an unknown name or a value that it
 * does not take is STATUS_CONFIG. "minloglevel" (default 3, nothing) lets the library's own
 * messages through to stderr; "random_seed" counts only before the first training of a thread.
 * Otherwise as subword_train(). */
enum status subword_train_spm(const struct subword_spm_options *options, struct buffer *model,
                              struct subword_train_report *report) STATUS_CHECKED;

/* Appends the bytes of a model that has nothing but normalisation rules, those with a name or those
 * of a file (tsv, then the name does not count; "" where there is none). STATUS_CONFIG for rules
 * that the library cannot read; STATUS_MEMORY. */
enum status subword_make_rules(const char *name, const char *tsv,
                               struct buffer *model) STATUS_CHECKED;

#endif
