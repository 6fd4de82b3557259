/* SHA-256 and MD5, as archives are published with. */
#ifndef MIXT_TEXT_PREP_DIGEST_H
#define MIXT_TEXT_PREP_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "text/prep/watch.h"

/* Lower-case hexadecimal digits and a final NUL. */
enum { DIGEST_SHA256_BYTES = 65, DIGEST_MD5_BYTES = 33 };

struct digest_result {
    int64_t bytes;
    char sha256[DIGEST_SHA256_BYTES];
    char md5[DIGEST_MD5_BYTES]; /* "" where it was not asked for */
};

struct digest; /* being made; not to be used by two threads at once */

/* On error *digest is NULL: STATUS_MEMORY, STATUS_FAILED when the library does not offer one. */
enum status digest_open(struct digest **digest, bool with_md5) STATUS_CHECKED;

/* NULL is allowed. */
void digest_close(struct digest *digest);

void digest_add(struct digest *digest, const void *bytes, size_t size);

/* The digest of all that was added; nothing more can be added then. */
void digest_finish(struct digest *digest, struct digest_result *result);

/* Of a file. STATUS_IO, STATUS_MEMORY, STATUS_INTERRUPTED. */
enum status digest_file(const char *path, bool with_md5, const struct watch *watch,
                        struct digest_result *result) STATUS_CHECKED;

#endif
