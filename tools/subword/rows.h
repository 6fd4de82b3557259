/* Rows of option tables that the kinds of subword model share. AT(member) is the includer's:
 * offsetof() in its own struct, whose members have the names used here. */
#ifndef MIXT_TOOLS_SUBWORD_ROWS_H
#define MIXT_TOOLS_SUBWORD_ROWS_H

#include "base/parallel.h"
#include "tools/options.h"

/* clang-format off */
#define INPUTS_ROW                                                                                 \
    {"input", 'i', NULL, "FILE", OPTION_LIST, AT(inputs), 0, 0, NULL,                              \
     "another way to name a FILE; may be repeated"}
#define OUTPUT_ROW                                                                                 \
    {"output", 'o', NULL, "FILE", OPTION_STRING, AT(output), 0, 0, NULL,                           \
     "write there (default: standard output)"}
/* least is the smallest number taken: 0, or -1 where a peer's tool takes that for all cores. */
#define THREADS_ROW(least)                                                                         \
    {"threads", 0, NULL, "N", OPTION_INT, AT(threads), least, PARALLEL_MAX_THREADS, NULL,          \
     "threads that work; the result does not depend on it (default: 0, all cores)"}
/* Pieces or ids under the name of a peer's option, and under our own. */
#define PIECE_OR_ID_ROWS(name)                                                                     \
    {name, 'f', NULL, "NAME", OPTION_STRING, AT(format), 0, 0, "piece|id|pieces|ids",              \
     "piece or id; pieces and ids are the same (default: piece)"},                                 \
    {"format", 0, NULL, "NAME", OPTION_STRING, AT(format), 0, 0, "piece|id|pieces|ids", NULL}
/* clang-format on */

#endif
