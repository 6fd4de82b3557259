#include "tools/bleu/color.h"

#include <ctype.h>
#include <string.h>

enum status color_append(struct buffer *buffer, const char *text, enum color color, bool is_colored)
{
    if (!is_colored)
        return buffer_append_string(buffer, text);
    return buffer_printf(buffer, "\033[%dm%s\033[0m", (int)color, text);
}

/* Bytes of the code at the start of a text that ends with NUL; 0: none. */
static size_t code_length(const char *text)
{
    if (text[0] != '\033' || text[1] != '[')
        return 0;
    const size_t size = 2 + strspn(text + 2, "0123456789;");
    return isalpha((unsigned char)text[size]) ? size + 1 : 0;
}

void color_remove(struct buffer *buffer)
{
    size_t size = 0;
    for (size_t i = 0; i < buffer->size;) {
        const size_t length = code_length(buffer->data + i);
        if (length == 0)
            buffer->data[size++] = buffer->data[i];
        i += length == 0 ? 1 : length;
    }
    buffer->size = size;
    if (buffer->data != NULL)
        buffer->data[size] = '\0';
}
