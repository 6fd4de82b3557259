/* Read text line by line, from a file, a .gz file, standard input or one side of a prepared corpus.
 *
 * The only line end is "\n"; U+2028, U+0085, form feeds and a lone carriage return are ordinary
 * characters, so line counts agree with wc -l. What comes out is always valid UTF-8 without "\n"
 * and without NUL, and every line of the input is one line here, empty ones too. Repairs are
 * counted, so that a tool can say once what it did to a file. */
#ifndef MIXT_TEXT_LINES_H
#define MIXT_TEXT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buffer.h"

/* Longest line, in bytes, unless lines_set_limit() lowers it. */
#define LINES_MAX_BYTES ((size_t)1 << 30)

struct lines; /* an open reader; not to be used by two threads at once */

struct line {
    const char *bytes; /* borrowed until the next call for this reader; NULL at the end of input */
    size_t size;       /* bytes; bytes[size] is '\0' */
    int64_t number;    /* 1, 2, ... */
};

/* How many lines had something, and the number of the first of them (0: none). */
struct lines_tally {
    int64_t count;
    int64_t first;
};

/* What was read so far. */
struct lines_counts {
    int64_t lines;
    struct lines_tally empty;
    struct lines_tally carriage_return; /* "\r" directly before "\n": taken off */
    struct lines_tally byte_order_mark; /* U+FEFF at the start of the file: taken off */
    struct lines_tally nul;             /* NUL bytes: each replaced by a space */
    struct lines_tally bad_utf8;        /* invalid UTF-8: replaced as utf8_repair() does */
    bool is_unended;                    /* the line read last had no "\n" behind it */
};

/* Opens a file; path NULL or "-" is standard input. A file that starts with the two bytes of gzip
 * is decompressed. Where there is no such file but path is DIRECTORY/SIDE of a corpus that mixt
 * prep made (text/prep/pairs.h), as "corpus/en", the lines are that side's. On error *lines is
 * NULL: STATUS_IO, STATUS_FORMAT, STATUS_MEMORY. */
enum status lines_open(struct lines **lines, const char *path) STATUS_CHECKED;

/* The same for an open descriptor, which the reader takes over, also on error; name is for
 * messages. STATUS_MEMORY. */
enum status lines_open_descriptor(struct lines **lines, int descriptor,
                                  const char *name) STATUS_CHECKED;

/* Closes the reader; NULL is allowed. */
void lines_close(struct lines *lines);

/* Reads the next line, or sets line->bytes to NULL at the end. A last line without "\n" is a line.
 *
 * STATUS_IO, STATUS_MEMORY, and STATUS_FORMAT for a damaged or cut .gz file (after the lines before
 * the damage) and for a line over the limit; the reader then can only be closed. */
enum status lines_next(struct lines *lines, struct line *line) STATUS_CHECKED;

/* True when lines_next() would have to wait for more input: the moment to flush output for whoever
 * sits at the other end of a pipe. Never waits itself. */
bool lines_would_block(struct lines *lines);

/* Lowers the longest line allowed to size bytes (1..LINES_MAX_BYTES). */
void lines_set_limit(struct lines *lines, size_t size);

/* Delivers the lines as they are from now on: a byte order mark, NUL and "\r" stay, and invalid
 * UTF-8 is counted but not repaired. */
void lines_set_verbatim(struct lines *lines);

/* The counts so far; borrowed, live. */
const struct lines_counts *lines_so_far(const struct lines *lines);

/* The name for messages: the path, or "standard input". Borrowed. */
const char *lines_name(const struct lines *lines);

/* Appends one sentence on what was repaired, as "NAME: invalid UTF-8 in 3 lines (first: 17)";
 * nothing when nothing was. Carriage returns are not worth a word. STATUS_MEMORY. */
enum status lines_describe(const struct lines_counts *counts, const char *name,
                           struct buffer *text) STATUS_CHECKED;

#endif
