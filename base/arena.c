/* Arenas over reserved address ranges. */
#include "base/arena.h"

#include <errno.h>
#include <stdint.h>
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

void arena_free(struct arena *arena)
{
    if (arena->memory)
        munmap(arena->memory, arena->capacity);
    *arena = (struct arena){0};
}

void *arena_take(struct arena *arena, size_t size)
{
    const size_t padded = (size + ARENA_ALIGNMENT - 1) / ARENA_ALIGNMENT * ARENA_ALIGNMENT;
    CHECK(padded >= size && padded <= arena->capacity - arena->used,
          "arena of %zu bytes has %zu left, %zu wanted", arena->capacity,
          arena->capacity - arena->used, size);
    void *piece = arena->memory + arena->used;
    arena->used += padded;
    if (arena->used > arena->high_mark)
        arena->high_mark = arena->used;
    return piece;
}

void *arena_take_zeroed(struct arena *arena, size_t size)
{
    return memset(arena_take(arena, size), 0, size);
}

char *arena_copy_string(struct arena *arena, const char *string)
{
    const size_t size = strlen(string) + 1;
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
