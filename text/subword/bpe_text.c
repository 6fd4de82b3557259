/* Byte patterns of white space in UTF-8, found without decoding. */
#include "text/subword/bpe_text.h"

#include <string.h>

enum { MAX_DIGITS = 15 };

size_t bpe_character_bytes(const char *bytes, size_t size, bool is_bytes)
{
    const unsigned char lead = (unsigned char)bytes[0];
    if (is_bytes || lead < 0xC0)
        return 1;
    const size_t wanted = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    return wanted < size ? wanted : size;
}

static bool starts_with(const char *bytes, size_t size, const char *text)
{
    const size_t length = strlen(text);
    return size >= length && memcmp(bytes, text, length) == 0;
}

size_t bpe_line_end_bytes(const char *bytes, size_t size)
{
    if (size == 0)
        return 0;
    const unsigned char first = (unsigned char)bytes[0];
    if ((first >= 0x0B && first <= 0x0D) || (first >= 0x1C && first <= 0x1E))
        return 1;
    if (first == 0xC2 && starts_with(bytes, size, "\xC2\x85"))
        return 2;
    if (first == 0xE2 && size >= 3 && bytes[1] == '\x80' &&
        (bytes[2] == '\xA8' || bytes[2] == '\xA9'))
        return 3;
    return 0;
}

size_t bpe_line_bytes(const char *bytes, size_t size)
{
    /* the first bytes of line ends */
    static const bool may_end[256] = {
        [0x0B] = true, [0x0C] = true, [0x0D] = true, [0x1C] = true,
        [0x1D] = true, [0x1E] = true, [0xC2] = true, [0xE2] = true,
    };
    for (size_t i = 0; i < size; i++) {
        if (!may_end[(unsigned char)bytes[i]])
            continue;
        const size_t length = bpe_line_end_bytes(bytes + i, size - i);
        if (length > 0)
            return i + length;
    }
    return size;
}

size_t bpe_space_bytes(const char *bytes, size_t size, bool is_bytes)
{
    const unsigned char first = size > 0 ? (unsigned char)bytes[0] : 'x';
    if (first == ' ' || (first >= 0x09 && first <= 0x0D))
        return 1;
    if (is_bytes)
        return 0;
    if (first >= 0x1C && first <= 0x1F)
        return 1;
    if (first == 0xC2 && size >= 2 && (bytes[1] == '\x85' || bytes[1] == '\xA0'))
        return 2;
    if (first < 0xE1 || first > 0xE3 || size < 3)
        return 0;
    if (starts_with(bytes, size, "\xE1\x9A\x80") || starts_with(bytes, size, "\xE2\x81\x9F") ||
        starts_with(bytes, size, "\xE3\x80\x80"))
        return 3;
    const unsigned char last = (unsigned char)bytes[2];
    const bool is_general =
        first == 0xE2 && bytes[1] == '\x80' &&
        ((last >= 0x80 && last <= 0x8A) || last == 0xA8 || last == 0xA9 || last == 0xAF);
    return is_general ? 3 : 0;
}

bool bpe_has_space(const char *bytes, size_t size, bool is_bytes)
{
    for (size_t i = 0; i < size; i++) {
        if (bpe_space_bytes(bytes + i, size - i, is_bytes) > 0)
            return true;
    }
    return false;
}

bool bpe_ends_with_space(const char *bytes, size_t size, bool is_bytes)
{
    for (size_t length = 1; length <= 3 && length <= size; length++) {
        if (bpe_space_bytes(bytes + size - length, length, is_bytes) == length)
            return true;
    }
    return false;
}

static bool is_stripped(char byte)
{
    return byte == ' ' || byte == '\r' || byte == '\n';
}

void bpe_strip(const char **bytes, size_t *size)
{
    while (*size > 0 && is_stripped((*bytes)[*size - 1]))
        --*size;
    while (*size > 0 && is_stripped(**bytes)) {
        ++*bytes;
        --*size;
    }
}

static bool read_count(const char *digits, size_t size, int64_t *count)
{
    const bool has_sign = size > 0 && (*digits == '-' || *digits == '+');
    const bool is_negative = has_sign && *digits == '-';
    int64_t number = 0;
    if (has_sign) {
        digits++;
        size--;
    }
    if (size == 0 || size > MAX_DIGITS)
        return false;
    for (size_t i = 0; i < size; i++) {
        if (digits[i] < '0' || digits[i] > '9')
            return false;
        number = 10 * number + (digits[i] - '0');
    }
    *count = is_negative ? -number : number;
    return true;
}

bool bpe_read_entry(const char *bytes, size_t size, const char **word, size_t *word_size,
                    int64_t *count)
{
    bpe_strip(&bytes, &size);
    const char *space = size > 0 ? memchr(bytes, ' ', size) : NULL;
    if (space == NULL)
        return false;
    const size_t length = (size_t)(space - bytes);
    if (!read_count(space + 1, size - length - 1, count))
        return false;
    *word = bytes;
    *word_size = length;
    return true;
}
