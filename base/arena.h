/* Memory with one lifetime: taken piece by piece, given back all at once or down to a mark.
 *
 * An arena of the host reserves a range of addresses once; pages become real when they are first
 * written, so a generous capacity costs nothing and nothing is allocated while a program computes.
 * An arena over a source, such as a device's memory, which cannot be reserved so, grows by blocks
 * that it keeps: once it has been as full as it gets, nothing is allocated either. Two arenas serve
 * a model: parameters (whole run) and activations (one batch), whose top above a mark is the
 * scratch of one call. */
#ifndef MIXT_BASE_ARENA_H
#define MIXT_BASE_ARENA_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

enum {
    ARENA_ALIGNMENT = 64,         /* bytes; a cache line, and the widest vector register */
    ARENA_SOURCE_ALIGNMENT = 256, /* of pieces over a source; what GPUs' libraries like best */
    ARENA_MAX_BLOCKS = 64,        /* of a source; each is at least a quarter of all before it */
};

/* Where blocks come from. The arena only counts in their addresses and never touches them. */
struct arena_source {
    /* A block of size bytes, aligned to ARENA_SOURCE_ALIGNMENT, or NULL. */
    void *(*take)(void *context, size_t size);
    void (*give)(void *context, void *block, size_t size);
    void *context; /* borrowed */
};

struct arena_block {
    char *memory;
    size_t start, size; /* bytes; start: of all blocks before it */
};

struct arena {
    char *memory;               /* of the host, owned; NULL in an empty arena and over a source */
    size_t capacity;            /* bytes of addresses reserved, or of all blocks */
    size_t used;                /* bytes handed out, with what was skipped at blocks' ends */
    size_t high_mark;           /* largest `used` so far */
    struct arena_source source; /* zeroed in an arena of the host */
    struct arena_block *blocks; /* [ARENA_MAX_BLOCKS] owned; NULL in an arena of the host */
    int n_blocks;
};

/* Reserves capacity bytes of addresses; 0 means four times the machine's memory. On error the arena
 * is empty (STATUS_MEMORY). */
enum status arena_init(struct arena *arena, size_t capacity) STATUS_CHECKED;

/* An arena over a source. Nothing is taken before the first piece. */
enum status arena_init_from(struct arena *arena, const struct arena_source *source) STATUS_CHECKED;

/* Gives everything back. A zeroed arena may be freed; a freed one is zeroed. */
void arena_free(struct arena *arena);

/* Takes size bytes, aligned to ARENA_ALIGNMENT, over a source to ARENA_SOURCE_ALIGNMENT; the host's
 * fresh pages are zero, all else is undefined. Never NULL: to run out of the reserved addresses is
 * a bug of whoever sized them. Where a source has no block left, which the source has to report,
 * the address is of nothing and must not be used. */
void *arena_take(struct arena *arena, size_t size);

/* The same, cleared; only of an arena of the host. */
void *arena_take_zeroed(struct arena *arena, size_t size);

/* A copy of a string that lives as long as the arena, one of the host. */
char *arena_copy_string(struct arena *arena, const char *string);

/* Where the arena stands, and back to there: pieces taken since the mark are gone. */
size_t arena_mark(const struct arena *arena);
void arena_release(struct arena *arena, size_t mark);

/* An arena in the bytes between two marks of one of the host, for use while these are nobody's; it
 * is not to be freed. Over a source: an empty one. */
struct arena arena_lend(const struct arena *arena, size_t from, size_t to);

/* Whether size bytes are left, in an arena that nothing backs but what it has. */
bool arena_has_room(const struct arena *arena, size_t size);

#endif
