/* Progress by bytes. */
#include "tools/prep/meter.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "train/signals.h"

static const double quiet_s = 2;   /* before the first line */
static const double live_s = 0.25; /* between lines on a terminal */
static const double plain_s = 10;  /* and elsewhere */

static void show(struct meter *meter, int64_t done, int64_t total, double now_s)
{
    const bool is_terminal = isatty(STDERR_FILENO) && !getenv("NO_COLOR");
    const double elapsed_s = now_s - meter->start_s;
    const double rate = (double)(done - meter->first_bytes) / elapsed_s;
    meter->shown_s = now_s;
    fprintf(stderr, "%smixt: %s %s: %.1f", is_terminal ? "\r\033[K" : "", meter->verb, meter->name,
            (double)done / 1e6);
    if (total > 0)
        fprintf(stderr, " of %.1f", (double)total / 1e6);
    fprintf(stderr, " MB, %.1f MB/s", rate / 1e6);
    if (total > done && rate > 0)
        fprintf(stderr, ", %.0f s left", (double)(total - done) / rate);
    if (!is_terminal)
        fputc('\n', stderr);
    meter->is_live = is_terminal;
}

static bool take_report(void *context, int64_t done, int64_t total)
{
    struct meter *meter = context;
    const double now_s = clock_seconds();
    if (!meter->is_begun) {
        meter->is_begun = true;
        meter->first_bytes = done;
    }
    const double since_s = now_s - (meter->shown_s > 0 ? meter->shown_s : meter->start_s);
    const double wait_s = meter->shown_s == 0 ? quiet_s : meter->is_live ? live_s : plain_s;
    if (since_s >= wait_s)
        show(meter, done, total, now_s);
    return signals_stop() == 0;
}

struct watch meter_start(struct meter *meter, const char *verb, const char *name)
{
    *meter = (struct meter){.verb = verb, .name = name, .start_s = clock_seconds()};
    return (struct watch){.report = take_report, .context = meter};
}

void meter_end(struct meter *meter)
{
    if (meter->is_live)
        fputs("\r\033[K", stderr);
    meter->is_live = false;
}
