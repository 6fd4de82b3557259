/* Validation during training: perplexity by teacher forcing, BLEU by translating. */
#ifndef MIXT_TRAIN_VALIDATION_H
#define MIXT_TRAIN_VALIDATION_H

#include "model/model.h"
#include "text/corpus.h"

struct validation {
    bool is_wanted;       /* data.valid is given */
    struct corpus corpus; /* pairs for the perplexity */
    struct epoch_plan plan;
    struct buffer sources; /* raw lines, one after another; owned; for BLEU alone, as all below */
    struct buffer references;
    struct subword_text *source_lines; /* [n_lines] into sources; owned */
    struct subword_text *reference_lines;
    int64_t n_lines;
    int64_t n_pairs;                          /* of texts */
    int64_t starts[CONFIG_MAX_PATHS / 2 + 1]; /* of each pair's lines; the last is the end */
};

struct validation_result {
    double nll;  /* mean per target token, without label smoothing */
    double bleu; /* sacreBLEU's, cased, 13a; negative: not measured (valid.metric perplexity) */
};

/* Reads data.valid, all of its pairs of texts, which are measured together. A zeroed validation,
 * without data, may be run and freed. */
enum status validation_open(struct validation *validation, const struct config *config,
                            const struct subword *subword, int threads) STATUS_CHECKED;
void validation_free(struct validation *validation);

/* Measures the model. On several ranks (model->params.comm) each measures its share, with one
 * result for all; collective, and for BLEU each rank takes memory for a whole model. arena: for
 * activations; host: of the host; both are left as they were. */
enum status validation_run(const struct validation *validation, struct model *model,
                           struct arena *arena, struct arena *host, struct batch *batch,
                           struct validation_result *result) STATUS_CHECKED;

#endif
