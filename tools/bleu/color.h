/* Colours, as codes around a text. sacreBLEU lays its output out with them, unless told not to, and
 * then takes them away where it does not write to a terminal. */
#ifndef MIXT_TOOLS_BLEU_COLOR_H
#define MIXT_TOOLS_BLEU_COLOR_H

#include <stdbool.h>
#include <stdio.h>

#include "base/buffer.h"

enum color { COLOR_RED = 31, COLOR_GREEN = 32, COLOR_YELLOW = 33, COLOR_CYAN = 36 };

/* Appends text, between codes where is_colored. STATUS_MEMORY. */
enum status color_append(struct buffer *buffer, const char *text, enum color color,
                         bool is_colored) STATUS_CHECKED;

/* Takes all codes of the form "ESC [ 1;2 m" out. */
void color_remove(struct buffer *buffer);

#endif
