/* Subword model and corpus for a run. */
#include "train/prepare.h"

#include "base/clock.h"
#include "text/subword/sentencepiece_train.h"

static const char *const subword_types[] = {"unigram", "bpe"};
static const char *const normalizations[] = {"nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf",
                                             "identity"};

static enum status train_subword(const struct config *config, struct report *report,
                                 struct subword **subword)
{
    const double start = clock_seconds();
    const char *paths[] = {config->data.train.path[0], config->data.train.path[1]};
    struct subword_train_options options = subword_train_defaults();
    options.paths = paths;
    options.n_paths = 2;
    options.type = subword_types[config->data.subword.type];
    options.size = config->data.subword.size;
    options.coverage = config->data.subword.coverage;
    options.normalize = normalizations[config->data.subword.normalize];
    options.byte_fallback = config->data.subword.byte_fallback;
    options.seed = (uint64_t)config->train.seed;
    struct subword_train_report seen;
    struct buffer bytes = {0};
    report_note(report, "training a joint %s subword model of %lld pieces", options.type,
                (long long)options.size);
    enum status status = subword_train(&options, &bytes, &seen);
    if (status >= 0)
        status = subword_open_bytes(subword, bytes.data, bytes.size, "the new subword model");
    if (status >= 0)
        report_note(report, "subword model trained on %lld of %lld lines in %.1f s",
                    (long long)seen.sampled, (long long)seen.lines, clock_seconds() - start);
    buffer_free(&bytes);
    return status;
}

enum status prepare_subword(const struct config *config, struct report *report,
                            struct subword **subword)
{
    const char *path = config->data.subword.model;
    *subword = NULL;
    return path[0] ? subword_open_file(subword, path) : train_subword(config, report, subword);
}

enum status prepare_corpus(const struct config *config, const struct subword *subword, int threads,
                           int64_t epoch, struct corpus *corpus)
{
    const char *source = config->data.train.path[0], *target = config->data.train.path[1];
    const struct corpus_options options = {.sources = &source,
                                           .targets = &target,
                                           .n_files = 1,
                                           .source_subword = subword,
                                           .target_subword = subword,
                                           .max_len = config->data.max_len,
                                           .scratch_directory = config->save.dir,
                                           .threads = threads,
                                           .sampling = config->data.subword.sampling,
                                           .seed = ((uint64_t)config->train.seed << 32) +
                                                   (uint64_t)epoch};
    return corpus_load(corpus, &options);
}

void prepare_tell(const struct corpus *corpus, const struct config *config, struct report *report)
{
    const struct corpus_report *seen = &corpus->report;
    report_note(
        report,
        "%lld pairs, %lld source and %lld target pieces; left out: %lld with an empty side, "
        "%lld over %lld pieces",
        (long long)corpus->n_pairs, (long long)corpus->n_source_ids,
        (long long)corpus->n_target_ids, (long long)seen->empty.count,
        (long long)seen->too_long.count, (long long)config->data.max_len);
    if (seen->repairs.size)
        report_note(report, "repaired: %.*s", (int)seen->repairs.size - 1, seen->repairs.data);
}
