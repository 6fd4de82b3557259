/* Takes the compression off a stream of bytes that is, or is not, in gzip form.
 *
 * Checks the length and CRC that gzip states of its content, of each of several members. Zero bytes
 * behind the last are padding; anything else there is damage. */
#ifndef MIXT_TEXT_PREP_GUNZIP_H
#define MIXT_TEXT_PREP_GUNZIP_H

#include <stddef.h>

#include "base/status.h"

/* Gives the next bytes, borrowed until the next call; *size 0 at the end. */
typedef enum status gunzip_read(void *context, const void **bytes, size_t *size);

struct gunzip; /* not to be used by two threads at once */

/* name, for messages, is borrowed. On error *gunzip is NULL: STATUS_MEMORY. */
enum status gunzip_open(struct gunzip **gunzip, gunzip_read *read, void *context,
                        const char *name) STATUS_CHECKED;

/* NULL is allowed. */
void gunzip_close(struct gunzip *gunzip);

/* The next bytes of the content, borrowed until the next call; *size 0 at the end. STATUS_FORMAT
 * for damage or a stream that is cut off; STATUS_MEMORY; what read returns. */
enum status gunzip_next(struct gunzip *gunzip, const void **bytes, size_t *size) STATUS_CHECKED;

#endif
