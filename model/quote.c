/* Quoting for messages. */
#include "model/quote.h"

#include <stdio.h>
#include <string.h>

#include "text/utf8.h"

const char *quote(const char *text, char quoted[QUOTE_BYTES])
{
    static const char cut[] = "...";
    enum { LONGEST_PIECE = 4 };
    size_t used = 0;
    while (*text) {
        if (used + LONGEST_PIECE + sizeof cut > QUOTE_BYTES) {
            memcpy(quoted + used, cut, sizeof cut - 1);
            used += sizeof cut - 1;
            break;
        }
        size_t length = 0;
        bool is_valid = false;
        const uint32_t code =
            utf8_next_checked(text, strnlen(text, UTF8_MAX_BYTES), &length, &is_valid);
        if (!is_valid || code < 0x20 || (code >= 0x7F && code < 0xA0)) {
            used += (size_t)snprintf(quoted + used, LONGEST_PIECE + 1, "\\x%02X",
                                     (unsigned)(unsigned char)*text);
            text++;
        } else {
            memcpy(quoted + used, text, length);
            used += length;
            text += length;
        }
    }
    quoted[used] = '\0';
    return quoted;
}
