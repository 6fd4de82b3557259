#include "tools/footer.h"

#include <stdbool.h>
#include <stdio.h>

#include "base/clock.h"

void footer_print(double start_s, const char *summary)
{
    const bool has_summary = summary != NULL && summary[0] != '\0';
    fprintf(stderr, "mixt: %s%s%.1f s, %.1f s CPU, %.0f MB peak\n", has_summary ? summary : "",
            has_summary ? "; " : "", clock_seconds() - start_s, clock_cpu_seconds(),
            (double)clock_peak_bytes() / 1e6);
}

void footer_tell_device(const struct backend *backend)
{
    if (backend->hardware[0])
        fprintf(stderr, "mixt: computing on %s (%s)\n", backend->hardware, backend->name);
}
