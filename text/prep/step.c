/* Lengths become normal scores of their ranks, so that the measure knows no language. Lines that
 * belong together are then two normal variables with a correlation, which is learnt from the files;
 * a pair of lines counts with its log-likelihood ratio (in nats) of belonging together against
 * chance, with the correlation taken as learnt, and is bounded, so that no single line decides.
 *
 * Block after block is looked at as the lines stand. Where one does not fit, all other shifts are
 * tried round it, each by a cumulative sum (Page 1954, "Continuous inspection schemes"); the sum
 * has to overcome the number of shifts and lines that were tried. */
#include "text/prep/step.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "text/lines.h"
#include "text/prep/step_scores.h"
#include "text/utf8.h"

enum {
    BLOCK = 64,                 /* lines that are judged together */
    WINDOW = 6 * BLOCK,         /* lines round a bad block that shifts are tried on */
    BASE_SHIFT = 250,           /* largest shift tried, beside the difference of the counts */
    MOST_SHIFT = 2000,          /* and with it */
    LONGEST_STRIDE = 16 * BLOCK /* step through a part where nothing fits */
};

static const double LEAST_FIT = 0.4; /* share of the expected score below which a block is bad */
static const double RANGE_NATS = 4;  /* places less likely by more than this are left out */
static const double SURE_NATS = 5;   /* beyond the logarithm of the number of trials */

struct search {
    struct step_scores scores;
    struct step_report *report;
    int64_t n_source;
    int64_t n_target;
    int64_t largest_shift;
    double enough;      /* nats that a shift must gain */
    int64_t shift;      /* now */
    int64_t begin;      /* line where it began, from 0 */
    int64_t lost_begin; /* of a part where nothing fits; -1: not in one */
    double lost_score;
    int64_t stride;
};

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t most(int64_t a, int64_t b)
{
    return a > b ? a : b;
}

/* The sum over source lines begin..end-1 at a shift. */
static double block_score(const struct search *search, int64_t begin, int64_t end, int64_t shift)
{
    double sum = 0;
    for (int64_t i = begin; i < end; i++)
        sum += step_score(&search->scores, i, i + shift);
    return sum;
}

/* The best cumulative sum of a shift against the present one, and against chance. */
static double best_gain(const struct search *search, const double *present, int64_t begin,
                        int64_t end, int64_t shift)
{
    double sum = 0, best = 0;
    for (int64_t i = begin; i < end; i++) {
        sum += step_score(&search->scores, i, i + shift) - present[i - begin];
        if (sum < 0)
            sum = 0;
        if (sum > best)
            best = sum;
    }
    return best;
}

/* The shift that gains most in a window, or the present one where none gains enough. */
static int64_t best_shift(const struct search *search, int64_t begin, int64_t end)
{
    double present[WINDOW];
    for (int64_t i = begin; i < end; i++)
        present[i - begin] = fmax(step_score(&search->scores, i, i + search->shift), 0);
    int64_t best = search->shift;
    double best_found = search->enough;
    for (int64_t step = 1; step <= search->largest_shift; step++) {
        for (int sign = -1; sign <= 1; sign += 2) { /* of equal ones the smallest */
            const int64_t shift = search->shift + sign * step;
            const double gain = best_gain(search, present, begin, end, shift);
            if (gain > best_found) {
                best_found = gain;
                best = shift;
            }
        }
    }
    return best;
}

/* Where in begin..end one shift gives way to the other: the likeliest line and those not much less
 * likely. Source lines that then have no partner count nothing. */
static void place_break(const struct search *search, int64_t begin, int64_t end, int64_t after,
                        struct step_break *found)
{
    const int64_t before = search->shift;
    const int64_t skipped = most(0, before - after);
    double score = block_score(search, least(begin + skipped, end), end, after);
    double best = -INFINITY;
    for (int round = 0; round < 2; round++) { /* first the best, then what is near it */
        double sum = score;
        for (int64_t i = begin; i <= end; i++) {
            if (round == 0 && sum > best) {
                best = sum;
                found->likeliest = i + 1;
                found->first = found->last = i + 1;
            }
            if (round == 1 && sum >= best - RANGE_NATS) {
                found->first = least(found->first, i + 1);
                found->last = most(found->last, i + 1);
            }
            if (i == end)
                break;
            sum += step_score(&search->scores, i, i + before);
            if (i + skipped < end)
                sum -= step_score(&search->scores, i + skipped, i + skipped + after);
        }
    }
    found->shift_before = before;
    found->shift_after = after;
}

static bool add_break(struct search *search, const struct step_break *found)
{
    struct step_report *report = search->report;
    report->verdict = STEP_BREAKS;
    report->breaks[report->n_breaks++] = *found;
    return report->n_breaks < STEP_MAX_BREAKS;
}

static bool fits(const struct search *search, int64_t begin, int64_t end)
{
    return block_score(search, begin, end, search->shift) >=
           LEAST_FIT * search->scores.expected * (double)(end - begin);
}

/* The end of a part where nothing fitted, when what follows from `line` on fits again: strides may
 * have led past it. */
static int64_t find_lost_end(const struct search *search, int64_t line)
{
    while (search->lost_begin >= 0 && line - BLOCK > search->lost_begin &&
           fits(search, line - BLOCK, line))
        line -= BLOCK;
    return line;
}

