/* The tokenizer of mteval-v13a as sacreBLEU defines it, and sacreBLEU's idea of white space.
 *
 * It separates ASCII punctuation and symbols from words, except the apostrophe; full stops and
 * commas unless between digits; hyphens only behind a digit. Nothing outside ASCII is touched, but
 * every Unicode white space separates tokens. */
#ifndef MIXT_TEXT_METRIC_TOKENIZER_13A_H
#define MIXT_TEXT_METRIC_TOKENIZER_13A_H

#include <stddef.h>

#include "base/buffer.h"

/* Appends the tokens of a line to buffer, joined by single spaces, none in front or behind.
 *
 * line  in  [size]  valid UTF-8 without a line end; must not point into buffer
 *
 * First "<skipped>" is deleted, then &quot; &amp; &lt; &gt; are decoded, in that order, so that
 * "&amp;lt;" ends as "<". STATUS_MEMORY. */
enum status tokenizer_13a(struct buffer *buffer, const char *line, size_t size) STATUS_CHECKED;

/* The same form without tokenizing: only white space separates. */
enum status tokenizer_none(struct buffer *buffer, const char *line, size_t size) STATUS_CHECKED;

/* Bytes of the white space character at the start of bytes [size], 0 where there is none. White
 * space is U+0009-000D, 001C-0020, 0085, 00A0, 1680, 2000-200A, 2028, 2029, 202F, 205F, 3000. */
size_t tokenizer_space_length(const char *bytes, size_t size);

/* The size of the line without the white space at its end. */
size_t tokenizer_strip_end(const char *line, size_t size);

#endif
