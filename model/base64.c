/* Base64, three bytes to four letters. */
#include "model/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum status base64_encode(const void *bytes, size_t size, struct buffer *text)
{
    const uint8_t *byte = bytes;
    const enum status status = buffer_reserve(text, size / 3 * 4 + 4);
    if (status < 0)
        return status;
    char *target = text->data + text->size;
    for (size_t i = 0; i < size; i += 3) {
        const size_t n = size - i < 3 ? size - i : 3;
        const uint32_t group = (uint32_t)byte[i] << 16 | (n > 1 ? (uint32_t)byte[i + 1] << 8 : 0) |
                               (n > 2 ? byte[i + 2] : 0u);
        for (size_t j = 0; j < 4; j++)
            *target++ = j <= n ? alphabet[group >> (18 - 6 * j) & 63] : '=';
    }
    *target = '\0';
    text->size = (size_t)(target - text->data);
    return STATUS_OK;
}

/* 0..63, or -1 for what is no letter. */
static int letter_value(char letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

enum status base64_decode(const char *text, size_t size, struct buffer *bytes)
{
    enum status status = STATUS_OK;
    if (size % 4 != 0)
        return status_set(STATUS_FORMAT, "no base64: %zu letters are no multiple of 4", size);
    if ((status = buffer_reserve(bytes, size / 4 * 3)) < 0)
        return status;
    const size_t before = bytes->size;
    for (size_t i = 0; i < size; i += 4) {
        size_t n = 4; /* letters before the padding, which only the last group may have */
        if (i + 4 == size && text[i + 3] == '=')
            n = text[i + 2] == '=' ? 2 : 3;
        uint32_t group = 0;
        bool is_good = true;
        for (size_t j = 0; j < 4; j++) {
            const int value = j < n ? letter_value(text[i + j]) : 0;
            is_good = is_good && value >= 0;
            group = group << 6 | ((uint32_t)value & 63);
        }
        if (!is_good || (n == 2 && (group & 0xFFFF)) || (n == 3 && (group & 0xFF))) {
            bytes->size = before;
            bytes->data[before] = '\0';
            return status_set(STATUS_FORMAT, "no base64 at byte %zu", i);
        }
        for (size_t j = 0; j + 1 < n; j++)
            bytes->data[bytes->size++] = (char)(uint8_t)(group >> (16 - 8 * j));
    }
    bytes->data[bytes->size] = '\0';
    return STATUS_OK;
}
