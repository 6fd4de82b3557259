/* The machines of a job, and which of them answer. */
#ifndef MIXT_TOOLS_LAUNCH_HOSTS_H
#define MIXT_TOOLS_LAUNCH_HOSTS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/launch/process.h"

struct host {
    char *name;    /* owned */
    int64_t slots; /* ranks that it takes */
    bool is_there; /* answered the last time */
    pid_t asked;   /* while it is asked, the process that does */
};

/* A zeroed list is this machine alone. */
struct hosts {
    struct host *items; /* owned */
    size_t count;
    const char *agent; /* borrowed: starts "AGENT HOST COMMAND" on a host, as ssh does */
};

/* Reads "a:4,b:4,c"; a host without a number has one slot. STATUS_USAGE, STATUS_MEMORY. */
enum status hosts_read(struct hosts *hosts, const char *list, const char *agent) STATUS_CHECKED;

/* Asks every host by its agent to run `true`, all at once; those that do not answer within half a
 * minute are left out. Names them on stderr. STATUS_FAILED where none answers; a signal to stop is
 * STATUS_INTERRUPTED, its number in *signal. */
enum status hosts_ask(struct hosts *hosts, int *signal) STATUS_CHECKED;

/* Slots of the hosts that are there. */
int64_t hosts_slots(const struct hosts *hosts);

void hosts_free(struct hosts *hosts);

#endif
