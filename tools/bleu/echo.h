/* Prints fields of test sets side by side: --echo. */
#ifndef MIXT_TOOLS_BLEU_ECHO_H
#define MIXT_TOOLS_BLEU_ECHO_H

#include <stdio.h>

#include "tools/bleu/options.h"

/* Lines of the fields that --echo names, separated by tabs, of all sets and of the lines that
 * --origlang and --subset leave. STATUS_FAILED for a field that a set lacks; STATUS_DATA for
 * invalid UTF-8; STATUS_IO, STATUS_MEMORY. */
enum status bleu_echo(FILE *stream, const struct bleu_options *options) STATUS_CHECKED;

#endif
