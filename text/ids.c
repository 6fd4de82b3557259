/* Growing runs of piece ids. */
#include "text/ids.h"

#include <stdlib.h>
#include <string.h>

enum status ids_reserve(struct ids *ids, size_t size)
{
    if (size <= ids->capacity - ids->size)
        return STATUS_OK;
    if (size > SIZE_MAX / sizeof *ids->data / 4 - ids->size)
        return status_set(STATUS_MEMORY, "%zu piece ids cannot grow by %zu", ids->size, size);
    size_t capacity = ids->capacity + ids->capacity / 2 + 64;
    if (capacity < ids->size + size)
        capacity = ids->size + size;
    int32_t *data = realloc(ids->data, capacity * sizeof *data);
    if (!data)
        return status_set(STATUS_MEMORY, "no memory for %zu piece ids", capacity);
    ids->data = data;
    ids->capacity = capacity;
    return STATUS_OK;
}

enum status ids_append(struct ids *ids, const int32_t *more, size_t size)
{
    const enum status status = ids_reserve(ids, size);
    if (status < 0)
        return status;
    if (size)
        memcpy(ids->data + ids->size, more, size * sizeof *more);
    ids->size += size;
    return STATUS_OK;
}

enum status ids_push(struct ids *ids, int32_t id)
{
    return ids_append(ids, &id, 1);
}

void ids_clear(struct ids *ids)
{
    ids->size = 0;
}

void ids_free(struct ids *ids)
{
    free(ids->data);
    *ids = (struct ids){0};
}
