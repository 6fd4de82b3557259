/* Copies in a ring. */
#include "backend/cpu/copies.h"

/* Values that are copied again after so few others are read in a loop, with them: a step of a
 * decoder reads no more weights, a pass over a model most often does. */
enum { LOOP = 8 };

void copies_free(struct copies *copies)
{
    while (copies->first)
        copies_drop(copies->first);
    arena_free(&copies->arena);
    *copies = (struct copies){0};
}

/* Takes a copy off the list. */
static void leave(struct copy *copy)
{
    struct copy **link = &copy->home->first;
    while (*link != copy)
        link = &(*link)->next;
    *link = copy->next;
    copy->home = NULL;
}

/* Makes room at copies->at. */
static void make_room(struct copies *copies, size_t size_bytes)
{
    struct copy *next;
    for (struct copy *copy = copies->first; copy; copy = next) {
        next = copy->next;
        if (copy->start < copies->at + size_bytes && copies->at < copy->start + copy->size_bytes)
            leave(copy);
    }
}

void *copies_make(struct copies *copies, struct copy *copy, size_t size_bytes)
{
    struct arena *arena = &copies->arena;
    if (!arena->memory && arena_init(arena, 0) < 0)
        return NULL;
    const bool is_loop = copy->made > 0 && copies->n_made - copy->made < LOOP;
    const size_t had = arena_mark(arena), wanted = is_loop ? had + size_bytes : size_bytes;
    if (wanted > had)
        (void)arena_take(arena, wanted - had);
    if (copies->at + size_bytes > arena_mark(arena))
        copies->at = 0;
    make_room(copies, size_bytes);
    copy->home = copies;
    copy->next = copies->first;
    copies->first = copy;
    copy->start = copies->at;
    copy->size_bytes = size_bytes;
    copy->made = ++copies->n_made;
    copies->at += size_bytes;
    return copies_find(copies, copy);
}

void *copies_find(const struct copies *copies, const struct copy *copy)
{
    return copies->arena.memory + copy->start;
}

void copies_drop(struct copy *copy)
{
    if (copy->home)
        leave(copy);
    *copy = (struct copy){0};
}
