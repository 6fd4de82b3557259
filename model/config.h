/* Every setting of a run: read from YAML and the command line, checked once, written back.
 *
 * One table (config_keys.c) names the keys and gives each its type, range, default and help; struct
 * config mirrors it. What leaves config_read() has been checked: no caller checks a range again.
 * A key that is unknown, given twice, of a wrong type or out of range is an error that names its
 * file and line. */
#ifndef MIXT_MODEL_CONFIG_H
#define MIXT_MODEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/status.h"

enum {
    CONFIG_TEXT_BYTES = 256, /* of a text, with its ending */
    CONFIG_PATH_BYTES = 4096,
    CONFIG_MAX_PATHS = 32,
    CONFIG_MAX_LANGUAGES = CONFIG_MAX_PATHS / 2, /* one a pair of texts */
    CONFIG_LANGUAGE_BYTES = 32,                  /* of a name, with its ending */
    CONFIG_MAX_LEVELS = 2,
    CONFIG_MAX_EXPERTS = 131072, /* of a mixture, in total */
    CONFIG_MAX_LAYERS = 16
};

/* Words; each stands in the order of its key's list in config_keys.c. */
enum config_subword { CONFIG_SUBWORD_UNIGRAM, CONFIG_SUBWORD_BPE };
enum config_normalize {
    CONFIG_NORMALIZE_NMT_NFKC,
    CONFIG_NORMALIZE_NFKC,
    CONFIG_NORMALIZE_NMT_NFKC_CF,
    CONFIG_NORMALIZE_NFKC_CF,
    CONFIG_NORMALIZE_IDENTITY
};
enum config_model_type { CONFIG_MODEL_GNMT, CONFIG_MODEL_LM };
enum config_dtype { CONFIG_DTYPE_F32, CONFIG_DTYPE_INT8 };
enum config_bidirectional { CONFIG_BIDIRECTIONAL_FIRST, CONFIG_BIDIRECTIONAL_NONE };
enum config_attention { CONFIG_ATTENTION_FACTORED_TANH, CONFIG_ATTENTION_ADDITIVE };
enum config_gate {
    CONFIG_GATE_SOFTMAX,
    CONFIG_GATE_NOISY_TOP_K,
    CONFIG_GATE_SWITCH,
    CONFIG_GATE_BALANCED
};
enum config_expert {
    CONFIG_EXPERT_RELU,
    CONFIG_EXPERT_LINEAR,
    CONFIG_EXPERT_CUBIC,
    CONFIG_EXPERT_LSTM
};
enum config_moe_output { CONFIG_MOE_OUTPUT_SIGMOID, CONFIG_MOE_OUTPUT_NONE };
enum config_optimizer { CONFIG_OPTIMIZER_ADAM };
enum config_expert_optimizer { CONFIG_EXPERT_OPTIMIZER_SAME, CONFIG_EXPERT_OPTIMIZER_FACTORED };
enum config_decay { CONFIG_DECAY_INV_SQRT, CONFIG_DECAY_LINEAR, CONFIG_DECAY_NONE };
enum config_compute {
    CONFIG_COMPUTE_F32,
    CONFIG_COMPUTE_TF32,
    CONFIG_COMPUTE_BF16,
    CONFIG_COMPUTE_FP16,
    CONFIG_COMPUTE_AUTO
}; /* as enum compute of the backend */
enum config_metric { CONFIG_METRIC_BLEU, CONFIG_METRIC_PERPLEXITY };

/* Bits of model.tie: which matrices are one and the same [V, D]; none or at least two. */
enum config_tie { CONFIG_TIE_SOURCE = 1, CONFIG_TIE_TARGET = 2, CONFIG_TIE_SOFTMAX = 4 };

struct config_paths {
    int64_t n;
    char path[CONFIG_MAX_PATHS][CONFIG_PATH_BYTES];
};

