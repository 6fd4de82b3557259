/* Growing byte buffers. */
#include "base/buffer.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum status buffer_reserve(struct buffer *buffer, size_t size)
{
    if (size >= SIZE_MAX / 2 - buffer->size)
        return status_set(STATUS_MEMORY, "a buffer of %zu bytes cannot grow by %zu", buffer->size,
                          size);
    const size_t wanted = buffer->size + size + 1;
    if (wanted <= buffer->capacity)
        return STATUS_OK;
    size_t capacity = buffer->capacity ? buffer->capacity : 64;
    while (capacity < wanted)
        capacity += capacity / 2;
    char *data = realloc(buffer->data, capacity);
    if (!data)
        return status_set(STATUS_MEMORY, "no memory for %zu bytes", capacity);
    buffer->data = data;
    buffer->capacity = capacity;
    return STATUS_OK;
}

enum status buffer_append(struct buffer *buffer, const void *bytes, size_t size)
{
    const enum status status = buffer_reserve(buffer, size);
    if (status < 0)
        return status;
    if (size)
        memcpy(buffer->data + buffer->size, bytes, size);
    buffer->size += size;
    buffer->data[buffer->size] = '\0';
    return STATUS_OK;
}

enum status buffer_append_string(struct buffer *buffer, const char *string)
{
    return buffer_append(buffer, string, strlen(string));
}

enum status buffer_printf(struct buffer *buffer, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    const int length = vsnprintf(NULL, 0, format, arguments);
    va_end(arguments);
    CHECK(length >= 0, "format '%s' is not valid", format);
    const enum status status = buffer_reserve(buffer, (size_t)length);
    if (status < 0)
        return status;
    va_start(arguments, format);
    vsnprintf(buffer->data + buffer->size, (size_t)length + 1, format, arguments);
    va_end(arguments);
    buffer->size += (size_t)length;
    return STATUS_OK;
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
    if (buffer->data)
        buffer->data[0] = '\0';
}

void buffer_free(struct buffer *buffer)
{
    free(buffer->data);
    *buffer = (struct buffer){0};
}
