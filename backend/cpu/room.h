/* Memory that a call leaves to the next one: it grows to what the largest takes, and stays. */
#ifndef MIXT_BACKEND_CPU_ROOM_H
#define MIXT_BACKEND_CPU_ROOM_H

#include <stddef.h>
#include <stdlib.h>

#include "base/arena.h"

struct room {
    char *memory; /* owned */
    size_t size_bytes;
};

/* At least size_bytes, undefined, aligned to a cache line; until the next call. NULL when there is
 * none, and then the room is empty. A quarter more is taken, so that sizes that rise slowly are
 * served by few growths. */
static inline void *room_take(struct room *room, size_t size_bytes)
{
    if (size_bytes <= room->size_bytes && room->memory)
        return room->memory;
    const size_t lines = (size_bytes + size_bytes / 4) / ARENA_ALIGNMENT + 1;
    free(room->memory);
    room->memory = aligned_alloc(ARENA_ALIGNMENT, lines * ARENA_ALIGNMENT);
    room->size_bytes = room->memory ? lines * ARENA_ALIGNMENT : 0;
    return room->memory;
}

static inline void room_free(struct room *room)
{
    free(room->memory);
    *room = (struct room){0};
}

#endif