/* Names of letters, digits, '_' and '-'. */
struct config_languages {
    int64_t n;
    char name[CONFIG_MAX_LANGUAGES][CONFIG_LANGUAGE_BYTES];
};

/* A setting of a mixture's levels: one of a flat mixture; the groups' and then, within a group, the
 * experts' of a hierarchical one. All of a mixture's settings have the same n once checked. */
struct config_levels {
    int64_t n; /* 1..CONFIG_MAX_LEVELS */
    int64_t value[CONFIG_MAX_LEVELS];
};

/* Layers with something behind them; layer n of a stack is entry n, from 1. */
struct config_places {
    bool encoder[CONFIG_MAX_LAYERS + 1];
    bool decoder[CONFIG_MAX_LAYERS + 1];
};

/* Paths here can be opened as they stand. Ranges are those of the table: see config_describe(). */
struct config_data {
    struct config_paths train; /* source and target of each pair of texts, or the one text of a
                                * language model; or none */
    struct config_paths valid; /* the same */
    struct config_languages languages; /* [n pairs] the targets'; none: the model has one */
    struct {
        enum config_subword type;
        int64_t size;                  /* pieces of the joint vocabulary */
        char model[CONFIG_PATH_BYTES]; /* a SentencePiece model; "" = train one */
        double coverage;               /* share of characters that get a piece */
        enum config_normalize normalize;
        bool byte_fallback;
        double sampling; /* unigram: smoothing alpha; bpe: share of merges dropped; 0 = off */
    } subword;
    int64_t max_len; /* pieces of a training sentence */
};

struct config_moe {
    struct config_places after;   /* LSTM layers that a MoE layer follows */
    struct config_levels gate;    /* enum config_gate */
    struct config_levels experts; /* their product is the number of experts */
    struct config_levels top_k;   /* each at most experts; 1 for switch, experts for softmax */
    double noise;                 /* scale of the gates' noise in training; 0 = none */
    struct {
        enum config_expert type;
        int64_t hidden;  /* F */
        int64_t patches; /* of the input, each read by the same filters; divides dim */
    } expert;
    enum config_moe_output output;
    double importance_weight; /* Shazeer et al. 2017, eq. 7 */
    double load_weight;       /* eq. 11 */
    double threshold_weight;  /* eq. 20 */
};

struct config_model {
    enum config_model_type type;
    enum config_dtype dtype; /* of the matrices that products read, but the gates' */
    int64_t dim;             /* D */
    double dropout;
    unsigned tie; /* bits of enum config_tie; a language model's embedding is the source's */
    struct {      /* all layers of a language model */
        int64_t layers;
        int64_t hidden;  /* H */
        bool projection; /* of the cells to dim; without, hidden is dim */
        enum config_bidirectional bidirectional;
    } encoder;
    struct { /* not of a language model */
        int64_t layers;
        int64_t hidden;     /* H */
        bool projection;    /* as in the encoder */
        bool input_feeding; /* layer 1 also reads the last step's context */
        enum config_attention attention;
        int64_t attention_dim; /* 0 = dim; see config_attention_dim() */
    } decoder;
    struct config_moe moe;
};

struct config_train {
    int64_t batch_tokens; /* of a batch: sentences x longest side, padding included */
    int64_t accumulate;   /* batches of an update */
    int64_t steps;        /* updates of the run */
    struct {
        enum config_optimizer name;
        double lr; /* highest learning rate */
        double beta1, beta2, epsilon;
        double clip;                          /* largest norm of the gradient; 0 = off */
        enum config_expert_optimizer experts; /* how experts' matrices are updated */
    } optimizer;
    struct {
        int64_t warmup; /* steps from 0 up to lr */
        int64_t hold;   /* steps at lr after those */
        enum config_decay decay;
    } schedule;
    bool recompute_experts; /* their hidden units again in the backward pass, not kept */
    double label_smoothing;
    double average; /* decay of the moving average of the weights; 0 = off */
    int64_t seed;
    int64_t threads;                /* 0 = all cores */
    char device[CONFIG_TEXT_BYTES]; /* as backend_is_device() knows them */
    enum config_compute compute;    /* what operands of products are rounded to */
    bool profile;                   /* times each phase of the updates */
};

