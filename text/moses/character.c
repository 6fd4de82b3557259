/* Properties come from ICU, whatever its version; characters younger than Unicode 14 count as
 * unassigned, and the few that Unicode 15 changed are put back, so that the output does not depend
 * on it. */
#include "text/moses/character.h"

#include <string.h>

#include <unicode/uchar.h>

#include "text/utf8.h"

enum { NEWEST_UNICODE = 14, DOTTED_CAPITAL_I = 0x130 };

/* What Unicode 15 says of characters that were there before, and 14 does not. */
static const struct {
    uint32_t first, last;
    uint8_t classes;
} news[] = {
    {0x0C04, 0x0C04, CHARACTER_ALPHA | CHARACTER_ALNUM},
    {0x0F82, 0x0F83, CHARACTER_ALPHA | CHARACTER_ALNUM},
    {0x10FC, 0x10FC, CHARACTER_LOWER},
    {0xA7F2, 0xA7F4, CHARACTER_LOWER},
    {0xAB69, 0xAB69, CHARACTER_LOWER},
    {0x11080, 0x11081, CHARACTER_ALPHA | CHARACTER_ALNUM},
};

static bool is_known(UChar32 code_point)
{
    UVersionInfo age;
    u_charAge(code_point, age);
    return age[0] > 0 && (age[0] < NEWEST_UNICODE || (age[0] == NEWEST_UNICODE && age[1] == 0));
}

uint8_t character_find(uint32_t code_point)
{
    const UChar32 c = (UChar32)code_point;
    if (!is_known(c))
        return CHARACTER_OTHER;
    const uint32_t category = U_MASK(u_charType(c));
    unsigned classes = 0;
    if (u_isUAlphabetic(c))
        classes |= CHARACTER_ALPHA | CHARACTER_ALNUM;
    if (category & U_GC_ND_MASK)
        classes |= CHARACTER_ALNUM;
    if (category & U_GC_N_MASK)
        classes |= CHARACTER_NUMBER;
    if (u_isULowercase(c))
        classes |= CHARACTER_LOWER;
    if (u_isUWhiteSpace(c))
        classes |= CHARACTER_SPACE;
    if (category & U_GC_SC_MASK)
        classes |= CHARACTER_CURRENCY;
    if (category & U_GC_C_MASK)
        classes |= CHARACTER_OTHER;
    for (size_t i = 0; i < sizeof news / sizeof news[0]; i++) {
        if (code_point >= news[i].first && code_point <= news[i].last)
            classes &= ~(unsigned)news[i].classes;
    }
    return (uint8_t)classes;
}

void character_fill(struct character_table *table)
{
    for (uint32_t c = 0; c < CHARACTER_TABLE_SIZE; c++)
        table->classes[c] = character_find(c);
}

uint8_t character_next_wide(const struct character_table *table, const char *text, size_t *offset)
{
    const uint8_t *bytes = (const uint8_t *)text + *offset;
    const uint32_t lead = bytes[0];
    if (lead < 0xE0) {
        *offset += 2;
        return table->classes[(lead & 0x1F) << 6 | (bytes[1] & 0x3Fu)];
    }
    const uint32_t middle = (bytes[1] & 0x3Fu) << 6 | (bytes[2] & 0x3Fu);
    if (lead < 0xF0) {
        *offset += 3;
        return table->classes[(lead & 0x0F) << 12 | middle];
    }
    *offset += 4;
    return character_find((lead & 0x07) << 18 | middle << 6 | (bytes[3] & 0x3Fu));
}

uint8_t character_before(const struct character_table *table, const char *text, size_t offset,
                         size_t *start)
{
    size_t first = offset - 1;
    while (first > 0 && ((uint8_t)text[first] & 0xC0) == 0x80)
        first--;
    *start = first;
    return character_next(table, text, &first);
}

bool character_is_blank(const struct character_table *table, const char *text, size_t size)
{
    for (size_t offset = 0; offset < size;) {
        if (!(character_next(table, text, &offset) & CHARACTER_SPACE))
            return false;
    }
    return true;
}

static size_t write_lowercase(char *bytes, uint32_t code_point)
{
    if (code_point == DOTTED_CAPITAL_I) {
        memcpy(bytes, "i\xCC\x87", 3);
        return 3;
    }
    const UChar32 c = (UChar32)code_point;
    return utf8_write(bytes, is_known(c) ? (uint32_t)u_tolower(c) : code_point);
}

enum status character_lowercase(const char *text, size_t size, struct buffer *output)
{
    /* Two bytes of a capital may give three (U+023A), so one half more at the most. */
    const enum status status = buffer_reserve(output, size + size / 2 + UTF8_MAX_BYTES);
    if (status < 0)
        return status;
    char *to = output->data + output->size;
    for (size_t offset = 0; offset < size;) {
        const char byte = text[offset];
        if ((uint8_t)byte < 0x80) {
            *to++ = byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
            offset++;
        } else {
            to += write_lowercase(to, utf8_next(text, size, &offset));
        }
    }
    *to = '\0';
    output->size = (size_t)(to - output->data);
    return STATUS_OK;
}
