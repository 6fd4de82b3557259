/* BLEU and chrF behind one shape: whole numbers counted per segment, which add up, and a score
 * computed from the sum. All of it number for number as sacreBLEU 2.6.0. */
#ifndef MIXT_TEXT_METRIC_METRIC_H
#define MIXT_TEXT_METRIC_METRIC_H

#include "base/buffer.h"
#include "text/metric/bleu.h"
#include "text/metric/chrf.h"

/* The version of sacreBLEU whose numbers these are. */
extern const char metric_compatible_version[];

enum metric_kind { METRIC_BLEU, METRIC_CHRF };

/* Most counts a segment: chrF's; BLEU has 2 + 2 * BLEU_ORDER. */
enum { METRIC_MAX_COUNTS = CHRF_MAX_COUNTS };

struct metric {
    enum metric_kind kind;
    struct bleu_config bleu; /* the one that kind names is used */
    struct chrf_config chrf;
};

/* Counts a segment, at most METRIC_MAX_COUNTS. BLEU's are hypothesis length, reference length,
 * correct[4], total[4]; chrF's are, for each order, n-grams of the hypothesis, of the reference and
 * of both. */
size_t metric_width(const struct metric *metric);

struct metric_counter; /* working memory for counting; not to be used by two threads at once */

/* Makes a counter; metric is copied, what it points to is borrowed. On error *counter is NULL:
 * STATUS_MEMORY, STATUS_FAILED when Unicode's tables cannot be loaded. */
enum status metric_counter_open(struct metric_counter **counter,
                                const struct metric *metric) STATUS_CHECKED;

/* NULL is allowed. */
void metric_counter_close(struct metric_counter *counter);

/* Counts one segment against its references.
 *
 * references  in   [n_references]  at least one
 * counts      out  [metric_width]  each 0 or more
 *
 * STATUS_MEMORY; STATUS_DATA for a text over 2^28 bytes or with over 2^30 n-grams. */
enum status metric_count(struct metric_counter *counter, struct bleu_text hypothesis,
                         const struct bleu_text *references, size_t n_references,
                         int32_t *counts) STATUS_CHECKED;

/* Counts another hypothesis of the segment that the last metric_count() was about, whose references
 * must still be there. The same errors. */
enum status metric_count_again(struct metric_counter *counter, struct bleu_text hypothesis,
                               int32_t *counts) STATUS_CHECKED;

/* The score of sums of counts [metric_width], 0..100, computed in double as sacreBLEU does for a
 * corpus. */
double metric_score(const struct metric *metric, const int64_t *sums);

/* The same of BLEU, with its parts. */
struct bleu_score metric_bleu_score(const struct metric *metric, const int64_t *sums);

/* The score as sacreBLEU computes it in its bootstrap, where NumPy 2 keeps sums, precisions and
 * what follows from them alone in float; add-k adds to the float counts.
 *
 * sums  in  [metric_width]  whole numbers */
double metric_score_float(const struct metric *metric, const float *sums);

/* True where what metric_score_float() gives for these sums is a NumPy float in sacreBLEU, and so
 * decides in what arithmetic means and intervals of it are taken; false where it is a double.
 * BLEU's always are double, chrF's are float except where nothing matches. */
bool metric_is_float(const struct metric *metric, const float *sums);

/* And as it computes it in approximate randomization: from int64 sums, where add-k with a fraction
 * is truncated as it is added. */
double metric_score_trial(const struct metric *metric, const int64_t *sums);

/* What a confidence interval by bootstrap adds to a result; a zeroed one is none. */
struct metric_interval {
    bool is_given;
    int64_t n_samples;
    const char *seed; /* as SACREBLEU_SEED says, in lower case ("12345") */
    double mean;
    double half_width; /* of 95 % */
};

/* What goes into a signature beside the metric's own settings. */
struct metric_signature {
    size_t n_references;
    const char *test; /* "bs", "ar", or NULL for none */
    int64_t n_samples;
    const char *seed;
    bool is_short;
};

/* Appends "nrefs:1|bs:1000|seed:12345|case:mixed|...|version:2.6.0" (bs or ar, and seed, where
 * there is a test), or with is_short the short form. STATUS_MEMORY. */
enum status metric_append_signature(struct buffer *buffer, const struct metric *metric,
                                    const struct metric_signature *signature) STATUS_CHECKED;

/* "BLEU", "chrF2", "chrF2++": what sacreBLEU calls the metric. At most METRIC_NAME_BYTES, the final
 * NUL included. */
enum { METRIC_NAME_BYTES = 64 };
void metric_name(const struct metric *metric, char name[METRIC_NAME_BYTES]);

/* Appends a finite number as Python prints it: the fewest digits that read back as the same number,
 * "100.0", "1e-05". STATUS_MEMORY. */
enum status metric_append_number(struct buffer *buffer, double number) STATUS_CHECKED;

/* How a result is printed. */
struct metric_style {
    int decimals; /* of the score, 0..100 */
    bool is_score_only;
    bool is_json;
    const char *signature; /* borrowed; JSON wants the long one */
};

/* Appends a result as text or as a JSON object, without a line end at its end; interval may be
 * NULL. STATUS_MEMORY. */
enum status metric_append_result(struct buffer *buffer, const struct metric *metric,
                                 const int64_t *sums, const struct metric_interval *interval,
                                 const struct metric_style *style) STATUS_CHECKED;

#endif
