/* Lower case as Python's str.lower(): Unicode's full mapping without a language. "\xC4\xB0" (a
 * capital I with a dot) becomes two characters, and a final capital sigma a final small one.
 *
 * The letters are those of the ICU in use (Unicode 15.0 in ICU 72, as Python 3.12); which letters
 * have two cases changes only as new ones are added to Unicode. */
#ifndef MIXT_TEXT_METRIC_LOWERCASE_H
#define MIXT_TEXT_METRIC_LOWERCASE_H

#include <stddef.h>

#include "base/buffer.h"

struct lowercase; /* not to be used by two threads at once */

/* On error *lowercase is NULL: STATUS_MEMORY, STATUS_FAILED when Unicode's tables cannot be loaded.
 */
enum status lowercase_open(struct lowercase **lowercase) STATUS_CHECKED;

/* NULL is allowed. */
void lowercase_close(struct lowercase *lowercase);

/* Appends a text in lower case.
 *
 * bytes  in  [size]  valid UTF-8, below 2^30 bytes
 *
 * STATUS_MEMORY, STATUS_FAILED. */
enum status lowercase_append(struct lowercase *lowercase, struct buffer *buffer, const char *bytes,
                             size_t size) STATUS_CHECKED;

#endif
