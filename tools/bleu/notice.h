/* What mixt bleu says on stderr in sacreBLEU's words, with its name in front unless quiet. */
#ifndef MIXT_TOOLS_BLEU_NOTICE_H
#define MIXT_TOOLS_BLEU_NOTICE_H

#include <stdbool.h>
#include <stdint.h>

/* Progress; nothing when quiet. */
void notice_info(bool is_quiet, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A warning or an error; quiet takes only the name away. */
void notice_warning(bool is_quiet, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A count of lines on stderr, changed in place; only on a terminal, and not of what is done in the
 * first moments. */
struct notice_count {
    double shown_s; /* when it was last written, or when the work began */
    bool is_live;   /* the line stands */
    bool is_silent;
};

struct notice_count notice_count_start(bool is_quiet);
void notice_count_show(struct notice_count *count, int64_t n_lines);

/* Takes the line away. */
void notice_count_end(struct notice_count *count);

#endif
