/* The keys of a configuration, and the guess at what a misspelt one meant. */
#include "model/config_keys.h"

#include <string.h>

#include "base/status.h"

#define FIELD(member)  offsetof(struct config, member)
#define INT(member)    CONFIG_TYPE_INT, FIELD(member)
#define FLOAT(member)  CONFIG_TYPE_FLOAT, FIELD(member)
#define BOOL(member)   CONFIG_TYPE_BOOL, FIELD(member)
#define WORD(member)   CONFIG_TYPE_WORD, FIELD(member)
#define LEVELS(member) CONFIG_TYPE_LEVELS, FIELD(member)
#define MODEL          CONFIG_KEY_MODEL
#define MACHINE        CONFIG_KEY_MACHINE
#define RELATIVE       (CONFIG_KEY_MACHINE | CONFIG_KEY_RELATIVE)
#define ABOVE          CONFIG_KEY_ABOVE_MINIMUM
#define BELOW          CONFIG_KEY_BELOW_MAXIMUM

static const char *const subword_types[] = {"unigram", "bpe", NULL};
static const char *const normalizations[] = {"nmt_nfkc", "nfkc",     "nmt_nfkc_cf",
                                             "nfkc_cf",  "identity", NULL};
static const char *const model_types[] = {"gnmt", "lm", NULL};
static const char *const dtypes[] = {"f32", "int8", NULL};
static const char *const ties[] = {"source", "target", "softmax", NULL};
static const char *const bidirectionals[] = {"first", "none", NULL};
static const char *const attentions[] = {"factored_tanh", "additive", NULL};
static const char *const gates[] = {"softmax", "noisy_top_k", "switch", "balanced", NULL};
static const char *const experts[] = {"relu", "linear", "cubic", "lstm", NULL};
static const char *const moe_outputs[] = {"sigmoid", "none", NULL};
static const char *const optimizers[] = {"adam", NULL};
static const char *const expert_optimizers[] = {"same", "factored", NULL};
static const char *const decays[] = {"inv_sqrt", "linear", "none", NULL};
static const char *const computes[] = {"f32", "tf32", "bf16", "fp16", "auto", NULL};
static const char *const metrics[] = {"bleu", "perplexity", NULL};

