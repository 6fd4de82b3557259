/* What a run says on stderr: passed on, and searched for the line of a good end. */
#ifndef MIXT_TOOLS_LAUNCH_RELAY_H
#define MIXT_TOOLS_LAUNCH_RELAY_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* A zeroed one is closed. */
struct relay {
    int from;           /* the pipe's end to read; never blocks */
    int to;             /* the run's end, for its stderr; -1 once it was let go */
    const char *wanted; /* borrowed: what tells the end; its first character is there once */
    size_t n_seen;      /* characters of it that were the last ones to come */
    bool has_come;
};

/* STATUS_FAILED where there is no pipe. */
enum status relay_open(struct relay *relay, const char *wanted) STATUS_CHECKED;

/* Once the run has its end: it alone keeps it open. */
void relay_let_go(struct relay *relay);

/* Passes on what has come so far. */
void relay_pass(struct relay *relay);

void relay_close(struct relay *relay);

#endif
