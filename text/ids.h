/* A growing run of piece ids. */
#ifndef MIXT_TEXT_IDS_H
#define MIXT_TEXT_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct ids {
    int32_t *data; /* owned; NULL when never used */
    size_t size;   /* ids in use */
    size_t capacity;
};

/* Makes room for size more ids without using them; STATUS_MEMORY, with the run as it was. */
enum status ids_reserve(struct ids *ids, size_t size) STATUS_CHECKED;

/* Appends; STATUS_MEMORY, with the run as it was. more must not point into ids. */
enum status ids_append(struct ids *ids, const int32_t *more, size_t size) STATUS_CHECKED;
enum status ids_push(struct ids *ids, int32_t id) STATUS_CHECKED;

/* Empties, and keeps the memory. */
void ids_clear(struct ids *ids);

/* Gives the memory back and zeroes the run; a zeroed run may be freed. */
void ids_free(struct ids *ids);

#endif
