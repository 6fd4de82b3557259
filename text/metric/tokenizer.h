/* The tokenizers of BLEU as sacreBLEU defines them, and its idea of white space.
 *
 * Each appends the tokens of a line to buffer, joined by single spaces, none in front or behind.
 *
 * buffer  inout  not emptied first
 * line    in     [size]  valid UTF-8 without a line end; must not point into buffer
 *
 * STATUS_MEMORY. */
#ifndef MIXT_TEXT_METRIC_TOKENIZER_H
#define MIXT_TEXT_METRIC_TOKENIZER_H

#include <stddef.h>

#include "base/buffer.h"

/* That of mteval-v13a: separates ASCII punctuation and symbols from words, except the apostrophe;
 * full stops and commas unless between digits; hyphens only behind a digit. Nothing outside ASCII
 * is touched, but every Unicode white space separates tokens.
 *
 * First "<skipped>" is deleted, then &quot; &amp; &lt; &gt; are decoded, in that order, so that
 * "&amp;lt;" ends as "<". */
enum status tokenizer_13a(struct buffer *buffer, const char *line, size_t size) STATUS_CHECKED;

/* Separates every Chinese character, and the rest as 13a does, but without entities and without
 * a space thought in front of the line and behind it: ".5" at the start and "5." at the end stay.
 *
 * Chinese is what sacreBLEU takes for it. Its list writes U+20000 in a way that means U+2000, so
 * U+2001-2A6D with all its dashes, quotes, currency signs and arrows belong to it, and nothing
 * above U+FFFF does. */
enum status tokenizer_zh(struct buffer *buffer, const char *line, size_t size) STATUS_CHECKED;

/* That of mteval-v14: separates punctuation of any script unless it stands between numbers or
 * behind one at the end of the line, and every symbol; text/metric/unicode_class.h says what is
 * what. */
enum status tokenizer_intl(struct buffer *buffer, const char *line, size_t size) STATUS_CHECKED;

/* Every character for itself, white space left out. */
enum status tokenizer_char(struct buffer *buffer, const char *line, size_t size) STATUS_CHECKED;

/* Only white space separates. */
enum status tokenizer_none(struct buffer *buffer, const char *line, size_t size) STATUS_CHECKED;

/* Bytes of the white space character at the start of bytes [size], 0 where there is none. White
 * space is U+0009-000D, 001C-0020, 0085, 00A0, 1680, 2000-200A, 2028, 2029, 202F, 205F, 3000. */
size_t tokenizer_space_length(const char *bytes, size_t size);

/* The size of the line without the white space at its end. */
size_t tokenizer_strip_end(const char *line, size_t size);

#endif
