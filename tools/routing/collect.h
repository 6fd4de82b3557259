/* Runs a model over text and tallies what its MoE layers' gates choose. */
#ifndef MIXT_TOOLS_ROUTING_COLLECT_H
#define MIXT_TOOLS_ROUTING_COLLECT_H

#include "model/model.h"
#include "tools/feed.h"
#include "tools/routing/routing.h"
#include "tools/routing/tally.h"

enum { COLLECT_MAX_LAYERS = 2 * CONFIG_MAX_LAYERS };

/* Zeroed is empty; collect_free() may be called at any time. */
struct collect {
    struct backend backend;
    struct model model;
    struct arena arena, host;
    struct batch batch;
    struct model_batch uploaded;
    struct model_record record;
    struct feed feed;
    struct moe *layers[COLLECT_MAX_LAYERS]; /* borrowed; those that run */
    struct tally tallies[COLLECT_MAX_LAYERS];
    int64_t n_layers, n_encoder; /* the encoder's come first */
    int64_t lines;               /* read so far */
    struct buffer numbers[3];    /* offsets, tokens and weights of one layer and batch */
};

/* Loads the model (path) and opens n texts: one, or for a translator also the line-parallel target,
 * which its decoder then reads. The options' n_top counts. */
enum status collect_open(struct collect *collect, const struct routing_options *options,
                         const char *path, const char *const *texts, size_t n) STATUS_CHECKED;

/* Reads all of the texts and sorts the tallies. STATUS_DATA where one text is shorter. */
enum status collect_run(struct collect *collect) STATUS_CHECKED;

void collect_free(struct collect *collect);

#endif
