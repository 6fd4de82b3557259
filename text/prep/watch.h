/* How long work tells its caller where it is, and is told to stop. */
#ifndef MIXT_TEXT_PREP_WATCH_H
#define MIXT_TEXT_PREP_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A zeroed watch sees nothing and never stops. */
struct watch {
    /* done of total bytes, total 0 where it is not known; called many times a second, on the
     * caller's thread. False: stop, with STATUS_INTERRUPTED. */
    bool (*report)(void *context, int64_t done, int64_t total);
    void *context;
};

static inline bool watch_goes_on(const struct watch *watch, int64_t done, int64_t total)
{
    return watch->report == NULL || watch->report(watch->context, done, total);
}

#endif