/* One line a key is easier to scan than wrapped fields. */
/* clang-format off */
const struct config_key config_keys[] = {
    {"name", CONFIG_TYPE_TEXT, FIELD(name), "", 0, 0, 0, NULL, "name of the run, for people"},

    {"data.train", CONFIG_TYPE_PATHS, FIELD(data.train), "[]", 0, 0, RELATIVE, NULL, "source and target text to learn from, one sentence a line, several pairs one after another; [TEXT] for model.type lm"},
    {"data.valid", CONFIG_TYPE_PATHS, FIELD(data.valid), "[]", 0, 0, RELATIVE, NULL, "source and target text to validate on, as above"},
    {"data.languages", CONFIG_TYPE_NAMES, FIELD(data.languages), "[]", 0, 0, MODEL, NULL, "target language of each pair, as in [de, fr], which the first piece of a source sentence asks for (<2de>); []: there is one, and none is asked for"},
    {"data.subword.type", WORD(data.subword.type), "unigram", 0, 0, MODEL, subword_types, "how text is cut into pieces"},
    {"data.subword.size", INT(data.subword.size), "8000", 4, 1000000, MODEL, NULL, "pieces of the joint vocabulary"},
    {"data.subword.model", CONFIG_TYPE_PATH, FIELD(data.subword.model), "", 0, 0, RELATIVE, NULL, "SentencePiece model to use; empty: train one"},
    {"data.subword.coverage", FLOAT(data.subword.coverage), "1.0", 0.98, 1, MODEL, NULL, "share of all characters that the pieces must cover"},
    {"data.subword.normalize", WORD(data.subword.normalize), "nmt_nfkc", 0, 0, MODEL, normalizations, "Unicode normalisation; _cf folds case"},
    {"data.subword.byte_fallback", BOOL(data.subword.byte_fallback), "false", 0, 0, MODEL, NULL, "spell unknown characters as bytes"},
    {"data.subword.sampling", FLOAT(data.subword.sampling), "0.0", 0, 10, 0, NULL, "random cuts in training: unigram's alpha, or BPE's share of dropped merges; 0: off"},
    {"data.max_len", INT(data.max_len), "100", 1, 10000, 0, NULL, "pieces; longer training pairs are counted and left out"},

    {"model.type", WORD(model.type), "gnmt", 0, 0, MODEL, model_types, "gnmt: translator; lm: language model, all its layers model.encoder, none of them bidirectional"},
    {"model.dtype", WORD(model.dtype), "f32", 0, 0, MODEL, dtypes, "how matrices are held; int8: of a model that 'mixt convert' made, which cannot be trained"},
    {"model.dim", INT(model.dim), "256", 1, 65536, MODEL, NULL, "width of embeddings and layers"},
    {"model.dropout", FLOAT(model.dropout), "0.2", 0, 1, BELOW, NULL, "share of values dropped between layers in training"},
    {"model.tie", CONFIG_TYPE_SET, FIELD(model.tie), "[source, target, softmax]", 0, 0, MODEL, ties, "embeddings that are one matrix; []: each its own; lm: softmax ties it to the one embedding"},
    {"model.encoder.layers", INT(model.encoder.layers), "3", 1, CONFIG_MAX_LAYERS, MODEL, NULL, "LSTM layers"},
    {"model.encoder.hidden", INT(model.encoder.hidden), "512", 1, 65536, MODEL, NULL, "cells of an LSTM layer"},
    {"model.encoder.projection", BOOL(model.encoder.projection), "true", 0, 0, MODEL, NULL, "project the cells to model.dim; false: hidden must be model.dim"},
    {"model.encoder.bidirectional", WORD(model.encoder.bidirectional), "first", 0, 0, MODEL, bidirectionals, "layers that also read backwards"},
    {"model.decoder.layers", INT(model.decoder.layers), "2", 1, CONFIG_MAX_LAYERS, MODEL, NULL, "LSTM layers"},
    {"model.decoder.hidden", INT(model.decoder.hidden), "512", 1, 65536, MODEL, NULL, "cells of an LSTM layer"},
    {"model.decoder.projection", BOOL(model.decoder.projection), "true", 0, 0, MODEL, NULL, "project the cells to model.dim; false: hidden must be model.dim"},
    {"model.decoder.input_feeding", BOOL(model.decoder.input_feeding), "false", 0, 0, MODEL, NULL, "layer 1 also reads the context of the step before, as in GNMT; slower to train"},
    {"model.decoder.attention", WORD(model.decoder.attention), "factored_tanh", 0, 0, MODEL, attentions, "attention function"},
    {"model.decoder.attention_dim", INT(model.decoder.attention_dim), "0", 0, 65536, MODEL, NULL, "width of the attention's hidden layer; 0: model.dim"},
    {"model.moe.after", CONFIG_TYPE_PLACES, FIELD(model.moe.after), "[encoder.2, decoder.1]", 0, 0, MODEL, NULL, "LSTM layers, from 1, that a mixture of experts follows; []: none"},
    {"model.moe.gate", LEVELS(model.moe.gate), "noisy_top_k", 0, 0, MODEL, gates, "how experts are chosen; [a, b]: of the groups, then within a group"},
    {"model.moe.experts", LEVELS(model.moe.experts), "16", 1, CONFIG_MAX_EXPERTS, MODEL, NULL, "experts of a mixture; [a, b]: a groups of b"},
    {"model.moe.top_k", LEVELS(model.moe.top_k), "2", 1, CONFIG_MAX_EXPERTS, MODEL, NULL, "experts a token is sent to (balanced: on average); switch has 1, softmax all; [a, b]: groups, then experts in each"},
    {"model.moe.noise", FLOAT(model.moe.noise), "1.0", 0, 100, 0, NULL, "scale of the gates' noise in training; 0: none"},
    {"model.moe.expert.type", WORD(model.moe.expert.type), "relu", 0, 0, MODEL, experts, "what an expert is; lstm: it keeps a state for the tokens of a sentence that it gets"},
    {"model.moe.expert.hidden", INT(model.moe.expert.hidden), "1024", 1, 1048576, MODEL, NULL, "hidden units of an expert; lstm: its cells"},
    {"model.moe.expert.patches", INT(model.moe.expert.patches), "1", 1, 64, MODEL, NULL, "parts of a token that the same hidden units read and add up; divides model.dim"},
    {"model.moe.output", WORD(model.moe.output), "sigmoid", 0, 0, MODEL, moe_outputs, "function on the mixture's output"},
    {"model.moe.importance_weight", FLOAT(model.moe.importance_weight), "0.01", 0, 1000, 0, NULL, "weight of the loss that evens out gate values"},
    {"model.moe.load_weight", FLOAT(model.moe.load_weight), "0.01", 0, 1000, 0, NULL, "weight of the loss that evens out tokens an expert"},
    {"model.moe.threshold_weight", FLOAT(model.moe.threshold_weight), "0.01", 0, 1000, 0, NULL, "weight of the loss that teaches the balanced gate its thresholds"},

    {"train.batch_tokens", INT(train.batch_tokens), "2048", 1, 16777216, 0, NULL, "pieces of a batch on its longer side, padding included"},
    {"train.accumulate", INT(train.accumulate), "1", 1, 10000, 0, NULL, "batches of an update"},
    {"train.steps", INT(train.steps), "10000", 0, 1e9, 0, NULL, "updates of the run"},
    {"train.optimizer.name", WORD(train.optimizer.name), "adam", 0, 0, 0, optimizers, "optimiser"},
    {"train.optimizer.lr", FLOAT(train.optimizer.lr), "1.0e-3", 0, 100, 0, NULL, "highest learning rate"},
    {"train.optimizer.beta1", FLOAT(train.optimizer.beta1), "0.9", 0, 1, BELOW, NULL, "decay of Adam's first moment"},
    {"train.optimizer.beta2", FLOAT(train.optimizer.beta2), "0.98", 0, 1, BELOW, NULL, "decay of Adam's second moment"},
    {"train.optimizer.epsilon", FLOAT(train.optimizer.epsilon), "1.0e-8", 0, 1, ABOVE, NULL, "Adam's guard against division by zero"},
    {"train.optimizer.clip", FLOAT(train.optimizer.clip), "5.0", 0, 1e9, 0, NULL, "largest norm of the gradient; 0: off"},
    {"train.optimizer.experts", WORD(train.optimizer.experts), "same", 0, 0, MODEL, expert_optimizers, "for experts: the same, or factored second moments without a first, in a fraction of the memory"},
    {"train.recompute_experts", BOOL(train.recompute_experts), "false", 0, 0, 0, NULL, "compute hidden units of experts again in the backward pass: less memory, more time"},
    {"train.schedule.warmup", INT(train.schedule.warmup), "2000", 0, 1e9, 0, NULL, "steps in which the learning rate rises"},
    {"train.schedule.hold", INT(train.schedule.hold), "8000", 0, 1e9, 0, NULL, "steps after those in which it stays"},
    {"train.schedule.decay", WORD(train.schedule.decay), "inv_sqrt", 0, 0, 0, decays, "how it falls after those"},
    {"train.label_smoothing", FLOAT(train.label_smoothing), "0.1", 0, 1, BELOW, NULL, "share of probability spread over all pieces"},
    {"train.average", FLOAT(train.average), "0.0", 0, 1, BELOW, NULL, "decay of a moving average of the weights; 0: off"},
    {"train.seed", INT(train.seed), "1", 0, 4294967295, 0, NULL, "seed of all random numbers"},
    {"train.threads", INT(train.threads), "0", 0, 4096, MACHINE, NULL, "threads; 0: all cores"},
    {"train.device", CONFIG_TYPE_TEXT, FIELD(train.device), "auto", 0, 0, MACHINE, NULL, "where to compute: cpu, ref, cuda or cuda:N for GPU N, auto: a GPU where there is one"},
    {"train.compute", WORD(train.compute), "f32", 0, 0, MACHINE, computes, "what the operands of products are rounded to, sums and weights stay f32; tf32: GPUs only; fp16: processors with AVX512-FP16, where 64 terms are summed in it, too; auto: bf16 where the processor has AMX or the GPU has it, else fp16 where the processor has that, else f32"},
    {"train.profile", BOOL(train.profile), "false", 0, 0, MACHINE, NULL, "tell where the time of the updates goes, phase by phase: a table at the end, and in metrics.jsonl"},

    {"valid.every", INT(valid.every), "500", 1, 1e9, 0, NULL, "steps between validations"},
    {"valid.beam", INT(valid.beam), "4", 1, 64, 0, NULL, "beam width"},
    {"valid.patience", INT(valid.patience), "0", 0, 1e6, 0, NULL, "validations without a gain before stopping; 0: never stop early"},
    {"valid.metric", WORD(valid.metric), "bleu", 0, 0, 0, metrics, "what makes a model the best one; lm: perplexity"},
    {"valid.alpha", FLOAT(valid.alpha), "0.6", 0, 10, 0, NULL, "length penalty"},
    {"valid.beta", FLOAT(valid.beta), "0.0", 0, 10, 0, NULL, "coverage penalty"},
    {"valid.max_sentences", INT(valid.max_sentences), "0", 0, 1e9, 0, NULL, "sentences to translate of each pair, from the first; 0: all"},

    {"translate.beam", INT(translate.beam), "4", 1, 64, 0, NULL, "beam width"},
    {"translate.alpha", FLOAT(translate.alpha), "0.6", 0, 10, 0, NULL, "length penalty"},
    {"translate.beta", FLOAT(translate.beta), "0.0", 0, 10, 0, NULL, "coverage penalty"},
    {"translate.max_ratio", FLOAT(translate.max_ratio), "2.0", 0, 100, ABOVE, NULL, "longest output, in lengths of the source"},

    {"save.dir", CONFIG_TYPE_PATH, FIELD(save.dir), "", 0, 0, MACHINE, NULL, "directory of the run, relative to the current one"},
    {"save.every", INT(save.every), "500", 1, 1e9, 0, NULL, "steps between checkpoints"},

    {"dist.timeout_s", FLOAT(dist.timeout_s), "60", 0, 86400, MACHINE | ABOVE, NULL, "with several ranks: seconds that one waits for the others before the job is ended"},
    {"dist.check_every", INT(dist.check_every), "1000", 0, 1e9, MACHINE, NULL, "with several ranks: steps between comparisons of the weights that all hold; 0: never"},
    {"dist.reproducible", BOOL(dist.reproducible), "false", 0, 0, 0, NULL, "the same bits on any number of ranks up to dist.parts: slower"},
    {"dist.parts", INT(dist.parts), "4", 1, 65536, 0, NULL, "with dist.reproducible: parts of a batch, each computed alone"},

    {"log.every", INT(log.every), "50", 1, 1e9, 0, NULL, "steps between reports"},
};
/* clang-format on */

