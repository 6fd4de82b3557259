/* prep_run() as its user sees it: a line that moves, the report, and signals that stop it. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "tools/footer.h"
#include "tools/prep/prep.h"
#include "train/signals.h"

static const double LIVE_S = 0.25;  /* between two updates of a line on a terminal */
static const double PLAIN_S = 10.0; /* between two lines elsewhere */

struct view {
    double start_s;
    double shown_s;
    bool is_terminal;
    bool is_live; /* an unfinished line is on the terminal */
};

static bool show(void *context, const struct prep_progress *progress)
{
    struct view *view = context;
    const double now_s = clock_seconds();
    if (now_s - view->shown_s < (view->is_terminal ? LIVE_S : PLAIN_S))
        return signals_stop() == 0;
    const char *start = view->is_terminal ? "\r" : "";
    const char *end = view->is_terminal ? "  " : "\n";
    view->shown_s = now_s;
    view->is_live = view->is_terminal;
    if (progress->is_writing)
        fprintf(stderr, "%smixt: writing: %" PRId64 " of at most %" PRId64 " pairs%s", start,
                progress->written, progress->kept, end);
    else
        fprintf(stderr, "%smixt: reading: %" PRId64 " lines, %.0f lines/s%s", start,
                progress->lines, (double)progress->lines / (now_s - view->start_s), end);
    return signals_stop() == 0;
}

enum status prep_run_shown(struct prep_options *options, struct prep_report *report)
{
    const double start_s = clock_seconds();
    struct view view = {start_s, start_s, isatty(STDERR_FILENO) == 1, false};
    signals_watch();
    options->progress = show;
    options->progress_context = &view;
    enum status status = prep_run(options, report);
    if (status < 0 && signals_stop() != 0) /* it may have ended a pipe first, and been seen late */
        status = status_set(STATUS_INTERRUPTED, "stopped; %s is as it was", options->output);
    if (view.is_live)
        fputs("\r\033[K", stderr);
    struct buffer text = {0};
    /* A run that dropped everything has to say why; other failures are no matter of rules. */
    const bool has_report = status == STATUS_OK || (status == STATUS_DATA && report->lines > 0 &&
                                                    report->kept == 0 && report->is_complete);
    if (has_report && prep_report_append_text(report, options, &text) == STATUS_OK)
        fputs(text.data, stderr);
    buffer_free(&text);
    if (status < 0)
        return status;
    char summary[128];
    snprintf(summary, sizeof summary, "%" PRId64 " lines, %" PRId64 " pairs kept, %.0f lines/s",
             report->lines, report->kept,
             (double)report->lines / (clock_seconds() - start_s + 1e-9));
    footer_print(start_s, summary);
    return STATUS_OK;
}

int prep_failed(enum status status)
{
    status_print();
    return status == STATUS_INTERRUPTED && signals_stop() != 0 ? 128 + signals_stop()
                                                               : status_exit_code(status);
}
