/* mixt info --routing: what a model's gates do with a text. */
#include "tools/routing/routing.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "tools/footer.h"
#include "tools/routing/heat_map.h"
#include "tools/routing/report.h"

enum status routing_run(const struct routing_options *options, const char *model,
                        const char *const *texts, size_t n_texts)
{
    const double start = clock_seconds();
    enum status status = options->plot ? heat_map_check(options->plot) : STATUS_OK;
    if (status < 0)
        return status;
    struct collect *collect = calloc(1, sizeof *collect);
    if (!collect)
        return status_set(STATUS_MEMORY, "no memory to look at the routing");
    status = collect_open(collect, options, model, texts, n_texts);
    if (status >= 0)
        status = collect_run(collect);
    if (status >= 0 && options->plot)
        status = report_plot(collect, options->plot);
    if (status >= 0)
        status = options->wants_json ? report_json(collect, options->n_experts)
                                     : report_text(collect, options->n_experts);
    if (status >= 0) {
        char summary[64];
        snprintf(summary, sizeof summary, "%" PRId64 " lines", collect->lines);
        footer_print(start, summary);
    }
    collect_free(collect);
    free(collect);
    return status;
}
