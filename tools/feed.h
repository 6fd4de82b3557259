/* Texts on their way into a model: lines, or pairs of them, a block at a time. */
#ifndef MIXT_TOOLS_FEED_H
#define MIXT_TOOLS_FEED_H

#include "model/model.h"
#include "text/lines.h"

enum { FEED_LINES = 64 }; /* of a block */
enum { FEED_SOURCE, FEED_TARGET, FEED_SIDES };

struct feed {
    const struct subword *subword;            /* borrowed */
    int32_t prefix;                           /* piece that sources begin with, -1: none */
    struct lines *inputs[FEED_SIDES];         /* owned; NULL: a side that is not read */
    struct ids sides[FEED_SIDES][FEED_LINES]; /* owned; each line's pieces and the end */
    int64_t words; /* of the targets so far: white space between, and the end of each line */
};

/* Opens one text or two; a path that is NULL leaves its side empty. language as languages_piece()
 * takes it. The model is borrowed; a zeroed or half opened reader may be freed. */
enum status feed_open(struct feed *feed, const struct model *model, const char *language,
                      const char *source, const char *target) STATUS_CHECKED;
void feed_free(struct feed *feed);

/* Fills a batch with the next block, a sentence a line; *n is 0 at the end. STATUS_DATA where one
 * text is shorter than the other. */
enum status feed_next(struct feed *feed, struct batch *batch, size_t *n) STATUS_CHECKED;

#endif