struct config_valid {
    int64_t every; /* steps */
    int64_t beam;
    int64_t patience; /* validations without a gain before stopping; 0 = never stop early */
    enum config_metric metric;
    double alpha;          /* GNMT length penalty */
    double beta;           /* GNMT coverage penalty */
    int64_t max_sentences; /* 0 = all */
};

struct config_translate {
    int64_t beam;
    double alpha, beta;
    double max_ratio; /* longest output in source lengths */
};

/* Owns nothing: copied by assignment, freed by nobody. About 300 KiB: not for small stacks. */
struct config {
    char name[CONFIG_TEXT_BYTES];
    struct config_data data;
    struct config_model model;
    struct config_train train;
    struct config_valid valid;
    struct config_translate translate;
    struct {
        char dir[CONFIG_PATH_BYTES];
        int64_t every; /* steps */
    } save;
    struct {
        double timeout_s;    /* of one call among ranks */
        int64_t check_every; /* steps; 0 = never */
        bool reproducible;
        int64_t parts; /* of a batch, where reproducible */
    } dist;
    struct {
        int64_t every; /* steps */
    } log;
};

/* What config_write() writes. */
enum config_part {
    CONFIG_PART_ALL, /* every key; paths of data made absolute, so that the text works anywhere */
    CONFIG_PART_PORTABLE /* no paths, threads or device: the same bytes on every machine */
};

/* The defaults. */
void config_init(struct config *config);

/* Sets config to the defaults, then the file (NULL: none), then n assignments "section.key=value".
 *
 * Paths of data in the file are relative to the file's directory, those in assignments to the
 * current one; save.dir is always relative to the current one. STATUS_IO when the file cannot be
 * read; STATUS_CONFIG, STATUS_USAGE for what is wrong in it. */
enum status config_read(struct config *config, const char *path, const char *const *assignments,
                        size_t n) STATUS_CHECKED;

/* The same for YAML text in memory, as config_write() wrote it; name is for messages. */
enum status config_read_text(struct config *config, const char *text, size_t size,
                             const char *name) STATUS_CHECKED;

/* What training needs beside: data.train and save.dir. STATUS_CONFIG with a hint. */
enum status config_check_train(const struct config *config) STATUS_CHECKED;

/* Appends YAML that config_read() turns back into the same settings, exact to the last bit. */
enum status config_write(const struct config *config, enum config_part part,
                         struct buffer *text) STATUS_CHECKED;

/* Appends lines for each key: name, default, help, what is allowed. */
enum status config_describe(struct buffer *text) STATUS_CHECKED;

/* STATUS_OK when a model trained with one configuration can go on with the other: equal shapes and
 * vocabulary. Else STATUS_CONFIG with the first key that differs and both values; what names the
 * trained one ("runs/enfr"). */
enum status config_model_difference(const struct config *trained, const struct config *wanted,
                                    const char *what) STATUS_CHECKED;

/* How many experts a mixture has, whatever its levels. */
static inline int64_t config_moe_experts(const struct config_moe *moe)
{
    return moe->experts.value[0] * (moe->experts.n == 2 ? moe->experts.value[1] : 1);
}

/* How many experts a token is sent to by a mixture, all levels together. */
static inline int64_t config_moe_choices(const struct config_moe *moe)
{
    return moe->top_k.value[0] * (moe->experts.n == 2 ? moe->top_k.value[1] : 1);
}

/* Width of the attention's hidden layer. */
static inline int64_t config_attention_dim(const struct config_model *model)
{
    return model->decoder.attention_dim ? model->decoder.attention_dim : model->dim;
}

#endif
