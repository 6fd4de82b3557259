/* Open addressing with linear probing over numbers; the strings lie in one buffer. */
#include "text/subword/strings.h"

#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { FIRST_CAPACITY = 64 };

struct strings_item {
    size_t start; /* in text */
    uint32_t size;
    uint32_t hash; /* low bits of the string's hash */
};

static uint32_t hash_of(const char *bytes, size_t size)
{
    return (uint32_t)XXH3_64bits(bytes, size);
}

/* The slot that holds the string, or the free one where it belongs. */
static size_t find_slot(const struct strings *strings, const char *bytes, size_t size,
                        uint32_t hash)
{
    size_t slot = hash & (strings->n_slots - 1);
    for (;; slot = (slot + 1) & (strings->n_slots - 1)) {
        const int32_t number = strings->slots[slot];
        if (number < 0)
            return slot;
        const struct strings_item *item = &strings->items[number];
        if (item->hash == hash && item->size == size &&
            memcmp(strings->text.data + item->start, bytes, size) == 0)
            return slot;
    }
}

/* Twice the room; slots are half full at most. */
static enum status grow(struct strings *strings)
{
    if (strings->capacity > INT32_MAX / 2)
        return status_set(STATUS_MEMORY, "more than %d different strings", strings->capacity);
    const int32_t capacity = strings->capacity ? 2 * strings->capacity : FIRST_CAPACITY;
    const size_t n_slots = 2 * (size_t)capacity;
    struct strings_item *items = realloc(strings->items, (size_t)capacity * sizeof *strings->items);
    if (items != NULL)
        strings->items = items;
    int32_t *slots = malloc(n_slots * sizeof *slots);
    if (items == NULL || slots == NULL) {
        free(slots);
        return status_set(STATUS_MEMORY, "no memory for %d strings", capacity);
    }
    memset(slots, 0xFF, n_slots * sizeof *slots);
    for (int32_t number = 0; number < strings->size; number++) {
        size_t slot = strings->items[number].hash & (n_slots - 1);
        while (slots[slot] >= 0)
            slot = (slot + 1) & (n_slots - 1);
        slots[slot] = number;
    }
    free(strings->slots);
    strings->slots = slots;
    strings->n_slots = n_slots;
    strings->capacity = capacity;
    return STATUS_OK;
}

enum status strings_add(struct strings *strings, const char *bytes, size_t size, int32_t *number)
{
    enum status status = STATUS_OK;
    if (size > UINT32_MAX)
        return status_set(STATUS_MEMORY, "a string of %zu bytes is too long", size);
    if (strings->size == strings->capacity && (status = grow(strings)) < 0)
        return status;
    const uint32_t hash = hash_of(bytes, size);
    const size_t slot = find_slot(strings, bytes, size, hash);
    if (strings->slots[slot] < 0) {
        const size_t start = strings->text.size;
        if ((status = buffer_append(&strings->text, bytes, size)) < 0)
            return status;
        strings->items[strings->size] = (struct strings_item){start, (uint32_t)size, hash};
        strings->slots[slot] = strings->size++;
    }
    *number = strings->slots[slot];
    return STATUS_OK;
}

int32_t strings_find(const struct strings *strings, const char *bytes, size_t size)
{
    if (strings->size == 0)
        return -1;
    return strings->slots[find_slot(strings, bytes, size, hash_of(bytes, size))];
}

const char *strings_get(const struct strings *strings, int32_t number, size_t *size)
{
    CHECK(number >= 0 && number < strings->size, "string %d of %d", number, strings->size);
    *size = strings->items[number].size;
    return strings->text.data + strings->items[number].start;
}

int strings_compare(const struct strings *strings, int32_t left, int32_t right)
{
    size_t left_size = 0, right_size = 0;
    const char *left_bytes = strings_get(strings, left, &left_size);
    const char *right_bytes = strings_get(strings, right, &right_size);
    const size_t common = left_size < right_size ? left_size : right_size;
    const int order = memcmp(left_bytes, right_bytes, common);
    if (order != 0)
        return order;
    return (left_size > right_size) - (left_size < right_size);
}

void strings_free(struct strings *strings)
{
    buffer_free(&strings->text);
    free(strings->items);
    free(strings->slots);
    *strings = (struct strings){0};
}
