/* A set of byte strings that numbers them 0, 1, ... as they come. */
#ifndef MIXT_TEXT_SUBWORD_STRINGS_H
#define MIXT_TEXT_SUBWORD_STRINGS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

struct strings_item;

/* A zeroed set is empty. */
struct strings {
    struct buffer text;         /* all strings, one behind the other */
    struct strings_item *items; /* owned, [capacity] by number */
    int32_t *slots;             /* owned, [n_slots] numbers by hash; -1: free */
    size_t n_slots;             /* 0 or a power of two */
    int32_t size;               /* strings in the set */
    int32_t capacity;
};

/* The number of a string, which is added where it is new; it may hold any bytes and be empty.
 * bytes must not point into the set. STATUS_MEMORY, with the set as it was, also when there are
 * 2^31 strings or one is 4 GiB long. */
enum status strings_add(struct strings *strings, const char *bytes, size_t size,
                        int32_t *number) STATUS_CHECKED;

/* The number, or -1 where the set does not have it. */
int32_t strings_find(const struct strings *strings, const char *bytes, size_t size);

/* The string of a number in 0..size-1; borrowed until the next is added. No NUL behind it. */
const char *strings_get(const struct strings *strings, int32_t number, size_t *size);

/* Order of two strings of the set by their bytes, which for UTF-8 is that of code points: negative,
 * 0 or positive as in memcmp(). */
int strings_compare(const struct strings *strings, int32_t left, int32_t right);

/* Gives the memory back and zeroes the set; a zeroed set may be freed. */
void strings_free(struct strings *strings);

#endif
