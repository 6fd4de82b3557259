/* UTF-8 by the table of well-formed sequences: the lead byte gives the length and the range of the
 * second byte, all later bytes are 80..BF. */
#include "text/utf8.h"

#include <string.h>

/* What a lead byte asks for; length 0 where it starts no sequence. */
struct lead {
    unsigned length;
    uint8_t second_low, second_high; /* range of the second byte */
};

static struct lead lead_of(uint8_t byte)
{
    if (byte < 0x80)
        return (struct lead){1, 0, 0};
    if (byte < 0xC2) /* a continuation byte, or the start of an overlong pair */
        return (struct lead){0, 0, 0};
    if (byte < 0xE0)
        return (struct lead){2, 0x80, 0xBF};
    if (byte < 0xF0) /* E0: no overlong forms; ED: no surrogates */
        return (struct lead){3, byte == 0xE0 ? 0xA0 : 0x80, byte == 0xED ? 0x9F : 0xBF};
    if (byte < 0xF5) /* F0: no overlong forms; F4: nothing above U+10FFFF */
        return (struct lead){4, byte == 0xF0 ? 0x90 : 0x80, byte == 0xF4 ? 0x8F : 0xBF};
    return (struct lead){0, 0, 0};
}

uint32_t utf8_next_checked(const char *bytes, size_t size, size_t *offset, bool *is_valid)
{
    static const uint8_t lead_mask[UTF8_MAX_BYTES + 1] = {0, 0x7F, 0x1F, 0x0F, 0x07};
    CHECK(*offset < size, "offset %zu of %zu bytes", *offset, size);
    const uint8_t *cursor = (const uint8_t *)bytes + *offset;
    const size_t left = size - *offset;
    const struct lead lead = lead_of(cursor[0]);
    *is_valid = false;
    if (lead.length == 0) {
        *offset += 1;
        return UTF8_REPLACEMENT;
    }
    uint32_t code_point = cursor[0] & lead_mask[lead.length];
    for (unsigned i = 1; i < lead.length; i++) {
        const uint8_t low = i == 1 ? lead.second_low : 0x80;
        const uint8_t high = i == 1 ? lead.second_high : 0xBF;
        if (i >= left || cursor[i] < low || cursor[i] > high) {
            *offset += i;
            return UTF8_REPLACEMENT;
        }
        code_point = code_point << 6 | (cursor[i] & 0x3Fu);
    }
    *is_valid = true;
    *offset += lead.length;
    return code_point;
}

uint32_t utf8_next(const char *bytes, size_t size, size_t *offset)
{
    bool is_valid = false;
    return utf8_next_checked(bytes, size, offset, &is_valid);
}

size_t utf8_write(char bytes[UTF8_MAX_BYTES], uint32_t code_point)
{
    if (code_point > 0x10FFFF || (code_point >= 0xD800 && code_point < 0xE000))
        code_point = UTF8_REPLACEMENT;
    if (code_point < 0x80) {
        bytes[0] = (char)code_point;
        return 1;
    }
    const size_t length = code_point < 0x800 ? 2 : code_point < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        bytes[i] = (char)(0x80 | (code_point & 0x3F));
        code_point >>= 6;
    }
    const uint32_t marks = length == 2 ? 0xC0 : length == 3 ? 0xE0 : 0xF0;
    bytes[0] = (char)(marks | code_point);
    return length;
}

enum status utf8_append(struct buffer *buffer, uint32_t code_point)
{
    char bytes[UTF8_MAX_BYTES];
    return buffer_append(buffer, bytes, utf8_write(bytes, code_point));
}

/* Bytes below 0x80 at the start, eight at a time: most text is mostly such. */
static size_t ascii_prefix(const char *bytes, size_t size)
{
    size_t offset = 0;
    for (; offset + 8 <= size; offset += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + offset, sizeof word);
        if (word & UINT64_C(0x8080808080808080))
            break;
    }
    while (offset < size && (uint8_t)bytes[offset] < 0x80)
        offset++;
    return offset;
}

size_t utf8_valid_prefix(const char *bytes, size_t size)
{
    size_t valid = 0;
    for (;;) {
        valid += ascii_prefix(bytes + valid, size - valid);
        if (valid >= size)
            return size;
        size_t next = valid;
        bool is_valid = false;
        utf8_next_checked(bytes, size, &next, &is_valid);
        if (!is_valid)
            return valid;
        valid = next;
    }
}

size_t utf8_length(const char *bytes, size_t size)
{
    size_t length = 0;
    for (size_t offset = 0; offset < size; length++)
        utf8_next(bytes, size, &offset);
    return length;
}

enum status utf8_repair(struct buffer *buffer, const char *bytes, size_t size, size_t *bad)
{
    size_t offset = 0;
    for (;;) {
        const size_t valid = utf8_valid_prefix(bytes + offset, size - offset);
        enum status status = buffer_append(buffer, bytes + offset, valid);
        if (status < 0)
            return status;
        offset += valid;
        if (offset >= size)
            return STATUS_OK;
        utf8_next(bytes, size, &offset);
        *bad += 1;
        if ((status = utf8_append(buffer, UTF8_REPLACEMENT)) < 0)
            return status;
    }
}
