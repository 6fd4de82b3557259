/* Memory with one lifetime: taken piece by piece, given back all at once or down to a mark.
 *
 * An arena reserves a range of addresses once; pages become real when they are first written, so a
 * generous capacity costs nothing and nothing is allocated while a program computes. Two
 * arenas serve a model: parameters (whole run) and activations (one batch), whose top above a mark
 * is the scratch of one call. */
#ifndef MIXT_BASE_ARENA_H
#define MIXT_BASE_ARENA_H

#include <stddef.h>

#include "base/status.h"

enum { ARENA_ALIGNMENT = 64 }; /* bytes; a cache line, and the widest vector register */

struct arena {
    char *memory;     /* owned; NULL in a zeroed, empty arena */
    size_t capacity;  /* bytes of addresses reserved */
    size_t used;      /* bytes handed out */
    size_t high_mark; /* largest `used` so far */
};

/* Reserves capacity bytes of addresses; 0 means four times the machine's memory. On error the arena
 * is empty (STATUS_MEMORY). */
enum status arena_init(struct arena *arena, size_t capacity) STATUS_CHECKED;

/* Gives everything back. A zeroed arena may be freed; a freed one is zeroed. */
void arena_free(struct arena *arena);

/* Takes size bytes, aligned to ARENA_ALIGNMENT; fresh pages are zero, reused ones are not. Never
 * NULL: to run out of the reserved addresses is a bug of whoever sized them. */
void *arena_take(struct arena *arena, size_t size);

/* The same, cleared. */
void *arena_take_zeroed(struct arena *arena, size_t size);

/* A copy of a string that lives as long as the arena. */
char *arena_copy_string(struct arena *arena, const char *string);

/* Where the arena stands, and back to there: pieces taken since the mark are gone. */
size_t arena_mark(const struct arena *arena);
void arena_release(struct arena *arena, size_t mark);

#endif
