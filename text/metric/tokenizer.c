/* White space, and the tokenizers that know nothing else. */
#include "text/metric/tokenizer.h"

#include "text/metric/tokenizer_writer.h"
#include "text/utf8.h"

static bool is_space_3(unsigned char lead, unsigned char second, unsigned char third)
{
    if (lead == 0xE1)
        return second == 0x9A && third == 0x80; /* U+1680 */
    if (lead == 0xE3)
        return second == 0x80 && third == 0x80; /* U+3000 */
    if (second == 0x80)
        return (third >= 0x80 && third <= 0x8A) || third == 0xA8 || third == 0xA9 || third == 0xAF;
    return second == 0x81 && third == 0x9F; /* U+205F */
}

size_t tokenizer_space_length(const char *bytes, size_t size)
{
    if (size == 0)
        return 0;
    const unsigned char lead = (unsigned char)bytes[0];
    if (lead <= 0x20)
        return lead == 0x20 || (lead >= 0x09 && lead <= 0x0D) || lead >= 0x1C ? 1 : 0;
    if (lead < 0xC2 || lead > 0xE3)
        return 0;
    const unsigned char second = size > 1 ? (unsigned char)bytes[1] : 0;
    if (lead == 0xC2)
        return second == 0x85 || second == 0xA0 ? 2 : 0;
    if (lead < 0xE1 || size < 3)
        return 0;
    return is_space_3(lead, second, (unsigned char)bytes[2]) ? 3 : 0;
}

size_t tokenizer_strip_end(const char *line, size_t size)
{
    while (size > 0) {
        size_t last = size - 1;
        while (last > 0 && size - last < 3 && ((unsigned char)line[last] & 0xC0) == 0x80)
            last--;
        const size_t space = tokenizer_space_length(line + last, size - last);
        if (space == 0 || space != size - last)
            break;
        size = last;
    }
    return size;
}

enum status tokenizer_none(struct buffer *buffer, const char *line, size_t size)
{
    struct writer writer;
    const enum status code = writer_start(&writer, buffer, size);
    if (code < 0)
        return code;
    for (size_t i = 0; i < size;) {
        const size_t space = tokenizer_space_length(line + i, size - i);
        if (space > 0)
            writer.is_apart = true;
        else
            writer_add(&writer, line + i, 1);
        i += space > 0 ? space : 1;
    }
    writer_finish(&writer, buffer);
    return STATUS_OK;
}

enum status tokenizer_char(struct buffer *buffer, const char *line, size_t size)
{
    struct writer writer;
    const enum status code = writer_start(&writer, buffer, size);
    if (code < 0)
        return code;
    for (size_t i = 0; i < size;) {
        const size_t space = tokenizer_space_length(line + i, size - i);
        const size_t start = i;
        if (space > 0) {
            i += space;
            continue;
        }
        utf8_next(line, size, &i);
        writer_add_alone(&writer, line + start, i - start);
    }
    writer_finish(&writer, buffer);
    return STATUS_OK;
}
