/* A small model that stands in for one with random weights that may be larger than memory, to find
 * what follows from the weights: the thresholds of balanced gates. At their start a token of random
 * weights goes to dozens of experts instead of to top_k.
 *
 * It has the large one's embeddings, layers and gates, and as many experts, of a few hidden units:
 * how widely their outputs spread does not depend on how many there are. So the first mixture's
 * thresholds are exact, and the others' near enough to send a token to about top_k experts. */
#ifndef MIXT_TOOLS_BENCH_STAND_IN_H
#define MIXT_TOOLS_BENCH_STAND_IN_H

#include "model/model.h"

struct stand_in {
    struct backend backend;
    struct arena arena, host;
    struct model model;
    struct batch batch;
    struct config *config; /* owned */
};

/* Numbers first .. first+count-1 of a parameter. */
typedef void stand_in_fill(const struct param *param, uint64_t seed, uint64_t first, float *numbers,
                           size_t count);

/* Makes the model, with weights as fill gives them, and sets its thresholds; without balanced gates
 * in the configuration it does nothing. Zeroed before; freed after, also on error. */
enum status stand_in_open(struct stand_in *stand_in, const struct config *config,
                          int64_t vocabulary, uint64_t seed, stand_in_fill *fill) STATUS_CHECKED;
void stand_in_free(struct stand_in *stand_in);

/* Where a parameter of this name has a threshold that was found: copies count numbers from number
 * first on, and returns true. */
bool stand_in_read(const struct stand_in *stand_in, const char *name, uint64_t first,
                   float *numbers, size_t count);

#endif
