/* A line on stderr about bytes on their way: MB, MB/s and the time left. */
#ifndef MIXT_TOOLS_PREP_METER_H
#define MIXT_TOOLS_PREP_METER_H

#include <stdbool.h>
#include <stdint.h>

#include "text/prep/watch.h"

/* One piece of work. Nothing is shown of what is done in the first moments; on a terminal the line
 * changes in place, elsewhere a new one is written now and then. */
struct meter {
    const char *verb; /* "fetching" */
    const char *name; /* borrowed */
    double start_s;
    double shown_s;      /* when the line was last written; 0: not yet */
    int64_t first_bytes; /* done when the work began */
    bool is_begun;
    bool is_live; /* the line stands without its end */
};

/* A watch that feeds the meter, and stops the work after SIGINT or SIGTERM (signals_stop()). */
struct watch meter_start(struct meter *meter, const char *verb, const char *name);

/* Takes a line that stands away again. */
void meter_end(struct meter *meter);

#endif
