#include "text/metric/lowercase.h"

#include <stdlib.h>

#include <unicode/ucasemap.h>

struct lowercase {
    UCaseMap *map;
};

enum status lowercase_open(struct lowercase **lowercase)
{
    UErrorCode error = U_ZERO_ERROR;
    *lowercase = NULL;
    struct lowercase *made = calloc(1, sizeof *made);
    if (made == NULL)
        return status_set(STATUS_MEMORY, "no memory for lower case");
    made->map = ucasemap_open("", 0, &error); /* "": the rules of no language */
    if (U_FAILURE(error)) {
        lowercase_close(made);
        return status_set(STATUS_FAILED, "cannot load Unicode's lower case: %s",
                          u_errorName(error));
    }
    *lowercase = made;
    return STATUS_OK;
}

void lowercase_close(struct lowercase *lowercase)
{
    if (lowercase == NULL)
        return;
    if (lowercase->map != NULL)
        ucasemap_close(lowercase->map);
    free(lowercase);
}

/* Writes the text up to its first byte outside ASCII; returns how many bytes. */
static size_t lower_ascii(char *lower, const char *bytes, size_t size)
{
    size_t i = 0;
    for (; i < size && (unsigned char)bytes[i] < 0x80; i++)
        lower[i] = bytes[i] >= 'A' && bytes[i] <= 'Z' ? (char)(bytes[i] | 0x20) : bytes[i];
    return i;
}

/* Some letters grow by a half in UTF-8; where that is not enough, ICU says what is. The whole line
 * goes to ICU, since what is in front of a sigma decides what becomes of it. */
enum status lowercase_append(struct lowercase *lowercase, struct buffer *buffer, const char *bytes,
                             size_t size)
{
    size_t room = size + size / 2 + 16;
    for (;;) {
        enum status code = buffer_reserve(buffer, room);
        if (code < 0)
            return code;
        char *lower = buffer->data + buffer->size;
        size_t written = lower_ascii(lower, bytes, size);
        if (written < size) {
            UErrorCode error = U_ZERO_ERROR;
            written = (size_t)ucasemap_utf8ToLower(lowercase->map, lower, (int32_t)room, bytes,
                                                   (int32_t)size, &error);
            if (error == U_BUFFER_OVERFLOW_ERROR && written > room) {
                room = written;
                continue;
            }
            if (U_FAILURE(error))
                return status_set(STATUS_FAILED, "cannot make lower case: %s", u_errorName(error));
        }
        buffer->size += written;
        buffer->data[buffer->size] = '\0';
        return STATUS_OK;
    }
}
