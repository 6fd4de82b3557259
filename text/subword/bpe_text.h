/* What subword-nmt takes for a character, white space and the end of a line.
 *
 * It works either on characters or, with codes made for it, on bytes. Words are what lies between
 * spaces (U+0020), nothing else; a tab is a character of a word. */
#ifndef MIXT_TEXT_SUBWORD_BPE_TEXT_H
#define MIXT_TEXT_SUBWORD_BPE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What ends a word where a text is cut into symbols: part of the last symbol. */
#define BPE_WORD_END "</w>"

enum { BPE_WORD_END_BYTES = 4 };

/* Bytes of the first character of valid UTF-8 (1 in byte mode); size >= 1. */
size_t bpe_character_bytes(const char *bytes, size_t size, bool is_bytes);

/* Bytes of the line end at the start of a text, 0 where there is none: one of those that Python's
 * str.splitlines() knows, U+000B to U+000D, U+001C to U+001E, U+0085, U+2028 and U+2029; but "\n"
 * is none here. Such a character ends a word and stays part of it, except "\r". */
size_t bpe_line_end_bytes(const char *bytes, size_t size);

/* Bytes up to and with the first line end; size where there is none. */
size_t bpe_line_bytes(const char *bytes, size_t size);

/* True where the text holds white space as Python's regular expressions see it: for characters
 * U+0009 to U+000D, U+001C to U+0020, U+0085 and the separators of Unicode; for bytes the ASCII
 * ones without U+001C to U+001F. text is valid UTF-8 unless is_bytes. */
bool bpe_has_space(const char *bytes, size_t size, bool is_bytes);

/* Bytes of such white space at the start of a text, 0 where there is none; and whether some stands
 * at its end. */
size_t bpe_space_bytes(const char *bytes, size_t size, bool is_bytes);
bool bpe_ends_with_space(const char *bytes, size_t size, bool is_bytes);

/* Takes carriage returns, line feeds and spaces off both ends: moves *bytes and lowers *size. */
void bpe_strip(const char **bytes, size_t *size);

/* Reads "word count": exactly one space after bpe_strip(), the count a whole number of at most 15
 * digits, perhaps with a sign. False, with nothing set, where the line is something else. */
bool bpe_read_entry(const char *bytes, size_t size, const char **word, size_t *word_size,
                    int64_t *count);

#endif
