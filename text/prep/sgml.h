/* The segments of a test set in the SGML of the shared tasks (newstest2014-deen-src.en.sgm).
 *
 * Read as sacreBLEU reads them, so that scores agree: a segment is a line that begins with
 * "<seg ...>" and holds "</seg>"; a run of white space, as Unicode knows it, becomes a space;
 * entities ("&amp;") stay as they are. White space before "<seg" and capitals in it are allowed. */
#ifndef MIXT_TEXT_PREP_SGML_H
#define MIXT_TEXT_PREP_SGML_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buffer.h"

enum { SGML_MAX_LINE = 1 << 24 }; /* bytes */

struct sgml; /* an open reader; not to be used by two threads at once */

struct sgml_segment {
    const char *text;     /* borrowed until the next call for this reader; NULL at the end */
    size_t size;          /* bytes */
    const char *document; /* "docid" of the document it is in; "" without one */
    const char *id;       /* "id" of the segment; "" without one */
    int64_t line;         /* of the file: 1, 2, ... */
};

/* Opens a file, perhaps a .gz. name is what messages call it, copied. On error *sgml is NULL:
 * STATUS_IO, STATUS_MEMORY. */
enum status sgml_open(struct sgml **sgml, const char *path, const char *name) STATUS_CHECKED;

/* NULL is allowed. */
void sgml_close(struct sgml *sgml);

/* Reads the next segment. STATUS_FORMAT, with the line, for a segment that is not closed on its
 * line, a second one on the line, or a line over SGML_MAX_LINE; STATUS_IO, STATUS_MEMORY. */
enum status sgml_next(struct sgml *sgml, struct sgml_segment *segment) STATUS_CHECKED;

/* Sets *value to an attribute, as "origlang", of the document that the last segment is in; ""
 * without one. STATUS_MEMORY. */
enum status sgml_attribute(const struct sgml *sgml, const char *name,
                           struct buffer *value) STATUS_CHECKED;

/* Writes the segments of a source and a target as lines to outputs and their number to *count.
 *
 * paths, names, outputs [2]: source, target. STATUS_DATA when one side has a segment that the other
 * does not have, by document and id where both sides state them; STATUS_FORMAT also for files
 * without segments; what sgml_open() and sgml_next() return. Write errors stay in the streams. */
enum status sgml_write_pair(const char *const paths[2], const char *const names[2],
                            FILE *const outputs[2], int64_t *count) STATUS_CHECKED;

#endif
