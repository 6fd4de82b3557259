/* The two shapes that are measured everywhere, as settings. */
#ifndef MIXT_TOOLS_BENCH_SHAPE_H
#define MIXT_TOOLS_BENCH_SHAPE_H

#include "model/config.h"
#include "tools/options.h"

/* Sets config to a shape, "w1" or "w2", with so many experts (0: the shape's own), changed by
 * assignments "section.key=value"; *sentences and *length, where they are 0, to the batch of the
 * shape: sentences, and tokens of each of their sides. STATUS_USAGE, STATUS_CONFIG. */
enum status shape_read(struct config *config, const char *name, int64_t n_experts,
                       const struct option_list *assignments, int64_t *sentences,
                       int64_t *length) STATUS_CHECKED;

#endif
