/* Texts out of an archive: .tar, also compressed by gzip, bzip2, xz or zstd, and .zip; or one
 * compressed text alone.
 *
 * Names and links in an archive are only compared, never followed: nothing is written here. */
#ifndef MIXT_TEXT_PREP_UNPACK_H
#define MIXT_TEXT_PREP_UNPACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/prep/printable.h"
#include "text/prep/watch.h"

/* Largest text, in bytes: against archives that unpack to more than any disk holds. */
#define UNPACK_MAX_TEXT ((int64_t)1 << 37)

/* A text that is wanted, and what was found. */
struct unpack_want {
    const char *member; /* path inside, without "./" at its start; NULL: the file itself is the text
                         * (then the only want) */
    bool is_found;
    char nearest[PRINTABLE_BYTES]; /* where not found: the member with the nearest name, or "" */
};

/* Takes bytes of want i, and size 0 at the text's end. A failure ends the reading. */
typedef enum status unpack_take(void *context, size_t i, const void *bytes, size_t size);

struct unpack_job {
    const char *path;
    const char *name;          /* for messages */
    struct unpack_want *wants; /* [n_wants] members all different */
    size_t n_wants;
    unpack_take *take;
    void *context;
    struct watch watch; /* bytes read of the file */
};

/* Reads the whole file and hands over the texts that are wanted, in the order in which it holds
 * them; a member that is itself a .gz is decompressed. One that is missing is no error here.
 *
 * STATUS_FORMAT for a damaged, cut or foreign file, a member twice, one that is not a file or is
 * larger than UNPACK_MAX_TEXT; STATUS_IO, STATUS_MEMORY, STATUS_INTERRUPTED; what take returns. */
enum status unpack_run(const struct unpack_job *job, int64_t *n_members) STATUS_CHECKED;

#endif
