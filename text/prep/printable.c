/* Names and the like for messages. */
#include "text/prep/printable.h"

#include <stdbool.h>
#include <string.h>

#include "text/utf8.h"

const char *printable(char shown[PRINTABLE_BYTES], const char *text)
{
    static const char dots[] = "...";
    const size_t size = strlen(text), room = PRINTABLE_BYTES - sizeof dots;
    size_t used = 0;
    for (size_t offset = 0; offset < size;) {
        bool is_valid = true;
        const size_t start = offset;
        const uint32_t code = utf8_next_checked(text, size, &offset, &is_valid);
        const bool is_shown = is_valid && code >= 0x20 && (code < 0x7F || code > 0x9F) &&
                              code != 0x2028 && code != 0x2029;
        const size_t length = is_shown ? offset - start : 1;
        if (used + length > room) {
            memcpy(shown + used, dots, sizeof dots);
            return shown;
        }
        memcpy(shown + used, is_shown ? text + start : "?", length);
        used += length;
    }
    shown[used] = '\0';
    return shown;
}
