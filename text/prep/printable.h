/* A stranger's text made fit for a message of one line. */
#ifndef MIXT_TEXT_PREP_PRINTABLE_H
#define MIXT_TEXT_PREP_PRINTABLE_H

enum { PRINTABLE_BYTES = 100 };

/* Copies the text to shown and returns that: control characters and invalid UTF-8 become '?', and
 * what does not fit is cut off, with "..." in its place. */
const char *printable(char shown[PRINTABLE_BYTES], const char *text);

#endif
