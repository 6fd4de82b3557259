/* Writes tokens joined by single spaces; shared by the tokenizers. */
#ifndef MIXT_TEXT_METRIC_TOKENIZER_WRITER_H
#define MIXT_TEXT_METRIC_TOKENIZER_WRITER_H

#include <stdbool.h>
#include <string.h>

#include "base/buffer.h"

/* The tokens as they are written: a space goes in front of a token, not behind it. */
struct writer {
    char *start;
    char *end;
    bool is_apart; /* the next byte starts a token */
};

/* Starts at the end of buffer, which gets room for 2 * size bytes. STATUS_MEMORY. */
static inline enum status writer_start(struct writer *writer, struct buffer *buffer, size_t size)
{
    const enum status code = buffer_reserve(buffer, 2 * size + 1);
    if (code < 0)
        return code;
    writer->start = buffer->data + buffer->size;
    writer->end = writer->start;
    writer->is_apart = false;
    return STATUS_OK;
}

static inline void writer_finish(const struct writer *writer, struct buffer *buffer)
{
    buffer->size += (size_t)(writer->end - writer->start);
    buffer->data[buffer->size] = '\0';
}

/* Writes bytes of a token, or a whole one; size is at least 1. */
static inline void writer_add(struct writer *writer, const char *bytes, size_t size)
{
    if (writer->is_apart && writer->end != writer->start)
        *writer->end++ = ' ';
    writer->is_apart = false;
    for (size_t i = 0; i < size; i++)
        *writer->end++ = bytes[i];
}

static inline void writer_add_alone(struct writer *writer, const char *bytes, size_t size)
{
    writer->is_apart = true;
    writer_add(writer, bytes, size);
    writer->is_apart = true;
}

#endif
