/* mixt prep --check: what text/prep/step.h finds, in words that say no more than it knows. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "text/prep/step.h"
#include "tools/prep/prep.h"

static const char *name_of(const char *path)
{
    return strcmp(path, "-") == 0 ? "standard input" : path;
}

static const char *plural(int64_t n)
{
    return n == 1 ? "" : "s";
}

/* "between lines 17 and 23 (likeliest: 20)". */
static void print_place(const struct step_break *found, const struct step_report *report)
{
    if (found->first > report->source_lines)
        printf("at the end");
    else if (found->first == found->last)
        printf("at line %" PRId64, found->first);
    else
        printf("between lines %" PRId64 " and %" PRId64 " (likeliest: %" PRId64 ")", found->first,
               found->last, found->likeliest);
}

static void print_shift(const char *source, const char *target, const struct step_break *found,
                        const struct step_report *report)
{
    const int64_t change = found->shift_after - found->shift_before;
    const int64_t n = change > 0 ? change : -change;
    const char *fuller = change > 0 ? target : source, *emptier = change > 0 ? source : target;
    printf("%s: ", source);
    print_place(found, report);
    printf(" the files seem to lose step: %s has %" PRId64 " line%s there that %s lacks\n", fuller,
           n, plural(n), emptier);
    if (found->kind == STEP_INFERRED)
        printf(
            "  (the counts say that there are such lines, the lengths only where they fit best)\n");
    else
        printf("  (from there on line i of %s fits line i%+" PRId64 " of %s)\n", source,
               found->shift_after, target);
}

static void print_lost(const char *source, const char *target, const struct step_break *found,
                       const struct step_report *report)
{
    printf("%s: from about line %" PRId64 " to %" PRId64 " no lines of %s up to %" PRId64
           " lines away seem to fit\n",
           source, found->first, found->last, target, report->largest_shift);
}

static void print_counts(const char *source, const char *target, const struct step_report *report)
{
    if (report->source_lines == report->target_lines)
        printf("%s and %s have %" PRId64 " line%s each\n", source, target, report->source_lines,
               plural(report->source_lines));
    else
        printf("%s has %" PRId64 " line%s but %s has %" PRId64 "\n", source, report->source_lines,
               plural(report->source_lines), target, report->target_lines);
}

static void print_verdict(const struct step_report *report)
{
    if (report->verdict == STEP_UNCLEAR)
        printf("the lengths of the lines say nothing on where they belong: too few lines, or too "
               "little correlation\n");
    else if (report->verdict == STEP_FITS)
        printf("no place found where they lose step: the lengths of the lines fit as they stand "
               "(correlation %.2f)\n",
               report->correlation);
    if (report->is_cut)
        printf("more was not looked for behind line %" PRId64 "\n", report->checked);
}

enum status prep_check(const char *source_path, const char *target_path)
{
    struct step_report report;
    const char *source = name_of(source_path), *target = name_of(target_path);
    const enum status status = step_check(source_path, target_path, &report);
    if (status < 0)
        return status;
    print_counts(source, target, &report);
    for (size_t i = 0; i < report.n_breaks; i++) {
        if (report.breaks[i].kind == STEP_LOST)
            print_lost(source, target, &report.breaks[i], &report);
        else
            print_shift(source, target, &report.breaks[i], &report);
    }
    print_verdict(&report);
    if (report.verdict == STEP_BREAKS)
        return status_set(STATUS_DATA, "%s and %s seem to lose step first at line %" PRId64, source,
                          target, report.breaks[0].likeliest);
    if (report.source_lines != report.target_lines)
        return status_set(STATUS_DATA, "%s has %" PRId64 " lines but %s has %" PRId64, source,
                          report.source_lines, target, report.target_lines);
    return STATUS_OK;
}
