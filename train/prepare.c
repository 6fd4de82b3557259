/* Subword model and corpus for a run. */
#include "train/prepare.h"

#include "base/clock.h"
#include "model/languages.h"
#include "text/subword/sentencepiece_train.h"

static const char *const subword_types[] = {"unigram", "bpe"};
static const char *const normalizations[] = {"nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf",
                                             "identity"};

static enum status train_subword(const struct config *config, struct report *report,
                                 struct subword **subword)
{
    const double start = clock_seconds();
    const struct config_paths *train = &config->data.train;
    const char *paths[CONFIG_MAX_PATHS];
    for (int64_t i = 0; i < train->n; i++)
        paths[i] = train->path[i];
    struct subword_train_options options = subword_train_defaults();
    options.paths = paths;
    options.n_paths = (size_t)train->n;
    options.type = subword_types[config->data.subword.type];
    options.size = config->data.subword.size;
    options.coverage = config->data.subword.coverage;
    options.normalize = normalizations[config->data.subword.normalize];
    options.byte_fallback = config->data.subword.byte_fallback;
    options.seed = (uint64_t)config->train.seed;
    struct subword_train_report seen;
    struct buffer bytes = {0}, symbols = {0};
    enum status status = languages_symbols(&config->data.languages, &symbols);
    options.control = symbols.data;
    report_note(report, "training a %s%s subword model of %lld pieces",
                train->n > 1 ? "joint " : "", options.type, (long long)options.size);
    if (status >= 0)
        status = subword_train(&options, &bytes, &seen);
    if (status >= 0)
        status = subword_open_bytes(subword, bytes.data, bytes.size, "the new subword model");
    if (status >= 0)
        report_note(report, "subword model trained on %lld of %lld lines in %.1f s",
                    (long long)seen.sampled, (long long)seen.lines, clock_seconds() - start);
    buffer_free(&bytes);
    buffer_free(&symbols);
    return status;
}

enum status prepare_subword(const struct config *config, struct report *report,
                            struct subword **subword)
{
    const char *path = config->data.subword.model;
    *subword = NULL;
    return path[0] ? subword_open_file(subword, path) : train_subword(config, report, subword);
}

enum status prepare_load(const struct config *config, const struct config_paths *paths,
                         const struct subword *subword, struct corpus_options *options,
                         struct corpus *corpus)
{
    const bool is_lm = config->model.type == CONFIG_MODEL_LM;
    const struct config_languages *languages = &config->data.languages;
    const char *sources[CONFIG_MAX_PATHS / 2], *targets[CONFIG_MAX_PATHS / 2];
    int32_t prefixes[CONFIG_MAX_PATHS / 2];
    enum status status = STATUS_OK;
    options->n_files = (size_t)(is_lm ? paths->n : paths->n / 2);
    for (size_t i = 0; i < options->n_files && status >= 0; i++) {
        sources[i] = is_lm ? NULL : paths->path[2 * i];
        targets[i] = is_lm ? paths->path[i] : paths->path[2 * i + 1];
        const char *name = languages->n > 0 ? languages->name[i] : NULL;
        status = languages_piece(languages, subword, name, &prefixes[i]);
    }
    options->sources = is_lm ? NULL : sources;
    options->targets = targets;
    options->prefixes = prefixes;
    options->source_subword = subword;
    options->target_subword = subword;
    return status < 0 ? status : corpus_load(corpus, options);
}

enum status prepare_corpus(const struct config *config, const struct subword *subword, int threads,
                           int64_t epoch, struct corpus *corpus)
{
    struct corpus_options options = {.max_len = config->data.max_len,
                                     .scratch_directory = config->save.dir,
                                     .threads = threads,
                                     .sampling = config->data.subword.sampling,
                                     .seed =
                                         ((uint64_t)config->train.seed << 32) + (uint64_t)epoch};
    return prepare_load(config, &config->data.train, subword, &options, corpus);
}

void prepare_tell(const struct corpus *corpus, const struct config *config, struct report *report)
{
    const struct corpus_report *seen = &corpus->report;
    const long long n = corpus->n_pairs, n_targets = corpus->n_target_ids;
    const long long n_empty = seen->empty.count, n_long = seen->too_long.count;
    if (config->model.type == CONFIG_MODEL_LM)
        report_note(report, "%lld lines, %lld pieces; left out: %lld empty, %lld over %lld pieces",
                    n, n_targets, n_empty, n_long, (long long)config->data.max_len);
    else
        report_note(report,
                    "%lld pairs, %lld source and %lld target pieces; left out: %lld with an empty "
                    "side, %lld over %lld pieces",
                    n, (long long)corpus->n_source_ids, n_targets, n_empty, n_long,
                    (long long)config->data.max_len);
    if (seen->repairs.size)
        report_note(report, "repaired: %.*s", (int)seen->repairs.size - 1, seen->repairs.data);
}
