/* A trained model reading text, as in translating, with its mixtures' records in sight. */
#ifndef MIXT_TOOLS_LAB_READING_H
#define MIXT_TOOLS_LAB_READING_H

#include "model/model_file.h"
#include "tools/feed.h"
#include "tools/options.h"

enum { READING_MAX_LAYERS = 2 * CONFIG_MAX_LAYERS };

struct reading {
    struct backend backend;
    struct model model;
    struct arena arena, host; /* of one batch */
    struct feed feed;
    struct batch batch;
    struct model_batch uploaded;
    struct model_record record;
    struct moe *layers[READING_MAX_LAYERS]; /* borrowed */
    int64_t n_layers, n_encoder;            /* that run; the encoder's, which come first */
};

/* What the verbs that read have in common. */
struct reading_options {
    const char *model, *device, *language;
    int64_t threads;
};

/* Opens a model and its texts: a source, and a target where the decoder is to run, too; a language
 * model reads one text. A zeroed or half opened reading may be freed. STATUS_USAGE, STATUS_CONFIG
 * for a model without mixtures, and what its parts return. */
enum status reading_open(struct reading *reading, const struct reading_options *options,
                         const struct option_list *texts) STATUS_CHECKED;
void reading_free(struct reading *reading);

/* Runs the next batch, whose records then lie in reading.record until the next call; *n is the
 * number of its sentences, 0 at the end. */
enum status reading_next(struct reading *reading, size_t *n) STATUS_CHECKED;

/* The pass to go on with in the batch's arena, outside of training. */
struct pass reading_pass(struct reading *reading);

/* What layer number l read, and what it left. */
const struct sequence *reading_sequence(const struct reading *reading, int64_t l);
const struct moe_record *reading_record(const struct reading *reading, int64_t l);

#endif
