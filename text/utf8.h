/* UTF-8: walk, write, validate and repair.
 *
 * Valid is what the Unicode standard (chapter 3, table 3-7) calls well-formed: no overlong forms,
 * no surrogates, nothing above U+10FFFF. What is not valid is cut into maximal bad subparts: the
 * longest start of a well-formed sequence, or one byte where there is none; each of them stands
 * for one U+FFFD, as the standard recommends and as ICU and Python do. */
#ifndef MIXT_TEXT_UTF8_H
#define MIXT_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

enum {
    UTF8_REPLACEMENT = 0xFFFD,
    UTF8_MAX_BYTES = 4 /* longest encoded code point */
};

/* Reads the code point at bytes[*offset] and moves *offset behind it.
 *
 * bytes   in     [size]  need not end with NUL
 * offset  inout  < size
 *
 * A maximal bad subpart reads as UTF8_REPLACEMENT. Always moves by 1 to 4 bytes. */
uint32_t utf8_next(const char *bytes, size_t size, size_t *offset);

/* The same, and tells a bad subpart (*is_valid false) from a written U+FFFD. */
uint32_t utf8_next_checked(const char *bytes, size_t size, size_t *offset, bool *is_valid);

/* Writes a code point as 1 to 4 bytes and returns how many. One that has no UTF-8 form (a surrogate
 * or one above U+10FFFF) is written as UTF8_REPLACEMENT. */
size_t utf8_write(char bytes[UTF8_MAX_BYTES], uint32_t code_point);

/* Appends a code point as utf8_write() does. STATUS_MEMORY. */
enum status utf8_append(struct buffer *buffer, uint32_t code_point) STATUS_CHECKED;

/* Bytes at the start that are valid UTF-8: size when all are. */
size_t utf8_valid_prefix(const char *bytes, size_t size);

/* Code points of the text, each bad subpart counted as one. */
size_t utf8_length(const char *bytes, size_t size);

/* Appends the text with U+FFFD for each maximal bad subpart, and adds their number to *bad.
 * bytes must not point into buffer. STATUS_MEMORY. */
enum status utf8_repair(struct buffer *buffer, const char *bytes, size_t size,
                        size_t *bad) STATUS_CHECKED;

#endif
