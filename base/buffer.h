/* A growing run of bytes: for lines, messages and files whose length is not known before. */
#ifndef MIXT_BASE_BUFFER_H
#define MIXT_BASE_BUFFER_H

#include <stddef.h>

#include "base/status.h"

struct buffer {
    char *data;  /* owned; NULL when empty and never used; always one spare byte past size */
    size_t size; /* bytes in use */
    size_t capacity;
};

/* All append calls keep data[size] == '\0' and return STATUS_MEMORY, with the buffer as it was,
 * when it cannot grow. */
enum status buffer_append(struct buffer *buffer, const void *bytes, size_t size) STATUS_CHECKED;
enum status buffer_append_string(struct buffer *buffer, const char *string) STATUS_CHECKED;
enum status buffer_printf(struct buffer *buffer, const char *format, ...) STATUS_CHECKED
    __attribute__((format(printf, 2, 3)));

/* Makes room for size more bytes without using them. */
enum status buffer_reserve(struct buffer *buffer, size_t size) STATUS_CHECKED;

/* Empties, and keeps the memory. */
void buffer_clear(struct buffer *buffer);

/* Gives the memory back and zeroes the buffer; a zeroed buffer may be freed. */
void buffer_free(struct buffer *buffer);

#endif
