/* Perl's classes of characters, as far as the Moses scripts ask for them: Unicode 14, by ICU. */
#ifndef MIXT_TEXT_MOSES_CHARACTER_H
#define MIXT_TEXT_MOSES_CHARACTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum character_class {
    CHARACTER_ALPHA = 1 << 0,    /* \p{Alpha}: letters, numerals like U+2167, many vowel signs */
    CHARACTER_ALNUM = 1 << 1,    /* \p{Alnum}: those, and decimal digits */
    CHARACTER_NUMBER = 1 << 2,   /* \p{N}: digits, numerals, fractions */
    CHARACTER_LOWER = 1 << 3,    /* \p{Lower} */
    CHARACTER_SPACE = 1 << 4,    /* \s */
    CHARACTER_CURRENCY = 1 << 5, /* \p{Sc} */
    CHARACTER_OTHER = 1 << 6     /* \p{C}: controls, formats, private use, unassigned */
};

enum { CHARACTER_TABLE_SIZE = 0x10000 };

/* The classes of the basic plane, so that common text needs no search. */
struct character_table {
    uint8_t classes[CHARACTER_TABLE_SIZE];
};

void character_fill(struct character_table *table);

/* The classes of any code point, from enum character_class. */
uint8_t character_find(uint32_t code_point);

/* The same as character_next() for a character of more than one byte. */
uint8_t character_next_wide(const struct character_table *table, const char *text, size_t *offset);

/* The classes of the character at text[*offset]; moves *offset behind it. text is valid UTF-8. */
static inline uint8_t character_next(const struct character_table *table, const char *text,
                                     size_t *offset)
{
    const uint8_t byte = (uint8_t)text[*offset];
    if (byte >= 0x80)
        return character_next_wide(table, text, offset);
    *offset += 1;
    return table->classes[byte];
}

/* The classes of the character that ends before text[offset], offset > 0; *start is where it
 * begins. */
uint8_t character_before(const struct character_table *table, const char *text, size_t offset,
                         size_t *start);

/* True when all of the text is \s. */
bool character_is_blank(const struct character_table *table, const char *text, size_t size);

/* Appends the text in lower case, each character for itself (as perl's lc: no final sigma, and
 * U+0130 becomes two characters). STATUS_MEMORY. */
enum status character_lowercase(const char *text, size_t size,
                                struct buffer *output) STATUS_CHECKED;

#endif
