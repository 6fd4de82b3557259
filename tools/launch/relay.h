/* What a run says on stderr: passed on, and searched for words that tell how it goes. */
#ifndef MIXT_TOOLS_LAUNCH_RELAY_H
#define MIXT_TOOLS_LAUNCH_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct words_to_see {
    const char *text; /* borrowed; no part of it but itself is both its start and its end */
    size_t n_seen;    /* characters of it that were the last ones to come */
    bool has_come;
};

/* A zeroed one is closed. */
struct relay {
    bool is_open;
    int from; /* the pipe's end to read; never blocks */
    int to;   /* the run's end, for its stderr; -1 once it was let go */
    struct words_to_see good_end, lost_rank;
};

/* What is seen of it: the words of a good end, and of a rank that others waited for in vain.
 * STATUS_FAILED where there is no pipe. */
enum status relay_open(struct relay *relay, const char *good_end,
                       const char *lost_rank) STATUS_CHECKED;

/* Once the run has its end: it alone keeps it open. */
void relay_let_go(struct relay *relay);

/* Passes on what has come so far. */
void relay_pass(struct relay *relay);

void relay_close(struct relay *relay);

#endif
