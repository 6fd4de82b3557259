/* The closing line of a tool on stderr: what it did, and what that took. */
#ifndef MIXT_TOOLS_FOOTER_H
#define MIXT_TOOLS_FOOTER_H

#include "backend/backend.h"

/* Prints "mixt: SUMMARY; 4.1 s, 7.9 s CPU, 120 MB peak"; without a summary ("" or NULL) only the
 * figures. start_s is clock_seconds() as the verb began. */
void footer_print(double start_s, const char *summary);

/* Says on stderr which GPU computes, where one does. */
void footer_tell_device(const struct backend *backend);

#endif
