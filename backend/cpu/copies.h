/* Packed copies that a handle's weights make in turn, when a product reads them, in one piece of
 * memory: the next copy goes behind the last, over those that were made first.
 *
 * The memory is as large as the largest copy. Where that is too little, since a loop reads several
 * weights again and again or a pass by blocks both forms of one, it grows until it is enough. */
#ifndef MIXT_BACKEND_CPU_COPIES_H
#define MIXT_BACKEND_CPU_COPIES_H

#include <stdint.h>

#include "base/arena.h"

/* A copy's place; owned by who makes it. Zeroed: there is none. */
struct copy {
    struct copies *home; /* borrowed; NULL: not there */
    struct copy *next;   /* of those that are there */
    size_t start, size_bytes;
    int64_t made; /* what copies->n_made was then; 0: never of these values */
};

/* Zeroed: no memory yet. */
struct copies {
    struct arena arena; /* all that was taken of it is in use: one piece */
    size_t at;          /* where the next copy goes */
    struct copy *first;
    int64_t n_made;
};

void copies_free(struct copies *copies);

/* A place for a copy of size_bytes, a multiple of ARENA_ALIGNMENT, that is not there; NULL with the
 * status message where there is no memory. */
void *copies_make(struct copies *copies, struct copy *copy, size_t size_bytes);

/* Where a copy is that is there. */
void *copies_find(const struct copies *copies, const struct copy *copy);

/* Gives a copy's place back, of values that are gone; it need not be there. */
void copies_drop(struct copy *copy);

#endif