const size_t config_n_keys = sizeof config_keys / sizeof *config_keys;

const struct config_key *config_key_find(const char *name)
{
    for (size_t i = 0; i < config_n_keys; i++)
        if (strcmp(config_keys[i].name, name) == 0)
            return &config_keys[i];
    return NULL;
}

bool config_key_is_section(const char *name)
{
    const size_t length = strlen(name);
    for (size_t i = 0; i < config_n_keys; i++)
        if (strncmp(config_keys[i].name, name, length) == 0 && config_keys[i].name[length] == '.')
            return true;
    return false;
}

/* Insertions, deletions, changes and swaps of neighbours that turn a [n] into b [m]; both shorter
 * than YAML_KEY_BYTES. */
static size_t edit_distance(const char *a, size_t n, const char *b, size_t m)
{
    size_t rows[3][YAML_KEY_BYTES];
    size_t *before = rows[0], *last = rows[1], *row = rows[2];
    for (size_t j = 0; j <= m; j++)
        last[j] = j;
    for (size_t i = 1; i <= n; i++) {
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t least = last[j - 1] + (a[i - 1] != b[j - 1]);
            if (last[j] + 1 < least)
                least = last[j] + 1;
            if (row[j - 1] + 1 < least)
                least = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                before[j - 2] + 1 < least)
                least = before[j - 2] + 1;
            row[j] = least;
        }
        size_t *const oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[m];
}

