/* Lines in, translations out: subwords, batches, beam search, worker threads, long lines.
 *
 * A line's translation depends on that line, the model and the options alone: not on the lines
 * beside it, the batch budget or the number of threads. Lines without a word give empty
 * translations without asking the model. A line longer than max_len pieces is cut, at the end of a
 * sentence or clause where there is one, and its parts are translated and joined; nothing is ever
 * dropped. */
#ifndef MIXT_API_TRANSLATOR_H
#define MIXT_API_TRANSLATOR_H

#include "model/model.h"

struct translator_options {
    const char *language; /* of data.languages, borrowed while opening; NULL: the only one */
    int64_t beam;         /* W, 1..64 */
    int64_t n_best;       /* translations a line, 1..beam */
    double alpha;         /* length normalisation */
    double beta;          /* coverage penalty */
    double max_ratio;     /* longest translation, in source lengths */
    int64_t max_extra;    /* and so many pieces on top */
    int64_t batch_tokens; /* source pieces of a batch, padding included; one line at least */
    int64_t max_len;      /* pieces a line may have before it is cut */
    int64_t threads;      /* workers, each with its own batch; 0: all cores */
};

/* One translation of a line. */
struct translation {
    struct buffer text; /* owned by the translator */
    double score;       /* normalised log-probability; for a cut line the sum of its parts */
    double log_prob;
    bool reached_limit; /* the length limit ended it, not the model */
};

/* What has been done so far. */
struct translator_totals {
    int64_t lines;                  /* in */
    int64_t source_pieces;          /* in, with eos */
    int64_t target_pieces;          /* out, with eos, of the best translations */
    int64_t cut_lines;              /* longer than max_len */
    int64_t limit_lines;            /* a best translation reached the length limit */
    int64_t first_cut, first_limit; /* their first line numbers, counted from 1; 0: none */
};

struct translator;

/* Options fitting a model's configuration, all cores. */
struct translator_options translator_defaults(const struct config *config);

/* Starts for a model, borrowed, that nobody changes meanwhile. STATUS_CONFIG for a language model,
 * and for a language that is missing, unknown or not to be chosen (model/languages.h).
 * On error *translator is NULL. */
enum status translator_open(struct translator **translator, struct model *model,
                            const struct translator_options *options) STATUS_CHECKED;

/* NULL is allowed. */
void translator_close(struct translator *translator);

/* Translates n lines. *results [n * n_best], best first for each line, stays valid until the next
 * call; a line with fewer hypotheses than n_best repeats none: the rest have empty text and a score
 * of -INFINITY. */
enum status translator_run(struct translator *translator, const struct subword_text *lines,
                           size_t n, const struct translation **results) STATUS_CHECKED;

const struct translator_totals *translator_so_far(const struct translator *translator);

#endif
