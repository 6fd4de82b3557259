/* What a run tells: a live line or plain lines on stderr, train.log, metrics.jsonl.
 *
 * metrics.jsonl holds one JSON object a line: {"type": "train", "step": ...} every log.every steps
 * (with train.profile also {"type": "profile", ...}) and {"type": "valid", ...} for each
 * validation. A continued run first takes out what lies after the step it continues from, so every
 * step stands there once. */
#ifndef MIXT_TRAIN_REPORT_H
#define MIXT_TRAIN_REPORT_H

#include <stdio.h>

#include "train/expert_stats.h"

/* Zeroed: it tells nothing to anybody, as on ranks that leave that to another. */
struct report {
    FILE *log;     /* owned: DIR/train.log */
    FILE *metrics; /* owned: DIR/metrics.jsonl */
    bool is_live;  /* stderr is a terminal that takes carriage returns */
    bool has_line; /* a live line stands unfinished */
    double last_live;
    int64_t n_steps; /* of the whole run */
};

/* One window of training, since the last report. */
struct report_train {
    int64_t step;
    double loss;            /* mean per target token, label-smoothed */
    double nll;             /* mean per target token */
    double tokens_a_second; /* source + target */
    double rate;            /* learning rate */
    double norm;            /* gradient norm, mean */
    double seconds_left;
};

struct report_valid {
    int64_t step;
    double nll;  /* mean per target token */
    double bleu; /* negative: not measured */
    bool is_best;
    double seconds;
};

/* Opens DIR's files; keeps what metrics.jsonl says up to from_step. */
enum status report_open(struct report *report, const char *directory, int64_t from_step,
                        int64_t n_steps) STATUS_CHECKED;
void report_close(struct report *report);

/* One line to stderr and train.log. */
void report_note(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The live line, at most four times a second; nothing where stderr is no terminal. */
void report_live(struct report *report, const struct report_train *now,
                 const struct expert_stats *experts);

/* A window's line and its metrics. */
void report_window(struct report *report, const struct report_train *window,
                   const struct expert_stats *experts);

void report_validation(struct report *report, const struct report_valid *valid);

/* Seconds of each phase (layer/phase.h) in n_steps updates: a line of metrics.jsonl. */
void report_profile(struct report *report, int64_t step, int64_t n_steps, const double *seconds);

/* The same for people, as a table: milliseconds of an update, and shares of it. Validating and
 * saving stand apart. */
void report_profile_table(struct report *report, int64_t n_steps, const double *seconds);

/* STATUS_IO when something could not be written since the opening. */
enum status report_check(const struct report *report) STATUS_CHECKED;

#endif