/* The known name nearest to name among those with the same first start bytes, which are left out of
 * the result. Compares one word, or with is_whole all that follows. */
static const char *nearest(const char *name, size_t start, bool is_whole)
{
    static _Thread_local char best_name[YAML_KEY_BYTES];
    const size_t length = strlen(name + start);
    size_t best = is_whole ? 4 : 2 + length / 3; /* this far off is no guess */
    const char *found = NULL;
    for (size_t i = 0; i < config_n_keys; i++) {
        const char *candidate = config_keys[i].name;
        if (strncmp(candidate, name, start) != 0)
            continue;
        candidate += start;
        const size_t candidate_length = is_whole ? strlen(candidate) : strcspn(candidate, ".");
        const size_t distance = edit_distance(name + start, length, candidate, candidate_length);
        if (distance < best) {
            best = distance;
            memcpy(best_name, candidate, candidate_length);
            best_name[candidate_length] = '\0';
            found = best_name;
        }
    }
    return found;
}

const char *config_key_suggest(const char *name)
{
    CHECK(strlen(name) < YAML_KEY_BYTES, "the key has %zu bytes", strlen(name));
    const char *dot = strrchr(name, '.');
    const char *word = dot ? dot + 1 : name;
    const char *guess = nearest(name, (size_t)(word - name), false);
    if (!guess && dot)
        guess = nearest(name, 0, true);                    /* a misspelt section */
    for (size_t i = 0; i < config_n_keys && !guess; i++) { /* the right word elsewhere */
        const char *other = strrchr(config_keys[i].name, '.');
        if (other && strcmp(other + 1, word) == 0)
            guess = config_keys[i].name;
    }
    return guess;
}
