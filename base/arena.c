/* Arenas over reserved address ranges, and over blocks of a source. */
#include "base/arena.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static size_t machine_memory(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES);
    const long page_size = sysconf(_SC_PAGESIZE);
    if (pages <= 0 || page_size <= 0)
        return (size_t)8 << 30;
    return (size_t)pages * (size_t)page_size;
}

enum status arena_init(struct arena *arena, size_t capacity)
{
    *arena = (struct arena){0};
    if (capacity == 0)
        capacity = 4 * machine_memory();
    void *memory = mmap(NULL, capacity, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        (void)status_set(STATUS_MEMORY, "cannot reserve %zu MiB of addresses: %s", capacity >> 20,
                         strerror(errno));
        status_hint("raise or remove the limit on virtual memory (ulimit -v)");
        return STATUS_MEMORY;
    }
    /* Large pages halve the time of walks over gigabytes; a refusal costs only speed. */
    (void)madvise(memory, capacity, MADV_HUGEPAGE);
    *arena = (struct arena){.memory = memory, .capacity = capacity};
    return STATUS_OK;
}

enum { FIRST_BLOCK = 2 << 20 }; /* bytes */

static size_t pad(size_t size, size_t alignment)
{
    return (size + alignment - 1) / alignment * alignment;
}

enum status arena_init_from(struct arena *arena, const struct arena_source *source)
{
    *arena = (struct arena){.source = *source};
    arena->blocks = calloc(ARENA_MAX_BLOCKS, sizeof *arena->blocks);
    return arena->blocks ? STATUS_OK : status_set(STATUS_MEMORY, "no memory for an arena");
}

/* Gives the last block back. */
static void drop_block(struct arena *arena)
{
    const struct arena_block *block = &arena->blocks[--arena->n_blocks];
    arena->source.give(arena->source.context, block->memory, block->size);
    arena->capacity = block->start;
}

void arena_free(struct arena *arena)
{
    if (arena->memory)
        munmap(arena->memory, arena->capacity);
    while (arena->n_blocks > 0)
        drop_block(arena);
    free(arena->blocks);
    *arena = (struct arena){0};
}

/* Adds a block of at least size bytes; NULL without memory. Blocks that nothing lies in, and that
 * were too small, go back first. */
static struct arena_block *add_block(struct arena *arena, size_t size)
{
    while (arena->n_blocks > 0 && arena->blocks[arena->n_blocks - 1].start >= arena->used)
        drop_block(arena);
    const size_t wanted = arena->capacity / 4 > FIRST_BLOCK ? arena->capacity / 4 : FIRST_BLOCK;
    const size_t aligned = pad(wanted, ARENA_SOURCE_ALIGNMENT);
    struct arena_block block = {.start = arena->capacity, .size = aligned > size ? aligned : size};
    CHECK(arena->n_blocks < ARENA_MAX_BLOCKS, "an arena of %d blocks", arena->n_blocks);
    block.memory = arena->source.take(arena->source.context, block.size);
    if (!block.memory)
        return NULL;
    arena->capacity += block.size;
    arena->blocks[arena->n_blocks] = block;
    return &arena->blocks[arena->n_blocks++];
}

/* The first block, from where the arena stands, with size bytes left; NULL without memory. */
static struct arena_block *find_block(struct arena *arena, size_t size)
{
    for (int i = 0; i < arena->n_blocks; i++) {
        struct arena_block *block = &arena->blocks[i];
        const size_t first = arena->used > block->start ? arena->used : block->start;
        if (first <= block->start + block->size && size <= block->start + block->size - first)
            return block;
    }
    return add_block(arena, size);
}

static void *take_from_source(struct arena *arena, size_t size)
{
    const struct arena_block *block = find_block(arena, size);
    if (!block)
        return (void *)(uintptr_t)ARENA_SOURCE_ALIGNMENT; /* not NULL, which stands for absent */
    if (arena->used < block->start)
        arena->used = block->start;
    void *piece = block->memory + (arena->used - block->start);
    arena->used += size;
    return piece;
}

static void *take_from_host(struct arena *arena, size_t size)
{
    CHECK(size <= arena->capacity - arena->used, "arena of %zu bytes has %zu left, %zu wanted",
          arena->capacity, arena->capacity - arena->used, size);
    void *piece = arena->memory + arena->used;
    arena->used += size;
    return piece;
}

void *arena_take(struct arena *arena, size_t size)
{
    const size_t padded = pad(size, arena->blocks ? ARENA_SOURCE_ALIGNMENT : ARENA_ALIGNMENT);
    CHECK(padded >= size, "%zu bytes wanted", size);
    void *piece = arena->blocks ? take_from_source(arena, padded) : take_from_host(arena, padded);
    if (arena->used > arena->high_mark)
        arena->high_mark = arena->used;
    return piece;
}

void *arena_take_zeroed(struct arena *arena, size_t size)
{
    CHECK(!arena->blocks, "the host clears memory of a source");
    return memset(arena_take(arena, size), 0, size);
}

char *arena_copy_string(struct arena *arena, const char *string)
{
    const size_t size = strlen(string) + 1;
    CHECK(!arena->blocks, "the host writes to memory of a source");
    return memcpy(arena_take(arena, size), string, size);
}

size_t arena_mark(const struct arena *arena)
{
    return arena->used;
}

void arena_release(struct arena *arena, size_t mark)
{
    CHECK(mark <= arena->used, "mark %zu lies above the %zu bytes used", mark, arena->used);
    arena->used = mark;
}

struct arena arena_lend(const struct arena *arena, size_t from, size_t to)
{
    CHECK(from <= to && to <= arena->used, "%zu to %zu of %zu bytes lent", from, to, arena->used);
    if (arena->blocks)
        return (struct arena){0};
    return (struct arena){.memory = arena->memory + from, .capacity = to - from};
}

bool arena_has_room(const struct arena *arena, size_t size)
{
    return arena->capacity - arena->used >= pad(size, ARENA_ALIGNMENT);
}
