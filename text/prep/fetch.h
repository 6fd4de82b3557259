/* One file over http or https into a local file, continued where an earlier try stopped. */
#ifndef MIXT_TEXT_PREP_FETCH_H
#define MIXT_TEXT_PREP_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "text/prep/watch.h"

struct fetch_request {
    const char *url;
    const char *part;   /* the local file; what it holds is continued where that is safe. PART.tag
                         * beside it says what it is a part of */
    int64_t bytes;      /* the file's size as published; 0: not known */
    bool is_checked;    /* a hash is known: a part that another address began may be continued */
    int64_t timeout_s;  /* of a connection on which nothing comes */
    struct watch watch; /* bytes of the file, those of earlier tries included */
};

/* Fetches; a connection that breaks is tried again, at most FETCH_TRIES times without a new byte,
 * with growing pauses. Then part holds the whole file and part's tag is gone.
 *
 * STATUS_IO, with the address, when it cannot be fetched from there; STATUS_FORMAT when the server
 * states another size than the published one; STATUS_INTERRUPTED. What was fetched stays in part
 * for the next try, but STATUS_FAILED, for a part that cannot be written (a full disk), removes it.
 */
enum { FETCH_TRIES = 4 };
enum status fetch_file(const struct fetch_request *request) STATUS_CHECKED;

/* Removes a part and its tag. */
void fetch_forget(const char *part);

#endif
