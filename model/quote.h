/* Foreign text made safe to show in a one-line message. */
#ifndef MIXT_MODEL_QUOTE_H
#define MIXT_MODEL_QUOTE_H

enum { QUOTE_BYTES = 96 }; /* room for a quoted text, with its ending */

/* Writes text into quoted: whole UTF-8 characters as they are, control characters and bytes that
 * are no UTF-8 as \xNN, cut with "..." where it is long. Returns quoted. */
const char *quote(const char *text, char quoted[QUOTE_BYTES]);

#endif