/* Reports the part where nothing fitted, which ends before line `end`, if it is one. */
static bool end_lost(struct search *search, int64_t end)
{
    const bool is_sure = search->lost_begin >= 0 && search->lost_score < -search->enough &&
                         end - search->lost_begin >= 2 * BLOCK;
    const struct step_break found = {
        .kind = STEP_LOST,
        .first = search->lost_begin + 1,
        .last = end,
        .likeliest = search->lost_begin + 1,
        .shift_before = search->shift,
        .shift_after = search->shift,
    };
    search->lost_begin = -1;
    search->lost_score = 0;
    search->stride = BLOCK;
    return is_sure ? add_break(search, &found) : true;
}

/* Deals with a bad block; moves *line on. Returns false when enough was found. */
static bool search_round(struct search *search, int64_t *line, int64_t end)
{
    const int64_t begin = most(search->begin, *line - BLOCK);
    const int64_t window_end = least(begin + WINDOW, search->n_source);
    const int64_t shift = best_shift(search, begin, window_end);
    if (shift == search->shift) {
        if (search->lost_begin < 0)
            search->lost_begin = *line;
        search->lost_score += block_score(search, *line, end, shift);
        *line = least(*line + search->stride, search->n_source);
        search->stride = least(2 * search->stride, LONGEST_STRIDE);
        *line = most(*line, end);
        return true;
    }
    if (!end_lost(search, *line))
        return false;
    struct step_break found = {.kind = STEP_SHIFT};
    place_break(search, begin, window_end, shift, &found);
    const int64_t skipped = most(0, search->shift - shift);
    search->begin = found.likeliest - 1 + skipped;
    search->shift = shift;
    *line = most(*line + 1, search->begin);
    return add_break(search, &found);
}

/* Goes through the lines; returns where it ended. */
static int64_t walk(struct search *search)
{
    int64_t line = 0;
    while (line < search->n_source && line + search->shift < search->n_target) {
        const int64_t end =
            least(line + BLOCK, least(search->n_source, search->n_target - search->shift));
        if (fits(search, line, end)) {
            if (!end_lost(search, find_lost_end(search, line)))
                return line;
            line = end;
        } else if (!search_round(search, &line, end)) {
            return line;
        }
    }
    end_lost(search, least(search->n_source, search->n_target - search->shift));
    return search->n_source;
}

/* When the counts differ by what no break explains, there is one more somewhere behind the last. */
static void infer_break(struct search *search)
{
    const int64_t shift = search->n_target - search->n_source;
    if (shift == search->shift || search->report->n_breaks == STEP_MAX_BREAKS)
        return;
    struct step_break found = {.kind = STEP_INFERRED};
    place_break(search, search->begin, search->n_source, shift, &found);
    (void)add_break(search, &found);
}

enum status step_search(const uint16_t *source, int64_t n_source, const uint16_t *target,
                        int64_t n_target, struct step_report *report)
{
    const int64_t difference = n_source > n_target ? n_source - n_target : n_target - n_source;
    struct search search = {
        .report = report,
        .n_source = n_source,
        .n_target = n_target,
        .largest_shift = least(BASE_SHIFT + difference, MOST_SHIFT),
        .lost_begin = -1,
        .stride = BLOCK,
    };
    *report = (struct step_report){.source_lines = n_source,
                                   .target_lines = n_target,
                                   .verdict = STEP_UNCLEAR,
                                   .largest_shift = search.largest_shift};
    const enum status status =
        step_scores_learn(&search.scores, source, n_source, target, n_target, search.largest_shift);
    if (status < 0)
        return status;
    if (search.scores.correlation > 0) {
        const double trials = (double)n_source * (double)(2 * search.largest_shift + 1);
        search.enough = SURE_NATS + log(trials);
        report->verdict = STEP_FITS;
        report->correlation = search.scores.correlation;
        report->checked = walk(&search);
        report->is_cut = report->n_breaks == STEP_MAX_BREAKS;
        infer_break(&search);
    }
    step_scores_free(&search.scores);
    return STATUS_OK;
}

/* A growing array of lengths in characters, the longest ones as UINT16_MAX. */
struct lengths {
    uint16_t *data; /* owned */
    int64_t n;
    int64_t capacity;
};

static enum status add_length(struct lengths *lengths, const struct line *line)
{
    if (lengths->n == lengths->capacity) {
        const int64_t capacity = lengths->capacity == 0 ? 4096 : lengths->capacity / 2 * 3;
        uint16_t *data = realloc(lengths->data, (size_t)capacity * sizeof *data);
        if (data == NULL)
            return status_set(STATUS_MEMORY, "no memory for %lld lengths", (long long)capacity);
        lengths->data = data;
        lengths->capacity = capacity;
    }
    const size_t size = utf8_length(line->bytes, line->size);
    lengths->data[lengths->n++] = size > UINT16_MAX ? UINT16_MAX : (uint16_t)size;
    return STATUS_OK;
}

static enum status read_lengths(struct lengths *lengths, const char *path)
{
    struct lines *lines = NULL;
    enum status status = lines_open(&lines, path);
    while (status == STATUS_OK) {
        struct line line;
        status = lines_next(lines, &line);
        if (status < 0 || line.bytes == NULL)
            break;
        status = add_length(lengths, &line);
    }
    lines_close(lines);
    return status;
}

enum status step_check(const char *source, const char *target, struct step_report *report)
{
    struct lengths lengths[2] = {{0}, {0}};
    enum status status = read_lengths(&lengths[0], source);
    if (status == STATUS_OK)
        status = read_lengths(&lengths[1], target);
    if (status == STATUS_OK)
        status = step_search(lengths[0].data, lengths[0].n, lengths[1].data, lengths[1].n, report);
    free(lengths[0].data);
    free(lengths[1].data);
    return status;
}
