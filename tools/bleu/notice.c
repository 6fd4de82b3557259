#include "tools/bleu/notice.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

static void print(bool is_named, const char *format, va_list arguments)
{
    fflush(stdout);
    fputs(is_named ? "sacreBLEU: " : "", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
}

void notice_info(bool is_quiet, const char *format, ...)
{
    if (is_quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    print(true, format, arguments);
    va_end(arguments);
}

void notice_warning(bool is_quiet, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print(!is_quiet, format, arguments);
    va_end(arguments);
}

struct notice_count notice_count_start(bool is_quiet)
{
    const bool is_silent = is_quiet || !isatty(STDERR_FILENO);
    return (struct notice_count){.shown_s = clock_seconds(), .is_silent = is_silent};
}

void notice_count_show(struct notice_count *count, int64_t n_lines)
{
    const double first_s = 2, later_s = 0.25;
    const double now_s = count->is_silent ? 0 : clock_seconds();
    if (count->is_silent || now_s - count->shown_s < (count->is_live ? later_s : first_s))
        return;
    fprintf(stderr, "\r\033[Kmixt: %lld lines", (long long)n_lines);
    count->is_live = true;
    count->shown_s = now_s;
}

void notice_count_end(struct notice_count *count)
{
    if (count->is_live)
        fputs("\r\033[K", stderr);
    count->is_live = false;
}
